//! Round trips of a peer with one host, counted over a road that delays.
//!
//! The same run over a road without and with a delay: what it takes longer, divided by the delay, is how often it waited
//! for the other side. The road's near end accepts at once, so the round trip that opens the TCP connection is added: it
//! is one for each connection. Not for: what a real network does besides, such as losing packets.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::wan::{Road, Wan};

use crate::ground::Ground;
use crate::measure::run;
use crate::noop::does_its_work;
use crate::peers::{Peer, Tools};
use crate::results::{Spread, Trips};

/// The delay, both ways together.
pub const DELAY: Duration = Duration::from_millis(100);

/// Counts the round trips of all peers.
///
/// # Errors
/// When a peer fails.
pub fn measure(ground: &Ground, tools: &Tools, runs: usize) -> Result<Vec<Trips>> {
    let host = ground.first()?;
    Peer::with(tools).into_iter().map(|peer| one(peer, host, ground, tools, runs)).collect()
}

fn one(peer: Peer, host: SocketAddr, ground: &Ground, tools: &Tools, runs: usize) -> Result<Trips> {
    let mut connections = 0.0;
    let mut times = Vec::new();
    for delay in [Duration::ZERO, DELAY / 2] {
        let road = Wan::to(host, Road { delay, cut: None })?;
        let yard = ground.yard_by(road.address())?;
        (connections, _) = does_its_work(peer, ground, tools, &yard).with_context(|| peer.name())?;
        let walls: Vec<f64> = (0..runs)
            .map(|_| {
                let wall = run(&mut peer.command(tools, &yard)?, yard.dir())?.wall;
                peer.tidy(&yard)?;
                Ok(wall)
            })
            .collect::<Result<_>>()?;
        times.push(Spread::of(&walls).context("no run")?.median);
    }
    let (near, far) = (times[0], times[1]);
    eprintln!("bench: {} over the road: {near:.3} s, {far:.3} s", peer.name());
    Ok(Trips { peer, trips: (far - near) / DELAY.as_secs_f64() + connections, near, far })
}
