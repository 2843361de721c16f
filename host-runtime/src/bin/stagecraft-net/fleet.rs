//! What `plan`, `up`, `status` and `leave` have in common: one run over the chosen hosts, and its report.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use stagecraft_net::approval::PlanDigest;
use stagecraft_net::artifact::Digest;
use stagecraft_net::contract::Goal;
use stagecraft_net::event::{Counts, Event, Fault, SCHEMA, Tell};
use stagecraft_net::fleet::{Act, Limits, Member, Task};
use stagecraft_net::inventory::HostSpec;
use stagecraft_net::ssh::Trust;
use stagecraft_net::until::Cancel;

use crate::approve;
use crate::args::{Global, HostKeys};
use crate::choice;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::passphrase;
use crate::project::{Project, Stop, again, end, next, report, stopped};
use crate::report::{Answer, Context, Wish, now};
use crate::signals;

/// What is to be done with hosts.
pub(crate) struct Order<'a> {
    pub(crate) command: &'static str,
    /// Only these; all when empty.
    pub(crate) hosts: &'a [String],
    pub(crate) goal: fn(&HostSpec) -> Goal,
    pub(crate) act: Act,
    pub(crate) allow: Vec<String>,
    /// Whether something that would change is an exit code of its own.
    pub(crate) drift_counts: bool,
    /// What is printed at the end.
    pub(crate) answer: Answer,
    /// Only the plan of this digest.
    pub(crate) approve: Option<Digest>,
}

/// The goal of all but `leave`.
pub(crate) fn joined(host: &HostSpec) -> Goal {
    Goal::Joined(host.tags.clone())
}

/// Does it.
pub(crate) fn run(global: &Global, order: Order<'_>) -> Exit {
    let begun = Instant::now();
    let stop = |stop: Stop| stopped(global.json, global.verbose, order.command, Some(&global.env), &stop);
    let cancel = match Cancel::new() {
        Ok(cancel) => cancel,
        Err(error) => return stop(Stop::new(Fault::Outside, format!("this machine has no descriptor left: {error}"))),
    };
    // From here on a signal ends the run, not the process.
    let heard = Arc::new(OnceLock::new());
    let interrupted = signals::listen(cancel.clone(), Arc::clone(&heard));
    let chosen = Project::open_and_go(global, order.hosts, &cancel)
        .and_then(|project| project.select(global).map(|hosts| (project, hosts)));
    let (project, hosts) = match chosen {
        Ok(chosen) => chosen,
        Err(why) => {
            let exit = stop(why);
            return if interrupted.get() { Exit::Interrupted } else { exit };
        }
    };
    let act = if global.dry_run { Act::Look } else { order.act };

    let mut notices = project.notices();
    let wanted = global.secrets.asking(hosts.iter().any(|host| host.ask_sudo));
    let given = match wanted.open(&project.network.provider().descriptor().secrets, &cancel) {
        Ok(given) => given,
        Err(why) => return stop(why),
    };
    notices.extend(given.notices);
    let trust = match global.host_keys {
        HostKeys::Strict => Trust::Strict,
        HostKeys::AcceptNew => Trust::AcceptNew,
    };
    let over = project.over_ssh(global, &hosts, trust).ask_passphrases(passphrase::asker(cancel.clone()));
    let Project { inventory, network, words, .. } = project;
    let file = inventory.file().map(|file| file.display().to_string());
    let options = again(global, &[]);
    let mut again = next(global, order.hosts, &hosts);
    if order.command == "plan" && !order.allow.is_empty() {
        again += &format!(" --allow {}", order.allow.join(" --allow "));
    }
    // A name is a call of the provider: only where somebody reads it.
    let wish = |spec: &HostSpec| Wish { spec: spec.clone(), fqdn: network.node_fqdn(&spec.name).ok() };
    let wishes: Vec<Wish> = if order.answer.replaces_changes() { hosts.iter().map(wish).collect() } else { Vec::new() };
    let context = Context {
        inventory: Some(Arc::new(inventory)),
        again,
        options,
        words,
        answer: order.answer.clone(),
        wishes: wishes.clone(),
        environment: global.env.clone(),
        now: now(),
        page: global.report.clone(),
    };
    if let Some((page, Err(error))) = global.report.as_ref().map(|page| (page, page.probe())) {
        return stop(Stop::new(Fault::Outside, format!("{} cannot be written: {error}", page.path().display())));
    }
    let report = match report(global.json, global.verbose, context) {
        Ok(report) => Arc::new(report),
        Err(exit) => return exit,
    };
    let journal = match global.journal.as_ref().map(|path| Journal::open(path, Arc::clone(&report) as _)).transpose() {
        Ok(journal) => journal.map(Arc::new),
        Err(error) => {
            let path = global.journal.as_deref().unwrap_or("-".as_ref()).display();
            let why = format!("the journal {path} cannot be opened: {error}\nchanged: nothing");
            return stop(Stop::new(Fault::Outside, why));
        }
    };
    let tell: Arc<dyn Tell + Send + Sync> = match &journal {
        Some(journal) => Arc::clone(journal) as _,
        None => Arc::clone(&report) as _,
    };
    tell.tell(Event::Begin {
        schema: SCHEMA,
        command: order.command.to_owned(),
        environment: Some(global.env.clone()),
        provider: Some(network.provider().reference()),
        hosts: hosts.iter().map(|host| host.name.clone()).collect(),
    });
    notices.into_iter().for_each(|notice| report.tell(notice));

    // A signal may have come already: then nobody is left to set it.
    let _ = heard.set(Arc::clone(&report));
    let task = Task {
        members: hosts.iter().map(|host| Member { name: host.name.clone(), goal: (order.goal)(host) }).collect(),
        network,
        act,
        allow: order.allow,
        secrets: given.secrets,
        sudo: given.sudo,
        connect: Box::new(over),
    };
    let mut limits = Limits::default();
    limits.jobs = global.jobs.get();
    limits.timeout = global.timeout;
    global.choice.limit(&mut limits, hosts.len());
    let provider = task.network.provider().reference();
    let results = match order.approve.filter(|_| act == Act::Reach).map(approve::recall) {
        Some(approval) => stagecraft_net::fleet::run_approved(task, &approval, &limits, &cancel, Arc::clone(&tell)),
        None => stagecraft_net::fleet::run(task, &limits, &cancel, Arc::clone(&tell)),
    };
    let results = match results {
        Ok(results) => results,
        Err(error) => {
            let message = format!("this machine has no thread or descriptor left: {error}");
            report.tell(Event::Fault { fault: Fault::Outside, message, file: None, findings: Vec::new() });
            return end(&report, Counts::default(), Exit::Outside, begun);
        }
    };
    if order.command == "plan" {
        let plan = PlanDigest::of_look(&provider, hosts.iter().map(|host| host.name.as_str()).zip(&results));
        approve::remember(&plan);
        report.tell(Event::Digest(plan));
    }
    if let Some(notice) = choice::remember(file, global, (order.goal)(&hosts[0]) == Goal::Absent, act, &hosts, &results)
    {
        report.tell(notice);
    }
    let exit = match Exit::of(&results, interrupted.get(), order.drift_counts) {
        // What was printed is not all that was asked for.
        Exit::Ok if order.answer.is_partial(&wishes, &results) => Exit::Hosts,
        exit => exit,
    };
    let exit = match journal.as_ref().and_then(|journal| journal.broken()) {
        Some(why) => {
            let message = format!("the journal could not be written: {why}\nmeans: commands ran that are not in it");
            tell.tell(Event::Fault { fault: Fault::Outside, message, file: None, findings: Vec::new() });
            if matches!(exit, Exit::Ok | Exit::Drift) { Exit::Outside } else { exit }
        }
        None => exit,
    };
    if let Some(journal) = &journal {
        journal.end(exit.code());
    }
    end(&report, results.iter().collect(), exit, begun)
}
