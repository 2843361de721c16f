//! The table of keys, the reader and the schema for editors say the same of a file.

use serde_json::{Map, Value, json};

use super::*;
use crate::inventory::keys::{KEYS, Key, Shape, below};

/// As `demo` wants its config.
const DEMO_SCHEMA: &str = r##"{"type": "object", "additionalProperties": false, "required": ["domain"], "properties": {
  "domain": {"type": "string"}, "key_env": {"type": "string", "pattern": "^[^-]*$"},
  "default_tags": {"$ref": "#/$defs/tags"}, "role_tags": {"type": "object", "additionalProperties": {"$ref": "#/$defs/tags"}}},
  "$defs": {"tags": {"type": "array", "items": {"type": "string", "pattern": "^t:"}}}}"##;

/// Whether a value is valid: the keywords that our schemas use, and a panic for any other.
fn valid(value: &Value, schema: &Value, root: &Value) -> bool {
    let Some(schema) = schema.as_object() else { return schema != &json!(false) };
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    };
    let all =
        |list: &Value| list.as_array().expect("a list").iter().map(|one| valid(value, one, root)).collect::<Vec<_>>();
    let (map, items, text) = (value.as_object(), value.as_array(), value.as_str());
    let matches = |pattern: &Value, text: &str| {
        regex_lite::Regex::new(pattern.as_str().expect("a pattern")).expect("it compiles").is_match(text)
    };
    schema.iter().all(|(keyword, rule)| match keyword.as_str() {
        "$schema" | "title" | "description" | "default" | "$defs" => true,
        "$ref" => valid(value, root.pointer(&rule.as_str().expect("text")[1..]).expect("it is there"), root),
        "type" => match rule {
            Value::String(kind) => is(kind),
            kinds => kinds.as_array().expect("kinds").iter().any(|kind| is(kind.as_str().expect("text"))),
        },
        "enum" => rule.as_array().expect("values").contains(value),
        "anyOf" => all(rule).contains(&true),
        "oneOf" => all(rule).iter().filter(|one| **one).count() == 1,
        "required" => map.is_none_or(|map| {
            rule.as_array().expect("names").iter().all(|name| map.contains_key(name.as_str().expect("text")))
        }),
        "properties" => map.is_none_or(|map| {
            map.iter().all(|(key, value)| rule.get(key).is_none_or(|schema| valid(value, schema, root)))
        }),
        "additionalProperties" => map.is_none_or(|map| {
            let known = schema.get("properties");
            let extra = map.iter().filter(|(key, _)| known.is_none_or(|known| known.get(key.as_str()).is_none()));
            let mut extra = extra;
            extra.all(|(_, value)| rule != &json!(false) && (rule == &json!(true) || valid(value, rule, root)))
        }),
        "propertyNames" => map.is_none_or(|map| map.keys().all(|key| valid(&json!(key), rule, root))),
        "items" => items.is_none_or(|items| items.iter().all(|item| valid(item, rule, root))),
        "minItems" => items.is_none_or(|items| items.len() as u64 >= rule.as_u64().expect("a number")),
        "minLength" => text.is_none_or(|text| text.chars().count() as u64 >= rule.as_u64().expect("a number")),
        "maxLength" => text.is_none_or(|text| text.chars().count() as u64 <= rule.as_u64().expect("a number")),
        "pattern" => text.is_none_or(|text| matches(rule, text)),
        "minimum" => value.as_i64().is_none_or(|value| value >= rule.as_i64().expect("a number")),
        "maximum" => value.as_i64().is_none_or(|value| value <= rule.as_i64().expect("a number")),
        other => panic!("keyword {other}"),
    })
}

/// A file in which `value` stands at the path, with what has to be around it: as YAML's flow style, which is JSON.
fn file(path: &str, value: Value) -> (Value, String) {
    let mut root = json!({
        "network": {"provider": "demo", "providers": {"demo": {"domain": "x.net"}}},
        "environments": {"dev": {}},
        "cloud": {"provider": "somecloud"},
        "infra": {"bootstrap": {"ssh": {}}},
    });
    if path.starts_with("infra.inventory.[]") {
        root["infra"]["inventory"] = json!([{}]);
        let named = ["terraform", "ansible", "command"].iter().any(|name| path.ends_with(name));
        if !named {
            root["infra"]["inventory"][0]["command"] = json!(["echo", "[]"]);
        }
    }
    let mut place = &mut root;
    let mut pointer = String::new();
    for word in path.split('.') {
        let word = match word {
            "<env>" => "dev",
            "<name>" => "app-1",
            "<id>" if path.starts_with("network") => "demo",
            "<id>" => "somecloud",
            "[]" => "0",
            word => word,
        };
        pointer = finding::child(&pointer, word);
        if place.is_array() {
            place = place.get_mut(0).expect("an entry");
        } else {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = place.as_object_mut().expect("a mapping").entry(word).or_insert(Value::Null);
        }
    }
    *place = value;
    (root, pointer)
}

fn plain(key: &&Key) -> bool {
    !key.example.is_empty()
}

fn errors(root: &Value) -> Vec<Finding> {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["hosts.dev.json", "hosts.json"] {
        let text = if name == "hosts.json" { r#"{"_meta": {"hostvars": {}}}"# } else { "[]" };
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let file = folder.path().join("stagecraft.yml");
    match parse(&root.to_string(), &file, "dev", demo) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let findings = invalid(error).findings;
            findings.into_iter().filter(|one| one.severity == Severity::Error).collect()
        }
    }
}

#[test]
fn every_example_of_the_table_is_read_and_valid() {
    let schema = schema(&[("demo", DEMO_SCHEMA)]);
    for key in KEYS.iter().filter(plain) {
        let example = yaml_value(key.example);
        let (mut root, _) = file(key.path, example);
        assert!(valid(&root, &schema, &schema), "{}: {root}", key.path);
        if key.path == "infra.inventory.[].command" {
            // It would be run, if there is such a program here.
            root["infra"]["inventory"][0]["command"] = json!(["echo", "[]"]);
        }
        assert_eq!(errors(&root), [], "{}: {root}", key.path);
    }
}

#[test]
fn every_key_refuses_what_it_cannot_hold_and_so_does_the_schema() {
    let schema = schema(&[("demo", DEMO_SCHEMA)]);
    // What is Stagecraft's is not ours to refuse.
    let ours =
        |key: &&Key| !key.path.starts_with("cloud") && key.path != "environments" && key.path != "environments.<env>";
    for key in KEYS.iter().filter(ours) {
        let wrong = match key.shape {
            Shape::Section { .. } | Shape::Names(_) | Shape::Provider | Shape::Labels => json!([1]),
            _ => json!({"x": "y"}),
        };
        let (root, pointer) = file(key.path, wrong);
        let found = errors(&root);
        assert!(found.iter().any(|one| one.pointer == pointer), "{}: {found:?}", key.path);
        assert!(!valid(&root, &schema, &schema), "{}: {root}", key.path);
    }
}

#[test]
fn every_strict_section_refuses_a_key_that_the_table_has_not_and_names_the_nearest() {
    let schema = schema(&[("demo", DEMO_SCHEMA)]);
    let strict = KEYS.iter().filter(|key| matches!(key.shape, Shape::Section { strict: true }));
    let mut seen = 0;
    for key in strict {
        let near = below(key.path).into_iter().max_by_key(|name| name.len()).expect("it has keys");
        let slip = format!("{near}x");
        let (mut root, pointer) = file(&format!("{}.{slip}", key.path), json!("x"));
        if key.path == "infra.inventory.[]" {
            root["infra"]["inventory"][0]["command"] = json!(["echo", "[]"]);
        }
        let found = errors(&root);
        let told = found.iter().find(|one| one.pointer == pointer).unwrap_or_else(|| panic!("{slip}: {found:?}"));
        assert_eq!((told.code.as_str(), told.detail.clone()), ("unknown-key", Some(format!("did you mean `{near}`?"))));
        assert!(!valid(&root, &schema, &schema), "{}: {root}", key.path);
        seen += 1;
    }
    assert_eq!(seen, 4, "network, ssh, an inventory, a host");
}

#[test]
fn the_schema_takes_the_example_and_what_an_environment_may_do() {
    let of = |text: &str| yaml_value(text);
    let schema = schema(&[("demo", DEMO_SCHEMA)]);
    let base = "network: {provider: demo, providers: {demo: {domain: x.net, default_tags: ['t:a']}}}";
    for (text, wanted) in [
        (base.to_owned(), true),
        (format!("{base}\nenvironments: {{dev: {{network: {{default_tags: ~}}}}, prod: {{network: }}, x: }}"), true),
        (format!("{base}\nenvironments: {{dev: {{network: {{domain: 7}}}}}}"), false),
        (format!("{base}\nenvironments: {{dev: {{network: {{domian: x}}}}}}"), false),
        (base.replace("t:a", "a"), false),
        (format!("{base}\ninfra: {{hosts: {{dev: {{App_1: }}}}}}"), false),
        (format!("{base}\ninfra: {{hosts: {{dev: {{app-1: {{port: 0}}}}}}}}"), false),
        (format!("{base}\ninfra: {{inventory: [{{terraform: a, ansible: b}}]}}"), false),
        ("project: {name: x}\nbackend: {provider: y}".to_owned(), true),
        ("network: {}".to_owned(), false),
    ] {
        assert_eq!(valid(&of(&text), &schema, &schema), wanted, "{text}");
        let loads = errors(&of(&text)).iter().all(|one| one.code == "missing-key" && one.pointer == "/network");
        assert_eq!(loads, wanted, "the reader thinks otherwise of {text}");
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/stagecraft.yml");
    let example = of(&std::fs::read_to_string(example).expect("the example"));
    let ids: Vec<&str> = example["network"]["providers"].as_object().expect("ids").keys().map(String::as_str).collect();
    let registry = crate::registry::Registry::builtin(&engine()).expect("the providers");
    let own = registry.get(ids[0]).expect("it is built in").descriptor().config_schema.clone();
    let schema = super::schema(&[(ids[0], &own)]);
    assert!(valid(&example, &schema, &schema));
}

fn engine() -> crate::engine::Engine {
    crate::engine::Engine::new(crate::engine::Options::default()).expect("an engine")
}

/// YAML as JSON, as a config reaches its provider.
fn yaml_value(text: &str) -> Value {
    let text = format!("x:\n{}", text.lines().map(|line| format!("  {line}\n")).collect::<String>());
    let node = yaml::parse(&text).unwrap_or_else(|findings| panic!("{text}: {findings:?}"));
    let layer = config::Layer { node: &node, key: Place::START, from: config::From::File("".into()) };
    config::Config::new(&[layer], &mut Vec::new()).json["x"].clone()
}
