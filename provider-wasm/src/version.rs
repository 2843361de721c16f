//! Tailscale's release numbers, compared as numbers and never as text.
//!
//! Not for: what a release does differently; that stands where it matters ([`crate::prefs`], [`crate::state`]).

use std::fmt;

/// `MAJOR.MINOR.PATCH` of a release; whatever follows in a version text (commit count, hash, packaging suffix) is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Major.
    pub major: u32,
    /// Minor: odd numbers are the unstable track.
    pub minor: u32,
    /// Patch.
    pub patch: u32,
}

impl Version {
    /// The oldest release on which the contract of this provider was seen to hold.
    pub const FLOOR: Version = Version::new(1, 80, 0);
    /// The first release whose exit code after a re-authentication can be believed.
    pub const RECOMMENDED: Version = Version::new(1, 90, 0);

    /// A version from its parts.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Reads the first line of what `tailscale version` prints: `1.102.3`, `1.44.0-123-gabcd`, `1.78.0-1`, `1.79.0-dev2024…`,
    /// `1.96.2_1 (Void Linux)`. A missing patch is 0. `None` when it does not begin with two numbers.
    #[must_use]
    pub fn of_release(text: &str) -> Option<Self> {
        let line = text.lines().next()?.trim();
        let mut rest = line;
        let major = number(&mut rest)?;
        rest = rest.strip_prefix('.')?;
        let minor = number(&mut rest)?;
        let patch = match rest.strip_prefix('.') {
            Some(tail) => {
                rest = tail;
                number(&mut rest)?
            }
            None => 0,
        };
        // `1.80.3abc` is no version that anybody prints: do not guess.
        match rest.chars().next() {
            None | Some('-' | '_' | '+' | '~' | ' ') => Some(Self { major, minor, patch }),
            Some(_) => None,
        }
    }

    /// Reads exactly `MAJOR.MINOR.PATCH`, as a config holds it.
    #[must_use]
    pub fn exact(text: &str) -> Option<Self> {
        let mut rest = text;
        let major = number(&mut rest)?;
        rest = rest.strip_prefix('.')?;
        let minor = number(&mut rest)?;
        rest = rest.strip_prefix('.')?;
        let patch = number(&mut rest)?;
        rest.is_empty().then_some(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Takes a run of one to six digits off the front.
fn number(rest: &mut &str) -> Option<u32> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > 6 {
        return None;
    }
    let (head, tail) = rest.split_at(digits);
    *rest = tail;
    head.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_releases_print_is_read_as_its_three_numbers() {
        for (text, wanted) in [
            ("1.102.3\n  tailscale commit: abc\n", (1, 102, 3)),
            ("1.102.3-ERR-BuildInfo\n  go version: go1.26.8\n", (1, 102, 3)),
            ("1.44.0-123-gabcd", (1, 44, 0)),
            ("1.78.0-1", (1, 78, 0)),
            ("1.79.0-dev20241018-t0123456", (1, 79, 0)),
            ("1.96.2_1 (Void Linux)", (1, 96, 2)),
            ("1.20", (1, 20, 0)),
            ("  1.80.3  \r\n", (1, 80, 3)),
        ] {
            let (major, minor, patch) = wanted;
            assert_eq!(Version::of_release(text), Some(Version::new(major, minor, patch)), "{text:?}");
        }
    }

    #[test]
    fn what_does_not_begin_with_a_version_is_not_guessed_at() {
        for text in [
            "",
            "\n1.2.3",
            "tailscale 1.2.3",
            "date.20200612",
            "1",
            "1.",
            "1.x.3",
            "1.2.",
            "1.2.3abc",
            "v1.2.3",
            "1.9999999.0",
        ] {
            assert_eq!(Version::of_release(text), None, "{text:?}");
        }
    }

    #[test]
    fn versions_compare_as_numbers_and_not_as_text() {
        assert!(Version::exact("1.102.3") > Version::exact("1.80.0"));
        assert!(Version::exact("1.9.10") < Version::exact("1.10.9"));
        assert_eq!(Version::exact("1.80"), None);
        assert_eq!(Version::exact("1.80.0-1"), None);
        assert_eq!(Version::exact("1.80.0").map(|version| version.to_string()).as_deref(), Some("1.80.0"));
    }
}
