//! A block of text about one thing that is wrong: a headline, and under it a column of labels.
//!
//! `found`, `wanted`, `means`, `changed`, `do` and `note`, always in this order, so that the eye knows where to look. The
//! detail of a diagnostic brings the labels along, one a line (`wanted: example.net`); a line without one belongs to the
//! label before it.

use std::fmt::Write as _;

use super::advice::SOLID;

/// The labels in their order, and how else they may be spelled in a detail.
const LABELS: [(&str, &str); 7] = [
    ("found", "found"),
    ("wanted", "wanted"),
    ("in", "in"),
    ("means", "means"),
    ("changed", "changed"),
    ("do", "next"),
    ("note", "note"),
];
/// The place of `changed` among them.
const CHANGED: usize = 4;
/// Where the text under a label begins.
const INDENT: usize = 11;

/// How a word is set off on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tint {
    Red,
    Yellow,
    Green,
    Bold,
    Dim,
}

/// Sets a word off, where colours are wanted.
pub(super) fn tint(text: &str, tint: Tint, color: bool) -> String {
    let code = match tint {
        Tint::Red => "1;31",
        Tint::Yellow => "1;33",
        Tint::Green => "32",
        Tint::Bold => "1",
        Tint::Dim => "2",
    };
    if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// A headline and what stands under it.
pub(super) struct Block {
    /// The severity and the code, and how much room they take.
    head: String,
    blank: usize,
    subject: String,
    color: bool,
    /// Unlabelled lines right under it.
    lead: Vec<String>,
    labelled: [Vec<String>; LABELS.len()],
}

impl Block {
    /// A block that begins with `severity[code]  subject`.
    pub(super) fn new(severity: &str, code: &str, subject: &str, color: bool) -> Self {
        let shade = match severity {
            "error" => Tint::Red,
            "warning" => Tint::Yellow,
            _ => Tint::Dim,
        };
        let code = format!("{severity}[{code}]");
        let blank = code.chars().count() + 2;
        let head = format!("{}  ", tint(&code, shade, color));
        Self { head, blank, subject: subject.to_owned(), color, lead: Vec::new(), labelled: Default::default() }
    }

    /// One more line right under the headline.
    pub(super) fn lead(&mut self, line: impl Into<String>) {
        self.lead.push(line.into());
    }

    /// One more line under a label, which is one of ours.
    pub(super) fn line(&mut self, label: &str, line: impl Into<String>) {
        if let Some(place) = LABELS.iter().position(|(own, _)| *own == label) {
            self.labelled[place].push(line.into());
        }
    }

    /// The place of what was wanted: behind the first line that says what, or on a line of its own.
    pub(super) fn place(&mut self, place: &str) {
        match self.labelled[1].first_mut() {
            Some(wanted) => *wanted = format!("{wanted}        {place}"),
            None => self.line("in", place),
        }
    }

    /// Sorts the lines of a detail under their labels, but for what it says was changed: that is not its word alone.
    pub(super) fn detail(&mut self, detail: &str) {
        let mut under = None;
        for line in detail.lines().filter(|line| !line.trim().is_empty()) {
            let labelled = line.split_once(':').and_then(|(word, rest)| {
                let known =
                    |(own, other): &(&str, &str)| word.eq_ignore_ascii_case(own) || word.eq_ignore_ascii_case(other);
                Some((LABELS.iter().position(known)?, rest.trim_start()))
            });
            match (labelled, under) {
                (Some((label, rest)), _) => {
                    under = Some(label);
                    if label != CHANGED {
                        self.labelled[label].push(rest.to_owned());
                    }
                }
                (None, Some(CHANGED)) => {}
                (None, Some(label)) => self.labelled[label].push(line.to_owned()),
                (None, None) => self.lead.push(line.to_owned()),
            }
        }
    }

    /// The text, with long lines broken at blanks where a width is given.
    pub(super) fn render(&self, width: Option<usize>, color: bool) -> String {
        let mut text = self.head.clone();
        // What stands in front of the subject takes room in the first line only.
        let subject = format!("{}{}", SOLID.to_string().repeat(self.blank), self.subject);
        for (index, piece) in wrap(&subject, width.map(|width| width.saturating_sub(4))).into_iter().enumerate() {
            let piece = piece.trim_start_matches(SOLID);
            let _ = write!(text, "{}{}", if index == 0 { "" } else { "\n    " }, tint(piece, Tint::Bold, self.color));
        }
        text + &self.body(width, color)
    }

    /// The same without its headline: lines that each follow a line end.
    pub(super) fn body(&self, width: Option<usize>, color: bool) -> String {
        let mut text = String::new();
        for line in &self.lead {
            for (index, piece) in wrap(line, width.map(|width| width.saturating_sub(4))).into_iter().enumerate() {
                let _ = write!(text, "\n{}{piece}", if index == 0 { "  " } else { "    " });
            }
        }
        for ((label, _), lines) in LABELS.iter().zip(&self.labelled) {
            let mut label = *label;
            for (before, line) in columns(lines) {
                let room = width.map(|width| width.saturating_sub(INDENT + before.chars().count()));
                // Where there is no room for two columns, the second stands under the first.
                let (before, line) = match room {
                    Some(..24) if !before.trim().is_empty() => (String::new(), format!("{before}{line}")),
                    Some(..24) => (String::new(), line.to_owned()),
                    _ => (before, line.to_owned()),
                };
                let room = width.map(|width| width.saturating_sub(INDENT + before.chars().count()));
                let blank = " ".repeat(before.chars().count());
                for (index, piece) in wrap(&line, room).into_iter().enumerate() {
                    let shown = tint(&format!("{label:<7}"), Tint::Dim, color);
                    let shown = if label.is_empty() { "       ".to_owned() } else { shown };
                    let before = if index == 0 { &before } else { &blank };
                    let line = format!("{before}{}", piece.replace(SOLID, " "));
                    let _ = write!(text, "\n  {shown}  {}", line.trim_end());
                    label = "";
                }
            }
        }
        text.push('\n');
        text
    }
}

/// Lines as two columns, where some are `case:  what to do` and those that begin with two blanks go on with the case.
fn columns(lines: &[String]) -> Vec<(String, &str)> {
    let case = |line: &String| line.split_once(":  ").map(|(case, _)| case.chars().count() + 3);
    let width = lines.iter().filter_map(case).max().unwrap_or_default();
    lines
        .iter()
        .map(|line| match line.split_once(":  ") {
            Some((case, rest)) => (format!("{:<width$}", format!("{case}:")), rest.trim_start()),
            None if width > 0 && line.starts_with("  ") => (" ".repeat(width), line.trim_start()),
            None => (String::new(), line.as_str()),
        })
        .collect()
}

/// What a detail says was changed.
pub(super) fn changed(detail: &str) -> Option<&str> {
    detail.lines().find_map(|line| line.strip_prefix("changed: "))
}

/// Breaks a line at blanks. A word that is too long stays whole: it may be a path or a command to copy.
fn wrap(line: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width.map(|width| width.max(24)) else { return vec![line.to_owned()] };
    if line.chars().count() <= width {
        return vec![line.to_owned()];
    }
    let mut pieces = vec![String::new()];
    for word in line.split(' ') {
        let long = pieces
            .last()
            .is_some_and(|piece| !piece.is_empty() && piece.chars().count() + 1 + word.chars().count() > width);
        if long {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            if !piece.is_empty() {
                piece.push(' ');
            }
            piece.push_str(word);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_whatever_order_a_detail_has_them_in_and_other_lines_go_with_them() {
        let mut block = Block::new("error", "network-mismatch", "app-1", false);
        block.lead("host is in another network");
        block.detail("Next: leave it\nor: change the config\nfound: other.net\nWanted: example.net\nnote: x");
        block.line("changed", "nothing");
        block.place("stagecraft.yml:2:3");
        insta::assert_snapshot!(block.render(None, false));
    }

    #[test]
    fn what_to_do_in_which_case_stands_in_two_columns_and_a_command_is_never_broken() {
        let mut block = Block::new("error", "privilege", "app-1", false);
        let detail = "do: now:  {run up --limit @failed --ask-sudo-password}\n  {run status}\nfor good:  a rule for deploy in sudoers";
        block.detail(&crate::report::advice::render(detail, &[], " -e prod"));
        block.line("changed", "nothing");
        insta::assert_snapshot!(
            [block.render(None, false), block.render(Some(40), false), block.render(Some(25), false)].join("\n")
        );
    }

    #[test]
    fn a_detail_without_labels_stands_under_the_headline_and_a_place_without_a_wish_on_its_own() {
        let mut block = Block::new("warning", "x", "stagecraft.yml", false);
        block.detail("some words: with a colon\nmore words");
        block.place("stagecraft.yml:2:3");
        insta::assert_snapshot!(block.render(None, false));
    }

    #[test]
    fn a_narrow_terminal_breaks_lines_at_blanks_and_never_a_word() {
        let mut block = Block::new("error", "x", "app-1", false);
        block.lead("one two three four five six seven eight nine ten");
        block.detail(
            "do: run stagecraft-net leave app-1 --from a-very-long-name-that-does-not-fit.example.net and look",
        );
        let text = block.render(Some(40), false);
        insta::assert_snapshot!(text);
        assert!(text.lines().all(|line| line.chars().count() <= 40 || line.contains("a-very-long-name")));
    }

    #[test]
    fn colours_are_there_only_when_they_are_wanted() {
        let block = Block::new("error", "x", "app-1", true);
        assert_eq!(block.render(None, true), "\x1b[1;31merror[x]\x1b[0m  \x1b[1mapp-1\x1b[0m\n");
    }

    #[test]
    fn many_hosts_in_the_headline_are_broken_between_their_names_and_colours_end_with_the_line() {
        let hosts = "7 hosts: prod-edge-4 · prod-edge-8 · prod-edge-12 · and 4 more";
        let mut block = Block::new("error", "network-mismatch", hosts, false);
        block.lead("host is in another network");
        let wanted =
            "error[network-mismatch]  7 hosts:\n    prod-edge-4 · prod-edge-8 ·\n    prod-edge-12 · and 4 more\n  host";
        let narrow = block.render(Some(40), false);
        assert!(narrow.starts_with(wanted), "{narrow}");
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        assert!(block.render(None, false).starts_with(&format!("error[network-mismatch]  {hosts}\n")));
        let color = Block::new("error", "x", hosts, true).render(Some(40), true);
        assert!(color.lines().all(|line| line.is_empty() || line.ends_with("\x1b[0m")), "{color:?}");
    }
}
