//! Kinds of failure that no machine and no network brings about: a provider that is not ours, a machine that makes no
//! sense, a run that is stopped half-way. And the list of all kinds, each with a text from a real run.
//!
//! The command line runs the providers that are built into it. For one that misbehaves, the test takes the product's own
//! binary and puts other bytes in the place of the built-in provider's: all else is what is shipped. Not for: what the
//! sandbox does with such a provider ([`super::guests`]).

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use lab::product::{Cli, Ran, binary};
use lab::site::{Site, Spec};
use stagecraft_net::engine::{Engine, Options};
use stagecraft_net::failure::Kind;
use stagecraft_net::registry::Registry;
use tailscale_model::{Machine, World};

use super::failures::{blocks, failed, steady};
use super::{guests, lies};

/// The product with the bad guest (`tests/guests`) as its built-in provider.
static FOREIGN: LazyLock<PathBuf> = LazyLock::new(|| {
    let registry = Registry::builtin(&Engine::new(Options::default()).unwrap()).unwrap();
    let ours = registry.list().next().unwrap().artifact().bytes();
    let mut theirs = guests::plain().bytes().to_vec();
    pad(&mut theirs, ours.len());
    let mut program = std::fs::read(binary()).unwrap();
    let at = memmem(&program, ours).expect("the built-in provider stands in the binary as it is");
    program[at..at + ours.len()].copy_from_slice(&theirs);
    assert_eq!(memmem(&program, ours), None, "it stands there once");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("foreign-{}", std::process::id()));
    // Another process of the tests may run it: it is written under a name of its own, and then that of all.
    std::fs::write(&path, program).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let last = path.with_file_name("stagecraft-net-with-a-misfit");
    std::fs::rename(&path, &last).unwrap();
    last
});

fn memmem(text: &[u8], part: &[u8]) -> Option<usize> {
    // The bytes of a component begin alike; the digest of a window is not needed for a few megabytes.
    let head = part.get(..64)?;
    text.windows(64).enumerate().find(|(at, window)| *window == head && text[*at..].starts_with(part)).map(|(at, _)| at)
}

/// Makes a component as long as it has to be, with a section that nobody reads.
fn pad(component: &mut Vec<u8>, wanted: usize) {
    // Id, five bytes of length, and a name of one letter with its length.
    let room = wanted.checked_sub(component.len() + 8).expect("the bad guest is smaller than the built-in provider");
    let mut length = u32::try_from(room + 2).unwrap();
    component.push(0);
    for last in [false, false, false, false, true] {
        component.push((length & 0x7f) as u8 | if last { 0 } else { 0x80 });
        length >>= 7;
    }
    component.extend([1, b'x']);
    component.resize(wanted, 0);
}

/// A host, and a file for the bad guest that says what it is to do.
fn site(ask: &str) -> Site {
    let mut site = Site::new(&World::of("example.ts.net")).unwrap();
    site.host("app-1", Spec::of(Machine::bare("app-1"))).unwrap();
    site.provider(&format!("do: {ask}")).unwrap();
    let text = std::fs::read_to_string(site.file()).unwrap();
    std::fs::write(site.file(), text.replace("tailscale", "misfit")).unwrap();
    site
}

fn run(site: &Site, words: &[&str]) -> Ran {
    Cli::other(&FOREIGN, site.dir()).args(words).run().unwrap()
}

/// Without what another compiler, or another line of the guest, makes different.
fn same(block: &str) -> String {
    let mut text = String::new();
    for (place, part) in block.split(" (sha256:").enumerate() {
        text += if place == 0 { part } else { part.split_once(')').map_or(part, |(_, behind)| behind) };
    }
    let Some((before, line)) = text.split_once("lib.rs:") else { return text };
    format!("{before}lib.rs:…{}", line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':'))
}

#[test]
fn a_provider_that_fails_by_itself_is_told_as_that_and_the_host_is_left_alone() {
    for (ask, text) in
        [("panic", "it was asked to panic"), ("loop", "cpu_ms"), ("memory", "memory"), ("blocked", "contract")]
    {
        let site = site(&format!("plan {ask}"));
        let machine = site["app-1"].machine().get().unwrap();
        let ran = run(&site, &["up"]);
        insta::assert_snapshot!(format!("provider_{ask}"), same(&failed(&ran, "provider", "nothing", &[text])));
        assert_eq!(site["app-1"].machine().get().unwrap(), machine);
    }
}

#[test]
fn a_provider_that_fails_on_the_file_alone_is_told_before_anything_is_connected() {
    let site = site("validate panic");
    let ran = run(&site, &["plan"]);
    insta::assert_snapshot!("provider_validate", same(&steady(&ran.stderr)));
    assert_eq!(site["app-1"].sshd().connections(), 0);
}

#[test]
fn a_provider_that_asks_for_what_it_was_not_granted_is_denied_and_nothing_of_it_is_sent() {
    let site = site("plan denied");
    insta::assert_snapshot!("denied", same(&failed(&run(&site, &["up"]), "denied", "nothing", &["nmap"])));
    let said = run(&site, &["up", "-vv"]);
    assert!(!said.stdout.contains("nmap"), "{}", said.stdout);
}

#[test]
fn a_host_whose_config_the_provider_refuses_is_told_with_the_place_in_the_file() {
    let site = site("plan config");
    let texts = ["misfit provider: invalid config", "stagecraft.yml:", "rename the database"];
    insta::assert_snapshot!("config_invalid", failed(&run(&site, &["up"]), "config-invalid", "nothing", &texts));
}

#[test]
fn a_failure_without_a_word_still_says_what_one_can_do() {
    let site = site("plan silent");
    insta::assert_snapshot!("other_silent", failed(&run(&site, &["up"]), "other", "nothing", &["a kind of its own"]));
}

#[test]
fn a_machine_that_answers_without_sense_is_told_as_that() {
    let (ran, _) = lies::tell(&lies::liar(), "begin; begin; both tar; both end", "up", lies::LONG);
    insta::assert_snapshot!("other", failed(&ran, "other", "nothing", &[]));
}

#[test]
fn hosts_that_were_not_tried_are_a_block_of_their_own() {
    let mut site = Site::new(&World::of("example.ts.net")).unwrap();
    for name in ["app-1", "app-2", "app-3"] {
        let machine = Machine { os_release: Some("ID=fedora\n".to_owned()), ..Machine::bare(name) };
        site.host(name, Spec::of(machine)).unwrap();
    }
    let ran = site.cli(["up", "--serial", "1", "--max-fail", "0"]).run().unwrap();
    assert_eq!(ran.code, Some(10), "{}", ran.stderr);
    let block = blocks(&ran.stderr).find(|block| block.starts_with("error[skipped]")).expect("a block");
    assert!(block.contains("app-2") && block.contains("app-3") && !block.contains("app-1 "), "{block}");
    insta::assert_snapshot!("skipped", block);
    assert_eq!(["app-2", "app-3"].map(|name| site[name].sshd().connections()), [0, 0]);
}

/// A defect cannot be had from outside: its text is that of a run inside of the binary's own tests, in which a connection
/// panics.
const INSIDE: &[(Kind, &str)] = &[(
    Kind::Internal,
    "../host-runtime/src/bin/stagecraft-net/report/screen/snapshots/stagecraft_net__report__screen__tests__a_defect_is_told_as_one_with_its_words_and_the_other_hosts_go_on.snap",
)];

#[test]
fn every_kind_of_failure_has_a_text_from_a_real_run() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = std::fs::read_to_string(here.join("whole/measure.rs")).unwrap().replace('"', "\n");
    for file in std::fs::read_dir(here.join("whole/snapshots")).unwrap() {
        texts += &std::fs::read_to_string(file.unwrap().path()).unwrap();
    }
    for (kind, file) in INSIDE {
        let text = std::fs::read_to_string(here.join(file)).unwrap();
        assert!(text.contains(&format!("\nerror[{kind}]  ")), "{kind} in {file}");
        texts += &text;
    }
    let missing: Vec<&Kind> = Kind::ALL.iter().filter(|kind| !texts.contains(&format!("\nerror[{kind}]  "))).collect();
    assert!(missing.is_empty(), "each needs a snapshot: {missing:?}");
}
