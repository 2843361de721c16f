//! Any word, any input, any secret arrives as it was given.

use boundary::command::{Chunk, Mode};
use boundary::scrub::Scrubber;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::machine::{Machine, With, command, posix_shells, secret};

/// Words that shells could read otherwise, and any others.
fn words() -> impl Strategy<Value = Vec<String>> {
    let awkward = prop_oneof![
        Just("it's".to_owned()),
        Just("$(touch RAN) `touch RAN` ${x}".to_owned()),
        Just("\\".to_owned()),
        Just("\\'\"".to_owned()),
        Just("!! !$ ^a^b".to_owned()),
        Just("-- -n *?[a]{b,c} ~root".to_owned()),
        Just("\n\n".to_owned()),
        Just("\r\u{1b}[m\u{7f}\u{81}\u{88}".to_owned()),
        Just(String::new()),
        "[ -~]{0,20}",
        any::<String>().prop_map(|text| text.replace('\0', "")),
    ];
    prop::collection::vec(awkward, 1..8)
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn any_words_and_variables_arrive_as_they_were_given() {
    for shell in posix_shells() {
        let machine = Machine::new(shell);
        runner(40)
            .run(&words(), |words| {
                let mut argv = vec!["printf", "%s\\000"];
                argv.extend(words.iter().map(String::as_str));
                let variable = command(&["sh", "-c", "printf %s \"$WORDS\""]).env("WORDS", &words.concat());
                let ran = machine.ran(Mode::Run, &[command(&argv), variable]);
                let expected: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
                prop_assert_eq!(&ran.outputs[0].stdout.head, &expected, "{}", shell.name);
                prop_assert_eq!(&ran.outputs[1].stdout.head, &words.concat().into_bytes(), "{}", shell.name);
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn any_bytes_and_any_secret_arrive_on_standard_input_as_they_were_given() {
    let all: Vec<u8> = (0..=255).collect();
    let bytes =
        prop_oneof![Just(all), prop::collection::vec(any::<u8>(), 0..300), prop::collection::vec(0_u8..2, 0..50)];
    let key = prop_oneof![
        Just((1..=255).collect::<Vec<u8>>()),
        prop::collection::vec(1_u8.., 8..200),
        Just(b"ends in line ends\n\n\n".to_vec()),
        Just(b"-n -e %s %% \\n \\c".to_vec()),
    ];
    for shell in posix_shells() {
        runner(40)
            .run(&(bytes.clone(), key.clone(), bytes.clone()), |(before, key, after)| {
                let mut machine = Machine::new(shell);
                machine.secrets.push(("auth", key.clone()));
                let chunks =
                    [Chunk::Bytes(before.clone()), secret("auth"), Chunk::Bytes(after.clone()), secret("auth")];
                let commands = [command(&["cat"]).stdin(&chunks), command(&["cat"])];
                let script = machine.render(Mode::Run, &commands);
                let running = machine.start("/bin/sh", &script.line, &script.input);
                // Not scrubbed: what arrived is what is looked at.
                let boundary::answer::Answer::Ran(ran) = running.answer(&script, &Scrubber::default()) else {
                    panic!("it did not run");
                };
                prop_assert!(ran.complete);
                prop_assert_eq!(&ran.outputs[0].stdout.head, &[&before[..], &key, &after, &key].concat());
                prop_assert!(ran.outputs[1].stdout.head.is_empty());
                Ok(())
            })
            .unwrap();
    }
}
