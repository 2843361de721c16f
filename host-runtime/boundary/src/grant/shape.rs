//! A shape: which words a command may have. Matching walks the words once and never goes back.
//!
//! What would make that unsound, two parts of a shape that could both take the same word, is refused when a shape is
//! read. Not for: reading and writing shapes ([`super::parse`]), or who gave them ([`super`]).

use std::fmt;

use crate::{argv, text};

/// The value that the provider's config holds under a JSON Pointer; `None` where it holds none.
pub type Config<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Which words a command may have, the program first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    /// At least one; the first is a [`Item::Word`] that names one program.
    pub(super) items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Item {
    /// One word; none, if it is a value of the config's and the config has none.
    Word(Pattern),
    /// Any of these, each flag at most once, in any order.
    Group(Vec<Pattern>),
    /// All the words that are left.
    Rest,
}

/// What one word may be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Pattern {
    /// What the word begins with, up to and with its `=`; empty where there is none.
    pub(super) head: String,
    /// What may follow, at least one. The config's value stands alone.
    pub(super) choices: Vec<Choice>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Choice {
    Exact(String),
    /// At least one printable ASCII character, no blank, between these two.
    Hole {
        before: String,
        after: String,
    },
    /// The config's value under this JSON Pointer.
    Config(String),
}

/// Where and why words stopped to fit a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The place of the first word that does not fit; the number of words where one is missing.
    pub word: usize,
    pub(super) why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// The word is not what this item wants.
    Unlike(usize),
    /// Words end before this item.
    Missing(usize),
    /// The config's value must stand in this group.
    MissingConfig(String),
    /// The flag stood before.
    Repeated,
    /// The shape ends here.
    Extra,
}

impl Shape {
    /// The shape that covers exactly these words. `None` where a grant cannot say them: a program that is not a plain
    /// word, or anything but printable ASCII.
    #[must_use]
    pub fn exactly(argv: &[String]) -> Option<Self> {
        if argv::check(argv).is_err() || !argv.iter().all(|word| is_printable(word)) {
            return None;
        }
        Some(Self { items: argv.iter().map(|word| Item::Word(Pattern::exactly(word))).collect() })
    }

    /// The program that it is about.
    #[must_use]
    pub fn program(&self) -> &str {
        match self.items.first() {
            Some(Item::Word(Pattern { choices, .. })) => match choices.first() {
                Some(Choice::Exact(program)) => program,
                _ => "",
            },
            _ => "",
        }
    }

    /// Whether it ends in `**`: any words at all.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.items.contains(&Item::Rest)
    }

    /// Whether these words fit.
    ///
    /// # Errors
    /// The first word that does not, and why.
    pub fn admits(&self, argv: &[String], config: Config<'_>) -> Result<(), Misfit> {
        let mut at = 0;
        for (place, item) in self.items.iter().enumerate() {
            match item {
                Item::Word(pattern) => {
                    if pattern.pointer().is_some_and(|pointer| config(pointer).is_none()) {
                        continue;
                    }
                    let word = argv.get(at).ok_or(Misfit { word: at, why: Why::Missing(place) })?;
                    if !pattern.admits(word, config) {
                        return Err(Misfit { word: at, why: Why::Unlike(place) });
                    }
                    at += 1;
                }
                Item::Group(patterns) => at += group(patterns, argv.get(at..).unwrap_or_default(), at, config)?,
                Item::Rest => at = argv.len(),
            }
        }
        if at < argv.len() { Err(Misfit { word: at, why: Why::Extra }) } else { Ok(()) }
    }

    /// What a misfit means, for people: `word 3, `--ssh`, …`.
    pub(super) fn explain(&self, misfit: &Misfit, argv: &[String]) -> String {
        let number = misfit.word + 1;
        let word = argv.get(misfit.word).map(String::as_str).unwrap_or_default();
        let wanted = |place: &usize| self.items.get(*place).map(ToString::to_string).unwrap_or_default();
        match &misfit.why {
            Why::Unlike(place) => format!("word {number}, `{}`, is not `{}`", short(word), short(&wanted(place))),
            Why::Missing(place) => format!("word {number}, `{}`, is missing", short(&wanted(place))),
            Why::MissingConfig(pointer) => {
                format!(
                    "a word with `{}` is missing, and the config has a value for it",
                    Choice::Config(pointer.clone())
                )
            }
            Why::Repeated => format!("word {number}, `{}`, repeats a flag", short(word)),
            Why::Extra => format!("word {number}, `{}`, is not in it", short(word)),
        }
    }
}

/// Takes words while they fit; answers how many.
fn group(patterns: &[Pattern], words: &[String], first: usize, config: Config<'_>) -> Result<usize, Misfit> {
    let mut used = vec![false; patterns.len()];
    let mut taken = 0;
    for word in words {
        let Some(place) = patterns.iter().position(|pattern| pattern.admits(word, config)) else { break };
        if used.get(place) == Some(&true) {
            return Err(Misfit { word: first + taken, why: Why::Repeated });
        }
        for (used, pattern) in used.iter_mut().zip(patterns) {
            *used |= pattern.same_flag(&patterns[place]);
        }
        taken += 1;
    }
    for (used, pattern) in used.iter().zip(patterns) {
        if let Some(pointer) = pattern.pointer()
            && !used
            && config(pointer).is_some()
        {
            return Err(Misfit { word: first + taken, why: Why::MissingConfig(pointer.to_owned()) });
        }
    }
    Ok(taken)
}

impl Pattern {
    pub(super) fn exactly(word: &str) -> Self {
        let (head, value) =
            word.split_once('=').map_or((String::new(), word), |(name, value)| (format!("{name}="), value));
        Self { head, choices: vec![Choice::Exact(value.to_owned())] }
    }

    fn admits(&self, word: &str, config: Config<'_>) -> bool {
        let Some(value) = word.strip_prefix(&self.head) else { return false };
        self.choices.iter().any(|choice| match choice {
            Choice::Exact(exact) => value == exact,
            Choice::Hole { before, after } => value
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(after.as_str()))
                .is_some_and(|held| is_graphic(held) && self.may_begin_so(word)),
            Choice::Config(pointer) => {
                self.may_begin_so(word) && config(pointer).is_some_and(|wanted| is_graphic(&wanted) && value == wanted)
            }
        })
    }

    /// A word without a written beginning must not become a flag.
    fn may_begin_so(&self, word: &str) -> bool {
        !self.head.is_empty() || !word.starts_with('-')
    }

    /// The config's value that it stands for, if it stands for one.
    fn pointer(&self) -> Option<&str> {
        self.choices.iter().find_map(|choice| match choice {
            Choice::Config(pointer) => Some(pointer.as_str()),
            _ => None,
        })
    }

    /// The flag that it gives, with or without a value.
    fn flag(&self) -> Option<&str> {
        match (self.head.strip_suffix('='), self.choices.as_slice()) {
            (Some(name), _) => Some(name),
            (None, [Choice::Exact(word)]) => Some(word),
            _ => None,
        }
    }

    /// Whether it and the other may not both be in one command.
    fn same_flag(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.flag().is_some_and(|flag| other.flag() == Some(flag))
    }

    /// Whether some word could fit both, as far as can be told without a config.
    fn overlaps(&self, other: &Self) -> bool {
        self.choices.iter().any(|mine| {
            other.choices.iter().any(|theirs| match (mine, theirs) {
                (Choice::Exact(exact), _) => other.could_be(theirs, &format!("{}{exact}", self.head)),
                (_, Choice::Exact(exact)) => self.could_be(mine, &format!("{}{exact}", other.head)),
                _ => {
                    let (mine, theirs) = (self.beginning(mine), other.beginning(theirs));
                    let flag = |one: &str, two: &str| one.is_empty() && two.starts_with('-');
                    (mine.starts_with(&theirs) || theirs.starts_with(&mine))
                        && !flag(&mine, &theirs)
                        && !flag(&theirs, &mine)
                }
            })
        })
    }

    fn could_be(&self, choice: &Choice, word: &str) -> bool {
        match choice {
            Choice::Config(_) => word.starts_with(&self.head) && self.may_begin_so(word),
            choice => Self { head: self.head.clone(), choices: vec![choice.clone()] }.admits(word, &|_| None),
        }
    }

    /// What every word of this choice begins with.
    fn beginning(&self, choice: &Choice) -> String {
        let written = match choice {
            Choice::Exact(text) => text,
            Choice::Hole { before, .. } => before,
            Choice::Config(_) => "",
        };
        format!("{}{written}", self.head)
    }
}

/// Two parts of a shape that could both take one word, if there are such.
pub(super) fn ambiguous(items: &[Item]) -> Option<(String, String)> {
    for (place, item) in items.iter().enumerate() {
        let Item::Group(patterns) = item else { continue };
        let pairs =
            patterns.iter().enumerate().flat_map(|(at, one)| patterns.iter().skip(at + 1).map(move |two| (one, two)));
        for (one, two) in pairs {
            if !one.same_flag(two) && one.overlaps(two) {
                return Some((one.to_string(), two.to_string()));
            }
        }
        for later in items.iter().skip(place + 1) {
            let taken = match later {
                Item::Word(pattern) => std::slice::from_ref(pattern),
                Item::Group(patterns) => patterns.as_slice(),
                Item::Rest => return Some((item.to_string(), later.to_string())),
            };
            for one in patterns {
                if let Some(two) = taken.iter().find(|two| one.overlaps(two)) {
                    return Some((one.to_string(), two.to_string()));
                }
            }
            if matches!(later, Item::Word(pattern) if pattern.pointer().is_none()) {
                break;
            }
        }
    }
    None
}

/// Whether a word is printable ASCII, blanks included: all that a command's words may hold. Look-alikes of other
/// alphabets, marks that turn the direction of text, and line ends would make a word read as another.
pub(super) fn is_printable(word: &str) -> bool {
    word.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

fn is_graphic(held: &str) -> bool {
    !held.is_empty() && held.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Words as a message can hold them.
pub(super) fn short(words: &str) -> String {
    text::bounded(&text::one_line(words), 120)
}

/// On one line; in the alternate form (`{:#}`) a long group stands on lines of its own, each a continuation.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, item) in self.items.iter().enumerate() {
            let broken = f.alternate() && item.is_long();
            if place > 0 {
                f.write_str(if broken { "\n    " } else { " " })?;
            }
            match item {
                // Else it would be read as the word of the grant.
                Item::Word(_) if place == 0 && self.program() == "root" => f.write_str("'root'")?,
                Item::Group(patterns) if broken => {
                    for (place, pattern) in patterns.iter().enumerate() {
                        f.write_str(if place == 0 { "[ " } else { "\n    | " })?;
                        pattern.fmt(f)?;
                    }
                    f.write_str("\n    ]*")?;
                }
                item => item.fmt(f)?,
            }
        }
        Ok(())
    }
}

impl Item {
    fn is_long(&self) -> bool {
        matches!(self, Self::Group(patterns) if patterns.len() > 3)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(pattern) => pattern.fmt(f),
            Self::Rest => f.write_str("**"),
            Self::Group(patterns) => {
                for (place, pattern) in patterns.iter().enumerate() {
                    f.write_str(if place == 0 { "[" } else { " | " })?;
                    pattern.fmt(f)?;
                }
                f.write_str("]*")
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.head.strip_suffix('=') {
            quoted(f, name, name.contains('='))?;
            f.write_str("=")?;
        }
        let many = self.choices.len() > 1;
        for (place, choice) in self.choices.iter().enumerate() {
            if place > 0 {
                f.write_str("|")?;
            }
            let must = |text: &str| {
                text.contains('=') && (many || self.head.is_empty())
                    || text.starts_with('-') && many && !self.head.is_empty()
            };
            match choice {
                Choice::Exact(text) if text.is_empty() && (many || self.head.is_empty()) => f.write_str("''")?,
                Choice::Exact(text) => quoted(f, text, must(text))?,
                Choice::Hole { before, after } => {
                    quoted(f, before, must(before))?;
                    f.write_str("*")?;
                    quoted(f, after, must(after))?;
                }
                Choice::Config(_) => choice.fmt(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Hole { before, after } => write!(f, "{before}*{after}"),
            Self::Config(pointer) => write!(f, "$config{pointer}"),
        }
    }
}

/// Writes text so that it is read as it stands.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str, must: bool) -> fmt::Result {
    if !must && !text.starts_with('#') && !text.bytes().any(|byte| super::lex::SPECIAL.contains(&byte)) {
        return f.write_str(text);
    }
    // A piece that holds one kind of quote stands in the other.
    for (place, piece) in text.split('\'').enumerate() {
        if place > 0 {
            f.write_str("\"'\"")?;
        }
        if !piece.is_empty() {
            write!(f, "'{piece}'")?;
        }
    }
    Ok(())
}
