//! Rendered scripts under real shells: dash, bash and busybox as `/bin/sh`; whichever are installed as login shells.
#![allow(clippy::unwrap_used, reason = "everything here is a test")]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod batches;
mod cuts;
mod lock;
mod logins;
mod machine;
mod secrets;
mod sudo;
mod words;
