mod decisions;
mod properties;
mod text;

use std::time::Duration;

use super::*;
use crate::command::{Chunk, Command, Mode};

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn command(words: &[&str]) -> Command {
    Command {
        argv: argv(words),
        env: Vec::new(),
        stdin: Vec::new(),
        as_root: false,
        timeout: Duration::from_secs(1),
        runs: crate::command::Condition::Ok,
        accepted: Vec::new(),
    }
}

fn grant(line: &str) -> Grant {
    let grants = Grants::parse(line).unwrap_or_else(|problems| panic!("{line}\n{problems}"));
    assert_eq!(grants.lines().len(), 1, "{line}");
    grants.lines()[0].grant.clone()
}

/// Rights where everything that is given is also asked for.
fn rights(text: &str) -> Rights {
    let given = Grants::parse(text).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    Rights::new(given.lines().iter().map(|line| line.grant.clone()).collect(), given.lines().to_vec())
}

/// A config with two values.
fn config(pointer: &str) -> Option<String> {
    match pointer {
        "/server" => Some("https://hs.example.com".to_owned()),
        "/deep/er" => Some("-v".to_owned()),
        "/blank" => Some("a b".to_owned()),
        _ => None,
    }
}

fn admits(shape: &str, words: &[&str]) -> bool {
    grant(&format!("look {shape}")).shape.admits(&argv(words), &config).is_ok()
}

fn problems(text: &str) -> Vec<String> {
    Grants::parse(text).expect_err(text).0.iter().map(ToString::to_string).collect()
}

#[test]
fn each_form_of_a_word_takes_what_it_says_and_nothing_else() {
    for (shape, takes, refuses) in [
        (
            "a b",
            &[&["a", "b"][..]][..],
            &[&["a"][..], &["a", "b", "c"], &["a", "B"], &["b", "a"], &["a", " b"], &[]][..],
        ),
        ("a 'b c' \"it's\" ''", &[&["a", "b c", "it's", ""]], &[&["a", "b", "c", "it's", ""], &["a", "b c", "it's"]]),
        ("a '*' '|' '$config/server'", &[&["a", "*", "|", "$config/server"]], &[&["a", "x", "|", "$config/server"]]),
        (
            "a *",
            &[&["a", "b"], &["a", "b-c=d|*"], &["a", "/x"]],
            &[
                &["a", "-b"],
                &["a", "--"],
                &["a", ""],
                &["a"],
                &["a", "b", "c"],
                &["a", "b c"],
                &["a", "b\n"],
                &["a", "b\0"],
            ],
        ),
        (
            "a --n=*",
            &[&["a", "--n=b"], &["a", "--n=-b"], &["a", "--n=a=b"]],
            &[
                &["a", "--n="],
                &["a", "--n"],
                &["a", "--n", "b"],
                &["a", "--nn=b"],
                &["a", "-n=b"],
                &["a", "--n=a b"],
                &["a"],
            ],
        ),
        (
            "a app-*.service",
            &[&["a", "app-1.service"], &["a", "app--.service"]],
            &[&["a", "app-.service"], &["a", "app-1.servic"], &["a", "app.service"], &["a", "xapp-1.service"]],
        ),
        ("a *.service", &[&["a", "b.service"]], &[&["a", "-b.service"], &["a", ".service"]]),
        ("a b|c", &[&["a", "b"], &["a", "c"]], &[&["a", "b|c"], &["a", "b", "c"], &["a", "d"], &["a"]]),
        ("a -4|-6", &[&["a", "-4"], &["a", "-6"]], &[&["a", "-46"], &["a", "-4", "-6"]]),
        (
            "a --r=on|off",
            &[&["a", "--r=on"], &["a", "--r=off"]],
            &[&["a", "off"], &["a", "--r=on|off"], &["a", "--r="]],
        ),
        ("a --t=''|tag:*", &[&["a", "--t="], &["a", "--t=tag:x"]], &[&["a", "--t=x"], &["a", "--t"], &["a"]]),
        ("a --t=", &[&["a", "--t="]], &[&["a", "--t=x"], &["a", "--t"]]),
        (
            "a [--x=* | --y | --z=1|2]*",
            &[&["a"], &["a", "--y"], &["a", "--z=2", "--x=q", "--y"], &["a", "--x=--y"]],
            &[
                &["a", "--y", "--y"],
                &["a", "--x=1", "--x=1"],
                &["a", "--x=1", "--y", "--x=2"],
                &["a", "--z=1", "--z=2"],
                &["a", "--x"],
                &["a", "--w"],
                &["a", "--y", "--w"],
                &["a", ""],
            ],
        ),
        (
            "a [--y | --y=false]*",
            &[&["a", "--y"], &["a", "--y=false"]],
            &[&["a", "--y", "--y=false"], &["a", "--y=false", "--y"]],
        ),
        ("a [-4|-6 | -q]*", &[&["a", "-6", "-q"], &["a", "-q", "-4"]], &[&["a", "-4", "-6"], &["a", "-4", "-4"]]),
        (
            "a [--x]* b [--x]* *",
            &[&["a", "b", "c"], &["a", "--x", "b", "--x", "c"]],
            &[&["a", "--x", "--x", "b", "c"], &["a", "--x", "b"]],
        ),
        ("a [app-*]*", &[&["a", "app-1"]], &[&["a", "app-1", "app-2"]]),
        (
            "a --s=$config/server b",
            &[&["a", "--s=https://hs.example.com", "b"]],
            &[
                &["a", "b"],
                &["a", "--s=https://hs.example.org", "b"],
                &["a", "--s=", "b"],
                &["a", "--s=https://hs.example.com/", "b"],
            ],
        ),
        ("a --s=$config/none b", &[&["a", "b"]], &[&["a", "--s=", "b"], &["a", "--s=x", "b"]]),
        ("a $config/server", &[&["a", "https://hs.example.com"]], &[&["a"], &["a", "$config/server"]]),
        // The operator's own config cannot smuggle a flag, nor more than a word.
        ("a $config/deep/er", &[], &[&["a", "-v"], &["a"]]),
        ("a --s=$config/deep/er", &[&["a", "--s=-v"]], &[&["a", "--s="], &["a"]]),
        ("a --s=$config/blank", &[], &[&["a", "--s=a b"], &["a", "--s=a", "b"]]),
        (
            "a [--s=$config/server | --y]*",
            &[&["a", "--s=https://hs.example.com"], &["a", "--y", "--s=https://hs.example.com"]],
            &[
                &["a"],
                &["a", "--y"],
                &["a", "--s=x"],
                &["a", "--s=https://hs.example.com", "--s=https://hs.example.com"],
            ],
        ),
        ("a [--s=$config/none | --y]*", &[&["a"], &["a", "--y"]], &[&["a", "--s="], &["a", "--s=x"]]),
        ("a b **", &[&["a", "b"], &["a", "b", "-x", "--y=z", "c d"]], &[&["a"], &["a", "c"]]),
    ] {
        for words in takes {
            assert!(admits(shape, words), "{shape} must take {words:?}");
        }
        for words in refuses {
            assert!(!admits(shape, words), "{shape} must refuse {words:?}");
        }
    }
}

#[test]
fn a_hole_takes_printable_ascii_only_so_that_no_word_looks_like_another() {
    for smuggled in [
        "\u{ff0d}-force",
        "\u{2010}x",
        "a\u{202e}b",
        "caf\u{e9}",
        "a\u{200b}",
        "a\nb",
        "a\tb",
        "a\0",
        "a\u{7f}",
        "a\x1b[2J",
    ] {
        assert!(!admits("a *", &["a", smuggled]), "{smuggled:?}");
        assert!(!admits("a --n=*", &["a", &format!("--n={smuggled}")]), "{smuggled:?}");
    }
}

#[test]
fn shapes_that_could_take_one_word_in_two_ways_are_refused() {
    for shape in [
        "a [b | *]*",
        "a [* | *]*",
        "a [b-* | b-c*]*",
        "a [b | b|c]*",
        "a [x]* [y | x]* z",
        "a [x]* $config/server",
        "a [x]* --s=$config/none x",
        "a [--s=$config/server | --s*=x]*",
        "a [*.service]* b.service",
        "a [--x]* **",
    ] {
        assert!(Grants::parse(&format!("look {shape}")).is_err(), "{shape}");
    }
    for shape in [
        "a [-b | --b=*]* *",
        "a [*]* --b=*",
        "a [--x=a | --x=*]*",
        "a [x]* y x",
        "a [x]* y [x]*",
        "a [--a | --a=1]* --b=$config/none c",
    ] {
        assert!(Grants::parse(&format!("look {shape}")).is_ok(), "{shape}");
    }
}
