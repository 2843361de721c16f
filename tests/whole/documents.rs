//! What the documents say that is cheap to hold against what is so: links, the tables of exit codes and events, the file of
//! the README. Their command lines are held to the program's own parser (`documented.rs` beside it), their programs are
//! documentation tests of the library, what the README shows of the demo is held in `demo.rs`. Not for: their sentences.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use boundary::script;
use lab::site::Site;
use stagecraft_net::engine::Limits;
use tailscale_model::World;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every page that people read, by its path.
fn pages() -> Vec<String> {
    let docs =
        fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<String> = docs.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    pages.extend(["README.md".to_owned(), "tests/breaks/README.md".to_owned()]);
    pages.sort();
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

/// Without its blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let mut links = 0;
    for page in pages() {
        let written = prose(&text(&page));
        let folder = root().join(&page).parent().unwrap().to_owned();
        for target in written.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (path, place) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { root().join(&page) } else { folder.join(path) };
            assert!(file.exists(), "{page}: {target} leads nowhere");
            if !place.is_empty() {
                let there = fs::read_to_string(&file).unwrap();
                let places: Vec<String> = prose(&there)
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(|line| anchor(line.trim_start_matches('#')))
                    .collect();
                assert!(places.iter().any(|one| one == place), "{page}: {target}: the places there are {places:?}");
            }
        }
    }
    assert!(links > 40, "{links}");
}

/// The rows of the table whose head begins with these cells.
fn table<'a>(text: &'a str, head: &str) -> Vec<&'a str> {
    let rows: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with(head))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(!rows.is_empty(), "there is no table with `{head}`");
    rows
}

#[test]
fn the_exit_codes_that_are_told_are_those_of_the_program() {
    let page = text("docs/cli.md");
    let told = table(&page, "| code | means |");
    let told: BTreeSet<&str> = told.iter().filter_map(|row| row.split('|').nth(1)).map(str::trim).collect();
    let source = text("host-runtime/src/bin/stagecraft-net/exit.rs");
    let codes: BTreeSet<&str> = source
        .lines()
        .filter_map(|line| line.trim().split_once(" = ")?.1.strip_suffix(','))
        .filter(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
        .collect();
    assert_eq!(told, codes);
}

#[test]
fn every_event_is_told_on_the_page_about_the_command_line() {
    let source = text("host-runtime/src/event.rs");
    let (_, events) = source.split_once("pub enum Event {").unwrap();
    let (events, _) = events.split_once("\n}").unwrap();
    let kebab = |name: &str| {
        let mut kebab = String::new();
        for (place, c) in name.char_indices() {
            if c.is_ascii_uppercase() && place > 0 {
                kebab.push('-');
            }
            kebab.push(c.to_ascii_lowercase());
        }
        kebab
    };
    let mut names: BTreeSet<String> = events
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|line| kebab(line.split([' ', '(', ',']).next().unwrap()))
        .collect();
    assert!(names.remove("sent"), "that one is the journal's: {names:?}");
    let page = text("docs/cli.md");
    let told: BTreeSet<String> = table(&page, "| `event` |")
        .iter()
        .filter_map(|row| row.split('|').nth(1))
        .map(|cell| cell.trim().trim_matches('`').to_owned())
        .collect();
    assert_eq!(told, names);
}

#[test]
fn the_files_that_the_readme_and_the_examples_show_are_files_that_the_program_takes() {
    let site = Site::new(&World::of("example.ts.net")).unwrap();
    let readme = text("README.md");
    let shown = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the README's file");
    for (what, file) in [("the README", shown.to_owned()), ("examples/stagecraft.yml", text("examples/stagecraft.yml"))]
    {
        let path = site.dir().join("shown.yml");
        fs::write(&path, file).unwrap();
        let ran = site.cli(["fqdn", "app-1", "-c", path.to_str().unwrap()]).run().unwrap();
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "app-1.example.ts.net\n"), "{what}\n{}", ran.stderr);
        assert_eq!(ran.stderr, "", "{what} is taken with remarks");
    }
}

#[test]
fn the_events_that_are_shown_are_those_that_come() {
    let site = Site::new(&World::of("example.ts.net")).unwrap();
    fs::write(site.dir().join("stagecraft.yml"), text("examples/stagecraft.yml")).unwrap();
    let page = text("docs/cli.md");
    let shown = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the events");
    let ran = site.cli(["plan", "-e", "prdo", "--json"]).run().unwrap();
    // How long it took is told too.
    let timeless = |lines: &str| {
        let cut =
            lines.lines().map(|line| line.split_once(",\"millis\":").map_or(line, |(before, _)| before).to_owned());
        cut.collect::<Vec<_>>()
    };
    assert_eq!(timeless(&ran.stdout), timeless(shown));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
}

#[test]
fn the_bounds_of_a_call_are_told_to_who_writes_a_provider() {
    let page = text("docs/providers.md");
    let limits = Limits::default();
    let thousands = |number: u32| format!("{},{:03}", number / 1_000, number % 1_000);
    for told in [
        format!("{} MiB of memory", limits.memory >> 20),
        format!("{} s of processor time", limits.cpu_ms / 1_000),
        format!("{} calls of the host", thousands(limits.host_calls)),
        format!("{} lines of log", thousands(limits.log_lines)),
        format!("{} commands in a batch", script::MAX_COMMANDS),
        format!("{} MiB on a command's standard input", script::MAX_STDIN >> 20),
    ] {
        assert!(page.contains(&told), "docs/providers.md does not say: {told}");
    }
}
