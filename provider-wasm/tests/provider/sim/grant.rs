//! Holds every command against what the descriptor asks for and what the host grants the built-in provider, by the host's
//! own decision: a command that would be denied on a real machine fails here.

use std::sync::LazyLock;
use std::time::Duration;

use boundary::command::{self as host, Mode};
use boundary::grant::{Grant, Grants, Rights, Shape, Stdin, Verb};
use tailscale_provider::port::{Chunk, Command, Condition};
use tailscale_provider::provider::{StdinRule, describe};

static RIGHTS: LazyLock<Rights> = LazyLock::new(|| {
    let given = Grants::parse(include_str!("../../../../host-runtime/builtin/tailscale.grants"));
    Rights::new(asked(), given.unwrap_or_else(|problems| panic!("{problems}")).lines().to_vec())
});

fn asked() -> Vec<Grant> {
    let shape = |words: &[String]| Shape::parse(words).unwrap_or_else(|problems| panic!("{words:?}: {problems}"));
    let requests = describe().commands;
    let grants = requests.iter().map(|request| Grant {
        verb: if request.mutates { Verb::Change } else { Verb::Look },
        root: request.as_root,
        env: request.env.clone(),
        stdin: match &request.stdin {
            StdinRule::None => Stdin::None,
            StdinRule::Any => Stdin::Any,
            StdinRule::Secret(slot) => Stdin::Secret(slot.clone()),
            StdinRule::OutputOf(words) => Stdin::OutputOf(shape(words)),
        },
        shape: shape(&request.argv),
    });
    grants.collect()
}

/// Panics unless the whole batch would be admitted.
pub(crate) fn check(commands: &[Command], mode: Mode, config: &str) {
    let config: serde_json::Value = serde_json::from_str(config).unwrap_or_default();
    let value = |pointer: &str| config.pointer(pointer)?.as_str().map(str::to_owned);
    let commands: Vec<host::Command> = commands.iter().map(command).collect();
    if let Err(denial) = RIGHTS.decide(mode, &commands, &value) {
        panic!("{denial}");
    }
}

fn command(command: &Command) -> host::Command {
    let chunk = |chunk: &Chunk| match chunk {
        Chunk::Bytes(bytes) => host::Chunk::Bytes(bytes.clone()),
        Chunk::Secret(slot) => host::Chunk::Secret((*slot).to_owned()),
        Chunk::StdoutOf(place) => host::Chunk::StdoutOf(*place),
    };
    host::Command {
        argv: command.argv.clone(),
        env: command.env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        stdin: command.stdin.iter().map(chunk).collect(),
        as_root: command.as_root,
        timeout: Duration::from_millis(command.timeout_ms.into()),
        runs: match command.runs {
            Condition::Ok => host::Condition::Ok,
            Condition::Failed => host::Condition::Failed,
            Condition::Always => host::Condition::Always,
        },
        accepted: command.accepted.clone(),
    }
}
