//! The WIT as wasmtime's types, and the way between those and [`crate::contract`].
//!
//! A frozen track is one module like this one. Not for: judging what a guest says.

use std::time::Duration;

use boundary::command::{Captured, Command, Condition, Ending, Output};

use crate::contract;

wasmtime::component::bindgen!({
    path: "../wit",
    world: "network-provider",
    imports: { default: trappable },
    with: {
        "stagecraft:network/secrets.secret": crate::contract::SecretHandle,
        "stagecraft:network/secrets.vault": super::hands::Vault,
        "stagecraft:network/exec-remote.observer": super::hands::Observer,
        "stagecraft:network/exec-remote.actor": super::hands::Actor,
    },
});

pub(super) use exports::stagecraft::network::provider as wit;
pub(super) use stagecraft::network::{events, exec_remote, secrets, types};

fn all<A, B: From<A>>(list: Vec<A>) -> Vec<B> {
    list.into_iter().map(B::from).collect()
}

impl From<types::Severity> for contract::Severity {
    fn from(severity: types::Severity) -> Self {
        match severity {
            types::Severity::Error => Self::Error,
            types::Severity::Warning => Self::Warning,
            types::Severity::Note => Self::Note,
        }
    }
}

impl From<types::Diagnostic> for contract::Diagnostic {
    fn from(one: types::Diagnostic) -> Self {
        Self {
            severity: one.severity.into(),
            code: one.code,
            summary: one.summary,
            detail: one.detail,
            config_path: one.config_path,
        }
    }
}

impl From<types::Failure> for contract::Failure {
    fn from(failure: types::Failure) -> Self {
        Self { kind: failure.kind, diagnostics: all(failure.diagnostics) }
    }
}

impl From<wit::Descriptor> for contract::Descriptor {
    fn from(one: wit::Descriptor) -> Self {
        Self {
            id: one.id,
            display_name: one.display_name,
            description: one.description,
            version: one.version,
            config_schema: one.config_schema,
            secrets: all(one.secrets),
            commands: all(one.commands),
        }
    }
}

impl From<wit::SecretSlot> for contract::SecretSlot {
    fn from(one: wit::SecretSlot) -> Self {
        let kind = |kind: wit::SecretKind| contract::SecretKind { name: kind.name, prefix: kind.prefix };
        Self { slot: one.slot, env_config_path: one.env_config_path, kinds: one.kinds.into_iter().map(kind).collect() }
    }
}

impl From<wit::CommandRequest> for contract::CommandRequest {
    fn from(one: wit::CommandRequest) -> Self {
        Self {
            argv: one.argv,
            env: one.env,
            stdin: match one.stdin {
                wit::StdinRule::None => contract::StdinRule::None,
                wit::StdinRule::Any => contract::StdinRule::Any,
                wit::StdinRule::Secret(slot) => contract::StdinRule::Secret(slot),
                wit::StdinRule::OutputOf(argv) => contract::StdinRule::OutputOf(argv),
            },
            mutates: one.mutates,
            as_root: one.as_root,
            reason: one.reason,
        }
    }
}

impl From<&contract::Request> for wit::Request {
    fn from(request: &contract::Request) -> Self {
        Self {
            config: request.config.clone(),
            goal: match &request.goal {
                contract::Goal::Installed => wit::Goal::Installed,
                contract::Goal::Joined(tags) => wit::Goal::Joined(tags.clone()),
                contract::Goal::Absent => wit::Goal::Absent,
                contract::Goal::Other(name) => wit::Goal::Other(name.clone()),
            },
            allow: request.allow.clone(),
        }
    }
}

impl From<wit::Step> for contract::Step {
    fn from(one: wit::Step) -> Self {
        let wit::Step { id, title, detail, secrets, disruptive } = one;
        Self { id, title, detail, secrets, disruptive }
    }
}

impl From<contract::Step> for wit::Step {
    fn from(one: contract::Step) -> Self {
        let contract::Step { id, title, detail, secrets, disruptive } = one;
        Self { id, title, detail, secrets, disruptive }
    }
}

impl From<wit::Node> for contract::Node {
    fn from(one: wit::Node) -> Self {
        let wit::Node { id, fqdn, addresses, tags, online, key_expiry } = one;
        Self { id, fqdn, addresses, tags, online, key_expiry }
    }
}

impl From<wit::Fact> for contract::Fact {
    fn from(one: wit::Fact) -> Self {
        let wit::Fact { topic, name, value, wanted, remark } = one;
        Self { topic, name, value, wanted, remark }
    }
}

impl From<wit::Assessment> for contract::Assessment {
    fn from(one: wit::Assessment) -> Self {
        Self {
            facts: all(one.facts),
            node: one.node.map(Into::into),
            steps: all(one.steps),
            blocked: one.blocked.map(Into::into),
            notes: all(one.notes),
            private: one.private,
        }
    }
}

impl From<wit::Outcome> for contract::Outcome {
    fn from(one: wit::Outcome) -> Self {
        Self { facts: all(one.facts), node: one.node.map(Into::into), notes: all(one.notes) }
    }
}

impl From<events::Level> for contract::Level {
    fn from(level: events::Level) -> Self {
        match level {
            events::Level::Debug => Self::Debug,
            events::Level::Info => Self::Info,
            events::Level::Warn => Self::Warn,
            events::Level::Error => Self::Error,
        }
    }
}

/// A command, with its standard input, whose secrets only the call's table can tell.
pub(super) fn command(one: exec_remote::Command, stdin: Vec<boundary::command::Chunk>) -> Command {
    Command {
        argv: one.argv,
        env: one.env.into_iter().map(|var| (var.name, var.value)).collect(),
        stdin,
        as_root: one.as_root,
        timeout: Duration::from_millis(one.timeout_ms.into()),
        runs: match one.runs {
            exec_remote::Condition::Ok => Condition::Ok,
            exec_remote::Condition::Failed => Condition::Failed,
            exec_remote::Condition::Always => Condition::Always,
        },
        accepted: one.accepted,
    }
}

impl From<Captured> for exec_remote::Captured {
    fn from(captured: Captured) -> Self {
        Self { head: captured.head, tail: captured.tail, cut: captured.cut }
    }
}

impl From<Output> for exec_remote::Output {
    fn from(output: Output) -> Self {
        Self {
            ending: match output.ending {
                Ending::Exited(status) => exec_remote::Ending::Exited(status),
                Ending::TimedOut => exec_remote::Ending::TimedOut,
                Ending::Skipped => exec_remote::Ending::Skipped,
                Ending::Unknown => exec_remote::Ending::Unknown,
            },
            stdout: output.stdout.into(),
            stderr: output.stderr.into(),
        }
    }
}

impl From<contract::BatchError> for exec_remote::ExecError {
    fn from(error: contract::BatchError) -> Self {
        match error {
            contract::BatchError::Denied(denial) => Self::Denied(exec_remote::Denial {
                command: denial.command,
                reason: denial.reason,
                grant: denial.grant,
            }),
            contract::BatchError::Unreachable(why) => Self::Unreachable(why),
            contract::BatchError::Busy(holder) => Self::Busy(holder),
            contract::BatchError::Stopped(why) => Self::Stopped(why),
            contract::BatchError::Other(why) => Self::Other(why),
        }
    }
}

impl From<contract::PauseEnd> for exec_remote::PauseEnd {
    fn from(end: contract::PauseEnd) -> Self {
        match end {
            contract::PauseEnd::Elapsed => Self::Elapsed,
            contract::PauseEnd::Deadline => Self::Deadline,
            contract::PauseEnd::Cancelled => Self::Cancelled,
        }
    }
}
