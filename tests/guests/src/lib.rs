//! A provider that misbehaves on request: the config names the misbehaviour. It is the whole config where the sandbox is
//! tested, and `{"do": "plan panic"}` where a project's file is: the call in which it is to misbehave, and how.
//!
//! Built for `wasm32-wasip2` by the build script of `lab`; the tests that use it are `tests/whole/guests`. On any other
//! target it is empty. Not for: anything else.
#![cfg(target_family = "wasm")]

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{Read, Write};

mod bindings {
    #![allow(missing_docs, clippy::all, unreachable_pub, reason = "generated code")]
    wit_bindgen::generate!({ path: "../../wit", world: "network-provider" });
}

use bindings::exports::stagecraft::network::provider::{
    Assessment, Descriptor, Diagnostic, Fact, Failure, Guest, Outcome, Request, SecretKind, SecretSlot, Step,
};
use bindings::stagecraft::network::events::{Level, log};
use bindings::stagecraft::network::exec_remote::{
    Actor, Chunk, Command, Condition, Ending, EnvVar, ExecError, Observer, Output,
};
use bindings::stagecraft::network::secrets::Vault;
use bindings::stagecraft::network::types::Severity;

struct Misfit;

bindings::export!(Misfit with_types_in bindings);

/// A mark that a test looks for in the guest's memory.
const KEPT: &str = "kept in the memory of the guest";

impl Guest for Misfit {
    fn describe() -> Descriptor {
        Descriptor {
            id: "misfit".into(),
            display_name: "Misfit".into(),
            description: "Misbehaves on request.".into(),
            version: "1.2.3".into(),
            config_schema: "{}".into(),
            secrets: vec![SecretSlot {
                slot: "key".into(),
                env_config_path: "/key_env".into(),
                kinds: vec![SecretKind { name: "plain".into(), prefix: "plain-".into() }],
            }],
            commands: Vec::new(),
        }
    }

    fn validate(config: String) -> Vec<Diagnostic> {
        misbehave(word(&config, "validate"));
        vec![diagnostic("valid", &config)]
    }

    fn node_fqdn(config: String, host: String) -> Result<String, Failure> {
        misbehave(word(&config, "fqdn"));
        if config == "failure" {
            return Err(failure("config-invalid", "it was asked to fail"));
        }
        Ok(format!("{host}.example.net"))
    }

    fn plan(req: Request, look: &Observer) -> Result<Assessment, Failure> {
        let asked = word(&req.config, "plan");
        misbehave(asked);
        let mut answer = Assessment {
            facts: vec![fact("config", &req.config)],
            node: None,
            steps: Vec::new(),
            blocked: None,
            notes: Vec::new(),
            private: Vec::new(),
        };
        match asked {
            "look" => {
                answer.facts.push(fact("name", &look.name()));
                answer.facts.push(fact("connection", &look.connection().unwrap_or_default()));
                let said = look.probe(&[command(&["first", "word"]), command(&["second"])]);
                answer.facts.push(fact("probe", &outputs(&said)));
                answer.facts.push(fact("pause", &format!("{:?}", look.pause(7))));
                answer.private = b"from the plan".to_vec();
            }
            "borrow" => {
                // What the glue would give back at the end of the call is gone.
                look.take_handle();
            }
            "denied" => {
                let said = look.probe(&[command(&["nmap", "-sS", "192.0.2.0/24"])]);
                return Err(failure("denied", &outputs(&said)));
            }
            "config" => {
                let detail =
                    "found: \"db 1\"\nwanted: a name without blanks\ndo: rename the database in stagecraft.yml";
                let mut failure = failure("config-invalid", "invalid config: `database` of this host is no name");
                failure.diagnostics[0].detail = Some(detail.into());
                failure.diagnostics[0].config_path = Some("/do".into());
                return Err(failure);
            }
            "silent" => return Err(Failure { kind: "a kind of its own".into(), diagnostics: Vec::new() }),
            "blocked" => {
                answer.blocked = Some(failure("other", "it cannot be"));
                answer.steps = vec![Step {
                    id: "one".into(),
                    title: "do it all the same".into(),
                    detail: None,
                    secrets: Vec::new(),
                    disruptive: false,
                }];
            }
            "facts" => answer.facts = (0..20_000).map(|_| fact("n", "v")).collect(),
            "text" => answer.facts = vec![fact("long", &"x".repeat(100_000))],
            "remark" => answer.facts = vec![Fact { remark: Some("x".repeat(100_000)), ..fact("long", "v") }],
            "private" => answer.private = vec![0; 64 * 1024 + 1],
            "flood" => answer.private = vec![0; 20 << 20],
            "probes" => loop {
                if look.probe(&[]).is_err() {
                    break;
                }
            },
            "wait" => {
                while !matches!(look.probe(&[]), Err(ExecError::Stopped(_))) {}
                return Err(failure("timed-out", "it was told to stop, and did"));
            }
            "keep" => {
                black_box(KEPT.repeat(2).leak());
            }
            _ => {}
        }
        Ok(answer)
    }

    fn apply(
        req: Request,
        steps: Vec<Step>,
        private: Vec<u8>,
        look: &Observer,
        act: &Actor,
        given: &Vault,
    ) -> Result<Outcome, Failure> {
        misbehave(&req.config);
        let mut facts = vec![fact("private", &String::from_utf8_lossy(&private))];
        match req.config.as_str() {
            "act" => {
                let secret = given.get("key");
                facts.push(fact("other", &given.get("other").is_some().to_string()));
                if let Some(secret) = &secret {
                    facts.push(fact("secret", &format!("{} {:?}", secret.slot(), secret.kind())));
                }
                let mut commands = vec![Command { as_root: true, ..command(&["join"]) }, command(&["check"])];
                commands[0].stdin.push(Chunk::Bytes(b"before ".to_vec()));
                commands[0].stdin.extend(secret.as_ref().map(Chunk::Secret));
                commands[0].stdin.push(Chunk::StdoutOf(3));
                commands[1].runs = Condition::Always;
                commands[1].accepted = vec![0, 4];
                for step in &steps {
                    facts.push(fact(&step.id, &outputs(&act.run(&step.id, &commands))));
                }
            }
            "vaults" => {
                let mut kept = Vec::new();
                loop {
                    kept.push(given.get("key"));
                }
            }
            _ => {
                look.name();
            }
        }
        Ok(Outcome { facts, node: None, notes: vec![diagnostic("done", &req.config)] })
    }
}

/// What this call is to do, by the config: all of it, or what a project's file says of this call.
fn word<'a>(config: &'a str, call: &str) -> &'a str {
    let Some((_, rest)) = config.split_once("\"do\":\"") else { return config };
    let wanted = rest.split('"').next().unwrap_or_default();
    wanted.strip_prefix(call).map_or("", str::trim_start)
}

/// What can go wrong in any call.
fn misbehave(config: &str) {
    match config {
        "panic" => panic!("it was asked to panic"),
        "loop" => loop {
            black_box(());
        },
        "memory" => {
            let mut all = Vec::new();
            loop {
                all.push(black_box(vec![1u8; 1 << 20]));
            }
        }
        "stack" => {
            black_box(deeper(0));
        }
        "exit" => std::process::exit(3),
        "log" => loop {
            log(Level::Info, "again");
        },
        "long" => log(Level::Info, &"y".repeat(10_000)),
        "copy" => log(Level::Info, &"z".repeat(10 << 20)),
        "stderr" => {
            for line in 0..5_000 {
                eprintln!("line {line} \u{1b}[31m");
            }
            panic!("after the flood");
        }
        "stdout" => {
            println!("said on stdout");
            panic!("then it panicked");
        }
        "words" => {
            println!("words on stdout");
            eprintln!("words on stderr");
        }
        "stdin" => {
            let mut input = String::new();
            let read = std::io::stdin().read_to_string(&mut input).expect("standard input is at its end");
            assert_eq!(read, 0);
            std::io::stdout().flush().expect("standard output takes everything");
        }
        "world" => {
            assert_eq!(std::env::args().count(), 0);
            assert_eq!(std::env::vars().count(), 0);
        }
        #[cfg(feature = "files")]
        "files" => {
            black_box(std::fs::read("/etc/passwd").expect("a file"));
        }
        #[cfg(feature = "clock")]
        "clock" => {
            black_box(std::time::Instant::now());
        }
        _ => {}
    }
    // The order of a hash table is the same in every call.
    let table: HashMap<u32, ()> = (0..100).map(|n| (n, ())).collect();
    log(Level::Debug, &format!("order {:?}", table.keys().take(5).collect::<Vec<_>>()));
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> u64 {
    black_box(deeper(black_box(depth) + 1)) + 1
}

fn command(argv: &[&str]) -> Command<'static> {
    Command {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: vec![EnvVar { name: "A".into(), value: "b".into() }],
        stdin: Vec::new(),
        as_root: false,
        timeout_ms: 1500,
        runs: Condition::Ok,
        accepted: Vec::new(),
    }
}

fn outputs(said: &Result<Vec<Output>, ExecError>) -> String {
    match said {
        Ok(outputs) => {
            let each = outputs.iter().map(|output| {
                let Output { ending, stdout, stderr } = output;
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let ending = match ending {
                    Ending::Exited(status) => format!("exited {status}"),
                    other => format!("{other:?}"),
                };
                format!(
                    "{ending}: {}…{} / {} {}",
                    text(&stdout.head),
                    text(&stdout.tail),
                    text(&stderr.head),
                    stdout.cut
                )
            });
            each.collect::<Vec<_>>().join("; ")
        }
        Err(error) => format!("{error:?}"),
    }
}

fn fact(name: &str, value: &str) -> Fact {
    Fact { topic: "guest".into(), name: name.into(), value: value.into(), wanted: None, remark: None }
}

fn diagnostic(code: &str, summary: &str) -> Diagnostic {
    Diagnostic { severity: Severity::Note, code: code.into(), summary: summary.into(), detail: None, config_path: None }
}

fn failure(kind: &str, summary: &str) -> Failure {
    Failure { kind: kind.into(), diagnostics: vec![diagnostic(kind, summary)] }
}
