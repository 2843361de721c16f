//! A provider's config: from the file to JSON as it stands, and from the provider's findings back to the file.
//!
//! Holds the convention by which the runtime makes a host's tags without knowing any provider: a provider whose members
//! have tags takes them in its config under `default_tags` (a list) and `role_tags` (a list for each role).
//! Not for: judging the config; only the provider does.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Number, Value as Json};

use super::finding::{Finding, Place, child, nearest};
use super::yaml::{Node, Scalar, ScalarKind, Value};
use crate::contract::Diagnostic;

/// The code of a provider's finding about a key that it does not know: its place is the key's, not the value's.
const UNKNOWN_KEY: &str = "unknown-key";

/// A provider's config as JSON, and where each part of it stands.
pub(super) struct Config {
    pub(super) json: Json,
    /// JSON Pointer of the config within the file.
    base: String,
    spots: HashMap<String, Spot>,
}

struct Spot {
    key: Place,
    value: Place,
    /// What YAML made of a value that was written without quotes and is no text.
    unquoted: Option<&'static str>,
}

impl Config {
    pub(super) fn new(node: &Node, key: Place, base: String, findings: &mut Vec<Finding>) -> Self {
        let mut config = Self { json: Json::Null, base, spots: HashMap::new() };
        config.json = config.convert(node, key, String::new(), findings);
        config
    }

    fn convert(&mut self, node: &Node, key: Place, pointer: String, findings: &mut Vec<Finding>) -> Json {
        let unquoted = match &node.value {
            Value::Scalar(Scalar { kind: ScalarKind::Bool(_) | ScalarKind::Int | ScalarKind::Float, .. }) => {
                Some(node.what())
            }
            _ => None,
        };
        let json = match &node.value {
            Value::Map(entries) => {
                let mut map = Map::new();
                for entry in entries {
                    let value = self.convert(&entry.value, entry.place, child(&pointer, &entry.key), findings);
                    map.insert(entry.key.clone(), value);
                }
                Json::Object(map)
            }
            Value::List(items) => {
                let convert = |(index, item): (usize, &Node)| {
                    self.convert(item, item.place, child(&pointer, &index.to_string()), findings)
                };
                Json::Array(items.iter().enumerate().map(convert).collect())
            }
            Value::Scalar(scalar) => match (scalar.kind, number(scalar)) {
                (ScalarKind::Text, _) => Json::String(scalar.text.clone()),
                (ScalarKind::Null, _) => Json::Null,
                (ScalarKind::Bool(truth), _) => Json::Bool(truth),
                (ScalarKind::Int | ScalarKind::Float, Some(number)) => Json::Number(number),
                (ScalarKind::Int | ScalarKind::Float, None) => {
                    let at = format!("{}{pointer}", self.base);
                    let finding = Finding::error("wrong-type", &at, node.place, "a number that JSON cannot hold");
                    findings.push(finding.detail("do: put it in quotes if it is meant as text"));
                    Json::Null
                }
            },
        };
        self.spots.insert(pointer, Spot { key, value: node.place, unquoted });
        json
    }

    /// Where a part of the config stands: the value, or the nearest thing around it that is there.
    pub(super) fn locate(&self, pointer: &str) -> Place {
        let mut part = pointer;
        loop {
            match (self.spots.get(part), part.rfind('/')) {
                (Some(spot), _) if part == pointer => return spot.value,
                (Some(spot), _) => return spot.key,
                (None, Some(cut)) => part = &part[..cut],
                (None, None) => return self.spots.get("").map_or(Place::START, |spot| spot.key),
            }
        }
    }

    /// What a provider said of its config, as findings about the file.
    pub(super) fn findings(&self, said: &[Diagnostic]) -> Vec<Finding> {
        said.iter().map(|one| self.finding(one)).collect()
    }

    fn finding(&self, said: &Diagnostic) -> Finding {
        let path = said.config_path.as_deref().filter(|path| path.starts_with('/')).unwrap_or_default();
        let spot = self.spots.get(path);
        let place = match spot {
            Some(spot) if said.code == UNKNOWN_KEY => spot.key,
            _ => self.locate(path),
        };
        let quotes = spot.and_then(|spot| spot.unquoted).filter(|_| said.code != UNKNOWN_KEY).map(|what| {
            format!("note: without quotes YAML reads this as {what}; put it in quotes if it is meant as text")
        });
        let detail: Vec<String> = said.detail.clone().into_iter().chain(quotes).collect();
        Finding {
            severity: said.severity,
            code: said.code.clone(),
            summary: said.summary.clone(),
            detail: (!detail.is_empty()).then(|| detail.join("\n")),
            pointer: format!("{}{path}", self.base),
            place: Some(place),
        }
    }

    /// The sorted union of the default tags, the tags of each role, and the host's own.
    pub(super) fn tags(&self, roles: &[String], own: &[String]) -> Vec<String> {
        let of_roles = roles.iter().filter_map(|role| self.json.get("role_tags")?.get(role));
        let shared = self.json.get("default_tags").into_iter().chain(of_roles);
        let shared = shared.filter_map(Json::as_array).flatten().filter_map(Json::as_str).map(str::to_owned);
        let all: BTreeSet<String> = shared.chain(own.iter().cloned()).collect();
        all.into_iter().collect()
    }

    /// The nearest role that has tags, when some have and this one has not.
    ///
    /// `None`: nothing is wrong with the role.
    pub(super) fn unknown_role(&self, role: &str) -> Option<String> {
        let known = self.json.get("role_tags")?.as_object()?;
        if known.is_empty() || known.contains_key(role) {
            return None;
        }
        let words = known.keys().map(String::as_str);
        Some(match nearest(role, words.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", words.collect::<Vec<_>>().join(", ")),
        })
    }

    /// A config that differs from this one only in its default tags, so that the provider can be asked what it thinks
    /// of tags that stand elsewhere in the file.
    pub(super) fn with_tags(&self, tags: &[&str]) -> Option<Json> {
        let mut json = self.json.clone();
        json.as_object_mut()?.insert("default_tags".to_owned(), tags.iter().copied().collect());
        Some(json)
    }
}

/// The place in the list that [`Config::with_tags`] made, where a finding is about one of its tags.
pub(super) fn tag_index(said: &Diagnostic) -> Option<usize> {
    said.config_path.as_deref()?.strip_prefix("/default_tags/")?.parse().ok()
}

fn number(scalar: &Scalar) -> Option<Number> {
    let text = scalar.text.as_str();
    let radix = |digits, radix| u64::from_str_radix(digits, radix).ok();
    if let Some(hex) = text.strip_prefix("0x") {
        return radix(hex, 16).map(Number::from);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return radix(octal, 8).map(Number::from);
    }
    if scalar.kind == ScalarKind::Int {
        let unsigned = text.strip_prefix('+').unwrap_or(text);
        if let Ok(int) = unsigned.parse::<i64>() {
            return Some(int.into());
        }
        if let Ok(int) = unsigned.parse::<u64>() {
            return Some(int.into());
        }
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Severity;
    use serde_json::json;

    fn config(text: &str) -> Config {
        let node = super::super::yaml::parse(text).unwrap_or_else(|_| panic!("it parses"));
        let mut findings = Vec::new();
        let config =
            Config::new(&node, Place { line: 9, column: 9 }, "/network/providers/demo".to_owned(), &mut findings);
        assert_eq!(findings, []);
        config
    }

    fn said(code: &str, path: Option<&str>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            code: code.to_owned(),
            summary: "wrong".to_owned(),
            detail: None,
            config_path: path.map(str::to_owned),
        }
    }

    #[test]
    fn the_config_reaches_the_provider_as_it_stands() {
        let text = "a: x\nb: [1, -2, +3, 0x1f, 0o17, 1.5, 18446744073709551615]\nc: {d: true, e: ~, 7: '7'}\n";
        let wanted = json!({
            "a": "x", "b": [1, -2, 3, 31, 15, 1.5, 18_446_744_073_709_551_615u64],
            "c": {"d": true, "e": null, "7": "7"},
        });
        assert_eq!(config(text).json, wanted);
    }

    #[test]
    fn a_number_that_json_cannot_hold_is_told() {
        let node = super::super::yaml::parse("a: .inf").unwrap_or_else(|_| panic!("it parses"));
        let mut findings = Vec::new();
        Config::new(&node, Place::START, "/network/providers/demo".to_owned(), &mut findings);
        assert_eq!((findings.len(), findings[0].pointer.as_str()), (1, "/network/providers/demo/a"));
    }

    #[test]
    fn a_providers_finding_gets_the_place_of_the_value_of_the_unknown_key_or_of_what_should_hold_it() {
        let config = config("domain: x\ninstall:\n  version: 1.80\n  verison: 1\n");
        let place = |code, path| config.finding(&said(code, path)).place.expect("a place");
        assert_eq!(place("bad", Some("/domain")), Place { line: 1, column: 9 });
        assert_eq!(place("unknown-key", Some("/install/verison")), Place { line: 4, column: 3 });
        assert_eq!(place("missing", Some("/install/other/deeper")), Place { line: 2, column: 1 });
        assert_eq!(place("missing", Some("/auth")), Place { line: 9, column: 9 });
        assert_eq!(place("odd", None), Place { line: 1, column: 1 });
        assert_eq!(config.finding(&said("bad", Some("/domain"))).pointer, "/network/providers/demo/domain");
    }

    #[test]
    fn f5_a_version_without_quotes_is_told_to_be_a_number_and_a_value_is_never_repeated() {
        let config = config("version: 1.80\nkey: secret-value\n");
        let detail = config.finding(&said("bad", Some("/version"))).detail.expect("a hint");
        assert!(detail.contains("reads this as a number") && !detail.contains("1.8"), "{detail}");
        assert_eq!(config.finding(&said("bad", Some("/key"))).detail, None);
    }

    #[test]
    fn tags_are_the_sorted_union_and_whatever_the_provider_will_refuse_is_left_to_it() {
        let config = config("default_tags: [t:b, t:a]\nrole_tags: {app: [t:c, t:a], db: oops}\n");
        let own = ["t:0".to_owned()];
        assert_eq!(config.tags(&["app".to_owned(), "db".to_owned()], &own), ["t:0", "t:a", "t:b", "t:c"]);
        assert_eq!(config.unknown_role("app"), None);
        assert_eq!(config.unknown_role("ap").as_deref(), Some("did you mean `app`?"));
        assert_eq!(config.unknown_role("gateway").as_deref(), Some("known: app, db"));
    }

    #[test]
    fn a_provider_without_role_tags_takes_any_role() {
        assert_eq!(config("a: b").unknown_role("anything"), None);
        assert_eq!(config("role_tags: {}").unknown_role("anything"), None);
    }
}
