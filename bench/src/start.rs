//! From the start of the process to the first byte of SSH.
//!
//! A listener takes the place of the host's `sshd`, notes when the first byte comes and closes: what the process does then
//! is of no interest. Not for: what comes after that byte; the host decides most of it.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::ground::{Place, Script, Yard};
use crate::peers::{Peer, Tools};
use crate::results::{Spread, Start};

/// Starts the product and the bare client so many times each, in turn.
///
/// # Errors
/// When nobody connects.
pub fn measure(tools: &Tools, runs: usize) -> Result<Start> {
    let dir = tempfile::tempdir()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let place = Place {
        name: "app-1".to_owned(),
        port: listener.local_addr()?.port(),
        user: "deploy".to_owned(),
        // Nobody gets as far as a host key.
        host_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKQz1sI3cO0FfY9o0Gq3N3Hn4m1pXb0G5e7m3oV7yq1B".to_owned(),
    };
    let key = dir.path().join("key");
    lab::sshd::keygen(&key, lab::sshd::KeyType::Ed25519, "")?;
    let yard = Yard::new(&dir.path().join("yard"), &[place], &key, &Script::default())?;
    let cold = Tools { cache: dir.path().join("cold"), ..tools.clone() };
    let (mut product, mut bare, mut uncached) = (Vec::new(), Vec::new(), Vec::new());
    let first = |tools: &Tools, peer: Peer| first_byte(peer.command(tools, &yard)?, &listener, yard.dir());
    first(tools, Peer::Product)?;
    for run in 0..runs {
        product.push(first(tools, Peer::Product)?);
        bare.push(first(tools, Peer::Bare)?);
        if run < 5 {
            let _ = std::fs::remove_dir_all(&cold.cache);
            uncached.push(first(&cold, Peer::Product)?);
        }
    }
    let spread = |values: &[f64]| Spread::of(values).context("no run");
    Ok(Start { product: spread(&product)?, bare: spread(&bare)?, cold: spread(&uncached)? })
}

/// Milliseconds until the first byte.
fn first_byte(mut command: Command, listener: &TcpListener, dir: &Path) -> Result<f64> {
    /// For a process that never connects.
    const PATIENCE: Duration = Duration::from_secs(30);
    listener.set_nonblocking(true)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(dir.join("stderr"))?);
    let begun = Instant::now();
    let mut child = command.spawn()?;
    let came = (|| {
        let ready = rustix::event::poll(
            &mut [rustix::event::PollFd::new(listener, rustix::event::PollFlags::IN)],
            Some(&rustix::event::Timespec::try_from(PATIENCE)?),
        )?;
        anyhow::ensure!(ready > 0, "{} does not connect", command.get_program().display());
        let (mut stream, _) = listener.accept()?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.read_exact(&mut [0])?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    })();
    // It would try again and again.
    let _ = child.kill();
    child.wait()?;
    // Of what was already on its way, nobody is to be taken for the next one.
    while listener.accept().is_ok() {}
    came
}
