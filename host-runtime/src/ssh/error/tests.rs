use std::collections::BTreeSet;
use std::mem::discriminant;

use boundary::known_hosts::{CertificateError, HostKey, KnownKey, Pin, Place};

use super::*;
use crate::ssh::ResolveError;
use crate::ssh::login::Tried;

const LABELS: [&str; 5] = ["found", "wanted", "means", "do", "note"];

fn key(number: u8) -> HostKey {
    HostKey::from_blob(&[&b"\0\0\0\x0bssh-ed25519\0\0\0\x20"[..], &[number; 32]].concat()).expect("a key")
}

fn place() -> Place {
    Place { file: "known_hosts".to_owned(), line: 3 }
}

fn text() -> String {
    "as it was told".to_owned()
}

/// Every way in which a host key is not trusted.
fn host_keys() -> Vec<HostKeyError> {
    let shown = key(1);
    let known = vec![KnownKey { place: place(), key: key(2) }];
    let unknown = |line: Option<String>, plain, authorities| HostKeyError::Unknown {
        shown: key(1),
        line,
        files: vec!["known_hosts".into()],
        plain,
        authorities,
    };
    let pin = Pin::parse(&key(2).fingerprint()).expect("a fingerprint");
    let file = || "known_hosts".into();
    let all = vec![
        unknown(Some(text()), Vec::new(), Vec::new()),
        unknown(None, known.clone(), vec![place()]),
        HostKeyError::Changed { shown: shown.clone(), known },
        HostKeyError::Certificate { shown: shown.clone(), why: CertificateError::NotHost, place: place() },
        HostKeyError::NotPinned { shown: shown.clone(), pinned: vec![pin] },
        HostKeyError::Revoked { shown, place: place() },
        HostKeyError::Malformed(text()),
        HostKeyError::Unreadable { file: file(), reason: text() },
        HostKeyError::Unwritable { file: file(), reason: text() },
    ];
    // Whoever adds one comes past here.
    let counted = |error: &HostKeyError| match error {
        HostKeyError::Unknown { .. }
        | HostKeyError::Changed { .. }
        | HostKeyError::Certificate { .. }
        | HostKeyError::NotPinned { .. }
        | HostKeyError::Revoked { .. }
        | HostKeyError::Malformed(_)
        | HostKeyError::Unreadable { .. }
        | HostKeyError::Unwritable { .. } => discriminant(error),
    };
    assert_eq!(all.iter().map(counted).collect::<std::collections::HashSet<_>>().len(), 8);
    all
}

/// Every way in which nobody is let in.
fn refusals() -> Vec<Refusal> {
    let tried = |outcome: Outcome| Tried { key: "ED25519 SHA256:x (agent)".to_owned(), outcome };
    let outcomes = [
        Outcome::Refused,
        Outcome::NotSigned("the agent would not sign"),
        Outcome::Encrypted,
        Outcome::Unusable(text()),
        Outcome::HungUp,
    ];
    let mut all: Vec<Refusal> =
        outcomes.into_iter().map(|one| Refusal { tried: vec![tried(one)], ..Refusal::default() }).collect();
    for (left, hung_up) in [(0, true), (3, true), (3, false)] {
        all.push(Refusal {
            left,
            hung_up,
            tried: vec![tried(Outcome::Refused)],
            offered: Some("publickey".to_owned()),
        });
    }
    all.push(Refusal::default());
    all
}

fn connecting() -> Vec<ConnectError> {
    let to = || "deploy@app-1:22".to_owned();
    let at = |text: &str| text.parse().expect("an address");
    let stages = [Stage::Opening, Stage::Greeting, Stage::KeyExchange, Stage::HostKey, Stage::Login];
    let mut all = vec![
        ConnectError::Name { to: to(), reason: text(), temporary: true },
        ConnectError::Address { to: to(), tried: vec![(at("192.0.2.1:22"), text())] },
        ConnectError::Address { to: to(), tried: vec![(at("192.0.2.1:22"), text()), (at("192.0.2.2:22"), text())] },
        ConnectError::Proxy { to: to(), what: "the bastion".to_owned(), reason: text() },
        ConnectError::JumpHostKey { to: to(), jump: text(), why: JumpKey::Unknown },
        ConnectError::JumpHostKey { to: to(), jump: text(), why: JumpKey::Changed },
        ConnectError::JumpHostKey { to: to(), jump: text(), why: JumpKey::Revoked },
        ConnectError::LostAtLogin { to: to(), reason: text() },
        ConnectError::System { to: to(), reason: text() },
    ];
    for stage in stages {
        all.push(ConnectError::Deadline { to: to(), stage });
        all.push(ConnectError::Cancelled { to: to(), stage });
        for said in [None, Some("Exceeded MaxStartups"), Some("HTTP/1.1 400 Bad Request")] {
            for reason in ["the server hung up", NOT_AGREED] {
                let (reason, said) = (reason.to_owned(), said.map(str::to_owned));
                all.push(ConnectError::Handshake { to: to(), stage, reason, said, passing: true });
            }
        }
    }
    all.extend(host_keys().into_iter().map(|error| ConnectError::HostKey { to: to(), error: Box::new(error) }));
    all.extend(
        refusals().into_iter().map(|refusal| ConnectError::Authentication { to: to(), refusal: Box::new(refusal) }),
    );
    // Whoever adds one comes past here.
    let counted = |error: &ConnectError| match error {
        ConnectError::Name { .. }
        | ConnectError::Address { .. }
        | ConnectError::Proxy { .. }
        | ConnectError::JumpHostKey { .. }
        | ConnectError::Handshake { .. }
        | ConnectError::HostKey { .. }
        | ConnectError::Authentication { .. }
        | ConnectError::LostAtLogin { .. }
        | ConnectError::Deadline { .. }
        | ConnectError::Cancelled { .. }
        | ConnectError::System { .. } => discriminant(error),
    };
    assert_eq!(all.iter().map(counted).collect::<std::collections::HashSet<_>>().len(), 11);
    all
}

fn resolving() -> Vec<ResolveError> {
    let name = || "app-1".to_owned();
    let all = vec![
        ResolveError::HostName { what: "address", found: "-oProxyCommand=x".to_owned() },
        ResolveError::User { found: "a b".to_owned() },
        ResolveError::NoSsh { name: name() },
        ResolveError::NoUser { name: name() },
        ResolveError::Ssh { name: name(), reason: text() },
        ResolveError::Deadline { name: name() },
        ResolveError::Cancelled { name: name() },
        ResolveError::Unsupported { name: name(), option: "PKCS11Provider".to_owned() },
    ];
    // Whoever adds one comes past here.
    let counted = |error: &ResolveError| match error {
        ResolveError::HostName { .. }
        | ResolveError::User { .. }
        | ResolveError::NoSsh { .. }
        | ResolveError::NoUser { .. }
        | ResolveError::Ssh { .. }
        | ResolveError::Deadline { .. }
        | ResolveError::Cancelled { .. }
        | ResolveError::Unsupported { .. } => discriminant(error),
    };
    assert_eq!(all.iter().map(counted).collect::<std::collections::HashSet<_>>().len(), 8);
    all
}

/// The labels of a detail; no line stands before the first, and none says nothing.
#[track_caller]
fn labels(failed: &Failed) -> BTreeSet<&str> {
    let detail = failed.diagnostics[0].detail.as_deref().unwrap_or_default();
    let mut labels = BTreeSet::new();
    for line in detail.lines() {
        let label = line.split_once(": ").map(|(label, _)| label).filter(|label| LABELS.contains(label));
        assert!(!line.trim().is_empty() && (label.is_some() || !labels.is_empty()), "{line:?} in\n{failed:#?}");
        labels.extend(label);
    }
    labels
}

#[test]
fn every_error_of_a_connection_says_what_was_found_wanted_and_what_to_do() {
    let (connecting, resolving) = (connecting(), resolving());
    for failed in connecting.iter().map(ConnectError::failed).chain(resolving.iter().map(ResolveError::failed)) {
        let labels = labels(&failed);
        for label in ["found", "wanted", "do"] {
            assert!(labels.contains(label), "no `{label}` in\n{failed:#?}");
        }
    }
}
