//! `fqdn`: a host's name in the network. Pure: no network, no secret, no clock (C5).

use std::time::Instant;

use stagecraft_net::event::{Counts, Event, Fault, SCHEMA, Tell};
use stagecraft_net::until::Cancel;

use crate::args::{Fqdn, Global};
use crate::exit::Exit;
use crate::project::{Project, Stop, end, report, stopped};
use crate::report::Context;

pub(crate) fn run(global: &Global, args: &Fqdn) -> Exit {
    let begun = Instant::now();
    let project = match name(global, &args.host) {
        Ok(project) => project,
        Err(stop) => return stopped(global.json, global.verbose, "fqdn", Some(&global.env), &stop),
    };
    let (project, fqdn) = project;
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

fn name(global: &Global, host: &str) -> Result<(Project, String), Stop> {
    let cancel = Cancel::new().map_err(|error| Stop::new(Fault::Outside, error.to_string()))?;
    let project = Project::open(global, &[], &cancel)?;
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
