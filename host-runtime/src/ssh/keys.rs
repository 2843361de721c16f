//! Key files of this machine: what they are, and the public half where it can be read without a passphrase.
//!
//! The public half tells whether an agent holds the same key, which is how an encrypted key is used without asking
//! anybody. Not for: decrypting and signing (libssh2 does).

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// Larger than any key.
const LIMIT: u64 = 256 * 1024;
/// What an OpenSSH private key begins with, once decoded.
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// What a key file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyFile {
    Private {
        text: Zeroizing<String>,
        encrypted: bool,
        /// The public half as it goes over the wire, where it is known.
        public: Option<Vec<u8>>,
    },
    /// A public key alone names a key that an agent holds.
    Public(Vec<u8>),
    Missing,
    /// It is there and is of no use; why.
    Unusable(String),
}

/// Reads a key file, and the public half beside it.
pub(super) fn read(path: &Path) -> KeyFile {
    let text = match read_text(path) {
        Ok((text, open_to_others)) => {
            if open_to_others && text.contains("PRIVATE KEY-----") {
                return KeyFile::Unusable("others may read it; `chmod 600` it".to_owned());
            }
            text
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return KeyFile::Missing,
        Err(error) => return KeyFile::Unusable(super::wire::plain(&error)),
    };
    match parse(text) {
        KeyFile::Private { text, encrypted, public } => {
            let mut beside = path.as_os_str().to_owned();
            beside.push(".pub");
            let public = public.or_else(|| public_line(&read_text(&PathBuf::from(beside)).ok()?.0));
            KeyFile::Private { text, encrypted, public }
        }
        other => other,
    }
}

/// The text of a plain file, and whether it is ours and open to others.
fn read_text(path: &Path) -> io::Result<(Zeroizing<String>, bool)> {
    let found = fs::metadata(path)?;
    // A pipe would block.
    if !found.is_file() {
        return Err(io::Error::other("not a plain file"));
    }
    let mut text = Zeroizing::new(String::new());
    fs::File::open(path)?.take(LIMIT).read_to_string(&mut text).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => io::Error::other("not a key"),
        _ => error,
    })?;
    let ours = found.uid() == rustix::process::getuid().as_raw();
    Ok((text, ours && found.mode() & 0o077 != 0))
}

fn parse(text: Zeroizing<String>) -> KeyFile {
    if let Some(blob) = public_line(&text) {
        return KeyFile::Public(blob);
    }
    let Some(label) = text.lines().find_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")) else {
        return KeyFile::Unusable("not a key".to_owned());
    };
    let (encrypted, public) = match label {
        "OPENSSH PRIVATE KEY" => match openssh(&text) {
            Some((encrypted, public)) => (encrypted, Some(public)),
            None => return KeyFile::Unusable("a damaged OpenSSH key".to_owned()),
        },
        "ENCRYPTED PRIVATE KEY" => (true, None),
        "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "PRIVATE KEY" => (text.contains("Proc-Type: 4,ENCRYPTED"), None),
        other => return KeyFile::Unusable(format!("a file of an unknown kind ({other:?})")),
    };
    if let Some(kind) = public.as_deref().and_then(unsupported) {
        return KeyFile::Unusable(kind);
    }
    KeyFile::Private { text, encrypted, public }
}

/// Whether an OpenSSH private key is encrypted, and its public half, which never is.
fn openssh(text: &str) -> Option<(bool, Vec<u8>)> {
    let body: String = text
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----END"))
        .map(str::trim)
        .collect();
    let decoded = Zeroizing::new(BASE64_STANDARD.decode(body).ok()?);
    let mut rest = decoded.strip_prefix(MAGIC)?;
    let cipher = string(&mut rest)?;
    let _kdf = string(&mut rest)?;
    let _kdf_options = string(&mut rest)?;
    rest = rest.get(4..)?;
    Some((cipher != b"none", string(&mut rest)?.to_vec()))
}

/// The key of a line `type base64 comment`.
fn public_line(text: &str) -> Option<Vec<u8>> {
    let mut words = text.lines().find(|line| !line.trim().is_empty())?.split_ascii_whitespace();
    let kind = words.next()?;
    let blob = BASE64_STANDARD.decode(words.next()?).ok()?;
    (key_type(&blob)? == kind).then_some(blob)
}

/// The type that a public key names itself.
pub(super) fn key_type(blob: &[u8]) -> Option<&str> {
    str::from_utf8(string(&mut &*blob)?).ok()
}

/// Why libssh2 cannot sign with a key of this type, if so.
pub(super) fn unsupported(blob: &[u8]) -> Option<String> {
    match key_type(blob) {
        Some("ssh-ed25519" | "ssh-rsa" | "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521") => None,
        Some(kind) if kind.contains("-cert-") => Some("certificates are not supported".to_owned()),
        Some(kind) if kind.starts_with("sk-") => Some("security keys are not supported".to_owned()),
        Some(kind) => Some(format!("keys of type {kind:?} are not supported")),
        None => Some("not a key".to_owned()),
    }
}

/// Takes a string in the notation of SSH: its length in four bytes, then its bytes.
pub(super) fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (string, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn blob(kind: &str) -> Vec<u8> {
        [&(kind.len() as u32).to_be_bytes()[..], kind.as_bytes()].concat()
    }

    fn public(kind: &str) -> String {
        format!("{kind} {} me@laptop\n", BASE64_STANDARD.encode(blob(kind)))
    }

    /// The head of an OpenSSH private key; nothing here reads further.
    fn private(cipher: &str, kind: &str) -> String {
        let public = blob(kind);
        let body = [
            MAGIC,
            &blob(cipher),
            &blob("bcrypt"),
            &blob("options"),
            &[0, 0, 0, 1],
            &(public.len() as u32).to_be_bytes(),
            &public,
        ]
        .concat();
        let mut text = "-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned();
        for line in BASE64_STANDARD.encode(body).as_bytes().chunks(70) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text + "-----END OPENSSH PRIVATE KEY-----\n"
    }

    fn parsed(text: &str) -> KeyFile {
        parse(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn an_openssh_key_shows_its_public_half_encrypted_or_not() {
        for (cipher, wanted) in [("none", false), ("aes256-ctr", true)] {
            let KeyFile::Private { encrypted, public, .. } = parsed(&private(cipher, "ssh-ed25519")) else { panic!() };
            assert_eq!((encrypted, public), (wanted, Some(blob("ssh-ed25519"))));
        }
        let sk = parsed(&private("none", "sk-ssh-ed25519@openssh.com"));
        assert!(matches!(&sk, KeyFile::Unusable(reason) if reason.contains("security keys")), "{sk:?}");
    }

    #[test]
    fn older_forms_are_known_by_their_label() {
        for (label, head, wanted) in [
            ("RSA PRIVATE KEY", "", false),
            ("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", true),
            ("ENCRYPTED PRIVATE KEY", "", true),
            ("PRIVATE KEY", "", false),
        ] {
            let text = format!("-----BEGIN {label}-----\n{head}AAAA\n-----END {label}-----\n");
            let KeyFile::Private { encrypted, public: None, .. } = parsed(&text) else { panic!("{label}") };
            assert_eq!(encrypted, wanted, "{label} {head}");
        }
    }

    #[test]
    fn what_is_no_key_says_so_and_a_public_key_stands_for_one_in_an_agent() {
        assert_eq!(parsed(&public("ssh-rsa")), KeyFile::Public(blob("ssh-rsa")));
        for bad in ["", "hello", "ssh-rsa AAAA", "-----BEGIN CERTIFICATE-----\n"] {
            assert!(matches!(parsed(bad), KeyFile::Unusable(_)), "{bad}");
        }
        let whole = private("none", "ssh-ed25519");
        for cut in [&whole[..80], &whole.replace("b3BlbnNza", "")] {
            let cut = parsed(cut);
            assert!(matches!(&cut, KeyFile::Unusable(reason) if reason.contains("damaged")), "{cut:?}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_not_used_and_a_public_half_may_stand_beside() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("id");
        assert_eq!(read(&path), KeyFile::Missing);
        let pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        fs::write(&path, pem).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("mode");
        assert!(matches!(read(&path), KeyFile::Unusable(reason) if reason.contains("chmod 600")));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
        assert!(matches!(read(&path), KeyFile::Private { public: None, .. }));
        fs::write(dir.path().join("id.pub"), public("ssh-rsa")).expect("written");
        assert!(matches!(read(&path), KeyFile::Private { public: Some(_), .. }));
        assert!(matches!(read(dir.path()), KeyFile::Unusable(_)));
    }

    #[test]
    fn what_libssh2_cannot_sign_with_is_told() {
        assert_eq!(unsupported(&blob("ssh-rsa")), None);
        for kind in ["sk-ssh-ed25519@openssh.com", "ssh-ed25519-cert-v01@openssh.com", "ssh-dss", ""] {
            assert!(unsupported(&blob(kind)).is_some(), "{kind}");
        }
        assert!(unsupported(b"\0\0\0\x09short").is_some());
    }
}
