use super::super::tests::{node, wishes};
use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn two() -> Vec<Wish> {
    wishes(
        "      app-1: {address: 203.0.113.7, roles: [app, web-server], port: 2222}\n      db-1: {address: 203.0.113.8}\n",
    )
}

/// Every member of these in a format, or nothing where one is refused.
fn written(format: Format, wishes: &[Wish], nodes: &[Node]) -> Option<String> {
    let members: Vec<Member<'_>> =
        wishes.iter().zip(nodes).map(|(wish, node)| entry(format, wish, Some(node)).ok()).collect::<Option<_>>()?;
    Some(match format {
        Format::Json => json::write("dev", &members),
        Format::Env => env::write(&members),
        Format::SshConfig => ssh_config::write(&members),
        Format::Ansible => ansible::write(&members),
        Format::Compose => compose::write(&members, &["web".to_owned(), "worker.1".to_owned()]),
    })
}

fn nodes() -> [Node; 2] {
    [node("app-1", &["tag:server", "tag:web"], Some("2026-12-24T10:00:00Z")), node("db-1", &[], None)]
}

#[test]
fn every_format_says_the_same_two_hosts() {
    let mut wishes = two();
    wishes[0].spec.known_hosts = Some("/home/me/known hosts".into());
    wishes[0].spec.private_key = Some("/home/me/100%/id".into());
    for format in [Format::Json, Format::Env, Format::SshConfig, Format::Ansible, Format::Compose] {
        insta::assert_snapshot!(format!("{format:?}"), written(format, &wishes, &nodes()).expect("it can be said"));
    }
}

#[test]
fn a_host_stands_in_it_under_its_own_name_with_addresses_that_are_some_or_not_at_all() {
    let wish = &two()[0];
    let good = node("app-1", &[], None);
    assert!(member(wish, Some(&good)).is_ok());
    let why = |node: &Node| member(wish, Some(node)).expect_err("it is refused");
    let named = |fqdn: &str| Node { fqdn: fqdn.to_owned(), ..good.clone() };
    let at =
        |addresses: &[&str]| Node { addresses: addresses.iter().map(|&one| one.to_owned()).collect(), ..good.clone() };
    assert_eq!(why(&named("app-1-1.example.net")), "the network calls it app-1-1.example.net, not app-1.example.net");
    assert_eq!(why(&at(&["100.64.0.1", "100.64.0.2; rm"])), "100.64.0.2; rm is no address");
    assert_eq!(why(&at(&[])), "it has no address");
    assert_eq!(member(wish, None), Err("it is no member".to_owned()));
    let odd = Wish { fqdn: Some("app-1.ex\"ample.net".to_owned()), ..wish.clone() };
    assert_eq!(member(&odd, Some(&named("app-1.ex\"ample.net"))), Err("app-1.ex\"ample.net is no DNS name".to_owned()));
}

#[test]
fn what_a_format_cannot_say_is_refused_and_the_run_is_partial() {
    let [app, db] = nodes();
    for (user, ssh, ansible) in [
        ("deploy", true, true),
        ("a\"b", false, true),
        ("a\nb", false, true),
        ("$HOME", false, true),
        ("{{ x }}", true, false),
    ] {
        let mut wishes = two();
        wishes[0].spec.user = Some(user.to_owned());
        let nodes = [app.clone(), db.clone()];
        assert_eq!(written(Format::SshConfig, &wishes, &nodes).is_some(), ssh, "{user:?}");
        assert_eq!(written(Format::Ansible, &wishes, &nodes).is_some(), ansible, "{user:?}");
        assert!(written(Format::Env, &wishes, &nodes).is_some());
    }
}

/// The words of a line of an ssh_config as ssh reads them: a quoted word keeps its blanks.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, left) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("a closing quote"),
            None => rest.split_at(rest.find([' ', '\t', '"']).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = left.trim_start();
    }
    words
}

proptest! {
    #[test]
    fn an_ssh_config_is_read_as_it_was_meant(user in r#"[ -~é\n]{1,12}"#, path in r#"/[ -~é]{1,20}"#) {
        let mut wishes = two();
        wishes[0].spec.user = Some(user.clone());
        wishes[0].spec.private_key = Some(path.clone().into());
        let Some(text) = written(Format::SshConfig, &wishes, &nodes()) else { return Ok(()) };
        let block = text.split("\nHost ").nth(1).expect("the first host");
        let value = |key: &str| {
            let line = block.lines().find(|line| line.trim_start().starts_with(key)).expect("the line is there");
            words(line)
        };
        prop_assert_eq!(value("User"), vec!["User".to_owned(), user]);
        let read = value("IdentityFile");
        prop_assert_eq!(read.len(), 2);
        let absolute = std::path::absolute(&path).expect("a path");
        prop_assert_eq!(read[1].replace("%%", "%"), absolute.to_string_lossy());
        prop_assert!(!read[1].replace("%%", "").contains('%'), "no token is left");
        let keys = ["", "HostName", "User", "Port", "HostKeyAlias", "IdentityFile"];
        for line in block.lines().skip(1) {
            prop_assert!(keys.contains(&line.split_whitespace().next().unwrap_or("")), "{}", line);
        }
    }

    #[test]
    fn ansible_and_json_give_back_every_text(user in ".{1,12}", tags in prop::collection::vec(".{0,9}", 0..3), role in ".{0,9}") {
        let mut wishes = two();
        wishes[0].spec.user = Some(user.clone());
        wishes[0].spec.roles = vec![role.clone()];
        let mut nodes = nodes();
        nodes[0].tags = tags.clone();
        let json: Value = serde_json::from_str(&written(Format::Json, &wishes, &nodes).expect("JSON says all")).expect("it is JSON");
        prop_assert_eq!(&json["hosts"]["app-1"]["roles"][0], &Value::from(role));
        prop_assert_eq!(&json["hosts"]["app-1"]["tags"], &Value::from(tags.clone()));
        if let Some(text) = written(Format::Ansible, &wishes, &nodes) {
            let inventory: Value = serde_json::from_str(&text).expect("it is JSON");
            prop_assert_eq!(&inventory["all"]["hosts"]["app-1"]["ansible_user"], &Value::from(user));
            prop_assert_eq!(&inventory["all"]["hosts"]["app-1"]["stagecraft_net_tags"], &Value::from(tags));
            for group in inventory["all"]["children"].as_object().expect("groups").keys() {
                prop_assert!(group.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{}", group);
            }
        }
    }

    #[test]
    fn no_line_of_an_env_file_holds_what_a_shell_would_read_otherwise(name in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", tag in ".{0,9}") {
        let mut wishes = two();
        wishes[0].spec.name = name.clone();
        wishes[0].fqdn = Some(format!("{name}.example.net"));
        let nodes = [node(&name, &[&tag], None), node("db-1", &[], None)];
        for line in written(Format::Env, &wishes, &nodes).expect("it can be said").lines() {
            let (name, value) = line.split_once('=').expect("a name");
            prop_assert!(name.starts_with("STAGECRAFT_NET_") && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'), "{}", line);
            prop_assert!(value.chars().all(|c| c.is_ascii_alphanumeric() || ".:,-".contains(c)), "{}", line);
        }
    }
}
