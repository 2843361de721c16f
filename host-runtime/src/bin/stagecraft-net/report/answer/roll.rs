//! What a run found, host by host, beside what it wanted of them.
//!
//! Knows no network product: a version is compared as numbers, a key's end as a time, and the rest is as the provider
//! words it. Not for: rendering.

use jiff::Timestamp;
use stagecraft_net::contract::{Fact, Node};
use stagecraft_net::event::HostResult;

use super::{Wish, moment};

/// What was found on a host.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::report) struct Found<'a> {
    pub(in crate::report) facts: &'a [Fact],
    pub(in crate::report) node: Option<&'a Node>,
}

impl<'a> Found<'a> {
    /// What stands in a result. A host that failed has nothing there; what was seen of it came earlier, if anything did.
    pub(in crate::report) fn of(result: &'a HostResult) -> Self {
        match result {
            HostResult::Holds(outcome)
            | HostResult::WouldChange { outcome, .. }
            | HostResult::Changed { outcome, .. } => Self { facts: &outcome.facts, node: outcome.node.as_ref() },
            _ => Self::default(),
        }
    }
}

/// One host of a run.
#[derive(Debug, Clone, Copy)]
pub(in crate::report) struct Entry<'a> {
    pub(in crate::report) wish: &'a Wish,
    pub(in crate::report) found: Found<'a>,
    /// How it ended; none where the run broke off first.
    pub(in crate::report) result: Option<&'a HostResult>,
}

/// All hosts of a run, in their order.
#[derive(Debug)]
pub(in crate::report) struct Roll<'a> {
    pub(in crate::report) environment: &'a str,
    pub(in crate::report) now: Timestamp,
    pub(in crate::report) entries: Vec<Entry<'a>>,
    /// The options that a command to run next needs again.
    pub(in crate::report) again: &'a str,
}

/// The tags of a member beside the wanted ones.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tags<'a> {
    pub(super) had: Vec<&'a str>,
    pub(super) missing: Vec<&'a str>,
    pub(super) extra: Vec<&'a str>,
}

impl<'a> Entry<'a> {
    pub(super) fn name(&self) -> &'a str {
        &self.wish.spec.name
    }

    /// The fact of that name.
    pub(super) fn fact(&self, name: &str) -> Option<&'a Fact> {
        self.found.facts.iter().find(|fact| fact.name == name)
    }

    pub(super) fn version(&self) -> Option<&'a str> {
        self.fact("version").map(|fact| fact.value.as_str())
    }

    /// What it is in a few words: the provider's, or why nobody could look.
    pub(super) fn state(&self) -> &'a str {
        match (self.fact("state"), self.result) {
            (Some(state), _) => &state.value,
            (None, Some(HostResult::Failed(failed))) => failed.kind.name(),
            (None, Some(_)) => "looked at",
            (None, None) => "not looked at",
        }
    }

    pub(super) fn is_right(&self) -> bool {
        matches!(self.result, Some(HostResult::Holds(_)))
    }

    /// Whether something would be changed on it, or must be before it can be right. None where nobody could look.
    pub(super) fn drifts(&self) -> Option<bool> {
        match self.result? {
            HostResult::Holds(_) => Some(false),
            HostResult::Failed(_) if self.found.facts.is_empty() => None,
            _ => Some(true),
        }
    }

    pub(super) fn tags(&self) -> Tags<'a> {
        let had: Vec<&str> = self.found.node.iter().flat_map(|node| &node.tags).map(String::as_str).collect();
        let wanted: Vec<&str> = self.wish.spec.tags.iter().map(String::as_str).collect();
        Tags {
            missing: wanted.iter().filter(|tag| !had.contains(tag)).copied().collect(),
            extra: had.iter().filter(|tag| !wanted.contains(tag)).copied().collect(),
            had,
        }
    }

    /// When the key of this member ends. None where there is no member, it never ends, or nobody can read when.
    pub(super) fn expiry(&self) -> Option<Timestamp> {
        moment::read(self.found.node?.key_expiry.as_deref()?)
    }
}

impl<'a> Roll<'a> {
    /// The versions of all clients, oldest first, each with the hosts that have it.
    pub(super) fn versions(&self) -> Vec<(Vec<u64>, &'a str, Vec<&'a str>)> {
        let mut all: Vec<(Vec<u64>, &str, Vec<&str>)> = Vec::new();
        for entry in &self.entries {
            let Some(version) = entry.version() else { continue };
            let Some(numbers) = numbers(version) else { continue };
            match all.iter_mut().find(|(known, ..)| *known == numbers) {
                Some((.., hosts)) => hosts.push(entry.name()),
                None => all.push((numbers, version, vec![entry.name()])),
            }
        }
        all.sort();
        all
    }

    /// The key that ends next, of those that have not ended, and the hosts on which one ends then.
    pub(super) fn next_expiry(&self) -> Option<(Timestamp, Vec<&'a str>)> {
        let ends = |entry: &Entry<'a>| entry.expiry().filter(|when| *when > self.now);
        let next = self.entries.iter().filter_map(ends).min()?;
        let hosts = self.entries.iter().filter(|entry| ends(entry) == Some(next)).map(Entry::name).collect();
        Some((next, hosts))
    }
}

/// The numbers that a version begins with: `1.78.0-1` is 1, 78, 0. None where it does not begin with one.
pub(super) fn numbers(version: &str) -> Option<Vec<u64>> {
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    let mut numbers = version[..end].trim_end_matches('.').split('.').map(str::parse);
    let mut all = vec![numbers.next()?.ok()?];
    for number in numbers {
        all.push(number.ok()?);
    }
    // 1.2 and 1.2.0 are one version.
    while all.len() > 1 && all.last() == Some(&0) {
        all.pop();
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_and_what_follows_them_does_not_count() {
        assert_eq!(numbers("1.102.3"), Some(vec![1, 102, 3]));
        assert_eq!(numbers("1.78.0-1"), numbers("1.78"));
        assert!(numbers("1.102.3") > numbers("1.86.5") && numbers("1.9.10") < numbers("1.10"));
        for odd in ["", "unstable", "v1.2", "1..2", ".1", "99999999999999999999.1"] {
            assert_eq!(numbers(odd), None, "{odd}");
        }
    }
}
