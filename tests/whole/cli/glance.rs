//! How hosts are, for people and for other programs: `status`, `explain`, `export`.

use std::process::Command;

use lab::site::{Site, Spec};
use serde_json::Value;
use tailscale_model::{Machine, Reach, World};

use super::{json, results};

const DAY_MS: u64 = 24 * 3600 * 1000;

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn member(world: &mut World, name: &str, release: &str, tags: &[&str]) -> Machine {
    Machine::joined(world, name, release, "example.ts.net", tags)
}

/// The same, with a key that ends then.
fn ending(world: &mut World, mut machine: Machine, expiry_ms: u64) -> Machine {
    let key = machine.daemon.profile.as_ref().unwrap().node_key.clone();
    world.saas().find_mut(&key).unwrap().expiry_ms = Some(expiry_ms);
    machine.daemon.memory.netmap.as_mut().unwrap().expiry_ms = Some(expiry_ms);
    machine
}

/// Right, right with a key that ends in ten days and a half, behind with a tag too few, logged out, in another tailnet.
fn fleet() -> Site {
    let mut world = World::of("example.ts.net");
    let soon = member(&mut world, "app-2", "1.102.3", &["tag:server"]);
    let machines = [
        member(&mut world, "app-1", "1.102.3", &["tag:server"]),
        ending(&mut world, soon, now_ms() + 10 * DAY_MS + DAY_MS / 2),
        member(&mut world, "app-3", "1.86.5", &["tag:old"]),
        Machine::installed("app-4", "1.102.3"),
        Machine::joined(&mut world, "app-5", "1.102.3", "other.ts.net", &["tag:server"]),
    ];
    let mut site = Site::new(&world).unwrap();
    for (number, machine) in machines.into_iter().enumerate() {
        site.host(&format!("app-{}", number + 1), Spec::of(machine)).unwrap();
    }
    site
}

/// The columns of a line that stand two blanks or more apart.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[test]
fn status_shows_what_differs_folds_what_is_right_and_warns_of_what_comes() {
    let site = fleet();
    let ran = site.cli(["status"]).run().unwrap();
    assert_eq!(ran.code, Some(10), "app-5 cannot be made right: {ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let [head, third, fourth, fifth, right, foot] = lines[..] else { panic!("{}", ran.stdout) };
    assert_eq!(cells(head), ["HOST", "STATE", "VERSION", "TAGS", "KEY ENDS", "NAME"]);
    let row =
        ["app-3", "member, online, tags missing", "1.86.5", "+tag:old -tag:server", "never", "app-3.example.ts.net"];
    assert_eq!(cells(third), row);
    assert_eq!(cells(fourth), ["app-4", "logged out", "1.102.3", "-", "-", "-"]);
    assert_eq!(cells(fifth), ["app-5", "in another tailnet", "1.102.3", "tag:server", "never", "app-5.other.ts.net"]);
    assert_eq!(right, "app-1 · app-2  right");
    assert!(foot.starts_with("oldest client 1.86.5 (app-3) · next key ends 20"), "{foot}");
    assert!(foot.ends_with(", 10 d (app-2)"), "{foot}");
    for told in [
        "warning[key-expiry]  app-2\n  a key ends within 30 days",
        "warning[client-behind]  app-3\n  clients are older than the newest of these hosts, 1.102.3\n  found    1.86.5  app-3\n",
        "error[network-mismatch]  app-5",
        "status: 2 not right · 2 right · 1 failed",
        "\nnext: stagecraft-net up\n",
    ] {
        assert!(ran.stderr.contains(told), "{told}\n{}", ran.stderr);
    }
    let all = site.cli(["status", "--all", "--expiry-days", "10", "app-1", "app-2"]).run().unwrap();
    assert_eq!((all.code, all.stdout.lines().count()), (Some(0), 4), "{all:?}");
    assert!(all.stdout.lines().nth(1).unwrap().ends_with("app-1.example.ts.net"), "{}", all.stdout);
    assert!(!all.stderr.contains("key-expiry"), "{}", all.stderr);
}

#[test]
fn a_member_whose_control_connection_is_lost_is_right_and_warned_of() {
    let mut world = World::of("example.ts.net");
    let machine = member(&mut world, "app-1", "1.102.3", &["tag:server"]);
    let mut site = Site::new(&world).unwrap();
    site.host("app-1", Spec::of(machine)).unwrap();
    site.world().update(|world| world.saas().reach = Reach::Refused).unwrap();
    let ran = site.cli(["status"]).run().unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.starts_with("app-1  right\n"), "{}", ran.stdout);
    assert!(ran.stderr.contains("warning[offline]  app-1\n"), "{}", ran.stderr);
    let ran = site.cli(["status", "--format", "prometheus"]).run().unwrap();
    assert!(
        ran.stdout.contains("\nstagecraft_net_host_online{environment=\"dev\",host=\"app-1\"} 0\n"),
        "{}",
        ran.stdout
    );
}

#[test]
fn status_for_programs_is_one_document_on_standard_output_and_the_exit_code_stays() {
    let site = fleet();
    let ran = site.cli(["status", "--format", "json"]).run().unwrap();
    assert_eq!(ran.code, Some(10));
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let of = |host: usize, key: &str| document["hosts"][host][key].clone();
    assert_eq!((of(1, "host"), of(1, "warnings")), ("app-2".into(), Value::from(vec!["key-expiry"])));
    assert_eq!(
        (of(2, "missing-tags"), of(2, "extra-tags")),
        (Value::from(vec!["tag:server"]), Value::from(vec!["tag:old"]))
    );
    assert_eq!((of(4, "result"), of(4, "kind")), ("failed".into(), "network-mismatch".into()));

    let ran = site.cli(["status", "--format", "prometheus"]).run().unwrap();
    assert_eq!(ran.code, Some(10));
    for sample in [
        r#"stagecraft_net_host_reachable{environment="dev",host="app-5"} 1"#,
        r#"stagecraft_net_host_drift{environment="dev",host="app-1"} 0"#,
        r#"stagecraft_net_host_drift{environment="dev",host="app-3"} 1"#,
        r#"stagecraft_net_host_blocked{environment="dev",host="app-5"} 1"#,
        r#"stagecraft_net_client_info{environment="dev",host="app-3",version="1.86.5"} 1"#,
    ] {
        assert!(ran.stdout.lines().any(|line| line == sample), "{sample}\n{}", ran.stdout);
    }
    assert!(ran.stdout.ends_with('\n'), "node_exporter drops a file whose last line is cut");

    let right = site.cli(["status", "--format", "prometheus", "app-1"]).run().unwrap();
    assert_eq!((right.code, right.stderr.as_str()), (Some(0), ""), "cron mails what stands on standard error");
    let both = site.cli(["status", "--format", "json", "--json"]).run().unwrap();
    assert_eq!((both.code, &json(&both)[1]["fault"]), (Some(1), &"usage".into()));
}

#[test]
fn explain_tells_a_hosts_whole_story_in_one_look_and_changes_nothing() {
    let site = fleet();
    let (before, execs) = (site["app-3"].machine().get().unwrap(), site["app-3"].sshd().execs());
    let ran = site.cli(["explain", "app-3"]).run().unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        ran.stdout,
        "\
app-3  is not right
  machine        os              Debian GNU/Linux 12 (bookworm)
  client         version         1.86.5
                                 1.90.0 or later is recommended
                 source          a package (/lib/systemd/system/tailscaled.service)
                 daemon          active (running), enabled
  network        example.ts.net
                 control         https://controlplane.tailscale.com
  member         name            app-3.example.ts.net
                 addresses       100.64.0.3 fd7a:115c:a1e0::3
                 tags            tag:old
                                 wanted tag:server
                                 nobody asked for tag:old
                 key ends        never
                 id              TESTCTRL00000003
  state          member, online, tags missing
                 it lacks [tag:server], and tags are given at a log-in only
  up would       1. re-authenticate for other tags
                    tags [tag:old] → [tag:server]; the host's connections in the tailnet are cut for some seconds
                    interrupts what works: needs --allow disruptive
                    uses the secret auth-key
  it will never  bring it into another tailnet than example.ts.net on https://controlplane.tailscale.com
                 upgrade, downgrade or remove a Tailscale that is there
                 send an auth key to a member that works
                 take a tag away: [tag:old] stay
                 change a preference that somebody set
                 interrupt what works, unless that is allowed (`disruptive`)
"
    );
    assert_eq!(site["app-3"].machine().get().unwrap(), before);
    assert_eq!(site["app-3"].sshd().execs() - execs, 1, "one look");

    let foreign = site.cli(["explain", "app-5"]).run().unwrap();
    assert_eq!(foreign.code, Some(10));
    for told in [
        "app-5  cannot be made right by a run\n",
        "  network        other.ts.net\n                 wanted example.ts.net\n",
        "  up would       stop, and change nothing: tailscale provider: host is in tailnet other.ts.net, expected example.ts.net\n",
        "  it will never  take it out of other.ts.net on the way into example.ts.net\n",
    ] {
        assert!(foreign.stdout.contains(told), "{told}\n{}", foreign.stdout);
    }
    assert!(foreign.stderr.contains("--from other.ts.net"), "what to do: {}", foreign.stderr);
    let events = site.cli(["explain", "app-5", "--json"]).run().unwrap();
    let lines = json(&events);
    assert_eq!(results(&lines), [("app-5", "network-mismatch")]);
    let planned = lines.iter().find(|line| line["event"] == "planned").unwrap();
    assert!(planned["facts"].as_array().unwrap().iter().any(|fact| fact["wanted"] == "example.ts.net"), "{planned}");
}

#[test]
fn an_export_is_read_by_the_programs_that_it_is_for() {
    let site = fleet();
    let export = |format: &str, more: &[&str]| {
        site.cli(["export", "--format", format, "app-1", "app-2"].iter().chain(more)).run().unwrap()
    };
    let ran = export("ssh-config", &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let file = site.dir().join("exported");
    std::fs::write(&file, &ran.stdout).unwrap();
    let ssh = Command::new("ssh").arg("-F").arg(&file).args(["-G", "app-2"]).output().unwrap();
    let (resolved, port) = (String::from_utf8(ssh.stdout).unwrap(), site["app-2"].sshd().port());
    let login = site["app-2"].login().name();
    for line in [
        "hostname app-2.example.ts.net".to_owned(),
        format!("port {port}"),
        format!("user {login}"),
        format!("hostkeyalias [127.0.0.1]:{port}"),
        format!("userknownhostsfile {}", site.known_hosts().display()),
        format!("identityfile {}", site.key().display()),
    ] {
        assert!(resolved.lines().any(|told| told == line), "{line}\n{resolved}");
    }

    let ran = export("env", &[]);
    std::fs::write(&file, &ran.stdout).unwrap();
    let line = format!(
        ". {}; echo \"$STAGECRAFT_NET_HOSTS $STAGECRAFT_NET_APP_2_FQDN $STAGECRAFT_NET_APP_2_IPV4\"",
        file.display()
    );
    let shell = Command::new("/bin/sh").args(["-c", &line]).output().unwrap();
    assert_eq!(String::from_utf8(shell.stdout).unwrap(), "app-1,app-2 app-2.example.ts.net 100.64.0.1\n");

    let ran = export("compose", &["--service", "web"]);
    let hosts = "services:\n  \"web\":\n    extra_hosts:\n      - \"app-1.example.ts.net=100.64.0.2\"\n";
    assert!(ran.stdout.starts_with(hosts), "{}", ran.stdout);
    for format in ["json", "ansible"] {
        let ran = export(format, &[]);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert!(document.to_string().contains("app-1.example.ts.net"), "{document}");
    }
}

#[test]
fn an_export_of_some_hosts_says_which_are_left_out_and_ends_with_10() {
    let site = fleet();
    // app-4 is logged out, which `status` calls drift and not a failure: an export without it is not what was asked for.
    let ran = site.cli(["export", "--format", "env", "app-1", "app-4"]).run().unwrap();
    assert_eq!(ran.code, Some(10), "{ran:?}");
    assert!(ran.stdout.starts_with("STAGECRAFT_NET_HOSTS=app-1\n"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("warning[left-out]  app-4\n  not in what was printed: it is no member"),
        "{}",
        ran.stderr
    );
    let ran = site.cli(["export", "--format", "json", "app-1", "app-5"]).run().unwrap();
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, document["hosts"].as_object().unwrap().len()), (Some(10), 1));
    assert!(ran.stderr.contains("error[network-mismatch]  app-5"), "{}", ran.stderr);
    for words in [
        &["export", "--format", "compose"][..],
        &["export", "--format", "env", "--service", "web"],
        &["export", "--format", "json", "--json"],
    ] {
        let ran = site.cli(words).run().unwrap();
        assert_eq!(ran.code, Some(1), "{words:?}: {ran:?}");
    }
}
