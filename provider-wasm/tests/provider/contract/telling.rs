//! The facts of a machine: everything that `explain` tells of it stands in them.

use super::*;

/// One line a fact: `topic name: value [wanted] (remark)`.
fn told(host: &Host, goal: Goal) -> Vec<String> {
    let plan = host.plan(goal).unwrap();
    plan.facts
        .iter()
        .map(|fact| {
            let wanted = fact.wanted.as_ref().map(|wanted| format!(" [{wanted}]")).unwrap_or_default();
            let remark = fact.remark.as_ref().map(|remark| format!(" ({remark})")).unwrap_or_default();
            format!("{} {}: {}{wanted}{remark}", fact.topic, fact.name, fact.value)
        })
        .collect()
}

#[test]
fn a_member_that_is_right_tells_where_it_is_from_and_what_is_kept_and_never_done() {
    let host = Host::with(member);
    {
        let mut machine = host.machine.borrow_mut();
        machine.daemon.prefs.run_ssh = true;
        machine.daemon.prefs.advertise_routes = vec!["10.1.0.0/16".to_owned()];
    }
    assert_eq!(
        told(&host, joined(&["tag:web"])),
        [
            "machine os: Debian GNU/Linux 12 (bookworm)",
            "client version: 1.102.3",
            "client source: a package (/lib/systemd/system/tailscaled.service)",
            "client daemon: active (running), enabled",
            "network network: example.ts.net",
            "network control: https://controlplane.tailscale.com",
            "state state: member, online",
            "setting advertise-routes: 10.1.0.0/16",
            "setting ssh: on",
            "never move: bring it into another tailnet than example.ts.net on https://controlplane.tailscale.com",
            "never replace: upgrade, downgrade or remove a Tailscale that is there",
            "never key: send an auth key to a member that works",
            "never tags: take a tag away",
            "never preferences: change a preference that somebody set: --advertise-routes --ssh stay",
            "never interrupt: interrupt what works, unless that is allowed (`disruptive`)",
        ]
    );
    assert!(!told(&host, Goal::Installed).iter().any(|line| line.starts_with("never")), "that is for members");
}

#[test]
fn what_is_not_as_wanted_stands_beside_what_is_and_a_state_says_why() {
    let foreign = Host::with(|world| Machine::joined(world, "app-1", "1.86.5", "other.ts.net", &["tag:web", "tag:db"]));
    let lines = told(&foreign, joined(&["tag:web"]));
    for line in [
        "client version: 1.86.5 (1.90.0 or later is recommended)",
        "network network: other.ts.net [example.ts.net]",
        "state state: in another tailnet (the file asks for example.ts.net)",
        "never move: take it out of other.ts.net on the way into example.ts.net",
        "never tags: take a tag away: [tag:db] stay",
    ] {
        assert!(lines.iter().any(|told| told == line), "{line}\n{lines:#?}");
    }
    let elsewhere = headscale(member);
    let lines = told(&elsewhere, joined(&["tag:web"]));
    assert!(
        lines.contains(&"network control: https://controlplane.tailscale.com [https://hs.example.com]".to_owned()),
        "{lines:#?}"
    );
    let down = Host::with(|world| member(world).daemon_stopped());
    let lines = told(&down, joined(&["tag:web"]));
    assert!(lines.iter().any(|line| line == "client daemon: inactive (dead), enabled [active, enabled]"), "{lines:#?}");
    let lacks = Host::with(member);
    let lines = told(&lacks, joined(&["tag:web", "tag:new"]));
    let why = "state state: member, online, tags missing (it lacks [tag:new], and tags are given at a log-in only)";
    assert!(lines.iter().any(|line| line == why), "{lines:#?}");
    let old = Host::with(|world| Machine::joined(world, "app-1", "1.62.1", TAILNET, &["tag:web"]));
    let lines = told(&old, joined(&["tag:web"]));
    assert!(lines.iter().any(|line| line == "client version: 1.62.1 [1.80.0 or later]"), "{lines:#?}");
}

#[test]
fn a_daemon_that_was_not_restarted_after_an_upgrade_and_a_unit_by_hand_are_told() {
    let host = Host::with(member);
    let answer =
        |stdout: String| tailscale_provider::port::Output { ending: Ending::Exited(0), stdout, stderr: String::new() };
    let status = host.machine.borrow().status().replace("1.102.3", "1.90.9");
    let status_line = "tailscale status --json --peers=false".to_owned();
    host.canned.borrow_mut().insert(status_line, answer(status));
    let unit = "systemctl show tailscaled.service --no-pager -p \
                LoadState,ActiveState,SubState,UnitFileState,FragmentPath";
    let path = "/etc/systemd/system/tailscaled.service";
    let shown =
        format!("LoadState=loaded\nActiveState=active\nSubState=running\nFragmentPath={path}\nUnitFileState=enabled\n");
    host.canned.borrow_mut().insert(unit.to_owned(), answer(shown));
    let lines = told(&host, joined(&["tag:web"]));
    for line in [
        "client daemon-version: 1.90.9 (the daemon was not restarted since 1.102.3 was installed)",
        "client source: no package: set up by hand (/etc/systemd/system/tailscaled.service)",
    ] {
        assert!(lines.iter().any(|told| told == line), "{line}\n{lines:#?}");
    }
}

#[test]
fn a_session_over_the_tailnet_is_never_cut_and_a_preference_without_a_flag_is_told() {
    let mut host = Host::with(member);
    host.connection = Some("100.101.102.103 50000 100.64.0.1 22".to_owned());
    host.machine.borrow_mut().daemon.prefs.exit_node_id = "nUnknown".to_owned();
    let lines = told(&host, joined(&["tag:web"]));
    let never = "never session: log out or re-authenticate through a session that comes over the tailnet, as this one \
                 does (from 100.101.102.103)";
    assert!(lines.iter().any(|line| line == never), "{lines:#?}");
    let kept = "setting exit-node: set (as it stands it cannot be kept: a join would stop before it begins)";
    assert!(lines.iter().any(|line| line == kept), "{lines:#?}");
}
