//! `trust`: makes the keys of hosts known, all at once.
//!
//! Who says that a key is a host's: the inventory, a file of keys or fingerprints, the person's own files of known hosts,
//! or the person at the terminal, asked once with one table of all. Nothing is trusted that nobody spoke for, and a key
//! that contradicts what is known only with `--replace`. Jump hosts come first, those in front before those behind, each
//! with a question of its own that says what follows: nobody logs in at one that is not trusted to look at what is behind
//! it. Not for: certificates, which need no line of their own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use boundary::known_hosts::{HostKey, KeyType, Named, Pin, pins};
use stagecraft_net::contract::Outcome;
use stagecraft_net::event::{Event, Fault, HostResult, KeyRef, Tell as _};
use stagecraft_net::failure::{Failed, Kind};
use stagecraft_net::fleet::{Gates, Limits, OverSsh, each};
use stagecraft_net::inventory::HostSpec;
use stagecraft_net::ssh::learn::{self, Entry, Shown};
use stagecraft_net::ssh::{Endpoint, HostKeyError, Target};
use stagecraft_net::until::{Cancel, Until};

use crate::args::{Global, Trust};
use crate::exit::Exit;
use crate::passphrase;
use crate::project::{Project, Stop, end, stopped};
use crate::signals;

/// The types of keys that a server may have besides the one that it shows first.
const TYPES: [KeyType; 5] =
    [KeyType::Ed25519, KeyType::EcdsaP256, KeyType::Rsa, KeyType::EcdsaP384, KeyType::EcdsaP521];

/// What came of one host.
enum Found {
    /// Its key is trusted already.
    Known(HostKey, String),
    /// These are to be written, all of one host, on the word of this source.
    New {
        entries: Vec<Entry>,
        keys: Vec<HostKey>,
        replaces: bool,
        source: String,
        by_word: bool,
    },
    Failed(Failed),
}

pub(crate) fn run(global: &Global, args: &Trust) -> Exit {
    let begun = Instant::now();
    let stop = |stop: Stop| stopped(global.json, global.verbose, "trust", Some(&global.env), &stop);
    let cancel = match Cancel::new() {
        Ok(cancel) => cancel,
        Err(error) => return stop(Stop::new(Fault::Outside, format!("this machine has no descriptor left: {error}"))),
    };
    // From here on a signal ends the run, not the process.
    let heard = Arc::new(OnceLock::new());
    let interrupted = signals::listen(cancel.clone(), Arc::clone(&heard));
    let chosen = Project::open_and_go(global, &args.hosts, &cancel)
        .and_then(|project| project.select(global).map(|hosts| (project, hosts)));
    let (project, hosts) = match chosen {
        Ok(chosen) => chosen,
        Err(why) => {
            let exit = stop(why);
            return if interrupted.get() { Exit::Interrupted } else { exit };
        }
    };
    if args.accept_new && !args.yes && !global.dry_run && (global.json || !passphrase::can_ask()) {
        let message = "--accept-new asks before it writes, and there is nobody to ask\n\
                       do: look at what `stagecraft-net trust` shows, then give --yes; or use --fingerprints FILE";
        return stop(Stop::new(Fault::Usage, message));
    }
    let over = project.over_ssh(global, &hosts, stagecraft_net::ssh::Trust::Strict);
    let mut limits = Limits::default();
    limits.jobs = global.jobs.get();
    // A look takes a moment; one that hangs must not use up the time that an install may take.
    limits.timeout = global.timeout.min(std::time::Duration::from_secs(60));
    // Where that cannot be known, it is told when the host's turn comes.
    let jumps = each(hosts.len(), &limits, &cancel, |host, _, until| {
        over.target(host, until).map(|target| target.jumps().cloned().collect::<Vec<_>>()).unwrap_or_default()
    });
    let rounds = rounds(&hosts, &jumps);
    let named = match fingerprints(&args.fingerprints, &rounds) {
        Ok(named) => named,
        Err(why) => return stop(why),
    };
    let notices = project.notices();
    let names = rounds.iter().flatten().map(|one| one.name.clone()).collect();
    let report = match project.begin(global, "trust", &args.hosts, names) {
        Ok(report) => report,
        Err(exit) => return exit,
    };
    notices.into_iter().for_each(|notice| report.tell(notice));
    // A signal may have come already: then nobody is left to set it.
    let _ = heard.set(Arc::clone(&report));

    let mut trusted = Vec::new();
    let mut results = Vec::new();
    let behind = jumps.iter().filter(|jumps| !jumps.is_empty()).count();
    for round in &rounds {
        let ask = Ask { over: &over, named: &named, args, trusted: &trusted };
        let mut found = each(round.len(), &limits, &cancel, |one, gates, until| ask.one(&round[one], gates, until));
        if !global.dry_run && !confirmed(args, round, behind, &found, &cancel) {
            for one in &mut found {
                if matches!(one, Found::New { by_word: true, .. }) {
                    *one = Found::Failed(Failed::host(Kind::HostKey, "you did not say that its key is right", None));
                }
            }
        }
        if !global.dry_run
            && !interrupted.get()
            && let Err((file, error)) = write(&found, args.replace, &Until::after(limits.timeout, &cancel))
        {
            let message = format!("{} could not be written: {error}\nmeans: it is as it was", file.display());
            report.tell(Event::Fault { fault: Fault::Outside, message, file: None, findings: Vec::new() });
            return end(&report, stagecraft_net::event::Counts::default(), Exit::Outside, begun);
        }
        for (one, found) in round.iter().zip(found) {
            let written = !global.dry_run && matches!(found, Found::New { .. });
            if let (true, At::Jump(jump)) = (written || matches!(found, Found::Known(..)), &one.at) {
                trusted.push((**jump).clone());
            }
            tell(&report, &one.name, &found);
            results.push((one.name.clone(), result(found, global.dry_run)));
        }
    }
    for (host, result) in &results {
        report.tell(Event::Done { host: host.clone(), result: result.clone(), millis: 0 });
    }
    let results: Vec<HostResult> = results.into_iter().map(|(_, result)| result).collect();
    let exit = Exit::of(&results, interrupted.get(), false);
    end(&report, results.iter().collect(), exit, begun)
}

/// Whose key is to be known.
struct Asked<'a> {
    name: String,
    /// What a line of fingerprints may call it.
    words: Vec<&'a str>,
    at: At<'a>,
    /// What the inventory says of the same machine.
    pins: &'a [Pin],
}

enum At<'a> {
    Host(usize),
    Jump(&'a Endpoint),
}

impl<'a> Asked<'a> {
    fn host((index, spec): (usize, &'a HostSpec)) -> Self {
        let words = std::iter::once(&*spec.name).chain(spec.address.as_deref()).collect();
        Self { name: spec.name.clone(), words, at: At::Host(index), pins: &spec.host_keys }
    }

    /// A jump host, which may be one of the hosts too.
    fn jump(jump: &'a Endpoint, hosts: &'a [HostSpec]) -> Self {
        let itself = |host: &&HostSpec| {
            let port = jump.port.is_none_or(|port| host.port.is_none_or(|own| own == port));
            host.address.as_deref().unwrap_or(&host.name) == jump.name && port
        };
        let spec = hosts.iter().find(itself);
        let words = std::iter::once(&*jump.name).chain(spec.map(|spec| &*spec.name)).collect();
        let pins = spec.map_or(&[][..], |spec| &spec.host_keys);
        Self { name: jump.to_string(), words, at: At::Jump(jump), pins }
    }

    fn is(&self, word: &str) -> bool {
        self.name == word || self.words.contains(&word)
    }

    /// For the table.
    fn address(&self) -> &str {
        match self.at {
            At::Host(_) => self.words.get(1).unwrap_or(&"(ssh_config)"),
            At::Jump(_) => "(jump host)",
        }
    }
}

/// What is asked for one after the other: jump hosts, those in front first, then the hosts.
fn rounds<'a>(hosts: &'a [HostSpec], jumps: &'a [Vec<Endpoint>]) -> Vec<Vec<Asked<'a>>> {
    let depth = jumps.iter().map(Vec::len).max().unwrap_or_default();
    let at_depth = |depth: usize| {
        let mut round: Vec<&Endpoint> = Vec::new();
        for jump in jumps.iter().filter_map(|jumps| jumps.get(depth)) {
            if !round.contains(&jump) {
                round.push(jump);
            }
        }
        round.into_iter().map(|jump| Asked::jump(jump, hosts)).collect()
    };
    (0..depth).map(at_depth).chain([hosts.iter().enumerate().map(Asked::host).collect()]).collect()
}

/// A pin of a file, and the host that it is for.
type Given = BTreeMap<String, Vec<(Pin, String)>>;

/// What the files hold, by host. A file with lines for none of them is a mistake.
fn fingerprints(files: &[String], rounds: &[Vec<Asked<'_>>]) -> Result<Given, Stop> {
    let all: Vec<&Asked<'_>> = rounds.iter().flatten().collect();
    let mut given = Given::new();
    for file in files {
        let (only, path) = match file.split_once('=') {
            Some((host, path)) if all.iter().any(|one| one.is(host)) => (Some(host), path),
            _ => (None, file.as_str()),
        };
        let text = std::fs::read(path)
            .map_err(|error| Stop::new(Fault::Usage, format!("--fingerprints {path} cannot be read: {error}")))?;
        let found = pins(&text);
        if found.is_empty() {
            let message = format!("--fingerprints {path} holds no key and no SHA256 fingerprint of one");
            return Err(Stop::new(
                Fault::Usage,
                format!("{message}\nwanted: `ssh-keygen -l`, a console log, `ssh-keyscan`"),
            ));
        }
        // Where one host is meant, all of it is about that one.
        let only = only.or(match all[..] {
            [one] => Some(one.name.as_str()),
            _ => None,
        });
        let of = |line: &Named, one: &Asked<'_>| match only {
            Some(only) => one.is(only),
            None => one.words.iter().any(|word| line.is_of(word)),
        };
        let mut any = false;
        for one in &all {
            for line in found.iter().filter(|line| of(line, one)) {
                given.entry(one.name.clone()).or_default().push((line.pin.clone(), path.to_owned()));
                any = true;
            }
        }
        if !any {
            let message = format!("--fingerprints {path} has {} keys, and names none of these hosts", found.len());
            let next = "do: say whose they are: --fingerprints HOST=FILE, once for each host";
            return Err(Stop::new(Fault::Usage, format!("{message}\n{next}")));
        }
    }
    Ok(given)
}

/// What is asked of each.
struct Ask<'a> {
    over: &'a OverSsh,
    named: &'a Given,
    args: &'a Trust,
    /// The jump hosts that may be passed.
    trusted: &'a [Endpoint],
}

impl Ask<'_> {
    fn one(&self, asked: &Asked<'_>, gates: &Gates, until: &Until) -> Found {
        self.look(asked, gates, until).unwrap_or_else(Found::Failed)
    }

    fn look(&self, asked: &Asked<'_>, gates: &Gates, until: &Until) -> Result<Found, Failed> {
        let target = match asked.at {
            At::Host(index) => self.over.target(index, until)?,
            At::Jump(jump) => self.over.resolve(jump, until)?,
        };
        let mut pins: Vec<(Pin, String)> =
            asked.pins.iter().map(|pin| (pin.clone(), "host_key in the inventory".to_owned())).collect();
        pins.extend(self.named.get(&asked.name).into_iter().flatten().cloned());
        // What is given in full can be written down whether the machine is up or not.
        let whole: Vec<(HostKey, String)> =
            pins.iter().filter_map(|(pin, from)| Some((pin.key()?.clone(), from.clone()))).collect();
        if let Some((first, source)) = whole.first() {
            let keys: Vec<HostKey> = whole.iter().map(|(key, _)| key.clone()).collect();
            return self.learn(&target, keys, first.clone(), source.clone(), false);
        }
        if let Some(first) = target.jumps().find(|jump| !self.trusted.contains(jump)) {
            let detail = format!("means: behind {first}, where nobody logs in before its key is known");
            return Err(Failed::host(Kind::Skipped, format!("not tried, since {first} is not known"), detail));
        }
        let look = |only| {
            let _starting = gates.start(target.gate(), until)?;
            let look =
                |target: &Target, until: &Until| learn::look(target, only, stagecraft_net::ssh::Trust::Strict, until);
            match asked.at {
                At::Host(index) => self.over.either_way(index, &target, until, look).map_err(|why| why.failed()),
                At::Jump(_) => look(&target, until).map(|shown| (shown, None)).map_err(|error| error.failed()),
            }
            .map(|(shown, _)| shown)
        };
        let Shown { key, trouble, .. } = look(None)?;
        if pins.is_empty() {
            return match trouble.as_deref() {
                None => Ok(Found::Known(key, "known already".to_owned())),
                Some(HostKeyError::Unknown { .. }) if self.is_known_to_ssh(&asked.at, &key, until) => {
                    self.learn(&target, vec![key.clone()], key, "your own known_hosts".to_owned(), false)
                }
                Some(HostKeyError::Unknown { .. }) if self.args.accept_new => {
                    self.learn(&target, vec![key.clone()], key, "your word".to_owned(), true)
                }
                Some(HostKeyError::Changed { .. }) if self.args.accept_new && self.args.replace => {
                    self.learn(&target, vec![key.clone()], key, "your word".to_owned(), true)
                }
                Some(HostKeyError::Unknown { .. }) => Err(nobody(&target, &key, &asked.at)),
                Some(_) => Err(refused(&target, trouble)),
            };
        }
        // The fingerprint may be of another of its keys.
        let fits = |key: &HostKey| pins.iter().find(|(pin, _)| pin.fits(key)).map(|(_, from)| from.clone());
        if let Some(source) = fits(&key) {
            return self.learn(&target, vec![key.clone()], key, source, false);
        }
        for other in TYPES.into_iter().filter(|other| *other != key.key_type()) {
            // It may have none of that type.
            let Ok(Shown { key, .. }) = look(Some(other)) else { continue };
            if let Some(source) = fits(&key) {
                return self.learn(&target, vec![key.clone()], key, source, false);
            }
        }
        let pinned = pins.into_iter().map(|(pin, _)| pin).collect();
        Err(refused(&target, Some(Box::new(HostKeyError::NotPinned { shown: key, pinned }))))
    }

    /// Whether the person has trusted that key for that host before the project had a file of its own.
    fn is_known_to_ssh(&self, at: &At<'_>, key: &HostKey, until: &Until) -> bool {
        // For a jump host these files count as they are.
        let At::Host(index) = at else { return false };
        let own = self.over.target_as_ssh_knows_it(*index, until);
        own.is_ok_and(|own| matches!(learn::judge(&own, key), Ok(None)))
    }

    /// The keys that are to be written, on the word of `source`, unless the files contradict.
    fn learn(
        &self,
        target: &Target,
        keys: Vec<HostKey>,
        first: HostKey,
        source: String,
        by_word: bool,
    ) -> Result<Found, Failed> {
        let (mut entries, mut new, mut replaces) = (Vec::new(), Vec::new(), false);
        for key in keys {
            let trouble = learn::judge(target, &key).map_err(|error| refused(target, Some(error)))?;
            match trouble.as_deref() {
                None => continue,
                Some(HostKeyError::Changed { known, .. }) => {
                    let same_type = known.iter().any(|one| one.key.key_type() == key.key_type());
                    if same_type && !self.args.replace {
                        return Err(refused(target, trouble));
                    }
                    replaces |= same_type;
                }
                Some(HostKeyError::Revoked { .. }) => return Err(refused(target, trouble)),
                Some(_) => {}
            }
            let entry = Entry::new(target, key.clone()).ok_or_else(|| {
                let next = "do: name a file: knownHostsFile under infra.bootstrap.ssh".to_owned();
                Failed::host(Kind::HostKey, format!("there is no file of known hosts for {target}"), next)
            })?;
            entries.push(entry);
            new.push(key);
        }
        Ok(match entries.is_empty() {
            true => Found::Known(first, format!("known already; {source}")),
            false => Found::New { entries, keys: new, replaces, source, by_word },
        })
    }
}

/// Nobody says whose key it is.
fn nobody(target: &Target, key: &HostKey, at: &At<'_>) -> Failed {
    // A jump host is no host that a command could name: it comes with those behind it.
    let (whose, hosts) = match at {
        At::Host(_) => ("", " @hosts"),
        At::Jump(_) => ("the jump host ", ""),
    };
    let detail = format!(
        "found: {whose}{target} shows {} {}\nmeans: nobody has said that this is its key\ndo: from the machine's console, or \
         its cloud's log:  {{run trust{hosts} --fingerprints FILE}}\nby your own word, after one table of all:  {{run \
         trust{hosts} --accept-new}}",
        key.key_type().short(),
        key.fingerprint()
    );
    let mut failed = Failed::host(Kind::HostKey, "the server's host key is not known", detail);
    failed.diagnostics.iter_mut().for_each(|one| stagecraft_net::ssh::UNKNOWN_HOST_KEY.clone_into(&mut one.code));
    failed
}

fn refused(target: &Target, trouble: Option<Box<HostKeyError>>) -> Failed {
    match trouble {
        Some(error) => stagecraft_net::ssh::ConnectError::HostKey { to: target.to_string(), error }.failed(),
        None => Failed::host(
            Kind::Internal,
            "a key that is trusted was refused",
            "means: a defect in this program; nothing is wrong with the host\ndo: report it, with this text".to_owned(),
        ),
    }
}

fn tell(report: &crate::report::Report, host: &str, found: &Found) {
    let say = |key: &HostKey, standing, source: &str| {
        report.tell(Event::HostKey {
            host: host.to_owned(),
            key: KeyRef {
                algorithm: key.key_type().name().to_owned(),
                fingerprint: key.fingerprint(),
                public: key.to_string(),
            },
            standing,
            source: Some(source.to_owned()),
        });
    };
    match found {
        Found::Known(key, source) => say(key, "known", source),
        Found::New { keys, replaces, source, .. } => {
            let standing = if *replaces { "replaces" } else { "new" };
            keys.iter().for_each(|key| say(key, standing, source));
        }
        Found::Failed(_) => {}
    }
}

/// Whether the person takes the keys that nobody else speaks for, all in one table. `behind`: so many hosts are behind jump
/// hosts, whose keys are not known before those are passed.
fn confirmed(args: &Trust, asked: &[Asked<'_>], behind: usize, found: &[Found], cancel: &Cancel) -> bool {
    let width = asked.iter().map(|one| one.name.len()).max().unwrap_or_default();
    let mut table = String::new();
    let mut count = 0;
    for (one, found) in asked.iter().zip(found) {
        let Found::New { keys, by_word: true, replaces, .. } = found else { continue };
        count += 1;
        for key in keys {
            let address = one.address();
            let note = if *replaces { "  in the place of another one" } else { "" };
            let (kind, print) = (key.key_type().short(), key.fingerprint());
            table += &format!("{:width$}  {address:<15}  {kind:<7}  {print}{note}\r\n", one.name);
        }
    }
    if count == 0 || args.yes {
        return true;
    }
    let them = if count == 1 { "this key, compared with what the machine itself says" } else { "all of these keys" };
    if asked.iter().any(|one| matches!(one.at, At::Jump(_))) {
        let it = if count == 1 { "it" } else { "them" };
        let hosts = if behind == 1 { "1 host".to_owned() } else { format!("{behind} hosts") };
        table += &format!(
            "{hosts} behind {it} cannot be looked at before: nobody logs in at a jump host that is not trusted.\r\n\
             Those whose key nobody speaks for come next, in one more table.\r\n"
        );
    }
    let answer = passphrase::ask_shown(&format!("{table}Trust {them}? [yes/no]"), cancel);
    answer.is_some_and(|answer| matches!(answer.trim().to_ascii_lowercase().as_str(), "yes" | "y"))
}

/// Writes what is new, file by file.
fn write(found: &[Found], replace: bool, until: &Until) -> Result<(), (PathBuf, std::io::Error)> {
    let mut files: BTreeMap<PathBuf, Vec<Entry>> = BTreeMap::new();
    for one in found.iter() {
        if let Found::New { entries, .. } = one {
            for entry in entries {
                files.entry(entry.file().to_owned()).or_default().push(entry.clone());
            }
        }
    }
    for (file, entries) in files {
        learn::write(&file, &entries, replace, until).map_err(|error| (file, error))?;
    }
    Ok(())
}

fn result(found: Found, only_look: bool) -> HostResult {
    let outcome = Outcome { facts: Vec::new(), node: None, notes: Vec::new() };
    match found {
        Found::Known(..) => HostResult::Holds(outcome),
        Found::New { .. } if only_look => HostResult::WouldChange { steps: Vec::new(), at: String::new(), outcome },
        Found::New { .. } => HostResult::Changed { steps: Vec::new(), outcome },
        Found::Failed(failed) => HostResult::Failed(failed),
    }
}
