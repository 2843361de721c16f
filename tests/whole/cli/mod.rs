//! The command line over real hosts: what is printed, what it ends with, and what it did not do.

mod bad_input;
mod choice;
mod file;
mod fleet;
mod glance;

use lab::product::Ran;
use serde_json::Value;

/// The lines of `--json`, each of them one object. The first is `begin` with the schema's version, the last is `end`
/// with the exit code that the process had.
fn json(ran: &Ran) -> Vec<Value> {
    let lines: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else { panic!("nothing was told: {ran:?}") };
    assert_eq!((&first["event"], &first["schema"]), (&"begin".into(), &1.into()), "{first}");
    assert_eq!((&last["event"], last["exit"].as_i64()), (&"end".into(), ran.code.map(i64::from)), "{last}");
    assert_eq!(ran.stderr, "", "with --json nothing goes to standard error");
    lines
}

/// Of each host in order: its name, and its kind of failure or else its result.
fn results(lines: &[Value]) -> Vec<(&str, &str)> {
    lines
        .iter()
        .filter(|line| line["event"] == "done")
        .map(|line| {
            let end = line["kind"].as_str().or_else(|| line["result"].as_str());
            (line["host"].as_str().unwrap_or_default(), end.unwrap_or_default())
        })
        .collect()
}
