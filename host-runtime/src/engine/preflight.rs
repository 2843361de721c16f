//! Whether an artifact can run here, told from the names of what it needs and has, before any of it is compiled.
//!
//! The engine's linker would refuse too, in words that help nobody; what it alone can see (the same names with other
//! types) is told by [`LoadError::Link`]. Not for: what a provider may do ([`crate::policy`]).

use super::error::{LoadError, Unmet};
use super::wasi;
use crate::artifact::Artifact;

/// The package of the contract.
const PACKAGE: &str = "stagecraft:network/";

/// The version of the contract that this host speaks: every `0.1.x`.
const TRACK: &str = "0.1";

/// What the contract's package offers to a provider.
const OFFERED: [&str; 4] = ["events", "exec-remote", "secrets", "types"];

/// What every provider has.
const WANTED: &str = "stagecraft:network/provider@0.1";

/// Judges the names.
pub(super) fn judge(artifact: &Artifact) -> Result<(), LoadError> {
    let inspection = artifact.inspect();
    let names = || inspection.imports.iter().chain(&inspection.exports);
    if let Some((found, version)) = names()
        .filter_map(|name| Some((name, version(name.strip_prefix(PACKAGE)?))))
        .find(|(_, version)| track(version) != TRACK)
    {
        let newer = order(version) > order(TRACK);
        return Err(LoadError::Track {
            which: artifact.which(),
            found: found.clone(),
            spoken: WANTED,
            advice: if newer { "update stagecraft-net" } else { "take a newer release of the provider" },
        });
    }
    let unmet: Vec<_> = inspection
        .imports
        .iter()
        .filter_map(|import| Some(Unmet { interface: import.clone(), why: refusal(import)? }))
        .collect();
    if !unmet.is_empty() {
        return Err(LoadError::Import { which: artifact.which(), unmet });
    }
    if !inspection
        .exports
        .iter()
        .any(|export| export.strip_prefix(PACKAGE).is_some_and(|rest| interface(rest) == "provider"))
    {
        return Err(LoadError::Export { which: artifact.which(), found: inspection.exports.clone(), wanted: WANTED });
    }
    Ok(())
}

/// Why an import is not offered; `None` when it is.
fn refusal(import: &str) -> Option<&'static str> {
    if let Some(rest) = import.strip_prefix(PACKAGE) {
        return (!OFFERED.contains(&interface(rest))).then_some("the contract has no such interface");
    }
    if wasi::OFFERED.contains(&interface(import)) && track(version(import)) == "0.2" {
        return None;
    }
    let Some(wasi) = import.strip_prefix("wasi:") else {
        return Some("this host does not know it");
    };
    Some(match wasi.split_once('/').map_or(wasi, |(package, _)| package) {
        "filesystem" => "a provider has no files",
        "sockets" | "http" => "a provider has no network of its own; it acts through `exec-remote`",
        "clocks" => "a provider has no clock; it waits with `observer.pause`",
        "random" => "a provider has no random numbers: the same inputs give the same plan",
        "io" | "cli" => "this host has it in version 0.2, or not at all",
        _ => "this host does not know it",
    })
}

/// `a:b/c@1.2.3` without its version.
fn interface(name: &str) -> &str {
    name.split_once('@').map_or(name, |(interface, _)| interface)
}

/// The version of `a:b/c@1.2.3`; empty when it has none.
fn version(name: &str) -> &str {
    name.split_once('@').map_or("", |(_, version)| version)
}

/// The part of a version in which releases are compatible: `0.1` of `0.1.3`, `2` of `2.3.4`.
fn track(version: &str) -> &str {
    let dots = if version.starts_with("0.") { 2 } else { 1 };
    let end = version.match_indices(['.', '-', '+']).nth(dots - 1).map_or(version.len(), |(at, _)| at);
    &version[..end]
}

/// A version's first two numbers, to say which of two is newer.
fn order(version: &str) -> (u64, u64) {
    let mut numbers = version.split(['.', '-', '+']).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_are_what_semantic_versions_say() {
        for (version, wanted) in
            [("0.1.0", "0.1"), ("0.1.12-rc.1", "0.1"), ("0.10", "0.10"), ("1.2.3", "1"), ("2", "2"), ("", "")]
        {
            assert_eq!(track(version), wanted, "{version}");
        }
        assert!(order("0.10.0") > order("0.9.9"));
    }

    #[test]
    fn what_is_offered_passes_and_the_rest_says_why_not() {
        for offered in
            ["stagecraft:network/exec-remote@0.1.7", "wasi:io/streams@0.2.6", "wasi:random/insecure-seed@0.2.0"]
        {
            assert_eq!(refusal(offered), None, "{offered}");
        }
        for (import, why) in [
            ("wasi:filesystem/types@0.2.6", "no files"),
            ("wasi:sockets/tcp@0.2.6", "exec-remote"),
            ("wasi:http/outgoing-handler@0.2.0", "exec-remote"),
            ("wasi:clocks/monotonic-clock@0.2.6", "pause"),
            ("wasi:random/random@0.2.6", "same plan"),
            ("wasi:cli/stdout@0.3.0", "version 0.2"),
            ("stagecraft:network/files@0.1.0", "no such interface"),
            ("acme:thing/api", "does not know"),
        ] {
            assert!(refusal(import).is_some_and(|found| found.contains(why)), "{import}: {:?}", refusal(import));
        }
    }
}
