//! Breaks the product on purpose, one thing at a time, and demands that the tests that prove it turn red.
//!
//! A break is a file in `tests/breaks`: which rows of the contract it is about, what it does, the file it changes, the
//! tests that must fail then, and the text before and after (`tests/breaks/README.md`). It is never done to the checkout:
//! a copy in the target folder, with a target folder of its own, is brought up to the checkout at the begin of each run.
//! Not for: finding breaks that no test sees (a tool for mutations does that by chance, this list by intent).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use crate::need::{BUILD, HOSTS, bring, no_lab};
use crate::tool::{Done, Stop, cargo, command, say, target_dir, workspace};

/// Where the breaks are, below the top of the workspace.
const DIR: &str = "tests/breaks";
/// The package whose tests need root and real hosts.
const LAB: &str = "tailnet-lab";
/// No test that turns red takes longer, in seconds. A product that was broken may well hang.
const LIMIT: &str = "900";

/// One deliberate break.
#[derive(Debug, PartialEq, Eq)]
struct Break {
    /// The file's name without its ending.
    id: String,
    rows: Vec<String>,
    /// What it does, in words.
    does: String,
    file: String,
    tests: Vec<Test>,
    this: String,
    becomes: String,
}

/// A test as `cargo test` finds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Test {
    package: String,
    /// `lib`, `bin`, or the name of a file of integration tests.
    target: String,
    /// What its name contains; the function's name is the first word of it.
    name: String,
}

/// What became of a break and one of its tests.
struct Verdict {
    row: String,
    id: String,
    test: String,
    /// How it turned red, or why that is not so.
    end: Result<String, String>,
    seconds: u64,
}

/// Runs the breaks whose names begin with one of these words, or all; `--lab` only with the tests in the lab, `--beside`
/// only with those beside it. `--no-green` leaves out the run without any break that comes first.
pub(crate) fn breaks(args: &[&str]) -> Done {
    let (options, filters): (Vec<&str>, Vec<&str>) = args.iter().partition(|arg| arg.starts_with('-'));
    if let Some(unknown) = options.iter().find(|option| !["--lab", "--beside", "--no-green"].contains(*option)) {
        return Err(Stop(format!("breaks takes --lab, --beside, --no-green and names, and not `{unknown}`")));
    }
    let mut chosen = read_all(workspace())?;
    chosen.retain(|one| filters.is_empty() || filters.iter().any(|filter| one.id.starts_with(&filter.to_lowercase())));
    let faults: Vec<String> = chosen.iter().flat_map(|one| faults(one, workspace())).collect();
    if !faults.is_empty() {
        return Err(Stop(faults.join("\n")));
    }
    let no_lab = if options.contains(&"--beside") { Some("--beside".to_owned()) } else { no_lab() };
    for one in &mut chosen {
        one.tests.retain(|test| match test.package == LAB {
            true => no_lab.is_none(),
            false => !options.contains(&"--lab"),
        });
    }
    chosen.retain(|one| !one.tests.is_empty());
    if chosen.is_empty() {
        return Err(Stop(format!("no break in {DIR} is of that name and can be tried here")));
    }
    bring(&[BUILD, HOSTS])?;
    let copy = Copy::of_checkout()?;
    if !options.contains(&"--no-green") {
        green(&chosen, &copy)?;
    }
    let mut verdicts = Vec::new();
    for one in &chosen {
        verdicts.extend(red(one, &copy)?);
    }
    print(&verdicts);
    if let Some(why) = no_lab {
        say(format!("the tests in the lab were not tried: {why}"));
    }
    let failed = verdicts.iter().filter(|verdict| verdict.end.is_err()).count();
    println!("\nbreaks: {} passed; {failed} failed", verdicts.len() - failed);
    if failed == 0 { Ok(()) } else { Err(Stop(format!("{failed} tests stayed green, or did not run"))) }
}

/// Without a break, each of the tests passes: one that fails anyway would show nothing.
fn green(chosen: &[Break], copy: &Copy) -> Done {
    let mut targets: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for test in chosen.iter().flat_map(|one| &one.tests) {
        targets.entry((&test.package, &test.target)).or_default().insert(&test.name);
    }
    for ((package, target), names) in targets {
        say(format!("without a break: {} tests of {package}, {target}", names.len()));
        copy.build(package, target, "green")?;
        let names: Vec<&str> = names.into_iter().collect();
        let (status, log) = copy.test(package, target, &names, "green")?;
        if !status.success() {
            return Err(Stop(format!("without any break these tests fail already:\n{log}")));
        }
    }
    Ok(())
}

/// With the break, each of its tests fails, as a test.
fn red(one: &Break, copy: &Copy) -> Result<Vec<Verdict>, Stop> {
    say(format!("{}: {}", one.id, one.does));
    let path = copy.checkout.join(&one.file);
    let text = read(&path)?;
    write(&path, &text.replacen(&one.this, &one.becomes, 1))?;
    let mut verdicts = Vec::new();
    for test in &one.tests {
        let begin = Instant::now();
        let end = copy
            .build(&test.package, &test.target, &one.id)
            .and_then(|()| copy.test(&test.package, &test.target, &[&test.name], &one.id))
            .map_err(|stop| stop.0)
            .and_then(|(status, log)| turned_red(&test.name, status, &log));
        say(format!("  {} {}: {}", test.target, test.name, end.as_ref().map_or_else(String::as_str, |_| "red")));
        verdicts.push(Verdict {
            row: one.rows.join(" "),
            id: one.id.clone(),
            test: format!("{} {}", test.target, test.name),
            end,
            seconds: begin.elapsed().as_secs(),
        });
    }
    write(&path, &text)?;
    Ok(verdicts)
}

/// What the failure said first, if the test failed as a test.
fn turned_red(name: &str, status: ExitStatus, log: &str) -> Result<String, String> {
    // Both runners put the name of a test that failed in such a line, before what the failure said. The line that ends with
    // FAILED may be torn: a snapshot's difference is written into the middle of it.
    let failed = |line: &&str| line.starts_with("---- ") && line.contains(name);
    if status.code() == Some(124) {
        return Err(format!("it did not end within {LIMIT} s"));
    }
    if status.success() {
        return Err("it stayed green".to_owned());
    }
    if !log.lines().any(|line| failed(&line)) {
        return Err(format!("it did not run: {}", log.lines().rev().find(|line| !line.is_empty()).unwrap_or_default()));
    }
    let mut lines = log.lines().skip_while(|line| !failed(line)).skip(1);
    let first = lines.find(|line| !line.trim().is_empty() && !line.contains(" panicked at ")).unwrap_or_default();
    // An assertion says what it found in the lines behind.
    let sides = lines.take(2).map(str::trim).filter(|line| line.starts_with("left: ") || line.starts_with("right: "));
    Ok(std::iter::once(first.trim()).chain(sides).collect::<Vec<_>>().join(" "))
}

/// The checkout once more, with a target folder of its own.
struct Copy {
    checkout: PathBuf,
    target: PathBuf,
    logs: PathBuf,
}

impl Copy {
    /// Brings it up to the checkout, also where a run was ended in the middle of a break. What is the same keeps its time, so
    /// that nothing is compiled again for it.
    fn of_checkout() -> Result<Self, Stop> {
        let top = target_dir().join("breaks");
        let copy = Self { checkout: top.join("checkout"), target: top.join("target"), logs: top.join("logs") };
        for dir in [&copy.checkout, &copy.target, &copy.logs] {
            fs::create_dir_all(dir).map_err(|error| Stop(format!("{}: {error}", dir.display())))?;
        }
        let ours: BTreeSet<PathBuf> = files(workspace())?.into_iter().collect();
        for file in &ours {
            let (from, to) = (workspace().join(file), copy.checkout.join(file));
            if bytes(&from)? != fs::read(&to).unwrap_or_default() || !to.exists() {
                if let Some(dir) = to.parent() {
                    fs::create_dir_all(dir).map_err(|error| Stop(format!("{}: {error}", dir.display())))?;
                }
                fs::copy(&from, &to).map_err(|error| Stop(format!("{}: {error}", to.display())))?;
            }
        }
        let mut left = Vec::new();
        walk(&copy.checkout, &copy.checkout, &mut left)?;
        for file in left.iter().filter(|file| !ours.contains(*file)) {
            let path = copy.checkout.join(file);
            fs::remove_file(&path).map_err(|error| Stop(format!("{}: {error}", path.display())))?;
        }
        Ok(copy)
    }

    /// Builds what the tests of a target need, so that a test that fails afterwards fails as a test.
    fn build(&self, package: &str, target: &str, log: &str) -> Done {
        let mut build = self.cargo("build", package, target);
        let (status, log) = self.logged(build.arg("--bins"), &format!("{log}.{target}.build"))?;
        let error = || log.lines().find(|line| line.starts_with("error")).unwrap_or("no reason").to_owned();
        if status.success() { Ok(()) } else { Err(Stop(format!("it does not build: {}", error()))) }
    }

    fn test(&self, package: &str, target: &str, names: &[&str], log: &str) -> Result<(ExitStatus, String), Stop> {
        let mut test = self.cargo("test", package, target);
        test.arg("--").args(names).env("LAB_BUILT", "1").env("STAGECRAFT_NET_LAB", "1");
        if let [_] = names {
            test.args(["--test-threads", "1"]);
        }
        self.logged(&test, &format!("{log}.{target}"))
    }

    /// A command of cargo for a target, with the product where that is run as a program: so that one build serves both.
    fn cargo(&self, what: &str, package: &str, target: &str) -> Command {
        let mut run = cargo();
        run.args([what, "--package", package]);
        if matches!(package, "lab" | LAB) {
            run.args(["--package", "stagecraft-net"]);
        }
        match target {
            "lib" => run.arg("--lib"),
            "bin" => run.args(["--bin", package]),
            target => run.args(["--test", target]),
        };
        run
    }

    /// Runs it in the copy, bounded, and gives all that it wrote, which stays in a file too.
    fn logged(&self, run: &Command, name: &str) -> Result<(ExitStatus, String), Stop> {
        let path = self.logs.join(format!("{name}.log"));
        let fail = |error: std::io::Error| Stop(format!("{}: {error}", path.display()));
        let log = fs::File::create(&path).map_err(fail)?;
        let mut bounded = command("timeout");
        bounded.args(["--signal=INT", "--kill-after=60", LIMIT]).arg(run.get_program()).args(run.get_args());
        for (name, value) in run.get_envs() {
            match value {
                Some(value) => bounded.env(name, value),
                None => bounded.env_remove(name),
            };
        }
        bounded.current_dir(&self.checkout).env("CARGO_TARGET_DIR", &self.target).stdin(Stdio::null());
        bounded.stdout(log.try_clone().map_err(fail)?).stderr(log);
        let status = bounded.status().map_err(|error| Stop(format!("timeout: {error}")))?;
        Ok((status, String::from_utf8_lossy(&bytes(&path)?).into_owned()))
    }
}

fn print(verdicts: &[Verdict]) {
    let wide = |of: fn(&Verdict) -> usize| verdicts.iter().map(of).max().unwrap_or_default();
    let (row, id) = (wide(|one| one.row.len()), wide(|one| one.id.len()));
    println!();
    for one in verdicts {
        let (word, said) = match &one.end {
            Ok(said) => ("red", said),
            Err(why) => ("NOT RED", why),
        };
        let said: String = said.chars().take(140).collect();
        println!("{:row$}  {:id$}  {word:7}  {:3} s  {}", one.row, one.id, one.seconds, one.test);
        println!("{:row$}  {:id$}           {said}", "", "");
    }
}

/// All breaks, in the order of their names.
fn read_all(top: &Path) -> Result<Vec<Break>, Stop> {
    let dir = top.join(DIR);
    let entries = fs::read_dir(&dir).map_err(|error| Stop(format!("{}: {error}", dir.display())))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "txt"));
    paths.sort();
    let parsed = |path: &PathBuf| {
        let id = path.file_stem().unwrap_or_default().to_string_lossy();
        parse(&id, &read(path)?).map_err(|why| Stop(format!("{DIR}/{id}.txt: {why}")))
    };
    paths.iter().map(parsed).collect()
}

fn parse(id: &str, text: &str) -> Result<Break, String> {
    let (head, blocks) = text.split_once("\n--- this\n").ok_or("there is no line `--- this`")?;
    let (this, becomes) = blocks.split_once("\n--- becomes\n").ok_or("there is no line `--- becomes`")?;
    let mut one = Break {
        id: id.to_owned(),
        rows: Vec::new(),
        does: String::new(),
        file: String::new(),
        tests: Vec::new(),
        this: this.to_owned(),
        becomes: becomes.strip_suffix('\n').unwrap_or(becomes).to_owned(),
    };
    for line in head.lines() {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("`{line}` is no `name: value`"))?;
        match name {
            "rows" => one.rows = value.split(' ').map(str::to_owned).collect(),
            "does" => one.does = value.to_owned(),
            "file" => one.file = value.to_owned(),
            "test" => {
                let mut words = value.splitn(3, ' ').map(str::to_owned);
                let (Some(package), Some(target), Some(name)) = (words.next(), words.next(), words.next()) else {
                    return Err(format!("`{value}` is no package, target and name of a test"));
                };
                one.tests.push(Test { package, target, name });
            }
            other => return Err(format!("`{other}` is not known: rows, does, file, test")),
        }
    }
    let empty = one.rows.is_empty() || one.does.is_empty() || one.file.is_empty() || one.tests.is_empty();
    if empty { Err("it needs rows, does, file and at least one test".to_owned()) } else { Ok(one) }
}

/// Why a break cannot be what it was written to be any more: its text has gone, or its test.
fn faults(one: &Break, top: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    let text = fs::read_to_string(top.join(&one.file)).unwrap_or_default();
    let found = text.matches(&one.this).count();
    if found != 1 {
        faults.push(format!("{DIR}/{}.txt: its text is found {found} times in {}, and not once", one.id, one.file));
    }
    if one.this == one.becomes {
        faults.push(format!("{DIR}/{}.txt: it changes nothing", one.id));
    }
    for test in &one.tests {
        let function = test.name.split([' ', ':']).next().unwrap_or_default();
        if !is_there(&format!("fn {function}("), &top.join(folder(&test.package))) {
            faults.push(format!("{DIR}/{}.txt: there is no test {function} in {}", one.id, folder(&test.package)));
        }
    }
    faults
}

/// Where a package's sources are.
fn folder(package: &str) -> &str {
    match package {
        "stagecraft-net" => "host-runtime",
        "tailscale-provider" => "provider-wasm",
        "boundary" => "host-runtime/boundary",
        "lab" => "tests",
        LAB => "tests/tailnet",
        other => other,
    }
}

/// Whether a source file below there holds this.
fn is_there(text: &str, dir: &Path) -> bool {
    let mut sources = Vec::new();
    let _ = walk(dir, dir, &mut sources);
    sources.retain(|file| file.extension().is_some_and(|ending| ending == "rs"));
    sources.iter().any(|file| fs::read_to_string(dir.join(file)).is_ok_and(|source| source.contains(text)))
}

/// The files that are the project's: what version control has, and what it would take.
fn files(top: &Path) -> Result<Vec<PathBuf>, Stop> {
    let mut list = command("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(top);
    let output = list.output().map_err(|error| Stop(format!("git: {error}")))?;
    if !output.status.success() {
        return Err(Stop("git does not list the files here: breaks need a clone".to_owned()));
    }
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(names.split_terminator('\0').map(PathBuf::from).filter(|file| top.join(file).is_file()).collect())
}

/// Every file below `dir`, as seen from `top`.
fn walk(top: &Path, dir: &Path, found: &mut Vec<PathBuf>) -> Done {
    for entry in fs::read_dir(dir).map_err(|error| Stop(format!("{}: {error}", dir.display())))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(top, &path, found)?;
        } else if let Ok(file) = path.strip_prefix(top) {
            found.push(file.to_owned());
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, Stop> {
    fs::read_to_string(path).map_err(|error| Stop(format!("{}: {error}", path.display())))
}

fn bytes(path: &Path) -> Result<Vec<u8>, Stop> {
    fs::read(path).map_err(|error| Stop(format!("{}: {error}", path.display())))
}

fn write(path: &Path, text: &str) -> Done {
    fs::write(path, text).map_err(|error| Stop(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_break_applies_exactly_once_and_names_tests_that_are_there() {
        let breaks = read_all(workspace()).unwrap_or_else(|stop| panic!("{}", stop.0));
        assert!(breaks.len() > 20, "only {} breaks", breaks.len());
        let faults: Vec<String> = breaks.iter().flat_map(|one| faults(one, workspace())).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn a_break_is_read_with_its_text_as_it_stands() {
        let text = "rows: J1 J2\ndoes: takes every node for ours\nfile: a.rs\ntest: p t name (1.2.3)\n--- this\n    a\n\n    b\n--- becomes\n    c\n";
        let one = parse("j1", text).unwrap();
        assert_eq!(one.rows, ["J1", "J2"]);
        assert_eq!((one.this.as_str(), one.becomes.as_str()), ("    a\n\n    b", "    c"));
        assert_eq!(one.tests[0].name, "name (1.2.3)");
        assert!(parse("j1", &text.replace("file: a.rs\n", "")).is_err());
        assert!(parse("j1", &text.replace("--- becomes", "---")).is_err());
    }

    #[test]
    fn red_is_only_a_test_that_ran_and_failed() {
        use std::os::unix::process::ExitStatusExt;
        let status = |code: i32| ExitStatus::from_raw(code << 8);
        let log = "test a::it_holds ... FAILED\n\n---- a::it_holds stdout ----\n\nthread 'a' panicked at b.rs:1:1:\nassertion failed: x\n";
        assert_eq!(turned_red("it_holds", status(101), log).as_deref(), Ok("assertion failed: x"));
        let lab = "test a::it_holds (1.102.3) ... FAILED (3.2 s)\n\n---- a::it_holds (1.102.3) ----\napp-1: holds, and not changed\n";
        assert_eq!(turned_red("it_holds", status(1), lab).as_deref(), Ok("app-1: holds, and not changed"));
        let torn =
            "test a::it_holds ... Snapshot: told\nFAILED\n\n---- a::it_holds stdout ----\nsnapshot assertion failed\n";
        assert_eq!(turned_red("it_holds", status(101), torn).as_deref(), Ok("snapshot assertion failed"));
        assert!(turned_red("it_holds", status(0), log).is_err());
        assert!(turned_red("it_holds", status(124), log).is_err());
        assert!(turned_red("it_holds", status(101), "error: no test target named `b`\n").is_err());
        assert!(turned_red("another", status(101), log).is_err());
    }
}
