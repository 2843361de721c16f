//! Connections that end at any byte, and scripts that are interrupted.

use std::fs;
use std::io::Write;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use boundary::answer::{Answer, Limits, Ran, Reader};
use boundary::command::{Chunk, Command, Condition, Ending, Mode};
use boundary::script::Script;

use crate::machine::{Machine, With, bytes, command, posix_shells, sh, signals, wait, wait_for};

#[test]
fn a_script_that_is_cut_anywhere_runs_nothing() {
    for shell in posix_shells() {
        let mut machine = Machine::new(shell);
        machine.secrets.push(("auth", b"multi\nline\nsecret\n".to_vec()));
        let ran = machine.path("scratch/ran");
        let touch = ["touch", ran.to_str().unwrap()];
        let batch = [
            command(&touch).stdin(&[Chunk::Secret("auth".to_owned())]),
            command(&touch).runs(Condition::Failed),
            command(&touch).runs(Condition::Always),
        ];
        let probes = [command(&touch), command(&touch).stdin(&[Chunk::StdoutOf(0)])];
        for (mode, batch) in [(Mode::Run, &batch[..]), (Mode::Probe, &probes)] {
            let script = machine.render(mode, batch);
            let length = script.input.len();
            let line = script.line.as_str();
            // The guard on the length, and the function on its own: each must be enough.
            let bare = line.replace(&line[line.find("-c 's=").unwrap()..], "-c 'eval \"$(cat)\"'");
            for cut in (0..length).filter(|cut| cut % 97 == 0 || length - cut < 8) {
                run(&machine, line, &script.input[..cut]);
                assert!(!ran.exists(), "{}: the first {cut} of {length} bytes ran", shell.name);
                run(&machine, &bare, &script.input[..cut]);
                assert!(!ran.exists(), "{}: without the guard, the first {cut} of {length} bytes ran", shell.name);
                run(&machine, line, &script.input[cut.max(1)..]);
                assert!(!ran.exists(), "{}: all but the first {cut} of {length} bytes ran", shell.name);
            }
            machine.assert_clean();
            run(&machine, line, &script.input);
            assert!(ran.exists(), "{}: the whole script runs", shell.name);
            fs::remove_file(&ran).unwrap();
        }
    }
}

fn run(machine: &Machine, line: &str, input: &[u8]) {
    let mut child = machine.spawn("/bin/sh", line);
    let mut stdin = child.stdin.take().unwrap();
    // It may end before it has read all of it.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap();
}

/// What each batch below has in common: every kind of ending.
fn batch(mode: Mode) -> Vec<Command> {
    let mut batch = vec![
        sh("echo one; echo e1 >&2"),
        command(&["cat"]).stdin(&[bytes(b"two\n"), Chunk::StdoutOf(0)]).accepted(&[0, 3]),
        sh("printf 'no line end'; exit 3").accepted(&[3]),
        sh("echo bad >&2; exit 4"),
        command(&["echo", "not said"]).stdin(&[Chunk::StdoutOf(3)]),
        command(&["printf", "\n\n\n"]).runs(Condition::Always),
    ];
    if mode == Mode::Run {
        batch.push(command(&["echo", "mended"]).runs(Condition::Failed));
    }
    batch
}

fn read(script: &Script, out: &[u8], err: &[u8], closed: bool) -> Answer {
    let mut reader = Reader::new(&script.expect, &boundary::scrub::Scrubber::default(), Limits::default());
    reader.stderr(err);
    reader.stdout(out);
    reader.finish(Duration::from_secs(1), closed)
}

fn ran(answer: Answer) -> Ran {
    match answer {
        Answer::Ran(ran) => ran,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_that_is_cut_at_any_byte_says_no_more_than_it_shows() {
    for shell in posix_shells() {
        for mode in [Mode::Run, Mode::Probe] {
            let machine = Machine::new(shell);
            let script = machine.render(mode, &batch(mode));
            let (out, err) = machine.start("/bin/sh", &script.line, &script.input).bytes();
            let whole = ran(read(&script, &out, &err, true));
            assert!(whole.complete);
            let count = whole.outputs.len();
            let exits: Vec<usize> =
                (0..count).filter(|place| matches!(whole.outputs[*place].ending, Ending::Exited(_))).collect();
            assert_eq!(exits.len(), count - 1, "{whole:?}");
            let mut most = 0;
            // An archive is padded with thousands of zeros: one in 512 of them is enough.
            let worth = |cut: &usize| cut.is_multiple_of(512) || out[cut - 1] != 0 || out[*cut] != 0;
            for cut in (0..out.len()).filter(worth) {
                let part = ran(read(&script, &out[..cut], &err, false));
                assert!(!part.complete);
                let seen = part.outputs.iter().filter(|output| matches!(output.ending, Ending::Exited(_))).count();
                assert!(seen >= most, "{cut}: a result was lost");
                most = seen;
                for (place, (part, whole)) in part.outputs.iter().zip(&whole.outputs).enumerate() {
                    match part.ending {
                        Ending::Unknown => {
                            let so_far = &part.stdout.head;
                            assert!(whole.stdout.head.starts_with(so_far), "{cut} {place}: {so_far:?}");
                        }
                        _ => assert_eq!(part, whole, "{cut} {place}"),
                    }
                }
            }
            // The other stream cut: what ended is known to have ended, and what is missing of it is said.
            for cut in 0..err.len() {
                let part = ran(read(&script, &out, &err[..cut], false));
                for (part, whole) in part.outputs.iter().zip(&whole.outputs) {
                    assert_eq!(part.ending, whole.ending);
                    assert!(part.stderr == whole.stderr || part.stderr.cut, "{cut}: {part:?}");
                }
            }
        }
    }
}

#[test]
fn when_the_link_drops_what_runs_ends_the_next_does_not_start_and_always_does() {
    for shell in posix_shells() {
        let mut machine = Machine::new(shell);
        machine.lock = true;
        machine.program("sudo", "#!/bin/sh\nshift 2\nexec \"$@\"\n");
        let file = |name: &str| machine.path("scratch").join(name).display().to_string();
        let commands = [
            sh("echo kept"),
            sh(&format!("touch {}; until [ -e {} ]; do sleep 0.02; done", file("started"), file("go"))),
            command(&["touch", &file("ok")]).stdin(&[Chunk::StdoutOf(0)]),
            // It writes first: on a broken stream it would not come to the second part.
            sh(&format!("echo looks; echo looks >&2; cat >{}", file("always")))
                .stdin(&[Chunk::StdoutOf(0)])
                .runs(Condition::Always),
        ];
        let script = machine.render(Mode::Run, &commands);
        let mut child = machine.spawn("/bin/sh", &script.line);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&script.input).unwrap();
        wait_for("the command starts", || machine.path("scratch/started").exists());
        drop((stdin, child.stdout.take(), child.stderr.take()));
        fs::write(machine.path("scratch/go"), "").unwrap();
        wait(&mut child);
        assert!(!machine.path("scratch/ok").exists(), "{}", shell.name);
        assert_eq!(fs::read_to_string(machine.path("scratch/always")).unwrap(), "kept\n", "{}", shell.name);
        let mut left = machine.leftovers();
        left.sort();
        assert_eq!(left, ["always", "go", "started"], "{}", shell.name);
    }
}

#[test]
fn a_run_that_is_told_to_end_finishes_what_it_must_and_leaves_nothing() {
    for shell in posix_shells() {
        for signal in signals(&["TERM", "HUP", "INT"]) {
            let machine = Machine::new(shell);
            let file = |name: &str| machine.path("scratch").join(name).display().to_string();
            let commands = [
                sh("echo kept"),
                sh(&format!("touch {}; until [ -e {} ]; do sleep 0.02; done", file("started"), file("go"))),
                command(&["touch", &file("ok")]).stdin(&[Chunk::StdoutOf(0)]),
                command(&["touch", &file("always")]).runs(Condition::Always),
            ];
            let script = machine.render(Mode::Run, &commands);
            let running = machine.start("/bin/sh", &script.line, &script.input);
            wait_for("the command starts", || machine.path("scratch/started").exists());
            signal_to(running.child.id(), signal);
            fs::write(machine.path("scratch/go"), "").unwrap();
            let ran = ran(running.answer(&script, &machine.scrubber()));
            assert!(ran.complete, "{} {signal}", shell.name);
            let endings: Vec<Ending> = ran.outputs.iter().map(|output| output.ending).collect();
            let exited = Ending::Exited(0);
            assert_eq!(endings, [exited, exited, Ending::Skipped, exited], "{} {signal}", shell.name);
            let mut left = machine.leftovers();
            left.sort();
            assert_eq!(left, ["always", "go", "started"]);
        }
    }
}

#[test]
fn a_probe_that_is_told_to_end_or_loses_its_link_leaves_nothing() {
    for shell in posix_shells() {
        for signal in signals(&["TERM", "HUP", "INT", "the link"]) {
            let machine = Machine::new(shell);
            let file = |name: &str| machine.path("scratch").join(name).display().to_string();
            let commands = [
                sh(&format!("touch {}; until [ -e {} ]; do sleep 0.02; echo x; done", file("started"), file("go"))),
                command(&["yes"]).timeout(Duration::from_secs(1)),
            ];
            let script = machine.render(Mode::Probe, &commands);
            if signal == "the link" {
                let mut child = machine.spawn("/bin/sh", &script.line);
                let mut stdin = child.stdin.take().unwrap();
                stdin.write_all(&script.input).unwrap();
                wait_for("the probe starts", || machine.path("scratch/started").exists());
                drop((child.stdout.take(), child.stderr.take()));
                fs::write(machine.path("scratch/go"), "").unwrap();
                wait(&mut child);
            } else {
                let mut running = machine.start("/bin/sh", &script.line, &script.input);
                wait_for("the probe starts", || machine.path("scratch/started").exists());
                signal_to(running.child.id(), signal);
                assert_eq!(wait(&mut running.child).code(), Some(143), "{}", shell.name);
                // Nothing that still runs holds the channel open.
                let end = loop {
                    if let Err(end) = running.pieces.recv_timeout(Duration::from_secs(20)) {
                        break end;
                    }
                };
                assert_eq!(end, RecvTimeoutError::Disconnected, "{} {signal}", shell.name);
                fs::write(machine.path("scratch/go"), "").unwrap();
            }
            let folder = || machine.leftovers().into_iter().any(|name| name.starts_with("stagecraft"));
            assert!(!folder(), "{} {signal}: {:?}", shell.name, machine.leftovers());
        }
    }
}

fn signal_to(pid: u32, signal: &str) {
    let kill = std::process::Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status();
    assert!(kill.unwrap().success());
}
