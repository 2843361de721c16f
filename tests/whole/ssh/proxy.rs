//! Jump hosts and proxy commands.

use std::fs;
use std::time::{Duration, Instant};

use lab::sshd::{KeyType, Options, Sshd};
use stagecraft_net::failure::Kind;
use stagecraft_net::ssh::{ConnectError, Endpoint, JumpKey, Trust, connect, resolve};
use stagecraft_net::until::{Cancel, Until};

use super::{LONG, PROMPT, config, run, told, try_connect, within};

/// A server, and a second one through which it is reached.
fn two() -> (Sshd, Sshd) {
    let jump = Sshd::start().expect("sshd");
    let key = fs::read_to_string(jump.key().with_extension("pub")).expect("a key");
    (jump, Sshd::with(&Options { authorized: vec![key], ..Options::default() }).expect("sshd"))
}

/// The way to `sshd` with these lines for `host`, and an alias for the jump host.
fn behind(jump: &Sshd, sshd: &Sshd, lines: &str) -> Endpoint {
    let known = sshd.dir().join("known_hosts_of_both");
    let both = [jump.known_hosts(), sshd.known_hosts()].map(|file| fs::read_to_string(file).expect("a file"));
    fs::write(&known, both.concat()).expect("written");
    let lines = format!(
        "IdentityAgent none\nUserKnownHostsFile {}\n\
         Host jump\n HostName 127.0.0.1\n Port {}\n User {}\n IdentityFile {}\n\
         Host host\n HostName 127.0.0.1\n Port {}\n User {}\n IdentityFile {}\n {lines}\nHost *",
        known.display(),
        jump.port(),
        jump.user(),
        jump.key().display(),
        sshd.port(),
        sshd.user(),
        sshd.key().display(),
    );
    Endpoint { name: "host".to_owned(), config: Some(config(sshd, &lines)), ..Endpoint::default() }
}

/// The processes whose command line holds this text.
fn running(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("proc").flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(text) {
            found.push(line);
        }
    }
    found
}

/// Waits until none is left: who is killed takes a moment to be gone.
fn gone(text: &str) {
    let end = Instant::now() + LONG;
    while !running(text).is_empty() {
        assert!(Instant::now() < end, "{:?}", running(text));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_host_behind_a_jump_host_is_one_connection_at_each_and_nothing_is_left() {
    let (jump, sshd) = two();
    let endpoint = behind(&jump, &sshd, "ProxyJump jump");
    let target = resolve(&endpoint, &within(LONG)).expect("a target");
    assert_eq!(target.gate(), "jump");
    let mut connection = try_connect(&endpoint).unwrap_or_else(|error| panic!("{}", told(&error)));
    let input = vec![b'x'; 1 << 20];
    assert_eq!(run(&mut connection, "cat >/dev/null; echo $SSH_CONNECTION", &input).1.out().split(' ').count(), 4);
    assert_eq!((jump.connections(), jump.execs(), sshd.connections(), sshd.execs()), (1, 0, 1, 1));
    let config = endpoint.config.expect("a file").display().to_string();
    assert_eq!(running(&config).len(), 1);
    drop(connection);
    assert_eq!(running(&config), Vec::<String>::new());
    jump.wait_log(|log| log.contains("Disconnected from user") || log.contains("Connection closed")).expect("ended");
}

#[test]
fn a_chain_of_jump_hosts_and_a_proxy_command_work_too() {
    let (jump, sshd) = two();
    let again = format!("{}@127.0.0.1:{}", jump.user(), jump.port());
    let chain = behind(
        &jump,
        &sshd,
        &format!("ProxyJump jump,{again}\nHost 127.0.0.1\n IdentityFile {}", jump.key().display()),
    );
    let mut connection = try_connect(&chain).unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(run(&mut connection, "echo in", b"").1.out(), "in\n");
    assert_eq!(jump.connections(), 2);

    let endpoint = behind(&jump, &sshd, "");
    let file = endpoint.config.expect("a file");
    let command = format!("ProxyCommand ssh -F {} -W %h:%p jump", file.display());
    let mut connection =
        try_connect(&behind(&jump, &sshd, &command)).unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(run(&mut connection, "echo in", b"").1.out(), "in\n");
}

#[test]
fn a_jump_host_that_is_not_known_is_refused_unless_new_ones_are_accepted_and_it_is_told_what_it_is() {
    let (jump, sshd) = two();
    let endpoint = behind(&jump, &sshd, "ProxyJump jump\nHost *\n StrictHostKeyChecking no\n LogLevel QUIET");
    let known = sshd.dir().join("known_hosts_of_both");
    fs::copy(sshd.known_hosts(), &known).expect("written");
    let error = try_connect(&endpoint).expect_err("the jump host is not known");
    let text = told(&error);
    assert!(matches!(error, ConnectError::JumpHostKey { why: JumpKey::Unknown, .. }), "{text}");
    assert!(error.kind() == Kind::HostKey && !error.before_authentication(), "{text}");
    let place = format!("[127.0.0.1]:{}", jump.port());
    assert!(
        text.contains(&format!("the key of the jump host {place} is not known")) && text.contains("trust"),
        "{text}"
    );
    assert_eq!(sshd.connections(), 0);

    let other = fs::read_to_string(sshd.known_hosts()).expect("a file");
    let key = other.split_once(' ').expect("a line").1;
    fs::write(&known, format!("{place} {key}{other}")).expect("written");
    let error = try_connect(&endpoint).expect_err("it is another");
    assert!(matches!(error, ConnectError::JumpHostKey { why: JumpKey::Changed, .. }), "{}", told(&error));
    fs::write(&known, format!("@revoked {}{other}", fs::read_to_string(jump.known_hosts()).expect("a file")))
        .expect("written");
    let error = try_connect(&endpoint).expect_err("it is revoked");
    assert!(matches!(error, ConnectError::JumpHostKey { why: JumpKey::Revoked, .. }), "{}", told(&error));

    fs::copy(sshd.known_hosts(), &known).expect("written");
    connect(&resolve(&endpoint, &within(LONG)).expect("a target"), Trust::AcceptNew, &within(LONG)).expect("accepted");
    assert!(
        fs::read_to_string(&known).expect("a file").contains(&jump.host_key(KeyType::Ed25519).expect("a key")[..60])
    );
}

#[test]
fn the_projects_known_hosts_and_key_hold_for_every_jump_host_that_the_project_names() {
    let (jump, sshd) = two();
    // One server under two names is two jump hosts; ssh_config knows neither, and has no key for them.
    let again = format!("{}@localhost:{}", jump.user(), jump.port());
    let chain = format!("{}@127.0.0.1:{},{again}", jump.user(), jump.port());
    let known = |names: &[&str]| {
        let key = jump.host_key(KeyType::Ed25519).expect("a key");
        let lines = names.iter().map(|name| format!("[{name}]:{} {key}\n", jump.port()));
        let file = sshd.dir().join("project known_hosts");
        fs::write(&file, lines.collect::<String>() + &fs::read_to_string(sshd.known_hosts()).expect("a file"))
            .expect("written");
        file
    };
    let text = "IdentityAgent none\nIdentityFile none\nUserKnownHostsFile /dev/null\nHost *";
    let endpoint = |names: &[&str]| Endpoint {
        name: "host".to_owned(),
        address: Some("127.0.0.1".to_owned()),
        port: Some(sshd.port()),
        user: Some(sshd.user().to_owned()),
        identity: Some(jump.key()),
        known_hosts: Some(known(names)),
        jump: Some(chain.clone()),
        config: Some(config(&sshd, text)),
        ..Endpoint::default()
    };
    let error = try_connect(&endpoint(&["127.0.0.1"])).expect_err("the second is not known");
    assert!(
        told(&error).contains(&format!("the jump host [localhost]:{} is not known", jump.port())),
        "{}",
        told(&error)
    );
    let error = try_connect(&endpoint(&["localhost"])).expect_err("the first is not known");
    assert!(
        told(&error).contains(&format!("the jump host [127.0.0.1]:{} is not known", jump.port())),
        "{}",
        told(&error)
    );
    assert_eq!(sshd.connections(), 0);
    let mut connection =
        try_connect(&endpoint(&["127.0.0.1", "localhost"])).unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(run(&mut connection, "echo in", b"").1.out(), "in\n");
}

#[test]
fn a_proxy_that_fails_is_told_with_its_last_words_and_a_host_that_it_does_not_reach_too() {
    let (jump, sshd) = two();
    let words = behind(&jump, &sshd, "ProxyCommand sh -c 'seq 100000 >&2; echo no route to %h >&2; exit 7'");
    let error = try_connect(&words).expect_err("it fails");
    let text = told(&error);
    assert!(text.contains("no route to 127.0.0.1") && text.contains("exit status: 7"), "{text}");
    assert!(error.before_authentication() && text.len() < 1000, "{text}");

    // A bastion that knows none of our keys is asked once: the next time would be a failed log-in more.
    let nobody = Endpoint { jump: Some(format!("nobody@127.0.0.1:{}", jump.port())), ..behind(&jump, &sshd, "") };
    let error = try_connect(&nobody).expect_err("nobody is let in");
    let text = told(&error);
    assert!(text.contains("Permission denied (publickey)") && text.contains("privateKeyPath"), "{text}");
    assert!(!error.before_authentication());

    let silent = behind(&jump, &sshd, "ProxyCommand true");
    assert!(told(&try_connect(&silent).expect_err("it fails")).contains("said nothing"));
    let missing = behind(&jump, &sshd, "ProxyCommand /nowhere/proxy");
    assert!(told(&try_connect(&missing).expect_err("it fails")).contains("/nowhere/proxy"));

    let endpoint = Endpoint { port: Some(1), ..behind(&jump, &sshd, "ProxyJump jump\nHost *\n LogLevel INFO") };
    let text = told(&try_connect(&endpoint).expect_err("nobody listens there"));
    assert!(text.contains("Connection refused"), "{text}");
}

#[test]
fn a_proxy_that_says_nothing_ends_with_the_deadline_and_with_a_cancellation_and_is_not_left() {
    let (jump, sshd) = two();
    let mark = format!("30{}", sshd.port());
    let endpoint =
        behind(&jump, &sshd, &format!("ProxyCommand sh -c 'trap \"\" TERM; sleep {mark} & sleep {mark}; :'"));
    let target = resolve(&endpoint, &within(LONG)).expect("a target");
    let start = Instant::now();
    let error = connect(&target, Trust::Strict, &within(Duration::from_millis(500))).expect_err("it says nothing");
    assert_eq!(error.kind(), Kind::TimedOut, "{error}");
    assert!(start.elapsed() < PROMPT);
    gone(&mark);

    let cancel = Cancel::new().expect("an eventfd");
    let until = Until::after(LONG, &cancel);
    let waiter = std::thread::spawn(move || (connect(&target, Trust::Strict, &until), Instant::now()));
    while running(&mark).len() < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let cancelled = Instant::now();
    cancel.cancel();
    let (result, ended) = waiter.join().expect("no panic");
    assert_eq!(result.expect_err("cancelled").kind(), Kind::Cancelled);
    assert!(ended - cancelled < PROMPT, "{:?}", ended - cancelled);
    gone(&mark);
}
