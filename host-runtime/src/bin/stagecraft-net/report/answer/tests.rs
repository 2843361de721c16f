use super::*;
use stagecraft_net::contract::{Diagnostic, Fact, Node, Outcome, Severity, Step};
use stagecraft_net::failure::{Failed, Kind};
use stagecraft_net::inventory;

/// Hosts as a project has them.
pub(super) fn wishes(hosts: &str) -> Vec<Wish> {
    let text = format!(
        "network:\n  provider: demo\n  providers:\n    demo: {{default_tags: [\"tag:server\"]}}\n\
         infra:\n  bootstrap: {{ssh_user: deploy}}\n  hosts:\n    dev:\n{hosts}"
    );
    let inventory = inventory::parse(&text, "stagecraft.yml".as_ref(), "dev", |_, _| Ok(())).expect("it is right").0;
    let wish = |spec: &HostSpec| Wish { fqdn: Some(format!("{}.example.net", spec.name)), spec: spec.clone() };
    inventory.hosts().iter().map(wish).collect()
}

pub(super) fn node(host: &str, tags: &[&str], key_expiry: Option<&str>) -> Node {
    Node {
        id: format!("n-{host}"),
        fqdn: format!("{host}.example.net"),
        addresses: vec!["100.64.0.1".to_owned(), "fd7a::1".to_owned()],
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        online: true,
        key_expiry: key_expiry.map(str::to_owned),
    }
}

fn fact(topic: &str, name: &str, value: &str) -> Fact {
    Fact { topic: topic.to_owned(), name: name.to_owned(), value: value.to_owned(), wanted: None, remark: None }
}

fn facts(version: &str, state: &str) -> Vec<Fact> {
    vec![fact("client", "version", version), fact("state", "state", state)]
}

type Host = (Vec<Fact>, Option<Node>, Option<HostResult>);

fn holds(version: &str, node: Node) -> Host {
    let facts = facts(version, "member, online");
    let outcome = Outcome { facts: facts.clone(), node: Some(node.clone()), notes: Vec::new() };
    (facts, Some(node), Some(HostResult::Holds(outcome)))
}

fn would(version: &str, state: &str, node: Option<Node>) -> Host {
    let facts = facts(version, state);
    let step = Step {
        id: "join".to_owned(),
        title: "join example.net".to_owned(),
        detail: Some("as a member with tags [tag:server]".to_owned()),
        secrets: vec!["auth-key".to_owned()],
        disruptive: false,
    };
    let outcome = Outcome { facts: facts.clone(), node: node.clone(), notes: Vec::new() };
    (facts, node, Some(HostResult::WouldChange { steps: vec![step], at: String::new(), outcome }))
}

fn failed(kind: Kind, facts: Vec<Fact>, node: Option<Node>) -> Host {
    (facts, node, Some(HostResult::Failed(Failed::host(kind, "it failed", None))))
}

fn with<T>(wishes: &[Wish], hosts: &[Host], see: impl FnOnce(&Roll<'_>) -> T) -> T {
    let entries = wishes.iter().zip(hosts).map(|(wish, (facts, node, result))| Entry {
        wish,
        found: Found { facts, node: node.as_ref() },
        result: result.as_ref(),
    });
    let now = moment::read("2026-11-23T10:00:00Z").expect("a time");
    see(&Roll { environment: "dev", now, entries: entries.collect(), again: " -e dev" })
}

const PLAIN: Paint = Paint { color: (false, false), all: false };

fn text(answer: &Answer, wishes: &[Wish], hosts: &[Host]) -> String {
    with(wishes, hosts, |roll| {
        let rendered = answer.render(roll, PLAIN);
        let blocks = rendered.blocks.iter().map(|block| block.render(None, false));
        format!("{}\n--- stderr\n{}", rendered.out.join("\n"), blocks.collect::<Vec<_>>().join("\n"))
    })
}

fn glance(form: Form) -> Answer {
    Answer::Glance { form, all: false, expiry_days: 30 }
}

/// One of each: right with a key that ends soon, right and behind, right for ever, with tags missing and too many, fresh,
/// in another network, not reachable.
fn fleet() -> (Vec<Wish>, Vec<Host>) {
    let wishes = wishes(
        "      a-1: {}\n      a-2: {}\n      a-3: {}\n      b-1: {tags: [\"tag:db\"]}\n      c-1: {}\n      d-1: {}\n      e-1: {}\n",
    );
    let server = |host: &str, expiry| node(host, &["tag:server"], expiry);
    let mut other = server("d-1", None);
    other.fqdn = "d-1.other.net".to_owned();
    let mut offline = holds("1.86.5", server("a-2", Some("2027-05-22T05:26:26Z")));
    if let (_, _, Some(HostResult::Holds(outcome))) = &mut offline {
        outcome.notes.push(Diagnostic {
            severity: Severity::Warning,
            code: "offline".to_owned(),
            summary: "the host is offline".to_owned(),
            detail: None,
            config_path: None,
        });
    }
    let hosts = vec![
        holds("1.102.3", server("a-1", Some("2026-12-01T10:00:00Z"))),
        offline,
        holds("1.102.3", server("a-3", None)),
        would(
            "1.102.3",
            "member, online, tags missing",
            Some(node("b-1", &["tag:extra", "tag:server"], Some("2026-11-20T00:00:00Z"))),
        ),
        would("1.102.3-1", "logged out", None),
        failed(Kind::NetworkMismatch, facts("1.80.3", "in another tailnet"), Some(other)),
        failed(Kind::Unreachable, Vec::new(), None),
    ];
    (wishes, hosts)
}

#[test]
fn a_glance_folds_what_is_right_and_shows_what_differs_what_is_oldest_and_what_ends_next() {
    let (wishes, hosts) = fleet();
    insta::assert_snapshot!(text(&glance(Form::Table), &wishes, &hosts));
    let all = Answer::Glance { form: Form::Table, all: true, expiry_days: 7 };
    insta::assert_snapshot!(text(&all, &wishes, &hosts));
}

#[test]
fn a_fleet_that_is_right_is_one_line_and_its_foot() {
    let wishes = wishes("      a-1: {}\n      a-2: {}\n");
    let hosts = ["a-1", "a-2"].map(|host| holds("1.102.3", node(host, &["tag:server"], None)));
    assert_eq!(
        text(&glance(Form::Table), &wishes, &hosts),
        "a-1 · a-2  right\noldest client 1.102.3 (all)\n--- stderr\n"
    );
}

#[test]
fn a_glance_as_json_holds_what_the_table_shows() {
    let (wishes, hosts) = fleet();
    let json = with(&wishes, &hosts, |roll| glance(Form::Json).render(roll, PLAIN).out.join("\n"));
    insta::assert_snapshot!(json);
}

#[test]
fn a_glance_for_prometheus_leaves_out_what_nobody_knows() {
    let (wishes, hosts) = fleet();
    insta::assert_snapshot!(with(&wishes, &hosts, |roll| glance(Form::Prometheus).render(roll, PLAIN).out.join("\n")));
}

#[test]
fn every_line_of_the_exposition_is_a_comment_or_a_sample_and_each_family_stands_together() {
    let (wishes, hosts) = fleet();
    let lines = with(&wishes, &hosts, |roll| glance(Form::Prometheus).render(roll, PLAIN).out);
    let mut families: Vec<&str> = Vec::new();
    for line in &lines {
        let (name, rest) = match line.strip_prefix("# ") {
            Some(comment) => {
                let mut words = comment.splitn(3, ' ');
                let (kind, name, rest) = (words.next(), words.next().expect("a name"), words.next());
                assert!(matches!(kind, Some("HELP" | "TYPE")) && rest.is_some_and(|rest| !rest.is_empty()), "{line}");
                (name, "")
            }
            None => line.split_once('{').expect("labels"),
        };
        if families.last() != Some(&name) {
            assert!(!families.contains(&name), "{name} stands in two places");
            families.push(name);
        }
        if !rest.is_empty() {
            let (_, value) = rest.rsplit_once("} ").expect("a value");
            assert!(value.parse::<i64>().is_ok(), "{line}");
        }
    }
    assert!(families.len() >= 8, "{families:?}");
}

#[test]
fn the_story_of_a_host_has_what_was_found_what_would_be_done_and_what_never() {
    let (wishes, mut hosts) = fleet();
    let (facts, ..) = &mut hosts[3];
    facts.insert(0, fact("machine", "os", "Debian GNU/Linux 12 (bookworm)"));
    facts.insert(2, fact("client", "source", "a package (/lib/systemd/system/x.service)"));
    facts[1].remark = Some("1.103.0 or later is recommended".to_owned());
    facts.push(fact("network", "network", "example.net"));
    facts.push(fact("setting", "ssh", "on"));
    facts.push(fact("setting", "advertise-a-long-name", "10.0.0.0/8"));
    facts.push(fact("never", "tags", "take a tag away"));
    facts.push(fact("never", "move", "bring it into another network"));
    let state = facts.iter_mut().find(|fact| fact.name == "state").expect("it has one");
    state.remark = Some("it lacks [tag:db]".to_owned());
    insta::assert_snapshot!(text(&Answer::Story, &wishes[3..4], &hosts[3..4]));
}

#[test]
fn the_story_of_a_host_that_cannot_be_made_right_or_looked_at_says_so() {
    let (wishes, mut hosts) = fleet();
    let (facts, ..) = &mut hosts[5];
    facts.push(Fact { wanted: Some("example.net".to_owned()), ..fact("network", "network", "other.net") });
    insta::assert_snapshot!(text(&Answer::Story, &wishes[5..], &hosts[5..]));
    let right = text(&Answer::Story, &wishes[..1], &hosts[..1]);
    assert!(right.contains("do nothing, and read no secret"), "{right}");
}

#[test]
fn nothing_is_behind_where_there_is_one_version_and_nothing_ends_where_no_key_does() {
    let wishes = wishes("      a-1: {}\n      a-2: {}\n");
    let hosts =
        [holds("1.102.3", node("a-1", &[], None)), holds("1.102.3-1", node("a-2", &[], Some("2026-12-23T10:00:01Z")))];
    with(&wishes, &hosts, |roll| assert_eq!(warning::all(roll, 30), []));
    with(&wishes, &hosts, |roll| assert_eq!(warning::all(roll, 31).len(), 1));
}
