//! A line of grants, character by character: words with their quotes resolved, and the signs of the grammar.
//!
//! Not for: what stands where ([`super::parse`]).

use std::iter::Peekable;
use std::str::Chars;

use super::problem::{Mistakes, Place};

/// Characters that mean something outside quotes.
pub(super) const SPECIAL: &[u8] = b" *|[]()$'\"";
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(Vec<Piece>),
    /// `[`
    Open,
    /// `]*`
    Close,
    /// `|` with a blank beside it.
    Bar,
    /// `(`
    Paren,
    /// `)`
    EndParen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Plain(String),
    Quoted(String),
    Star,
    /// `|` inside a word.
    Or,
    /// `$config` and this pointer.
    Config(String),
}

/// Reads one line.
pub(super) struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    place: Place,
    /// How many bytes were taken.
    taken: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(line: &'a str, number: usize) -> Self {
        Self { chars: line.chars().peekable(), place: Place { line: number, column: 1 }, taken: 0 }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        self.place.column += 1;
        self.taken += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.chars.peek() == Some(&wanted);
        if found {
            self.next();
        }
        found
    }

    /// Reads a line; answers where its comment begins, or its end.
    pub(super) fn read(mut self, tokens: &mut Vec<(Token, Place)>, mistakes: &mut Mistakes) -> usize {
        while let Some(c) = self.chars.peek().copied() {
            let place = self.place;
            match c {
                ' ' | '\t' | '\r' => {
                    self.next();
                    if c == '\r' && self.chars.peek().is_some() {
                        mistakes.add(place, "a carriage return can only end a line");
                    }
                }
                '#' => return self.taken,
                '[' => {
                    self.next();
                    tokens.push((Token::Open, place));
                }
                ']' => {
                    self.next();
                    if !self.eat('*') {
                        mistakes
                            .add(place, "a group ends with `]*`; quote a bracket that is meant as it stands: '[…]'");
                    }
                    tokens.push((Token::Close, place));
                }
                '(' | ')' => {
                    self.next();
                    tokens.push((if c == '(' { Token::Paren } else { Token::EndParen }, place));
                }
                '|' => {
                    self.next();
                    tokens.push((Token::Bar, place));
                }
                _ => {
                    let word = self.word(mistakes);
                    tokens.push((Token::Word(word), place));
                }
            }
        }
        self.taken
    }

    fn word(&mut self, mistakes: &mut Mistakes) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while let Some(c) = self.chars.peek().copied() {
            let place = self.place;
            match c {
                ' ' | '\t' | '\r' | '[' | ']' | '(' | ')' => break,
                '*' => {
                    self.next();
                    pieces.push(Piece::Star);
                }
                '|' => {
                    // With a blank or a bracket behind it, it stands between two words of a group.
                    let mut ahead = self.chars.clone();
                    ahead.next();
                    if matches!(ahead.next(), None | Some(' ' | '\t' | '\r' | '[' | ']' | '(' | ')')) {
                        break;
                    }
                    self.next();
                    pieces.push(Piece::Or);
                }
                '\'' | '"' => {
                    self.next();
                    pieces.push(Piece::Quoted(self.quoted(c, place, mistakes)));
                }
                '$' => {
                    self.next();
                    pieces.push(self.config(place, mistakes));
                }
                _ => {
                    self.next();
                    if !c.is_ascii_graphic() {
                        mistakes.add(place, not_printable(c));
                    }
                    match pieces.last_mut() {
                        Some(Piece::Plain(text)) => text.push(c),
                        _ => pieces.push(Piece::Plain(c.to_string())),
                    }
                }
            }
        }
        pieces
    }

    fn quoted(&mut self, quote: char, open: Place, mistakes: &mut Mistakes) -> String {
        let mut text = String::new();
        loop {
            let place = self.place;
            match self.next() {
                Some(c) if c == quote => return text,
                Some(c) => {
                    if c != ' ' && !c.is_ascii_graphic() {
                        mistakes.add(place, not_printable(c));
                    }
                    text.push(c);
                }
                None => {
                    mistakes
                        .add(open, format!("this quote is not closed: {quote} is wanted before the end of the line"));
                    return text;
                }
            }
        }
    }

    /// After the `$`: `config/a/b`.
    fn config(&mut self, place: Place, mistakes: &mut Mistakes) -> Piece {
        let mut name = String::new();
        while let Some(c) = self.chars.peek().copied().filter(|c| c.is_ascii_alphanumeric() || "_.~/-".contains(*c)) {
            self.next();
            name.push(c);
        }
        match name.split_once('/') {
            Some(("config", pointer)) if !pointer.is_empty() => return Piece::Config(format!("/{pointer}")),
            Some((other, pointer)) if other != "config" && !pointer.is_empty() => {
                mistakes.add(place, format!("`${other}/` is not known: `$config/{pointer}` is the provider's config"));
            }
            _ => mistakes.add(place, "after `$`, `config/` and a name from the provider's config is wanted; quote a dollar that is meant as it stands: '$'"),
        }
        Piece::Config("/".to_owned())
    }
}

fn not_printable(c: char) -> String {
    format!("only printable ASCII can stand in a grant; found U+{:04X}", u32::from(c))
}
