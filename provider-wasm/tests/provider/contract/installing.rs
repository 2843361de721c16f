//! The rows I: how the client comes onto a host.

use super::*;

#[test]
fn i1_only_systems_that_the_install_script_knows_are_supported() {
    for (os_release, kernel, found) in [
        (Some("ID=fedora\nPRETTY_NAME=\"Fedora Linux 41\"\n"), "Linux", "Fedora Linux 41 (ID=fedora)"),
        (Some("ID=acme\nID_LIKE=debian\n"), "Linux", "(ID=acme, ID_LIKE=debian)"),
        (Some("NAME=Something\n"), "Linux", "a Linux without an ID in /etc/os-release"),
        (None, "Linux", "a Linux that does not say which (cat: /etc/os-release: No such file or directory)"),
        (None, "Darwin", "Darwin"),
        (None, "", "a system that does not say what it is (uname: it printed nothing)"),
    ] {
        let host = Host::with(|_| Machine {
            os_release: os_release.map(str::to_owned),
            kernel: kernel.to_owned(),
            ..Machine::bare("app-1")
        });
        for goal in [Goal::Installed, joined(&[]), Goal::Absent] {
            let plan = host.plan(goal).unwrap();
            let blocked = plan.blocked.unwrap();
            assert_eq!(blocked.kind, "unsupported-os");
            let first = &blocked.diagnostics[0];
            assert_eq!(first.summary, "unsupported operating system (v1 supports Linux Debian/Ubuntu only)");
            assert!(first.detail.as_ref().unwrap().starts_with(&format!("found: {found}\n")), "{first:?}");
        }
        assert_eq!(host.changes(), Vec::<String>::new());
    }
    let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_CODENAME=wilma\n";
    let host = Host::with(|_| Machine { os_release: Some(mint.to_owned()), ..Machine::bare("app-1") });
    host.reach(Goal::Installed).unwrap();
}

#[test]
fn i2_i3_a_release_that_will_do_is_left_and_one_that_will_not_is_not_upgraded() {
    let min = r#"{"auth_key_env":"K","tailnet_domain":"example.ts.net","install":{"min_version":"1.100.0"}}"#;
    for (release, config, wanted) in [
        ("1.102.3", sim::CONFIG, None),
        ("1.80.3", sim::CONFIG, None),
        ("1.78.1", sim::CONFIG, Some("installation failed: Tailscale 1.78.1 is older than 1.80.0")),
        ("1.102.3", min, None),
        ("1.100.0", min, None),
        ("1.96.5", min, Some("installation failed: Tailscale 1.96.5 is older than 1.100.0")),
    ] {
        let host = Host::with(|_| Machine::installed("app-1", release)).config(config);
        let plan = host.plan(Goal::Installed).unwrap();
        assert_eq!(
            plan.blocked.map(|blocked| (blocked.kind, blocked.diagnostics[0].summary.clone())),
            wanted.map(|text| ("install-failed", text.to_owned()))
        );
        assert_eq!(plan.steps, []);
    }
    let strange =
        Host::with(|_| Machine { client: Some("built by hand".to_owned()), ..Machine::installed("app-1", "1.102.3") });
    let (kind, code, text) = failed(strange.reach(Goal::Installed));
    assert_eq!((kind, code), ("install-failed", "no-version"));
    assert_eq!(text, "installation failed: `tailscale version` printed \"built by hand\", which is no version");
}

#[test]
fn i3_releases_that_work_and_are_not_recommended_are_noted() {
    let note = |release: &str| {
        codes(&Host::with(|_| Machine::installed("a", release)).plan(Goal::Installed).unwrap().notes).join(",")
    };
    assert_eq!(
        (note("1.80.3").as_str(), note("1.88.4").as_str(), note("1.90.9").as_str()),
        ("old-release", "old-release", "")
    );
}

#[test]
fn i4_every_fault_of_an_install_is_told_apart() {
    for (fault, code, part) in [
        (Fault::ScriptNoName, "install-download", "curl: (6) Could not resolve host: tailscale.com"),
        (Fault::ScriptMissing, "install-download", "curl: (22) The requested URL returned error: 404"),
        (Fault::Script503, "install-download", "curl: (22) The requested URL returned error: 503"),
        (Fault::ScriptClosed, "install-download", "curl: (52) Empty reply from server"),
        (Fault::ScriptCut, "install-download", "curl: (18) transfer closed"),
        (Fault::ScriptClockBehind, "install-clock", "curl: (60) SSL certificate problem: certificate is not yet valid"),
        (Fault::PackagesNoName, "install-network", "curl: (6) Could not resolve host: pkgs.tailscale.com"),
        (Fault::Packages503, "install-network", "curl: (22)"),
        (Fault::Unsupported, "install-not-supported", "isn't supported by this script yet"),
        (Fault::Keyring503, "install-key", "curl: (22) The requested URL returned error: 503"),
        (Fault::Index503, "install-index", "index of Tailscale's packages"),
        (Fault::Package503, "install-package", "package could not be downloaded"),
        (Fault::PackageCut, "install-package", "package could not be downloaded"),
    ] {
        let host = Host::with(|world| {
            world.fault = Some(fault);
            Machine::bare("app-1")
        });
        let (kind, found, text) = failed(host.reach(Goal::Installed));
        assert_eq!((kind, found), ("install-failed", code), "{fault:?}: {text}");
        assert!(text.starts_with("installation failed: ") && text.contains(part), "{fault:?}: {text}");
        assert_eq!(host.machine.borrow().client, None);
    }
    for (disk, repository, code) in [
        (Disk::NoDownload, OtherRepository::Fine, "install-disk"),
        (Disk::NoUnpack, OtherRepository::Fine, "install-disk"),
        (Disk::Enough, OtherRepository::Unsigned, "install-repository"),
    ] {
        let host = Host::with(|_| Machine::bare("app-1"));
        host.machine.borrow_mut().apt.disk = disk;
        host.machine.borrow_mut().apt.other_repository = repository;
        assert_eq!(failed(host.reach(Goal::Installed)).1, code);
    }
    let host = Host::with(|_| Machine { curl: false, ..Machine::bare("app-1") });
    assert_eq!(failed(host.reach(Goal::Installed)).1, "install-no-curl");
    let host = Host::with(|_| Machine { os_release: Some("ID=debian\n".to_owned()), ..Machine::bare("app-1") });
    assert_eq!(failed(host.reach(Goal::Installed)).1, "install-script");
    // A source of the host's own that does not resolve is only a warning.
    let host = Host::with(|_| Machine::bare("app-1"));
    host.machine.borrow_mut().apt.other_repository = OtherRepository::Unresolvable;
    host.reach(Goal::Installed).unwrap();
}

#[test]
fn i4_an_installation_that_was_cut_off_is_finished_and_nothing_is_left_half_done() {
    use tailscale_model::Package::{Absent, HalfConfigured, HalfInstalled, Installed, Unpacked};
    for (tailscale, keyring, client) in [
        (HalfInstalled, Absent, false),
        (HalfInstalled, Unpacked, false),
        (Unpacked, HalfInstalled, true),
        (Unpacked, Unpacked, true),
        (HalfConfigured, Installed, true),
        (Installed, Unpacked, true),
        // Neither is half done: it was another package, which these two need.
        (Absent, Absent, false),
    ] {
        for interrupted in [true, false] {
            let host = Host::with(|_| Machine::bare("app-1"));
            {
                let mut machine = host.machine.borrow_mut();
                (machine.apt.tailscale, machine.apt.keyring) = (tailscale, keyring);
                machine.apt.interrupted = interrupted;
                machine.client = client.then(|| "1.102.3".to_owned());
                machine.unit.present = client;
            }
            host.reach(joined(&["tag:web"])).unwrap();
            let machine = host.machine.borrow();
            let packages = (machine.apt.tailscale, machine.apt.keyring, machine.apt.interrupted);
            assert_eq!(packages, (Installed, Installed, false), "{tailscale:?} {keyring:?}");
            assert!(machine.unit.enabled && machine.daemon.memory.netmap.is_some());
        }
    }
    // The plan says so, and where nothing may be installed, so does the failure.
    let half = |_: &mut World| {
        let mut machine = Machine::installed("app-1", "1.102.3");
        machine.apt.tailscale = HalfConfigured;
        machine
    };
    let plan = Host::with(half).plan(Goal::Installed).unwrap();
    let detail = plan.steps[0].detail.as_deref().unwrap();
    assert_eq!(detail, "it was begun and not finished: tailscale (half-configured); dpkg is told to finish it");
    let skip = r#"{"auth_key_env":"K","tailnet_domain":"example.ts.net","install":{"method":"skip"}}"#;
    let (kind, code, _) = failed(Host::with(half).config(skip).reach(Goal::Installed));
    assert_eq!((kind, code), ("install-failed", "install-half"));
    // Leaving does not wait for it.
    let host = Host::with(|world| {
        let mut machine = member(world);
        machine.apt.tailscale = Unpacked;
        machine
    });
    host.reach(Goal::Absent).unwrap();
    assert_eq!(host.changes(), ["tailscale logout"]);
    // Another tailnet's host is left as it is.
    let host = Host::with(|world| {
        world.saas().add_key("other", "other.ts.net", &[]);
        let mut machine = Machine::joined(world, "app-1", "1.102.3", "other.ts.net", &[]);
        machine.apt.tailscale = Unpacked;
        machine
    });
    assert_eq!(failed(host.reach(joined(&[]))).0, "network-mismatch");
    assert_eq!(host.changes(), Vec::<String>::new());
}

#[test]
fn i4_a_held_lock_is_waited_for_and_told_as_what_it_is() {
    for which in [Which::Dpkg, Which::Lists] {
        let host = Host::with(|_| Machine::bare("app-1"));
        host.machine.borrow_mut().apt.lock = Some(Lock { which, until_ms: START + 60_000 });
        host.reach(Goal::Installed).unwrap();
        assert!(host.now.get() >= START + 60_000);
        assert_eq!(host.logged.borrow().len(), 1);

        let host = Host::with(|_| Machine::bare("app-1"));
        host.machine.borrow_mut().apt.lock = Some(Lock { which, until_ms: u64::MAX });
        let (kind, code, text) = failed(host.reach(Goal::Installed));
        assert_eq!((kind, code), ("install-failed", "install-locked"));
        assert!(text.contains("Could not get lock /var/lib/"), "{text}");
        assert!((START + 300_000..START + 1_200_000).contains(&host.now.get()));

        let host = Host::with(|_| Machine::bare("app-1"));
        host.machine.borrow_mut().apt.lock = Some(Lock { which, until_ms: u64::MAX });
        host.deadline.set(Some(START + 30_000));
        assert_eq!(
            failed(host.reach(Goal::Installed)).1,
            "install-locked",
            "at the deadline the lock is still the reason"
        );
    }
}

#[test]
fn i4_a_lock_is_still_named_where_the_time_ends_in_the_middle_of_the_next_try() {
    let host = Host::with(|_| Machine::bare("app-1"));
    host.machine.borrow_mut().apt.lock = Some(Lock { which: Which::Dpkg, until_ms: u64::MAX });
    // The first try meets the lock; the second is never answered.
    host.silent_from.set(Some(START + 6_000));
    let failure = host.reach(Goal::Installed).unwrap_err();
    assert_eq!(failure.kind, "timed-out");
    let codes: Vec<_> = failure.diagnostics.iter().map(|one| one.code).collect();
    assert_eq!(codes[1..], ["install-locked"], "{failure:?}");
    assert!(failure.diagnostics[1].summary.contains("It is held by process"), "{failure:?}");
}

#[test]
fn i4_nothing_is_begun_without_root() {
    let password = ("sudo on the host asks for a password", "`sudo -n true` exit 1: \"a password is required\"");
    for (sudo, (summary, reason)) in [
        (Sudo::Password, password),
        (Sudo::NotAllowed, password),
        (
            Sudo::Terminal,
            ("sudo on the host wants a terminal", "`sudo -n true` exit 1: \"sorry, you must have a tty to run sudo\""),
        ),
        (
            Sudo::Missing,
            (
                "sudo is not installed on the host, and the login is not root",
                "`sudo -n true` exit 127: \"env: 'sudo': No such file or directory\"",
            ),
        ),
    ] {
        let host = Host::with(|_| Machine { sudo, ..Machine::bare("app-1") });
        let plan = host.plan(Goal::Installed).unwrap();
        let blocked = plan.blocked.unwrap();
        assert_eq!((blocked.kind, blocked.diagnostics[0].summary.as_str()), ("privilege", summary));
        assert!(blocked.diagnostics[0].detail.as_ref().unwrap().contains(reason));
        assert!(fact(&plan.facts, "root").contains(reason));
        // A host that is right needs none.
        let right = Host::with(|world| Machine { sudo, ..member(world) });
        assert_eq!(right.plan(joined(&["tag:web"])).unwrap().blocked, None);
    }
    let root = Host::with(|_| Machine { sudo: Sudo::Root, ..Machine::bare("app-1") });
    root.reach(Goal::Installed).unwrap();
}

#[test]
fn i5_a_daemon_that_is_stopped_disabled_failed_or_masked_is_started_and_enabled() {
    type Change = fn(&mut Machine);
    let cases: [(Change, &str, &[&str]); 5] = [
        (
            |machine| machine.unit.active = Active::Inactive,
            "daemon stopped",
            &["systemctl enable --now tailscaled.service"],
        ),
        (
            |machine| machine.unit.active = Active::Failed,
            "daemon failed",
            &["systemctl enable --now tailscaled.service"],
        ),
        (
            |machine| machine.unit.enabled = false,
            "member, online, daemon off at boot",
            &["systemctl enable --now tailscaled.service"],
        ),
        (
            |machine| *machine = machine.clone().daemon_masked(),
            "daemon masked",
            &["systemctl unmask tailscaled.service", "systemctl enable --now tailscaled.service"],
        ),
        (|machine| machine.unit.hung = true, "daemon does not answer", &["systemctl restart tailscaled.service"]),
    ];
    for (change, state, changes) in cases {
        let host = Host::with(member);
        change(&mut host.machine.borrow_mut());
        assert_eq!(fact(&host.plan(Goal::Installed).unwrap().facts, "state"), state);
        host.reach(Goal::Installed).unwrap();
        assert_eq!(host.changes(), changes, "{state}");
        assert!(host.machine.borrow().unit.enabled && host.machine.borrow().daemon_answers());
        assert_eq!(host.plan(joined(&["tag:web"])).unwrap().steps, []);
    }
}

#[test]
fn i5_a_daemon_that_cannot_be_started_says_how_it_is_down() {
    let host = Host::with(member);
    {
        let mut machine = host.machine.borrow_mut();
        machine.unit.active = Active::Inactive;
        machine.unit.broken = true;
    }
    let failure = host.reach(Goal::Installed).unwrap_err();
    assert_eq!(
        (failure.kind, failure.diagnostics[0].summary.as_str()),
        ("daemon-down", "tailscaled fails when it is started")
    );
    assert!(failure.diagnostics[0].detail.as_ref().unwrap().contains("/dev/net/tun"));

    let host = Host::with(member);
    host.machine.borrow_mut().systemd = false;
    host.machine.borrow_mut().unit.active = Active::Inactive;
    assert_eq!(
        failed(host.reach(Goal::Installed)).2,
        "tailscaled does not run, and systemd cannot be asked to start it"
    );

    let host = Host::with(member);
    host.machine.borrow_mut().unit.present = false;
    host.machine.borrow_mut().unit.active = Active::Inactive;
    assert_eq!(failed(host.reach(Goal::Installed)).2, "tailscaled is not known to systemd");

    // Without systemd, and running: right, with a word on what cannot be told.
    let host = Host::with(member);
    host.machine.borrow_mut().systemd = false;
    assert_eq!(codes(&host.plan(Goal::Installed).unwrap().notes), ["boot-unknown"]);
    let host = Host::with(member);
    host.machine.borrow_mut().unit.present = false;
    assert_eq!(codes(&host.plan(Goal::Installed).unwrap().notes), ["boot-unknown"]);
}

#[test]
fn i5_a_package_that_starts_nothing_is_started() {
    let host = Host::with(|_| Machine::bare("app-1"));
    host.machine.borrow_mut().apt.starts_nothing = true;
    host.reach(joined(&["tag:web"])).unwrap();
}

#[test]
fn i6_skip_installs_nothing_and_a_join_says_that_it_is_missing() {
    let skip = r#"{"auth_key_env":"K","tailnet_domain":"example.ts.net","install":{"method":"skip"}}"#;
    let host = Host::with(|_| Machine::bare("app-1")).config(skip);
    let plan = host.plan(Goal::Installed).unwrap();
    assert_eq!((plan.steps.len(), plan.blocked, codes(&plan.notes)), (0, None, vec!["install-skipped"]));
    assert_eq!(
        failed(host.reach(joined(&[]))),
        (
            "install-failed",
            "client-missing",
            "installation failed: Tailscale is not installed, and install.method is skip".to_owned()
        )
    );
}
