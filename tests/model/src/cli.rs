//! `tailscale` with every subcommand but `up`, which has a file of its own.

use crate::machine::{Machine, Memory, Prefs};
use crate::release::Release;
use crate::world::{Kind, Reach, World};
use crate::{Call, Reply};

const HINT: &str =
    "\n\nUse 'sudo tailscale <ALL ARGS>'.\nTo not require root, use 'sudo tailscale set --operator=$USER' once.";

impl Machine {
    pub(crate) fn tailscale(&mut self, world: &mut World, call: &Call) -> Reply {
        let Some(release) = self.release() else {
            // What was installed is no release that anybody knows: it prints what it is.
            return Reply::ok(format!("{}\n", self.client.as_deref().unwrap_or_default()));
        };
        let words: Vec<&str> = call.argv.iter().skip(1).map(String::as_str).collect();
        let (Some(verb), rest) = (words.first().copied(), words.get(1..).unwrap_or_default()) else {
            return Reply::fail(2, "tailscale: no subcommand");
        };
        if verb == "version" {
            return self.version(release);
        }
        if !self.daemon_answers() {
            return self.no_daemon(verb);
        }
        // While the daemon comes up, requests wait for it.
        let ready = self.daemon.memory.started_ms + self.boot_ms;
        let wait = ready.saturating_sub(call.now_ms);
        let mut reply = match (verb, rest) {
            ("status", rest) if rest.contains(&"--json") => Reply::ok(self.status_document(release)),
            ("status", []) => self.plain_status(),
            ("debug", ["prefs"]) => Reply::ok(self.prefs_document(release)),
            ("up", rest) => self.up(world, call, release, rest),
            ("down", []) => self.down(call),
            ("set", rest) => self.set(call, rest),
            ("logout", []) => self.logout(world, call, release),
            ("ip", []) => self.ip(),
            (other, _) => Reply::fail(2, format!("tailscale: unknown subcommand: {other}")),
        };
        reply.takes_ms = reply.takes_ms.saturating_add(wait);
        reply
    }

    fn version(&self, release: Release) -> Reply {
        let own = self.client.as_deref().unwrap_or_default();
        let long = if release.says_long_version() { format!("  long version: {own}\n") } else { String::new() };
        Reply::ok(format!("{own}\n{long}  go version: go1.26.8\n"))
    }

    fn no_daemon(&self, verb: &str) -> Reply {
        if self.unit.hung {
            let error = "Failed to connect to local Tailscale daemon for /localapi/v0/status; not running? Error: context deadline exceeded";
            return Reply::fail(1, format!(
                "failed to connect to local tailscaled (which appears to be running as tailscaled, pid 612). Got error: {error}"
            )).after(5_000);
        }
        if matches!(verb, "status" | "up") {
            let hint = if self.systemd { " (sudo systemctl start tailscaled ?)" } else { "" };
            return Reply::fail(
                1,
                format!("failed to connect to local tailscaled; it doesn't appear to be running{hint}"),
            )
            .after(2_000);
        }
        let why = if self.systemd { "systemd tailscaled.service not running." } else { "not running?" };
        Reply::fail(
            1,
            format!(
                "Failed to connect to local Tailscale daemon for /localapi/v0/{verb}; {why} Error: dial unix /var/run/tailscale/tailscaled.sock: connect: no such file or directory"
            ),
        )
    }

    fn plain_status(&self) -> Reply {
        let backend = self.daemon.backend().name();
        match backend {
            "Stopped" => Reply { status: 1, ..Reply::ok("Tailscale is stopped.\n") },
            "NeedsLogin" => Reply { status: 1, ..Reply::ok("Logged out.\n") },
            "NeedsMachineAuth" => Reply { status: 1, ..Reply::ok("Machine is not yet approved by tailnet admin.\n") },
            "NoState" => Reply { status: 1, ..Reply::ok("unexpected state: NoState\n") },
            _ => Reply::ok("100.64.0.1  app-1  linux  -\n"),
        }
    }

    fn ip(&self) -> Reply {
        match &self.daemon.memory.netmap {
            Some(map) => Reply::ok(format!("100.64.{}.{}\nfd7a:115c:a1e0::{:x}\n", map.id / 256, map.id % 256, map.id)),
            None => Reply::fail(1, "no current Tailscale IPs; state: NeedsLogin"),
        }
    }

    fn down(&mut self, call: &Call) -> Reply {
        if !call.root {
            return Reply::fail(1, format!("Access denied: prefs write access denied{HINT}"));
        }
        // A log-in that is being tried goes on all the same.
        self.daemon.prefs.want_running = false;
        self.daemon.memory.online = false;
        Reply::ok("")
    }

    fn set(&mut self, call: &Call, rest: &[&str]) -> Reply {
        if !call.root {
            return Reply::fail(1, format!("Access denied: checkprefs access denied{HINT}"));
        }
        for word in rest {
            let (name, value) =
                word.trim_start_matches('-').split_once('=').unwrap_or((word.trim_start_matches('-'), "true"));
            if !set_pref(&mut self.daemon.prefs, name, value) {
                return Reply::fail(2, format!("flag provided but not defined: -{name}"));
            }
        }
        Reply::ok("")
    }

    fn logout(&mut self, world: &mut World, call: &Call, release: Release) -> Reply {
        if !call.root {
            return Reply::fail(1, format!("logout access denied{HINT}"));
        }
        // Without a node key it does nothing: a log-in that is being tried goes on.
        let Some(profile) = self.daemon.profile.clone() else { return Reply::ok("") };
        if self.daemon.memory.lost_key {
            return Reply::fail(1, "500 Internal Server Error: no nodekey to log out");
        }
        let url = self.control_url();
        let expired = self.daemon.memory.netmap.as_ref().is_some_and(|map| map.expired || !map.authorized);
        let reach = world.server(&url).map_or(Reach::NoName, |server| server.reach);
        if reach != Reach::Up && !expired {
            self.daemon.prefs.want_running = false;
            self.daemon.prefs.logged_out = true;
            self.daemon.memory.online = false;
            self.daemon.memory.lost_key = release.forgets_its_key_in_a_cut_log_out();
            if reach == Reach::Blackhole {
                let why = "connection attempts aborted by context: context deadline exceeded";
                let error =
                    format!("500 Internal Server Error: register request: Post \"{url}/machine/register\": {why}");
                return Reply::fail(1, error).after(17_000);
            }
            return Reply::ok("").after(Reply::FOREVER);
        }
        if let Some(server) = world.server_mut(&url) {
            let headscale = server.kind == Kind::Headscale;
            if let Some(node) = server.find_mut(&profile.node_key) {
                node.expired = true;
                node.logged_out = headscale;
            }
        }
        self.daemon.profile = None;
        self.daemon.prefs = Prefs::fresh(release);
        if release.may_keep_control_after_logout() {
            self.daemon.prefs.control_url = crate::world::DEFAULT_CONTROL.to_owned();
        }
        self.daemon.memory = Memory { started_ms: self.daemon.memory.started_ms, ..Memory::default() };
        Reply::ok("").after(300)
    }
}

/// Sets one preference by the name of its flag of `tailscale set`.
fn set_pref(prefs: &mut Prefs, name: &str, value: &str) -> bool {
    let on = value == "true";
    let list = || value.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect();
    match name {
        "hostname" => prefs.hostname = value.to_owned(),
        "accept-routes" => prefs.route_all = on,
        "accept-dns" => prefs.corp_dns = on,
        "shields-up" => prefs.shields_up = on,
        "ssh" => prefs.run_ssh = on,
        "exit-node" => prefs.exit_node_ip = value.to_owned(),
        "exit-node-allow-lan-access" => prefs.exit_node_allow_lan_access = on,
        "advertise-routes" => prefs.advertise_routes = list(),
        "advertise-exit-node" => {
            prefs.advertise_routes.retain(|route| !crate::up::EXIT_ROUTES.contains(&route.as_str()));
            if on {
                prefs.advertise_routes.extend(crate::up::EXIT_ROUTES.map(str::to_owned));
            }
        }
        "advertise-connector" => prefs.advertise_connector = on,
        "operator" => prefs.operator_user = value.to_owned(),
        "snat-subnet-routes" => prefs.no_snat = !on,
        "stateful-filtering" => prefs.no_stateful_filtering = !on,
        "report-posture" | "posture-checking" => prefs.posture_checking = on,
        "netfilter-mode" => prefs.netfilter_mode = crate::up::netfilter(value),
        _ => return false,
    }
    true
}
