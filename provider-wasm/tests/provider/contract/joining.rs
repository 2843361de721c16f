//! The rows J but J6 and J8: which tailnet, which tags, which key, which preferences.

use super::*;

#[test]
fn j1_j2_another_tailnet_or_control_server_is_a_mismatch_and_nothing_is_changed() {
    let with_other_server = |world: &mut World| {
        world.servers.insert(HEADSCALE.to_owned(), Control::new(Kind::Headscale, TAILNET));
        Machine::joined_to(world, HEADSCALE, "app-1", "1.102.3", TAILNET, &["tag:web"])
    };
    let cases: [(Host, &str); 4] = [
        (
            Host::with(|world| Machine::joined(world, "app-1", "1.102.3", "other.ts.net", &["tag:web"])),
            "host is in tailnet other.ts.net, expected example.ts.net",
        ),
        (
            Host::with(|world| Machine::joined(world, "app-1", "1.102.3", "other.ts.net", &["tag:web"]).stopped()),
            "host is in tailnet other.ts.net, expected example.ts.net",
        ),
        (
            Host::with(with_other_server),
            "host is in tailnet example.ts.net at https://hs.example.com, expected example.ts.net at https://controlplane.tailscale.com",
        ),
        (
            Host::with(|world| with_other_server(world).stopped()),
            "host is in tailnet example.ts.net at https://hs.example.com, expected example.ts.net at https://controlplane.tailscale.com",
        ),
    ];
    for (host, wanted) in cases {
        let before = host.snapshot();
        let (kind, _, text) = failed(host.reach(joined(&["tag:web"])));
        assert_eq!((kind, text.as_str()), ("network-mismatch", wanted));
        assert_eq!(host.snapshot(), before);
        // An installed client is all that `installed` asks for.
        assert_eq!(host.plan(Goal::Installed).unwrap().blocked, None);
    }
    // Where the daemon does not know its tailnet, the control server is all that can be compared.
    let host = Host::with(|world| with_other_server(world).stopped());
    host.world.borrow_mut().server_mut(HEADSCALE).unwrap().reach = Reach::Refused;
    host.operator("systemctl restart tailscaled");
    let (kind, _, text) = failed(host.reach(joined(&[])));
    assert_eq!(
        (kind, text.as_str()),
        ("network-mismatch", "host is in tailnet https://hs.example.com, expected example.ts.net")
    );
    assert_eq!(failed(host.reach(Goal::Absent)).0, "network-mismatch");
}

#[test]
fn j1_after_a_restart_without_control_the_tailnet_cannot_be_proved() {
    for stopped in [false, true] {
        let host = Host::with(|world| if stopped { member(world).stopped() } else { member(world) });
        host.world.borrow_mut().saas().reach = Reach::Refused;
        host.operator("systemctl restart tailscaled");
        let before = host.machine.borrow().clone();
        for goal in [joined(&["tag:web"]), Goal::Absent] {
            let (kind, _, text) = failed(host.reach(goal));
            assert_eq!(
                (kind, text.as_str()),
                ("network-unproved", "cannot prove that the host is in tailnet example.ts.net")
            );
        }
        assert_eq!(*host.machine.borrow(), before);
        assert_eq!(host.plan(Goal::Installed).unwrap().blocked, None);
        host.world.borrow_mut().saas().reach = Reach::Up;
        host.reach(joined(&["tag:web"])).unwrap();
    }
}

#[test]
fn j3_a_plan_that_replaces_the_tags_does_not_say_of_them_that_they_stay() {
    let host = Host::with(|world| Machine::joined(world, "app-1", "1.102.3", TAILNET, &["tag:old"]));
    let plan = host.plan(joined(&["tag:web"])).unwrap();
    assert_eq!((plan.steps.len(), codes(&plan.notes)), (1, vec![]));
}

#[test]
fn j3_every_wanted_tag_must_be_there_and_extra_ones_are_a_note() {
    let host = Host::with(|world| Machine::joined(world, "app-1", "1.102.3", TAILNET, &["tag:extra", "tag:web"]));
    let plan = host.plan(joined(&["tag:web"])).unwrap();
    assert_eq!((plan.steps.len(), codes(&plan.notes)), (0, vec!["extra-tags"]));
    assert!(plan.notes[0].summary.contains("[tag:extra]"));
    assert_eq!(plan.notes[0].severity, Severity::Note);
    let plan = host.plan(joined(&["tag:db", "tag:web"])).unwrap();
    assert_eq!(
        plan.steps.iter().map(|step| step.id.as_str()).collect::<Vec<_>>(),
        ["rejoin"],
        "one of two is not both"
    );
}

#[test]
fn j4_tags_of_a_running_member_change_by_a_disruptive_step_only() {
    let host = retagged("1.102.3");
    host.operator("tailscale set --shields-up --advertise-routes=10.0.0.0/8");
    let plan = host.plan(joined(&["tag:web"])).unwrap();
    assert_eq!(plan.steps.len(), 1);
    assert!(plan.steps[0].disruptive && plan.steps[0].id == "rejoin");
    assert!(plan.steps[0].detail.as_ref().unwrap().contains("tags [tag:old] → [tag:web]"));
    let done = host.apply(joined(&["tag:web"]), &plan.steps).unwrap();
    assert_eq!(done.node.unwrap().tags, ["tag:web"]);
    assert_eq!(
        host.changes(),
        [
            "tailscale up --auth-key=file:/dev/stdin --timeout=60s --hostname=app-1 --accept-routes=false --advertise-routes=10.0.0.0/8 --shields-up --force-reauth"
        ]
    );
    assert_eq!(host.plan(joined(&["tag:web"])).unwrap().steps, []);

    let mut host = retagged("1.102.3");
    host.allow.clear();
    let before = host.snapshot();
    let (kind, code, _) = failed(host.reach(joined(&["tag:web"])));
    assert_eq!((kind, code), ("disruption-refused", "not-allowed"));
    assert_eq!(host.snapshot(), before);
}

#[test]
fn j4_a_session_over_the_tailnet_is_not_cut() {
    for client in ["100.101.102.103", "fd7a:115c:a1e0::5", "::ffff:100.64.0.9"] {
        let mut host = retagged("1.102.3");
        host.connection = Some(format!("{client} 50122 100.64.0.1 22"));
        let (kind, code, text) = failed(host.reach(joined(&["tag:web"])));
        assert_eq!((kind, code), ("disruption-refused", "over-tailnet"));
        assert_eq!(text, "refused to re-authenticate this host over the tailnet itself");
        assert_eq!(failed(host.reach(Goal::Absent)).1, "over-tailnet");
        assert_eq!(host.changes(), Vec::<String>::new());
    }
    let mut host = retagged("1.102.3");
    host.connection = Some("100.128.0.1 50122 100.64.0.1 22".to_owned());
    host.reach(joined(&["tag:web"])).unwrap();
}

#[test]
fn j4_after_a_failed_re_authentication_the_old_identity_is_back() {
    for release in ["1.80.3", "1.82.5", "1.86.5", "1.90.9", "1.102.3"] {
        let host = retagged(release).key("tskey-auth-dead");
        let id = host.plan(Goal::Installed).unwrap().node.unwrap().id;
        let failure = host.reach(joined(&["tag:web"])).unwrap_err();
        assert_eq!(
            (failure.kind, failure.diagnostics[0].summary.as_str()),
            ("secret-invalid", "invalid or expired auth key"),
            "{release}"
        );
        assert_eq!(failure.diagnostics[1].code, "restored", "{release}: {failure:?}");
        let node = host.plan(Goal::Installed).unwrap().node.unwrap();
        assert_eq!((node.id, node.tags, node.online), (id, vec!["tag:old".to_owned()], true), "{release}");
        assert!(!host.machine.borrow().daemon.keeps_trying());
    }
}

#[test]
fn j4_with_an_oauth_secret_the_old_tags_are_brought_back_before_the_restart() {
    let host = retagged("1.102.3").key("tskey-client-good");
    host.world.borrow_mut().saas().add_key("tskey-client-good", TAILNET, &["tag:web"]);
    host.reach(joined(&["tag:web"])).unwrap();
    assert!(host.changes()[0].contains("--advertise-tags=tag:web"));

    // The key is minted, and then control is gone.
    let host = retagged("1.102.3").key("tskey-client-good");
    host.world.borrow_mut().saas().add_key("tskey-client-good", TAILNET, &["tag:web"]);
    host.world.borrow_mut().saas().reach = Reach::Http(503);
    let failure = host.reach(joined(&["tag:web"])).unwrap_err();
    assert_eq!((failure.kind, failure.diagnostics[1].code), ("control-unreachable", "not-restored"));
    let changes = host.changes();
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert!(
        changes[1].starts_with("tailscale up --timeout=60s --hostname=app-1")
            && changes[1].ends_with("--advertise-tags=")
    );
    assert_eq!(changes[2], "systemctl restart tailscaled.service");
    host.world.borrow_mut().saas().reach = Reach::Up;
    host.operator("tailscale status");
    let node = host.plan(Goal::Installed).unwrap().node.unwrap();
    assert_eq!(
        (node.tags, node.online),
        (vec!["tag:old".to_owned()], true),
        "restarted with the new tags it would be logged out"
    );
}

#[test]
fn j4_tags_that_the_host_itself_asks_for_are_left_and_told_when_the_key_lacks_them() {
    let host = retagged("1.102.3");
    host.machine.borrow_mut().daemon.prefs.advertise_tags = vec!["tag:old".to_owned()];
    let failure = host.reach(joined(&["tag:web"])).unwrap_err();
    assert!(host.changes()[0].contains("--advertise-tags=tag:old"), "left as the preference has it");
    assert_eq!((failure.kind, failure.diagnostics[1].code), ("tags-not-permitted", "restored"));
    assert!(
        failure.diagnostics[0]
            .detail
            .as_ref()
            .unwrap()
            .contains("the host itself asks for the tags that are named there")
    );
}

#[test]
fn j4_a_key_without_the_tags_is_told_as_a_mismatch() {
    let host = retagged("1.102.3").key("tskey-auth-plain");
    host.world.borrow_mut().saas().add_key("tskey-auth-plain", TAILNET, &["tag:db"]);
    let (kind, code, text) = failed(host.reach(joined(&["tag:web"])));
    assert_eq!((kind, code), ("tag-mismatch", "tags-not-given"));
    assert_eq!(text, "host tags [tag:db] do not match expected [tag:web]");
    let fresh = Host::with(|world| {
        world.saas().add_key("tskey-auth-plain", TAILNET, &[]);
        Machine::installed("app-1", "1.102.3")
    })
    .key("tskey-auth-plain");
    assert_eq!(failed(fresh.reach(joined(&["tag:web"]))).2, "host tags [] do not match expected [tag:web]");
}

#[test]
fn j5_a_missing_key_is_told_before_anything_is_run() {
    let mut host = Host::with(|_| Machine::bare("app-1"));
    for key in [None, Some(String::new())] {
        host.key = key;
        let plan = host.plan(joined(&["tag:web"])).unwrap();
        let probes = host.probes();
        let (kind, _, text) = failed(host.apply(joined(&["tag:web"]), &plan.steps));
        assert_eq!((kind, text.as_str()), ("secret-missing", "auth key missing from environment variable TS_KEY"));
        assert_eq!((host.probes(), host.changes().len()), (probes, 0));
    }
    // Not needed, not asked for.
    host.reach(Goal::Installed).unwrap();
}

#[test]
fn j7_another_name_is_a_conflict_with_both_names() {
    let host = Host::with(|world| {
        let _ = Machine::joined(world, "app-1", "1.102.3", TAILNET, &[]);
        Machine { id: "mkey:second".to_owned(), ..Machine::installed("app-1", "1.102.3") }
    });
    for _ in 0..2 {
        let (kind, _, text) = failed(host.reach(joined(&["tag:web"])));
        assert_eq!(
            (kind, text.as_str()),
            ("name-conflict", "host is named app-1-1.example.ts.net, expected app-1.example.ts.net")
        );
    }
    assert_eq!(host.changes().len(), 1, "the second run changes nothing");
    let mut bad = Host::with(|_| Machine::bare("app-1"));
    for name in ["App-1", "app_1", "-app", "", "a.b"] {
        bad.name = name.to_owned();
        assert_eq!(failed(bad.reach(joined(&[]))).1, "host-name", "{name}");
    }
    assert_eq!(bad.probes(), 0);
}

#[test]
fn j9_every_up_is_bounded() {
    let host = Host::with(|_| Machine::bare("app-1"));
    host.reach(joined(&["tag:web"])).unwrap();
    host.operator("tailscale down");
    host.reach(joined(&["tag:web"])).unwrap();
    let mut ups = 0;
    for batch in host.batches.borrow().iter() {
        for command in &batch.commands {
            assert!(command.timeout_ms > 0);
            if command.argv.starts_with(&["tailscale".to_owned(), "up".to_owned()]) {
                ups += 1;
                // The one that brings a stopped member back takes no flag: there the outer deadline is the only one.
                let inner = command.argv.contains(&"--timeout=60s".to_owned());
                assert!(if inner { command.timeout_ms > 60_000 } else { command.argv.len() == 2 });
                assert!(command.timeout_ms <= 90_000, "{:?} for {} ms", command.argv, command.timeout_ms);
            }
        }
    }
    assert_eq!(ups, 2);
}

#[test]
fn j10_a_stopped_member_is_brought_up_without_a_key_and_without_a_flag() {
    let mut host = Host::with(|world| member(world).stopped());
    host.key = None;
    host.reach(joined(&["tag:web"])).unwrap();
    assert_eq!(host.changes(), ["tailscale up"]);

    // With other tags too: up first, then what changes them.
    let host = Host::with(|world| member(world).stopped()).allowing("disruptive").key("tskey-auth-db");
    host.world.borrow_mut().saas().add_key("tskey-auth-db", TAILNET, &["tag:db"]);
    let plan = host.plan(joined(&["tag:db"])).unwrap();
    assert_eq!(plan.steps.iter().map(|step| step.id.as_str()).collect::<Vec<_>>(), ["resume", "rejoin"]);
    host.apply(joined(&["tag:db"]), &plan.steps).unwrap();

    // Control is gone after a restart: nothing was proved, nothing is done. Gone without one: up, and offline.
    let host = Host::with(|world| member(world).stopped());
    host.world.borrow_mut().saas().reach = Reach::Refused;
    assert_eq!(codes(&host.reach(joined(&["tag:web"])).unwrap().notes), ["offline"]);
}

#[test]
fn j10_a_key_that_expired_while_the_member_was_stopped_is_told_and_the_next_run_joins() {
    let host =
        Host::with(|world| Machine::joined(world, "app-1", "1.102.3", TAILNET, &["tag:web"]).stopped().expired(world));
    let plan = host.plan(joined(&["tag:web"])).unwrap();
    assert_eq!(plan.steps.iter().map(|step| step.id.as_str()).collect::<Vec<_>>(), ["resume"]);
    let (kind, code, _) = failed(host.apply(joined(&["tag:web"]), &plan.steps));
    assert_eq!((kind, code), ("other", "expired-while-stopped"));
    assert!(host.reach(joined(&["tag:web"])).unwrap().node.unwrap().online);
}

#[test]
fn j10_what_a_resumed_member_shows_of_the_time_before_is_not_taken_for_the_truth() {
    let host = Host::with(|world| {
        let member = Machine::joined(world, "app-1", "1.80.3", TAILNET, &["tag:web"]);
        Machine { map_ms: 1_000, ..member.stopped().expired_unseen(world) }
    });
    let plan = host.plan(joined(&["tag:web"])).unwrap();
    let (kind, code, _) = failed(host.apply(joined(&["tag:web"]), &plan.steps));
    assert_eq!((kind, code), ("other", "expired-while-stopped"));
}

#[test]
fn j10_an_expired_key_is_renewed_by_a_join() {
    for release in ["1.80.3", "1.86.5", "1.102.3"] {
        let host = Host::with(|world| Machine::joined(world, "app-1", release, TAILNET, &["tag:web"]).expired(world));
        let plan = host.plan(joined(&["tag:web"])).unwrap();
        assert_eq!((plan.steps.len(), plan.steps[0].id.as_str(), plan.node.unwrap().online), (1, "join", false));
        assert!(plan.steps[0].detail.as_ref().unwrap().starts_with("its key has expired"));
        assert!(host.apply(joined(&["tag:web"]), &plan.steps).unwrap().node.unwrap().online);
    }
}

#[test]
fn j10_a_half_done_logout_is_joined_over() {
    let host = Host::with(|world| member(world).half_logged_out());
    assert_eq!(fact(&host.plan(joined(&["tag:web"])).unwrap().facts, "state"), "half logged out");
    host.reach(joined(&["tag:web"])).unwrap();
}

#[test]
fn j11_preferences_that_an_operator_set_survive_a_join() {
    let by_hand = "tailscale set --accept-routes --accept-dns=false --shields-up --ssh --exit-node=100.64.0.9 --exit-node-allow-lan-access --advertise-routes=10.0.0.0/8,192.168.0.0/16 --advertise-exit-node --advertise-connector --operator=ops --snat-subnet-routes=false --stateful-filtering --netfilter-mode=nodivert --report-posture";
    for release in ["1.86.5", "1.102.3"] {
        let member: &dyn Fn(&mut World) -> Machine =
            &|world| Machine::joined(world, "app-1", release, TAILNET, &["tag:web"]).expired(world);
        let fresh: &dyn Fn(&mut World) -> Machine = &|_| Machine::installed("app-1", release);
        for of in [member, fresh] {
            let host = Host::with(of);
            assert_eq!(host.operator(by_hand).status, 0);
            let mut before = host.machine.borrow().daemon.prefs.clone();
            host.reach(joined(&["tag:web"])).unwrap();
            let mut after = host.machine.borrow().daemon.prefs.clone();
            for prefs in [&mut before, &mut after] {
                prefs.advertise_routes.sort();
                prefs.control_url.clear();
                prefs.hostname.clear();
                (prefs.want_running, prefs.logged_out) = (true, false);
            }
            assert_eq!(after, before);
        }
    }
}

#[test]
fn j11_routes_that_nobody_asked_for_are_not_switched_on_on_old_releases() {
    for release in ["1.80.3", "1.82.5"] {
        let host = Host::with(|_| Machine::installed("app-1", release));
        assert!(host.machine.borrow().daemon.prefs.route_all);
        host.reach(joined(&["tag:web"])).unwrap();
        assert!(!host.machine.borrow().daemon.prefs.route_all);
        // After a log-out the default URL stands where an empty one should: the first `up` wants every flag.
        host.reach(Goal::Absent).unwrap();
        host.reach(joined(&["tag:web"])).unwrap();
        // Set by hand on a member, it stays.
        host.operator("tailscale set --accept-routes");
        host.world
            .borrow_mut()
            .saas()
            .tailnets
            .get_mut(TAILNET)
            .unwrap()
            .nodes
            .values_mut()
            .for_each(|node| node.expired = true);
        host.reach(joined(&["tag:web"])).unwrap();
        assert!(host.machine.borrow().daemon.prefs.route_all);
    }
}

#[test]
fn j12_an_oauth_secret_needs_tags_and_makes_lasting_members_that_need_no_approval() {
    let host = Host::with(|world| {
        world.saas().add_key("tskey-client-good", TAILNET, &["tag:web"]);
        world.saas().tailnets.get_mut(TAILNET).unwrap().device_approval = true;
        Machine::installed("app-1", "1.102.3")
    })
    .key("tskey-client-good");
    let (kind, code, _) = failed(host.reach(joined(&[])));
    assert_eq!((kind, code), ("tags-not-permitted", "oauth-needs-tags"));
    assert_eq!(host.changes(), Vec::<String>::new());
    host.reach(joined(&["tag:web"])).unwrap();
    let world = host.world.borrow();
    let node = world.servers[tailscale_model::DEFAULT_CONTROL].tailnets[TAILNET].nodes.values().next().unwrap();
    assert!(!node.ephemeral && node.authorized);
}

#[test]
fn j12_what_an_operator_has_put_behind_an_oauth_secret_stays_and_the_rest_is_added() {
    for (attributes, ephemeral) in [("?ephemeral=true", true), ("?preauthorized=true", false)] {
        let host = Host::with(|world| {
            world.saas().add_key("tskey-client-good", TAILNET, &["tag:web"]);
            world.saas().tailnets.get_mut(TAILNET).unwrap().device_approval = true;
            Machine::installed("app-1", "1.102.3")
        })
        .key(&format!("tskey-client-good{attributes}"));
        host.reach(joined(&["tag:web"])).unwrap();
        let world = host.world.borrow();
        let node = world.servers[tailscale_model::DEFAULT_CONTROL].tailnets[TAILNET].nodes.values().next().unwrap();
        assert!(node.ephemeral == ephemeral && node.authorized, "{attributes}");
    }
}

#[test]
fn j13_on_headscale_tags_come_from_the_key_and_change_on_the_server() {
    let host = headscale(|_| Machine::installed("app-1", "1.102.3"));
    host.reach(joined(&["tag:web"])).unwrap();
    assert!(
        host.changes()[0].contains("--login-server=https://hs.example.com")
            && !host.changes()[0].contains("--advertise-tags")
    );
    assert_eq!(host.plan(joined(&["tag:web"])).unwrap().steps, []);

    let before = host.changes().len();
    for release in [false, true] {
        if release {
            host.operator("tailscale down");
        }
        let (kind, code, text) = failed(host.reach(joined(&["tag:db"])));
        assert_eq!((kind, code), ("tag-mismatch", "tags-on-server-only"));
        assert_eq!(text, "host tags [tag:web] do not match expected [tag:db]");
    }
    assert_eq!(host.changes().len(), before, "said before it is tried");

    host.operator("tailscale up");
    let plan = host.plan(Goal::Absent).unwrap();
    assert!(plan.steps[0].detail.as_ref().unwrap().contains("on Headscale a tagged machine cannot join again"));
    host.apply(Goal::Absent, &plan.steps).unwrap();
    let (kind, code, _) = failed(host.reach(joined(&["tag:web"])));
    assert_eq!((kind, code), ("other", "cannot-return"));
}

#[test]
fn j13_headscale_refuses_keys_in_its_own_words() {
    for (key, kind) in [
        ("hskey-auth-unknown", "secret-invalid"),
        ("hskey-auth-old", "secret-invalid"),
        ("hskey-auth-used", "secret-invalid"),
    ] {
        let host = headscale(|world| {
            let server = world.server_mut(HEADSCALE).unwrap();
            server.add_key("hskey-auth-old", "mesh.example.com", &[]).expired = true;
            server.add_key("hskey-auth-used", "mesh.example.com", &[]).reusable = false;
            server.keys.get_mut("hskey-auth-used").unwrap().used = true;
            Machine::installed("app-1", "1.102.3")
        })
        .key(key);
        assert_eq!(failed(host.reach(joined(&[]))).0, kind);
        assert!(!host.machine.borrow().daemon.keeps_trying());
    }
}
