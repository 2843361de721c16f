//! Builds a guest for `wasm32-wasip2` with a cargo of its own, from inside a build script.
//!
//! Included by the build scripts of host-runtime (the built-in provider) and of `lab` (the bad guests). The nested cargo
//! has its own target folder, so that it waits for no lock of the outer one, and none of the outer one's flags, wrappers
//! or targets: coverage, clippy and sanitizers are for the host. Not for: anything but a crate of this workspace.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target that the guests are built for.
const TARGET: &str = "wasm32-wasip2";

/// Ends the build with one sentence. A panic would print a trace of this script, which helps nobody.
pub(crate) fn stop(sentence: impl std::fmt::Display) -> ! {
    println!("cargo::error={}", sentence.to_string().replace('\n', " "));
    std::process::exit(1)
}

/// The variable of this name, which cargo sets for every build script.
pub(crate) fn var(name: &str) -> OsString {
    std::env::var_os(name).unwrap_or_else(|| stop(format!("cargo did not set {name}")))
}

/// Builds `package` of the workspace at `root` and returns the path of the component.
///
/// The bytes depend on the sources, `Cargo.lock` and the compiler, not on where the workspace or cargo's home stand.
pub(crate) fn component(root: &Path, package: &str, features: &[&str], target_dir: &Path) -> PathBuf {
    need_target();
    let mut cargo = Command::new(var("CARGO"));
    cargo
        .current_dir(root)
        .args(["build", "--locked", "--profile", "guest", "--target", TARGET, "--package", package])
        .arg("--target-dir")
        .arg(target_dir);
    if !features.is_empty() {
        cargo.arg("--features").arg(features.join(","));
    }
    for (name, _) in std::env::vars_os() {
        if is_the_outer_builds(&name.to_string_lossy()) {
            cargo.env_remove(name);
        }
    }
    // Of two that fit the last one counts. Separated by 0x1f, so that a path may hold spaces.
    let remapped: Vec<_> = [(root.to_path_buf(), "/src"), (cargo_home(), "/cargo")]
        .into_iter()
        .chain(registries().into_iter().map(|dir| (dir, "/deps")))
        .chain([(target_dir.to_path_buf(), "/target")])
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
        .collect();
    cargo.env("CARGO_ENCODED_RUSTFLAGS", remapped.join("\x1f"));
    match cargo.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
            stop(format!("the guest `{package}` does not build for {TARGET}: its compiler's words stand below"))
        }
        Err(error) => stop(format!("cargo could not be started for the guest `{package}`: {error}")),
    }
    target_dir.join(TARGET).join("guest").join(package.replace('-', "_")).with_extension("wasm")
}

/// Whether a variable is a word to the outer build that the nested one must not hear. `RUSTC`, `CARGO_HOME`, the
/// toolchain, the job server and the network settings stay.
fn is_the_outer_builds(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTDOCFLAGS",
        "CARGO_TARGET_DIR",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_LINKER",
        "CLIPPY_ARGS",
        "LLVM_PROFILE_FILE",
    ];
    // `CARGO_BUILD_*` and `CARGO_TARGET_<triple>_*` are cargo's own settings as variables; `CARGO_PROFILE_*` would
    // change the digest.
    const PREFIXES: [&str; 5] = ["CARGO_BUILD_", "CARGO_TARGET_", "CARGO_PROFILE_", "CARGO_LLVM_COV", "__CARGO_"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Ends the build where the standard library for the target is not installed.
fn need_target() {
    let rustc = var("RUSTC");
    let asked = Command::new(&rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    match asked {
        Ok(output) => {
            let libdir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
            if !output.status.success() || !libdir.is_dir() {
                stop(format!(
                    "the standard library for {TARGET}, which the guest is built for, is not installed: \
                     run `rustup target add {TARGET}`"
                ));
            }
        }
        Err(error) => stop(format!("{} could not be started: {error}", Path::new(&rustc).display())),
    }
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> PathBuf {
    let home = || std::env::home_dir().unwrap_or_default().join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

/// Where the sources of each registry stand. Their names tell which registry or mirror a machine uses.
fn registries() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cargo_home().join("registry/src"));
    entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}
