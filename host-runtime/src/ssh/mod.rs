//! SSH as people have it, carried by libssh2.
//!
//! ```no_run
//! use std::time::Duration;
//! use stagecraft_net::ssh::{Endpoint, Trust, connect, resolve};
//! use stagecraft_net::transport::{Flow, Transport};
//! use stagecraft_net::until::{Cancel, Until};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let until = Until::after(Duration::from_secs(30), &Cancel::new()?);
//! let target = resolve(&Endpoint { name: "app-1".to_owned(), ..Endpoint::default() }, &until)?;
//! let mut connection = connect(&target, Trust::Strict, &until)?;
//! let mut kernel = Vec::new();
//! connection.exec("uname -r", b"", &mut |_, piece| { kernel.extend_from_slice(piece); Flow::Go }, &until)?;
//! # Ok(()) }
//! ```
//!
//! | module | is for |
//! |---|---|
//! | `target`, `config`, `alike`, `name` | where and how to connect: the project's file, `ssh -G` |
//! | `trust` | the server's key |
//! | `login`, `keys`, `agent` | the user's keys |
//! | `dial`, `proxy`, `jump` | what carries the bytes |
//! | `wire`, `link` | waiting, counting, and libssh2's session on top |
//! | `connection`, `error` | all of it together, and why it failed |
//!
//! One thread uses one connection. An exit status is never read: libssh2 answers 0 when none came.
//! Not for: what is sent and what it means ([`crate::session`]), nor how many at a time ([`crate::fleet`]).

mod agent;
mod ahead;
mod alike;
mod config;
mod connection;
mod dial;
mod error;
mod jump;
mod keys;
pub mod learn;
mod link;
mod login;
mod name;
mod piece;
mod proxy;
mod target;
mod trust;
mod wire;

pub use connection::{Connection, connect};
pub use error::{ConnectError, Stage, UNKNOWN_HOST_KEY};
pub use login::{Outcome, Refusal, Tried};
pub use proxy::JumpKey;
pub(crate) use target::Resolver;
pub use target::{Endpoint, Passphrases, ResolveError, Target, resolve};
pub use trust::{HostKeyError, Trust};
pub use wire::Traffic;
