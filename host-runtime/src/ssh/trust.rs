//! Whether a server is the one that it should be: the `known_hosts` files, read for a connection and added to by choice.
//!
//! The matching itself is [`boundary::known_hosts`]; libssh2's is not used. Of a certificate, libssh2 proves that the server
//! holds the key in it (it signs the key exchange with that); what the authority says of it is checked here, with the
//! OpenSSL that libssh2 uses. Not for: fetching keys of many hosts to be written ([`super::learn`]).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boundary::known_hosts::{
    self, Certificate, CertificateError, HostKey, KeyError, KeyType, Known, KnownHosts, KnownKey, Pin, Place, Signed,
    Verdict,
};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey};
use openssl::rsa::Rsa;
use openssl::sign::Verifier;
use rustix::fs::{FlockOperation, OFlags, flock};

use super::target::Target;
use super::wire::plain;
use crate::until::{Until, Wake};

/// What libssh2 can verify, in OpenSSH's order. Certificates are asked for where a line names an authority.
pub(super) const ALGORITHMS: [&str; 12] = [
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
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
    /// It shows a certificate of an authority that is named for it, and that proves nothing; its plain key is not known.
    Certificate {
        /// The key in the certificate.
        shown: HostKey,
        /// What is wrong with the certificate.
        why: CertificateError,
        /// The line that names the authority.
        place: Place,
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
        Ok(Self { paths, parsed, name: target.known_name(), pins: target.host_keys.clone() })
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
        let plain = ALGORITHMS.iter().filter(|name| !name.contains("-cert-v"));
        let (first, rest): (Vec<&str>, Vec<&str>) = plain.partition(|name| named(name));
        [first, rest].concat().join(",")
    }

    /// Judges what the server shows.
    pub(super) fn judge(&self, target: &Target, blob: &[u8], trust: Trust, until: &Until) -> Result<(), NotTrusted> {
        let Err(error) = self.check_blob(blob) else { return Ok(()) };
        match (*error, trust) {
            (HostKeyError::Unknown { shown, line: Some(line), .. }, Trust::AcceptNew) => {
                let line = if target.hash_known_hosts { self.hashed(&shown).unwrap_or(line) } else { line };
                remember(target, shown, &line, until)
            }
            (error, _) => Err(error.into()),
        }
    }

    fn hashed(&self, key: &HostKey) -> Option<String> {
        known_hosts::hashed_line(&self.name.0, self.name.1, key, salt().ok()?)
    }

    /// What the files, or an authority that they name, say of what a server shows.
    pub(super) fn check_blob(&self, blob: &[u8]) -> Result<(), Box<HostKeyError>> {
        let malformed = |error: KeyError| HostKeyError::Malformed(error.to_string());
        if !Certificate::is_one(blob) {
            return self.check(HostKey::from_blob(blob).map_err(malformed)?);
        }
        let certificate = Certificate::from_blob(blob).map_err(malformed)?;
        let known = self.known();
        let shown = certificate.key().clone();
        if let Some(place) = known.revoked(certificate.authority()) {
            return Err(HostKeyError::Revoked { shown, place }.into());
        }
        if let Some(place) = known.revoked(&shown) {
            return Err(HostKeyError::Revoked { shown, place }.into());
        }
        // An authority that is named for the host has the last word on its key, whatever key is known besides.
        let authority = known.authorities().into_iter().find(|known| known.key == *certificate.authority());
        let Some(authority) = authority else { return self.check(shown) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let Err(why) = certificate.check(&self.name.0, now, |signed| verify(signed).unwrap_or(false)) else {
            return Ok(());
        };
        // As OpenSSH does: the key in it may be known as it is.
        self.check(shown.clone()).map_err(|error| match *error {
            HostKeyError::Unknown { .. } => HostKeyError::Certificate { shown, why, place: authority.place }.into(),
            _ => error,
        })
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

/// Whether a signature is right: the cryptography is OpenSSL's.
fn verify(signed: Signed<'_>) -> Result<bool, ErrorStack> {
    let mut rest = signed.by.blob();
    let mut part = || take(&mut rest).unwrap_or_default();
    let _name = part();
    let digest = match signed.algorithm {
        "rsa-sha2-256" | "ecdsa-sha2-nistp256" => MessageDigest::sha256(),
        "ecdsa-sha2-nistp384" => MessageDigest::sha384(),
        _ => MessageDigest::sha512(),
    };
    let elliptic = |group: Nid, point: &[u8]| {
        let group = EcGroup::from_curve_name(group)?;
        let point = EcPoint::from_bytes(&group, point, &mut *BigNumContext::new()?)?;
        PKey::from_ec_key(EcKey::from_public_key(&group, &point)?)
    };
    let key = match signed.by.key_type() {
        KeyType::Ed25519 => {
            let key = PKey::public_key_from_raw_bytes(part(), Id::ED25519)?;
            return Verifier::new_without_digest(&key)?.verify_oneshot(signed.signature, signed.message);
        }
        KeyType::Rsa => {
            let (e, n) = (BigNum::from_slice(part())?, BigNum::from_slice(part())?);
            let key = PKey::from_rsa(Rsa::from_public_components(n, e)?)?;
            let mut verifier = Verifier::new(digest, &key)?;
            verifier.update(signed.message)?;
            return verifier.verify(signed.signature);
        }
        KeyType::EcdsaP256 => (part(), elliptic(Nid::X9_62_PRIME256V1, part())?).1,
        KeyType::EcdsaP384 => (part(), elliptic(Nid::SECP384R1, part())?).1,
        KeyType::EcdsaP521 => (part(), elliptic(Nid::SECP521R1, part())?).1,
        _ => return Ok(false),
    };
    // Two numbers, as SSH writes them; OpenSSL wants them in ASN.1.
    let mut numbers = signed.signature;
    let (Some(r), Some(s)) = (take(&mut numbers), take(&mut numbers)) else { return Ok(false) };
    let signature = EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?.to_der()?;
    let mut verifier = Verifier::new(digest, &key)?;
    verifier.update(signed.message)?;
    verifier.verify(&signature)
}

/// Takes one length-prefixed string off the front.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (value, tail) = tail.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = tail;
    Some(value)
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

/// For the hash of a name.
pub(super) fn salt() -> io::Result<[u8; 20]> {
    let mut salt = [0; 20];
    rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())?;
    Ok(salt)
}

/// The key that a server shows, or the one in its certificate; or why it is none.
pub(super) fn key_of(blob: &[u8]) -> Result<HostKey, String> {
    let read = if Certificate::is_one(blob) {
        Certificate::from_blob(blob).map(|certificate| certificate.key().clone())
    } else {
        HostKey::from_blob(blob)
    };
    read.map_err(|error| error.to_string())
}

/// Adds `line` to the first file, unless somebody else was faster.
fn remember(target: &Target, shown: HostKey, line: &str, until: &Until) -> Result<(), NotTrusted> {
    let Some(path) = target.known_hosts.first() else {
        let reason = "UserKnownHostsFile is none: there is no file to write it to".to_owned();
        return Err(HostKeyError::Unwritable { file: PathBuf::new(), reason }.into());
    };
    let unwritable =
        |error: io::Error| NotTrusted::from(HostKeyError::Unwritable { file: path.clone(), reason: plain(&error) });
    let mut file = match lock(path, until).map_err(unwritable)? {
        Ok(file) => file,
        Err(Wake::Cancelled) => return Err(NotTrusted::Cancelled),
        Err(_) => return Err(NotTrusted::Deadline),
    };
    // Whoever held the lock may have written about this host.
    match Files::read(target)?.check(shown) {
        Ok(()) => return Ok(()),
        Err(error) if matches!(*error, HostKeyError::Unknown { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    append(&mut file, line).map_err(unwritable)
}

/// The file, made where it is not there, with its lock, which ends when it is closed.
pub(super) fn lock(path: &Path, until: &Until) -> io::Result<Result<File, Wake>> {
    loop {
        let file = open(path)?;
        // Waiting must end with the clock, so the lock is asked for again and again; it is held for a millisecond.
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(error.into());
            }
            match until.sleep(Duration::from_millis(5))? {
                Wake::Ready => {}
                wake => return Ok(Err(wake)),
            }
        }
        // Whoever held it may have put another file in its place.
        let (own, there) = (file.metadata()?, fs::metadata(path));
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino())) {
            return Ok(Ok(file));
        }
    }
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
    fn a_signature_is_right_only_for_what_was_signed_by_whom_and_as_it_is() {
        let line = include_str!("../../boundary/src/known_hosts/certificate.pub");
        let encoded = line.split(' ').nth(1).expect("a key");
        let blob = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded).expect("base64");
        let certificate = Certificate::from_blob(&blob).expect("a certificate");
        let right = |signed: Signed<'_>| verify(signed).unwrap_or(false);
        let checked = certificate.check("10.0.0.7", 1_780_000_000, |signed| {
            let mut message = signed.message.to_vec();
            message[60] ^= 1;
            let mut signature = signed.signature.to_vec();
            signature[5] ^= 1;
            assert!(!right(Signed { message: &message, ..signed }));
            assert!(!right(Signed { signature: &signature, ..signed }));
            assert!(!right(Signed { signature: &[], ..signed }));
            assert!(!right(Signed { by: certificate.key(), ..signed }));
            right(signed)
        });
        assert_eq!(checked, Ok(()));
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
    fn algorithms_of_known_keys_come_first_and_certificates_only_where_an_authority_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("known_hosts");
        assert!(Files::read(&target(&file, 22)).expect("read").algorithms().starts_with("ssh-ed25519,"));
        let rsa = [&b"\0\0\0\x07ssh-rsa\0\0\0\x01\x03\0\0\x01\0"[..], &[0x7f; 256]].concat();
        let rsa = HostKey::from_blob(&rsa).expect("a key");
        fs::write(&file, format!("10.0.0.1 {rsa}\n")).expect("written");
        let offered = Files::read(&target(&file, 22)).expect("read").algorithms();
        assert!(offered.starts_with("rsa-sha2-512,rsa-sha2-256,ssh-ed25519"), "{offered}");
        assert!(!offered.contains("cert"));
        fs::write(&file, format!("@cert-authority 10.0.0.* {rsa}\n")).expect("written");
        let offered = Files::read(&target(&file, 22)).expect("read").algorithms();
        assert!(offered.starts_with("ssh-ed25519-cert-v01@openssh.com,"), "{offered}");
    }
}
