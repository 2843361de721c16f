//! `docs/verification.md`: which test shows which row of the contract, on what. It is written from what the tests declare,
//! and held to it wherever tests run, with or without the lab.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::Test;
use crate::case::{Case, Server};
use crate::contract::{ROWS, Row};
use tailnet_lab::{Os, Release};

const PAGE: &str = "docs/verification.md";
/// The deliberate breaks.
const BREAKS: &str = "tests/breaks";
const HEAD: &str = "\
# What shows each row of the contract

Written by the tests (`UPDATE=1 cargo test -p tailnet-lab --test real page`); do not edit. *In the lab* means on real Debian with the real client and
daemon, against a real control server ([lab.md](lab.md)): `file::test` in `tests/tailnet/tests/real`. *Beside it* are tests that need no root.
*Broken by* are the deliberate breaks of the product, each with the tests that must turn red (`cargo xtask breaks`, [tests/breaks](../tests/breaks/README.md)).

| row | what must hold | in the lab | on | beside it | broken by |
|---|---|---|---|---|---|
";

/// Whether the page is what the tests declare. With `UPDATE=1` it is made so.
pub(crate) fn check(files: &[(&str, &[Test])]) -> Result<()> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = write(files, &top)?;
    let path = top.join(PAGE);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        return std::fs::write(&path, page).context(PAGE);
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    ensure!(there == page, "{PAGE} is not what the tests declare: UPDATE=1 cargo test -p tailnet-lab --test real page");
    Ok(())
}

fn write(files: &[(&str, &[Test])], top: &Path) -> Result<String> {
    for (file, tests) in files {
        for test in *tests {
            for id in test.rows.split_whitespace() {
                ensure!(
                    ROWS.iter().any(|row| row.id == id),
                    "{file}::{} names the row {id}, which there is not",
                    test.name
                );
            }
        }
    }
    let breaks = breaks(top)?;
    let mut page = HEAD.to_owned();
    for row in ROWS {
        let shown: Vec<(&str, &Test)> = files
            .iter()
            .flat_map(|(file, tests)| tests.iter().map(move |test| (*file, test)))
            .filter(|(_, test)| test.rows.split_whitespace().any(|id| id == row.id))
            .collect();
        let mut tests: Vec<String> = shown.iter().map(|(file, test)| format!("`{file}::{}`", test.name)).collect();
        if !row.not_here.is_empty() {
            tests.push(row.not_here.to_owned());
        }
        ensure!(!tests.is_empty(), "no test shows {}, and nothing says why", row.id);
        let cases: Vec<&Case> = shown.iter().flat_map(|(_, test)| test.cases).collect();
        let (tests, beside) = (tests.join("<br>"), beside(row, top)?);
        let broken = breaks.iter().filter(|(_, rows)| rows.iter().any(|id| id == row.id));
        let broken: Vec<String> = broken.map(|(name, _)| format!("[{name}](../{BREAKS}/{name}.txt)")).collect();
        ensure!(!broken.is_empty(), "no break of {} in {BREAKS}: was its test ever red?", row.id);
        let broken = broken.join("<br>");
        writeln!(page, "| {} | {} | {tests} | {} | {beside} | {broken} |", row.id, row.says, on(&cases))?;
    }
    Ok(page)
}

/// The deliberate breaks by name, each with its rows. That they apply and name tests is held by `xtask`, which does them.
fn breaks(top: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let mut breaks = BTreeMap::new();
    for entry in std::fs::read_dir(top.join(BREAKS)).context(BREAKS)? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "txt") {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let rows = text.lines().find_map(|line| line.strip_prefix("rows: ")).context("a break without rows")?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        breaks.insert(name, rows.split(' ').map(str::to_owned).collect());
    }
    Ok(breaks)
}

/// The tests beside the lab, each of which must be there.
fn beside(row: &Row, top: &Path) -> Result<String> {
    let mut cells = Vec::new();
    for (file, test) in row.beside {
        let text = std::fs::read_to_string(top.join(file)).with_context(|| format!("{}: {file}", row.id))?;
        if !text.contains(&format!("fn {test}(")) {
            bail!("{}: there is no test {test} in {file}", row.id);
        }
        cells.push(format!("`{test}`"));
    }
    Ok(cells.join("<br>"))
}

/// Releases, distributions and servers, each once.
fn on(cases: &[&Case]) -> String {
    let mut words: Vec<String> = [Release::V1_102_3, Release::V1_86_5, Release::V1_80_3, Release::V1_74_1]
        .iter()
        .filter(|release| cases.iter().any(|case| case.release == **release))
        .map(|release| release.version().to_owned())
        .collect();
    for (os, name) in [(Os::Trixie, "Debian 13"), (Os::Ubuntu, "an Ubuntu `os-release`")] {
        if cases.iter().any(|case| case.os == os) {
            words.push(name.to_owned());
        }
    }
    if cases.iter().any(|case| case.server == Server::Default) {
        words.push("the default server".to_owned());
    }
    words.join(", ")
}
