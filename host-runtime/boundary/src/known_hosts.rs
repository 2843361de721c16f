//! `known_hosts` files, read and matched as OpenSSH does it.
//!
//! Hashed names, `[host]:port`, wildcards, negation, `@revoked`, `@cert-authority`, comments, lines of any length, CRLF,
//! several files; a line that cannot be read is passed over and counted. libssh2's own check gets most of these wrong.
//!
//! ```
//! use boundary::known_hosts::{HostKey, KnownHosts, Verdict};
//!
//! let line = b"app-*.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMRLmVJuDpPt6vv1yC0a1aTmNuDRCHNNT9kbRIwGZA1q";
//! let mut known = KnownHosts::default();
//! known.add("~/.ssh/known_hosts", line);
//!
//! let shown = HostKey::from_text(b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMRLmVJuDpPt6vv1yC0a1aTmNuDRCHNNT9kbRIwGZA1q").unwrap();
//! let host = known.host("app-1.example.com", 22);
//! assert!(matches!(host.check(&shown), Verdict::Trusted { .. }));
//! ```
//!
//! Three things differ from OpenSSH 9.2 and 10, all on purpose; the first two can only refuse more:
//! * A key that is revoked for a host's plain name is revoked at all of its ports. OpenSSH adds it with `accept-new`.
//! * `@revoked` counts when a tab follows it. OpenSSH passes over such a line.
//! * With a port of its own, the key types known for the plain name are preferred too ([`Known::prefer`]), since the
//!   plain name's keys are trusted there: OpenSSH then asks for another type, and finds the host unknown.
//!
//! A `@cert-authority` line trusts certificates and never the authority's key as a host's own. Not for: cryptography
//! ([`Certificate::check`] is given it), and reading files.

mod certificate;
mod console;
mod key;
mod pin;

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

pub use certificate::{Certificate, CertificateError, Signed};
pub use console::{Named, pins};
pub use key::{HostKey, KeyError, KeyType};
pub use pin::Pin;

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named to [`KnownHosts::add`].
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A key that a file holds for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Where.
    pub place: Place,
    /// The key.
    pub key: HostKey,
}

/// What the files say of a key that a server shows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is the host's.
    Trusted {
        /// The line that says so.
        place: Place,
    },
    /// No file holds a key for this name. Only here may `accept-new` add one.
    Unknown {
        /// With a port of its own: other keys that are known for the plain name.
        plain: Vec<KnownKey>,
        /// Certificate authorities whose lines cover the host.
        authorities: Vec<Place>,
    },
    /// The files hold other keys for this name, of the same type or of others, and not this one.
    Changed {
        /// Those keys, in the order of the lines.
        known: Vec<KnownKey>,
    },
    /// A line says that this key must not be trusted for this host.
    Revoked {
        /// The line.
        place: Place,
    },
}

/// The lines of any number of `known_hosts` files, ready to be asked for many hosts.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    files: Vec<String>,
    lines: Vec<Line>,
    /// Lines whose names are all plain, by name: most lines of most files.
    plain: HashMap<Vec<u8>, Vec<usize>>,
    /// Lines that must be tried one by one.
    tried: Vec<usize>,
    junk: Vec<(usize, usize)>,
}

#[derive(Debug, Clone)]
struct Line {
    file: usize,
    number: usize,
    names: Names,
    marker: Marker,
    key: HostKey,
}

#[derive(Debug, Clone)]
enum Names {
    /// Found through the index.
    Plain,
    /// Patterns, in lower case.
    Patterns(Vec<u8>),
    /// `|1|salt|hash`: HMAC-SHA1 of the name, keyed with the salt.
    Hashed { salt: [u8; 20], hash: [u8; 20] },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    None,
    Authority,
    Revoked,
}

impl KnownHosts {
    /// Adds a file's lines after those of the files before it. `file` is how messages call it.
    pub fn add(&mut self, file: &str, bytes: &[u8]) {
        let place = self.files.len();
        self.files.push(file.to_owned());
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            // OpenSSH reads lines as C strings.
            let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
            let line = after_blanks(line);
            if line.is_empty() || line.starts_with(b"#") || line == b"\r" {
                continue;
            }
            match read(line) {
                Some((marker, names, key)) => self.push(place, index + 1, marker, names, key),
                None => self.junk.push((place, index + 1)),
            }
        }
    }

    fn push(&mut self, file: usize, number: usize, marker: Marker, names: Names, key: HostKey) {
        let index = self.lines.len();
        let names = match names {
            Names::Patterns(list)
                if !list.iter().any(|byte| matches!(byte, b'*' | b'?' | b'!')) && !too_long(&list) =>
            {
                for name in list.split(|byte| *byte == b',') {
                    let lines = self.plain.entry(name.to_vec()).or_default();
                    if lines.last() != Some(&index) {
                        lines.push(index);
                    }
                }
                Names::Plain
            }
            names => {
                self.tried.push(index);
                names
            }
        };
        self.lines.push(Line { file, number, names, marker, key });
    }

    /// The lines that are neither empty, nor comments, nor readable: worth a word to their owner, and else without effect.
    pub fn junk(&self) -> impl Iterator<Item = Place> + '_ {
        self.junk.iter().map(|(file, line)| self.place(*file, *line))
    }

    /// All that the files say of one server. The name is the one that was asked for (or its `HostKeyAlias`, with port
    /// 22), never the address that it resolved to.
    #[must_use]
    pub fn host(&self, host: &str, port: u16) -> Known<'_> {
        let plain = host.to_ascii_lowercase();
        let at_port = (port != 22).then(|| self.find(format!("[{plain}]:{port}").as_bytes()));
        Known { hosts: self, plain: self.find(plain.as_bytes()), at_port }
    }

    /// The lines for a name, in their order.
    fn find(&self, name: &[u8]) -> Vec<usize> {
        let mut found = self.plain.get(name).cloned().unwrap_or_default();
        found.extend(self.tried.iter().copied().filter(|index| {
            self.lines.get(*index).is_some_and(|line| match &line.names {
                Names::Plain => false,
                Names::Patterns(list) => matches_list(name, list),
                Names::Hashed { salt, hash } => hmac_sha1(salt, name).is_some_and(|mac| mac == *hash),
            })
        }));
        found.sort_unstable();
        found
    }

    fn place(&self, file: usize, line: usize) -> Place {
        Place { file: self.files.get(file).cloned().unwrap_or_default(), line }
    }
}

/// What the files say of one server.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    hosts: &'a KnownHosts,
    plain: Vec<usize>,
    /// Lines for `[host]:port`; `None` for port 22, which has no such name.
    at_port: Option<Vec<usize>>,
}

impl Known<'_> {
    /// Judges the key that the server shows.
    #[must_use]
    pub fn check(&self, shown: &HostKey) -> Verdict {
        if let Some(place) = self.revoked(shown) {
            return Verdict::Revoked { place };
        }
        let plain = self.keys(&self.plain);
        let named = self.at_port.as_ref().map_or_else(|| plain.clone(), |lines| self.keys(lines));
        if let Some(same) = named.iter().find(|known| known.key == *shown) {
            return Verdict::Trusted { place: same.place.clone() };
        }
        if !named.is_empty() {
            return Verdict::Changed { known: named };
        }
        if let Some(same) = plain.iter().find(|known| known.key == *shown) {
            return Verdict::Trusted { place: same.place.clone() };
        }
        let mut authorities: Vec<Place> = self.authorities().into_iter().map(|known| known.place).collect();
        authorities.sort();
        authorities.dedup();
        Verdict::Unknown { plain, authorities }
    }

    /// The keys of the authorities whose lines cover the host, in the order of the lines.
    #[must_use]
    pub fn authorities(&self) -> Vec<KnownKey> {
        let all = self.at_port.iter().flatten().chain(&self.plain);
        let mut found: Vec<KnownKey> = Vec::new();
        for line in self.lines(all).filter(|line| line.marker == Marker::Authority) {
            let known = KnownKey { place: self.place(line), key: line.key.clone() };
            if !found.contains(&known) {
                found.push(known);
            }
        }
        found
    }

    /// The line that revokes a key for this host.
    #[must_use]
    pub fn revoked(&self, key: &HostKey) -> Option<Place> {
        let all = self.at_port.iter().flatten().chain(&self.plain);
        self.lines(all).find(|line| line.marker == Marker::Revoked && line.key == *key).map(|line| self.place(line))
    }

    /// The types of the keys that can be trusted here, each once, in the order of the lines.
    #[must_use]
    pub fn key_types(&self) -> Vec<KeyType> {
        let named = self.at_port.as_ref().map(|lines| self.keys(lines)).filter(|keys| !keys.is_empty());
        let mut types = Vec::new();
        for known in named.unwrap_or_else(|| self.keys(&self.plain)) {
            if !types.contains(&known.key.key_type()) {
                types.push(known.key.key_type());
            }
        }
        types
    }

    /// Orders host-key algorithms for the negotiation: those of known keys first, both parts in the given order.
    /// Without it a server with several keys shows one that is not in the file, and looks like another server.
    /// Certificates are asked for, and first, only where a line names an authority for the host.
    #[must_use]
    pub fn prefer<'s>(&self, algorithms: &[&'s str]) -> Vec<&'s str> {
        let known = self.key_types();
        let certified = !self.authorities().is_empty();
        let (certificates, plain): (Vec<&str>, Vec<&str>) =
            algorithms.iter().partition(|name| name.contains("-cert-v"));
        let (known, rest): (Vec<&str>, Vec<&str>) =
            plain.iter().partition(|name| KeyType::of_algorithm(name).is_some_and(|kind| known.contains(&kind)));
        let certificates = if certified { certificates } else { Vec::new() };
        [certificates, known, rest].concat()
    }

    fn lines<'i>(&'i self, indices: impl Iterator<Item = &'i usize>) -> impl Iterator<Item = &'i Line> {
        indices.filter_map(|index| self.hosts.lines.get(*index))
    }

    /// The keys of the lines that name a host's own key.
    fn keys(&self, indices: &[usize]) -> Vec<KnownKey> {
        self.lines(indices.iter())
            .filter(|line| line.marker == Marker::None)
            .map(|line| KnownKey { place: self.place(line), key: line.key.clone() })
            .collect()
    }

    fn place(&self, line: &Line) -> Place {
        self.hosts.place(line.file, line.number)
    }
}

/// The line that makes a key trusted for a server, without its line end; for `accept-new`, once the verdict was
/// [`Verdict::Unknown`]. `None` for a name that would read as something else in the file, as OpenSSH has it.
#[must_use]
pub fn line(host: &str, port: u16, key: &HostKey) -> Option<String> {
    let plain = |c: char| c.is_ascii_graphic() && !"@?*#[]|'\"\\!,".contains(c);
    if host.is_empty() || !host.chars().all(plain) {
        return None;
    }
    let name = host.to_ascii_lowercase();
    Some(if port == 22 { format!("{name} {key}") } else { format!("[{name}]:{port} {key}") })
}

/// The same line as [`line()`], with the name hashed, as `HashKnownHosts` asks for. The salt must be random.
#[must_use]
pub fn hashed_line(host: &str, port: u16, key: &HostKey, salt: [u8; 20]) -> Option<String> {
    let plain = line(host, port, key)?;
    let (name, key) = plain.split_once(' ')?;
    let hash = hmac_sha1(&salt, name.as_bytes())?;
    Some(format!("|1|{}|{} {key}", STANDARD.encode(salt), STANDARD.encode(hash)))
}

/// A pattern covers a name, and cannot be taken out of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByPattern;

/// A line that names a host's own key, without this host: `None` when nothing is left of it.
///
/// # Errors
/// When the name does not stand there as it is.
pub fn without(line: &[u8], host: &str, port: u16) -> Result<Option<Vec<u8>>, ByPattern> {
    let text = after_blanks(line);
    let (names, rest) = split_word(text).ok_or(ByPattern)?;
    if names.starts_with(b"|") {
        return Ok(None);
    }
    let host = host.to_ascii_lowercase();
    let own = if port == 22 { host } else { format!("[{host}]:{port}") };
    let all: Vec<&[u8]> = names.split(|byte| *byte == b',').collect();
    let left: Vec<&[u8]> = all.iter().copied().filter(|name| !name.eq_ignore_ascii_case(own.as_bytes())).collect();
    if left.len() == all.len() || left.iter().any(|name| matches_list(own.as_bytes(), name)) {
        return Err(ByPattern);
    }
    if left.is_empty() {
        return Ok(None);
    }
    Ok(Some([left.join(&b","[..]).as_slice(), b" ", rest].concat()))
}

/// Reads a line that is not empty: marker, names, key.
fn read(line: &[u8]) -> Option<(Marker, Names, HostKey)> {
    let (marker, line) = if line.starts_with(b"@") {
        let (word, rest) = split_word(line)?;
        let marker = match word {
            b"@cert-authority" => Marker::Authority,
            b"@revoked" => Marker::Revoked,
            _ => return None,
        };
        (marker, rest)
    } else {
        (Marker::None, line)
    };
    let (names, rest) = split_word(line)?;
    let names = if names.starts_with(b"|") { hashed(names)? } else { Names::Patterns(names.to_ascii_lowercase()) };
    Some((marker, names, HostKey::from_text(rest)?))
}

/// The first word, and what follows the blanks after it. `None` when no blank follows.
fn split_word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
    let (word, rest) = line.split_at_checked(end)?;
    Some((word, after_blanks(rest)))
}

fn after_blanks(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    line.get(blanks..).unwrap_or_default()
}

fn hashed(names: &[u8]) -> Option<Names> {
    let mut parts = names.strip_prefix(b"|1|")?.split(|byte| *byte == b'|');
    let mut twenty = || STANDARD.decode(parts.next()?).ok()?.try_into().ok();
    let (salt, hash) = (twenty()?, twenty()?);
    parts.next().is_none().then_some(Names::Hashed { salt, hash })
}

fn hmac_sha1(salt: &[u8], name: &[u8]) -> Option<[u8; 20]> {
    let mut mac = Hmac::<Sha1>::new_from_slice(salt).ok()?;
    mac.update(name);
    Some(mac.finalize().into_bytes().into())
}

/// OpenSSH gives up on a list, with no match, where it meets a pattern of this many bytes.
const PATTERN_LIMIT: usize = 1023;

fn too_long(list: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|pattern| pattern.len() >= PATTERN_LIMIT)
}

/// Whether a comma-separated list of patterns covers a name: one matches, and none with `!` does.
fn matches_list(name: &[u8], list: &[u8]) -> bool {
    let mut covered = false;
    for pattern in list.split(|byte| *byte == b',') {
        let (negated, pattern) = pattern.strip_prefix(b"!").map_or((false, pattern), |rest| (true, rest));
        if pattern.len() >= PATTERN_LIMIT {
            return false;
        }
        if matches(name, pattern) {
            if negated {
                return false;
            }
            covered = true;
        }
    }
    covered
}

/// Whether a pattern covers all of a name: `*` any bytes, `?` any one. Goes back only to the last `*`, so it takes at
/// most the product of both lengths. The patterns of `ssh_config` are the same.
#[must_use]
pub fn matches(name: &[u8], pattern: &[u8]) -> bool {
    let (mut at, mut on) = (0, 0);
    // Where the last `*` stands, and how far the name is taken to reach into it.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(at) {
        match pattern.get(on) {
            Some(b'*') => {
                star = Some((on, at));
                on += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at += 1;
                on += 1;
            }
            _ => {
                let Some((place, reached)) = star else { return false };
                star = Some((place, reached + 1));
                at = reached + 1;
                on = place + 1;
            }
        }
    }
    pattern.get(on..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests;
