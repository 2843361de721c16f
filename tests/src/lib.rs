//! Throw-away hosts behind a real sshd, for the whole-system tests and the demo.

pub mod processes;
pub mod sshd;
