use super::*;
use proptest::prelude::*;
use serde_json::json;

fn list(value: &Value) -> List {
    read(value.to_string().as_bytes(), None)
}

/// What a person would be told.
fn told(list: &List) -> String {
    let mut told = String::new();
    for Remark { weight, code, summary, detail } in &list.remarks {
        told += &format!("{weight:?}[{code}] {summary}\n");
        for line in detail.iter().flat_map(|detail| detail.lines()) {
            told += &format!("  {line}\n");
        }
    }
    told
}

fn hosts() -> Value {
    json!([
        {"host_id": "web-2", "public_ip": "203.0.113.8", "private_ip": "10.0.0.8", "ssh_port": 2222,
         "roles": ["web", "app"], "labels": {"env": "prod", "size": 2, "tiers": ["x"]}},
        {"host_id": "web-1", "public_ip": "203.0.113.7", "private_ip": null, "ssh_port": "22", "roles": null},
    ])
}

#[test]
fn each_shape_of_terraforms_output_holds_the_same_hosts() {
    let bare = list(&hosts());
    assert_eq!(told(&bare), "");
    let names: Vec<_> = bare.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["web-1", "web-2"], "sorted by name");
    let second = &bare.hosts[1];
    assert_eq!((second.address.as_deref(), second.private_address.as_deref()), (Some("203.0.113.8"), Some("10.0.0.8")));
    assert_eq!((second.port, second.roles.join(" ")), (Some(2222), "app web".to_owned()));
    let labels: Vec<_> = second.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(labels, ["env=prod", "size=2"], "a list is no label");
    for shape in [
        json!({"stagecraft_hosts": {"sensitive": false, "type": "any", "value": hosts()}, "vpc": {"value": 1}}),
        json!({"stagecraft_hosts": hosts()}),
        json!({"hosts": hosts(), "network": {"vpc_cidr": "10.0.0.0/16"}}),
    ] {
        assert_eq!(list(&shape), bare, "{shape}");
    }
}

#[test]
fn an_address_that_is_not_known_yet_and_a_missing_port_are_told_and_the_hosts_are_kept() {
    let list = list(&json!([
        {"host_id": "a", "public_ip": null, "private_ip": "", "ssh_port": null},
        {"host_id": "b", "public_ip": "10.0.0.1"},
        {"host_id": "c"},
    ]));
    assert!(!list.is_faulty());
    assert_eq!(list.hosts.len(), 3);
    insta::assert_snapshot!(told(&list));
}

#[test]
fn everything_that_is_wrong_with_a_list_of_terraforms_is_told_at_once() {
    let list = list(&json!([
        7,
        {"public_ip": "10.0.0.1"},
        {"host_id": "Web_1"},
        {"host_id": "a", "public_ip": "x;reboot", "ssh_port": 70000, "roles": [1], "ssh_user": "-l", "host_key": "x"},
        {"host_id": "b", "public_ip": ["10.0.0.1"]},
        {"host_id": "b"},
    ]));
    insta::assert_snapshot!(told(&list));
}

#[test]
fn what_is_no_list_of_hosts_says_what_it_is_and_what_was_wanted() {
    let texts = [
        "",
        "  \n",
        "{\"stagecraft_hosts\": {\"value\": [{\"host_id\": \"a\",",
        "hosts:\n  - a\n",
        "null",
        "{}",
        "{\"vpc_id\": {\"sensitive\": false, \"type\": \"string\", \"value\": \"vpc-1\"}}",
        "{\"stagecraft_hosts\": {\"sensitive\": false, \"value\": {\"a\": 1}}}",
        "{\"a\": 1, \"b\": 2, \"c\": 3, \"d\": 4, \"e\": 5, \"f\": 6}",
    ];
    insta::assert_snapshot!(texts.map(|text| format!("{text:?}\n{}", told(&read(text.as_bytes(), None)))).join("\n"));
}

#[test]
fn ansibles_groups_are_roles_and_its_variables_say_where_a_host_is() {
    let list = list(&json!({
        "_meta": {"hostvars": {
            "web-1.example.net": {"ansible_port": 2222, "labels": {"env": "prod"}},
            "db-1": {"ansible_host": "10.0.0.2", "ansible_user": "admin", "ansible_become_password": "hunter22",
                     "ansible_ssh_private_key_file": "~/.ssh/x", "ansible_ssh_common_args": "-J bastion"},
            "here": {"ansible_connection": "local"},
        }},
        "all": {"children": ["ungrouped", "site"]},
        "ungrouped": {"hosts": ["spare"]},
        "site": {"children": ["web", "db", "site"]},
        "web": {"hosts": ["web-1.example.net"]},
        "db": {"hosts": ["db-1"]},
    }));
    let of = |host: &Listed| {
        let address = host.address.clone().unwrap_or_default();
        format!("{} {address} {:?} {:?} {}", host.name, host.port, host.user, host.roles.join("+"))
    };
    let hosts: Vec<String> = list.hosts.iter().map(of).collect();
    let wanted = [
        "db-1 10.0.0.2 None Some(\"admin\") db+site",
        "spare  None None ",
        "web-1 web-1.example.net Some(2222) None site+web",
    ];
    assert_eq!(hosts, wanted);
    let told = told(&list);
    assert!(!told.contains("hunter22") && !told.contains("-J"), "{told}");
    insta::assert_snapshot!(told);
}

#[test]
fn what_is_wrong_with_an_inventory_of_ansibles_is_told() {
    let texts = [
        json!({"web": {"hosts": ["a", "b"]}}),
        json!({"_meta": {"hostvars": []}}),
        json!({"_meta": {"hostvars": {}}, "web": {"hosts": {"a": {}}}}),
        json!({"_meta": {"hostvars": {"web_1": {}, "10.0.0.1": {}, "a.x": {}, "a.y": {}}}}),
        json!({"_meta": {"hostvars": {"a": {"ansible_host": "$(id)", "ansible_port": 0, "ansible_user": ["x"]}}}}),
        json!({"_meta": {"hostvars": {}}}),
    ];
    insta::assert_snapshot!(texts.map(|text| format!("{text}\n{}", told(&list(&text)))).join("\n"));
    assert!(read(b"[]", Some(Format::Ansible)).is_faulty());
}

#[test]
fn what_a_list_has_in_it_cannot_act_on_a_terminal() {
    let told = told(&list(&json!([{"host_id": "a\u{1b}]0;x\u{7}"}, {"host_id": "b", "public_ip": "\u{202e}x"}])));
    assert!(told.contains("bad-host-name") && told.contains("bad-address"), "{told}");
    assert!(!told.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{told:?}");
}

/// Any JSON, with the words that mean something among its keys and texts.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("stagecraft_hosts"),
        Just("hosts"),
        Just("value"),
        Just("_meta"),
        Just("hostvars"),
        Just("children"),
        Just("host_id"),
        Just("public_ip"),
        Just("ssh_port"),
        Just("roles"),
        Just("labels"),
        Just("ansible_host"),
        Just("all"),
        Just("web-1"),
        Just("10.0.0.1"),
        Just("x y"),
        Just(""),
    ]
    .prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_it_panic_or_gives_a_host_that_must_not_reach_a_command_line(value in any_json()) {
        for format in [None, Some(Format::Terraform), Some(Format::Ansible)] {
            crate::fuzzing::inventory::promises(value.to_string().as_bytes(), format);
        }
    }

    #[test]
    fn a_list_that_is_cut_anywhere_is_never_taken_for_a_shorter_one(cut in 0usize..400) {
        let whole = json!({"stagecraft_hosts": {"value": hosts()}}).to_string();
        let cut = cut.min(whole.len() - 1);
        prop_assert!(read(&whole.as_bytes()[..cut], None).is_faulty());
    }
}
