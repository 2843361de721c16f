//! SSH as people have it, carried by libssh2.

mod config;
mod name;
#[allow(dead_code)] // The connection, which follows, uses all of it.
mod program;
#[allow(dead_code)]
mod target;

pub use target::{Endpoint, Passphrases, ResolveError, Target, resolve};
