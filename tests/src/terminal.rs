//! What a terminal shows of what a program writes to it: the small part of one that the product makes use of.
//!
//! Reads what was written, as a terminal would: lines that wrap at its width and scroll away, the cursor that goes up and
//! back, erasing, colours. Whatever else there is in the language of terminals is kept as not known: the product should do
//! without it. Not for: running the program ([`crate::product::Cli::on_terminal`]).

use std::fmt;

/// How a character looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Bold.
    pub bold: bool,
    /// Dimmed.
    pub dim: bool,
    /// The number of its colour: 31 red, 32 green, 33 yellow; none for the usual one.
    pub color: Option<u8>,
}

/// A character as it is shown.
pub type Cell = (char, Style);

const BLANK: Cell = (' ', Style { bold: false, dim: false, color: None });

/// A terminal of a fixed size.
#[derive(Debug, Clone)]
pub struct Terminal {
    columns: usize,
    rows: Vec<Vec<Cell>>,
    gone: Vec<Vec<Cell>>,
    at: (usize, usize),
    style: Style,
    wrapped: usize,
    unknown: Vec<String>,
}

impl Terminal {
    /// An empty one.
    #[must_use]
    pub fn new(columns: usize, rows: usize) -> Self {
        Self {
            columns,
            rows: vec![vec![BLANK; columns]; rows],
            gone: Vec::new(),
            at: (0, 0),
            style: Style::default(),
            wrapped: 0,
            unknown: Vec::new(),
        }
    }

    /// Takes what a program wrote.
    pub fn feed(&mut self, text: &str) {
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\r' => self.at.1 = 0,
                '\n' => self.line_feed(),
                '\x1b' if rest.peek() == Some(&'[') => {
                    rest.next();
                    let mut numbers = String::new();
                    let last = loop {
                        match rest.next() {
                            Some(c @ ('0'..='9' | ';' | '?')) => numbers.push(c),
                            other => break other,
                        }
                    };
                    self.control(&numbers, last);
                }
                c if c.is_control() => self.unknown.push(format!("{c:?}")),
                c => self.put(c),
            }
        }
    }

    fn put(&mut self, c: char) {
        if self.at.1 == self.columns {
            self.wrapped += 1;
            self.at.1 = 0;
            self.line_feed();
        }
        self.rows[self.at.0][self.at.1] = (c, self.style);
        self.at.1 += 1;
    }

    fn line_feed(&mut self) {
        if self.at.0 + 1 < self.rows.len() {
            self.at.0 += 1;
        } else {
            self.gone.push(self.rows.remove(0));
            self.rows.push(vec![BLANK; self.columns]);
        }
    }

    fn control(&mut self, numbers: &str, last: Option<char>) {
        let (row, column) = self.at;
        match (last, numbers) {
            (Some('A'), count) => self.at.0 = row.saturating_sub(count.parse().unwrap_or(1)),
            (Some('K'), "" | "0") => self.rows[row][column..].fill(BLANK),
            (Some('J'), "" | "0") => {
                self.rows[row][column..].fill(BLANK);
                self.rows[row + 1..].iter_mut().for_each(|line| line.fill(BLANK));
            }
            (Some('m'), codes) => {
                for code in codes.split(';') {
                    match code {
                        "" | "0" => self.style = Style::default(),
                        "1" => self.style.bold = true,
                        "2" => self.style.dim = true,
                        code if code.len() == 2 && code.starts_with('3') => self.style.color = code.parse().ok(),
                        code => self.unknown.push(format!("colour {code}")),
                    }
                }
            }
            (last, numbers) => self.unknown.push(format!("ESC [ {numbers} {last:?}")),
        }
    }

    /// All lines down to the last that has a character, those that have scrolled away first.
    pub fn lines(&self) -> impl Iterator<Item = &[Cell]> {
        let end = self.rows.iter().rposition(|line| line.iter().any(|cell| cell.0 != ' ')).map_or(0, |last| last + 1);
        self.gone.iter().chain(&self.rows[..end]).map(Vec::as_slice)
    }

    /// How often a line did not fit.
    #[must_use]
    pub fn wrapped(&self) -> usize {
        self.wrapped
    }

    /// What it does not know of what was written.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }
}

/// The text of all lines.
impl fmt::Display for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            let text: String = line.iter().map(|cell| cell.0).collect();
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_wraps_scrolls_is_erased_and_written_over_as_on_a_terminal() {
        let mut terminal = Terminal::new(5, 2);
        terminal.feed("one\r\ntwo\r\nthree and");
        assert_eq!((terminal.to_string().as_str(), terminal.wrapped()), ("one\ntwo\nthree\n and\n", 1));
        terminal.feed("\rgo\x1b[K\x1b[1A\rT\x1b[J");
        assert_eq!(terminal.to_string(), "one\ntwo\nT\n");
    }

    #[test]
    fn colours_are_kept_and_what_is_not_known_is_said() {
        let mut terminal = Terminal::new(9, 2);
        terminal.feed("\x1b[1;31mno\x1b[0m!\x1b[?25l");
        let line = terminal.lines().next().expect("a line").to_vec();
        assert_eq!(line[0], ('n', Style { bold: true, dim: false, color: Some(31) }));
        assert_eq!(line[2], ('!', Style::default()));
        assert_eq!(terminal.unknown().len(), 1, "{:?}", terminal.unknown());
    }
}
