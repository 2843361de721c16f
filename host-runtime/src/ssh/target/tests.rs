use super::*;
use crate::until::Cancel;

fn soon() -> Until {
    Until::after(Duration::from_secs(60), &Cancel::new().expect("an eventfd"))
}

/// A machine with a home, a user and an agent.
pub(in crate::ssh) fn local(ssh: &'static str) -> Resolver {
    Resolver {
        ssh,
        home: Some("/home/me".into()),
        user: Some("me".to_owned()),
        agent: Some("/run/agent".into()),
        alike: Alike::default(),
        ahead: Ahead::default(),
        chains: Chains::default(),
    }
}

/// Resolves `endpoint` with this `ssh_config`, or says visibly that there is no `ssh` here.
fn with_config(config: &str, endpoint: Endpoint) -> Option<Result<Target, ResolveError>> {
    if Command::new("ssh").arg("-V").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "there is no ssh program here");
        eprintln!("skipped: there is no ssh program here");
        return None;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("config");
    std::fs::write(&file, config).expect("written");
    Some(local("ssh").resolve(&Endpoint { config: Some(file), ..endpoint }, &soon()))
}

fn named(name: &str) -> Endpoint {
    Endpoint { name: name.to_owned(), ..Endpoint::default() }
}

#[test]
fn without_the_ssh_program_what_the_file_says_and_the_defaults_hold() {
    let local = local("no-such-program");
    let target =
        local.resolve(&Endpoint { address: Some("10.0.0.1".to_owned()), ..named("app-1") }, &soon()).expect("it");
    assert_eq!(target.to_string(), "me@10.0.0.1:22");
    assert_eq!(target.gate(), "10.0.0.1:22");
    assert_eq!(target.known_hosts[0], Path::new("/home/me/.ssh/known_hosts"));
    assert_eq!(target.identities[2], Path::new("/home/me/.ssh/id_ed25519"));
    assert_eq!(target.agent.as_deref(), Some(Path::new("/run/agent")));
    assert_eq!(local.resolve(&named("app-1"), &soon()).unwrap_err(), ResolveError::NoSsh { name: "app-1".to_owned() });
}

#[test]
fn an_alias_takes_all_that_ssh_config_says() {
    let config = "Host app-*\n HostName %h.example.com\n User deploy\n Port 2222\n HostKeyAlias Fleet\n \
                  IdentityFile ~/.ssh/%n-%p\n IdentitiesOnly yes\n IdentityAgent none\n ConnectTimeout 7\n \
                  AddressFamily inet\n HashKnownHosts yes\n UserKnownHostsFile /a /b\n GlobalKnownHostsFile none\n";
    let Some(target) = with_config(config, named("app-1")) else { return };
    let target = target.expect("it");
    assert_eq!(target.to_string(), "deploy@app-1.example.com:2222");
    assert_eq!(target.key_alias.as_deref(), Some("fleet"));
    assert_eq!(target.identities, [Path::new("/home/me/.ssh/app-1-2222")]);
    assert!(target.identities_only && target.hash_known_hosts && target.agent.is_none());
    assert_eq!(target.known_hosts, [Path::new("/a"), Path::new("/b")]);
    assert!(target.global_known_hosts.is_empty());
    assert_eq!((target.family, target.address_limit), (Family::V4, Some(Duration::from_secs(7))));
}

#[test]
fn what_the_projects_file_says_wins() {
    let config = "Host *\n HostName 10.9.9.9\n User deploy\n Port 2222\n UserKnownHostsFile /a\n";
    let endpoint = Endpoint {
        address: Some("10.0.0.1".to_owned()),
        port: Some(23),
        user: Some("root".to_owned()),
        identity: Some("~/key".into()),
        known_hosts: Some("~/hosts".into()),
        ..named("app-1")
    };
    let Some(target) = with_config(config, endpoint) else { return };
    let target = target.expect("it");
    assert_eq!(target.to_string(), "root@10.0.0.1:23");
    assert_eq!(target.identity.as_deref(), Some(Path::new("/home/me/key")));
    assert_eq!(target.known_hosts, [Path::new("/home/me/hosts")]);
    assert!(target.global_known_hosts.is_empty());
}

/// What `ssh` is started with, apart from what it is always told.
fn started(target: &Target) -> Vec<String> {
    let Route::Jump(chain) = &target.route else { panic!("{target:?}") };
    let command = chain.command(crate::ssh::Trust::Strict);
    let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let always = ["BatchMode=yes", "ForwardAgent=no", "StrictHostKeyChecking=yes", "LogLevel=INFO"];
    for (pair, option) in words.chunks(2).zip(always) {
        assert_eq!(pair, ["-o", option]);
    }
    words[8..].to_vec()
}

#[test]
fn each_jump_host_is_passed_by_a_call_of_ssh_that_is_told_the_same_and_the_first_of_them_is_the_gate() {
    let config = "Host app-*\n ProxyJump u@first:23,[fe80::1]:24,last\n HostName fd00::2\n";
    let Some(target) = with_config(config, named("app-1")) else { return };
    let target = target.expect("it");
    assert_eq!(target.gate(), "u@first:23");
    let words = started(&target);
    let (proxy, file) = (words[1].strip_prefix("ProxyCommand=ssh ").expect("a proxy"), &words[3]);
    assert_eq!(words[2..], ["-F", file, "-W", "[fd00::2]:22", "--", "last"]);
    assert!(proxy.ends_with(&format!("'-F' '{file}' '-p' '24' -W '[%h]:%p' -- 'fe80::1'")), "{proxy}");
    assert!(proxy.contains("'-o' 'StrictHostKeyChecking=yes'") && proxy.contains("'-o' 'BatchMode=yes'"), "{proxy}");
    // One level further in, the tokens and the quotes are those of that level.
    assert!(proxy.contains(r"-W '\''[%%h]:%%p'\'' -- '\''first'\'''"), "{proxy}");
    let jumps: Vec<(String, Option<&str>)> =
        target.jumps().map(|jump| (jump.to_string(), jump.jump.as_deref())).collect();
    let wanted =
        [("u@first:23", None), ("[fe80::1]:24", Some("u@first:23")), ("last", Some("u@first:23,[fe80::1]:24"))];
    assert_eq!(jumps, wanted.map(|(jump, before)| (jump.to_owned(), before)));
}

#[test]
fn jump_hosts_of_the_projects_file_win_over_ssh_config_and_a_jump_host_is_not_behind_itself() {
    let config = "Host a b\n ProxyJump other\nHost c\n ProxyCommand nc %h %p\n";
    let with = |name: &str, jump: &str| Endpoint { jump: Some(jump.to_owned()), ..named(name) };
    let passed = |target: &Target| target.jumps().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    for name in ["a", "c", "z"] {
        let Some(target) = with_config(config, with(name, "u@first:23,last")) else { return };
        let target = target.expect("it");
        assert_eq!((passed(&target).as_str(), target.gate()), ("u@first:23 last", "u@first:23"));
        assert_eq!(started(&target)[4..], ["-W", &format!("{name}:22"), "--", "last"]);
    }
    for (name, jump) in [("a", "none"), ("c", "none"), ("first", "first,last"), ("first", "u@first:22")] {
        let Some(target) = with_config(config, with(name, jump)) else { return };
        assert_eq!(target.expect("it").route, Route::Direct, "{name} {jump}");
    }
    // The second jump host is behind the first, and another port is another machine.
    for (name, jump, way) in [("z", "first,root@z", "first"), ("z", "z:2222", "z:2222")] {
        let Some(target) = with_config(config, with(name, jump)) else { return };
        assert_eq!(passed(&target.expect("it")), way, "{name} {jump}");
    }
    let Some(target) = with_config(config, with("a", "-oProxyCommand=x")) else { return };
    assert!(target.is_err());
}

#[test]
fn a_jump_host_is_known_by_the_projects_file_and_ssh_configs_and_has_the_projects_key_where_the_project_names_it() {
    let config = "Host bastion\n UserKnownHostsFile /b/%n \"/b/with space\"\n IdentityFile ~/.ssh/bastion\n\
                  Host a\n ProxyJump bastion\n";
    let project = |name: &str| Endpoint {
        known_hosts: Some("/p/100% known".into()),
        identity: Some("~/key".into()),
        ..named(name)
    };
    let Some(target) = with_config(config, project("a")) else { return };
    let words = started(&target.expect("it"));
    let files = "UserKnownHostsFile=\"/p/100%% known\" /b/bastion \"/b/with space\"";
    assert_eq!(words[..3], ["-o", files, "-F"], "ssh_config's own jump host");

    let own = Endpoint { jump: Some("bastion".to_owned()), address: Some("10.0.0.1".to_owned()), ..project("b") };
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("config");
    std::fs::write(&file, config).expect("written");
    let resolver = local("ssh");
    let target = resolver.resolve(&Endpoint { config: Some(file), ..own }, &soon()).expect("it");
    let words = started(&target);
    assert_eq!(words[2..6], ["-o", "IdentityFile=/home/me/key", "-o", "IdentityFile=~/.ssh/bastion"], "{words:?}");
    // To look at its key is to look where `ssh` will.
    let jump = target.jumps().next().expect("one").clone();
    let looked = resolver.resolve(&jump, &soon()).expect("it");
    assert_eq!(looked.known_hosts, [Path::new("/p/100% known"), Path::new("/b/bastion"), Path::new("/b/with space")]);
    assert_eq!(looked.identity.as_deref(), Some(Path::new("/home/me/key")));
}

#[test]
fn a_proxy_command_has_its_tokens_filled_and_its_template_is_the_gate() {
    let config = "Host app-*\n User me\n ProxyCommand nc -X 5 %h %p %r %n\n";
    let Some(target) = with_config(config, named("app-1")) else { return };
    let target = target.expect("it");
    assert_eq!(target.route, Route::Command("nc -X 5 app-1 22 me app-1".to_owned()));
    assert_eq!(target.gate(), "nc -X 5 %h %p %r %n");
}

#[test]
fn names_that_could_be_options_or_shell_are_refused_wherever_they_stand() {
    for bad in ["-oProxyCommand=x", "", "a b", "a;b", "$(id)", "a`id`", "a|b", "a'b", "a\"b", "a\nb", "a\\b", "a/b"] {
        let name = local("no-such-program").resolve(&named(bad), &soon()).unwrap_err();
        assert!(matches!(name, ResolveError::HostName { what: "name", .. }), "{bad:?}: {name}");
        let address = Endpoint { address: Some(bad.to_owned()), ..named("app-1") };
        let address = local("no-such-program").resolve(&address, &soon()).unwrap_err();
        assert!(matches!(address, ResolveError::HostName { what: "address", .. }), "{bad:?}: {address}");
        let user = Endpoint { address: Some("a".to_owned()), user: Some(bad.to_owned()), ..named("app-1") };
        let user = local("no-such-program").resolve(&user, &soon()).unwrap_err();
        assert!(matches!(user, ResolveError::User { .. }), "{bad:?}: {user}");
        assert!(!user.failed().to_string().contains('\n'));
    }
    let Some(target) = with_config("Host a\n ProxyJump -oProxyCommand=x\n", named("a")) else { return };
    assert!(target.is_err());
    let Some(target) = with_config("Host a\n HostName -oProxyCommand=x\n", named("a")) else { return };
    assert!(target.is_err());
}

#[test]
fn a_match_exec_that_never_ends_ends_with_the_clock_and_with_a_cancellation() {
    if Command::new("ssh").arg("-V").output().is_err() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("config");
    std::fs::write(&file, "Match exec \"sleep 300\"\n User me\n").expect("written");
    let endpoint = Endpoint { config: Some(file), ..named("a") };
    let cancel = Cancel::new().expect("an eventfd");
    let until = Until::after(Duration::from_secs(60), &cancel);
    let late = local("ssh").resolve(&endpoint, &until.sooner(Duration::from_millis(100))).unwrap_err();
    assert_eq!(late.failed().kind, Kind::TimedOut);
    let waiter = std::thread::spawn(move || local("ssh").resolve(&endpoint, &until).unwrap_err());
    cancel.cancel();
    assert_eq!(waiter.join().expect("no panic").failed().kind, Kind::Cancelled);
}

#[test]
fn what_cannot_be_honoured_is_said_and_so_is_what_ssh_says() {
    let Some(target) = with_config("RevokedHostKeys /etc/ssh/revoked\n", named("a")) else { return };
    assert!(target.unwrap_err().to_string().contains("RevokedHostKeys /etc/ssh/revoked"));
    let Some(target) = with_config("NoSuchOption yes\n", named("a")) else { return };
    let error = target.unwrap_err();
    assert!(error.to_string().contains("nosuchoption"), "{error}");
}

#[test]
fn hosts_that_share_an_answer_of_ssh_keep_what_is_their_own() {
    if Command::new("ssh").arg("-V").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "there is no ssh program here");
        return eprintln!("skipped: there is no ssh program here");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("config");
    let config = "Host 10.0.0.*\n ProxyJump 10.0.0.9\n ConnectTimeout 7\nHost 10.0.0.2\n IdentityFile /two-%h\n\
                  Host *\n User ada\n IdentityFile /any-%h\n";
    std::fs::write(&file, config).expect("written");
    let resolver = local("ssh");
    let ask = |address: &str, user: Option<&str>, port: Option<u16>| {
        let endpoint = Endpoint {
            address: Some(address.to_owned()),
            config: Some(file.clone()),
            ..named(&format!("host-{address}"))
        };
        resolver.resolve(&Endpoint { user: user.map(str::to_owned), port, ..endpoint }, &soon())
    };
    let found = |address: &str, user, port| ask(address, user, port).expect("a target");
    for _ in 0..2 {
        let jumped = [found("10.0.0.1", None, Some(2201)), found("10.0.0.3", None, Some(2203))];
        assert_eq!(jumped.each_ref().map(ToString::to_string), ["ada@10.0.0.1:2201", "ada@10.0.0.3:2203"]);
        for (target, address) in jumped.iter().zip(["10.0.0.1:2201", "10.0.0.3:2203"]) {
            assert_eq!(started(target)[2..], ["-W", address, "--", "10.0.0.9"]);
            assert_eq!(target.address_limit, Some(Duration::from_secs(7)));
        }
        assert_eq!(jumped[1].identities, [Path::new("/any-10.0.0.3")]);
        assert_eq!(found("10.0.0.2", None, None).identities, [Path::new("/two-10.0.0.2"), Path::new("/any-10.0.0.2")]);
        // `ssh` has its own opinion of a host that is its own jump host, and is asked for it.
        let own = ask("10.0.0.9", None, None);
        assert!(own.as_ref().map_or(true, |target| target.route == Route::Direct), "{own:?}");
        assert_eq!(found("192.0.2.1", Some("cy"), None).route, Route::Direct);
        assert_eq!(found("192.0.2.2", Some("bo"), None).to_string(), "bo@192.0.2.2:22");
    }
}
