//! Foreign text in our messages: short, on one line, and the part of an output that says why.
//!
//! The host makes it safe for a terminal; here it is only kept readable. Not for: texts of our own ([`crate::failure`]).

use crate::port::{Ending, Output};

/// A foreign text on one line, cut after 300 characters. Of the two times that Go tells of a certificate, only which comes
/// first is left, and of what apt and its verifier say of a package source, not how long it is: a time of day would make
/// each run's text another one.
#[must_use]
pub fn shown(text: &str) -> String {
    const MOST: usize = 300;
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let times = words.windows(6).position(|six| matches!(six, ["current", "time", _, "is", "before" | "after", _]));
    if let Some(at) = times {
        let which = if words.get(at + 4) == Some(&"before") { "(it is before that)" } else { "(it is after that)" };
        words.splice(at..at + 6, ["by", "the", "host's", "clock", which]);
    }
    // apt: `is not valid yet (invalid for another 2h 59min 50s).`, `is expired (invalid since 2d 0h 0min 0s).`
    if let Some(at) = words.windows(2).position(|two| matches!(two, ["(invalid", "for" | "since"]))
        && let Some(long) = words.iter().skip(at).position(|word| word.ends_with(")."))
        && let Some(before) = at.checked_sub(1).and_then(|before| words.get(before).copied())
    {
        let end = if before == "yet" { "yet." } else { "expired." };
        words.splice(at - 1..=at + long, [end]);
    }
    // sqv, by which newer releases of apt look at signatures: `Not live until 2026-08-09T20:52:39Z`
    if let Some(at) = words.windows(3).position(|three| matches!(three, ["Not", "live", "until"])) {
        words.splice(at..words.len().min(at + 4), ["Not", "live", "yet"]);
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

/// How the clock of a host and a certificate, or the index of a package source, disagree, where a failure is about that:
/// what it amounts to. `error` is as [`shown`] gives it.
#[must_use]
pub fn clock_trouble(error: &str) -> Option<&'static str> {
    // Go says both of every such certificate, and only the times tell which it is.
    if error.contains("(it is before that)") || error.contains("certificate is not yet valid") {
        Some("the clock of the host is behind, or the certificate is for later")
    } else if error.contains("certificate has expired") {
        Some("the clock of the host is ahead, or the certificate was not renewed")
    } else if error.contains("Release file for ") && error.contains(" is not valid yet")
        || error.contains("Not live yet")
    {
        Some("the clock of the host is behind, or the package source is dated later")
    } else if error.contains("Release file for ") && error.contains(" is expired") {
        Some("the clock of the host is ahead, or the package source is not kept up")
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
    fn apts_word_about_the_clock_is_known_and_how_long_it_is_is_left_out() {
        let of = |what: &str| {
            shown(&format!(
                "E: Release file for http://a/dists/b/InRelease {what}. Updates for this repository will not be applied."
            ))
        };
        let behind = of("is not valid yet (invalid for another 6d 23h 59min 50s)");
        assert_eq!(behind, of("is not valid yet"));
        let ahead = of("is expired (invalid since 2d 0h 0min 0s)");
        assert_eq!(ahead, of("is expired"));
        let sqv = shown(
            "  Sub-process /usr/bin/sqv returned an error code (1), error message is: Verifying signature: Not live until 2026-08-09T20:52:39Z",
        );
        assert!(sqv.ends_with("Verifying signature: Not live yet"), "{sqv}");
        for (said, which) in [(&behind, "is behind"), (&ahead, "is ahead"), (&sqv, "is behind")] {
            assert!(clock_trouble(said).unwrap().contains(which), "{said}");
        }
        assert_eq!(clock_trouble("E: The repository 'http://a b InRelease' is not signed."), None);
        assert_eq!(clock_trouble("W: the key is expired"), None);
        // Cut short, it is shown as it came.
        assert_eq!(shown("(invalid for another"), "(invalid for another");
        assert_eq!(shown("Not live until"), "Not live yet");
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
