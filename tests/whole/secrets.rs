//! K1, K2: a marked key, and every place where it must not be while a host joins with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use lab::site::{Site, Spec};
use lab::sshd::{Options as SshdOptions, Sshd};
use lab::stand_in::trap::{At, Moment, Trap};
use lab::stand_in::{ATTEMPTS, OWN_PASSWORD};
use stagecraft_net::engine::{Engine, Options, user_dir};
use stagecraft_net::event::Event;
use stagecraft_net::host::Ensured;
use stagecraft_net::registry::Registry;
use stagecraft_net::secrets::Secrets;
use stagecraft_net::ssh::{self, Trust};
use stagecraft_net::until::{Cancel, Until};
use tailscale_model::{Machine, Sudo, World};
use zeroize::Zeroizing;

use super::two_runs::JOIN;

/// What every key here holds, and nothing else in the world does: not even another run of these tests at the same time,
/// whose operator has a key in the environment too.
static MARK: LazyLock<String> = LazyLock::new(|| format!("kMARKEDx7Qz{:08x}CNTRL", std::process::id()));
static GOOD: LazyLock<String> = LazyLock::new(|| format!("tskey-auth-{}-goodGOODgoodGOOD", *MARK));
static BAD: LazyLock<String> = LazyLock::new(|| format!("tskey-auth-{}-unknownUNKNOWN", *MARK));

fn site(pace: f64) -> Site {
    let mut world = World::of("example.ts.net");
    world.saas().add_key(&GOOD, "example.ts.net", &["tag:server"]);
    let mut site = Site::new(&world).unwrap();
    site.host("app-1", Spec { pace, ..Spec::of(Machine::installed("app-1", "1.102.3")) }).unwrap();
    site
}

fn marked(bytes: &[u8]) -> bool {
    holds(bytes, &MARK)
}

fn holds(bytes: &[u8], mark: &str) -> bool {
    bytes.windows(mark.len()).any(|window| window == mark.as_bytes())
}

/// As it is for the key.
static PASSWORD: LazyLock<String> = LazyLock::new(|| format!("correct-{:08x}-horse", std::process::id()));

/// The argument lists of all processes of this machine, which is both ends, and the environments of those that are not
/// the operator's own: `local` and whatever it started has the variable from the operator.
struct Seen {
    marks: Vec<String>,
    lines: BTreeSet<String>,
    leaks: BTreeSet<String>,
}

impl Seen {
    fn of(marks: &[&str]) -> Self {
        let marks = marks.iter().map(|&mark| mark.to_owned()).collect();
        Self { marks, lines: BTreeSet::new(), leaks: BTreeSet::new() }
    }

    fn look(&mut self, local: u32) {
        let processes: Vec<(u32, u32)> = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|id: u32| Some((id, parent(id)?)))
            .collect();
        let is_local = |mut id: u32| {
            while id > 1 {
                if id == local || id == std::process::id() {
                    return true;
                }
                id = processes.iter().find(|(process, _)| *process == id).map_or(0, |(_, parent)| *parent);
            }
            false
        };
        for (id, _) in &processes {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&line).replace('\0', " ");
            let marked = |bytes: &[u8]| self.marks.iter().any(|mark| holds(bytes, mark));
            if marked(&line) {
                self.leaks.insert(format!("arguments of {words}"));
            }
            // Servers of this test are children of this process, and what runs behind them has its own environment.
            let behind = words.contains("tailscale") || words.contains("timeout") || words.contains("sudo -");
            if (behind || !is_local(*id)) && marked(&fs::read(format!("/proc/{id}/environ")).unwrap_or_default()) {
                self.leaks.insert(format!("environment of {words}"));
            }
            self.lines.insert(words);
        }
    }
}

fn parent(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // After the name, which may hold anything: the state, then the parent.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// What is on this machine while a run goes on, looked at again and again, and for certain while the host is joining: the
/// join waits until it was seen, however slow this machine is.
fn watched(site: &Site, marks: &[&str], begin: impl FnOnce() -> Child) -> (Seen, Output) {
    let trap = site["app-1"].trap();
    let at = At { call: JOIN.to_owned(), nth: 0, moment: Moment::After };
    trap.update(|trap| *trap = Trap::set(Some(at))).unwrap();
    let child = begin();
    let id = child.id();
    let waiting = std::thread::spawn(move || child.wait_with_output().unwrap());
    let mut seen = Seen::of(marks);
    while !waiting.is_finished() {
        let caught = trap.get().unwrap().caught.is_some();
        seen.look(id);
        if caught {
            trap.update(|trap| trap.go = true).unwrap();
        }
    }
    let output = waiting.join().unwrap();
    let trap = trap.get().unwrap();
    assert!(trap.caught.is_some(), "it joined otherwise, so nothing was shown: {:#?}, {output:?}", trap.ran);
    (seen, output)
}

/// Every file below `dir` that holds the mark.
fn files_with_mark(dir: &Path, mark: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files_with_mark(&path, mark, found);
        } else if kind.is_file() && holds(&fs::read(&path).unwrap_or_default(), mark) {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn k1_the_key_is_in_no_argument_list_environment_file_or_output_of_either_end_while_a_host_joins() {
    let site = site(1.0);
    let begin = || site.cli(["up", "-vv", "--json"]).env("TS_AUTHKEY", &*GOOD).start().unwrap();
    let (seen, output) = watched(&site, &[&MARK], begin);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        seen.lines.iter().any(|line| line.contains("tailscale up") && line.contains("--auth-key=file:/dev/stdin")),
        "the join was not seen, so nothing was shown: {:#?}",
        seen.lines
    );
    assert_eq!(seen.leaks, BTreeSet::new());
    assert!(!marked(&output.stdout) && !marked(&output.stderr), "an output holds the key");

    // The world stands for the control server, which knows its keys.
    let mut found = Vec::new();
    files_with_mark(site.dir(), &MARK, &mut found);
    let world = site.dir().join("world").display().to_string();
    found.retain(|path| !path.starts_with(&world));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn k1_the_password_for_sudo_is_in_no_argument_list_environment_file_or_output_of_either_end() {
    let mut world = World::of("example.ts.net");
    world.saas().add_key(&GOOD, "example.ts.net", &["tag:server"]);
    let mut site = Site::new(&world).unwrap();
    let machine = Machine { sudo: Sudo::Password, ..Machine::installed("app-1", "1.102.3") };
    site.host("app-1", Spec { pace: 1.0, ..Spec::of(machine) }).unwrap();
    let own = site["app-1"].run_dir().join(OWN_PASSWORD);
    fs::write(&own, &*PASSWORD).unwrap();
    // Handed over by a pipe, so that not even the operator's own environment has it.
    let pipe = site.dir().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let secret = format!("sudo-password=file:{}", pipe.display());
    let begin = || site.cli(["up", "-vv", "--json", "--secret", &secret]).env("TS_AUTHKEY", &*GOOD).start().unwrap();
    let feeding = std::thread::spawn(move || fs::write(pipe, format!("{}\n", *PASSWORD)));
    let (seen, output) = watched(&site, &[&MARK, &PASSWORD], begin);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    feeding.join().unwrap().unwrap();
    assert!(seen.lines.iter().any(|line| line.contains("tailscale up")), "the join was not seen: {:#?}", seen.lines);
    let attempts = fs::read_to_string(site["app-1"].run_dir().join(ATTEMPTS)).unwrap();
    assert!(attempts.lines().count() > 3 && attempts.lines().all(|one| one == "right"), "{attempts}");
    assert_eq!(seen.leaks, BTreeSet::new());
    for stream in [&output.stdout, &output.stderr] {
        assert!(!holds(stream, &PASSWORD) && !marked(stream), "an output holds a secret");
    }
    let mut found = Vec::new();
    files_with_mark(site.dir(), &PASSWORD, &mut found);
    // The stand-in is the one who knows it.
    assert_eq!(found, [own.display().to_string()]);
}

#[test]
fn k1_the_key_is_in_no_error_and_no_output_when_it_is_refused() {
    for form in [&["up", "-vv"][..], &["up", "-vv", "--json"], &["up", "--json"], &["up"]] {
        let site = site(0.0);
        let ran = site.cli(form).env("TS_AUTHKEY", &*BAD).run().unwrap();
        assert_eq!(ran.code, Some(10), "{}", ran.stderr);
        assert!(ran.stdout.contains("secret-invalid") || ran.stderr.contains("secret-invalid"), "{}", ran.stderr);
        assert!(!marked(ran.stdout.as_bytes()) && !marked(ran.stderr.as_bytes()), "{}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn k2_the_guest_never_has_the_key_in_its_memory() {
    let site = site(0.0);
    let memory: Arc<Mutex<Vec<u8>>> = Arc::default();
    let kept = Arc::clone(&memory);
    let mut options = Options::default();
    options.cache = user_dir();
    options.watch = Some(Arc::new(move |bytes: &[u8]| kept.lock().unwrap().extend_from_slice(bytes)));
    let engine = Engine::new(options).unwrap();
    let registry = Registry::builtin(&engine).unwrap();
    let config = serde_json::json!({ "auth_key_env": "TS_AUTHKEY", "tailnet_domain": "example.ts.net" });
    let network = registry.get("tailscale").unwrap().configure(&config).unwrap();

    let until = Until::after(Duration::from_secs(120), &Cancel::new().unwrap());
    let mut endpoint = site["app-1"].sshd().endpoint("app-1");
    endpoint.user = Some(site["app-1"].login().name().to_owned());
    endpoint.identity = Some(site.key());
    let target = ssh::resolve(&endpoint, &until).unwrap();
    let connection = ssh::connect(&target, Trust::Strict, &until).unwrap();
    let told: Arc<Mutex<Vec<Event>>> = Arc::default();
    let tell = Arc::clone(&told);
    let mut host = network.on("app-1", Box::new(connection), Arc::new(move |event| tell.lock().unwrap().push(event)));
    let secrets = Secrets::from_fn(|_| Some(Zeroizing::new(GOOD.as_bytes().to_vec())));
    let tags = ["tag:server".to_owned()];
    let ensured = host.ensure_joined(&tags, &secrets, &until).unwrap();
    assert!(matches!(ensured, Ensured::Changed { .. }), "it joined with the key: {ensured:?}");

    let memory = memory.lock().unwrap();
    let holds = |needle: &str| memory.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(holds("file:/dev/stdin"), "what was shown is not the memory of the guest that joined");
    assert!(!holds(&MARK), "the key is in the guest's memory");
    assert!(!format!("{:?}", told.lock().unwrap()).contains(&*MARK));
}

/// K1: a key in the operator's environment is not in that of anything else on the operator's machine.
#[test]
fn k1_no_program_that_is_started_here_is_lent_a_secret_be_it_ssh_a_jump_or_an_inventorys_command() {
    let site = site(0.0);
    let client = fs::read_to_string(site.key().with_extension("pub")).unwrap();
    let bastion = Sshd::with(&SshdOptions { authorized: vec![client], ..SshdOptions::default() }).unwrap();
    let known = [site.known_hosts(), bastion.known_hosts()].map(|file| fs::read_to_string(file).unwrap());
    fs::write(site.known_hosts(), known.concat()).unwrap();

    // Each program writes down what it is lent, and then is what it is.
    let (programs, seen) = (site.dir().join("programs"), site.dir().join("seen"));
    fs::create_dir(&programs).unwrap();
    fs::create_dir(&seen).unwrap();
    let path = std::env::var("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|dir| dir.join("ssh")).find(|ssh| ssh.is_file()).unwrap();
    let write = |name: &str, then: &str| {
        let text = format!(
            "#!/bin/sh\n{{ echo \"$0 $*\"; tr '\\0' '\\n' </proc/$$/environ; }} >{}/{name}.$$\n{then}\n",
            seen.display()
        );
        let file = programs.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    write("ssh", &format!("exec {} \"$@\"", real.display()));
    let app = format!(
        r#"{{"host_id": "app-1", "public_ip": "127.0.0.1", "ssh_port": {}, "ssh_user": "{}", "roles": [], "labels": {{}}}}"#,
        site["app-1"].sshd().port(),
        site["app-1"].login().name()
    );
    write("list-hosts", &format!("echo '[{app}]'"));
    let text = fs::read_to_string(site.file()).unwrap();
    let (before, _) = text.split_once("  hosts:\n").unwrap();
    let way = format!("{0}@localhost:{1},{0}@127.0.0.1:{1}", bastion.user(), bastion.port());
    let both = fs::read_to_string(bastion.known_hosts()).unwrap().replace("127.0.0.1", "localhost");
    fs::write(site.known_hosts(), known.concat() + &both).unwrap();
    let before = before.replace("    ssh:\n", &format!("    ssh:\n      jump: {way}\n"));
    fs::write(site.file(), format!("{before}  inventory:\n    - command: [list-hosts]\n")).unwrap();

    let password = format!("{}-password", *MARK);
    let run = |words: &[&str]| {
        let cli = site.cli(words).args(["--secret", "sudo-password=env:SUDO_PW"]);
        let path = format!("{}:{path}", programs.display());
        cli.env("TS_AUTHKEY", &*GOOD).env("SUDO_PW", &password).env("OTHER", "lent").env("PATH", path).run().unwrap()
    };
    for words in [&["doctor"][..], &["up"]] {
        let ran = run(words);
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    }
    // Where the hosts stand in the file, ssh is asked of the first before the provider has said which variable is secret.
    fs::write(site.file(), &text).unwrap();
    assert_eq!(run(&["plan"]).code, Some(0));
    let mut told = Vec::new();
    for file in fs::read_dir(&seen).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!marked(text.as_bytes()), "{text}");
        told.push(text);
    }
    let started =
        |what: &str| told.iter().filter(|text| text.lines().next().is_some_and(|line| line.contains(what))).count();
    for what in ["ssh -G", "ssh -o", "ssh -V", "list-hosts"] {
        assert!(started(what) > 0, "{what} was never started: {told:?}");
    }
    assert!(told.iter().any(|text| text.contains("OTHER=lent")), "nothing else is taken away");
}
