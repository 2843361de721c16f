//! What is wrong before any host is reached: the command line, the file, the provider's config.

use lab::site::{Site, Spec};
use tailscale_model::{Machine, World};

use super::json;

fn site() -> Site {
    let mut site = Site::new(&World::of("example.ts.net")).unwrap();
    site.host("app-1", Spec::of(Machine::bare("app-1"))).unwrap();
    site
}

#[test]
fn f8_everything_that_is_wrong_with_the_file_comes_at_once_and_nothing_is_connected() {
    let mut site = site();
    site.provider("auth_key_env: tskey-auth-kOops\ntailnet_domain: nodot\ninstal: {}\ninstall: {min_version: 1.80}")
        .unwrap();
    let text = std::fs::read_to_string(site.file()).unwrap().replace("    ssh:", "    ssh:\n      prot: 22");
    std::fs::write(site.file(), text.replace("address:", "adress:")).unwrap();
    for command in ["plan", "up", "status", "fqdn", "leave"] {
        let hosts = if matches!(command, "fqdn" | "leave") { &["app-1"][..] } else { &[] };
        let words = |json: bool| {
            [command].into_iter().chain(hosts.iter().copied()).chain(json.then_some("--json")).collect::<Vec<_>>()
        };
        let ran = site.cli(words(true)).run().unwrap();
        let lines = json(&ran);
        assert_eq!((ran.code, lines.len()), (Some(1), 3), "{ran:?}");
        let fault = &lines[1];
        assert_eq!((&fault["event"], &fault["fault"]), (&"fault".into(), &"config".into()));
        let pointers: Vec<&str> =
            fault["findings"].as_array().unwrap().iter().filter_map(|one| one["pointer"].as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/network/providers/tailscale/auth_key_env",
                "/network/providers/tailscale/tailnet_domain",
                "/network/providers/tailscale/instal",
                "/network/providers/tailscale/install/min_version",
                "/infra/bootstrap/ssh/prot",
                "/infra/hosts/dev/app-1/adress",
            ]
        );
        let people = site.cli(words(false)).run().unwrap();
        assert_eq!((people.code, people.stdout.as_str()), (Some(1), ""));
        assert!(people.stderr.contains("stagecraft.yml:9:"), "{}", people.stderr);
        for told in [&ran.stdout, &people.stderr] {
            assert!(!told.contains("kOops"), "a key is never repeated: {told}");
        }
    }
    assert_eq!(site["app-1"].sshd().connections(), 0);
}

#[test]
fn usage_errors_end_with_1_and_help_with_0() {
    let site = site();
    let code = |words: &[&str]| site.cli(words).run().unwrap().code;
    assert_eq!(code(&["leave"]), Some(1));
    assert_eq!(code(&["nonsense"]), Some(1));
    assert_eq!(code(&[]), Some(1));
    assert_eq!(code(&["plan", "app-9"]), Some(1));
    assert_eq!(code(&["plan", "-e", "prod"]), Some(1));
    assert_eq!(code(&["-c", "nowhere.yml", "plan"]), Some(1));
    assert_eq!(code(&["provider", "inspect", "wireguard"]), Some(1));
    assert_eq!(code(&["--help"]), Some(0));
    assert_eq!(code(&["up", "--help"]), Some(0));
    assert_eq!(code(&["--version"]), Some(0));
    for words in [&["leave", "--json"][..], &["plan", "app-9", "--json"], &["provider", "inspect", "x", "--json"]] {
        let ran = site.cli(words).run().unwrap();
        assert_eq!((json(&ran)[1]["fault"].as_str(), ran.code), (Some("usage"), Some(1)));
    }
    assert_eq!(site["app-1"].sshd().connections(), 0);
}

#[test]
fn c5_a_name_costs_no_connection_and_no_key_and_a_host_that_is_not_there_is_told() {
    let site = site();
    let ran = site.cli(["fqdn", "app-1"]).run().unwrap();
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "app-1.example.ts.net\n", ""));
    let ran = site.cli(["fqdn", "app-2"]).run().unwrap();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("did you mean `app-1`?"), "{}", ran.stderr);
    assert_eq!(site["app-1"].sshd().connections(), 0);
}

#[test]
fn the_built_in_provider_is_listed_and_says_what_it_may_do() {
    let site = site();
    let list = site.cli(["provider", "list"]).run().unwrap();
    assert!(list.code == Some(0) && list.stdout.starts_with("tailscale  "), "{list:?}");
    let lines = json(&site.cli(["provider", "inspect", "tailscale", "--json"]).run().unwrap());
    assert_eq!(lines[1]["descriptor"]["id"], "tailscale");
    let digest = lines[1]["provider"]["digest"].as_str().unwrap();
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
}
