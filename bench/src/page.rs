//! `docs/benchmarks.md`: the numbers as tables, beside what was wanted of them.
//!
//! Everything with a number in it is made from the JSON; what a person found out about it stands in
//! `bench/src/found.md` and is put behind it as it is. A test holds that the page in the repository is the one that comes
//! from the JSON beside it. Not for: the picture ([`crate::picture`]).

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::peers::{AT_A_TIME, Peer};
use crate::picture;
use crate::python::PACKAGES;
use crate::results::{Noop, Results, Role};

/// What a person found out about the numbers.
const FOUND: &str = include_str!("found.md");

/// Writes the page, its picture and its JSON into the folder of the documentation.
///
/// # Errors
/// When they cannot be written.
pub fn write(results: &Results, docs: &Path) -> Result<()> {
    let own = docs.join("benchmarks");
    std::fs::create_dir_all(&own).with_context(|| own.display().to_string())?;
    std::fs::write(own.join("results.json"), serde_json::to_string_pretty(results)? + "\n")?;
    std::fs::write(own.join("no-op.svg"), picture::svg(results))?;
    std::fs::write(docs.join("benchmarks.md"), text(results))?;
    Ok(())
}

/// One number that is wanted.
struct Target {
    what: String,
    wanted: String,
    found: String,
    held: bool,
}

impl Target {
    /// At most so much, in this unit.
    fn most(what: impl Into<String>, found: Option<f64>, most: f64, unit: &str) -> Self {
        let found_text = found.map_or_else(|| "not measured".to_owned(), |found| format!("{}{unit}", short(found)));
        Self {
            what: what.into(),
            wanted: format!("≤ {}{unit}", short(most)),
            found: found_text,
            held: found.is_some_and(|found| found <= most),
        }
    }
}

fn targets(results: &Results) -> Vec<Target> {
    let ours = |hosts| results.noop(Peer::Product, hosts);
    let mut fleets: Vec<usize> = results.noop.iter().map(|row| row.hosts).collect();
    fleets.dedup();
    let mut all = Vec::new();
    for hosts in fleets.iter().copied().filter_map(ours).take(1) {
        all.push(Target::most("TCP connections for a host that is right", Some(hosts.connections), 1.0, ""));
        all.push(Target::most("execs for a host that is right", Some(hosts.execs), 1.0, ""));
    }
    let trips = results.trips.iter().find(|row| row.peer == Peer::Product).map(|row| row.trips);
    all.push(Target::most("round trips, the whole run", trips, 10.0, ""));
    for (peer, most, largest) in [
        (Peer::Bare, 1.15, usize::MAX),
        (Peer::Xargs, 0.35, usize::MAX),
        (Peer::Pyinfra, 0.15, 10),
        (Peer::Ansible, 0.01, usize::MAX),
    ] {
        for hosts in fleets.iter().copied().filter(|hosts| *hosts <= largest) {
            let what = format!("wall time by that of {}, N = {hosts}", peer.name());
            let ratio = results.noop(peer, hosts).and_then(|row| row.ratio).map(|ratio| ratio.median);
            // A peer that was left out is no target of this run, and the playbook stands in for the role that was wanted.
            let stands_in = peer == Peer::Ansible && !results.role.is_empty();
            if results.noop.iter().any(|row| row.peer == peer) && !stands_in {
                all.push(Target::most(what, ratio, most, " ×"));
            }
        }
    }
    for row in &results.role {
        let what = format!("wall time by that of the Ansible role, N = {}", row.hosts);
        all.push(Target::most(what, Some(row.ratio.median), 0.01, " ×"));
    }
    let sandbox = |name: &str, by: f64| results.sandbox.get(name).map(|nanos| nanos / by);
    all.push(Target::most("controller CPU for each further host", results.cpu_of_a_host(Peer::Product), 3.0, " ms"));
    all.push(Target::most("store, instance, call, drop", sandbox("call/ours", 1e3), 25.0, " µs"));
    all.push(Target::most("host call, guest to host and back", sandbox("host call/ours", 1e3), 1.0, " µs"));
    all.push(Target::most("process start to first SSH byte", Some(results.start.product.median), 10.0, " ms"));
    for (name, kib) in &results.live {
        all.push(Target::most(format!("memory, live guest: {name}"), Some(*kib), 32.0, " KiB"));
    }
    all.push(Target::most(format!("{} hosts in flight", results.crowd.hosts), Some(results.crowd.peak), 256.0, " MiB"));
    all
}

/// The product beside the Ansible role, as a table.
#[must_use]
pub fn role(rows: &[Role]) -> String {
    let mut table = "| hosts | | wall | least – most | cpu | × | runs |\n|---|---|---|---|---|---|---|\n".to_owned();
    for Role { hosts, wall, cpu, ratio } in rows {
        for (place, name) in ["stagecraft-net up", "the Ansible role"].into_iter().enumerate() {
            let [median, least, most] = [wall[place].median, wall[place].least, wall[place].most].map(time);
            let ratio = if place == 0 { String::new() } else { short(ratio.median) };
            let (cpu, runs) = (time(cpu[place].median), wall[place].runs);
            // Writing to a text does not fail.
            let _ = writeln!(table, "| {hosts} | {name} | {median} | {least} – {most} | {cpu} | {ratio} | {runs} |");
        }
    }
    table
}

/// The page.
#[must_use]
pub fn text(results: &Results) -> String {
    let mut page = String::new();
    // Writing to a text does not fail.
    let _ = write_page(&mut page, results);
    page
}

fn write_page(page: &mut String, results: &Results) -> std::fmt::Result {
    let machine = &results.machine;
    writeln!(page, "# Benchmarks\n")?;
    writeln!(
        page,
        "<!-- Written by `cargo xtask bench --write-docs`; what is said about the numbers stands in bench/src/found.md. -->\n"
    )?;
    writeln!(
        page,
        "What a run costs that changes nothing, beside what one would use instead: in one run, on one machine, in turn, so that\n\
         what the machine did meanwhile hit all. Ratios are taken within a round; the median of the rounds counts.\n"
    )?;
    if results.quick {
        writeln!(page, "**A quick run: fewer hosts and few rounds. The numbers say little.**\n")?;
    }
    writeln!(page, "![Wall time of a run that changes nothing](benchmarks/no-op.svg)\n")?;

    writeln!(page, "## Wanted and found\n\n| what | wanted | found | |\n|---|---|---|---|")?;
    for Target { what, wanted, found, held } in targets(results) {
        writeln!(page, "| {what} | {wanted} | {found} | {} |", if held { "held" } else { "**missed**" })?;
    }

    writeln!(page, "\n{FOUND}")?;

    writeln!(
        page,
        "## A run that changes nothing\n\n\
         Every host is a real `sshd` with a stand-in for the client behind it that takes the 8 ms which a call of the real one\n\
         takes. {AT_A_TIME} hosts at a time for all, strict host keys, one key. All but the Python tools send the product's own script.\n\
         *cpu* is the controller's, with its children (not the connections that `ssh` keeps in the background for Ansible);\n\
         *memory* is that of all its processes together, in a run of its own; *×* is the product's wall time by this one's.\n"
    )?;
    let mut fleet = 0;
    for row in &results.noop {
        if row.hosts != fleet {
            fleet = row.hosts;
            let hosts = if fleet == 1 { "1 host".to_owned() } else { format!("{fleet} hosts") };
            writeln!(
                page,
                "\n**{hosts}**\n\n| | wall | least – most | cpu | memory | connections, execs a host | × | runs |\n|---|---|---|---|---|---|---|---|"
            )?;
        }
        let Noop { peer, wall, cpu, memory, ratio, connections, execs, .. } = row;
        writeln!(
            page,
            "| {} | {} | {} – {} | {} | {memory:.0} MiB | {}, {} | {} | {} |",
            peer.name(),
            time(wall.median),
            time(wall.least),
            time(wall.most),
            time(cpu.median),
            short(*connections),
            short(*execs),
            ratio.map_or_else(String::new, |ratio| short(ratio.median)),
            wall.runs
        )?;
    }
    writeln!(page, "\nCPU for each further host, from the smallest and the largest fleet:\n\n| | cpu |\n|---|---|")?;
    let mut named = Vec::new();
    for row in &results.noop {
        if !named.contains(&row.peer) {
            named.push(row.peer);
            if let Some(cpu) = results.cpu_of_a_host(row.peer) {
                writeln!(page, "| {} | {} ms |", row.peer.name(), short(cpu))?;
            }
        }
    }

    if !results.role.is_empty() {
        writeln!(
            page,
            "\n## Beside the community's Ansible role\n\nReal Debian hosts that the role itself has made right, in the lab of `cargo xtask lab`; both in turn, on the same hosts,\n\
             and neither changes anything.\n\n{}",
            role(&results.role).trim_end()
        )?;
    }

    writeln!(
        page,
        "\n## Round trips\n\nOne host, over a road that holds every byte back, {} ms for both ways together. What a run takes longer than over the\n\
         same road without delay, divided by that, and one for opening the TCP connection, which the road does not delay.\n\n\
         | | round trips | without delay | with delay |\n|---|---|---|---|",
        short(results.delay)
    )?;
    for row in &results.trips {
        writeln!(page, "| {} | {:.1} | {} | {} |", row.peer.name(), row.trips, time(row.near), time(row.far))?;
    }

    let start = &results.start;
    writeln!(
        page,
        "\n## Start\n\nFrom the start of the process to the first byte of SSH at a listener: median, least – most.\n\n| | |\n|---|---|"
    )?;
    for (name, spread) in [
        ("stagecraft-net, provider compiled before", start.product),
        ("bare ssh2 client", start.bare),
        ("stagecraft-net, provider compiled now", start.cold),
    ] {
        let [median, least, most] = [spread.median, spread.least, spread.most].map(short);
        writeln!(page, "| {name} | {median} ms, {least} – {most} |")?;
    }

    writeln!(
        page,
        "\n## The sandbox, beside bare wasmtime\n\nCriterion's medians, through the library's public items.\n\n| | |\n|---|---|"
    )?;
    for (name, nanos) in &results.sandbox {
        writeln!(page, "| {name} | {} |", time(nanos / 1e9))?;
    }

    let crowd = &results.crowd;
    writeln!(
        page,
        "\n## Memory\n\n{} hosts in flight at the same moment, each connected, logged in and in the middle of its exec over real SSH: {} MiB;\n\
         until the end of the run, with all answers read: {} MiB. A page that many guests map and none has written is counted\n\
         once; as the kernel counts for a process (`VmHWM`), once for each, it is {} MiB.\n\n| held by | |\n|---|---|",
        crowd.hosts,
        short(crowd.in_flight),
        short(crowd.peak),
        short(crowd.resident),
    )?;
    for (kind, mib) in &crowd.held {
        writeln!(page, "| {kind} | {} MiB |", short(*mib))?;
    }
    writeln!(page)?;
    for (name, kib) in &results.live {
        writeln!(page, "A guest of the {name} that waits in a call has {} KiB of its own.", short(*kib))?;
    }

    writeln!(
        page,
        "\n## Where, and again\n\n{}, {} cores, {} MiB, {}, Linux {}, {}, {}; load {} before. {}, commit `{}`. {}.\n\n\
         ```sh\ncargo xtask bench                # measures, and prints this page\ncargo xtask bench --quick        # some minutes less\n\
         cargo xtask bench --no-peers     # installs nothing\n\
         cargo xtask bench --role DIR     # before it: also beside an Ansible role, on real hosts (root, Go)\ncargo xtask bench --write-docs   # and writes this page, its picture and its JSON\n```",
        machine.cpu,
        machine.cores,
        machine.memory,
        machine.system,
        machine.kernel,
        machine.ssh,
        machine.rustc,
        machine.load,
        results.day,
        results.commit,
        PACKAGES.join(", ").replace("==", " "),
    )
}

/// A time in the unit that suits it.
fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{} s", short(s)),
        s if s >= 1e-3 => format!("{} ms", short(s * 1e3)),
        s if s >= 1e-6 => format!("{} µs", short(s * 1e6)),
        s => format!("{} ns", short(s * 1e9)),
    }
}

/// Three digits that count, or all before the point.
fn short(number: f64) -> String {
    let places = match number.abs() {
        n if n >= 100.0 => 0,
        n if n >= 10.0 => 1,
        n if n >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{number:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count_and_their_unit() {
        assert_eq!([1.0, 0.0123, 12.34, 123.4, 100.0, 0.0].map(short), ["1", "0.012", "12.3", "123", "100", "0"]);
        assert_eq!([2.5, 0.0123, 45e-6, 210e-9].map(time), ["2.5 s", "12.3 ms", "45 µs", "210 ns"]);
    }

    #[test]
    fn a_target_is_held_by_what_is_not_above_it_and_missed_by_what_was_not_measured() {
        let held = |found| Target::most("x", found, 3.0, " ms").held;
        assert_eq!([Some(3.0), Some(3.01), None].map(held), [true, false, false]);
    }

    #[test]
    fn a_role_that_was_measured_is_the_target_in_the_place_of_the_playbook() {
        let json = include_str!("../../docs/benchmarks/results.json");
        let mut results: Results = serde_json::from_str(json).expect("results");
        let spread = |seconds| crate::results::Spread::of(&[seconds]).expect("one");
        let rows = |results: &Results| -> Vec<(String, bool)> {
            targets(results)
                .into_iter()
                .map(|one| (one.what, one.held))
                .filter(|one| one.0.contains("nsible"))
                .collect()
        };
        results.role.clear();
        assert!(
            rows(&results).iter().all(|one| one.0.contains("ansible-core")) && !text(&results).contains("role itself")
        );
        let wall = [spread(0.1), spread(20.0)];
        results.role.push(Role { hosts: 3, wall, cpu: wall, ratio: spread(0.005) });
        assert_eq!(rows(&results), [("wall time by that of the Ansible role, N = 3".to_owned(), true)]);
        let page = text(&results);
        assert!(page.contains("| 3 | the Ansible role | 20 s | 20 s – 20 s | 20 s | 0.005 | 1 |"), "{page}");
    }

    #[test]
    fn the_page_in_the_repository_is_the_one_that_its_json_gives() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs");
        let file = |name: &str| std::fs::read_to_string(docs.join(name)).expect(name);
        let results: Results = serde_json::from_str(&file("benchmarks/results.json")).expect("results");
        let again = "cargo xtask bench --render docs/benchmarks/results.json";
        assert!(file("benchmarks.md") == text(&results), "{again}");
        assert!(file("benchmarks/no-op.svg") == picture::svg(&results), "{again}");
    }
}
