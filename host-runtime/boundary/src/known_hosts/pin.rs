//! What an inventory says of a host's key: the key itself, or its fingerprint.
//!
//! Not for: the lines of a `known_hosts` file, which name hosts too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::HostKey;

/// One key that a host may show, as an inventory or a console log has it.
///
/// ```
/// use boundary::known_hosts::Pin;
///
/// let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMRLmVJuDpPt6vv1yC0a1aTmNuDRCHNNT9kbRIwGZA1q root@app-1";
/// let pin = Pin::parse(key).unwrap();
/// assert!(Pin::parse(&pin.fingerprint()).unwrap().fits(pin.key().unwrap()));
/// assert_eq!(Pin::parse("MD5:aa:bb"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pin {
    /// The key.
    Key(HostKey),
    /// The SHA-256 of its wire form.
    Fingerprint([u8; 32]),
}

impl Pin {
    /// Reads `ssh-ed25519 AAAA…`, where a comment may follow, or `SHA256:…`, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.strip_prefix("SHA256:") {
            Some(hash) => {
                let hash = STANDARD_NO_PAD.decode(hash.trim_end_matches('=')).ok()?;
                Some(Self::Fingerprint(hash.try_into().ok()?))
            }
            None => HostKey::from_text(text.as_bytes()).map(Self::Key),
        }
    }

    /// Whether it is this key.
    #[must_use]
    pub fn fits(&self, shown: &HostKey) -> bool {
        match self {
            Self::Key(key) => key == shown,
            Self::Fingerprint(_) => self.fingerprint() == shown.fingerprint(),
        }
    }

    /// The key, where it is known.
    #[must_use]
    pub fn key(&self) -> Option<&HostKey> {
        match self {
            Self::Key(key) => Some(key),
            Self::Fingerprint(_) => None,
        }
    }

    /// `SHA256:…`
    #[must_use]
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Key(key) => key.fingerprint(),
            Self::Fingerprint(hash) => format!("SHA256:{}", STANDARD_NO_PAD.encode(hash)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMRLmVJuDpPt6vv1yC0a1aTmNuDRCHNNT9kbRIwGZA1q";

    #[test]
    fn a_key_and_its_fingerprint_fit_that_key_and_no_other() {
        let key = HostKey::from_text(KEY.as_bytes()).expect("a key");
        let other = HostKey::from_blob(&[&b"\0\0\0\x0bssh-ed25519\0\0\0\x20"[..], &[7; 32]].concat()).expect("a key");
        for text in [KEY.to_owned(), format!("  {KEY} root@app-1 \n"), key.fingerprint(), key.fingerprint() + "="] {
            let pin = Pin::parse(&text).unwrap_or_else(|| panic!("{text}"));
            assert!(pin.fits(&key) && !pin.fits(&other), "{text}");
            assert_eq!(pin.fingerprint(), key.fingerprint());
        }
    }

    #[test]
    fn what_is_neither_is_no_pin() {
        for text in ["", "SHA256:", "SHA256:AAAA", "SHA256:*", "MD5:00:11", "ssh-ed25519", "ssh-ed25519 AAAA", "app-1"]
        {
            assert_eq!(Pin::parse(text), None, "{text}");
        }
    }
}
