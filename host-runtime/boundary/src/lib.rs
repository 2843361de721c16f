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
//! | [`inventory`] | a list of hosts that another program wrote | hosts, and all that is wrong with it |
//! | [`text`] | bytes from anywhere | text that may reach a terminal |
//!
//! # A batch, from words to outputs
//!
//! ```
//! use std::time::Duration;
//! use boundary::answer::{Answer, Limits, Reader};
//! use boundary::command::{Command, Condition};
//! use boundary::script::{Nonce, Options, render};
//! use boundary::scrub::Scrubber;
//!
//! let look = Command {
//!     argv: vec!["uname".to_owned(), "-s".to_owned()],
//!     env: Vec::new(),
//!     stdin: Vec::new(),
//!     as_root: false,
//!     timeout: Duration::from_secs(5),
//!     runs: Condition::Ok,
//!     accepted: Vec::new(),
//! };
//! let nonce = Nonce::new([7; 16]); // 16 random bytes
//! let script = render(&[look], &Options::probe(&nonce))?;
//!
//! // The host sends `script.line` as one exec and `script.input` as its standard input, and pushes what comes back.
//! let mut reader = Reader::new(&script.expect, &Scrubber::default(), Limits::default());
//! reader.stdout(b"This account is currently not available.\n");
//! # assert!(!reader.done());
//!
//! // The far side has closed the channel without our first frame: nothing ran, and this is why.
//! let answer = reader.finish(Duration::from_millis(80), true);
//! assert_eq!(answer, Answer::NotStarted { said: "This account is currently not available.".to_owned() });
//! # Ok::<(), boundary::script::RenderError>(())
//! ```
//!
//! Not for: deciding what to run (a provider does), and doing it (the host runtime does).
#![forbid(unsafe_code)]

pub mod answer;
pub mod argv;
pub mod command;
#[doc(hidden)]
pub mod fuzzing;
pub mod grant;
pub mod inventory;
pub mod known_hosts;
pub mod script;
pub mod scrub;
pub mod text;
