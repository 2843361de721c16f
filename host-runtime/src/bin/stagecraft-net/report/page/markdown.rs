//! A page as Markdown, as GitHub and others render it.
//!
//! Texts stand in tables, where a few characters would end a cell or begin something: those are escaped, and the rest is
//! as it was. Blocks of the screen stand in fences that are longer than any in them.

use std::fmt::Write as _;

use super::{DAYS, Page, in_days};

/// Rows of a table; a step's summary may have a megabyte.
const ROWS: usize = 400;

pub(in crate::report) fn render(page: &Page) -> String {
    let mut text = format!("## stagecraft-net {}\n\n", escaped(&page.title));
    let counts: Vec<String> = page.counts.iter().map(|(count, what)| format!("**{count}** {what}")).collect();
    if !counts.is_empty() {
        let _ = writeln!(text, "{}\n", counts.join(" · "));
    }
    for (title, blocks) in [("What failed", &page.failures), ("Warnings about the file", &page.warnings)] {
        if !blocks.is_empty() {
            let _ = writeln!(text, "### {title}\n");
        }
        for block in blocks {
            let subject =
                if block.subject.is_empty() { String::new() } else { format!(" · {}", escaped(&block.subject)) };
            let fence = fence(&block.text);
            let _ = writeln!(text, "**{}**{subject}\n\n{fence}\n{}\n{fence}\n", escaped(&block.kind), block.text);
        }
    }
    if !page.changes.is_empty() {
        let title = page.changes_title();
        let _ = writeln!(text, "### {title}\n\n| Hosts | | Steps | Took |\n|---|---|---|---|");
        for change in &page.changes {
            let steps: Vec<String> = change
                .steps
                .iter()
                .map(|(title, detail)| match detail.is_empty() {
                    true => escaped(title),
                    false => format!("{}<br><sub>{}</sub>", escaped(title), escaped(detail)),
                })
                .collect();
            let (hosts, steps) = (escaped(&change.hosts), steps.join("<br>"));
            let _ = writeln!(text, "| {hosts} | {} | {steps} | {} |", change.verb, change.took);
        }
        text.push('\n');
    }
    if !page.tags.is_empty() {
        text.push_str("### Hosts by tags\n\n| Tag | | Hosts |\n|---|---:|---|\n");
        for (tag, count, hosts) in &page.tags {
            let _ = writeln!(text, "| {} | {count} | {} |", escaped(tag), escaped(hosts));
        }
        text.push('\n');
    }
    if !page.expiry.is_empty() || page.later + page.never > 0 {
        let _ = writeln!(text, "### Keys that end within {DAYS} days\n");
        if !page.expiry.is_empty() {
            text.push_str("| When | | Hosts |\n|---|---|---|\n");
            for one in &page.expiry {
                let _ = writeln!(text, "| {} | {} | {} |", one.date, in_days(one.days), escaped(&one.hosts));
            }
            text.push('\n');
        }
        let _ = writeln!(text, "{} later · {} never\n", page.later, page.never);
    }
    if !page.hosts.is_empty() {
        let _ = writeln!(text, "<details><summary>All {} hosts</summary>\n", page.hosts.len());
        text.push_str("| Host | Ended | Name | Addresses | Tags | Key ends | Took |\n|---|---|---|---|---|---|---|\n");
        for row in page.hosts.iter().take(ROWS) {
            let cells = [&row.host, row.ended, &row.name, &row.addresses, &row.tags, &row.expires, &row.took];
            let _ = writeln!(text, "| {} |", cells.map(escaped).join(" | "));
        }
        if let left @ 1.. = page.hosts.len().saturating_sub(ROWS) {
            let _ = writeln!(text, "\nand {left} more");
        }
        text.push_str("\n</details>\n\n");
    }
    for (name, value) in &page.about {
        let _ = writeln!(text, "{name}: {}  ", escaped(value));
    }
    text
}

/// A text that is only text, in a cell or a paragraph.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("<br>"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // An address or a mention that nobody meant; a zero-width character would be copied along.
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// More backticks than stand together anywhere in the text.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    "`".repeat(longest.max(2) + 1)
}
