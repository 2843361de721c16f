//! A server's public key: read from its wire form, compared, named and fingerprinted.
//!
//! Only the form is checked, and brought to the one canonical encoding, so that equal bytes mean equal keys: otherwise
//! a revoked key, encoded in another way, would be a new one. Not for: cryptography. That the server holds the private
//! half is proved by the SSH library.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// The fewest bits of an RSA modulus, as OpenSSH has it.
const RSA_MIN_BITS: usize = 1024;

/// The type of a host key. One type can be used with several signature algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KeyType {
    /// `ssh-ed25519`
    Ed25519,
    /// `ecdsa-sha2-nistp256`
    EcdsaP256,
    /// `ecdsa-sha2-nistp384`
    EcdsaP384,
    /// `ecdsa-sha2-nistp521`
    EcdsaP521,
    /// `ssh-rsa`, signed with `rsa-sha2-512`, `rsa-sha2-256` or `ssh-rsa`
    Rsa,
    /// `ssh-dss`: read in files, so that a host known by one is known; nothing negotiates it any more
    Dss,
    /// `sk-ssh-ed25519@openssh.com`
    SkEd25519,
    /// `sk-ecdsa-sha2-nistp256@openssh.com`
    SkEcdsaP256,
}

/// What follows the type's name in the wire form.
#[derive(Clone, Copy)]
enum Field {
    /// A positive integer.
    Mpint,
    /// The modulus of RSA.
    Modulus,
    /// Exactly these bytes.
    Exactly(&'static [u8]),
    /// So many bytes.
    Bytes(usize),
    /// An uncompressed point of a curve whose coordinates have so many bytes.
    Point(usize),
    /// Anything.
    Text,
}

impl KeyType {
    pub(super) const ALL: [Self; 8] = [
        Self::Ed25519,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::Rsa,
        Self::Dss,
        Self::SkEd25519,
        Self::SkEcdsaP256,
    ];

    /// Its name, as it stands in `known_hosts` and in the key itself.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::EcdsaP521 => "ecdsa-sha2-nistp521",
            Self::Rsa => "ssh-rsa",
            Self::Dss => "ssh-dss",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    /// What OpenSSH calls it when it speaks to people: `ED25519`, `RSA`.
    #[must_use]
    pub fn short(self) -> &'static str {
        match self {
            Self::Ed25519 => "ED25519",
            Self::EcdsaP256 | Self::EcdsaP384 | Self::EcdsaP521 => "ECDSA",
            Self::Rsa => "RSA",
            Self::Dss => "DSA",
            Self::SkEd25519 => "ED25519-SK",
            Self::SkEcdsaP256 => "ECDSA-SK",
        }
    }

    /// The type of the plain keys that a host-key algorithm uses. `None` for certificates and for what is not known.
    #[must_use]
    pub fn of_algorithm(name: &str) -> Option<Self> {
        match name {
            "rsa-sha2-256" | "rsa-sha2-512" => Some(Self::Rsa),
            _ => Self::ALL.into_iter().find(|each| each.name() == name),
        }
    }

    /// How many strings follow the type's name in the wire form.
    pub(super) fn parts(self) -> usize {
        self.fields().len()
    }

    fn fields(self) -> &'static [Field] {
        use Field::{Bytes, Exactly, Modulus, Mpint, Point, Text};
        match self {
            Self::Ed25519 => &[Bytes(32)],
            Self::EcdsaP256 => &[Exactly(b"nistp256"), Point(32)],
            Self::EcdsaP384 => &[Exactly(b"nistp384"), Point(48)],
            Self::EcdsaP521 => &[Exactly(b"nistp521"), Point(66)],
            Self::Rsa => &[Mpint, Modulus],
            Self::Dss => &[Mpint, Mpint, Mpint, Mpint],
            Self::SkEd25519 => &[Bytes(32), Text],
            Self::SkEcdsaP256 => &[Exactly(b"nistp256"), Point(32), Text],
        }
    }
}

impl std::fmt::Display for KeyType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why bytes are not a host key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A type that is not read here: certificates among them.
    #[error("the host key has the type `{0}`, which is not supported")]
    Type(String),
    /// The bytes do not have the form of their type.
    #[error("the host key is malformed: its {0}")]
    Form(&'static str),
}

/// A server's public key in its canonical form.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostKey {
    kind: KeyType,
    blob: Vec<u8>,
}

impl HostKey {
    /// Reads a key from its wire form, as a server sends it (RFC 4253 §6.6).
    ///
    /// # Errors
    /// When the type is not supported, or the bytes do not have the form of their type.
    pub fn from_blob(blob: &[u8]) -> Result<Self, KeyError> {
        let mut rest = blob;
        let name = string(&mut rest).ok_or(KeyError::Form("type is cut off"))?;
        let kind = KeyType::ALL
            .into_iter()
            .find(|kind| kind.name().as_bytes() == name)
            .ok_or_else(|| KeyError::Type(name.escape_ascii().take(80).map(char::from).collect()))?;
        let mut canonical = Vec::with_capacity(blob.len());
        put(&mut canonical, name);
        for field in kind.fields() {
            let value = string(&mut rest).ok_or(KeyError::Form("bytes are cut off"))?;
            put(&mut canonical, &field.canonical(value)?);
        }
        if !rest.is_empty() {
            return Err(KeyError::Form("bytes go on after its end"));
        }
        Ok(Self { kind, blob: canonical })
    }

    /// Reads a key from its text form, `ssh-ed25519 AAAA…`, where a comment may follow.
    #[must_use]
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let mut words = text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
        let named = KeyType::of_algorithm(std::str::from_utf8(words.next()?).ok()?)?;
        // What OpenSSH's decoder passes over: a carriage return at the end of a line, above all.
        let encoded: Vec<u8> =
            words.next()?.iter().copied().filter(|byte| !matches!(byte, b'\r' | 0x0b | 0x0c)).collect();
        let key = Self::from_blob(&STANDARD.decode(encoded).ok()?).ok()?;
        (key.kind == named).then_some(key)
    }

    /// Its type.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.kind
    }

    /// Its canonical wire form.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// `SHA256:…`, as OpenSSH prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.blob)))
    }
}

/// The text form, without a comment.
impl std::fmt::Display for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, STANDARD.encode(&self.blob))
    }
}

impl std::fmt::Debug for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.fingerprint())
    }
}

impl Field {
    /// The one way in which this field's value is written.
    fn canonical(self, value: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, KeyError> {
        let fits = match self {
            Self::Text => true,
            Self::Exactly(wanted) => value == wanted,
            Self::Bytes(length) => value.len() == length,
            // A compressed point is another writing of the same key; OpenSSH reads none.
            Self::Point(coordinate) => value.len() == 2 * coordinate + 1 && value.first() == Some(&4),
            Self::Mpint | Self::Modulus => return self.canonical_integer(value),
        };
        if fits { Ok(value.into()) } else { Err(KeyError::Form("bytes do not fit its type")) }
    }

    fn canonical_integer(self, value: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, KeyError> {
        if value.first().is_some_and(|first| first & 0x80 != 0) {
            return Err(KeyError::Form("numbers are negative"));
        }
        let zeros = value.iter().take_while(|byte| **byte == 0).count();
        let digits = value.get(zeros..).unwrap_or_default();
        let Some(first) = digits.first() else { return Err(KeyError::Form("numbers are zero")) };
        let bits = digits.len() * 8 - first.leading_zeros() as usize;
        if matches!(self, Self::Modulus) && bits < RSA_MIN_BITS {
            return Err(KeyError::Form("modulus is shorter than 1024 bits"));
        }
        // One zero stands in front where the first digit would read as a sign.
        let canonical = if first & 0x80 == 0 { digits } else { value.get(zeros - 1..).unwrap_or_default() };
        Ok(canonical.into())
    }
}

/// Takes one length-prefixed string off the front.
pub(super) fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (value, tail) = tail.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = tail;
    Some(value)
}

pub(super) fn put(blob: &mut Vec<u8>, value: &[u8]) {
    // No value here is longer than the blob that it came from, whose length fits the same prefix.
    blob.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    blob.extend_from_slice(value);
}
