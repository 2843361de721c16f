//! The example of docs/providers.md: it is built, loaded and run as the page says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use lab::site::{Site, Spec};
use stagecraft_net::artifact::{Artifact, with_descriptor};
use stagecraft_net::contract::Goal;
use stagecraft_net::engine::{Compile, Engine};
use stagecraft_net::event::Event;
use stagecraft_net::failure::Kind;
use stagecraft_net::host::Ensured;
use stagecraft_net::network::{Network, Provider};
use stagecraft_net::registry::Registry;
use stagecraft_net::secrets::Secrets;
use stagecraft_net::ssh::{self, Endpoint, Trust};
use tailscale_model::{Machine, Sudo, World};

use super::{limits, minute, options};

const COMPONENT: &[u8] = include_bytes!(env!("EXAMPLE_PROVIDER"));

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/provider")
}

/// What its author publishes.
fn published() -> Vec<u8> {
    with_descriptor(COMPONENT, &fs::read(folder().join("descriptor.json")).unwrap())
}

/// What an operator makes of it: members of `beacon.test`, by what stands in `file`.
fn network(file: &Path) -> Network {
    let artifact = Artifact::from_bytes(published(), None).unwrap();
    let engine = Engine::new(options(limits(|_| {}))).unwrap();
    let loaded = engine.load(&artifact, Compile::Child(lab::product::binary().to_owned())).unwrap();
    let grants = fs::read_to_string(folder().join("beacon.grants")).unwrap();
    let mut registry = Registry::new();
    registry.register(Provider::new(artifact, loaded, &grants).unwrap()).unwrap();
    let config = serde_json::json!({ "domain": "beacon.test", "file": file });
    registry.get("beacon").unwrap().configure(&config).unwrap()
}

#[test]
fn the_example_provider_joins_a_host_finds_nothing_to_do_then_moves_no_member_of_another_network_and_leaves() {
    let mut site = Site::new(&World::of("example.ts.net")).unwrap();
    site.host("app-1", Spec::of(Machine { sudo: Sudo::Root, ..Machine::bare("app-1") })).unwrap();
    // A throw-away host has this machine's files.
    let file = site.dir().join("beacon");
    let network = network(&file);
    let mut endpoint = Endpoint::alias("app-1");
    endpoint.config = Some(site.dir().join("ssh_config"));
    let until = minute();
    let connection = ssh::connect(&ssh::resolve(&endpoint, &until).unwrap(), Trust::Strict, &until).unwrap();
    let mut host = network.on("app-1", Box::new(connection), Arc::new(|_: Event| ()));
    let secrets = Secrets::from_env();
    let joined = Goal::Joined(Vec::new());

    let plan = host.plan(&joined, &[], &until).unwrap();
    assert_eq!(plan.steps().iter().map(|step| &*step.title).collect::<Vec<_>>(), ["join as app-1.beacon.test"]);
    assert!(!file.exists(), "a plan changes nothing");
    let agreed = plan.consent().unwrap();
    let vault = Arc::new(agreed.open(&secrets).unwrap());
    let done = agreed.apply(&vault, &until).unwrap();
    assert!(matches!(done, Ensured::Changed { .. }), "{done:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "app-1.beacon.test");
    assert!(host.plan(&joined, &[], &until).unwrap().holds(), "nothing is left to do");

    fs::write(&file, "db-1.elsewhere.test").unwrap();
    for goal in [&joined, &Goal::Absent] {
        let failed = host.plan(goal, &[], &until).unwrap().consent().map(|_| ()).unwrap_err();
        assert_eq!(
            (failed.kind, failed.headline().as_str()),
            (Kind::NetworkMismatch, "beacon provider: host is in another network")
        );
    }
    fs::write(&file, "app-1.beacon.test").unwrap();
    host.leave(&secrets, &until).unwrap();
    assert!(!file.exists());
}

#[test]
fn a_copy_that_is_made_as_the_page_says_holds_all_that_it_is_built_from() {
    let page = fs::read_to_string(folder().join("../../docs/providers.md")).unwrap();
    let block =
        page.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("how it is copied and built");
    let (copying, building) = block.split_once("rustup ").expect("what is typed to copy it stands in front");
    assert!(building.contains("cargo build --release --target wasm32-wasip2"), "{building}");
    let home = tempfile::tempdir().unwrap();
    let line = format!("set -e\n{copying}");
    let status =
        Command::new("sh").args(["-c", &line]).current_dir(folder().join("../..")).env("HOME", home.path()).status();
    assert!(status.unwrap().success(), "{copying}");
    let copy = |file: &str| fs::read_to_string(home.path().join("beacon").join(file)).unwrap();
    assert!(copy("src/lib.rs").contains(r#"generate!({ path: "wit", world: "network-provider" })"#));
    assert!(copy("wit/provider.wit").contains("world network-provider"));
    // Nothing in it is the workspace's.
    assert!(!copy("Cargo.toml").contains("workspace"), "{}", copy("Cargo.toml"));
}

#[test]
fn an_artifact_that_is_no_built_in_one_is_inspected_without_being_run() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(&World::of("example.ts.net")).unwrap();
    let inspect = |bytes: &[u8]| {
        let path = dir.path().join("beacon.wasm");
        fs::write(&path, bytes).unwrap();
        site.cli(["provider", "inspect", path.to_str().unwrap()]).run().unwrap()
    };
    let ran = inspect(&published());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // Each line that it asks for, as an operator would write it, is one of the grants that stand beside it.
    let grants = fs::read_to_string(folder().join("beacon.grants")).unwrap();
    for line in grants.lines().filter(|line| !line.starts_with('#')) {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(ran.stdout.lines().any(|said| said.trim() == line), "{line} in\n{}", ran.stdout);
    }
    assert!(ran.stdout.contains("digest   sha256:"), "{}", ran.stdout);

    let ran = inspect(COMPONENT);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stderr.contains("no section `stagecraft:descriptor`"), "{}", ran.stderr);
}
