//! Hosts as tests and the demo start from.

use crate::Call;
use crate::machine::{Active, Apt, Daemon, Machine, Package, Profile, Sudo, Unit};
use crate::release::Release;
use crate::world::{Node, World};

/// `/etc/os-release` of Debian 12.
pub const DEBIAN_12: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\nHOME_URL=\"https://www.debian.org/\"\n";

impl Machine {
    /// Debian 12 with curl, systemd and free sudo, and nothing of Tailscale's.
    #[must_use]
    pub fn bare(name: &str) -> Self {
        Self {
            id: format!("mkey:{name}"),
            hostname: "vm".to_owned(),
            kernel: "Linux".to_owned(),
            os_release: Some(DEBIAN_12.to_owned()),
            sudo: Sudo::Free,
            systemd: true,
            curl: true,
            client: None,
            unit: Unit {
                present: false,
                enabled: false,
                masked: false,
                active: Active::Inactive,
                broken: false,
                hung: false,
            },
            apt: Apt::default(),
            daemon: Daemon::fresh(Release::NEWEST),
            boot_ms: 1_000,
            map_ms: 0,
        }
    }

    /// The client of this release is there, its daemon runs, and it never logged in.
    ///
    /// # Panics
    /// When the text is no release.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a release that is none is the test's mistake")]
    pub fn installed(name: &str, release: &str) -> Self {
        let mut machine = Self::bare(name);
        machine.client = Some(release.to_owned());
        machine.apt.tailscale = Package::Installed;
        machine.apt.keyring = Package::Installed;
        machine.unit = Unit { present: true, enabled: true, active: Active::Running, ..machine.unit };
        machine.daemon = Daemon::fresh(Release::parse(release).expect("a release such as 1.102.3"));
        machine
    }

    /// A member of the real service's tailnet of this suffix, with these tags, named as it should be.
    #[must_use]
    pub fn joined(world: &mut World, name: &str, release: &str, suffix: &str, tags: &[&str]) -> Self {
        Self::joined_to(world, crate::DEFAULT_CONTROL, name, release, suffix, tags)
    }

    /// A member of a tailnet on the server of this URL.
    ///
    /// # Panics
    /// When the world has no such server.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a server that is not there is the test's mistake")]
    pub fn joined_to(world: &mut World, url: &str, name: &str, release: &str, suffix: &str, tags: &[&str]) -> Self {
        let mut machine = Self::installed(name, release);
        let server = world.server_mut(url).expect("a server of this world");
        server.node_keys += 1;
        let node_key = format!("nodekey:{:064x}", server.node_keys);
        let id = server.next_node;
        server.next_node += 1;
        let tailnet = server.tailnets.entry(suffix.to_owned()).or_default();
        tailnet.nodes.insert(
            id,
            Node {
                machine: machine.id.clone(),
                node_key: node_key.clone(),
                hostname: name.to_owned(),
                label: name.to_owned(),
                tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
                expiry_ms: None,
                expired: false,
                authorized: true,
                ephemeral: false,
                logged_out: false,
            },
        );
        machine.daemon.profile = Some(Profile { node_key, user: 123 });
        let prefs = &mut machine.daemon.prefs;
        prefs.control_url = url.to_owned();
        prefs.route_all = false;
        prefs.hostname = name.to_owned();
        prefs.want_running = true;
        prefs.logged_out = false;
        machine.follow(world, 0);
        machine
    }

    /// Brought down by `tailscale down`.
    #[must_use]
    pub fn stopped(mut self) -> Self {
        self.daemon.prefs.want_running = false;
        self.daemon.memory.online = false;
        self
    }

    /// Its key was made to expire on the server.
    #[must_use]
    pub fn expired(self, world: &mut World) -> Self {
        let mut machine = self.expired_unseen(world);
        machine.follow(world, 0);
        machine
    }

    /// Its key was made to expire on the server, which the daemon has not heard yet.
    #[must_use]
    pub fn expired_unseen(self, world: &mut World) -> Self {
        let url = self.control_url();
        if let (Some(profile), Some(server)) = (&self.daemon.profile, world.server_mut(&url))
            && let Some(node) = server.find_mut(&profile.node_key)
        {
            node.expired = true;
            node.expiry_ms = Some(0);
        }
        self
    }

    /// Waits for an admin's approval.
    #[must_use]
    pub fn unapproved(mut self, world: &mut World) -> Self {
        let url = self.control_url();
        if let (Some(profile), Some(server)) = (&self.daemon.profile, world.server_mut(&url))
            && let Some(node) = server.find_mut(&profile.node_key)
        {
            node.authorized = false;
        }
        self.follow(world, 0);
        self
    }

    /// A join with this key failed, and the daemon goes on trying it.
    #[must_use]
    pub fn trying(mut self, world: &mut World, key: &str) -> Self {
        let line = "tailscale up --auth-key=file:/dev/stdin --hostname=old --accept-routes=false --timeout=5s";
        let boot = self.boot_ms + 1;
        let _ = self.exec(world, &Call::root(line, boot).with_stdin(key));
        self
    }

    /// A `logout` was cut off: the control server did not answer.
    #[must_use]
    pub fn half_logged_out(mut self) -> Self {
        self.daemon.prefs.want_running = false;
        self.daemon.prefs.logged_out = true;
        self.daemon.memory.online = false;
        self
    }

    /// The daemon was stopped.
    #[must_use]
    pub fn daemon_stopped(mut self) -> Self {
        self.unit.active = Active::Inactive;
        self.daemon.memory = crate::machine::Memory::default();
        self
    }

    /// The daemon was stopped, disabled and masked.
    #[must_use]
    pub fn daemon_masked(mut self) -> Self {
        self = self.daemon_stopped();
        self.unit.enabled = false;
        self.unit.masked = true;
        self
    }
}
