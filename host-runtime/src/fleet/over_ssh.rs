//! Hosts of an inventory, reached over SSH.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::dial::{Connect, Refused, Route};
use crate::failure::Failed;
use crate::inventory::HostSpec;
use crate::ssh::{ConnectError, Connection, Endpoint, Passphrases, Resolver, Target, Trust, connect};
use crate::transport::Transport;
use crate::until::Until;

/// How long an address may keep us waiting where there is another way, and how long that way may take.
const ONE_WAY: Duration = Duration::from_secs(10);

/// How long an address may say nothing before that way is looked at.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// The name that the host at a place of the run has in the network.
type FullName = dyn Fn(usize) -> Option<String> + Send + Sync;

/// `ssh` asked of one host before a run: so that it answers while the provider is loaded, and the run need not wait.
#[derive(Clone)]
pub struct Ahead(Arc<Resolver>);

impl Ahead {
    /// Asks of this host, which is one of the run. Which of our variables hold secrets is not known before the provider
    /// is, so `ssh` is not lent any whose name is one of `texts`.
    #[must_use]
    pub fn of(host: &HostSpec, texts: &[&str]) -> Self {
        let resolver = Resolver::here();
        resolver.ask_ahead(endpoint(host), texts);
        Self(Arc::new(resolver))
    }
}

/// Reaches the hosts of an inventory over SSH, as an operator's own `ssh` would.
#[derive(Clone)]
pub struct OverSsh(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    endpoints: Arc<[Endpoint]>,
    resolver: Arc<Resolver>,
    trust: Trust,
    passphrases: Option<Passphrases>,
    full_name: Option<Arc<FullName>>,
    /// Hosts for which it was in vain to be hasty, by their place in the run.
    slow: Arc<[AtomicBool]>,
}

impl OverSsh {
    /// These hosts, in the order of the run.
    #[must_use]
    pub fn new(hosts: &[HostSpec], trust: Trust) -> Self {
        Self(Arc::new(Inner {
            endpoints: hosts.iter().map(endpoint).collect(),
            resolver: Arc::new(Resolver::here()),
            trust,
            passphrases: None,
            full_name: None,
            slow: hosts.iter().map(|_| AtomicBool::new(false)).collect(),
        }))
    }

    /// Goes on with what was asked ahead.
    #[must_use]
    pub fn after(self, ahead: Ahead) -> Self {
        self.but(|inner| inner.resolver = ahead.0)
    }

    /// Asks a person for the passphrases of key files.
    #[must_use]
    pub fn ask_passphrases(self, ask: Passphrases) -> Self {
        self.but(|inner| inner.passphrases = Some(ask))
    }

    /// A host that cannot be reached where its entry says is tried under its name in the network, which this gives by its
    /// place in the run. The key of its server is the one that is known for its address.
    #[must_use]
    pub fn or_over_the_network(self, full_name: impl Fn(usize) -> Option<String> + Send + Sync + 'static) -> Self {
        self.but(|inner| inner.full_name = Some(Arc::new(full_name)))
    }

    fn but(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        change(&mut inner);
        Self(Arc::new(inner))
    }
}

impl OverSsh {
    /// Where and how the host at this place of the run is reached.
    ///
    /// # Errors
    /// When that cannot be known.
    pub fn target(&self, host: usize, until: &Until) -> Result<Target, Failed> {
        let target = self.resolve(&self.0.endpoints[host], until)?;
        Ok(if self.0.full_name.is_some() { target.patience(ONE_WAY) } else { target })
    }

    /// The same over the network, where the host at this place may be tried there too.
    ///
    /// # Errors
    /// When that cannot be known.
    pub fn over_the_network(&self, host: usize, until: &Until) -> Result<Option<Target>, Failed> {
        let endpoint = &self.0.endpoints[host];
        let name = self.0.full_name.as_ref().and_then(|name| name(host));
        let (Some(name), Some(address)) = (name, &endpoint.address) else { return Ok(None) };
        let known_as = endpoint.known_as.as_ref().unwrap_or(address).clone();
        // Whoever is in the network needs no jump host of the project's.
        let other = Endpoint { address: Some(name), known_as: Some(known_as), jump: None, ..endpoint.clone() };
        self.resolve(&other, until).map(Some)
    }

    /// The same, where keys are known by what `ssh_config` says, and not by the project's file.
    ///
    /// # Errors
    /// When that cannot be known.
    pub fn target_as_ssh_knows_it(&self, host: usize, until: &Until) -> Result<Target, Failed> {
        self.resolve(&Endpoint { known_hosts: None, ..self.0.endpoints[host].clone() }, until)
    }

    /// The same for a jump host in front of a host ([`Target::jumps`]).
    ///
    /// # Errors
    /// When that cannot be known.
    pub fn resolve(&self, jump: &Endpoint, until: &Until) -> Result<Target, Failed> {
        let target = self.0.resolver.resolve(jump, until).map_err(|error| error.failed())?;
        Ok(match &self.0.passphrases {
            Some(ask) => target.ask_passphrases(ask.clone()),
            None => target,
        })
    }

    /// Does something with the host at this place where its entry says it is, and where nothing is reached there, over the
    /// network. What came of it, and which way that was.
    ///
    /// An address that says nothing is given two seconds at first, and all of its time only where the other way leads
    /// nowhere, once in a run: a firewall that drops what comes costs a member no more than that.
    ///
    /// # Errors
    /// Of the way that was reached; of the first, where none was, and then what the other one met.
    pub fn either_way<T>(
        &self,
        host: usize,
        target: &Target,
        until: &Until,
        work: impl Fn(&Target, &Until) -> Result<T, ConnectError>,
    ) -> Result<(T, Option<Target>), NoWay> {
        let slow = &self.0.slow[host];
        let two_ways = self.0.full_name.is_some() && !slow.load(Ordering::Relaxed);
        let hasty = two_ways.then(|| target.hasty(FIRST_LOOK)).flatten();
        let mut first = match work(hasty.as_ref().unwrap_or(target), until) {
            Ok(done) => return Ok((done, None)),
            Err(error) => error,
        };
        if !first.is_out_of_reach() || until.over().is_some() {
            return Err(NoWay { error: first, other: None });
        }
        let other = match self.over_the_network(host, until) {
            Ok(Some(other)) => match work(&other, &until.sooner(ONE_WAY)) {
                Ok(done) => return Ok((done, Some(other))),
                Err(error) => Some(error),
            },
            Ok(None) | Err(_) => None,
        };
        if hasty.is_some() && first.is_silence() && until.over().is_none() {
            slow.store(true, Ordering::Relaxed);
            first = match work(target, until) {
                Ok(done) => return Ok((done, None)),
                Err(error) => error,
            };
        }
        let Some(other) = other.filter(|_| first.is_out_of_reach()) else {
            return Err(NoWay { error: first, other: None });
        };
        Err(match other {
            // Nothing is known of it there: it may not be a member yet.
            ConnectError::Name { .. } | ConnectError::Deadline { .. } | ConnectError::Cancelled { .. } => {
                NoWay { error: first, other: None }
            }
            other if other.is_out_of_reach() => NoWay { other: Some(other.to_string()), error: first },
            // A server that answers says more than one that does not.
            other => NoWay { other: Some(first.to_string()), error: other },
        })
    }
}

/// Why a host was reached neither way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoWay {
    /// What is to be told.
    pub error: ConnectError,
    /// What the other way met, if there is one.
    pub other: Option<String>,
}

impl NoWay {
    /// As a host's failure.
    #[must_use]
    pub fn failed(&self) -> Failed {
        let mut failed = self.error.failed();
        if let (Some(other), Some(first)) = (&self.other, failed.diagnostics.first_mut()) {
            let detail = first.detail.take().map(|detail| detail + "\n").unwrap_or_default();
            first.detail = Some(format!("{detail}note: the other way: {other}"));
        }
        failed
    }
}

fn endpoint(host: &HostSpec) -> Endpoint {
    Endpoint {
        name: host.name.clone(),
        address: host.address.clone(),
        port: host.port,
        user: host.user.clone(),
        identity: host.private_key.clone(),
        known_hosts: host.known_hosts.clone(),
        also_ssh_configs: false,
        host_keys: host.host_keys.clone(),
        config: host.ssh_config.clone(),
        jump: host.jump.clone(),
        known_as: host.known_as.clone(),
    }
}

impl Connect for OverSsh {
    fn route(&self, host: usize, until: &Until) -> Result<Box<dyn Route>, Failed> {
        let target = self.target(host, until)?;
        Ok(Box::new(SshRoute { host, target, over: self.clone() }))
    }
}

struct SshRoute {
    host: usize,
    target: Target,
    over: OverSsh,
}

impl Route for SshRoute {
    fn gate(&self) -> &str {
        self.target.gate()
    }

    fn user(&self) -> Option<&str> {
        Some(self.target.user())
    }

    fn at(&self) -> String {
        self.target.place()
    }

    fn connect(&self, until: &Until) -> Result<Box<dyn Transport>, Refused> {
        let connect = |target: &Target, until: &Until| connect(target, self.over.0.trust, until);
        match self.over.either_way(self.host, &self.target, until, connect) {
            Ok((connection, _)) => Ok(Box::<Connection>::new(connection)),
            Err(why) => Err(Refused { failed: why.failed(), again: why.error.before_authentication() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Named, Reading};
    use crate::ssh::HostKeyError;
    use crate::until::Cancel;
    use boundary::known_hosts::{HostKey, Pin};
    use std::sync::Mutex;

    const PUBLIC: &str = "192.0.2.7";
    const NETWORK: &str = "app-1.example.net";

    /// How each way answers: none at all, that nobody is there, or well, and the public one after so many seconds.
    #[derive(Clone, Copy, PartialEq)]
    enum Way {
        Silent,
        Refuses,
        Answers(u64),
        HasNoName,
        /// Its key is not the host's.
        IsAnother,
    }

    fn key() -> HostKey {
        let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        Pin::parse(line).and_then(|pin| pin.key().cloned()).expect("a key")
    }

    /// Where a host is reached in the end, and every try with the seconds that it may take, each time it is connected to.
    fn tried(public: Way, network: Way, times: usize) -> Vec<(Option<bool>, String)> {
        let named = Named { name: "app-1".to_owned(), address: PUBLIC.to_owned(), ..Named::default() };
        let reading = Reading::new("none".as_ref(), "dev").without_file().otherwise("demo", &[("a", "b")]).host(named);
        let (inventory, ()) = reading.load(|_, _| Ok(())).expect("one host");
        let mut hosts = inventory.hosts().to_vec();
        hosts[0].ssh_config = Some("/dev/null".into());
        let over = OverSsh::new(&hosts, Trust::Strict).or_over_the_network(|_| Some(NETWORK.to_owned()));
        let until = Until::after(Duration::from_secs(60), &Cancel::new().expect("an eventfd"));
        let target = over.target(0, &until).expect("it is known");
        (0..times)
            .map(|_| {
                let tries = Mutex::new(Vec::new());
                let work = |target: &Target, _: &Until| {
                    let there = target.place().starts_with(PUBLIC);
                    let waits = target.waits().map_or(u64::MAX, |time| time.as_secs());
                    let said = if there { format!("public {waits}") } else { "network".to_owned() };
                    tries.lock().expect("no panic").push(said);
                    let to = target.place();
                    let address = |why: String| ConnectError::Address {
                        to: to.clone(),
                        tried: vec![(([192, 0, 2, 7], 22).into(), why)],
                    };
                    match if there { public } else { network } {
                        Way::Answers(after) if after < waits => Ok(there),
                        Way::Answers(_) | Way::Silent => Err(address(format!("no answer in {waits} s"))),
                        Way::Refuses => Err(address("Connection refused".to_owned())),
                        Way::HasNoName => {
                            Err(ConnectError::Name { to: to.clone(), reason: "unknown".to_owned(), temporary: false })
                        }
                        Way::IsAnother => {
                            let error = Box::new(HostKeyError::NotPinned { shown: key(), pinned: Vec::new() });
                            Err(ConnectError::HostKey { to: to.clone(), error })
                        }
                    }
                };
                let reached = over.either_way(0, &target, &until, work).ok().map(|(public, _)| public);
                (reached, tries.into_inner().expect("no panic").join(", "))
            })
            .collect()
    }

    #[test]
    fn an_address_that_says_nothing_is_given_two_seconds_before_the_other_way_is_tried() {
        assert_eq!(tried(Way::Answers(0), Way::Answers(0), 1), [(Some(true), "public 2".to_owned())]);
        let over = (Some(false), "public 2, network".to_owned());
        // As often as it is connected to: it is known each time that the other way leads there.
        assert_eq!(tried(Way::Silent, Way::Answers(0), 2), [over.clone(), over.clone()]);
        assert_eq!(tried(Way::Refuses, Way::Answers(0), 1), [over]);
    }

    #[test]
    fn an_address_that_is_only_slow_has_all_of_its_time_where_the_other_way_leads_nowhere() {
        for network in [Way::HasNoName, Way::Silent, Way::Refuses, Way::IsAnother] {
            let all = tried(Way::Answers(4), network, 2);
            assert_eq!(all[0], (Some(true), "public 2, network, public 10".to_owned()));
            assert_eq!(all[1], (Some(true), "public 10".to_owned()), "hasty in vain, once");
        }
        let all = tried(Way::Silent, Way::HasNoName, 2);
        assert_eq!(all[0], (None, "public 2, network, public 10".to_owned()));
        assert_eq!(all[1], (None, "public 10, network".to_owned()));
        // Who says that nobody is there says so in ten seconds too.
        assert_eq!(tried(Way::Refuses, Way::HasNoName, 1), [(None, "public 2, network".to_owned())]);
    }
}
