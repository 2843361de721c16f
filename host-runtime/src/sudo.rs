//! One password for `sudo`, shared by the hosts of a run.
//!
//! It is read once, when the first host asks for one, and tried on one host alone: a wrong password on two hundred hosts
//! at a time would lock an account that they share. The others that need it wait for the answer; hosts whose `sudo`
//! asks for nothing never do. Once a host has refused it, no other is tried.
//! Not for: how it travels ([`boundary::script`]), and secrets that a provider asks for ([`crate::secrets`]).

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::until::{Until, Wake};

/// How often a host that waits for another looks at its own clock.
const LOOK: Duration = Duration::from_millis(50);

type Read = dyn Fn() -> Result<Zeroizing<Vec<u8>>, String> + Send + Sync;

/// A password for `sudo`. Cheap to clone; all clones are one. Shows nothing, and wipes the value when the last one goes.
#[derive(Clone)]
pub struct SudoPassword(Arc<Inner>);

struct Inner {
    read: Box<Read>,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    value: Option<Result<Arc<Zeroizing<Vec<u8>>>, String>>,
    trial: Trial,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Trial {
    /// Nobody has used it yet.
    #[default]
    Open,
    /// One host tries it.
    Running,
    /// A host took it.
    Taken,
    /// This host refused it.
    Refused(String),
}

/// Why a host may not use the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// This host refused it before.
    Refused(String),
    /// There is none: why not.
    Missing(String),
    /// The clock, or the cancellation of the run.
    Over(Wake),
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    Taken,
    Refused,
    /// The host was lost, or failed in another way.
    NotSeen,
}

impl SudoPassword {
    /// This one.
    #[must_use]
    pub fn new(value: Zeroizing<Vec<u8>>) -> Self {
        let value = Mutex::new(Some(value));
        Self::from_fn(move || {
            let value = value.lock().unwrap_or_else(PoisonError::into_inner).take();
            value.ok_or_else(|| "it was read already".to_owned())
        })
    }

    /// From a function that is called once, when the first host needs it. Its error says why there is none, in words
    /// that may be printed.
    #[must_use]
    pub fn from_fn(read: impl Fn() -> Result<Zeroizing<Vec<u8>>, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { read: Box::new(read), state: Mutex::default(), news: Condvar::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a host has taken it, so that nobody need be asked whether there is a need for it.
    pub(crate) fn is_taken(&self) -> bool {
        self.state().trial == Trial::Taken
    }

    /// Waits until this host may use the password.
    pub(crate) fn turn(&self, host: &str, until: &Until) -> Result<Turn, NoTurn> {
        let mut state = self.state();
        loop {
            if let Some(wake) = until.over() {
                return Err(NoTurn::Over(wake));
            }
            match &state.trial {
                Trial::Refused(by) => return Err(NoTurn::Refused(by.clone())),
                Trial::Running => {
                    state = self.0.news.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
                }
                Trial::Open | Trial::Taken => break,
            }
        }
        let leads = state.trial == Trial::Open;
        if leads {
            state.trial = Trial::Running;
        }
        let value = match &state.value {
            Some(value) => value.clone(),
            None => {
                // It may take its time, and those who wait have clocks of their own.
                drop(state);
                let value = (self.0.read)().map(Arc::new);
                state = self.state();
                state.value.insert(value).clone()
            }
        };
        drop(state);
        let turn = |value| Turn { password: self.clone(), host: host.to_owned(), leads, value };
        match value {
            Ok(value) => Ok(turn(value)),
            Err(why) => {
                drop(turn(Arc::default()));
                Err(NoTurn::Missing(why))
            }
        }
    }
}

impl std::fmt::Debug for SudoPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SudoPassword")
    }
}

/// A host that may use the password now. Dropped without a word, it was not seen how that went.
pub(crate) struct Turn {
    password: SudoPassword,
    host: String,
    leads: bool,
    value: Arc<Zeroizing<Vec<u8>>>,
}

impl Turn {
    pub(crate) fn value(&self) -> &[u8] {
        &self.value
    }

    /// Says how it went.
    pub(crate) fn tell(mut self, tried: Tried) {
        self.finish(tried);
    }

    fn finish(&mut self, tried: Tried) {
        let mut state = self.password.state();
        let leads = std::mem::take(&mut self.leads) && state.trial == Trial::Running;
        match tried {
            Tried::Refused => state.trial = Trial::Refused(self.host.clone()),
            Tried::Taken if leads => state.trial = Trial::Taken,
            Tried::NotSeen if leads => state.trial = Trial::Open,
            _ => {}
        }
        drop(state);
        self.password.0.news.notify_all();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.finish(Tried::NotSeen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::until::Cancel;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn soon() -> Until {
        Until::after(Duration::from_secs(60), &Cancel::new().expect("an eventfd"))
    }

    fn password() -> SudoPassword {
        SudoPassword::new(Zeroizing::new(b"correct-horse".to_vec()))
    }

    #[test]
    fn one_host_tries_it_alone_and_the_others_wait_for_what_comes_of_it() {
        let password = password();
        let first = password.turn("a", &soon()).map_err(drop).expect("it leads");
        std::thread::scope(|scope| {
            let waiting: Vec<_> = ["b", "c"]
                .map(|host| {
                    let password = &password;
                    scope.spawn(move || password.turn(host, &soon()).map(|turn| turn.value().to_vec()))
                })
                .into();
            // Nobody else has a turn while the first one tries.
            let none = Until::after(Duration::from_millis(120), &Cancel::new().expect("an eventfd"));
            assert_eq!(password.turn("d", &none).map(drop), Err(NoTurn::Over(Wake::Deadline)));
            first.tell(Tried::Taken);
            for host in waiting {
                assert_eq!(host.join().expect("no panic"), Ok(b"correct-horse".to_vec()));
            }
        });
        assert!(password.is_taken());
    }

    #[test]
    fn a_refusal_is_the_last_try_whoever_it_comes_from() {
        let refused = password();
        refused.turn("a", &soon()).map_err(drop).expect("it leads").tell(Tried::Refused);
        assert_eq!(refused.turn("b", &soon()).map(drop), Err(NoTurn::Refused("a".to_owned())));
        let later = password();
        later.turn("a", &soon()).map_err(drop).expect("it leads").tell(Tried::Taken);
        later.turn("b", &soon()).map_err(drop).expect("it is taken").tell(Tried::Refused);
        assert_eq!(later.turn("c", &soon()).map(drop), Err(NoTurn::Refused("b".to_owned())));
    }

    #[test]
    fn a_host_that_is_lost_proves_nothing_and_the_next_one_tries_alone() {
        let password = password();
        drop(password.turn("a", &soon()).map_err(drop).expect("it leads"));
        assert!(password.turn("b", &soon()).map_err(drop).expect("it leads now").leads);
        assert!(!password.is_taken());
    }

    #[test]
    fn it_is_read_once_and_only_when_a_host_needs_it_and_never_shown() {
        static READS: AtomicU32 = AtomicU32::new(0);
        let password = SudoPassword::from_fn(|| {
            READS.fetch_add(1, Ordering::SeqCst);
            Err("no terminal".to_owned())
        });
        assert_eq!(READS.load(Ordering::SeqCst), 0);
        for _ in 0..2 {
            assert_eq!(password.turn("a", &soon()).map(drop), Err(NoTurn::Missing("no terminal".to_owned())));
        }
        assert_eq!(READS.load(Ordering::SeqCst), 1);
        assert_eq!(format!("{password:?}"), "SudoPassword");
    }
}
