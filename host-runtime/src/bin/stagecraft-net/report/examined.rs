//! What `doctor` found, for people: what is wrong first by host order, the same of many hosts once, each with what to do.
//!
//! Not for: finding it.

use super::block::{Tint, tint};
use super::group::{Alike, fold, gather};
use super::{Context, advice};

/// One finding, of a host or of this machine.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) status: &'static str,
    pub(super) found: String,
    pub(super) advice: Option<String>,
}

impl Alike for Finding {
    fn masked(&self, host: &str) -> Self {
        Self { found: self.found.masked(host), advice: self.advice.masked(host), ..self.clone() }
    }
}

/// Of hosts, what is right is told only where `all` is wanted; of this machine and the file, always.
pub(super) fn lines(found: &[(Option<String>, Finding)], all: bool, color: bool, context: &Context) -> Vec<String> {
    let mut lines = Vec::new();
    for (_, one) in found.iter().filter(|(host, _)| host.is_none()) {
        lines.extend(told("here", one, &[], color, context));
    }
    let shown = |one: &Finding| all || matches!(one.status, "error" | "warning");
    let of_hosts =
        found.iter().filter_map(|(host, one)| Some((host.as_deref()?, one.clone()))).filter(|(_, one)| shown(one));
    for group in gather(of_hosts) {
        lines.extend(told(&fold(&group.hosts, all), &group.what, &group.hosts, color, context));
    }
    lines
}

fn told(subject: &str, one: &Finding, hosts: &[&str], color: bool, context: &Context) -> Vec<String> {
    let shade = match one.status {
        "error" => Tint::Red,
        "warning" => Tint::Yellow,
        "ok" => Tint::Green,
        _ => Tint::Dim,
    };
    let status = tint(&format!("{:<8}", one.status), shade, color);
    let mut lines = vec![format!("{status} {}  {}: {}", tint(subject, Tint::Bold, color), one.check, one.found)];
    for (index, line) in one.advice.iter().flat_map(|advice| advice.lines()).enumerate() {
        let label = if index == 0 { "do" } else { "  " };
        let line = advice::plain(line, &context.typed(hosts), &context.options);
        lines.push(format!("         {}  {line}", tint(label, Tint::Dim, color)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_of_many_hosts_is_told_once_and_what_is_right_only_to_those_who_ask() {
        let finding = |status, found: &str, advice: Option<&str>| Finding {
            check: "sudo",
            status,
            found: found.to_owned(),
            advice: advice.map(str::to_owned),
        };
        let no_root = finding(
            "error",
            "it asks for a password",
            Some("{run doctor @hosts --ask-sudo-password}\nfor good: a rule"),
        );
        let found = [
            (None, finding("ok", "right", None)),
            (Some("h-1".to_owned()), no_root.clone()),
            (Some("h-2".to_owned()), finding("ok", "root", None)),
            (Some("h-3".to_owned()), no_root),
            (Some("h-4".to_owned()), finding("skipped", "not known", None)),
        ];
        insta::assert_snapshot!(lines(&found, false, false, &Context::default()).join("\n"));
        assert_eq!(lines(&found, true, false, &Context::default()).len(), 6);
    }
}
