//! Where a secret is while it is used, and where it is not (K1, K2).

use std::fs;
use std::io::Write as _;

use boundary::answer::Answer;
use boundary::command::{Chunk, Condition, Ending, Mode};

use crate::machine::{Machine, With, command, out, posix_shells, secret, sh};

/// Reads the secret from standard input and looks for it in every process and in our folders, while the rest of its
/// input (more than a pipe holds) keeps the shell that feeds it alive. The pattern goes to `grep` on standard input.
const LOOK: &str = "IFS= read -r key; \
    printf '%s\\n' \"$key\" | grep -a -F -l -f - /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; \
    printf '%s\\n' \"$key\" | grep -a -F -r -l -f - \"$1\" 2>/dev/null; \
    printf 'looked for %s\\n' \"${#key}\"; cat >/dev/null";

#[test]
fn a_secret_is_in_no_argument_no_environment_and_no_file_while_it_is_used() {
    for (place, shell) in posix_shells().into_iter().enumerate() {
        for lock in [false, true] {
            let mut machine = Machine::new(shell);
            machine.lock = lock;
            machine.program("sudo", "#!/bin/sh\nshift 2\nexec \"$@\"\n");
            let key = format!("tskey-auth-{place}{lock}-{}-$(id)'x", std::process::id());
            machine.secrets.push(("auth", key.clone().into_bytes()));
            let folder = machine.folder.path().to_str().unwrap().to_owned();
            let look = |root: bool| {
                let chunks = [secret("auth"), Chunk::Bytes([b"\n".as_slice(), &[b'x'; 200_000]].concat())];
                let look = command(&["sh", "-c", LOOK, "sh", &folder]).stdin(&chunks);
                if root { look.by_root() } else { look }
            };
            let ran = machine.ran(Mode::Run, &[look(false), look(true), sh("env; cat; set").runs(Condition::Always)]);
            for output in &ran.outputs[..2] {
                assert_eq!(output.ending, Ending::Exited(0));
                assert_eq!(out(output), format!("looked for {}\n", key.len()), "{}", shell.name);
            }
            // The next command has nothing of it: neither in its environment nor on its input.
            let rest = out(&ran.outputs[2]);
            assert!(rest.contains("LC_ALL=C") && !rest.contains("tskey") && !rest.contains("<secret"), "{rest}");
            machine.assert_clean();
        }
    }
}

/// Looks while the secret itself is being fed and cannot go on: what stands before it fills the pipe.
const LOOK_FIRST: &str = "for i in 1 2 3 4 5 6 7 8 9 10; do \
    grep -a -F -l -f \"$1\" /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; sleep 0.05; done; tail -c 20";

#[test]
fn what_feeds_a_secret_is_no_program_that_is_given_it() {
    for (place, shell) in posix_shells().into_iter().enumerate() {
        let mut machine = Machine::new(shell);
        let key = format!("tskey-feed-{place}-{}-end", std::process::id());
        machine.secrets.push(("auth", key.clone().into_bytes()));
        let mut pattern = tempfile::NamedTempFile::new().unwrap();
        pattern.write_all(key.as_bytes()).unwrap();
        let chunks = [Chunk::Bytes(vec![b'x'; 65536]), secret("auth"), Chunk::Bytes(b" and more, to the end".to_vec())];
        let look = command(&["sh", "-c", LOOK_FIRST, "sh", pattern.path().to_str().unwrap()]).stdin(&chunks);
        let ran = machine.ran(Mode::Run, &[look]);
        assert_eq!(out(&ran.outputs[0]), "and more, to the end", "{}", shell.name);
    }
}

#[test]
fn a_command_that_shows_its_secret_is_reported_without_it() {
    for shell in posix_shells() {
        let mut machine = Machine::new(shell);
        machine.secrets.push(("auth", b"tskey-auth-\"quoted\"-1".to_vec()));
        let show = "cat >k; cat k; cat k >&2; base64 <k; od -An -v -tx1 <k | tr -d ' \\n'; sed 's/\"/\\\\\"/g' k; rm k";
        let folder = machine.path("scratch");
        let show = format!("cd {} && {show}", folder.display());
        let ran = machine.ran(Mode::Run, &[sh(&show).stdin(&[secret("auth")])]);
        let marks = out(&ran.outputs[0]).matches("<secret:auth>").count();
        assert_eq!(marks, 4, "{}: {:?}", shell.name, out(&ran.outputs[0]));
        assert!(!out(&ran.outputs[0]).contains("tskey"), "{:?}", out(&ran.outputs[0]));
        assert_eq!(ran.outputs[0].stderr.head, b"<secret:auth>");
    }
}

#[test]
fn without_a_printf_of_its_own_a_shell_runs_nothing() {
    let Some(bash) = posix_shells().into_iter().find(|shell| shell.name == "bash") else { return };
    let machine = Machine::new(bash);
    fs::remove_file(machine.path("bin/sh")).unwrap();
    machine.program("sh", "#!/bin/bash\nenable -n printf\neval \"$2\"\n");
    let ran = machine.path("scratch/ran");
    let commands = [command(&["touch", ran.to_str().unwrap()])];
    for mode in [Mode::Run, Mode::Probe] {
        assert_eq!(machine.answer(mode, &commands), Answer::NoPrintf);
    }
    machine.assert_clean();
}
