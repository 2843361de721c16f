//! Runs that change nothing: all peers in turn, round after round, so that what the machine does meanwhile hits all.
//!
//! A ratio is taken within a round and its median over the rounds. The slow ones run in the first rounds only.

use anyhow::{Context, Result, ensure};

use crate::ground::{Ground, Yard};
use crate::measure::{Cost, memory, run};
use crate::peers::{Peer, Tools};
use crate::results::{Noop, Spread};

/// Measures all peers over the first `hosts` of the ground.
///
/// # Errors
/// When a peer fails, or did not do its work.
pub fn measure(ground: &Ground, tools: &Tools, hosts: usize, rounds: usize) -> Result<Vec<Noop>> {
    let yard = ground.yard(hosts)?;
    let peers = Peer::with(tools);
    let mut seen = Vec::new();
    for peer in &peers {
        // Warms caches, and shows that it does its work.
        seen.push(
            does_its_work(*peer, ground, tools, &yard).with_context(|| format!("{}, {hosts} hosts", peer.name()))?,
        );
    }
    let mut costs: Vec<Vec<Option<Cost>>> = vec![Vec::new(); peers.len()];
    for round in 0..rounds {
        for turn in 0..peers.len() {
            // Nobody is always behind the same one.
            let place = (turn + round) % peers.len();
            let peer = peers[place];
            let cost = if round < rounds_of(peer, hosts, rounds) { Some(one(peer, tools, &yard)?) } else { None };
            costs[place].push(cost);
        }
        eprintln!("bench: {hosts} hosts, round {} of {rounds}", round + 1);
    }
    let walls = |place: usize| costs[place].iter().map(|cost| cost.map(|cost| cost.wall)).collect::<Vec<_>>();
    let ours = walls(0);
    peers
        .iter()
        .enumerate()
        .map(|(place, peer)| {
            let mut command = peer.command(tools, &yard)?;
            let peak = memory(&mut command, yard.dir())?;
            peer.tidy(&yard)?;
            let of = |value: &dyn Fn(Cost) -> f64| {
                let values: Vec<f64> = costs[place].iter().flatten().map(|cost| value(*cost)).collect();
                Spread::of(&values).context("no run")
            };
            let ratios: Vec<f64> =
                ours.iter().zip(walls(place)).filter_map(|(ours, theirs)| Some(ours.as_ref()? / theirs?)).collect();
            let (connections, execs) = seen[place];
            Ok(Noop {
                peer: *peer,
                hosts,
                wall: of(&|cost| cost.wall)?,
                cpu: of(&|cost| cost.cpu)?,
                memory: mib(peak),
                ratio: Spread::of(&ratios).filter(|_| *peer != Peer::Product),
                connections,
                execs,
            })
        })
        .collect()
}

/// One run that is timed.
fn one(peer: Peer, tools: &Tools, yard: &Yard) -> Result<Cost> {
    let cost = run(&mut peer.command(tools, yard)?, yard.dir())?;
    peer.tidy(yard)?;
    Ok(cost)
}

/// Runs it once and looks at the hosts: all of them must have been asked, and by this one. Gives connections and execs a
/// host.
///
/// # Errors
/// When it fails, when its output is not whole, or when a host has not seen it.
pub fn does_its_work(peer: Peer, ground: &Ground, tools: &Tools, yard: &Yard) -> Result<(f64, f64)> {
    let hosts = yard.names().len();
    let before = ground.seen();
    ground.take_calls()?;
    run(&mut peer.command(tools, yard)?, yard.dir())?;
    peer.check(yard)?;
    peer.tidy(yard)?;
    let calls = ground.take_calls()?;
    let (mut connections, mut execs) = (0, 0);
    for (place, (after, before)) in ground.seen().into_iter().zip(before).enumerate() {
        connections += after.0 - before.0;
        execs += after.1 - before.1;
        let asked = place < hosts;
        ensure!((after.1 > before.1) == asked, "host {}: {} execs", place + 1, after.1 - before.1);
        for wanted in ["tailscale status --json", "systemctl "] {
            ensure!(calls[place].contains(wanted) == asked, "host {}: `{wanted}`:\n{}", place + 1, calls[place]);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of a few hundred")]
    let each = |count: usize| count as f64 / hosts as f64;
    Ok((each(connections), each(execs)))
}

/// How often a peer runs: one that takes a minute runs once or twice.
fn rounds_of(peer: Peer, hosts: usize, rounds: usize) -> usize {
    match peer {
        Peer::Ansible if hosts >= 100 => rounds.min(1),
        Peer::Ansible => rounds.min(3),
        Peer::Pyinfra => rounds.min(5),
        _ => rounds,
    }
}

#[expect(clippy::cast_precision_loss, reason = "no machine has so much")]
pub(crate) fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
