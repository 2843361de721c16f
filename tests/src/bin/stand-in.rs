//! The stand-in program; see [`lab::stand_in`].

use std::process::ExitCode;

fn main() -> ExitCode {
    lab::stand_in::main()
}
