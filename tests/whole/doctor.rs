//! `doctor`: what it finds on hosts that have something wrong, what it says to do, and its exit codes.
//!
//! Not for: what a run makes of the same ([`super::failures`]).

use std::fs;

use lab::site::{Site, Spec};
use lab::sshd;
use lab::stand_in::PASSWORD;
use serde_json::Value;
use tailscale_model::{Machine, Sudo, World};

fn site(hosts: &[(&str, Sudo)]) -> Site {
    let mut site = Site::new(&World::of("example.ts.net")).unwrap();
    for (name, sudo) in hosts {
        site.host(name, Spec::of(Machine { sudo: *sudo, ..Machine::installed(name, "1.102.3") })).unwrap();
    }
    site
}

/// The status and the words of a check, by host.
fn checked(stdout: &str, host: &str, check: &str) -> (String, String, String) {
    let found = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|event| {
        event["event"] == "checked" && event["host"].as_str().unwrap_or("") == host && event["check"] == check
    });
    let found = found.unwrap_or_else(|| panic!("{host} {check} in\n{stdout}"));
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (text("status"), text("found"), text("advice"))
}

#[test]
fn a_fleet_that_is_right_is_zero_and_each_check_is_told_in_json() {
    let site = site(&[("app-1", Sudo::Free), ("db-1", Sudo::Root)]);
    let ran = site.cli(["doctor", "--json"]).run().unwrap();
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    for check in ["name", "reachability", "host-key", "authentication", "login-shell", "sudo", "os", "clock"] {
        for host in ["app-1", "db-1"] {
            assert_eq!(checked(&ran.stdout, host, check).0, "ok", "{host} {check}: {}", ran.stdout);
        }
    }
    assert!(checked(&ran.stdout, "db-1", "sudo").1.contains("the login is root"));
    assert_eq!(checked(&ran.stdout, "app-1", "clock").1, "as here");
    for check in ["ssh", "descriptors", "file"] {
        assert_eq!(checked(&ran.stdout, "", check).0, "ok", "{check}");
    }
    // One connection each, and the machines are as they were.
    assert_eq!(site["app-1"].sshd().execs(), 1);
    let people = site.cli(["doctor"]).run().unwrap();
    assert_eq!(people.code, Some(0), "{}", people.stderr);
    assert!(people.stdout.contains("stagecraft.yml: environment dev"), "{}", people.stdout);
    assert!(!people.stdout.contains("app-1"), "hosts that are right are not listed: {}", people.stdout);
}

#[test]
fn each_thing_that_is_wrong_is_one_finding_with_what_to_do_and_what_stands_behind_it_is_not_known() {
    let mut site = site(&[
        ("ask-1", Sudo::Password),
        ("ask-2", Sudo::Password),
        ("none-1", Sudo::Missing),
        ("tty-1", Sudo::Terminal),
    ]);
    let forced = sshd::Options { force_command: Some("echo This account is closed.".to_owned()), ..Default::default() };
    site.host("shut-1", Spec { sshd: forced, ..Spec::of(Machine::installed("shut-1", "1.102.3")) }).unwrap();
    site.host("new-1", Spec::of(Machine::installed("new-1", "1.102.3"))).unwrap();
    let port = site["new-1"].sshd().port();
    let known = fs::read_to_string(site.known_hosts()).unwrap();
    let without: String =
        known.lines().filter(|line| !line.contains(&format!("]:{port} "))).map(|l| format!("{l}\n")).collect();
    fs::write(site.known_hosts(), without).unwrap();

    let ran = site.cli(["doctor", "--json"]).run().unwrap();
    assert_eq!(ran.code, Some(10), "{}", ran.stdout);
    for (host, check, found, advice) in [
        ("ask-1", "sudo", "a password is required", "--ask-sudo-password"),
        ("none-1", "sudo", "No such file", "apt-get install sudo"),
        ("tty-1", "sudo", "must have a tty", "!requiretty"),
        ("shut-1", "login-shell", "This account is closed.", "log in by hand"),
        ("new-1", "host-key", "not known", "trust"),
    ] {
        let told = checked(&ran.stdout, host, check);
        assert_eq!(told.0, "error", "{host}: {told:?}");
        assert!(told.1.contains(found) && told.2.contains(advice), "{host}: {told:?}");
    }
    assert_eq!(checked(&ran.stdout, "new-1", "sudo").0, "skipped");
    assert_eq!(checked(&ran.stdout, "tty-1", "clock").0, "ok");

    let people = site.cli(["doctor"]).run().unwrap();
    assert_eq!(people.stdout.matches("a password is required").count(), 1, "told once: {}", people.stdout);
    assert!(people.stdout.contains("ask-1 · ask-2"), "{}", people.stdout);
    // What it says to do is what helps.
    let words = ["doctor", "ask-1", "ask-2", "--secret", "sudo-password=env:PW", "--json"];
    let with = site.cli(words).env("PW", PASSWORD).run().unwrap();
    assert_eq!(with.code, Some(0), "{}", with.stdout);
    assert_eq!(checked(&with.stdout, "ask-2", "sudo").0, "ok");
    assert!(!with.stdout.contains(PASSWORD));
}

#[test]
fn a_file_that_is_wrong_is_told_before_anything_is_connected() {
    let mut site = site(&[("app-1", Sudo::Free)]);
    site.provider("auth_key_env: TS_AUTHKEY").unwrap();
    let ran = site.cli(["doctor"]).run().unwrap();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!(site["app-1"].sshd().connections(), 0);
}
