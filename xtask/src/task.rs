//! The commands themselves: which needs, then which tools.

use crate::need::{BUILD, HOSTS, Need, SHELLS, bring};
use crate::tool::{Done, Stop, cargo, run, say, target_dir, workspace};

const LINTERS: &[Need] = &[Need::Component("rustfmt", "rustfmt"), Need::Component("clippy", "cargo-clippy")];

/// Builds the product and runs the demo of crate `lab`.
pub(crate) fn demo(args: &[&str]) -> Done {
    if let Some(odd) = args.iter().find(|arg| **arg != "--keep") {
        return Err(Stop(format!("demo knows --keep, and not `{odd}`")));
    }
    bring(&[BUILD, HOSTS])?;
    say("building; the first time takes some minutes");
    run(cargo().args(["build", "--package", "stagecraft-net", "--package", "lab", "--bins"]))?;
    run(crate::tool::command(&target_dir().join("debug/demo").to_string_lossy()).args(args))
}

/// Every test there is. The last lines are the test runner's own summary.
pub(crate) fn test(args: &[&str]) -> Done {
    bring(&[BUILD, HOSTS, SHELLS])?;
    // Whole-system tests run the product's binary, which `cargo test` alone does not build for them. One build with all
    // targets gives both the same features, so that nothing is compiled twice.
    run(cargo().args(["build", "--workspace", "--bins", "--tests"]))?;
    let mut test = cargo();
    test.args(["test", "--workspace", "--no-fail-fast"]).args(args).env("LAB_BUILT", "1");
    run(&mut test)
}

/// Formatting, clippy for both targets, documentation; each without a warning.
pub(crate) fn lint() -> Done {
    bring(&[BUILD, LINTERS])?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    run(cargo()
        .args(["clippy", "--package", "tailscale-provider", "--target", "wasm32-wasip2", "--all-targets"])
        .args(["--", "-D", "warnings"]))?;
    run(cargo()
        .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// Licences, bans, sources and advisories of the dependencies.
pub(crate) fn deny() -> Done {
    bring(&[&[Need::Cargo("cargo-deny")]])?;
    run(cargo().args(["deny", "--workspace", "check"]))
}

/// Line coverage of the two crates that are pure logic.
pub(crate) fn coverage() -> Done {
    bring(&[BUILD, &[Need::Component("llvm-tools", "rustc"), Need::Cargo("cargo-llvm-cov")]])?;
    for package in ["boundary", "tailscale-provider"] {
        run(cargo().args(["llvm-cov", "--package", package, "--fail-under-lines", "85"]))?;
    }
    Ok(())
}

/// Every fuzz target for some seconds.
pub(crate) fn fuzz(_seconds: &str) -> Done {
    Err(Stop(format!("there is no fuzz target in {} yet", workspace().join("fuzz").display())))
}

/// The released binary, the artifact, their digests.
pub(crate) fn dist() -> Done {
    Err(Stop("not there yet".to_owned()))
}
