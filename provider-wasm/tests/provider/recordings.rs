//! Every recording of the real client and of the install script, read as the provider reads it: none is left out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tailscale_model::{Machine, World};
use tailscale_provider::config::Config;
use tailscale_provider::failure::install;
use tailscale_provider::port::{Ending, Goal, Output, Request};
use tailscale_provider::probe::{self, Daemon};
use tailscale_provider::report;
use tailscale_provider::state::{State, Wanted};
use tailscale_provider::version::Version;

use crate::sim::Host;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

fn recorded(name: &str) -> String {
    std::fs::read_to_string(fixtures().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every file below a folder of the recordings, but what explains them.
fn all(folder: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(fixtures().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(name);
            } else if !name.ends_with("README.md") {
                found.insert(name.to_str().unwrap().to_owned());
            }
        }
    }
    found
}

fn exited(status: u8, stdout: &str, stderr: &str) -> Output {
    Output { ending: Ending::Exited(status), stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

/// The answer to the one batch, from recorded parts.
fn batch(version: &str, status: Output, prefs: &str) -> Vec<Output> {
    vec![
        exited(0, tailscale_model::DEBIAN_12, ""),
        exited(0, "Linux\n", ""),
        exited(0, "", ""),
        exited(0, version, ""),
        status,
        exited(0, prefs, ""),
        exited(
            0,
            "LoadState=loaded\nActiveState=active\nSubState=running\nFragmentPath=/usr/lib/systemd/system/tailscaled.service\nUnitFileState=enabled\n",
            "",
        ),
        exited(0, "Package: tailscale\nStatus: install ok installed\n", ""),
    ]
}

struct Told {
    state: String,
    node: Option<(String, Vec<String>, bool)>,
    login_error: Option<String>,
}

/// What a recorded status with recorded preferences adds up to, for a host of this name.
fn classify(folder: &str, status: &str, prefs: &str, host: &str, goal: Goal) -> Told {
    let headscale = status.contains("headscale");
    let (domain, control) = if headscale {
        ("hsalpha.example", "http://10.213.77.1:18080")
    } else if status.contains("noderp") {
        ("delta-test.ts.net", "http://10.213.77.1:9001")
    } else if folder.is_empty() {
        ("alpha-test.ts.net", "http://10.213.77.1:9001")
    } else {
        ("alpha-test.ts.net", "http://10.213.78.1:9001")
    };
    let config = format!(r#"{{"auth_key_env":"K","tailnet_domain":"{domain}","login_server":"{control}"}}"#);
    let config = Config::parse(&config).unwrap();
    let request = Request { config: String::new(), goal, allow: Vec::new() };
    let wanted = Wanted::of(&request, &config, host.to_owned(), None).unwrap();
    // The preferences of a member were recorded once, on one control server.
    let prefs = recorded(&format!("tailscale/{prefs}")).replace("http://10.213.77.1:9001", control);
    let version = recorded(&format!("tailscale/{folder}version.txt"));
    let status = exited(0, &recorded(&format!("tailscale/{folder}{status}")), "");
    let facts = probe::read(&batch(&version, status, &prefs)).unwrap();
    let Daemon::Answers(said, _) = &facts.daemon else { panic!("{:?}", facts.daemon) };
    let login_error = said.login_error().map(str::to_owned);
    let state = State::of(&facts, &wanted);
    let told = report::name(&state);
    let seen = tailscale_provider::observe::Seen { facts, state };
    let node = report::node(&seen).map(|node| (node.fqdn, node.tags, node.online));
    Told { state: told, node, login_error }
}

const FRESH: &str = "prefs.fresh.json";
const FAILED: &str = "prefs.join-failed.testcontrol.json";
const RUNNING: &str = "prefs.running.testcontrol.json";
const CUT_OFF: &str = "prefs.logout-cut-off.nocontrol.json";

#[test]
fn every_recorded_status_is_the_state_that_it_was_recorded_in() {
    let refused = Some("invalid key: API key does not exist");
    let connection = Some(
        "fetch control key: Get \"http://10.213.77.1:9001/key?v=142\": dial tcp 10.213.77.1:9001: connect: connection refused",
    );
    let joined = |tags: &[&str]| Goal::Joined(tags.iter().map(|tag| (*tag).to_owned()).collect());
    let settling = "settling, else member, tailnet not proved";
    type Row<'a> =
        (&'a str, &'a str, &'a str, &'a [&'a str], &'a str, Option<(&'a str, &'a [&'a str], bool)>, Option<&'a str>);
    let rows: [Row<'_>; 25] = [
        ("NeedsLogin.fresh.json", FRESH, "vm", &[], "logged out", None, None),
        ("NeedsLogin.loggedout.testcontrol.json", FRESH, "vm", &[], "logged out", None, None),
        ("NeedsLogin.loggedout.headscale.json", FRESH, "vm", &[], "logged out", None, None),
        ("NeedsLogin.authurl.testcontrol.json", FAILED, "vm", &[], "join pending", None, None),
        ("NeedsLogin.join-failed.testcontrol.json", FAILED, "vm", &[], "join pending", None, refused),
        ("NeedsLogin.join-refused.nocontrol.json", FAILED, "vm", &[], "join pending", None, connection),
        ("NeedsLogin.join-blackholed.nocontrol.json", FAILED, "vm", &[], "join pending", None, None),
        ("NeedsLogin.join-dnsfail.nocontrol.json", FAILED, "vm", &[], "join pending", None, None),
        (
            "NeedsLogin.expired.testcontrol.json",
            RUNNING,
            "app-9-1",
            &["tag:a"],
            "member, expired",
            Some(("app-9-1.alpha-test.ts.net", &["tag:a"], false)),
            None,
        ),
        (
            "NeedsLogin.expired.headscale.json",
            RUNNING,
            "app-1",
            &[],
            "member, expired",
            Some(("app-1.hsalpha.example", &[], false)),
            None,
        ),
        (
            "NeedsLogin.tagrefused.testcontrol.json",
            RUNNING,
            "app-9",
            &["tag:b"],
            "member, expired",
            Some(("app-9.alpha-test.ts.net", &["tag:b"], false)),
            None,
        ),
        (
            "NeedsMachineAuth.testcontrol.json",
            RUNNING,
            "app-9-2",
            &[],
            "member, waiting for approval",
            Some(("app-9-2.alpha-test.ts.net", &[], false)),
            None,
        ),
        ("NoState.restarted.nocontrol.json", RUNNING, "app-50", &[], settling, None, None),
        ("Stopped.afterrestart.nocontrol.json", RUNNING, "app-50", &[], settling, None, None),
        (
            "Starting.noderp.testcontrol.json",
            RUNNING,
            "app-10",
            &[],
            "settling, else member, connecting",
            Some(("app-10.delta-test.ts.net", &[], false)),
            None,
        ),
        (
            "Running.testcontrol.json",
            RUNNING,
            "app-50",
            &[],
            "member, online",
            Some(("app-50.alpha-test.ts.net", &[], true)),
            None,
        ),
        (
            "Running.tagged.testcontrol.json",
            RUNNING,
            "app-9",
            &["tag:a"],
            "member, online",
            Some(("app-9.alpha-test.ts.net", &["tag:a"], true)),
            None,
        ),
        // Headscale's first answer, before the map poll was open.
        (
            "Running.headscale.json",
            RUNNING,
            "app-2",
            &[],
            "member, offline",
            Some(("app-2.hsalpha.example", &[], false)),
            None,
        ),
        (
            "Running.deleted-on-server.headscale.json",
            RUNNING,
            "app-1",
            &[],
            "member, online",
            Some(("app-1.hsalpha.example", &[], true)),
            None,
        ),
        (
            "Running.nameconflict.testcontrol.json",
            RUNNING,
            "app-10",
            &[],
            "member, online, other name",
            Some(("app-10-1.alpha-test.ts.net", &[], true)),
            None,
        ),
        (
            "Running.tagged-nameconflict.headscale.json",
            RUNNING,
            "app-1",
            &["tag:a"],
            "member, online, other name",
            Some(("app-1-1.hsalpha.example", &["tag:a"], true)),
            None,
        ),
        (
            "Running.offline-refused-key.testcontrol.json",
            RUNNING,
            "app-80",
            &["tag:a"],
            "member, refused key",
            Some(("app-80.alpha-test.ts.net", &["tag:a"], false)),
            refused,
        ),
        (
            "Running.unknown-to-control.testcontrol.json",
            RUNNING,
            "app-9",
            &["tag:a"],
            "member, offline",
            Some(("app-9.alpha-test.ts.net", &["tag:a"], false)),
            None,
        ),
        (
            "Stopped.testcontrol.json",
            RUNNING,
            "app-1",
            &[],
            "member, stopped",
            Some(("app-1.alpha-test.ts.net", &[], false)),
            None,
        ),
        (
            "Stopped.headscale.json",
            RUNNING,
            "app-2",
            &[],
            "member, stopped",
            Some(("app-2.hsalpha.example", &[], false)),
            None,
        ),
    ];
    let mut read = BTreeSet::new();
    let mut check = |folder: &str,
                     status: &str,
                     prefs: &str,
                     host: &str,
                     goal: Goal,
                     state: &str,
                     node: Option<(&str, &[&str], bool)>,
                     error: Option<&str>| {
        let told = classify(folder, status, prefs, host, goal);
        assert_eq!(told.state, state, "{folder}{status}");
        let node = node
            .map(|(fqdn, tags, online)| (fqdn.to_owned(), tags.iter().map(|tag| (*tag).to_owned()).collect(), online));
        assert_eq!(told.node, node, "{folder}{status}");
        assert_eq!(told.login_error.as_deref(), error, "{folder}{status}");
        read.insert(format!("tailscale/{folder}{status}"));
        read.insert(format!("tailscale/{prefs}"));
    };
    for (status, prefs, host, tags, state, node, error) in rows {
        check("", status, prefs, host, joined(tags), state, node, error);
    }
    // What alone tells a log-out that was cut off from `down` are the preferences.
    let member: Option<(&str, &[&str], bool)> = Some(("app-50.alpha-test.ts.net", &[], false));
    check("", "Stopped.logout-cut-off.nocontrol.json", CUT_OFF, "app-50", joined(&[]), "half logged out", member, None);
    check("", "Stopped.logout-cut-off.nocontrol.json", RUNNING, "app-50", joined(&[]), "member, stopped", member, None);

    for release in ["v1.62.1", "v1.66.4", "v1.74.1", "v1.80.3", "v1.86.5", "v1.96.5"] {
        let folder = format!("{release}/");
        // Leaving is a goal on every release; joining is not, on the oldest.
        let old = ["v1.62.1", "v1.66.4", "v1.74.1"].contains(&release);
        let goal = || if old { Goal::Absent } else { joined(&["tag:a"]) };
        let own = |name: &str| format!("{folder}{name}");
        check(&folder, "NeedsLogin.fresh.json", &own(FRESH), "vm", goal(), "logged out", None, None);
        check(
            &folder,
            "NeedsLogin.join-failed.testcontrol.json",
            &own(FAILED),
            "vm",
            goal(),
            "join pending",
            None,
            refused,
        );
        let node: Option<(&str, &[&str], bool)> = Some(("app-9.alpha-test.ts.net", &["tag:a"], true));
        check(&folder, "Running.tagged.testcontrol.json", RUNNING, "app-9", goal(), "member, online", node, None);
        if old {
            check(&folder, "NeedsLogin.fresh.json", &own(FRESH), "vm", joined(&[]), "too old", None, None);
        }
    }
    let lost = "member, tailnet not proved, refused key";
    check("v1.66.4/", "NoState.reauth-failed.testcontrol.json", RUNNING, "app-9", Goal::Absent, lost, None, refused);
    check("v1.80.3/", "NoState.reauth-failed.testcontrol.json", RUNNING, "app-9", joined(&[]), lost, None, refused);
    let node: Option<(&str, &[&str], bool)> = Some(("app-9.alpha-test.ts.net", &["tag:a"], false));
    check(
        "v1.86.5/",
        "Running.reauth-failed.testcontrol.json",
        RUNNING,
        "app-9",
        joined(&["tag:a"]),
        "member, refused key",
        node,
        refused,
    );
    // The racy answer after a log-out: the default URL where an empty one should stand.
    check(
        "v1.80.3/",
        "NeedsLogin.fresh.json",
        "v1.80.3/prefs.loggedout.testcontrol.json",
        "vm",
        joined(&[]),
        "logged out",
        None,
        None,
    );

    for name in all("tailscale").into_iter().filter(|name| name.ends_with("version.txt")) {
        let folder = name.trim_end_matches("version.txt");
        let json: serde_json::Value = serde_json::from_str(&recorded(&format!("{folder}version.json"))).unwrap();
        let release = Version::of_release(&recorded(&name)).unwrap();
        assert_eq!(release.to_string(), json["majorMinorPatch"].as_str().unwrap());
        read.insert(format!("{folder}version.json"));
        read.insert(name);
    }
    let down = exited(1, "", &recorded("tailscale/daemon-down.stderr.txt"));
    let facts = probe::read(&batch("1.102.3\n", down, "{}")).unwrap();
    let why =
        "failed to connect to local tailscaled; it doesn't appear to be running (sudo systemctl start tailscaled ?)";
    assert_eq!(facts.daemon, Daemon::Down(why.to_owned()));
    read.insert("tailscale/daemon-down.stderr.txt".to_owned());

    assert_eq!(all("tailscale").difference(&read).collect::<Vec<_>>(), Vec::<&String>::new(), "these were not read");
}

/// The parts of a recording of the install script.
fn streams(name: &str) -> (String, String) {
    let text = recorded(&format!("installer/{name}"));
    let (_, text) = text.split_once("## stdout\n").unwrap();
    let (stdout, stderr) = text.split_once("## stderr\n").unwrap();
    (stdout.to_owned(), stderr.to_owned())
}

#[test]
fn every_recorded_install_is_told_for_what_it_is() {
    // The download by itself: its exit status is curl's own.
    let downloads = [
        ("dns.txt", 6, "curl: (6) Could not resolve host: tailscale.com"),
        ("dns-file.txt", 6, "curl: (6) Could not resolve host: tailscale.com"),
        ("dns-pipefail.txt", 6, "curl: (6) Could not resolve host: tailscale.com"),
        ("script404.txt", 22, "curl: (22) The requested URL returned error: 404"),
        ("script503.txt", 22, "curl: (22) The requested URL returned error: 503"),
        ("scriptclose.txt", 52, "curl: (52) Empty reply from server"),
    ];
    // The script: exit status, what it is told as, and a part of what is told. Status 0 and `ok` is an installed client.
    let scripts = [
        ("ok.txt", 0, "ok", ""),
        ("fishuser.txt", 0, "ok", ""),
        ("slowlink.txt", 0, "ok", ""),
        ("trixie.txt", 0, "ok", ""),
        ("ubuntu.txt", 0, "ok", ""),
        ("lock-apt-timeout.txt", 0, "ok", ""),
        ("otherrepo-unresolvable.txt", 0, "ok", ""),
        ("forced.txt", 0, "install-nothing", "the install script ended well, and `tailscale` is not there"),
        ("scripttrunc.txt", 2, "install-script", "Syntax error: Unterminated quoted string"),
        (
            "dns-pkgs.txt",
            1,
            "install-network",
            "https://pkgs.tailscale.com/ cannot be reached: curl: (6) Could not resolve host: pkgs.tailscale.com",
        ),
        ("pkgs-root503.txt", 1, "install-network", "curl: (22) The requested URL returned error: 503"),
        ("unsupported.txt", 1, "install-not-supported", "debian bookworm isn't supported by this script yet."),
        ("nosudo-missing.txt", 1, "no-root", "root is needed and cannot be had"),
        ("nosudo-user.txt", 1, "sudo-password", "sudo on the host asks for a password"),
        ("pwsudo.txt", 1, "sudo-password", "sudo on the host asks for a password"),
        ("ttysudo.txt", 1, "sudo-terminal", "sudo on the host wants a terminal"),
        (
            "keyring503.txt",
            100,
            "install-key",
            "signing key could not be downloaded: curl: (22) The requested URL returned error: 503",
        ),
        ("repo-inrelease503.txt", 100, "install-index", "the index of Tailscale's packages could not be downloaded"),
        ("repo-deb503.txt", 100, "install-package", "the package could not be downloaded"),
        ("repo-debtrunc.txt", 100, "install-package", "the package could not be downloaded"),
        (
            "lock-apt.txt",
            100,
            "install-locked",
            "Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 70 (apt-get)",
        ),
        (
            "lock-lists.txt",
            100,
            "install-locked",
            "Could not get lock /var/lib/apt/lists/lock. It is held by process 0",
        ),
        (
            "dpkg-interrupted.txt",
            100,
            "install-interrupted",
            "an earlier run of dpkg was cut off and cannot be finished",
        ),
        ("dpkg-half-installed.txt", 0, "ok", ""),
        (
            "clock-behind.txt",
            100,
            "install-clock",
            "bookworm-security/InRelease is not valid yet. Updates for this repository will not be applied.",
        ),
        (
            "clock-ahead.txt",
            100,
            "install-clock",
            "bookworm-security/InRelease is expired. Updates for this repository will not be applied.",
        ),
        ("otherrepo-unsigned.txt", 100, "install-repository", "debian trixie InRelease' is not signed"),
        ("diskfull30.txt", 100, "install-disk", "the disk is full"),
        ("diskfull48.txt", 100, "install-disk", "the disk is full"),
        ("diskfull100.txt", 100, "install-disk", "the disk is full"),
    ];
    let mut read = BTreeSet::new();
    for (name, status, part) in downloads {
        let (stdout, stderr) = streams(name);
        let failure = install::download(&exited(status, &stdout, &stderr));
        assert_eq!((failure.kind, failure.diagnostics[0].code), ("install-failed", "install-download"), "{name}");
        assert!(failure.diagnostics[0].summary.ends_with(part), "{name}: {failure:?}");
        read.insert(format!("installer/{name}"));
    }
    for (name, status, code, part) in scripts {
        let (stdout, stderr) = streams(name);
        let host =
            Host::with(
                |_: &mut World| {
                    if code == "ok" { Machine::installed("app-1", "1.102.3") } else { Machine::bare("app-1") }
                },
            );
        let plan = Host::with(|_| Machine::bare("app-1")).plan(Goal::Installed).unwrap();
        host.canned.borrow_mut().insert("sh -s".to_owned(), exited(status, &stdout, &stderr));
        // Not to be taken for an installed client before the script was run.
        let absent = exited(127, "", "timeout: failed to run command 'tailscale': No such file or directory");
        host.absent_at_first.borrow_mut().replace(absent);
        let result = host.apply(Goal::Installed, &plan.steps);
        match (code, result) {
            ("ok", result) => assert!(result.is_ok(), "{name}: {result:?}"),
            (_, result) => {
                let failure = result.unwrap_err();
                let first = &failure.diagnostics[0];
                assert_eq!(first.code, code, "{name}: {failure:?}");
                assert!(first.summary.contains(part), "{name}: {}", first.summary);
                if failure.kind == "install-failed" {
                    assert!(first.summary.starts_with("installation failed: "));
                }
            }
        }
        read.insert(format!("installer/{name}"));
    }
    assert_eq!(all("installer"), read);
}
