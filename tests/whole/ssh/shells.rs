//! Login shells of every kind, with start-up files that talk, and real batches through them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use boundary::answer::{Answer, Limits, Ran, Reader};
use boundary::command::{Chunk, Command, Condition, Ending, Mode, Output};
use boundary::script::{Lock, Nonce, Options as Script, render};
use boundary::scrub::Scrubber;
use lab::sshd::{Options, Sshd};
use stagecraft_net::ssh::Connection;
use stagecraft_net::transport::{Ended, ExecError, Flow, Stream, Transport};

use super::{LONG, run, to, within};

/// A shell, its start-up files (name and text), and a line of its own language.
struct Shell {
    program: &'static str,
    files: &'static [(&'static str, &'static str)],
}

/// What every POSIX-like start-up file does here: it talks on both streams, poisons what a script could lean on, and
/// changes directory.
const POISON: &str = "\
echo 'Welcome to the machine'; echo 'warning: disk almost full' >&2
alias env='echo alias' sh='echo alias'
printf() { echo poisoned; }; head() { echo poisoned; }; command() { echo poisoned; }
export PATH=/nowhere:$PATH ENV=/nowhere/env LC_ALL=tr_TR.UTF-8 IFS=x
cd /\n";

const FISH: &str = "\
echo 'Welcome to the machine'; echo 'warning: disk almost full' >&2
function head; echo poisoned; end
function printf; echo poisoned; end
set -gx PATH /nowhere $PATH
set -gx LC_ALL tr_TR.UTF-8
cd /\n";

const CSH: &str = "\
echo 'Welcome to the machine'
alias head 'echo poisoned'
setenv LC_ALL tr_TR.UTF-8
setenv ENV /nowhere/env
cd /\n";

const SHELLS: [Shell; 6] = [
    Shell { program: "bash", files: &[(".bashrc", POISON), (".profile", POISON)] },
    Shell { program: "dash", files: &[(".profile", POISON)] },
    Shell { program: "zsh", files: &[(".zshenv", POISON), (".zshrc", POISON)] },
    Shell { program: "fish", files: &[(".config/fish/config.fish", FISH)] },
    Shell { program: "tcsh", files: &[(".tcshrc", CSH)] },
    Shell { program: "csh", files: &[(".cshrc", CSH)] },
];

fn installed(program: &str) -> Option<PathBuf> {
    ["/bin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(program)).find(|path| path.exists())
}

/// A server whose users have this shell and these start-up files; `None`, visibly, where the shell is not installed.
fn with_shell(shell: &Shell) -> Option<Sshd> {
    let Some(path) = installed(shell.program) else {
        assert!(std::env::var_os("CI").is_none(), "{} is not installed here", shell.program);
        eprintln!("skipped: {} is not installed here", shell.program);
        return None;
    };
    let options =
        Options { login_shell: Some(path), banner: Some("Authorised use only.\n".to_owned()), ..Options::default() };
    let sshd = Sshd::with(&options).expect("sshd");
    for (name, text) in shell.files {
        let file = sshd.home().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, text).expect("written");
    }
    Some(sshd)
}

fn command(words: &[&str]) -> Command {
    Command {
        argv: words.iter().map(|&word| word.to_owned()).collect(),
        env: Vec::new(),
        stdin: Vec::new(),
        as_root: false,
        timeout: Duration::from_secs(20),
        runs: Condition::Ok,
        accepted: vec![0],
    }
}

/// Sends a batch as [`stagecraft_net::session`] does, and reads the answer.
fn batch(connection: &mut Connection, commands: &[Command], script: &Script<'_>) -> (Result<Ended, ExecError>, Answer) {
    let script = render(commands, script).expect("a script");
    let mut reader = Reader::new(&script.expect, &Scrubber::default(), Limits::default());
    let start = Instant::now();
    let ended = connection.exec(
        &script.line,
        &script.input,
        &mut |stream, piece| {
            match stream {
                Stream::Out => reader.stdout(piece),
                Stream::Err => reader.stderr(piece),
            }
            if reader.done() { Flow::Stop } else { Flow::Go }
        },
        &within(LONG),
    );
    let closed = ended == Ok(Ended::Closed);
    (ended, reader.finish(start.elapsed(), closed))
}

fn ran(answer: Answer) -> Ran {
    match answer {
        Answer::Ran(ran) if ran.complete => ran,
        other => panic!("{other:?}"),
    }
}

fn text(output: &Output) -> (&Ending, String, String) {
    let all = |captured: &boundary::command::Captured| {
        assert!(!captured.cut);
        String::from_utf8(captured.head.clone()).expect("text")
    };
    (&output.ending, all(&output.stdout), all(&output.stderr))
}

#[test]
fn every_login_shell_runs_the_line_and_its_start_up_files_only_make_noise() {
    let mut noisy = 0;
    for shell in &SHELLS {
        let Some(sshd) = with_shell(shell) else { continue };
        let mut connection = to(&sshd);
        let (ended, said) = run(&mut connection, "echo 'a  b'\"$HOME\"", b"");
        assert_eq!(ended, Ok(Ended::Closed), "{}", shell.program);
        assert!(said.out().ends_with(&format!("a  b{}\n", sshd.home().display())), "{}: {said:?}", shell.program);
        noisy += usize::from(said.out().starts_with("Welcome to the machine\n"));
    }
    // dash reads no start-up file for a line; of the others, those that are installed do.
    let expected = SHELLS.iter().filter(|shell| shell.program != "dash" && installed(shell.program).is_some()).count();
    assert_eq!(noisy, expected);
}

#[test]
fn a_batch_of_probes_is_the_same_in_every_login_shell() {
    for shell in &SHELLS {
        let Some(sshd) = with_shell(shell) else { continue };
        let mut connection = to(&sshd);
        let nonce = Nonce::new([7; 16]);
        let commands = [
            command(&["printf", "%s|", "a b", "$HOME", "`id`", "'", "\"", "\\", "*", "é", ""]),
            command(&["sh", "-c", "echo out; echo err >&2; exit 3"]),
            command(&["env"]),
            command(&["no-such-program"]),
        ];
        let (ended, answer) = batch(&mut connection, &commands, &Script::probe(&nonce));
        assert_eq!(ended, Ok(Ended::Stopped), "{}", shell.program);
        let ran = ran(answer);
        let name = shell.program;
        let told = format!("{}@", sshd.port());
        assert_eq!(
            text(&ran.outputs[0]),
            (&Ending::Exited(0), "a b|$HOME|`id`|'|\"|\\|*|é||".to_owned(), String::new()),
            "{name}"
        );
        assert_eq!(text(&ran.outputs[1]), (&Ending::Exited(3), "out\n".to_owned(), "err\n".to_owned()), "{name}");
        let (ending, env, _) = text(&ran.outputs[2]);
        assert_eq!(ending, &Ending::Exited(0), "{name}");
        assert!(env.contains("LC_ALL=C\n") && !env.contains("/nowhere") && !env.contains("LAB_SSHD"), "{name}: {env}");
        assert_eq!(text(&ran.outputs[3]).0, &Ending::Exited(127), "{name}");
        assert!(ran.connection.is_some_and(|connection| format!("{connection}@").ends_with(&told)), "{name}");
        assert_eq!((sshd.connections(), sshd.execs()), (1, 1), "{name}");
    }
}

#[test]
fn a_batch_that_changes_runs_in_order_in_every_login_shell_and_gives_a_secret_on_standard_input_only() {
    for shell in &SHELLS {
        let Some(sshd) = with_shell(shell) else { continue };
        let mut connection = to(&sshd);
        let nonce = Nonce::new([9; 16]);
        let lock = sshd.dir().join("lock").display().to_string();
        let value = b"it's a $ecret `x` \\ \"y\"";
        let secrets = |slot: &str| (slot == "key").then_some(&value[..]);
        let owner = Lock { path: &lock, owner: "whole-system test", looked: None };
        let commands = [
            Command { stdin: vec![Chunk::Secret("key".to_owned())], ..command(&["sha256sum"]) },
            Command {
                stdin: vec![Chunk::Bytes(b"plain".to_vec())],
                accepted: vec![0, 1],
                ..command(&["sh", "-c", "cat; exit 1"])
            },
            command(&["false"]),
            command(&["echo", "not reached"]),
            Command { runs: Condition::Always, ..command(&["echo", "always"]) },
        ];
        let script = Script::run(&nonce, owner, &secrets);
        assert_eq!(script.mode, Mode::Run);
        let (_, answer) = batch(&mut connection, &commands, &script);
        let ran = ran(answer);
        let name = shell.program;
        let expected =
            std::process::Command::new("sha256sum").arg(sshd_file(&sshd, value)).output().expect("sha256sum");
        assert_eq!(text(&ran.outputs[0]).1[..64], String::from_utf8_lossy(&expected.stdout)[..64], "{name}");
        assert_eq!(text(&ran.outputs[1]), (&Ending::Exited(1), "plain".to_owned(), String::new()), "{name}");
        assert_eq!(text(&ran.outputs[2]).0, &Ending::Exited(1), "{name}");
        assert_eq!(text(&ran.outputs[3]).0, &Ending::Skipped, "{name}");
        assert_eq!(text(&ran.outputs[4]), (&Ending::Exited(0), "always\n".to_owned(), String::new()), "{name}");
    }
}

fn sshd_file(sshd: &Sshd, bytes: &[u8]) -> PathBuf {
    let path = sshd.dir().join("value");
    fs::write(&path, bytes).expect("written");
    path
}

#[test]
fn an_account_that_runs_something_else_ran_nothing_and_its_words_are_the_reason() {
    for (forced, words) in [
        (Some("echo 'Password change required but no TTY available.'; exit 1"), "Password change required"),
        (Some("echo 'This account is currently not available.'"), "currently not available"),
        (Some("true"), ""),
    ] {
        let options = Options { force_command: forced.map(str::to_owned), ..Options::default() };
        let sshd = Sshd::with(&options).expect("sshd");
        let nonce = Nonce::new([1; 16]);
        let (ended, answer) = batch(&mut to(&sshd), &[command(&["id"])], &Script::probe(&nonce));
        assert_eq!(ended, Ok(Ended::Closed));
        assert!(matches!(&answer, Answer::NotStarted { said } if said.contains(words)), "{answer:?}");
    }
}
