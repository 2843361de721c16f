//! `explain`: all that is known of one host, what `up` would do there and why, and what it would never do. Changes nothing.

use stagecraft_net::fleet::Act;

use crate::args::{Explain, Global};
use crate::exit::Exit;
use crate::fleet::{self, Order};
use crate::report::Answer;

pub(crate) fn run(global: &Global, args: &Explain) -> Exit {
    fleet::run(
        global,
        Order {
            command: "explain",
            hosts: std::slice::from_ref(&args.host),
            goal: fleet::joined,
            act: Act::Look,
            allow: Vec::new(),
            drift_counts: false,
            approve: None,
            answer: Answer::Story,
        },
    )
}
