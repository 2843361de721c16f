//! What the host sends to a machine, and what it believes of the answer.
//!
//! Everything here is pure: no sockets, files, clocks, threads, wasmtime or ssh2, and no `unsafe`. Whatever another
//! machine or a provider wrote passes through this crate before the host acts on it or a person sees it, so all of it
//! is property-tested and fuzzed (`fuzz/`).
//!
//! | module | turns | into |
//! |---|---|---|
//! | [`command`] | | the vocabulary that the others share |
//! | [`argv`] | words | one shell word each, or a refusal |
//! | [`script`] | a batch of commands | one POSIX-sh script, and the line that runs it |
//! | [`answer`] | the raw bytes of both streams | one output a command, never a guess |
//! | [`scrub`] | bytes that may hold a secret | bytes that do not |
//! | [`grant`] | a command and what was granted | yes, or a denial with the line to add |
//! | [`known_hosts`] | a `known_hosts` file and a server's key | trusted, unknown, changed or revoked |
//! | [`text`] | bytes from anywhere | text that may reach a terminal |
//!
//! Not for: deciding what to run (a provider does), and doing it (the host runtime does).
#![forbid(unsafe_code)]

pub mod answer;
pub mod argv;
pub mod command;
#[doc(hidden)]
pub mod fuzzing;
pub mod grant;
pub mod known_hosts;
pub mod script;
pub mod scrub;
pub mod text;
