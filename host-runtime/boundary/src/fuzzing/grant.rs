//! A text of grants, and a batch to decide over: what is written reads the same again, what is admitted can be sent, and
//! the line of a denial allows the command.
//!
//! The text stands first, then a line `%`, then one command a line: its words apart by tabs, the first character of each
//! line says more about it.

use std::time::Duration;

use crate::argv;
use crate::command::{Chunk, Command, Condition, Mode};
use crate::grant::{Grant, Granted, Grants, Rights, Shape, risk};

const SLOT: &str = "auth-key";

pub(super) fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (text, batch) = text.split_once("\n%\n").unwrap_or((&text, ""));
    let commands: Vec<Command> = batch.split('\n').map(command).collect();
    let config = |pointer: &str| pointer.len().is_multiple_of(2).then(|| pointer.trim_start_matches('/').to_owned());

    let words: Vec<String> = text.split('\n').map(str::to_owned).collect();
    if let Ok(shape) = Shape::parse(&words) {
        assert_eq!(reread(&format!("look {shape}")).shape, shape);
    }
    let Ok(grants) = Grants::parse(text) else { return };
    for line in grants.lines() {
        assert_eq!(reread(&line.grant.to_string()), line.grant);
        assert!(reread(&line.text) == line.grant, "{} is not {}", line.text, line.grant);
        let _ = risk(&line.grant);
    }

    let given = grants.lines().to_vec();
    let asked: Vec<Grant> = given.iter().map(|line| line.grant.clone()).collect();
    for mode in [Mode::Probe, Mode::Run] {
        let rights = Rights::new(asked.clone(), given.clone());
        if let Ok(verbs) = rights.decide(mode, &commands, &config) {
            assert_eq!(verbs.len(), commands.len());
            for command in &commands {
                admitted(mode, command, &given);
            }
        }
        // Whoever asks for all of it gets to see the operator's side.
        let open: Vec<Grant> = commands.iter().filter_map(everything).chain(asked.iter().cloned()).collect();
        let Err(denial) = Rights::new(open.clone(), given.clone()).decide(mode, &commands, &config) else { continue };
        let _ = denial.to_string();
        let Some(line) = denial.grant else { continue };
        let line = Granted { grant: reread(&line.to_string()), line: 1, text: line.to_string(), artifact: None };
        match Rights::new(open, [given.clone(), vec![line.clone()]].concat()).decide(mode, &commands, &config) {
            Ok(_) => {}
            Err(next) => assert!(next.command > denial.command, "{} did not help: {next}", line.text),
        }
    }
}

fn reread(line: &str) -> Grant {
    let grants = Grants::parse(line).unwrap_or_else(|problems| panic!("{line}\n{problems}"));
    assert_eq!(grants.lines().len(), 1, "{line}");
    grants.lines()[0].grant.clone()
}

/// What must hold for every command that passed.
fn admitted(mode: Mode, command: &Command, given: &[Granted]) {
    argv::check(&command.argv).expect("it was admitted");
    argv::check_env(&command.env).expect("it was admitted");
    assert!(command.argv.iter().all(|word| word.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())));
    let programs = || given.iter().filter(|line| line.grant.shape.program() == command.argv[0]);
    assert!(programs().count() > 0);
    assert!(!command.as_root || programs().any(|line| line.grant.root));
    let secret = command.stdin.iter().any(|chunk| matches!(chunk, Chunk::Secret(_)));
    let named = programs().any(|line| line.grant.stdin == crate::grant::Stdin::Secret(SLOT.to_owned()));
    assert!(!secret || (named && mode == Mode::Run));
}

/// A request for whatever this command could be.
fn everything(command: &Command) -> Option<Grant> {
    let shape = Shape::exactly(&command.argv)?;
    let mut env: Vec<String> = command.env.iter().map(|(name, _)| name.clone()).collect();
    env.sort();
    env.retain(|name| argv::check_env_name(name).is_ok());
    let secret = command.stdin.iter().any(|chunk| matches!(chunk, Chunk::Secret(_)));
    let stdin = if secret { format!("secret:{SLOT}") } else { "any".to_owned() };
    let env = if env.is_empty() { String::new() } else { format!("env={} ", env.join(",")) };
    Some(reread(&format!("look root {env}stdin={stdin} {shape}")))
}

fn command(line: &str) -> Command {
    let first = line.bytes().next().unwrap_or(0);
    let words: Vec<&str> = line.split('\t').collect();
    let last = words.last().copied().unwrap_or_default();
    let stdin = match first % 5 {
        0 => vec![Chunk::StdoutOf(u32::from(first / 50))],
        1 => vec![Chunk::Secret(SLOT.to_owned()), Chunk::Bytes(last.as_bytes().to_vec())],
        2 => vec![Chunk::Bytes(last.as_bytes().to_vec())],
        _ => Vec::new(),
    };
    Command {
        argv: words.iter().map(|word| (*word).to_owned()).collect(),
        env: if first.is_multiple_of(7) { vec![(last.to_owned(), "x".to_owned())] } else { Vec::new() },
        stdin,
        as_root: first.is_multiple_of(2),
        timeout: Duration::from_secs(1),
        runs: Condition::Ok,
        accepted: if first.is_multiple_of(11) { vec![1] } else { Vec::new() },
    }
}
