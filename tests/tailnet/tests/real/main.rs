//! What we believe about Tailscale, on the real thing: the tests behind `docs/verification.md`.
//!
//! A test is a function that takes a [`Case`], and a line in its file's `TESTS` with the contract's rows that it shows
//! and the cases that it runs on:
//!
//! ```ignore
//! pub(crate) const TESTS: &[Test] = &[test!(a_second_run_changes_nothing, "C3 C4", EVERY_CLIENT)];
//!
//! fn a_second_run_changes_nothing(case: &Case) -> Result<()> {
//!     let control = case.control("alpha-test.ts.net")?;
//!     let mut project = case.project(&control)?;
//!     …
//! }
//! ```
//!
//! After a change of `TESTS`, `UPDATE=1 cargo test -p tailnet-lab --test real page` writes the page anew.
//!
//! They need root and some minutes, so they run only where `STAGECRAFT_NET_LAB=1`: elsewhere they are *ignored*, and say
//! so, never *ok*. `cargo xtask test` sets it where it can. All share one [`Lab`](tailnet_lab::Lab), each has hosts and
//! control servers of its own, and they run side by side.

mod case;
mod clock;
mod contract;
mod cuts;
mod daemon;
mod elsewhere;
mod failing;
mod fleet;
mod glance;
mod hung;
mod installer;
mod journey;
mod lab;
mod leaving;
mod member;
mod oauth;
mod page;
mod passwords;
mod runner;
mod secrets;
mod tags;
mod told;
mod users;

pub(crate) use case::{Case, NEWEST, Test, test};

/// Every file of tests.
const ALL: &[(&str, &[Test])] = &[
    // Those that wait longest come first.
    ("failing", failing::TESTS),
    ("cuts", cuts::TESTS),
    ("leaving", leaving::TESTS),
    ("lab", lab::TESTS),
    ("journey", journey::TESTS),
    ("member", member::TESTS),
    ("elsewhere", elsewhere::TESTS),
    ("tags", tags::TESTS),
    ("daemon", daemon::TESTS),
    ("oauth", oauth::TESTS),
    ("glance", glance::TESTS),
    ("secrets", secrets::TESTS),
    ("clock", clock::TESTS),
    ("hung", hung::TESTS),
    ("installer", installer::TESTS),
    ("users", users::TESTS),
    ("passwords", passwords::TESTS),
    // Thirty hosts: beside the fewest others.
    ("fleet", fleet::TESTS),
];

fn main() -> std::process::ExitCode {
    runner::run(ALL)
}
