//! What an artifact can get wrong: each is one clear error with id, version, digest and call, and the next call works.
//!
//! One guest (`tests/guests`) misbehaves as the config tells it. The hands are a recording; no machine is involved.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use boundary::command::{Captured, Chunk, Command, Condition, Ending, Output};
use stagecraft_net::artifact::{Artifact, DESCRIPTOR_SECTION, Digest};
use stagecraft_net::contract::{
    BatchError, Denial, Descriptor, Goal, Hands, Level, PauseEnd, Request, SecretHandle, SecretKind, SecretSlot, Step,
};
use stagecraft_net::engine::{CallError, Compile, Engine, Fault, Limits, LoadError, Loaded, Options, Origin, Phase};
use stagecraft_net::failure::Kind;
use stagecraft_net::until::{Cancel, Until};
use wasm_encoder::{ComponentSection, CustomSection};

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

#[test]
fn a_panic_is_told_with_the_last_words_of_the_guest() {
    let error = broken(misfit(), "panic");
    assert!(matches!(error.fault, Fault::Trap { .. }), "{error:?}");
    assert!(error.to_string().contains("it was asked to panic"), "{error}");
    assert_eq!(error.running[..1], ["bad_guests::misbehave"], "the provider's own functions, readable");
    let failed = error.failed();
    assert_eq!(failed.kind, Kind::Provider);
    assert!(failed.diagnostics[0].detail.as_deref().is_some_and(|detail| detail.contains("it was asked to panic")));
    assert_eq!(broken(misfit(), "panic"), error, "the same failure has the same text (D1)");
}

#[test]
fn an_endless_loop_ends_with_its_processor_time() {
    let began = Instant::now();
    let error = broken(misfit(), "loop");
    assert!(over("cpu_ms", &error.fault), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_endless_loop_ends_soon_after_the_deadline_and_after_a_cancellation() {
    let loaded = load_with(options(limits(|limits| {
        limits.cpu_ms = 60_000;
        limits.wind_down_ms = 50;
    })));
    let began = Instant::now();
    let soon = Until::after(Duration::from_millis(50), &cancel());
    let error = loaded.plan(&request("loop"), &mut Recording::default(), &soon).expect_err("no answer");
    assert_eq!(error.fault, Fault::Deadline);
    assert_eq!(error.failed().kind, Kind::TimedOut);

    let cancel = cancel();
    let until = Until::after(Duration::from_secs(60), &cancel);
    let canceller = std::thread::spawn(move || cancel.cancel());
    let error = loaded.plan(&request("loop"), &mut Recording::default(), &until).expect_err("no answer");
    assert_eq!(error.fault, Fault::Cancelled);
    assert_eq!(error.failed().kind, Kind::Cancelled);
    canceller.join().expect("no panic");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_guest_that_is_told_to_stop_may_still_say_what_it_has_seen() {
    let mut hands = Recording { answer: Some(BatchError::Stopped("cancelled".to_owned())), ..Recording::default() };
    let cancel = cancel();
    cancel.cancel();
    let until = Until::after(Duration::from_secs(60), &cancel);
    let failure = misfit().plan(&request("wait"), &mut hands, &until).expect("an answer").expect_err("a failure");
    assert_eq!(failure.kind, "timed-out");
}

#[test]
fn memory_is_limited_in_total() {
    let error = broken(misfit(), "memory");
    assert!(over("memory", &error.fault), "{error:?}");
    assert!(error.to_string().contains(&(64 << 20).to_string()), "{error}");
}

#[test]
fn recursion_without_an_end_is_a_used_up_stack() {
    let error = broken(misfit(), "stack");
    assert!(over("stack", &error.fault), "{error:?}");
    assert_eq!(error.running, ["bad_guests::deeper"], "once, however deep");
}

#[test]
fn a_flood_on_standard_error_is_cut_and_does_not_trap() {
    let error = broken(misfit(), "stderr");
    assert!(error.wrote.len() < 20 << 10, "{}", error.wrote.len());
    assert!(error.wrote.starts_with('('), "what is missing is told: {}", &error.wrote[..80]);
    assert!(error.wrote.contains("after the flood") && !error.wrote.contains('\u{1b}'));
    assert!(broken(misfit(), "stdout").wrote.contains("said on stdout"));
}

#[test]
fn exit_is_an_error_and_ends_nothing_else() {
    assert_eq!(broken(misfit(), "exit").fault, Fault::Exited);
}

#[test]
fn answers_are_bounded() {
    for config in ["facts", "text", "private"] {
        let error = broken(misfit(), config);
        assert!(matches!(error.fault, Fault::Contract { .. }), "{error:?}");
    }
    let error = broken(misfit(), "flood");
    assert!(over("copied", &error.fault), "{error:?}");
    let error = broken(misfit(), "copy");
    assert!(over("copied", &error.fault), "{error:?}");
}

#[test]
fn a_handle_that_is_kept_is_told() {
    assert_eq!(broken(misfit(), "borrow").fault, Fault::KeptBorrow);
}

#[test]
fn calling_the_host_on_and_on_ends() {
    let loaded = load_with(options(limits(|limits| limits.cpu_ms = 60_000)));
    let mut hands = Recording::default();
    let error = loaded.plan(&request("probes"), &mut hands, &minute()).expect_err("no answer");
    assert!(over("host_calls", &error.fault), "{error:?}");
    assert_eq!(hands.probes, Limits::default().host_calls as usize - 1, "one call was its log line");

    let mut hands = Recording::default();
    let error = loaded.plan(&request("log"), &mut hands, &minute()).expect_err("no answer");
    assert!(over("host_calls", &error.fault), "{error:?}");
    assert_eq!(hands.logged.len(), Limits::default().log_lines as usize);
    assert!(hands.logged.last().is_some_and(|(level, last)| *level == Level::Warn && last.contains("too much")));
}

#[test]
fn a_long_log_line_is_cut() {
    let mut hands = Recording::default();
    misfit().plan(&request("long"), &mut hands, &minute()).expect("an answer").expect("an assessment");
    assert_eq!(hands.logged[0].1.len(), Limits::default().log_line);
}

#[test]
fn taking_more_and_more_handles_ends() {
    let mut hands = Recording::default();
    let error = misfit().apply(&request("vaults"), &[], b"", &mut hands, &minute()).expect_err("no answer");
    assert_eq!(error.phase, Phase::Apply);
    assert!(over("resources", &error.fault), "{error:?}");
    let loaded = load_with(options(limits(|limits| limits.handles = 20)));
    let error = loaded.apply(&request("vaults"), &[], b"", &mut hands, &minute()).expect_err("no answer");
    assert!(over("handles", &error.fault), "{error:?}");
}

#[test]
fn what_a_good_call_writes_is_in_the_log_for_its_author() {
    let mut hands = Recording::default();
    misfit().plan(&request("words"), &mut hands, &minute()).expect("an answer").expect("an assessment");
    let words: Vec<_> =
        hands.logged.iter().map(|(_, line)| line.as_str()).filter(|line| line.contains("words")).collect();
    assert_eq!(words, ["words on stdout", "words on stderr"]);
}

#[test]
fn a_thread_needs_no_more_stack_than_it_is_told() {
    let loaded = misfit();
    let stack = Limits::default().stack + stagecraft_net::engine::HOST_STACK;
    let small = std::thread::Builder::new().stack_size(stack).spawn(move || {
        broken(loaded, "stack");
        broken(loaded, "panic");
        loaded.plan(&request("look"), &mut Recording::default(), &minute()).expect("an answer").expect("an assessment");
    });
    small.expect("a thread").join().expect("no panic");
}

#[test]
fn a_guest_finds_an_empty_world() {
    for config in ["stdin", "world"] {
        misfit()
            .plan(&request(config), &mut Recording::default(), &minute())
            .expect("an answer")
            .expect("an assessment");
    }
}

#[test]
fn hash_tables_have_one_order_in_every_call() {
    let order = || {
        let mut hands = Recording::default();
        misfit().plan(&request("good"), &mut hands, &minute()).expect("an answer").expect("an assessment");
        hands.logged
    };
    let first = order();
    assert!(first[0].1.starts_with("order ["));
    assert!((0..5).all(|_| order() == first));
}

#[test]
fn a_plan_reaches_its_hands_and_nothing_else() {
    let mut hands = Recording::default();
    let said = misfit().plan(&request("look"), &mut hands, &minute()).expect("an answer").expect("an assessment");
    let fact = |name: &str| said.facts.iter().find(|fact| fact.name == name).map(|fact| fact.value.as_str());
    assert_eq!(fact("name"), Some("app-1"));
    assert_eq!(fact("connection"), Some("192.0.2.1 4 192.0.2.2 22"));
    assert_eq!(
        fact("probe"),
        Some("exited 0: first word…tail /  true; Ending::Unknown: second…tail /  true"),
        "outputs come in the order of the commands"
    );
    assert_eq!(fact("pause"), Some("PauseEnd::Deadline"));
    assert_eq!(said.private, b"from the plan");
    let command = |argv: &[&str]| Command {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: vec![("A".to_owned(), "b".to_owned())],
        stdin: Vec::new(),
        as_root: false,
        timeout: Duration::from_millis(1500),
        runs: Condition::Ok,
        accepted: Vec::new(),
    };
    let batch = [command(&["first", "word"]), command(&["second"])];
    assert_eq!(hands.asked, [format!("probe {batch:?}"), "pause 7ms".to_owned()]);
}

#[test]
fn an_apply_hands_over_secrets_by_their_slots_and_sees_denials_as_values() {
    let step = |id: &str| Step {
        id: id.to_owned(),
        title: "Do it".to_owned(),
        detail: None,
        secrets: vec!["key".to_owned()],
        disruptive: false,
    };
    let mut hands = Recording::default();
    let said = misfit()
        .apply(&request("act"), &[step("one"), step("two")], b"from the plan", &mut hands, &minute())
        .expect("an answer")
        .expect("an outcome");
    let fact = |name: &str| said.facts.iter().find(|fact| fact.name == name).map(|fact| fact.value.as_str());
    assert_eq!(fact("private"), Some("from the plan"));
    assert_eq!(fact("secret"), Some("key Some(\"plain\")"));
    assert_eq!(fact("other"), Some("false"));
    assert!(fact("two").is_some_and(|said| said.starts_with("exited 0: join")), "{said:?}");
    let stdin = [Chunk::Bytes(b"before ".to_vec()), Chunk::Secret("key".to_owned()), Chunk::StdoutOf(3)];
    assert!(hands.asked[0].starts_with("run one ") && hands.asked[1].starts_with("run two "), "{:?}", hands.asked);
    assert!(hands.asked[0].contains(&format!("stdin: {stdin:?}, as_root: true")), "{}", hands.asked[0]);
    assert!(hands.asked[0].contains("runs: Always, accepted: [0, 4]"), "{}", hands.asked[0]);

    let denial = Denial { command: 1, reason: "no".to_owned(), grant: "grant".to_owned() };
    let mut hands = Recording { answer: Some(BatchError::Denied(denial)), ..Recording::default() };
    let said = misfit().apply(&request("act"), &[step("one")], b"", &mut hands, &minute()).expect("an answer");
    let said = said.expect("an outcome").facts.pop().expect("a fact").value;
    assert!(said.contains("Denied") && said.contains("grant"), "{said}");
}

#[test]
fn validate_and_node_fqdn_are_pure_calls_and_fail_as_values() {
    let loaded = misfit();
    assert_eq!(loaded.validate("c", &minute()).expect("an answer")[0].code, "valid");
    assert_eq!(loaded.node_fqdn("c", "app-1", &minute()).expect("an answer").as_deref(), Ok("app-1.example.net"));
    let failure = loaded.node_fqdn("failure", "app-1", &minute()).expect("an answer").expect_err("a failure");
    assert_eq!(failure.kind, "config-invalid");
    assert_eq!(loaded.validate("panic", &minute()).expect_err("no answer").phase, Phase::Validate);
    assert_eq!(loaded.node_fqdn("loop", "h", &minute()).expect_err("no answer").phase, Phase::NodeFqdn);
    assert_eq!(loaded.describe(&minute()).expect("an answer"), descriptor());
}

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
fn two_hundred_calls_on_eight_threads_do_not_disturb_each_other() {
    let loaded = misfit();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for call in 0..25 {
                    if (thread + call) % 5 == 0 {
                        broken(loaded, "panic");
                    } else {
                        let mut hands = Recording::default();
                        let said = loaded.plan(&request("look"), &mut hands, &minute());
                        assert_eq!(said.expect("an answer").expect("an assessment").private, b"from the plan");
                    }
                }
            });
        }
    });
}

#[test]
fn the_whole_memory_of_a_guest_can_be_looked_at_after_its_call() {
    let seen = Arc::new(Mutex::new(Vec::<u8>::new()));
    let mut options = Options::default();
    let kept = Arc::clone(&seen);
    options.watch = Some(Arc::new(move |memory: &[u8]| kept.lock().expect("no panic").extend_from_slice(memory)));
    let loaded = load_with(options);
    let plan = |config: &str| {
        seen.lock().expect("no panic").clear();
        loaded.plan(&request(config), &mut Recording::default(), &minute()).expect("an answer").expect("an assessment");
        seen.lock().expect("no panic").clone()
    };
    let has = |memory: &[u8], what: &str| memory.windows(what.len()).any(|bytes| bytes == what.as_bytes());
    let mark = format!("a mark of {}", std::process::id());
    let memory = plan(&mark);
    assert!(memory.len() >= 64 << 10, "{}", memory.len());
    assert!(has(&memory, &mark), "the config is in the guest's memory");
    assert!(!has(&plan("good"), &mark), "and in no later call's");
    assert!(has(&plan("keep"), &"kept in the memory of the guest".repeat(2)), "the heap is seen too");
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

#[test]
fn digests_name_the_bytes() {
    let artifact = artifact(PLAIN);
    assert_eq!(artifact.digest(), Digest::of(artifact.bytes()));
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
