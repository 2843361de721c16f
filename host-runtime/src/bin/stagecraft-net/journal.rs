//! `--journal`: every command that ran anywhere, a JSON object a line, for those who must be able to say what was done.
//!
//! A batch is written down before it is sent (`sent`), and each of its commands again when it is known how it ended (`ran`):
//! whatever ends this process, nothing has run that is not in the file. Lines are written in the thread of the host that
//! they are about, each with one write to a file that is appended to, so that several runs may share one. No secret is in
//! it: `<secret:SLOT>` stands where one is given. Not for: what a run comes to; that is `--json`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use stagecraft_net::event::{Event, Sent, Tell};

/// The version of the lines below: raised when a field changes its meaning or goes.
const FORM: u32 = 1;
/// The name that is standard output.
const STDOUT: &str = "-";

/// A journal, in front of the reader of the same events.
pub(crate) struct Journal {
    out: Mutex<Box<dyn Write + Send>>,
    /// Why a line could not be written, the first time.
    broken: Mutex<Option<String>>,
    next: Arc<dyn Tell + Send + Sync>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line<'a> {
    journal: u32,
    /// When it was written down, by the clock of this machine.
    at: String,
    /// Tells the runs of one file apart.
    process: u32,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(tag = "what", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
enum What<'a> {
    Begin {
        command: &'a str,
        environment: Option<&'a str>,
        provider: Option<&'a str>,
        hosts: &'a [String],
    },
    Sent {
        host: &'a str,
        step: Option<&'a str>,
        #[serde(flatten)]
        command: &'a Sent,
    },
    Ran {
        host: &'a str,
        step: Option<&'a str>,
        #[serde(flatten)]
        command: &'a Sent,
        ending: &'a str,
        exit: Option<u8>,
        millis: Option<u64>,
    },
    End {
        exit: u8,
    },
}

impl Journal {
    /// Opens the file, which is made readable to its owner alone, or takes standard output for `-`.
    pub(crate) fn open(path: &Path, next: Arc<dyn Tell + Send + Sync>) -> std::io::Result<Self> {
        let out: Box<dyn Write + Send> = if path.as_os_str() == STDOUT {
            Box::new(std::io::stdout())
        } else {
            Box::new(OpenOptions::new().create(true).append(true).mode(0o600).open(path)?)
        };
        Ok(Self::to(out, next))
    }

    fn to(out: Box<dyn Write + Send>, next: Arc<dyn Tell + Send + Sync>) -> Self {
        Self { out: Mutex::new(out), broken: Mutex::new(None), next }
    }

    /// The run is over.
    pub(crate) fn end(&self, exit: u8) {
        self.write(What::End { exit });
    }

    /// Why it does not hold everything, if it does not.
    pub(crate) fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, what: What<'_>) {
        let line = Line { journal: FORM, at: Timestamp::now().to_string(), process: std::process::id(), what };
        let written = serde_json::to_vec(&line).map_err(std::io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
            out.write_all(&line).and_then(|()| out.flush())
        });
        if let Err(error) = written {
            self.broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.to_string());
        }
    }
}

impl Tell for Journal {
    fn tell(&self, event: Event) {
        match &event {
            Event::Begin { command, environment, provider, hosts, .. } => self.write(What::Begin {
                command,
                environment: environment.as_deref(),
                provider: provider.as_ref().map(|provider| provider.digest.as_str()),
                hosts,
            }),
            Event::Sent { host, step, commands } => {
                for command in commands {
                    self.write(What::Sent { host, step: step.as_deref(), command });
                }
            }
            Event::Ran { host, step, command, ending, status, millis } => {
                let (step, exit, millis) = (step.as_deref(), *status, *millis);
                self.write(What::Ran { host, step, command, ending, exit, millis });
            }
            _ => {}
        }
        self.next.tell(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn sent() -> Event {
        let command = Sent::new(vec!["demo".to_owned(), "up\n".to_owned()], true);
        Event::Sent { host: "a".to_owned(), step: None, commands: vec![command.clone(), command] }
    }

    #[test]
    fn it_is_appended_to_private_and_one_object_a_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        for _ in 0..2 {
            Journal::open(&path, Arc::new(|_| {})).expect("it opens").tell(sent());
        }
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).expect("there");
        assert_eq!(text.lines().count(), 4, "{text}");
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("an object");
            assert_eq!((&line["journal"], &line["what"], &line["host"]), (&1.into(), &"sent".into(), &"a".into()));
            assert_eq!(line["argv"], serde_json::json!(["demo", "up\n"]));
        }
    }

    #[test]
    fn a_line_that_cannot_be_written_is_not_passed_over_and_the_run_goes_on_telling() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("no space left"))
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let told = Arc::new(Mutex::new(0));
        let count = Arc::clone(&told);
        let journal = Journal::to(Box::new(Full), Arc::new(move |_| *count.lock().expect("unpoisoned") += 1));
        assert_eq!(journal.broken(), None);
        journal.tell(sent());
        assert_eq!((journal.broken().as_deref(), *told.lock().expect("unpoisoned")), (Some("no space left"), 1));
    }
}
