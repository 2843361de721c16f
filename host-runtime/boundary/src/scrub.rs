//! Bytes that may hold a secret become bytes that do not: wherever a value stands, `<secret:SLOT>` stands instead.
//!
//! It works on raw bytes as they come from a machine, before anything is cut, shown or handed to a provider. A value is
//! found as it is and as programs write it when they report what they were given: in JSON, percent-encoded, in the
//! quoting of shells and of `%q`, in hex, and in base64 at any of its three alignments. Where bytes end early (a lost
//! connection, a file at its limit), a part of a value at that end goes too.
//!
//! What it cannot find: a value that a program cut, reversed, compressed or encrypted, and base64 broken into lines
//! within the value. Values under [`MIN_SECRET`] bytes are refused, since they would be found where they are not.
//! Not for: making text safe to show ([`crate::text`]).

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// The fewest bytes a secret may have.
pub const MIN_SECRET: usize = 8;
/// The most bytes a secret may have: room for any key or token, and a bound for what the search costs.
pub const MAX_SECRET: usize = 16 * 1024;

/// The shortest part of a value that is marked at a cut. A shorter one is dropped without a mark, since most likely it
/// is none.
const MIN_MARKED_PART: usize = 4;

/// A stream looks for values each time this much has come on top of what it must hold back.
const BATCH: usize = 16 * 1024;

/// Why a value cannot be used as a secret. It names the slot and never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeakSecret {
    /// Under [`MIN_SECRET`] bytes.
    #[error(
        "the secret `{slot}` has {found} bytes; at least {MIN_SECRET} are needed, or it could not be told from ordinary output"
    )]
    Short {
        /// The slot.
        slot: String,
        /// How many bytes it has.
        found: usize,
    },
    /// Over [`MAX_SECRET`] bytes.
    #[error("the secret `{slot}` has {found} bytes; at most {MAX_SECRET} are sent")]
    Long {
        /// The slot.
        slot: String,
        /// How many bytes it has.
        found: usize,
    },
    /// It holds a NUL.
    #[error("the secret `{slot}` holds a NUL byte, which no shell can hand on")]
    Nul {
        /// The slot.
        slot: String,
    },
}

/// Whether this value can be sent and found again.
///
/// # Errors
/// Why not.
pub fn check(slot: &str, value: &[u8]) -> Result<(), WeakSecret> {
    let found = value.len();
    match found {
        0..MIN_SECRET => Err(WeakSecret::Short { slot: slot.to_owned(), found }),
        _ if found > MAX_SECRET => Err(WeakSecret::Long { slot: slot.to_owned(), found }),
        _ if value.contains(&0) => Err(WeakSecret::Nul { slot: slot.to_owned() }),
        _ => Ok(()),
    }
}

/// Finds a fixed set of secrets. Cheap to clone.
#[derive(Clone, Default)]
pub struct Scrubber(Option<Arc<Search>>);

struct Search {
    automaton: AhoCorasick,
    /// Every form of every value, in the automaton's order.
    forms: Vec<Zeroizing<Vec<u8>>>,
    /// For each form, what stands in its place.
    markers: Vec<Arc<[u8]>>,
    /// The length of the longest form.
    longest: usize,
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrubber").field("forms", &self.0.as_ref().map_or(0, |search| search.forms.len())).finish()
    }
}

impl Scrubber {
    /// One that finds these values, each under the name of its slot. None of them: it changes nothing.
    ///
    /// # Errors
    /// When a value cannot be a secret.
    pub fn new<'a>(values: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, WeakSecret> {
        let mut forms = Vec::new();
        let mut markers = Vec::new();
        for (slot, value) in values {
            check(slot, value)?;
            let marker: Arc<[u8]> = format!("<secret:{slot}>").into_bytes().into();
            for form in forms_of(value) {
                forms.push(form);
                markers.push(Arc::clone(&marker));
            }
        }
        if forms.is_empty() {
            return Ok(Self(None));
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            // The fastest kind has a table of all states and bytes: hundreds of megabytes for long values.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(forms.iter().map(|form| form.as_slice()));
        let Ok(automaton) = automaton else {
            unreachable!("the automaton's limits are far beyond what `check` lets through");
        };
        let longest = forms.iter().map(|form| form.len()).max().unwrap_or(0);
        Ok(Self(Some(Arc::new(Search { automaton, forms, markers, longest }))))
    }

    /// The same bytes without the values. They are all there: nothing was cut from them.
    #[must_use]
    pub fn scrub(&self, bytes: &[u8]) -> Vec<u8> {
        self.whole(bytes, false)
    }

    /// The same for bytes whose end is missing, so that a part of a value there goes too.
    #[must_use]
    pub fn scrub_cut(&self, bytes: &[u8]) -> Vec<u8> {
        self.whole(bytes, true)
    }

    fn whole(&self, bytes: &[u8], cut: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        match &self.0 {
            None => out.extend_from_slice(bytes),
            Some(search) => {
                let seen = search.replace(bytes, bytes.len(), &mut out);
                search.end(&bytes[seen..], cut, &mut out);
            }
        }
        out
    }

    /// For bytes that come piece by piece.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream { search: self.0.clone(), held: Vec::new() }
    }
}

impl Search {
    /// Writes `bytes` up to at least `limit` with every value that begins before `limit` replaced, and says up to where.
    fn replace(&self, bytes: &[u8], limit: usize, out: &mut Vec<u8>) -> usize {
        let mut seen = 0;
        for found in self.automaton.find_iter(bytes) {
            if found.start() >= limit {
                break;
            }
            out.extend_from_slice(&bytes[seen..found.start()]);
            out.extend_from_slice(&self.markers[found.pattern().as_usize()]);
            seen = found.end();
        }
        if seen < limit && limit < bytes.len() {
            out.extend_from_slice(&bytes[seen..limit]);
            seen = limit;
        }
        seen
    }

    /// Writes the rest, which holds no whole value. At a cut, a part of one at its end goes.
    fn end(&self, rest: &[u8], cut: bool, out: &mut Vec<u8>) {
        let part = if cut { self.part_at_end(rest) } else { None };
        match part {
            None => out.extend_from_slice(rest),
            Some((length, form)) => {
                out.extend_from_slice(&rest[..rest.len() - length]);
                if length >= MIN_MARKED_PART {
                    out.extend_from_slice(&self.markers[form]);
                }
            }
        }
    }

    /// The longest end of `bytes` that a form begins with, and that form.
    fn part_at_end(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let from = bytes.len().saturating_sub(self.longest);
        (from..bytes.len()).find_map(|start| {
            let end = &bytes[start..];
            let form = self.forms.iter().position(|form| form.starts_with(end))?;
            Some((end.len(), form))
        })
    }
}

/// The same replacement for bytes that come piece by piece, however they are cut into pieces.
///
/// It holds back what may be the beginning of a value, and some more: what was pushed is all out after `finish` only.
#[derive(Clone, Default)]
pub struct Stream {
    search: Option<Arc<Search>>,
    held: Vec<u8>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("held", &self.held.len()).finish()
    }
}

impl Stream {
    /// Takes a piece and writes what is safe to pass on.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let Some(search) = &self.search else {
            out.extend_from_slice(piece);
            return;
        };
        self.held.extend_from_slice(piece);
        // A value that begins before `limit` ends within what is held, so the longest of several is known.
        let limit = (self.held.len() + 1).saturating_sub(search.longest);
        if limit >= BATCH {
            let seen = search.replace(&self.held, limit, out);
            self.held.drain(..seen);
        }
    }

    /// Writes the rest. `cut` says that bytes should have followed and did not.
    pub fn finish(self, cut: bool, out: &mut Vec<u8>) {
        if let Some(search) = &self.search {
            let seen = search.replace(&self.held, self.held.len(), out);
            search.end(&self.held[seen..], cut, out);
        }
    }
}

/// The value as it is and as programs write it, each once.
fn forms_of(value: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms: Vec<Zeroizing<Vec<u8>>> = Vec::new();
    let mut add = |form: Vec<u8>| {
        let form = Zeroizing::new(form);
        if form.len() >= MIN_SECRET && !forms.contains(&form) {
            forms.push(form);
        }
    };
    add(value.to_vec());
    // `$(…)` and many programs take blanks and line ends off a value that was read from somewhere.
    let value = match value.trim_ascii() {
        trimmed if trimmed.len() >= MIN_SECRET => trimmed,
        _ => value,
    };
    add(value.to_vec());
    for escape in [json_minimal, json_html, json_slash, json_ascii_lower, json_ascii_upper] {
        add(escaped(value, escape));
    }
    for escape in [percent_rfc3986, percent_component, percent_form, percent_path, percent_all] {
        let upper = escaped(value, escape);
        add(lower_percent(&upper));
        add(upper);
    }
    for escape in [shell_backslash, shell_single, shell_ansi_c, shell_double, quoted_go, quoted_rust, quoted_octal] {
        add(escaped(value, escape));
    }
    add(escaped(value, |out, c| hex(out, "", c, "0123456789abcdef")));
    add(escaped(value, |out, c| hex(out, "", c, "0123456789ABCDEF")));
    for before in 0..3 {
        let mut padded = Zeroizing::new(vec![0; before]);
        padded.extend_from_slice(value);
        // Only the characters that depend on nothing but the value: six bits each, from the first whole one on.
        let range = (before * 8).div_ceil(6)..padded.len() * 8 / 6;
        add(STANDARD_NO_PAD.encode(&*padded).as_bytes()[range.clone()].to_vec());
        add(URL_SAFE_NO_PAD.encode(&*padded).as_bytes()[range].to_vec());
    }
    forms
}

/// One piece of a value: a character, or a byte that belongs to none.
#[derive(Clone, Copy)]
enum Piece {
    Char(char),
    Byte(u8),
}

impl Piece {
    fn bytes(self, buffer: &mut [u8; 4]) -> &[u8] {
        match self {
            Piece::Char(c) => c.encode_utf8(buffer).as_bytes(),
            Piece::Byte(byte) => {
                buffer[0] = byte;
                &buffer[..1]
            }
        }
    }

    fn ascii(self) -> Option<u8> {
        match self {
            Piece::Char(c) => u8::try_from(c).ok().filter(u8::is_ascii),
            Piece::Byte(_) => None,
        }
    }
}

fn escaped(value: &[u8], escape: impl Fn(&mut Vec<u8>, Piece)) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 6);
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            escape(&mut out, Piece::Char(c));
        }
        for &byte in chunk.invalid() {
            escape(&mut out, Piece::Byte(byte));
        }
    }
    out
}

fn raw(out: &mut Vec<u8>, piece: Piece) {
    out.extend_from_slice(piece.bytes(&mut [0; 4]));
}

fn backslash(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[b'\\', byte]);
}

fn hex(out: &mut Vec<u8>, before: &str, piece: Piece, digits: &str) {
    let digits = digits.as_bytes();
    for &byte in piece.bytes(&mut [0; 4]) {
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(&[digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
    }
}

fn octal(out: &mut Vec<u8>, piece: Piece) {
    for &byte in piece.bytes(&mut [0; 4]) {
        out.extend_from_slice(&[b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]);
    }
}

/// The one-letter escapes that JSON, C and shells share.
fn letter(byte: u8) -> Option<u8> {
    Some(match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        8 => b'b',
        12 => b'f',
        _ => return None,
    })
}

fn json_minimal(out: &mut Vec<u8>, piece: Piece) {
    match piece.ascii() {
        Some(byte @ (b'"' | b'\\')) => backslash(out, byte),
        Some(byte) if letter(byte).is_some() => backslash(out, letter(byte).unwrap_or(byte)),
        Some(byte) if byte < 0x20 => unicode(out, u16::from(byte), false),
        _ => raw(out, piece),
    }
}

/// As Go writes it: safe to stand in HTML.
fn json_html(out: &mut Vec<u8>, piece: Piece) {
    match piece {
        Piece::Char(c @ ('<' | '>' | '&' | '\u{2028}' | '\u{2029}')) => unicode(out, c as u16, false),
        _ => json_minimal(out, piece),
    }
}

fn json_slash(out: &mut Vec<u8>, piece: Piece) {
    match piece.ascii() {
        Some(b'/') => backslash(out, b'/'),
        _ => json_minimal(out, piece),
    }
}

fn json_ascii_lower(out: &mut Vec<u8>, piece: Piece) {
    json_ascii(out, piece, false);
}

fn json_ascii_upper(out: &mut Vec<u8>, piece: Piece) {
    json_ascii(out, piece, true);
}

fn json_ascii(out: &mut Vec<u8>, piece: Piece, upper: bool) {
    match piece {
        Piece::Char(c) if !c.is_ascii() => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                unicode(out, *unit, upper);
            }
        }
        _ => json_minimal(out, piece),
    }
}

fn unicode(out: &mut Vec<u8>, unit: u16, upper: bool) {
    let text = if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
    out.extend_from_slice(text.as_bytes());
}

fn percent(out: &mut Vec<u8>, piece: Piece, kept: &[u8]) {
    match piece.ascii() {
        Some(byte) if byte.is_ascii_alphanumeric() || kept.contains(&byte) => out.push(byte),
        _ => hex(out, "%", piece, "0123456789ABCDEF"),
    }
}

fn percent_rfc3986(out: &mut Vec<u8>, piece: Piece) {
    percent(out, piece, b"-._~");
}

/// As browsers' `encodeURIComponent` writes it.
fn percent_component(out: &mut Vec<u8>, piece: Piece) {
    percent(out, piece, b"-._~!*'()");
}

/// As a form is sent, and as Go's `url.QueryEscape` writes it.
fn percent_form(out: &mut Vec<u8>, piece: Piece) {
    match piece.ascii() {
        Some(b' ') => out.push(b'+'),
        _ => percent(out, piece, b"-._~"),
    }
}

/// As a segment of a path is written by Go and by Python's `quote`.
fn percent_path(out: &mut Vec<u8>, piece: Piece) {
    percent(out, piece, b"-._~$&+=:@/");
}

fn percent_all(out: &mut Vec<u8>, piece: Piece) {
    hex(out, "%", piece, "0123456789ABCDEF");
}

/// The same with the hex digits after each `%` in lower case.
fn lower_percent(upper: &[u8]) -> Vec<u8> {
    let mut lower = upper.to_vec();
    for place in 0..lower.len() {
        if lower[place] == b'%' {
            let end = lower.len().min(place + 3);
            lower[place + 1..end].make_ascii_lowercase();
        }
    }
    lower
}

/// bash's `printf %q` for a value without control characters.
fn shell_backslash(out: &mut Vec<u8>, piece: Piece) {
    match piece.ascii() {
        Some(byte) if !byte.is_ascii_alphanumeric() && !b"_-./:=@%+".contains(&byte) => backslash(out, byte),
        _ => raw(out, piece),
    }
}

/// Within single quotes, as shells print a value that can be read back.
fn shell_single(out: &mut Vec<u8>, piece: Piece) {
    match piece.ascii() {
        Some(b'\'') => out.extend_from_slice(b"'\\''"),
        _ => raw(out, piece),
    }
}

/// Within `$'…'`, as bash's `printf %q` writes a value with control characters.
fn shell_ansi_c(out: &mut Vec<u8>, piece: Piece) {
    match piece.ascii() {
        Some(byte @ (b'\'' | b'\\')) => backslash(out, byte),
        Some(byte) if letter(byte).is_some() => backslash(out, letter(byte).unwrap_or(byte)),
        Some(7) => backslash(out, b'a'),
        Some(11) => backslash(out, b'v'),
        Some(27) => backslash(out, b'E'),
        Some(byte) if byte.is_ascii_graphic() || byte == b' ' => out.push(byte),
        _ => octal(out, piece),
    }
}

/// Within double quotes of a shell.
fn shell_double(out: &mut Vec<u8>, piece: Piece) {
    match piece.ascii() {
        Some(byte @ (b'"' | b'\\' | b'$' | b'`')) => backslash(out, byte),
        _ => raw(out, piece),
    }
}

/// Go's `%q`, C strings, Python's `repr` in double quotes.
fn quoted_go(out: &mut Vec<u8>, piece: Piece) {
    match piece.ascii() {
        Some(byte @ (b'"' | b'\\')) => backslash(out, byte),
        Some(byte) if letter(byte).is_some() => backslash(out, letter(byte).unwrap_or(byte)),
        Some(7) => backslash(out, b'a'),
        Some(11) => backslash(out, b'v'),
        Some(byte) if byte.is_ascii_graphic() || byte == b' ' => out.push(byte),
        None if matches!(piece, Piece::Char(_)) => raw(out, piece),
        _ => hex(out, "\\x", piece, "0123456789abcdef"),
    }
}

/// Rust's `{:?}`.
fn quoted_rust(out: &mut Vec<u8>, piece: Piece) {
    match piece {
        Piece::Char(c) => {
            let mut text = String::new();
            // Writing to a String cannot fail.
            let _ = write!(text, "{}", c.escape_debug());
            // A single quote stands as it is within double quotes.
            out.extend_from_slice(if c == '\'' { b"'" } else { text.as_bytes() });
        }
        Piece::Byte(_) => hex(out, "\\x", piece, "0123456789ABCDEF"),
    }
}

/// As `ls -b`, `git` and systemd write bytes that are not plain.
fn quoted_octal(out: &mut Vec<u8>, piece: Piece) {
    match piece.ascii() {
        Some(byte @ (b'"' | b'\\')) => backslash(out, byte),
        Some(byte) if byte.is_ascii_graphic() || byte == b' ' => out.push(byte),
        _ => octal(out, piece),
    }
}
