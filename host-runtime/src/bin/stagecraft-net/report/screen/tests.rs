use super::*;
use crate::report::{Answer, Form, Wish};
use stagecraft_net::contract::{Diagnostic, Fact, Level, Node, Outcome};
use stagecraft_net::event::SCHEMA;
use stagecraft_net::failure::Failed;
use stagecraft_net::inventory::{self, Place};
use std::sync::Arc;

/// What a person sees of a run: standard output and standard error.
struct Seen {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Seen {
    fn text(self) -> String {
        let text = |bytes| String::from_utf8(bytes).expect("it is text");
        format!("--- stdout\n{}--- stderr\n{}", text(self.out), text(self.err))
    }
}

fn see(look: Look, command: &str, hosts: &[&str], events: Vec<Event>, exit: u8) -> Seen {
    let mut seen = Seen { out: Vec::new(), err: Vec::new() };
    let listed: String = hosts.iter().map(|host| format!("      {host}: {{}}\n")).collect();
    let text = format!(
        "network:\n  provider: demo\n  providers:\n    demo: {{tailnet_domain: example.net}}\n{}",
        if hosts.is_empty() { String::new() } else { format!("infra:\n  hosts:\n    prod:\n{listed}") }
    );
    let inventory = inventory::parse(&text, "stagecraft.yml".as_ref(), "prod", |_, _| Ok(())).expect("it is right").0;
    let wishes = inventory.hosts().iter().map(|spec| Wish { spec: spec.clone(), fqdn: None }).collect();
    let answer = match command {
        "status" => Answer::Glance { form: Form::Table, all: false, expiry_days: 30 },
        _ => Answer::Changes,
    };
    let inventory = Some(Arc::new(inventory));
    let context = Context {
        inventory,
        again: " -e prod".to_owned(),
        options: " -e prod".to_owned(),
        answer,
        wishes,
        ..Context::default()
    };
    let mut screen = Screen::new(&mut seen.out, &mut seen.err, look, context);
    screen.read(Event::Begin {
        schema: SCHEMA,
        command: command.to_owned(),
        environment: Some("prod".to_owned()),
        provider: None,
        hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
    });
    let mut counts = Counts::default();
    for event in events {
        if let Event::Done { result, .. } = &event {
            counts.add(result);
        }
        screen.read(event);
    }
    screen.read(Event::End { counts, exit, millis: 41_250 });
    seen
}

fn plain(command: &str, hosts: &[&str], events: Vec<Event>, exit: u8) -> String {
    see(Look::default(), command, hosts, events, exit).text()
}

fn done(host: &str, result: HostResult) -> Event {
    Event::Done { host: host.to_owned(), result, millis: 100 }
}

fn outcome(host: &str) -> Outcome {
    let node = Node {
        id: "n1".to_owned(),
        fqdn: format!("{host}.example.net"),
        addresses: vec!["100.64.0.1".to_owned()],
        tags: vec!["tag:app".to_owned()],
        online: true,
        key_expiry: None,
    };
    let fact = |name: &str, value: &str| Fact {
        topic: "client".to_owned(),
        name: name.to_owned(),
        value: value.to_owned(),
        wanted: None,
        remark: None,
    };
    Outcome { facts: vec![fact("version", "1.90.1"), fact("state", "running")], node: Some(node), notes: Vec::new() }
}

fn holds(host: &str) -> Event {
    done(host, HostResult::Holds(outcome(host)))
}

fn step(id: &str, title: &str) -> Step {
    Step { id: id.to_owned(), title: title.to_owned(), detail: None, secrets: Vec::new(), disruptive: false }
}

fn join(host: &str) -> Vec<Step> {
    vec![
        step("install", "install the client"),
        Step { secrets: vec!["auth-key".to_owned()], ..step("join", &format!("join example.net as {host}")) },
    ]
}

fn failed(kind: Kind, changed: Changed, summary: &str, detail: &str, config_path: Option<&str>) -> HostResult {
    let diagnostic = Diagnostic {
        severity: Severity::Error,
        code: kind.name().to_owned(),
        summary: summary.to_owned(),
        detail: Some(detail.to_owned()),
        config_path: config_path.map(str::to_owned),
    };
    HostResult::Failed(Failed { kind, diagnostics: vec![diagnostic], changed, provider: Some("demo".to_owned()) })
}

const FLEET: [&str; 6] = ["app-1", "app-2", "app-3", "app-4", "app-5", "db-1"];

#[test]
fn a_plan_tells_the_same_steps_once_and_folds_what_is_right() {
    let would = |host: &str| {
        done(host, HostResult::WouldChange { steps: join(host), at: String::new(), outcome: outcome(host) })
    };
    let mut disruptive = step("rejoin", "re-join with other tags");
    disruptive.disruptive = true;
    disruptive.detail = Some("tags tag:old -> tag:app\nthe connection is lost for some seconds".to_owned());
    let db = HostResult::WouldChange { steps: vec![disruptive], at: String::new(), outcome: outcome("db-1") };
    let events = vec![done("db-1", db), would("app-2"), holds("app-5"), holds("app-3"), would("app-1"), holds("app-4")];
    insta::assert_snapshot!(plain("plan", &FLEET, events, 0));
}

#[test]
fn a_run_that_changes_nothing_says_so_in_one_line() {
    let right = || FLEET.map(holds).to_vec();
    insta::assert_snapshot!(
        [
            plain("up", &FLEET, right(), 0),
            plain("status", &FLEET, right(), 0),
            plain("leave", &["db-1"], vec![holds("db-1")], 0)
        ]
        .join("\n")
    );
}

#[test]
fn up_tells_each_change_as_it_happens_and_all_of_them_at_the_end() {
    let begin =
        |host: &str, title: &str| Event::Step { host: host.to_owned(), id: "x".to_owned(), title: title.to_owned() };
    let ran = |step: Option<&str>| Event::Ran {
        host: "app-1".to_owned(),
        step: step.map(str::to_owned),
        command: Sent::new(vec!["demo".to_owned(), "up".to_owned()], step.is_some()),
        ending: "exited",
        status: Some(0),
        millis: Some(10),
    };
    let log = |level| Event::Log { host: "app-1".to_owned(), level, message: format!("{level:?}") };
    let mut steps = join("app-1");
    steps[1].disruptive = true;
    let changed = HostResult::Changed { steps, outcome: outcome("app-1") };
    let events = vec![
        ran(None),
        begin("app-1", "install the client"),
        ran(Some("install")),
        log(Level::Warn),
        log(Level::Info),
        log(Level::Debug),
        begin("app-1", "join example.net as app-1"),
        holds("app-2"),
        done("app-1", changed),
    ];
    let hosts = ["app-1", "app-2"];
    insta::assert_snapshot!(plain("up", &hosts, events.clone(), 0));
    let verbose = |verbose| see(Look { verbose, ..Look::default() }, "up", &hosts, events.clone(), 0).text();
    insta::assert_snapshot!(verbose(1));
    assert!(verbose(2).contains("$ demo up -> 0") && !verbose(1).contains("$ demo up"), "probes are for -vv");
}

#[test]
fn status_says_what_is_found_where_it_is_not_right() {
    let would = |host: &str| {
        done(host, HostResult::WouldChange { steps: join(host), at: String::new(), outcome: outcome(host) })
    };
    let unknown = failed(Kind::HostKey, Changed::Nothing, "the host key is unknown", "", None);
    let events =
        vec![would("app-1"), holds("app-2"), holds("app-3"), holds("app-4"), holds("app-5"), done("db-1", unknown)];
    insta::assert_snapshot!(plain("status", &FLEET, events, 10));
}

#[test]
fn a_failure_says_what_was_found_wanted_changed_and_what_to_do() {
    let mismatch = failed(
        Kind::NetworkMismatch,
        Changed::Nothing,
        "host is in network other.net, expected example.net",
        "found: other.net as app-1.other.net, tags tag:old, online\nwanted: example.net\ndo: the host belongs here: \
         stagecraft-net leave app-1 --from other.net\nthe config is wrong: set tailnet_domain to other.net",
        Some("/tailnet_domain"),
    );
    insta::assert_snapshot!(plain("up", &["app-1"], vec![done("app-1", mismatch)], 10));
}

#[test]
fn the_same_failure_of_many_hosts_is_told_once_with_what_was_begun_on_them() {
    let privilege = |host: &str| {
        let detail = format!("found: user deploy; exit 1\ndo: look at {host} by hand");
        done(host, failed(Kind::Privilege, Changed::Nothing, "sudo asks for a password", &detail, None))
    };
    let begun =
        |host: &str| Event::Step { host: host.to_owned(), id: "x".to_owned(), title: format!("join as {host}") };
    let lost = |host: &str| done(host, failed(Kind::Lost, Changed::Unknown, "the connection was lost", "", None));
    let some = failed(Kind::Lost, Changed::Some, "the connection was lost", "", None);
    let mut events: Vec<Event> = ["app-1", "app-2", "app-3", "app-4"].map(privilege).to_vec();
    events.extend([begun("app-5"), lost("app-5"), begun("db-1"), done("db-1", some)]);
    insta::assert_snapshot!(plain("up", &FLEET, events, 10));
}

#[test]
fn one_dead_key_is_one_block_with_the_hosts_that_were_not_tried() {
    let dead = failed(
        Kind::SecretInvalid,
        Changed::Some,
        "invalid or expired auth key",
        "found: the key in $DEMO_KEY was refused\nmeans: expired, revoked or used up\ndo: make a new one",
        None,
    );
    let skipped =
        |host: &str| done(host, HostResult::Failed(Failed::host(Kind::Skipped, "not tried, since app-1 failed", None)));
    let begun = Event::Step { host: "app-1".to_owned(), id: "x".to_owned(), title: "install the client".to_owned() };
    let mut events = vec![begun, done("app-1", dead)];
    events.extend(FLEET[1..].iter().map(|host| skipped(host)));
    insta::assert_snapshot!(plain("up", &FLEET, events, 10));
}

#[test]
fn notes_and_warnings_about_hosts_are_told_once_and_fail_nothing() {
    let noted = |host: &str| {
        let mut outcome = outcome(host);
        outcome.notes.push(Diagnostic {
            severity: Severity::Note,
            code: "offline".to_owned(),
            summary: format!("{host} is a member and not online"),
            detail: Some("note: it comes back by itself".to_owned()),
            config_path: None,
        });
        done(host, HostResult::Holds(outcome))
    };
    insta::assert_snapshot!(plain("status", &["app-1", "app-2"], vec![noted("app-1"), noted("app-2")], 0));
}

#[test]
fn an_interrupted_run_says_what_is_unknown_and_what_to_run_next() {
    let cancelled = |changed| failed(Kind::Cancelled, changed, "the run was cancelled", "", None);
    let events = vec![
        holds("app-1"),
        Event::Interrupted,
        done("app-2", cancelled(Changed::Nothing)),
        done("app-3", cancelled(Changed::Unknown)),
    ];
    insta::assert_snapshot!(plain("up", &["app-1", "app-2", "app-3"], events, 130));
}

#[test]
fn a_file_that_is_wrong_is_told_finding_by_finding_with_its_places() {
    let finding =
        |severity, code: &str, line: Option<u32>, pointer: &str, summary: &str, detail: Option<&str>| Finding {
            severity,
            code: code.to_owned(),
            summary: summary.to_owned(),
            detail: detail.map(str::to_owned),
            pointer: pointer.to_owned(),
            place: line.map(|line| Place { line, column: 3 }),
            option: None,
        };
    let findings = vec![
        finding(
            Severity::Error,
            "unknown-key",
            Some(4),
            "/network/provders",
            "unknown key `provders`",
            Some("did you mean `providers`?"),
        ),
        finding(
            Severity::Warning,
            "same-address",
            Some(9),
            "/infra/hosts/dev/b",
            "`a` and `b` have the same address",
            None,
        ),
        finding(
            Severity::Error,
            "unreadable",
            None,
            "",
            "the file cannot be read",
            Some("do: name it with -c/--config"),
        ),
    ];
    let fault = |fault, message: &str, findings| Event::Fault {
        fault,
        message: message.to_owned(),
        file: Some("stagecraft.yml".to_owned()),
        findings,
    };
    let config = fault(Fault::Config, "stagecraft.yml: 2 errors", findings);
    let usage =
        fault(Fault::Usage, "no host `app-9` in environment `dev`: did you mean `app-1`?\nno host `x`", Vec::new());
    let defect = fault(Fault::Internal, "a built-in provider does not load", Vec::new());
    insta::assert_snapshot!([config, usage, defect].map(|event| plain("plan", &[], vec![event], 1)).join("\n"));
}

#[test]
fn answers_of_commands_without_hosts_go_to_standard_output_alone() {
    let name = Event::Name { host: "app-1".to_owned(), fqdn: "app-1.example.net".to_owned() };
    assert_eq!(plain("fqdn", &[], vec![name], 0), "--- stdout\napp-1.example.net\n--- stderr\n");
}

#[test]
fn on_a_terminal_a_line_of_progress_is_drawn_and_taken_away_again() {
    let look = Look { width: Some(60), color: (true, true), ..Look::default() };
    let begun = |host: &str| Event::Step { host: host.to_owned(), id: "x".to_owned(), title: "join".to_owned() };
    let lost = failed(Kind::Lost, Changed::Unknown, "the connection was lost", "found: nothing more came", None);
    let changed = HostResult::Changed { steps: join("app-1"), outcome: outcome("app-1") };
    let events = vec![begun("app-1"), begun("app-2"), done("app-2", lost), done("app-1", changed), holds("app-3")];
    let seen =
        see(look, "up", &["app-1", "app-2", "app-3"], events, 10).text().replace('\x1b', "ESC").replace('\r', "CR");
    insta::assert_snapshot!(seen);
    let (_, err) = seen.split_once("--- stderr\n").expect("both");
    assert!(err.contains("0/3") && err.contains("CRESC[J"), "{err}");
}

#[test]
fn whether_anything_was_changed_is_the_hosts_word_and_what_it_amounts_to_the_providers() {
    let told = |changed| {
        let failed = failed(Kind::SecretInvalid, changed, "refused", "changed: installed, not joined", None);
        plain("up", &["app-1"], vec![done("app-1", failed)], 10)
    };
    assert!(told(Changed::Nothing).contains("changed  nothing\n"), "{}", told(Changed::Nothing));
    assert!(told(Changed::Some).contains("changed  installed, not joined\n"), "{}", told(Changed::Some));
    assert!(told(Changed::Unknown).contains("changed  unknown\n"), "{}", told(Changed::Unknown));
}

/// A defect in this program, as a run has it: the connection panics, on the thread of its host.
#[test]
fn a_defect_is_told_as_one_with_its_words_and_the_other_hosts_go_on() {
    use stagecraft_net::contract::Goal;
    use stagecraft_net::engine::{Engine, Options};
    use stagecraft_net::failure::Kind;
    use stagecraft_net::fleet::{Act, Connect, Limits, Member, Route, Task};
    use stagecraft_net::secrets::Secrets;
    use stagecraft_net::until::{Cancel, Until};

    struct Defective;
    impl Connect for Defective {
        fn route(&self, host: usize, _: &Until) -> Result<Box<dyn Route>, Failed> {
            match host {
                0 => Err(Failed::host(Kind::Unreachable, "there is no such host", None)),
                _ => panic!("index out of bounds: the len is 0 but the index is 7"),
            }
        }
    }

    let registry = stagecraft_net::registry::Registry::builtin(&Engine::new(Options::default()).expect("an engine"));
    let registry = registry.expect("the built-in providers");
    let provider = registry.list().next().expect("one");
    let config = serde_json::json!({ "tailnet_domain": "example.net", "auth_key_env": "KEY" });
    let network = provider.configure(&config).expect("it is right");
    let member = |name: &str| Member { name: name.to_owned(), goal: Goal::Installed };
    let task = Task {
        network,
        members: vec![member("app-1"), member("app-2")],
        act: Act::Reach,
        allow: Vec::new(),
        secrets: Secrets::from_fn(|_| None),
        sudo: None,
        connect: Box::new(Defective),
    };
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let ear = Arc::clone(&told);
    let tell = Arc::new(move |event: Event| ear.lock().expect("no panic").push(event));
    let cancel = Cancel::new().expect("an eventfd");
    let results = stagecraft_net::fleet::run(task, &Limits::default(), &cancel, tell).expect("threads");
    let exit = crate::exit::Exit::of(&results, false, false);
    let mut events: Vec<Event> = std::mem::take(&mut *told.lock().expect("no panic"));
    events.retain(|event| matches!(event, Event::Done { .. }));
    events.sort_by_key(|event| matches!(event, Event::Done { host, .. } if host == "app-2"));
    insta::assert_snapshot!(plain("up", &["app-1", "app-2"], events, exit.code()));
}
