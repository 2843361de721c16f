//! Many hosts on one line, and what is the same of many hosts told once.

use stagecraft_net::contract::{Diagnostic, Step};
use stagecraft_net::ssh::UNKNOWN_HOST_KEY;

/// What stands in a text for the names of several hosts.
const HOST: &str = "HOST";

/// Names of hosts on one line, counted where they are more than three: ranges of numbers as such, and only the first few
/// unless `all` are wanted.
pub(super) fn fold(names: &[&str], all: bool) -> String {
    match names.len() {
        0 => "no host".to_owned(),
        1..=3 => names.join(" · "),
        count => format!("{count} hosts: {}", ranges(names, all)),
    }
}

/// As [`fold`], without the count.
pub(super) fn ranges(names: &[&str], all: bool) -> String {
    const MOST: usize = 4;
    let mut sorted: Vec<(&str, Option<u64>, &str)> = names.iter().map(|name| numbered(name)).collect();
    sorted.sort_unstable();
    let mut pieces: Vec<(usize, String)> = Vec::new();
    let mut rest = sorted.as_slice();
    while let Some(((_, _, first), _)) = rest.split_first() {
        let length = 1 + rest.windows(2).take_while(|pair| follows(pair[0], pair[1])).count();
        let (run, others) = rest.split_at(length);
        match run {
            [_, _, .., (_, _, last)] => pieces.push((length, format!("{first} … {last}"))),
            few => pieces.extend(few.iter().map(|(_, _, name)| (1, (*name).to_owned()))),
        }
        rest = others;
    }
    let shown = if all || pieces.len() <= MOST { pieces.len() } else { MOST - 1 };
    let left: usize = pieces.iter().skip(shown).map(|(count, _)| count).sum();
    let mut line = pieces.into_iter().take(shown).map(|(_, piece)| piece).collect::<Vec<_>>().join(" · ");
    if left > 0 {
        line += &format!(" · and {left} more");
    }
    line
}

/// A name as what stands before the number at its end, that number, and the whole. One with zeros in front has none.
fn numbered(name: &str) -> (&str, Option<u64>, &str) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &name[stem.len()..];
    let number = digits.parse().ok().filter(|_| !digits.starts_with('0') || digits == "0");
    (if number.is_some() { stem } else { name }, number, name)
}

fn follows(one: (&str, Option<u64>, &str), next: (&str, Option<u64>, &str)) -> bool {
    one.0 == next.0 && one.1.zip(next.1).is_some_and(|(one, next)| one.checked_add(1) == Some(next))
}

/// What may be the same for several hosts, apart from their names in it.
pub(super) trait Alike: Clone + PartialEq {
    /// The same with `HOST` in place of the name.
    fn masked(&self, host: &str) -> Self;
}

/// Hosts of which the same is to be told.
#[derive(Debug, PartialEq)]
pub(super) struct Group<'h, T> {
    pub(super) hosts: Vec<&'h str>,
    pub(super) what: T,
    masked: T,
}

/// Puts together what is alike, in the order in which it first comes.
pub(super) fn gather<'h, T: Alike>(all: impl IntoIterator<Item = (&'h str, T)>) -> Vec<Group<'h, T>> {
    let mut groups: Vec<Group<'h, T>> = Vec::new();
    for (host, what) in all {
        let masked = what.masked(host);
        match groups.iter_mut().find(|group| group.masked == masked || group.what == what) {
            // A text may name one of the hosts: it is the same text for all the same.
            Some(group) => {
                if group.what != what {
                    group.what = masked;
                }
                group.hosts.push(host);
            }
            None => groups.push(Group { hosts: vec![host], what, masked }),
        }
    }
    groups
}

impl Alike for String {
    fn masked(&self, host: &str) -> Self {
        let part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        let mut masked = String::with_capacity(self.len());
        let mut rest = self.as_str();
        while let Some(at) = rest.find(host).filter(|_| !host.is_empty()) {
            let (before, after) = (&rest[..at], &rest[at + host.len()..]);
            // The end of a longer name that was looked at already counts too.
            let whole = !before.chars().next_back().or_else(|| masked.chars().next_back()).is_some_and(part)
                && !after.chars().next().is_some_and(part);
            masked.push_str(before);
            masked.push_str(if whole { HOST } else { host });
            rest = after;
        }
        masked + rest
    }
}

impl<T: Alike> Alike for Vec<T> {
    fn masked(&self, host: &str) -> Self {
        self.iter().map(|one| one.masked(host)).collect()
    }
}

impl<T: Alike> Alike for Option<T> {
    fn masked(&self, host: &str) -> Self {
        self.as_ref().map(|one| one.masked(host))
    }
}

impl Alike for Diagnostic {
    fn masked(&self, host: &str) -> Self {
        if self.code == UNKNOWN_HOST_KEY {
            // Each host shows a key of its own, and all of them need the same command.
            let own = |line: &&str| line.starts_with("found:") || line.starts_with("note:");
            let lines = self.detail.iter().flat_map(|detail| detail.lines());
            let same = lines.filter(|line| !own(line)).collect::<Vec<_>>().join("\n");
            return Self { summary: self.summary.masked(host), detail: Some(same.masked(host)), ..self.clone() };
        }
        Self { summary: self.summary.masked(host), detail: self.detail.masked(host), ..self.clone() }
    }
}

impl Alike for Step {
    fn masked(&self, host: &str) -> Self {
        Self { title: self.title.masked(host), detail: self.detail.masked(host), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_hosts_are_named_many_are_counted_and_numbers_in_a_row_are_a_range() {
        assert_eq!(fold(&[], false), "no host");
        assert_eq!(fold(&["a"], false), "a");
        assert_eq!(fold(&["a", "b", "c"], false), "a · b · c");
        assert_eq!(fold(&["a", "b", "c", "d"], false), "4 hosts: a · b · c · d");
        assert_eq!(fold(&["a", "b", "c", "d", "e"], false), "5 hosts: a · b · c · and 2 more");
        assert_eq!(fold(&["a", "b", "c", "d", "e"], true), "5 hosts: a · b · c · d · e");
        let names: Vec<String> = (1..=37).map(|n| format!("prod-app-{n}")).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(fold(&names, false), "37 hosts: prod-app-1 … prod-app-37");
        names.retain(|name| *name != "prod-app-9");
        assert_eq!(ranges(&names, false), "prod-app-1 … prod-app-8 · prod-app-10 … prod-app-37");
        assert_eq!(ranges(&["a-1", "a-2", "b"], true), "a-1 · a-2 · b", "two are no range");
        assert_eq!(ranges(&["w-08", "w-09", "w-10", "w-11"], true), "w-10 · w-11 · w-08 · w-09");
        assert_eq!(ranges(&["x-18446744073709551615", "x-1"], true), "x-1 · x-18446744073709551615");
    }

    #[test]
    fn a_name_is_masked_where_it_stands_alone_and_not_within_another() {
        let masked = |text: &str| text.to_owned().masked("app-1");
        assert_eq!(masked("app-1.example.net (app-1)"), "HOST.example.net (HOST)");
        assert_eq!(masked("app-10 my-app-1 app-1-app-1 xapp-1"), "app-10 my-app-1 app-1-app-1 xapp-1");
        assert_eq!(masked("app-1"), "HOST");
        assert_eq!("a".to_owned().masked(""), "a");
    }

    #[test]
    fn unknown_host_keys_are_one_thing_to_do_and_one_alone_keeps_what_it_showed() {
        let unknown = |host: &str| Diagnostic {
            severity: stagecraft_net::contract::Severity::Error,
            code: UNKNOWN_HOST_KEY.to_owned(),
            summary: "not known".to_owned(),
            detail: Some(format!("found: {host}:22 shows {host}'s key\nwanted: a key\ndo: trust\nnote: add {host}")),
            config_path: None,
        };
        let groups = gather(["h-1", "h-2", "h-3"].map(|host| (host, unknown(host))));
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].what.detail.as_deref(), Some("wanted: a key\ndo: trust"));
        let groups = gather([("h-1", unknown("h-1"))]);
        assert!(groups[0].what.detail.as_deref().is_some_and(|detail| detail.contains("h-1's key")));
    }

    #[test]
    fn what_is_alike_but_for_the_name_is_told_once_and_what_is_the_same_keeps_its_words() {
        let text = |host: &str| format!("run it on {host}");
        let groups = gather([("a", text("a")), ("b", "else".to_owned()), ("c", text("c"))]);
        let told: Vec<_> = groups.iter().map(|group| (group.hosts.join(" "), group.what.as_str())).collect();
        assert_eq!(told, [("a c".to_owned(), "run it on HOST"), ("b".to_owned(), "else")]);
        let groups = gather([("a", "the same".to_owned()), ("the", "the same".to_owned())]);
        let told = (groups.len(), groups[0].what.as_str());
        assert_eq!(told, (1, "the same"), "also where a host is named like a word of the text");
        let groups = gather([("a", "no name".to_owned()), ("b", "no name".to_owned())]);
        assert_eq!((groups.len(), groups[0].what.as_str()), (1, "no name"));
    }
}
