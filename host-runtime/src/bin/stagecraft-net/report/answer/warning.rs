//! What of the hosts of a run deserves a look, though nothing would be changed: keys that end soon, clients that are behind.
//!
//! Each is about one host beside the clock or the other hosts, which a provider does not know. What it does know, such as a
//! lost connection to the control server, comes as its own note.

use stagecraft_net::contract::Severity;
use stagecraft_net::event::HostResult;

use super::super::block::Block;
use super::super::group::fold;
use super::{Paint, Roll, moment};

/// One kind of warning, with the hosts that it is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Warning<'a> {
    pub(super) code: &'static str,
    summary: String,
    /// What was found, and on which hosts.
    pub(super) found: Vec<(String, Vec<&'a str>)>,
    next: String,
}

/// Those of this program. In an order that never changes.
pub(super) fn all<'a>(roll: &Roll<'a>, expiry_days: u16) -> Vec<Warning<'a>> {
    let mut warnings = Vec::new();

    let mut ends: Vec<_> = roll
        .entries
        .iter()
        .filter_map(|entry| Some((entry.expiry()?, entry.name())))
        .filter(|(when, _)| moment::within(*when, roll.now, expiry_days))
        .collect();
    ends.sort();
    if !ends.is_empty() {
        let plural = if expiry_days == 1 { "" } else { "s" };
        warnings.push(Warning {
            code: "key-expiry",
            summary: format!("a key ends within {expiry_days} day{plural}; a member whose key has ended is cut off"),
            found: ends.into_iter().map(|(when, host)| (moment::tell(when, roll.now), vec![host])).collect(),
            next: "renew it before, or turn its expiry off in the network's own console; afterwards `up` joins the host again"
                .to_owned(),
        });
    }

    let mut versions = roll.versions();
    if let (Some((_, newest, _)), false) = (versions.pop(), versions.is_empty()) {
        warnings.push(Warning {
            code: "client-behind",
            summary: format!("clients are older than the newest of these hosts, {newest}"),
            found: versions.into_iter().map(|(_, version, hosts)| (version.to_owned(), hosts)).collect(),
            next: "upgrade them on the hosts: a run never replaces a client that is there".to_owned(),
        });
    }
    warnings
}

impl Warning<'_> {
    pub(super) fn block(&self, paint: Paint) -> Block {
        let mut hosts: Vec<&str> = self.found.iter().flat_map(|(_, hosts)| hosts).copied().collect();
        hosts.sort_unstable();
        let mut block = Block::new("warning", self.code, &fold(&hosts, paint.all), paint.color.1);
        block.lead(self.summary.clone());
        // What ends first, and what is oldest, comes first: some lines of it tell enough.
        const SHOWN: usize = 5;
        let shown = if paint.all || self.found.len() <= SHOWN + 1 { self.found.len() } else { SHOWN };
        for (what, hosts) in &self.found[..shown] {
            block.line("found", format!("{what}  {}", fold(hosts, paint.all)));
        }
        if shown < self.found.len() {
            block.line("found", format!("and {} more (--all names them)", self.found.len() - shown));
        }
        block.line("do", self.next.clone());
        block
    }
}

/// The codes of everything that was remarked about a host: this program's own first, then the provider's.
pub(super) fn codes<'a>(host: &str, warnings: &[Warning<'a>], result: Option<&'a HostResult>) -> Vec<&'a str> {
    let own =
        warnings.iter().filter(|one| one.found.iter().any(|(_, hosts)| hosts.contains(&host))).map(|one| one.code);
    let notes = match result {
        Some(
            HostResult::Holds(outcome) | HostResult::WouldChange { outcome, .. } | HostResult::Changed { outcome, .. },
        ) => outcome.notes.as_slice(),
        _ => &[],
    };
    let said = notes.iter().filter(|note| note.severity != Severity::Note).map(|note| note.code.as_str());
    own.chain(said).collect()
}
