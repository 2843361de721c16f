//! Embeds the built-in provider: builds the guest, writes what an artifact says of itself into its custom sections, and
//! leaves the finished bytes as `tailscale.wasm` in `OUT_DIR`.
//!
//! Where the guest's source is not there (a package without it), the bytes that were packaged as `builtin/tailscale.wasm`
//! are taken as they are. `BUILTIN_ARTIFACT` tells the crate where the bytes stand.

use std::path::{Path, PathBuf};

use wasm_encoder::{ComponentNameSection, ComponentSection, CustomSection};

#[path = "build/nested.rs"]
mod nested;

use nested::{stop, var};

fn main() {
    let here = PathBuf::from(var("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(var("OUT_DIR"));
    let finished = out.join("tailscale.wasm");
    println!("cargo::rustc-env=BUILTIN_ARTIFACT={}", finished.display());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/nested.rs");

    let bytes = match here.parent().filter(|root| root.join("provider-wasm/Cargo.toml").is_file()) {
        Some(root) => from_source(root, &out),
        None => packaged(&here.join("builtin/tailscale.wasm")),
    };
    std::fs::write(&finished, bytes)
        .unwrap_or_else(|error| stop(format!("{} could not be written: {error}", finished.display())));
}

/// The artifact, built from the workspace at `root`.
fn from_source(root: &Path, out: &Path) -> Vec<u8> {
    let guest = root.join("provider-wasm");
    for source in [
        guest.join("src"),
        guest.join("Cargo.toml"),
        guest.join("descriptor.json"),
        guest.join("config.schema.json"),
        root.join("wit"),
        root.join("Cargo.lock"),
        // The profile `guest` stands there.
        root.join("Cargo.toml"),
    ] {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    let component = nested::component(root, "tailscale-provider", &[], &out.join("guest"));
    let mut bytes = read(&component);
    describe(&mut bytes, &descriptor(&guest));
    bytes
}

/// The artifact, as it was packaged.
fn packaged(artifact: &Path) -> Vec<u8> {
    println!("cargo::rerun-if-changed={}", artifact.display());
    if !artifact.is_file() {
        stop(format!(
            "neither the guest's source (../provider-wasm) nor {} is there: build in a clone of the repository",
            artifact.display()
        ));
    }
    read(artifact)
}

/// The guest's descriptor, with the schema of its config joined in as text, as the guest itself does it.
fn descriptor(guest: &Path) -> serde_json::Map<String, serde_json::Value> {
    let path = guest.join("descriptor.json");
    let schema = String::from_utf8(read(&guest.join("config.schema.json")))
        .unwrap_or_else(|error| stop(format!("config.schema.json is not UTF-8: {error}")));
    let mut descriptor: serde_json::Map<_, _> = serde_json::from_slice(&read(&path))
        .unwrap_or_else(|error| stop(format!("{} is not a JSON object: {error}", path.display())));
    descriptor.insert("config-schema".to_owned(), schema.into());
    descriptor
}

/// Appends the sections that let an artifact be judged without being run. The names are the conventions of
/// `wasm-metadata`, so that `wasm-tools metadata show` reads them too; the descriptor's is ours.
fn describe(component: &mut Vec<u8>, descriptor: &serde_json::Map<String, serde_json::Value>) {
    let said = |key: &str| {
        let value = descriptor.get(key).and_then(serde_json::Value::as_str);
        value.unwrap_or_else(|| stop(format!("descriptor.json has no text `{key}`"))).to_owned()
    };
    let mut name = ComponentNameSection::new();
    name.component(&said("id"));
    name.append_to_component(component);
    let json = serde_json::to_vec(descriptor)
        .unwrap_or_else(|error| stop(format!("the descriptor could not be written as JSON: {error}")));
    for (name, data) in [
        ("version", said("version").into_bytes()),
        ("description", said("description").into_bytes()),
        ("licenses", var("CARGO_PKG_LICENSE").into_encoded_bytes()),
        ("source", var("CARGO_PKG_REPOSITORY").into_encoded_bytes()),
        ("stagecraft:descriptor", json),
    ] {
        CustomSection { name: name.into(), data: data.into() }.append_to_component(component);
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| stop(format!("{} could not be read: {error}", path.display())))
}
