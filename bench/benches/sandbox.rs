//! What the sandbox costs, beside bare wasmtime: a call, a host call, a whole plan without a network.
//!
//! The bare side runs the same component on a plain engine, with nothing of ours: no limits, no clock, no check of what
//! came back. Through the library's public items, since that is what an embedder pays. `cargo bench -p bench`.
#![allow(missing_docs, reason = "a benchmark")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bench::ground::{Ground, TAG, TAILNET};
use boundary::command::{Command, Output};
use criterion::{Criterion, criterion_group, criterion_main};
use stagecraft_net::artifact::{Artifact, DESCRIPTOR_SECTION};
use stagecraft_net::contract::{BatchError, Descriptor, Goal, Hands, Level, PauseEnd, Request, SecretHandle};
use stagecraft_net::engine::{Compile, Engine, Loaded, Options};
use stagecraft_net::event::Event;
use stagecraft_net::network::Network;
use stagecraft_net::registry::Registry;
use stagecraft_net::ssh::{self, Connection, Endpoint, Trust};
use stagecraft_net::transport::{Ended, ExecError, Flow, Stream, Transport};
use stagecraft_net::until::{Cancel, Until};
use wasm_encoder::{ComponentSection as _, CustomSection};
use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentType, InstancePre, Lift, Linker, Resource, ResourceAny, ResourceType, Val,
};

const CALLER: &[u8] = include_bytes!(env!("BENCH_GUEST"));
const PROVIDER: &str = "stagecraft:network/provider@0.1.0";
const EXEC: &str = "stagecraft:network/exec-remote@0.1.0";

criterion_group!(benches, calls, host_calls, plans);
criterion_main!(benches);

/// A call of a function that gives back what it is given: store, instance, call, drop.
fn calls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("call");
    let bare = Bare::new(CALLER);
    group.bench_function("bare wasmtime, instance only", |bencher| {
        bencher.iter(|| {
            let mut store = Store::new(&bare.engine, ());
            bare.pre.instantiate(&mut store).expect("an instance")
        });
    });
    group.bench_function("bare wasmtime", |bencher| bencher.iter(|| bare.node_fqdn("app-1")));
    let ours = caller();
    let until = minute();
    group.bench_function("ours", |bencher| {
        bencher.iter(|| ours.node_fqdn("0", "app-1", &until).expect("a call").expect("a name"));
    });
    group.finish();
}

/// From the guest to the host and back, without anything that waits.
fn host_calls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("host call");
    let bare = Bare::new(CALLER);
    group.bench_function("bare wasmtime", |bencher| bencher.iter_custom(|calls| bare.plan(calls)));
    let ours = caller();
    group.bench_function("ours", |bencher| {
        bencher.iter_custom(|calls| {
            let (request, until) = (request(calls.to_string(), Goal::Installed), minute());
            let begun = Instant::now();
            ours.plan(&request, &mut Named, &until).expect("a call").expect("a plan");
            begun.elapsed()
        });
    });
    group.finish();
}

/// A plan of the built-in provider for a host that is right: everything but the network.
fn plans(criterion: &mut Criterion) {
    let network = builtin();
    let tape = record(&network);
    let tell = Arc::new(|_: Event| {});
    let until = minute();
    criterion.bench_function("plan/built-in provider, host is right", |bencher| {
        bencher.iter(|| {
            let mut host = network.on("app-1", Box::new(Replay(Arc::clone(&tape))), tell.clone());
            let plan = host.plan(&Goal::Joined(vec![TAG.to_owned()]), &[], &until).expect("a plan");
            assert!(plan.holds());
        });
    });
}

fn minute() -> Until {
    Until::after(Duration::from_secs(600), &Cancel::new().expect("an eventfd"))
}

fn request(config: String, goal: Goal) -> Request {
    Request { config, goal, allow: Vec::new() }
}

/// The guest that does what it is told, in our engine, with room for as many host calls as it takes.
fn caller() -> Loaded {
    let mut options = Options::default();
    (options.limits.host_calls, options.limits.cpu_ms) = (u32::MAX, 600_000);
    let said = Descriptor {
        id: "caller".to_owned(),
        display_name: "Caller".to_owned(),
        description: "Calls its host.".to_owned(),
        version: "1.0.0".to_owned(),
        config_schema: "{}".to_owned(),
        secrets: Vec::new(),
        commands: Vec::new(),
    };
    let mut bytes = CALLER.to_vec();
    let data = serde_json::to_vec(&said).expect("JSON").into();
    CustomSection { name: DESCRIPTOR_SECTION.into(), data }.append_to_component(&mut bytes);
    let artifact = Artifact::from_bytes(bytes, None).expect("an artifact");
    Engine::new(options).expect("an engine").load(&artifact, Compile::InProcess).expect("a provider")
}

/// The built-in provider, with a config.
fn builtin() -> Network {
    let registry = Registry::builtin(&Engine::new(Options::default()).expect("an engine")).expect("the provider");
    let config = serde_json::json!({ "auth_key_env": "TS_AUTHKEY", "tailnet_domain": TAILNET, "default_tags": [TAG] });
    registry.get("tailscale").expect("the provider").configure(&config).expect("valid")
}

/// The same component without anything of ours.
struct Bare {
    engine: wasmtime::Engine,
    pre: InstancePre<()>,
}

struct Look;

#[derive(ComponentType, Lift)]
#[component(record)]
#[allow(dead_code, reason = "only its shape counts")]
struct Failure {
    kind: String,
    diagnostics: Vec<Diagnostic>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
#[allow(dead_code, reason = "only its shape counts")]
struct Diagnostic {
    severity: Severity,
    code: String,
    summary: String,
    detail: Option<String>,
    #[component(name = "config-path")]
    config_path: Option<String>,
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "only its shape counts")]
enum Severity {
    #[component(name = "error")]
    Error,
    #[component(name = "warning")]
    Warning,
    #[component(name = "note")]
    Note,
}

impl Bare {
    fn new(component: &[u8]) -> Self {
        let engine = wasmtime::Engine::default();
        let component = Component::new(&engine, component).expect("a component");
        let mut linker = Linker::<()>::new(&engine);
        let mut exec = linker.instance(EXEC).expect("an interface");
        exec.resource("observer", ResourceType::host::<Look>(), |_, _| Ok(())).expect("a resource");
        exec.func_wrap("[method]observer.name", |_, (_look,): (Resource<Look>,)| Ok(("app-1".to_owned(),)))
            .expect("a function");
        linker.define_unknown_imports_as_traps(&component).expect("the rest");
        let pre = linker.instantiate_pre(&component).expect("it links");
        Self { engine, pre }
    }

    fn node_fqdn(&self, host: &str) -> String {
        let mut store = Store::new(&self.engine, ());
        let instance = self.pre.instantiate(&mut store).expect("an instance");
        let (_, provider) = instance.get_export(&mut store, None, PROVIDER).expect("the interface");
        let (_, function) = instance.get_export(&mut store, Some(&provider), "node-fqdn").expect("the function");
        let function = instance
            .get_typed_func::<(&str, &str), (Result<String, Failure>,)>(&mut store, function)
            .expect("of this type");
        let (name,) = function.call(&mut store, ("0", host)).expect("a call");
        name.unwrap_or_else(|_| unreachable!("it gives back what it is given"))
    }

    /// How long a plan with so many host calls takes.
    fn plan(&self, calls: u64) -> Duration {
        let mut store = Store::new(&self.engine, ());
        let text = |text: &str| Val::String(text.to_owned());
        let request = Val::Record(vec![
            ("config".to_owned(), text(&calls.to_string())),
            ("goal".to_owned(), Val::Variant("installed".to_owned(), None)),
            ("allow".to_owned(), Val::List(Vec::new())),
        ]);
        let begun = Instant::now();
        let instance = self.pre.instantiate(&mut store).expect("an instance");
        let look = ResourceAny::try_from_resource(Resource::<Look>::new_own(1), &mut store).expect("a handle");
        let (_, provider) = instance.get_export(&mut store, None, PROVIDER).expect("the interface");
        let (_, function) = instance.get_export(&mut store, Some(&provider), "plan").expect("the function");
        let function = instance.get_func(&mut store, function).expect("a function");
        let mut said = [Val::Bool(false)];
        function.call(&mut store, &[request, Val::Resource(look)], &mut said).expect("a call");
        assert!(matches!(said, [Val::Result(Ok(_))]), "{said:?}");
        begun.elapsed()
    }
}

/// Hands that have a name and nothing else.
struct Named;

impl Hands for Named {
    fn name(&self) -> String {
        "app-1".to_owned()
    }

    fn connection(&self) -> Option<String> {
        None
    }

    fn probe(&mut self, _: Vec<Command>) -> Result<Vec<Output>, BatchError> {
        Err(BatchError::Other("nobody is there".to_owned()))
    }

    fn run(&mut self, _: &str, commands: Vec<Command>) -> Result<Vec<Output>, BatchError> {
        self.probe(commands)
    }

    fn pause(&mut self, _: Duration) -> PauseEnd {
        PauseEnd::Elapsed
    }

    fn secret(&mut self, _: &str) -> Option<SecretHandle> {
        None
    }

    fn log(&mut self, _: Level, _: &str) {}
}

/// What a host that is right answered, piece by piece.
#[derive(Default)]
struct Tape {
    nonce: String,
    pieces: Vec<(Stream, Vec<u8>)>,
}

/// The nonce of a script: the first word of 32 hex digits in it.
fn nonce(script: &[u8]) -> String {
    let script = String::from_utf8_lossy(script);
    let words = script.split(|char: char| !char.is_ascii_hexdigit());
    words.filter(|word| word.len() == 32).map(str::to_owned).next().expect("a script has a nonce")
}

/// Asks a real `sshd` once.
fn record(network: &Network) -> Arc<Tape> {
    struct Recorder(Connection, Arc<Mutex<Tape>>);
    impl Transport for Recorder {
        fn exec(
            &mut self,
            line: &str,
            input: &[u8],
            sink: &mut dyn FnMut(Stream, &[u8]) -> Flow,
            until: &Until,
        ) -> Result<Ended, ExecError> {
            let mut tape = self.1.lock().expect("no panic");
            tape.nonce = nonce(input);
            let mut keep = |stream: Stream, piece: &[u8]| {
                tape.pieces.push((stream, piece.to_vec()));
                sink(stream, piece)
            };
            self.0.exec(line, input, &mut keep, until)
        }
    }
    let ground = Ground::new(1).expect("a host");
    let yard = ground.yard(1).expect("its directory");
    let endpoint = Endpoint { config: Some(yard.dir().join("ssh_config")), ..Endpoint::alias("app-1") };
    let until = minute();
    let target = ssh::resolve(&endpoint, &until).expect("a target");
    let connection = ssh::connect(&target, Trust::Strict, &until).expect("a connection");
    let tape = Arc::new(Mutex::new(Tape::default()));
    let mut host = network.on("app-1", Box::new(Recorder(connection, Arc::clone(&tape))), Arc::new(|_: Event| {}));
    assert!(host.plan(&Goal::Joined(vec![TAG.to_owned()]), &[], &until).expect("a plan").holds());
    drop(host);
    Arc::new(std::mem::take(&mut *tape.lock().expect("no panic")))
}

/// Answers as that host did, with the nonce of today.
struct Replay(Arc<Tape>);

impl Transport for Replay {
    fn exec(
        &mut self,
        _: &str,
        input: &[u8],
        sink: &mut dyn FnMut(Stream, &[u8]) -> Flow,
        _: &Until,
    ) -> Result<Ended, ExecError> {
        let (old, new) = (self.0.nonce.as_bytes(), nonce(input));
        for (stream, piece) in &self.0.pieces {
            let mut piece = piece.clone();
            // In place: both have 32 digits.
            let mut at = 0;
            while let Some(found) = piece[at..].windows(old.len()).position(|window| window == old) {
                piece[at + found..at + found + old.len()].copy_from_slice(new.as_bytes());
                at += found + old.len();
            }
            if sink(*stream, &piece) == Flow::Stop {
                return Ok(Ended::Stopped);
            }
        }
        Ok(Ended::Closed)
    }
}
