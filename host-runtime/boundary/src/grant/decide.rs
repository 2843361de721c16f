//! The decision over a batch: which commands pass, and for one that does not, why, and which line would allow it.
//!
//! Not for: the grammar ([`super::shape`], [`super::parse`]).

use std::collections::BTreeSet;
use std::fmt;

use super::shape::{Config, Misfit, Shape, is_printable, short};
use super::{Grant, Granted, Stdin, Verb, is_slot};
use crate::argv;
use crate::command::{Chunk, Command, Mode};

/// All that a provider may do on a machine: what it asks for, and what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    asked: Vec<Grant>,
    given: Vec<Granted>,
}

/// A command that was not allowed. Nothing of its batch may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Its place in the batch.
    pub command: usize,
    /// Its words, shortened for people.
    pub words: String,
    /// Why.
    pub refusal: Refusal,
    /// The grant that would allow exactly this command; `None` where no grant can.
    pub grant: Option<Box<Grant>>,
}

/// Why a command is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// No provider may ever do this.
    Never(String),
    /// The descriptor does not ask for it. What it asks for that comes nearest, and where they part.
    NotAsked(Option<String>),
    /// The operator did not grant it. The grant that comes nearest, and where they part.
    NotGranted(Option<String>),
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.words, self.refusal)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, near) = match self {
            Self::Never(why) => return f.write_str(why),
            Self::NotAsked(near) => ("the provider's own description asks for no such command", near),
            Self::NotGranted(near) => ("no grant allows it", near),
        };
        f.write_str(what)?;
        if let Some(near) = near {
            write!(f, "; the nearest is {near}")?;
        }
        Ok(())
    }
}

/// What a grant lacks for a command, the words first: the later, the nearer the grant.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Lack {
    Words(Misfit),
    Root,
    Env(String),
    Stdin(&'static str),
    Probe,
}

impl Rights {
    /// The rights of a provider that asks for `asked` and was given `given`.
    #[must_use]
    pub fn new(asked: Vec<Grant>, given: Vec<Granted>) -> Self {
        Self { asked, given }
    }

    /// What the provider asks for.
    #[must_use]
    pub fn asked(&self) -> &[Grant] {
        &self.asked
    }

    /// What it was given.
    #[must_use]
    pub fn given(&self) -> &[Granted] {
        &self.given
    }

    /// Decides over a batch, all of it, in time that grows with the number of its words times that of the rights.
    /// Answers for each command whether it looks or changes, by the operator's word.
    ///
    /// # Errors
    /// The first command that is not allowed.
    pub fn decide(&self, mode: Mode, commands: &[Command], config: Config<'_>) -> Result<Vec<Verb>, Denial> {
        (0..commands.len()).map(|place| self.one(mode, commands, place, config)).collect()
    }

    fn one(&self, mode: Mode, commands: &[Command], place: usize, config: Config<'_>) -> Result<Verb, Denial> {
        let Some(command) = commands.get(place) else { return Ok(Verb::Change) };
        let deny = |refusal: Refusal, grant: Option<Grant>| Denial {
            command: place,
            words: short(&command.argv.join(" ")),
            refusal,
            grant: grant.map(Box::new),
        };
        never(mode, commands, place).map_err(|why| deny(Refusal::Never(why), None))?;

        let lacks = |grant: &Grant| grant.lacks(mode, commands, command, config);
        let near = |best: Option<(&Grant, Option<usize>, Lack)>| {
            best.map(|(grant, line, lack)| {
                let line = line.map_or_else(String::new, |line| format!("line {line}, "));
                format!("{line}`{}`: {}", short(&grant.to_string()), lack.explain(&grant.shape, &command.argv))
            })
        };
        if let Err(best) = nearest(self.asked.iter().map(|grant| (grant, None)), lacks) {
            return Err(deny(Refusal::NotAsked(near(best)), None));
        }
        match nearest(self.given.iter().map(|given| (&given.grant, Some(given.line))), lacks) {
            Ok(Verb::Look) => Ok(Verb::Look),
            // Another grant may say that it looks.
            Ok(Verb::Change) => {
                let looks = |given: &Granted| given.grant.verb == Verb::Look && lacks(&given.grant).is_none();
                Ok(if self.given.iter().any(looks) { Verb::Look } else { Verb::Change })
            }
            Err(best) => Err(deny(Refusal::NotGranted(near(best)), wanted(mode, commands, command))),
        }
    }
}

/// The verb of the first grant that lacks nothing; else the grant that lacks least.
#[expect(clippy::type_complexity, reason = "named nowhere else")]
fn nearest<'g>(
    grants: impl Iterator<Item = (&'g Grant, Option<usize>)>,
    lacks: impl Fn(&Grant) -> Option<Lack>,
) -> Result<Verb, Option<(&'g Grant, Option<usize>, Lack)>> {
    let mut best: Option<(&Grant, Option<usize>, Lack)> = None;
    for (grant, line) in grants {
        let Some(lack) = lacks(grant) else { return Ok(grant.verb) };
        // Another program is no neighbour.
        let rank = lack.rank();
        if rank > (0, 0) && best.as_ref().is_none_or(|(_, _, known)| rank > known.rank()) {
            best = Some((grant, line, lack));
        }
    }
    Err(best)
}

impl Grant {
    fn lacks(&self, mode: Mode, commands: &[Command], command: &Command, config: Config<'_>) -> Option<Lack> {
        if let Err(misfit) = self.shape.admits(&command.argv, config) {
            return Some(Lack::Words(misfit));
        }
        if command.as_root && !self.root {
            return Some(Lack::Root);
        }
        if let Some((name, _)) = command.env.iter().find(|(name, _)| !self.env.contains(name)) {
            return Some(Lack::Env(name.clone()));
        }
        if let Err(why) = self.stdin.admits(commands, &command.stdin, config) {
            return Some(Lack::Stdin(why));
        }
        (mode == Mode::Probe && self.verb == Verb::Change).then_some(Lack::Probe)
    }
}

impl Stdin {
    fn admits(&self, commands: &[Command], chunks: &[Chunk], config: Config<'_>) -> Result<(), &'static str> {
        if chunks.is_empty() {
            return Ok(());
        }
        match self {
            Self::None => Err("nothing may stand on its standard input"),
            Self::Any if chunks.iter().any(|chunk| matches!(chunk, Chunk::Secret(_))) => {
                Err("it does not name the slot of this secret")
            }
            Self::Any => Ok(()),
            Self::Secret(slot) => {
                for chunk in chunks {
                    match chunk {
                        Chunk::Bytes(_) => {}
                        Chunk::Secret(named) if named == slot => {}
                        Chunk::Secret(_) => return Err("it names another slot than that of this secret"),
                        Chunk::StdoutOf(_) => {
                            return Err("the output of another command may not stand on its standard input");
                        }
                    }
                }
                Ok(())
            }
            Self::OutputOf(shape) => {
                let [Chunk::StdoutOf(source)] = chunks else {
                    return Err(
                        "only the output of one other command, and nothing else, may stand on its standard input",
                    );
                };
                let source = source_of(commands, *source).ok_or("its standard input names no command of the batch")?;
                shape
                    .admits(&source.argv, config)
                    .map_err(|_| "its standard input may come from another command only")?;
                if source.accepted.iter().any(|status| *status != 0) {
                    return Err("the command whose output it reads may be accepted with status 0 only");
                }
                Ok(())
            }
        }
    }
}

impl Lack {
    /// How near a grant with this lack comes: first how far it was judged, then how many words fit.
    fn rank(&self) -> (usize, usize) {
        match self {
            Self::Words(misfit) => (0, misfit.word),
            Self::Root => (1, 0),
            Self::Env(_) => (2, 0),
            Self::Stdin(_) => (3, 0),
            Self::Probe => (4, 0),
        }
    }

    fn explain(&self, shape: &Shape, argv: &[String]) -> String {
        match self {
            Self::Words(misfit) => shape.explain(misfit, argv),
            Self::Root => "root may not run it".to_owned(),
            Self::Env(name) => format!("the variable `{}` is not in it", short(name)),
            Self::Stdin(why) => (*why).to_owned(),
            Self::Probe => "it changes the machine, and this only looks".to_owned(),
        }
    }
}

/// What no grant can allow.
fn never(mode: Mode, commands: &[Command], place: usize) -> Result<(), String> {
    let Some(command) = commands.get(place) else { return Ok(()) };
    if let Some(at) = command.argv.iter().position(|word| !is_printable(word)) {
        return Err(format!("word {} holds more than printable ASCII", at + 1));
    }
    argv::check(&command.argv).and_then(|()| argv::check_env(&command.env)).map_err(|error| error.to_string())?;
    let mut names = BTreeSet::new();
    for (name, value) in &command.env {
        if !names.insert(name) {
            return Err(format!("the variable `{name}` is given twice"));
        }
        if !is_printable(value) {
            return Err(format!("the value of the variable `{name}` holds more than printable ASCII"));
        }
    }
    for chunk in &command.stdin {
        match chunk {
            Chunk::Bytes(_) => {}
            Chunk::Secret(_) | Chunk::StdoutOf(_) if mode == Mode::Probe => {
                return Err(
                    "a probe has neither secrets nor the output of another command on its standard input".to_owned()
                );
            }
            Chunk::Secret(_) => {}
            Chunk::StdoutOf(source) => {
                if usize::try_from(*source).is_ok_and(|source| source >= place) {
                    return Err("its standard input names a command that does not stand before it".to_owned());
                }
            }
        }
    }
    Ok(())
}

/// The grant that would allow exactly this command.
fn wanted(mode: Mode, commands: &[Command], command: &Command) -> Option<Grant> {
    let mut env: Vec<String> = command.env.iter().map(|(name, _)| name.clone()).collect();
    env.sort();
    Some(Grant {
        verb: if mode == Mode::Probe { Verb::Look } else { Verb::Change },
        root: command.as_root,
        env,
        stdin: wanted_stdin(commands, &command.stdin)?,
        shape: Shape::exactly(&command.argv)?,
    })
}

fn wanted_stdin(commands: &[Command], chunks: &[Chunk]) -> Option<Stdin> {
    let mut slots = chunks.iter().filter_map(|chunk| match chunk {
        Chunk::Secret(slot) => Some(slot),
        _ => None,
    });
    if let Some(slot) = slots.next() {
        let outputs = chunks.iter().any(|chunk| matches!(chunk, Chunk::StdoutOf(_)));
        return (!outputs && is_slot(slot) && slots.all(|other| other == slot)).then(|| Stdin::Secret(slot.clone()));
    }
    match chunks {
        [] => Some(Stdin::None),
        [Chunk::StdoutOf(source)] => {
            let source = source_of(commands, *source)?;
            if source.accepted.iter().any(|status| *status != 0) {
                return None;
            }
            Shape::exactly(&source.argv).map(Stdin::OutputOf)
        }
        _ => Some(Stdin::Any),
    }
}

fn source_of(commands: &[Command], place: u32) -> Option<&Command> {
    commands.get(usize::try_from(place).ok()?)
}
