//! Buffers for bytes on their way, lent for the moment in which they move.
//!
//! A host in flight mostly waits. With buffers of its own, be they on its thread's stack, it keeps them all that time: a
//! thousand hosts held 100 MiB in that way. Not for: bytes that have to be kept.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// The most that is moved at a time.
pub(super) const PIECE: usize = 32 * 1024;
/// How many are kept for the next ones: more threads than this seldom move bytes at the same moment.
const KEPT: usize = 8;

static IDLE: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// A buffer of [`PIECE`] bytes, which hold whatever was moved before. It goes back when it is dropped, so it must not be
/// kept while anything is waited for.
pub(super) struct Piece(Box<[u8]>);

impl Piece {
    pub(super) fn lend() -> Self {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self(idle.unwrap_or_else(|| vec![0; PIECE].into_boxed_slice()))
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(std::mem::take(&mut self.0));
        }
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Piece {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_nobody_elses_while_it_is_lent_and_few_are_kept() {
        let mut lent: Vec<Piece> = (0..2 * KEPT).map(|_| Piece::lend()).collect();
        for (n, piece) in (0u8..).zip(&mut lent) {
            assert_eq!(piece.len(), PIECE);
            piece.fill(n);
        }
        for (n, piece) in (0u8..).zip(&lent) {
            assert!(piece.iter().all(|byte| *byte == n), "{n}");
        }
        drop(lent);
        assert!(IDLE.lock().expect("no panic").len() <= KEPT);
    }
}
