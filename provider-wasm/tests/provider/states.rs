//! The whole table, every state by every goal, as a page of the documentation, and what must hold of it as a whole.
//!
//! `UPDATE=1 cargo test -p tailscale-provider` writes `docs/tailscale-states.md` anew.

use std::fmt::Write as _;
use std::path::Path;

use tailscale_provider::config::Config;
use tailscale_provider::decide::{Act, Next, decide, predict};
use tailscale_provider::package::Half;
use tailscale_provider::report;
use tailscale_provider::state::{Aim, Doubt, Down, Foreign, Gap, Link, Pending, State, Tie, Unusable, Wanted};
use tailscale_provider::version::Version;

const GOALS: [Aim; 3] = [Aim::Installed, Aim::Joined, Aim::Absent];

/// Every state, with what it is in a line.
fn states() -> Vec<(State, &'static str)> {
    let gap = |gap: &Gap| gap.clone();
    let tags = Gap::Tags(vec!["tag:old".to_owned()]);
    let name = Gap::Name("app-1-1.example.ts.net".to_owned());
    let down = |how| State::DaemonDown(how, "failed to connect to local tailscaled".to_owned());
    let half = |how, behind| State::HalfInstalled(vec![Half { name: "tailscale", how }], Box::new(behind));
    let refused = || "invalid key: API key does not exist".to_owned();
    let mut all = vec![
        (State::Unsupported("Fedora Linux 41".to_owned()), "Not Debian, Ubuntu or their kin, or not to be told."),
        (
            State::Unreadable("the daemon is in the state \"New\"".to_owned()),
            "The client answers what this provider does not know.",
        ),
        (State::NoClient, "No `tailscale` on the PATH."),
        (
            half("half-installed", State::NoClient),
            "`dpkg` was cut off at its package. Before it is told to finish, `apt-get`, and so the script, does nothing.",
        ),
        (half("half-configured", down(Down::Stopped)), "The same, a little later."),
        (half("unpacked", State::Member(Link::Online, Gap::None)), "The same at an upgrade."),
        (
            State::Unusable(Unusable::TooOld("1.66.4".to_owned(), Version::FLOOR)),
            "Older than `install.min_version`, or than 1.80. Leaving looks past it.",
        ),
        (
            State::Unusable(Unusable::NoVersion("built by hand".to_owned())),
            "`tailscale version` prints no version. Leaving looks past it.",
        ),
        (down(Down::Stopped), "systemd: inactive."),
        (down(Down::Failed), "systemd: failed."),
        (down(Down::Masked), "systemd: masked."),
        (down(Down::Mute), "systemd: active, and no answer."),
        (down(Down::NoUnit), "systemd: no such unit."),
        (down(Down::NoSystemd), "systemd cannot be asked."),
        (State::NotAtBoot(Box::new(State::Fresh)), "The daemon answers, and its unit is disabled or masked."),
        (State::NotAtBoot(Box::new(State::Member(Link::Online, Gap::None))), "The same, behind it a member."),
        (
            State::Settling(Box::new(State::Member(Link::Connecting, Gap::None))),
            "`NoState` or `Starting`: passes in a moment. Looked at again for 20 s, then taken for what stands behind it.",
        ),
        (State::Settling(Box::new(down(Down::Mute))), "The daemon did not answer in time: it may be starting."),
        (State::Unseen, "Only predicted: the daemon will run then, and nobody knows yet what it holds."),
        (State::Fresh, "No node key, `LoggedOut`: never logged in, or logged out."),
        (
            State::JoinPending(Pending::Ours(Some(refused()))),
            "No node key, and not `LoggedOut`: a join failed or waits for a person, and goes on. The host would join by itself later.",
        ),
        (
            State::JoinPending(Pending::Elsewhere("https://hs.example.com".to_owned())),
            "The same, with another control server.",
        ),
        (State::HalfLoggedOut(Tie::Ours), "A node key, and `LoggedOut`: a log-out was cut off."),
        (State::HalfLoggedOut(Tie::Unknown), "The same, and the daemon does not know of which tailnet."),
        (
            State::Unproved(Doubt::NoAnswer(None)),
            "A node key, and no tailnet in the status: restarted, and control has not answered since.",
        ),
        (
            State::Unproved(Doubt::RefusedKey(refused())),
            "The same because the daemon tries a key that is refused (releases up to 1.80).",
        ),
        (
            State::Foreign(Foreign {
                suffix: Some("other.ts.net".to_owned()),
                control: String::new(),
                other_server: false,
                fqdn: "app-1.other.ts.net".to_owned(),
                tags: vec!["tag:old".to_owned()],
                online: true,
            }),
            "`MagicDNSSuffix` is another than `tailnet_domain`.",
        ),
        (
            State::Foreign(Foreign {
                suffix: None,
                control: "https://hs.example.com".to_owned(),
                other_server: true,
                fqdn: String::new(),
                tags: Vec::new(),
                online: false,
            }),
            "`ControlURL` is another than the config's.",
        ),
    ];
    let links = [
        (Link::Online, "Running, with a connection to the control server."),
        (Link::Offline, "Running, without one."),
        (Link::Connecting, "Starting: no relay was found in 20 s."),
        (Link::RefusedKey(refused()), "Running, and cut off by a key that is refused."),
        (Link::Stopped, "Brought down."),
        (Link::Expired, "Its key has expired, or control ended its log-in."),
        (Link::Unapproved, "Waits for an admin's approval."),
    ];
    for (link, what) in links {
        for lacks in [&Gap::None, &tags, &name] {
            let what = match lacks {
                Gap::None => what,
                Gap::Tags(_) => "… and a wanted tag is missing.",
                Gap::Name(_) => "… and control gave another name than the host's.",
            };
            all.push((State::Member(link.clone(), gap(lacks)), what));
        }
    }
    all
}

const USUAL: &str = r#"{"auth_key_env":"K","tailnet_domain":"example.ts.net"}"#;

fn wanted(config: &Config, goal: Aim) -> Wanted<'_> {
    Wanted {
        config,
        host: "app-1".to_owned(),
        goal,
        tags: if goal == Aim::Joined { vec!["tag:web".to_owned()] } else { Vec::new() },
        disruptive: false,
        from: None,
        over_tailnet: None,
    }
}

fn act(act: Act) -> &'static str {
    match act {
        Act::Install => "install",
        Act::StartDaemon => "start the daemon",
        Act::RestartDaemon => "restart the daemon",
        Act::Resume => "`tailscale up`, bare",
        Act::Join => "**join**",
        Act::Rejoin => "**re-join** (disruptive)",
        Act::Logout => "log out",
    }
}

fn cell(next: &Next) -> String {
    match next {
        Next::Hold(notes) if notes.is_empty() => "holds".to_owned(),
        Next::Hold(notes) => {
            format!("holds; note `{}`", notes.iter().map(|note| note.code).collect::<Vec<_>>().join("`, `"))
        }
        Next::Do(next) => act(*next).to_owned(),
        Next::LookAgain => "look again".to_owned(),
        Next::Stop(failure) => {
            let code = failure.diagnostics.first().map_or("", |first| first.code);
            if code == failure.kind { format!("stop: `{code}`") } else { format!("stop: `{}` ({code})", failure.kind) }
        }
    }
}

/// The goals in their order.
fn row(state: &State, change: &dyn Fn(&mut Wanted<'_>), config: &Config) -> [String; 3] {
    GOALS.map(|goal| {
        let mut wanted = wanted(config, goal);
        change(&mut wanted);
        cell(&decide(state, &wanted))
    })
}

fn page() -> String {
    let usual = Config::parse(USUAL).unwrap();
    let mut page = String::from(
        "# What the Tailscale provider does in each state of a host\n\n\
         Written by a test from `provider-wasm/src/decide.rs`; `UPDATE=1 cargo test -p tailscale-provider` writes it anew.\n\n\
         A host is looked at, and is in one of these states. For the goal that is asked for, the table says what comes next: the\n\
         goal *holds*, an act is done, the host is looked at again in a moment, or the run *stops* with a failure of this kind\n\
         (`code` in brackets where it says more). A plan walks the table on predictions, an apply on what it sees after each act.\n\
         Every act needs root; without it the run stops with `privilege` before the first one.\n\n",
    );
    page.push_str("## Every state, by goal\n\n| State | What it is | `installed` | `joined` | `absent` |\n|---|---|---|---|---|\n");
    for (state, what) in states() {
        let [installed, joined, absent] = row(&state, &|_| {}, &usual);
        let _ = writeln!(page, "| {} | {what} | {installed} | {joined} | {absent} |", report::name(&state));
    }
    let skip =
        Config::parse(r#"{"auth_key_env":"K","tailnet_domain":"example.ts.net","install":{"method":"skip"}}"#).unwrap();
    let server = Config::parse(
        r#"{"auth_key_env":"K","tailnet_domain":"example.ts.net","login_server":"https://own.example.com"}"#,
    )
    .unwrap();
    type Change<'a> = &'a dyn Fn(&mut Wanted<'_>);
    let variants: [(&str, &str, &Config, Change<'_>); 4] = [
        ("With `install.method: skip`", "Nothing is installed, and that is said.", &skip, &|_| {}),
        (
            "With a `login_server`",
            "On Headscale the tags of a machine that has joined change on the server only. That is said before anything is tried.",
            &server,
            &|_| {},
        ),
        (
            "Over the tailnet itself",
            "When the SSH session comes from an address of a tailnet, nothing is done that would cut it.",
            &usual,
            &|wanted| {
                wanted.over_tailnet = Some("100.64.0.9".to_owned());
            },
        ),
        ("With `--from other.ts.net`", "Another tailnet is left only when it is named.", &usual, &|wanted| {
            wanted.from = Some("other.ts.net".to_owned())
        }),
    ];
    for (title, what, config, change) in variants {
        let _ = write!(
            page,
            "\n## {title}\n\n{what} Only what differs from the table above:\n\n| State | `installed` | `joined` | `absent` |\n|---|---|---|---|\n"
        );
        for (state, _) in states() {
            let (before, after) = (row(&state, &|_| {}, &usual), row(&state, change, config));
            if before != after {
                let [installed, joined, absent] = after;
                let _ = writeln!(page, "| {} | {installed} | {joined} | {absent} |", report::name(&state));
            }
        }
    }
    page.push_str("\n## What an act is hoped to make of a state\n\n| State | Act | Then |\n|---|---|---|\n");
    for (state, _) in states() {
        for next in acts_in(&state) {
            let _ = writeln!(
                page,
                "| {} | {} | {} |",
                report::name(&state),
                act(next),
                report::name(&predict(&state, next))
            );
        }
    }
    page
}

/// The acts that any goal asks for in this state, each once.
fn acts_in(state: &State) -> Vec<Act> {
    let usual = Config::parse(USUAL).unwrap();
    let mut acts = Vec::new();
    for goal in GOALS {
        let mut wanted = wanted(&usual, goal);
        wanted.from = Some("other.ts.net".to_owned());
        if let Next::Do(act) = decide(state, &wanted)
            && !acts.contains(&act)
        {
            acts.push(act);
        }
    }
    acts
}

#[test]
fn the_table_stands_in_the_documentation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tailscale-states.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, page, "docs/tailscale-states.md is stale: run `UPDATE=1 cargo test -p tailscale-provider`");
}

#[test]
fn every_act_that_is_asked_for_is_predicted_to_change_something() {
    for (state, _) in states() {
        for act in acts_in(&state) {
            assert_ne!(predict(&state, act), state, "{act:?} in {state:?}");
        }
    }
}

#[test]
fn every_walk_on_predictions_ends_without_doing_the_same_twice() {
    let usual = Config::parse(USUAL).unwrap();
    for (state, _) in states() {
        for goal in GOALS {
            let wanted = wanted(&usual, goal);
            let (mut now, mut done) = (state.clone(), Vec::new());
            while let Next::Do(act) = decide(&now, &wanted) {
                assert!(!done.contains(&act), "{act:?} twice from {state:?} to {goal:?}");
                done.push(act);
                now = predict(&now, act);
            }
            assert!(done.is_empty() || decide(&now, &wanted) != Next::LookAgain, "{state:?} to {goal:?}");
        }
    }
}

#[test]
fn a_key_is_asked_for_only_where_there_is_no_good_one() {
    let usual = Config::parse(USUAL).unwrap();
    for (state, _) in states() {
        let next = decide(&state, &wanted(&usual, Aim::Joined));
        let healthy = matches!(
            state,
            State::Member(
                Link::Online | Link::Offline | Link::Connecting | Link::RefusedKey(_) | Link::Stopped,
                Gap::None | Gap::Name(_)
            )
        );
        assert!(!(healthy && matches!(next, Next::Do(Act::Join | Act::Rejoin))), "{state:?}");
    }
}

#[test]
fn nothing_is_done_to_another_tailnet_or_on_a_guess() {
    let usual = Config::parse(USUAL).unwrap();
    for (state, _) in states() {
        if matches!(
            state,
            State::Foreign(_) | State::Unproved(Doubt::NoAnswer(_)) | State::JoinPending(Pending::Elsewhere(_))
        ) {
            for goal in GOALS {
                assert!(!matches!(decide(&state, &wanted(&usual, goal)), Next::Do(_)), "{state:?} to {goal:?}");
            }
        }
    }
}
