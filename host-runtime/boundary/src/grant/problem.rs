//! Mistakes of a text: collected, each with its place, and told all at once.
//!
//! Not for: why something is a mistake ([`super::lex`], [`super::parse`]).

use std::fmt;

/// A mistake in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1. In the words of a descriptor: the word, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What was found, what was wanted, what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// All mistakes of a text, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Default)]
pub(super) struct Mistakes(Vec<Problem>);

impl Mistakes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.0.push(Problem { line: place.line, column: place.column, message: message.into() });
    }

    /// The value, where there are no mistakes.
    pub(super) fn or<T>(mut self, value: Option<T>) -> Result<T, Problems> {
        self.0.sort_by_key(|problem| (problem.line, problem.column));
        value.filter(|_| self.0.is_empty()).ok_or(Problems(self.0))
    }
}
