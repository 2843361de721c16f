//! Everything that was measured, as one JSON file: what the page and its picture are made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::peers::Peer;

/// A measurement that was taken several times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
    /// How often it was taken.
    pub runs: usize,
}

impl Spread {
    /// Of these; `None` of none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median =
            if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[half - 1], sorted[half]) } else { sorted[half] };
        Some(Self { median, least, most, runs: sorted.len() })
    }
}

/// A peer over some hosts that are right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noop {
    /// Who.
    pub peer: Peer,
    /// Over how many hosts.
    pub hosts: usize,
    /// Wall time of a run, in seconds.
    pub wall: Spread,
    /// Processor time of a run on the controller, in seconds.
    pub cpu: Spread,
    /// The most memory of all its processes together, in MiB, in a run of its own.
    pub memory: f64,
    /// The product's wall time by this one's, run by run in the same round.
    pub ratio: Option<Spread>,
    /// TCP connections a host.
    pub connections: f64,
    /// Execs a host.
    pub execs: f64,
}

/// The product and the community's Ansible role, in turn over some real hosts on which neither has anything to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Over how many hosts.
    pub hosts: usize,
    /// Wall time of a run, in seconds: the product's, the role's.
    pub wall: [Spread; 2],
    /// Processor time of a run on the controller, in seconds: the product's, the role's.
    pub cpu: [Spread; 2],
    /// The product's wall time by the role's, round by round.
    pub ratio: Spread,
}

/// Round trips of a peer with one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trips {
    /// Who.
    pub peer: Peer,
    /// How many, the opening of the TCP connection included.
    pub trips: f64,
    /// Wall time without delay, in seconds.
    pub near: f64,
    /// Wall time with the delay, in seconds.
    pub far: f64,
}

/// Many hosts at the same time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Crowd {
    /// How many were in flight at the same moment, each in the middle of its exec.
    pub hosts: usize,
    /// The memory that the product had then, in MiB: a page that many guests map and none has written is counted once.
    pub in_flight: f64,
    /// The most memory that it had until its end, in MiB.
    pub peak: f64,
    /// The most until its end as the kernel counts it for the process, in MiB: such a page for each guest.
    #[serde(default)]
    pub resident: f64,
    /// What held it while they were in flight, in MiB, by kind.
    #[serde(default)]
    pub held: BTreeMap<String, f64>,
}

/// From the start of a process to the first byte of SSH, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The product.
    pub product: Spread,
    /// `bare-ssh2`.
    pub bare: Spread,
    /// The product when nothing is compiled yet.
    pub cold: Spread,
}

/// The machine that it was measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// How many of its cores there were.
    pub cores: usize,
    /// Memory, in MiB.
    pub memory: u64,
    /// Kernel.
    pub kernel: String,
    /// Distribution.
    pub system: String,
    /// OpenSSH.
    pub ssh: String,
    /// Compiler.
    pub rustc: String,
    /// The load just before, over one minute.
    pub load: f64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The day.
    pub day: String,
    /// The commit that was measured.
    pub commit: String,
    /// Whether only a look was wanted: fewer runs, fewer hosts.
    pub quick: bool,
    /// Where.
    pub machine: Machine,
    /// Runs that change nothing.
    pub noop: Vec<Noop>,
    /// Beside the Ansible role, where somebody gave one.
    #[serde(default)]
    pub role: Vec<Role>,
    /// Round trips.
    pub trips: Vec<Trips>,
    /// The delay of the road over which they were counted, both ways, in milliseconds.
    pub delay: f64,
    /// Start.
    pub start: Start,
    /// Many hosts.
    pub crowd: Crowd,
    /// Memory of a guest that is in a call, in KiB, by name.
    pub live: BTreeMap<String, f64>,
    /// What Criterion measured, in nanoseconds, by name.
    pub sandbox: BTreeMap<String, f64>,
}

impl Results {
    /// A peer's runs over so many hosts.
    #[must_use]
    pub fn noop(&self, peer: Peer, hosts: usize) -> Option<&Noop> {
        self.noop.iter().find(|row| row.peer == peer && row.hosts == hosts)
    }

    /// What a host more costs the product's controller, in milliseconds of its processor.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a fleet is no 2^52 hosts")]
    pub fn cpu_of_a_host(&self, peer: Peer) -> Option<f64> {
        let rows = || self.noop.iter().filter(|row| row.peer == peer);
        let (few, many) = (rows().min_by_key(|row| row.hosts)?, rows().max_by_key(|row| row.hosts)?);
        let more = many.hosts.checked_sub(few.hosts).filter(|more| *more > 0)?;
        Some((many.cpu.median - few.cpu.median) * 1e3 / more as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        let spread = |values: &[f64]| Spread::of(values).map(|spread| (spread.median, spread.least, spread.most));
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some((2.0, 1.0, 3.0)));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some((2.5, 1.0, 4.0)));
        assert_eq!(spread(&[]), None);
    }
}
