//! Is it the right server: `known_hosts` in all its forms, over a real one.

use std::fs;
use std::process::Command;

use boundary::known_hosts::Pin;
use lab::sshd::{KeyType, Options, Sshd};
use stagecraft_net::failure::Kind;
use stagecraft_net::ssh::{ConnectError, Endpoint, HostKeyError, Trust, connect, resolve};

use super::{LONG, config, told, try_connect, within, write};

/// The way to a server whose `known_hosts` holds this.
fn knowing(sshd: &Sshd, text: &str) -> Endpoint {
    Endpoint { known_hosts: Some(write(sshd, "known_hosts", text)), ..sshd.endpoint("host") }
}

fn refused(endpoint: &Endpoint, trust: Trust) -> (HostKeyError, String) {
    match connect(&resolve(endpoint, &within(LONG)).expect("a target"), trust, &within(LONG)) {
        Err(error @ ConnectError::HostKey { .. }) => {
            assert_eq!((error.kind(), error.before_authentication()), (Kind::HostKey, false));
            let text = told(&error);
            let ConnectError::HostKey { error, .. } = error else { unreachable!() };
            (*error, text)
        }
        other => panic!("{other:?}"),
    }
}

/// A key of another server.
fn foreign() -> String {
    let dir = tempfile::tempdir().expect("a directory");
    lab::sshd::keygen(&dir.path().join("key"), KeyType::Ed25519, "").expect("a key").trim().to_owned()
}

#[test]
fn an_unknown_key_is_refused_before_anybody_logs_in_and_the_line_that_is_told_makes_it_known() {
    let sshd = Sshd::start().expect("sshd");
    let endpoint = knowing(&sshd, "# nobody\nother.example.com ssh-ed25519 AAAA\n");
    let (error, text) = refused(&endpoint, Trust::Strict);
    let HostKeyError::Unknown { line: Some(line), .. } = error else { panic!("{error:?}") };
    let fingerprint = Command::new("ssh-keygen").arg("-lf").arg(sshd.dir().join("host_ed25519.pub")).output();
    let fingerprint = String::from_utf8(fingerprint.expect("ssh-keygen").stdout).expect("text");
    let fingerprint = fingerprint.split(' ').nth(1).expect("a fingerprint");
    for part in [fingerprint, "ED25519", &line, &endpoint.known_hosts.as_ref().expect("a file").display().to_string()] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert!(!sshd.log().contains("Accepted"), "{}", sshd.log());
    try_connect(&knowing(&sshd, &format!("{line}\n"))).expect("known by that line");
}

#[test]
fn a_changed_key_is_refused_in_both_ways_of_trust_with_both_fingerprints_and_the_place() {
    let sshd = Sshd::start().expect("sshd");
    let endpoint = knowing(&sshd, &format!("# first line\n[127.0.0.1]:{} {}\n", sshd.port(), foreign()));
    for trust in [Trust::Strict, Trust::AcceptNew] {
        let (error, text) = refused(&endpoint, trust);
        assert!(matches!(error, HostKeyError::Changed { .. }), "{error:?}");
        assert_eq!(text.matches("SHA256:").count(), 2, "{text}");
        assert!(text.contains(&format!("{}:2", endpoint.known_hosts.as_ref().expect("a file").display())), "{text}");
    }
    assert!(!sshd.log().contains("Accepted"));
}

#[test]
fn a_revoked_key_is_refused_even_when_another_line_trusts_it() {
    let sshd = Sshd::start().expect("sshd");
    let key = sshd.host_key(KeyType::Ed25519).expect("a key");
    let text = format!("[127.0.0.1]:{} {key}\n@revoked * {key}\n", sshd.port());
    for trust in [Trust::Strict, Trust::AcceptNew] {
        let (error, text) = refused(&knowing(&sshd, &text), trust);
        assert!(matches!(error, HostKeyError::Revoked { .. }) && text.contains(":2"), "{text}");
    }
}

#[test]
fn hashed_names_patterns_and_lines_behind_junk_are_found() {
    let sshd = Sshd::start().expect("sshd");
    let key = sshd.host_key(KeyType::Ed25519).expect("a key");
    let port = sshd.port();
    let hashed = write(&sshd, "hashed", &format!("[127.0.0.1]:{port} {key}\n"));
    let done = Command::new("ssh-keygen").args(["-H", "-f"]).arg(&hashed).output().expect("ssh-keygen");
    assert!(done.status.success(), "{done:?}");
    let hashed = fs::read_to_string(hashed).expect("a file");
    assert!(hashed.starts_with("|1|"), "{hashed}");
    for text in [
        hashed,
        format!("[127.0.0.*]:{port} {key}\n"),
        format!("%%% no line\n{}\n[127.0.0.1]:{port} {key}", "x".repeat(10_000)),
        format!("127.0.0.1 {key}\n"),
    ] {
        try_connect(&knowing(&sshd, &text)).unwrap_or_else(|error| panic!("{text}: {}", told(&error)));
    }
    let negated = format!("[127.0.0.*]:{port},![127.0.0.1]:{port} {key}\n");
    assert!(matches!(refused(&knowing(&sshd, &negated), Trust::Strict).0, HostKeyError::Unknown { .. }));
}

#[test]
fn a_server_is_asked_for_the_key_that_is_known_though_it_and_we_prefer_another() {
    let options = Options { host_keys: vec![KeyType::Ed25519, KeyType::Rsa, KeyType::Ecdsa], ..Options::default() };
    let sshd = Sshd::with(&options).expect("sshd");
    for key in [KeyType::Rsa, KeyType::Ecdsa, KeyType::Ed25519] {
        let line = format!("[127.0.0.1]:{} {}\n", sshd.port(), sshd.host_key(key).expect("a key"));
        try_connect(&knowing(&sshd, &line)).unwrap_or_else(|error| panic!("{key:?}: {}", told(&error)));
    }
}

/// A server whose key of this type an authority of that type has signed, with these words of `ssh-keygen`, and the line
/// that names the authority for this pattern.
struct Certified {
    sshd: Sshd,
    authority: String,
    _signed: Sshd,
}

fn certified(key: KeyType, by: KeyType, words: &[&str]) -> Certified {
    let signed = Sshd::with(&Options { host_keys: vec![key], ..Options::default() }).expect("sshd");
    let ca = signed.dir().join("ca");
    lab::sshd::keygen(&ca, by, "").expect("a key");
    let public = signed.dir().join(format!("host_{}.pub", key.name()));
    let done = Command::new("ssh-keygen").args(["-q", "-I", "host", "-s"]).arg(&ca).args(words).arg(&public).output();
    let done = done.expect("ssh-keygen");
    assert!(done.status.success(), "{done:?}");
    let file = |end: &str| signed.dir().join(format!("host_{}{end}", key.name())).display().to_string();
    // A second server with the same key and the certificate for it.
    let config = vec![format!("HostKey {}", file("")), format!("HostCertificate {}", file("-cert.pub"))];
    let sshd = Sshd::with(&Options { config, ..Options::default() }).expect("sshd");
    let authority = fs::read_to_string(ca.with_extension("pub")).expect("a key").trim().to_owned();
    Certified { sshd, authority, _signed: signed }
}

const MINE: &[&str] = &["-h", "-n", "app-1,127.0.0.1"];

#[test]
fn a_certificate_of_an_authority_that_is_named_for_the_host_is_enough_whatever_its_type() {
    let kinds = [(KeyType::Ed25519, KeyType::Ed25519), (KeyType::Ecdsa, KeyType::Rsa), (KeyType::Rsa, KeyType::Ecdsa)];
    for (key, by) in kinds {
        let Certified { sshd, authority, _signed } = certified(key, by, MINE);
        // A plain key that is known besides, and is another one, is no obstacle: the machine was made anew.
        let old = foreign();
        for text in [
            format!("@cert-authority 127.0.0.* {authority}\n"),
            format!("@cert-authority [127.0.0.1]:{} {authority}\n[127.0.0.1]:{} {old}\n", sshd.port(), sshd.port()),
        ] {
            try_connect(&knowing(&sshd, &text)).unwrap_or_else(|error| panic!("{key:?} {by:?}: {}", told(&error)));
        }
    }
}

#[test]
fn a_certificate_that_proves_nothing_is_told_with_its_reason_and_nobody_logs_in() {
    for (words, why) in [
        (&["-h", "-n", "other-host"][..], "it is for other-host, not for this host"),
        (&["-h", "-n", "127.0.0.1", "-V", "20200101:20210101"], "it was valid until 2021-01-01"),
        (&["-h", "-n", "127.0.0.1", "-V", "20900101:20910101"], "it is valid only from 2090-01-01"),
        (&["-h"], "it is for no name"),
    ] {
        let Certified { sshd, authority, _signed } = certified(KeyType::Ed25519, KeyType::Ed25519, words);
        let (error, text) = refused(&knowing(&sshd, &format!("@cert-authority * {authority}\n")), Trust::AcceptNew);
        assert!(matches!(error, HostKeyError::Certificate { .. }) && text.contains(why), "{text}");
        assert!(!sshd.log().contains("Accepted"), "{}", sshd.log());
        // Its plain key may be known all the same.
        let key = _signed.host_key(KeyType::Ed25519).expect("a key");
        let both = format!("@cert-authority * {authority}\n[127.0.0.1]:{} {key}\n", sshd.port());
        try_connect(&knowing(&sshd, &both)).unwrap_or_else(|error| panic!("{}", told(&error)));
    }
}

#[test]
fn a_certificate_by_somebody_else_or_with_a_revoked_key_or_authority_is_none() {
    let Certified { sshd, authority, _signed } = certified(KeyType::Ed25519, KeyType::Ed25519, MINE);
    let (error, _) = refused(&knowing(&sshd, &format!("@cert-authority * {}\n", foreign())), Trust::Strict);
    assert!(matches!(error, HostKeyError::Unknown { .. }), "{error:?}");
    let key = _signed.host_key(KeyType::Ed25519).expect("a key");
    for revoked in [&authority, &key] {
        let text = format!("@cert-authority * {authority}\n@revoked * {revoked}\n");
        let (error, _) = refused(&knowing(&sshd, &text), Trust::AcceptNew);
        assert!(matches!(error, HostKeyError::Revoked { .. }), "{error:?}");
    }
    // For another host only.
    let (error, _) = refused(&knowing(&sshd, &format!("@cert-authority other {authority}\n")), Trust::Strict);
    assert!(matches!(error, HostKeyError::Unknown { .. }), "{error:?}");
    // Known by its plain key, where no authority is named at all.
    let line = format!("[127.0.0.1]:{} {key}\n", sshd.port());
    try_connect(&knowing(&sshd, &line)).unwrap_or_else(|error| panic!("{}", told(&error)));
}

#[test]
fn a_new_key_is_accepted_by_choice_once_and_known_to_openssh_from_then_on() {
    let sshd = Sshd::start().expect("sshd");
    let file = sshd.dir().join("new").join("known_hosts");
    let endpoint = Endpoint { known_hosts: Some(file.clone()), ..sshd.endpoint("host") };
    let target = resolve(&endpoint, &within(LONG)).expect("a target");
    for _ in 0..2 {
        connect(&target, Trust::AcceptNew, &within(LONG)).expect("accepted");
    }
    assert_eq!(fs::read_to_string(&file).expect("written").lines().count(), 1);
    connect(&target, Trust::Strict, &within(LONG)).expect("known");
    let ssh = Command::new("ssh")
        .arg("-F")
        .arg(sshd.client_config())
        .args(["-o", "StrictHostKeyChecking=yes", "-o"])
        .arg(format!("UserKnownHostsFile={}", file.display()))
        .args(["lab", "echo known"])
        .output()
        .expect("ssh");
    assert_eq!(String::from_utf8_lossy(&ssh.stdout), "known\n", "{ssh:?}");
}

#[test]
fn an_alias_of_ssh_config_and_its_files_and_host_key_alias_are_used() {
    let sshd = Sshd::start().expect("sshd");
    let key = sshd.host_key(KeyType::Ed25519).expect("a key");
    let mine = write(&sshd, "mine", &format!("fleet {key}\n"));
    let lines = format!(
        "Host app-1\n HostName 127.0.0.1\n Port {}\n User {}\n IdentityFile {}\n IdentityAgent none\n HostKeyAlias fleet\n \
         UserKnownHostsFile /nowhere/hosts {}\nHost *",
        sshd.port(),
        sshd.user(),
        sshd.key().display(),
        mine.display()
    );
    let alias = Endpoint { name: "app-1".to_owned(), config: Some(config(&sshd, &lines)), ..Endpoint::default() };
    try_connect(&alias).unwrap_or_else(|error| panic!("{}", told(&error)));
    // The file that is named for the host is the only one.
    let named = Endpoint { known_hosts: Some(write(&sshd, "empty", "")), ..alias };
    assert!(matches!(refused(&named, Trust::Strict).0, HostKeyError::Unknown { .. }));
}

#[test]
fn a_key_that_the_inventory_names_is_trusted_at_once_and_any_other_one_never() {
    let options = Options { host_keys: vec![KeyType::Ed25519, KeyType::Ecdsa], ..Options::default() };
    let sshd = Sshd::with(&options).expect("sshd");
    let named = |text: &str| Endpoint {
        host_keys: vec![Pin::parse(text).expect("a pin")],
        known_hosts: Some("/nowhere/known_hosts".into()),
        ..sshd.endpoint("host")
    };
    // The server prefers the other one; the key that is named is asked for.
    let key = sshd.host_key(KeyType::Ecdsa).expect("a key");
    try_connect(&named(&key)).unwrap_or_else(|error| panic!("{}", told(&error)));
    let (error, text) = refused(&named(&foreign()), Trust::AcceptNew);
    assert!(matches!(error, HostKeyError::NotPinned { .. }), "{error:?}");
    assert_eq!(text.matches("SHA256:").count(), 2, "{text}");
    assert!(!std::path::Path::new("/nowhere").exists());
}

#[test]
fn files_that_cannot_be_read_or_written_are_told_before_and_after() {
    let sshd = Sshd::start().expect("sshd");
    let folder = Endpoint { known_hosts: Some(sshd.dir().to_owned()), ..sshd.endpoint("host") };
    assert!(matches!(refused(&folder, Trust::Strict).0, HostKeyError::Unreadable { .. }));
    assert_eq!(sshd.connections(), 0);
    let nowhere = Endpoint { known_hosts: Some("/proc/nowhere/known_hosts".into()), ..sshd.endpoint("host") };
    assert!(matches!(refused(&nowhere, Trust::AcceptNew).0, HostKeyError::Unwritable { .. }));
}
