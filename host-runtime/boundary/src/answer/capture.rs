//! What is kept of a stream: its head and its tail, after secrets were taken out.

use std::collections::VecDeque;

use crate::command::Captured;
use crate::scrub::{Scrubber, Stream};

/// Takes the bytes of one stream of one command.
#[derive(Debug)]
pub(super) struct Capture {
    stream: Stream,
    scrubbed: Vec<u8>,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: bool,
    room: Room,
}

/// How many bytes of head and tail are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) head: usize,
    pub(super) tail: usize,
}

impl Capture {
    pub(super) fn new(scrubber: &Scrubber, room: Room) -> Self {
        Self {
            stream: scrubber.stream(),
            scrubbed: Vec::new(),
            head: Vec::new(),
            tail: VecDeque::new(),
            dropped: false,
            room,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut scrubbed = std::mem::take(&mut self.scrubbed);
        self.stream.push(bytes, &mut scrubbed);
        self.keep(&scrubbed);
        scrubbed.clear();
        self.scrubbed = scrubbed;
    }

    /// `cut` says that bytes should have followed and did not.
    pub(super) fn finish(mut self, cut: bool) -> Captured {
        let mut rest = std::mem::take(&mut self.scrubbed);
        std::mem::take(&mut self.stream).finish(cut, &mut rest);
        self.keep(&rest);
        let (mut head, tail) = (self.head, Vec::from(self.tail));
        if self.dropped {
            Captured { head, tail, cut: true }
        } else {
            head.extend_from_slice(&tail);
            Captured { head, tail: Vec::new(), cut }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(self.room.head - self.head.len()));
        self.head.extend_from_slice(head);
        let over = (self.tail.len() + rest.len()).saturating_sub(self.room.tail);
        self.dropped |= over > 0;
        self.tail.drain(..over.min(self.tail.len()));
        self.tail.extend(&rest[rest.len().saturating_sub(self.room.tail)..]);
    }
}

/// The same for bytes that are all here.
pub(super) fn capture(scrubber: &Scrubber, room: Room, bytes: &[u8], cut: bool) -> Captured {
    let mut capture = Capture::new(scrubber, room);
    capture.push(bytes);
    capture.finish(cut)
}
