//! What else a call can come to: steps that were not shown, answers that are cut, requests that make no sense.

use super::*;

#[test]
fn a_key_of_another_tailnet_is_undone() {
    let host = Host::with(|world| {
        world.saas().add_key("tskey-auth-other", "other.ts.net", &["tag:web"]);
        Machine::installed("app-1", "1.102.3")
    })
    .key("tskey-auth-other");
    let failure = host.reach(joined(&["tag:web"])).unwrap_err();
    let first = &failure.diagnostics[0];
    assert_eq!(
        (failure.kind, first.summary.as_str()),
        ("network-mismatch", "host is in tailnet other.ts.net, expected example.ts.net")
    );
    assert!(first.detail.as_ref().unwrap().contains("logged out of it again"));
    assert_eq!(host.machine.borrow().daemon.profile, None);
}

#[test]
fn a_member_that_a_bad_key_cut_off_is_healed_by_a_restart() {
    for release in ["1.80.3", "1.86.5", "1.102.3"] {
        let host = Host::with(|world| Machine::joined(world, "app-1", release, TAILNET, &["tag:web"]));
        let _ = host.operator("tailscale up --auth-key=tskey-auth-dead --hostname=app-1 --accept-routes=false");
        let plan = host.plan(joined(&["tag:web"])).unwrap();
        assert_eq!(plan.steps.iter().map(|step| step.id.as_str()).collect::<Vec<_>>(), ["restart-daemon"], "{release}");
        let done = host.apply(joined(&["tag:web"]), &plan.steps).unwrap();
        assert!(done.node.unwrap().online, "{release}");
        let _ = host.operator("tailscale up --auth-key=tskey-auth-dead --hostname=app-1 --accept-routes=false");
        host.reach(Goal::Absent).unwrap();
    }
}

#[test]
fn what_was_not_shown_is_not_done() {
    let host = Host::with(member);
    let steps = host.plan(joined(&["tag:web"])).unwrap().steps;
    host.operator("tailscale down");
    let before = host.machine.borrow().clone();
    let (kind, code, text) = failed(host.apply(joined(&["tag:web"]), &steps));
    assert_eq!((kind, code), ("busy", "not-shown"));
    assert_eq!(text, "the host needs a step that was not shown: bring Tailscale up");
    assert_eq!(*host.machine.borrow(), before);
    // What was shown and is not needed any more is left out.
    let steps = host.plan(joined(&["tag:web"])).unwrap().steps;
    host.operator("tailscale up");
    host.apply(joined(&["tag:web"]), &steps).unwrap();
    assert_eq!(host.changes(), Vec::<String>::new());
}

#[test]
fn an_exit_node_known_by_its_id_only_stops_the_join_rather_than_being_lost() {
    let host = Host::with(|world| member(world).expired(world));
    host.machine.borrow_mut().daemon.prefs.exit_node_id = "nABC".to_owned();
    let (kind, code, text) = failed(host.reach(joined(&["tag:web"])));
    assert_eq!((kind, code), ("other", "cannot-keep"));
    assert_eq!(text, "the preference behind --exit-node cannot be kept");
    assert_eq!(host.changes(), Vec::<String>::new());
}

#[test]
fn an_answer_that_is_cut_is_lost_and_not_a_result() {
    let host = Host::with(|_| Machine::installed("app-1", "1.102.3"));
    host.cut.set(Some(0));
    let (kind, _, _) = failed(host.reach(joined(&["tag:web"])));
    assert_eq!(kind, "lost");
    // What it did shows in the next look.
    assert_eq!(host.plan(joined(&["tag:web"])).unwrap().steps, []);
}

#[test]
fn what_the_host_refuses_is_passed_on_as_its_kind() {
    for (error, kind) in [
        (ExecError::Denied(3, "no grant".to_owned()), "denied"),
        (ExecError::Unreachable("no route".to_owned()), "lost"),
        (ExecError::Busy("pid 7".to_owned()), "busy"),
        (ExecError::Stopped("deadline".to_owned()), "timed-out"),
        (ExecError::Other("no shell".to_owned()), "other"),
    ] {
        let host = Host::with(member);
        *host.refuses.borrow_mut() = Some(error);
        assert_eq!(failed(host.plan(Goal::Installed)).0, kind);
    }
}

#[test]
fn requests_that_make_no_sense_are_refused_before_the_first_look() {
    let host = Host::with(member);
    assert_eq!(
        failed(host.plan(Goal::Other("paused".to_owned()))),
        ("other", "not-known", "this provider does not know the goal \"paused\"".to_owned())
    );
    assert_eq!(failed(host.plan(joined(&["web"]))).1, "host-tag");
    let host = Host::with(member).allowing("uninstall");
    assert_eq!(failed(host.plan(Goal::Absent)).1, "not-known");
    let host = Host::with(member).config("{}");
    assert_eq!(failed(host.plan(Goal::Installed)).0, "config-invalid");
    assert_eq!(failed(host.apply(Goal::Installed, &[])).0, "config-invalid");
    assert_eq!(host.probes(), 0);
}

#[test]
fn an_output_tells_how_it_ended() {
    // The simulated host must show endings as the exec layer does, or nothing above proves anything.
    let host = Host::with(member);
    host.world.borrow_mut().saas().reach = Reach::Refused;
    use tailscale_provider::port::{Actor, Command};
    let logout = Command {
        argv: vec!["tailscale".into(), "logout".into()],
        as_root: true,
        timeout_ms: 30_000,
        ..Command::default()
    };
    let outputs = host.run("logout", vec![logout]).unwrap();
    assert_eq!(outputs[0].ending, Ending::TimedOut);
    assert_eq!(host.now.get(), START + 30_000);
}
