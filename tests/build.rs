//! Builds the guests for the tests of the sandbox (`tests/whole/guests`): the bad ones, one crate, once plain and once with
//! each thing that a provider must not import; and the example that shows how a provider is written.

use std::path::PathBuf;

#[path = "../host-runtime/build/nested.rs"]
mod nested;

fn main() {
    let here = PathBuf::from(nested::var("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(nested::var("OUT_DIR"));
    let root = here.parent().unwrap_or_else(|| nested::stop("the crate `lab` stands in no workspace"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../host-runtime/build/nested.rs");
    for source in
        ["tests/guests/src", "tests/guests/Cargo.toml", "examples/provider", "wit", "Cargo.lock", "Cargo.toml"]
    {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    for (name, package, features) in [
        ("BAD_GUEST", "bad-guests", &[][..]),
        ("BAD_GUEST_FILES", "bad-guests", &["files"]),
        ("BAD_GUEST_CLOCK", "bad-guests", &["clock"]),
        ("EXAMPLE_PROVIDER", "beacon", &[]),
    ] {
        let built = nested::component(root, package, features, &out.join("guests"));
        // The next build takes its place.
        let kept = out.join(name).with_extension("wasm");
        std::fs::copy(&built, &kept)
            .unwrap_or_else(|error| nested::stop(format!("{} could not be copied: {error}", built.display())));
        println!("cargo::rustc-env={name}={}", kept.display());
    }
}
