use super::*;
use stagecraft_net::contract::{Diagnostic, Node, Outcome, Severity};
use stagecraft_net::event::{Counts, ProviderRef, SCHEMA};
use stagecraft_net::failure::{Changed, Failed, Kind};

fn node(host: &str, tags: &[&str], expiry: Option<&str>) -> Node {
    Node {
        id: "n1".to_owned(),
        fqdn: format!("{host}.example.net"),
        addresses: vec!["100.64.0.1".to_owned()],
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        online: true,
        key_expiry: expiry.map(str::to_owned),
    }
}

fn outcome(node: Option<Node>) -> Outcome {
    Outcome { facts: Vec::new(), node, notes: Vec::new() }
}

fn step(title: &str, detail: &str) -> Step {
    Step {
        id: "x".to_owned(),
        title: title.to_owned(),
        detail: Some(detail.to_owned()),
        secrets: Vec::new(),
        disruptive: false,
    }
}

/// A run of every ending, with texts that would break out of a page.
fn page() -> Page {
    let mut course = Course::default();
    let hosts = ["app-1", "app-2", "app-3", "db-1", "db-2", "web-1"];
    course.note(&Event::Begin {
        schema: SCHEMA,
        command: "up".to_owned(),
        environment: Some("prod".to_owned()),
        provider: Some(ProviderRef {
            id: "demo".to_owned(),
            version: "1.0.0".to_owned(),
            digest: "sha256:00".to_owned(),
        }),
        hosts: hosts.map(str::to_owned).to_vec(),
    });
    let failed = Failed {
        kind: Kind::Privilege,
        diagnostics: vec![Diagnostic {
            severity: Severity::Error,
            code: "x".to_owned(),
            summary: "sudo said <script>alert(1)</script> & more".to_owned(),
            detail: Some("found: ```` </pre> | a | b\ndo: {run up @hosts}".to_owned()),
            config_path: None,
        }],
        changed: Changed::Nothing,
        provider: None,
    };
    let changed = |host: &str, expiry| HostResult::Changed {
        steps: vec![step("join <b>", &format!("as {host}\nwith | tags"))],
        outcome: outcome(Some(node(host, &["tag:app"], expiry))),
    };
    for (host, result, millis) in [
        ("app-1", changed("app-1", Some("2026-11-25T10:00:00Z")), 900),
        ("app-2", changed("app-2", Some("2026-12-20T10:00:00Z")), 12_300),
        (
            "app-3",
            HostResult::Holds(outcome(Some(node("app-3", &["tag:app", "tag:b"], Some("2027-12-20T10:00:00Z"))))),
            80,
        ),
        ("db-1", HostResult::Failed(failed.clone()), 80),
        ("db-2", HostResult::Failed(failed), 90),
        ("web-1", HostResult::Holds(outcome(Some(node("web-1", &[], None)))), 80),
    ] {
        course.note(&Event::Done { host: host.to_owned(), result, millis });
    }
    let counts = Counts { holds: 2, would_change: 0, changed: 2, failed: 2, unreachable: 0, skipped: 0 };
    assert!(course.note(&Event::End { counts, exit: 10, millis: 12_400 }));
    let now = "2026-11-23T10:00:00Z".parse().expect("a time");
    Page::of(&course, &Context { now, options: " -e prod".to_owned(), ..Context::default() })
}

#[test]
fn a_page_tells_what_failed_what_changed_who_has_which_tags_and_whose_key_ends() {
    insta::assert_snapshot!(markdown::render(&page()));
}

#[test]
fn no_text_of_a_machine_becomes_a_part_of_the_page() {
    let html = html::render(&page());
    for never in
        ["<script", "<b>\n", "join <b>", "</pre> |", "http://", "https://", " src=", " href=", "@import", "url("]
    {
        assert!(!html.contains(never), "{never} in\n{html}");
    }
    for there in ["&lt;script&gt;alert(1)&lt;/script&gt; &amp; more", "join &lt;b&gt;", "default-src 'none'"] {
        assert!(html.contains(there), "{there} in\n{html}");
    }
    // Every element that is opened is closed: nothing came in between.
    for name in ["main", "section", "article", "pre", "table", "ol", "li", "td", "svg", "details", "code"] {
        let count = |sign: String| html.matches(&sign).count();
        let opened = count(format!("<{name}>")) + count(format!("<{name} "));
        assert_eq!(opened, count(format!("</{name}>")), "{name}");
    }
    assert!(html.contains("prefers-color-scheme: dark"));
}

#[test]
fn a_fence_is_longer_than_what_is_in_it_and_a_cell_holds_no_bar_of_its_own() {
    let text = markdown::render(&page());
    assert!(text.contains("\n`````\n"), "{text}");
    for line in text.lines().filter(|line| line.starts_with("| app-1")) {
        let bars = line.replace("\\|", "").matches('|').count();
        assert!(bars == 5 || bars == 8, "{line}");
    }
}

#[test]
fn the_name_of_the_file_says_the_form_and_it_is_written_whole_or_not_at_all() {
    assert!(PageFile::parse("x.txt").is_err() && PageFile::parse("report").is_err());
    let folder = tempfile::tempdir().expect("a folder");
    for (name, begin) in [("page.html", "<!doctype html>"), ("page.md", "## stagecraft-net up")] {
        let file = PageFile::parse(folder.path().join(name).to_str().expect("text")).expect("a page");
        file.probe().expect("it can be written");
        file.write(&page()).expect("written");
        assert!(std::fs::read_to_string(file.path()).expect("there").starts_with(begin));
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 2, "nothing else is left behind");
    let nowhere = PageFile::parse(folder.path().join("no/page.md").to_str().expect("text")).expect("a page");
    assert!(nowhere.probe().is_err());
}

#[test]
fn what_only_warns_is_not_among_what_failed_and_a_line_without_keys_is_none() {
    let text = "network:\n  provider: demo\n  providers:\n    demo: {}\ninfra:\n  hosts:\n    prod:\n      \
                a: { address: 192.0.2.1 }\n      b: { address: 192.0.2.1 }\n";
    let parsed = stagecraft_net::inventory::parse(text, "stagecraft.yml".as_ref(), "prod", |_, _| Ok(()));
    let finding = parsed.expect("it is right").0.notes()[0].clone();
    let mut course = Course::default();
    course.note(&Event::Notice { file: Some("stagecraft.yml".to_owned()), finding });
    let page = Page { never: 2, ..Page::of(&course, &Context::default()) };
    for text in [html::render(&page), markdown::render(&page)] {
        assert!(text.contains("Warnings about the file") && text.contains("same-address"), "{text}");
        assert!(!text.contains("What failed") && !text.contains("<svg"), "{text}");
    }
}
