//! Secrets: where they are read, and who may have them.
//!
//! A [`Secrets`] knows where values come from (the environment of this process, or a function of an embedder's) and
//! reads one only when a plan that a person may approve needs it: never for a host that is right. A [`Vault`] holds the
//! values that one apply may use. Neither prints a value, both wipe it from memory when they go, and no method gives it
//! to a guest: a provider sees a slot's name and the kind of its value, nothing else (K1, K2).
//! Not for: putting a value onto a command's standard input; that is [`boundary::script`], at the last moment.

mod source;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use boundary::scrub::Scrubber;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::contract::{Diagnostic, SecretSlot, Severity};
use crate::failure::{Changed, Failed, Kind};

pub use source::{NoSource, Source};

/// The bytes of a secret. Wiped when the last copy goes.
type Bytes = Arc<Zeroizing<Vec<u8>>>;

type Read = dyn Fn(&str) -> Option<Zeroizing<Vec<u8>>> + Send + Sync;
type ReadSlot = dyn Fn() -> Result<Zeroizing<Vec<u8>>, String> + Send + Sync;

/// From now on no program that this process starts (`ssh -G`, a proxy, an inventory's command) is given this variable.
/// [`crate::network::Provider::configure`] does it for every variable that a config names.
pub fn withhold(variable: &str) {
    crate::program::withhold(variable);
}

/// Where the value of one slot comes from, instead of the variable that the config names.
struct Elsewhere {
    /// For messages: `the file /run/key`.
    from: String,
    read: Box<ReadSlot>,
}

/// Where secrets come from. Each is read once, when first needed, and shared by the hosts of a run.
pub struct Secrets {
    read: Box<Read>,
    elsewhere: BTreeMap<String, Elsewhere>,
    /// By the variable, or the slot that comes from elsewhere.
    known: Mutex<BTreeMap<String, Bytes>>,
}

impl Secrets {
    /// From the environment of this process.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_fn(|variable| {
            use std::os::unix::ffi::OsStringExt as _;
            std::env::var_os(variable).map(|value| Zeroizing::new(value.into_vec()))
        })
    }

    /// From a function that is given the name that stands in the config, for embedders that keep secrets elsewhere.
    #[must_use]
    pub fn from_fn(read: impl Fn(&str) -> Option<Zeroizing<Vec<u8>>> + Send + Sync + 'static) -> Self {
        Self { read: Box::new(read), elsewhere: BTreeMap::new(), known: Mutex::new(BTreeMap::new()) }
    }

    /// The value of this slot comes from here, whatever variable the config names. `from` is for messages, and `read` is
    /// called once, when the value is first needed; its error says why there is none, in words that may be printed.
    #[must_use]
    pub fn with(
        mut self,
        slot: &str,
        from: impl Into<String>,
        read: impl Fn() -> Result<Zeroizing<Vec<u8>>, String> + Send + Sync + 'static,
    ) -> Self {
        self.elsewhere.insert(slot.to_owned(), Elsewhere { from: from.into(), read: Box::new(read) });
        self
    }

    /// Opens the slots that the steps of a plan name, for one apply on one host.
    ///
    /// # Errors
    /// [`Kind::SecretMissing`], naming the variable, when a value is not there, empty, or cannot be kept safe (under
    /// [`boundary::scrub::MIN_SECRET`] bytes, or with a NUL). [`Kind::Provider`] for a slot that the provider never
    /// declared.
    pub fn open(
        &self,
        provider: &str,
        declared: &[SecretSlot],
        config: &Value,
        slots: &[String],
    ) -> Result<Vault, Failed> {
        let mut held = BTreeMap::new();
        for name in slots {
            let Some(slot) = declared.iter().find(|slot| slot.slot == *name) else {
                return Err(Failed::host(
                    Kind::Provider,
                    format!("provider {provider} asked for the secret `{name}`, which its descriptor does not declare"),
                    None,
                ));
            };
            let Some(variable) = config.pointer(&slot.env_config_path).and_then(Value::as_str) else {
                return Err(Failed::host(
                    Kind::ConfigInvalid,
                    format!("invalid config: {} must name an environment variable", slot.env_config_path),
                    None,
                ));
            };
            let value = self.value(provider, slot, variable)?;
            let kind = slot.kinds.iter().find(|kind| begins_as(&value, &kind.prefix)).map(|kind| kind.name.clone());
            held.insert(name.clone(), Held { value, kind });
        }
        let scrubber = Scrubber::new(held.iter().map(|(slot, held)| (slot.as_str(), held.value.as_slice())))
            .map_err(|weak| Failed::host(Kind::SecretMissing, weak.to_string(), None))?;
        Ok(Vault { held, scrubber })
    }

    /// The value of a slot: read once, then shared.
    fn value(&self, provider: &str, slot: &SecretSlot, variable: &str) -> Result<Bytes, Failed> {
        let elsewhere = self.elsewhere.get(&slot.slot);
        let name = if elsewhere.is_some() { &slot.slot } else { variable };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(name) {
            return Ok(Arc::clone(value));
        }
        let no = |trouble: &str| match elsewhere {
            Some(elsewhere) => missing_elsewhere(provider, slot, elsewhere, trouble),
            None => missing(provider, slot, variable, trouble),
        };
        let raw = match elsewhere {
            Some(elsewhere) => (elsewhere.read)().map_err(|why| no(&why))?,
            None => (self.read)(variable).unwrap_or_default(),
        };
        let value = Zeroizing::new(raw.trim_ascii().to_vec());
        let trouble = if value.is_empty() {
            Some(if raw.is_empty() { "it is unset or empty".to_owned() } else { "it is blank".to_owned() })
        } else if value.len() < boundary::scrub::MIN_SECRET || value.contains(&0) {
            Some(format!(
                "its {} bytes cannot be kept out of what is printed: fewer than {}, or one of them NUL",
                value.len(),
                boundary::scrub::MIN_SECRET
            ))
        } else {
            None
        };
        if let Some(trouble) = trouble {
            return Err(no(&trouble));
        }
        let value = Arc::new(value);
        known.insert(name.to_owned(), Arc::clone(&value));
        Ok(value)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

/// `{slot} missing from environment variable {name}`: one of the texts that embedders match on.
fn missing(provider: &str, slot: &SecretSlot, variable: &str, trouble: &str) -> Failed {
    let words = slot.slot.replace('-', " ");
    Failed {
        kind: Kind::SecretMissing,
        diagnostics: vec![Diagnostic {
            severity: Severity::Error,
            code: Kind::SecretMissing.name().to_owned(),
            summary: format!("{words} missing from environment variable {variable}"),
            detail: Some(format!(
                "found: ${variable}: {trouble}\nmeans: the {words} is read only where a step of a plan needs it, on the machine that runs this\n\
                 do: into the environment:  read -rs {variable} && export {variable}\n  {{run up --limit @failed}}"
            )),
            config_path: Some(slot.env_config_path.clone()),
        }],
        changed: Changed::Nothing,
        provider: Some(provider.to_owned()),
    }
}

/// As [`missing`], where the operator named another place.
fn missing_elsewhere(provider: &str, slot: &SecretSlot, elsewhere: &Elsewhere, trouble: &str) -> Failed {
    let (words, from) = (slot.slot.replace('-', " "), &elsewhere.from);
    let detail = format!(
        "found: {trouble}\nwanted: the {words} from {from}\nmeans: it is read only where a step of a plan needs it, once, on \
         the machine that runs this\ndo: mend that, or name another place with --secret {}=…, then {{run up --limit @failed}}",
        slot.slot
    );
    let mut failed = Failed::host(Kind::SecretMissing, format!("{words} missing from {from}"), detail);
    failed.provider = Some(provider.to_owned());
    failed
}

struct Held {
    value: Bytes,
    kind: Option<String>,
}

/// The secrets that one apply may use. Opens nothing else, and shows nothing.
pub struct Vault {
    held: BTreeMap<String, Held>,
    scrubber: Scrubber,
}

impl Vault {
    /// One with nothing in it, for plans that need no secret.
    #[must_use]
    pub fn empty() -> Self {
        Self { held: BTreeMap::new(), scrubber: Scrubber::default() }
    }

    /// Whether the slot was opened.
    #[must_use]
    pub fn has(&self, slot: &str) -> bool {
        self.held.contains_key(slot)
    }

    /// Which declared kind the slot's value has, told by its prefix.
    #[must_use]
    pub fn kind(&self, slot: &str) -> Option<&str> {
        self.held.get(slot).and_then(|held| held.kind.as_deref())
    }

    /// The value. For the script that is about to be sent, and nothing else.
    pub(crate) fn value(&self, slot: &str) -> Option<&[u8]> {
        self.held.get(slot).map(|held| held.value.as_slice())
    }

    /// All of them, each with its slot.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.held.iter().map(|(slot, held)| (slot.as_str(), held.value.as_slice()))
    }

    /// Takes the values out of bytes that a machine sent.
    pub(crate) fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }
}

/// Whether a value begins as a kind's pattern says, in which `*` stands for any bytes, or none.
fn begins_as(value: &[u8], pattern: &str) -> bool {
    let mut parts = pattern.split('*').map(str::as_bytes);
    let Some(mut rest) = value.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    parts.filter(|part| !part.is_empty()).all(|part| {
        let found = rest.windows(part.len()).position(|window| window == part);
        rest = found.and_then(|at| rest.get(at + part.len()..)).unwrap_or_default();
        found.is_some()
    })
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.held.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::SecretKind;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn slot() -> Vec<SecretSlot> {
        vec![SecretSlot {
            slot: "auth-key".to_owned(),
            env_config_path: "/auth_key_env".to_owned(),
            kinds: vec![SecretKind { name: "good-kind".to_owned(), prefix: "good-".to_owned() }],
        }]
    }

    fn config() -> Value {
        serde_json::json!({ "auth_key_env": "DEMO_KEY" })
    }

    fn open(value: Option<&'static str>) -> Result<Vault, Failed> {
        Secrets::from_fn(move |name| {
            assert_eq!(name, "DEMO_KEY");
            value.map(|value| Zeroizing::new(value.as_bytes().to_vec()))
        })
        .open("demo", &slot(), &config(), &["auth-key".to_owned()])
    }

    #[test]
    fn j5_an_unset_empty_blank_or_short_value_names_the_variable_and_never_shows_itself() {
        for value in [None, Some(""), Some(" \n"), Some("seven77")] {
            let failed = open(value).expect_err("nothing usable is there");
            assert_eq!(failed.kind, Kind::SecretMissing);
            assert_eq!(failed.to_string(), "demo provider: auth key missing from environment variable DEMO_KEY");
            assert!(!format!("{failed:?}").contains("seven77"));
        }
    }

    #[test]
    fn a_value_is_read_once_trimmed_and_known_by_its_prefix() {
        static READS: AtomicU32 = AtomicU32::new(0);
        let secrets = Secrets::from_fn(|_| {
            READS.fetch_add(1, Ordering::SeqCst);
            Some(Zeroizing::new(b"good-secret-value\r\n".to_vec()))
        });
        for _ in 0..3 {
            let vault = secrets.open("demo", &slot(), &config(), &["auth-key".to_owned()]).expect("it is there");
            assert_eq!(vault.value("auth-key"), Some(b"good-secret-value".as_slice()));
            assert_eq!(vault.kind("auth-key"), Some("good-kind"));
            assert!(!vault.has("other"));
            assert!(!format!("{vault:?}").contains("secret-value"));
        }
        assert_eq!(READS.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_kind_is_told_by_how_a_value_begins_and_a_star_in_that_is_anything() {
        for (value, pattern, wanted) in [
            ("key-client-1", "key-client-", true),
            ("key-auth-1", "key-client-", false),
            ("key-client-1?a=b", "key-client-*?", true),
            ("key-client-?a=b", "key-client-*?", true),
            ("key-client-1", "key-client-*?", false),
            ("?key-client-1", "key-client-*?", false),
            ("a1b2", "a*b*2", true),
            ("a2b1", "a*b*2", false),
            ("ab", "ab*", true),
            ("anything", "", true),
        ] {
            assert_eq!(begins_as(value.as_bytes(), pattern), wanted, "{value} as {pattern}");
        }
    }

    #[test]
    fn a_slot_that_comes_from_elsewhere_is_read_there_once_and_the_variable_is_not_looked_at() {
        static READS: AtomicU32 = AtomicU32::new(0);
        let nobody = || Secrets::from_fn(|_| panic!("the variable is not looked at"));
        let secrets = nobody().with("auth-key", "the file /key", || {
            READS.fetch_add(1, Ordering::SeqCst);
            Ok(Zeroizing::new(b"good-secret-value".to_vec()))
        });
        let open = |secrets: &Secrets| secrets.open("demo", &slot(), &config(), &["auth-key".to_owned()]);
        for _ in 0..3 {
            assert_eq!(open(&secrets).expect("there").value("auth-key"), Some(b"good-secret-value".as_slice()));
        }
        assert_eq!(READS.load(Ordering::SeqCst), 1);
        let secrets = nobody().with("auth-key", "the file /key", || Err("the file /key: No such file".to_owned()));
        let failed = open(&secrets).expect_err("nothing is there");
        assert_eq!(failed.kind, Kind::SecretMissing);
        assert_eq!(failed.to_string(), "demo provider: auth key missing from the file /key");
    }

    #[test]
    fn nothing_is_read_where_no_slot_is_named_and_an_undeclared_slot_is_the_providers_fault() {
        let secrets = Secrets::from_fn(|_| panic!("nothing may be read"));
        assert!(!secrets.open("demo", &slot(), &config(), &[]).expect("nothing to open").has("auth-key"));
        let failed = secrets.open("demo", &slot(), &config(), &["other".to_owned()]).expect_err("not declared");
        assert_eq!(failed.kind, Kind::Provider);
    }
}
