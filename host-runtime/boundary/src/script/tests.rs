//! What is refused, and what is written. That real shells read it so is shown in `tests/shells`.

use proptest::prelude::*;

use super::*;

const KEY: &[u8] = b"it's-a-key";

fn nonce() -> Nonce {
    Nonce::new([0x0f; 16])
}

fn command(argv: &[&str]) -> Command {
    Command {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: Vec::new(),
        stdin: Vec::new(),
        as_root: false,
        timeout: Duration::from_millis(1500),
        runs: Condition::Ok,
        accepted: Vec::new(),
    }
}

fn with_stdin(stdin: Vec<Chunk>) -> Command {
    Command { stdin, ..command(&["cat"]) }
}

const LOCK: Lock<'_> = Lock { path: LOCK_PATH, owner: "anna on laptop", looked: None };

fn run(commands: &[Command]) -> Result<Script, RenderError> {
    let nonce = nonce();
    render(commands, &Options::run(&nonce, LOCK, &|slot| (slot == "auth").then_some(KEY)))
}

fn probe(commands: &[Command]) -> Result<Script, RenderError> {
    let nonce = nonce();
    render(commands, &Options::probe(&nonce))
}

#[test]
fn a_run_reads_as_it_is_documented() {
    let batch = [
        Command {
            as_root: true,
            env: vec![("TRACK".to_owned(), "it's".to_owned())],
            ..command(&["curl", "-fsSL", "a b"])
        },
        Command { accepted: vec![0, 3], ..with_stdin(vec![Chunk::Bytes(b"x\0\0y".to_vec()), Chunk::StdoutOf(0)]) },
        Command { runs: Condition::Failed, as_root: true, ..with_stdin(vec![Chunk::Secret("auth".to_owned())]) },
        Command { runs: Condition::Always, ..command(&["true"]) },
    ];
    let script = run(&batch).unwrap();
    insta::assert_snapshot!(format!("{}\n\n{}", script.line, String::from_utf8_lossy(&script.input)));
}

#[test]
fn a_run_with_a_password_for_sudo_reads_as_it_is_documented() {
    let batch = [command(&["id"]), Command { as_root: true, ..with_stdin(vec![Chunk::Secret("auth".to_owned())]) }];
    let nonce = nonce();
    let secrets = |_: &str| Some(KEY);
    let options = Options { sudo: Sudo::Password(b"it's-the-password"), ..Options::run(&nonce, LOCK, &secrets) };
    let script = render(&batch, &options).unwrap();
    insta::assert_snapshot!(String::from_utf8_lossy(&script.input));
}

#[test]
fn a_password_stands_only_where_root_is_needed_and_only_one_that_can_be_kept_out_of_what_is_printed() {
    let nonce = nonce();
    let probe = |password: &'static [u8], as_root| {
        let options = Options { sudo: Sudo::Password(password), ..Options::probe(&nonce) };
        let commands = [Command { as_root, ..command(&["id"]) }];
        render(&commands, &options).map(|script| String::from_utf8_lossy(&script.input).into_owned())
    };
    let holds = |as_root| probe(b"the-password", as_root).unwrap().contains("the-password");
    assert_eq!([holds(false), holds(true)], [false, true]);
    assert!(matches!(probe(b"short", true), Err(RenderError::WeakSecret(_))));
    for two in [b"two\nlines-of-it".as_slice(), b"two\rlines-of-it"] {
        assert_eq!(probe(two, true), Err(RenderError::SudoPassword));
    }
}

#[test]
fn a_probe_reads_as_it_is_documented() {
    let batch = [command(&["uname"]), command(&["id"]), with_stdin(vec![Chunk::StdoutOf(0)])];
    let script = probe(&batch).unwrap();
    insta::assert_snapshot!(format!("{}\n\n{}", script.line, String::from_utf8_lossy(&script.input)));
}

#[test]
fn a_batch_has_commands_and_not_too_many() {
    assert_eq!(run(&[]).unwrap_err(), RenderError::NoCommands);
    let many = vec![command(&["true"]); MAX_COMMANDS];
    assert!(run(&many).is_ok() && probe(&many).is_ok());
    let found = MAX_COMMANDS + 1;
    assert_eq!(probe(&vec![command(&["true"]); found]).unwrap_err(), RenderError::TooManyCommands { found });
}

#[test]
fn words_and_variables_are_checked_and_the_command_is_named() {
    let error = run(&[command(&["true"]), command(&["-x"])]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "command 1: the first word of a command is a program; `-x` begins with `-`, so it would be read as an option"
    );
    let env = Command { env: vec![("PATH".to_owned(), "/x".to_owned())], ..command(&["true"]) };
    assert!(matches!(probe(&[env]), Err(RenderError::Argv { command: 0, error: ArgvError::VariableForbidden(_) })));
}

#[test]
fn a_command_reads_only_the_output_of_an_earlier_one() {
    for of in [1, 2, 7, u32::MAX] {
        let batch = [command(&["true"]), with_stdin(vec![Chunk::StdoutOf(of)])];
        assert_eq!(run(&batch).unwrap_err(), RenderError::NotEarlier { command: 1, of });
        assert_eq!(probe(&batch).unwrap_err(), RenderError::NotEarlier { command: 1, of });
    }
}

#[test]
fn input_has_a_bound_that_counts_all_chunks_of_a_command() {
    let half = Chunk::Bytes(vec![0; MAX_STDIN / 2]);
    assert!(run(&[with_stdin(vec![half.clone(), half.clone()])]).is_ok());
    let over = with_stdin(vec![half.clone(), half, Chunk::Bytes(vec![1])]);
    assert_eq!(run(&[over]).unwrap_err(), RenderError::TooMuchInput { command: 0, found: MAX_STDIN + 1 });
}

#[test]
fn secrets_stand_once_in_a_run_and_never_in_a_probe_or_the_line() {
    let twice = [
        with_stdin(vec![Chunk::Secret("auth".to_owned()), Chunk::Secret("auth".to_owned())]),
        with_stdin(vec![Chunk::Secret("auth".to_owned())]),
    ];
    let script = run(&twice).unwrap();
    let text = String::from_utf8(script.input.to_vec()).unwrap();
    assert_eq!(text.matches("it'\\''s-a-key").count(), 1);
    assert_eq!(text.matches("printf %s \"$S0\";").count(), 3);
    assert!(!script.line.contains("key") && !format!("{script:?}").contains("key"));
    assert_eq!(probe(&twice).unwrap_err(), RenderError::SecretInProbe { command: 0 });

    let other = [with_stdin(vec![Chunk::Secret("other".to_owned())])];
    assert_eq!(run(&other).unwrap_err(), RenderError::NoSecret { command: 0, slot: "other".to_owned() });
    let nonce = nonce();
    let weak = render(&twice, &Options::run(&nonce, LOCK, &|_| Some(b"short")));
    assert!(matches!(weak, Err(RenderError::WeakSecret(WeakSecret::Short { .. }))), "{weak:?}");
}

#[test]
fn options_that_a_shell_could_read_otherwise_are_refused() {
    let nonce = nonce();
    let batch = [command(&["true"])];
    let run = Options::run(&nonce, LOCK, &|_| None);
    for path in ["", "relative", "/a b", "/a'b", "/a\\b", "/a!b", "/a\nb", "/$(id)", "/~", "/é"] {
        let refused = Err(RenderError::Path(path.to_owned()));
        assert_eq!(render(&batch, &Options { scratch: path, ..run }).map(|_| ()), refused);
        assert_eq!(render(&batch, &Options { lock: Some(Lock { path, ..LOCK }), ..run }).map(|_| ()), refused);
        assert_eq!(render(&batch, &Options { search_path: path, ..run }).map(|_| ()), refused);
    }
    let search_path = render(&batch, &Options { search_path: "/bin:sbin", ..run });
    assert_eq!(search_path.unwrap_err(), RenderError::Path("sbin".to_owned()));
    let long = "x".repeat(MAX_OWNER + 1);
    for owner in ["", "  ", "two\nlines", "\u{1b}[m", "é", &long] {
        let refused = render(&batch, &Options { lock: Some(Lock { owner, ..LOCK }), ..run });
        assert_eq!(refused.unwrap_err(), RenderError::Owner, "{owner}");
    }
    let probe = render(&batch, &Options { lock: Some(LOCK), ..Options::probe(&nonce) });
    assert_eq!(probe.unwrap_err(), RenderError::LockInProbe);
}

#[test]
fn a_time_limit_is_whole_seconds_and_never_none() {
    for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (60_000, 60)] {
        assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
    }
}

#[test]
fn a_nonce_is_32_digits_and_does_not_show_itself() {
    assert_eq!(nonce().as_str(), "0f".repeat(16));
    assert_eq!(format!("{:?}", nonce()), "Nonce(…)");
}

const END: &[u8] = b"\n}\nm";

/// Anything that may be asked for. That its buffer has the room, `render` itself asserts.
fn commands() -> impl Strategy<Value = Vec<Command>> {
    let chunk = prop_oneof![
        prop::collection::vec(0_u8..3, 0..40).prop_map(Chunk::Bytes),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Chunk::Bytes),
        Just(Chunk::Secret("auth".to_owned())),
        (0_u32..8).prop_map(Chunk::StdoutOf),
    ];
    let command = (
        prop::collection::vec("[a-z']{1,9}", 1..5),
        prop::collection::vec(("[A-Z]{5}", "[^\\x00]{0,9}"), 0..4),
        prop::collection::vec(chunk, 0..9),
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..300),
        0_usize..3,
    );
    let command = command.prop_map(|(argv, env, stdin, as_root, accepted, runs)| Command {
        argv,
        env,
        stdin,
        as_root,
        timeout: Duration::MAX,
        runs: [Condition::Ok, Condition::Failed, Condition::Always][runs],
        accepted,
    });
    prop::collection::vec(command, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_renders_has_no_nul_and_ends_with_the_call(mut commands in commands()) {
        for (place, command) in commands.iter_mut().enumerate() {
            command.stdin.retain(|chunk| !matches!(chunk, Chunk::StdoutOf(of) if *of as usize >= place));
        }
        let script = run(&commands).unwrap();
        prop_assert!(!script.input.contains(&0));
        prop_assert!(script.input.ends_with(END));
        let length = format!("head -c {}", script.input.len());
        prop_assert!(script.line.contains(&length));
        for command in &mut commands {
            command.stdin.retain(|chunk| !matches!(chunk, Chunk::Secret(_)));
        }
        prop_assert!(probe(&commands).unwrap().input.ends_with(END));
    }
}
