//! What the sources themselves must hold: which part may name what. Read from the files, so that a new file is judged too.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every file below `folder` with its path from the workspace's root.
fn files(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(root()).expect("below it").display().to_string();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 3, "{folder} holds {} files: it moved, and this test judges nothing", found.len());
    found.sort();
    found
}

/// The lines of `folder` that hold `word` in any case, but for the files that `may` names.
fn holding(folder: &str, word: &str, may: impl Fn(&str) -> bool) -> Vec<String> {
    files(folder)
        .into_iter()
        .filter(|(path, _)| !may(path))
        .flat_map(|(path, text)| {
            text.lines()
                .enumerate()
                .filter(|(_, line)| line.to_lowercase().contains(word))
                .map(|(number, line)| format!("{path}:{}: {}", number + 1, line.trim()))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn law_2_no_line_of_the_host_names_the_product_outside_the_table_of_built_in_providers() {
    let table = |path: &str| path == "host-runtime/src/registry.rs";
    assert_eq!(holding("host-runtime/src", "tailscale", table), Vec::<String>::new());
    assert_eq!(holding("host-runtime/boundary/src", "tailscale", |_| false), Vec::<String>::new());
}

#[test]
fn law_2_the_guest_names_nothing_that_acts() {
    for word in [
        "tcpstream",
        "tcplistener",
        "udpsocket",
        "unixstream",
        "tosocketaddrs",
        "std::fs",
        "std::process",
        "std::env",
        "std::time::instant",
        "systemtime",
    ] {
        assert_eq!(holding("provider-wasm/src", word, |_| false), Vec::<String>::new(), "{word}");
    }
}

#[test]
fn only_the_engine_names_wasmtime_and_only_the_transport_names_libssh2() {
    let code = |line: &String| !line.contains("//");
    let elsewhere = |word: &str, home: &str| {
        holding("host-runtime/src", word, |path| path.starts_with(home)).into_iter().filter(code).collect::<Vec<_>>()
    };
    assert_eq!(elsewhere("wasmtime", "host-runtime/src/engine/"), Vec::<String>::new());
    assert_eq!(elsewhere("ssh2::", "host-runtime/src/ssh/"), Vec::<String>::new());
}

#[test]
fn the_boundary_knows_no_io() {
    let tests = |path: &str| path.contains("tests");
    for word in [
        "std::fs",
        "tcpstream",
        "tcplistener",
        "udpsocket",
        "unixstream",
        "std::env",
        "std::thread",
        "wasmtime::",
        "ssh2::",
        "unsafe {",
    ] {
        let found: Vec<_> =
            holding("host-runtime/boundary/src", word, tests).into_iter().filter(|line| !line.contains("//")).collect();
        assert_eq!(found, Vec::<String>::new(), "{word}");
    }
}
