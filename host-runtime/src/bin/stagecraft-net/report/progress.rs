//! One line at the bottom of a terminal that says how far the run is. Not for: anything that is not a terminal.

use std::time::{Duration, Instant};

/// Redrawn at most so often.
const PAUSE: Duration = Duration::from_millis(80);

/// How far the run is.
pub(super) struct Progress {
    width: usize,
    total: usize,
    done: usize,
    failed: usize,
    /// What is going on, the latest last.
    doing: Vec<(String, String)>,
    drawn: Option<Instant>,
    visible: bool,
}

impl Progress {
    pub(super) fn new(width: usize, total: usize) -> Self {
        Self { width, total, done: 0, failed: 0, doing: Vec::new(), drawn: None, visible: false }
    }

    /// A host does something.
    pub(super) fn doing(&mut self, host: &str, what: &str) {
        self.doing.retain(|(other, _)| other != host);
        self.doing.push((host.to_owned(), what.to_owned()));
    }

    /// A host is finished.
    pub(super) fn done(&mut self, host: &str, failed: bool) {
        self.doing.retain(|(other, _)| other != host);
        self.done += 1;
        self.failed += usize::from(failed);
    }

    /// What takes the line away, if it is there.
    pub(super) fn clear(&mut self) -> &'static str {
        if std::mem::take(&mut self.visible) { "\r\x1b[K" } else { "" }
    }

    /// What draws it, if it is time again.
    pub(super) fn draw(&mut self, now: Instant) -> Option<String> {
        if self.done == self.total || self.visible && self.drawn.is_some_and(|drawn| now < drawn + PAUSE) {
            return None;
        }
        self.drawn = Some(now);
        self.visible = true;
        Some(format!("\r\x1b[K{}", self.line()))
    }

    fn line(&self) -> String {
        let mut line = format!("{}/{} hosts", self.done, self.total);
        if self.failed > 0 {
            line += &format!(" · {} failed", self.failed);
        }
        if let Some((host, what)) = self.doing.last() {
            line += &format!(" · {host}: {what}");
        }
        if self.doing.len() > 1 {
            line += &format!(" (and {} more)", self.doing.len() - 1);
        }
        // One column stays free, or some terminals begin a new line.
        line.chars().take(self.width.saturating_sub(1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_what_and_never_more_than_the_line_holds() {
        let mut progress = Progress::new(200, 12);
        assert_eq!(progress.line(), "0/12 hosts");
        progress.doing("a", "install the client");
        progress.doing("b", "join");
        progress.doing("a", "join");
        progress.done("c", true);
        assert_eq!(progress.line(), "1/12 hosts · 1 failed · a: join (and 1 more)");
        progress.width = 20;
        assert_eq!(progress.line().chars().count(), 19);
    }

    #[test]
    fn it_is_drawn_seldom_cleared_once_and_gone_at_the_end() {
        let mut progress = Progress::new(80, 1);
        let now = Instant::now();
        assert_eq!(progress.clear(), "");
        assert!(progress.draw(now).is_some());
        assert_eq!(progress.draw(now), None);
        assert!(progress.draw(now + PAUSE).is_some());
        assert_eq!(progress.clear(), "\r\x1b[K");
        assert!(progress.draw(now + PAUSE).is_some(), "what was cleared is drawn again");
        progress.done("a", false);
        assert_eq!(progress.draw(now + PAUSE * 9), None);
    }
}
