//! `trust`: from hosts that nobody knows to hosts that are known, by everybody who can say whose a key is.
//!
//! Not for: how a key is judged when a connection is made ([`super::ssh`]).

use std::fs;
use std::process::Command;

use lab::product::on_terminal;
use lab::site::{Site, Spec};
use lab::sshd::{self, KeyType, Sshd};
use tailscale_model::{Machine, World};

/// Hosts `app-1` and on, and a file of known hosts that knows none of them.
fn strangers(count: usize, keys: &[KeyType]) -> Site {
    let mut world = World::of("example.ts.net");
    let mut site = Site::new(&world).unwrap();
    for index in 1..=count {
        let name = format!("app-{index}");
        let machine = Machine::joined(&mut world, &name, "1.102.3", "example.ts.net", &["tag:server"]);
        let sshd = sshd::Options { host_keys: keys.to_vec(), ..sshd::Options::default() };
        site.host(&name, Spec { sshd, ..Spec::of(machine) }).unwrap();
    }
    site.world().update(|there| *there = world).unwrap();
    fs::write(site.known_hosts(), "# nobody\n%%% junk\n").unwrap();
    site
}

fn key(site: &Site, host: &str, kind: KeyType) -> String {
    site[host].sshd().host_key(kind).unwrap()
}

fn fingerprint(site: &Site, host: &str, kind: KeyType) -> String {
    let file = site[host].sshd().dir().join(format!("host_{}.pub", kind.name()));
    let shown = Command::new("ssh-keygen").arg("-lf").arg(file).output().unwrap();
    String::from_utf8(shown.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
}

fn known(site: &Site) -> String {
    fs::read_to_string(site.known_hosts()).unwrap()
}

#[test]
fn many_unknown_hosts_are_one_message_with_one_command_and_a_list_of_fingerprints_makes_them_known() {
    let site = strangers(6, &[KeyType::Ed25519]);
    let plan = site.cli(["plan"]).run().unwrap();
    assert_eq!(plan.code, Some(10), "{}", plan.stderr);
    assert_eq!(plan.stderr.matches("error[host-key]").count(), 1, "{}", plan.stderr);
    assert!(plan.stderr.contains("error[host-key]  6 hosts: app-1"), "{}", plan.stderr);
    assert!(plan.stderr.contains("stagecraft-net trust app-1 app-2"), "{}", plan.stderr);

    // Without anybody's word, it says what would do, and writes nothing.
    let nobody = site.cli(["trust"]).run().unwrap();
    assert_eq!(nobody.code, Some(10), "{}", nobody.stderr);
    assert_eq!(nobody.stderr.matches("error[host-key]").count(), 1, "{}", nobody.stderr);
    assert!(nobody.stderr.contains("--accept-new") && nobody.stderr.contains("--fingerprints"), "{}", nobody.stderr);
    assert_eq!(known(&site), "# nobody\n%%% junk\n");

    let list: String = (1..=6)
        .map(|n| format!("256 {} root@app-{n} (ED25519)\n", fingerprint(&site, &format!("app-{n}"), KeyType::Ed25519)))
        .collect();
    let console = site.dir().join("console.log");
    fs::write(&console, format!("-----BEGIN SSH HOST KEY FINGERPRINTS-----\n{list}-----END-----\n")).unwrap();
    let trust = site.cli(["trust", "--fingerprints", "console.log"]).run().unwrap();
    assert_eq!(trust.code, Some(0), "{}", trust.stderr);
    assert_eq!(trust.stdout.lines().filter(|line| line.contains("  new  ssh-ed25519 SHA256:")).count(), 6);
    assert!(known(&site).starts_with("# nobody\n%%% junk\n"), "{}", known(&site));
    assert_eq!(known(&site).lines().count(), 8);
    let plan = site.cli(["plan"]).run().unwrap();
    assert_eq!(plan.code, Some(0), "{}", plan.stderr);
    let again = site.cli(["trust"]).run().unwrap();
    assert!(again.code == Some(0) && again.stdout.contains("known already"), "{}{}", again.stdout, again.stderr);
}

#[test]
fn a_fingerprint_of_another_of_its_keys_is_found_and_a_wrong_one_trusts_nothing() {
    let site = strangers(1, &[KeyType::Ed25519, KeyType::Ecdsa]);
    let file = site.dir().join("print");
    fs::write(&file, fingerprint(&site, "app-1", KeyType::Ecdsa)).unwrap();
    let trust = site.cli(["trust", "--fingerprints", "print"]).run().unwrap();
    assert_eq!(trust.code, Some(0), "{}", trust.stderr);
    assert!(trust.stdout.contains("ecdsa-sha2-nistp256"), "{}", trust.stdout);
    assert_eq!(site.cli(["plan"]).run().unwrap().code, Some(0));

    let site = strangers(2, &[KeyType::Ed25519]);
    // The other host's: a machine that is in somebody else's place.
    let swapped = format!(
        "app-1 {}\napp-2 {}\n",
        fingerprint(&site, "app-2", KeyType::Ed25519),
        fingerprint(&site, "app-1", KeyType::Ed25519)
    );
    fs::write(site.dir().join("print"), swapped).unwrap();
    let trust = site.cli(["trust", "--accept-new", "--yes", "--fingerprints", "print"]).run().unwrap();
    assert_eq!(trust.code, Some(10), "{}", trust.stderr);
    assert_eq!(known(&site), "# nobody\n%%% junk\n");
    let stranger = site.cli(["trust", "--fingerprints", "stagecraft.yml"]).run().unwrap();
    assert!(stranger.code == Some(1) && stranger.stderr.contains("holds no key"), "{}", stranger.stderr);
}

#[test]
fn a_key_of_the_inventory_counts_without_a_trust_run_and_is_written_without_a_connection() {
    let site = strangers(1, &[KeyType::Ed25519]);
    let text = fs::read_to_string(site.file()).unwrap();
    let named =
        text.replace("{ address:", &format!("{{ host_key: \"{}\", address:", key(&site, "app-1", KeyType::Ed25519)));
    fs::write(site.file(), &named).unwrap();
    let trust = site.cli(["trust", "--json"]).run().unwrap();
    assert_eq!(trust.code, Some(0), "{}", trust.stdout);
    assert_eq!(site["app-1"].sshd().connections(), 0);
    let events: Vec<serde_json::Value> = trust.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = events.iter().find(|event| event["event"] == "host-key").expect("it is told");
    assert_eq!((told["host"].as_str(), told["standing"].as_str()), (Some("app-1"), Some("new")));
    assert_eq!(told["key"]["fingerprint"].as_str(), Some(fingerprint(&site, "app-1", KeyType::Ed25519).as_str()));
    // OpenSSH knows it too, from now on.
    let ssh = site.ssh("app-1", "echo known").unwrap();
    assert!(String::from_utf8_lossy(&ssh.stdout).contains("known"), "{ssh:?}");

    fs::write(site.known_hosts(), "").unwrap();
    assert_eq!(site.cli(["plan"]).run().unwrap().code, Some(0), "it counts without the file");
}

#[test]
fn accept_new_shows_one_table_and_asks_once_and_without_a_terminal_it_wants_a_yes() {
    let site = strangers(3, &[KeyType::Ed25519]);
    let prompt = [("[yes/no] ", "no")];
    let (code, shown) = on_terminal(site.dir(), &["trust", "--accept-new"], &[], &prompt);
    assert_eq!(code, Some(10), "{shown}");
    assert_eq!(known(&site), "# nobody\n%%% junk\n", "{shown}");
    let (code, shown) = on_terminal(site.dir(), &["trust", "--accept-new"], &[], &[("[yes/no] ", "yes")]);
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(shown.matches("[yes/no]").count(), 1, "{shown}");
    for host in ["app-1", "app-2", "app-3"] {
        assert!(shown.contains(&fingerprint(&site, host, KeyType::Ed25519)), "{shown}");
    }
    assert_eq!(site.cli(["plan"]).run().unwrap().code, Some(0));

    let site = strangers(1, &[KeyType::Ed25519]);
    let json = site.cli(["trust", "--accept-new", "--json"]).run().unwrap();
    assert!(json.code == Some(1) && json.stdout.contains("--yes"), "{}", json.stdout);
    assert_eq!(site["app-1"].sshd().connections(), 0);
    assert_eq!(site.cli(["trust", "--accept-new", "--yes"]).run().unwrap().code, Some(0));
    assert_eq!(known(&site).lines().count(), 3);
}

#[test]
fn a_key_that_changed_is_replaced_only_where_that_is_asked_for() {
    let site = strangers(1, &[KeyType::Ed25519]);
    let other = site.dir().join("other");
    let foreign = sshd::keygen(&other, KeyType::Ed25519, "").unwrap();
    let port = site["app-1"].sshd().port();
    fs::write(site.known_hosts(), format!("[127.0.0.1]:{port},elsewhere {foreign}")).unwrap();
    fs::write(site.dir().join("print"), fingerprint(&site, "app-1", KeyType::Ed25519)).unwrap();
    for words in [&["trust", "--fingerprints", "print"][..], &["trust", "--accept-new", "--yes"]] {
        let trust = site.cli(words).run().unwrap();
        assert_eq!(trust.code, Some(10), "{}", trust.stderr);
        assert!(trust.stderr.contains("--replace") && trust.stderr.contains("known_hosts:1"), "{}", trust.stderr);
    }
    let trust = site.cli(["trust", "--fingerprints", "print", "--replace"]).run().unwrap();
    assert_eq!(trust.code, Some(0), "{}", trust.stderr);
    assert!(trust.stdout.contains("replaces"), "{}", trust.stdout);
    assert!(known(&site).starts_with("elsewhere ssh-ed25519"), "{}", known(&site));
    assert_eq!(site.cli(["plan"]).run().unwrap().code, Some(0));
}

#[test]
fn what_the_persons_own_files_know_is_taken_over_into_the_projects() {
    let site = strangers(2, &[KeyType::Ed25519]);
    let own = site.dir().join("own");
    fs::copy(site["app-1"].sshd().known_hosts(), &own).unwrap();
    fs::write(site.dir().join("own_config"), format!("Host *\n  UserKnownHostsFile {}\n", own.display())).unwrap();
    let trust = site.cli(["trust", "-F", "own_config"]).run().unwrap();
    assert_eq!(trust.code, Some(10), "{}", trust.stderr);
    let taken =
        format!("app-1  new  ssh-ed25519 {}  your own known_hosts", fingerprint(&site, "app-1", KeyType::Ed25519));
    assert!(trust.stdout.contains(&taken), "{}", trust.stdout);
    assert!(trust.stderr.contains("error[host-key]  app-2"), "{}", trust.stderr);
    assert_eq!(known(&site).lines().count(), 3);
}

/// A fleet behind a bastion that a stranger came to know by the console's log, and one that is somebody else's.
#[test]
fn a_bastion_comes_before_the_hosts_behind_it_and_a_fingerprint_speaks_for_it_too() {
    let site = strangers(2, &[KeyType::Ed25519]);
    let client = fs::read_to_string(site.key().with_extension("pub")).unwrap();
    let bastion = Sshd::with(&sshd::Options { authorized: vec![client], ..sshd::Options::default() }).unwrap();
    let place = format!("{}@localhost:{}", bastion.user(), bastion.port());
    let text = fs::read_to_string(site.file()).unwrap();
    fs::write(site.file(), text.replace("    ssh:\n", &format!("    ssh:\n      jump: {place}\n"))).unwrap();
    let print = |sshd: &Sshd| {
        let shown = Command::new("ssh-keygen").arg("-lf").arg(sshd.dir().join("host_ed25519.pub")).output().unwrap();
        String::from_utf8(shown.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
    };
    let hosts = format!("app-1 {}\napp-2 {}\n", print(site["app-1"].sshd()), print(site["app-2"].sshd()));
    let log = site.dir().join("console.log");

    // Somebody else's key for the bastion: nobody goes further, whatever is known of the hosts.
    fs::write(&log, format!("{hosts}localhost {}\n", print(site["app-1"].sshd()))).unwrap();
    let wrong = site.cli(["trust", "--fingerprints", "console.log", "--json"]).run().unwrap();
    assert_eq!(wrong.code, Some(10), "{}", wrong.stdout);
    let lines: Vec<serde_json::Value> = wrong.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["hosts"], serde_json::json!([place, "app-1", "app-2"]));
    let kinds: Vec<_> =
        lines.iter().filter_map(|line| line["result"]["failed"]["kind"].as_str().or(line["kind"].as_str())).collect();
    assert_eq!(kinds, ["host-key", "skipped", "skipped"], "{}", wrong.stdout);
    let reached = |site: &Site| site.hosts().iter().map(|host| host.sshd().connections()).sum::<usize>();
    assert_eq!((reached(&site), known(&site).as_str()), (0, "# nobody\n%%% junk\n"));

    fs::write(&log, format!("{hosts}localhost {}\n", print(&bastion))).unwrap();
    let trust = site.cli(["trust", "--fingerprints", "console.log"]).run().unwrap();
    assert_eq!(trust.code, Some(0), "{}{}", trust.stdout, trust.stderr);
    assert!(trust.stdout.starts_with(&format!("{place}  new  ssh-ed25519 {}", print(&bastion))), "{}", trust.stdout);
    assert_eq!(known(&site).lines().count(), 5, "{}", known(&site));
    let plan = site.cli(["plan"]).run().unwrap();
    assert_eq!(plan.code, Some(0), "{}", plan.stderr);
    // Two looks at keys and two plans, over the bastion each.
    assert_eq!(reached(&site), 4);

    // By a person's own word it is two questions, and the first one says so and why.
    fs::write(site.known_hosts(), "").unwrap();
    let refuse = [("[yes/no] ", "no")];
    let (code, shown) = on_terminal(site.dir(), &["trust", "--accept-new"], &[], &refuse);
    assert_eq!((code, shown.matches("[yes/no]").count()), (Some(10), 1), "{shown}");
    assert_eq!((reached(&site), known(&site).as_str()), (4, ""), "nobody logs in at a bastion that was refused");
    let (code, shown) = on_terminal(site.dir(), &["trust", "--accept-new"], &[], &[("[yes/no] ", "yes"); 2]);
    assert_eq!((code, shown.matches("[yes/no]").count()), (Some(0), 2), "{shown}");
    let shown = shown.replace('\r', "");
    let first = shown.split("[yes/no]").next().unwrap();
    let said = "\n2 hosts behind it cannot be looked at before: nobody logs in at a jump host that is not trusted.\n\
                Those whose key nobody speaks for come next, in one more table.\nTrust this key";
    assert!(first.contains(&format!("{}{said}", print(&bastion))), "{shown}");
    assert!(!shown.split("[yes/no]").nth(1).unwrap().contains("behind"), "nothing comes after that: {shown}");
    assert_eq!(known(&site).lines().count(), 3, "{}", known(&site));
}
