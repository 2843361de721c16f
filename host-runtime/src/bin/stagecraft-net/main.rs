//! `stagecraft-net`: brings the hosts of a `stagecraft.yml` into their network.
//!
//! Thin: everything that it does is the library's public API. One file a subcommand; [`exit`] knows the exit codes,
//! [`report`] what a person or a program reads.

mod approve;
mod args;
mod choice;
mod doctor;
#[cfg(test)]
mod documented;
mod exit;
mod explain;
mod export;
mod fleet;
mod fqdn;
mod init;
mod journal;
mod leave;
mod passphrase;
mod plan;
mod project;
mod provider;
mod report;
mod schema;
mod secrets;
mod signals;
mod status;
mod trust;
mod up;

use std::process::ExitCode;

use stagecraft_net::event::Fault;

use args::{Cli, Command};
use exit::Exit;
use project::Stop;

fn main() -> ExitCode {
    // Nothing may come before this: the process may have been started to be the compiler.
    if let Some(code) = stagecraft_net::engine::child_main() {
        return code;
    }
    let exit = match args::parse(std::env::args_os()) {
        Ok(cli) => std::panic::catch_unwind(|| run(&cli)).unwrap_or(Exit::Internal),
        Err(error) => usage(&error),
    };
    ExitCode::from(exit.code())
}

fn run(cli: &Cli) -> Exit {
    quiet_workers(cli.global.verbose);
    let global = &cli.global;
    match &cli.command {
        Command::Plan(args) => plan::run(global, args),
        Command::Up(args) => up::run(global, args),
        Command::Status(args) => status::run(global, args),
        Command::Explain(args) => explain::run(global, args),
        Command::Export(args) => export::run(global, args),
        Command::Leave(args) => leave::run(global, args),
        Command::Doctor(args) => doctor::run(global, args),
        Command::Trust(args) => trust::run(global, args),
        Command::Fqdn(args) => fqdn::run(global, args),
        Command::Provider(args) => provider::run(global, args),
        Command::Init(args) => init::run(global, args),
        Command::Schema => schema::run(global),
    }
}

/// Help and version are answers; everything else that the parser says is a usage error, in JSON where that was asked for.
fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Ok;
    }
    if std::env::args_os().any(|arg| arg == "--json") {
        let words = error.to_string();
        let (reason, _) = words.split_once("\n\nUsage").unwrap_or((&words, ""));
        let reason = boundary::text::one_line(reason.trim_start_matches("error: "));
        return project::stopped(true, 0, "", None, &Stop::new(Fault::Usage, reason));
    }
    let _ = error.print();
    Exit::Usage
}

/// A panic of a host's thread is told as the failure of that host; its place in the source only to those who ask.
fn quiet_workers(verbose: u8) {
    let print = std::panic::take_hook();
    let asked = verbose > 0 || std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    std::panic::set_hook(Box::new(move |panic| {
        let worker = std::thread::current().name().is_some_and(|name| name.starts_with("host-"));
        if asked || !worker {
            print(panic);
        }
    }));
}
