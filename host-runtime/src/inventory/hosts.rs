//! A host while it is put together: from the file and from every list, field by field, each knowing where it came from.
//!
//! Not for: reading any of it.

use std::collections::BTreeMap;

use boundary::inventory::Listed;
use boundary::known_hosts::Pin;

use super::finding::Place;

/// Where something was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    /// JSON Pointer into the project's file.
    pub(super) pointer: String,
    /// None for what the command line brought.
    pub(super) place: Option<Place>,
    /// The option that brought it.
    pub(super) option: Option<&'static str>,
}

impl Spot {
    pub(super) fn of(pointer: &str, place: Place) -> Self {
        Self { pointer: pointer.to_owned(), place: Some(place), option: None }
    }

    /// On the command line, behind this option where it is one.
    pub(super) fn option(option: Option<&'static str>) -> Self {
        Self { pointer: String::new(), place: None, option }
    }
}

/// A role or a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) at: Spot,
}

/// What is known of a host so far.
#[derive(Debug, Clone)]
pub(super) struct RawHost {
    pub(super) name: String,
    pub(super) at: Spot,
    pub(super) origin: Origin,
    pub(super) address: Option<String>,
    pub(super) private_address: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) host_keys: Vec<Pin>,
    /// None where nothing was said: an empty list takes the roles of an earlier source away.
    pub(super) roles: Option<Vec<Word>>,
    pub(super) tags: Option<Vec<Word>>,
    pub(super) labels: BTreeMap<String, String>,
    /// What `tags_from_labels` made.
    pub(super) label_tags: Vec<Word>,
}

/// Who named a host first, or last with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// `cloud.providers.<id>.hosts`.
    Cloud,
    /// A list of another program.
    List,
    /// `infra.hosts`.
    File,
    /// The command line.
    Words,
}

impl RawHost {
    pub(super) fn new(name: &str, at: Spot, origin: Origin) -> Self {
        Self {
            name: name.to_owned(),
            at,
            origin,
            address: None,
            private_address: None,
            port: None,
            user: None,
            host_keys: Vec::new(),
            roles: None,
            tags: None,
            labels: BTreeMap::new(),
            label_tags: Vec::new(),
        }
    }

    /// A host of a list; `at` is where the list is named.
    pub(super) fn listed(listed: Listed, at: &Spot) -> Self {
        let word = |text: String| Word { text, at: at.clone() };
        let roles: Vec<Word> = listed.roles.into_iter().map(word).collect();
        Self {
            address: listed.address,
            private_address: listed.private_address,
            port: listed.port,
            user: listed.user,
            host_keys: listed.host_keys,
            roles: (!roles.is_empty()).then_some(roles),
            labels: listed.labels,
            ..Self::new(&listed.name, at.clone(), Origin::List)
        }
    }

    /// What a later source says of the same host: it wins, field by field.
    fn over(&mut self, later: Self) {
        fn win<T>(earlier: &mut Option<T>, later: Option<T>) {
            if later.is_some() {
                *earlier = later;
            }
        }
        win(&mut self.address, later.address);
        win(&mut self.private_address, later.private_address);
        win(&mut self.port, later.port);
        win(&mut self.user, later.user);
        win(&mut self.roles, later.roles);
        win(&mut self.tags, later.tags);
        if !later.host_keys.is_empty() {
            self.host_keys = later.host_keys;
        }
        self.labels.extend(later.labels);
        self.label_tags.extend(later.label_tags);
        self.at = later.at;
        self.origin = self.origin.max(later.origin);
    }
}

/// The hosts of all sources, those of later ones over those of earlier ones, sorted by name.
pub(super) fn together(sources: impl IntoIterator<Item = Vec<RawHost>>) -> Vec<RawHost> {
    let mut all: BTreeMap<String, RawHost> = BTreeMap::new();
    for host in sources.into_iter().flatten() {
        match all.get_mut(&host.name) {
            Some(earlier) => earlier.over(host),
            None => {
                all.insert(host.name.clone(), host);
            }
        }
    }
    all.into_values().collect()
}
