//! What the fuzz targets of `fuzz/` and the replay of their corpora in `tests/corpus.rs` call.
//!
//! Each target takes any bytes, drives one module with them, and panics where a promise of that module does not hold.
//! They live here so that both build systems hold the same promises. Not for: anything else; it is no part of the API.

mod answer;
mod grant;
pub(crate) mod inventory;
mod known_hosts;
mod script;
mod scrub;
mod text;

/// Takes any bytes; panics where a promise does not hold.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its folder in `fuzz/corpus`, and of its file in
/// `fuzz/fuzz_targets`.
pub const TARGETS: &[(&str, Target)] = &[
    ("answer_probe", answer::probe),
    ("answer_run", answer::run),
    ("grant", grant::target),
    ("inventory", inventory::target),
    ("known_hosts", known_hosts::target),
    ("script", script::target),
    ("scrub", scrub::target),
    ("text", text::target),
];

/// Runs the target of this name.
///
/// # Panics
/// When there is none, or a promise does not hold.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of that name");
    target(data);
}
