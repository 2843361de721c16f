//! A provider for a network that is one line in a file: a host is a member when `file` on it holds its full name.
//!
//! It is the smallest that does all that a provider does: it looks, says what it would do, does it, and looks whether
//! that worked. How it is built and run: docs/providers.md. Not for: a network that anybody needs.
#![cfg(target_family = "wasm")]

wit_bindgen::generate!({ path: "../../wit", world: "network-provider" });

use exports::stagecraft::network::provider::{
    Assessment, CommandRequest, Descriptor, Diagnostic, Fact, Failure, Goal, Guest, Node, Outcome, Request, StdinRule,
    Step,
};
use stagecraft::network::exec_remote::{Actor, Chunk, Command, Condition, Ending, ExecError, Observer, Output};
use stagecraft::network::secrets::Vault;
use stagecraft::network::types::Severity;

struct Beacon;

export!(Beacon);

/// What stands under `network.providers.beacon`.
#[derive(serde::Deserialize)]
struct Config {
    domain: String,
    file: String,
}

impl Guest for Beacon {
    /// The same as descriptor.json: the host compares them.
    fn describe() -> Descriptor {
        let request = |program: &str, stdin, mutates, reason: &str| CommandRequest {
            argv: vec![program.into(), "$config/file".into()],
            env: Vec::new(),
            stdin,
            mutates,
            as_root: false,
            reason: reason.into(),
        };
        Descriptor {
            id: "beacon".into(),
            display_name: "Beacon".into(),
            description: "A network that is one line in a file, to show how a provider is written.".into(),
            version: "0.1.0".into(),
            config_schema: r#"{"type": "object", "required": ["domain", "file"]}"#.into(),
            secrets: Vec::new(),
            commands: vec![
                request("cat", StdinRule::None, false, "To see of which network the host is a member."),
                request("tee", StdinRule::Any, true, "To join: the host's name goes into the file."),
                request("rm", StdinRule::None, true, "To leave."),
            ],
        }
    }

    fn validate(config: String) -> Vec<Diagnostic> {
        read(&config).err().map(|failure| failure.diagnostics).unwrap_or_default()
    }

    fn node_fqdn(config: String, host: String) -> Result<String, Failure> {
        Ok(format!("{host}.{}", read(&config)?.domain))
    }

    /// One batch of looks, then what follows from it. Nothing here can change the machine.
    fn plan(req: Request, look: &Observer) -> Result<Assessment, Failure> {
        let config = read(&req.config)?;
        let wanted = format!("{}.{}", look.name(), config.domain);
        let looked = look.probe(&[command(&["cat", &config.file], &[0, 1])]).map_err(refused)?;
        let found = member(&looked[0])?;
        let mut answer = assessment(found.as_deref());
        match (&req.goal, found) {
            (Goal::Installed, _) => {}
            (Goal::Joined(_), Some(name)) if name == wanted => {}
            (Goal::Absent, None) => {}
            (Goal::Joined(_), None) => answer.steps.push(step("join", &format!("join as {wanted}"))),
            (Goal::Absent, Some(name)) if name == wanted => answer.steps.push(step("leave", "leave")),
            // A member of something else is never moved.
            (Goal::Joined(_) | Goal::Absent, Some(name)) => {
                let detail = format!("found: {name}\nwanted: {wanted}\ndo: look whose {} is", config.file);
                answer.blocked = Some(failure("network-mismatch", "host is in another network", Some(detail)));
            }
            (Goal::Other(goal), _) => return Err(failure("other", &format!("there is no goal `{goal}` here"), None)),
        }
        Ok(answer)
    }

    /// The steps that were shown, in their order; behind each a look whether it worked, in the same round trip.
    fn apply(
        req: Request,
        steps: Vec<Step>,
        _private: Vec<u8>,
        look: &Observer,
        act: &Actor,
        _given: &Vault,
    ) -> Result<Outcome, Failure> {
        let config = read(&req.config)?;
        let wanted = format!("{}.{}", look.name(), config.domain);
        let mut found = None;
        for step in &steps {
            let joins = step.id == "join";
            let change = if joins {
                Command { stdin: vec![Chunk::Bytes(wanted.clone().into())], ..command(&["tee", &config.file], &[0]) }
            } else {
                command(&["rm", &config.file], &[0])
            };
            let check = Command { runs: Condition::Always, ..command(&["cat", &config.file], &[0, 1]) };
            let ran = act.run(&step.id, &[change, check]).map_err(refused)?;
            found = member(&ran[1])?;
            if found.as_deref() != joins.then_some(wanted.as_str()) {
                let said = String::from_utf8_lossy(&ran[0].stderr.head).into_owned();
                return Err(failure("other", &format!("{} did not work", step.title), Some(format!("found: {said}"))));
            }
        }
        let Assessment { facts, node, .. } = assessment(found.as_deref());
        Ok(Outcome { facts, node, notes: Vec::new() })
    }
}

fn read(config: &str) -> Result<Config, Failure> {
    serde_json::from_str(config).map_err(|error| failure("config-invalid", &format!("invalid config: {error}"), None))
}

/// The name in the file, or none where there is no file. A look that did not end is no answer.
fn member(looked: &Output) -> Result<Option<String>, Failure> {
    match looked.ending {
        Ending::Exited(0) => Ok(Some(String::from_utf8_lossy(&looked.stdout.head).trim().to_owned())),
        Ending::Exited(1) => Ok(None),
        _ => Err(failure("other", "the file could not be looked at", None)),
    }
}

fn assessment(found: Option<&str>) -> Assessment {
    let node = found.map(|name| Node {
        id: name.to_owned(),
        fqdn: name.to_owned(),
        addresses: Vec::new(),
        tags: Vec::new(),
        online: true,
        key_expiry: None,
    });
    let state = Fact {
        topic: "state".into(),
        name: "state".into(),
        value: found.map_or("no member", |_| "member").into(),
        wanted: None,
        remark: None,
    };
    Assessment { facts: vec![state], node, steps: Vec::new(), blocked: None, notes: Vec::new(), private: Vec::new() }
}

fn step(id: &str, title: &str) -> Step {
    Step { id: id.into(), title: title.into(), detail: None, secrets: Vec::new(), disruptive: false }
}

fn command(argv: &[&str], accepted: &[u8]) -> Command<'static> {
    Command {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: Vec::new(),
        stdin: Vec::new(),
        as_root: false,
        timeout_ms: 10_000,
        runs: Condition::Ok,
        accepted: accepted.to_vec(),
    }
}

/// The host knows why a batch was not begun, and says it better.
fn refused(error: ExecError) -> Failure {
    failure("other", &format!("{error:?}"), None)
}

fn failure(kind: &str, summary: &str, detail: Option<String>) -> Failure {
    let severity = Severity::Error;
    let one = Diagnostic { severity, code: kind.into(), summary: summary.into(), detail, config_path: None };
    Failure { kind: kind.into(), diagnostics: vec![one] }
}
