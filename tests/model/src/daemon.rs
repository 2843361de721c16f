//! The daemon: what it does by itself between two calls, and what its state adds up to.
//!
//! Not for: the command line ([`crate::cli`], [`crate::up`]).

use crate::machine::{Attempt, Daemon, Machine, Memory, Netmap, Prefs, Profile};
use crate::register::{Registered, Registration};
use crate::release::Release;
use crate::world::{DEFAULT_CONTROL, Kind, Reach, World};

/// `BackendState` of the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    NoState,
    NeedsLogin,
    NeedsMachineAuth,
    Stopped,
    Starting,
    Running,
}

impl Backend {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Backend::NoState => "NoState",
            Backend::NeedsLogin => "NeedsLogin",
            Backend::NeedsMachineAuth => "NeedsMachineAuth",
            Backend::Stopped => "Stopped",
            Backend::Starting => "Starting",
            Backend::Running => "Running",
        }
    }
}

impl Daemon {
    /// A daemon that never logged in.
    #[must_use]
    pub fn fresh(release: Release) -> Self {
        Self { profile: None, prefs: Prefs::fresh(release), memory: Memory::default() }
    }

    /// Whether a log-in that failed goes on being tried.
    #[must_use]
    pub fn keeps_trying(&self) -> bool {
        self.memory.attempt.is_some()
    }

    pub(crate) fn backend(&self) -> Backend {
        if self.profile.is_none() {
            return Backend::NeedsLogin;
        }
        let Some(netmap) = &self.memory.netmap else {
            return match (self.prefs.want_running, self.prefs.logged_out) {
                (false, true) => Backend::NeedsLogin,
                (false, false) => Backend::Stopped,
                (true, _) => Backend::NoState,
            };
        };
        if !self.prefs.want_running {
            Backend::Stopped
        } else if netmap.expired {
            Backend::NeedsLogin
        } else if !netmap.authorized {
            Backend::NeedsMachineAuth
        } else if !netmap.relays || self.memory.no_control {
            Backend::Starting
        } else {
            Backend::Running
        }
    }
}

impl Machine {
    /// The daemon runs and has come as far as answering.
    #[must_use]
    pub fn daemon_answers(&self) -> bool {
        self.client.is_some() && self.unit.active == crate::machine::Active::Running && !self.unit.hung
    }

    /// Starts the daemon on what is on disk.
    pub(crate) fn boot(&mut self, now_ms: u64) {
        let Some(release) = self.release() else { return };
        if self.daemon.profile.is_none() {
            self.daemon.prefs = Prefs::fresh(release);
        }
        self.daemon.memory = Memory { started_ms: now_ms, ..Memory::default() };
    }

    /// Lets the daemon do what it would have done by itself until now: retry a key, follow the control server.
    pub(crate) fn tick(&mut self, world: &mut World, now_ms: u64) {
        if !self.daemon_answers() || now_ms <= self.daemon.memory.started_ms + self.boot_ms {
            return;
        }
        if let Some(attempt) = self.daemon.memory.attempt.clone() {
            if now_ms >= attempt.not_before_ms {
                self.log_in(world, now_ms, attempt);
            }
        } else {
            self.follow(world, now_ms);
        }
    }

    /// Tries to log in, and keeps trying when that fails.
    pub(crate) fn log_in(&mut self, world: &mut World, now_ms: u64, mut attempt: Attempt) -> Registered {
        let url = self.control_url();
        let hostname = self.wanted_hostname();
        let node_key = self.daemon.profile.as_ref().map(|profile| profile.node_key.clone());
        let release = self.release();
        let answer = match world.server_mut(&url) {
            None => Registered::Trouble(None),
            Some(server) if server.kind == Kind::Headscale && release.is_some_and(Release::too_old_for_headscale) => {
                Registered::Trouble(Some(format!(
                    "register request: Post \"{url}/machine/register\": all connection attempts failed (HTTP: reading response header: EOF)"
                )))
            }
            Some(server) => server.register(
                &url,
                &Registration {
                    machine: &self.id,
                    node_key: node_key.as_deref(),
                    new_key: attempt.new_key,
                    auth_key: Some(attempt.key.as_str()).filter(|key| !key.is_empty()),
                    request_tags: &self.daemon.prefs.advertise_tags,
                    hostname: &hostname,
                    now_ms,
                },
            ),
        };
        let memory = &mut self.daemon.memory;
        match &answer {
            Registered::In(suffix, id, key) => {
                memory.attempt = None;
                memory.auth_url = String::new();
                // Up to 1.66 a machine that was brought down meanwhile comes up; later ones stay stopped.
                self.daemon.prefs.logged_out = false;
                self.daemon.profile = Some(Profile { node_key: key.clone(), user: 123 });
                memory.map_at_ms = now_ms + self.map_ms;
                let (suffix, id) = (suffix.clone(), *id);
                self.follow_node(world, &suffix, id, now_ms);
            }
            Registered::Refused(text) => {
                attempt.error = Some(text.clone());
                attempt.refused = true;
                memory.attempt = Some(attempt);
                memory.online = false;
            }
            Registered::Trouble(text) => {
                attempt.error.clone_from(text);
                attempt.refused = false;
                memory.attempt = Some(attempt);
                memory.online = false;
            }
            Registered::NeedsPerson => {
                memory.attempt = None;
                memory.auth_url = format!("{}/auth/b84e0dbcfe73d43c9c85", url.trim_end_matches('/'));
            }
        }
        answer
    }

    /// Follows the control server with the node key that there is.
    pub(crate) fn follow(&mut self, world: &mut World, now_ms: u64) {
        let Some(profile) = &self.daemon.profile else { return };
        // One that is stopped hears nothing anew.
        let stopped = !self.daemon.prefs.want_running && self.daemon.memory.netmap.is_some();
        if self.daemon.memory.no_control || stopped || now_ms < self.daemon.memory.old_map_until_ms {
            return;
        }
        let (url, node_key) = (self.control_url(), profile.node_key.clone());
        let tags = self.daemon.prefs.advertise_tags.clone();
        if self.daemon.prefs.want_running
            && !tags.is_empty()
            && let Some(server) = world.server_mut(&url)
        {
            server.request_tags(&node_key, &tags, now_ms);
        }
        let Some(server) = world.server_mut(&url) else { return };
        match server.reach {
            Reach::Up => {}
            // Vanished packets are noticed late: what was there stays.
            Reach::Blackhole => return,
            Reach::Refused | Reach::NoName | Reach::Http(_) | Reach::NoTls | Reach::ClockBehind => {
                self.daemon.memory.online = false;
                return;
            }
        }
        if let Some(node) = server.find_mut(&node_key)
            && node.expiry_ms.is_some_and(|at| at <= now_ms)
        {
            node.expired = true;
        }
        match server.find(&node_key).map(|(suffix, id, _)| (suffix.to_owned(), id)) {
            Some((suffix, id)) => self.follow_node(world, &suffix, id, now_ms),
            // Deleted: Headscale's clients do not notice, the real service's go offline.
            None => {
                if server.kind == Kind::Saas {
                    self.daemon.memory.online = false;
                }
            }
        }
    }

    /// Takes over what the control server says of this machine.
    fn follow_node(&mut self, world: &World, suffix: &str, id: u32, now_ms: u64) {
        let Some(server) = world.server(&self.control_url()) else { return };
        let Some(tailnet) = server.tailnets.get(suffix) else { return };
        let Some(node) = tailnet.nodes.get(&id) else { return };
        let mapped = now_ms >= self.daemon.memory.map_at_ms;
        self.daemon.memory.netmap = Some(Netmap {
            suffix: suffix.to_owned(),
            org: tailnet.org.clone(),
            headscale: server.kind == Kind::Headscale,
            id,
            hostname: node.hostname.clone(),
            label: node.label.clone(),
            tags: if mapped { node.tags.clone() } else { Vec::new() },
            expiry_ms: node.expiry_ms,
            expired: node.expired,
            authorized: node.authorized,
            relays: tailnet.relays,
        });
        self.daemon.memory.online = self.daemon.prefs.want_running && mapped;
    }

    pub(crate) fn control_url(&self) -> String {
        match self.daemon.prefs.control_url.as_str() {
            "" => DEFAULT_CONTROL.to_owned(),
            url => url.to_owned(),
        }
    }

    /// The name that the daemon asks for.
    fn wanted_hostname(&self) -> String {
        if self.daemon.prefs.hostname.is_empty() { self.hostname.clone() } else { self.daemon.prefs.hostname.clone() }
    }
}
