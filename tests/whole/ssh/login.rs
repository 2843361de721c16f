//! Logging in: keys of every kind, agents, and what is told when nobody is let in.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use lab::agent::Agent;
use lab::sshd::{KeyType, Options, Sshd, keygen};
use stagecraft_net::failure::Kind;
use stagecraft_net::ssh::{ConnectError, Endpoint, Outcome, Refusal, Trust, connect, resolve};
use stagecraft_net::until::{Cancel, Until};
use tempfile::TempDir;

use super::{LONG, PROMPT, config, run, told, try_connect, within};

/// Some keys, made before the server that is to know them.
struct Keys {
    dir: TempDir,
    public: Vec<String>,
}

impl Keys {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory"), public: Vec::new() }
    }

    fn add(&mut self, name: &str, key: KeyType, passphrase: &str) -> PathBuf {
        let path = self.path(name);
        self.public.push(keygen(&path, key, passphrase).expect("a key"));
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// A server that lets these keys in, and not its own.
fn only(authorized: &[String]) -> Sshd {
    let sshd = Sshd::with(&Options { authorized: authorized.to_vec(), ..Options::default() }).expect("sshd");
    let file = sshd.dir().join("authorized_keys");
    fs::write(file, authorized.concat()).expect("written");
    sshd
}

/// The way to a server with no key named and this `ssh_config`.
fn through(sshd: &Sshd, lines: &str) -> Endpoint {
    Endpoint { identity: None, config: Some(config(sshd, lines)), ..sshd.endpoint("host") }
}

fn refusal(endpoint: &Endpoint) -> (Refusal, String) {
    match try_connect(endpoint) {
        Err(error @ ConnectError::Authentication { .. }) => {
            assert_eq!((error.kind(), error.before_authentication()), (Kind::Authentication, false));
            let text = told(&error);
            let ConnectError::Authentication { refusal, .. } = error else { unreachable!() };
            (*refusal, text)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_of_every_type_and_form_open_the_door() {
    let mut keys = Keys::new();
    for (name, kind) in [("ed25519", KeyType::Ed25519), ("ecdsa", KeyType::Ecdsa), ("rsa", KeyType::Rsa)] {
        keys.add(name, kind, "");
    }
    for (name, kind, form) in [("rsa-pem", KeyType::Rsa, "PEM"), ("ecdsa-pkcs8", KeyType::Ecdsa, "PKCS8")] {
        let path = keys.add(name, kind, "");
        let rewritten = Command::new("ssh-keygen")
            .args(["-q", "-p", "-N", "", "-P", "", "-m", form, "-f"])
            .arg(&path)
            .output()
            .expect("ssh-keygen");
        assert!(rewritten.status.success(), "{rewritten:?}");
    }
    let sshd = only(&keys.public);
    for name in ["ed25519", "ecdsa", "rsa", "rsa-pem", "ecdsa-pkcs8"] {
        let endpoint = Endpoint { identity: Some(keys.path(name)), ..sshd.endpoint("host") };
        let mut connection = try_connect(&endpoint).unwrap_or_else(|error| panic!("{name}: {}", told(&error)));
        assert_eq!(run(&mut connection, "echo in", b"").1.out(), "in\n", "{name}");
    }
    // Each was let in by its first key, and no other was tried.
    assert!(!sshd.log().contains("Failed"), "{}", sshd.log());
}

#[test]
fn an_rsa_key_signs_with_sha2_by_its_file_and_by_an_agent() {
    let mut keys = Keys::new();
    let path = keys.add("rsa", KeyType::Rsa, "");
    let sshd = only(&keys.public);
    try_connect(&Endpoint { identity: Some(path.clone()), ..sshd.endpoint("host") }).expect("by its file");
    let agent = Agent::start().expect("an agent");
    agent.add(&path, "").expect("added");
    let lines = format!("IdentityAgent {}\nIdentityFile none", agent.socket().display());
    let mut connection = try_connect(&through(&sshd, &lines)).expect("by the agent");
    assert_eq!(run(&mut connection, "echo in", b"").1.out(), "in\n");
}

#[test]
fn an_encrypted_key_works_through_an_agent_or_with_a_passphrase_and_is_never_waited_for() {
    let mut keys = Keys::new();
    let path = keys.add("locked", KeyType::Ed25519, "open sesame");
    let sshd = only(&keys.public);
    let named = Endpoint { identity: Some(path.clone()), ..sshd.endpoint("host") };

    let (refused, text) = refusal(&named);
    assert_eq!(refused.tried.len(), 1, "{text}");
    assert_eq!(refused.tried[0].outcome, Outcome::Encrypted);
    assert!(text.contains("SHA256:") && text.contains("ssh-add"), "{text}");

    for (answer, opens) in [("open sesame", true), ("wrong", false)] {
        let (sender, asked) = mpsc::channel::<PathBuf>();
        let ask = Arc::new(move |path: &Path| {
            sender.send(path.to_owned()).expect("the test waits");
            Some(answer.to_owned().into())
        });
        let target = resolve(&named, &within(LONG)).expect("a target").ask_passphrases(ask);
        let result = connect(&target, Trust::Strict, &within(LONG));
        assert_eq!(result.is_ok(), opens, "{result:?}");
        assert_eq!(asked.try_iter().collect::<Vec<_>>(), std::slice::from_ref(&path));
        if let Err(error) = result {
            assert!(told(&error).contains("wrong passphrase"), "{}", told(&error));
        }
    }

    let agent = Agent::start().expect("an agent");
    agent.add(&path, "open sesame").expect("added");
    let endpoint =
        Endpoint { identity: Some(path), ..through(&sshd, &format!("IdentityAgent {}", agent.socket().display())) };
    let mut connection = try_connect(&endpoint).expect("by the agent");
    assert_eq!(run(&mut connection, "echo in; ssh-add -l 2>&1", b"").1.out().lines().next(), Some("in"));
}

#[test]
fn the_fifth_key_of_eight_is_found_the_seventh_is_not_tried_and_identities_only_finds_it() {
    let mut keys = Keys::new();
    let agent = Agent::start().expect("an agent");
    for n in 1..=8 {
        let path = keys.add(&format!("key-{n}"), KeyType::Ed25519, "");
        agent.add(&path, "").expect("added");
    }
    let by_agent = format!("IdentityAgent {}", agent.socket().display());

    let fifth = only(&keys.public[4..5]);
    try_connect(&through(&fifth, &format!("{by_agent}\nIdentityFile none"))).expect("the fifth");
    assert_eq!(fifth.connections(), 1);

    let seventh = only(&keys.public[6..7]);
    let (refused, text) = refusal(&through(&seventh, &format!("{by_agent}\nIdentityFile none")));
    assert_eq!((refused.tried.len(), refused.left), (6, 2), "{text}");
    assert!(text.contains("hung up before 2 more") && text.contains("IdentitiesOnly"), "{text}");
    assert!(text.contains("agent, \"key-1\"): refused"), "{text}");

    // A server that would take more is not offered more.
    let config = vec!["MaxAuthTries 20".to_owned()];
    let patient = Sshd::with(&Options { config, ..Options::default() }).expect("sshd");
    let (refused, text) = refusal(&through(&patient, &format!("{by_agent}\nIdentityFile none")));
    assert_eq!((refused.tried.len(), refused.left, refused.hung_up), (6, 2, false), "{text}");
    assert!(text.contains("2 more were not tried") && text.contains("offers: publickey"), "{text}");

    // The public half alone names the key that the agent holds.
    let public = keys.path("key-7.pub");
    let chosen = format!("{by_agent}\nIdentitiesOnly yes\nIdentityFile {}", public.display());
    try_connect(&through(&seventh, &chosen)).expect("the seventh");
    let chosen = format!("{by_agent}\nIdentityFile {}", public.display());
    try_connect(&through(&seventh, &chosen)).expect("the seventh comes first");
}

#[test]
fn a_key_file_works_beside_an_agent_that_is_dead_or_empty_or_has_never_heard_of_it() {
    let mut keys = Keys::new();
    let path = keys.add("key", KeyType::Ed25519, "");
    let sshd = only(&keys.public);
    let empty = Agent::start().expect("an agent");
    for socket in [PathBuf::from("/nowhere/agent"), empty.socket()] {
        let lines = format!("IdentityAgent {}\nIdentityFile {}", socket.display(), path.display());
        try_connect(&through(&sshd, &lines)).unwrap_or_else(|error| panic!("{}", told(&error)));
    }
    let other = keys.add("other", KeyType::Ed25519, "");
    let endpoint = Endpoint { identity: Some(other), ..through(&sshd, &format!("IdentityFile {}", path.display())) };
    try_connect(&endpoint).expect("by the second key");
}

#[test]
fn when_nobody_is_let_in_every_key_and_what_the_server_offers_is_told() {
    let mut keys = Keys::new();
    let wrong = keys.add("wrong", KeyType::Ed25519, "");
    let listed = keys.add("listed", KeyType::Ecdsa, "");
    let sshd = only(&[]);
    let lines = format!("IdentityFile {}\nIdentityFile /nowhere/id\nIdentityAgent /nowhere/agent", listed.display());
    let endpoint = Endpoint { identity: Some(wrong), ..through(&sshd, &lines) };
    let (refused, text) = refusal(&endpoint);
    assert_eq!(refused.tried.len(), 3, "{text}");
    assert_eq!(refused.offered.as_deref(), Some("publickey"), "{text}");
    for part in
        ["let nobody in", "ED25519 SHA256:", "ECDSA SHA256:", "/nowhere/agent: No such file", "offers: publickey"]
    {
        assert!(text.contains(part), "{part} is not in: {text}");
    }

    let (refused, text) = refusal(&through(&sshd, "IdentityFile none\nIdentityAgent none"));
    assert!(refused.tried.is_empty() && text.contains("no key to try"), "{text}");
    let named =
        Endpoint { identity: Some("/nowhere/id".into()), ..through(&sshd, "IdentityFile none\nIdentityAgent none") };
    assert!(refusal(&named).1.contains("/nowhere/id: there is no such file"));
}

#[test]
fn a_server_that_hangs_up_in_the_middle_of_the_keys_is_told_so() {
    let mut keys = Keys::new();
    let agent = Agent::start().expect("an agent");
    for n in 1..=4 {
        let path = keys.add(&format!("key-{n}"), KeyType::Ed25519, "");
        agent.add(&path, "").expect("added");
    }
    let options = Options { config: vec!["MaxAuthTries 2".to_owned()], ..Options::default() };
    let sshd = Sshd::with(&options).expect("sshd");
    let (refused, text) =
        refusal(&through(&sshd, &format!("IdentityFile none\nIdentityAgent {}", agent.socket().display())));
    assert!(refused.hung_up && refused.offered.is_none(), "{refused:?}");
    assert!(text.contains("hung up"), "{text}");
}

/// An agent that holds one key, and does with a request for a signature what is asked of it.
fn stubborn(real: &Agent, answer: impl Fn(&mut UnixStream) + Send + 'static) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("agent");
    let listener = UnixListener::bind(&path).expect("bound");
    let behind = real.socket();
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let mut real = UnixStream::connect(&behind).expect("the real one");
            while let Some(request) = frame(&mut client) {
                if request[4] == 13 {
                    answer(&mut client);
                    break;
                }
                real.write_all(&request).expect("asked");
                client.write_all(&frame(&mut real).expect("an answer")).expect("answered");
            }
        }
    });
    (dir, path)
}

fn frame(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = length.to_vec();
    frame.resize(4 + u32::from_be_bytes(length) as usize, 0);
    stream.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

#[test]
fn an_agent_that_never_signs_holds_nobody_past_the_deadline_or_the_cancellation() {
    let mut keys = Keys::new();
    let path = keys.add("key", KeyType::Ed25519, "");
    let sshd = only(&keys.public);
    let real = Agent::start().expect("an agent");
    real.add(&path, "").expect("added");
    let (asked, wait) = mpsc::channel();
    let (_dir, socket) = stubborn(&real, move |client| {
        asked.send(()).expect("the test waits");
        // Until the other side gives up.
        let _ = client.read(&mut [0]);
    });
    let endpoint = through(&sshd, &format!("IdentityFile none\nIdentityAgent {}", socket.display()));
    let target = resolve(&endpoint, &within(LONG)).expect("a target");
    let start = Instant::now();
    let error = connect(&target, Trust::Strict, &within(Duration::from_secs(1))).expect_err("no signature");
    assert_eq!(error.kind(), Kind::TimedOut, "{error}");
    assert!(start.elapsed() < PROMPT);
    wait.recv().expect("asked");

    let cancel = Cancel::new().expect("an eventfd");
    let until = Until::after(LONG, &cancel);
    let waiter = std::thread::spawn(move || (connect(&target, Trust::Strict, &until), Instant::now()));
    wait.recv().expect("asked");
    let cancelled = Instant::now();
    cancel.cancel();
    let (result, ended) = waiter.join().expect("no panic");
    assert_eq!(result.expect_err("cancelled").kind(), Kind::Cancelled);
    assert!(ended - cancelled < PROMPT);
}

#[test]
fn an_agent_that_refuses_to_sign_is_told_and_the_next_key_is_tried() {
    let mut keys = Keys::new();
    let held = keys.add("held", KeyType::Ed25519, "");
    let file = keys.add("file", KeyType::Ed25519, "");
    let sshd = only(&keys.public);
    let real = Agent::start().expect("an agent");
    real.add(&held, "").expect("added");
    let (_dir, socket) = stubborn(&real, |client| client.write_all(&[0, 0, 0, 1, 5]).expect("answered"));
    let by_agent = format!("IdentityAgent {}", socket.display());
    let (_, text) = refusal(&through(&sshd, &format!("{by_agent}\nIdentityFile none")));
    assert!(text.contains("the agent did not sign") && text.contains("unlock the agent"), "{text}");
    try_connect(&through(&sshd, &format!("{by_agent}\nIdentityFile {}", file.display()))).expect("by the file");
}

#[test]
fn the_agent_is_not_forwarded() {
    let agent = Agent::start().expect("an agent");
    let sshd = Sshd::start().expect("sshd");
    agent.add(&sshd.key(), "").expect("added");
    let lines = format!("IdentityFile none\nIdentityAgent {}\nForwardAgent yes", agent.socket().display());
    let mut connection = try_connect(&through(&sshd, &lines)).expect("by the agent");
    assert_eq!(run(&mut connection, "echo \"[$SSH_AUTH_SOCK]\"", b"").1.out(), "[]\n");
}
