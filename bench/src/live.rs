//! What a guest takes while it is in a call: its linear memory, its instance, its part of the store.
//!
//! Many threads are in a call at the same time, each waiting in a host call; the same threads without a guest are what is
//! taken off. Only memory that is the process's own counts. Not for: the connection, which [`crate::crowd`] counts too.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use anyhow::{Context, Result};
use boundary::command::{Command, Output};
use stagecraft_net::artifact::Artifact;
use stagecraft_net::contract::{BatchError, Goal, Hands, Level, PauseEnd, Request, SecretHandle};
use stagecraft_net::engine::{Compile, Engine, HOST_STACK, Limits, Options};
use stagecraft_net::until::{Cancel, Until};

use crate::ground::{TAG, TAILNET};
use crate::measure::own;
use crate::results::Spread;

/// How many guests live at the same time.
const GUESTS: usize = 200;

/// KiB of one guest of the built-in provider that waits for the answer to its probe.
///
/// # Errors
/// When it does not load.
pub fn builtin() -> Result<f64> {
    let bytes = stagecraft_net::registry::Registry::builtin(&Engine::new(Options::default())?)?
        .get("tailscale")?
        .artifact()
        .bytes()
        .to_vec();
    let engine = Engine::new(Options::default())?;
    let loaded = engine.load(&Artifact::from_bytes(bytes, None)?, Compile::InProcess)?;
    let config = serde_json::json!({ "auth_key_env": "TS_AUTHKEY", "tailnet_domain": TAILNET, "default_tags": [TAG] });
    let request = Request { config: config.to_string(), goal: Goal::Joined(vec![TAG.to_owned()]), allow: Vec::new() };
    each(|hands| drop(loaded.plan(&request, hands, &minute())))
}

/// KiB of a guest by what the process has more with all of them than with the threads alone: the median of some, since
/// the allocator gives memory back when it likes.
fn each(call: impl Fn(&mut Waiting) + Sync) -> Result<f64> {
    // Whatever is made at the first call is not a guest's.
    with(1, &call)?;
    let one = || {
        let idle = with(GUESTS, &|hands: &mut Waiting| hands.wait())?;
        let live = with(GUESTS, &call)?;
        #[expect(clippy::cast_precision_loss, reason = "KiB of one process")]
        Ok((live as f64 - idle as f64) / GUESTS as f64)
    };
    let several: Vec<f64> = (0..5).map(|_| one()).collect::<Result<_>>()?;
    Ok(Spread::of(&several).context("it was measured")?.median)
}

/// The process's own memory while so many threads wait in their call, less what it had before, in KiB.
fn with(threads: usize, call: &(impl Fn(&mut Waiting) + Sync)) -> Result<u64> {
    let (all, go) = (Arc::new(Barrier::new(threads + 1)), Arc::new(Barrier::new(threads + 1)));
    let before = own().context("/proc/self/smaps_rollup")?;
    let now = std::thread::scope(|scope| {
        for _ in 0..threads {
            let mut hands = Waiting { all: all.clone(), go: go.clone(), waited: false };
            std::thread::Builder::new().stack_size(Limits::default().stack + HOST_STACK).spawn_scoped(
                scope,
                move || {
                    call(&mut hands);
                    // One that never asked must not keep the others waiting.
                    hands.wait();
                },
            )?;
        }
        all.wait();
        let now = own();
        go.wait();
        now.context("/proc/self/smaps_rollup")
    })?;
    Ok(now.saturating_sub(before))
}

fn minute() -> Until {
    // A cancellation is an eventfd: without one left, nothing here would hold anyway.
    #[expect(clippy::expect_used, reason = "a measurement ends where it cannot be taken")]
    Until::after(Duration::from_secs(60), &Cancel::new().expect("an eventfd"))
}

/// Hands that wait in the first batch until everybody does.
struct Waiting {
    all: Arc<Barrier>,
    go: Arc<Barrier>,
    waited: bool,
}

impl Waiting {
    fn wait(&mut self) {
        if !std::mem::replace(&mut self.waited, true) {
            self.all.wait();
            self.go.wait();
        }
    }
}

impl Hands for Waiting {
    fn name(&self) -> String {
        "app-1".to_owned()
    }

    fn connection(&self) -> Option<String> {
        None
    }

    fn probe(&mut self, _: Vec<Command>) -> Result<Vec<Output>, BatchError> {
        self.wait();
        Err(BatchError::Other("nobody is there".to_owned()))
    }

    fn run(&mut self, _: &str, commands: Vec<Command>) -> Result<Vec<Output>, BatchError> {
        self.probe(commands)
    }

    fn pause(&mut self, _: Duration) -> PauseEnd {
        PauseEnd::Elapsed
    }

    fn secret(&mut self, _: &str) -> Option<SecretHandle> {
        None
    }

    fn log(&mut self, _: Level, _: &str) {}
}
