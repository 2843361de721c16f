//! The command line.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Arg, ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use stagecraft_net::artifact::Digest;
use stagecraft_net::host::DISRUPTIVE;
use stagecraft_net::{inventory, registry};

use crate::choice::{self, Choice, Setting};
use crate::project::DEFAULT_FILE;

use crate::report::{ExportFormat, Form, PageFile};
use crate::secrets::SecretArgs;

/// Brings the hosts of a stagecraft.yml into their network, through a sandboxed provider, over SSH.
#[derive(Debug, Parser)]
#[command(name = "stagecraft-net", version, about, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

const EXIT_CODES: &str = "\
Exit codes: 0 all is right or done · 1 command line or file · 2 something else outside · 3 a defect here ·
10 a host failed or could not be looked at · 20 drift (plan --detailed-exitcode) · 130 interrupted";

/// Accepted before and after the subcommand.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The project's file
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        default_value = DEFAULT_FILE,
        env = "STAGECRAFT_CONFIG"
    )]
    pub(crate) config: PathBuf,
    /// The environment whose hosts are meant
    #[arg(short, long, global = true, default_value = "dev", env = "STAGECRAFT_ENV")]
    pub(crate) env: String,
    /// Hosts in flight
    #[arg(long, global = true, value_name = "N", default_value = "32")]
    pub(crate) jobs: NonZeroUsize,
    /// Time for one host, such as 90s, 15m or 1h
    #[arg(long, global = true, value_name = "TIME", default_value = "15m", value_parser = time)]
    pub(crate) timeout: Duration,
    /// What to do with a host key that is not known; one that has changed is always refused
    #[arg(long, global = true, value_name = "POLICY", default_value = "strict")]
    pub(crate) host_keys: HostKeys,
    /// Write down every command that runs anywhere, JSON lines appended to this file; `-` is standard output
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) secrets: SecretArgs,
    /// Write a page about the run, as Markdown or HTML by how the name ends
    #[arg(long, global = true, value_name = "FILE.md|FILE.html", value_parser = PageFile::parse)]
    pub(crate) report: Option<PageFile>,
    /// JSON lines on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more; twice: everything [env: STAGECRAFT_VERBOSE=]
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Change nothing: say what would be done
    #[arg(long, global = true, env = "STAGECRAFT_DRY_RUN", value_parser = FalseyValueParser::new())]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) choice: Choice,
}

/// Reads a command line.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches_from(words)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    for option in registry::config_options() {
        if let Some(value) = matches.get_one::<String>(option.name) {
            let setting = Setting::new(option.key, value, &format!("--{}", option.name));
            cli.global.choice.set.push(setting);
        }
    }
    if cli.global.verbose == 0 {
        cli.global.verbose = std::env::var("STAGECRAFT_VERBOSE").map_or(0, |value| verbosity(&value));
    }
    Ok(cli)
}

/// The definition, with the options that the built-in providers bring.
pub(crate) fn command() -> clap::Command {
    registry::config_options().fold(Cli::command(), |command, option| {
        let arg = Arg::new(option.name).long(option.name).value_name(option.value).help(option.about);
        command.arg(arg.global(true).help_heading(choice::NETWORK))
    })
}

/// A number of times, or a word that is true or not.
fn verbosity(value: &str) -> u8 {
    let falsey = ["", "0", "n", "no", "f", "false", "off"];
    value.parse().unwrap_or_else(|_| u8::from(!falsey.contains(&value.to_ascii_lowercase().as_str())))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HostKeys {
    /// It is refused
    Strict,
    /// It is trusted from then on
    AcceptNew,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what would change, host by host; changes nothing
    Plan(Plan),
    /// Bring hosts into their network
    Up(Up),
    /// Say how hosts are: those that are right in one line
    Status(Status),
    /// Tell all that is known of one host, what `up` would do there and why, and what it would never do
    Explain(Explain),
    /// Print what the network says the hosts are, for another program
    Export(Export),
    /// Take hosts out of their network
    Leave(Leave),
    /// Make host keys known: from the inventory, from fingerprints, or by your own word
    Trust(Trust),
    /// Examine this machine, the file and each host, and say what to do
    Doctor(Doctor),
    /// Print a host's name in the network; asks nobody
    Fqdn(Fqdn),
    /// The providers that are built in
    #[command(subcommand)]
    Provider(Provider),
    /// Write a commented project file to begin with
    Init(Init),
    /// Print the schema of the project file, for editors
    Schema,
}

#[derive(Debug, Default, Args)]
pub(crate) struct Init {
    /// Who logs in, where the list of hosts does not say it
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// The bastion in front of the hosts, or several, parted by commas, as for `ssh -J`
    #[arg(long, value_name = "[USER@]BASTION[:PORT]")]
    pub(crate) jump: Option<String>,
    /// Write over a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Only these hosts
    #[arg(value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    /// Exit with 20 when something would change
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Plan as if this were allowed
    #[arg(long, value_name = "WHAT")]
    pub(crate) allow: Vec<Allow>,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Only these hosts
    #[arg(value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    /// Allow steps that interrupt what works
    #[arg(long, value_name = "WHAT")]
    pub(crate) allow: Vec<Allow>,
    /// Do the plan of this digest, which `plan` prints, and nothing else
    #[arg(long, value_name = "DIGEST")]
    pub(crate) approve: Option<Digest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Allow {
    /// Steps that interrupt what works
    Disruptive,
}

impl Allow {
    /// As the provider is told.
    pub(crate) fn words(allow: &[Self]) -> Vec<String> {
        allow.iter().map(|Self::Disruptive| DISRUPTIVE.to_owned()).collect()
    }
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only these hosts
    #[arg(value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    /// A line for each host, also for those that are right
    #[arg(long)]
    pub(crate) all: bool,
    /// Warn of keys that end within so many days
    #[arg(long, value_name = "N", default_value = "30")]
    pub(crate) expiry_days: u16,
    /// In which form
    #[arg(long, default_value = "table")]
    pub(crate) format: Form,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The host
    #[arg(value_name = "HOST")]
    pub(crate) host: String,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Only these hosts
    #[arg(value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    /// Which program reads it
    #[arg(long)]
    pub(crate) format: ExportFormat,
    /// A service that a compose file gives the hosts to; repeatable
    #[arg(long = "service", value_name = "NAME", value_parser = service)]
    pub(crate) services: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Leave {
    /// The hosts: never all of them by default
    #[arg(value_name = "HOST", required = true)]
    pub(crate) hosts: Vec<String>,
    /// Also out of this network, which is not the configured one
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) from: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// Only these hosts
    #[arg(value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    /// Keys or fingerprints, such as a cloud's console log; whose they are say its lines, or HOST=
    #[arg(long, value_name = "[HOST=]FILE")]
    pub(crate) fingerprints: Vec<String>,
    /// Trust what the servers show, after one table of all
    #[arg(long)]
    pub(crate) accept_new: bool,
    /// Put the right key in the place of another one that is known
    #[arg(long)]
    pub(crate) replace: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Only these hosts
    #[arg(value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Fqdn {
    /// The host
    #[arg(value_name = "HOST")]
    pub(crate) host: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Provider {
    /// All of them
    List,
    /// What one is and may do
    Inspect {
        /// The id of one that is built in, or the path of an artifact: it is read and not run
        #[arg(value_name = "ID|FILE.wasm")]
        which: String,
    },
}

/// A service's name as Compose has it.
fn service(name: &str) -> Result<String, String> {
    let fits = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if fits { Ok(name.to_owned()) } else { Err("wanted: letters, digits, dots, dashes and underscores".to_owned()) }
}

fn time(text: &str) -> Result<Duration, String> {
    inventory::time(text).ok_or_else(|| "wanted: a time from 1s to 24h, such as 90s, 15m or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, String> {
        super::parse(line.split(' ').map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_are_taken_before_and_after_the_subcommand() {
        let options = "-c x.yml -e prod --jobs 3 --timeout 2m --json -vv --host-keys accept-new";
        for line in [format!("stagecraft-net {options} plan app-1"), format!("stagecraft-net plan app-1 {options}")] {
            let Cli { command, global } = parse(&line).expect("it parses");
            assert!(matches!(command, Command::Plan(Plan { hosts, .. }) if hosts == ["app-1"]));
            assert_eq!((global.config, global.env.as_str(), global.jobs.get()), ("x.yml".into(), "prod", 3));
            assert_eq!((global.timeout, global.json, global.verbose), (Duration::from_secs(120), true, 2));
            assert_eq!(global.host_keys, HostKeys::AcceptNew);
        }
    }

    #[test]
    fn a_leave_without_a_host_no_jobs_and_odd_times_are_usage_errors() {
        for line in [
            "leave",
            "plan --jobs 0",
            "plan --timeout 0",
            "plan --timeout 1d",
            "plan --timeout 25h",
            "plan --timeout ms",
            "up --allow all",
            "up --approve sha256:12",
            "up --report page.txt",
            "nonsense",
            "provider inspect",
        ] {
            assert!(parse(&format!("stagecraft-net {line}")).is_err(), "{line}");
        }
        assert_eq!(time("90"), Ok(Duration::from_secs(90)));
        assert_eq!(time("1h"), Ok(Duration::from_secs(3600)));
        assert!(time("").is_err() && time("é").is_err());
    }

    #[test]
    fn what_is_not_allowed_is_not_allowed() {
        let Command::Up(up) = parse("stagecraft-net up --allow disruptive app-1 db-1").expect("it parses").command
        else {
            panic!("it is up");
        };
        assert_eq!((up.allow.as_slice(), up.hosts.len()), ([Allow::Disruptive].as_slice(), 2));
    }
}
