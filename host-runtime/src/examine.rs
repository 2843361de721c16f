//! A look at one machine for its own sake: who logs in, how root is had there, what it runs, what its clock says.
//!
//! The words are the host's own and fixed; nothing of a provider is in them, and nothing is changed. Not for: judging
//! whether a machine will do for a network, which its provider does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boundary::command::{Command, Condition, Ending, Output};
use boundary::text;

use crate::policy::Admitted;
use crate::session::{Session, SessionError};
use crate::until::Until;

/// What a machine says of itself. Everything in it is printable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Examined {
    /// Who logged in.
    pub user: String,
    /// The login shell, if the machine says it.
    pub shell: Option<String>,
    /// How root is had.
    pub root: Root,
    /// Whether `sudo` says that it logs what commands read.
    pub logs_input: bool,
    /// The name that the operating system has for itself.
    pub os: Option<String>,
    /// By how many seconds its clock is ahead of ours, as far as that can be told from here.
    pub ahead: Option<i64>,
}

/// How root is had.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Root {
    /// The login is root.
    Login,
    /// `sudo` runs what it is given, within `timeout`.
    Sudo,
    /// It does not; its last words.
    No(String),
}

/// Looks at the machine at the other end of a session, in one exec.
///
/// # Errors
/// When nothing could be found out: the machine ran something else, or `sudo` refused a password that was given.
pub fn examine(session: &mut Session, until: &Until) -> Result<Examined, SessionError> {
    let words = |argv: &[&str], as_root| Command {
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        env: Vec::new(),
        stdin: Vec::new(),
        as_root,
        timeout: Duration::from_secs(15),
        runs: Condition::Ok,
        accepted: Vec::new(),
    };
    let batch = Admitted::own_look(vec![
        words(&["id", "-un"], false),
        words(&["id", "-u"], false),
        words(&["sh", "-c", "getent passwd \"$(id -un)\" || grep \"^$(id -un):\" /etc/passwd"], false),
        words(&["true"], true),
        // By root, since a user who is asked for a password is asked for it here too.
        words(&["sh", "-c", "test -z \"$SUDO_USER\" || sudo -n -l -U \"$SUDO_USER\""], true),
        words(&["cat", "/etc/os-release"], false),
        words(&["date", "+%s"], false),
    ]);
    let before = now();
    let outputs = session.exec(&batch, None, until)?;
    let after = now();
    if let Some(why) = outputs.cut_short {
        return Err(why);
    }
    let [user, uid, passwd, root, rules, release, clock] = &outputs.outputs[..] else {
        return Err(SessionError::Garbled("the machine's answer lacks a part".to_owned()));
    };
    let root = match root.ending {
        _ if said(uid) == "0" => Root::Login,
        Ending::Exited(0) => Root::Sudo,
        _ => Root::No(last(root)),
    };
    let release = String::from_utf8_lossy(&release.stdout.head).into_owned();
    let field = |name: &str| {
        let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(text::bounded(&text::one_line(value.trim_matches(['"', '\''])), 80)).filter(|value| !value.is_empty())
    };
    Ok(Examined {
        user: said(user),
        shell: said(passwd).rsplit_once(':').map(|(_, shell)| shell.to_owned()).filter(|shell| !shell.is_empty()),
        root,
        // `!log_input` says that it does not.
        logs_input: defaults(&rules.stdout.head).any(|one| matches!(one, "log_input" | "log_stdin")),
        os: field("PRETTY_NAME").or_else(|| field("ID")),
        ahead: said(clock).parse::<i64>().ok().map(|theirs| ahead(theirs, before, after)),
    })
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// By how much a clock that was read between two moments of ours is ahead.
fn ahead(theirs: i64, before: i64, after: i64) -> i64 {
    if theirs > after {
        theirs.saturating_sub(after)
    } else if theirs < before {
        theirs.saturating_sub(before)
    } else {
        0
    }
}

/// The words of `Matching Defaults entries` in what `sudo -l` prints.
fn defaults(listed: &[u8]) -> impl Iterator<Item = &str> {
    let listed = std::str::from_utf8(listed).unwrap_or_default();
    let entries = listed.split_once("Matching Defaults").map_or("", |(_, rest)| rest);
    let entries = entries.split_once("may run").map_or(entries, |(entries, _)| entries);
    entries.split([',', '\n', ':']).map(str::trim)
}

fn said(output: &Output) -> String {
    text::bounded(&text::one_line(&output.stdout.head), 200)
}

/// What it said last, on standard error before standard output.
fn last(output: &Output) -> String {
    let line = |bytes: &[u8]| text::last_lines(&text::printable(bytes), 1);
    let line =
        Some(line(&output.stderr.head)).filter(|line| !line.is_empty()).unwrap_or_else(|| line(&output.stdout.head));
    if line.is_empty() { "it failed and said nothing".to_owned() } else { text::bounded(&text::one_line(line), 200) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Place;
    use crate::transport::local::Local;
    use crate::until::Cancel;

    #[test]
    fn this_machine_can_be_examined_and_its_clock_is_ours() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = Place { scratch: dir.path().display().to_string(), ..Place::default() };
        let mut session = Session::in_place(Box::new(Local::default()), place);
        let until = Until::after(Duration::from_secs(60), &Cancel::new().expect("an eventfd"));
        let examined = examine(&mut session, &until).expect("it answers");
        assert_eq!(examined.ahead, Some(0));
        assert!(!examined.user.is_empty() && examined.os.is_some(), "{examined:?}");
    }

    #[test]
    fn a_clock_is_wrong_only_outside_of_the_time_that_the_look_took() {
        assert_eq!([ahead(5, 3, 9), ahead(3, 3, 9), ahead(9, 3, 9)], [0; 3]);
        assert_eq!([ahead(100, 3, 9), ahead(-91, 9, 12)], [91, -100]);
    }

    #[test]
    fn a_sudo_that_logs_input_says_so_among_its_defaults_and_one_that_does_not_is_not_blamed() {
        let listed = |defaults: &str| {
            format!(
                "Matching Defaults entries for deploy on app-1:\n    env_reset, {defaults}, mail_badpass\n\nUser deploy may run \
                 the following commands on app-1:\n    (ALL) NOPASSWD: ALL, /usr/bin/log_input\n"
            )
        };
        let logs = |text: &str| defaults(listed(text).as_bytes()).any(|one| one == "log_input");
        assert_eq!([logs("log_input"), logs("!log_input"), logs("use_pty")], [true, false, false]);
    }
}
