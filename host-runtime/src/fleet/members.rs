//! Hosts that say that they are one and the same member of the network: a machine and a copy of its disk.
//!
//! The network sees one member, which answers from wherever it spoke last. Each host alone may look right, so it is found
//! here, where all of a run are known. Ids are those of one network: two networks of one's own both begin at 1. Not for: what
//! makes a member; the provider gives its id.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::contract::Node;
use crate::event::{Event, HostResult, Tell};

/// Hears a run, and remembers which member each host is.
struct Members {
    tell: Arc<dyn Tell + Send + Sync>,
    /// The member's id and the domain of its network, by host: as it was found, or as it is after a change.
    ids: Mutex<BTreeMap<String, (String, String)>>,
}

/// Lets a run tell what it does, and at its end the members that more than one of its hosts is.
///
/// # Errors
/// Those of the run.
pub(super) fn heard<T>(
    tell: Arc<dyn Tell + Send + Sync>,
    run: impl FnOnce(Arc<dyn Tell + Send + Sync>) -> std::io::Result<T>,
) -> std::io::Result<T> {
    let members = Members::heard_by(tell);
    let result = run(Arc::clone(&members) as _)?;
    members.tell_shared();
    Ok(result)
}

impl Members {
    fn heard_by(tell: Arc<dyn Tell + Send + Sync>) -> Arc<Self> {
        Arc::new(Self { tell, ids: Mutex::default() })
    }

    /// Tells the members that more than one host is, in the order of their first hosts.
    fn tell_shared(&self) {
        let ids = std::mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner));
        let mut hosts: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for (host, id) in ids {
            hosts.entry(id).or_default().push(host);
        }
        let mut shared: Vec<_> = hosts.into_iter().filter(|(_, hosts)| hosts.len() > 1).collect();
        shared.sort_by(|(_, a), (_, b)| a.cmp(b));
        for ((node, _), hosts) in shared {
            self.tell.tell(Event::SameMember { node, hosts });
        }
    }

    fn is(&self, host: &str, node: Option<&Node>) {
        if let Some(node) = node.filter(|node| !node.id.is_empty()) {
            let domain = node.fqdn.split_once('.').map_or("", |(_, domain)| domain);
            let member = (node.id.clone(), domain.to_owned());
            self.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), member);
        }
    }
}

impl Tell for Members {
    fn tell(&self, event: Event) {
        match &event {
            Event::Planned { host, node, .. } => self.is(host, node.as_ref()),
            Event::Done { host, result: HostResult::Changed { outcome, .. }, .. } => match &outcome.node {
                None => drop(self.ids.lock().unwrap_or_else(PoisonError::into_inner).remove(host)),
                node => self.is(host, node.as_ref()),
            },
            _ => {}
        }
        self.tell.tell(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Outcome;

    fn node(id: &str) -> Option<Node> {
        named(id, "x.example.net")
    }

    fn named(id: &str, fqdn: &str) -> Option<Node> {
        let text = |text: &str| text.to_owned();
        Some(Node { id: text(id), fqdn: text(fqdn), addresses: vec![], tags: vec![], online: true, key_expiry: None })
    }

    fn planned(host: &str, node: Option<Node>) -> Event {
        Event::Planned { host: host.to_owned(), steps: Vec::new(), facts: Vec::new(), node }
    }

    fn changed(host: &str, node: Option<Node>) -> Event {
        let outcome = Outcome { facts: Vec::new(), node, notes: Vec::new() };
        Event::Done { host: host.to_owned(), result: HostResult::Changed { steps: Vec::new(), outcome }, millis: 1 }
    }

    fn shared(events: Vec<Event>) -> Vec<(String, String)> {
        let told: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let heard = Arc::clone(&told);
        let members = Members::heard_by(Arc::new(move |event: Event| {
            if let Event::SameMember { node, hosts } = event {
                heard.lock().expect("whole").push((node, hosts.join(" ")));
            }
        }));
        events.into_iter().for_each(|event| members.tell(event));
        members.tell_shared();
        std::mem::take(&mut *told.lock().expect("whole"))
    }

    #[test]
    fn hosts_that_are_one_member_are_told_and_those_that_became_two_are_not() {
        let pair = |node: &str, hosts: &str| (node.to_owned(), hosts.to_owned());
        let clones = || vec![planned("c", node("n1")), planned("a", node("n2")), planned("b", node("n1"))];
        assert_eq!(shared(clones()), [pair("n1", "b c")]);
        let mut again = clones();
        again.push(planned("c", node("n1")));
        assert_eq!(shared(again), [pair("n1", "b c")], "one host that is looked at twice is no copy of itself");
        let mut mended = clones();
        mended.push(changed("c", node("n3")));
        assert_eq!(shared(mended), []);
        let mut left = clones();
        left.push(changed("b", None));
        assert_eq!(shared(left), []);
        let elsewhere = vec![planned("a", named("n1", "x.example.net")), planned("b", named("n1", "x.example.org"))];
        assert_eq!(shared(elsewhere), [], "the first member of each of two networks");
        assert_eq!(
            shared(vec![planned("a", None), planned("b", None), planned("c", node("")), planned("d", node(""))]),
            []
        );
    }
}
