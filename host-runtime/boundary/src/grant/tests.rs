use std::time::Duration;

use proptest::prelude::*;

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
fn a_whole_grant_reads_and_writes_as_one_line() {
    let text = "\
# Everything at once.
change root stdin=secret:join-key env=B,A   # comments go
    netctl up --key=file:/dev/stdin --server=$config/server

    [ --hostname=*   # free text: it's harmless
    | --routes=on|off
    | '--we ird'|'#x=1' ]* 'a|b' \"it's\"
look cat /etc/os-release
";
    let grants = Grants::parse(text).unwrap();
    let [first, second] = grants.lines() else { panic!() };
    assert_eq!((first.line, second.line), (2, 8));
    assert_eq!(
        first.grant.to_string(),
        "change root env=A,B stdin=secret:join-key netctl up --key=file:/dev/stdin --server=$config/server \
         [--hostname=* | --routes=on|off | '--we ird'|'#x=1']* 'a|b' 'it'\"'\"'s'"
    );
    assert_eq!(
        first.text,
        "change root stdin=secret:join-key env=B,A netctl up --key=file:/dev/stdin --server=$config/server [ --hostname=* \
         | --routes=on|off | '--we ird'|'#x=1' ]* 'a|b' \"it's\""
    );
    assert_eq!(grant(&first.grant.to_string()), first.grant);
    assert_eq!(second.text, "look cat /etc/os-release");
    assert_eq!(second.grant.to_string(), second.text);
}

#[test]
fn a_long_group_can_stand_on_lines_of_its_own() {
    let long = grant("change root a [--b=* | --c | --d=x|y | -e]* [--f | --g]* h");
    assert_eq!(
        format!("{long:#}"),
        "change root a\n    [ --b=*\n    | --c\n    | --d=x|y\n    | -e\n    ]* [--f | --g]* h"
    );
    assert_eq!(grant(&format!("{long:#}")), long);
}

#[test]
fn every_mistake_of_a_text_is_told_at_once_with_its_place_and_the_nearest_word() {
    let text = "  look x
lok cat /etc/os-release
change rot=1 env=PATH,A,A,9x,LD_PRELOAD stdin=secrets:k sh
change stdin=any stdin=none root root sh
look
look * x
look a=b
look -x
look 'a b' **  c
look a [ --b
look a ]* [ b | ]* [ | b]* [a [ b c
look a --*  -p* --n=*-*
look a x|=y --n=a|-b $conf/x a$config/x --n=$config/y|z $
look a b||c | (d)
look a 'open
look a caf\u{e9} \u{2010}x
look a [ --b | --b=1 | --c* ]*
look a [ b ]* b
look a [ --b ]* **
artifact sha256:123
change stdin=output-of sh
change stdin=output-of(curl ** sh
change stdin=output-of(curl x | y) sh -s
change stdin=secret:a/b stdin=secret: sh
look a\rb
";
    let found = problems(text);
    insta::assert_snapshot!(found.join("\n"));
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

#[test]
fn a_shape_longer_than_a_person_reads_is_refused_before_it_is_compared() {
    let long = (0..300).map(|n| format!("--f{n}")).collect::<Vec<_>>().join(" | ");
    assert_eq!(
        problems(&format!("look a [{long}]*")),
        ["1:6: a command of 301 words and alternatives is longer than 256"]
    );
}

#[test]
fn the_words_of_a_descriptor_are_read_one_element_a_word() {
    let shape = |words: &[&str]| {
        Shape::parse(&argv(words)).map(|shape| shape.to_string()).map_err(|problems| problems.to_string())
    };
    assert_eq!(shape(&["a", "[--b=* | --c=$config/server]*", "*"]).unwrap(), "a [--b=* | --c=$config/server]* *");
    assert_eq!(shape(&["root", "'a b'", "**"]).unwrap(), "'root' 'a b' **");
    assert_eq!(
        shape(&["a", "b c"]).unwrap_err(),
        "2:1: one word or one group must stand here: quote what is meant as it stands"
    );
    assert_eq!(
        shape(&["a", ""]).unwrap_err(),
        "2:1: one word or one group must stand here: quote what is meant as it stands"
    );
    assert_eq!(
        shape(&["a", "#b"]).unwrap_err(),
        "2:1: one word or one group must stand here: quote what is meant as it stands"
    );
    assert_eq!(
        shape(&["a", "[b", "c]*"]).unwrap_err().lines().next().unwrap(),
        "2:1: one word or one group must stand here: quote what is meant as it stands"
    );
    assert!(shape(&["*"]).is_err());
    assert!(shape(&[]).is_err());
}

fn decide(text: &str, mode: Mode, commands: &[Command]) -> String {
    match rights(text).decide(mode, commands, &config) {
        Ok(verbs) => verbs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Err(denial) => {
            let line = denial.grant.as_ref().map_or_else(|| "no line".to_owned(), |grant| grant.to_string());
            format!("{}: {} -> {line}", denial.command, denial.refusal)
        }
    }
}

fn with(words: &[&str], change: impl FnOnce(&mut Command)) -> Command {
    let mut command = command(words);
    change(&mut command);
    command
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_probe_needs_look_and_a_run_takes_both() {
    assert_eq!(decide("look a", Mode::Probe, &[command(&["a"])]), "look");
    assert_eq!(decide("look a", Mode::Run, &[command(&["a"])]), "look");
    assert_eq!(decide("change a", Mode::Run, &[command(&["a"])]), "change");
    assert_eq!(decide("change a *\nlook a b", Mode::Run, &[command(&["a", "b"]), command(&["a", "c"])]), "look change");
    let given = Grants::parse("change a").unwrap().lines().to_vec();
    let denial =
        Rights::new(vec![grant("look a")], given).decide(Mode::Probe, &[command(&["a"])], &config).unwrap_err();
    assert_eq!(
        denial.refusal.to_string(),
        "no grant allows it; the nearest is line 1, `change a`: it changes the machine, and this only looks"
    );
    assert_eq!(denial.grant.unwrap().to_string(), "look a");
}

#[test]
fn root_is_given_by_name_and_includes_the_login_user() {
    let root = with(&["a"], |command| command.as_root = true);
    assert_eq!(decide("look root a", Mode::Run, &[root.clone(), command(&["a"])]), "look look");
    let given = Grants::parse("look a").unwrap().lines().to_vec();
    let denial = Rights::new(vec![grant("look root a")], given).decide(Mode::Run, &[root], &config).unwrap_err();
    assert_eq!(denial.to_string(), "`a`: no grant allows it; the nearest is line 1, `look a`: root may not run it");
    assert_eq!(denial.grant.unwrap().to_string(), "change root a");
}

#[test]
fn only_named_variables_pass_and_some_never_do() {
    let given = |pairs: &[(&str, &str)]| with(&["a"], |command| command.env = env(pairs));
    assert_eq!(decide("look env=A,B a", Mode::Run, &[given(&[("B", "x y"), ("A", "")])]), "look");
    assert!(
        decide("look env=A a", Mode::Run, &[given(&[("A", ""), ("B", "")])]).contains("the variable `B` is not in it")
    );
    for (pairs, why) in [
        (&[("PATH", "/x")][..], "the environment variable PATH is never set for a command: it changes which code runs"),
        (&[("IFS", "x")], "the environment variable IFS is never set for a command: it changes which code runs"),
        (&[("ENV", "x")], "the environment variable ENV is never set for a command: it changes which code runs"),
        (
            &[("BASH_ENV", "x")],
            "the environment variable BASH_ENV is never set for a command: it changes which code runs",
        ),
        (
            &[("BASH_FUNC_x%%", "x")],
            "`BASH_FUNC_x%%` is no name for an environment variable: a letter or `_`, then letters, digits and `_`",
        ),
        (
            &[("LD_PRELOAD", "x")],
            "the environment variable LD_PRELOAD is never set for a command: it changes which code runs",
        ),
        (&[("", "x")], "`` is no name for an environment variable: a letter or `_`, then letters, digits and `_`"),
        (
            &[("A=B", "x")],
            "`A=B` is no name for an environment variable: a letter or `_`, then letters, digits and `_`",
        ),
        (&[("A", "x"), ("A", "y")], "the variable `A` is given twice"),
        (&[("A", "x\ny")], "the value of the variable `A` holds more than printable ASCII"),
    ] {
        assert_eq!(decide("look env=A a", Mode::Run, &[given(pairs)]), format!("0: {why} -> no line"));
    }
}

#[test]
fn standard_input_follows_its_rule_and_a_secret_goes_only_where_its_slot_is_named() {
    use Chunk::{Bytes, Secret, StdoutOf};
    let bytes = || Bytes(b"x".to_vec());
    let secret = |slot: &str| Secret(slot.to_owned());
    let rules = ["none", "any", "secret:k", "output-of(curl u)"];
    for (stdin, allowed) in [
        (vec![], [true, true, true, true]),
        (vec![bytes()], [false, true, true, false]),
        (vec![Bytes(vec![])], [false, true, true, false]),
        (vec![secret("k")], [false, false, true, false]),
        (vec![bytes(), secret("k"), bytes()], [false, false, true, false]),
        (vec![secret("other")], [false, false, false, false]),
        (vec![secret("k"), secret("other")], [false, false, false, false]),
        (vec![StdoutOf(0)], [false, true, false, true]),
        (vec![StdoutOf(1)], [false, true, false, false]),
        (vec![bytes(), StdoutOf(0)], [false, true, false, false]),
        (vec![StdoutOf(0), StdoutOf(0)], [false, true, false, false]),
        (vec![StdoutOf(0), secret("k")], [false, false, false, false]),
    ] {
        for (rule, allowed) in rules.iter().zip(allowed) {
            let text = format!("look curl *\nchange root stdin={rule} sh -s");
            let batch = [
                command(&["curl", "u"]),
                command(&["curl", "v"]),
                with(&["sh", "-s"], |command| command.stdin = stdin.clone()),
            ];
            let told = decide(&text, Mode::Run, &batch);
            assert_eq!(told == "look look change", allowed, "{stdin:?} with {rule}: {told}");
        }
    }
}

#[test]
fn the_output_that_root_will_run_comes_from_a_command_that_succeeded_and_stood_before() {
    let reads = |source| with(&["sh", "-s"], |command| command.stdin = vec![Chunk::StdoutOf(source)]);
    let text = "look curl u\nchange stdin=output-of(curl u) sh -s";
    let lenient = with(&["curl", "u"], |command| command.accepted = vec![0, 18]);
    let strict = with(&["curl", "u"], |command| command.accepted = vec![0]);
    assert_eq!(decide(text, Mode::Run, &[strict, reads(0)]), "look change");
    let told = decide(text, Mode::Run, &[lenient, reads(0)]);
    assert!(told.contains("the command whose output it reads may be accepted with status 0 only -> no line"), "{told}");
    for source in [0, 1, u32::MAX] {
        assert_eq!(
            decide(text, Mode::Run, &[reads(source), command(&["curl", "u"])]),
            "0: its standard input names a command that does not stand before it -> no line"
        );
    }
    assert_eq!(
        decide("look curl u\nlook stdin=any sh -s", Mode::Probe, &[command(&["curl", "u"]), reads(0)]),
        "1: a probe has neither secrets nor the output of another command on its standard input -> no line"
    );
    let secret = with(&["a"], |command| command.stdin = vec![Chunk::Secret("k".to_owned())]);
    assert_eq!(
        decide("look stdin=secret:k a", Mode::Probe, &[secret]),
        "0: a probe has neither secrets nor the output of another command on its standard input -> no line"
    );
}

#[test]
fn words_that_no_command_may_have_are_refused_whatever_was_given() {
    for (words, why) in [
        (&[][..], "a command has at least one word, the program"),
        (&[""], "the first word of a command is a program; it is empty"),
        (&["-x"], "the first word of a command is a program; `-x` begins with `-`, so it would be read as an option"),
        (
            &["A=b", "sh"],
            "the first word of a command is a program; `A=b` holds `=`, so it would be read as an assignment",
        ),
        (&["a", "b\0"], "word 2 holds more than printable ASCII"),
        (&["a", "x", "b\nc"], "word 3 holds more than printable ASCII"),
        (&["\u{430}"], "word 1 holds more than printable ASCII"),
    ] {
        assert_eq!(decide("change root stdin=any a **", Mode::Run, &[command(words)]), format!("0: {why} -> no line"));
    }
}

#[test]
fn a_right_is_what_was_asked_for_and_given_each_whole() {
    let rights = |asked: &str, given: &str| {
        let lines = |text| Grants::parse(text).unwrap().lines().to_vec();
        Rights::new(lines(asked).into_iter().map(|line| line.grant).collect(), lines(given))
    };
    let decide = |asked, given, command: Command| match rights(asked, given).decide(Mode::Run, &[command], &config) {
        Ok(_) => "passes".to_owned(),
        Err(denial) => denial.refusal.to_string(),
    };
    assert_eq!(decide("look a *", "look a b|c", command(&["a", "b"])), "passes");
    assert!(
        decide("look a *", "look a b|c", command(&["a", "d"]))
            .starts_with("no grant allows it; the nearest is line 1, `look a b|c`: word 2, `d`, is not `b|c`")
    );
    assert!(
        decide("look a b", "look a **", command(&["a", "d"]))
            .starts_with("the provider's own description asks for no such command; the nearest is `look a b`")
    );
    assert!(decide("", "look a **", command(&["a"])).ends_with("asks for no such command"));
    assert!(decide("look a", "", command(&["a"])).ends_with("no grant allows it"));
    assert!(decide("look a", "look b", command(&["a"])).ends_with("no grant allows it"), "another program is not near");
    // Two grants that each allow a part do not add up to one that allows both.
    let both = with(&["a"], |command| {
        command.as_root = true;
        command.env = env(&[("A", "1")]);
    });
    assert_eq!(
        decide("look root env=A a", "look root a\nlook env=A a", both.clone()),
        "no grant allows it; the nearest is line 1, `look root a`: the variable `A` is not in it"
    );
    assert_eq!(decide("look root env=A a", "look root a\nlook root env=A a", both), "passes");
    // What the provider itself calls a change is never probed.
    let probe = self::rights("look a").decide(Mode::Probe, &[command(&["a"])], &config);
    assert!(probe.is_ok());
    let denial = rights("change a", "look a").decide(Mode::Probe, &[command(&["a"])], &config).unwrap_err();
    assert!(matches!(denial.refusal, Refusal::NotAsked(_)) && denial.grant.is_none());
}

#[test]
fn a_denial_names_the_command_by_its_place_and_the_nearest_grant_by_its_line() {
    let rights = Rights::new(
        vec![grant("change root stdin=any netctl **")],
        Grants::parse("look a\nchange root netctl up --n=*\nchange root netctl down --force").unwrap().lines().to_vec(),
    );
    let commands = [with(&["netctl", "up", "--n=x"], |_| ()), command(&["netctl", "down", "it's | now"])];
    let denial = rights.decide(Mode::Run, &commands, &config).unwrap_err();
    assert_eq!(denial.command, 1);
    assert_eq!(
        denial.to_string(),
        "`netctl down it's | now`: no grant allows it; the nearest is line 3, `change root netctl down --force`: \
         word 3, `it's | now`, is not `--force`"
    );
    assert_eq!(denial.grant.unwrap().to_string(), "change netctl down 'it'\"'\"'s | now'");
}

#[test]
fn a_slot_that_no_line_can_name_gets_no_line() {
    let odd = Stdin::Secret("not a slot".to_owned());
    let rights = Rights::new(vec![Grant { stdin: odd, ..grant("change a") }], Vec::new());
    let join = with(&["a"], |command| command.stdin = vec![Chunk::Secret("not a slot".to_owned())]);
    let denial = rights.decide(Mode::Run, &[join], &config).unwrap_err();
    assert!(matches!(denial.refusal, Refusal::NotGranted(None)) && denial.grant.is_none());
}

#[test]
fn grants_of_one_artifact_are_given_to_no_other() {
    let one = format!("sha256:{}", "1".repeat(64));
    let two = format!("sha256:{}", "2".repeat(64));
    let text = format!("look a\nartifact {one}\nlook b\nlook c\nartifact {two}\nlook d\nartifact {one}\nlook e\n");
    let grants = Grants::parse(&text).unwrap();
    let programs = |digest: &str| {
        grants.given_to(digest).iter().map(|line| line.grant.shape.program().to_owned()).collect::<String>()
    };
    assert_eq!(programs(&one), "bce");
    assert_eq!(programs(&two), "d");
    assert_eq!(programs("sha256:0"), "");
}

#[test]
fn only_shapes_that_are_known_to_read_are_harmless_and_all_else_reads_treat_it_as_root() {
    for harmless in [
        "look cat /etc/os-release",
        "look uname -s",
        "look root true",
        "look true",
        "look systemctl show a.service --no-pager -p LoadState,ActiveState",
        "look systemctl is-active a.service",
        "look env=LANG id -u",
    ] {
        assert_eq!(risk(&grant(harmless)), Risk::Harmless, "{harmless}");
    }
    for (line, reasons) in [
        ("look cat /etc/shadow", "what `cat` does with these words is not known here"),
        ("look cat /etc/os-release /etc/shadow", "what `cat` does with these words is not known here"),
        ("look cat", "what `cat` does with these words is not known here"),
        ("look cat *", "the provider chooses what stands in `*`"),
        ("look uname -s -x", "what `uname` does with these words is not known here"),
        ("look systemctl show -H x", "what `systemctl` does with these words is not known here"),
        ("look systemctl show a -p", "what `systemctl` does with these words is not known here"),
        ("look systemctl is-active -H", "what `systemctl` does with these words is not known here"),
        ("look root cat /etc/os-release", "root runs it"),
        ("change cat /etc/os-release", "it changes the machine"),
        ("look env=LD_X_NOT,LANG uname", ""),
        ("look env=PYTHONPATH,LANG uname", "it is given PYTHONPATH, which may change what runs"),
        ("look stdin=any cat /etc/os-release", "any bytes may stand on its standard input"),
        ("look systemctl show **", "`**` lets any words pass"),
        ("look /usr/bin/env", "`/usr/bin/env` runs what it is told to run"),
        (
            "change root stdin=output-of(curl u) sh -s",
            "`sh` runs what it is told to run; root runs it; it changes the machine; it reads whatever `curl u` brings",
        ),
        (
            "change root stdin=secret:k netctl up --n=* [--m=a*]*",
            "root runs it; it changes the machine; it is handed the secret `k`; the provider chooses what stands in `--n=*`, `--m=a*`",
        ),
    ] {
        if line.contains("LD_") {
            assert!(Grants::parse(line).is_err());
            continue;
        }
        let Risk::TreatAsRoot(found) = risk(&grant(line)) else { panic!("{line} is not harmless") };
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "), reasons, "{line}");
    }
}

#[test]
fn a_long_batch_against_long_rights_is_decided_at_once() {
    // What a matcher that goes back would take hours for.
    let group = (0..120).map(|n| format!("--f{n}=*a*a").replace("*a*a", "*")).collect::<Vec<_>>().join(" | ");
    let text = format!("look a [{group}]* b\n").repeat(20);
    let mut words = vec!["a".to_owned()];
    words.extend((0..120).rev().map(|n| format!("--f{n}={}", "a".repeat(200))));
    let long = Command { argv: words, ..command(&["a"]) };
    let started = std::time::Instant::now();
    let denial = rights(&text).decide(Mode::Run, &vec![long; 20], &config).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(denial.refusal.to_string().contains("word 122, `b`, is missing"), "{}", denial.refusal);
}

/// Words that come near the grammar's own signs.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec!["a", "b", "--a", "--b", "--a=", "--b=x", "-4", "", "*", "**", "|", "root", "x=y"]).prop_map(str::to_owned),
        2 => "[-ab=*|'\"$#()\\[\\] ]{0,6}",
        1 => "[ -~]{0,8}",
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    let value = proptest::sample::select(vec![
        "*",
        "a",
        "a|b",
        "x*",
        "*.y",
        "''|a",
        "'-a'|b",
        "'q r'",
        "'a=b'",
        "$config/server",
        "$config/none",
        "",
    ]);
    let name = proptest::sample::select(vec!["--a=", "--b=", "--c=", "-d=", "'#'e=", ""]);
    prop_oneof![
        3 => (name, value).prop_filter_map("a word", |(name, value)| (!(name.is_empty() && value.is_empty())).then(|| format!("{name}{value}"))),
        2 => proptest::sample::select(vec!["a", "b", "--a", "--b", "-4|-6", "'*'", "'it'\"'\"'s'", "'x=y'", "x=y"]).prop_map(str::to_owned),
    ]
}

fn grant_line() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        4 => pattern(),
        2 => proptest::collection::vec(pattern(), 1..6).prop_map(|patterns| format!("[{}]*", patterns.join(" | "))),
    ];
    let stdin = proptest::sample::select(vec![
        "",
        "",
        "stdin=any ",
        "stdin=none ",
        "stdin=secret:k ",
        "stdin=output-of(a b *) ",
    ]);
    let env = proptest::sample::select(vec!["", "", "env=A ", "env=B,A "]);
    let verb = proptest::sample::select(vec!["look ", "change ", "look root ", "change root "]);
    let program = proptest::sample::select(vec!["a", "b", "'root'", "'a b'"]);
    (verb, env, stdin, program, proptest::collection::vec(item, 0..4), proptest::sample::select(vec!["", "", " **"]))
        .prop_map(|(verb, env, stdin, program, items, rest)| {
            let items: String = items.iter().map(|item| format!(" {item}")).collect();
            format!("{verb}{env}{stdin}{program}{items}{rest}")
        })
}

fn chunk() -> impl Strategy<Value = Chunk> {
    prop_oneof![
        Just(Chunk::Bytes(b"x".to_vec())),
        proptest::sample::select(vec!["k", "other", "not a slot"]).prop_map(|slot| Chunk::Secret(slot.to_owned())),
        (0u32..4).prop_map(Chunk::StdoutOf),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    (
        proptest::sample::select(vec!["a", "b", "root", "a b", "c", "-x"]),
        proptest::collection::vec(word(), 0..4),
        proptest::collection::vec((proptest::sample::select(vec!["A", "B", "PATH"]), "[x ]{0,2}"), 0..2),
        proptest::collection::vec(chunk(), 0..3),
        any::<bool>(),
        proptest::sample::select(vec![vec![], vec![0], vec![1]]),
    )
        .prop_map(|(program, mut words, env, stdin, as_root, accepted)| {
            words.insert(0, program.to_owned());
            let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            Command { argv: words, env, stdin, as_root, accepted, ..command(&["a"]) }
        })
}

/// What a shape says, in the plainest form: every way to share out the words is tried.
fn admits_plainly(items: &[shape::Item], words: &[String]) -> bool {
    use shape::{Choice, Item, Pattern};
    let graphic = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let one = |pattern: &Pattern, word: &str| {
        pattern.choices.iter().any(|choice| {
            let Some(value) = word.strip_prefix(&pattern.head) else { return false };
            let flag = pattern.head.is_empty() && word.starts_with('-');
            match choice {
                Choice::Exact(exact) => value == exact,
                Choice::Config(pointer) => {
                    config(pointer).is_some_and(|wanted| value == wanted && graphic(value)) && !flag
                }
                Choice::Hole { before, after } => {
                    value.len() > before.len() + after.len()
                        && value.starts_with(before.as_str())
                        && value.ends_with(after.as_str())
                        && graphic(&value[before.len()..value.len() - after.len()])
                        && !flag
                }
            }
        })
    };
    let name = |word: &str| word.split('=').next().unwrap().to_owned();
    let Some((item, later)) = items.split_first() else { return words.is_empty() };
    match item {
        Item::Rest => true,
        Item::Word(pattern) => match pattern.choices.as_slice() {
            [Choice::Config(pointer)] if config(pointer).is_none() => admits_plainly(later, words),
            _ => words.split_first().is_some_and(|(word, words)| one(pattern, word) && admits_plainly(later, words)),
        },
        Item::Group(patterns) => (0..=words.len()).any(|taken| {
            let (mine, rest) = words.split_at(taken);
            let fits = mine.iter().all(|word| patterns.iter().any(|pattern| one(pattern, word)));
            let flags =
                mine.iter().enumerate().all(|(at, word)| mine[..at].iter().all(|before| name(before) != name(word)));
            let once = patterns.iter().all(|pattern| mine.iter().filter(|word| one(pattern, word)).count() <= 1);
            let config = patterns.iter().all(|pattern| match pattern.choices.as_slice() {
                [Choice::Config(pointer)] => config(pointer).is_none() || mine.iter().any(|word| one(pattern, word)),
                _ => true,
            });
            fits && flags && once && config && admits_plainly(later, rest)
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..Default::default() })]

    #[test]
    fn what_is_written_reads_the_same_again(line in grant_line()) {
        if let Ok(grants) = Grants::parse(&line) {
            let grant = &grants.lines()[0].grant;
            let again = Grants::parse(&grant.to_string());
            prop_assert_eq!(again.map(|grants| grants.lines()[0].grant.clone()), Ok(grant.clone()));
            let again = Grants::parse(&format!("{grant:#}"));
            prop_assert_eq!(again.map(|grants| grants.lines()[0].grant.clone()), Ok(grant.clone()));
        }
    }

    #[test]
    fn one_walk_over_the_words_answers_as_trying_every_way_does(line in grant_line(), words in proptest::collection::vec(word(), 0..5)) {
        if let Ok(grants) = Grants::parse(&line) {
            let shape = &grants.lines()[0].grant.shape;
            let words = [vec![shape.program().to_owned()], words].concat();
            prop_assert_eq!(shape.admits(&words, &config).is_ok(), admits_plainly(&shape.items, &words), "{} {:?}", shape, words);
        }
    }

    #[test]
    fn words_exactly_as_they_are_can_always_be_granted_and_then_cover_only_themselves(words in proptest::collection::vec(word(), 1..5), other in proptest::collection::vec(word(), 1..5)) {
        if let Some(shape) = Shape::exactly(&words) {
            prop_assert_eq!(&grant(&format!("look {shape}")).shape, &shape);
            prop_assert!(shape.admits(&words, &config).is_ok());
            prop_assert_eq!(shape.admits(&other, &config).is_ok(), words == other);
        } else {
            prop_assert!(words[0].is_empty() || words[0].starts_with('-') || words[0].contains('='));
        }
    }

    #[test]
    fn the_line_of_a_denial_allows_the_command_and_nothing_else_does(
        lines in proptest::collection::vec(grant_line(), 0..4), commands in proptest::collection::vec(any_command(), 1..4), probe: bool,
    ) {
        let mode = if probe { Mode::Probe } else { Mode::Run };
        let mut given: Vec<Granted> = lines.iter().filter_map(|line| Grants::parse(line).ok()).flat_map(|grants| grants.lines().to_vec()).collect();
        // A provider that asks for anything, so that the operator's side alone decides.
        let asked: Vec<Grant> = ["none", "any", "secret:k", "secret:other"].iter().flat_map(|stdin| {
            ["a", "b", "'root'", "'a b'", "c"].map(|program| grant(&format!("look root env=A,B stdin={stdin} {program} **")))
        }).collect();
        // At most one more line for each command.
        for _ in 0..=commands.len() {
            let rights = Rights::new(asked.clone(), given.clone());
            let Err(denial) = rights.decide(mode, &commands, &config) else { break };
            let Some(line) = denial.grant else { break };
            let line = Grants::parse(&line.to_string()).unwrap().lines()[0].clone();
            let alone = Rights::new(asked.clone(), [given.clone(), vec![line.clone()]].concat());
            match alone.decide(mode, &commands, &config) {
                Ok(_) => {}
                Err(next) => prop_assert!(next.command > denial.command, "{} did not help: {next}", line.text),
            }
            given.push(line);
        }
    }

    #[test]
    fn no_text_and_no_batch_makes_it_panic(text in ".{0,200}", words in proptest::collection::vec(".{0,10}", 0..4)) {
        let _ = Grants::parse(&text);
        let _ = Grants::parse(&format!("look {text}"));
        let _ = Shape::parse(&words);
        let rights = rights("look a **");
        let _ = rights.decide(Mode::Run, &[Command { argv: words, ..command(&["a"]) }], &config);
    }

    #[test]
    fn signs_of_the_grammar_in_any_order_make_it_neither_panic_nor_read_otherwise_than_it_writes(text in "(look |change |root |env=A |stdin=|\\n |[\\[\\]*|()$'\"#=a-]| ){0,24}") {
        if let Ok(grants) = Grants::parse(&text) {
            for line in grants.lines() {
                prop_assert_eq!(&grant(&line.grant.to_string()), &line.grant);
            }
        }
    }
}
