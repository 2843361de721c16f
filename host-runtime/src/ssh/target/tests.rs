use super::*;
use crate::until::Cancel;

fn soon() -> Until {
    Until::after(Duration::from_secs(60), &Cancel::new().expect("an eventfd"))
}

/// A machine with a home, a user and an agent.
fn local(ssh: &'static str) -> Resolver {
    Resolver {
        ssh,
        home: Some("/home/me".into()),
        user: Some("me".to_owned()),
        agent: Some("/run/agent".into()),
        alike: Alike::default(),
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

#[test]
fn jump_hosts_become_one_call_of_ssh_and_the_first_of_them_is_the_gate() {
    let config = "Host app-*\n ProxyJump u@first:23,[fe80::1]:24,last\n HostName fd00::2\n";
    let Some(target) = with_config(config, named("app-1")) else { return };
    let target = target.expect("it");
    assert_eq!(target.gate(), "u@first:23");
    let Route::Jump { last, arguments } = &target.route else { panic!("{target:?}") };
    assert_eq!(last, "last");
    assert_eq!(arguments[2..], ["-J", "u@first:23,[fe80::1]:24", "-W", "[fd00::2]:22"]);
}

#[test]
fn jump_hosts_of_the_projects_file_win_over_ssh_config_and_a_jump_host_is_not_behind_itself() {
    let config = "Host a b\n ProxyJump other\nHost c\n ProxyCommand nc %h %p\n";
    let with = |name: &str, jump: &str| Endpoint { jump: Some(jump.to_owned()), ..named(name) };
    for name in ["a", "c", "z"] {
        let Some(target) = with_config(config, with(name, "u@first:23,last")) else { return };
        let target = target.expect("it");
        let Route::Jump { last, arguments } = &target.route else { panic!("{target:?}") };
        assert_eq!((last.as_str(), target.gate()), ("last", "u@first:23"));
        assert!(arguments.join(" ").ends_with(&format!("-J u@first:23 -W {name}:22")), "{arguments:?}");
    }
    for (name, jump) in [("a", "none"), ("c", "none"), ("z", "first,root@z"), ("first", "first,last")] {
        let Some(target) = with_config(config, with(name, jump)) else { return };
        assert_eq!(target.expect("it").route, Route::Direct, "{name} {jump}");
    }
    let Some(target) = with_config(config, with("a", "-oProxyCommand=x")) else { return };
    assert!(target.is_err());
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
            let Route::Jump { last, arguments } = &target.route else { panic!("{:?}", target.route) };
            assert_eq!((last.as_str(), arguments.last().map(String::as_str)), ("10.0.0.9", Some(address)));
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
