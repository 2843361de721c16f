//! What a batch does, and that its answer says it.

use std::time::Duration;

use boundary::command::{Chunk, Condition, Ending, Mode};

use crate::machine::{Machine, With, bytes, command, out, posix_shells, secret, sh};

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
        let mut commands: Vec<_> = (0..8)
            .map(|k| sh(&format!("sleep 0.3; head -c {} /dev/zero; printf x; echo {k} >&2; exit {k}", k * 1000)))
            .collect();
        commands.push(command(&["yes"]).timeout(Duration::from_secs(20)));
        commands.push(sh("setsid sleep 3 & echo started"));
        commands.push(command(&["cat"]).stdin(&[bytes(b"got: "), Chunk::StdoutOf(9)]));
        commands.push(command(&["cat"]).stdin(&[Chunk::StdoutOf(3)]));
        let started = std::time::Instant::now();
        let ran = machine.ran(Mode::Probe, &commands);
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
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
