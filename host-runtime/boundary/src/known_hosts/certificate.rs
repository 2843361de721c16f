//! A server's certificate: a host key that an authority has signed, for names and for a time.
//!
//! As OpenSSH has it (PROTOCOL.certkeys), and stricter in one thing: a certificate without names covers no host, where
//! OpenSSH lets it cover every one. Not for: proving that the server holds the private half of the key in it, which the
//! SSH library does, and the cryptography of the signature, which [`Certificate::check`] is given.

use super::key::{put, string};
use super::{HostKey, KeyError, KeyType, matches};

const SUFFIX: &str = "-cert-v01@openssh.com";
/// A certificate of a host; those of users are 1.
const HOST: u32 = 2;

/// A certificate, read and not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    key: HostKey,
    kind: u32,
    id: String,
    principals: Vec<Vec<u8>>,
    after: u64,
    before: u64,
    critical: bool,
    authority: HostKey,
    algorithm: String,
    signature: Vec<u8>,
    signed: Vec<u8>,
}

/// A signature to be verified.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The key that is to have made it.
    pub by: &'a HostKey,
    /// Its algorithm, one of those that [`Certificate::check`] lets through.
    pub algorithm: &'a str,
    /// What stands behind the algorithm's name in the signature.
    pub signature: &'a [u8],
    /// What was signed.
    pub message: &'a [u8],
}

/// Why a certificate does not prove that a server is the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A certificate for a user.
    #[error("it is a user's certificate, not a host's")]
    NotHost,
    /// For other names.
    #[error("it is for {}, not for this host", if .0.is_empty() { "no name" } else { .0 })]
    Principal(String),
    /// Its time has not come.
    #[error("it is valid only from {} on", date(*.0))]
    NotYet(u64),
    /// Its time is over.
    #[error("it was valid until {}", date(*.0))]
    Expired(u64),
    /// It has options that must be understood.
    #[error("it has critical options, and none is known for hosts")]
    Critical,
    /// Signed in a way that is not taken, SHA-1 among them.
    #[error("it is signed with {0}, which is not taken")]
    Algorithm(String),
    /// The signature is not the authority's.
    #[error("its signature is not the authority's")]
    Signature,
}

impl Certificate {
    /// Whether bytes that a server shows say that they are a certificate.
    #[must_use]
    pub fn is_one(blob: &[u8]) -> bool {
        let mut rest = blob;
        string(&mut rest).is_some_and(|name| name.ends_with(SUFFIX.as_bytes()))
    }

    /// Reads one.
    ///
    /// # Errors
    /// When its type is not known, or the bytes do not have the form of it.
    pub fn from_blob(blob: &[u8]) -> Result<Self, KeyError> {
        const CUT: KeyError = KeyError::Form("bytes are cut off");
        let mut rest = blob;
        let name = string(&mut rest).ok_or(CUT)?;
        let kind = std::str::from_utf8(name)
            .ok()
            .and_then(|name| KeyType::of_algorithm(name.strip_suffix(SUFFIX)?))
            .ok_or_else(|| KeyError::Type(name.escape_ascii().take(80).map(char::from).collect()))?;
        string(&mut rest).ok_or(CUT)?;
        let mut plain = Vec::new();
        put(&mut plain, kind.name().as_bytes());
        for _ in 0..kind.parts() {
            put(&mut plain, string(&mut rest).ok_or(CUT)?);
        }
        let key = HostKey::from_blob(&plain)?;
        let _serial = number::<8>(&mut rest).ok_or(CUT)?;
        let of = number::<4>(&mut rest).ok_or(CUT)?;
        let id = string(&mut rest).ok_or(CUT)?;
        let mut names = string(&mut rest).ok_or(CUT)?;
        let mut principals = Vec::new();
        while !names.is_empty() {
            principals.push(string(&mut names).ok_or(CUT)?.to_vec());
        }
        let after = number::<8>(&mut rest).ok_or(CUT)?;
        let before = number::<8>(&mut rest).ok_or(CUT)?;
        let critical = string(&mut rest).ok_or(CUT)?;
        let _extensions = string(&mut rest).ok_or(CUT)?;
        let _reserved = string(&mut rest).ok_or(CUT)?;
        let authority = HostKey::from_blob(string(&mut rest).ok_or(CUT)?)?;
        let signed = blob[..blob.len() - rest.len()].to_vec();
        let mut signature = string(&mut rest).ok_or(CUT)?;
        let algorithm = string(&mut signature).ok_or(CUT)?;
        let bytes = string(&mut signature).ok_or(CUT)?;
        if !rest.is_empty() || !signature.is_empty() {
            return Err(KeyError::Form("bytes go on after its end"));
        }
        Ok(Self {
            key,
            kind: u32::try_from(of).unwrap_or(u32::MAX),
            id: String::from_utf8_lossy(id).into_owned(),
            principals,
            after,
            before,
            critical: !critical.is_empty(),
            authority,
            algorithm: String::from_utf8_lossy(algorithm).into_owned(),
            signature: bytes.to_vec(),
            signed,
        })
    }

    /// The key that it is about.
    #[must_use]
    pub fn key(&self) -> &HostKey {
        &self.key
    }

    /// The authority that is to have signed it.
    #[must_use]
    pub fn authority(&self) -> &HostKey {
        &self.authority
    }

    /// What the authority calls it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it proves that its key is this host's: type, names, time, options, signature. `now` is in seconds since
    /// 1970, and `verify` says whether a signature is right. That the authority is one to be believed is for others.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(&self, host: &str, now: u64, verify: impl FnOnce(Signed<'_>) -> bool) -> Result<(), CertificateError> {
        if self.kind != HOST {
            return Err(CertificateError::NotHost);
        }
        let host = host.to_ascii_lowercase();
        if !self.principals.iter().any(|name| matches(host.as_bytes(), &name.to_ascii_lowercase())) {
            let names: Vec<String> = self.principals.iter().map(|name| name.escape_ascii().to_string()).collect();
            return Err(CertificateError::Principal(names.join(", ")));
        }
        if now < self.after {
            return Err(CertificateError::NotYet(self.after));
        }
        if now >= self.before {
            return Err(CertificateError::Expired(self.before));
        }
        if self.critical {
            return Err(CertificateError::Critical);
        }
        // `ssh-rsa` is SHA-1. The algorithm must be one of the authority's own type.
        let own = KeyType::of_algorithm(&self.algorithm) == Some(self.authority.key_type());
        let taken = matches!(
            self.authority.key_type(),
            KeyType::Ed25519 | KeyType::EcdsaP256 | KeyType::EcdsaP384 | KeyType::EcdsaP521 | KeyType::Rsa
        );
        if !own || !taken || self.algorithm == KeyType::Rsa.name() {
            return Err(CertificateError::Algorithm(self.algorithm.escape_default().take(80).collect()));
        }
        let signed = Signed {
            by: &self.authority,
            algorithm: &self.algorithm,
            signature: &self.signature,
            message: &self.signed,
        };
        if verify(signed) { Ok(()) } else { Err(CertificateError::Signature) }
    }
}

/// A big-endian number of so many bytes.
fn number<const N: usize>(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// A time as `2026-11-23 10:48 UTC`; the last there is, as `forever`.
fn date(seconds: u64) -> String {
    if seconds == u64::MAX {
        return "forever".to_owned();
    }
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    if days > 3_000_000 {
        return format!("{seconds} s after 1970");
    }
    // Years of 400 from March 0000 on, so that the leap day is the last of a year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02} {:02}:{:02} UTC", era * 400 + year + next, rest / 3600, rest % 3600 / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `ssh-keygen -s ca -h -I lab -n app-1.example.com,10.0.0.* -V 20260101Z:20270101Z host.pub`.
    const TEXT: &str = include_str!("certificate.pub");
    const NOW: u64 = 1_780_000_000;

    fn blob() -> Vec<u8> {
        use base64::Engine as _;
        let encoded = TEXT.split(' ').nth(1).expect("a key").trim();
        base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64")
    }

    #[test]
    fn a_certificate_covers_its_names_in_its_time_where_the_signature_is_right() {
        let blob = blob();
        assert!(Certificate::is_one(&blob));
        let certificate = Certificate::from_blob(&blob).expect("a certificate");
        assert_eq!((certificate.id(), certificate.key().key_type()), ("lab", KeyType::Ed25519));
        let check = |host: &str, now, right: bool| certificate.check(host, now, |_| right);
        assert_eq!(check("app-1.example.com", NOW, true), Ok(()));
        assert_eq!(check("APP-1.example.com", NOW, true), Ok(()));
        assert_eq!(check("10.0.0.7", NOW, true), Ok(()));
        assert_eq!(check("10.0.0.7", NOW, false), Err(CertificateError::Signature));
        let other = check("app-2.example.com", NOW, true).expect_err("another host").to_string();
        assert_eq!(other, "it is for app-1.example.com, 10.0.0.*, not for this host");
        let early = check("10.0.0.7", 1_700_000_000, true).expect_err("too early").to_string();
        assert_eq!(early, "it is valid only from 2026-01-01 00:00 UTC on");
        let late = check("10.0.0.7", 1_800_000_000, true).expect_err("too late").to_string();
        assert_eq!(late, "it was valid until 2027-01-01 00:00 UTC");
    }

    #[test]
    fn what_was_signed_is_all_but_the_signature_and_the_verifier_is_given_it() {
        let blob = blob();
        let certificate = Certificate::from_blob(&blob).expect("a certificate");
        let seen = certificate.check("10.0.0.7", NOW, |signed| {
            assert_eq!((signed.algorithm, signed.signature.len()), ("ssh-ed25519", 64));
            assert_eq!(signed.by, certificate.authority());
            blob.starts_with(signed.message) && blob.len() - signed.message.len() == 4 + 4 + 11 + 4 + 64
        });
        assert_eq!(seen, Ok(()));
    }

    #[test]
    fn a_users_certificate_one_without_names_one_with_options_and_one_signed_with_sha_1_are_refused() {
        let whole = Certificate::from_blob(&blob()).expect("a certificate");
        let check = |one: Certificate| one.check("10.0.0.7", NOW, |_| true);
        assert_eq!(check(Certificate { kind: 1, ..whole.clone() }), Err(CertificateError::NotHost));
        let nobody = check(Certificate { principals: Vec::new(), ..whole.clone() }).expect_err("no name");
        assert_eq!(nobody.to_string(), "it is for no name, not for this host");
        assert_eq!(check(Certificate { critical: true, ..whole.clone() }), Err(CertificateError::Critical));
        for algorithm in ["ssh-rsa", "rsa-sha2-512", "ecdsa-sha2-nistp256", "none"] {
            let odd = Certificate { algorithm: algorithm.to_owned(), ..whole.clone() };
            assert_eq!(check(odd), Err(CertificateError::Algorithm(algorithm.to_owned())));
        }
    }

    #[test]
    fn a_cut_or_prolonged_certificate_is_none() {
        let blob = blob();
        for end in 0..blob.len() {
            assert!(Certificate::from_blob(&blob[..end]).is_err(), "{end}");
        }
        assert!(Certificate::from_blob(&[blob.as_slice(), b"x"].concat()).is_err());
        let plain = [&b"\0\0\0\x0bssh-ed25519\0\0\0\x20"[..], &[7; 32]].concat();
        assert!(!Certificate::is_one(&plain) && Certificate::from_blob(&plain).is_err());
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(4_107_542_399), "2100-02-28 23:59 UTC");
        assert_eq!(date(u64::MAX), "forever");
        assert!(date(u64::MAX - 1).ends_with("s after 1970"));
    }
}
