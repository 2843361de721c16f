//! The one choke point before a terminal, a log or JSON: bytes from anywhere become text that cannot act.
//!
//! What a machine or a provider wrote may hold escape sequences that move the cursor or set the clipboard, marks that
//! turn the reading direction around, characters that nobody sees, and bytes that are no text. After [`printable`] or
//! [`one_line`] none of that is left: every such character stands there as a visible `\x1b`, `\u{202e}` or `\xff`. Only
//! the sequences that set colours and move the cursor (CSI, as terminals define them in ECMA-48) go without a trace
//! when they are whole, or every line of a coloured log would be unreadable.
//!
//! The result is for people. It is not an encoding: a backslash stays a backslash, so it cannot be turned back.
//! Not for: taking secrets out ([`crate::scrub`] does, before this), or quoting for a shell ([`crate::argv`] does).

use std::fmt::Write as _;

/// The longest CSI sequence that goes without a trace, in bytes after `ESC [`. Real ones are shorter than 20.
const MAX_CSI: usize = 32;

/// How many combining marks may follow each other. Two is enough for every living script in composed form; more are
/// stacked over the lines above and below.
const MAX_MARKS: usize = 2;

/// Text of several lines: line ends are kept as `\n` (a lone carriage return, which would overwrite the line, is one),
/// a tab becomes four spaces.
///
/// Saying it twice changes nothing.
#[must_use]
pub fn printable(input: impl AsRef<[u8]>) -> String {
    render(input.as_ref(), Form::Lines)
}

/// Text on one line: line ends, tabs and runs of blanks become one space each, none at the ends.
///
/// Saying it twice changes nothing.
#[must_use]
pub fn one_line(input: impl AsRef<[u8]>) -> String {
    render(input.as_ref(), Form::OneLine)
}

/// At most `max` characters of a text: where it is longer, its start and its end with ` … ` between them, since the
/// reason of an error stands at either.
///
/// With `max` under 5 there is no room for that, and the start alone is given.
#[must_use]
pub fn bounded(text: &str, max: usize) -> String {
    const GAP: &str = " … ";
    let count = text.chars().count();
    if count <= max {
        return text.to_owned();
    }
    let gap = GAP.chars().count();
    if max < gap + 2 {
        return text.chars().take(max).collect();
    }
    let room = max - gap;
    let head = room.div_ceil(2);
    let tail = room - head;
    text.chars().take(head).chain(GAP.chars()).chain(text.chars().skip(count - tail)).collect()
}

/// The last `lines` lines of a text that are not blank, for the end of a log in an error.
#[must_use]
pub fn last_lines(text: &str, lines: usize) -> String {
    let kept: Vec<&str> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(lines).collect();
    kept.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    OneLine,
}

fn render(input: &[u8], form: Form) -> String {
    let mut out = Out { text: String::with_capacity(input.len()), form, marks: 0 };
    for part in input.utf8_chunks() {
        let mut rest = part.valid();
        while let Some(c) = rest.chars().next() {
            if c == '\u{1b}'
                && let Some(length) = csi(rest.as_bytes())
            {
                rest = &rest[length..];
                continue;
            }
            rest = &rest[c.len_utf8()..];
            match c {
                '\r' if rest.starts_with('\n') => {}
                '\n' | '\r' => out.blank("\n"),
                '\t' => out.blank("    "),
                ' ' => out.blank(" "),
                _ => out.char(c),
            }
        }
        for byte in part.invalid() {
            out.escape(format_args!("\\x{byte:02x}"));
        }
    }
    out.finish()
}

/// The length of the whole CSI sequence that `bytes` begins with, if it begins with one.
fn csi(bytes: &[u8]) -> Option<usize> {
    let body = bytes.strip_prefix(b"\x1b[")?;
    let body = &body[..body.len().min(MAX_CSI)];
    let parameters = body.iter().take_while(|byte| (0x30..=0x3f).contains(*byte)).count();
    let intermediates = body[parameters..].iter().take_while(|byte| (0x20..=0x2f).contains(*byte)).count();
    let last = body.get(parameters + intermediates)?;
    (0x40..=0x7e).contains(last).then_some(2 + parameters + intermediates + 1)
}

struct Out {
    text: String,
    form: Form,
    /// How many combining marks stand at the end of `text`.
    marks: usize,
}

impl Out {
    fn blank(&mut self, as_lines: &str) {
        self.marks = 0;
        match self.form {
            Form::Lines => self.text.push_str(as_lines),
            Form::OneLine if self.text.is_empty() || self.text.ends_with(' ') => {}
            Form::OneLine => self.text.push(' '),
        }
    }

    fn char(&mut self, c: char) {
        if c.is_control() && u32::from(c) < 0x80 {
            self.escape(format_args!("\\x{:02x}", u32::from(c)));
        } else if acts_or_hides(c) {
            self.escape(format_args!("\\u{{{:x}}}", u32::from(c)));
        } else if is_combining(c) {
            if self.marks < MAX_MARKS {
                self.marks += 1;
                self.text.push(c);
            } else {
                // The escape must not reset the count, or a long stack would come through two at a time.
                let marks = self.marks;
                self.escape(format_args!("\\u{{{:x}}}", u32::from(c)));
                self.marks = marks;
            }
        } else {
            self.marks = 0;
            self.text.push(c);
        }
    }

    fn escape(&mut self, visible: std::fmt::Arguments<'_>) {
        self.marks = 0;
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(visible);
    }

    fn finish(mut self) -> String {
        if self.form == Form::OneLine && self.text.ends_with(' ') {
            self.text.pop();
        }
        self.text
    }
}

/// Characters that change how a terminal or an editor shows what stands around them, or that show nothing at all:
/// the controls (category Cc), the format characters (Cf), line and paragraph separators, variation selectors, tags,
/// fillers that look blank, and the code points that are no characters.
fn acts_or_hides(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad | 0x34f | 0x61c | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2
            | 0x600..=0x605
            | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f
            | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
            | 0x2800 | 0x3164 | 0xffa0
            | 0xfe00..=0xfe0f | 0xfeff | 0xfff0..=0xfffb
            | 0x110bd | 0x110cd | 0x13430..=0x1345f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a
            | 0xe0000..=0xe0fff)
        || u32::from(c) & 0xfffe == 0xfffe
        || (0xfdd0..=0xfdef).contains(&u32::from(c))
}

/// The blocks of combining marks that belong to no one script.
fn is_combining(c: char) -> bool {
    matches!(u32::from(c), 0x300..=0x36f | 0x483..=0x489 | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe20..=0xfe2f)
}

/// Whether a character may stand in what [`printable`] gives; what the tests and the fuzz target hold it to.
#[doc(hidden)]
#[must_use]
pub fn is_harmless(c: char) -> bool {
    c == '\n' || !acts_or_hides(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_of_any_script_comes_through_as_it_is() {
        let text = "tailnet „beispiel“ — 東京 привет é e\u{301} ✓\nsecond line";
        assert_eq!(printable(text), text);
        assert_eq!(one_line("a\\b 'c' \"d\""), "a\\b 'c' \"d\"");
    }

    #[test]
    fn controls_marks_and_bytes_that_are_no_text_are_shown_and_do_not_act() {
        assert_eq!(printable("a\u{7}b\u{8}c\u{0}d\u{7f}"), "a\\x07b\\x08c\\x00d\\x7f");
        assert_eq!(printable("\u{9b}31m\u{85}"), "\\u{9b}31m\\u{85}");
        assert_eq!(printable("user\u{202e}gpj.exe\u{2066}"), "user\\u{202e}gpj.exe\\u{2066}");
        assert_eq!(printable("zero\u{200b}width\u{feff}\u{e0041}"), "zero\\u{200b}width\\u{feff}\\u{e0041}");
        assert_eq!(printable(b"ok \xff\xc3 \xed\xa0\x80 \x9b2J"), "ok \\xff\\xc3 \\xed\\xa0\\x80 \\x9b2J");
        assert_eq!(printable("a\u{2028}b\u{fffe}\u{10ffff}\u{fdd0}"), "a\\u{2028}b\\u{fffe}\\u{10ffff}\\u{fdd0}");
    }

    #[test]
    fn a_whole_csi_sequence_goes_and_every_other_sequence_is_shown() {
        assert_eq!(printable("\u{1b}[1;31mE:\u{1b}[0m broken\u{1b}[2K\u{1b}[?25l"), "E: broken");
        assert_eq!(
            printable("\u{1b}]0;title\u{7}x\u{1b}]52;c;ZXZpbA==\u{1b}\\"),
            "\\x1b]0;title\\x07x\\x1b]52;c;ZXZpbA==\\x1b\\"
        );
        assert_eq!(printable("cut \u{1b}["), "cut \\x1b[");
        assert_eq!(printable("\u{1b}c\u{1b}(0"), "\\x1bc\\x1b(0");
        // What is left after a sequence went must not read as another one.
        assert_eq!(printable("\u{1b}\u{1b}[m[31mred"), "\\x1b[31mred");
        // Nobody hides a page of text in the parameters of a colour.
        let long = format!("\u{1b}[{}m", "1".repeat(MAX_CSI));
        assert_eq!(printable(&long), format!("\\x1b[{}m", "1".repeat(MAX_CSI)));
    }

    #[test]
    fn line_ends_and_tabs_have_one_form_each() {
        assert_eq!(printable("a\r\nb\rc\n\td"), "a\nb\nc\n    d");
        assert_eq!(one_line("  a\r\n\r\n b\t\tc \n"), "a b c");
        assert_eq!(one_line("\n\t "), "");
        assert_eq!(one_line("10%\r20%\rdone"), "10% 20% done");
    }

    #[test]
    fn marks_stacked_over_a_letter_are_shown_after_the_second() {
        assert_eq!(printable("e\u{301}\u{302}\u{303}\u{304}x"), "e\u{301}\u{302}\\u{303}\\u{304}x");
    }

    #[test]
    fn a_long_text_keeps_its_start_and_its_end() {
        assert_eq!(bounded("short", 5), "short");
        assert_eq!(bounded("0123456789abcdef", 11), "0123 … cdef");
        assert_eq!(bounded("0123456789", 4), "0123");
        assert_eq!(bounded("0123456789", 0), "");
        assert_eq!(bounded("ééééééééééé", 6), "éé … é");
    }

    #[test]
    fn the_last_lines_leave_blank_ones_out() {
        assert_eq!(last_lines("a\n\nb\n \nc\n\n", 2), "b\nc");
        assert_eq!(last_lines("a", 3), "a");
        assert_eq!(last_lines("\n\n", 3), "");
    }

    proptest! {
        #[test]
        fn nothing_that_acts_is_left_and_saying_it_twice_changes_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let lines = printable(&bytes);
            prop_assert!(lines.chars().all(is_harmless), "{lines:?}");
            prop_assert_eq!(&printable(&lines), &lines);
            let line = one_line(&bytes);
            prop_assert!(line.chars().all(|c| c != '\n' && is_harmless(c)), "{line:?}");
            prop_assert_eq!(&one_line(&line), &line);
        }

        #[test]
        fn any_text_of_awkward_characters_is_harmless_after_it(text in "[a\u{1b}\\[\u{0}-\u{ff}\u{300}-\u{305}\u{200b}-\u{2070}\r\n\t;0-9m]{0,60}") {
            let lines = printable(&text);
            prop_assert!(lines.chars().all(is_harmless), "{lines:?}");
            prop_assert_eq!(&printable(&lines), &lines);
        }

        #[test]
        fn a_bounded_text_is_never_longer_and_a_short_one_is_kept(text in any::<String>(), max in 0_usize..40) {
            let cut = bounded(&text, max);
            prop_assert!(cut.chars().count() <= max);
            if text.chars().count() <= max {
                prop_assert_eq!(cut, text);
            }
        }
    }
}
