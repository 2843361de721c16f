//! What every command begins with: the providers, the file, and what to say when one of them will not do.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use boundary::text::printable;
use stagecraft_net::contract::Severity;
use stagecraft_net::engine::{Engine, Options, user_dir};
use stagecraft_net::event::{Counts, Event, Fault, SCHEMA, Tell};
use stagecraft_net::inventory::{self, Finding, HostSpec, Inventory, LoadError, Refusal};
use stagecraft_net::network::Network;
use stagecraft_net::registry::Registry;

use crate::args::Global;
use crate::exit::Exit;
use crate::report::{Context, Look, Report};

/// Why a command does not get as far as a host.
#[derive(Debug)]
pub(crate) struct Stop {
    fault: Fault,
    message: String,
    file: Option<PathBuf>,
    findings: Vec<Finding>,
}

impl Stop {
    pub(crate) fn new(fault: Fault, message: impl Into<String>) -> Self {
        // Words from the command line and the file stand in it.
        Self { fault, message: printable(message.into()), file: None, findings: Vec::new() }
    }
}

impl From<LoadError> for Stop {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Invalid(invalid) => {
                let errors = invalid.findings.iter().filter(|one| one.severity == Severity::Error).count();
                let message =
                    format!("{}: {errors} error{}", invalid.file.display(), if errors == 1 { "" } else { "s" });
                let (file, findings) = (Some(invalid.file), invalid.findings);
                Self { fault: Fault::Config, message, file, findings }
            }
            LoadError::Source(failed) => {
                let place = failed.place.map_or(String::new(), |place| format!("{}:{place}  ", failed.file.display()));
                Self::new(Fault::Outside, format!("{place}{}\n{}", failed.summary, failed.detail))
            }
            other => Self::new(Fault::Internal, other.to_string()),
        }
    }
}

/// A file that is right, and the network that it describes.
pub(crate) struct Project {
    pub(crate) inventory: Inventory,
    pub(crate) network: Network,
}

/// The built-in providers.
pub(crate) fn registry() -> Result<Registry, Stop> {
    let mut options = Options::default();
    options.cache = user_dir();
    let engine = Engine::new(options).map_err(|error| Stop::new(Fault::Outside, error.to_string()))?;
    Registry::builtin(&engine).map_err(|error| {
        let error = anyhow::Error::new(error).context("a built-in provider does not load");
        Stop::new(Fault::Internal, format!("{error:#}"))
    })
}

impl Project {
    /// Reads the file and configures its provider.
    pub(crate) fn load(global: &Global) -> Result<Self, Stop> {
        let registry = registry()?;
        let loaded = inventory::load(&global.config, &global.env, |id, config| {
            let provider = registry.get(id).map_err(|unknown| Refusal::UnknownProvider(unknown.known))?;
            provider.configure(config).map_err(|invalid| Refusal::Findings(invalid.findings))
        });
        match loaded {
            Ok((inventory, network)) => Ok(Self { inventory, network }),
            Err(error) => Err(error.into()),
        }
    }

    /// The hosts of these names, or all, in host order; every name that is none is told.
    pub(crate) fn select(&self, names: &[String]) -> Result<Vec<HostSpec>, Stop> {
        let hosts = self.inventory.hosts();
        let mut wrong: Vec<String> =
            names.iter().filter_map(|name| self.inventory.host(name).map(drop).err()).collect();
        wrong.dedup();
        if !wrong.is_empty() {
            return Err(Stop::new(Fault::Usage, wrong.join("\n")));
        }
        if hosts.is_empty() {
            let (file, environment) = (self.inventory.file().display(), self.inventory.environment());
            let message = format!("{file}: environment `{environment}` has no hosts");
            let hint = format!("do: list them under infra.hosts.{environment}, or choose another with -e/--env");
            return Err(Stop::new(Fault::Config, format!("{message}\n{hint}")));
        }
        let wanted = |host: &&HostSpec| names.is_empty() || names.contains(&host.name);
        Ok(hosts.iter().filter(wanted).cloned().collect())
    }

    /// Warnings and notes about the file, ours and the provider's.
    pub(crate) fn notices(&self) -> Vec<Event> {
        let file = self.inventory.file().display().to_string();
        let said = self.inventory.remarks(self.network.notes());
        let findings = self.inventory.notes().iter().cloned().chain(said);
        findings.map(|finding| Event::Notice { file: file.clone(), finding }).collect()
    }
}

/// Begins a report.
pub(crate) fn report(json: bool, verbose: u8, context: Context) -> Result<Report, Exit> {
    // Without a thread for the report nothing can be told, but how it ended.
    Report::open(json, Look::of_process(verbose), context).map_err(|_| Exit::Outside)
}

/// A whole report of a command that did not get as far as a host.
pub(crate) fn stopped(json: bool, verbose: u8, command: &str, environment: Option<&str>, stop: &Stop) -> Exit {
    let begun = Instant::now();
    let report = match report(json, verbose, Context::default()) {
        Ok(report) => report,
        Err(exit) => return exit,
    };
    report.tell(Event::Begin {
        schema: SCHEMA,
        command: command.to_owned(),
        environment: environment.map(str::to_owned),
        provider: None,
        hosts: Vec::new(),
    });
    report.tell(Event::Fault {
        fault: stop.fault,
        message: stop.message.clone(),
        file: stop.file.as_ref().map(|file| file.display().to_string()),
        findings: stop.findings.clone(),
    });
    end(&report, Counts::default(), stop.fault.into(), begun)
}

/// The last event of a report.
pub(crate) fn end(report: &Report, counts: Counts, exit: Exit, begun: Instant) -> Exit {
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    report.tell(Event::End { counts, exit: exit.code(), millis });
    report.finish();
    exit
}

/// The options and hosts that a command to run next needs again.
pub(crate) fn again(global: &Global, hosts: &[String]) -> String {
    let mut again = String::new();
    if global.config.as_os_str() != "stagecraft.yml" {
        let _ = write!(again, " -c {}", quoted(&global.config.to_string_lossy()));
    }
    if global.env != "dev" {
        let _ = write!(again, " -e {}", quoted(&global.env));
    }
    again += &global.secrets.again();
    for host in hosts {
        let _ = write!(again, " {}", quoted(host));
    }
    again
}

/// A word for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn the_next_command_names_the_same_file_environment_and_hosts() {
        let again = |line: &str, hosts: &[&str]| {
            let cli = crate::args::Cli::try_parse_from(line.split(' ')).expect("it parses");
            again(&cli.global, &hosts.iter().map(|&host| host.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(again("x plan", &[]), "");
        assert_eq!(again("x plan -e prod -c conf/a.yml", &["app-1"]), " -c conf/a.yml -e prod app-1");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
