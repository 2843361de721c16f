//! All hosts at a glance: a line for each that is not right, one line for all that are, and what is oldest and next.

use super::super::block::{Tint, tint};
use super::super::group::fold;
use super::roll::Entry;
use super::{Paint, Roll, moment};

const HEAD: [&str; 6] = ["HOST", "STATE", "VERSION", "TAGS", "KEY ENDS", "NAME"];

pub(super) fn render(roll: &Roll<'_>, paint: &Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let shown: Vec<&Entry<'_>> = roll.entries.iter().filter(|entry| paint.all || !entry.is_right()).collect();
    if !shown.is_empty() {
        let rows: Vec<[String; 6]> = shown.iter().map(|entry| row(entry, roll)).collect();
        let mut widths = HEAD.map(str::len);
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        lines.push(tint(&line(&HEAD.map(str::to_owned), &widths), Tint::Dim, paint.color.0));
        for (entry, row) in shown.iter().zip(&rows) {
            let shade = match entry.drifts() {
                Some(false) => Tint::Green,
                Some(true) => Tint::Yellow,
                None => Tint::Red,
            };
            lines.push(paint_state(&line(row, &widths), &widths, shade, paint.color.0));
        }
    }
    let right: Vec<&str> = roll.entries.iter().filter(|entry| entry.is_right()).map(Entry::name).collect();
    if !paint.all && !right.is_empty() {
        lines.push(format!("{}  {}", fold(&right, false), tint("right", Tint::Green, paint.color.0)));
    }
    lines.extend(foot(roll));
    lines
}

fn row(entry: &Entry<'_>, roll: &Roll<'_>) -> [String; 6] {
    let nothing = || "-".to_owned();
    let node = entry.found.node;
    let ends = node.map_or_else(nothing, |node| match (entry.expiry(), &node.key_expiry) {
        (Some(when), _) => moment::tell(when, roll.now),
        (None, Some(text)) => text.clone(),
        (None, None) => "never".to_owned(),
    });
    [
        entry.name().to_owned(),
        entry.state().to_owned(),
        entry.version().map_or_else(nothing, str::to_owned),
        if node.is_some() { tags(entry) } else { nothing() },
        ends,
        node.map_or_else(nothing, |node| node.fqdn.clone()),
    ]
}

/// The tags that are there, then `-tag` for one that is missing; `+tag` is there and nobody asked for it.
fn tags(entry: &Entry<'_>) -> String {
    let tags = entry.tags();
    let had = tags.had.iter().map(|tag| if tags.extra.contains(tag) { format!("+{tag}") } else { (*tag).to_owned() });
    let all: Vec<String> = had.chain(tags.missing.iter().map(|tag| format!("-{tag}"))).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(" ") }
}

fn line(cells: &[String; 6], widths: &[usize; 6]) -> String {
    let padded: Vec<String> = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())))
        .collect();
    padded.join("  ").trim_end().to_owned()
}

/// Sets the second cell of a line off.
fn paint_state(line: &str, widths: &[usize; 6], shade: Tint, color: bool) -> String {
    if !color {
        return line.to_owned();
    }
    let chars: Vec<char> = line.chars().collect();
    let (from, to) = ((widths[0] + 2).min(chars.len()), (widths[0] + 2 + widths[1]).min(chars.len()));
    let part = |chars: &[char]| chars.iter().collect::<String>();
    format!("{}{}{}", part(&chars[..from]), tint(&part(&chars[from..to]), shade, true), part(&chars[to..]))
}

/// The oldest client and the next key to end.
fn foot(roll: &Roll<'_>) -> Option<String> {
    let mut parts = Vec::new();
    if let Some((_, version, hosts)) = roll.versions().first() {
        let all = hosts.len() == roll.entries.iter().filter(|entry| entry.version().is_some()).count();
        let which = if all { "all".to_owned() } else { fold(hosts, false) };
        parts.push(format!("oldest client {version} ({which})"));
    }
    if let Some((when, hosts)) = roll.next_expiry() {
        parts.push(format!("next key ends {} ({})", moment::tell(when, roll.now), fold(&hosts, false)));
    }
    (!parts.is_empty()).then(|| parts.join(" · "))
}
