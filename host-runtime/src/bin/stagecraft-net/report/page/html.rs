//! A page as one HTML file: no script, nothing that is fetched, light or dark as the reader's system is.
//!
//! A policy in its head forbids whatever is not in it, for the case that a text should come through that was not escaped.

use std::fmt::Write as _;

use super::{Block, DAYS, Expiry, Page, in_days};

const STYLE: &str = include_str!("page.css");

pub(super) fn render(page: &Page) -> String {
    let title = format!("stagecraft-net {}", page.title);
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n",
        title = escaped(&title)
    );
    if !page.counts.is_empty() {
        text.push_str("<ul class=\"counts\">\n");
        for (count, what) in &page.counts {
            let class = what.replace(' ', "-");
            let _ = writeln!(text, "<li class=\"{class}\"><b>{count}</b> {what}</li>");
        }
        text.push_str("</ul>\n");
    }
    text.push_str(&blocks("What failed", "failed", &page.failures));
    text.push_str(&blocks("Warnings about the file", "warning", &page.warnings));
    if !page.changes.is_empty() {
        let _ = writeln!(text, "<section>\n<h2>{}</h2>", page.changes_title());
        text.push_str("<div class=\"wide\"><table>\n<tr><th>Hosts</th><th></th><th>Steps</th><th class=\"number\">Took</th></tr>\n");
        for change in &page.changes {
            let mut steps = String::new();
            for (title, detail) in &change.steps {
                let detail =
                    if detail.is_empty() { String::new() } else { format!("<small>{}</small>", escaped(detail)) };
                let _ = write!(steps, "<li>{}{detail}</li>", escaped(title));
            }
            let (hosts, class) = (escaped(&change.hosts), change.verb.replace(' ', "-"));
            let _ = writeln!(
                text,
                "<tr><td>{hosts}</td><td class=\"{class}\">{}</td><td><ol>{steps}</ol></td><td class=\"number\">{}</td></tr>",
                change.verb, change.took
            );
        }
        text.push_str("</table></div>\n</section>\n");
    }
    if !page.expiry.is_empty() || page.later + page.never > 0 {
        let _ = writeln!(text, "<section>\n<h2>Keys that end within {DAYS} days</h2>");
        if page.expiry.is_empty() {
            text.push_str("<p>None.</p>\n");
        } else {
            text.push_str(&line(&page.expiry));
            text.push_str("<div class=\"wide\"><table>\n<tr><th>When</th><th></th><th>Hosts</th></tr>\n");
            for one in &page.expiry {
                let (date, class) = (&one.date, urgency(one.days));
                let (when, hosts) = (in_days(one.days), escaped(&one.hosts));
                let _ = writeln!(text, "<tr><td>{date}</td><td class=\"{class}\">{when}</td><td>{hosts}</td></tr>");
            }
            text.push_str("</table></div>\n");
        }
        let _ = writeln!(text, "<p>{} later · {} never</p>\n</section>", page.later, page.never);
    }
    if !page.tags.is_empty() {
        text.push_str(
            "<section>\n<h2>Hosts by tags</h2>\n<div class=\"wide\"><table>\n<tr><th>Tag</th><th class=\"number\">Hosts</th><th></th></tr>\n",
        );
        for (tag, count, hosts) in &page.tags {
            let (tag, hosts) = (escaped(tag), escaped(hosts));
            let _ =
                writeln!(text, "<tr><td><code>{tag}</code></td><td class=\"number\">{count}</td><td>{hosts}</td></tr>");
        }
        text.push_str("</table></div>\n</section>\n");
    }
    if !page.hosts.is_empty() {
        let _ = writeln!(text, "<section>\n<details open><summary>All {} hosts</summary>", page.hosts.len());
        text.push_str(
            "<div class=\"wide\"><table>\n<tr><th>Host</th><th>Ended</th><th>Name</th><th>Addresses</th><th>Tags</th><th>Key ends</th><th class=\"number\">Took</th></tr>\n",
        );
        for row in &page.hosts {
            let class = match row.ended {
                good @ ("right" | "changed" | "would change") => good.replace(' ', "-"),
                _ => "failed".to_owned(),
            };
            let [host, name, addresses, tags, expires] =
                [&row.host, &row.name, &row.addresses, &row.tags, &row.expires].map(|cell| escaped(cell));
            let _ = writeln!(
                text,
                "<tr><td class=\"host\">{host}</td><td class=\"{class}\">{}</td><td>{name}</td><td>{addresses}</td><td>{tags}</td><td>{expires}</td><td class=\"number\">{}</td></tr>",
                row.ended, row.took
            );
        }
        text.push_str("</table></div>\n</details>\n</section>\n");
    }
    text.push_str("<footer>\n<dl>\n");
    for (name, value) in &page.about {
        let _ = writeln!(text, "<dt>{name}</dt><dd>{}</dd>", escaped(value));
    }
    text.push_str("</dl>\n</footer>\n</main>\n</body>\n</html>\n");
    text
}

/// What went wrong, or nearly so, block by block.
fn blocks(title: &str, class: &str, blocks: &[Block]) -> String {
    if blocks.is_empty() {
        return String::new();
    }
    let mut text = format!("<section>\n<h2>{title}</h2>\n");
    for block in blocks {
        let (kind, body) = (escaped(&block.kind), escaped(&block.text));
        // A name is not broken.
        let subject: Vec<String> =
            block.subject.split(" · ").map(|name| format!("<span>{}</span>", escaped(name))).collect();
        let subject = subject.join(" · ");
        let _ = writeln!(
            text,
            "<article class=\"{class}\">\n<h3><code>{kind}</code> {subject}</h3>\n<pre>{body}</pre>\n</article>"
        );
    }
    text + "</section>\n"
}

/// The days to come as a line, with a mark for each on which keys end: the more hosts, the taller.
fn line(expiry: &[Expiry]) -> String {
    const WIDTH: i64 = 900;
    const BASE: i64 = 70;
    let x = |day: i64| 10 + day.clamp(0, DAYS) * (WIDTH - 20) / DAYS;
    let most = expiry.iter().map(|one| one.count).max().unwrap_or(1).max(1);
    let mut text = format!(
        "<div class=\"wide\"><svg class=\"line\" viewBox=\"0 0 {WIDTH} 100\" role=\"img\" aria-label=\"the next {DAYS} days\">\n\
         <line class=\"axis\" x1=\"{}\" y1=\"{BASE}\" x2=\"{}\" y2=\"{BASE}\"/>\n",
        x(0),
        x(DAYS)
    );
    for day in (0..=DAYS).step_by(15) {
        let (at, label) = (x(day), if day == 0 { "today".to_owned() } else { format!("{day} d") });
        let anchor = if day == 0 {
            "start"
        } else if day == DAYS {
            "end"
        } else {
            "middle"
        };
        let _ = writeln!(
            text,
            "<line class=\"axis\" x1=\"{at}\" y1=\"{BASE}\" x2=\"{at}\" y2=\"{}\"/><text x=\"{at}\" y=\"{}\" text-anchor=\"{anchor}\">{label}</text>",
            BASE + 5,
            BASE + 22
        );
    }
    for one in expiry {
        let tall = 12 + 48 * i64::try_from(one.count * 100 / most).unwrap_or(100) / 100;
        let (at, class) = (x(one.days) - 3, urgency(one.days));
        let hosts = if one.count == 1 { "1 host".to_owned() } else { format!("{} hosts", one.count) };
        let _ = writeln!(
            text,
            "<rect class=\"{class}\" x=\"{at}\" y=\"{}\" width=\"6\" height=\"{tall}\" rx=\"2\"><title>{} · {hosts}</title></rect>",
            BASE - tall,
            one.date
        );
    }
    text.push_str("</svg></div>\n");
    text
}

/// How soon that is.
fn urgency(days: i64) -> &'static str {
    match days {
        ..7 => "failed",
        7..30 => "would-change",
        _ => "later",
    }
}

/// A text that is only text, between tags and in attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
