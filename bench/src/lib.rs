//! Measures the product beside its peers, in one run, on hosts that are right.
//!
//! | module | is |
//! |---|---|
//! | [`ground`] | the hosts, and a directory from which every peer reaches them |
//! | [`peers`], [`python`] | who is measured: how each is called, what it must have said |
//! | [`measure`] | one run of a command: wall time, processor time, memory |
//! | [`noop`] | a run that changes nothing, over 1, 10 and 100 hosts, all peers in turn |
//! | [`role`] | the same beside an Ansible role that somebody gives, on real hosts |
//! | [`trips`] | round trips, counted over a road that delays |
//! | [`start`] | from the start of the process to the first byte of SSH |
//! | [`crowd`] | 1,000 hosts in flight |
//! | [`live`] | what a guest takes while it is in a call |
//! | [`machine`] | where it was measured, and what |
//! | [`results`] | all of that as JSON, with what Criterion measured of the sandbox |
//! | [`page`], [`picture`] | `docs/benchmarks.md` and its picture, from the JSON |
//!
//! Not for: gates. What is measured here depends on the machine; nothing in the tests is timed.

pub mod crowd;
pub mod ground;
pub mod live;
pub mod machine;
pub mod measure;
pub mod noop;
pub mod page;
pub mod peers;
pub mod picture;
pub mod python;
pub mod results;
pub mod role;
pub mod start;
pub mod trips;
