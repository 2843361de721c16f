//! Answers that no release gives today, and what hosts say that the model does not: told for what they are, never guessed.

use std::cell::Cell;

use tailscale_model::{Machine, World};
use tailscale_provider::port::{Command, Ending, ExecError, Goal, Observer, Output, PauseEnd};
use tailscale_provider::provider;

use crate::sim::{Host, TAILNET, failed, joined};

const STATUS: &str = "tailscale status --json --peers=false";
const PREFS: &str = "tailscale debug prefs";
const JOIN: &str = "tailscale up --auth-key=file:/dev/stdin --timeout=60s --hostname=app-1 --accept-routes=false";

fn exited(status: u8, stdout: &str, stderr: &str) -> Output {
    Output { ending: Ending::Exited(status), stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

fn member(world: &mut World) -> Machine {
    Machine::joined(world, "app-1", "1.102.3", TAILNET, &["tag:web"])
}

/// A member whose command answers this.
fn answering(line: &str, answer: Output) -> Host {
    let host = Host::with(member);
    host.canned.borrow_mut().insert(line.to_owned(), answer);
    host
}

/// The detail of a failure that must come, after its code.
fn told(host: &Host, goal: Goal) -> (&'static str, String) {
    let failure = host.reach(goal).unwrap_err();
    (failure.diagnostics[0].code, failure.diagnostics[0].detail.clone().unwrap())
}

#[test]
fn a_status_and_preferences_of_two_moments_are_looked_at_again() {
    let status = Host::with(member).machine.borrow().status();
    let fresh = Host::with(|_| Machine::installed("app-1", "1.102.3")).machine.borrow().status();
    // It joined, or left, between the two answers; what comes of it is not guessed.
    let host = Host::with(|_| Machine::installed("app-1", "1.102.3"));
    host.canned.borrow_mut().insert(STATUS.to_owned(), exited(0, &status, ""));
    let _ = host.plan(joined(&["tag:web"]));
    assert_eq!(host.probes(), 1 + tailscale_provider::observe::SETTLE_MS.len());
    let host = answering(STATUS, exited(0, &fresh, ""));
    let _ = host.plan(joined(&["tag:web"]));
    assert_eq!(host.probes(), 1 + tailscale_provider::observe::SETTLE_MS.len());
}

#[test]
fn an_answer_that_cannot_be_read_is_an_error_that_says_what_was_found() {
    let status = Host::with(member).machine.borrow().status();
    let with = |from: &str, to: &str| exited(0, &status.replace(from, to), "");
    let fresh = Host::with(|_| Machine::installed("app-1", "1.102.3")).machine.borrow().status();
    for (line, answer, part) in [
        (STATUS, exited(0, "Health check:", ""), "the status is not what `tailscale status --json` prints"),
        (STATUS, exited(0, "{\"BackendState\": \n[…]\n}", ""), "the status is not what"),
        (STATUS, with("\"Running\"", "\"InUseOtherUser\""), "the daemon is in the state \"InUseOtherUser\""),
        (PREFS, exited(0, "{\"ControlURL\": 7}", ""), "the preferences are not what `tailscale debug prefs` prints"),
        (PREFS, exited(1, "", "prefs access denied"), "`tailscale debug prefs` failed: prefs access denied"),
    ] {
        let host = answering(line, answer);
        for goal in [joined(&["tag:web"]), Goal::Absent, Goal::Installed] {
            if goal == Goal::Installed && part.contains("InUseOtherUser") {
                continue;
            }
            let (code, detail) = told(&host, goal);
            assert_eq!(code, "unreadable");
            assert!(detail.starts_with("found: ") && detail.contains(part), "{detail}");
        }
        assert_eq!(host.changes(), Vec::<String>::new());
    }
    let host = Host::with(|_| Machine::installed("app-1", "1.102.3"));
    host.canned.borrow_mut().insert(STATUS.to_owned(), exited(0, &fresh.replace("NeedsLogin", "Dreaming"), ""));
    assert!(told(&host, joined(&[])).1.contains("\"Dreaming\" and has no node key"));
    // Without a tailnet in the status, too.
    let lost = status.replace("\"Running\"", "\"Dreaming\"").replace("CurrentTailnet", "Other");
    assert!(told(&answering(STATUS, exited(0, &lost, "")), joined(&[])).1.contains("\"Dreaming\""));
}

#[test]
fn a_daemon_that_is_silent_is_waited_for_and_then_restarted() {
    let silent = Output { ending: Ending::TimedOut, stdout: String::new(), stderr: String::new() };
    let host = answering(STATUS, silent);
    let plan = host.plan(joined(&["tag:web"])).unwrap();
    assert_eq!(plan.steps.first().map(|step| step.id.as_str()), Some("restart-daemon"));
    assert_eq!(plan.steps[0].detail.as_deref(), Some("it runs and does not answer"));
    // Each of these looks took half a minute on a real host.
    assert_eq!(host.probes(), 2);
    let (code, detail) = told(&host, Goal::Installed);
    assert_eq!(code, "daemon-down");
    assert!(detail.contains("it did not answer in time"), "{detail}");
}

#[test]
fn a_client_that_cannot_be_run_is_not_taken_for_one_that_is_not_there() {
    let broken = exited(126, "", "timeout: failed to run command 'tailscale': Permission denied");
    let (code, detail) = told(&answering("tailscale version", broken), Goal::Installed);
    assert_eq!(code, "no-version");
    assert!(detail.contains("Permission denied"));
}

#[test]
fn half_an_answer_is_lost() {
    struct Half(Cell<usize>);
    impl Observer for Half {
        fn name(&self) -> String {
            "app-1".to_owned()
        }
        fn connection(&self) -> Option<String> {
            None
        }
        fn probe(&self, commands: Vec<Command>) -> Result<Vec<Output>, ExecError> {
            let unknown = Output { ending: Ending::Unknown, stdout: String::new(), stderr: String::new() };
            Ok(vec![unknown; commands.len().min(self.0.get())])
        }
        fn pause(&self, _ms: u32) -> PauseEnd {
            PauseEnd::Cancelled
        }
    }
    let request = provider_request(Goal::Installed);
    for outputs in [3, 7] {
        assert_eq!(failed(provider::plan(&request, &Half(Cell::new(outputs)))).0, "lost");
    }
}

fn provider_request(goal: Goal) -> tailscale_provider::port::Request {
    tailscale_provider::port::Request { config: crate::sim::CONFIG.to_owned(), goal, allow: Vec::new() }
}

#[test]
fn a_cancelled_wait_is_told_as_cancelled() {
    struct Cancelled<'a>(&'a Host);
    impl Observer for Cancelled<'_> {
        fn name(&self) -> String {
            self.0.name()
        }
        fn connection(&self) -> Option<String> {
            self.0.connection()
        }
        fn probe(&self, commands: Vec<Command>) -> Result<Vec<Output>, ExecError> {
            self.0.probe(commands)
        }
        fn pause(&self, _ms: u32) -> PauseEnd {
            PauseEnd::Cancelled
        }
    }
    let host = Host::with(member);
    host.operator("systemctl restart tailscaled");
    assert_eq!(failed(provider::plan(&provider_request(joined(&[])), &Cancelled(&host))).0, "cancelled");
}

#[test]
fn what_the_install_script_may_say_besides_is_told_with_its_last_lines() {
    let host = |answer: Output| {
        let host = Host::with(|_| Machine::bare("app-1"));
        host.canned.borrow_mut().insert("sh -s".to_owned(), answer);
        host
    };
    let slow = Output { ending: Ending::TimedOut, stdout: "Installing\n".to_owned(), stderr: String::new() };
    assert_eq!(told(&host(slow), Goal::Installed).0, "install-slow");
    let (code, detail) = told(&host(exited(77, "a\nb\n", "+ trace\nE: nobody knows this\n")), Goal::Installed);
    assert_eq!(code, "install-other");
    assert!(detail.starts_with("found: E: nobody knows this\n  a\n  b\nwanted: "), "{detail}");
    let unknown = exited(1, "Couldn't determine what kind of Linux is running.\n", "");
    assert_eq!(told(&host(unknown), Goal::Installed).0, "unsupported-os");
}

#[test]
fn a_daemon_that_fails_after_the_install_is_told_as_that() {
    let host = Host::with(|_| Machine::bare("app-1"));
    host.machine.borrow_mut().unit.broken = true;
    assert_eq!(failed(host.reach(joined(&[]))).2, "tailscaled fails when it is started");
    let host = Host::with(|_| Machine { systemd: false, ..Machine::bare("app-1") });
    assert_eq!(
        failed(host.reach(Goal::Installed)).2,
        "tailscaled does not run, and systemd cannot be asked to start it"
    );
}

#[test]
fn a_daemon_that_cannot_be_enabled_is_told_as_that() {
    let host = Host::with(member);
    host.machine.borrow_mut().unit.enabled = false;
    let enable = exited(1, "", "Failed to enable unit: Read-only file system");
    host.canned.borrow_mut().insert("systemctl enable --now tailscaled.service".to_owned(), enable);
    let (code, detail) = told(&host, Goal::Installed);
    assert_eq!(code, "no-effect");
    assert!(detail.contains("Read-only file system"));
    // Still masked after all: that is what is said.
    let host = Host::with(|world| member(world).daemon_masked());
    let refused = exited(1, "", "");
    host.canned.borrow_mut().insert("systemctl unmask tailscaled.service".to_owned(), refused);
    assert_eq!(failed(host.reach(Goal::Installed)).2, "tailscaled is masked");
    let host = Host::with(|world| member(world).daemon_stopped());
    host.canned.borrow_mut().insert("systemctl enable --now tailscaled.service".to_owned(), exited(0, "", ""));
    assert_eq!(failed(host.reach(Goal::Installed)).2, "tailscaled is stopped");
}

#[test]
fn what_up_may_say_besides_is_told_for_what_it_is() {
    let leak = "Error: changing settings via 'tailscale up' requires mentioning all\nnon-default flags. […]\n\n\ttailscale up --new-flag\n";
    for (stderr, kind, code) in [
        ("Access denied: checkprefs access denied\n", "privilege", "no-root"),
        (leak, "other", "flags-missing"),
        ("backend error: node registration rate limited; will retry after 5s\n", "other", "join-failed"),
        (
            "backend error: requested tags [tag:x] are invalid or not permitted\n",
            "tags-not-permitted",
            "tags-not-permitted",
        ),
        ("open /dev/stdin: no such device or address\n", "other", "join-failed"),
    ] {
        let host = Host::with(|_| Machine::installed("app-1", "1.102.3"));
        host.canned.borrow_mut().insert(JOIN.to_owned(), exited(1, "", stderr));
        let failure = host.reach(joined(&[])).unwrap_err();
        assert_eq!((failure.kind, failure.diagnostics[0].code), (kind, code), "{stderr}");
        // It was refused before anything was done: there is nothing to clean up.
        assert_eq!(host.changes(), [JOIN]);
    }
}

#[test]
fn a_host_that_does_not_come_back_after_a_failed_re_authentication_is_told() {
    let host = Host::with(|world| Machine::joined(world, "app-1", "1.102.3", TAILNET, &["tag:old"]))
        .allowing("disruptive")
        .key("tskey-auth-dead");
    // The control server forgets the host while it is re-authenticated.
    let plan = host.plan(joined(&["tag:web"])).unwrap();
    host.world.borrow_mut().saas().tailnets.get_mut(TAILNET).unwrap().nodes.clear();
    host.operator("systemctl restart tailscaled");
    host.world.borrow_mut().saas().reach = tailscale_model::Reach::Up;
    let failure = host.apply(joined(&["tag:web"]), &plan.steps).unwrap_err();
    assert_eq!(failure.kind, "network-unproved", "a host that control forgot is not proved: {failure:?}");

    let host = Host::with(|world| Machine::joined(world, "app-1", "1.102.3", TAILNET, &["tag:old"]))
        .allowing("disruptive")
        .key("tskey-auth-dead");
    host.canned
        .borrow_mut()
        .insert("systemctl restart tailscaled.service".to_owned(), exited(1, "", "Failed to restart"));
    let failure = host.reach(joined(&["tag:web"])).unwrap_err();
    assert_eq!((failure.kind, failure.diagnostics[1].code), ("secret-invalid", "still-trying"));
}

#[test]
fn a_key_of_another_tailnet_that_cannot_be_undone_is_told() {
    let host = Host::with(|world| {
        world.saas().add_key("tskey-auth-other", "other.ts.net", &[]);
        Machine::installed("app-1", "1.102.3")
    })
    .key("tskey-auth-other");
    host.canned.borrow_mut().insert("tailscale logout".to_owned(), exited(1, "", "no"));
    let text = told(&host, joined(&[])).1;
    assert!(text.contains("do: {run leave @hosts --from other.ts.net}\n"), "{text}");
    assert!(text.ends_with("changed: joined that tailnet"), "{text}");
}

#[test]
fn a_logout_that_fails_says_what_the_client_said() {
    let host = Host::with(member);
    host.canned.borrow_mut().insert("tailscale logout".to_owned(), exited(1, "", "logout access denied"));
    let (code, detail) = told(&host, Goal::Absent);
    assert_eq!(code, "no-effect");
    assert!(detail.contains("logout access denied"));
    let host = Host::with(member);
    host.canned.borrow_mut().insert("tailscale logout".to_owned(), exited(0, "", ""));
    assert!(told(&host, Goal::Absent).1.contains("the host still has its node key"));
}

#[test]
fn an_exit_node_keeps_its_address_whichever_way_it_is_known() {
    use tailscale_provider::prefs::{Prefs, kept};
    use tailscale_provider::probe::Status;
    use tailscale_provider::version::Version;
    let flags = |prefs: &str, status: &str| {
        let prefs: Prefs = serde_json::from_str(prefs).unwrap();
        let status: Status = serde_json::from_str(status).unwrap();
        kept(&prefs, &status, Version::new(1, 102, 3))
            .map(|flags| flags.into_iter().filter(|flag| flag.contains("exit-node")).collect::<Vec<_>>())
    };
    let status = r#"{"ExitNodeStatus":{"ID":"n1","TailscaleIPs":["100.64.0.9/32","fd7a::9/128"]}}"#;
    assert_eq!(flags(r#"{"ExitNodeIP":"100.64.0.8","ExitNodeID":"n1"}"#, status).unwrap(), ["--exit-node=100.64.0.8"]);
    assert_eq!(flags(r#"{"ExitNodeID":"n1"}"#, status).unwrap(), ["--exit-node=100.64.0.9"]);
    assert_eq!(flags(r#"{"ExitNodeID":"auto:any"}"#, "{}").unwrap(), ["--exit-node=auto:any"]);
    assert_eq!(flags(r#"{"ExitNodeID":"n1"}"#, "{}"), Err("--exit-node"));
    assert_eq!(flags("{}", status).unwrap(), Vec::<String>::new());
}

#[test]
fn half_of_an_exit_route_is_a_route_and_an_off_firewall_stays_off() {
    use tailscale_provider::prefs::{Prefs, kept};
    use tailscale_provider::version::Version;
    let flags = |prefs: &str| {
        let prefs: Prefs = serde_json::from_str(prefs).unwrap();
        kept(&prefs, &tailscale_provider::probe::Status::default(), Version::new(1, 80, 3)).unwrap()
    };
    assert_eq!(
        flags(r#"{"AdvertiseRoutes":["0.0.0.0/0"],"Config":{}}"#),
        ["--accept-routes=false", "--advertise-routes=0.0.0.0/0"]
    );
    assert_eq!(
        flags(r#"{"NetfilterMode":0,"PostureChecking":true,"RouteAll":true,"Config":{}}"#),
        ["--accept-routes=true", "--netfilter-mode=off", "--posture-checking"]
    );
    assert_eq!(
        flags(r#"{"RouteAll":true,"AdvertiseRoutes":null,"AdvertiseTags":null,"Config":null}"#),
        ["--accept-routes=false"]
    );
}

const UNIT: &str =
    "systemctl show tailscaled.service --no-pager -p LoadState,ActiveState,SubState,UnitFileState,FragmentPath";

fn unit(host: &Host, active: &str, sub: &str) {
    let shown = format!("LoadState=loaded\nActiveState={active}\nSubState={sub}\nUnitFileState=enabled\n");
    host.canned.borrow_mut().insert(UNIT.to_owned(), exited(0, &shown, ""));
}

#[test]
fn a_daemon_that_systemd_is_about_to_start_again_has_failed_and_one_that_is_something_else_at_every_look_is_down() {
    let host = Host::with(|world| member(world).daemon_stopped());
    let state = |host: &Host| {
        let facts = host.plan(joined(&["tag:web"])).unwrap().facts;
        facts.into_iter().find(|fact| fact.name == "state").unwrap().value
    };
    unit(&host, "activating", "auto-restart");
    assert_eq!(state(&host), "daemon failed");
    unit(&host, "activating", "start");
    assert_eq!(state(&host), "daemon does not answer");
    // Shown: a restart. Then systemd has given up.
    let steps = host.plan(joined(&["tag:web"])).unwrap().steps;
    assert_eq!(steps[0].id, "restart-daemon");
    unit(&host, "failed", "failed");
    let (kind, _, summary) = failed(host.apply(joined(&["tag:web"]), &steps));
    assert_eq!((kind, summary.as_str()), ("daemon-down", "tailscaled fails when it is started"));
}

#[test]
fn a_state_directory_that_takes_nothing_is_told_as_that() {
    let host = Host::with(|_| Machine::installed("app-1", "1.102.3"));
    let up = "tailscale up --auth-key=file:/dev/stdin --timeout=60s --hostname=app-1 --accept-routes=false";
    let why = "500 Internal Server Error: cannot start backend when state store is unhealthy";
    host.canned.borrow_mut().insert(up.to_owned(), exited(1, "", why));
    let (code, detail) = told(&host, joined(&[]));
    assert_eq!(code, "state-unwritable");
    assert!(detail.contains(why) && detail.contains("df -h /var/lib/tailscale"), "{detail}");
}
