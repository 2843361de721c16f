//! Hosts from elsewhere: lists of other programs, the cloud's section, the command line; and environments.

use std::time::{Duration, Instant};

use super::*;
use crate::until::Cancel;

/// A folder with a project's file and what else it names.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for (name, text) in files {
            std::fs::write(folder.0.path().join(name), text).expect("it is written");
        }
        folder
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("stagecraft.yml")
    }

    fn load(&self, environment: &str) -> Result<Inventory, LoadError> {
        load(&self.file(), environment, demo).map(|(inventory, ())| inventory)
    }

    fn told(&self, environment: &str) -> String {
        match self.load(environment) {
            Ok(inventory) => list(inventory.notes()),
            Err(LoadError::Invalid(invalid)) => list(&invalid.findings),
            Err(LoadError::Source(failed)) => {
                let place = failed.place.map(|place| place.to_string()).unwrap_or_default();
                format!("outside {place} {}\n{}\n", failed.summary, failed.detail)
            }
        }
    }
}

const HOSTS: &str = r#"{"stagecraft_hosts": {"sensitive": false, "type": "any", "value": [
  {"host_id": "web-1", "public_ip": "203.0.113.7", "private_ip": "10.0.0.7", "ssh_port": 22, "roles": ["web"],
   "labels": {"env": "prod", "region": "nyc3"}},
  {"host_id": "web-2", "public_ip": null, "private_ip": "10.0.0.8", "ssh_port": 22, "roles": ["web", "canary"],
   "labels": {"env": "prod"}}
]}}"#;

const ANSIBLE: &str = r#"{"_meta": {"hostvars": {"web-1": {"ansible_user": "admin"}, "db-1": {"ansible_host": "10.0.0.9"}}},
  "db": {"hosts": ["db-1"]}}"#;

fn brief(hosts: &[HostSpec]) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    hosts
        .iter()
        .map(|host| {
            let (roles, tags) = (host.roles.join("+"), host.tags.join("+"));
            let place = host.place.map(|place| place.to_string()).unwrap_or_default();
            format!(
                "{} {} {} {:?} [{roles}] [{tags}] {place}",
                host.name,
                text(&host.address),
                text(&host.user),
                host.port
            )
        })
        .collect()
}

#[test]
fn later_lists_win_field_by_field_and_the_file_wins_over_all_of_them() {
    let folder = Folder::new(&[
        ("tf.prod.json", HOSTS),
        ("ansible.json", ANSIBLE),
        (
            "stagecraft.yml",
            "network: {provider: demo, providers: {demo: {domain: x, role_tags: {web: [t:web], app: []}}}}
cloud:
  provider: somecloud
  providers: {somecloud: {token_env: T, hosts: {prod: {web-1: {role: app, size: s}, app-1: {role: app}}}}}
environments: {prod: {driver: x}, dev: {driver: local}}
infra:
  bootstrap: {ssh: {user: root, config: ssh.conf, jump: 'me@bastion:23', sudo: ask}}
  inventory:
    - terraform: tf.${env}.json
      environments: [prod]
      tags_from_labels: ['t:{env}', 't:{region}-x', 't:{nobody}']
    - {ansible: ansible.json, environments: prod}
    - {terraform: missing.json, environments: dev}
  hosts:
    prod:
      web-2: {port: 2222, roles: [], tags: [t:own], labels: {env: mine}}
",
        ),
    ]);
    let inventory = folder.load("prod").unwrap_or_else(|_| panic!("{}", folder.told("prod")));
    insta::assert_snapshot!(format!("{}\n{}", brief(inventory.hosts()).join("\n"), list(inventory.notes())));
    let host = inventory.host("web-2").expect("it is there");
    assert_eq!(host.private_address.as_deref(), Some("10.0.0.8"));
    assert_eq!(host.labels.get("env").map(String::as_str), Some("mine"));
    assert_eq!((host.jump.as_deref(), host.ask_sudo), (Some("me@bastion:23"), true));
    assert_eq!(host.ssh_config, Some(folder.0.path().join("ssh.conf")));
    insta::assert_snapshot!(folder.told("dev").replace(&folder.0.path().display().to_string(), "DIR"));
}

#[test]
fn what_is_wrong_with_a_list_is_told_with_all_else_and_where_the_file_names_it() {
    let folder = Folder::new(&[
        ("cut.json", &HOSTS[..HOSTS.len() - 30]),
        ("tf.json", HOSTS),
        (
            "stagecraft.yml",
            "network: {provider: demo, providers: {demo: {domian: x}}}
infra:
  inventory:
    - terraform: cut.json
    - {terraform: tf.json, tags_from_labels: '{region}'}
    - ansible: tf.json
    - command: [does, not, run]
  hosts: {dev: {A: }}
",
        ),
    ]);
    insta::assert_snapshot!(folder.told("dev"));
}

#[test]
fn an_inventory_that_is_written_wrong_is_told_at_each_key() {
    insta::assert_snapshot!(told(
        "network: {provider: demo, providers: {demo: {domain: x}}}
infra:
  inventory:
    - {}
    - {terraform: a.json, ansible: b.json}
    - {command: []}
    - {command: ['']}
    - {command: terraform output -json}
    - {command: [x], timeout: soon, format: teraform, environments: 7, tags_from_labels: ['t:x', 't:{', {}]}
    - {command: [x], comand: y}
    - {terraform: ~root/x, timeout: 5s, format: ansible}
    - {environments: [prdo], ansible: x}
environments: {dev: , prod: }
"
    ));
}

#[test]
fn a_command_runs_in_the_folder_of_the_file_without_a_shell_and_gives_hosts() {
    let text = "network: {provider: demo, providers: {demo: {domain: x}}}
infra: {inventory: [{command: [cat, 'tf.${env}.json']}]}
";
    let folder = Folder::new(&[("tf.dev.json", HOSTS), ("stagecraft.yml", text)]);
    let inventory = folder.load("dev").unwrap_or_else(|_| panic!("{}", folder.told("dev")));
    assert_eq!(inventory.hosts().len(), 2);
    assert_eq!(inventory.hosts()[0].place, Some(Place { line: 2, column: 31 }));
}

#[test]
fn a_command_that_fails_says_its_last_words_and_one_that_is_not_there_is_named() {
    let with = |command: &str| {
        let text = format!(
            "network: {{provider: demo, providers: {{demo: {{domain: x}}}}}}\ninfra: {{inventory: [{command}]}}\n"
        );
        let folder = Folder::new(&[("stagecraft.yml", &text)]);
        folder.told("dev")
    };
    let told = [
        with("{command: [sh, -c, 'seq 100 >&2; printf \"\\033[31mno state\\n\" >&2; exit 3']}"),
        with("{command: [no-such-program-anywhere]}"),
        with("{command: [sh, -c, 'kill -9 $$']}"),
        with("{command: [echo, '[{\"host_id\": \"a\"']}"),
        with("{command: [sh, -c, 'sleep 300'], timeout: 1s}"),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_command_does_not_run_when_anything_else_is_wrong() {
    let text = "network: {provider: demo, providers: {demo: {domian: x}}}
infra: {inventory: [{command: [touch, ran]}]}
";
    let folder = Folder::new(&[("stagecraft.yml", text)]);
    assert!(folder.told("dev").contains("unknown-key"));
    assert!(!folder.0.path().join("ran").exists());
    let right = Folder::new(&[("stagecraft.yml", &text.replace("domian", "domain"))]);
    assert!(right.told("dev").contains("empty-inventory"));
    assert!(right.0.path().join("ran").exists(), "the same without the mistake runs");
}

#[test]
fn a_command_that_prints_without_end_or_never_ends_is_ended_with_its_children() {
    let text = |command: &str| {
        format!("network: {{provider: demo, providers: {{demo: {{domain: x}}}}}}\ninfra: {{inventory: [{command}]}}\n")
    };
    let folder = Folder::new(&[("stagecraft.yml", &text("{command: [yes]}"))]);
    assert!(folder.told("dev").contains("prints without end"), "{}", folder.told("dev"));

    let folder = Folder::new(&[("stagecraft.yml", &text("{command: [sh, -c, 'sleep 300 & echo $! > pid; wait']}"))]);
    let cancel = Cancel::new().expect("a descriptor");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let pid = folder.0.path().join("pid");
            while !std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')) {
                assert!(begun.elapsed() < Duration::from_secs(30), "it never began");
                std::thread::yield_now();
            }
            cancel.cancel();
        });
        let reading = Reading::new(&folder.file(), "dev").cancelled_by(&cancel);
        let Err(LoadError::Source(failed)) = reading.load(demo) else { panic!("it was cancelled") };
        assert!(failed.summary.contains("cancelled"), "{failed}");
    });
    let child = std::fs::read_to_string(folder.0.path().join("pid")).expect("a pid").trim().to_owned();
    let gone = || {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    while !gone() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{child} lives on");
        std::thread::yield_now();
    }
}

#[test]
fn an_environment_has_its_own_network_over_the_base_and_findings_keep_their_places() {
    let text = "network: {provider: demo, providers: {demo: {domain: base.net, default_tags: [t:a]}}}
environments:
  dev: {driver: x}
  prod:
    network: {domain: prod.net, default_tags: [t:b, bad]}
infra: {hosts: {dev: {a: }, prod: {b: }}}
";
    let (dev, ()) = parse(text, "s.yml".as_ref(), "dev", demo).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(dev.hosts()[0].tags, ["t:a"]);
    let wrong = invalid(parse(text, "s.yml".as_ref(), "prod", demo).map(drop).expect_err("a bad tag"));
    assert_eq!(
        list(&wrong.findings),
        "Error[bad-tag] 5:53 /environments/prod/network/default_tags/1\n  \"bad\" is no tag: it must begin with t:\n"
    );
    let prod = parse(&text.replace(", bad", ""), "s.yml".as_ref(), "prod", demo).unwrap_or_else(|e| panic!("{e}")).0;
    assert_eq!(prod.hosts()[0].tags, ["t:b"], "a list replaces a list");
    assert_eq!(prod.locate("/domain"), Ok(Place { line: 5, column: 23 }));
    assert_eq!(prod.whence("/default_tags/0"), "s.yml:5:48");
}

#[test]
fn a_network_may_stand_in_the_environments_alone() {
    let text = "network: {provider: demo}\nenvironments: {dev: {network: {domain: x.net}}, prod: {driver: x}}\n";
    assert_eq!(told(text), "");
    let wrong = invalid(parse(text, "s.yml".as_ref(), "prod", demo).map(drop).expect_err("prod has none"));
    insta::assert_snapshot!(list(&wrong.findings));
}

/// Gives every host a name in the network's domain.
#[derive(Debug)]
struct Domain(String);

impl FullNames for Domain {
    fn full_name(&self, host: &str) -> Option<String> {
        Some(format!("{host}.{}", self.0))
    }
}

#[test]
fn two_environments_of_one_network_that_claim_one_name_are_told_and_the_file_loads() {
    let named = |id: &str, config: &Value| {
        demo(id, config).map(|()| Domain(config["domain"].as_str().unwrap_or_default().to_owned()))
    };
    let text = "network: {provider: demo, providers: {demo: {domain: x.net}}}
environments: {dev: , staging: , prod: {network: {domain: y.net}}}
infra:
  hosts:
    dev: {app-1: {address: 10.0.0.1}, app-2: {address: 10.0.0.2}, db-1: {address: 10.0.0.3}, lone: }
    staging: {app-1: {address: 10.1.0.1}, app-2: , db-1: {address: 10.0.0.3}}
    prod: {app-1: {address: 10.2.0.1}}
";
    let (inventory, _) = parse(text, "s.yml".as_ref(), "dev", named).unwrap_or_else(|error| panic!("{error}"));
    insta::assert_snapshot!(list(inventory.notes()));
    let (prod, _) = parse(text, "s.yml".as_ref(), "prod", named).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(list(prod.notes()), "", "another network, another name");
}

#[test]
fn without_a_file_the_command_line_says_all_of_it_and_findings_name_the_option() {
    let reading = || {
        Reading::new("stagecraft.yml".as_ref(), "dev").without_file().otherwise("demo", &[("key_env", "NAME")]).host(
            Named {
                name: "app-1".to_owned(),
                address: "203.0.113.7".to_owned(),
                user: Some("root".to_owned()),
                tags: vec!["t:web".to_owned()],
                ..Named::default()
            },
        )
    };
    let right = reading().set("domain", "x.net", "--domain").set("default_tags", "[t:a, t:b]", "--set default_tags");
    let (inventory, ()) = right.load(demo).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(brief(inventory.hosts()), ["app-1 203.0.113.7 root None [] [t:a+t:b+t:web] "]);
    assert_eq!((inventory.whence("/domain"), inventory.whence("/key_env")), ("--domain".into(), "by default".into()));
    let wrong = reading().set("install.verison", "true", "--set install.verison").set("key_env", "a-b", "--key");
    insta::assert_snapshot!(list(&invalid(wrong.load(demo).expect_err("no domain")).findings));
    let tags = |name: &str| {
        let (name, address) = (name.to_owned(), name.to_owned());
        Named { name, address, tags: vec!["web".to_owned()], ..Named::default() }
    };
    let wrong = reading().set("domain", "x.net", "--domain").host(tags("app-2")).host(tags("app-1"));
    let wrong = invalid(wrong.load(demo).expect_err("a bad tag"));
    assert_eq!(list(&wrong.findings), "Error[bad-tag] --tags \n  \"web\" is no tag: it must begin with t:\n");
    assert_eq!((wrong.file.as_deref(), wrong.to_string().starts_with("the command line: ")), (None, true));
    let wrong = reading().set("domain", "x.net", "--domain").list("cut.json", HOSTS.as_bytes()[..90].to_vec());
    insta::assert_snapshot!(list(&invalid(wrong.load(demo).expect_err("a cut list")).findings));
}

#[test]
fn a_file_without_a_network_gets_it_from_the_command_line_and_one_with_a_network_keeps_its_own() {
    let text = "project: {name: x}\ninfra: {hosts: {dev: {app-1: }}}\n";
    let reading =
        |text: &str| Reading::new("s.yml".as_ref(), "dev").otherwise("demo", &[("domain", "assumed.net")]).text(text);
    let named = |id: &str, config: &Value| demo(id, config).map(|()| Domain(config["domain"].to_string()));
    let domain = |reading: Reading| reading.load(named).unwrap_or_else(|error| panic!("{error}")).1.0;
    assert_eq!(domain(reading(text)), "\"assumed.net\"");
    assert_eq!(domain(reading(text).set("domain", "said.net", "--domain")), "\"said.net\"");
    let own = format!("{text}network: {{provider: demo, providers: {{demo: {{domain: own.net}}}}}}\n");
    assert_eq!(domain(reading(&own)), "\"own.net\"");
    assert_eq!(domain(reading(&own).set("domain", "said.net", "--domain")), "\"said.net\"");
    let partly = format!("{text}network: {{provider: demo, providers: {{demo: {{}}}}}}\n");
    assert!(reading(&partly).load(demo).is_err(), "what is assumed is for no network at all");
}

#[test]
fn a_list_on_the_command_line_wins_over_the_file() {
    let text =
        "network: {provider: demo, providers: {demo: {domain: x}}}\ninfra: {hosts: {dev: {web-1: {address: a.b}}}}\n";
    let folder = Folder::new(&[("stagecraft.yml", text)]);
    let reading = Reading::new(&folder.file(), "dev").list("-", HOSTS.as_bytes().to_vec());
    let (inventory, ()) = reading.load(demo).unwrap_or_else(|error| panic!("{error}"));
    let addresses: Vec<_> = inventory.hosts().iter().map(|host| host.address.as_deref()).collect();
    assert_eq!(addresses, [Some("203.0.113.7"), Some("10.0.0.8")]);
}
