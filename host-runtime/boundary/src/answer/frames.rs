//! One stream of an answer, cut at our frames.
//!
//! A frame is a line end, the nonce, a blank, some words, a line end. The line end in front is ours and is taken off
//! what stands before it; it need not be there, since a daemon may write between the two.

use memchr::memmem;

/// The longest frame: `busy` and who holds the machine.
const MAX_FRAME: usize = 1024;
/// Where no frame has come yet, an end that looks like the first part of one is taken for one from this length on.
/// Less may well be the end of a sentence that a person must read.
const MIN_PART_OF_NOISE: usize = 9;

/// What stands in a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Bytes that are not ours.
    Bytes(&'a [u8]),
    /// What a frame says, without the nonce. Empty where a frame has no end.
    Frame(&'a [u8]),
}

#[derive(Debug)]
pub(super) struct Splitter {
    /// The line end, the nonce and the blank.
    mark: Vec<u8>,
    held: Vec<u8>,
}

impl Splitter {
    pub(super) fn new(nonce: &str) -> Self {
        Self { mark: format!("\n{nonce} ").into_bytes(), held: Vec::new() }
    }

    /// Takes a piece and hands on what is certain.
    pub(super) fn push(&mut self, piece: &[u8], mut each: impl FnMut(Part<'_>)) {
        self.held.extend_from_slice(piece);
        let bare = &self.mark[1..];
        let mut from = 0;
        while let Some(at) = memmem::find(&self.held[from..], bare) {
            let (before, after) = self.held[from..].split_at(at);
            let before = before.strip_suffix(b"\n").unwrap_or(before);
            if !before.is_empty() {
                each(Part::Bytes(before));
            }
            from += at;
            let words = &after[bare.len()..];
            match memchr::memchr(b'\n', &words[..words.len().min(MAX_FRAME)]) {
                Some(end) => {
                    each(Part::Frame(&words[..end]));
                    from += bare.len() + end + 1;
                }
                None if words.len() >= MAX_FRAME => {
                    each(Part::Frame(b""));
                    from += bare.len();
                }
                // Its end is still to come.
                None => {
                    self.held.drain(..from);
                    return;
                }
            }
        }
        // Whatever could become a frame with the next piece stays.
        let certain = self.held.len().saturating_sub(self.mark.len() - 1).max(from);
        if certain > from {
            each(Part::Bytes(&self.held[from..certain]));
        }
        self.held.drain(..certain);
    }

    /// The stream has ended. A part of a frame at its end says nothing and is not passed off as output.
    pub(super) fn finish(self, noise: bool, mut each: impl FnMut(Part<'_>)) {
        let mut rest = self.held.as_slice();
        let bare = &self.mark[1..];
        if let Some(at) = memmem::find(rest, bare) {
            rest = &rest[..at];
            rest = rest.strip_suffix(b"\n").unwrap_or(rest);
        } else {
            let is_part = |part: &[u8]| {
                self.mark.starts_with(part) && (!noise || part.len() >= MIN_PART_OF_NOISE)
                    || bare.starts_with(part) && !noise
            };
            let whole = (0..rest.len()).find(|from| is_part(&rest[*from..])).unwrap_or(rest.len());
            rest = &rest[..whole];
        }
        if !rest.is_empty() {
            each(Part::Bytes(rest));
        }
    }
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Begin { uid: Option<u32>, locked: bool, uptime: Option<u64>, connection: &'a [u8] },
    Busy(&'a [u8]),
    Moved(&'a [u8]),
    NoLock { uid: Option<u32>, why: &'a [u8] },
    NoSudo { tried: bool, why: &'a [u8] },
    NoPlace(&'a [u8]),
    NoPrintf,
    Ended { index: usize, end: End },
    Tar,
    End,
}

/// How the machine says that a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Exited {
        status: u8,
        /// For how long it ran, in hundredths of a second, by the machine's own uptime.
        ran: Option<u64>,
    },
    Skipped,
}

impl<'a> Frame<'a> {
    /// Reads one; `None` for what we do not write.
    pub(super) fn parse(words: &'a [u8]) -> Option<Self> {
        let (first, rest) = split_word(words);
        Some(match first {
            b"begin" => {
                let (uid, rest) = split_word(rest);
                let (lock, rest) = split_word(rest);
                let (uptime, connection) = split_word(rest);
                let locked = match lock {
                    b"locked" => true,
                    b"unlocked" => false,
                    _ => return None,
                };
                Self::Begin { uid: number(uid), locked, uptime: hundredths(uptime), connection }
            }
            b"busy" => Self::Busy(rest),
            b"moved" => Self::Moved(rest),
            b"no-lock" => {
                let (uid, why) = split_word(rest);
                Self::NoLock { uid: number(uid), why }
            }
            b"no-sudo" => {
                let (stage, why) = split_word(rest);
                match stage {
                    b"asks" => Self::NoSudo { tried: false, why },
                    b"refused" => Self::NoSudo { tried: true, why },
                    _ => return None,
                }
            }
            b"no-place" => Self::NoPlace(rest),
            b"no-printf" if rest.is_empty() => Self::NoPrintf,
            b"tar" if rest.is_empty() => Self::Tar,
            b"end" if rest.is_empty() => Self::End,
            index => Self::Ended { index: number(index)?, end: End::parse(rest)? },
        })
    }
}

impl End {
    /// Reads `STATUS START END`, from a frame or from a probe's file.
    pub(super) fn parse(words: &[u8]) -> Option<Self> {
        let (status, rest) = split_word(words);
        let (start, end) = split_word(rest);
        if (status, start, end) == (b"-", b"-", b"-") {
            return Some(Self::Skipped);
        }
        let ran = match (start, end) {
            (b"-", _) | (_, b"-") => None,
            _ => hundredths(end)?.checked_sub(hundredths(start)?),
        };
        Some(Self::Exited { status: number(status)?, ran })
    }
}

fn split_word(words: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', words) {
        Some(at) => (&words[..at], &words[at + 1..]),
        None => (words, b""),
    }
}

/// Digits and nothing else.
fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    if word.is_empty() || word.len() > 12 || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// `1234.56`, as `/proc/uptime` has it, in hundredths.
fn hundredths(word: &[u8]) -> Option<u64> {
    let dot = memchr::memchr(b'.', word)?;
    let (whole, part) = (&word[..dot], &word[dot + 1..]);
    if part.len() != 2 {
        return None;
    }
    Some(number::<u64>(whole)? * 100 + number::<u64>(part)?)
}
