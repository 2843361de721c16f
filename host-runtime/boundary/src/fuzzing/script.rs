//! A batch from any bytes: it is refused, or it renders, and what it renders holds every word in quotes and nothing else
//! of it.
//!
//! Each line is a command: its words apart by blanks, the first character says more about it.

use std::time::Duration;

use crate::argv;
use crate::command::{Chunk, Command, Condition, Mode};
use crate::script::{Lock, Nonce, Options, render};

const SECRET: &[u8] = b"it's a secret\n$(id)";

pub(super) fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let commands: Vec<Command> = text.split('\n').map(command).collect();
    let nonce = Nonce::new([0x5a; 16]);
    let secrets = |slot: &str| (slot == "auth").then_some(SECRET);
    let lock = Lock { path: "/run/lock", owner: "somebody", looked: Some(7) };
    for options in [Options::probe(&nonce), Options::run(&nonce, lock, &secrets)] {
        let Ok(script) = render(&commands, &options) else { continue };
        let length = script.input.len().to_string();
        assert!(!script.input.contains(&0));
        assert!(!script.input.ends_with(b"\n"), "`$(…)` would take the last line end off");
        assert_eq!(script.line.matches(&length).count(), 2, "{}", script.line);
        assert!(
            script.line.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'!' && byte != b'\\' || byte == b' ')
        );
        for command in &commands {
            argv::check(&command.argv).expect("it was rendered");
            for word in &command.argv {
                let quoted = argv::quote(word.as_bytes()).expect("no NUL");
                assert!(script.input.windows(quoted.len()).any(|window| window == quoted));
            }
        }
        assert!(options.mode == Mode::Run || !script.input.windows(6).any(|window| window == b"secret"));
    }
}

fn command(line: &str) -> Command {
    let first = line.bytes().next().unwrap_or(0);
    let words: Vec<&str> = line.split(' ').collect();
    let last = words.last().copied().unwrap_or_default();
    let stdin = match first % 5 {
        0 => vec![Chunk::StdoutOf(u32::from(first / 5))],
        1 => vec![Chunk::Secret("auth".to_owned()), Chunk::Bytes(last.as_bytes().to_vec())],
        2 => vec![Chunk::Bytes(last.as_bytes().to_vec())],
        _ => Vec::new(),
    };
    Command {
        argv: words.iter().map(|word| (*word).to_owned()).collect(),
        env: if first.is_multiple_of(7) { vec![(last.to_owned(), line.to_owned())] } else { Vec::new() },
        stdin,
        as_root: first.is_multiple_of(2),
        timeout: Duration::from_millis(u64::from(first) * 100),
        runs: [Condition::Ok, Condition::Failed, Condition::Always][usize::from(first % 3)],
        accepted: if first.is_multiple_of(11) { vec![first] } else { Vec::new() },
    }
}
