//! Which hosts are meant: `--limit`, as people write it.
//!
//! Words with commas between them are any of these; a word behind `!` takes hosts away again, and with such words alone
//! all others are meant. Several limits must all hold.
//!
//! | word | stands for |
//! |---|---|
//! | `app-1`, `app-*`, `app-[1-3]` | names |
//! | `role=app`, `tag=…` | hosts with this role or this tag; patterns too |
//! | `label:env=prod`, `label:env` | hosts with this label, whatever its value |
//! | `@failed`, `@drift` | what the last runs left to do ([`crate::record`]) |
//! | `@FILE` | the names in a file, one a line |
//!
//! A word without a pattern that fits nothing is a slip, and an error. Not for: where the hosts come from.

use std::collections::BTreeSet;
use std::path::Path;

use boundary::text::one_line;
use glob::Pattern;

use super::HostSpec;
use super::finding::nearest;
use crate::record::Record;

/// One limit.
#[derive(Debug, Clone)]
pub struct Limit {
    text: String,
    terms: Vec<Term>,
}

#[derive(Debug, Clone)]
struct Term {
    not: bool,
    text: String,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Name(Pattern),
    Role(Pattern),
    Tag(Pattern),
    Label(String, Option<Pattern>),
    Failed,
    Drift,
    File(String),
}

/// What a limit may refer to besides the hosts.
pub struct Known<'k> {
    /// What the last runs left to do, or why that is not known.
    pub record: &'k dyn Fn() -> Result<Option<Record>, String>,
    /// The text of a file.
    pub file: &'k dyn Fn(&Path) -> std::io::Result<String>,
}

impl Limit {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence that says what is wrong with which word.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        for word in text.split(',').map(str::trim) {
            let (not, rest) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest.trim_start()));
            let pattern = |text: &str| {
                if text.is_empty() {
                    return Err(format!("`{word}` names nothing"));
                }
                Pattern::new(text).map_err(|error| format!("`{word}` is no pattern: {}", error.msg))
            };
            let what = if let Some(role) = rest.strip_prefix("role=") {
                What::Role(pattern(role)?)
            } else if let Some(tag) = rest.strip_prefix("tag=") {
                What::Tag(pattern(tag)?)
            } else if let Some(label) = rest.strip_prefix("label:") {
                match label.split_once('=') {
                    Some((key, value)) if !key.is_empty() => What::Label(
                        key.to_owned(),
                        Some(Pattern::new(value).map_err(|e| format!("`{word}` is no pattern: {}", e.msg))?),
                    ),
                    None if !label.is_empty() => What::Label(label.to_owned(), None),
                    _ => return Err(format!("`{word}` names no label: wanted label:KEY=VALUE")),
                }
            } else if let Some(at) = rest.strip_prefix('@') {
                match at {
                    "failed" => What::Failed,
                    "drift" => What::Drift,
                    "" => return Err(format!("`{word}` names nothing: wanted @failed, @drift or @FILE")),
                    file => What::File(file.to_owned()),
                }
            } else if let Some((key, _)) = rest.split_once('=') {
                let near = nearest(key, ["role", "tag", "label:"]).unwrap_or("role");
                return Err(format!("`{word}` is not understood: did you mean `{near}=…`?"));
            } else {
                What::Name(pattern(rest)?)
            };
            terms.push(Term { not, text: rest.to_owned(), what });
        }
        Ok(Self { text: text.to_owned(), terms })
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The hosts that all limits leave, in their order.
///
/// # Errors
/// Lines for a person: a word that fits nothing, a record or a file that is not there, or that no host is left. Never an
/// empty list.
pub fn select<'h>(
    hosts: &'h [HostSpec],
    environment: &str,
    limits: &[Limit],
    known: &Known<'_>,
) -> Result<Vec<&'h HostSpec>, String> {
    let mut left: Vec<&HostSpec> = hosts.iter().collect();
    let mut wrong: Vec<String> = Vec::new();
    for limit in limits {
        let mut taken: BTreeSet<&str> = if limit.terms.iter().all(|term| term.not) {
            hosts.iter().map(|host| host.name.as_str()).collect()
        } else {
            BTreeSet::new()
        };
        // What is taken away is taken away wherever it stands.
        for not in [false, true] {
            for term in limit.terms.iter().filter(|term| term.not == not) {
                match term.names(hosts, known) {
                    Ok(names) if not => taken.retain(|name| !names.contains(name)),
                    Ok(names) => taken.extend(names),
                    Err(why) => wrong.push(why),
                }
            }
        }
        left.retain(|host| taken.contains(host.name.as_str()));
    }
    wrong.dedup();
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    if left.is_empty() {
        let limits: Vec<String> = limits.iter().map(|limit| format!("--limit {limit}")).collect();
        let count = if hosts.len() == 1 { "1 host".to_owned() } else { format!("{} hosts", hosts.len()) };
        let mut lines = vec![format!("{} leaves no host", limits.join(" "))];
        lines.push(format!("found: environment `{environment}` has {count}"));
        for (what, words) in [
            ("roles", hosts.iter().flat_map(|host| &host.roles).collect::<BTreeSet<_>>()),
            ("tags", hosts.iter().flat_map(|host| &host.tags).collect()),
            ("labels", hosts.iter().flat_map(|host| host.labels.keys()).collect()),
        ] {
            if !words.is_empty() {
                let all: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
                lines.push(format!("found: {what} {}", few(&all)));
            }
        }
        return Err(lines.join("\n"));
    }
    Ok(left)
}

/// Some words, and how many more there are.
fn few(words: &[&str]) -> String {
    const SHOWN: usize = 12;
    match words.len().checked_sub(SHOWN) {
        None | Some(0) => words.join(", "),
        Some(more) => format!("{} and {more} more", words[..SHOWN].join(", ")),
    }
}

impl Term {
    /// The hosts that it stands for.
    fn names<'h>(&self, hosts: &'h [HostSpec], known: &Known<'_>) -> Result<BTreeSet<&'h str>, String> {
        let all = |fits: &dyn Fn(&HostSpec) -> bool| -> BTreeSet<&'h str> {
            hosts.iter().filter(|host| fits(host)).map(|host| host.name.as_str()).collect()
        };
        let names = match &self.what {
            What::Name(pattern) => all(&|host| pattern.matches(&host.name)),
            What::Role(pattern) => all(&|host| host.roles.iter().any(|role| pattern.matches(role))),
            What::Tag(pattern) => all(&|host| host.tags.iter().any(|tag| pattern.matches(tag))),
            What::Label(key, pattern) => all(&|host| {
                host.labels.get(key).is_some_and(|value| pattern.as_ref().is_none_or(|wanted| wanted.matches(value)))
            }),
            What::Failed | What::Drift => {
                let what = if matches!(self.what, What::Failed) { "failed" } else { "drift" };
                let Some(record) = (known.record)()? else {
                    return Err(format!(
                        "@{what} is what the last run left to do, and there was none yet\ndo: stagecraft-net plan"
                    ));
                };
                let left = if what == "failed" { &record.failed } else { &record.drift };
                // Hosts that are in the file no more are nobody's failure.
                let names = all(&|host| left.contains(&host.name));
                if names.is_empty() && !self.not {
                    let none = if what == "failed" { "none failed" } else { "none would change" };
                    return Err(format!("@{what} is no host: of those that were looked at last, {none}"));
                }
                return Ok(names);
            }
            What::File(file) => {
                let text = (known.file)(Path::new(file))
                    .map_err(|error| format!("@{}: the file cannot be read: {error}", one_line(file.as_str())))?;
                let wanted: Vec<&str> = text
                    .lines()
                    .map(|line| line.split('#').next().unwrap_or_default().trim())
                    .filter(|line| !line.is_empty())
                    .collect();
                let strange = |name: &&&str| !hosts.iter().any(|host| host.name == **name);
                if let Some(strange) = wanted.iter().find(strange) {
                    let hint = near(strange, hosts.iter().map(|host| host.name.as_str()));
                    return Err(format!("@{file}: no host `{}`{hint}", one_line(*strange)));
                }
                return Ok(all(&|host| wanted.contains(&host.name.as_str())));
            }
        };
        if names.is_empty() && !self.text.contains(['*', '?', '[']) {
            return Err(self.fits_nothing(hosts));
        }
        Ok(names)
    }

    /// A word that fits nothing, with what was probably meant.
    fn fits_nothing(&self, hosts: &[HostSpec]) -> String {
        let word = one_line(self.text.as_str());
        match &self.what {
            What::Role(_) => {
                let roles = hosts.iter().flat_map(|host| host.roles.iter().map(String::as_str));
                let role = word.trim_start_matches("role=");
                format!("no host has role `{role}`{}", near(role, roles))
            }
            What::Tag(_) => {
                let tags = hosts.iter().flat_map(|host| host.tags.iter().map(String::as_str));
                let tag = word.trim_start_matches("tag=");
                format!("no host has tag `{tag}`{}", near(tag, tags))
            }
            What::Label(key, _) => {
                let keys = hosts.iter().flat_map(|host| host.labels.keys().map(String::as_str));
                let known = keys.clone().any(|one| one == key);
                let hint = if known { String::new() } else { near(key, keys) };
                format!("no host has label `{}`{hint}", word.trim_start_matches("label:"))
            }
            _ => format!("no host `{word}`{}", near(&self.text, hosts.iter().map(|host| host.name.as_str()))),
        }
    }
}

fn near<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> String {
    let known: BTreeSet<&str> = known.collect();
    match nearest(word, known.iter().copied()) {
        Some(near) => format!(": did you mean `{near}`?"),
        None if known.is_empty() => String::new(),
        None => format!("\nknown: {}", few(&known.into_iter().collect::<Vec<_>>())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::HostResult;
    use crate::failure::{Failed, Kind};
    use crate::inventory::parse;
    use crate::record::Records;

    fn hosts() -> Vec<HostSpec> {
        let text =
            "network: {provider: demo, providers: {demo: {default_tags: [t:all], role_tags: {app: [t:app], db: []}}}}
infra:
  hosts:
    dev:
      app-1: {roles: [app], labels: {env: prod, zone: a}}
      app-2: {roles: [app], labels: {env: prod}}
      app-10: {roles: [app], tags: [t:canary], labels: {env: stage}}
      db-1: {roles: [db]}
      lone:
";
        parse(text, "s.yml".as_ref(), "dev", |_, _| Ok(())).expect("it is right").0.hosts().to_vec()
    }

    fn chosen_with(limits: &[&str], known: &Known<'_>) -> Result<String, String> {
        let limits = limits.iter().map(|text| Limit::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let hosts = hosts();
        let chosen = select(&hosts, "dev", &limits, known)?;
        Ok(chosen.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(" "))
    }

    fn chosen(limits: &[&str]) -> Result<String, String> {
        let file = |path: &Path| match path.to_str() {
            Some("some.txt") => Ok("# some\napp-1\n\n db-1 # the database\n".to_owned()),
            Some("strange.txt") => Ok("app-1\nap-1\n".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        chosen_with(limits, &Known { record: &|| Ok(None), file: &file })
    }

    #[test]
    fn each_word_stands_for_hosts_commas_add_and_a_bang_takes_away() {
        for (limit, hosts) in [
            ("app-1", "app-1"),
            ("app-*", "app-1 app-10 app-2"),
            ("app-[2-9], lone", "app-2 lone"),
            ("app-?", "app-1 app-2"),
            ("role=app", "app-1 app-10 app-2"),
            ("role=*", "app-1 app-10 app-2 db-1"),
            ("tag=t:canary", "app-10"),
            ("tag=t:all,!role=app", "db-1 lone"),
            ("label:env=prod", "app-1 app-2"),
            ("label:env", "app-1 app-10 app-2"),
            ("label:env=st*", "app-10"),
            ("!app-*", "db-1 lone"),
            ("!app-*,app-1,db-1", "db-1"),
            ("@some.txt", "app-1 db-1"),
            ("*,!@some.txt", "app-10 app-2 lone"),
        ] {
            assert_eq!(chosen(&[limit]).as_deref(), Ok(hosts), "{limit}");
        }
        assert_eq!(chosen(&["role=app", "!app-1", "label:env=prod"]).as_deref(), Ok("app-2"), "all must hold");
        assert_eq!(chosen(&[]).as_deref(), Ok("app-1 app-10 app-2 db-1 lone"));
    }

    #[test]
    fn a_word_that_fits_nothing_and_a_limit_that_leaves_nothing_say_so() {
        let told: Vec<String> = [
            "app-3",
            "!app-3",
            "app",
            "role=ap",
            "role=x",
            "tag=t:canari",
            "label:evn=prod",
            "label:env=x",
            "x-*",
            "role=app,!app-*",
            "@nowhere",
            "@strange.txt",
            "@failed",
            "@drift",
            "",
            "app-1,",
            "!",
            "@",
            "role=",
            "roel=app",
            "label:",
            "label:=x",
            "app-[1",
            "***",
        ]
        .iter()
        .map(|limit| format!("{limit:?}: {}", chosen(&[limit]).expect_err(limit)))
        .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn what_the_last_runs_left_to_do_is_a_word_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::in_folder(folder.path().join("runs"));
        let failed = HostResult::Failed(Failed::host(Kind::Lost, "x", None));
        records.add(Path::new("/s.yml"), "dev", [("app-2", &failed), ("gone", &failed)]).expect("kept");
        let record = || records.read(Path::new("/s.yml"), "dev").map_err(|error| error.to_string());
        let known = Known { record: &record, file: &|_| Err(std::io::ErrorKind::NotFound.into()) };
        assert_eq!(chosen_with(&["@failed"], &known).as_deref(), Ok("app-2"));
        assert_eq!(chosen_with(&["role=app,!@failed"], &known).as_deref(), Ok("app-1 app-10"));
        assert_eq!(chosen_with(&["lone,!@drift"], &known).as_deref(), Ok("lone"), "nothing to take away is no mistake");
        let none = "@drift is no host: of those that were looked at last, none would change";
        assert_eq!(chosen_with(&["@drift"], &known).expect_err("none"), none);
    }

    proptest::proptest! {
        #[test]
        fn no_limit_makes_it_panic_or_leaves_nobody(text in "[a-c@!=,:*?\\[\\]1-3 -]{0,16}") {
            if let Ok(names) = chosen(&[&text]) {
                proptest::prop_assert!(!names.is_empty());
            }
        }
    }
}
