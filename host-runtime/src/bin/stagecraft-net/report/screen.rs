//! For people: the answer on standard output, everything else on standard error.
//!
//! While a run goes on there is one line of progress on a terminal, and a plain line for each change elsewhere. At the
//! end comes what holds or would change, host by host in their order, with the hosts that are right folded into one
//! line; then what failed, in blocks, the same of many hosts once; then one line about the whole run.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::time::Instant;

use stagecraft_net::artifact::Digest;
use stagecraft_net::contract::{Fact, Node, Severity, Step};
use stagecraft_net::event::{Counts, Event, Fault, HostResult, Sent};
use stagecraft_net::failure::{Changed, Kind};
use stagecraft_net::inventory::Finding;

use super::answer::{Entry, Found, Paint, Rendered, Roll};
use super::block::{Block, Tint, tint};
use super::examined;
use super::failing::{detail, failing};
use super::group::{fold, gather};
use super::progress::{Ended, Progress};
use super::{Context, Reader, advice};

/// How things may look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    /// Characters on a line of standard error; none when it is no terminal.
    pub(crate) width: Option<usize>,
    /// Colours on standard output and on standard error.
    pub(crate) color: (bool, bool),
    /// From 0.
    pub(crate) verbose: u8,
    /// Standard error is this process's own terminal, whose size can change.
    pub(crate) live: bool,
}

/// Columns and rows of the terminal behind standard error.
fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(std::io::stderr().as_fd());
    let known = size.ok().map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
    known.filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or((80, 24))
}

impl Look {
    /// What this process's streams are, and what the person asked for (`NO_COLOR`, `TERM`).
    pub(crate) fn of_process(verbose: u8) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let smart = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let (out, err) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        let color = smart && !set("NO_COLOR");
        let live = err && smart;
        Self { width: live.then(|| size().0), color: (out && color, err && color), verbose, live }
    }
}

pub(crate) struct Screen<O, E> {
    out: O,
    err: E,
    look: Look,
    context: Context,
    command: String,
    hosts: Vec<String>,
    results: BTreeMap<String, HostResult>,
    /// What was seen of each host, also of those that failed then.
    seen: BTreeMap<String, (Vec<Fact>, Option<Node>)>,
    /// Titles of the steps that were begun, by host.
    begun: BTreeMap<String, Vec<String>>,
    progress: Option<Progress>,
    /// What can be approved.
    digest: Option<Digest>,
    /// What was examined, by host.
    examined: Vec<(Option<String>, examined::Finding)>,
    /// Members that more than one host is.
    shared: Vec<(String, Vec<String>)>,
}

impl<O: Write, E: Write> Screen<O, E> {
    pub(crate) fn new(out: O, err: E, look: Look, context: Context) -> Self {
        Self {
            out,
            err,
            look,
            context,
            command: String::new(),
            hosts: Vec::new(),
            results: BTreeMap::new(),
            seen: BTreeMap::new(),
            begun: BTreeMap::new(),
            progress: None,
            digest: None,
            examined: Vec::new(),
            shared: Vec::new(),
        }
    }

    /// A line of the answer.
    fn answer(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}");
    }

    /// A line for the person, after the progress was taken away.
    fn say(&mut self, line: &str) {
        let clear = self.progress.as_mut().map_or("", Progress::clear);
        let _ = writeln!(self.err, "{clear}{line}");
    }

    fn draw(&mut self) {
        if self.look.live && crate::passphrase::is_asking() {
            return;
        }
        let size = if self.look.live { size() } else { (self.look.width.unwrap_or(80), 24) };
        if let Some(lines) = self.progress.as_mut().and_then(|progress| progress.draw(size, Instant::now())) {
            let _ = write!(self.err, "{lines}").and_then(|()| self.err.flush());
        }
    }

    /// What a host does, as far as only the progress tells it.
    fn watch(&mut self, event: &Event) {
        let Some(progress) = &mut self.progress else { return };
        let now = Instant::now();
        match event {
            Event::Sent { host, step: None, .. } => progress.looking(host, now),
            Event::Planned { host, steps, .. } if !steps.is_empty() => {
                progress.doing(host, "waiting for its turn", now)
            }
            _ => {}
        }
    }

    fn block(&mut self, block: &Block) {
        let width = if self.look.live { Some(size().0) } else { self.look.width };
        let text = block.render(width, self.look.color.1);
        self.say(&text);
    }

    fn changes(&self) -> bool {
        matches!(self.command.as_str(), "up" | "leave")
    }

    fn step(&mut self, host: String, title: String) {
        match &mut self.progress {
            Some(progress) => progress.doing(&host, &title, Instant::now()),
            None => self.say(&format!("{host}: {title}")),
        }
        self.begun.entry(host).or_default().push(title);
    }

    fn done(&mut self, host: String, result: HostResult) {
        if let Some(progress) = &mut self.progress {
            let ended = match &result {
                HostResult::Failed(_) => Ended::Failed,
                HostResult::Changed { .. } | HostResult::WouldChange { .. } => Ended::Changed,
                _ => Ended::Right,
            };
            progress.done(&host, ended);
        } else if self.changes() {
            match &result {
                HostResult::Changed { .. } => self.say(&format!("{host}: changed")),
                HostResult::Failed(failed) if failed.kind != Kind::Skipped => {
                    self.say(&format!("{host}: failed ({})", failed.kind));
                }
                _ => {}
            }
        }
        self.results.insert(host, result);
    }

    /// The hosts that ended in a way, in host order.
    fn ended<'s, T>(&'s self, how: impl Fn(&'s HostResult) -> Option<T> + 's) -> impl Iterator<Item = (&'s str, T)> {
        self.hosts.iter().filter_map(move |host| Some((host.as_str(), how(self.results.get(host)?)?)))
    }

    fn end(&mut self, counts: Counts, exit: u8, millis: u64) {
        if let Some(progress) = &mut self.progress {
            let clear = progress.clear();
            let _ = write!(self.err, "{clear}").and_then(|()| self.err.flush());
        }
        self.progress = None;
        if self.hosts.is_empty() {
            return;
        }
        let (summary, next) = (self.summary(counts, exit, millis), self.next(counts));
        for line in examined::lines(&self.examined, self.look.verbose > 0, self.look.color.0, &self.context) {
            self.answer(&line);
        }
        let all_right = counts.holds as usize == self.hosts.len();
        let Rendered { out, blocks } = if self.context.answer.replaces_changes() {
            self.rendered()
        } else if all_right && self.look.verbose == 0 {
            Rendered::default()
        } else {
            Rendered { out: self.answers(), blocks: Vec::new() }
        };
        for line in &out {
            self.answer(line);
        }
        // Where everything is right, that is the whole answer.
        let whole = all_right && self.command == "plan";
        if whole {
            self.answer(&summary);
        }
        if let Some(digest) = self.digest.filter(|_| counts.would_change > 0) {
            self.answer(&format!("{}  {digest}", tint("digest", Tint::Dim, self.look.color.0)));
        }
        let _ = self.out.flush();
        let blocks: Vec<Block> =
            blocks.into_iter().chain(self.notes()).chain(self.copies()).chain(self.failures()).collect();
        if !blocks.is_empty() {
            self.say("");
        }
        for block in blocks {
            self.block(&block);
        }
        // A program that reads the answer needs no word about a run in which all went well.
        if !whole && (self.context.answer.is_for_people() || exit != 0) {
            self.say(&summary);
            next.into_iter().for_each(|next| self.say(&next));
        }
    }

    /// One answer about all hosts.
    fn rendered(&self) -> Rendered {
        let entries = self.context.wishes.iter().map(|wish| {
            let (seen, result) = (self.seen.get(&wish.spec.name), self.results.get(&wish.spec.name));
            let found = match seen {
                Some((facts, node)) => Found { facts, node: node.as_ref() },
                None => result.map(Found::of).unwrap_or_default(),
            };
            Entry { wish, found, result }
        });
        let Context { now, again, environment, .. } = &self.context;
        let roll = Roll { environment, now: *now, entries: entries.collect(), again };
        self.context.answer.render(&roll, Paint { color: self.look.color, all: self.look.verbose > 0 })
    }

    /// What was asked for, host by host.
    fn answers(&self) -> Vec<String> {
        let mut lines = Vec::new();
        // Those have said already what they found.
        if matches!(self.command.as_str(), "trust" | "doctor") {
            return lines;
        }
        let color = self.look.color.0;
        let names = |hosts: &[&str]| tint(&fold(hosts, true), Tint::Bold, color);

        let would = self.ended(|result| match result {
            HostResult::WouldChange { steps, .. } => Some(steps.clone()),
            _ => None,
        });
        for group in gather(would) {
            lines.push(format!("{}  {}", names(&group.hosts), tint("would change", Tint::Yellow, color)));
            lines.extend(steps(&group.what, true));
        }
        let changed = self.ended(|result| match result {
            HostResult::Changed { steps, .. } => Some(steps.clone()),
            _ => None,
        });
        for group in gather(changed) {
            lines.push(format!("{}  {}", names(&group.hosts), tint("changed", Tint::Green, color)));
            lines.extend(steps(&group.what, false));
        }
        let right: Vec<(&str, String)> = self
            .ended(|result| match result {
                HostResult::Holds(outcome) => {
                    Some(outcome.node.as_ref().map(|node| format!("{}  {}", node.fqdn, node.addresses.join(" "))))
                }
                _ => None,
            })
            .map(|(host, node)| (host, node.unwrap_or_default()))
            .collect();
        let word = tint(if self.command == "leave" { "out already" } else { "right" }, Tint::Green, color);
        if self.look.verbose > 0 {
            lines.extend(
                right.iter().map(|(host, node)| format!("{}  {word}  {node}", names(&[host])).trim_end().to_owned()),
            );
        } else if !right.is_empty() {
            let hosts: Vec<&str> = right.iter().map(|(host, _)| *host).collect();
            lines.push(format!("{}  {word}", fold(&hosts, false)));
        }
        lines
    }

    /// Warnings and notes about hosts that did not fail.
    fn notes(&self) -> Vec<Block> {
        let notes = self.ended(|result| match result {
            HostResult::Holds(outcome)
            | HostResult::WouldChange { outcome, .. }
            | HostResult::Changed { outcome, .. } => Some(outcome.notes.clone()),
            _ => None,
        });
        let notes = notes.flat_map(|(host, notes)| notes.into_iter().map(move |note| (host, note)));
        gather(notes)
            .into_iter()
            .map(|group| {
                let hosts = fold(&group.hosts, self.look.verbose > 0);
                let mut block = Block::new(severity(group.what.severity), &group.what.code, &hosts, self.look.color.1);
                block.lead(group.what.summary.clone());
                detail(&mut block, &group.what, &group.hosts, &self.context);
                block
            })
            .collect()
    }

    /// Hosts that are one and the same member.
    fn copies(&self) -> Vec<Block> {
        let block = |(node, hosts): &(String, Vec<String>)| {
            let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
            let all = fold(&hosts, self.look.verbose > 0);
            let mut block = Block::new("warning", "same-member", &all, self.look.color.1);
            block.lead("these hosts are one and the same member of the network".to_owned());
            let detail = format!(
                "found: all of them are {node}\nmeans: one machine was made from the disk of another; the network finds \
                 whichever spoke last\ndo: {{run leave @hosts}}\n{{run up @hosts}}"
            );
            block.detail(&advice::render(&detail, &self.context.typed(&hosts), &self.context.options));
            block
        };
        self.shared.iter().map(block).collect()
    }

    fn failures(&self) -> Vec<Block> {
        let all = self.look.verbose > 0;
        let groups = failing(&self.hosts, &self.results, &self.begun);
        groups.iter().map(|group| group.block(&self.context, all, self.look.color.1)).collect()
    }

    fn finding(&mut self, file: Option<&str>, finding: &Finding) {
        let subject = format!("{}  {}", finding.whence(file), finding.pointer);
        let color = self.look.color.1;
        let mut block = Block::new(severity(finding.severity), &finding.code, subject.trim_end(), color);
        block.lead(finding.summary.clone());
        block.detail(&advice::render(finding.detail.as_deref().unwrap_or_default(), &[], &self.context.options));
        self.block(&block);
    }

    fn fault(&mut self, fault: Fault, message: &str, file: Option<&str>, findings: &[Finding]) {
        for finding in findings {
            self.finding(file, finding);
        }
        let line = if findings.is_empty() {
            let kind = match fault {
                Fault::Usage => "usage",
                Fault::Config => "config",
                Fault::Outside => "outside",
                _ => "internal",
            };
            let color = self.look.color.1;
            let mut block = Block::new("error", kind, message.lines().next().unwrap_or_default(), color);
            let rest = message.split_once('\n').map_or("", |(_, rest)| rest);
            block.detail(&advice::render(rest, &[], &self.context.options));
            block.render(self.look.width, color).trim_end().to_owned()
        } else {
            format!("{message}; no host was connected to")
        };
        self.say(&line);
    }

    fn summary(&self, counts: Counts, exit: u8, millis: u64) -> String {
        let took = match millis {
            0..=999 => format!("{millis} ms"),
            1000..=119_999 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
            _ => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1000),
        };
        let total = self.hosts.len();
        let interrupted = exit == crate::exit::Exit::Interrupted.code();
        if counts.holds as usize == total && !interrupted {
            let (subject, verb) =
                if total == 1 { ("1 host".to_owned(), "is") } else { (format!("{total} hosts"), "are") };
            return match self.command.as_str() {
                "leave" => format!("{subject} {verb} out of the network already, nothing was changed ({took})"),
                "up" => format!("{subject} {verb} right, nothing was changed ({took})"),
                _ => format!("{subject} {verb} right ({took})"),
            };
        }
        let right = if self.command == "leave" { "out already" } else { "right" };
        let parts = [
            (counts.changed, "changed"),
            (
                counts.would_change,
                if matches!(self.command.as_str(), "status" | "explain") { "not right" } else { "would change" },
            ),
            (counts.holds, right),
            (counts.failed, "failed"),
            (counts.unreachable, "unreachable"),
            (counts.skipped, "not tried"),
        ];
        let parts: Vec<_> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        let mut line = format!(
            "{}{}: {} ({took})",
            self.command,
            if interrupted { " interrupted" } else { "" },
            parts.join(" · ")
        );
        let unknown: Vec<&str> = self
            .ended(|result| match result {
                HostResult::Failed(failed) if failed.changed == Changed::Unknown => Some(()),
                _ => None,
            })
            .map(|(host, ())| host)
            .collect();
        if !unknown.is_empty() {
            line += &format!("\nit is unknown what was changed on {}", fold(&unknown, true));
        }
        line
    }

    /// The command to run next, where there is one.
    fn next(&self, counts: Counts) -> Option<String> {
        let unknown =
            |result: &HostResult| matches!(result, HostResult::Failed(one) if one.changed == Changed::Unknown);
        let all_well = counts.failed + counts.unreachable + counts.skipped + counts.would_change == 0;
        let command = match self.command.as_str() {
            "plan" | "status" | "explain" if counts.would_change > 0 => "up",
            "up" | "leave" if self.results.values().any(unknown) => "status",
            "trust" if all_well => "plan",
            "up" if all_well && counts.changed > 0 => "status",
            _ => return None,
        };
        let next = format!("next: stagecraft-net {command}{}", self.context.again);
        Some(match self.digest {
            None if self.command == "up" && all_well => format!(
                "{next}\n  or, for other programs: stagecraft-net export{} --format ssh-config",
                self.context.again
            ),
            Some(digest) => format!(
                "{next}\n  or, for this plan and no other: stagecraft-net {command}{} --approve {digest}",
                self.context.again
            ),
            None => next,
        })
    }
}

impl<O: Write + Send, E: Write + Send> Reader for Screen<O, E> {
    fn read(&mut self, event: Event) {
        self.watch(&event);
        if self.look.verbose < super::verbosity(&event) {
            return;
        }
        match event {
            Event::Begin { command, hosts, .. } => {
                self.command = command;
                self.hosts = hosts;
                let change = if self.changes() { "changed" } else { "would change" };
                let drawn = self.look.width.is_some() && !self.hosts.is_empty();
                self.progress =
                    drawn.then(|| Progress::new(self.hosts.len(), change, self.look.color.1, Instant::now()));
            }
            Event::Notice { file, finding } => self.finding(file.as_deref(), &finding),
            Event::Planned { host, facts, node, .. } if self.context.answer.replaces_changes() => {
                self.seen.insert(host, (facts, node));
            }
            Event::Step { host, title, .. } => self.step(host, title),
            Event::Ran { host, command: Sent { argv, as_root, .. }, ending, status, .. } => {
                let ending = status.map_or_else(|| ending.to_owned(), |status| status.to_string());
                self.say(&format!("{host}: {} {} -> {ending}", if as_root { '#' } else { '$' }, argv.join(" ")));
            }
            Event::Log { host, message, .. } => self.say(&format!("{host}: {message}")),
            Event::Done { host, result, .. } => self.done(host, result),
            Event::Interrupted => self.say("interrupted: hosts in flight are ending; once more ends at once"),
            Event::SameMember { node, hosts } => self.shared.push((node, hosts)),
            Event::Digest(plan) => self.digest = Some(plan.digest),
            Event::HostKey { host, key, standing, source } => {
                let from = source.map_or(String::new(), |source| format!("  {source}"));
                self.answer(&format!("{host}  {standing}  {} {}{from}", key.algorithm, key.fingerprint));
            }
            Event::Checked { host, check, status, found, advice } => {
                self.examined.push((host, examined::Finding { check, status, found, advice }));
            }
            Event::Name { fqdn, .. } => self.answer(&fqdn),
            Event::Provider { provider, descriptor } => {
                let text = crate::provider::describe(&provider, &descriptor, self.command == crate::provider::LIST);
                self.answer(text.trim_end());
            }
            Event::Fault { fault, message, file, findings } => self.fault(fault, &message, file.as_deref(), &findings),
            Event::End { counts, exit, millis } => self.end(counts, exit, millis),
            _ => {}
        }
        self.draw();
    }

    fn tick(&mut self) {
        self.draw();
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// The steps of a plan; of one that is `ahead`, also what they need.
pub(super) fn steps(steps: &[Step], ahead: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        lines.push(format!("  {}. {}", index + 1, step.title));
        lines.extend(step.detail.iter().flat_map(|detail| detail.lines()).map(|line| format!("     {line}")));
        if ahead && step.disruptive {
            lines.push("     interrupts what works: needs --allow disruptive".to_owned());
        }
        if ahead && !step.secrets.is_empty() {
            lines.push(format!("     uses the secret {}", step.secrets.join(", ")));
        }
    }
    lines
}

#[cfg(test)]
mod tests;
