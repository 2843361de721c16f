//! One page about a run, for those who were not there: what failed, what changed, who is where, whose key ends when.
//!
//! A [`Page`] holds what is on it, [`html`] and [`markdown`] render it. Both are complete in one file: no script, nothing
//! that is fetched, and every text escaped, since some of it came from machines. Not for: a record to be read by programs;
//! that is `--json`.

pub(super) mod html;
pub(super) mod markdown;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use stagecraft_net::contract::{Severity, Step};
use stagecraft_net::event::{Event, HostResult};

use super::course::{Course, took, word};
use super::failing::failing;
use super::group::{gather, ranges};
use super::{Context, Reader};

/// How far the line of key ends goes.
const DAYS: i64 = 90;
const DAY: i64 = 24 * 3600;

/// How wide a block of text is, in characters.
const WIDE: usize = 100;

/// What is on a page.
#[derive(Debug)]
pub(super) struct Page {
    /// `up · prod`.
    title: String,
    /// When, by what, how it ended.
    about: Vec<(&'static str, String)>,
    counts: Vec<(u32, &'static str)>,
    failures: Vec<Block>,
    /// What is odd about the file and stopped nothing.
    warnings: Vec<Block>,
    changes: Vec<Change>,
    tags: Vec<(String, usize, String)>,
    expiry: Vec<Expiry>,
    /// Members whose keys end later than the line goes, and those whose keys never end.
    later: usize,
    never: usize,
    hosts: Vec<Row>,
}

/// Something that went wrong, in the words of the screen.
#[derive(Debug)]
struct Block {
    kind: String,
    subject: String,
    text: String,
}

/// What was done, or would be, on some hosts.
#[derive(Debug)]
struct Change {
    hosts: String,
    verb: &'static str,
    steps: Vec<(String, String)>,
    took: String,
}

/// A day on which keys end.
#[derive(Debug)]
struct Expiry {
    /// Days from the run; less than 0 is past.
    days: i64,
    date: String,
    hosts: String,
    count: usize,
}

#[derive(Debug)]
struct Row {
    host: String,
    ended: &'static str,
    name: String,
    addresses: String,
    tags: String,
    expires: String,
    took: String,
}

impl Page {
    /// Of a run that has ended.
    pub(super) fn of(course: &Course, context: &Context) -> Self {
        let mut about = vec![("When", context.now.strftime("%Y-%m-%d %H:%M UTC").to_string())];
        if let Some(file) = context.inventory.as_ref().and_then(|inventory| inventory.file()) {
            about.push(("Project", file.display().to_string()));
        }
        if let Some(provider) = &course.provider {
            about.push(("Provider", format!("{} {}, {}", provider.id, provider.version, provider.digest)));
        }
        about.push(("Took", took(course.took)));
        about.push(("Exit code", course.exit.to_string()));
        let (expiry, later, never) = expiry(course, context.now);
        Self {
            title: match &course.environment {
                Some(environment) => format!("{} · {environment}", course.command),
                None => course.command.clone(),
            },
            about,
            counts: course.counted(),
            failures: failures(course, context),
            warnings: findings(course, context, |severity| severity != Severity::Error).collect(),
            changes: changes(course),
            tags: tags(course),
            expiry,
            later,
            never,
            hosts: course.hosts.iter().map(|host| row(course, host)).collect(),
        }
    }
}

/// What was found about the file, of some severities.
fn findings<'c>(
    course: &'c Course,
    context: &'c Context,
    which: impl Fn(Severity) -> bool + 'c,
) -> impl Iterator<Item = Block> + 'c {
    course.findings.iter().filter(move |(_, finding)| which(finding.severity)).map(|(file, finding)| {
        let detail = finding.detail.as_deref().unwrap_or_default();
        let mut text = super::block::Block::new("", "", "", false);
        text.lead(finding.summary.clone());
        text.detail(&super::advice::render(detail, &[], &context.options));
        Block { kind: finding.code.clone(), subject: finding.whence(file.as_deref()), text: lines(&text) }
    })
}

/// What stands under a headline. Sentences are broken where a card on the page ends; commands are not.
fn lines(block: &super::block::Block) -> String {
    let text = block.body(Some(WIDE), false);
    text.lines().skip(1).map(|line| line.strip_prefix("  ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

fn failures(course: &Course, context: &Context) -> Vec<Block> {
    let findings = findings(course, context, |severity| severity == Severity::Error);
    let fault = course.fault.iter().map(|fault| Block {
        kind: "no host was connected to".to_owned(),
        subject: String::new(),
        text: super::advice::plain(fault, &[], &context.options),
    });
    let groups = failing(&course.hosts, &course.results, &course.begun);
    let groups = groups.iter().map(|group| {
        let text = lines(&group.block(context, true, false));
        Block { kind: group.kind().to_string(), subject: group.subject(true), text }
    });
    findings.chain(fault).chain(groups).collect()
}

fn changes(course: &Course) -> Vec<Change> {
    let steps = |ahead: bool| {
        let of = course.hosts.iter().filter_map(move |host| match course.results.get(host)? {
            HostResult::WouldChange { steps, .. } if ahead => Some((host.as_str(), steps.clone())),
            HostResult::Changed { steps, .. } if !ahead => Some((host.as_str(), steps.clone())),
            _ => None,
        });
        gather::<Vec<Step>>(of).into_iter().map(move |group| Change {
            verb: if ahead { "would change" } else { "changed" },
            steps: group.what.into_iter().map(|step| (step.title, step.detail.unwrap_or_default())).collect(),
            took: if ahead { String::new() } else { span(&group.hosts, course) },
            hosts: ranges(&group.hosts, true),
        })
    };
    steps(false).chain(steps(true)).collect()
}

impl Page {
    /// What stands above the changes.
    fn changes_title(&self) -> &'static str {
        let done = self.changes.iter().any(|change| change.verb == "changed");
        if done { "What changed" } else { "What would change" }
    }
}

/// How long hosts took, the quickest and the slowest.
fn span(hosts: &[&str], course: &Course) -> String {
    let times: Vec<u64> = hosts.iter().filter_map(|host| course.millis.get(*host).copied()).collect();
    match (times.iter().min(), times.iter().max()) {
        (Some(least), Some(most)) if least == most => took(*least),
        (Some(least), Some(most)) => format!("{} to {}", took(*least), took(*most)),
        _ => String::new(),
    }
}

/// The hosts of each tag, those that are no members, and those of which nothing was seen.
fn tags(course: &Course) -> Vec<(String, usize, String)> {
    let mut of: BTreeMap<(bool, String), Vec<&str>> = BTreeMap::new();
    for host in &course.hosts {
        let key = |last: bool, text: &str| (last, text.to_owned());
        let names = match course.node(host) {
            Some(node) if node.tags.is_empty() => vec![key(true, "no tags")],
            Some(node) => node.tags.iter().map(|tag| key(false, tag)).collect(),
            None if matches!(course.results.get(host), Some(HostResult::Failed(_)) | None) => {
                vec![key(true, "not seen")]
            }
            None => vec![key(true, "no member")],
        };
        for name in names {
            of.entry(name).or_default().push(host);
        }
    }
    of.into_iter().map(|((_, name), hosts)| (name, hosts.len(), ranges(&hosts, true))).collect()
}

/// The days on which keys end, and how many end later or never.
fn expiry(course: &Course, now: Timestamp) -> (Vec<Expiry>, usize, usize) {
    let (mut days, mut later, mut never): (BTreeMap<i64, Vec<&str>>, usize, usize) = Default::default();
    for host in &course.hosts {
        let Some(node) = course.node(host) else { continue };
        match node.key_expiry.as_ref().map(|text| text.parse::<Timestamp>()) {
            None => never += 1,
            // Told as it is in the table of hosts; no day can be given to it.
            Some(Err(_)) => later += 1,
            Some(Ok(when)) => match (when.as_second() - now.as_second()).div_euclid(DAY) {
                day @ ..=DAYS => days.entry(day).or_default().push(host),
                _ => later += 1,
            },
        }
    }
    let date = |day: i64| {
        let when = Timestamp::from_second(now.as_second().saturating_add(day.saturating_mul(DAY)));
        when.map_or_else(|_| String::new(), |when| when.to_zoned(TimeZone::UTC).date().to_string())
    };
    let days = days.into_iter().map(|(days, hosts)| Expiry {
        days,
        date: date(days),
        count: hosts.len(),
        hosts: ranges(&hosts, true),
    });
    (days.collect(), later, never)
}

fn row(course: &Course, host: &str) -> Row {
    let node = course.node(host);
    Row {
        host: host.to_owned(),
        ended: word(course.results.get(host)),
        name: node.map(|node| node.fqdn.clone()).unwrap_or_default(),
        addresses: node.map(|node| node.addresses.join(" ")).unwrap_or_default(),
        tags: node.map(|node| node.tags.join(" ")).unwrap_or_default(),
        expires: match node {
            Some(node) => {
                node.key_expiry.as_ref().map_or("never", |when| when.split('T').next().unwrap_or(when)).to_owned()
            }
            None => String::new(),
        },
        took: course.millis.get(host).map(|millis| took(*millis)).unwrap_or_default(),
    }
}

/// In how many days, for people.
fn in_days(days: i64) -> String {
    match days {
        ..0 => "ended".to_owned(),
        0 => "today".to_owned(),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    }
}

/// A file that a page is written to at the end of a run.
#[derive(Debug, Clone)]
pub(crate) struct PageFile {
    path: PathBuf,
    html: bool,
}

impl PageFile {
    /// Of a name that says which form is meant.
    pub(crate) fn parse(path: &str) -> Result<Self, String> {
        let html = match Path::new(path).extension().and_then(|end| end.to_str()) {
            Some("html" | "htm") => true,
            Some("md" | "markdown") => false,
            _ => return Err("wanted: a file whose name ends in .md or .html".to_owned()),
        };
        Ok(Self { path: PathBuf::from(path), html })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Tries whether it can be written, so that a run does not end with a page that cannot be.
    pub(crate) fn probe(&self) -> std::io::Result<()> {
        tempfile::NamedTempFile::new_in(self.folder()).map(drop)
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Writes all of it, or leaves what is there.
    fn write(&self, page: &Page) -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let text = if self.html { html::render(page) } else { markdown::render(page) };
        let mut new = tempfile::NamedTempFile::new_in(self.folder())?;
        new.write_all(text.as_bytes())?;
        // It is to be shown around, unlike what a temporary file usually is.
        new.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        new.persist(&self.path).map(drop).map_err(|error| error.error)
    }
}

/// Writes a page when the run is over.
pub(super) struct Writer {
    file: PageFile,
    context: Context,
    course: Course,
}

impl Writer {
    pub(super) fn new(file: PageFile, context: Context) -> Self {
        Self { file, context, course: Course::default() }
    }
}

impl Reader for Writer {
    fn read(&mut self, event: Event) {
        if self.course.note(&event)
            && let Err(error) = self.file.write(&Page::of(&self.course, &self.context))
        {
            let _ = writeln!(std::io::stderr(), "{} could not be written: {error}", self.file.path.display());
        }
    }
}

#[cfg(test)]
mod tests;
