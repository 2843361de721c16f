//! How programs write a value that they were given, in messages, logs and dumps.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::MIN_SECRET;

/// The value as it is and as programs write it, each once.
pub(super) fn forms_of(value: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
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
