//! The last lines of a terminal while a run goes on: how far it is, and what the hosts do that take longest.
//!
//! What is drawn leaves the cursor where it began, so that taking it away is to erase from there to the end, whatever the
//! terminal's size has become, and a question that somebody is asked stands in its place. Not for: anything that is not a
//! terminal.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::block::{Tint, tint};

/// Redrawn at most so often.
const PAUSE: Duration = Duration::from_millis(80);
/// Hosts that have a line of their own, where the terminal has room.
const HOSTS: usize = 6;
/// Erases from the cursor on.
const ERASE: &str = "\r\x1b[J";

/// How far the run is.
pub(super) struct Progress {
    total: usize,
    change: &'static str,
    begun: Instant,
    color: bool,
    done: usize,
    right: usize,
    changed: usize,
    failed: usize,
    /// What hosts do and since when, the longest first.
    doing: Vec<Doing>,
    drawn: Option<Instant>,
    visible: bool,
}

struct Doing {
    host: String,
    what: String,
    since: Instant,
}

/// How a host ended, as far as it is counted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Right,
    Changed,
    Failed,
}

impl Progress {
    /// Of so many hosts; `change` is what those that are not right are counted as.
    pub(super) fn new(total: usize, change: &'static str, color: bool, begun: Instant) -> Self {
        Self {
            total,
            change,
            begun,
            color,
            done: 0,
            right: 0,
            changed: 0,
            failed: 0,
            doing: Vec::new(),
            drawn: None,
            visible: false,
        }
    }

    /// A host does something.
    pub(super) fn doing(&mut self, host: &str, what: &str, now: Instant) {
        if self.doing.iter().any(|one| one.host == host && one.what == what) {
            return;
        }
        self.doing.retain(|one| one.host != host);
        self.doing.push(Doing { host: host.to_owned(), what: what.to_owned(), since: now });
    }

    /// A host that does nothing yet is looked at.
    pub(super) fn looking(&mut self, host: &str, now: Instant) {
        if self.doing.iter().all(|one| one.host != host) {
            self.doing(host, "looking", now);
        }
    }

    /// A host is finished.
    pub(super) fn done(&mut self, host: &str, ended: Ended) {
        self.doing.retain(|one| one.host != host);
        self.done += 1;
        *match ended {
            Ended::Right => &mut self.right,
            Ended::Changed => &mut self.changed,
            Ended::Failed => &mut self.failed,
        } += 1;
    }

    /// What takes it away, if it is there.
    pub(super) fn clear(&mut self) -> &'static str {
        if std::mem::take(&mut self.visible) { ERASE } else { "" }
    }

    /// What draws it on a terminal of so many columns and rows, if it is time again.
    pub(super) fn draw(&mut self, (columns, rows): (usize, usize), now: Instant) -> Option<String> {
        if self.done == self.total || self.visible && self.drawn.is_some_and(|drawn| now < drawn + PAUSE) {
            return None;
        }
        self.drawn = Some(now);
        self.visible = true;
        // One column stays free, or some terminals begin a new line.
        let lines = self.lines(columns.saturating_sub(1), rows.saturating_sub(2), now);
        let mut text = String::from("\r");
        for (index, line) in lines.iter().enumerate() {
            let _ = write!(text, "{}{line}\x1b[K", if index == 0 { "" } else { "\r\n" });
        }
        text.push_str("\x1b[J\r");
        if lines.len() > 1 {
            let _ = write!(text, "\x1b[{}A", lines.len() - 1);
        }
        Some(text)
    }

    fn lines(&self, columns: usize, rows: usize, now: Instant) -> Vec<String> {
        let mut lines = vec![self.head(columns, now)];
        let room = rows.saturating_sub(1).min(HOSTS);
        // A line that says that there are more takes the place of a host.
        let shown = if self.doing.len() > room { room.saturating_sub(1) } else { self.doing.len() };
        let wide = self.doing.iter().take(shown).map(|one| one.host.chars().count()).max().unwrap_or_default();
        for Doing { host, what, since } in self.doing.iter().take(shown) {
            let time = clock(now.saturating_duration_since(*since));
            // Where there is no room for all of it, the time goes first, and then the end of what is done.
            let left = columns.saturating_sub(wide.min(24) + 4);
            let wide = wide.min(24);
            let host = cut(host, wide);
            let line = match left.checked_sub(time.len() + 2).filter(|room| *room >= 12) {
                Some(room) => format!("  {host:<wide$}  {}", cut(what, room)),
                None => cut(&format!("  {host:<wide$}  {what}"), columns),
            };
            let used = line.chars().count();
            let fits = used + 2 + time.len() <= columns;
            lines.push(if fits { format!("{line}  {}", tint(&time, Tint::Dim, self.color)) } else { line });
        }
        if shown < self.doing.len() && room > 0 {
            let more = format!("  and {} more", self.doing.len() - shown);
            lines.push(tint(&cut(&more, columns), Tint::Dim, self.color));
        }
        lines
    }

    /// The bar, the counts and the time, as much of it as there is room for.
    fn head(&self, columns: usize, now: Instant) -> String {
        let mut parts = vec![(format!("{}/{}", self.done, self.total), None)];
        for (count, what, shade) in [
            (self.failed, "failed", Tint::Red),
            (self.changed, self.change, Tint::Green),
            (self.right, "right", Tint::Green),
        ] {
            if count > 0 {
                parts.push((format!("{count} {what}"), Some(shade)));
            }
        }
        parts.push((clock(now.saturating_duration_since(self.begun)), Some(Tint::Dim)));
        let (mut line, mut used) = (String::new(), 0);
        let bar = match columns {
            ..50 => 0,
            _ => (columns / 4).min(30),
        };
        if bar > 0 {
            let full = (bar * self.done).checked_div(self.total).unwrap_or(0);
            line = tint(&"━".repeat(full), Tint::Green, self.color)
                + &tint(&"─".repeat(bar - full), Tint::Dim, self.color);
            used = bar;
        }
        for (text, shade) in parts {
            let before = match used {
                0 => "",
                _ if used == bar => "  ",
                _ => " · ",
            };
            if used + before.chars().count() + text.chars().count() > columns {
                break;
            }
            used += before.chars().count() + text.chars().count();
            line += before;
            line += &shade.map_or_else(|| text.clone(), |shade| tint(&text, shade, self.color));
        }
        line
    }
}

/// `0:07`, `12:30`, `1:02:03`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// At most so many characters of a text, with a sign that there was more.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    if most > 0 {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(total: usize) -> (Progress, Instant) {
        let now = Instant::now();
        (Progress::new(total, "changed", false, now), now)
    }

    #[test]
    fn it_says_how_far_the_run_is_and_what_takes_longest() {
        let (mut progress, now) = progress(12);
        progress.doing("app-1", "install the client", now);
        progress.doing("db-10", "join", now + Duration::from_secs(30));
        progress.doing("app-1", "install the client", now + Duration::from_secs(31));
        progress.looking("db-10", now + Duration::from_secs(40));
        for ended in [Ended::Failed, Ended::Right, Ended::Changed, Ended::Right] {
            progress.done("x", ended);
        }
        assert_eq!(
            progress.lines(79, 24, now + Duration::from_secs(72)),
            [
                "━━━━━━─────────────  4/12 · 1 failed · 1 changed · 2 right · 1:12",
                "  app-1  install the client  1:12",
                "  db-10  join  0:42"
            ]
        );
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_and_no_more_lines_than_it_has() {
        let (mut progress, now) = progress(200);
        for number in 0..40 {
            progress.doing(&format!("a-host-of-a-rather-long-name-{number}"), "re-authenticate for other tags", now);
        }
        progress.failed = 100;
        for columns in 0..130 {
            for rows in [0, 1, 2, 3, 5, 24] {
                let lines = progress.lines(columns, rows, now);
                assert!(lines.len() <= rows.max(1) && lines.len() <= 1 + HOSTS, "{columns}×{rows}: {lines:?}");
                for line in &lines {
                    assert!(line.chars().count() <= columns, "{columns}×{rows}: {line:?}");
                }
            }
        }
        assert_eq!(progress.lines(80, 24, now).last().map(String::as_str), Some("  and 35 more"));
    }

    #[test]
    fn it_is_drawn_seldom_leaves_the_cursor_where_it_began_and_is_gone_at_the_end() {
        let (mut progress, now) = progress(2);
        progress.doing("a", "join", now);
        assert_eq!(progress.clear(), "");
        let drawn = progress.draw((80, 24), now).expect("at once");
        assert!(drawn.starts_with('\r') && drawn.ends_with("\x1b[J\r\x1b[1A"), "{drawn:?}");
        assert_eq!(progress.draw((80, 24), now), None);
        assert!(progress.draw((80, 24), now + PAUSE).is_some());
        assert_eq!(progress.clear(), ERASE);
        assert!(progress.draw((80, 24), now + PAUSE).is_some(), "what was cleared is drawn again");
        progress.done("a", Ended::Right);
        progress.done("b", Ended::Right);
        assert_eq!(progress.draw((80, 24), now + PAUSE * 9), None);
    }

    #[test]
    fn colours_are_there_only_when_they_are_wanted() {
        let (mut progress, now) = progress(2);
        progress.doing("a", "join", now);
        progress.done("b", Ended::Failed);
        let text = |progress: &Progress| progress.lines(80, 24, now).concat();
        assert!(!text(&progress).contains('\x1b'));
        progress.color = true;
        assert!(text(&progress).contains("\x1b[1;31m1 failed\x1b[0m"));
    }
}
