//! `cargo xtask bench`: measures everything, prints it, and writes the page when it is told to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bench::ground::Ground;
use bench::peers::{AT_A_TIME, Tools};
use bench::results::Results;
use bench::{crowd, live, machine, noop, page, python, role, start, trips};

const HELP: &str = "\
Measures the product beside its peers, on stand-in hosts behind real sshds.

Usage: cargo xtask bench [--quick] [--no-peers] [--write-docs] | --role DIR | --render FILE | --hold N | --crowd N

  --quick        fewer runs over fewer hosts: to see that it works
  --no-peers     without pyinfra and ansible-core, which are installed into a cache otherwise
  --write-docs   writes docs/benchmarks.md, its picture and its JSON
  --role DIR     measures only an Ansible role for the same job, in this checkout, beside the product on real hosts
                 (root, Go); what comes after it in the same target folder tells of it too
  --render FILE  measures nothing: writes the page from a JSON that was measured before
  --hold N       measures nothing: keeps N hosts up until end of input, for a profiler
  --crowd N      measures only the memory with N hosts in flight, and shows where it is
";

/// Where `--role` leaves what it measured, beside the other results.
const ROLE: &str = "role.json";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut words = args.iter().map(String::as_str);
    let (mut quick, mut peers, mut write) = (false, true, false);
    while let Some(word) = words.next() {
        match word {
            "--quick" => quick = true,
            "--no-peers" => peers = false,
            "--write-docs" => write = true,
            "--render" => {
                let file = words.next().context("--render takes a file")?;
                let text = std::fs::read_to_string(file).with_context(|| file.to_owned())?;
                return page::write(&serde_json::from_str(&text)?, &docs());
            }
            "--role" => return only_role(Path::new(words.next().context("--role takes the folder of a checkout")?)),
            "--hold" => return hold(words.next().context("--hold takes a number")?.parse()?),
            "--crowd" => return only_crowd(words.next().context("--crowd takes a number")?.parse()?),
            "--help" | "-h" => {
                print!("{HELP}");
                return Ok(());
            }
            other => bail!("bench does not know `{other}`\n\n{HELP}"),
        }
    }
    let out = out()?;
    let results = measure(quick, peers, &out)?;
    let json = out.join("results.json");
    std::fs::write(&json, serde_json::to_string_pretty(&results)? + "\n")?;
    println!("{}", page::text(&results));
    eprintln!("bench: all of it in {}", json.display());
    if write {
        page::write(&results, &docs())?;
    }
    Ok(())
}

/// Keeps hosts up, and says how they are reached.
fn hold(hosts: usize) -> Result<()> {
    let ground = Ground::new(hosts)?;
    println!("cd {} && stagecraft-net up", ground.yard(hosts)?.dir().display());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Measures the memory with so many hosts in flight, and nothing else.
fn only_crowd(hosts: usize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(&crowd::measure(&tools(&out()?)?, hosts)?)?);
    Ok(())
}

/// Measures the role beside the product, and nothing else.
fn only_role(role: &Path) -> Result<()> {
    let out = out()?;
    let cache = stagecraft_net::engine::user_dir().context("no cache: set HOME")?;
    let python = Some(python::install(cache.parent().unwrap_or(&cache))?);
    let measured = role::measure(&Tools { python, ..tools(&out)? }, role, 5)?;
    std::fs::write(out.join(ROLE), serde_json::to_string_pretty(&measured)? + "\n")?;
    println!("{}", page::role(&measured));
    Ok(())
}

/// Everybody but the Python tools.
fn tools(out: &Path) -> Result<Tools> {
    Ok(Tools {
        product: lab::product::binary().to_owned(),
        bare: std::env::current_exe()?.with_file_name("bare-ssh2"),
        python: None,
        cache: out.join("cache"),
        at_a_time: AT_A_TIME,
    })
}

fn measure(quick: bool, peers: bool, out: &Path) -> Result<Results> {
    let cache = stagecraft_net::engine::user_dir().context("no cache: set HOME")?;
    let mut tools = tools(out)?;
    if peers {
        tools.python = Some(python::install(cache.parent().unwrap_or(&cache))?);
    }
    let machine = machine::here();
    let (fleets, rounds): (&[usize], usize) = if quick { (&[1, 10], 3) } else { (&[1, 10, 100], 15) };
    let most = fleets.iter().copied().max().unwrap_or(1);
    eprintln!("bench: starting {most} hosts");
    let ground = Ground::new(most)?;
    let start = start::measure(&tools, if quick { 10 } else { 50 })?;
    let mut rows = Vec::new();
    for hosts in fleets {
        rows.extend(noop::measure(&ground, &tools, *hosts, rounds)?);
    }
    let trips = trips::measure(&ground, &tools, if quick { 1 } else { 5 })?;
    drop(ground);
    Ok(Results {
        day: machine::day(),
        commit: machine::commit(),
        quick,
        machine,
        noop: rows,
        role: match std::fs::read_to_string(out.join(ROLE)) {
            Ok(text) => serde_json::from_str(&text)?,
            Err(_) => Vec::new(),
        },
        trips,
        delay: trips::DELAY.as_secs_f64() * 1e3,
        start,
        live: BTreeMap::from([("built-in provider".to_owned(), live::builtin()?)]),
        crowd: crowd::measure(&tools, if quick { 100 } else { 1000 })?,
        sandbox: sandbox(&out.join("criterion"))?,
    })
}

/// What Criterion measured before this, if it did: medians, in nanoseconds.
fn sandbox(dir: &Path) -> Result<BTreeMap<String, f64>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(found) };
    for entry in entries {
        let path = entry?.path();
        let file = |name: &str| std::fs::read_to_string(path.join("new").join(name));
        if let (Ok(estimates), Ok(benchmark)) = (file("estimates.json"), file("benchmark.json")) {
            let (estimates, benchmark): (serde_json::Value, serde_json::Value) =
                (serde_json::from_str(&estimates)?, serde_json::from_str(&benchmark)?);
            let median = estimates["median"]["point_estimate"].as_f64().context("Criterion's estimates.json")?;
            found.insert(benchmark["full_id"].as_str().context("Criterion's benchmark.json")?.to_owned(), median);
        } else if path.is_dir() {
            // A group.
            found.extend(sandbox(&path)?);
        }
    }
    Ok(found)
}

/// Where results are kept: beside what cargo builds.
fn out() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(Path::parent).context("a folder for results")?;
    let out = target.join("bench");
    std::fs::create_dir_all(&out)?;
    Ok(out)
}

/// The documentation of this repository.
fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs")
}
