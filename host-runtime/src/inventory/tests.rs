use super::*;
use crate::contract::Severity;
use serde_json::Value;

mod keys;
mod lists;

/// A provider as strict as a real one: it wants `domain`, knows `key_env`, `default_tags` and `role_tags`, and its tags
/// begin with `t:`.
fn demo(id: &str, config: &Value) -> Result<(), Refusal> {
    if id != "demo" {
        return Err(Refusal::UnknownProvider(vec!["demo".to_owned(), "other".to_owned()]));
    }
    let mut said = Vec::new();
    let mut say = |code: &str, summary: &str, path: String| {
        said.push(Diagnostic {
            severity: Severity::Error,
            code: code.to_owned(),
            summary: summary.to_owned(),
            detail: None,
            config_path: Some(path),
        });
    };
    let Some(map) = config.as_object() else {
        say("wrong-type", "the config must be a mapping", String::new());
        return Err(Refusal::Findings(said));
    };
    for key in map.keys().filter(|key| !["domain", "key_env", "default_tags", "role_tags"].contains(&key.as_str())) {
        say("unknown-key", &format!("unknown key `{key}`"), format!("/{key}"));
    }
    if !config["domain"].is_string() {
        say("bad-domain", "`domain` must be a domain", "/domain".to_owned());
    }
    if config["key_env"].as_str().is_some_and(|name| name.contains('-')) {
        say("key-not-name", "`key_env` holds a key: it takes the name of a variable", "/key_env".to_owned());
    }
    for (index, tag) in config["default_tags"].as_array().into_iter().flatten().enumerate() {
        if !tag.as_str().is_some_and(|tag| tag.starts_with("t:")) {
            say("bad-tag", &format!("{tag} is no tag: it must begin with t:"), format!("/default_tags/{index}"));
        }
    }
    if said.is_empty() { Ok(()) } else { Err(Refusal::Findings(said)) }
}

fn invalid(error: LoadError) -> Invalid {
    match error {
        LoadError::Invalid(invalid) => invalid,
        other => panic!("{other}"),
    }
}

fn read(text: &str) -> Result<Inventory, Invalid> {
    parse(text, Path::new("conf/stagecraft.yml"), "dev", demo).map(|(inventory, ())| inventory).map_err(invalid)
}

/// What a person would be told, in a form that is easy to compare.
fn told(text: &str) -> String {
    match read(text) {
        Ok(inventory) => list(inventory.notes()),
        Err(invalid) => list(&invalid.findings),
    }
}

fn list(findings: &[Finding]) -> String {
    let mut told = String::new();
    for one in findings {
        let option = one.option.as_deref().unwrap_or("-");
        let place = one.place.map_or(option.to_owned(), |place| place.to_string());
        told += &format!("{:?}[{}] {place} {}\n  {}\n", one.severity, one.code, one.pointer, one.summary);
        for line in one.detail.iter().flat_map(|detail| detail.lines()) {
            told += &format!("  {line}\n");
        }
    }
    told
}

const NETWORK: &str = "network: {provider: demo, providers: {demo: {domain: example.net}}}\n";

fn with_hosts(hosts: &str) -> String {
    format!("{NETWORK}infra:\n  hosts:\n    dev:\n{hosts}")
}

#[test]
fn a_file_with_all_of_stagecrafts_own_sections_loads_in_silence() {
    let inventory = read(
        "project: {name: shop}
backend: {provider: generic, providers: {generic: {dev: {command: [npm, run, dev], env: {PORT: '4000'}}}}}
frontend: {provider: generic, providers: {generic: {}}}
dev: {domains: {frontend: app.localdev.test}}
cloud: {provider: digitalocean, providers: {digitalocean: {token_env: DO_TOKEN}}}
migrations: {sources: []}
databases: {main: {connection_env: DATABASE_URL, migrations: {engine: raw, path: ./m, strategy: pre_deploy}}}
environments: {dev: {driver: local}, prod: {driver: digitalocean, env_file: .env, rollout: {enabled: true}}}
network:
  provider: demo
  providers:
    demo: {domain: example.net, default_tags: [t:fleet], role_tags: {app: [t:web, t:fleet], db: []}}
    another: {anything: [at, all]}
infra:
  something: else
  bootstrap:
    ssh_user: root
    docker: {channel: stable}
    ssh: {user: root, port: 2222, privateKeyPath: keys/id, knownHostsFile: /etc/kh}
  hosts:
    prod: {}
    dev:
      db-1: {address: '2001:db8::7', port: 22, user: admin, roles: [db], tags: [t:z, t:a]}
      app-10: {address: 203.0.113.7, roles: [app, db]}
      app-2:
",
    )
    .unwrap_or_else(|invalid| panic!("{}", list(&invalid.findings)));
    assert_eq!(list(inventory.notes()), "");
    assert_eq!((inventory.provider(), inventory.environment()), ("demo", "dev"));
    let host = |name: &str, address: Option<&str>, port, user: &str, roles: &[&str], tags: &[&str], line| HostSpec {
        name: name.to_owned(),
        address: address.map(str::to_owned),
        private_address: None,
        known_as: None,
        port: Some(port),
        user: Some(user.to_owned()),
        host_keys: Vec::new(),
        private_key: Some("conf/keys/id".into()),
        known_hosts: Some("/etc/kh".into()),
        ssh_config: None,
        jump: None,
        ask_sudo: false,
        labels: BTreeMap::new(),
        roles: roles.iter().map(|&role| role.to_owned()).collect(),
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        place: Some(Place { line, column: 7 }),
    };
    let wanted = [
        host("app-10", Some("203.0.113.7"), 2222, "root", &["app", "db"], &["t:fleet", "t:web"], 24),
        host("app-2", None, 2222, "root", &[], &["t:fleet"], 25),
        host("db-1", Some("2001:db8::7"), 22, "admin", &["db"], &["t:a", "t:fleet", "t:z"], 23),
    ];
    assert_eq!(inventory.hosts(), wanted);
    assert_eq!(inventory.locate("/default_tags/0"), Ok(Place { line: 12, column: 48 }));
}

#[test]
fn f8_everything_that_is_wrong_in_every_section_comes_at_once() {
    insta::assert_snapshot!(told(
        "networks: {}
network:
  provider: demo
  provders: {}
  providers:
    demo:
      domian: example.net
      default_tags: [web, t:ok]
infra:
  host: {}
  bootstrap:
    shh: {}
    ssh_user: -oProxyCommand=sh
    ssh:
      port: 70000
      private_key_path: x
      knownHostsFile: ~other/known_hosts
  hosts:
    dev:
      App_1: {adress: 203.0.113.7, roles: app, tags: [t:a, 1.80, true, null]}
      app-3: {address: -Fx, user: -l}
      app-2: {address: 'x;reboot', port: '22', user: 1000, role: [app]}
      -x: 7
    prod:
      bad name:
environments:
  dev: {network: {domian: other.net}, netwrok: {}}
"
    ));
}

#[test]
fn f8_a_wrong_type_at_each_key_that_is_ours_is_told() {
    insta::assert_snapshot!(told(
        "network: {provider: [demo], providers: 3}
infra:
  bootstrap:
    ssh_user: 7
    ssh: {user: , port: many, privateKeyPath: [a], knownHostsFile: 1.5}
  hosts:
    dev:
      app-1: {address: 10.1, port: 22.0, user: true, roles: [[a]], tags: {a: b}}
      app-2: [a]
    prod: 3
  inventory: [tf.json]
"
    ));
}

#[test]
fn a_section_that_is_no_mapping_is_told() {
    insta::assert_snapshot!(
        [
            "network: demo\ninfra: [x]\n",
            "[a, b]",
            "just text",
            "infra: {bootstrap: x, hosts: y}\n",
            "infra: {bootstrap: {ssh: x}}"
        ]
        .map(|text| format!("{text}\n{}", told(text)))
        .join("\n")
    );
}

#[test]
fn what_is_missing_is_told_with_the_place_where_it_should_stand() {
    insta::assert_snapshot!(
        [
            "project: {name: x}\n",
            "network: {providers: {demo: {}}}\n",
            "network: {provider: '', providers: {demo: {}}}\n",
            "network: {provider: demo}\n",
            "network: {provider: demo, providers: {other: {}}}\n",
            "network: {provider: demo, demo: {domain: x.net}}\n",
            "network: {provider: demmo, providers: {demmo: {}}}\n",
            "network: {provider: wireguard, providers: {wireguard: {}}}\n",
            "network: {provider: demo, providers: {demo: }}\n",
        ]
        .map(|text| format!("{text}{}", told(text)))
        .join("\n")
    );
}

#[test]
fn an_environment_that_is_not_there_lists_those_that_are() {
    let text = format!("{NETWORK}infra: {{hosts: {{deb: , staging: }}}}\nenvironments: {{prod: {{driver: x}}}}\n");
    insta::assert_snapshot!(told(&text));
    // One without hosts is there all the same, and a file that names none has nothing to compare with.
    assert_eq!(told(&format!("{NETWORK}environments: {{dev: {{driver: local}}}}\n")), "");
    assert_eq!(told(NETWORK), "");
}

#[test]
fn f1_a_key_in_place_of_a_variables_name_is_never_repeated_whatever_else_is_wrong() {
    let texts = [
        "network: {provider: demo, providers: {demo: {domain: x.net, key_env: secret-k3y}}}\n",
        "network: {provider: nope, providers: {nope: {key_env: secret-k3y}}}\n",
        "network: {provider: demo, providers: {demo: {domain: 1, key_env: [secret-k3y]}}}\n",
        "network: {provider: demo, providers: {demo: secret-k3y}}\n",
        "network: {provider: demo, providers: {demo: {key_env: secret-k3y\n",
        "network: {provider: demo, providers: {demo: {key_env: 'secret-k3y}}}\n",
        "network: {provider: demo, providers: {demo: {key_env: &secret-k3y *secret-k3y}}}\n",
    ];
    for text in texts {
        let invalid = read(text).expect_err(text);
        assert!(!format!("{invalid:?} {invalid}").contains("k3y"), "{text}: {invalid}");
    }
    let fine =
        read("network: {provider: demo, providers: {demo: {domain: x.net, key_env: secretk3y}}}\n").expect("it loads");
    assert!(!format!("{fine:?}").contains("k3y"));
}

#[test]
fn f7_a_key_of_stagecrafts_that_is_one_slip_from_ours_is_noted_and_the_file_loads() {
    let text = format!("{NETWORK}infar: {{hosts: {{}}}}\n");
    insta::assert_snapshot!(told(&text));
    let text = format!(
        "{NETWORK}infra: {{host: {{}}, bootstrap: {{ssh_usr: root, shh: {{}}, docker: {{}}}}, volumes: {{}}}}\n"
    );
    insta::assert_snapshot!(told(&text));
    assert!(read(&text).is_ok());
}

#[test]
fn f3_the_provider_judges_the_tags_of_hosts_and_its_words_get_their_place() {
    insta::assert_snapshot!(told(&with_hosts(
        "      app-1: {tags: [t:a, web]}\n      app-2: {tags: [web, t:b, Prod]}\n      app-3: {tags: []}\n"
    )));
}

#[test]
fn a_role_that_has_no_tags_where_others_have_is_told_with_the_nearest() {
    let text = "network: {provider: demo, providers: {demo: {domain: x.net, role_tags: {app: [t:app], db: []}}}}
infra: {hosts: {dev: {a: {roles: [app, ap]}, b: {roles: [db, gateway]}}}}\n";
    insta::assert_snapshot!(told(text));
}

#[test]
fn two_hosts_with_one_address_are_a_warning_and_the_file_still_loads() {
    let text = with_hosts(
        "      a: {address: 10.0.0.1}\n      b: {address: 10.0.0.1, port: 23}\n      c: {address: 10.0.0.1}\n",
    );
    insta::assert_snapshot!(told(&text));
    assert_eq!(read(&text).expect("a warning is no error").hosts().len(), 3);
}

#[test]
fn two_hundred_of_the_same_are_told_once() {
    let hosts: String =
        (1..=200).map(|n| format!("      app-{n:03}: {{address: 10.0.0.{}}}\n", n.min(190) / 2)).collect();
    let inventory = read(&with_hosts(&hosts)).expect("a warning is no error");
    let [one] = inventory.notes() else { panic!("{:?}", inventory.notes()) };
    assert!(one.summary.starts_with("199 hosts have an address and port that is another host's too"), "{one:?}");
    let detail = one.detail.as_deref().expect("which");
    assert!(detail.lines().count() == 7 && detail.contains("found: 10.0.0.1: app-002, app-003"), "{detail}");
    assert!(detail.contains("90 more addresses"), "{detail}");
}

#[test]
fn two_users_for_all_are_a_contradiction_and_the_same_one_twice_is_not() {
    let text = |inner: &str| format!("{NETWORK}infra: {{bootstrap: {{ssh_user: root, ssh: {{user: {inner}}}}}}}\n");
    assert_eq!(told(&text("root")), "");
    insta::assert_snapshot!(told(&text("deploy")));
}

#[test]
fn a_host_that_is_not_there_names_the_nearest() {
    let inventory = read(&with_hosts("      app-1:\n      app-2:\n      db-1:\n")).expect("it loads");
    assert_eq!(inventory.host("db-1").map(|host| host.name.as_str()), Ok("db-1"));
    assert_eq!(inventory.host("db1").expect_err("none"), "no host `db1` in environment `dev`: did you mean `db-1`?");
    assert_eq!(inventory.host("web").expect_err("none"), "no host `web` in environment `dev`: it has 3 hosts");
}

#[test]
fn a_home_is_expanded_and_the_rest_is_relative_to_the_file() {
    let home = std::env::home_dir().expect("a home");
    let file = Path::new("/srv/shop/stagecraft.yml");
    assert_eq!(resolve("~/.ssh/id", file), home.join(".ssh/id"));
    assert_eq!(resolve("keys/id", file), Path::new("/srv/shop/keys/id"));
    assert_eq!(resolve("/etc/id", file), Path::new("/etc/id"));
    assert_eq!(resolve("keys/id", Path::new("stagecraft.yml")), Path::new("keys/id"));
}

#[test]
fn a_file_that_is_missing_no_text_or_too_large_is_one_finding() {
    let folder = tempfile::tempdir().expect("a folder");
    let tell = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        if !bytes.is_empty() {
            std::fs::write(&file, bytes).expect("it is written");
        }
        let invalid = invalid(load(&file, "dev", demo).expect_err("it cannot be used"));
        assert_eq!((invalid.file, invalid.findings.len()), (Some(file), 1));
        list(&invalid.findings)
    };
    let large = vec![b'#'; yaml::MAX_BYTES + 1];
    insta::assert_snapshot!(
        [tell("missing", b""), tell("latin1", b"a: x\nb: caf\xe9\n"), tell("large", &large)].join("\n")
    );
}

#[test]
fn the_example_loads_and_its_hosts_get_the_tags_of_their_roles() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/stagecraft.yml");
    let (inventory, ()) = load(&file, "dev", |_, _| Ok(())).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(list(inventory.notes()), "");
    let tags: Vec<_> = inventory.hosts().iter().map(|host| host.tags.join(" ")).collect();
    assert_eq!(tags, ["tag:app tag:stagecraft", "tag:app tag:canary tag:stagecraft", "tag:db tag:stagecraft"]);
}

#[test]
fn what_a_file_has_in_it_cannot_act_on_a_terminal() {
    let text = with_hosts("      \"a\\e]0;x\\x07\": {\"\\u202Eport\": 1}\n");
    let told = told(&text);
    assert!(told.contains("bad-host-name") && told.contains("unknown-key"), "{told}");
    assert!(!told.contains(['\x1b', '\x07', '\u{202e}']), "{told:?}");
}

#[test]
fn five_thousand_hosts_load_at_once() {
    let hosts: String = (0..5000)
        .map(|n| format!("      h{n}: {{address: host{n}.example.net, roles: [app], tags: [t:n{n}]}}\n"))
        .collect();
    let begun = std::time::Instant::now();
    assert_eq!(read(&with_hosts(&hosts)).expect("it loads").hosts().len(), 5000);
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_host_key_is_a_key_a_fingerprint_or_a_list_and_anything_else_is_told() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMRLmVJuDpPt6vv1yC0a1aTmNuDRCHNNT9kbRIwGZA1q root@a";
    let print = "SHA256:2Yq5+HfWJGRnUNYLOXtCAVmtDlBXHnh2Sc6u0aEqkNQ";
    let file = |hosts: &str| {
        format!("network: {{provider: demo, providers: {{demo: {{domain: x}}}}}}\ninfra:\n  hosts:\n    dev:\n{hosts}")
    };
    let text = format!("      a: {{host_key: {key}}}\n      b: {{host_key: [{key}, \"{print}\"]}}\n      c: {{}}\n");
    let inventory = read(&file(&text)).expect("it is right");
    let count = |name: &str| inventory.host(name).expect("there").host_keys.len();
    assert_eq!([count("a"), count("b"), count("c")], [1, 2, 0]);
    let invalid = read(&file("      a: {host_key: [\"MD5:00\", 7]}\n")).expect_err("neither");
    let codes: Vec<&str> = invalid.findings.iter().map(|one| one.code.as_str()).collect();
    assert_eq!(codes, ["bad-host-key", "wrong-type"]);
}
