//! `leave`: takes the named hosts out of their network. A host in another network is left alone, unless that one is named.

use stagecraft_net::contract::Goal;
use stagecraft_net::fleet::Act;

use crate::args::{Global, Leave};
use crate::exit::Exit;
use crate::fleet::{self, Order};
use crate::report::Answer;

pub(crate) fn run(global: &Global, args: &Leave) -> Exit {
    let Leave { hosts, from } = args;
    let allow = from.iter().map(|domain| format!("from:{domain}")).collect();
    let (goal, act) = (|_: &_| Goal::Absent, Act::Reach);
    fleet::run(
        global,
        Order {
            command: "leave",
            hosts,
            goal,
            act,
            allow,
            drift_counts: false,
            approve: None,
            answer: Answer::Changes,
        },
    )
}
