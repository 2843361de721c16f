//! `status`: how hosts are. The same look as `plan`, told the other way round: what is found first.

use stagecraft_net::event::Fault;
use stagecraft_net::fleet::Act;

use crate::args::{Global, Status};
use crate::exit::Exit;
use crate::fleet::{self, Order};
use crate::project::{Stop, stopped};
use crate::report::{Answer, Form};

pub(crate) fn run(global: &Global, args: &Status) -> Exit {
    const COMMAND: &str = "status";
    let Status { hosts, format, all, expiry_days } = args;
    if global.json && *format != Form::Table {
        let why = "--json is the stream of events, and --format is another answer: choose one";
        return stopped(true, 0, COMMAND, Some(&global.env), &Stop::new(Fault::Usage, why));
    }
    let answer = Answer::Glance { form: *format, all: *all, expiry_days: *expiry_days };
    let (goal, act) = (fleet::joined, Act::Look);
    fleet::run(
        global,
        Order { command: COMMAND, hosts, goal, act, allow: Vec::new(), drift_counts: false, approve: None, answer },
    )
}
