//! Tests that hold the documents to the command line: what they tell people to type is taken, and what can be typed is told.
//! Not for: what a command then does.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use clap::error::ErrorKind;

use crate::args;

/// Where people read what to type. `docs/cli.md` is the whole of it.
const DOCUMENTS: [&str; 9] = [
    "README.md",
    "docs/architecture.md",
    "docs/cli.md",
    "docs/config.md",
    "docs/embedding.md",
    "docs/lab.md",
    "docs/providers.md",
    "docs/threat-model.md",
    "examples/stagecraft.yml",
];

fn text(document: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(document);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// What stands between back-quotes, outside of blocks of code.
fn quoted(text: &str) -> Vec<String> {
    let outside: Vec<&str> = text.split("```").step_by(2).collect();
    outside.iter().flat_map(|part| part.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Every command line of the program in a document: lines of blocks of code, and what is quoted in a sentence.
fn commands(text: &str) -> Vec<String> {
    const NAME: &str = "stagecraft-net ";
    let lines =
        text.lines().filter_map(|line| line.trim_start_matches(['$', '#', ' ']).strip_prefix(NAME)).map(str::to_owned);
    let spoken = quoted(text).into_iter().filter_map(|words| {
        let words = words.replace('\n', " ");
        let line = words.strip_prefix(NAME).unwrap_or(&words);
        let (first, rest) = line.split_once(' ')?;
        let subcommand =
            ["plan", "up", "leave", "status", "fqdn", "trust", "doctor", "init", "provider"].contains(&first);
        // The name of a command and no more, or a beginning, is no command line.
        if matches!(line, "provider inspect" | "provider list") || line.ends_with(" …") {
            return None;
        }
        // `export NAME` is the shell's, unless it says so.
        (words.starts_with(NAME) || subcommand || first == "export" && rest.starts_with("--")).then(|| line.to_owned())
    });
    // Behind a `=` stands a dependency of that name.
    lines.chain(spoken).filter(|line| !line.starts_with('=')).collect()
}

/// The words of a line as somebody would type it: without what is told of it, and with something in every place that a
/// document leaves open.
fn typed(line: &str) -> Vec<String> {
    let line = line.split("  ").next().unwrap_or_default();
    let line = line.split([';', '>']).next().unwrap_or_default().split(" # ").next().unwrap_or_default();
    let line = line.split(" | ").next().unwrap_or_default();
    line.split_whitespace()
        .filter(|word| !matches!(*word, "…" | "[HOST…]"))
        .map(|word| match word.trim_matches('\'') {
            "HOST…" | "HOST" | "@hosts" => "app-1".to_owned(),
            "DIGEST" => format!("sha256:{:064}", 0),
            "F" => "json".to_owned(),
            "ID" => "demo".to_owned(),
            word => word.to_owned(),
        })
        .collect()
}

#[test]
fn every_command_line_of_the_documents_is_one() {
    let mut told = 0;
    for document in DOCUMENTS {
        for line in commands(&text(document)) {
            let words = ["stagecraft-net".to_owned()].into_iter().chain(typed(&line));
            match args::parse(words.map(OsString::from)) {
                Ok(_) => told += 1,
                Err(help) if matches!(help.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {}
                Err(error) => panic!("{document} says `{line}`, and the command line says:\n{error}"),
            }
        }
    }
    assert!(told > 30, "{told} command lines: they are written in another way now, and this test judges none");
}

#[test]
fn every_option_is_told_on_the_page_about_the_command_line_and_the_documents_tell_of_no_other() {
    let command = args::command();
    let options: BTreeSet<String> = std::iter::once(&command)
        .chain(command.get_subcommands())
        .flat_map(|command| command.get_arguments().filter_map(|option| Some(format!("--{}", option.get_long()?))))
        .collect();
    let page = text("docs/cli.md");
    let words: BTreeSet<&str> = page.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).collect();
    let untold: Vec<_> = options.iter().filter(|option| !words.contains(option.as_str())).collect();
    assert!(untold.is_empty(), "docs/cli.md does not tell of {untold:?}");

    for document in DOCUMENTS.iter().filter(|document| **document != "docs/providers.md") {
        for words in quoted(&text(document)).iter().filter(|words| words.starts_with("--")) {
            let option = words.split([' ', '=', '\n']).next().unwrap_or_default();
            assert!(
                options.contains(option) || option == "--env-file",
                "{document} tells of `{words}`: there is no {option}"
            );
        }
    }
}
