//! Replays every file of `fuzz/corpus` through the same entry functions, so that what fuzzing found stays fixed without
//! cargo-fuzz, and so that the seeds are known to be worth something.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_corpus_file_holds_and_every_target_has_some() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut folders = BTreeSet::new();
    for folder in fs::read_dir(&root).expect("fuzz/corpus") {
        let folder = folder.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let mut count = 0;
        for file in fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            let data = fs::read(&file).unwrap();
            println!("{}", file.display());
            boundary::fuzzing::run(&name, &data);
            // Every cut and a changed byte of a seed are worth a look too.
            for cut in (0..data.len()).step_by(data.len() / 50 + 1) {
                boundary::fuzzing::run(&name, &data[..cut]);
                let mut changed = data.clone();
                changed[cut] = changed[cut].wrapping_add(1);
                boundary::fuzzing::run(&name, &changed);
            }
            count += 1;
        }
        assert!(count > 0, "{name} has no seeds");
        folders.insert(name);
    }
    let targets: BTreeSet<String> = boundary::fuzzing::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folders, targets, "one folder of seeds a target");
}

#[test]
fn every_target_has_its_file_for_cargo_fuzz() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for (name, _) in boundary::fuzzing::TARGETS {
        let file = fs::read_to_string(root.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(file.contains(&format!("\"{name}\"")), "{name}");
        assert!(manifest.contains(&format!("fuzz_targets/{name}.rs")), "{name}");
    }
}
