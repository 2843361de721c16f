//! `export`: what the network says the hosts are, in the words of another program. Changes nothing.

use stagecraft_net::event::Fault;
use stagecraft_net::fleet::Act;

use crate::args::{Export, Global};
use crate::exit::Exit;
use crate::fleet::{self, Order};
use crate::project::{Stop, stopped};
use crate::report::{Answer, ExportFormat};

pub(crate) fn run(global: &Global, args: &Export) -> Exit {
    const COMMAND: &str = "export";
    let Export { hosts, format, services } = args;
    let compose = *format == ExportFormat::Compose;
    let wrong = match (global.json, services.is_empty()) {
        (true, _) => Some("--json is the stream of events, and an export is another answer: leave --json out"),
        (_, true) if compose => Some("a compose file gives the hosts to services: name them with --service NAME"),
        (_, false) if !compose => Some("--service belongs to --format compose"),
        _ => None,
    };
    if let Some(why) = wrong {
        return stopped(global.json, 0, COMMAND, Some(&global.env), &Stop::new(Fault::Usage, why));
    }
    let answer = Answer::Export { format: *format, services: services.clone() };
    let (goal, act) = (fleet::joined, Act::Look);
    fleet::run(
        global,
        Order { command: COMMAND, hosts, goal, act, allow: Vec::new(), drift_counts: false, approve: None, answer },
    )
}
