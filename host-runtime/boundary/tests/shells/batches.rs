//! What a batch does, and that its answer says it.

use std::time::Duration;

use boundary::answer::Answer;
use boundary::command::{Chunk, Condition, Ending, Mode};

use crate::machine::{DEADLINE, Machine, Shell, With, bytes, command, out, posix_shells, secret, sh};

const KEY: &[u8] = b"tskey-auth-k'%s\\n$(id)-'x";

#[test]
fn a_run_feeds_frames_and_judges_each_command_by_itself() {
    for shell in posix_shells() {
        let mut machine = Machine::new(shell);
        machine.secrets.push(("auth", KEY.to_vec()));
        let ran = machine.ran(
            Mode::Run,
            &[
                sh("cat | od -An -v -tx1 | tr -d ' \\n'; printf '\\000\\377x'; echo E >&2; exit 3")
                    .stdin(&[bytes(b"%d\n\0\0\xfe"), secret("auth"), bytes(b"")])
                    .accepted(&[3]),
                command(&["true"]).stdin(&[bytes(&[b'x'; 300_000])]),
                command(&["cat"]).stdin(&[bytes(b"second")]),
                command(&["cat"]),
                command(&["printf", "%s|", "a b", "$(id)", "`id`", "it's", "", "-n", "\n", "*", "~", "\u{202e}"]),
                command(&["eval", "exit 9"]).accepted(&[126, 127]),
                command(&["m"]).accepted(&[126, 127]),
                command(&["false"]),
                command(&["echo", "no"]),
                command(&["echo", "fix"]).runs(Condition::Failed),
                command(&["echo", "fin"]).runs(Condition::Always),
            ],
        );
        let endings: Vec<Ending> = ran.outputs.iter().map(|output| output.ending).collect();
        let exited = Ending::Exited;
        assert_eq!(
            endings,
            [
                exited(3),
                exited(0),
                exited(0),
                exited(0),
                exited(0),
                exited(127),
                exited(127),
                exited(1),
                Ending::Skipped,
                exited(0),
                exited(0)
            ],
            "{}: {ran:?}",
            shell.name
        );
        let mut sent = b"%d\n\0\0\xfe".to_vec();
        sent.extend_from_slice(KEY);
        let hex: String = sent.iter().map(|byte| format!("{byte:02x}")).collect();
        let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut expected = hex.replace(&key, "<secret:auth>").into_bytes();
        expected.extend_from_slice(b"\0\xffx");
        assert_eq!(ran.outputs[0].stdout.head, expected, "{}", shell.name);
        assert_eq!(ran.outputs[0].stderr.head, b"E\n");
        assert_eq!(out(&ran.outputs[2]), "second");
        assert_eq!(out(&ran.outputs[3]), "");
        assert_eq!(out(&ran.outputs[4]), "a b|$(id)|`id`|it's||-n|\n|*|~|\u{202e}|");
        assert_eq!(out(&ran.outputs[9]), "fix\n");
        assert_eq!(out(&ran.outputs[10]), "fin\n");
        assert_eq!(ran.connection.as_deref(), Some("192.0.2.7 50022 192.0.2.1 22"));
        assert_eq!(machine.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn probes_run_side_by_side_and_are_answered_in_order() {
    for shell in posix_shells() {
        let machine = Machine::new(shell);
        // Each waits until all of them have begun.
        let met = machine.path("met");
        std::fs::create_dir(&met).unwrap();
        let mut commands: Vec<_> = (0..8)
            .map(|k| {
                sh(&format!(
                    "cd {}; : > {k}; until [ -e 0 -a -e 1 -a -e 2 -a -e 3 -a -e 4 -a -e 5 -a -e 6 -a -e 7 ]; do sleep 0.05; done
                     head -c {} /dev/zero; printf x; echo {k} >&2; exit {k}",
                    met.display(),
                    k * 1000
                ))
            })
            .collect();
        commands.push(command(&["yes"]).timeout(Duration::from_secs(20)));
        commands.push(sh("setsid sleep 300 & echo $! >&2; echo started"));
        commands.push(command(&["cat"]).stdin(&[bytes(b"got: "), Chunk::StdoutOf(9)]));
        commands.push(command(&["cat"]).stdin(&[Chunk::StdoutOf(3)]));
        let started = std::time::Instant::now();
        let ran = machine.ran(Mode::Probe, &commands);
        let took = started.elapsed();
        let stays = String::from_utf8_lossy(&ran.outputs[9].stderr.head).trim().parse().expect("the id of what stays");
        rustix::process::kill_process(rustix::process::Pid::from_raw(stays).unwrap(), rustix::process::Signal::KILL)
            .unwrap();
        assert!(took < DEADLINE, "what stays is not waited for: {took:?}");
        for (k, output) in ran.outputs[..8].iter().enumerate() {
            assert_eq!(output.ending, Ending::Exited(u8::try_from(k).unwrap()), "{}", shell.name);
            assert_eq!(output.stdout.head.len(), k * 1000 + 1);
            assert_eq!(output.stderr.head, format!("{k}\n").as_bytes());
        }
        assert!(
            ran.outputs[8].stdout.cut && matches!(ran.outputs[8].ending, Ending::Exited(128..)),
            "{:?}",
            ran.outputs[8].ending
        );
        assert_eq!(out(&ran.outputs[9]), "started\n");
        assert_eq!(out(&ran.outputs[10]), "got: started\n");
        assert_eq!(ran.outputs[11].ending, Ending::Skipped);
        assert_eq!(machine.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn one_command_reads_the_output_of_another_which_is_still_reported() {
    for shell in posix_shells() {
        let machine = Machine::new(shell);
        // As an installer is run: fetched first, and run only if that went well.
        let fetch = sh("printf 'echo installed \"$0\"\\nexit 5\\n'; echo fetched >&2");
        let install = command(&["sh", "-s"]).stdin(&[Chunk::StdoutOf(0)]).accepted(&[0, 5]);
        let both = command(&["cat"]).stdin(&[bytes(b"<"), Chunk::StdoutOf(1), bytes(b"\0"), Chunk::StdoutOf(0)]);
        for mode in [Mode::Run, Mode::Probe] {
            let ran = machine.ran(mode, &[fetch.clone(), install.clone(), both.clone()]);
            assert_eq!(out(&ran.outputs[0]), "echo installed \"$0\"\nexit 5\n", "{}", shell.name);
            assert_eq!(ran.outputs[0].stderr.head, b"fetched\n");
            assert_eq!((ran.outputs[1].ending, out(&ran.outputs[1])), (Ending::Exited(5), "installed sh\n".to_owned()));
            assert_eq!(out(&ran.outputs[2]), "<installed sh\n\0echo installed \"$0\"\nexit 5\n");
            machine.assert_clean();
        }
    }
}

#[test]
fn the_output_of_a_command_that_failed_is_not_read_by_another_but_reported() {
    for shell in posix_shells() {
        let machine = Machine::new(shell);
        let reader = |of| command(&["sh", "-s"]).stdin(&[Chunk::StdoutOf(of)]).runs(Condition::Always);
        for mode in [Mode::Run, Mode::Probe] {
            // The download broke off: what came of the script must not run.
            let ran = machine.ran(mode, &[sh("echo touch scratch; exit 18"), reader(0), reader(1)]);
            let endings: Vec<Ending> = ran.outputs.iter().map(|output| output.ending).collect();
            assert_eq!(endings, [Ending::Exited(18), Ending::Skipped, Ending::Skipped], "{} {mode:?}", shell.name);
            assert_eq!(out(&ran.outputs[0]), "touch scratch\n");
        }
    }
}

#[test]
fn output_that_is_too_much_to_be_read_by_another_ends_its_command_and_is_reported_as_cut() {
    for shell in posix_shells() {
        let machine = Machine::new(shell);
        let reader = command(&["cat"]).stdin(&[Chunk::StdoutOf(0)]).runs(Condition::Always);
        let ran =
            machine.ran(Mode::Run, &[command(&["yes"]).accepted(&[0, 1]), reader.clone(), command(&["yes", "no"])]);
        let Ending::Exited(status) = ran.outputs[0].ending else { panic!("{:?}", ran.outputs[0].ending) };
        assert!(
            status > 1 && ran.outputs[0].stdout.cut && ran.outputs[0].stdout.head.starts_with(b"y\ny\n"),
            "{status}"
        );
        assert_eq!(ran.outputs[1].ending, Ending::Skipped);
        // Nothing of the shell's own about it.
        assert_eq!(String::from_utf8_lossy(&ran.outputs[0].stderr.head), "");
        machine.assert_clean();
    }
}

#[test]
fn a_limit_that_was_lifted_lets_no_more_through() {
    for shell in posix_shells() {
        let machine = Machine::new(shell);
        // As where `sudo` sets root's own limits by PAM.
        let program = std::fs::read_link(machine.path("bin/sh")).unwrap();
        std::fs::remove_file(machine.path("bin/sh")).unwrap();
        let applet = if shell.name == "busybox" { " sh" } else { "" };
        machine.program("sh", &format!("#!{}{applet}\nulimit() {{ :; }}\neval \"$2\"\n", program.display()));
        let much = command(&["head", "-c", "1500000", "/dev/zero"]);
        let reader = command(&["wc", "-c"]).stdin(&[Chunk::StdoutOf(0)]).runs(Condition::Always);
        for mode in [Mode::Run, Mode::Probe] {
            let ran = machine.ran(mode, &[much.clone(), reader.clone()]);
            assert_eq!(ran.outputs[0].ending, Ending::Exited(0));
            assert!(ran.outputs[0].stdout.cut);
            assert_eq!(ran.outputs[1].ending, Ending::Skipped, "{} {mode:?}", shell.name);
        }
    }
}

#[test]
fn a_command_that_takes_too_long_timed_out_and_its_own_124_is_an_exit() {
    std::thread::scope(|scope| {
        for shell in posix_shells() {
            for mode in [Mode::Run, Mode::Probe] {
                scope.spawn(move || takes_too_long(shell, mode));
            }
        }
    });
}

fn takes_too_long(shell: Shell, mode: Mode) {
    let machine = Machine::new(shell);
    let second = Duration::from_secs(1);
    let batch = [
        sh("echo started; sleep 30; echo never").timeout(second).accepted(&[0, 124]),
        sh("exit 124").accepted(&[124]),
        // It does not end on TERM, so it is killed: 5 s more, which is what KILL_AFTER says.
        sh("trap '' TERM; echo stays; while :; do sleep 0.2; done").timeout(second).accepted(&[137]),
        sh("kill -9 $$").accepted(&[137]),
        sh("exit 143").accepted(&[143]),
    ];
    let ran = machine.ran(mode, &batch);
    let endings: Vec<Ending> = ran.outputs.iter().map(|output| output.ending).collect();
    let exited = Ending::Exited;
    let expected = [Ending::TimedOut, exited(124), Ending::TimedOut, exited(137), exited(143)];
    assert_eq!(endings, expected, "{} {mode:?}", shell.name);
    assert_eq!(out(&ran.outputs[0]), "started\n");
    assert_eq!(out(&ran.outputs[2]), "stays\n");
    // The shell says nothing about what was killed.
    assert_eq!(String::from_utf8_lossy(&ran.outputs[3].stderr.head), "");
}

#[test]
fn a_flood_on_both_streams_is_drained_and_kept_short() {
    for shell in posix_shells() {
        let machine = Machine::new(shell);
        let flood = sh(
            "echo first; head -c 3000000 /dev/zero | tr '\\0' x; (head -c 3000000 /dev/zero | tr '\\0' y; echo last) >&2",
        );
        let ran = machine.ran(Mode::Run, &[flood, command(&["echo", "next"])]);
        let first = &ran.outputs[0];
        assert_eq!(first.ending, Ending::Exited(0));
        assert!(first.stdout.cut && first.stdout.head.starts_with(b"first\nxx") && first.stdout.tail.ends_with(b"xx"));
        assert!(first.stderr.cut && first.stderr.tail.ends_with(b"yylast\n"));
        assert_eq!(out(&ran.outputs[1]), "next\n");
    }
}

#[test]
fn a_machine_without_a_place_for_files_runs_nothing() {
    for shell in posix_shells() {
        let machine = Machine::new(shell);
        machine.program("mktemp", "#!/bin/sh\necho 'mktemp: failed: No space left on device' >&2\nexit 1\n");
        let ran = machine.path("scratch/ran");
        let why = "mktemp: failed: No space left on device".to_owned();
        let touch = command(&["touch", ran.to_str().unwrap()]);
        assert_eq!(
            machine.answer(Mode::Probe, std::slice::from_ref(&touch)),
            Answer::NoPlace { why },
            "{}",
            shell.name
        );
        assert!(!ran.exists());
        // A run that needs no files does not need the place.
        assert_eq!(machine.ran(Mode::Run, &[touch]).outputs[0].ending, Ending::Exited(0));
    }
}

#[test]
fn a_program_that_is_not_there_is_an_exit_that_says_so() {
    for shell in posix_shells() {
        let machine = Machine::new(shell);
        let ran = machine.ran(Mode::Run, &[command(&["no-such-program"]), command(&["/"]).runs(Condition::Always)]);
        assert_eq!(ran.outputs[0].ending, Ending::Exited(127));
        assert!(String::from_utf8_lossy(&ran.outputs[0].stderr.head).contains("no-such-program"));
        assert_eq!(ran.outputs[1].ending, Ending::Exited(126));
    }
}
