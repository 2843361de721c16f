//! The benchmark does what it says: every peer really asks every host, and the results make a page.
//!
//! One host and the fewest runs; no number is judged. The Python tools are not installed by a test: they run where
//! `cargo xtask bench` installed them before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bench::ground::{Ground, TAILNET};
use bench::peers::{AT_A_TIME, Peer, Tools};
use bench::results::Results;
use bench::{crowd, live, machine, noop, page, picture, python, start, trips};

fn tools(dir: &Path) -> Tools {
    Tools {
        product: lab::product::binary().to_owned(),
        bare: PathBuf::from(env!("CARGO_BIN_EXE_bare-ssh2")),
        python: stagecraft_net::engine::user_dir()
            .and_then(|cache| cache.parent().map(Path::to_owned))
            .and_then(|cache| python::installed(&cache)),
        cache: dir.join("cache"),
        at_a_time: AT_A_TIME,
    }
}

#[test]
fn every_peer_asks_the_host_and_what_was_measured_makes_a_page() {
    let dir = tempfile::tempdir().expect("a directory");
    let tools = tools(dir.path());
    let ground = Ground::new(1).expect("a host");

    // Each of them fails unless the host saw its connection, its exec and its commands, and its answer is whole.
    let rows = noop::measure(&ground, &tools, 1, 1).expect("all peers");
    assert_eq!(rows.len(), Peer::with(&tools).len());
    for row in &rows {
        assert!(row.wall.median > 0.0 && row.cpu.median > 0.0 && row.memory > 0.0, "{row:?}");
        assert_eq!(row.ratio.is_some(), row.peer != Peer::Product, "{row:?}");
    }
    // Law 4.
    assert_eq!((rows[0].peer, rows[0].connections, rows[0].execs), (Peer::Product, 1.0, 1.0));

    let results = Results {
        day: machine::day(),
        commit: machine::commit(),
        quick: true,
        machine: machine::here(),
        noop: rows,
        role: Vec::new(),
        trips: trips::measure(&ground, &Tools { python: None, ..tools.clone() }, 1).expect("a road"),
        delay: 100.0,
        start: start::measure(&tools, 1).expect("a first byte"),
        crowd: crowd::measure(&tools, 3).expect("three in flight"),
        live: BTreeMap::from([("built-in provider".to_owned(), live::builtin().expect("guests"))]),
        sandbox: BTreeMap::from([("call/ours".to_owned(), 1.0)]),
    };
    assert!(results.trips.iter().all(|row| row.trips > 3.0), "nobody logs in with less: {:?}", results.trips);
    assert!(results.crowd.peak >= results.crowd.in_flight && results.crowd.in_flight > 1.0, "{:?}", results.crowd);
    let page = page::text(&results);
    for peer in Peer::with(&tools) {
        assert!(page.contains(&format!("| {} |", peer.name())), "{page}");
    }
    let json = serde_json::to_string(&results).expect("JSON");
    assert_eq!(page::text(&serde_json::from_str(&json).expect("the same")), page);
    assert!(picture::svg(&results).ends_with("</svg>\n"));
}

#[test]
fn a_peer_that_does_not_ask_the_host_or_gets_half_an_answer_is_not_measured() {
    let dir = tempfile::tempdir().expect("a directory");
    let ground = Ground::new(1).expect("a host");
    let yard = ground.yard(1).expect("its directory");
    let good = tools(dir.path());

    let lazy = Tools { bare: dir.path().join("lazy"), ..good.clone() };
    std::fs::write(&lazy.bare, "#!/bin/sh\necho 1\n").expect("written");
    let status = std::process::Command::new("chmod").arg("+x").arg(&lazy.bare).status().expect("chmod");
    assert!(status.success());
    let error = noop::does_its_work(Peer::Bare, &ground, &lazy, &yard).expect_err("the host saw nobody");
    assert!(error.to_string().contains("0 execs"), "{error}");

    // A script that was cut short is not run.
    let script = std::fs::read(yard.dir().join("script")).expect("the script");
    assert!(String::from_utf8_lossy(&script).contains("tailscale"), "it asks for the client of {TAILNET}");
    std::fs::write(yard.dir().join("script"), &script[..script.len() / 2]).expect("written");
    for peer in [Peer::Bare, Peer::Xargs] {
        assert!(noop::does_its_work(peer, &ground, &good, &yard).is_err(), "{peer:?}");
    }
}
