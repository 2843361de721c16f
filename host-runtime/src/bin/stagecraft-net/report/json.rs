//! JSON lines on standard output: each event as [`stagecraft_net::event`] defines it.
//!
//! What is said only to the curious (`ran`, `log`) follows `-v`, as on the screen. Events are written as they come, but
//! for `done`, which waits for the hosts before it: two runs that end alike read
//! alike, whichever host was faster (D1).

use std::collections::BTreeMap;
use std::io::Write;

use stagecraft_net::event::{Event, HostResult};

use super::{Reader, advice};

pub(super) struct Json<W> {
    out: W,
    verbose: u8,
    /// What a command that a text names needs again.
    options: String,
    /// The hosts of the run, in order, and how many of them are written.
    hosts: Vec<String>,
    written: usize,
    /// Finished hosts that wait for one before them.
    held: BTreeMap<usize, Event>,
}

impl<W: Write> Json<W> {
    pub(super) fn new(out: W, verbose: u8, options: String) -> Self {
        Self { out, verbose, options, hosts: Vec::new(), written: 0, held: BTreeMap::new() }
    }

    fn write(&mut self, event: &Event) {
        if let Ok(mut line) = serde_json::to_vec(event) {
            line.push(b'\n');
            let _ = self.out.write_all(&line).and_then(|()| self.out.flush());
        }
    }
}

impl<W: Write + Send> Reader for Json<W> {
    fn read(&mut self, mut event: Event) {
        if self.verbose < super::verbosity(&event) {
            return;
        }
        if let Event::Done { host, result, .. } = &mut event {
            let diagnostics = match result {
                HostResult::Failed(failed) => &mut failed.diagnostics,
                HostResult::Holds(outcome)
                | HostResult::WouldChange { outcome, .. }
                | HostResult::Changed { outcome, .. } => &mut outcome.notes,
                _ => &mut Vec::new(),
            };
            for detail in diagnostics.iter_mut().filter_map(|one| one.detail.as_mut()) {
                *detail = advice::plain(detail, &[host.as_str()], &self.options);
            }
        }
        match &event {
            Event::Begin { hosts, .. } => self.hosts.clone_from(hosts),
            Event::Done { host, .. } => {
                if let Some(place) = self.hosts.iter().position(|other| other == host) {
                    self.held.insert(place, event);
                    while let Some(next) = self.held.remove(&self.written) {
                        self.write(&next);
                        self.written += 1;
                    }
                    return;
                }
            }
            Event::End { .. } => {
                for late in std::mem::take(&mut self.held).into_values() {
                    self.write(&late);
                }
            }
            _ => {}
        }
        self.write(&event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagecraft_net::contract::Outcome;
    use stagecraft_net::event::{Counts, SCHEMA, Sent};

    #[test]
    fn every_line_is_one_object_the_schema_comes_first_and_hosts_are_done_in_their_order() {
        let mut written = Vec::new();
        let mut json = Json::new(&mut written, 0, String::new());
        let hosts: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let command = "plan".to_owned();
        json.read(Event::Begin { schema: SCHEMA, command, environment: None, provider: None, hosts });
        let outcome = Outcome { facts: Vec::new(), node: None, notes: Vec::new() };
        json.read(Event::Ran {
            host: "a".to_owned(),
            step: None,
            command: Sent::default(),
            ending: "exited",
            status: Some(0),
            millis: None,
        });
        for host in ["c", "a", "b"] {
            let (host, result) = (host.to_owned(), HostResult::Holds(outcome.clone()));
            json.read(Event::Done { host, result, millis: 1 });
        }
        json.read(Event::End { counts: Counts::default(), exit: 0, millis: 2 });
        let text = String::from_utf8(written).expect("it is text");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
        let told: Vec<_> = lines
            .iter()
            .map(|line| (line["event"].as_str().unwrap_or(""), line["host"].as_str().unwrap_or("")))
            .collect();
        assert_eq!(told, [("begin", ""), ("done", "a"), ("done", "b"), ("done", "c"), ("end", "")]);
        assert_eq!(lines[0]["schema"], SCHEMA);
    }
}
