//! All that is known of one host: what was found by topic, what `up` would do and why, and what it would never do.
//!
//! The words are the provider's; this puts them in an order, and adds what only this program knows: the wanted tags and
//! name, and the clock.

use stagecraft_net::contract::Fact;
use stagecraft_net::event::HostResult;

use super::super::block::{Tint, tint};
use super::super::screen::steps;
use super::roll::Entry;
use super::{Paint, Rendered, Roll, moment};

/// Topics that have a place of their own, behind what was found.
const STATE: &str = "state";
const SETTING: &str = "setting";
const NEVER: &str = "never";

pub(super) fn render(roll: &Roll<'_>, paint: Paint) -> Rendered {
    let mut out = Vec::new();
    for entry in &roll.entries {
        if !out.is_empty() {
            out.push(String::new());
        }
        out.extend(tell(entry, roll, paint));
    }
    Rendered { out, blocks: Vec::new() }
}

fn tell(entry: &Entry<'_>, roll: &Roll<'_>, paint: Paint) -> Vec<String> {
    let color = paint.color.0;
    let (verdict, shade) = match entry.result {
        Some(HostResult::Holds(_)) => ("is right", Tint::Green),
        Some(HostResult::WouldChange { .. } | HostResult::Changed { .. }) => ("is not right", Tint::Yellow),
        Some(_) if entry.found.facts.is_empty() => ("could not be looked at", Tint::Red),
        Some(_) => ("cannot be made right by a run", Tint::Red),
        None => ("was not looked at", Tint::Red),
    };
    let mut lines = vec![format!("{}  {}", tint(entry.name(), Tint::Bold, color), tint(verdict, shade, color))];
    let mut section = Section { lines: &mut lines, topic: String::new(), color };

    // Found first, then what it adds up to, then what follows from it.
    let of = |topics: fn(&str) -> bool| entry.found.facts.iter().filter(move |fact| topics(&fact.topic));
    of(|topic| ![STATE, SETTING, NEVER].contains(&topic)).for_each(|fact| section.fact(fact));
    member(&mut section, entry, roll);
    of(|topic| topic == SETTING).for_each(|fact| section.fact(fact));
    of(|topic| topic == STATE).for_each(|fact| section.fact(fact));
    plan(&mut section, entry);
    of(|topic| topic == NEVER).for_each(|fact| section.text("it will never", &fact.value));
    lines
}

/// The member that the host is.
fn member(section: &mut Section<'_>, entry: &Entry<'_>, roll: &Roll<'_>) {
    const TOPIC: &str = "member";
    let Some(node) = entry.found.node else { return };
    let differs = entry.wish.fqdn.as_ref().filter(|wanted| **wanted != node.fqdn);
    section.line(TOPIC, "name", &node.fqdn, differs.map(String::as_str), None);
    section.line(TOPIC, "addresses", &node.addresses.join(" "), None, None);
    let tags = entry.tags();
    let wanted = (!tags.missing.is_empty()).then(|| entry.wish.spec.tags.join(" "));
    let extra = (!tags.extra.is_empty()).then(|| format!("nobody asked for {}", tags.extra.join(" ")));
    let had = if tags.had.is_empty() { "none".to_owned() } else { tags.had.join(" ") };
    section.line(TOPIC, "tags", &had, wanted.as_deref(), extra.as_deref());
    let ends = match (entry.expiry(), &node.key_expiry) {
        (Some(when), _) => moment::tell(when, roll.now),
        (None, Some(text)) => text.clone(),
        (None, None) => "never".to_owned(),
    };
    section.line(TOPIC, "key ends", &ends, None, None);
    section.line(TOPIC, "id", &node.id, None, None);
}

/// What `up` would do.
fn plan(section: &mut Section<'_>, entry: &Entry<'_>) {
    const TOPIC: &str = "up would";
    match entry.result {
        Some(HostResult::Holds(_)) => section.text(TOPIC, "do nothing, and read no secret"),
        Some(HostResult::WouldChange { steps: ahead, .. } | HostResult::Changed { steps: ahead, .. }) => {
            for line in steps(ahead, true) {
                section.text(TOPIC, line.strip_prefix("  ").unwrap_or(&line));
            }
        }
        Some(HostResult::Failed(failed)) => {
            section.text(TOPIC, &format!("stop, and change nothing: {}", failed.headline()))
        }
        _ => {}
    }
}

/// Lines in three columns: the topic, once; a name; what there is to tell.
struct Section<'l> {
    lines: &'l mut Vec<String>,
    topic: String,
    color: bool,
}

impl Section<'_> {
    fn fact(&mut self, fact: &Fact) {
        self.line(&fact.topic, &fact.name, &fact.value, fact.wanted.as_deref(), fact.remark.as_deref());
    }

    fn line(&mut self, topic: &str, name: &str, value: &str, wanted: Option<&str>, remark: Option<&str>) {
        if value.is_empty() {
            return;
        }
        // The topic of one fact says all that its name would.
        let name = if name == topic { "" } else { name };
        let mut text = if name.is_empty() { value.to_owned() } else { format!("{name:<16}{value}") };
        if name.len() >= 16 {
            text = format!("{name}  {value}");
        }
        self.text(topic, &text);
        let under = |label: &str, text: &str| format!("{:<16}{} {text}", "", tint(label, Tint::Yellow, self.color));
        let wanted = wanted.map(|wanted| under("wanted", wanted));
        let remark = remark.map(|remark| format!("{:<16}{}", "", tint(remark, Tint::Dim, self.color)));
        for line in [wanted, remark].into_iter().flatten() {
            let line = if name.is_empty() { line.trim_start().to_owned() } else { line };
            self.text(topic, &line);
        }
    }

    fn text(&mut self, topic: &str, text: &str) {
        let shown = if self.topic == topic { "" } else { topic };
        topic.clone_into(&mut self.topic);
        let label = format!("{shown:<15}");
        let line = format!("  {}{text}", tint(&label, Tint::Dim, self.color && !shown.is_empty()));
        self.lines.push(line.trim_end().to_owned());
    }
}
