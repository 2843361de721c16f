//! Which batches may reach a machine: what the provider's descriptor asks for, and what its operator gave.
//!
//! [`Policy::admit`] is the only way to an [`Admitted`] batch, and a session takes nothing else. The grammar and the
//! decision are [`boundary::grant`]; this module binds them to a descriptor, to a digest and to a provider's config.
//! Not for: the order of the shown steps and the secrets that they name; that is the call's.

use boundary::argv::check_env_name;
use boundary::command::{Command, Mode};
use boundary::grant::{Grant, Granted, Grants, Problem, Problems, Rights, Shape, Stdin, Verb, is_slot};
use serde_json::Value;

use crate::contract::{CommandRequest, Denial, Descriptor, StdinRule};

/// What a provider may do on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    rights: Rights,
}

/// Commands that the policy allowed, all of them. A provider has no other way to one than [`Policy::admit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    mode: Mode,
    commands: Vec<Command>,
    verbs: Vec<Verb>,
}

/// Why a descriptor and a text of grants make no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The grants have mistakes: every one, each with line and column.
    #[error("the grants cannot be read:\n{0}")]
    Grants(Problems),
    /// The descriptor asks for what no grant can say.
    #[error("the descriptor cannot be read:\n{}", .0.join("\n"))]
    Descriptor(Vec<String>),
}

impl Policy {
    /// The policy of a provider that is handed over together with its grants: they hold no `artifact` line.
    ///
    /// # Errors
    /// Every mistake of the grants, or of the descriptor's commands.
    pub fn new(descriptor: &Descriptor, grants: &str) -> Result<Self, PolicyError> {
        let given = Grants::parse(grants).map_err(PolicyError::Grants)?.lines().to_vec();
        refuse(
            &given,
            Option::is_some,
            "these grants stand beside their artifact: no `artifact` line can stand in them",
        )?;
        Ok(Self { rights: Rights::new(asked(descriptor)?, given) })
    }

    /// The policy of the artifact with this digest (`sha256:` and 64 hexadecimal digits), from an operator's file that
    /// may hold the grants of many: only those below its own `artifact` line count.
    ///
    /// # Errors
    /// Every mistake of the whole file, or of the descriptor's commands.
    pub fn for_artifact(descriptor: &Descriptor, file: &str, digest: &str) -> Result<Self, PolicyError> {
        let grants = Grants::parse(file).map_err(PolicyError::Grants)?;
        refuse(
            grants.lines(),
            Option::is_none,
            "this grant stands above the first `artifact sha256:…` line: it is not clear whose it is",
        )?;
        Ok(Self { rights: Rights::new(asked(descriptor)?, grants.given_to(digest)) })
    }

    /// Admits a batch, all of it or none.
    ///
    /// # Errors
    /// The first command that is not allowed, why, and the line that would allow it.
    pub fn admit(&self, mode: Mode, commands: Vec<Command>, config: &Value) -> Result<Admitted, Denial> {
        let verbs =
            self.rights.decide(mode, &commands, &|pointer| text_at(config, pointer)).map_err(|denial| Denial {
                command: u32::try_from(denial.command).unwrap_or(u32::MAX),
                reason: denial.to_string(),
                grant: denial.grant.map_or_else(String::new, |grant| grant.to_string()),
            })?;
        Ok(Admitted { mode, commands, verbs })
    }

    /// What the provider asks for and what it was given, to be shown.
    #[must_use]
    pub fn rights(&self) -> &Rights {
        &self.rights
    }
}

impl Admitted {
    /// Commands of the host's own, in fixed words, that only look. For nothing that a provider, a file or a machine has said.
    pub(crate) fn own_look(commands: Vec<Command>) -> Self {
        let verbs = vec![Verb::Look; commands.len()];
        Self { mode: Mode::Probe, commands, verbs }
    }

    /// How it is to be run.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The commands, in their order.
    #[must_use]
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// Whether the command at this place changes the machine, by the operator's word and not the provider's.
    #[must_use]
    pub fn changes(&self, place: usize) -> bool {
        self.verbs.get(place) != Some(&Verb::Look)
    }
}

/// What a descriptor's request says, as the grant that would give it.
///
/// # Errors
/// Every mistake of its words, each with the field that it stands in.
pub fn requested(request: &CommandRequest) -> Result<Grant, Vec<String>> {
    let mut mistakes = Vec::new();
    let mut shape = |field: &str, words: &[String]| {
        let told = |problem: &Problem| {
            format!("{field}[{}], column {}: {}", problem.line - 1, problem.column, problem.message)
        };
        Shape::parse(words).map_err(|problems| mistakes.extend(problems.0.iter().map(told))).ok()
    };
    let words = shape("argv", &request.argv);
    let stdin = match &request.stdin {
        StdinRule::None => Some(Stdin::None),
        StdinRule::Any => Some(Stdin::Any),
        StdinRule::Secret(slot) => Some(Stdin::Secret(slot.clone())),
        StdinRule::OutputOf(source) => shape("stdin.output-of", source).map(Stdin::OutputOf),
    };
    mistakes.extend(request.env.iter().filter_map(|name| check_env_name(name).err()).map(|why| format!("env: {why}")));
    if let Some(Stdin::OutputOf(source)) = &stdin
        && source.is_open()
    {
        mistakes.push("stdin.output-of: it must be exact, without `**`".to_owned());
    }
    match (words, stdin) {
        (Some(shape), Some(stdin)) if mistakes.is_empty() => {
            let mut env = request.env.clone();
            env.sort();
            env.dedup();
            let verb = if request.mutates { Verb::Change } else { Verb::Look };
            Ok(Grant { verb, root: request.as_root, env, stdin, shape })
        }
        _ => Err(mistakes),
    }
}

fn asked(descriptor: &Descriptor) -> Result<Vec<Grant>, PolicyError> {
    let slots: Vec<&str> = descriptor.secrets.iter().map(|slot| slot.slot.as_str()).collect();
    let mut grants = Vec::new();
    let mut mistakes = Vec::new();
    for (place, slot) in descriptor.secrets.iter().enumerate().filter(|(_, slot)| !is_slot(&slot.slot)) {
        let name = boundary::text::one_line(&slot.slot);
        mistakes.push(format!(
            "secrets[{place}].slot: `{name}` cannot name a slot: letters, digits, `-` and `_` are wanted"
        ));
    }
    for (place, request) in descriptor.commands.iter().enumerate() {
        if let StdinRule::Secret(slot) = &request.stdin
            && !slots.contains(&slot.as_str())
        {
            let slot = boundary::text::one_line(slot);
            mistakes.push(format!("commands[{place}].stdin: the slot `{slot}` is not among the descriptor's secrets"));
        }
        match requested(request) {
            Ok(grant) => grants.push(grant),
            Err(more) => mistakes.extend(more.iter().map(|mistake| format!("commands[{place}].{mistake}"))),
        }
    }
    if mistakes.is_empty() { Ok(grants) } else { Err(PolicyError::Descriptor(mistakes)) }
}

/// Every grant that stands where it must not, told at once.
fn refuse(given: &[Granted], wrong: impl Fn(&Option<String>) -> bool, message: &str) -> Result<(), PolicyError> {
    let problems: Vec<Problem> = given
        .iter()
        .filter(|line| wrong(&line.artifact))
        .map(|line| Problem { line: line.line, column: 1, message: message.to_owned() })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(PolicyError::Grants(Problems(problems))) }
}

/// The config's value as a word: nothing for what is not there, `null`, a list or a map.
fn text_at(config: &Value, pointer: &str) -> Option<String> {
    match config.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
