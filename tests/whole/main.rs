//! Every whole-system test, in one binary.
#![allow(clippy::unwrap_used, reason = "all of this is test code; clippy sees that only inside of a test function")]

mod approve;
mod cli;
mod cuts;
mod demo;
mod doctor;
mod documents;
mod failures;
mod grants;
mod guests;
mod journal;
mod journey;
mod kinds;
mod laws;
mod lies;
mod measure;
mod pages;
mod real_sudo;
mod rig;
mod secrets;
mod ssh;
mod sudo;
mod terminal;
mod trust;
mod two_runs;
mod walk;
