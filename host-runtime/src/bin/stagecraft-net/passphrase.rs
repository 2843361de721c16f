//! Asks the person at the terminal for a passphrase or a password, without showing what is typed.
//!
//! Each key file is asked for once in a run, whichever hosts need it. Without a terminal nobody is asked, and such a key
//! works through an agent only.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use stagecraft_net::ssh::Passphrases;
use stagecraft_net::until::{Cancel, Until, Wake};
use zeroize::Zeroizing;

/// The terminal and how it was, while nothing that is typed is shown.
static HIDDEN: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// Asks, until the run is cancelled.
pub(crate) fn asker(cancel: Cancel) -> Passphrases {
    // Held while a person types: one question at a time.
    let known: Mutex<HashMap<PathBuf, Option<Zeroizing<String>>>> = Mutex::default();
    Arc::new(move |file: &Path| {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(file.to_owned()).or_insert_with(|| ask_for_file(file, &cancel)).clone()
    })
}

fn ask_for_file(file: &Path, cancel: &Cancel) -> Option<Zeroizing<String>> {
    let name = boundary::text::one_line(file.to_string_lossy().as_bytes());
    ask(&format!("passphrase of {name}"), cancel)
}

/// Whether there is a terminal to ask on.
pub(crate) fn can_ask() -> bool {
    File::options().read(true).write(true).open("/dev/tty").is_ok_and(|terminal| tcgetattr(&terminal).is_ok())
}

/// Asks the person at the terminal something, and shows what is typed. `None`: there is nobody, or nothing was typed.
pub(crate) fn ask_shown(what: &str, cancel: &Cancel) -> Option<Zeroizing<String>> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
    write!(terminal, "\r\x1b[K{what} ").ok()?;
    read_line(&mut terminal, cancel)
}

/// Asks the person at the terminal for something that is not shown. `None`: there is nobody, or nothing was typed.
pub(crate) fn ask(what: &str, cancel: &Cancel) -> Option<Zeroizing<String>> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
    let before = tcgetattr(&terminal).ok()?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    let kept = (terminal.try_clone().ok()?, before);
    *HIDDEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    let typed = tcsetattr(&terminal, OptionalActions::Flush, &hidden)
        .is_ok()
        .then(|| {
            // Whatever was drawn from here on makes room.
            write!(terminal, "\r\x1b[J{what}: ").ok()?;
            read_line(&mut terminal, cancel)
        })
        .flatten();
    restore_terminal();
    let _ = writeln!(terminal);
    typed
}

fn read_line(terminal: &mut File, cancel: &Cancel) -> Option<Zeroizing<String>> {
    let until = Until::after(Duration::MAX, cancel);
    let mut line = Zeroizing::new(Vec::with_capacity(1024));
    loop {
        if until.wait(terminal.as_fd(), PollFlags::IN).ok()? != Wake::Ready {
            return None;
        }
        // The terminal hands over a line at a time.
        let mut piece = Zeroizing::new([0; 1024]);
        let read = terminal.read(piece.as_mut_slice()).ok()?;
        line.extend_from_slice(&piece[..read]);
        if read == 0 || line.ends_with(b"\n") {
            let text = str::from_utf8(&line).ok()?.trim_end_matches(['\n', '\r']);
            return (!text.is_empty()).then(|| Zeroizing::new(text.to_owned()));
        }
    }
}

/// Whether somebody is being asked now, so that nothing else may be drawn there.
pub(crate) fn is_asking() -> bool {
    HIDDEN.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Shows again what is typed, if it is hidden now: also before the process ends at once.
pub(crate) fn restore_terminal() {
    if let Some((terminal, before)) = HIDDEN.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = tcsetattr(&terminal, OptionalActions::Flush, &before);
    }
}
