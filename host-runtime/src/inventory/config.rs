//! A provider's config: from the file to JSON as it stands, and from the provider's findings back to the file.
//!
//! Holds the convention by which the runtime makes a host's tags without knowing any provider: a provider whose members
//! have tags takes them in its config under `default_tags` (a list) and `role_tags` (a list for each role).
//! Not for: judging the config; only the provider does.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Number, Value as Json};

use super::finding::{Finding, Place, child, nearest};
use super::yaml::{Node, Scalar, ScalarKind, Value};
use crate::contract::Diagnostic;

/// The code of a provider's finding about a key that it does not know: its place is the key's, not the value's.
const UNKNOWN_KEY: &str = "unknown-key";
/// Who says what holds where nobody says it.
const ASSUMED: &str = "by default";

/// A provider's config as JSON, put together from layers, and where each part of it stands.
pub(super) struct Config {
    pub(super) json: Json,
    spots: HashMap<String, Spot>,
}

/// Something that says a part of the config.
pub(super) struct Layer<'y> {
    pub(super) node: &'y Node,
    /// Where the key stands that holds it.
    pub(super) key: Place,
    pub(super) from: From,
}

/// Where a layer is.
#[derive(Clone)]
pub(super) enum From {
    /// In the project's file, at this JSON Pointer.
    File(Arc<str>),
    /// On the command line, behind this option.
    Option(Arc<str>),
    /// Nowhere: it holds where nobody says it.
    Assumed,
}

impl From {
    fn option(&self) -> Option<&str> {
        match self {
            Self::Option(option) => Some(option),
            Self::File(_) | Self::Assumed => None,
        }
    }
}

struct Spot {
    key: Place,
    value: Place,
    from: From,
    /// What YAML made of a value that was written without quotes and is no text.
    unquoted: Option<&'static str>,
}

impl Config {
    /// What the layers say, later ones over earlier ones: mappings are merged key by key, everything else replaces what
    /// was there, and nothing (`key:`) takes a key away.
    pub(super) fn new(layers: &[Layer<'_>], findings: &mut Vec<Finding>) -> Self {
        let mut config = Self { json: Json::Null, spots: HashMap::new() };
        for (index, layer) in layers.iter().enumerate() {
            let mut json = std::mem::take(&mut config.json);
            if index == 0 || !json.is_object() {
                config.spots.clear();
                json = config.convert(layer, layer.node, layer.key, "", findings);
            } else if !layer.node.is_null() {
                config.merge(&mut json, layer, layer.node, layer.key, "", findings);
            }
            config.json = json;
        }
        config
    }

    fn merge(
        &mut self,
        json: &mut Json,
        layer: &Layer<'_>,
        node: &Node,
        key: Place,
        pointer: &str,
        findings: &mut Vec<Finding>,
    ) {
        match (&node.value, json) {
            (Value::Map(entries), Json::Object(map)) => {
                for entry in entries {
                    let at = child(pointer, &entry.key);
                    if entry.value.is_null() {
                        self.forget(&at);
                        map.remove(&entry.key);
                    } else if let Some(there) = map.get_mut(&entry.key) {
                        self.merge(there, layer, &entry.value, entry.place, &at, findings);
                    } else {
                        let value = self.convert(layer, &entry.value, entry.place, &at, findings);
                        map.insert(entry.key.clone(), value);
                    }
                }
            }
            (_, json) => {
                self.forget(pointer);
                *json = self.convert(layer, node, key, pointer, findings);
            }
        }
    }

    fn forget(&mut self, pointer: &str) {
        let below =
            |spot: &str| spot.strip_prefix(pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.spots.retain(|spot, _| !below(spot));
    }

    fn convert(
        &mut self,
        layer: &Layer<'_>,
        node: &Node,
        key: Place,
        pointer: &str,
        findings: &mut Vec<Finding>,
    ) -> Json {
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
                    let at = child(pointer, &entry.key);
                    let value = self.convert(layer, &entry.value, entry.place, &at, findings);
                    map.insert(entry.key.clone(), value);
                }
                Json::Object(map)
            }
            Value::List(items) => {
                let convert = |(index, item): (usize, &Node)| {
                    self.convert(layer, item, item.place, &child(pointer, &index.to_string()), findings)
                };
                Json::Array(items.iter().enumerate().map(convert).collect())
            }
            Value::Scalar(scalar) => match (scalar.kind, number(scalar)) {
                (ScalarKind::Text, _) => Json::String(scalar.text.clone()),
                (ScalarKind::Null, _) => Json::Null,
                (ScalarKind::Bool(truth), _) => Json::Bool(truth),
                (ScalarKind::Int | ScalarKind::Float, Some(number)) => Json::Number(number),
                (ScalarKind::Int | ScalarKind::Float, None) => {
                    let (at, place) = match &layer.from {
                        From::File(base) => (format!("{base}{pointer}"), Some(node.place)),
                        From::Option(_) | From::Assumed => (pointer.to_owned(), None),
                    };
                    let finding = Finding::error("wrong-type", &at, place, "a number that JSON cannot hold")
                        .behind(layer.from.option());
                    findings.push(finding.detail("do: put it in quotes if it is meant as text"));
                    Json::Null
                }
            },
        };
        let spot = Spot { key, value: node.place, from: layer.from.clone(), unquoted };
        self.spots.insert(pointer.to_owned(), spot);
        json
    }

    /// The nearest thing around a part of the config that is there, and whether that is the part itself.
    fn around(&self, pointer: &str) -> Option<(&Spot, bool)> {
        let mut part = pointer;
        loop {
            match (self.spots.get(part), part.rfind('/')) {
                (Some(spot), _) => return Some((spot, part == pointer)),
                (None, Some(cut)) => part = &part[..cut],
                (None, None) => return None,
            }
        }
    }

    /// Where a part of the config stands: the value, or the nearest thing around it that is there. The option, for what
    /// the command line says.
    pub(super) fn locate(&self, pointer: &str) -> Result<Place, &str> {
        match self.around(pointer) {
            Some((Spot { from: From::Option(option), .. }, _)) => Err(option),
            Some((Spot { from: From::Assumed, .. }, _)) => Err(ASSUMED),
            Some((spot, true)) => Ok(spot.value),
            Some((spot, false)) => Ok(spot.key),
            None => Ok(Place::START),
        }
    }

    /// What a provider said of its config, as findings about the file.
    pub(super) fn findings(&self, said: &[Diagnostic]) -> Vec<Finding> {
        said.iter().map(|one| self.finding(one)).collect()
    }

    fn finding(&self, said: &Diagnostic) -> Finding {
        let path = said.config_path.as_deref().filter(|path| path.starts_with('/')).unwrap_or_default();
        let (spot, itself) = self.around(path).map_or((None, false), |(spot, itself)| (Some(spot), itself));
        let unknown = said.code == UNKNOWN_KEY;
        let quotes = spot.filter(|_| itself && !unknown).and_then(|spot| spot.unquoted).map(|what| {
            format!("note: without quotes YAML reads this as {what}; put it in quotes if it is meant as text")
        });
        // What is missing was not said by the option that says what stands beside it.
        let option = spot.filter(|_| itself && !path.is_empty()).and_then(|spot| spot.from.option());
        let detail: Vec<String> = said.detail.iter().cloned().chain(quotes).collect();
        let (base, place) = match spot {
            Some(Spot { from: From::Option(_) | From::Assumed, .. }) | None => ("", None),
            Some(Spot { from: From::File(base), key, value, .. }) => {
                (&**base, Some(if itself && !unknown { *value } else { *key }))
            }
        };
        Finding {
            severity: said.severity,
            code: said.code.clone(),
            summary: said.summary.clone(),
            detail: (!detail.is_empty()).then(|| detail.join("\n")),
            pointer: format!("{base}{path}"),
            place,
            option: option.map(str::to_owned),
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

    fn layer<'y>(node: &'y Node, base: &str) -> Layer<'y> {
        Layer { node, key: Place { line: 9, column: 9 }, from: From::File(base.into()) }
    }

    fn node(text: &str) -> Node {
        super::super::yaml::parse(text).unwrap_or_else(|_| panic!("it parses"))
    }

    fn config(text: &str) -> Config {
        let mut findings = Vec::new();
        let config = Config::new(&[layer(&node(text), "/network/providers/demo")], &mut findings);
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
        let mut findings = Vec::new();
        Config::new(&[layer(&node("a: .inf"), "/network/providers/demo")], &mut findings);
        assert_eq!((findings.len(), findings[0].pointer.as_str()), (1, "/network/providers/demo/a"));
    }

    #[test]
    fn an_environment_is_merged_over_the_base_and_each_leaf_keeps_its_place() {
        let base =
            node("domain: a.net\nserver: x\ninstall: {method: auto, version: 1.80}\ntags: [t:a, t:b]\nm: {x: 1}\n");
        let over = node("\n\ndomain: b.net\nserver:\ninstall: {version: bad}\ntags: [t:c]\nm: plain\nnew: {k: v}\n");
        let option = node("domain: c.net\n");
        let mut findings = Vec::new();
        let option = Layer { node: &option, key: Place::START, from: From::Option("--domain".into()) };
        let (base, over) = (layer(&base, "/network/providers/demo"), layer(&over, "/environments/prod/network"));
        let config = Config::new(&[base, over, option], &mut findings);
        let wanted = json!({
            "domain": "c.net", "install": {"method": "auto", "version": "bad"}, "tags": ["t:c"], "m": "plain",
            "new": {"k": "v"},
        });
        assert_eq!((config.json.clone(), findings.len()), (wanted, 0));
        let told = |path: &str| {
            let finding = config.finding(&said("bad", Some(path)));
            (finding.pointer, finding.place, finding.option.as_deref().unwrap_or_default().to_owned())
        };
        let prod = |path: &str| format!("/environments/prod/network{path}");
        let demo = |path: &str| format!("/network/providers/demo{path}");
        let at = |line, column| Some(Place { line, column });
        assert_eq!(told("/install/method"), (demo("/install/method"), at(3, 19), String::new()));
        assert_eq!(told("/install/version"), (prod("/install/version"), at(5, 20), String::new()));
        assert_eq!(told("/tags/0"), (prod("/tags/0"), at(6, 8), String::new()));
        assert_eq!(
            told("/tags/1"),
            (prod("/tags/1"), at(6, 1), String::new()),
            "what was replaced has no place any more"
        );
        assert_eq!(told("/m/x"), (prod("/m/x"), at(7, 1), String::new()));
        assert_eq!(told("/server"), (demo("/server"), at(9, 9), String::new()), "a key that was taken away");
        assert_eq!(told("/domain"), ("/domain".to_owned(), None, "--domain".to_owned()));
        assert_eq!(config.locate("/domain"), Err("--domain"));
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
