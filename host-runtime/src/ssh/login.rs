//! Logging in with a public key: which keys, in which order, and how many.
//!
//! The key that the project's file names comes first. Then as OpenSSH does it: keys of the agent that `ssh_config`
//! names, the agent's other keys (unless `IdentitiesOnly`), key files. A server hangs up after `MaxAuthTries` keys, and
//! its penalties grow with each, so no more than its default are offered. Nothing asks which ways there are before the
//! first key: that would cost a round trip. Not for: passwords.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use boundary::known_hosts::HostKey;
use zeroize::Zeroizing;

use super::agent::{Agent, Identity, Lent};
use super::keys::{self, KeyFile};
use super::link::{Fault, Link, code, code_of};
use super::target::Target;
use super::wire::Halt;
use crate::until::{Until, Wake};

/// `MaxAuthTries` where nobody has set it.
const TRIES: usize = 6;
/// How long an agent may take to list its keys; it asks nobody for that.
const LISTING: Duration = Duration::from_secs(5);

/// A key, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The key: its type and fingerprint, and where it is.
    pub key: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Outcome {
    /// The server does not take it.
    #[error("refused")]
    Refused,
    /// The server knows it, and nothing signed with it.
    #[error("known to the server, but {0}")]
    NotSigned(&'static str),
    /// It is encrypted, no agent holds it, and nobody gave a passphrase.
    #[error("encrypted, and no agent holds it")]
    Encrypted,
    /// It was not offered, for this reason.
    #[error("{0}")]
    Unusable(String),
    /// The connection ended with it.
    #[error("the server ended the connection")]
    HungUp,
}

/// Why nobody was let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// Every key that was looked at, in order.
    pub tried: Vec<Tried>,
    /// Keys that were not tried, since a server hangs up after so many.
    pub left: usize,
    /// The ways to log in that the server offers, when it still said so.
    pub offered: Option<String>,
    /// The server ended the connection.
    pub hung_up: bool,
}

/// Why the log-in did not come to its end.
#[derive(Debug)]
pub(super) enum NoLogin {
    Refused(Refusal),
    Fault(Fault),
}

impl From<Fault> for NoLogin {
    fn from(fault: Fault) -> Self {
        NoLogin::Fault(fault)
    }
}

/// One key to offer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offer {
    label: String,
    by: By,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    Agent(Vec<u8>),
    File { path: PathBuf, text: Zeroizing<String>, encrypted: bool },
}

/// Logs in, or says all that was tried.
pub(super) fn log_in(link: &mut Link, target: &Target, until: &Until) -> Result<(), NoLogin> {
    let mut login = Login { link, target, until, refusal: Refusal::default(), offers: 0 };
    let named = target.identity.as_deref().map(|path| (path, keys::read(path)));

    // Nothing else is read or asked when the named key works.
    let mut rest = named;
    if let Some((path, KeyFile::Private { text, encrypted: false, public })) = &rest {
        let by = By::File { path: (*path).to_owned(), text: text.clone(), encrypted: false };
        let first = Offer { label: label(public.as_deref(), &path.display().to_string()), by };
        if login.offer(&first, None)? {
            return Ok(());
        }
        rest = None;
    }

    let (agent, identities) = login.agent_keys()?;
    let files: Vec<(&Path, KeyFile)> = target
        .identities
        .iter()
        .filter(|path| target.identity.as_ref() != Some(path))
        .map(|path| (path.as_path(), keys::read(path)))
        .collect();
    let (offers, unusable) = plan(rest.as_ref(), &files, &identities, target.identities_only);
    login.refusal.tried.extend(unusable);

    let asked: Vec<Vec<u8>> = offers
        .iter()
        .take(TRIES - login.offers)
        .filter_map(|offer| match &offer.by {
            By::Agent(blob) => Some(blob.clone()),
            By::File { .. } => None,
        })
        .collect();
    let lent = match agent {
        Some(agent) if !asked.is_empty() => match Lent::to(login.link.session(), agent, &asked, until) {
            Ok(lent) => Some(lent),
            Err(error) => {
                login.note("the agent", Outcome::Unusable(super::wire::plain(&error)));
                None
            }
        },
        _ => None,
    };
    for (index, offer) in offers.iter().enumerate() {
        login.refusal.left = offers.len() - index;
        if login.offers == TRIES {
            break;
        }
        login.refusal.left -= 1;
        if login.offer(offer, lent.as_ref())? {
            return Ok(());
        }
    }
    login.give_up()
}

struct Login<'a> {
    link: &'a mut Link,
    target: &'a Target,
    until: &'a Until,
    refusal: Refusal,
    /// How many keys the server has seen.
    offers: usize,
}

impl Login<'_> {
    fn note(&mut self, key: impl Into<String>, outcome: Outcome) {
        self.refusal.tried.push(Tried { key: key.into(), outcome });
    }

    /// The agent and its keys, if there is one.
    fn agent_keys(&mut self) -> Result<(Option<Agent>, Vec<Identity>), NoLogin> {
        let Some(path) = &self.target.agent else { return Ok((None, Vec::new())) };
        let listed = Agent::connect(path)
            .and_then(|agent| agent.identities(&self.until.sooner(LISTING)).map(|identities| (agent, identities)));
        match listed {
            Ok((agent, identities)) => Ok((Some(agent), identities)),
            Err(error) => {
                self.still_time()?;
                self.note(format!("the agent at {}", path.display()), Outcome::Unusable(super::wire::plain(&error)));
                Ok((None, Vec::new()))
            }
        }
    }

    fn still_time(&self) -> Result<(), NoLogin> {
        match self.until.over() {
            None => Ok(()),
            Some(Wake::Cancelled) => Err(Fault::Halt(Halt::Cancelled).into()),
            Some(_) => Err(Fault::Halt(Halt::Deadline).into()),
        }
    }

    /// Offers one key. Whether it opened the door.
    fn offer(&mut self, offer: &Offer, agent: Option<&Lent>) -> Result<bool, NoLogin> {
        let (until, user) = (self.until, self.target.user.as_str());
        let result = match &offer.by {
            By::Agent(blob) => {
                // Why there is none is noted already.
                let Some(agent) = agent else { return Ok(false) };
                self.link.drive(until, |_| agent.log_in(user, blob))
            }
            By::File { path, text, encrypted } => {
                let mut passphrase = Zeroizing::new(String::new());
                if *encrypted {
                    match self.target.passphrases.as_ref().and_then(|ask| ask(path)) {
                        Some(given) => passphrase = given,
                        None => {
                            self.note(&offer.label, Outcome::Encrypted);
                            return Ok(false);
                        }
                    }
                }
                self.link.drive(until, |session| session.userauth_pubkey_memory(user, None, text, Some(&passphrase)))
            }
        };
        let error = match result {
            Ok(()) => return Ok(true),
            Err(Fault::Ssh(error)) => error,
            Err(Fault::Halt(Halt::Ended)) => ssh2::Error::from_errno(ssh2::ErrorCode::Session(code::SOCKET_DISCONNECT)),
            Err(fault) => return Err(fault.into()),
        };
        // A thread that lends the agent hangs up when the time is over, and libssh2 cannot know why.
        self.still_time()?;
        let (seen, outcome) = outcome(&error, matches!(offer.by, By::Agent(_)));
        self.offers += usize::from(seen);
        let hung_up = outcome == Outcome::HungUp;
        self.note(&offer.label, outcome);
        match hung_up {
            false => Ok(false),
            // Nothing was refused yet: a connection that broke, or a server that bans.
            true if self.offers <= 1 => Err(Fault::Halt(Halt::Ended).into()),
            true => {
                self.refusal.hung_up = true;
                Err(NoLogin::Refused(std::mem::take(&mut self.refusal)))
            }
        }
    }

    /// Asks which ways there are, for the message. A server that lets anybody in does so here.
    fn give_up(mut self) -> Result<(), NoLogin> {
        let (until, user) = (self.until, self.target.user.as_str());
        // The binding panics on an answer that is not UTF-8.
        let asked = catch_unwind(AssertUnwindSafe(|| {
            self.link.drive(until, |session| session.auth_methods(user).map(str::to_owned))
        }));
        if self.link.session().authenticated() {
            return Ok(());
        }
        self.still_time()?;
        self.refusal.offered = asked.ok().and_then(Result::ok).filter(|methods| !methods.is_empty());
        Err(NoLogin::Refused(self.refusal))
    }
}

/// What an error of libssh2 says of a key: whether the server has seen it, and what came of it.
fn outcome(error: &ssh2::Error, by_agent: bool) -> (bool, Outcome) {
    let text = error.message();
    match code_of(error) {
        code::AUTHENTICATION_FAILED => (true, Outcome::Refused),
        code::PUBLICKEY_UNVERIFIED if text.starts_with("Invalid signature") => {
            (true, Outcome::NotSigned("it refused the signature"))
        }
        code::PUBLICKEY_UNVERIFIED if text.starts_with("Callback") && by_agent => {
            (true, Outcome::NotSigned("the agent did not sign"))
        }
        code::PUBLICKEY_UNVERIFIED if text.starts_with("Callback") => {
            (true, Outcome::NotSigned("the file could not sign"))
        }
        code::METHOD_NOT_SUPPORTED | code::ALGO_UNSUPPORTED => {
            (false, Outcome::Unusable("the server takes no signature that this key can make".to_owned()))
        }
        code::SOCKET_DISCONNECT | code::SOCKET_RECV | code::SOCKET_SEND | code::PUBLICKEY_UNVERIFIED => {
            (true, Outcome::HungUp)
        }
        _ => (false, Outcome::Unusable("it cannot be read: a wrong passphrase, or a damaged file".to_owned())),
    }
}

/// The keys to offer, in order, and those that cannot be.
fn plan(
    named: Option<&(&Path, KeyFile)>,
    files: &[(&Path, KeyFile)],
    agent: &[Identity],
    only: bool,
) -> (Vec<Offer>, Vec<Tried>) {
    let mut offers: Vec<Offer> = Vec::new();
    let mut unusable = Vec::new();
    let held = |key: &KeyFile| {
        let (KeyFile::Public(blob) | KeyFile::Private { public: Some(blob), .. }) = key else { return None };
        agent.iter().find(|identity| identity.blob == *blob)
    };
    let from_agent = |identity: &Identity, offers: &mut Vec<Offer>, unusable: &mut Vec<Tried>| {
        let label = label(Some(&identity.blob), &format!("agent, {:?}", identity.comment));
        let by = By::Agent(identity.blob.clone());
        match keys::unsupported(&identity.blob) {
            Some(why) if unusable.iter().all(|tried| tried.key != label) => {
                unusable.push(Tried { key: label, outcome: Outcome::Unusable(why) });
            }
            None if offers.iter().all(|offer| offer.by != by) => offers.push(Offer { label, by }),
            _ => {}
        }
    };
    let from_file = |path: &Path, key: &KeyFile, offers: &mut Vec<Offer>, unusable: &mut Vec<Tried>| {
        let place = path.display().to_string();
        let mut no =
            |why: &str| unusable.push(Tried { key: place.clone(), outcome: Outcome::Unusable(why.to_owned()) });
        match key {
            KeyFile::Private { text, encrypted, public } => {
                let by = By::File { path: path.to_owned(), text: text.clone(), encrypted: *encrypted };
                offers.push(Offer { label: label(public.as_deref(), &place), by });
            }
            KeyFile::Public(_) => no("a public key, and no agent holds its other half"),
            KeyFile::Unusable(reason) => no(reason),
            KeyFile::Missing => {}
        }
    };

    if let Some((path, key)) = named {
        match (held(key), key) {
            (Some(identity), _) => from_agent(identity, &mut offers, &mut unusable),
            (None, KeyFile::Missing) => {
                let outcome = Outcome::Unusable("there is no such file".to_owned());
                unusable.push(Tried { key: path.display().to_string(), outcome });
            }
            (None, _) => from_file(path, key, &mut offers, &mut unusable),
        }
    }
    for identity in files.iter().filter_map(|(_, key)| held(key)) {
        from_agent(identity, &mut offers, &mut unusable);
    }
    if !only {
        for identity in agent {
            from_agent(identity, &mut offers, &mut unusable);
        }
    }
    for (path, key) in files.iter().filter(|(_, key)| held(key).is_none()) {
        from_file(path, key, &mut offers, &mut unusable);
    }
    (offers, unusable)
}

/// How a message calls a key.
fn label(blob: Option<&[u8]>, place: &str) -> String {
    match blob.and_then(|blob| HostKey::from_blob(blob).ok()) {
        Some(key) => format!("{} {} ({place})", key.key_type().short(), key.fingerprint()),
        None => place.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(n: u8) -> Vec<u8> {
        [&b"\0\0\0\x0bssh-ed25519\0\0\0\x20"[..], &[n; 32]].concat()
    }

    fn held(n: u8) -> Identity {
        Identity { blob: blob(n), comment: format!("key {n}") }
    }

    fn file(n: u8, encrypted: bool) -> KeyFile {
        KeyFile::Private { text: Zeroizing::new(format!("file {n}")), encrypted, public: Some(blob(n)) }
    }

    /// The order of a plan, as short words: `a3` is key 3 by the agent, `f3` by its file.
    fn order(named: Option<KeyFile>, files: &[KeyFile], agent: &[Identity], only: bool) -> (String, Vec<String>) {
        let named = named.map(|key| (Path::new("/named"), key));
        let files: Vec<_> = files.iter().map(|key| (Path::new("/file"), key.clone())).collect();
        let (offers, unusable) = plan(named.as_ref(), &files, agent, only);
        let words: Vec<String> = offers
            .iter()
            .map(|offer| match &offer.by {
                By::Agent(blob) => format!("a{}", blob[blob.len() - 1]),
                By::File { text, .. } => format!("f{}", text.trim_start_matches("file ")),
            })
            .collect();
        (words.join(" "), unusable.into_iter().map(|tried| tried.outcome.to_string()).collect())
    }

    #[test]
    fn keys_come_in_the_order_of_openssh_behind_the_one_that_the_project_names() {
        let agent = [held(1), held(2), held(3)];
        let files = [file(9, false), file(3, false), KeyFile::Missing];
        assert_eq!(order(None, &files, &agent, false), ("a3 a1 a2 f9".to_owned(), vec![]));
        assert_eq!(order(None, &files, &agent, true), ("a3 f9".to_owned(), vec![]));
        assert_eq!(order(None, &files, &[], false), ("f9 f3".to_owned(), vec![]));
        assert_eq!(order(Some(file(2, true)), &files, &agent, false).0, "a2 a3 a1 f9");
        assert_eq!(order(Some(file(7, true)), &files, &agent, true).0, "f7 a3 f9");
    }

    #[test]
    fn a_public_key_stands_for_the_agents_and_what_cannot_be_used_is_told() {
        let agent = [held(1), held(2)];
        assert_eq!(order(None, &[KeyFile::Public(blob(2))], &agent, true), ("a2".to_owned(), vec![]));
        let (offers, unusable) = order(None, &[KeyFile::Public(blob(5))], &agent, true);
        assert_eq!((offers.as_str(), unusable.len()), ("", 1));
        let (_, unusable) = order(Some(KeyFile::Missing), &[KeyFile::Unusable("torn".to_owned())], &[], false);
        assert_eq!(unusable, ["there is no such file", "torn"]);
        let card = Identity { blob: b"\0\0\0\x1ask-ssh-ed25519@openssh.com".to_vec(), comment: String::new() };
        let (offers, unusable) = order(None, &[], &[card.clone(), card, held(1)], false);
        assert_eq!((offers.as_str(), unusable.len()), ("a1", 1));
    }

    #[test]
    fn what_libssh2_says_of_a_key_is_told_from_a_connection_that_is_no_more() {
        let error = |code| ssh2::Error::new(ssh2::ErrorCode::Session(code), "Waiting for USERAUTH response");
        assert_eq!(outcome(&error(code::AUTHENTICATION_FAILED), false), (true, Outcome::Refused));
        assert_eq!(outcome(&error(code::PUBLICKEY_UNVERIFIED), false), (true, Outcome::HungUp));
        assert_eq!(outcome(&error(code::SOCKET_DISCONNECT), true), (true, Outcome::HungUp));
        assert!(outcome(&error(-16), false).1.to_string().contains("passphrase"));
    }
}
