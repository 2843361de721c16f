//! The raw bytes of both streams become one output a command, never a guess.
//!
//! Every byte here comes from a machine that may be broken, cut off or hostile. It can lie about itself; it cannot make
//! the host panic, keep more than [`Limits`] say, or believe a result that it did not frame. A command whose frame was
//! not seen on standard output is [`Ending::Unknown`], unless what was seen before it proves that its condition did not
//! hold: then it is [`Ending::Skipped`].
//!
//! A command timed out when its status is one that `timeout` gives (124, 137, 143) and there was time for it: both by
//! the host's clock over the whole exec, which the machine cannot bend, and by the machine's uptime around the command,
//! which a slow link cannot blur. A program's own 124 is an exit.
//!
//! Not for: making text of the output ([`crate::text`]); only what [`Answer`] itself says is text already.

mod capture;
mod frames;

use std::net::IpAddr;
use std::time::Duration;

use crate::command::{Captured, Condition, Ending, Mode, Output};
use crate::script::{Expect, FILE_LIMIT};
use crate::scrub::Scrubber;
use crate::text;

use capture::{Capture, Room, capture};
use frames::{End, Frame, Part, Splitter};

/// How much of an answer is kept, and how much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The first bytes that are kept of each stream of each command.
    pub head: usize,
    /// The last bytes that are kept.
    pub tail: usize,
    /// The bytes that are read of a batch, both streams together. After that it is a flood, and nothing more is read.
    pub total: u64,
}

impl Default for Limits {
    /// 192 KiB and 64 KiB a stream, 16 MiB a batch.
    fn default() -> Self {
        Self { head: 192 * 1024, tail: 64 * 1024, total: 16 * 1024 * 1024 }
    }
}

/// What became of a batch. Its texts are printable and without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The far side ended the exec without running the script: a forced command, a locked account, an expired password.
    NotStarted {
        /// What it said instead, in lines. Often the reason; maybe empty.
        said: String,
    },
    /// Another run holds the machine. Nothing ran.
    Busy {
        /// Who, in their own words, on one line; maybe empty.
        holder: String,
    },
    /// Another run held the machine after it was looked at, so what was decided then may not fit any more. Nothing ran.
    Moved {
        /// Who, in their own words, on one line.
        by: String,
    },
    /// The batch needs root, or its login is root, and the machine's lock could not be taken. Nothing ran.
    NoLock {
        /// The login's user id; where it is not 0, it is `sudo` that failed, most likely.
        uid: Option<u32>,
        /// The last line that was said about it: `sudo: a password is required`.
        why: String,
    },
    /// Root is to be had for a password only. Nothing ran.
    NoSudo {
        /// A password was tried, and did not do. Otherwise `sudo -n` asked for one, or failed in another way.
        tried: bool,
        /// What was said about it, on one line.
        why: String,
    },
    /// There is no place for files in memory or in `/tmp`. Nothing ran.
    NoPlace {
        /// What was said about it.
        why: String,
    },
    /// `/bin/sh` has no `printf` of its own, so a secret could not be kept out of arguments. Nothing ran.
    NoPrintf,
    /// It began, or may have.
    Ran(Ran),
}

/// A batch that began, or may have.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ran {
    /// One for each command, in order.
    pub outputs: Vec<Output>,
    /// How long each command ran by the machine's own uptime, to a hundredth of a second; none where that is not known.
    pub took: Vec<Option<Duration>>,
    /// The end was seen on both streams. Otherwise the exec still runs on the far side, as far as is known.
    pub complete: bool,
    /// Why reading stopped before the end, if it was the reader's own doing.
    pub stop: Option<Stop>,
    /// The login's user id. `None`: no frame was seen at all.
    pub uid: Option<u32>,
    /// The machine's lock was held.
    pub locked: bool,
    /// When it began, in hundredths of a second of the machine's own uptime, where that can be read.
    pub uptime: Option<u64>,
    /// `SSH_CONNECTION` as the machine sees it, if it has that form: client address and port, server address and port.
    pub connection: Option<String>,
}

/// Why a reader takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// More than [`Limits::total`] bytes came.
    Flood,
    /// A frame that the script does not write, or not there.
    Garbled,
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stop::Flood => "the machine sent more than is read of one answer",
            Stop::Garbled => "the machine's answer does not have the form that the script gives it",
        })
    }
}

/// Reads the answer to one batch, piece by piece.
#[derive(Debug)]
pub struct Reader {
    expect: Expect,
    scrubber: Scrubber,
    room: Room,
    /// How many bytes may still come.
    left: u64,
    stop: Option<Stop>,
    out: Side,
    err: Side,
    first: Option<First>,
    ends: Vec<Option<End>>,
    archive: Vec<u8>,
}

/// How it began, by the first frame on either stream.
#[derive(Debug)]
enum First {
    Begun { uid: Option<u32>, locked: bool, uptime: Option<u64>, connection: Option<String> },
    Refused(Answer),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

/// One of the two streams.
#[derive(Debug)]
struct Side {
    splitter: Splitter,
    at: At,
    /// What comes now: noise before the first frame, then a command's output.
    capture: Capture,
    noise: Captured,
    /// What was framed: the first commands, in order.
    captured: Vec<Captured>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Noise,
    Body,
    Archive,
    /// After a refusal: only `end` can follow.
    Refused,
    End,
}

/// How much noise is kept of each stream.
const NOISE: Room = Room { head: 2048, tail: 2048 };

impl Reader {
    /// A reader for the answer to the script that `expect` came with.
    #[must_use]
    pub fn new(expect: &Expect, scrubber: &Scrubber, limits: Limits) -> Self {
        let count = expect.commands.len();
        let side = || Side {
            splitter: Splitter::new(expect.nonce.as_str()),
            at: At::Noise,
            capture: Capture::new(scrubber, NOISE),
            noise: Captured::default(),
            captured: Vec::new(),
        };
        Self {
            expect: expect.clone(),
            scrubber: scrubber.clone(),
            room: Room { head: limits.head, tail: limits.tail },
            left: limits.total,
            stop: None,
            out: side(),
            err: side(),
            first: None,
            ends: vec![None; count],
            archive: Vec::new(),
        }
    }

    /// Takes a piece of standard output.
    pub fn stdout(&mut self, piece: &[u8]) {
        self.push(Stream::Out, piece);
    }

    /// Takes a piece of standard error.
    pub fn stderr(&mut self, piece: &[u8]) {
        self.push(Stream::Err, piece);
    }

    /// Nothing more is awaited: the end was seen on both streams, or [`Stop`] says why not.
    #[must_use]
    pub fn done(&self) -> bool {
        self.stop.is_some() || (self.out.at == At::End && self.err.at == At::End)
    }

    fn push(&mut self, stream: Stream, piece: &[u8]) {
        if self.stop.is_some() {
            return;
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(piece.len());
        self.left -= room as u64;
        self.split(stream, |splitter, each| splitter.push(&piece[..room], each));
        if room < piece.len() && !self.done() {
            self.stop = Some(Stop::Flood);
        }
    }

    /// Lets the stream's splitter speak to [`Self::part`].
    fn split(&mut self, stream: Stream, go: impl FnOnce(&mut Splitter, &mut dyn FnMut(Part<'_>))) {
        let empty = Splitter::new("");
        let mut splitter = std::mem::replace(&mut self.side(stream).splitter, empty);
        go(&mut splitter, &mut |part| self.part(stream, part));
        self.side(stream).splitter = splitter;
    }

    fn side(&mut self, stream: Stream) -> &mut Side {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }

    fn part(&mut self, stream: Stream, part: Part<'_>) {
        if self.stop.is_some() || self.side(stream).at == At::End {
            return;
        }
        match part {
            Part::Bytes(bytes) if self.side(stream).at == At::Archive => {
                if stream == Stream::Out {
                    self.archive.extend_from_slice(bytes);
                }
            }
            Part::Bytes(bytes) => self.side(stream).capture.push(bytes),
            Part::Frame(words) => {
                let known = Frame::parse(words).and_then(|frame| self.frame(stream, &frame));
                if known.is_none() {
                    self.stop = Some(Stop::Garbled);
                }
            }
        }
    }

    /// Takes a frame; `None` where it cannot stand.
    fn frame(&mut self, stream: Stream, frame: &Frame<'_>) -> Option<()> {
        let at = self.side(stream).at;
        match (at, frame) {
            (At::Noise, Frame::Begin { uid, locked, uptime, connection }) => {
                let connection = connection_of(connection);
                let first = First::Begun { uid: *uid, locked: *locked, uptime: *uptime, connection };
                self.begin(stream, first, At::Body);
            }
            (At::Noise, Frame::Busy(who)) => {
                let holder = self.line(who);
                self.begin(stream, First::Refused(Answer::Busy { holder }), At::Refused);
            }
            (At::Noise, Frame::Moved(who)) => {
                let by = self.line(who);
                self.begin(stream, First::Refused(Answer::Moved { by }), At::Refused);
            }
            (At::Noise, Frame::NoLock { uid, why }) => {
                let why = self.line(why);
                self.begin(stream, First::Refused(Answer::NoLock { uid: *uid, why }), At::Refused);
            }
            (At::Noise, Frame::NoSudo { tried, why }) => {
                let (tried, why) = (*tried, self.line(why));
                self.begin(stream, First::Refused(Answer::NoSudo { tried, why }), At::Refused);
            }
            (At::Noise, Frame::NoPlace(why)) => {
                let why = self.line(why);
                self.begin(stream, First::Refused(Answer::NoPlace { why }), At::Refused);
            }
            (At::Noise, Frame::NoPrintf) => self.begin(stream, First::Refused(Answer::NoPrintf), At::Refused),
            // Without a `printf` of its own, a shell writes only this one on standard error.
            (At::Noise, Frame::End) if stream == Stream::Err => self.err.at = At::End,
            (At::Body, Frame::Ended { index, end }) if self.expect.mode == Mode::Run => {
                let count = self.expect.commands.len();
                let side = self.side(stream);
                if side.captured.len() != *index || *index >= count {
                    return None;
                }
                if stream == Stream::Out {
                    if inferred(&self.expect, &self.ends)[*index] == Some(End::Skipped) && *end != End::Skipped {
                        return None;
                    }
                    self.ends[*index] = Some(*end);
                }
                let next = Capture::new(&self.scrubber, self.room);
                let side = self.side(stream);
                side.captured.push(std::mem::replace(&mut side.capture, next).finish(false));
            }
            (At::Body, Frame::Tar) if self.expect.mode == Mode::Probe => self.side(stream).at = At::Archive,
            (At::Body, Frame::End) if self.expect.mode == Mode::Run => self.side(stream).at = At::End,
            (At::Archive | At::Refused, Frame::End) => self.side(stream).at = At::End,
            _ => return None,
        }
        Some(())
    }

    fn begin(&mut self, stream: Stream, first: First, at: At) {
        let next = Capture::new(&self.scrubber, self.room);
        let side = self.side(stream);
        side.noise = std::mem::replace(&mut side.capture, next).finish(false);
        side.at = at;
        // A machine that says two things is believed the first.
        self.first.get_or_insert(first);
    }

    /// Says what became of the batch, which was sent `elapsed` ago. `closed` says that the far side itself ended the
    /// exec, so that everything it wrote has been pushed; without it, a missing frame may be one that was lost.
    #[must_use]
    pub fn finish(mut self, elapsed: Duration, closed: bool) -> Answer {
        for stream in [Stream::Out, Stream::Err] {
            let rest = Splitter::new("");
            let splitter = std::mem::replace(&mut self.side(stream).splitter, rest);
            let noise = self.side(stream).at == At::Noise;
            splitter.finish(noise, |part| self.part(stream, part));
        }
        let (uid, locked, uptime, connection) = match self.first.take() {
            Some(First::Refused(answer)) => return answer,
            Some(First::Begun { uid, locked, uptime, connection }) => (uid, locked, uptime, connection),
            None if closed && self.stop.is_none() => return Answer::NotStarted { said: self.said() },
            None => (None, false, None, None),
        };
        let complete = self.out.at == At::End && self.err.at == At::End;
        let stop = self.stop;
        let ran = match self.expect.mode {
            Mode::Run => self.run_outputs(elapsed),
            Mode::Probe => self.probe_outputs(elapsed),
        };
        let (outputs, took) = ran.into_iter().unzip();
        Answer::Ran(Ran { outputs, took, complete, stop, uid, locked, uptime, connection })
    }

    fn line(&self, bytes: &[u8]) -> String {
        text::bounded(&text::one_line(self.scrubber.scrub(bytes)), 200)
    }

    /// What stood there in place of a first frame: standard error, then standard output.
    fn said(self) -> String {
        let mut said = Vec::new();
        for side in [self.err, self.out] {
            let noise = side.capture.finish(true);
            said.extend_from_slice(noise.head.trim_ascii());
            if noise.cut && !noise.tail.is_empty() {
                said.extend_from_slice(" … ".as_bytes());
                said.extend_from_slice(noise.tail.trim_ascii());
            }
            said.push(b'\n');
        }
        text::printable(said.trim_ascii())
    }

    fn run_outputs(self, elapsed: Duration) -> Vec<(Output, Option<Duration>)> {
        let ends = inferred(&self.expect, &self.ends);
        let mut out = self.out.outputs(&ends);
        let mut err = self.err.outputs(&ends);
        ends.iter()
            .zip(&self.expect.commands)
            .enumerate()
            .map(|(place, (end, command))| {
                let output = Output {
                    ending: ending(*end, command.timeout, elapsed),
                    stdout: std::mem::take(&mut out[place]),
                    stderr: std::mem::take(&mut err[place]),
                };
                (output, took(*end, elapsed))
            })
            .collect()
    }

    fn probe_outputs(self, elapsed: Duration) -> Vec<(Output, Option<Duration>)> {
        let files = files_of(&self.archive, self.expect.commands.len());
        let stream = |bytes: &[u8]| {
            let full = bytes.len() as u64 >= FILE_LIMIT;
            capture(&self.scrubber, self.room, bytes, full)
        };
        files
            .into_iter()
            .zip(&self.expect.commands)
            .map(|(file, command)| {
                let end = file.status.and_then(|status| End::parse(status.strip_suffix(b"\n")?));
                // Its output must be there, all of it, or the status stands for something that was not seen.
                let end = match end {
                    Some(End::Exited { .. }) if file.out.is_none() || file.err.is_none() => None,
                    other => other,
                };
                let output = Output {
                    ending: ending(end, command.timeout, elapsed),
                    stdout: file.out.map(stream).unwrap_or_default(),
                    stderr: file.err.map(stream).unwrap_or_default(),
                };
                (output, took(end, elapsed))
            })
            .collect()
    }
}

impl Side {
    /// One for each command. What came after the last frame belongs to the next command that was not skipped, and is
    /// not all of it.
    fn outputs(self, ends: &[Option<End>]) -> Vec<Captured> {
        let framed = self.captured.len();
        let mut rest = (self.at == At::Body).then(|| self.capture.finish(true));
        let mut outputs = self.captured;
        outputs.resize(ends.len(), Captured::default());
        for place in (framed..ends.len()).filter(|place| ends[*place] != Some(End::Skipped)) {
            match rest.take() {
                Some(rest) => outputs[place] = rest,
                // The command ended, and this stream of it did not come.
                None => outputs[place].cut = ends[place].is_some(),
            }
        }
        outputs
    }
}

/// What was seen, and what follows from it: a command whose condition cannot have held was skipped, whether or not its
/// frame arrived.
fn inferred(expect: &Expect, seen: &[Option<End>]) -> Vec<Option<End>> {
    let mut ends: Vec<Option<End>> = Vec::with_capacity(seen.len());
    let mut failed = false;
    let mut all_known = true;
    for (command, end) in expect.commands.iter().zip(seen) {
        let unread = command.reads.iter().any(|of| match ends[*of] {
            Some(End::Exited { status, .. }) => !expect.commands[*of].accepts(status),
            Some(End::Skipped) => true,
            None => false,
        });
        let cannot = match command.runs {
            Condition::Ok => failed,
            Condition::Failed => !failed && all_known,
            Condition::Always => false,
        };
        let end = end.or((cannot || unread).then_some(End::Skipped));
        match end {
            Some(End::Exited { status, .. }) => failed |= !command.accepts(status),
            Some(End::Skipped) => {}
            None => all_known = false,
        }
        ends.push(end);
    }
    ends
}

fn ending(end: Option<End>, timeout: u64, elapsed: Duration) -> Ending {
    match end {
        None => Ending::Unknown,
        Some(End::Skipped) => Ending::Skipped,
        Some(End::Exited { status, ran }) => {
            // Both ends of `ran` are rounded down, and the kernel's timers have a grain.
            let long_enough = ran.is_none_or(|ran| ran.saturating_add(5) >= timeout.saturating_mul(100));
            if matches!(status, 124 | 137 | 143) && elapsed >= Duration::from_secs(timeout) && long_enough {
                Ending::TimedOut
            } else {
                Ending::Exited(status)
            }
        }
    }
}

/// How long a command ran: what the machine says, and no longer than its batch by our own clock.
fn took(end: Option<End>, elapsed: Duration) -> Option<Duration> {
    match end {
        Some(End::Exited { ran: Some(hundredths), .. }) => {
            Some(Duration::from_millis(hundredths.saturating_mul(10)).min(elapsed))
        }
        _ => None,
    }
}

/// The files of one probe, as far as they are all here.
#[derive(Debug, Clone, Copy, Default)]
struct Files<'a> {
    out: Option<&'a [u8]>,
    err: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
}

/// Finds `./INDEX.o`, `./INDEX.e` and `./INDEX.s`, plain files only, the first of each name; everything else that an
/// archive can hold is passed over. An archive that ends early gives the files that were whole before.
fn files_of(archive: &[u8], count: usize) -> Vec<Files<'_>> {
    let mut files = vec![Files::default(); count];
    // `raw`: no long names, no sparse files, no links: nothing that makes more bytes out of fewer.
    let mut reader = tar::Archive::new(archive);
    let Ok(entries) = reader.entries() else { return files };
    for entry in entries.raw(true) {
        let Ok(entry) = entry else { break };
        let header = entry.header();
        let Ok(size) = header.entry_size() else { break };
        if header.entry_type() != tar::EntryType::Regular {
            continue;
        }
        let from = entry.raw_file_position();
        let bytes = usize::try_from(from).ok().zip(usize::try_from(from.saturating_add(size)).ok());
        let Some(bytes) = bytes.and_then(|(from, to)| archive.get(from..to)) else { break };
        let name = entry.path_bytes();
        let Some((index, kind)) = name.strip_prefix(b"./").and_then(|name| name.split_last_chunk::<2>()) else {
            continue;
        };
        let index = std::str::from_utf8(index).ok().filter(|index| index.len() <= 3);
        let Some(file) = index.and_then(|index| index.parse::<usize>().ok()).and_then(|index| files.get_mut(index))
        else {
            continue;
        };
        let slot = match kind {
            b".o" => &mut file.out,
            b".e" => &mut file.err,
            b".s" => &mut file.status,
            _ => continue,
        };
        slot.get_or_insert(bytes);
    }
    files
}

/// The four words of `SSH_CONNECTION`, if that is what they are.
fn connection_of(words: &[u8]) -> Option<String> {
    let words = std::str::from_utf8(words).ok()?;
    let address = |word: &str| {
        let (address, zone) = word.split_once('%').unwrap_or((word, "0"));
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !zone.is_empty() && zone.chars().all(plain) && address.parse::<IpAddr>().is_ok()
    };
    let port = |word: &str| word.parse::<u16>().is_ok();
    match words.split(' ').collect::<Vec<_>>()[..] {
        [client, client_port, server, server_port]
            if address(client) && port(client_port) && address(server) && port(server_port) =>
        {
            Some(words.to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
