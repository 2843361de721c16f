//! What the last runs over a project's hosts left to do: which failed, and which are not as they should be.
//!
//! It is what `--limit @failed` and `--limit @drift` mean. Kept in the user's own state folder, one file for each
//! project's file and environment, private, written whole or not at all, under a lock, so that two runs at once do not
//! forget each other's hosts. Names of hosts stand in it and nothing else that a run has seen: no text, no address, no
//! secret. Not for: anything that a plan rests on; the next run looks at the machines.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::event::HostResult;

/// The version of the format; a file of another one is read as none.
const VERSION: u32 = 1;
/// The largest file that is read.
const MOST: u64 = 4 << 20;

/// What is left to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// For whoever looks into the folder.
    file: PathBuf,
    environment: String,
    /// Hosts that failed, could not be reached, or were not tried, when they were last part of a run.
    pub failed: BTreeSet<String>,
    /// Hosts that would change, when they were last looked at.
    pub drift: BTreeSet<String>,
}

/// The records of a user.
#[derive(Debug, Clone)]
pub struct Records {
    folder: PathBuf,
}

impl Records {
    /// Those of this user: `stagecraft-net/runs` in `$XDG_STATE_HOME`, or in `~/.local/state`. `None` without a home.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        let absolute = |path: PathBuf| path.is_absolute().then_some(path);
        let state = std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .and_then(absolute)
            .or_else(|| std::env::home_dir().and_then(absolute).map(|home| home.join(".local/state")))?;
        Some(Self::in_folder(state.join("stagecraft-net/runs")))
    }

    /// Those in this folder.
    #[must_use]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The record of a project's file and environment; `None` when there was no run yet.
    ///
    /// # Errors
    /// When it is there and cannot be read, or is not this user's own.
    pub fn read(&self, file: &Path, environment: &str) -> io::Result<Option<Record>> {
        read(&self.folder.join(name(file, environment)))
    }

    /// Adds what a run found: its hosts are judged anew, the others stay as they were.
    ///
    /// # Errors
    /// When it cannot be kept; then nothing has changed.
    pub fn add<'r>(
        &self,
        file: &Path,
        environment: &str,
        results: impl IntoIterator<Item = (&'r str, &'r HostResult)>,
    ) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        own(&std::fs::symlink_metadata(&self.folder)?, &self.folder)?;
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.folder.join("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        let path = self.folder.join(name(file, environment));
        // One that cannot be read is no loss that a run should fail for.
        let mut record = read(&path).ok().flatten().unwrap_or_default();
        record.version = VERSION;
        record.file = std::path::absolute(file)?;
        environment.clone_into(&mut record.environment);
        for (host, result) in results {
            record.failed.remove(host);
            record.drift.remove(host);
            match result {
                HostResult::Failed(_) => record.failed.insert(host.to_owned()),
                HostResult::WouldChange { .. } => record.drift.insert(host.to_owned()),
                HostResult::Holds(_) | HostResult::Changed { .. } => false,
            };
        }
        // Mode 0600 from its beginning.
        let mut part = tempfile::NamedTempFile::new_in(&self.folder)?;
        serde_json::to_writer(&mut part, &record)?;
        part.write_all(b"\n")?;
        part.persist(&path)?;
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Option<Record>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    own(&file.metadata()?, path)?;
    let mut text = Vec::new();
    file.take(MOST).read_to_end(&mut text)?;
    let record: Record = serde_json::from_slice(&text)?;
    Ok(Some(record).filter(|record| record.version == VERSION))
}

/// What others can write would choose the hosts of a run.
fn own(metadata: &std::fs::Metadata, path: &Path) -> io::Result<()> {
    if metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{} may be changed by others", path.display())))
}

/// One name for each file and environment, whatever way the file was named.
fn name(file: &Path, environment: &str) -> String {
    let file = std::fs::canonicalize(file).or_else(|_| std::path::absolute(file)).unwrap_or_else(|_| file.to_owned());
    let mut hash = Sha256::new_with_prefix(file.as_os_str().as_encoded_bytes());
    hash.update([0]);
    hash.update(environment);
    let hash: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{hash}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Outcome;
    use crate::failure::{Failed, Kind};

    fn outcome() -> Outcome {
        Outcome { facts: Vec::new(), node: None, notes: Vec::new() }
    }

    fn failed() -> HostResult {
        HostResult::Failed(Failed::host(Kind::Lost, "secret text", None))
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_run_judges_its_own_hosts_anew_and_leaves_the_others_and_other_environments_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::in_folder(folder.path().join("state/runs"));
        let file = folder.path().join("stagecraft.yml");
        std::fs::write(&file, "x").expect("written");
        assert_eq!(records.read(&file, "dev").expect("none yet"), None);
        let drift = HostResult::WouldChange { steps: Vec::new(), at: String::new(), outcome: outcome() };
        let (holds, changed) =
            (HostResult::Holds(outcome()), HostResult::Changed { steps: Vec::new(), outcome: outcome() });
        let bad = failed();
        records.add(&file, "dev", [("a", &bad), ("b", &bad), ("c", &drift), ("d", &holds)]).expect("kept");
        let read = |environment| records.read(&file, environment).expect("it reads").unwrap_or_default();
        assert_eq!((read("dev").failed, read("dev").drift), (set(&["a", "b"]), set(&["c"])));
        assert_eq!(read("prod"), Record::default());
        records.add(&file, "dev", [("a", &changed), ("c", &bad)]).expect("kept");
        assert_eq!((read("dev").failed, read("dev").drift), (set(&["b", "c"]), set(&[])));
        // The same file by another way.
        let other = folder.path().join(".").join("stagecraft.yml");
        assert_eq!(records.read(&other, "dev").expect("it reads"), Some(read("dev")));
    }

    #[test]
    fn a_record_is_private_holds_names_only_and_what_is_torn_or_not_ours_is_not_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::in_folder(folder.path().join("runs"));
        let file = folder.path().join("stagecraft.yml");
        let bad = failed();
        records.add(&file, "dev", [("a", &bad)]).expect("kept");
        let path = folder.path().join("runs").join(name(&file, "dev"));
        let mode = |path: &Path| std::fs::metadata(path).expect("it is there").mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder.path().join("runs"))), (0o600, 0o700));
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(text.contains("\"a\"") && !text.contains("secret text"), "{text}");
        let left: Vec<_> = std::fs::read_dir(folder.path().join("runs")).expect("a folder").collect();
        assert_eq!(left.len(), 2, "the record and the lock, and no part of a file");

        std::fs::write(&path, &text[..text.len() / 2]).expect("written");
        assert!(records.read(&file, "dev").is_err());
        records.add(&file, "dev", [("b", &bad)]).expect("a torn one is made anew");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("changed");
        assert!(records.read(&file, "dev").is_err(), "others may have written it");
    }

    #[test]
    fn two_runs_at_once_do_not_forget_each_others_hosts() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::in_folder(folder.path().join("runs"));
        let bad = failed();
        std::thread::scope(|scope| {
            for part in ["a", "b", "c", "d"] {
                let (records, bad) = (&records, &bad);
                scope.spawn(move || {
                    for n in 0..20 {
                        let host = format!("{part}{n}");
                        records.add(Path::new("/x/stagecraft.yml"), "dev", [(host.as_str(), bad)]).expect("kept");
                    }
                });
            }
        });
        let record = records.read(Path::new("/x/stagecraft.yml"), "dev").expect("it reads").expect("there is one");
        assert_eq!(record.failed.len(), 80);
    }
}
