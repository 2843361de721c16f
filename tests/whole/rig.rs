//! The rig itself: a throw-away host looks like a host, and nothing of it is seen or left outside.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use lab::room::{Login, Room};
use lab::site::{Left, Site, Spec};
use tailscale_model::{Machine, Sudo, World};

/// What the product sets on every host.
const PATH: &str =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH; LC_ALL=C; export LC_ALL";

fn run(site: &Site, host: &str, line: &str) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = site.ssh(host, &format!("{PATH}; {line}")).unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn site_with(name: &str, machine: Machine) -> Site {
    let mut site = Site::new(&World::of("example.ts.net")).unwrap();
    site.host(name, Spec::of(machine)).unwrap();
    site
}

#[test]
fn a_host_shows_its_own_system_and_whoever_logs_in_and_the_machine_outside_stays_as_it_is() {
    let outside = || (std::fs::read("/etc/os-release").unwrap(), std::fs::read("/etc/passwd").unwrap());
    let before = outside();
    let os = "ID=plan9\nPRETTY_NAME=\"Plan 9\"\n".to_owned();
    let mut site =
        site_with("root-1", Machine { sudo: Sudo::Root, os_release: Some(os.clone()), ..Machine::bare("root-1") });
    site.host("user-1", Spec::of(Machine::bare("user-1"))).unwrap();

    assert_eq!(run(&site, "root-1", "id -u; cat /etc/os-release"), (Some(0), format!("0\n{os}"), String::new()));
    assert_eq!(site["root-1"].login(), Login::Root);
    let (code, who, _) = run(&site, "user-1", "id -un; id -u");
    assert_eq!(code, Some(0));
    assert!(who.starts_with("deploy\n") && who != "deploy\n0\n", "{who}");

    // Each has a /run and a /dev/shm of its own, and neither is the machine's.
    let mark = format!("lab-{}", std::process::id());
    let found = format!("[ -e /run/{mark} ] && [ -e /dev/shm/{mark} ] && echo both");
    assert_eq!(run(&site, "user-1", &format!("touch /run/{mark} /dev/shm/{mark}; {found}")).1, "both\n");
    assert_eq!(run(&site, "root-1", &format!("ls -1 /run /dev/shm | grep -c {mark}")).1, "0\n");
    for dir in ["/run", "/dev/shm"] {
        assert!(!Path::new(dir).join(&mark).exists(), "{dir} of the machine was written to");
    }
    assert_eq!(outside(), before);
}

#[test]
fn a_program_that_is_not_installed_is_not_found_and_is_there_after_the_install_script_ran_in_a_real_shell() {
    let site = site_with("app-1", Machine::bare("app-1"));
    assert_eq!(
        run(&site, "app-1", "timeout 5 tailscale version"),
        (
            Some(127),
            String::new(),
            "timeout: failed to run command 'tailscale': No such file or directory\n".to_owned()
        )
    );
    let install = "curl -fsSL https://tailscale.com/install.sh | sudo -n -- timeout 60 /bin/sh -s";
    let (code, out, err) = run(&site, "app-1", install);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("Installation complete!"), "{out}");
    let (code, out, _) = run(&site, "app-1", "timeout 5 tailscale version");
    assert_eq!((code, out.lines().next()), (Some(0), Some("1.102.3")));
    assert_eq!(site["app-1"].machine().get().unwrap().client.as_deref(), Some("1.102.3"));
    assert!(!Path::new("/usr/local/sbin/.stand-in").exists());
}

#[test]
fn sudo_makes_root_of_whoever_may_and_says_what_the_real_one_says_to_others() {
    let mut site = Site::new(&World::of("example.ts.net")).unwrap();
    for (name, sudo) in [
        ("free", Sudo::Free),
        ("password", Sudo::Password),
        ("nobody", Sudo::NotAllowed),
        ("terminal", Sudo::Terminal),
        ("missing", Sudo::Missing),
    ] {
        site.host(name, Spec::of(Machine { sudo, ..Machine::bare(name) })).unwrap();
    }
    let line =
        "timeout 5 sudo -n -- timeout 5 sh -c 'id -u; echo $HOME; touch /run/by-root; [ -O /run/by-root ] && echo own'";
    assert_eq!(run(&site, "free", line), (Some(0), "0\n/root\nown\n".to_owned(), String::new()));
    assert_eq!(
        run(&site, "free", "sudo -n -- no-such-program"),
        (Some(1), String::new(), "sudo: no-such-program: command not found\n".to_owned())
    );
    for (name, code, text) in [
        ("password", 1, "sudo: a password is required\n"),
        ("nobody", 1, "sudo: a password is required\n"),
        ("terminal", 1, "sudo: sorry, you must have a tty to run sudo\n"),
    ] {
        assert_eq!(run(&site, name, line), (Some(code), String::new(), text.to_owned()), "{name}");
    }
    // Who says so depends on whether the machine itself has a sudo, which is covered then.
    let (code, out, err) = run(&site, "missing", line);
    assert_eq!((code, out.as_str()), (Some(127), ""));
    assert!(err.ends_with("'sudo': No such file or directory\n"), "{err}");
    // Whoever did not become root is not taken for it by the stand-ins.
    let (code, _, err) = run(&site, "free", "apt-get install -y tailscale");
    assert_eq!(code, Some(1), "{err}");
    assert_eq!(site["free"].machine().get().unwrap().client, None);
}

#[test]
fn a_key_that_one_host_used_up_is_used_up_for_the_others_too() {
    let mut world = World::of("example.ts.net");
    world.saas().add_key("tskey-auth-once", "example.ts.net", &["tag:server"]).reusable = false;
    let mut site = Site::new(&world).unwrap();
    for name in ["app-1", "app-2"] {
        site.host(name, Spec::of(Machine::installed(name, "1.102.3"))).unwrap();
    }
    let join = "printf tskey-auth-once | sudo -n -- tailscale up --auth-key=file:/dev/stdin --timeout=5s --accept-routes=false --hostname=";
    let (code, _, err) = run(&site, "app-1", &format!("{join}app-1"));
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = run(&site, "app-2", &format!("{join}app-2"));
    assert_eq!(code, Some(1));
    assert!(err.contains("not valid"), "{err}");
    assert!(site.world().get().unwrap().saas().keys["tskey-auth-once"].used);
}

#[test]
fn a_site_leaves_no_process_no_mount_and_no_file_when_it_is_dropped() {
    let site = site_with("app-1", Machine { sudo: Sudo::Root, ..Machine::bare("app-1") });
    let dirs = [site.dir().to_owned(), site["app-1"].sshd().dir().to_owned()];
    // One that stays behind when its connection ends.
    assert_eq!(run(&site, "app-1", "setsid sleep 600 >/dev/null 2>&1 </dev/null & echo").0, Some(0));
    assert_ne!(processes_of(&dirs), 0);
    drop(site);
    wait(|| processes_of(&dirs) == 0);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    for dir in &dirs {
        assert!(!dir.exists(), "{}", dir.display());
        assert!(!mounts.contains(&*dir.to_string_lossy()), "a mount was left");
    }
}

#[test]
fn a_site_that_was_left_up_is_ended_by_whoever_reads_what_was_written_down() {
    let site = site_with("app-1", Machine { sudo: Sudo::Root, ..Machine::bare("app-1") });
    let dirs = [site.dir().to_owned(), site["app-1"].sshd().dir().to_owned()];
    let ssh = site.ssh_words("app-1");
    let written = serde_json::to_vec(&site.leave()).unwrap();
    let answer = Command::new(&ssh[0]).args(&ssh[1..]).arg(format!("{PATH}; id -u")).output().unwrap();
    let left: Left = serde_json::from_slice(&written).unwrap();
    left.end();
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "0\n", "{}", String::from_utf8_lossy(&answer.stderr));
    wait(|| processes_of(&dirs) == 0);
    assert!(dirs.iter().all(|dir| !dir.exists()));
}

#[test]
fn a_program_of_the_machine_that_must_not_be_reached_is_covered_wherever_path_finds_it() {
    let dir = tempfile::tempdir().unwrap();
    let room = Room::new(dir.path(), Login::Root, None, &["tac"]).unwrap();
    let cover = dir.path().join("bin/.stand-in");
    std::fs::copy("/bin/echo", &cover).unwrap();
    let words = room.prefix();
    let answer = |words: &[std::ffi::OsString], rest: &[&str]| {
        let mut words = words.to_vec();
        words.extend(rest.iter().map(Into::into));
        let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(answer(&words, &["/usr/bin/tac", "covered"]), ("covered\n".to_owned(), String::new()));
    assert_eq!(answer(&[], &["/usr/bin/tac", "/dev/null"]), Default::default());
}

/// How many processes have one of these directories among their words or in their environment.
fn processes_of(dirs: &[std::path::PathBuf]) -> usize {
    let names: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            ["cmdline", "environ"].iter().any(|file| {
                let text = std::fs::read(entry.path().join(file)).unwrap_or_default();
                let text = String::from_utf8_lossy(&text).into_owned();
                names.iter().any(|name| text.contains(name))
            })
        })
        .count()
}

fn wait(condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "the condition did not come to hold");
        std::thread::sleep(Duration::from_millis(5));
    }
}
