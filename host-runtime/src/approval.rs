//! What a person approves of a plan, as a digest: the same plan has the same one, and anything else has another.
//!
//! It is over the provider's digest, and for each host that would be changed over its name, the address and port of the
//! machine, and its steps: ids, titles, details, secret slots, and what interrupts. Hosts of which nothing would be changed
//! are not in it, nor are who logs in and by which bastion. Not for: a way to carry a plan about; the run that is approved
//! looks at every host again ([`crate::fleet::run_approved`]).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::artifact::Digest;
use crate::contract::Step;
use crate::event::{HostResult, ProviderRef};

/// Raised when what is below is put together in another way: an old approval must not fit a new meaning.
const FORM: &str = "stagecraft-net plan 2";

/// A plan's digest, and that of each host in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlanDigest {
    /// Of the whole plan.
    pub digest: Digest,
    /// Of each host that would be changed.
    pub hosts: BTreeMap<String, Digest>,
    /// Of the address of each of them alone, so that it can be told whether that moved.
    #[serde(skip)]
    pub places: BTreeMap<String, Digest>,
}

/// What somebody approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The plan's digest.
    pub digest: Digest,
    /// Those of its hosts, where they are known here.
    pub hosts: Option<BTreeMap<String, Digest>>,
    /// Those of their addresses, where they are known here.
    pub places: BTreeMap<String, Digest>,
}

impl PlanDigest {
    /// The digest of what these hosts would be changed by: each with its name, its machine's `address:port`, and its steps.
    #[must_use]
    pub fn of<'a>(provider: &ProviderRef, hosts: impl IntoIterator<Item = (&'a str, &'a str, &'a [Step])>) -> Self {
        let (mut all, mut places) = (BTreeMap::new(), BTreeMap::new());
        for (host, at, steps) in hosts {
            all.insert(host.to_owned(), of_host(provider, host, at, steps));
            places.insert(host.to_owned(), digest(&(FORM, at)));
        }
        Self { digest: digest(&(FORM, &provider.digest, &all)), hosts: all, places }
    }

    /// The digest of a look at hosts, in the order of its results.
    #[must_use]
    pub fn of_look<'a>(provider: &ProviderRef, looked: impl IntoIterator<Item = (&'a str, &'a HostResult)>) -> Self {
        Self::of(
            provider,
            looked.into_iter().filter_map(|(host, result)| match result {
                HostResult::WouldChange { steps, at, .. } => Some((host, at.as_str(), steps.as_slice())),
                _ => None,
            }),
        )
    }

    /// In which hosts this plan differs from an approved one, for people: `failed` are those that could not be planned. None
    /// where that is not known.
    #[must_use]
    pub fn moved(&self, approved: &Approval, failed: impl Fn(&str) -> bool) -> Option<String> {
        let before = approved.hosts.as_ref()?;
        let mut moved = Vec::new();
        for (host, digest) in &self.hosts {
            match before.get(host) {
                None => moved.push(format!("{host} (new)")),
                Some(other) if other != digest => {
                    let same = approved.places.get(host) == self.places.get(host);
                    moved.push(format!("{host} ({})", if same { "other steps" } else { "another address" }));
                }
                Some(_) => {}
            }
        }
        for host in before.keys().filter(|host| !self.hosts.contains_key(*host)) {
            moved.push(format!("{host} ({})", if failed(host) { "failed" } else { "gone" }));
        }
        if moved.is_empty() {
            moved.push("the provider".to_owned());
        }
        Some(moved.join(" · "))
    }
}

/// The digest of one host's steps, on that machine.
pub(crate) fn of_host(provider: &ProviderRef, host: &str, at: &str, steps: &[Step]) -> Digest {
    digest(&(FORM, &provider.digest, host, at, steps))
}

/// JSON says where each text ends, so no two plans read the same.
fn digest(what: &impl Serialize) -> Digest {
    Digest::of(&serde_json::to_vec(what).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(digest: &str) -> ProviderRef {
        ProviderRef { id: "demo".to_owned(), version: "1.0.0".to_owned(), digest: digest.to_owned() }
    }

    fn step() -> Step {
        Step {
            id: "join".to_owned(),
            title: "join".to_owned(),
            detail: Some("as app-1".to_owned()),
            secrets: vec!["auth-key".to_owned()],
            disruptive: false,
        }
    }

    const AT: &str = "192.0.2.7:22";

    fn plan(hosts: &[(&str, Vec<Step>)]) -> PlanDigest {
        PlanDigest::of(&provider("sha256:a"), hosts.iter().map(|(host, steps)| (*host, AT, steps.as_slice())))
    }

    #[test]
    fn d1_a_plan_has_one_digest_whatever_order_its_hosts_come_in() {
        let (one, other) = (("app-1", vec![step()]), ("db-1", vec![step(), step()]));
        assert_eq!(plan(&[one.clone(), other.clone()]), plan(&[other, one]));
        // It may be compared between two machines and two weeks: it is what it was.
        insta::assert_snapshot!(plan(&[("app-1", vec![step()])]).digest);
    }

    #[test]
    fn whatever_a_person_approves_is_in_it() {
        let same = plan(&[("app-1", vec![step()])]).digest;
        let others = [
            vec![("app-2", vec![step()])],
            vec![("app-1", vec![step()]), ("app-2", vec![step()])],
            vec![("app-1", vec![step(), step()])],
            vec![("app-1", vec![Step { id: "rejoin".to_owned(), ..step() }])],
            vec![("app-1", vec![Step { title: "Join".to_owned(), ..step() }])],
            vec![("app-1", vec![Step { detail: None, ..step() }])],
            vec![("app-1", vec![Step { secrets: Vec::new(), ..step() }])],
            vec![("app-1", vec![Step { disruptive: true, ..step() }])],
            vec![],
        ];
        for other in others {
            assert_ne!(plan(&other).digest, same, "{other:?}");
        }
        let steps = [step()];
        let newer = PlanDigest::of(&provider("sha256:b"), [("app-1", AT, steps.as_slice())]);
        assert_ne!(newer.digest, same, "another provider is another plan");
        for at in ["192.0.2.8:22", "192.0.2.7:2222"] {
            let there = PlanDigest::of(&provider("sha256:a"), [("app-1", at, steps.as_slice())]);
            assert_ne!(there.digest, same, "another machine is another plan");
        }
    }

    #[test]
    fn what_moved_is_told_host_by_host() {
        let steps = [step()];
        let all =
            [("a", AT), ("b", AT), ("c", AT), ("e", "192.0.2.9:22")].map(|(host, at)| (host, at, steps.as_slice()));
        let now = PlanDigest::of(&provider("sha256:a"), all);
        let before = plan(&[("a", vec![step()]), ("b", vec![]), ("d", vec![step()]), ("e", vec![step()])]);
        let approved = Approval { digest: before.digest, hosts: Some(before.hosts), places: before.places };
        let moved = "b (other steps) · c (new) · e (another address) · d (gone)";
        assert_eq!(now.moved(&approved, |_| false).as_deref(), Some(moved));
        let failed = now.moved(&approved, |host| host == "d").unwrap_or_default();
        assert!(failed.ends_with("d (failed)"), "{failed}");
        assert_eq!(now.moved(&Approval { hosts: None, ..approved }, |_| false), None);
    }
}
