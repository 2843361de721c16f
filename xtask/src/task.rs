//! The commands themselves: which needs, then which tools.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::need::{BUILD, HOSTS, LINTERS, Need, PYTHON, SHELLS, VENDORED, bring, no_lab};
use crate::tool::{Done, Stop, answer, cargo, command, run, say, target_dir, workspace};

/// Turns the tests in the lab of real hosts on (crate `tailnet-lab`).
const SWITCH: &str = "STAGECRAFT_NET_LAB";

/// Builds the product and runs the demo of crate `lab`, or with `--real` the one in the lab of real hosts.
pub(crate) fn demo(args: &[&str]) -> Done {
    if let ["--real", rest @ ..] = args {
        return match rest {
            [] => lab(&["demo"]),
            ["--keep"] => lab(&["demo", "--keep"]),
            _ => Err(Stop(format!("demo --real takes --keep, and not `{}`", rest.join(" ")))),
        };
    }
    if !matches!(args, [] | ["--keep" | "--end"]) {
        return Err(Stop(format!("demo takes --keep or --end, and not `{}`", args.join(" "))));
    }
    bring(&[BUILD, HOSTS])?;
    let demo = target_dir().join("debug/demo");
    if !demo.is_file() {
        say("building, which takes some minutes the first time");
    }
    run(cargo().args(["build", "--quiet", "--package", "stagecraft-net", "--package", "lab", "--bins"]))?;
    run(command(&demo.to_string_lossy()).args(args).env("LAB_BUILT", "1"))
}

/// Makes the README's picture of a terminal anew, from a run of the product.
pub(crate) fn picture() -> Done {
    bring(&[BUILD, HOSTS])?;
    run(cargo().args(["build", "--quiet", "--package", "stagecraft-net", "--package", "lab", "--bins"]))?;
    let (demo, file) = (target_dir().join("debug/demo"), workspace().join("docs/terminal.svg"));
    run(command(&demo.to_string_lossy()).arg("--picture").arg(file).env("LAB_BUILT", "1"))
}

/// Measures the product beside its peers, and beside bare wasmtime, as it is released.
pub(crate) fn bench(args: &[&str]) -> Done {
    let alone = args.iter().any(|arg| matches!(*arg, "--render" | "--hold" | "--crowd" | "--role" | "--help" | "-h"));
    let role = args.contains(&"--role");
    let python = role || !alone && !args.contains(&"--no-peers");
    bring(&[BUILD, HOSTS, if python { PYTHON } else { &[] }])?;
    if let (true, Some(why)) = (role, no_lab()) {
        return Err(Stop(format!("the role needs real hosts, and no lab of them can be made here: {why}")));
    }
    say("building the release, which takes some minutes the first time");
    let mut build = cargo();
    build.args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "stagecraft-net",
        "--package",
        "lab",
        "--package",
        "bench",
    ]);
    run(build.arg("--bins"))?;
    if !alone {
        let mut sandbox = cargo();
        sandbox.args(["bench", "--quiet", "--package", "bench", "--bench", "sandbox", "--"]);
        if args.contains(&"--quick") {
            sandbox.args(["--warm-up-time", "0.5", "--measurement-time", "1"]);
        }
        run(sandbox.env("CRITERION_HOME", target_dir().join("bench/criterion")).env("LAB_BUILT", "1"))?;
    }
    let bench = target_dir().join("release/bench");
    run(command(&bench.to_string_lossy()).args(args).env("LAB_BUILT", "1"))
}

/// Builds the product and the lab of real hosts, and does there what `args` say.
pub(crate) fn lab(args: &[&str]) -> Done {
    bring(&[BUILD, HOSTS])?;
    if let Some(why) = no_lab() {
        return Err(Stop(format!("no lab of real hosts can be made here: {why}")));
    }
    let program = target_dir().join("debug/tailnet-lab");
    if !program.is_file() {
        say("building, which takes some minutes the first time");
    }
    run(cargo().args(["build", "--quiet", "--package", "stagecraft-net", "--package", "tailnet-lab", "--bins"]))?;
    run(command(&program.to_string_lossy()).args(args).env("LAB_BUILT", "1"))
}

/// Every test there is, those in the lab of real hosts too where one can be made. The last lines are the test runner's own
/// summary of tests that ran: examples in the documentation, of which some crates have none, come first.
pub(crate) fn test(args: &[&str]) -> Done {
    bring(&[BUILD, HOSTS, SHELLS])?;
    let asked = std::env::var_os(SWITCH);
    let mut why_not = if asked.is_none() { no_lab() } else { None };
    // Whole-system tests run the product's binary, which `cargo test` alone does not build for them. One build with all
    // targets gives both the same features, so that nothing is compiled twice.
    run(cargo().args(["build", "--workspace", "--bins", "--tests"]))?;
    if asked.is_none() && why_not.is_none() {
        why_not = missing()?;
    }
    let switch = asked.unwrap_or_else(|| if why_not.is_none() { "1".into() } else { "0".into() });
    if let Some(why) = &why_not {
        say(format!("the tests on the real tailnet (tailnet-lab, `real`) do not run here: {why}"));
    }
    let of = |which: &[&str]| {
        let mut test = cargo();
        test.args(["test", "--workspace", "--no-fail-fast"])
            .args(which)
            .args(args)
            .env("LAB_BUILT", "1")
            .env(SWITCH, &switch);
        test
    };
    let documented = run(&mut of(&["--doc"]));
    run(&mut of(&["--lib", "--bins", "--tests"]))?;
    documented
}

/// What only the lab itself can tell that this machine lacks for it.
fn missing() -> Result<Option<String>, Stop> {
    let lab = target_dir().join("debug/tailnet-lab");
    let missing = answer(command(&lab.to_string_lossy()).arg("missing"))
        .ok_or_else(|| Stop(format!("{} did not say what is missing for the lab", lab.display())))?;
    let phrases: Vec<&str> = missing.lines().collect();
    Ok((!phrases.is_empty()).then(|| format!("this machine has no {}", phrases.join(", no "))))
}

/// Formatting, clippy for both targets, documentation; each without a warning.
pub(crate) fn lint() -> Done {
    bring(&[BUILD, LINTERS])?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    run(cargo()
        .args([
            "clippy",
            "--package",
            "tailscale-provider",
            "--package",
            "bad-guests",
            "--package",
            "beacon",
            "--target",
            "wasm32-wasip2",
            "--all-targets",
        ])
        .args(["--", "-D", "warnings"]))?;
    run(cargo()
        .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// Licences, bans, sources and advisories of the dependencies. The last of these needs the network, so it comes last.
pub(crate) fn deny() -> Done {
    bring(&[&[Need::Cargo("cargo-deny")]])?;
    run(cargo().args(["deny", "check", "licenses", "bans", "sources"]))?;
    run(cargo().args(["deny", "check", "advisories"]))
}

/// Line coverage of the two crates that are pure logic.
pub(crate) fn coverage() -> Done {
    bring(&[BUILD, &[Need::Component("llvm-tools"), Need::Cargo("cargo-llvm-cov")]])?;
    for package in ["boundary", "tailscale-provider"] {
        run(cargo().args(["llvm-cov", "--package", package, "--fail-under-lines", "85"]))?;
    }
    Ok(())
}

/// Every fuzz target for some seconds, from the corpus that is kept.
pub(crate) fn fuzz(seconds: &str) -> Done {
    bring(&[BUILD, &[Need::Nightly, Need::Cargo("cargo-fuzz")]])?;
    let list = answer(command("cargo").args(["+nightly", "fuzz", "list"]));
    let targets = list.ok_or_else(|| Stop("`cargo +nightly fuzz list` knows no target".to_owned()))?;
    for target in targets.lines() {
        say(format!("{target}, {seconds} s"));
        // What is found goes into the first folder; the seeds, which are kept in the repository, are only read.
        let found = target_dir().join("fuzz-corpus").join(target);
        fs::create_dir_all(&found).map_err(|error| Stop(format!("{}: {error}", found.display())))?;
        let (found, limit) = (found.to_string_lossy().into_owned(), format!("-max_total_time={seconds}"));
        let seeds = format!("fuzz/corpus/{target}");
        run(command("cargo").args(["+nightly", "fuzz", "run", target, &found, &seeds, "--", &limit]))?;
    }
    Ok(())
}

/// The released binary, the provider's artifact as it is embedded there, and their digests, in `target/dist`.
///
/// The artifact is built in two directories, and must be the same bytes: else nobody could check what was published.
pub(crate) fn dist() -> Done {
    bring(&[BUILD, VENDORED])?;
    let dist = target_dir().join("dist");
    make_empty(&dist)?;
    let artifact = release(workspace())?;
    copy(&target_dir().join("release/stagecraft-net"), &dist.join("stagecraft-net"))?;
    copy(&artifact, &dist.join("tailscale.wasm"))?;

    say("once more in another directory, to see that the artifact is the same there");
    // Beside the workspace's own target folder and not in it: a path below it would be too like the first.
    let elsewhere = std::env::temp_dir().join(format!("stagecraft-net-{}/elsewhere", std::process::id()));
    let second = copy_sources(workspace(), &elsewhere).and_then(|()| release(&elsewhere));
    let same = second.and_then(|second| Ok(read(&artifact)? == read(&second)?));
    let _ = fs::remove_dir_all(elsewhere.parent().unwrap_or(&elsewhere));
    if !same? {
        return Err(Stop("the artifact depends on the directory in which it is built; nothing is released".to_owned()));
    }

    let sums = answer(command("sha256sum").args(["stagecraft-net", "tailscale.wasm"]).current_dir(&dist))
        .ok_or_else(|| Stop("sha256sum failed".to_owned()))?;
    fs::write(dist.join("SHA256SUMS"), format!("{sums}\n")).map_err(|error| Stop(error.to_string()))?;
    println!("{sums}");
    say(format!("all in {}", dist.display()));
    Ok(())
}

/// Builds the release in this copy of the workspace, and says where its artifact is. The target folder is shared, so
/// that a second copy compiles only our own crates again.
fn release(workspace: &Path) -> Result<PathBuf, Stop> {
    let mut build = cargo();
    build.current_dir(workspace).env("CARGO_TARGET_DIR", target_dir());
    build.args(["build", "--locked", "--release", "--package", "stagecraft-net", "--features", "vendored"]);
    build.arg("--message-format=json-render-diagnostics");
    let output = build.stderr(Stdio::inherit()).output().map_err(|error| Stop(format!("cargo: {error}")))?;
    if !output.status.success() {
        return Err(Stop(format!("the release does not build: {}", output.status)));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    out_dir(&messages, workspace)
        .map(|dir| dir.join("tailscale.wasm"))
        .ok_or_else(|| Stop("cargo did not say where the build script of host-runtime wrote to".to_owned()))
}

/// `OUT_DIR` of host-runtime's build script, from the messages of a build.
fn out_dir(messages: &str, workspace: &Path) -> Option<PathBuf> {
    let package = format!("{}/host-runtime#", workspace.display());
    let line = messages
        .lines()
        .find(|line| line.contains(r#""reason":"build-script-executed""#) && line.contains(&package))?;
    // The only field of that name, and a path with a quote in it is one that cargo itself does not like.
    let dir = line.split_once(r#""out_dir":""#)?.1.split_once('"')?.0;
    Some(PathBuf::from(dir))
}

/// Copies what is compiled: everything but version control and what builds left.
fn copy_sources(from: &Path, to: &Path) -> Done {
    fs::create_dir_all(to).map_err(|error| Stop(format!("{}: {error}", to.display())))?;
    for entry in fs::read_dir(from).map_err(|error| Stop(format!("{}: {error}", from.display())))?.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if name == ".git" || name == "target" || path == target_dir() {
            continue;
        }
        if path.is_dir() {
            copy_sources(&path, &to.join(name))?;
        } else {
            copy(&path, &to.join(name))?;
        }
    }
    Ok(())
}

fn make_empty(dir: &Path) -> Done {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).map_err(|error| Stop(format!("{}: {error}", dir.display())))
}

fn copy(from: &Path, to: &Path) -> Done {
    fs::copy(from, to).map(drop).map_err(|error| Stop(format!("{} to {}: {error}", from.display(), to.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, Stop> {
    fs::read(path).map_err(|error| Stop(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_scripts_folder_is_read_from_the_line_of_the_right_copy() {
        let line = |root: &str, out: &str| {
            format!(
                r#"{{"reason":"build-script-executed","package_id":"path+file://{root}/host-runtime#stagecraft-net@0.1.0","out_dir":"{out}"}}"#
            )
        };
        let messages = [
            line("/b", "/t/b/out"),
            r#"{"reason":"compiler-artifact","package_id":"path+file:///a/host-runtime#stagecraft-net@0.1.0"}"#
                .to_owned(),
            line("/a", "/t/a/out"),
        ]
        .join("\n");
        assert_eq!(out_dir(&messages, Path::new("/a")), Some(PathBuf::from("/t/a/out")));
        assert_eq!(out_dir(&messages, Path::new("/b")), Some(PathBuf::from("/t/b/out")));
        assert_eq!(out_dir(&messages, Path::new("/c")), None);
    }
}
