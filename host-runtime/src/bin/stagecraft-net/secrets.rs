//! Where this run's secrets come from: `--secret SLOT=SOURCE` and `--ask-sudo-password`.
//!
//! Everything that can be wrong with them is told before anything is connected, and nothing of what stands behind the
//! `=` is: somebody may have put the secret itself there. Not for: reading them before they are needed.

use std::collections::BTreeMap;
use std::time::Duration;

use boundary::script::SUDO_PASSWORD;
use clap::Args;
use stagecraft_net::contract::{SecretSlot, Severity};
use stagecraft_net::event::{Event, Fault};
use stagecraft_net::inventory::Finding;
use stagecraft_net::secrets::{Secrets, Source};
use stagecraft_net::sudo::SudoPassword;
use stagecraft_net::until::{Cancel, Until};
use zeroize::Zeroizing;

use crate::passphrase;
use crate::project::{Stop, quoted};

/// What the command line says of secrets.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SecretArgs {
    /// Where a secret is to be had: SLOT=env:NAME, file:PATH, cmd:PROGRAM ARGUMENTS or fd:N; the slot `sudo-password` is
    /// the password for sudo
    // A text, and not parsed here: a wrong one would be repeated in the message.
    #[arg(long = "secret", global = true, value_name = "SLOT=SOURCE", hide_env = true)]
    given: Vec<String>,
    /// Ask for the password for sudo, once for all hosts
    #[arg(long, global = true)]
    ask_sudo_password: bool,
}

/// Where they come from in this run.
pub(crate) struct Given {
    pub(crate) secrets: Secrets,
    pub(crate) sudo: Option<SudoPassword>,
    /// Worth a word.
    pub(crate) notices: Vec<Event>,
}

impl SecretArgs {
    /// The same, where the file says that the password for sudo is to be asked for: then it is, unless it is given.
    pub(crate) fn asking(&self, file: bool) -> Self {
        let given = self.given.iter().any(|given| given.split_once('=').is_some_and(|(slot, _)| slot == SUDO_PASSWORD));
        Self { ask_sudo_password: self.ask_sudo_password || file && !given, ..self.clone() }
    }

    /// No program that is started from now on is lent what the command line says is a secret.
    pub(crate) fn withhold(&self) {
        for (_, source) in self.given.iter().filter_map(|given| given.split_once('=')) {
            if let Ok(Source::Env(variable)) = Source::parse(source) {
                stagecraft_net::secrets::withhold(&variable);
            }
        }
    }

    /// Checks all of it against the slots that the provider has.
    pub(crate) fn open(&self, slots: &[SecretSlot], cancel: &Cancel) -> Result<Given, Stop> {
        let mut sources = self.sources(slots)?;
        let notices = sources.values().filter_map(notice).collect();
        let sudo = match (sources.remove(SUDO_PASSWORD), self.ask_sudo_password) {
            (Some(_), true) => {
                let message = "the password for sudo is given twice: --ask-sudo-password and --secret sudo-password\n\
                               do: keep one of the two";
                return Err(Stop::new(Fault::Usage, message));
            }
            (Some(source), false) => {
                let cancel = cancel.clone();
                Some(SudoPassword::from_fn(move || source.read(&Until::after(Duration::MAX, &cancel))))
            }
            (None, true) => Some(asked(cancel)?),
            (None, false) => None,
        };
        let mut secrets = Secrets::from_env();
        for (slot, source) in sources {
            let (from, cancel) = (source.to_string(), cancel.clone());
            secrets = secrets.with(&slot, from, move || source.read(&Until::after(Duration::MAX, &cancel)));
        }
        Ok(Given { secrets, sudo, notices })
    }

    /// The same for a command to run next. For a run that began: a source that was wrong is not repeated.
    pub(crate) fn again(&self) -> String {
        let mut again = String::new();
        for given in
            self.given.iter().filter(|given| given.split_once('=').is_some_and(|(_, it)| Source::parse(it).is_ok()))
        {
            again += " --secret ";
            again += &quoted(given);
        }
        if self.ask_sudo_password {
            again += " --ask-sudo-password";
        }
        again
    }

    fn sources(&self, slots: &[SecretSlot]) -> Result<BTreeMap<String, Source>, Stop> {
        const FORMS: &str = "wanted: env:NAME, file:PATH, cmd:PROGRAM ARGUMENTS or fd:N behind the =";
        let known: Vec<&str> = slots.iter().map(|slot| slot.slot.as_str()).chain([SUDO_PASSWORD]).collect();
        let usage = |message: String| Stop::new(Fault::Usage, message);
        let mut sources = BTreeMap::new();
        for given in &self.given {
            let slots = format!("wanted: SLOT=SOURCE, with one of these slots: {}", known.join(", "));
            let (slot, source) = given.split_once('=').ok_or_else(|| {
                usage(format!("--secret: it has no = in it, and is not shown since it may be a secret\n{slots}"))
            })?;
            let Some(slot) = known.iter().find(|known| **known == slot) else {
                return Err(usage(format!("--secret: what stands before the = is no slot\n{slots}")));
            };
            let source = Source::parse(source).map_err(|why| usage(format!("--secret {slot}: {why}\n{FORMS}")))?;
            if sources.insert((*slot).to_owned(), source).is_some() {
                return Err(usage(format!("--secret {slot} is given twice\ndo: keep one of the two")));
            }
        }
        Ok(sources)
    }
}

/// Asks for the password when the first host needs it, so that Ctrl-C is heard by then; but where nobody can answer, that
/// is told now.
fn asked(cancel: &Cancel) -> Result<SudoPassword, Stop> {
    if !passphrase::can_ask() {
        let message = "--ask-sudo-password: there is no terminal to ask on\n\
                       do: --secret sudo-password=env:NAME, file:PATH, cmd:PROGRAM ARGUMENTS or fd:N";
        return Err(Stop::new(Fault::Usage, message));
    }
    let cancel = cancel.clone();
    Ok(SudoPassword::from_fn(move || match passphrase::ask("password for sudo", &cancel) {
        Some(password) => Ok(Zeroizing::new(password.as_bytes().to_vec())),
        None => Err("nothing was typed".to_owned()),
    }))
}

/// A file that others can read too. It is read all the same: in a container that is how secrets are handed in.
fn notice(source: &Source) -> Option<Event> {
    let mode = source.open_to_others()?;
    let finding = Finding {
        severity: Severity::Warning,
        code: "secret-file-open".to_owned(),
        summary: format!("every user of this machine may read {source} (mode {mode:04o})"),
        detail: Some("do: chmod go= it, unless it is handed in by a container's own means".to_owned()),
        pointer: String::new(),
        place: None,
        option: Some("--secret".to_owned()),
    };
    Some(Event::Notice { file: None, finding })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(given: &[&str]) -> Result<Vec<String>, String> {
        let slots = [SecretSlot { slot: "auth-key".to_owned(), env_config_path: "/k".to_owned(), kinds: Vec::new() }];
        let args = SecretArgs { given: given.iter().map(|&one| one.to_owned()).collect(), ask_sudo_password: false };
        args.sources(&slots).map(|found| found.into_keys().collect()).map_err(|stop| format!("{stop:?}"))
    }

    #[test]
    fn each_slot_has_one_source_and_nothing_that_is_wrong_is_repeated() {
        let both = ["auth-key=file:/run/key", "sudo-password=env:SUDO_PW"];
        assert_eq!(open(&both), Ok(vec!["auth-key".to_owned(), "sudo-password".to_owned()]));
        for given in
            ["kSECRET", "kSECRET=env:A", "auth-key=kSECRET", "auth-key=env:tskey-kSECRET", "auth-key=fd:kSECRET"]
        {
            let told = open(&[given]).expect_err(given);
            assert!(!told.contains("kSECRET") && told.contains("wanted"), "{told}");
        }
        assert!(open(&["auth-key=fd:3", "auth-key=fd:4"]).is_err_and(|told| told.contains("twice")));
    }
}
