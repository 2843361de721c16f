//! `curl`, the install script and what apt makes of it, with the outputs as they were recorded.
//!
//! The script that the model's `curl` prints is our own. A real `sh` runs it on a test host, and it leaves all of the work
//! to `apt-get`, which is a stand-in there: what was recorded of script and apt together is what that one prints.

use crate::machine::{Active, Disk, Lock, Machine, OtherRepository, Package, Which};
use crate::world::{Fault, Reach, World};
use crate::{Call, Reply};

/// What stands at the address of the install script. Like the real one it does nothing when it is cut short.
pub const SCRIPT: &str = "#!/bin/sh\n# Stand-in for the official install script.\nset -eu\nmain() {\n\tapt-get install -y tailscale\n}\nmain\n";

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../fixtures/installer/", $name, ".txt"))
    };
}

/// The distributions whose `ID` the script knows.
const KNOWN: [&str; 20] = [
    "ubuntu",
    "pop",
    "neon",
    "tuxedo",
    "debian",
    "linuxmint",
    "elementary",
    "industrial-os",
    "parrot",
    "mendel",
    "galliumos",
    "pureos",
    "kaisen",
    "raspbian",
    "kali",
    "Deepin",
    "pika",
    "sparky",
    "osmc",
    "zorin",
];

impl Machine {
    pub(crate) fn curl(&self, world: &World, call: &Call) -> Reply {
        let url = call.argv.last().map(String::as_str).unwrap_or_default();
        if url == "https://tailscale.com/install.sh" { script(world) } else { look(world, url) }
    }

    /// The install script: as `sh -s` with it on standard input, or as the `apt-get` that it calls.
    pub(crate) fn install(&mut self, world: &World, call: &Call) -> Reply {
        let words: Vec<&str> = call.argv.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["apt-get", "install", "-y", "tailscale"] => {}
            ["apt-get", "install", "--reinstall", "-y", ..] => return self.reinstall(world, call),
            ["apt-get", ..] => return Reply::fail(100, "E: this stand-in knows `apt-get install -y tailscale` alone"),
            _ if call.stdin.is_empty() => return Reply::ok(""),
            _ if call.stdin != SCRIPT.as_bytes() => {
                return Reply::fail(2, "sh: 355: Syntax error: Unterminated quoted string");
            }
            _ => {}
        }
        if !call.root {
            return recorded(1, recorded!("nosudo-missing"));
        }
        let Some((id, codename)) = self.distribution() else {
            return Reply::fail(2, "sh: 57: ID: parameter not set");
        };
        if !KNOWN.contains(&id.as_str()) {
            return Reply { status: 1, ..Reply::ok("Couldn't determine what kind of Linux is running.\n") };
        }
        let Some(codename) = codename else {
            return Reply::fail(2, "sh: 76: VERSION_CODENAME: parameter not set");
        };
        let mut reply = self.apt_get(world, call.now_ms);
        for text in [&mut reply.stdout, &mut reply.stderr] {
            *text = text
                .replace("debian bookworm", &format!("{id} {codename}"))
                .replace("/debian/bookworm", &format!("/{id}/{codename}"))
                .replace("stable/debian ", &format!("stable/{id} "))
                .replace("1.102.3", &world.release);
        }
        reply
    }

    /// `ID` and `VERSION_CODENAME` of `/etc/os-release`.
    fn distribution(&self) -> Option<(String, Option<String>)> {
        let text = self.os_release.as_deref()?;
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                .map(|value| value.trim_matches('"').to_owned())
        };
        Some((value("ID")?, value("VERSION_CODENAME")))
    }

    fn apt_get(&mut self, world: &World, now_ms: u64) -> Reply {
        match world.fault {
            Some(Fault::PackagesNoName) => return recorded(1, recorded!("dns-pkgs")),
            Some(Fault::Packages503) => return recorded(1, recorded!("pkgs-root503")),
            Some(Fault::Unsupported) => return recorded(1, recorded!("unsupported")),
            _ => {}
        }
        let held = |which| self.apt.lock.is_some_and(|lock: Lock| lock.which == which && now_ms < lock.until_ms);
        if held(Which::Lists) {
            return recorded(100, recorded!("lock-lists"));
        }
        match (world.fault, self.apt.other_repository) {
            (Some(Fault::Keyring503), _) => return recorded(100, recorded!("keyring503")),
            (Some(Fault::Index503), _) => return recorded(100, recorded!("repo-inrelease503")),
            (_, OtherRepository::Unsigned) => return recorded(100, recorded!("otherrepo-unsigned")),
            _ => {}
        }
        if held(Which::Dpkg) {
            return recorded(100, recorded!("lock-apt"));
        }
        if self.apt.interrupted {
            return recorded(100, recorded!("dpkg-interrupted"));
        }
        let half = self.apt.tailscale == Package::HalfInstalled;
        match (world.fault, self.apt.disk) {
            (Some(Fault::Package503), _) => return recorded(100, recorded!("repo-deb503")),
            (Some(Fault::PackageCut), _) => return recorded(100, recorded!("repo-debtrunc")),
            (_, Disk::NoDownload) => return recorded(100, recorded!("diskfull30")),
            (_, Disk::NoUnpack) => {
                self.apt.tailscale = Package::Absent;
                return recorded(100, recorded!("diskfull48"));
            }
            (_, Disk::Enough) => {}
        }
        self.set_up(world, now_ms);
        match self.apt.other_repository {
            OtherRepository::Unresolvable => recorded(0, recorded!("otherrepo-unresolvable")),
            _ if half => recorded(0, recorded!("dpkg-half-installed")),
            _ => recorded(0, recorded!("ok")),
        }
    }
}

impl Machine {
    /// What the package's own scripts do.
    fn set_up(&mut self, world: &World, now_ms: u64) {
        let upgraded = self.client.replace(world.release.clone()).is_some() && self.apt.tailscale == Package::Installed;
        (self.apt.tailscale, self.apt.keyring) = (Package::Installed, Package::Installed);
        self.unit.present = true;
        self.unit.enabled |= !upgraded;
        self.unit.masked = false;
        if self.systemd && !self.apt.starts_nothing && !self.unit.broken {
            self.unit.active = Active::Running;
            self.boot(now_ms + 2_000);
        }
    }

    /// The host has `dpkg`.
    pub(crate) fn has_packages(&self) -> bool {
        self.distribution().is_some_and(|(id, _)| KNOWN.contains(&id.as_str()))
    }

    fn reinstall(&mut self, world: &World, call: &Call) -> Reply {
        if !call.root {
            let text = "E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)";
            return Reply::fail(100, text);
        }
        if self.apt.lock.is_some_and(|lock| call.now_ms < lock.until_ms) {
            return recorded(100, recorded!("lock-apt"));
        }
        if self.apt.interrupted {
            return recorded(100, recorded!("dpkg-interrupted"));
        }
        if !call.argv.iter().any(|word| word == "tailscale") {
            self.apt.keyring = Package::Installed;
            return Reply::ok("Setting up tailscale-archive-keyring (1.35.181) ...\n").after(2_000);
        }
        self.set_up(world, call.now_ms);
        Reply::ok("Setting up tailscale (1.102.3) ...\n".replace("1.102.3", &world.release)).after(2_000)
    }

    pub(crate) fn dpkg(&mut self, call: &Call) -> Reply {
        if call.argv.get(1).map(String::as_str) != Some("--configure") {
            return Reply::fail(2, "dpkg: error: this stand-in knows `dpkg --configure -a` alone");
        }
        if !call.root {
            return Reply::fail(2, "dpkg: error: requested operation requires superuser privilege");
        }
        if self.apt.lock.is_some_and(|lock| lock.which == Which::Dpkg && call.now_ms < lock.until_ms) {
            return Reply::fail(2, "dpkg: error: dpkg frontend lock was locked by another process with pid 3178");
        }
        self.apt.interrupted = false;
        let mut said = String::new();
        if self.apt.keyring == Package::Unpacked {
            self.apt.keyring = Package::Installed;
            said.push_str("Setting up tailscale-archive-keyring (1.35.181) ...\n");
        }
        if matches!(self.apt.tailscale, Package::Unpacked | Package::HalfConfigured) {
            let release = self.client.clone().unwrap_or_default();
            self.set_up(&World { release: release.clone(), ..World::of("none") }, call.now_ms);
            said.push_str(&format!("Setting up tailscale ({release}) ...\n"));
        }
        // A package that is half unpacked stays so, and that is no error.
        Reply::ok(said).after(500)
    }

    /// `dpkg-query -s`: what it says of each package.
    pub(crate) fn dpkg_query(&self, call: &Call) -> Reply {
        let mut reply = Reply::ok("");
        for name in call.argv.iter().skip(2) {
            let package = if name == "tailscale" { self.apt.tailscale } else { self.apt.keyring };
            let status = match package {
                Package::Absent => {
                    let said =
                        format!("dpkg-query: package '{name}' is not installed and no information is available\n");
                    reply.stderr.push_str(&said);
                    reply.status = 1;
                    continue;
                }
                Package::HalfInstalled => "install reinstreq half-installed",
                Package::Unpacked => "install ok unpacked",
                Package::HalfConfigured => "install ok half-configured",
                Package::Installed => "install ok installed",
            };
            let between = if reply.stdout.is_empty() { "" } else { "\n" };
            let version = if name == "tailscale" { self.client.as_deref().unwrap_or("1.102.3") } else { "1.35.181" };
            reply.stdout.push_str(&format!("{between}Package: {name}\nStatus: {status}\nVersion: {version}\n"));
        }
        reply
    }
}

/// What curl says where the clock is behind: its reason, and help behind it.
const CLOCK_BEHIND: &str = "curl: (60) SSL certificate problem: certificate is not yet valid
More details here: https://curl.se/docs/sslcerts.html

curl failed to verify the legitimacy of the server and therefore could not
establish a secure connection to it. To learn more about this situation and
how to fix it, please visit the web page mentioned above.";

/// The install script's address.
fn script(world: &World) -> Reply {
    match world.fault {
        Some(Fault::ScriptNoName) => recorded(6, recorded!("dns-file")),
        Some(Fault::ScriptMissing) => recorded(22, recorded!("script404")),
        Some(Fault::Script503) => recorded(22, recorded!("script503")).after(7_000),
        Some(Fault::ScriptClosed) => recorded(52, recorded!("scriptclose")),
        Some(Fault::ScriptClockBehind) => Reply::fail(60, CLOCK_BEHIND),
        Some(Fault::ScriptCut) => {
            let half = SCRIPT.get(..SCRIPT.len() / 2).unwrap_or_default();
            Reply {
                stdout: half.to_owned(),
                ..Reply::fail(18, "curl: (18) transfer closed with 11301 bytes remaining to read")
            }
        }
        _ => Reply::ok(SCRIPT).after(200),
    }
}

/// A control server's address.
fn look(world: &World, url: &str) -> Reply {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', ':']).next().unwrap_or(url);
    match world.server(url).map(|server| server.reach) {
        Some(Reach::Up) => Reply::ok("").after(60),
        Some(Reach::Refused) => {
            Reply::fail(7, format!("curl: (7) Failed to connect to {host} port 443: Connection refused"))
        }
        Some(Reach::Blackhole) => {
            Reply::fail(28, "curl: (28) Connection timed out after 5001 milliseconds").after(5_001)
        }
        Some(Reach::Http(status)) => Reply::fail(22, format!("curl: (22) The requested URL returned error: {status}")),
        Some(Reach::ClockBehind) => Reply::fail(60, CLOCK_BEHIND),
        Some(Reach::NoTls) => Reply::fail(35, "curl: (35) error:0A00010B:SSL routines::wrong version number"),
        Some(Reach::NoName) | None => Reply::fail(6, format!("curl: (6) Could not resolve host: {host}")),
    }
}

/// A recording of the script by an ordinary user with sudo, as root sees it: without the word `sudo`.
fn recorded(status: u8, text: &str) -> Reply {
    let (_, text) = text.split_once("## stdout\n").unwrap_or_default();
    let (stdout, stderr) = text.split_once("## stderr\n").unwrap_or((text, ""));
    let trace = |line: &str| if line.starts_with('+') { line.replace("sudo ", "") } else { line.to_owned() };
    let stderr: String = stderr.lines().map(|line| trace(line) + "\n").collect();
    Reply { stdout: stdout.replace("\nsudo tailscale up", "\ntailscale up"), stderr, status, takes_ms: 2_000 }
}
