//! What an artifact can get wrong: each is one clear error with id, version, digest and call, and the next call works.
//!
//! One guest (`tests/guests`) misbehaves as the config tells it. The hands are a recording; no machine is involved.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use boundary::command::{Captured, Command, Ending, Output};
use stagecraft_net::artifact::{Artifact, DESCRIPTOR_SECTION};
use stagecraft_net::contract::{
    BatchError, Descriptor, Goal, Hands, Level, PauseEnd, Request, SecretHandle, SecretKind, SecretSlot,
};
use stagecraft_net::engine::{CallError, Compile, Engine, Fault, Limits, Loaded, Options, Phase};
use stagecraft_net::until::{Cancel, Until};
use wasm_encoder::{ComponentSection, CustomSection};

mod calls;
mod example;
mod load;
mod register;

const PLAIN: &[u8] = include_bytes!(env!("BAD_GUEST"));
const FILES: &[u8] = include_bytes!(env!("BAD_GUEST_FILES"));
const CLOCK: &[u8] = include_bytes!(env!("BAD_GUEST_CLOCK"));

/// What the guest says of itself.
fn descriptor() -> Descriptor {
    Descriptor {
        id: "misfit".to_owned(),
        display_name: "Misfit".to_owned(),
        description: "Misbehaves on request.".to_owned(),
        version: "1.2.3".to_owned(),
        config_schema: "{}".to_owned(),
        secrets: vec![SecretSlot {
            slot: "key".to_owned(),
            env_config_path: "/key_env".to_owned(),
            kinds: vec![SecretKind { name: "plain".to_owned(), prefix: "plain-".to_owned() }],
        }],
        commands: Vec::new(),
    }
}

fn artifact_saying(component: &[u8], descriptor: &Descriptor) -> Artifact {
    let mut bytes = component.to_vec();
    let data = serde_json::to_vec(descriptor).expect("JSON").into();
    CustomSection { name: DESCRIPTOR_SECTION.into(), data }.append_to_component(&mut bytes);
    Artifact::from_bytes(bytes, None).expect("an artifact")
}

/// The guest as an artifact.
pub(super) fn plain() -> Artifact {
    artifact(PLAIN)
}

fn artifact(component: &[u8]) -> Artifact {
    artifact_saying(component, &descriptor())
}

fn limits(set: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    set(&mut limits);
    limits
}

/// With these limits, and one cache for all tests, so that the guest is compiled once.
fn options(limits: Limits) -> Options {
    let mut options = Options::default();
    options.limits = limits;
    options.cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests"));
    options
}

fn load_with(options: Options) -> Loaded {
    let engine = Engine::new(options).expect("an engine");
    engine.load(&artifact(PLAIN), Compile::InProcess).expect("a provider")
}

/// The guest, compiled once for most tests.
fn misfit() -> &'static Loaded {
    static MISFIT: LazyLock<Loaded> = LazyLock::new(|| load_with(options(limits(|limits| limits.cpu_ms = 300))));
    &MISFIT
}

fn cancel() -> Cancel {
    Cancel::new().expect("an eventfd")
}

fn minute() -> Until {
    Until::after(Duration::from_secs(60), &cancel())
}

fn request(config: &str) -> Request {
    Request { config: config.to_owned(), goal: Goal::Installed, allow: Vec::new() }
}

/// Hands that write down what they were asked, and answer every batch alike.
#[derive(Default)]
struct Recording {
    asked: Vec<String>,
    logged: Vec<(Level, String)>,
    answer: Option<BatchError>,
    probes: usize,
}

impl Recording {
    fn batch(&mut self, what: String, commands: &[Command]) -> Result<Vec<Output>, BatchError> {
        self.asked.push(what);
        match &self.answer {
            Some(error) => Err(error.clone()),
            None => Ok(commands
                .iter()
                .zip(0..)
                .map(|(command, place)| Output {
                    ending: if place == 0 { Ending::Exited(place) } else { Ending::Unknown },
                    stdout: Captured { head: command.argv.join(" ").into_bytes(), tail: b"tail".to_vec(), cut: true },
                    stderr: Captured::default(),
                })
                .collect()),
        }
    }
}

impl Hands for Recording {
    fn name(&self) -> String {
        "app-1".to_owned()
    }

    fn connection(&self) -> Option<String> {
        Some("192.0.2.1 4 192.0.2.2 22".to_owned())
    }

    fn probe(&mut self, commands: Vec<Command>) -> Result<Vec<Output>, BatchError> {
        self.probes += 1;
        self.batch(format!("probe {commands:?}"), &commands)
    }

    fn run(&mut self, step: &str, commands: Vec<Command>) -> Result<Vec<Output>, BatchError> {
        self.batch(format!("run {step} {commands:?}"), &commands)
    }

    fn pause(&mut self, time: Duration) -> PauseEnd {
        self.asked.push(format!("pause {time:?}"));
        PauseEnd::Deadline
    }

    fn secret(&mut self, slot: &str) -> Option<SecretHandle> {
        (slot == "key").then(|| SecretHandle { slot: slot.to_owned(), kind: Some("plain".to_owned()) })
    }

    fn log(&mut self, level: Level, message: &str) {
        self.logged.push((level, message.to_owned()));
    }
}

/// The error of a plan with this config; the provider then makes a good plan.
fn broken(loaded: &Loaded, config: &str) -> CallError {
    let error = loaded.plan(&request(config), &mut Recording::default(), &minute()).expect_err("no answer");
    assert_eq!(error.phase, Phase::Plan);
    let said = error.to_string();
    let short = artifact(PLAIN).digest().short();
    assert!(said.starts_with(&format!("provider misfit 1.2.3 ({short}): plan: ")), "{said}");
    assert!(!said.contains('\n') && !said.contains('\u{1b}'), "{said:?}");
    let good = loaded.plan(&request("good"), &mut Recording::default(), &minute()).expect("the next call works");
    assert_eq!(good.expect("an assessment").facts[0].value, "good");
    error
}

fn over(limit: &str, fault: &Fault) -> bool {
    matches!(fault, Fault::Limit { limit: found, .. } if *found == limit)
}
