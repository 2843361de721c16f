//! What plans were shown on this machine, so that a run that refuses an approved one can say which hosts moved.
//!
//! A file a plan in the user's cache, by its digest, with the digests of its hosts and of their addresses: no step, no
//! address, no secret. Losing one loses that sentence and nothing else. Not for: whether a plan may be done, which the digest alone decides
//! ([`stagecraft_net::approval`]).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use stagecraft_net::approval::{Approval, PlanDigest};
use stagecraft_net::artifact::Digest;

/// How many plans are kept, the latest ones.
const KEPT: usize = 64;

/// The folder beside the compiled providers.
fn folder() -> Option<PathBuf> {
    Some(stagecraft_net::engine::user_dir()?.parent()?.join("plans"))
}

fn file(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(format!("{}.json", digest.to_string().trim_start_matches("sha256:")))
}

/// Keeps what a plan was made of. What cannot be written is not kept.
pub(crate) fn remember(plan: &PlanDigest) {
    if let Some(folder) = folder() {
        let _ = remember_in(&folder, plan);
    }
}

fn remember_in(folder: &Path, plan: &PlanDigest) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut new, &(&plan.hosts, &plan.places))?;
    new.persist(file(folder, &plan.digest)).map_err(|error| error.error)?;
    let mut all: Vec<_> = fs::read_dir(folder)?
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    all.sort();
    for (_, old) in all.iter().rev().skip(KEPT) {
        fs::remove_file(old)?;
    }
    Ok(())
}

/// An approval of that digest, with the hosts of the plan if it was shown on this machine.
pub(crate) fn recall(digest: Digest) -> Approval {
    match folder().and_then(|folder| recall_in(&folder, &digest)) {
        Some((hosts, places)) => Approval { digest, hosts: Some(hosts), places },
        None => Approval { digest, hosts: None, places: Digests::new() },
    }
}

type Digests = BTreeMap<String, Digest>;

fn recall_in(folder: &Path, digest: &Digest) -> Option<(Digests, Digests)> {
    let text = fs::read(file(folder, digest)).ok()?;
    let (hosts, places): (BTreeMap<String, String>, BTreeMap<String, String>) = serde_json::from_slice(&text).ok()?;
    let read = |all: BTreeMap<String, String>| {
        all.into_iter().map(|(host, digest)| Some((host, digest.parse().ok()?))).collect::<Option<Digests>>()
    };
    Some((read(hosts)?, read(places)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagecraft_net::event::ProviderRef;

    fn plan(host: &str) -> PlanDigest {
        let provider = ProviderRef { id: "demo".to_owned(), version: String::new(), digest: String::new() };
        PlanDigest::of(&provider, [(host, "192.0.2.7:22", [].as_slice())])
    }

    #[test]
    fn a_plan_that_was_shown_is_known_again_by_its_digest_and_old_ones_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("plans");
        assert_eq!(recall_in(&folder, &plan("a").digest), None);
        remember_in(&folder, &plan("a")).expect("written");
        assert_eq!(recall_in(&folder, &plan("a").digest), Some((plan("a").hosts, plan("a").places)));
        fs::write(file(&folder, &plan("a").digest), "{torn").expect("written");
        assert_eq!(recall_in(&folder, &plan("a").digest), None, "a torn file is one that is not there");
        for number in 0..KEPT + 9 {
            remember_in(&folder, &plan(&format!("h{number}"))).expect("written");
        }
        assert_eq!(fs::read_dir(&folder).expect("there").count(), KEPT);
    }
}
