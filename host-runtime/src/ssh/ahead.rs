//! `ssh` asked of one host before anybody needs to know: it answers while the provider is loaded.
//!
//! To start `ssh` takes as long as loading the provider does, so the first connection begins a third sooner. The question
//! is the one that would be asked later, and the answer is used as that one would be. Not for: hosts without an address,
//! each of which is asked for on its own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::config::Dump;
use super::target::{Endpoint, MOST, Resolver};
use crate::program::{self, Begun};
use crate::until::Until;

/// What was asked ahead, if anything was.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Nothing,
    /// Nobody has waited for the answer yet. These variables of our environment `ssh` was not lent.
    Asked(Endpoint, Begun, BTreeSet<String>),
    Heard(Endpoint, Arc<Dump>),
}

impl Resolver {
    /// Asks of this host now. Which of our variables hold secrets is not known yet: those whose names are among `texts`
    /// are withheld too.
    pub(crate) fn ask_ahead(&self, endpoint: Endpoint, texts: &[&str]) {
        let mut withheld = program::withheld();
        withheld.extend(texts.iter().filter(|text| program::is_set(text)).map(|&text| text.to_owned()));
        self.ask_without(endpoint, withheld);
    }

    fn ask_without(&self, endpoint: Endpoint, withheld: BTreeSet<String>) {
        let Some(asked) = endpoint.address.as_deref().filter(|_| endpoint.is_harmless()) else { return };
        let mut command = self.question(&endpoint, asked);
        for name in &withheld {
            command.env_remove(name);
        }
        // Whatever is wrong is told when it is asked again.
        if let Ok(begun) = Begun::spawn(&mut command, MOST) {
            *self.ahead.0.lock().unwrap_or_else(PoisonError::into_inner) = State::Asked(endpoint, begun, withheld);
        }
    }

    /// The answer for this host, if it is the one that was asked of ahead. The first who comes here waits for it, and the
    /// others for him: from then on it is known for all hosts that are like it.
    pub(super) fn heard(&self, endpoint: &Endpoint, until: &Until) -> Option<Arc<Dump>> {
        self.hear(endpoint, &program::withheld(), until)
    }

    /// Where `ssh` was lent other variables than it would be lent now, its answer is not waited for.
    fn hear(&self, endpoint: &Endpoint, withhold: &BTreeSet<String>, until: &Until) -> Option<Arc<Dump>> {
        let mut state = self.ahead.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Asked(..))
            && let State::Asked(of, begun, withheld) = std::mem::take(&mut *state)
            && let Some(address) = of.address.as_deref().filter(|_| withheld == *withhold)
        {
            // An error is nobody's answer, so it is asked again, and told then.
            let answer = self.alike(&of, address, || self.read(&of.name, |limit| begun.answer(limit), until));
            if let Ok(Some(dump)) = answer {
                *state = State::Heard(of, dump);
            }
        }
        match &*state {
            State::Heard(of, dump) if of == endpoint => Some(Arc::clone(dump)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::target::tests::local;
    use super::*;
    use crate::until::Cancel;
    use std::time::Duration;

    /// Written by another process: a program that is still open for writing here, in a child that another test has just
    /// started, cannot be run.
    fn script(path: &std::path::Path, text: &str) {
        let mut write = std::process::Command::new("sh");
        write.args(["-c", "printf '#!/bin/sh\n%s' \"$1\" >\"$2\" && chmod +x \"$2\"", "write", text]).arg(path);
        assert!(write.status().expect("sh").success());
    }

    /// A resolver whose `ssh` writes down how it was called, with one variable, and reads the file that is given.
    fn resolver(dir: &std::path::Path, config: &str) -> Resolver {
        let (ssh, read) = (dir.join("ssh"), dir.join("config"));
        std::fs::write(&read, config).expect("written");
        let said = format!("echo \"debug1: Reading configuration data {}\" >&2", read.display());
        let asked = format!("echo \"$* ${{CARGO_PKG_NAME-none}}\" >>{}", dir.join("asked").display());
        script(&ssh, &format!("{asked}\n{said}\necho user ada\n"));
        local(ssh.display().to_string().leak())
    }

    fn host(address: &str) -> Endpoint {
        Endpoint { address: Some(address.to_owned()), ..Endpoint::alias("app-1") }
    }

    fn asked(dir: &std::path::Path) -> Vec<String> {
        let text = std::fs::read_to_string(dir.join("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn minute() -> Until {
        Until::after(Duration::from_secs(60), &Cancel::new().expect("an eventfd"))
    }

    #[test]
    fn what_was_asked_ahead_is_not_asked_again_for_that_host_nor_for_those_like_it() {
        for (config, for_another) in [("Host 192.0.2.*\n", 1), ("Match all\n", 2)] {
            let dir = tempfile::tempdir().expect("a directory");
            let resolver = resolver(dir.path(), config);
            let withheld = BTreeSet::from(["CARGO_PKG_NAME".to_owned()]);
            resolver.ask_without(host("10.0.0.1"), withheld.clone());
            // Another one may come first.
            assert!(resolver.hear(&host("10.0.0.2"), &withheld, &minute()).is_none());
            let dump = resolver.hear(&host("10.0.0.1"), &withheld, &minute()).expect("it was asked");
            assert_eq!(dump.get("user"), Some("ada"));
            assert_eq!(asked(dir.path()), ["-G -v -- 10.0.0.1 none"], "and the secret was not lent");
            resolver.resolve(&host("10.0.0.2"), &minute()).expect("resolved");
            assert_eq!(asked(dir.path()).len(), for_another, "{config}");
        }
    }

    #[test]
    fn an_answer_is_dropped_where_ssh_would_be_lent_other_variables_now_or_failed() {
        let dir = tempfile::tempdir().expect("a directory");
        let resolver = resolver(dir.path(), "");
        resolver.ask_without(host("10.0.0.1"), BTreeSet::new());
        let withheld = BTreeSet::from(["CARGO_PKG_NAME".to_owned()]);
        assert!(resolver.hear(&host("10.0.0.1"), &withheld, &minute()).is_none());
        assert!(resolver.hear(&host("10.0.0.1"), &BTreeSet::new(), &minute()).is_none(), "nor kept");

        script(&dir.path().join("ssh"), "exit 255\n");
        resolver.ask_without(host("10.0.0.1"), BTreeSet::new());
        assert!(resolver.hear(&host("10.0.0.1"), &BTreeSet::new(), &minute()).is_none());

        resolver.ask_without(host("-oProxyCommand=x"), BTreeSet::new());
        resolver.ask_without(Endpoint::alias("app-1"), BTreeSet::new());
        assert!(matches!(*resolver.ahead.0.lock().expect("no panic"), State::Nothing));
    }
}
