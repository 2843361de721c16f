//! Holds a command against the descriptor, by the grammar of grants, so that a command that nobody could grant fails here.

use std::sync::LazyLock;

use tailscale_provider::port::{Chunk, Command};
use tailscale_provider::provider::{CommandRequest, Descriptor, StdinRule, describe};

/// Panics unless the descriptor asks for this command.
pub(crate) fn check(command: &Command, batch: &[Command], looks: bool, config: &str) {
    let config: serde_json::Value = serde_json::from_str(config).unwrap_or_default();
    let server = config.get("login_server").and_then(serde_json::Value::as_str);
    static DESCRIPTOR: LazyLock<Descriptor> = LazyLock::new(describe);
    let asked = DESCRIPTOR.commands.iter().any(|request| fits(request, command, batch, looks, server));
    assert!(asked, "the descriptor does not ask for {command:?}");
}

fn fits(request: &CommandRequest, command: &Command, batch: &[Command], looks: bool, server: Option<&str>) -> bool {
    let env = command.env.iter().all(|(name, _)| request.env.iter().any(|known| known == name));
    let stdin = match &request.stdin {
        StdinRule::None => command.stdin.is_empty(),
        StdinRule::Any => true,
        StdinRule::Secret(slot) => command.stdin.iter().any(|chunk| matches!(chunk, Chunk::Secret(own) if own == slot)),
        StdinRule::OutputOf(argv) => match command.stdin.as_slice() {
            [Chunk::StdoutOf(place)] => batch.get(*place as usize).is_some_and(|from| from.argv == *argv),
            _ => false,
        },
    };
    env && stdin
        && (!looks || !request.mutates)
        && (request.as_root || !command.as_root)
        && words(&request.argv, &command.argv, server)
}

fn words(pattern: &[String], argv: &[String], server: Option<&str>) -> bool {
    match (pattern.split_first(), argv.split_first()) {
        (None, None) => true,
        (Some((group, [])), _) if group.starts_with('[') => {
            let choices: Vec<&str> =
                group.trim_start_matches('[').trim_end_matches("]*").split(" | ").map(str::trim).collect();
            let mut used = Vec::new();
            argv.iter().all(|word| match choices.iter().position(|choice| matches(choice, word, server)) {
                Some(place) if !used.contains(&place) => {
                    used.push(place);
                    true
                }
                _ => false,
            })
        }
        (Some((word, pattern)), Some((own, argv))) => matches(word, own, server) && words(pattern, argv, server),
        _ => false,
    }
}

fn matches(pattern: &str, word: &str, server: Option<&str>) -> bool {
    if let Some(prefix) = pattern.strip_suffix("$config/login_server") {
        return word.strip_prefix(prefix).is_some_and(|value| Some(value) == server);
    }
    match pattern.strip_suffix('*') {
        Some(prefix) => {
            word.strip_prefix(prefix).is_some_and(|hole| !hole.starts_with('-') && !hole.contains(char::is_control))
        }
        None => pattern == word,
    }
}
