//! What an artifact can get wrong before it is called, and where its native code comes from.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use stagecraft_net::artifact::Artifact;
use stagecraft_net::engine::{Compile, Engine, Limits, LoadError, Loaded, Options, Origin, Phase};

use super::{CLOCK, FILES, PLAIN, artifact, artifact_saying, broken, descriptor, limits, load_with, options, over};

fn load_error(artifact: &Artifact) -> LoadError {
    let engine = Engine::new(Options::default()).expect("an engine");
    let error = engine.load(artifact, Compile::InProcess).expect_err("it does not load");
    let said = error.to_string();
    assert!(said.contains(&format!("misfit 1.2.3 ({})", artifact.digest().short())), "{said}");
    error
}

#[test]
fn files_and_clocks_are_refused_in_our_words_before_anything_is_compiled() {
    let said = load_error(&artifact(FILES)).to_string();
    assert!(said.contains("`wasi:filesystem/types@0.2.") && said.contains("a provider has no files"), "{said}");
    let said = load_error(&artifact(CLOCK)).to_string();
    assert!(said.contains("`wasi:clocks/monotonic-clock@0.2.") && said.contains("observer.pause"), "{said}");
}

/// The guest as it would be if the contract had another version: the names differ, and nothing else.
fn built_for(version: &str) -> Artifact {
    let (from, to) = (b"@0.1.0", version.as_bytes());
    assert_eq!(from.len(), to.len());
    let mut component = PLAIN.to_vec();
    let mut at = 0;
    while let Some(found) = component[at..].windows(from.len()).position(|bytes| bytes == from) {
        at += found;
        component[at..at + to.len()].copy_from_slice(to);
    }
    assert!(at > 0, "the names have versions");
    artifact(&component)
}

#[test]
fn a_guest_for_another_version_of_the_contract_is_told_which_side_to_update() {
    let error = load_error(&built_for("@0.2.0"));
    assert!(matches!(error, LoadError::Track { .. }), "{error:?}");
    assert!(error.to_string().contains("@0.2.0") && error.to_string().contains("update stagecraft-net"), "{error}");
    let error = load_error(&built_for("@0.0.9")).to_string();
    assert!(error.contains("take a newer release of the provider"), "{error}");
    // A later release of the same track links.
    Engine::new(options(Limits::default()))
        .expect("an engine")
        .load(&built_for("@0.1.9"), Compile::InProcess)
        .expect("the same track");
}

#[test]
fn the_same_names_with_other_types_do_not_link() {
    // The name of a field stands in the types of the component; the guest's own code has no use for it.
    let (from, to) = (b"config-path", b"config-pith");
    let mut component = PLAIN.to_vec();
    let places: Vec<_> = (0..component.len()).filter(|at| component[*at..].starts_with(from)).collect();
    assert!(!places.is_empty(), "the field has a name");
    for at in places {
        component[at..at + to.len()].copy_from_slice(to);
    }
    let error = load_error(&artifact(&component));
    assert!(matches!(&error, LoadError::Link { reason, .. } if reason.contains("config-pith")), "{error}");
}

#[test]
fn a_component_that_is_no_provider_says_so() {
    // A component with nothing in it but the descriptor.
    let error = load_error(&artifact(b"\0asm\x0d\0\x01\0"));
    assert!(matches!(&error, LoadError::Export { found, .. } if found.is_empty()), "{error:?}");
}

#[test]
fn a_descriptor_that_the_guest_does_not_own_up_to_is_refused() {
    let mut other = descriptor();
    other.secrets.clear();
    other.display_name = "Somebody else".to_owned();
    let error = load_error(&artifact_saying(PLAIN, &other));
    let LoadError::Descriptor { fields, .. } = &error else { panic!("{error:?}") };
    assert_eq!(fields, &["display-name", "secrets"]);
}

/// The guest with one more module in it, whose only function adds two numbers that are not there.
fn spoiled() -> Artifact {
    let module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x05\x01\x03\0\x6a\x0b";
    let mut component = PLAIN.to_vec();
    component.extend([1, u8::try_from(module.len()).expect("small")]);
    component.extend(module);
    artifact(&component)
}

#[test]
fn a_component_that_does_not_compile_says_so() {
    let error = load_error(&spoiled());
    assert!(matches!(&error, LoadError::Compile { reason, .. } if reason.contains("type mismatch")), "{error:?}");
}

#[test]
fn a_guest_that_cannot_even_start_is_told_at_load() {
    let engine = Engine::new(options(limits(|limits| limits.memory = 64 << 10))).expect("an engine");
    let error = engine.load(&artifact(PLAIN), Compile::InProcess).expect_err("too little memory to start");
    let LoadError::Describe(error) = error else { panic!("{error:?}") };
    assert!(over("memory", &error.fault) && error.phase == Phase::Describe, "{error:?}");

    let engine = Engine::new(options(limits(|limits| limits.instances = 1))).expect("an engine");
    let error = engine.load(&artifact(PLAIN), Compile::InProcess).expect_err("too few instances to start");
    let LoadError::Describe(error) = error else { panic!("{error:?}") };
    assert!(over("instances", &error.fault), "{error:?}");
}

#[test]
fn compiled_code_is_kept_and_a_spoiled_entry_is_compiled_again() {
    let home = tempfile::tempdir().expect("a folder");
    let mut options = Options::default();
    options.cache = Some(home.path().join("code"));
    let load = || load_with(options.clone()).origin();
    assert_eq!([load(), load()], [Origin::Compiled, Origin::Cache]);
    for entry in std::fs::read_dir(home.path().join("code")).expect("the folder") {
        let path = entry.expect("an entry").path();
        let mut code = std::fs::read(&path).expect("the code");
        let middle = code.len() / 2;
        code[middle] ^= 1;
        std::fs::write(&path, code).expect("write");
    }
    assert_eq!([load(), load()], [Origin::Compiled, Origin::Cache]);
    // Other settings of the compiler are another entry.
    let mut smaller = options.clone();
    smaller.limits = limits(|limits| limits.memory = 32 << 20);
    assert_eq!(load_with(smaller).origin(), Origin::Compiled);
}

/// Loads a guest with a compiler's process of its own.
fn load_in_child(limits: Limits, program: &Path, artifact: &Artifact) -> Result<Loaded, LoadError> {
    let mut options = options(limits);
    options.cache = None;
    let engine = Engine::new(options).expect("an engine");
    engine.load(artifact, Compile::Child(program.to_owned()))
}

#[test]
fn untrusted_bytes_are_compiled_by_a_child_to_the_same_provider() {
    let program = lab::product::binary();
    let loaded = load_in_child(Limits::default(), program, &artifact(PLAIN)).expect("a provider");
    assert_eq!(loaded.origin(), Origin::Compiled);
    broken(&loaded, "panic");
    // Code for other settings would not be taken.
    let smaller = limits(|limits| limits.memory = 32 << 20);
    load_in_child(smaller, program, &artifact(PLAIN)).expect("a provider");

    let error = load_in_child(Limits::default(), program, &spoiled()).expect_err("spoiled code").to_string();
    assert!(error.contains("does not compile") && error.contains("type mismatch"), "{error}");
}

#[test]
fn a_compiler_that_takes_too_much_or_says_nothing_is_one_error() {
    let program = lab::product::binary();
    let said =
        |limits, program: &Path| load_in_child(limits, program, &artifact(PLAIN)).expect_err("no provider").to_string();
    let memory = said(limits(|limits| limits.compile_memory = 16 << 20), program);
    assert!(memory.contains("the limit `compile_memory`, 16777216 bytes"), "{memory}");
    let code = said(limits(|limits| limits.compiled = 10_000), program);
    assert!(code.contains("the limit `compiled`, 10000"), "{code}");
    for (program, word) in [("/bin/true", "ended early"), ("/nowhere/at/all", "could not be started")] {
        let said = said(Limits::default(), Path::new(program));
        assert!(said.contains(word), "{said}");
    }
    // It reads nothing, writes nothing and does not end by itself.
    let home = tempfile::tempdir().expect("a folder");
    let deaf = home.path().join("deaf");
    std::fs::write(&deaf, "#!/bin/sh\nexec sleep 600\n").expect("write");
    std::fs::set_permissions(&deaf, std::fs::Permissions::from_mode(0o700)).expect("chmod");
    let began = Instant::now();
    let time = said(limits(|limits| limits.compile_s = 1), &deaf);
    assert!(time.contains("the limit `compile_s`, 1 s"), "{time}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn the_product_compiles_its_provider_once_for_a_user() {
    let home = tempfile::tempdir().expect("a folder");
    let entries = || {
        let code = home.path().join("cache/stagecraft-net/code");
        let entries = std::fs::read_dir(code).expect("the user's own folder").map(|entry| entry.expect("an entry"));
        // A second write would be another file under the same name.
        entries.map(|entry| (entry.file_name(), entry.metadata().expect("stat").ino())).collect::<Vec<_>>()
    };
    let run = || {
        let product = lab::product::Cli::new(home.path()).env("XDG_CACHE_HOME", home.path().join("cache"));
        let ran = product.args(["provider", "list"]).run().expect("the product starts");
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        entries()
    };
    let first = run();
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(run(), first);
}
