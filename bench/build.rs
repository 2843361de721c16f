//! Builds the guest that host calls are timed with.

use std::path::PathBuf;

#[path = "../host-runtime/build/nested.rs"]
mod nested;

fn main() {
    let here = PathBuf::from(nested::var("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(nested::var("OUT_DIR"));
    let root = here.parent().unwrap_or_else(|| nested::stop("the crate `bench` stands in no workspace"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../host-runtime/build/nested.rs");
    for source in ["bench/guest/src", "bench/guest/Cargo.toml", "wit", "Cargo.lock", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let built = nested::component(root, "bench-guest", &[], &out.join("guest"));
    println!("cargo::rustc-env=BENCH_GUEST={}", built.display());
}
