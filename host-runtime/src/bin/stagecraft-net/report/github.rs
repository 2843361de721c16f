//! In GitHub Actions: one annotation for each group of failures and each finding about the file, and a page of the run in
//! the step's summary.
//!
//! An annotation is a line that the runner takes out of the output, so whatever stands in one is escaped as the runner
//! reads it: a text from a machine cannot begin a command of its own. Not for: anything outside of a workflow.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use stagecraft_net::contract::Severity;
use stagecraft_net::event::Event;

use super::course::Course;
use super::failing::{Failing, failing};
use super::page::{self, Page};
use super::{Context, Reader, advice};

pub(super) struct Github<E> {
    err: E,
    context: Context,
    course: Course,
    /// Where the step's summary is appended to.
    summary: Option<PathBuf>,
    /// What paths in annotations are relative to.
    workspace: Option<String>,
}

struct Annotation {
    place: Vec<(&'static str, String)>,
    title: String,
    text: String,
}

/// Whether this runs in a workflow.
pub(super) fn is_here() -> bool {
    std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

impl<E: Write> Github<E> {
    /// Of this process's environment.
    pub(super) fn new(err: E, context: Context) -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let summary = set("GITHUB_STEP_SUMMARY").map(PathBuf::from);
        let workspace = set("GITHUB_WORKSPACE").and_then(|folder| folder.into_string().ok());
        Self { err, context, course: Course::default(), summary, workspace }
    }

    fn annotate(&mut self, level: &str, place: &[(&str, String)], title: &str, text: &str) {
        let mut properties: Vec<String> =
            place.iter().map(|(name, value)| format!("{name}={}", property(value))).collect();
        properties.push(format!("title={}", property(title)));
        let _ = writeln!(self.err, "::{level} {}::{}", properties.join(","), data(text));
    }

    fn place(&self, file: &str, line: u32, column: u32) -> Vec<(&'static str, String)> {
        let inside = self.workspace.as_deref().and_then(|folder| file.strip_prefix(folder)?.strip_prefix('/'));
        vec![("file", inside.unwrap_or(file).to_owned()), ("line", line.to_string()), ("col", column.to_string())]
    }

    /// One for each group of failures.
    fn annotations(&self) -> Vec<Annotation> {
        let groups = failing(&self.course.hosts, &self.course.results, &self.course.begun);
        let inventory = self.context.inventory.as_ref();
        let annotation = |group: &Failing<'_>| {
            let place = group.pointer().zip(inventory).and_then(|(pointer, inventory)| {
                let at = inventory.locate(pointer).ok()?;
                Some(self.place(&inventory.file()?.display().to_string(), at.line, at.column))
            });
            let block = group.block(&self.context, false, false).render(None, false);
            Annotation {
                place: place.unwrap_or_default(),
                title: format!("{}: {}", group.kind(), group.subject(false)),
                text: block.split_once('\n').map_or("", |(_, rest)| rest).trim_end().to_owned(),
            }
        };
        groups.iter().map(annotation).collect()
    }

    fn end(&mut self) {
        let findings: Vec<_> = self.course.findings.drain(..).collect();
        for (file, finding) in &findings {
            let at = file.as_deref().zip(finding.place);
            let place = at.map_or_else(Vec::new, |(file, at)| self.place(file, at.line, at.column));
            let title = match &finding.option {
                Some(option) => format!("{}: {option}", finding.code),
                None => finding.code.clone(),
            };
            let detail = finding.detail.as_deref().unwrap_or_default();
            let text = format!("{}\n{}", finding.summary, advice::plain(detail, &[], &self.context.options));
            let level = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "notice",
            };
            self.annotate(level, &place, &title, text.trim_end());
        }
        if let (Some(fault), true) = (self.course.fault.clone(), findings.is_empty()) {
            self.annotate("error", &[], "stagecraft-net", &advice::plain(&fault, &[], &self.context.options));
        }
        for annotation in self.annotations() {
            self.annotate("error", &annotation.place, &annotation.title, &annotation.text);
        }
        let _ = self.err.flush();
        self.course.findings = findings;
        if let Some(path) = &self.summary {
            let page = page::markdown::render(&Page::of(&self.course, &self.context));
            let written = OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .and_then(|mut file| file.write_all(page.as_bytes()));
            if let Err(error) = written {
                let _ = writeln!(self.err, "the step's summary could not be written: {error}");
            }
        }
    }
}

impl<E: Write + Send> Reader for Github<E> {
    fn read(&mut self, event: Event) {
        // What prints a name or a provider is no run.
        if self.course.note(&event) && (!self.course.hosts.is_empty() || self.course.fault.is_some()) {
            self.end();
        }
    }
}

/// As the runner reads what stands behind `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As it reads what stands behind `=`.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagecraft_net::event::{Counts, Fault, HostResult, SCHEMA};
    use stagecraft_net::failure::{Failed, Kind};
    use stagecraft_net::inventory::{Finding, Place};

    fn told(events: Vec<Event>) -> String {
        let mut err = Vec::new();
        let mut github = Github {
            err: &mut err,
            context: Context { options: " -e prod".to_owned(), ..Context::default() },
            course: Course::default(),
            summary: None,
            workspace: Some("/home/runner/work/x/x".to_owned()),
        };
        let hosts = ["app-1", "app-2"].map(str::to_owned).to_vec();
        let command = "up".to_owned();
        github.read(Event::Begin { schema: SCHEMA, command, environment: None, provider: None, hosts });
        events.into_iter().for_each(|event| github.read(event));
        github.read(Event::End { counts: Counts::default(), exit: 10, millis: 5 });
        String::from_utf8(err).expect("text")
    }

    #[test]
    fn the_same_failure_of_many_hosts_is_one_annotation() {
        let failed =
            Failed::host(Kind::Privilege, "sudo asks", "found: 100%, no: rule\ndo: {run up @hosts}".to_owned());
        let done =
            |host: &str| Event::Done { host: host.to_owned(), result: HostResult::Failed(failed.clone()), millis: 1 };
        assert_eq!(
            told(vec![done("app-1"), done("app-2")]),
            "::error title=privilege%3A app-1 · app-2::  sudo asks%0A  found    100%25, no: rule%0A  changed  nothing%0A  \
             do       stagecraft-net up app-1 app-2 -e prod\n"
        );
    }

    #[test]
    fn a_finding_stands_at_its_line_and_column_whatever_is_in_its_name() {
        let finding = Finding {
            severity: Severity::Warning,
            code: "unknown-key".to_owned(),
            summary: "unknown key `a\r\n::error::x`".to_owned(),
            detail: None,
            pointer: "/x".to_owned(),
            place: Some(Place { line: 4, column: 3 }),
            option: None,
        };
        let file = Some("/home/runner/work/x/x/conf/a,b.yml".to_owned());
        let fault = Event::Fault { fault: Fault::Config, message: "1 error".to_owned(), file, findings: vec![finding] };
        assert_eq!(
            told(vec![fault]),
            "::warning file=conf/a%2Cb.yml,line=4,col=3,title=unknown-key::unknown key `a%0D%0A::error::x`\n"
        );
    }

    #[test]
    fn a_run_that_goes_well_annotates_nothing() {
        assert_eq!(told(Vec::new()), "");
    }
}
