//! Foreign text in our messages: short, on one line, and the part of an output that says why.
//!
//! The host makes it safe for a terminal; here it is only kept readable. Not for: texts of our own ([`crate::failure`]).

use crate::port::{Ending, Output};

/// A foreign text on one line, cut after 300 characters. Of the two times that Go tells of a certificate, only which comes
/// first is left: a time of day would make each run's text another one.
#[must_use]
pub fn shown(text: &str) -> String {
    const MOST: usize = 300;
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let times = words.windows(6).position(|six| matches!(six, ["current", "time", _, "is", "before" | "after", _]));
    if let Some(at) = times {
        let which = if words.get(at + 4) == Some(&"before") { "(it is before that)" } else { "(it is after that)" };
        words.splice(at..at + 6, ["by", "the", "host's", "clock", which]);
    }
    let line = words.join(" ");
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

/// Why a command did not do what it should: the last line of its standard error, else of its output, else how it ended. curl
/// puts help behind what it says of a certificate (60), so there it is the line that has the number.
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
    let curl = output.stderr.lines().rfind(|line| line.starts_with("curl: (60)")).map(shown);
    match curl.or_else(|| last(&output.stderr)).or_else(|| last(&output.stdout)) {
        Some(line) if output.ending == Ending::TimedOut => format!("{line} ({ended})"),
        Some(line) => line,
        None => ended,
    }
}

/// How the clock of a host and a certificate disagree, where a failure is about that: what it amounts to.
#[must_use]
pub fn clock_trouble(error: &str) -> Option<&'static str> {
    // Go says both of every such certificate, and only the times tell which it is.
    if error.contains("(it is before that)") || error.contains("certificate is not yet valid") {
        Some("the clock of the host is behind, or the certificate is for later")
    } else if error.contains("certificate has expired") {
        Some("the clock of the host is ahead, or the certificate was not renewed")
    } else {
        None
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
    fn a_time_of_day_is_left_out_and_which_way_the_clock_is_wrong_is_kept() {
        let go = "Get \"https://a/key\": x509: certificate has expired or is not yet valid: current time 2026-11-23T14:17:19Z is before 2026-12-21T14:17:19Z";
        let behind = shown(go);
        assert_eq!(
            behind,
            "Get \"https://a/key\": x509: certificate has expired or is not yet valid: by the host's clock (it is before that)"
        );
        assert_eq!(shown("current time is 3"), "current time is 3");
        let (behind, ahead) = (clock_trouble(&behind).unwrap(), shown(&go.replace("before", "after")));
        assert!(behind.contains("is behind") && clock_trouble(&ahead).unwrap().contains("is ahead"));
        let curl = "curl: (60) SSL certificate problem: certificate is not yet valid\nMore details here: b\n\nhow to fix it.\n";
        let why = why(&output(Ending::Exited(60), "", curl));
        assert_eq!(why, "curl: (60) SSL certificate problem: certificate is not yet valid");
        assert!(clock_trouble(&why).unwrap().contains("is behind"));
        assert_eq!(clock_trouble("x509: certificate signed by unknown authority"), None);
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
