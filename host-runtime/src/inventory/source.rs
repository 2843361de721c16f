//! Lists of hosts that other programs keep: where they are, how they are fetched, and the tags that their labels make.
//!
//! A command is run without a shell, in the folder of the project's file, bounded in time and in bytes, and never before
//! all of the file is known to be right. Not for: what a list holds ([`boundary::inventory`]).

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use boundary::inventory::{Format, List, Remark, Weight};
use boundary::text::{one_line, printable};

use super::finding::{Finding, Place};
use super::hosts::{RawHost, Spot, Word};
use crate::contract::Severity;
use crate::program;
use crate::until::Until;

/// The largest list that is read. Ten thousand hosts need a quarter of it.
const MAX_BYTES: usize = 16 << 20;
/// How long a command may take, unless the file says otherwise.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much of what a command that failed said last is repeated.
const LAST_LINES: usize = 5;

/// An entry of `infra.inventory`.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) kind: Kind,
    /// Who wrote the list; none: what it looks like tells.
    pub(super) format: Option<Format>,
    pub(super) timeout: Option<Duration>,
    /// None: for all.
    pub(super) environments: Option<Vec<String>>,
    pub(super) templates: Vec<(Template, Spot)>,
    /// Where the file names it.
    pub(super) at: Spot,
}

/// Where a list is.
#[derive(Debug)]
pub(super) enum Kind {
    /// In a file, as the project's file names it.
    File(String),
    /// A program prints it.
    Command(Vec<String>),
}

/// An inventory's command did not do its work; nothing was connected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{summary}")]
pub struct SourceFailed {
    /// The project's file, and where it names the command.
    pub file: PathBuf,
    /// Line and column there.
    pub place: Option<Place>,
    /// One line.
    pub summary: String,
    /// The last lines that the command said, and what to do next.
    pub detail: String,
}

/// Why there is no list.
pub(super) enum Missing {
    /// The file that is named is not there, or not readable.
    File(String),
    /// The command failed.
    Command(SourceFailed),
}

impl Source {
    /// Whether this environment's hosts are in it.
    pub(super) fn is_for(&self, environment: &str) -> bool {
        self.environments.as_ref().is_none_or(|all| all.iter().any(|one| one == environment))
    }

    /// For the beginning of a sentence about it.
    pub(super) fn name(&self, environment: &str) -> String {
        match &self.kind {
            Kind::File(path) => path.replace("${env}", environment),
            Kind::Command(words) => words.first().map_or("the command", String::as_str).to_owned(),
        }
    }

    pub(super) fn is_command(&self) -> bool {
        matches!(self.kind, Kind::Command(_))
    }

    /// The list's bytes.
    pub(super) fn fetch(&self, file: &Path, environment: &str, until: &Until) -> Result<Vec<u8>, Missing> {
        match &self.kind {
            Kind::File(path) => {
                read_list(&super::resolve(&path.replace("${env}", environment), file)).map_err(Missing::File)
            }
            Kind::Command(words) => {
                let words: Vec<String> = words.iter().map(|word| word.replace("${env}", environment)).collect();
                let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
                let limit = self.timeout.unwrap_or(PATIENCE);
                ask(&words, folder, limit, until).map_err(|(summary, detail)| {
                    let (file, place) = (file.to_owned(), self.at.place);
                    Missing::Command(SourceFailed { file, place, summary, detail })
                })
            }
        }
    }
}

/// A list of hosts in a file, or on standard input (`-`), for [`super::Reading::list`].
///
/// # Errors
/// A sentence, when it cannot be read or has more bytes than any list.
pub fn read_list(path: &Path) -> Result<Vec<u8>, String> {
    let shown = one_line(path.display().to_string());
    let mut bytes = Vec::new();
    let most = MAX_BYTES as u64 + 1;
    let read = match path.to_str() {
        Some("-") => std::io::stdin().lock().take(most).read_to_end(&mut bytes),
        _ => std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)),
    };
    read.map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("{shown} has more than {} MiB", MAX_BYTES >> 20));
    }
    Ok(bytes)
}

/// What a command prints, or a sentence and what else to know.
fn ask(words: &[String], folder: &Path, limit: Duration, until: &Until) -> Result<Vec<u8>, (String, String)> {
    let Some((name, arguments)) = words.split_first() else { return Err(Default::default()) };
    let shown = one_line(words.join(" "));
    let mut command = Command::new(name);
    command.args(arguments).current_dir(folder);
    let failed = |what: String, detail: String| {
        Err((
            format!("the inventory's command failed: {what}"),
            format!("found: {shown}\n{detail}").trim_end().to_owned(),
        ))
    };
    match program::ask(&mut command, MAX_BYTES, &until.sooner(limit)) {
        Ok(answer) if answer.status.success() => Ok(answer.stdout),
        Ok(answer) => {
            let said = printable(String::from_utf8_lossy(&answer.stderr).trim_end());
            let last: Vec<&str> = said.lines().rev().take(LAST_LINES).collect();
            let mut detail: Vec<String> = last.iter().rev().map(|line| format!("found: {line}")).collect();
            detail.push("do: run it by hand in the folder of the project's file".to_owned());
            failed(answer.status.to_string(), detail.join("\n"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => match until.over() {
            None => {
                let detail = "do: give it more with `timeout` in its entry of infra.inventory".to_owned();
                failed(format!("it took more than {} s and was ended", limit.as_secs()), detail)
            }
            Some(_) => failed("the run was cancelled meanwhile, and it was ended".to_owned(), String::new()),
        },
        Err(error) => failed(error.to_string(), format!("do: is `{}` there, on PATH?", one_line(name.as_str()))),
    }
}

/// The hosts of a list, with the tags that their labels make. What is wrong with it becomes findings, named `source`.
pub(super) fn hosts(
    list: List,
    source: &str,
    at: &Spot,
    templates: &[(Template, Spot)],
    findings: &mut Vec<Finding>,
) -> Vec<RawHost> {
    for Remark { weight, code, summary, detail } in list.remarks {
        let severity = match weight {
            Weight::Fault => Severity::Error,
            Weight::Warning => Severity::Warning,
            Weight::Note => Severity::Note,
        };
        let finding = Finding::error(code, &at.pointer, at.place, format!("{source}: {summary}"));
        findings.push(Finding { severity, detail, ..finding.behind(at.option) });
    }
    let mut hosts = Vec::new();
    let mut used = vec![false; templates.len()];
    for listed in list.hosts {
        let mut host = RawHost::listed(listed, at);
        for ((template, at), used) in templates.iter().zip(&mut used) {
            if let Some(text) = template.fill(&host.labels) {
                host.label_tags.push(Word { text, at: at.clone() });
                *used = true;
            }
        }
        hosts.push(host);
    }
    for ((template, at), _) in templates.iter().zip(used).filter(|(_, used)| !used && !hosts.is_empty()) {
        let summary = format!("{source}: no host has the labels of `{}`, so nobody gets that tag", template.text);
        let finding = Finding::warning("unused-template", &at.pointer, at.place, summary);
        let mut known: Vec<&str> = hosts.iter().flat_map(|host| host.labels.keys().map(String::as_str)).collect();
        known.sort_unstable();
        known.dedup();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        findings.push(finding.detail(format!("found: labels {known}")));
    }
    hosts
}

/// Text in which `{name}` stands for the value of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    text: String,
    /// What stands before a label, and the label; the last has none.
    parts: Vec<(String, Option<String>)>,
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a { has no }")?;
            if name.is_empty() || name.contains('{') || before.contains('}') {
                return Err("{} must hold the name of a label");
            }
            parts.push((before.to_owned(), Some(name.to_owned())));
            rest = after;
        }
        if rest.contains('}') {
            return Err("a } has no {");
        }
        if parts.is_empty() {
            return Err("it names no label");
        }
        parts.push((rest.to_owned(), None));
        Ok(Self { text: text.to_owned(), parts })
    }

    /// None where the host lacks one of the labels, or has it without a value.
    fn fill(&self, labels: &BTreeMap<String, String>) -> Option<String> {
        let mut filled = String::new();
        for (before, name) in &self.parts {
            filled += before;
            if let Some(name) = name {
                filled += labels.get(name).filter(|value| !value.is_empty())?;
            }
        }
        Some(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_from_labels_or_not_at_all() {
        let labels: BTreeMap<_, _> =
            [("env", "prod"), ("region", "nyc3"), ("empty", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let fill = |text: &str| Template::parse(text).expect(text).fill(&labels);
        assert_eq!(fill("t:{env}").as_deref(), Some("t:prod"));
        assert_eq!(fill("{env}-{region}x").as_deref(), Some("prod-nyc3x"));
        assert_eq!((fill("t:{size}"), fill("t:{empty}")), (None, None));
        for bad in ["t:env", "t:{", "t:}", "t:{}", "{a{b}", "{a}}", "}{a}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_template_makes_it_panic(text in "[a-c{}:-]{0,12}", value in "[a-c{}]{0,4}") {
            let labels = [("a".to_owned(), value.clone()), ("b".to_owned(), value)].into();
            if let Ok(template) = Template::parse(&text) {
                let _ = template.fill(&labels);
            }
        }
    }
}
