//! Hosts that `ssh_config` does not tell apart share one answer of `ssh -G`.
//!
//! A fleet has one bastion and one user, and asking `ssh` two hundred times the same costs 5 ms of a processor each time,
//! more than the rest of a connection. So the files that `ssh` says it has read are looked through for what can tell
//! hosts apart: the patterns of `Host`, and jump hosts that are not behind themselves. Hosts to which the same of these
//! apply share an answer. Anything else that might (`Match`, a canonical name, quotes around a pattern, a file that
//! cannot be read, words of `ssh` that are not known here) means that each host is asked for on its own.
//! Not for: hosts without an address; there the answer is about the name. Nor for what the options mean.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use boundary::known_hosts::matches;

use super::config::Dump;

/// What `ssh -G -v` said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) dump: Dump,
    /// Standard error, where it tells which files it reads.
    pub(super) log: String,
}

/// What is asked for: everything that an answer may depend on, apart from the files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The file that is read instead of the user's and the system's.
    pub(super) config: Option<&'a Path>,
    pub(super) address: &'a str,
    /// Whether a port is given, and a user: then the answer has just these, and nobody reads them from it.
    pub(super) port: bool,
    pub(super) user: bool,
}

/// The answers of a run.
#[derive(Debug, Default)]
pub(super) struct Alike(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By the file that is read instead; without what tells hosts apart, each is asked for on its own.
    telling: BTreeMap<Option<PathBuf>, Option<Telling>>,
    answers: HashMap<Key, Arc<Dump>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    config: Option<PathBuf>,
    port: bool,
    user: bool,
    applies: Vec<bool>,
}

impl Alike {
    /// The answer for a host: one that is known, or what `ask` brings. `None` where there is no `ssh`.
    pub(super) fn answer<E>(
        &self,
        asked: Asked<'_>,
        ask: impl FnOnce() -> Result<Option<Said>, E>,
    ) -> Result<Option<Arc<Dump>>, E> {
        let config = asked.config.map(Path::to_owned);
        let mut known = self.known();
        let Some(telling) = known.telling.get(&config) else {
            // The others wait for the first: mostly its answer is theirs.
            let Some(said) = ask()? else { return Ok(None) };
            let telling = Telling::read(&said.log);
            let dump = Arc::new(said.dump);
            if let Some(telling) = &telling {
                known.answers.insert(telling.key(asked), Arc::clone(&dump));
            }
            known.telling.insert(config, telling);
            return Ok(Some(dump));
        };
        let Some(key) = telling.as_ref().map(|telling| telling.key(asked)) else {
            drop(known);
            return Ok(ask()?.map(|said| Arc::new(said.dump)));
        };
        if let Some(dump) = known.answers.get(&key) {
            return Ok(Some(Arc::clone(dump)));
        }
        drop(known);
        let Some(said) = ask()? else { return Ok(None) };
        Ok(Some(Arc::clone(self.known().answers.entry(key).or_insert_with(|| Arc::new(said.dump)))))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tells hosts apart in some files.
#[derive(Debug, Default, PartialEq, Eq)]
struct Telling {
    /// The patterns of `Host`, without their `!`.
    patterns: Vec<String>,
    /// The values of `ProxyJump`.
    jumps: Vec<String>,
}

impl Telling {
    /// From the files that `ssh` says it has read; `None` when more than this may tell hosts apart.
    fn read(log: &str) -> Option<Self> {
        const READ: &str = "debug1: Reading configuration data ";
        let mut telling = Self::default();
        let mut files = log.lines().filter_map(|line| line.strip_prefix(READ)).peekable();
        // No file at all is nothing to share an answer about; more likely these are words that are not known here.
        files.peek()?;
        for file in files {
            let file = Path::new(file.trim_end());
            // Of a pipe, `ssh` has had what there was: to read there again would wait without an end.
            telling.add(&file.is_file().then(|| std::fs::read_to_string(file).ok()).flatten()?)?;
        }
        Some(telling)
    }

    fn add(&mut self, text: &str) -> Option<()> {
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let end = line.find(|char: char| char.is_whitespace() || char == '=').unwrap_or(line.len());
            let (option, value) = line.split_at(end);
            if option.contains('"') {
                return None;
            }
            let value = value.trim_start_matches(|char: char| char.is_whitespace() || char == '=');
            let plain = || (!value.contains(['"', '\'', '\\'])).then_some(value);
            match option.to_ascii_lowercase().as_str() {
                "match" => return None,
                "canonicalizehostname" if !value.eq_ignore_ascii_case("no") => return None,
                "host" => {
                    let patterns = plain()?.split_whitespace();
                    self.patterns.extend(patterns.map(|word| word.trim_start_matches('!').to_owned()));
                }
                "proxyjump" => self.jumps.push(plain()?.to_ascii_lowercase()),
                _ => {}
            }
        }
        Some(())
    }

    fn key(&self, Asked { config, address, port, user }: Asked<'_>) -> Key {
        let small = address.to_ascii_lowercase();
        // Whichever way `ssh` takes capitals: hosts that share an answer are alike in both.
        let covers = |pattern: &String| {
            let exactly = matches(address.as_bytes(), pattern.as_bytes());
            [exactly, matches(small.as_bytes(), pattern.to_ascii_lowercase().as_bytes())]
        };
        let applies = self.patterns.iter().flat_map(covers).chain(self.jumps.iter().map(|jump| jump.contains(&small)));
        Key { config: config.map(Path::to_owned), port, user, applies: applies.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn telling(text: &str) -> Option<Telling> {
        let mut telling = Telling::default();
        telling.add(text).map(|()| telling)
    }

    fn asked(address: &str) -> Asked<'_> {
        Asked { config: None, address, port: true, user: true }
    }

    #[test]
    fn hosts_are_alike_when_the_same_patterns_cover_them_and_none_of_them_is_a_jump_host() {
        let config =
            "# Host of.a.comment\nHost 10.0.0.* !10.0.0.9\n  User a\nHOST=db-?\nHost *\n ProxyJump ada@10.0.1.1:22\n";
        let telling = telling(config).expect("names only");
        let alike = |one: &str, other: &str| telling.key(asked(one)) == telling.key(asked(other));
        assert!(alike("10.0.0.1", "10.0.0.2") && alike("10.0.1.2", "10.0.1.3") && alike("db-1", "db-2"));
        for (one, other) in
            [("10.0.0.1", "10.0.0.9"), ("10.0.0.1", "10.0.1.2"), ("10.0.1.1", "10.0.1.2"), ("db-1", "DB-1")]
        {
            assert!(!alike(one, other), "{one} {other}");
        }
        assert_ne!(telling.key(asked("a")), telling.key(Asked { user: false, ..asked("a") }));
        assert_ne!(telling.key(asked("a")), telling.key(Asked { config: Some(Path::new("/c")), ..asked("a") }));
    }

    #[test]
    fn what_else_may_tell_hosts_apart_means_that_each_is_asked_for() {
        for config in [
            "Match host a\n",
            "match=all\n",
            "Host \"a b\"\n",
            "\"Host\" a\n",
            "CanonicalizeHostname yes\n",
            "ProxyJump 'a'\n",
        ] {
            assert_eq!(telling(config), None, "{config}");
        }
        assert!(telling("CanonicalizeHostname no\nIdentityFile \"~/my keys/%h\"\nSendEnv LANG LC_*\n").is_some());
        assert_eq!(Telling::read(""), None, "no file");
        assert_eq!(Telling::read("debug1: Reading configuration data /no/such/file\r\n"), None);
        let dir = tempfile::tempdir().expect("a directory");
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).expect("made");
        assert_eq!(Telling::read(&format!("debug1: Reading configuration data {}\r\n", pipe.display())), None);
    }

    #[test]
    fn one_is_asked_for_each_kind_of_host_and_each_host_where_nobody_knows_the_kinds() {
        let dir = tempfile::tempdir().expect("a directory");
        let asks = |config: &str| {
            let (alike, file) = (Alike::default(), dir.path().join("config"));
            std::fs::write(&file, config).expect("written");
            let log = format!("debug1: Reading configuration data {}\r\n", file.display());
            let times = Cell::new(0);
            for address in ["10.0.0.1", "10.0.0.2", "192.0.2.1", "10.0.0.3", "192.0.2.2"] {
                let ask = || {
                    times.set(times.get() + 1);
                    let net = address.split('.').next().unwrap_or_default();
                    Ok::<_, ()>(Some(Said { dump: Dump::parse(&format!("hostkeyalias {net}")), log: log.clone() }))
                };
                let dump = alike.answer(asked(address), ask).expect("no error").expect("an answer");
                assert!(address.starts_with(dump.get("hostkeyalias").expect("it")), "{address}");
            }
            times.get()
        };
        assert_eq!(asks("Host 10.*\n"), 2);
        assert_eq!(asks("Match host 10.*\n"), 5);
    }

    #[test]
    fn a_failure_and_a_missing_program_are_nobody_elses_answer() {
        let alike = Alike::default();
        assert_eq!(alike.answer(asked("a"), || Err("why")).expect_err("it failed"), "why");
        assert!(alike.answer(asked("a"), || Ok::<_, ()>(None)).expect("no error").is_none());
        let said = || Ok::<_, ()>(Some(Said { dump: Dump::parse("user x"), log: String::new() }));
        assert!(alike.answer(asked("a"), said).expect("no error").is_some());
    }
}
