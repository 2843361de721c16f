//! `plan`: what would change, host by host. Changes nothing and reads no secret.

use stagecraft_net::fleet::Act;

use crate::args::{Allow, Global, Plan};
use crate::exit::Exit;
use crate::fleet::{self, Order};
use crate::report::Answer;

pub(crate) fn run(global: &Global, args: &Plan) -> Exit {
    let Plan { hosts, detailed_exitcode, allow } = args;
    fleet::run(
        global,
        Order {
            command: "plan",
            hosts,
            goal: fleet::joined,
            act: Act::Look,
            allow: Allow::words(allow),
            drift_counts: *detailed_exitcode,
            answer: Answer::Changes,
            approve: None,
        },
    )
}
