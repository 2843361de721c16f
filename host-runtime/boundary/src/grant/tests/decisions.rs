//! Who may do what: the decision over a batch, and what granting amounts to.

use super::*;

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
