//! Stops a program of a throw-away host where a test wants to cut the run: before it has done anything, in the middle of
//! it, or when it is done and nobody knows yet.
//!
//! The program that is caught writes its id down and waits until it is let go or killed. Not for: what a program has done
//! by the middle; the model says ([`tailscale_model::Machine::begin`]).

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::shared::Shared;

/// Where one program is to be caught.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// What it was called with, as [`Trap::ran`] has it.
    pub call: String,
    /// The how-manieth such call it is, from 0.
    pub nth: usize,
    /// How far it has come.
    pub moment: Moment,
}

/// How far a program has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Moment {
    /// Nothing is done.
    Before,
    /// It is at work; the number tells apart what it can be at.
    Half(u8),
    /// All is done, and nothing is said.
    After,
}

/// The trap of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trap {
    /// Every program that was played there since the trap was set, in order.
    pub ran: Vec<String>,
    /// Where one is to be caught.
    pub at: Option<At>,
    /// The one that was caught.
    pub caught: Option<u32>,
    /// Whether it may go on.
    pub go: bool,
}

impl Trap {
    /// One that catches nobody, or one there.
    #[must_use]
    pub fn set(at: Option<At>) -> Self {
        Self { at, ..Self::default() }
    }
}

/// A program that has come to the trap.
pub(super) struct Caught {
    trap: Shared<Trap>,
    /// Where this one is to stop, if it is the one.
    pub(super) moment: Option<Moment>,
}

impl Caught {
    /// Writes the call down.
    pub(super) fn enter(host: &Path, words: &[String]) -> Result<Self> {
        let trap: Shared<Trap> = Shared::at(&host.join("trap.json"));
        let call = name(words);
        let moment = trap.update(|trap| {
            let nth = trap.ran.iter().filter(|ran| **ran == call).count();
            trap.ran.push(call.clone());
            trap.at.as_ref().filter(|at| at.call == call && at.nth == nth).map(|at| at.moment)
        })?;
        Ok(Self { trap, moment })
    }

    /// Stops, until it is let go.
    pub(super) fn stop(&self) -> Result<()> {
        self.trap.update(|trap| trap.caught = Some(std::process::id()))?;
        while !self.trap.get()?.go {
            std::thread::sleep(Duration::from_millis(3));
        }
        Ok(())
    }
}

/// The call in a form that is the same from run to run. Of what `sudo` is to run, the program that it is about.
fn name(words: &[String]) -> String {
    let Some(rest) = words.strip_prefix(&["sudo".to_owned()]) else { return words.join(" ") };
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let program = match rest.as_slice() {
        ["-n", "--", "timeout", "-k", _, "--", _, "env", "--", rest @ ..] => {
            rest.iter().copied().find(|word| !word.contains('='))
        }
        ["-n", "--", "timeout", "-k", _, "--", _, rest @ ..] => rest.first().copied(),
        rest => rest.last().copied(),
    };
    format!("sudo {}", program.unwrap_or_default())
}
