//! Throw-away hosts behind a real sshd, and what whole-system tests and the demo do with them.
//!
//! | module | is |
//! |---|---|
//! | [`site`] | a control machine with its project file and its hosts: where a test begins |
//! | [`sshd`] | one real `sshd` on loopback |
//! | [`agent`] | one real `ssh-agent` |
//! | [`wan`] | a bad road to a server |
//! | [`room`] | a host's own view of the file system |
//! | [`stand_in`] | the program that plays `tailscale`, `systemctl`, `apt-get`, `curl` and `sudo` there |
//! | [`product`] | runs the binary under test |
//! | [`shared`] | a value in a file that several processes change |
//! | [`terminal`] | what a terminal shows of what was written to it |
//! | [`processes`] | ends what was started, by id |
//!
//! Not for: anything that the released binary has in it.

pub mod agent;
pub mod processes;
pub mod product;
pub mod room;
pub mod seeded;
pub mod shared;
pub mod site;
pub mod sshd;
pub mod stand_in;
pub mod terminal;
pub mod wan;
