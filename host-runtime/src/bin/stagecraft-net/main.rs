//! Being laid.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = stagecraft_net::engine::child_main() {
        return code;
    }
    ExitCode::SUCCESS
}
