//! The demo: throw-away hosts in the states that people find theirs in, and the product's own commands on them.
//!
//! It runs the binary that a user gets, says what should come of it, and fails when something else comes. Not for: the
//! released binary; nothing of this is in it.

mod picture;
mod scene;
mod show;

use std::process::ExitCode;

const HELP: &str = "\
Puts throw-away hosts onto a simulated network, behind a real sshd.

Usage: cargo xtask demo [--keep | --end]
       cargo xtask picture

  --keep   leaves the hosts up, to play with
  --end    ends the ones that were left up
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] => show::demo(false),
        ["--keep"] => show::demo(true),
        ["--end"] => show::end(),
        ["--picture", file] => picture::write(file.as_ref()),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            if error.is::<show::Interrupted>() { ExitCode::from(130) } else { ExitCode::FAILURE }
        }
    }
}
