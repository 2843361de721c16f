//! `up`: brings hosts into their network. Hosts that are right cost one look and no secret.

use stagecraft_net::fleet::Act;

use crate::args::{Allow, Global, Up};
use crate::exit::Exit;
use crate::fleet::{self, Order};
use crate::report::Answer;

pub(crate) fn run(global: &Global, args: &Up) -> Exit {
    let Up { hosts, allow, approve } = args;
    let allow = Allow::words(allow);
    fleet::run(
        global,
        Order {
            command: "up",
            hosts,
            goal: fleet::joined,
            act: Act::Reach,
            allow,
            drift_counts: false,
            answer: Answer::Changes,
            approve: *approve,
        },
    )
}
