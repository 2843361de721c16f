//! For tests: looks at the whole linear memory of a guest when its call is over.
//!
//! A secret must never be in there (K2), and only the memory itself can prove it. With [`super::Options::watch`] the
//! guest's memories are plain allocations of this module, and each is shown, from its first to its last byte, just
//! before it is freed. Nothing of it is used otherwise. Not for: running providers; it is slower.

use std::cell::UnsafeCell;
use std::sync::Arc;

use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

/// Is shown each linear memory of each call, once, when the call is over.
pub type Watch = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Makes memories that are shown.
pub(super) struct Watching(pub(super) Watch);

/// One linear memory.
struct Watched {
    bytes: Box<[UnsafeCell<u8>]>,
    watch: Watch,
}

// SAFETY: the cells are only there so that `as_ptr` may give a pointer that wasmtime writes through. It alone does, for
// one store on one thread at a time, as it does with memories of its own; our own access is in `grow_to` and `drop`,
// which have the memory exclusively.
unsafe impl Sync for Watched {}

fn zeroed(size: usize) -> Box<[UnsafeCell<u8>]> {
    (0..size).map(|_| UnsafeCell::new(0)).collect()
}

// SAFETY: `new_memory` gives zeroed memory of the minimal size. No reservation and no guard is asked of it, as
// `super::Engine::new` sets both to zero together with this creator; it refuses if that were different.
unsafe impl MemoryCreator for Watching {
    fn new_memory(
        &self,
        _ty: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        if reserved.is_some_and(|reserved| reserved > minimum) || guard > 0 {
            return Err("a watched memory has neither reservation nor guard".to_owned());
        }
        Ok(Box::new(Watched { bytes: zeroed(minimum), watch: Arc::clone(&self.0) }))
    }
}

// SAFETY: `as_ptr` points to `byte_size` bytes that live as long as `self` and do not move but in `grow_to`, which
// wasmtime expects where memories may move and none is reserved.
unsafe impl LinearMemory for Watched {
    fn byte_size(&self) -> usize {
        self.bytes.len()
    }

    fn byte_capacity(&self) -> usize {
        self.bytes.len()
    }

    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        let mut grown = zeroed(size);
        for (new, old) in grown.iter_mut().zip(&mut self.bytes) {
            *new.get_mut() = *old.get_mut();
        }
        self.bytes = grown;
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        UnsafeCell::raw_get(self.bytes.as_ptr())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let bytes: Vec<u8> = self.bytes.iter_mut().map(|cell| *cell.get_mut()).collect();
        (self.watch)(&bytes);
    }
}
