//! Bytes that may hold a secret become bytes that do not: wherever a value stands, `<secret:SLOT>` stands instead.
//!
//! It works on raw bytes as they come from a machine, before anything is cut, shown or handed to a provider. A value is
//! found as it is and as programs write it when they report what they were given: in JSON, percent-encoded, in the
//! quoting of shells and of `%q`, in hex, and in base64 at any of its three alignments. Where bytes end early (a lost
//! connection, a file at its limit), a part of a value at that end goes too. A value with attributes behind it, as a query
//! stands behind an address (`…?name=value&…`), is found without them too, and so is each long one of them.
//!
//! What it cannot find: a value that a program cut, reversed, compressed or encrypted, and base64 broken into lines
//! within the value. Values under [`MIN_SECRET`] bytes are refused, since they would be found where they are not.
//! Not for: making text safe to show ([`crate::text`]).

mod forms;

use std::fmt;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use zeroize::Zeroizing;

use forms::forms_of;

/// The fewest bytes a secret may have.
pub const MIN_SECRET: usize = 8;
/// The most bytes a secret may have: room for any key or token, and a bound for what the search costs.
pub const MAX_SECRET: usize = 16 * 1024;

/// The fewest bytes of a piece between `?` and `&` that is looked for by itself: shorter ones may be ordinary words.
const MIN_PIECE: usize = 16;

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
            let pieces = value.split(|byte| b"?&".contains(byte)).filter(|piece| {
                // The value itself is there already.
                piece.len() >= MIN_PIECE && piece.len() < value.len()
            });
            for form in std::iter::once(value).chain(pieces).flat_map(forms_of) {
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

#[cfg(test)]
mod tests;
