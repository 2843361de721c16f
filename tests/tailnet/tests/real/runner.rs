//! Runs the tests: those that a filter leaves, side by side, and ends the lab after the last.
//!
//! It takes the arguments of `cargo test` that matter here and writes its lines as the usual runner does. Of its own it
//! has one thing that the usual one lacks: a test that cannot run *here* is ignored at run time, with the reason.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tailnet_lab::{Lab, need};

use crate::{Case, Test, page};

/// The variable that turns the lab on.
const SWITCH: &str = "STAGECRAFT_NET_LAB";
/// No test takes longer, not even where all that it is made of must be made first. One that does hangs, and the run ends.
const LIMIT: Duration = Duration::from_secs(30 * 60);
/// Most of a test is waiting, so more of them run than there are cores.
const THREADS: usize = 6;

/// So many failed tests are tried once more.
const AGAIN: usize = 10;

struct Arguments {
    filters: Vec<String>,
    skip: Vec<String>,
    exact: bool,
    list: bool,
    threads: usize,
}

struct Trial {
    name: String,
    needs_lab: bool,
    run: Box<dyn Fn() -> Result<()> + Send + Sync>,
}

/// Runs what the command line asks for.
pub(crate) fn run(files: &'static [(&'static str, &'static [Test])]) -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let all = trials(files);
    let total = all.len();
    let chosen: Vec<Trial> = all.into_iter().filter(|trial| arguments.chooses(&trial.name)).collect();
    if arguments.list {
        chosen.iter().for_each(|trial| println!("{}: test", trial.name));
        return ExitCode::SUCCESS;
    }
    let why_not = match why_not() {
        Ok(why_not) => why_not,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    execute(&chosen, total, why_not.as_deref(), arguments.threads)
}

/// Why the lab's tests do not run here; `None` where they do.
///
/// # Errors
/// When they were asked for and cannot run: then silence would be a lie.
fn why_not() -> Result<Option<String>> {
    if std::env::var_os(SWITCH).is_none_or(|value| value != "1") {
        return Ok(Some(format!("{SWITCH}=1 turns them on (root, some minutes)")));
    }
    match &need::missing()[..] {
        [] => Ok(None),
        missing => Err(anyhow!("{SWITCH}=1, and this machine has no {}", missing.join(", no "))),
    }
}

fn trials(files: &'static [(&'static str, &'static [Test])]) -> Vec<Trial> {
    let name = "page::verification_is_what_the_tests_declare".to_owned();
    let mut all = vec![Trial { name, needs_lab: false, run: Box::new(move || page::check(files)) }];
    for (file, tests) in files {
        for test in *tests {
            for case in test.cases {
                let name = format!("{file}::{} ({})", test.name, case.name());
                let case: &'static Case = case;
                all.push(Trial { name, needs_lab: true, run: Box::new(move || (test.run)(case)) });
            }
        }
    }
    all
}

fn execute(trials: &[Trial], total: usize, why_not: Option<&str>, threads: usize) -> ExitCode {
    let begin = Instant::now();
    println!("\nrunning {} tests", trials.len());
    let (here, ignored): (Vec<&Trial>, Vec<&Trial>) =
        trials.iter().partition(|trial| !trial.needs_lab || why_not.is_none());
    for trial in &ignored {
        println!("test {} ... ignored, needs the lab", trial.name);
    }
    let next = AtomicUsize::new(0);
    let running: Mutex<BTreeMap<&str, Instant>> = Mutex::default();
    let failures = Mutex::new(Vec::new());
    let work = || {
        while let Some(trial) = here.get(next.fetch_add(1, Ordering::SeqCst)) {
            lock(&running).insert(&trial.name, Instant::now());
            let (end, took) = one(trial);
            lock(&running).remove(trial.name.as_str());
            let word = if end.is_ok() { "ok" } else { "FAILED" };
            println!("test {} ... {word} ({:.1} s)", trial.name, took.as_secs_f64());
            if let Err(error) = end {
                lock(&failures).push((&trial.name, error));
            }
        }
    };
    let (over, is_over) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let running = &running;
        scope.spawn(move || watch(running, &is_over));
        std::thread::scope(|scope| (0..threads.min(here.len())).for_each(|_| drop(scope.spawn(work))));
        again(if threads > 1 { &here } else { &[] }, running, &mut lock(&failures));
        drop(over);
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    let ended = Lab::end_shared();
    if let Err(error) = &ended {
        println!("\nthe lab did not go down: {error:#}");
    }
    if let (Some(why), false) = (why_not, ignored.is_empty()) {
        println!("\n{} tests on the real tailnet did not run: {why}", ignored.len());
    }
    let good = failures.is_empty() && ended.is_ok();
    println!(
        "\ntest result: {}. {} passed; {} failed; {} ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if good { "ok" } else { "FAILED" },
        here.len() - failures.len(),
        failures.len(),
        ignored.len(),
        total - trials.len(),
        begin.elapsed().as_secs_f64()
    );
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tells what failed, and tries it once more, alone: the real client has clocks of its own, and six machines at a time on two
/// cores can be too slow for them. Both ends are shown, and the second one counts. Many failures are no matter of time.
fn again<'a>(
    trials: &[&'a Trial],
    running: &Mutex<BTreeMap<&'a str, Instant>>,
    failures: &mut Vec<(&'a String, anyhow::Error)>,
) {
    for (name, error) in &*failures {
        println!("\n---- {name} ----\n{error:#}");
    }
    if failures.len() > AGAIN {
        return;
    }
    failures.retain_mut(|(name, error)| {
        let Some(trial) = trials.iter().find(|trial| trial.name == **name) else { return true };
        lock(running).insert(&trial.name, Instant::now());
        let (end, took) = one(trial);
        lock(running).remove(trial.name.as_str());
        let word = if end.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.1} s), alone, after it had failed beside others", took.as_secs_f64());
        let Err(second) = end else { return false };
        println!("\n---- {name}, alone ----\n{second:#}");
        *error = second;
        true
    });
}

/// Ends the run when a test hangs, until the run is over: a run that says nothing for ever helps nobody.
fn watch(running: &Mutex<BTreeMap<&str, Instant>>, is_over: &mpsc::Receiver<()>) {
    while is_over.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
        if let Some((name, _)) = lock(running).iter().find(|(_, begin)| begin.elapsed() > LIMIT) {
            println!("test {name} ... FAILED, it did not end within {} minutes", LIMIT.as_secs() / 60);
            if let Err(error) = Lab::end_shared() {
                println!("\nthe lab did not go down: {error:#}");
            }
            println!("\ntest result: FAILED. The run was given up.");
            std::process::exit(1);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one. A panic is a failure like another; its message is on standard error already.
fn one(trial: &Trial) -> (Result<()>, Duration) {
    let begin = Instant::now();
    let end = catch_unwind(AssertUnwindSafe(|| (trial.run)())).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("of a kind that has no text");
        Err(anyhow!("panicked: {text}"))
    });
    (end, begin.elapsed())
}

impl Arguments {
    fn chooses(&self, name: &str) -> bool {
        let matches = |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(matches)) && !self.skip.iter().any(matches)
    }
}

fn parse(words: impl Iterator<Item = String>) -> Result<Arguments> {
    let threads = std::env::var("RUST_TEST_THREADS").ok().and_then(|text| text.parse().ok()).unwrap_or(THREADS);
    let mut arguments = Arguments { filters: Vec::new(), skip: Vec::new(), exact: false, list: false, threads };
    let mut words = words.flat_map(|word| match word.split_once('=') {
        Some((name, value)) if name.starts_with("--") => vec![name.to_owned(), value.to_owned()],
        _ => vec![word],
    });
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| anyhow!("{word} needs a value"));
        match word.as_str() {
            "--exact" => arguments.exact = true,
            "--list" => arguments.list = true,
            "--skip" => arguments.skip.push(value()?),
            "--test-threads" => arguments.threads = value()?.parse()?,
            "--format" | "--color" | "--logfile" | "-Z" => drop(value()?),
            // Nothing is captured, nothing is ignored but what cannot run.
            "--nocapture" | "--no-capture" | "--show-output" | "--quiet" | "-q" | "--include-ignored" | "--ignored" => {
            }
            flag if flag.starts_with('-') => return Err(anyhow!("the tests of the real tailnet take no {flag}")),
            _ => arguments.filters.push(word),
        }
    }
    Ok(arguments)
}
