//! The text form of grants, and of a shape's words. Every mistake of a text is told at once, each with its place.
//!
//! Not for: characters ([`super::lex`]), or what a grant means ([`super`]).

use std::iter::Peekable;

use super::lex::{Lexer, Piece, Token};
use super::problem::{Mistakes, Place, Problems};
use super::shape::{Choice, Item, Pattern, Shape, ambiguous};
use super::{Grant, Granted, Grants, Stdin, Verb, is_slot};
use crate::argv;

/// The most words and alternatives of one shape: far more than a person reads, few enough to compare each with each.
const LONGEST: usize = 256;

/// Reads an operator's file.
pub(super) fn grants(text: &str) -> Result<Grants, Problems> {
    let mut mistakes = Mistakes::default();
    let mut entries: Vec<Entry> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut tokens = Vec::new();
        let end = Lexer::new(line, index + 1).read(&mut tokens, &mut mistakes);
        let code = line.get(..end).unwrap_or_default().trim();
        let continues = line.starts_with([' ', '\t']);
        if code.is_empty() {
            continue;
        }
        match entries.last_mut() {
            Some(entry) if continues => {
                entry.tokens.extend(tokens);
                entry.text.push(' ');
                entry.text.push_str(code);
            }
            None if continues => {
                mistakes.add(
                    Place { line: index + 1, column: 1 },
                    "this line continues another (it begins with a blank), but none stands before it",
                );
            }
            _ => entries.push(Entry { line: index + 1, text: code.to_owned(), tokens }),
        }
    }
    let mut artifact: Option<String> = None;
    let mut lines = Vec::new();
    for entry in entries {
        let mut parser = Parser {
            tokens: entry.tokens.into_iter().peekable(),
            mistakes: &mut mistakes,
            end: Place { line: entry.line, column: 1 },
        };
        match parser.entry() {
            Some(Line::Artifact(digest)) => artifact = Some(digest),
            Some(Line::Grant(grant)) => {
                lines.push(Granted { grant, line: entry.line, text: entry.text, artifact: artifact.clone() });
            }
            None => {}
        }
    }
    mistakes.or(Some(Grants { lines }))
}

/// Reads the words of a shape, one text each, as a descriptor holds them.
pub(super) fn shape(words: &[String]) -> Result<Shape, Problems> {
    let mut mistakes = Mistakes::default();
    let mut tokens = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let place = Place { line: index + 1, column: 1 };
        let mut own = Vec::new();
        Lexer::new(word, place.line).read(&mut own, &mut mistakes);
        let whole = match own.as_slice() {
            [(Token::Word(_), _)] => true,
            [(Token::Open, _), middle @ .., (Token::Close, _)] => {
                !middle.iter().any(|(token, _)| matches!(token, Token::Open | Token::Close))
            }
            _ => false,
        };
        if !whole && mistakes.is_empty() {
            mistakes.add(place, "one word or one group must stand here: quote what is meant as it stands");
        }
        tokens.extend(own);
    }
    let end = Place { line: words.len().max(1), column: 1 };
    let shape = Parser { tokens: tokens.into_iter().peekable(), mistakes: &mut mistakes, end }.shape(false);
    mistakes.or(shape)
}

/// One grant with the lines that continue it.
struct Entry {
    line: usize,
    text: String,
    tokens: Vec<(Token, Place)>,
}

enum Line {
    Artifact(String),
    Grant(Grant),
}

struct Parser<'m, T: Iterator<Item = (Token, Place)>> {
    tokens: Peekable<T>,
    mistakes: &'m mut Mistakes,
    /// Where the last token stood, for what is missing at the end.
    end: Place,
}

impl<T: Iterator<Item = (Token, Place)>> Parser<'_, T> {
    fn next(&mut self) -> Option<(Token, Place)> {
        let (token, place) = self.tokens.next()?;
        self.end = place;
        Some((token, place))
    }

    fn fail<R>(&mut self, place: Place, message: impl Into<String>) -> Option<R> {
        self.mistakes.add(place, message);
        None
    }

    fn entry(&mut self) -> Option<Line> {
        let (token, place) = self.next()?;
        match plain(&token) {
            Some("look") => self.grant(Verb::Look).map(Line::Grant),
            Some("change") => self.grant(Verb::Change).map(Line::Grant),
            Some("artifact") => self.artifact().map(Line::Artifact),
            Some(other) => {
                let hint = nearest(other, &["look", "change", "artifact"]);
                self.fail(
                    place,
                    format!("`{other}` is not known here: a line begins with `look`, `change` or `artifact`{hint}"),
                )
            }
            None => self.fail(place, "a line begins with `look`, `change` or `artifact`"),
        }
    }

    fn artifact(&mut self) -> Option<String> {
        const WANTED: &str =
            "after `artifact`, `sha256:` and 64 hexadecimal digits in lower case are wanted, and nothing else";
        let next = self.next();
        let end = self.end;
        let digest = next.as_ref().and_then(|(token, _)| plain(token)).map(str::to_owned);
        let digest = digest.filter(|digest| {
            digest
                .strip_prefix("sha256:")
                .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
        });
        if let Some((_, place)) = self.tokens.next() {
            return self.fail(place, WANTED);
        }
        digest.or_else(|| self.fail(end, WANTED))
    }

    fn grant(&mut self, verb: Verb) -> Option<Grant> {
        let mut root = None;
        let mut env: Option<Vec<String>> = None;
        let mut stdin = None;
        let mut sound = true;
        // The program's name holds no `=`, so whatever does belongs to the grant.
        while let Some((Token::Word(pieces), place)) = self.tokens.peek() {
            let place = *place;
            let Some(Piece::Plain(word)) = pieces.first() else { break };
            let (word, more) = (word.clone(), pieces.len() > 1);
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, value),
                None if word == "root" && !more => ("root", ""),
                None => break,
            };
            self.next();
            if more {
                self.mistakes.add(place, format!("`{name}=` takes plain words only"));
                sound = false;
                continue;
            }
            let again = match name {
                "root" => root.replace(()).is_some(),
                "env" => env.replace(self.names(value, place)).is_some(),
                "stdin" => {
                    let rule = self.stdin(value, place);
                    sound &= rule.is_some();
                    stdin.replace(rule.unwrap_or(Stdin::None)).is_some()
                }
                other => {
                    let hint = nearest(other, &["env", "stdin", "root"]);
                    self.mistakes.add(
                        place,
                        format!(
                            "`{other}=` is not known here: before the program stand `root`, `env=` and `stdin=`{hint}"
                        ),
                    );
                    sound = false;
                    false
                }
            };
            if again {
                self.mistakes.add(place, format!("`{name}` stands twice"));
                sound = false;
            }
        }
        let shape = self.shape(false)?;
        sound.then(|| Grant {
            verb,
            root: root.is_some(),
            env: env.unwrap_or_default(),
            stdin: stdin.unwrap_or_default(),
            shape,
        })
    }

    fn names(&mut self, value: &str, place: Place) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in value.split(',') {
            if let Err(error) = argv::check_env_name(name) {
                self.mistakes.add(place, error.to_string());
            } else if names.iter().any(|known| known == name) {
                self.mistakes.add(place, format!("`{name}` stands twice"));
            } else {
                names.push(name.to_owned());
            }
        }
        names.sort();
        names
    }

    fn stdin(&mut self, value: &str, place: Place) -> Option<Stdin> {
        match value.split_once(':') {
            Some(("secret", slot)) if is_slot(slot) => return Some(Stdin::Secret(slot.to_owned())),
            Some(("secret", _)) => {
                return self
                    .fail(place, "after `stdin=secret:` the name of a slot is wanted: letters, digits, `-` and `_`");
            }
            _ => {}
        }
        match value {
            "none" => Some(Stdin::None),
            "any" => Some(Stdin::Any),
            "output-of" => {
                if !matches!(self.tokens.peek(), Some((Token::Paren, _))) {
                    return self
                        .fail(place, "after `stdin=output-of` a command is wanted: `stdin=output-of(program word …)`");
                }
                self.next();
                let shape = self.shape(true);
                if !matches!(self.tokens.peek(), Some((Token::EndParen, _))) {
                    return self.fail(place, "the command of `stdin=output-of(` is not closed: `)` is wanted");
                }
                self.next();
                shape.map(Stdin::OutputOf)
            }
            other => {
                let word = other.split([':', '(']).next().unwrap_or_default();
                let hint = nearest(word, &["none", "any", "secret", "output-of"]);
                self.fail(place, format!("`stdin={other}` is not known: `none`, `any`, `secret:SLOT` or `output-of(COMMAND)` is wanted{hint}"))
            }
        }
    }

    /// The words of a command, up to the end or a closing parenthesis.
    fn shape(&mut self, nested: bool) -> Option<Shape> {
        let start = self.tokens.peek().map_or(self.end, |(_, place)| *place);
        let mut items = Vec::new();
        let mut sound = true;
        let mut rest: Option<Place> = None;
        while let Some((token, _)) = self.tokens.peek() {
            if nested && *token == Token::EndParen {
                break;
            }
            let Some((token, place)) = self.next() else { break };
            if let Some(rest) = rest.take() {
                self.mistakes.add(rest, "`**` is the rest of the words: nothing can follow it");
                sound = false;
            }
            let item = match token {
                Token::Word(pieces) if pieces == [Piece::Star, Piece::Star] => {
                    rest = Some(place);
                    if nested {
                        self.fail(place, "`**` cannot stand in the command of `stdin=output-of(`: it must be exact")
                    } else if items.is_empty() {
                        self.fail(place, "the program must be written out: no hole can stand in the first word")
                    } else {
                        Some(Item::Rest)
                    }
                }
                Token::Word(pieces) => {
                    let first = items.is_empty() && sound;
                    self.pattern(pieces, place).and_then(|pattern| self.first(first, pattern, place)).map(Item::Word)
                }
                Token::Open => self.group(place).map(Item::Group).and_then(|group| {
                    if items.is_empty() && sound {
                        self.fail(place, "the program must be written out: no group can stand in the first word")
                    } else {
                        Some(group)
                    }
                }),
                Token::Close => self.fail(place, "no group is open here"),
                Token::Bar => self.fail(
                    place,
                    "alternatives of a word stand without blanks, `a|b`; quote a bar that is meant as it stands: '|'",
                ),
                Token::Paren | Token::EndParen => self.fail(place, "a parenthesis must be quoted: '(…)'"),
            };
            match item {
                Some(item) => items.push(item),
                None => sound = false,
            }
        }
        if items.is_empty() && sound {
            return self.fail(start, "a program is missing");
        }
        let size: usize = items.iter().map(Item::size).sum();
        if size > LONGEST {
            return self.fail(start, format!("a command of {size} words and alternatives is longer than {LONGEST}"));
        }
        if let Some((one, two)) = ambiguous(&items).filter(|_| sound) {
            return self.fail(
                start,
                format!("`{one}` and `{two}` could take the same word, so it is not clear which of them does"),
            );
        }
        sound.then_some(Shape { items })
    }

    fn first(&mut self, first: bool, pattern: Pattern, place: Place) -> Option<Pattern> {
        match (first, pattern.choices.as_slice()) {
            (true, [Choice::Exact(program)])
                if pattern.head.is_empty() && argv::check(std::slice::from_ref(program)).is_ok() =>
            {
                Some(pattern)
            }
            (true, _) => self.fail(
                place,
                "the program must be written out as one plain word: no hole, no alternatives, no `=`, no dash in front",
            ),
            (false, _) => Some(pattern),
        }
    }

    fn group(&mut self, open: Place) -> Option<Vec<Pattern>> {
        let mut patterns = Vec::new();
        let mut sound = true;
        let mut wants_word = true;
        loop {
            let Some((token, place)) = self.next() else {
                return self.fail(open, "this group is not closed: `]*` is wanted");
            };
            let message = match token {
                Token::Close if !wants_word => return sound.then_some(patterns),
                Token::Close => {
                    return self.fail(place, "a group holds at least one word, and one after each bar");
                }
                Token::Word(pieces) if wants_word => {
                    wants_word = false;
                    match self.pattern(pieces, place) {
                        Some(pattern) => patterns.push(pattern),
                        None => sound = false,
                    }
                    continue;
                }
                Token::Bar if !wants_word => {
                    wants_word = true;
                    continue;
                }
                Token::Word(_) => "a bar with blanks around it stands between the words of a group: `[a | b]*`",
                Token::Bar => "a word is wanted before this bar",
                Token::Open => "a group cannot stand in a group; quote a bracket that is meant as it stands: '['",
                Token::Paren | Token::EndParen => "a parenthesis must be quoted: '(…)'",
            };
            self.mistakes.add(place, message);
            sound = false;
        }
    }

    fn pattern(&mut self, mut pieces: Vec<Piece>, place: Place) -> Option<Pattern> {
        if pieces == [Piece::Star, Piece::Star] {
            return self.fail(place, "`**` is the rest of the words: it stands last, and in no group");
        }
        let head = take_head(&mut pieces);
        let mut choices = Vec::new();
        let parts: Vec<&[Piece]> = pieces.split(|piece| *piece == Piece::Or).collect();
        let many = parts.len() > 1;
        for part in parts {
            choices.push(self.choice(part, &head, many, place)?);
        }
        Some(Pattern { head, choices })
    }

    fn choice(&mut self, part: &[Piece], head: &str, many: bool, place: Place) -> Option<Choice> {
        if let [Piece::Config(pointer)] = part
            && !many
        {
            return Some(Choice::Config(pointer.clone()));
        }
        let mut texts = vec![String::new()];
        for (at, piece) in part.iter().enumerate() {
            match piece {
                Piece::Plain(text) if many && text.contains('=') => {
                    return self.fail(
                        place,
                        "an alternative with `=` in it must be quoted, or be a word of its own: `[--a=x | --b]*`",
                    );
                }
                Piece::Plain(text) if many && at == 0 && !head.is_empty() && text.starts_with('-') => {
                    return self.fail(place, format!("after `{head}` these are values, not flags: quote it, or write a word of its own: `[--a=x | --b]*`"));
                }
                Piece::Plain(text) | Piece::Quoted(text) => texts.iter_mut().last()?.push_str(text),
                Piece::Star => texts.push(String::new()),
                Piece::Or => {}
                Piece::Config(_) => {
                    return self.fail(place, "`$config/…` is a whole word, or all that follows the `=` of one");
                }
            }
        }
        match texts.as_slice() {
            [exact] if exact.is_empty() && part.is_empty() && (many || head.is_empty()) => {
                self.fail(place, "an alternative is empty; if that is meant, quote it: ''")
            }
            [exact] => Some(Choice::Exact(exact.clone())),
            [before, _] if head.is_empty() && before.starts_with('-') => self
                .fail(place, "a hole cannot stand in a flag's name, or it would let any flag pass: write `--name=*`"),
            [before, after] => Some(Choice::Hole { before: before.clone(), after: after.clone() }),
            _ => self.fail(place, "a word holds one hole at most; quote a star that is meant as it stands: '*'"),
        }
    }
}

impl Item {
    fn size(&self) -> usize {
        match self {
            Self::Word(pattern) => pattern.choices.len(),
            Self::Group(patterns) => patterns.iter().map(|pattern| pattern.choices.len()).sum(),
            Self::Rest => 1,
        }
    }
}

/// Takes off what stands up to and with the first `=` that is not quoted, where nothing but text stands before it.
fn take_head(pieces: &mut Vec<Piece>) -> String {
    let mut head = String::new();
    for at in 0..pieces.len() {
        match &pieces[at] {
            Piece::Quoted(text) => head.push_str(text),
            Piece::Plain(text) => {
                if let Some((name, value)) = text.split_once('=') {
                    head.push_str(name);
                    head.push('=');
                    let value = value.to_owned();
                    pieces.drain(..=at);
                    if !value.is_empty() {
                        pieces.insert(0, Piece::Plain(value));
                    }
                    return head;
                }
                head.push_str(text);
            }
            _ => break,
        }
    }
    String::new()
}

fn plain(token: &Token) -> Option<&str> {
    match token {
        Token::Word(pieces) => match pieces.as_slice() {
            [Piece::Plain(text)] => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// `; did you mean …?`, where a known word is near enough to be a slip of the hand.
fn nearest(word: &str, known: &[&str]) -> String {
    known
        .iter()
        .map(|one| (strsim::osa_distance(word, one), one))
        .filter(|(distance, _)| *distance <= 2)
        .min_by_key(|(distance, _)| *distance)
        .map_or_else(String::new, |(_, one)| format!("; did you mean `{one}`?"))
}
