use std::time::Duration;

use boundary::command::{Chunk, Condition};
use serde_json::json;

use super::*;
use crate::contract::SecretSlot;

fn request(argv: &[&str]) -> CommandRequest {
    CommandRequest {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: Vec::new(),
        stdin: StdinRule::None,
        mutates: false,
        as_root: false,
        reason: "for a test".to_owned(),
    }
}

fn descriptor(commands: Vec<CommandRequest>) -> Descriptor {
    Descriptor {
        id: "demo".to_owned(),
        display_name: "Demo".to_owned(),
        description: "For tests.".to_owned(),
        version: "0.1.0".to_owned(),
        config_schema: "{}".to_owned(),
        secrets: vec![SecretSlot {
            slot: "join-key".to_owned(),
            env_config_path: "/key_env".to_owned(),
            kinds: Vec::new(),
        }],
        commands,
    }
}

fn command(argv: &[&str]) -> Command {
    Command {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: Vec::new(),
        stdin: Vec::new(),
        as_root: false,
        timeout: Duration::from_secs(1),
        runs: Condition::Ok,
        accepted: Vec::new(),
    }
}

#[test]
fn a_batch_is_admitted_whole_or_denied_with_the_line_to_add() {
    let asks = descriptor(vec![request(&["netctl", "up", "--name=*"]), request(&["netctl", "status"])]);
    let policy = Policy::new(&asks, "change netctl up --name=app-*\nlook netctl status").unwrap();
    let batch = vec![command(&["netctl", "up", "--name=app-1"]), command(&["netctl", "status"])];
    let admitted = policy.admit(Mode::Run, batch.clone(), &json!({})).unwrap();
    assert_eq!((admitted.mode(), admitted.commands()), (Mode::Run, batch.as_slice()));
    assert_eq!((admitted.changes(0), admitted.changes(1), admitted.changes(2)), (true, false, true));

    let denied = policy.admit(Mode::Run, vec![batch[0].clone(), command(&["netctl", "up", "--name=db-1"])], &json!({}));
    assert_eq!(
        denied.unwrap_err(),
        Denial {
            command: 1,
            reason:
                "`netctl up --name=db-1`: no grant allows it; the nearest is line 1, `change netctl up --name=app-*`: \
                     word 3, `--name=db-1`, is not `--name=app-*`"
                    .to_owned(),
            grant: "change netctl up --name=db-1".to_owned(),
        }
    );
    let denied = policy.admit(Mode::Probe, vec![command(&["netctl", "down"])], &json!({})).unwrap_err();
    assert_eq!((denied.command, denied.grant.as_str()), (0, ""), "no line helps where the descriptor does not ask");
}

#[test]
fn the_configs_value_is_taken_as_a_word_and_only_where_it_is_one() {
    let policy = Policy::new(
        &descriptor(vec![request(&["netctl", "**"])]),
        "look netctl [--server=$config/server | --port=$config/deep/port | --on=$config/on | --odd=$config/a~1b]*",
    )
    .unwrap();
    let admits = |config: Value, words: &[&str]| policy.admit(Mode::Probe, vec![command(words)], &config).is_ok();
    assert!(admits(json!({}), &["netctl"]));
    assert!(admits(json!({"server": "https://x"}), &["netctl", "--server=https://x"]));
    assert!(admits(json!({"deep": {"port": 41641}, "on": true}), &["netctl", "--on=true", "--port=41641"]));
    assert!(admits(json!({"a/b": "c"}), &["netctl", "--odd=c"]));
    assert!(!admits(json!({"server": "https://x"}), &["netctl"]), "what the config says must be said");
    assert!(!admits(json!({"server": "https://x"}), &["netctl", "--server=https://y"]));
    assert!(!admits(json!({}), &["netctl", "--server=https://x"]));
    for no_word in [json!(null), json!([]), json!({"x": 1})] {
        assert!(admits(json!({"server": no_word}), &["netctl"]));
        assert!(!admits(json!({"server": no_word}), &["netctl", "--server=null"]));
    }
    assert!(!admits(json!({"server": ""}), &["netctl", "--server="]), "an empty value is no word");
}

#[test]
fn a_request_reads_as_the_grant_that_would_give_it() {
    let whole = CommandRequest {
        env: vec!["B".to_owned(), "A".to_owned(), "B".to_owned()],
        stdin: StdinRule::OutputOf(vec!["curl".to_owned(), "u".to_owned()]),
        mutates: true,
        as_root: true,
        ..request(&["sh", "-s", "[--a=* | --b]*"])
    };
    assert_eq!(
        requested(&whole).unwrap().to_string(),
        "change root env=A,B stdin=output-of(curl u) sh -s [--a=* | --b]*"
    );
    assert_eq!(requested(&request(&["a", "**"])).unwrap().to_string(), "look a **");
}

#[test]
fn every_mistake_of_a_descriptor_is_told_with_the_field_that_it_stands_in() {
    let mut bad = request(&["*", "a b"]);
    bad.env = vec!["PATH".to_owned()];
    bad.stdin = StdinRule::OutputOf(vec!["curl".to_owned(), "**".to_owned()]);
    let secret = CommandRequest { stdin: StdinRule::Secret("other".to_owned()), ..request(&["a"]) };
    let mut asks = descriptor(vec![request(&["a"]), bad, secret]);
    asks.secrets.push(SecretSlot { slot: "a slot".to_owned(), ..asks.secrets[0].clone() });
    let error = Policy::new(&asks, "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the descriptor cannot be read:\n\
         secrets[1].slot: `a slot` cannot name a slot: letters, digits, `-` and `_` are wanted\n\
         commands[1].argv[0], column 1: the program must be written out as one plain word: no hole, no alternatives, no `=`, no dash in front\n\
         commands[1].argv[1], column 1: one word or one group must stand here: quote what is meant as it stands\n\
         commands[1].env: the environment variable PATH is never set for a command: it changes which code runs\n\
         commands[1].stdin.output-of: it must be exact, without `**`\n\
         commands[2].stdin: the slot `other` is not among the descriptor's secrets"
    );
}

#[test]
fn an_operators_file_gives_to_a_digest_and_to_no_other() {
    let (mine, other) = (format!("sha256:{}", "a".repeat(64)), format!("sha256:{}", "b".repeat(64)));
    let asks = descriptor(vec![request(&["a"]), request(&["b"])]);
    let file = format!("artifact {mine}\nlook a\nartifact {other}\nlook b");
    let admits = |digest: &str, word: &str| {
        Policy::for_artifact(&asks, &file, digest)
            .unwrap()
            .admit(Mode::Probe, vec![command(&[word])], &json!({}))
            .is_ok()
    };
    assert!(admits(&mine, "a") && admits(&other, "b"));
    assert!(!admits(&mine, "b") && !admits(&other, "a"));
    assert!(!admits(&format!("sha256:{}", "c".repeat(64)), "a"));

    let error = Policy::for_artifact(&asks, &format!("look a\nlook b\nartifact {mine}"), &mine).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the grants cannot be read:\n\
         1:1: this grant stands above the first `artifact sha256:…` line: it is not clear whose it is\n\
         2:1: this grant stands above the first `artifact sha256:…` line: it is not clear whose it is"
    );
    assert!(matches!(Policy::new(&asks, &file), Err(PolicyError::Grants(_))));
    assert!(matches!(Policy::new(&asks, "lok a"), Err(PolicyError::Grants(_))));
}

#[test]
fn a_secret_goes_only_where_request_and_grant_both_name_its_slot() {
    let keyed = CommandRequest { stdin: StdinRule::Secret("join-key".to_owned()), ..request(&["a"]) };
    let join = Command { stdin: vec![Chunk::Secret("join-key".to_owned())], ..command(&["a"]) };
    let admits = |request: &CommandRequest, grants: &str| {
        Policy::new(&descriptor(vec![request.clone()]), grants)
            .unwrap()
            .admit(Mode::Run, vec![join.clone()], &json!({}))
            .is_ok()
    };
    assert!(admits(&keyed, "change stdin=secret:join-key a"));
    assert!(!admits(&keyed, "change stdin=any a"));
    assert!(!admits(&keyed, "change stdin=secret:other a"));
    assert!(!admits(&CommandRequest { stdin: StdinRule::Any, ..request(&["a"]) }, "change stdin=secret:join-key a"));
}
