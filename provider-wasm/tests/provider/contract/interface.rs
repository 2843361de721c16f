//! The rows C and D: what an embedder is promised.

use super::*;

#[test]
fn c4_a_host_that_is_right_costs_one_probe_and_no_step_and_no_key() {
    let host = Host::with(member);
    let plan = host.plan(joined(&["tag:web"])).unwrap();
    assert_eq!((plan.steps.len(), plan.blocked.is_none(), plan.notes.len()), (0, true, 0));
    assert_eq!((host.probes(), host.changes().len()), (1, 0));
    let node = plan.node.unwrap();
    assert_eq!(
        (node.fqdn.as_str(), node.online, node.tags),
        ("app-1.example.ts.net", true, vec!["tag:web".to_owned()])
    );
    assert_eq!(fact(&plan.facts, "state"), "member, online");
    assert_eq!(fact(&plan.facts, "network"), TAILNET);
    assert_eq!(fact(&plan.facts, "control"), "https://controlplane.tailscale.com");
    assert_eq!(fact(&plan.facts, "version"), "1.102.3");
    assert_eq!(fact(&plan.facts, "os"), "Debian GNU/Linux 12 (bookworm)");
    assert_eq!(fact(&plan.facts, "daemon"), "active (running), enabled");
}

#[test]
fn c3_c4_a_bare_host_is_installed_and_joined_and_a_second_run_finds_nothing_to_do() {
    let host = Host::with(|_| Machine::bare("app-1"));
    let plan = host.plan(joined(&["tag:web"])).unwrap();
    let steps: Vec<_> = plan.steps.iter().map(|step| (step.id.as_str(), step.secrets.len(), step.disruptive)).collect();
    assert_eq!(steps, [("install", 0, false), ("join", 1, false)]);
    let done = host.apply(joined(&["tag:web"]), &plan.steps).unwrap();
    assert_eq!(done.node.unwrap().fqdn, "app-1.example.ts.net");
    assert_eq!(
        host.changes(),
        [
            "curl -fsSL --connect-timeout 15 --max-time 120 --retry 3 https://tailscale.com/install.sh",
            "sh -s",
            "systemctl enable --now tailscaled.service",
            "tailscale up --auth-key=file:/dev/stdin --timeout=60s --hostname=app-1 --accept-routes=false",
        ]
    );
    let again = host.plan(joined(&["tag:web"])).unwrap();
    assert_eq!((again.steps.len(), again.blocked), (0, None));
}

#[test]
fn c6_leaving_is_proved_by_no_node_key_and_a_second_run_changes_nothing() {
    let host = Host::with(member);
    host.reach(Goal::Absent).unwrap();
    assert_eq!(host.changes(), ["tailscale logout"]);
    assert_eq!(host.machine.borrow().daemon.profile, None);
    assert_eq!(host.plan(Goal::Absent).unwrap().steps, []);

    let expired = Host::with(|world| member(world).expired(world));
    expired.reach(Goal::Absent).unwrap();
    assert_eq!(expired.machine.borrow().daemon.profile, None);

    let nothing = Host::with(|_| Machine::bare("app-1"));
    assert_eq!(nothing.plan(Goal::Absent).unwrap().steps, []);
}

#[test]
fn c6_a_join_that_goes_on_is_ended_by_a_restart_since_a_logout_does_nothing() {
    let host = Host::with(|world| Machine::installed("app-1", "1.102.3").trying(world, "tskey-auth-later"));
    assert!(host.machine.borrow().daemon.keeps_trying());
    host.reach(Goal::Absent).unwrap();
    assert_eq!(host.changes(), ["systemctl restart tailscaled.service"]);
    host.world.borrow_mut().saas().add_key("tskey-auth-later", TAILNET, &[]);
    host.operator("tailscale status --json");
    assert_eq!(host.machine.borrow().daemon.profile, None, "it joined later by itself");
}

#[test]
fn c6_a_logout_that_control_does_not_answer_is_told_and_finished_by_the_next_run() {
    let host = Host::with(member);
    host.world.borrow_mut().saas().reach = Reach::Refused;
    let (kind, code, text) = failed(host.reach(Goal::Absent));
    assert_eq!((kind, code), ("control-unreachable", "half-logged-out"));
    assert_eq!(text, "the control server https://controlplane.tailscale.com did not answer the log-out");
    let plan = host.plan(Goal::Absent).unwrap();
    assert_eq!(fact(&plan.facts, "state"), "half logged out");
    host.world.borrow_mut().saas().reach = Reach::Up;
    host.reach(Goal::Absent).unwrap();
    assert_eq!(host.machine.borrow().daemon.profile, None);
}

#[test]
fn c6_another_tailnet_is_left_alone_unless_it_is_named() {
    let foreign = |world: &mut World| Machine::joined(world, "app-1", "1.102.3", "other.ts.net", &[]);
    let host = Host::with(foreign);
    let before = host.snapshot();
    let (kind, _, text) = failed(host.reach(Goal::Absent));
    assert_eq!((kind, text.as_str()), ("network-mismatch", "host is in tailnet other.ts.net, expected example.ts.net"));
    assert_eq!(host.snapshot(), before);
    let third = Host::with(foreign).allowing("from:third.ts.net");
    assert_eq!(failed(third.reach(Goal::Absent)).0, "network-mismatch");
    let named = Host::with(foreign).allowing("from:Other.ts.net.");
    named.reach(Goal::Absent).unwrap();
    assert_eq!(named.machine.borrow().daemon.profile, None);
}

#[test]
fn c6_a_logout_that_ends_with_a_text_of_the_way_is_told_as_cut_off_and_one_without_its_key_gets_it_back_by_a_restart() {
    for (release, restarts) in [("1.80.3", true), ("1.86.5", true), ("1.102.3", false)] {
        let host = Host::with(|world| Machine::joined(world, "app-1", release, TAILNET, &["tag:web"]));
        host.world.borrow_mut().saas().reach = Reach::Blackhole;
        let (kind, code, _) = failed(host.reach(Goal::Absent));
        assert_eq!((kind, code), ("control-unreachable", "half-logged-out"), "{release}");
        host.world.borrow_mut().saas().reach = Reach::Up;
        let before = host.changes().len();
        host.reach(Goal::Absent).unwrap();
        let restarted = host.changes()[before..].iter().any(|line| line.starts_with("systemctl restart"));
        assert_eq!(restarted, restarts, "{release}: {:?}", host.changes());
        assert_eq!(host.machine.borrow().daemon.profile, None, "{release}");
    }
}

#[test]
fn c6_leaving_finds_out_what_a_stopped_daemon_holds() {
    let host = Host::with(|world| member(world).daemon_stopped());
    let plan = host.plan(Goal::Absent).unwrap();
    assert_eq!(plan.steps.iter().map(|step| step.id.as_str()).collect::<Vec<_>>(), ["start-daemon", "logout"]);
    host.apply(Goal::Absent, &plan.steps).unwrap();
    assert_eq!(host.machine.borrow().daemon.profile, None);
}

#[test]
fn d1_health_comes_in_random_order_and_is_told_in_one() {
    let told = |health: &str| {
        let host = Host::with(member);
        let status = host.machine.borrow().status().replace("\"Health\": []", &format!("\"Health\": {health}"));
        let answer =
            tailscale_provider::port::Output { ending: Ending::Exited(0), stdout: status, stderr: String::new() };
        host.canned.borrow_mut().insert("tailscale status --json --peers=false".to_owned(), answer);
        fact(&host.plan(joined(&["tag:web"])).unwrap().facts, "health").to_owned()
    };
    assert_eq!(told(r#"["b","a","b"]"#), "a; b");
    assert_eq!(told(r#"["a","b"]"#), "a; b");
    assert_eq!(told("null"), "");
}
