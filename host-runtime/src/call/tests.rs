//! What one call can reach: over the local `/bin/sh` as the machine, with real scripts and answers.

use std::sync::{Mutex, PoisonError, atomic::Ordering};

use boundary::command::{Chunk, Condition};
use serde_json::json;
use zeroize::Zeroizing;

use super::*;
use crate::contract::{CommandRequest, Descriptor, Diagnostic, SecretKind, SecretSlot, Severity, StdinRule};
use crate::secrets::Secrets;
use crate::session::Place;
use crate::transport::local::Local;
use crate::until::Cancel;

/// The secret of a client, with an attribute behind it, and as programs show it.
const KEY: &str = "demo-key-0123456789?short=1";
const SHOWN: &str = "demo-key-0123456789";

fn request(words: &str, mutates: bool, stdin: StdinRule) -> CommandRequest {
    CommandRequest {
        argv: words.split(' ').map(str::to_owned).collect(),
        env: Vec::new(),
        stdin,
        mutates,
        as_root: false,
        reason: "a test".to_owned(),
    }
}

fn descriptor() -> Descriptor {
    Descriptor {
        id: "demo".to_owned(),
        display_name: "Demo".to_owned(),
        description: "A test".to_owned(),
        version: "0.1.0".to_owned(),
        config_schema: "{}".to_owned(),
        secrets: vec![SecretSlot {
            slot: "auth-key".to_owned(),
            env_config_path: "/auth_key_env".to_owned(),
            kinds: vec![SecretKind { name: "demo".to_owned(), prefix: "demo-".to_owned() }],
        }],
        commands: vec![
            request("echo *", false, StdinRule::None),
            request("touch *", true, StdinRule::None),
            request("false", true, StdinRule::None),
            request("cat", true, StdinRule::Secret("auth-key".to_owned())),
        ],
    }
}

const GRANTS: &str = "look echo *\nchange touch *\nchange false\nchange stdin=secret:auth-key cat\n";

struct Rig {
    session: Session,
    policy: Policy,
    config: Value,
    until: Until,
    told: Mutex<Vec<Event>>,
    execs: Arc<std::sync::atomic::AtomicU32>,
    dir: tempfile::TempDir,
}

fn rig(cut_after: Option<usize>) -> Rig {
    let dir = tempfile::tempdir().expect("a directory");
    let transport = Local { cut_after, ..Local::default() };
    let execs = Arc::clone(&transport.execs);
    let place = Place { lock: dir.path().join("lock").display().to_string(), ..Place::default() };
    Rig {
        session: Session::in_place(Box::new(transport), place),
        policy: Policy::new(&descriptor(), GRANTS).expect("the grants parse"),
        config: json!({ "auth_key_env": "DEMO_KEY" }),
        until: Until::after(Duration::from_secs(60), &Cancel::new().expect("an eventfd")),
        told: Mutex::default(),
        execs,
        dir,
    }
}

impl Rig {
    fn file(&self) -> String {
        self.dir.path().join("made").display().to_string()
    }

    fn with<R>(&mut self, steps: Option<Vec<Step>>, go: impl FnOnce(&mut Reach<'_>) -> R) -> (R, Record) {
        let tell = |event| self.told.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        let act = steps.map(|steps| (steps, Arc::new(vault())));
        let mut reach = Reach::new("app-1", &mut self.session, &self.policy, &self.config, act, &self.until, &tell);
        let said = go(&mut reach);
        (said, reach.into_record())
    }
}

fn vault() -> Vault {
    Secrets::from_fn(|_| Some(Zeroizing::new(KEY.as_bytes().to_vec())))
        .open("demo", &descriptor().secrets, &json!({ "auth_key_env": "DEMO_KEY" }), &["auth-key".to_owned()])
        .expect("it is there")
}

fn command(words: &[&str]) -> Command {
    Command {
        argv: words.iter().map(|word| (*word).to_owned()).collect(),
        env: Vec::new(),
        stdin: Vec::new(),
        as_root: false,
        timeout: Duration::from_secs(10),
        runs: Condition::Ok,
        accepted: Vec::new(),
    }
}

fn step(id: &str, secrets: &[&str]) -> Step {
    Step {
        id: id.to_owned(),
        title: format!("Do {id}"),
        detail: None,
        secrets: secrets.iter().map(|slot| (*slot).to_owned()).collect(),
        disruptive: false,
    }
}

fn denied<T: std::fmt::Debug>(said: Result<T, BatchError>) -> Denial {
    match said {
        Err(BatchError::Denied(denial)) => denial,
        other => panic!("not denied: {other:?}"),
    }
}

/// What the host reports when the guest says that it failed in a way of its own.
fn judged(record: Record) -> Failed {
    let guest = Failure { kind: "other".to_owned(), diagnostics: Vec::new() };
    record.judge::<()>("demo", Ok(Err(guest))).expect_err("the guest failed")
}

#[test]
fn a_plan_looks_in_one_exec_and_cannot_touch() {
    let mut rig = rig(None);
    let file = rig.file();
    let (said, record) = rig.with(None, |reach| {
        let said = reach.probe(vec![command(&["echo", "one"]), command(&["echo", "two"])]).expect("looked");
        assert_eq!(reach.connection().as_deref(), Some("127.0.0.1 1 127.0.0.1 2"));
        denied(reach.run("make", vec![command(&["touch", &file])]));
        denied(reach.probe(vec![command(&["touch", &file])]));
        assert_eq!(reach.secret("auth-key"), None);
        said
    });
    assert_eq!(said.iter().map(|one| one.stdout.head.as_slice()).collect::<Vec<_>>(), [b"one\n", b"two\n"]);
    assert_eq!(rig.execs.load(Ordering::SeqCst), 1, "a denial is decided before anything is sent");
    assert!(!std::path::Path::new(&file).exists());
    let failed = judged(record);
    assert_eq!((failed.kind, failed.changed), (Kind::Denied, Changed::Nothing));
}

#[test]
fn shown_steps_bind_the_run_their_names_their_order_and_their_secrets() {
    let mut rig = rig(None);
    let file = rig.file();
    let with_key = Command { stdin: vec![Chunk::Secret("auth-key".to_owned())], ..command(&["cat"]) };
    let (_, record) = rig.with(Some(vec![step("one", &[]), step("two", &["auth-key"])]), |reach| {
        assert!(denied(reach.run("three", vec![command(&["touch", &file])])).reason.contains("not shown"));
        assert!(denied(reach.run("one", vec![with_key.clone()])).reason.contains("without the secret"));
        let shown = command(&["echo", SHOWN]);
        let said = reach.run("two", vec![with_key.clone(), shown]).expect("shown with its secret");
        assert_eq!(said[0].ending, Ending::Exited(0));
        assert_eq!(said[0].stdout.head, b"<secret:auth-key>", "K2: scrubbed before the guest sees it");
        assert_eq!(said[1].stdout.head, b"<secret:auth-key>\n", "K2: so is its longest piece, alone");
        assert!(
            denied(reach.run("one", vec![command(&["touch", &file])])).reason.contains("before one that has begun")
        );
        assert_eq!(reach.secret("auth-key").expect("named by a step").kind.as_deref(), Some("demo"));
    });
    assert!(!std::path::Path::new(&file).exists());
    assert_eq!(judged(record).changed, Changed::Some);
    let told = format!("{:?}", rig.told);
    assert!(told.contains("Do two") && !told.contains("Do one") && !told.contains(KEY), "{told}");
}

#[test]
fn law_3_what_was_changed_is_what_the_host_saw() {
    let mut rig = rig(None);
    let file = rig.file();
    let (said, record) = rig.with(Some(vec![step("one", &[])]), |reach| {
        reach.run("one", vec![command(&["false"]), command(&["touch", &file])]).expect("started")
    });
    assert_eq!(said[0].ending, Ending::Exited(1));
    assert_eq!(said[1].ending, Ending::Skipped);
    assert_eq!(judged(record).changed, Changed::Some, "`false` is granted as `change`, and it ran");

    let (_, record) = rig.with(Some(vec![step("one", &[])]), |reach| {
        reach.probe(vec![command(&["echo", "x"])]).expect("looked");
    });
    assert_eq!(judged(record).changed, Changed::Nothing);
}

#[test]
fn a_connection_that_ends_is_lost_whatever_the_guest_says_and_takes_no_further_batch() {
    let mut rig = rig(Some(5));
    let file = rig.file();
    let ((), record) = rig.with(Some(vec![step("one", &[])]), |reach| {
        let said = reach.run("one", vec![command(&["touch", &file])]).expect("it may have run");
        assert_eq!(said[0].ending, Ending::Unknown);
        assert!(matches!(reach.probe(vec![command(&["echo", "x"])]), Err(BatchError::Unreachable(_))));
    });
    let failed = record.judge("demo", Ok(Ok(()))).expect_err("the guest cannot know");
    assert_eq!((failed.kind, failed.changed), (Kind::Lost, Changed::Unknown));
    assert!(failed.headline().contains("`one`"), "{failed}");
    assert_eq!(rig.execs.load(Ordering::SeqCst), 1);
}

#[test]
fn a_deadline_that_passed_is_told_as_one_and_starts_nothing() {
    let mut rig = rig(None);
    rig.until = rig.until.sooner(Duration::ZERO);
    let (said, record) = rig.with(None, |reach| reach.probe(vec![command(&["echo", "x"])]));
    assert!(matches!(said, Err(BatchError::Stopped(_))));
    assert_eq!(rig.execs.load(Ordering::SeqCst), 0);
    assert_eq!(judged(record).kind, Kind::TimedOut);

    let file = rig.file();
    let (_, record) =
        rig.with(Some(vec![step("one", &[])]), |reach| reach.run("one", vec![command(&["touch", &file])]));
    let failed = judged(record);
    assert_eq!((failed.kind, failed.changed), (Kind::TimedOut, Changed::Nothing));
    assert!(failed.headline().contains("in the step `one`"), "{failed}");
}

#[test]
fn a_machine_that_is_held_is_busy_with_the_holders_name_and_nothing_ran() {
    let mut rig = rig(None);
    let file = rig.file();
    let lock = rig.dir.path().join("lock");
    std::fs::write(&lock, "somebody else").expect("written");
    let held = std::fs::File::open(&lock).expect("there");
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).expect("held");
    let (said, record) =
        rig.with(Some(vec![step("one", &[])]), |reach| reach.run("one", vec![command(&["touch", &file])]));
    let Err(BatchError::Busy(holder)) = said else { panic!("{said:?}") };
    assert_eq!(holder, "somebody else");
    assert!(!std::path::Path::new(&file).exists());
    assert_eq!((judged(record).kind, rig.execs.load(Ordering::SeqCst)), (Kind::Busy, 1));
}

#[test]
fn the_words_of_a_guest_are_cleaned_and_stand_in_its_name() {
    let failure = Failure {
        kind: "secret-invalid".to_owned(),
        diagnostics: vec![Diagnostic {
            severity: Severity::Error,
            code: "x".to_owned(),
            summary: "bad\u{1b}]0;title\u{7} key\u{202e}".to_owned(),
            detail: None,
            config_path: None,
        }],
    };
    let failed = Record::default().judge::<()>("demo", Ok(Err(failure))).expect_err("it failed");
    assert_eq!((failed.kind, failed.changed), (Kind::SecretInvalid, Changed::Nothing));
    assert!(failed.to_string().starts_with("demo provider: bad"));
    assert!(!failed.to_string().contains(['\u{1b}', '\u{7}', '\u{202e}']));
}
