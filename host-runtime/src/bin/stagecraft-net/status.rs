//! `status`: how hosts are. The same look as `plan`, told the other way round: what is found first.

use stagecraft_net::fleet::Act;

use crate::args::{Global, Status};
use crate::exit::Exit;
use crate::fleet::{self, Order};

pub(crate) fn run(global: &Global, args: &Status) -> Exit {
    let hosts = &args.hosts;
    let (goal, act) = (fleet::joined, Act::Look);
    fleet::run(global, Order { command: "status", hosts, goal, act, allow: Vec::new(), drift_counts: false })
}
