//! Whether a server is the one that it should be: the `known_hosts` files, read for a connection and added to by choice.
//!
//! The matching itself is [`boundary::known_hosts`]; libssh2's is not used. Not for: certificates.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use boundary::known_hosts::{self, HostKey, KeyType, Known, KnownHosts, KnownKey, Pin, Place, Verdict};
use rustix::fs::{FlockOperation, OFlags, flock};

use super::target::Target;
use super::wire::plain;
use crate::until::{Until, Wake};

/// What libssh2 can verify, in OpenSSH's order. Certificates are left out: nothing here verifies one.
const ALGORITHMS: [&str; 6] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// What to do with the key of a server that no file knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Refuse it.
    Strict,
    /// Write it to the first `known_hosts` file and go on. A key that changed or is revoked is refused all the same.
    AcceptNew,
}

/// Why a server's key is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostKeyError {
    /// No file holds a key for this server.
    Unknown {
        /// The key that it shows.
        shown: HostKey,
        /// The line that would make it trusted; `None` for a name that no line can hold.
        line: Option<String>,
        /// The files that were read, in order; the line belongs in the first.
        files: Vec<PathBuf>,
        /// With a port of its own: other keys that are known for the plain name.
        plain: Vec<KnownKey>,
        /// Lines of certificate authorities that cover it.
        authorities: Vec<Place>,
    },
    /// The files hold other keys for this server.
    Changed {
        /// The key that it shows.
        shown: HostKey,
        /// The keys that are known.
        known: Vec<KnownKey>,
    },
    /// The inventory names other keys for this server.
    NotPinned {
        /// The key that it shows.
        shown: HostKey,
        /// The keys that the inventory names.
        pinned: Vec<Pin>,
    },
    /// A line says that this key must not be trusted.
    Revoked {
        /// The key that it shows.
        shown: HostKey,
        /// The line.
        place: Place,
    },
    /// What it shows is no key of a known form.
    Malformed(String),
    /// A file could not be read; it may hold a revocation.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// The new key could not be written, so it would be new the next time again.
    Unwritable {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Why a judgement was not reached.
#[derive(Debug)]
pub(super) enum NotTrusted {
    No(Box<HostKeyError>),
    Deadline,
    Cancelled,
}

impl From<Box<HostKeyError>> for NotTrusted {
    fn from(error: Box<HostKeyError>) -> Self {
        NotTrusted::No(error)
    }
}

impl From<HostKeyError> for NotTrusted {
    fn from(error: HostKeyError) -> Self {
        NotTrusted::No(Box::new(error))
    }
}

/// What the files of a target say.
#[derive(Debug)]
pub(super) struct Files {
    paths: Vec<PathBuf>,
    parsed: Arc<Parsed>,
    /// The name that is looked up, with its port.
    name: (String, u16),
    /// What the inventory says.
    pins: Vec<Pin>,
}

/// Files as they were read, and what they say.
#[derive(Debug)]
struct Parsed {
    contents: Vec<(PathBuf, Vec<u8>)>,
    hosts: KnownHosts,
}

/// The files of a fleet are the same for all its hosts: they are read for each, and parsed again only when their bytes
/// have changed.
static LAST: Mutex<Option<Arc<Parsed>>> = Mutex::new(None);

impl Files {
    /// Reads the files of `target`. One that is not there is empty.
    pub(super) fn read(target: &Target) -> Result<Self, Box<HostKeyError>> {
        let paths: Vec<PathBuf> = target.known_hosts.iter().chain(&target.global_known_hosts).cloned().collect();
        let mut contents = Vec::new();
        for path in &paths {
            match read_regular(path) {
                Ok(bytes) => contents.push((path.clone(), bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(HostKeyError::Unreadable { file: path.clone(), reason: plain(&error) }.into());
                }
            }
        }
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        let parsed = match &*last {
            Some(parsed) if parsed.contents == contents => parsed.clone(),
            _ => {
                let mut hosts = KnownHosts::default();
                for (path, bytes) in &contents {
                    hosts.add(&path.display().to_string(), bytes);
                }
                last.insert(Arc::new(Parsed { contents, hosts })).clone()
            }
        };
        drop(last);
        // An alias stands for the host at any port.
        let name = match &target.key_alias {
            Some(alias) => (alias.clone(), 22),
            None => (target.known_as.as_ref().unwrap_or(&target.host).clone(), target.port),
        };
        Ok(Self { paths, parsed, name, pins: target.host_keys.clone() })
    }

    fn known(&self) -> Known<'_> {
        self.parsed.hosts.host(&self.name.0, self.name.1)
    }

    /// The algorithms to offer, those of known keys first.
    pub(super) fn algorithms(&self) -> String {
        if self.pins.is_empty() {
            return self.known().prefer(&ALGORITHMS).join(",");
        }
        let named = |name: &&str| {
            let kind = KeyType::of_algorithm(name);
            self.pins.iter().filter_map(Pin::key).any(|key| Some(key.key_type()) == kind)
        };
        let (first, rest): (Vec<&str>, Vec<&str>) = ALGORITHMS.iter().partition(|name| named(name));
        [first, rest].concat().join(",")
    }

    /// Judges what the server shows.
    pub(super) fn judge(&self, target: &Target, blob: &[u8], trust: Trust, until: &Until) -> Result<(), NotTrusted> {
        let shown = HostKey::from_blob(blob).map_err(|error| HostKeyError::Malformed(error.to_string()))?;
        let Err(error) = self.check(shown) else { return Ok(()) };
        match (*error, trust) {
            (HostKeyError::Unknown { shown, line: Some(line), .. }, Trust::AcceptNew) => {
                let line = if target.hash_known_hosts { self.hashed(&shown).unwrap_or(line) } else { line };
                remember(target, shown, &line, until)
            }
            (error, _) => Err(error.into()),
        }
    }

    fn hashed(&self, key: &HostKey) -> Option<String> {
        let mut salt = [0; 20];
        rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty()).ok()?;
        known_hosts::hashed_line(&self.name.0, self.name.1, key, salt)
    }

    fn check(&self, shown: HostKey) -> Result<(), Box<HostKeyError>> {
        let error = match self.known().check(&shown) {
            Verdict::Revoked { place } => HostKeyError::Revoked { shown, place },
            // The inventory has the last word: a machine that was made anew is in no file, or with its old key.
            _ if self.pins.iter().any(|pin| pin.fits(&shown)) => return Ok(()),
            _ if !self.pins.is_empty() => HostKeyError::NotPinned { shown, pinned: self.pins.clone() },
            Verdict::Trusted { .. } => return Ok(()),
            Verdict::Changed { known } => HostKeyError::Changed { shown, known },
            Verdict::Unknown { plain, authorities } => HostKeyError::Unknown {
                line: known_hosts::line(&self.name.0, self.name.1, &shown),
                files: self.paths.clone(),
                shown,
                plain,
                authorities,
            },
            // A verdict that this does not know yet trusts nothing.
            other => HostKeyError::Malformed(format!("a verdict that is not known here: {other:?}")),
        };
        Err(Box::new(error))
    }
}

/// All of a file. A pipe would keep us waiting, without a clock, for somebody to write to it.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    let mut bytes = Vec::new();
    if found.is_file() {
        file.read_to_end(&mut bytes)?;
    } else if !(found.file_type().is_char_device() && found.rdev() == rustix::fs::makedev(1, 3)) {
        // `/dev/null` is how people say: no file.
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(bytes)
}

/// Adds `line` to the first file, unless somebody else was faster.
fn remember(target: &Target, shown: HostKey, line: &str, until: &Until) -> Result<(), NotTrusted> {
    let Some(path) = target.known_hosts.first() else {
        let reason = "UserKnownHostsFile is none: there is no file to write it to".to_owned();
        return Err(HostKeyError::Unwritable { file: PathBuf::new(), reason }.into());
    };
    let unwritable =
        |error: io::Error| NotTrusted::from(HostKeyError::Unwritable { file: path.clone(), reason: plain(&error) });
    let mut file = open(path).map_err(unwritable)?;
    // Waiting must end with the clock, so the lock is asked for again and again; it is held for a millisecond.
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(unwritable(error.into()));
        }
        match until.sleep(Duration::from_millis(5)).map_err(unwritable)? {
            Wake::Ready => {}
            Wake::Deadline => return Err(NotTrusted::Deadline),
            Wake::Cancelled => return Err(NotTrusted::Cancelled),
        }
    }
    // Whoever held the lock may have written about this host.
    match Files::read(target)?.check(shown) {
        Ok(()) => return Ok(()),
        Err(error) if matches!(*error, HostKeyError::Unknown { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    append(&mut file, line).map_err(unwritable)
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// One write at the end; a last line without its end is ended first.
fn append(file: &mut File, line: &str) -> io::Result<()> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let end = if bytes.last().is_some_and(|byte| *byte != b'\n') { "\n" } else { "" };
    file.write_all(format!("{end}{line}\n").as_bytes())?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::{Endpoint, resolve};
    use crate::until::Cancel;
    use std::os::unix::fs::PermissionsExt;

    fn blob(n: u8) -> Vec<u8> {
        [&b"\0\0\0\x0bssh-ed25519\0\0\0\x20"[..], &[n; 32]].concat()
    }

    fn target(file: &Path, port: u16) -> Target {
        let endpoint = Endpoint {
            name: "app-1".to_owned(),
            address: Some("10.0.0.1".to_owned()),
            port: Some(port),
            user: Some("root".to_owned()),
            known_hosts: Some(file.to_owned()),
            config: Some("/dev/null".into()),
            ..Endpoint::default()
        };
        resolve(&endpoint, &Until::after(Duration::from_secs(60), &Cancel::new().expect("an eventfd")))
            .expect("a target")
    }

    fn judge(target: &Target, key: u8, trust: Trust) -> Result<(), Box<HostKeyError>> {
        let until = Until::after(Duration::from_secs(60), &Cancel::new().expect("an eventfd"));
        let judged = Files::read(target).map_err(NotTrusted::from);
        judged.and_then(|files| files.judge(target, &blob(key), trust, &until)).map_err(|error| match error {
            NotTrusted::No(error) => error,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_new_key_is_written_once_by_choice_and_another_one_is_then_a_change() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("new/known_hosts");
        let target = target(&file, 2222);
        let unknown = *judge(&target, 1, Trust::Strict).expect_err("unknown");
        let HostKeyError::Unknown { line: Some(line), files, .. } = unknown else { panic!("{unknown:?}") };
        assert!(line.starts_with("[10.0.0.1]:2222 ssh-ed25519 AAAA"), "{line}");
        assert_eq!(files, std::slice::from_ref(&file));
        assert!(!file.exists());

        judge(&target, 1, Trust::AcceptNew).expect("accepted");
        judge(&target, 1, Trust::AcceptNew).expect("known");
        judge(&target, 1, Trust::Strict).expect("known");
        assert_eq!(fs::read_to_string(&file).expect("written"), format!("{line}\n"));
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(dir.path().join("new")).expect("there").permissions().mode() & 0o777, 0o700);
        let changed = judge(&target, 2, Trust::AcceptNew).expect_err("changed");
        assert!(matches!(*changed, HostKeyError::Changed { .. }), "{changed:?}");
        assert_eq!(fs::read_to_string(&file).expect("written"), format!("{line}\n"));
    }

    #[test]
    fn many_hosts_that_are_accepted_at_the_same_time_each_get_one_whole_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("known_hosts");
        fs::write(&file, "# a last line without its end").expect("written");
        std::thread::scope(|scope| {
            for n in 0..32u8 {
                let target = target(&file, 3000 + u16::from(n / 2));
                scope.spawn(move || judge(&target, n / 2, Trust::AcceptNew).expect("accepted"));
            }
        });
        let text = fs::read_to_string(&file).expect("written");
        assert_eq!(text.lines().count(), 17, "{text}");
        for n in 0..16 {
            judge(&target(&file, 3000 + u16::from(n)), n, Trust::Strict).expect("known");
        }
    }

    #[test]
    fn a_name_is_hashed_where_ssh_config_asks_for_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("known_hosts");
        let hashing = Target { hash_known_hosts: true, ..target(&file, 22) };
        judge(&hashing, 1, Trust::AcceptNew).expect("accepted");
        assert!(fs::read_to_string(&file).expect("written").starts_with("|1|"));
        judge(&hashing, 1, Trust::Strict).expect("known");
    }

    #[test]
    fn a_revoked_key_is_never_accepted_and_a_file_that_cannot_be_read_or_written_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("known_hosts");
        let key = HostKey::from_blob(&blob(1)).expect("a key");
        fs::write(&file, format!("@revoked * {key}\n")).expect("written");
        let revoked = judge(&target(&file, 22), 1, Trust::AcceptNew).expect_err("revoked");
        assert!(matches!(*revoked, HostKeyError::Revoked { .. }), "{revoked:?}");
        let folder = judge(&target(dir.path(), 22), 1, Trust::Strict).expect_err("folder");
        assert!(matches!(*folder, HostKeyError::Unreadable { .. }), "{folder:?}");
        let below_a_file = judge(&target(&file.join("x"), 22), 1, Trust::AcceptNew);
        assert!(below_a_file.is_err(), "{below_a_file:?}");
    }

    #[test]
    fn what_the_inventory_names_counts_at_once_and_alone_but_a_revocation_holds() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("known_hosts");
        let [one, two] = [1, 2].map(|n| HostKey::from_blob(&blob(n)).expect("a key"));
        fs::write(&file, format!("10.0.0.1 {two}\n")).expect("written");
        for pin in [one.to_string(), one.fingerprint()] {
            let pin = Pin::parse(&pin).expect("a pin");
            let pinned = Target { host_keys: vec![pin], ..target(&file, 22) };
            judge(&pinned, 1, Trust::Strict).expect("it is named");
            for trust in [Trust::Strict, Trust::AcceptNew] {
                let other = judge(&pinned, 2, trust).expect_err("the file says otherwise");
                assert!(matches!(*other, HostKeyError::NotPinned { .. }), "{other:?}");
            }
            fs::write(&file, format!("@revoked * {one}\n10.0.0.1 {two}\n")).expect("written");
            let revoked = judge(&pinned, 1, Trust::Strict).expect_err("revoked");
            assert!(matches!(*revoked, HostKeyError::Revoked { .. }), "{revoked:?}");
            fs::write(&file, format!("10.0.0.1 {two}\n")).expect("written");
        }
    }

    #[test]
    fn a_pipe_is_no_file_of_known_hosts_and_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().expect("a directory");
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        let told = judge(&target(&pipe, 22), 1, Trust::Strict).expect_err("a pipe");
        assert!(matches!(&*told, HostKeyError::Unreadable { reason, .. } if reason.contains("regular")), "{told:?}");
        let nothing = judge(&target(Path::new("/dev/null"), 22), 1, Trust::Strict).expect_err("nothing is known");
        assert!(matches!(*nothing, HostKeyError::Unknown { .. }), "{nothing:?}");
    }

    #[test]
    fn algorithms_of_known_keys_come_first_and_no_certificate_is_offered() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("known_hosts");
        assert!(Files::read(&target(&file, 22)).expect("read").algorithms().starts_with("ssh-ed25519,"));
        let rsa = [&b"\0\0\0\x07ssh-rsa\0\0\0\x01\x03\0\0\x01\0"[..], &[0x7f; 256]].concat();
        let rsa = HostKey::from_blob(&rsa).expect("a key");
        fs::write(&file, format!("10.0.0.1 {rsa}\n")).expect("written");
        let offered = Files::read(&target(&file, 22)).expect("read").algorithms();
        assert!(offered.starts_with("rsa-sha2-512,rsa-sha2-256,ssh-ed25519"), "{offered}");
        assert!(!offered.contains("cert"));
    }
}
