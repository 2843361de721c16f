//! `systemctl` on `tailscaled.service`.

use crate::machine::{Active, Machine};
use crate::{Call, Reply};

const UNIT: &str = "tailscaled.service";

impl Machine {
    pub(crate) fn systemctl(&mut self, call: &Call) -> Reply {
        if !self.systemd {
            return Reply::fail(
                1,
                "System has not been booted with systemd as init system (PID 1). Can't operate.\nFailed to connect to bus: Host is down",
            );
        }
        let words: Vec<&str> = call.argv.iter().skip(1).map(String::as_str).collect();
        let now = words.contains(&"--now");
        let plain: Vec<&str> = words.iter().filter(|word| !word.starts_with('-')).copied().collect();
        let (Some(verb), Some(unit)) = (plain.first(), plain.get(1)) else {
            return Reply::fail(1, "Too few arguments.");
        };
        if unit.trim_end_matches(".service") != "tailscaled" {
            return Reply::fail(5, format!("Unit {unit} not found."));
        }
        match *verb {
            "show" => return self.show(),
            "is-active" => {
                let state = self.active_state();
                return Reply { status: if state == "active" { 0 } else { 3 }, ..Reply::ok(format!("{state}\n")) };
            }
            "is-enabled" => {
                let state = self.file_state();
                return Reply { status: u8::from(state != "enabled"), ..Reply::ok(format!("{state}\n")) };
            }
            _ => {}
        }
        if !call.root {
            return Reply::fail(1, format!("Failed to {verb} {UNIT}: Interactive authentication required."));
        }
        match *verb {
            "unmask" => {
                self.unit.masked = false;
                Reply::ok("")
            }
            "mask" => {
                self.unit.masked = true;
                Reply::ok("")
            }
            "enable" => {
                if self.unit.masked {
                    let file = format!("/etc/systemd/system/{UNIT}");
                    return Reply::fail(1, format!("Failed to enable unit: Unit file {file} is masked."));
                }
                if !self.unit.present {
                    return Reply::fail(1, format!("Failed to enable unit: Unit file {UNIT} does not exist."));
                }
                self.unit.enabled = true;
                if now && self.unit.active != Active::Running {
                    self.start("start", call.now_ms)
                } else {
                    Reply::ok("")
                }
            }
            "disable" => {
                self.unit.enabled = false;
                if now { self.stop() } else { Reply::ok("") }
            }
            "start" if self.unit.active == Active::Running => Reply::ok(""),
            "start" => self.start("start", call.now_ms),
            "restart" => self.start("restart", call.now_ms),
            "stop" => self.stop(),
            other => Reply::fail(1, format!("Unknown command verb {other}.")),
        }
    }

    fn start(&mut self, verb: &str, now_ms: u64) -> Reply {
        if self.unit.masked {
            return Reply::fail(1, format!("Failed to {verb} {UNIT}: Unit {UNIT} is masked."));
        }
        if !self.unit.present {
            return Reply::fail(5, format!("Failed to {verb} {UNIT}: Unit {UNIT} not found."));
        }
        if self.unit.broken {
            self.unit.active = Active::Failed;
            return Reply::fail(
                1,
                format!(
                    "Job for {UNIT} failed because the control process exited with error code.\nSee \"systemctl status {UNIT}\" and \"journalctl -xeu {UNIT}\" for details."
                ),
            );
        }
        self.unit.active = Active::Running;
        self.unit.hung = false;
        self.boot(now_ms);
        // The unit counts as started when the socket is there, before the daemon answers on it.
        Reply::ok("").after(50)
    }

    fn stop(&mut self) -> Reply {
        self.unit.active = Active::Inactive;
        self.daemon.memory = crate::machine::Memory::default();
        Reply::ok("")
    }

    fn show(&self) -> Reply {
        let load = match (self.unit.masked, self.unit.present) {
            (true, _) => "masked",
            (false, true) => "loaded",
            (false, false) => "not-found",
        };
        let sub = match self.unit.active {
            Active::Inactive => "dead",
            Active::Running => "running",
            Active::Failed => "failed",
        };
        // As systemd prints them, whatever the order in which they were asked for.
        let path = match load {
            "loaded" => "/lib/systemd/system/tailscaled.service",
            "masked" => "/etc/systemd/system/tailscaled.service",
            _ => "",
        };
        Reply::ok(format!(
            "LoadState={load}\nActiveState={}\nSubState={sub}\nFragmentPath={path}\nUnitFileState={}\n",
            self.active_state(),
            self.file_state()
        ))
    }

    fn active_state(&self) -> &'static str {
        match self.unit.active {
            Active::Inactive => "inactive",
            Active::Running => "active",
            Active::Failed => "failed",
        }
    }

    fn file_state(&self) -> &'static str {
        match (self.unit.masked, self.unit.present, self.unit.enabled) {
            (true, _, _) => "masked",
            (false, false, _) => "",
            (false, true, true) => "enabled",
            (false, true, false) => "disabled",
        }
    }
}
