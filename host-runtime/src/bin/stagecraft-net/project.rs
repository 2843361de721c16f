//! What every command begins with: the providers, the file, and what to say when one of them will not do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use boundary::text::printable;
use stagecraft_net::contract::Severity;
use stagecraft_net::engine::{Engine, Options, user_dir};
use stagecraft_net::event::{Counts, Event, Fault, SCHEMA, Tell};
use stagecraft_net::fleet::{Ahead, OverSsh};
use stagecraft_net::inventory::select::{Known, select};
use stagecraft_net::inventory::{self, Finding, HostSpec, Inventory, LoadError, Reading, Refusal, Via};
use stagecraft_net::network::Network;
use stagecraft_net::record::Records;
use stagecraft_net::registry::{Registry, assumed, config_options, default_id};
use stagecraft_net::ssh::Trust;
use stagecraft_net::until::Cancel;

use crate::args::Global;
use crate::exit::Exit;
use crate::report::{Context, Look, Report};

/// Stack of the thread that loads the providers, which may have to be compiled: as much as a process begins with.
const LOADING: usize = 8 << 20;

/// The code of what a config must have and has not.
const MISSING_KEY: &str = "missing-key";

/// The project's file, where none is named.
pub(crate) const DEFAULT_FILE: &str = "stagecraft.yml";

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
                let told = |one: &Finding| one.severity == Severity::Error && one.option.is_none();
                let subject = match &invalid.file {
                    Some(file) if invalid.findings.iter().any(told) => file.display().to_string(),
                    _ => "the command line".to_owned(),
                };
                let message = format!("{subject}: {errors} error{}", if errors == 1 { "" } else { "s" });
                let mut findings = invalid.findings;
                if invalid.file.is_none() {
                    let hint = format!("do: say it with {}", options());
                    for finding in findings.iter_mut().filter(|one| one.code == MISSING_KEY) {
                        let detail = finding.detail.iter().cloned().chain([hint.clone()]);
                        finding.detail = Some(detail.collect::<Vec<_>>().join("\n"));
                    }
                }
                Self { fault: Fault::Config, message, file: invalid.file, findings }
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
    /// What the command line names hosts by, where that is not their name, by their name.
    pub(crate) words: BTreeMap<String, String>,
    /// `ssh`, asked of the first host already, where there is one that is known without the provider.
    ahead: Option<Ahead>,
    /// The hosts that were named; all when empty.
    names: Vec<String>,
}

/// The options that say which network is meant.
fn options() -> String {
    let all: Vec<String> = config_options().map(|one| format!("--{}", one.name)).collect();
    format!("{}, --set KEY=VALUE", all.join(", "))
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
    /// Reads what the command line says, and the file where there is one, and configures the provider. `hosts` are words:
    /// names of hosts, or where one is.
    pub(crate) fn open(global: &Global, hosts: &[String], cancel: &Cancel) -> Result<Self, Stop> {
        Self::read(global, hosts, cancel, false)
    }

    /// As [`Project::open`], for a command that goes to hosts next.
    pub(crate) fn open_and_go(global: &Global, hosts: &[String], cancel: &Cancel) -> Result<Self, Stop> {
        Self::read(global, hosts, cancel, true)
    }

    fn read(global: &Global, hosts: &[String], cancel: &Cancel, go: bool) -> Result<Self, Stop> {
        global.secrets.withhold();
        let hosts = global.choice.hosts(hosts, is_there(global))?;
        let mut reading = Reading::new(&global.config, &global.env).cancelled_by(cancel);
        if global.choice.names_a_network() {
            reading = reading.otherwise(default_id(), assumed(default_id()));
            if !is_there(global) {
                reading = reading.without_file();
            }
        } else if !is_there(global) && hosts.iter().any(|host| host.typed.is_some()) {
            let message = "there is no stagecraft.yml here, and the command line does not say which network is meant";
            let hint = format!("do: say it with {}\n{{run init}} writes a file to begin with", options());
            return Err(Stop::new(Fault::Usage, format!("{message}\n{hint}")));
        }
        let mut names = Vec::new();
        let mut words = BTreeMap::new();
        for host in hosts {
            names.push(host.named.name.clone());
            if let Some(typed) = host.typed {
                words.insert(host.named.name.clone(), typed);
                reading = reading.host(host.named);
            }
        }
        for setting in &global.choice.set {
            reading = reading.set(&setting.key, &setting.value, &setting.option);
        }
        for file in &global.choice.hosts_from {
            let bytes = inventory::read_list(file)
                .map_err(|why| Stop::new(Fault::Config, format!("--hosts-from: {why}\ndo: name the right file")))?;
            reading = reading.list(&file.display().to_string(), bytes);
        }
        let mut ahead = None;
        let begin = |hosts: &[HostSpec], texts: &[&str]| {
            if go && let Some(host) = first(global, hosts, &names) {
                ahead = Some(Ahead::of(&host, texts));
            }
        };
        let loaded = std::thread::scope(|scope| {
            // It takes as long as all the rest, so both go on at the same time.
            let loading = std::thread::Builder::new().stack_size(LOADING).spawn_scoped(scope, registry);
            let mut loading = Some(loading.map_err(|error| Stop::new(Fault::Outside, format!("no thread: {error}")))?);
            let (mut providers, mut failed) = (None, None);
            let loaded = reading.load_ahead(begin, |id, config| {
                match loading.take().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))) {
                    Some(Ok(registry)) => providers = Some(registry),
                    Some(Err(stop)) => failed = Some(stop),
                    None => {}
                }
                // Why there are none is told instead.
                let Some(registry) = &providers else { return Err(Refusal::Findings(Vec::new())) };
                let provider = registry.get(id).map_err(|unknown| Refusal::UnknownProvider(unknown.known))?;
                provider.configure(config).map_err(|invalid| Refusal::Findings(invalid.findings))
            });
            failed.map_or_else(|| loaded.map_err(Stop::from), Err)
        });
        let (inventory, network) = loaded?;
        Ok(Self { inventory, network, words, ahead, names })
    }

    /// The hosts that are meant, in host order, each with the address that is meant; every name that is none is told.
    pub(crate) fn select(&self, global: &Global) -> Result<Vec<HostSpec>, Stop> {
        let (hosts, names) = (self.inventory.hosts(), &self.names);
        let mut wrong: Vec<String> =
            names.iter().filter_map(|name| self.inventory.host(name).map(drop).err()).collect();
        wrong.dedup();
        if !wrong.is_empty() {
            return Err(Stop::new(Fault::Usage, wrong.join("\n")));
        }
        if hosts.is_empty() {
            let environment = self.inventory.environment();
            let Some(file) = self.inventory.file() else {
                let message = "the command line names no host, and there is no file that does\n\
                               do: name hosts as [NAME=][USER@]ADDRESS[:PORT], or a list of them with --hosts-from";
                return Err(Stop::new(Fault::Usage, message));
            };
            let message = format!("{}: environment `{environment}` has no hosts", file.display());
            let hint = format!(
                "do: list them under infra.hosts.{environment}, name a list of them under infra.inventory or with \
                 --hosts-from, or choose another environment with -e/--env"
            );
            return Err(Stop::new(Fault::Config, format!("{message}\n{hint}")));
        }
        let mut chosen = chosen(global, hosts, names).map_err(|why| Stop::new(Fault::Usage, why))?;
        if chosen.is_empty() {
            let message = "no host is left: none of those that are named is within --limit";
            return Err(Stop::new(Fault::Usage, message));
        }
        for host in &mut chosen {
            let via = global.choice.via.into();
            let full_name = (via == Via::Network).then(|| self.network.node_fqdn(&host.name).ok()).flatten();
            if let Err(why) = host.reach_via(via, full_name) {
                wrong.push(why);
            }
        }
        if wrong.is_empty() { Ok(chosen) } else { Err(Stop::new(Fault::Config, wrong.join("\n"))) }
    }

    /// How these hosts are reached: where nobody has chosen an address, also over the network.
    pub(crate) fn over_ssh(&self, global: &Global, hosts: &[HostSpec], trust: Trust) -> OverSsh {
        let over = OverSsh::new(hosts, trust);
        let over = self.ahead.iter().cloned().fold(over, OverSsh::after);
        if Via::from(global.choice.via) != Via::Auto {
            return over;
        }
        let (network, names) = (self.network.clone(), hosts.iter().map(|host| host.name.clone()).collect::<Vec<_>>());
        over.or_over_the_network(move |host| network.node_fqdn(names.get(host)?).ok())
    }

    /// The report of a command that looks at hosts and has no plan, with its first line told.
    ///
    /// # Errors
    /// The exit code, when there can be no report; why is told.
    pub(crate) fn begin(
        self,
        global: &Global,
        command: &str,
        named: &[String],
        hosts: Vec<String>,
    ) -> Result<Arc<Report>, Exit> {
        let provider = self.network.provider().reference();
        let context = Context {
            inventory: Some(Arc::new(self.inventory)),
            again: again(global, named),
            options: again(global, &[]),
            words: self.words,
            ..Context::default()
        };
        let report = Arc::new(report(global.json, global.verbose, context)?);
        report.tell(Event::Begin {
            schema: SCHEMA,
            command: command.to_owned(),
            environment: Some(global.env.clone()),
            provider: Some(provider),
            hosts,
        });
        Ok(report)
    }

    /// Warnings and notes about the file, ours and the provider's.
    pub(crate) fn notices(&self) -> Vec<Event> {
        let file = self.inventory.file().map(|file| file.display().to_string());
        let said = self.inventory.remarks(self.network.notes());
        let findings = self.inventory.notes().iter().cloned().chain(said);
        findings.map(|finding| Event::Notice { file: file.clone(), finding }).collect()
    }
}

/// Those of the hosts that are meant, in host order.
fn chosen(global: &Global, hosts: &[HostSpec], names: &[String]) -> Result<Vec<HostSpec>, String> {
    let known = Known {
        record: &|| match Records::of_user() {
            Some(records) => records
                .read(&global.config, &global.env)
                .map_err(|error| format!("what the last run left to do cannot be read: {error}")),
            None => Err("what the last run left to do is not known: this user has no home".to_owned()),
        },
        file: &|path| std::fs::read_to_string(path),
    };
    let limited = select(hosts, &global.env, &global.choice.limit, &known)?;
    let wanted = |host: &&HostSpec| names.is_empty() || names.contains(&host.name);
    let mut chosen: Vec<HostSpec> = limited.into_iter().filter(wanted).cloned().collect();
    for host in &mut chosen {
        host.ssh_config = global.choice.ssh_config.clone().or(host.ssh_config.take());
    }
    Ok(chosen)
}

/// The first of the hosts that are meant, where its address is known without the provider.
fn first(global: &Global, hosts: &[HostSpec], names: &[String]) -> Option<HostSpec> {
    let mut host = chosen(global, hosts, names).ok()?.into_iter().next()?;
    host.reach_via(global.choice.via.into(), None).ok()?;
    Some(host)
}

/// Whether there is a project file, or one must be there since it was named.
fn is_there(global: &Global) -> bool {
    global.config.as_os_str() != DEFAULT_FILE || global.config.exists()
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

/// The options and hosts that the command to run next needs again, so that it is about the same hosts: those that were
/// `chosen`, by the words that were `typed`, or by their names where these words are about the run before this one.
pub(crate) fn next(global: &Global, typed: &[String], chosen: &[HostSpec]) -> String {
    let mut next = again(global, &[]);
    global.choice.selection(&mut next);
    let names: Vec<&str> = match global.choice.rests_on_the_last_run() {
        true => chosen.iter().map(|host| host.name.as_str()).collect(),
        false => typed.iter().map(String::as_str).collect(),
    };
    for host in names {
        let _ = write!(next, " {}", quoted(host));
    }
    next
}

/// The options and hosts that a command which a text names needs again.
pub(crate) fn again(global: &Global, hosts: &[String]) -> String {
    let mut again = String::new();
    if global.config.as_os_str() != DEFAULT_FILE {
        let _ = write!(again, " -c {}", quoted(&global.config.to_string_lossy()));
    }
    if global.env != "dev" {
        let _ = write!(again, " -e {}", quoted(&global.env));
    }
    global.choice.again(&mut again);
    again += &global.secrets.again();
    for host in hosts {
        let _ = write!(again, " {}", quoted(host));
    }
    again
}

/// A word for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_names_the_same_file_environment_and_hosts() {
        let again = |line: &str, hosts: &[&str]| {
            let cli = crate::args::parse(line.split(' ').map(Into::into)).expect("it parses");
            again(&cli.global, &hosts.iter().map(|&host| host.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(again("x plan", &[]), "");
        assert_eq!(again("x plan -e prod -c conf/a.yml", &["app-1"]), " -c conf/a.yml -e prod app-1");
        let chosen = "x plan --limit role=app,!a -F ssh.conf --via tailnet --hosts-from - --set a.b=c --tailnet x.net";
        let wanted = " -F ssh.conf --via tailnet --hosts-from - --set a.b=c --tailnet x.net";
        assert_eq!(again(chosen, &[]), wanted, "not the limit: what is told next names its hosts itself");
        let line = "x plan --limit role=app,!a --limit @f --serial 20% --max-fail 0 --name n";
        let cli = crate::args::parse(line.split(' ').map(Into::into)).expect("it parses");
        let wanted = " --name n --limit 'role=app,!a' --limit @f --serial 20% --max-fail 0 app-1";
        assert_eq!(next(&cli.global, &["app-1".to_owned()], &[]), wanted);
        // After this run they mean other hosts.
        for (limit, rests) in [("@failed", true), ("role=app,!@drift", true), ("@drifts", false), ("@f,failed", false)]
        {
            let cli = crate::args::parse(["x", "up", "--limit", limit].map(Into::into)).expect("it parses");
            assert_eq!(cli.global.choice.rests_on_the_last_run(), rests, "{limit}");
            assert_eq!(next(&cli.global, &[], &[]).contains("--limit"), !rests, "{limit}");
        }
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
