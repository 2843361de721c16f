//! What the table of keys says to others: a JSON Schema for editors, and the page `docs/config.md`.
//!
//! What stands under `network.providers.<id>` is described by its provider, in a JSON Schema that is joined in as data.
//! Not for: checking a file; the reader does, and a test holds the two together.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::keys::{KEYS, Key, Shape, below};

/// The page, but for its tables.
const PAGE: &str = include_str!("reference.md");

/// A JSON Schema (2020-12) of a project's file. `providers` are ids and the schemas of their configs.
#[must_use]
pub fn schema(providers: &[(&str, &str)]) -> Value {
    let mut defs = Map::new();
    for (id, text) in providers {
        let mut schema: Value = serde_json::from_str(text).unwrap_or_else(|_| json!({}));
        refer(&mut schema, &format!("#/$defs/{id}"));
        if let Some(map) = schema.as_object_mut() {
            map.remove("$schema");
            // What is required may stand in the environment.
            map.remove("required");
        }
        let mut over = schema.clone();
        for property in over.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
            // An empty value takes a key of the base away.
            *property.1 = json!({"anyOf": [property.1.take(), {"type": "null"}]});
        }
        // The definitions of a copy are those of the original.
        if let Some(map) = over.as_object_mut() {
            map.remove("$defs");
        }
        defs.insert((*id).to_owned(), schema);
        defs.insert(format!("{id}-over"), over);
    }
    let ids: Vec<&str> = providers.iter().map(|(id, _)| *id).collect();
    let mut root = section("", false, &ids);
    let map = root.as_object_mut().map(std::mem::take).unwrap_or_default();
    let mut whole = Map::new();
    whole.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    whole.insert("title".to_owned(), json!("stagecraft.yml, as stagecraft-net reads it"));
    whole.extend(map);
    whole.insert("type".to_owned(), json!("object"));
    whole.insert("$defs".to_owned(), Value::Object(defs));
    Value::Object(whole)
}

/// References within a document that becomes a part of another one.
fn refer(value: &mut Value, to: &str) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "$ref" => *text = text.replacen('#', to, 1),
                    value => refer(value, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| refer(item, to)),
        _ => {}
    }
}

fn section(path: &str, strict: bool, providers: &[&str]) -> Value {
    let mut properties = Map::new();
    for name in below(path) {
        let child = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        if let Some(key) = KEYS.iter().find(|key| key.path == child) {
            properties.insert(name.to_owned(), of(key, providers));
        }
    }
    json!({"type": ["object", "null"], "properties": properties, "additionalProperties": !strict})
}

fn of(key: &Key, providers: &[&str]) -> Value {
    const LABEL: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
    let child = |name: &str| {
        let path = format!("{}.{name}", key.path);
        KEYS.iter().find(|key| key.path == path).map_or(json!({}), |key| of(key, providers))
    };
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let mut schema = match key.shape {
        Shape::Section { strict } => section(key.path, strict, providers),
        Shape::Names(what) => {
            let name = below(key.path).first().copied().unwrap_or_default();
            let mut schema = json!({"type": ["object", "null"], "additionalProperties": child(name)});
            if key.path == "network.providers" {
                let known: Map<String, Value> =
                    providers.iter().map(|id| ((*id).to_owned(), json!({"$ref": format!("#/$defs/{id}")}))).collect();
                schema["properties"] = Value::Object(known);
                schema["type"] = json!("object");
            }
            if what == "host" && key.path.starts_with("infra.") {
                schema["propertyNames"] = json!({"pattern": LABEL});
            }
            schema
        }
        Shape::Entries => json!({"type": ["array", "null"], "items": child("[]")}),
        Shape::Provider if key.path.starts_with("environments.") => {
            let over: Vec<Value> = providers.iter().map(|id| json!({"$ref": format!("#/$defs/{id}-over")})).collect();
            json!({"anyOf": over.into_iter().chain([json!({"type": "null"})]).collect::<Vec<_>>()})
        }
        Shape::Provider => json!({}),
        Shape::Text => json!({"type": "string", "minLength": 1}),
        Shape::Path => json!({"type": "string", "minLength": 1, "pattern": "^([^~]|~$|~/)"}),
        Shape::Port => json!({"type": "integer", "minimum": 1, "maximum": 65535}),
        Shape::Word(words) => json!({"enum": words}),
        Shape::Texts => texts,
        Shape::TextOrTexts => json!({"anyOf": [{"type": "string"}, texts]}),
        Shape::Labels => {
            json!({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}})
        }
        Shape::Time => json!({"type": ["string", "integer"], "pattern": "^[0-9]+[smh]?$"}),
    };
    match key.path {
        "network" => {
            schema["required"] = json!(["provider"]);
            schema["type"] = json!("object");
        }
        "infra.inventory.[]" => {
            schema["type"] = json!("object");
            schema["oneOf"] = ["terraform", "ansible", "command"].map(|name| json!({"required": [name]})).into();
        }
        "infra.inventory.[].command" => schema["minItems"] = json!(1),
        _ => {}
    }
    schema["description"] = json!(key.about);
    schema
}

/// `docs/config.md`. `providers` as for [`schema`].
#[must_use]
pub fn reference(providers: &[(&str, &str)]) -> String {
    let mut keys = String::from("| key | holds | |\n|---|---|---|\n");
    for key in KEYS {
        let example = if key.example.is_empty() { String::new() } else { format!("<br>`{}`", short(key.example)) };
        let _ = writeln!(keys, "| `{}`{example} | {} | {} |", key.path.replace(".[]", "[]"), holds(key), key.about);
    }
    let mut own = String::new();
    for (id, text) in providers {
        let schema: Value = serde_json::from_str(text).unwrap_or_default();
        let about = schema["description"].as_str().unwrap_or_default();
        let _ = writeln!(own, "### `network.providers.{id}`\n\n{about}\n\n| key | |\n|---|---|");
        rows(&mut own, &schema, "");
        own.push('\n');
    }
    let first = providers.first().map_or("demo", |(id, _)| id);
    PAGE.replace("{{keys}}", keys.trim_end()).replace("{{providers}}", own.trim_end()).replace("{{provider}}", first)
}

fn short(example: &str) -> String {
    match example.char_indices().nth(40) {
        Some((cut, _)) => format!("{}…", &example[..cut]),
        None => example.replace('|', "\\|"),
    }
}

fn holds(key: &Key) -> String {
    match key.shape {
        Shape::Section { strict: true } => "these keys, no others".to_owned(),
        Shape::Section { strict: false } => "these keys, and Stagecraft's".to_owned(),
        Shape::Names(what) => format!("one key for each {what}"),
        Shape::Entries => "a list".to_owned(),
        Shape::Provider => "what the provider says".to_owned(),
        Shape::Text => "text".to_owned(),
        Shape::Path => "a path".to_owned(),
        Shape::Port => "1 to 65535".to_owned(),
        Shape::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "),
        Shape::Texts => "a list of text".to_owned(),
        Shape::TextOrTexts => "text, or a list of it".to_owned(),
        Shape::Labels => "a mapping of text".to_owned(),
        Shape::Time => "a time, such as `90s`".to_owned(),
    }
}

/// A provider's keys, as its schema has them.
fn rows(page: &mut String, schema: &Value, above: &str) {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let about = property["description"].as_str().unwrap_or_default();
        let must = if required.contains(&name.as_str()) { " Required." } else { "" };
        let default = property["default"].as_str().map_or(String::new(), |text| format!(" Default: `{text}`."));
        let _ = writeln!(page, "| `{above}{name}` | {}{must}{default} |", about.replace('|', "\\|"));
        rows(page, property, &format!("{above}{name}."));
    }
}
