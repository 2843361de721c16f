//! Foreign text in our messages: short, on one line, and the part of an output that says why.
//!
//! The host makes it safe for a terminal; here it is only kept readable. Not for: texts of our own ([`crate::failure`]).

use crate::port::{Ending, Output};

/// A foreign text on one line, cut after 300 characters.
#[must_use]
pub fn shown(text: &str) -> String {
    const MOST: usize = 300;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

/// Why a command did not do what it should: the last line of its standard error, else of its output, else how it ended.
#[must_use]
pub fn why(output: &Output) -> String {
    let last = |text: &str| text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(shown);
    let ended = match output.ending {
        Ending::Exited(0) => "it printed nothing".to_owned(),
        Ending::Exited(status) => format!("exit status {status}"),
        Ending::TimedOut => "it did not end in time".to_owned(),
        Ending::Skipped => "it was not run".to_owned(),
        Ending::Unknown => "its end was not seen".to_owned(),
    };
    match last(&output.stderr).or_else(|| last(&output.stdout)) {
        Some(line) if output.ending == Ending::TimedOut => format!("{line} ({ended})"),
        Some(line) => line,
        None => ended,
    }
}

/// The last lines of what a program printed, without a shell's trace of its commands.
#[must_use]
pub fn tail(output: &Output, lines: usize) -> Vec<String> {
    let told = |text: &str| -> Vec<String> {
        let kept = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('+'));
        kept.map(shown).collect()
    };
    let mut all = told(&output.stdout);
    all.extend(told(&output.stderr));
    all.split_off(all.len().saturating_sub(lines))
}

/// Tags as messages show them: `[tag:a tag:b]`.
#[must_use]
pub fn tags(tags: &[String]) -> String {
    format!("[{}]", tags.join(" "))
}

/// Tags within a sentence: `tags tag:a tag:b`, `no tags`.
#[must_use]
pub fn with_tags(tags: &[String]) -> String {
    match tags {
        [] => "no tags".to_owned(),
        tags => shown(&format!("tags {}", tags.join(" "))),
    }
}

/// Whether a foreign text is a DNS name and nothing else, so that it may stand in a command line that is to be pasted.
#[must_use]
pub fn is_domain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    text.len() <= 253 && text.contains('.') && !text.starts_with(['-', '.']) && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(ending: Ending, stdout: &str, stderr: &str) -> Output {
        Output { ending, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
    }

    #[test]
    fn a_reason_is_the_last_thing_said_or_how_it_ended() {
        assert_eq!(why(&output(Ending::Exited(1), "out\n", "first\nlast  line\n\n")), "last line");
        assert_eq!(why(&output(Ending::Exited(1), "out\n", "")), "out");
        assert_eq!(why(&output(Ending::Exited(3), "", "")), "exit status 3");
        assert_eq!(why(&output(Ending::Exited(0), "", "")), "it printed nothing");
        assert_eq!(why(&output(Ending::TimedOut, "", "waiting")), "waiting (it did not end in time)");
        assert_eq!(why(&output(Ending::Skipped, "", "")), "it was not run");
        assert_eq!(why(&output(Ending::Unknown, "", "")), "its end was not seen");
    }

    #[test]
    fn foreign_text_is_one_short_line() {
        assert_eq!(shown(" a\n\tb  c "), "a b c");
        assert_eq!(shown(&"é".repeat(400)).chars().count(), 301);
    }

    #[test]
    fn a_tail_leaves_the_shells_trace_out() {
        let output = output(Ending::Exited(100), "one\ntwo\n", "+ apt-get update\nE: three\n");
        assert_eq!(tail(&output, 2), ["two", "E: three"]);
        assert_eq!(tail(&output, 9), ["one", "two", "E: three"]);
    }

    #[test]
    fn tags_are_shown_in_brackets() {
        assert_eq!(tags(&["tag:a".to_owned(), "tag:b".to_owned()]), "[tag:a tag:b]");
        assert_eq!(tags(&[]), "[]");
        assert_eq!(with_tags(&["tag:a".to_owned(), "tag:b".to_owned()]), "tags tag:a tag:b");
        assert_eq!(with_tags(&[]), "no tags");
    }

    #[test]
    fn only_a_plain_dns_name_may_stand_in_a_command_line() {
        assert!(is_domain("other-1.ts.net"));
        for odd in ["", "localhost", "-x.net", "a.net; reboot", "a.net}", "$(id).net", "a.net\nb", "Ä.net", ".net"] {
            assert!(!is_domain(odd), "{odd:?}");
        }
    }
}
