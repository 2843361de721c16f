//! What is wrong with a file, or worth a look: with its code, its JSON Pointer, and its line and column.
//!
//! Not for: how a host fails; that is [`crate::failure`].

use std::path::{Path, PathBuf};

use boundary::text::{one_line, printable};
use serde::Serialize;

use crate::contract::Severity;

/// What says everything where there is no file.
pub(super) const COMMAND_LINE: &str = "the command line";

/// Where something stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

impl Place {
    /// The beginning of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One finding about a file, or what the command line says instead. Never holds a value that stands under
/// `network.providers`: a secret may stand there by mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// How grave. An error keeps the file from being used.
    pub severity: Severity,
    /// Stable, kebab-case.
    pub code: String,
    /// One line.
    pub summary: String,
    /// What was found, what was wanted, what to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// JSON Pointer (RFC 6901) into the file; empty for all of it.
    pub pointer: String,
    /// Where it stands; none when the file could not be read, and for what does not stand in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The option of the command line that said it, where the file did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
}

impl Finding {
    pub(super) fn error(
        code: &str,
        pointer: &str,
        place: impl Into<Option<Place>>,
        summary: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            code: code.to_owned(),
            // Names and values from the file stand in it.
            summary: one_line(summary.into()),
            detail: None,
            pointer: one_line(pointer),
            place: place.into(),
            option: None,
        }
    }

    pub(super) fn warning(
        code: &str,
        pointer: &str,
        place: impl Into<Option<Place>>,
        summary: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, pointer, place, summary) }
    }

    pub(super) fn note(code: &str, pointer: &str, place: impl Into<Option<Place>>, summary: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(code, pointer, place, summary) }
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(printable(detail.into()));
        self
    }

    /// The option that said it, where one did.
    pub(super) fn behind(mut self, option: Option<&str>) -> Self {
        self.option = option.map(one_line);
        self
    }

    /// In the order of the file; what has no place comes first.
    pub(super) fn order(&self, other: &Self) -> std::cmp::Ordering {
        (self.place, &self.pointer, &self.code, &self.option).cmp(&(
            other.place,
            &other.pointer,
            &other.code,
            &other.option,
        ))
    }

    /// Who said it, for people: an option, or `stagecraft.yml:21:23`. `file` is the project's, where there is one.
    #[must_use]
    pub fn whence(&self, file: Option<&str>) -> String {
        match (&self.option, file, self.place) {
            (Some(option), ..) => option.clone(),
            (None, Some(file), Some(place)) => format!("{file}:{place}"),
            (None, Some(file), None) => file.to_owned(),
            (None, None, _) => COMMAND_LINE.to_owned(),
        }
    }
}

/// A file that cannot be used, with everything that is wrong with it, in the order of the file (F8).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", subject(file.as_deref()), summary(findings))]
pub struct Invalid {
    /// The file; none where the command line says everything.
    pub file: Option<PathBuf>,
    /// At least one of them is an error.
    pub findings: Vec<Finding>,
}

impl Invalid {
    pub(super) fn one(file: &Path, finding: Finding) -> Self {
        Self { file: Some(file.to_owned()), findings: vec![finding] }
    }
}

fn subject(file: Option<&Path>) -> String {
    file.map_or_else(|| COMMAND_LINE.to_owned(), |file| file.display().to_string())
}

fn summary(findings: &[Finding]) -> String {
    let errors: Vec<&str> =
        findings.iter().filter(|one| one.severity == Severity::Error).map(|one| one.summary.as_str()).collect();
    errors.join("; ")
}

/// One more word of a JSON Pointer.
pub(super) fn child(pointer: &str, word: &str) -> String {
    format!("{pointer}/{}", word.replace('~', "~0").replace('/', "~1"))
}

/// The known word that was probably meant, if one is near enough to be a slip of the hand.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|one| (strsim::osa_distance(&squeezed(word), &squeezed(one)), one))
        .filter(|(distance, one)| *distance <= 1 + one.chars().count() / 6)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, one)| one)
}

/// `known_hosts_file`, `known-hosts-file` and `knownHostsFile` are one word here.
fn squeezed(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_a_slip_of_the_hand_away_and_not_a_guess() {
        let known = ["provider", "providers", "knownHostsFile", "user", "port"];
        assert_eq!(nearest("provders", known), Some("providers"));
        assert_eq!(nearest("known_hosts_file", known), Some("knownHostsFile"));
        assert_eq!(nearest("sure", known), None);
        assert_eq!(nearest("prot", known), Some("port"));
        assert_eq!(nearest("color", known), None);
    }

    #[test]
    fn a_pointer_escapes_what_rfc_6901_says() {
        assert_eq!(child("/a", "b/c~d"), "/a/b~1c~0d");
    }
}
