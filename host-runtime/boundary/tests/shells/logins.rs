//! The line in every login shell there is, with everything a login can bring along.

use std::fs;
use std::path::Path;

use boundary::answer::Answer;
use boundary::command::{Condition, Mode};

use crate::machine::{CONNECTION, Machine, With, command, out, posix_shells, secret, sh};

const LOGINS: [&str; 7] =
    ["/bin/dash", "/bin/bash", "/usr/bin/zsh", "/usr/bin/fish", "/bin/csh", "/bin/tcsh", "/bin/busybox"];

fn installed() -> Vec<&'static str> {
    let (found, missing): (Vec<_>, Vec<_>) = LOGINS.into_iter().partition(|login| Path::new(login).exists());
    for login in missing {
        println!("SKIPPED: {login} is not installed, so nothing was shown for it as a login shell");
    }
    found
}

/// A machine whose start-up files, of whatever shell, make noise and define what they should not.
fn noisy() -> Machine {
    let mut machine = Machine::new(posix_shells()[0]);
    let home = machine.path("home");
    let posix = "echo 'Welcome!'; echo 'warning: x' >&2; timeout() { echo HIJACK; }; alias exec='echo HIJACK'\n";
    let csh = "echo 'Welcome!'\nalias timeout echo HIJACK\n";
    let fish = "echo 'Welcome!'; echo 'warning: x' >&2; function timeout; echo HIJACK; end\n";
    fs::write(home.join("rc"), posix.replace("alias exec='echo HIJACK'", ":")).unwrap();
    fs::write(home.join(".zshenv"), posix.replace("alias exec='echo HIJACK'", ":")).unwrap();
    fs::write(home.join(".cshrc"), csh).unwrap();
    fs::create_dir_all(home.join(".config/fish")).unwrap();
    fs::write(home.join(".config/fish/config.fish"), fish).unwrap();
    machine.poison =
        [("BASH_ENV", home.join("rc").to_str().unwrap()), ("XDG_CONFIG_HOME", home.join(".config").to_str().unwrap())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
    machine
}

#[test]
fn the_line_works_in_every_login_shell_with_noisy_start_up_files() {
    let machine = noisy();
    for login in installed() {
        let batch =
            [command(&["printf", "%s", "it's !! $HOME `id` \\ \u{e9}"]), sh("echo \"$SSH_CONNECTION|$HOME|$PATH\"")];
        for mode in [Mode::Run, Mode::Probe] {
            let script = machine.render(mode, &batch);
            let answer = if login.ends_with("busybox") {
                let line = script.line.replace('\'', "'\\''");
                machine.start("/bin/sh", &format!("exec busybox sh -c '{line}'"), &script.input)
            } else {
                machine.start(login, &script.line, &script.input)
            }
            .answer(&script, &machine.scrubber());
            let Answer::Ran(ran) = answer else { panic!("{login}: {answer:?}") };
            assert!(ran.complete, "{login}: {ran:?}");
            assert_eq!(out(&ran.outputs[0]), "it's !! $HOME `id` \\ \u{e9}", "{login}");
            let home = machine.path("home");
            let path = format!("{}:{}", machine.path("bin").display(), boundary::script::SEARCH_PATH);
            assert_eq!(out(&ran.outputs[1]), format!("{CONNECTION}|{}|{path}\n", home.display()), "{login}");
            assert_eq!(ran.connection.as_deref(), Some(CONNECTION), "{login}");
        }
    }
    machine.assert_clean();
}

#[test]
fn nothing_of_a_poisoned_environment_reaches_a_command() {
    for shell in posix_shells() {
        let mut machine = Machine::new(shell);
        let evil = machine.path("home/evil");
        fs::create_dir(&evil).unwrap();
        fs::write(evil.join("timeout"), "#!/bin/sh\necho HIJACK\n").unwrap();
        let rc = machine.path("home/rc");
        fs::write(&rc, "echo HIJACK\n").unwrap();
        let path = format!("{}:/usr/bin:/bin", evil.display());
        machine.poison = [
            ("BASH_FUNC_timeout%%", "() { echo HIJACK; }"),
            ("BASH_FUNC_printf%%", "() { echo HIJACK; }"),
            ("BASH_FUNC_head%%", "() { echo HIJACK; }"),
            ("SHELLOPTS", "xtrace:noglob"),
            ("PS4", "HIJACK"),
            ("ENV", rc.to_str().unwrap()),
            ("IFS", "t0"),
            ("PATH", &path),
            ("LD_PRELOAD", ""),
            ("LC_ALL", "tr_TR.UTF-8"),
            ("POSIXLY_CORRECT", "1"),
            ("N", "HIJACK"),
            ("S0", "HIJACK"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        let ran = machine.ran(Mode::Run, &[command(&["env"]), command(&["echo", "plain"])]);
        let env = out(&ran.outputs[0]);
        let mut names: Vec<&str> = env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.retain(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name));
        assert_eq!(names, ["HOME", "LC_ALL", "PATH", "SSH_CONNECTION"], "{}: {env}", shell.name);
        assert!(!env.contains("HIJACK") && !env.contains("evil"), "{env}");
        assert_eq!(out(&ran.outputs[1]), "plain\n");
    }
}

#[test]
fn a_command_has_the_signals_and_the_folder_that_programs_expect() {
    for shell in posix_shells() {
        let machine = Machine::new(shell);
        let look = sh("sed -n 's/^SigIgn:\\t//p' /proc/self/status; pwd; umask");
        let ran = machine.ran(Mode::Run, &[look.clone(), look.runs(Condition::Always)]);
        for output in &ran.outputs {
            let said = out(output);
            let [ignored, folder, umask] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
            // With SIGPIPE ignored, `yes | head` would go on or complain. The C library keeps 32 and 33 for itself.
            let ignored = u64::from_str_radix(ignored, 16).unwrap() & 0x7fff_ffff;
            assert_eq!((ignored, folder, umask), (0, "/", "0022"), "{}", shell.name);
        }
    }
}

#[test]
fn a_start_up_file_that_reads_standard_input_makes_nothing_run() {
    for shell in posix_shells() {
        let mut machine = Machine::new(shell);
        let ran = machine.path("scratch/ran");
        let batch = [command(&["touch", ran.to_str().unwrap()])];
        // A line of it, some bytes of it, and all of it.
        for eats in ["read -r x", "head -c 7 >/dev/null", "read -r x; read -r x; read -r x", "cat >/dev/null"] {
            fs::write(machine.path("home/rc"), format!("{eats}\n")).unwrap();
            machine.poison = vec![("BASH_ENV".to_owned(), machine.path("home/rc").to_str().unwrap().to_owned())];
            for mode in [Mode::Run, Mode::Probe] {
                let script = machine.render(mode, &batch);
                let mut running = machine.start("/bin/bash", &script.line, &script.input);
                running._hold = None;
                let answer = running.answer(&script, &machine.scrubber());
                let Answer::NotStarted { said } = answer else { panic!("{}: {eats}: {answer:?}", shell.name) };
                assert_eq!(said, "The script did not arrive whole.");
                assert!(!ran.exists());
            }
        }
    }
}

#[test]
fn a_far_side_that_runs_something_else_is_not_started_and_its_words_are_the_reason() {
    let machine = Machine::new(posix_shells()[0]);
    let script = machine.render(Mode::Probe, &[command(&["true"])]);
    for (line, said) in [
        ("echo 'This account is currently not available.'; exit 1", "This account is currently not available."),
        (
            "echo 'Password change required but no TTY available.' >&2; exit 1",
            "Password change required but no TTY available.",
        ),
        ("echo out; printf '\\033[31merr\\033[0m\\007' >&2; cat >/dev/null", "err\\x07\nout"),
        ("exit 0", ""),
    ] {
        let mut running = machine.start("/bin/sh", line, &script.input);
        running._hold = None;
        let answer = running.answer(&script, &machine.scrubber());
        assert_eq!(answer, Answer::NotStarted { said: said.to_owned() }, "{line}");
    }
}

#[test]
fn a_far_side_that_gives_back_what_it_is_sent_is_not_started_and_the_secret_is_not_told() {
    let mut machine = Machine::new(posix_shells()[0]);
    machine.secrets.push(("auth", b"tskey-auth-it's".to_vec()));
    let script = machine.render(Mode::Run, &[command(&["cat"]).stdin(&[secret("auth")])]);
    let mut running = machine.start("/bin/sh", "exec cat", &script.input);
    running._hold = None;
    let Answer::NotStarted { said } = running.answer(&script, &machine.scrubber()) else { panic!("it did not run") };
    assert!(said.contains("S0='<secret:auth>'") && !said.contains("tskey"), "{said}");
}
