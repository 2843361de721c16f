//! `fqdn`: a host's name in the network. Pure: no network, no secret, no clock (C5).

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use stagecraft_net::event::{Counts, Event, Fault, SCHEMA, Tell};
use stagecraft_net::until::Cancel;

use crate::args::{Fqdn, Global};
use crate::exit::Exit;
use crate::project::{Project, Stop, end, report, stopped};
use crate::report::Context;
use crate::signals;

pub(crate) fn run(global: &Global, args: &Fqdn) -> Exit {
    let begun = Instant::now();
    let stop = |stop: Stop| stopped(global.json, global.verbose, "fqdn", Some(&global.env), &stop);
    let cancel = match Cancel::new() {
        Ok(cancel) => cancel,
        Err(error) => return stop(Stop::new(Fault::Outside, format!("this machine has no descriptor left: {error}"))),
    };
    // The command of an inventory may take its time.
    let interrupted = signals::listen(cancel.clone(), Arc::new(OnceLock::new()));
    let (project, fqdn) = match name(global, &args.host, &cancel) {
        Ok(named) => named,
        Err(why) => {
            let exit = stop(why);
            return if interrupted.get() { Exit::Interrupted } else { exit };
        }
    };
    let report = match report(global.json, global.verbose, Context::default()) {
        Ok(report) => report,
        Err(exit) => return exit,
    };
    report.tell(Event::Begin {
        schema: SCHEMA,
        command: "fqdn".to_owned(),
        environment: Some(global.env.clone()),
        provider: Some(project.network.provider().reference()),
        hosts: Vec::new(),
    });
    project.notices().into_iter().for_each(|notice| report.tell(notice));
    report.tell(Event::Name { host: args.host.clone(), fqdn });
    end(&report, Counts::default(), Exit::Ok, begun)
}

fn name(global: &Global, host: &str, cancel: &Cancel) -> Result<(Project, String), Stop> {
    let project = Project::open(global, &[], cancel)?;
    // A file without hosts may get them from elsewhere; where it lists them, a typing error is an error.
    if !project.inventory.hosts().is_empty() {
        project.inventory.host(host).map_err(|why| Stop::new(Fault::Usage, why))?;
    }
    let fqdn = project.network.node_fqdn(host).map_err(|failed| {
        let detail = failed.diagnostics.first().and_then(|first| first.detail.clone()).unwrap_or_default();
        Stop::new(Fault::Config, format!("{failed}\n{detail}"))
    })?;
    Ok((project, fqdn))
}
