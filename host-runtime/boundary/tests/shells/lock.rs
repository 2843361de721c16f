//! The machine's lock: one run at a time, and it never outlives its run.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use boundary::answer::Answer;
use boundary::command::{Command, Condition, Ending, Mode};

use crate::machine::{DEADLINE, Machine, Shell, With, command, is_root, names, posix_shells, sh, wait_for};

/// A machine with a lock, as we are and, when root runs the tests, as an ordinary user with a `sudo`.
fn machines() -> Vec<Machine> {
    let mut machines = Vec::new();
    for shell in posix_shells() {
        machines.push(with_sudo(shell));
        if is_root() {
            let mut machine = with_sudo(shell);
            machine.uid = Some(65534);
            machines.push(machine);
        } else {
            println!("SKIPPED: the lock as another user, since only root can become one");
        }
    }
    machines
}

fn with_sudo(shell: Shell) -> Machine {
    let mut machine = Machine::new(shell);
    machine.lock = true;
    machine.owner = "anna on laptop";
    machine.program("sudo", "#!/bin/sh\n[ \"$1 $2\" = '-n --' ] || exit 9\nshift 2\necho 'sudo: unable to resolve host x' >&2\nexec \"$@\"\n");
    machine
}

/// A command that says that it runs and goes on until it is told.
fn wait_command(machine: &Machine) -> Command {
    let (started, go) = (machine.path("scratch/started"), machine.path("scratch/go"));
    sh(&format!("touch {}; until [ -e {} ]; do sleep 0.02; done; echo done", started.display(), go.display()))
}

fn is_free(machine: &Machine) -> bool {
    let output = std::process::Command::new("flock").arg("-n").arg(machine.path("lock/lock")).arg("true").output();
    output.unwrap().status.success()
}

fn fds(pid: &str) -> BTreeSet<String> {
    names(&PathBuf::from(format!("/proc/{pid}/fd"))).into_iter().collect()
}

/// The descriptors that every program has that this test starts.
fn inherited() -> BTreeSet<String> {
    let stays = |fd: &String| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or("02000000");
        u64::from_str_radix(flags.trim(), 8).unwrap() & 0o2000000 == 0
    };
    ["0", "1", "2"].map(str::to_owned).into_iter().chain(fds("self").into_iter().filter(stays)).collect()
}

#[test]
fn a_second_run_is_told_who_holds_the_machine_and_runs_nothing_and_a_probe_does_not_care() {
    for machine in machines() {
        let first = machine.render(Mode::Run, &[wait_command(&machine)]);
        let running = machine.start("/bin/sh", &first.line, &first.input);
        wait_for("the first run starts", || machine.path("scratch/started").exists());
        assert!(!is_free(&machine));

        let other = command(&["touch", machine.path("scratch/ran").to_str().unwrap()]).by_root();
        let busy = machine.answer(Mode::Run, std::slice::from_ref(&other));
        let Answer::Busy { holder } = busy else { panic!("{}: {busy:?}", machine.shell.name) };
        let time = holder.strip_prefix("anna on laptop, for ").and_then(|rest| rest.strip_suffix(" s"));
        assert!(time.is_some_and(|time| time.parse::<u64>().is_ok()), "{}: {holder}", machine.shell.name);
        assert!(!machine.path("scratch/ran").exists());
        let looked = machine.ran(Mode::Probe, &[command(&["echo", "looked"])]);
        assert_eq!(looked.outputs[0].stdout.head, b"looked\n");
        assert!(!looked.locked);

        fs::write(machine.path("scratch/go"), "").unwrap();
        let Answer::Ran(ran) = running.answer(&first, &machine.scrubber()) else { panic!("it ran") };
        assert!(ran.complete && ran.locked, "{ran:?}");
        assert_eq!(ran.outputs[0].stdout.head, b"done\n");
        // Free at once: the next batch of the same run must not find itself busy.
        for _ in 0..5 {
            assert!(machine.ran(Mode::Run, std::slice::from_ref(&other)).locked);
        }
        assert!(machine.path("scratch/ran").exists());
        assert!(is_free(&machine));
    }
}

#[test]
fn a_daemon_that_a_command_leaves_behind_does_not_keep_the_lock() {
    for machine in machines() {
        let pid = machine.path("scratch/pid");
        let daemon = format!("setsid sleep 60 & echo $! >{}", pid.display());
        let batch = [sh(&daemon), sh(&daemon.replace("pid", "pid2")).by_root()];
        let started = Instant::now();
        let ran = machine.ran(Mode::Run, &batch);
        assert!(ran.locked && started.elapsed() < Duration::from_secs(20));
        assert!(is_free(&machine), "{}", machine.shell.name);
        // It has the three streams, and what the test itself was started with.
        for file in ["scratch/pid", "scratch/pid2"] {
            let pid = fs::read_to_string(machine.path(file)).unwrap();
            assert_eq!(fds(pid.trim()), inherited(), "{}", machine.shell.name);
            assert!(std::process::Command::new("kill").arg(pid.trim()).status().unwrap().success());
        }
    }
}

#[test]
fn the_lock_ends_with_the_script_even_when_that_is_killed() {
    for machine in machines() {
        let script = machine.render(Mode::Run, &[wait_command(&machine)]);
        let mut running = machine.start("/bin/sh", &script.line, &script.input);
        wait_for("the run starts", || machine.path("scratch/started").exists());
        assert!(!is_free(&machine));
        running.child.kill().unwrap();
        wait_for("the lock is free", || is_free(&machine));
        // What stands in the file is of no meaning without the lock.
        let holder = fs::read_to_string(machine.path("lock/lock")).unwrap();
        assert_eq!(holder.lines().next(), Some("anna on laptop"));
        fs::write(machine.path("scratch/go"), "").unwrap();
        assert!(machine.ran(Mode::Run, &[command(&["true"])]).locked);
        let left: Vec<String> = machine.leftovers().into_iter().filter(|name| name.starts_with("stagecraft")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_lock_whose_holder_has_not_yet_said_who_it_is_is_held_all_the_same() {
    for machine in machines() {
        let path = machine.path("lock/lock");
        // As in the moment between taking it and writing who took it.
        fs::write(&path, "").unwrap();
        if let Some(uid) = machine.uid {
            std::os::unix::fs::chown(&path, Some(uid), Some(uid)).unwrap();
        }
        let held = fs::File::open(&path).unwrap();
        rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let busy = machine.answer(Mode::Run, &[command(&["true"]).by_root()]);
        assert_eq!(busy, Answer::Busy { holder: String::new() }, "{}", machine.shell.name);
    }
}

#[test]
fn what_was_decided_before_another_run_let_the_machine_go_is_not_done() {
    for mut machine in machines() {
        let look = |machine: &Machine| machine.ran(Mode::Probe, &[command(&["true"])]).uptime.expect("an uptime");
        // Later by the machine's own clock, which counts hundredths of a second.
        let later = |machine: &Machine, than: u64| wait_for("time goes by", || look(machine) > than);
        let old = look(&machine);
        later(&machine, old);
        machine.ran(Mode::Run, &[command(&["true"])]);
        let text = fs::read_to_string(machine.path("lock/lock")).unwrap();
        let let_go: u64 = text.lines().nth(1).expect("when it was let go").parse().unwrap();
        later(&machine, let_go);

        let ran = machine.path("scratch/ran");
        let touch = command(&["touch", ran.to_str().unwrap()]);
        machine.owner = "ben on desktop";
        machine.looked = Some(old);
        let moved = Answer::Moved { by: "anna on laptop".to_owned() };
        assert_eq!(machine.answer(Mode::Run, std::slice::from_ref(&touch)), moved, "{}", machine.shell.name);
        assert_eq!(machine.answer(Mode::Run, std::slice::from_ref(&touch)), moved, "as often as it is asked");
        assert!(!ran.exists());
        machine.looked = Some(look(&machine));
        assert!(machine.ran(Mode::Run, std::slice::from_ref(&touch)).locked && ran.exists());
        // Its own batches do not make a run look again.
        machine.looked = Some(old);
        assert!(machine.ran(Mode::Run, std::slice::from_ref(&touch)).locked);

        // A run that died with the lock did not say when: everybody looks again, once.
        fs::write(machine.path("lock/lock"), "carla on tablet\n").unwrap();
        machine.looked = Some(look(&machine));
        let moved = Answer::Moved { by: "carla on tablet".to_owned() };
        assert_eq!(machine.answer(Mode::Run, std::slice::from_ref(&touch)), moved, "{}", machine.shell.name);
        let seen: u64 = fs::read_to_string(machine.path("lock/lock")).unwrap().lines().nth(1).unwrap().parse().unwrap();
        later(&machine, seen);
        machine.looked = Some(look(&machine));
        assert!(machine.ran(Mode::Run, std::slice::from_ref(&touch)).locked);
        assert!(is_free(&machine));
    }
}

#[test]
fn a_batch_that_needs_root_does_not_start_without_the_lock_and_says_what_sudo_said() {
    if !is_root() {
        println!("SKIPPED: needs root, to become an ordinary user without a sudo");
        return;
    }
    for shell in posix_shells() {
        let mut machine = with_sudo(shell);
        machine.uid = Some(65534);
        machine.program("sudo", "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n");
        let ran = machine.path("scratch/ran");
        let touch = command(&["touch", ran.to_str().unwrap()]);
        let refused = machine.answer(Mode::Run, &[touch.clone(), command(&["true"]).by_root()]);
        let why = "sudo: a password is required".to_owned();
        assert_eq!(refused, Answer::NoLock { uid: Some(65534), why }, "{}", shell.name);
        assert!(!ran.exists());
        // One that needs no root goes on, and says that it held no lock.
        let went = machine.ran(Mode::Run, &[touch]);
        assert!(!went.locked && went.uid == Some(65534) && ran.exists());
        fs::remove_file(ran).unwrap();
        machine.assert_clean();
    }
}

#[test]
fn root_does_not_start_without_the_lock_either() {
    for shell in posix_shells() {
        let machine = with_sudo(shell);
        machine.program("id", "#!/bin/sh\necho 0\n");
        fs::remove_dir(machine.path("lock")).unwrap();
        let refused = machine.answer(Mode::Run, &[command(&["true"])]);
        let Answer::NoLock { uid: Some(0), why } = &refused else { panic!("{refused:?}") };
        assert!(why.contains("lock/lock"), "{why}");

        fs::create_dir(machine.path("lock")).unwrap();
        machine.program("flock", "#!/bin/sh\necho 'flock: it broke' >&2\nexit 71\n");
        let refused = machine.answer(Mode::Run, &[command(&["true"])]);
        assert_eq!(refused, Answer::NoLock { uid: Some(0), why: "flock: it broke".to_owned() });
        machine.assert_clean();
    }
}

#[test]
fn the_lock_is_roots_own_file_and_commands_run_within_it_as_who_they_should() {
    if !is_root() {
        println!("SKIPPED: needs root, to become an ordinary user with a sudo");
        return;
    }
    for shell in posix_shells() {
        // This `sudo` is started by an ordinary user and cannot make it root, but it leaves a trace of what it was told.
        let mut machine = with_sudo(shell);
        machine.uid = Some(65534);
        let trace = machine.path("scratch/trace");
        machine.program(
            "sudo",
            &format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >>{}\nshift 2\nexec \"$@\"\n", trace.display()),
        );
        let ran = machine.ran(
            Mode::Run,
            &[
                command(&["id", "-u"]),
                command(&["echo", "a"]).by_root().env("X", "y"),
                command(&["false"]),
                command(&["echo", "b"]).runs(Condition::Failed).by_root().timeout(Duration::from_millis(2500)),
            ],
        );
        assert_eq!(ran.outputs[0].stdout.head, b"65534\n");
        assert_eq!(ran.outputs[3].ending, Ending::Exited(0));
        let trace = fs::read_to_string(trace).unwrap();
        let lines: Vec<&str> = trace.lines().collect();
        // 60, and 30 + 5 for each of three commands, and 3 + 5.
        assert!(lines[0].starts_with("-n -- timeout -k 5 -- 173 sh -c umask 077; u() "), "{}", lines[0]);
        assert_eq!(lines[1..], ["-n -- timeout -k 5 -- 30 env -- X=y echo a", "-n -- timeout -k 5 -- 3 echo b"]);
        use std::os::unix::fs::MetadataExt;
        assert_eq!(fs::metadata(machine.path("lock/lock")).unwrap().mode() & 0o777, 0o600);
    }
}

#[test]
fn the_holder_has_a_bound_of_its_own() {
    for shell in posix_shells() {
        let machine = with_sudo(shell);
        // Even a `cat` that never sees the end of its input goes when the batch cannot be running any more.
        machine.program("timeout", "#!/bin/sh\nshift 3\nshift\nexec /usr/bin/timeout -k 1 1 \"$@\"\n");
        machine.program("cat", "#!/bin/sh\nexec sleep 60\n");
        let started = Instant::now();
        let ran = machine.ran(Mode::Run, &[command(&["true"])]);
        assert!(ran.locked && started.elapsed() < DEADLINE);
        assert!(is_free(&machine));
    }
}
