//! What a provider says: held to the contract, and made fit for people.
//!
//! Everything that a guest says passes through here once, before it goes on to an event, a terminal or an embedder:
//! control characters and their like are gone then, a failure stands in the provider's name, and a plan that breaks the
//! contract is the provider's failure. Not for: what the host itself saw of a call ([`crate::call`]).

use crate::contract::{Assessment, Descriptor, Diagnostic, Fact, Failure, Node, Outcome, Severity, Step};
use crate::failure::{Changed, DEFECT_OF_THE_PROVIDER, Failed, Kind};

/// A provider's failure as the host reports it: cleaned, and in its name.
pub(crate) fn failed_by_provider(provider: &str, failure: Failure) -> Failed {
    let kind = Kind::from_provider(&failure.kind);
    let mut diagnostics: Vec<_> = failure.diagnostics.into_iter().map(clean_diagnostic).collect();
    if diagnostics.is_empty() {
        diagnostics.push(Diagnostic {
            severity: Severity::Error,
            code: kind.name().to_owned(),
            summary: format!("it failed ({}) and said no more", boundary::text::one_line(&failure.kind)),
            detail: Some(DEFECT_OF_THE_PROVIDER.to_owned()),
            config_path: None,
        });
    }
    Failed { kind, diagnostics, changed: Changed::Nothing, provider: Some(provider.to_owned()) }
}

/// A diagnostic that may reach a terminal.
pub(crate) fn clean_diagnostic(one: Diagnostic) -> Diagnostic {
    Diagnostic {
        severity: one.severity,
        code: boundary::text::one_line(&one.code),
        summary: boundary::text::one_line(&one.summary),
        detail: one.detail.as_deref().map(boundary::text::printable),
        config_path: one.config_path.as_deref().map(boundary::text::one_line),
    }
}

fn clean_fact(fact: Fact) -> Fact {
    Fact {
        topic: boundary::text::one_line(&fact.topic),
        name: boundary::text::one_line(&fact.name),
        value: boundary::text::one_line(&fact.value),
        wanted: fact.wanted.as_deref().map(boundary::text::one_line),
        remark: fact.remark.as_deref().map(boundary::text::one_line),
    }
}

fn clean_node(node: Node) -> Node {
    let lines = |all: Vec<String>| all.iter().map(boundary::text::one_line).collect();
    Node {
        id: boundary::text::one_line(&node.id),
        fqdn: boundary::text::one_line(&node.fqdn),
        addresses: lines(node.addresses),
        tags: lines(node.tags),
        online: node.online,
        key_expiry: node.key_expiry.as_deref().map(boundary::text::one_line),
    }
}

pub(crate) fn clean_outcome(outcome: Outcome) -> Outcome {
    Outcome {
        facts: outcome.facts.into_iter().map(clean_fact).collect(),
        node: outcome.node.map(clean_node),
        notes: outcome.notes.into_iter().map(clean_diagnostic).collect(),
    }
}

/// An assessment that keeps the contract, cleaned: steps with their own names, secrets that were declared, and no steps
/// beside a reason why the goal cannot be reached.
pub(crate) fn check_assessment(
    id: &str,
    descriptor: &Descriptor,
    assessment: Assessment,
) -> Result<Assessment, Failed> {
    let broken = |what: String| {
        let text = format!("provider {id} broke the contract: {what}");
        Failed::host(Kind::Provider, text, DEFECT_OF_THE_PROVIDER.to_owned())
    };
    if assessment.blocked.is_some() && !assessment.steps.is_empty() {
        return Err(broken("a plan with steps says that it is blocked".to_owned()));
    }
    for (place, step) in assessment.steps.iter().enumerate() {
        let shown = boundary::text::one_line(&step.id);
        if step.id.is_empty() || shown != step.id || assessment.steps[..place].iter().any(|other| other.id == step.id) {
            return Err(broken(format!(
                "step {} has the id `{shown}`, which is empty, not printable or taken",
                place + 1
            )));
        }
        if let Some(slot) =
            step.secrets.iter().find(|slot| !descriptor.secrets.iter().any(|known| known.slot == **slot))
        {
            return Err(broken(format!(
                "the step `{shown}` names the secret `{}`, which was not declared",
                boundary::text::one_line(slot)
            )));
        }
    }
    Ok(Assessment {
        facts: assessment.facts.into_iter().map(clean_fact).collect(),
        node: assessment.node.map(clean_node),
        steps: assessment
            .steps
            .into_iter()
            .map(|step| Step {
                title: boundary::text::one_line(&step.title),
                detail: step.detail.as_deref().map(boundary::text::printable),
                ..step
            })
            .collect(),
        notes: assessment.notes.into_iter().map(clean_diagnostic).collect(),
        ..assessment
    })
}
