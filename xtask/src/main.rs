//! The project's own commands, as `cargo xtask …`: what brings a fresh machine from a clone to a demo or a test run.
//!
//! No dependencies: it compiles in a second and runs before anything else can. Each command looks for what it needs,
//! brings what is missing and says so in one line each; what is there costs nothing. Not for: what a plain cargo
//! command does already.

mod breaks;
mod need;
mod task;
mod tool;

use std::process::ExitCode;

const HELP: &str = "\
The project's own commands. Each brings what it needs and says so.

Usage: cargo xtask <COMMAND>

  demo [--keep]    put throw-away hosts behind a real sshd onto a network
                   --keep leaves them up, to play with; --end ends them
  demo --real [--keep]
                   the same on real Debian hosts with the real Tailscale (root, Go); `lab down` ends what was kept
  lab up [N] | ls | ssh HOST [WORD…] | exec WORD… | down
                   those hosts by hand
  picture          docs/terminal.svg anew, from a run on those throw-away hosts
  test [ARG…]      every test there is; arguments go to `cargo test`
  breaks [--lab | --beside] [--no-green] [NAME…]
                   breaks the product on purpose, one thing at a time (tests/breaks), and demands that its test fails
  bench [ARG…]     the product beside its peers, in one run; --help tells the rest
  lint             formatting, clippy for both targets, documentation without warnings
  deny             licences, bans, sources and advisories of the dependencies (cargo-deny)
  coverage         line coverage of boundary and provider-wasm, at least 85 % each (cargo-llvm-cov)
  fuzz [SECONDS]   every fuzz target for that long, 30 unless told (cargo-fuzz, a nightly toolchain)
  dist             the released binary, the provider's artifact and their digests, in target/dist
  help             this
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
        // Its help is its own.
        ["bench", rest @ ..] => task::bench(rest),
        ["help" | "--help" | "-h", ..] | [_, "help" | "--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        ["demo", rest @ ..] => task::demo(rest),
        ["picture"] => task::picture(),
        ["lab", rest @ ..] => task::lab(rest),
        ["test", rest @ ..] => task::test(rest),
        ["breaks", rest @ ..] => breaks::breaks(rest),
        ["lint"] => task::lint(),
        ["deny"] => task::deny(),
        ["coverage"] => task::coverage(),
        ["fuzz"] => task::fuzz("30"),
        ["fuzz", seconds] if seconds.parse::<u32>().is_ok() => task::fuzz(seconds),
        ["dist"] => task::dist(),
        other => {
            eprintln!("xtask: I do not know `{}`.\n\n{HELP}", other.join(" "));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("xtask: {}", stop.0);
            ExitCode::FAILURE
        }
    }
}
