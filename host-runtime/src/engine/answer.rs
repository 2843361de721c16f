//! Whether an answer keeps within the contract's bounds, before anybody else sees it.
//!
//! Only sizes: a provider that returns ten thousand facts is broken, whatever they say. What the answers mean is judged
//! where they are used ([`crate::call`]).

use super::error::Fault;
use super::limits::Limits;
use crate::contract::{Assessment, Descriptor, Diagnostic, Fact, Failure, Node, Outcome, Step};

/// How many times as long as another text the schema of a config may be.
const SCHEMA: usize = 16;

/// The bounds of an answer.
pub(super) struct Bounds<'l>(pub(super) &'l Limits);

type Checked = Result<(), Fault>;

fn contract(what: &str, found: usize, unit: &str, limit: usize) -> Checked {
    if found <= limit {
        return Ok(());
    }
    Err(Fault::Contract { found: format!("{what} with {found} {unit}"), wanted: format!("at most {limit}") })
}

impl Bounds<'_> {
    fn text(&self, what: &str, text: &str) -> Checked {
        contract(what, text.len(), "bytes", self.0.text)
    }

    fn texts<'t>(&self, what: &str, texts: impl IntoIterator<Item = &'t String>) -> Checked {
        texts.into_iter().try_for_each(|text| self.text(what, text))
    }

    fn list<T>(&self, what: &str, list: &[T], each: impl Fn(&T) -> Checked) -> Checked {
        contract(what, list.len(), "elements", self.0.list)?;
        list.iter().try_for_each(each)
    }

    pub(super) fn diagnostics(&self, list: &[Diagnostic]) -> Checked {
        self.list("a list of diagnostics", list, |one| {
            self.texts("a diagnostic", [&one.code, &one.summary].into_iter().chain(&one.detail).chain(&one.config_path))
        })
    }

    pub(super) fn failure(&self, failure: &Failure) -> Checked {
        self.text("a failure", &failure.kind)?;
        self.diagnostics(&failure.diagnostics)
    }

    pub(super) fn name(&self, fqdn: &str) -> Checked {
        self.text("a name", fqdn)
    }

    fn facts(&self, facts: &[Fact]) -> Checked {
        self.list("a list of facts", facts, |fact| {
            let Fact { topic, name, value, wanted, remark } = fact;
            self.texts("a fact", [topic, name, value].into_iter().chain(wanted).chain(remark))
        })
    }

    fn node(&self, node: Option<&Node>) -> Checked {
        let Some(node) = node else { return Ok(()) };
        self.texts("a node", [&node.id, &node.fqdn].into_iter().chain(&node.key_expiry))?;
        self.list("a list of addresses", &node.addresses, |address| self.text("an address", address))?;
        self.list("a list of tags", &node.tags, |tag| self.text("a tag", tag))
    }

    fn step(&self, step: &Step) -> Checked {
        self.texts("a step", [&step.id, &step.title].into_iter().chain(&step.detail))?;
        self.list("a list of secrets", &step.secrets, |slot| self.text("a secret's slot", slot))
    }

    pub(super) fn assessment(&self, one: &Assessment) -> Checked {
        contract("private data", one.private.len(), "bytes", self.0.private)?;
        self.facts(&one.facts)?;
        self.node(one.node.as_ref())?;
        self.list("a list of steps", &one.steps, |step| self.step(step))?;
        one.blocked.as_ref().map_or(Ok(()), |failure| self.failure(failure))?;
        self.diagnostics(&one.notes)
    }

    pub(super) fn outcome(&self, one: &Outcome) -> Checked {
        self.facts(&one.facts)?;
        self.node(one.node.as_ref())?;
        self.diagnostics(&one.notes)
    }

    /// The contract's own numbers: at most four slots, eight kinds each, one slot a config path.
    pub(super) fn descriptor(&self, one: &Descriptor) -> Checked {
        self.texts("the descriptor", [&one.id, &one.display_name, &one.description, &one.version])?;
        contract("the schema of the config", one.config_schema.len(), "bytes", self.0.text * SCHEMA)?;
        contract("the list of secrets", one.secrets.len(), "slots", 4)?;
        for (place, slot) in one.secrets.iter().enumerate() {
            contract("a secret", slot.kinds.len(), "kinds", 8)?;
            if one.secrets[..place].iter().any(|other| other.env_config_path == slot.env_config_path) {
                return Err(Fault::Contract {
                    found: "two secrets with one config path".to_owned(),
                    wanted: "one config path a slot".to_owned(),
                });
            }
        }
        self.list("the list of commands", &one.commands, |command| {
            self.list("a command", &command.argv, |word| self.text("a word", word))?;
            self.list("a command's environment", &command.env, |name| self.text("a variable", name))?;
            self.text("a reason", &command.reason)
        })
    }
}
