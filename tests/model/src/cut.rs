//! What is left of a host when something is cut off in the middle of its work, or when its power goes.
//!
//! How `dpkg` and `apt-get` leave a host when they are killed, and what they say then, was seen on a Debian 12 with the
//! official script (`tests/tailnet/tests/real/installer.rs`). Not for: what a command does when nothing happens to it.

use crate::machine::{Active, Attempt, Machine, Memory, Package};
use crate::world::World;
use crate::{Call, Reply};

impl Machine {
    /// Does the first part of a command, as far as it had come when it was cut off. `way` tells apart what it can have
    /// been at, where there is more than one thing. A command that does one thing, or only looks, has done nothing.
    pub fn begin(&mut self, world: &mut World, call: &Call, way: u8) {
        let words: Vec<&str> = call.argv.iter().map(String::as_str).collect();
        if !call.root {
            return;
        }
        let (mut after, mut then) = (self.clone(), world.clone());
        let Reply { .. } = after.exec(&mut then, call);
        match words.as_slice() {
            ["apt-get", "install", ..] | ["dpkg", "--configure", ..]
                if after.client != self.client || after.apt != self.apt =>
            {
                self.begin_package(after, way);
            }
            // Enabled, and not started yet.
            ["systemctl", "enable", "--now", _] => self.unit.enabled = after.unit.enabled,
            // The daemon has the key, and the control server has not answered it.
            ["tailscale", "up", ..]
                if after.daemon.prefs != self.daemon.prefs || after.daemon.profile != self.daemon.profile =>
            {
                let key = words.iter().any(|word| word.starts_with("--auth-key"));
                self.daemon.prefs = after.daemon.prefs;
                if key {
                    let force = words.contains(&"--force-reauth");
                    self.daemon.memory.attempt = Some(Attempt {
                        key: String::from_utf8_lossy(&call.stdin).trim().to_owned(),
                        new_key: force || self.daemon.profile.is_none(),
                        error: None,
                        refused: false,
                        not_before_ms: call.now_ms + 200,
                    });
                }
            }
            // What the machine means to do stands on disk before the control server is asked.
            ["tailscale", "logout"] if self.daemon.profile.is_some() => {
                self.daemon.prefs.want_running = false;
                self.daemon.prefs.logged_out = true;
                self.daemon.memory.online = false;
            }
            _ => {}
        }
    }

    /// A package that was being unpacked (0), had been (1), or was being configured (2 and more).
    fn begin_package(&mut self, after: Machine, way: u8) {
        let tailscale = match (way, self.apt.tailscale) {
            (0, Package::Absent) => Package::HalfInstalled,
            (0, before) => before,
            (1, _) => Package::Unpacked,
            _ => Package::HalfConfigured,
        };
        self.apt.interrupted = true;
        self.apt.tailscale = tailscale;
        if way > 0 {
            self.client = after.client;
            self.unit.present = true;
        }
        if way > 2 {
            self.unit.enabled = true;
        }
        self.apt.keyring = match way {
            0 => self.apt.keyring,
            1 => Package::Unpacked,
            _ => Package::Installed,
        };
    }

    /// The power goes and comes back: what is in memory is gone, and the daemon runs where it starts at boot.
    pub fn power_cut(&mut self, now_ms: u64) {
        self.daemon.memory = Memory::default();
        self.apt.lock = None;
        self.unit.hung = false;
        let starts = self.systemd && self.unit.present && self.unit.enabled && !self.unit.masked && !self.unit.broken;
        self.unit.active = match (starts, self.unit.broken && self.unit.enabled) {
            (true, _) => Active::Running,
            (false, true) => Active::Failed,
            (false, false) => Active::Inactive,
        };
        if starts {
            self.boot(now_ms);
        } else if self.daemon.profile.is_none()
            && let Some(release) = self.release()
        {
            self.daemon.prefs = crate::machine::Prefs::fresh(release);
        }
    }
}
