//! The demo is the first thing that anybody sees of the project.

use std::path::Path;
use std::process::{Command, Output};

use lab::product;

fn demo(args: &[&str], record: &Path) -> (Option<i32>, String) {
    // The demo must not run an older product than the tests do.
    let _ = product::binary();
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_demo"))
        .args(args)
        .env("LAB_DEMO_RECORD", record)
        .env("LAB_BUILT", "1")
        .output()
        .unwrap();
    (status.code(), format!("{}{}", String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap()))
}

#[test]
fn it_joins_three_hosts_leaves_the_fourth_alone_changes_nothing_twice_and_can_be_kept_and_ended() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("left.json");
    let (code, text) = demo(&["--keep"], &record);
    // Before anything is asserted, so that nothing is left up by a test that fails.
    let ssh: Option<Output> = text.lines().find(|line| line.trim().starts_with("ssh ")).map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Command::new(words[0]).args(&words[1..]).arg("/usr/local/sbin/tailscale status").output().unwrap()
    });
    let file = text.lines().find_map(|line| Some(line.split_once("STAGECRAFT_CONFIG=")?.1.to_owned()));
    let end = demo(&["--end"], &record);

    assert_eq!(code, Some(0), "{text}");
    for expected in ["up: 3 changed · 1 failed", "status: 3 right · 1 failed", "up: 3 right · 1 failed"] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(text.contains("4 connections and 4 commands over SSH for 4 hosts"), "{text}");
    assert_eq!(text.matches("Simulated:").count(), 1);
    assert!(!text.contains('\u{1b}'), "colours where there is no terminal");
    as_the_readme_shows_it(&text);

    assert_eq!(ssh.unwrap().status.code(), Some(0), "the first host is a member now");
    assert_eq!(end.0, Some(0), "{}", end.1);
    let file = file.unwrap();
    assert!(file.ends_with("/stagecraft.yml") && !Path::new(&file).exists(), "{file}");
    assert_eq!(demo(&["--end"], &record).0, Some(1), "there is nothing to end any more");
}

/// The README shows some of it: those lines come, in that order, whatever the time that a run takes.
fn as_the_readme_shows_it(text: &str) {
    let readme = include_str!("../../README.md");
    let shown =
        readme.split("```").find(|block| block.trim_start().starts_with("$ stagecraft-net plan")).expect("the demo");
    let plain = |line: &str| {
        let (before, behind) = line.split_once(", in ").unwrap_or((line, ""));
        format!("{before}{}", behind.split_once(" s:").map_or("", |(_, rest)| rest))
    };
    let mut written = text.lines().map(plain);
    for line in shown.trim().lines().filter(|line| *line != "…") {
        let wanted = plain(line);
        assert!(
            written.any(|line| line == wanted),
            "the README shows\n{line}\nand the demo does not say it there:\n{text}"
        );
    }
}
