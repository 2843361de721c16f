//! Every whole-system test, in one binary: what it links takes longer than what it compiles.

mod laws;
mod ssh;
