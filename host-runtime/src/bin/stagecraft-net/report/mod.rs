//! What a run tells, for people ([`screen`]) or for programs ([`json`]): two readers of one stream of events.
//!
//! The reader has a thread of its own, so that a pipe that nobody empties never holds up a host.

mod advice;
mod answer;
mod block;
mod course;
mod examined;
mod failing;
mod github;
mod group;
mod json;
mod page;
mod progress;
mod screen;

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use stagecraft_net::contract::Level;
use stagecraft_net::event::{Event, Tell};
use stagecraft_net::inventory::Inventory;

pub(crate) use answer::{Answer, ExportFormat, Form, Wish, now};
pub(crate) use page::PageFile;
pub(crate) use screen::{Look, Screen};

/// What a reader knows of the run besides its events.
#[derive(Default, Clone)]
pub(crate) struct Context {
    /// The file that the run is about.
    pub(crate) inventory: Option<Arc<Inventory>>,
    /// The options and hosts that a command to run next needs again, such as ` -e prod app-1`.
    pub(crate) again: String,
    /// The options alone.
    pub(crate) options: String,
    /// What stands for a host on the command line, where that is not its name.
    pub(crate) words: BTreeMap<String, String>,
    /// What is printed at the end.
    pub(crate) answer: Answer,
    /// What is wanted of each host, in their order, where the answer needs it.
    pub(crate) wishes: Vec<Wish>,
    /// The environment.
    pub(crate) environment: String,
    /// When the run began.
    pub(crate) now: Timestamp,
    /// Where a page about the run is written.
    pub(crate) page: Option<PageFile>,
}

impl Context {
    /// Hosts, as a person types them.
    fn typed<'s>(&'s self, hosts: &[&'s str]) -> Vec<&'s str> {
        hosts.iter().map(|host| self.words.get(*host).map_or(*host, String::as_str)).collect()
    }
}

/// Renders events, in the order in which they come.
pub(crate) trait Reader: Send {
    /// Takes the next one. What cannot be written is lost: nobody reads it.
    fn read(&mut self, event: Event);

    /// Nothing was told for a moment.
    fn tick(&mut self) {}
}

/// How long nothing is told before the time that is shown goes on.
const TICK: Duration = Duration::from_millis(250);

/// Hands events to a reader on a thread of its own.
pub(crate) struct Report {
    events: Mutex<Option<Sender<Event>>>,
    reader: Mutex<Option<JoinHandle<()>>>,
}

impl Report {
    pub(crate) fn new(mut readers: Vec<Box<dyn Reader>>) -> std::io::Result<Self> {
        let (events, told): (Sender<Event>, Receiver<Event>) = channel();
        let reader = std::thread::Builder::new().name("report".to_owned()).spawn(move || {
            loop {
                match told.recv_timeout(TICK) {
                    Ok(event) => {
                        if let Some((last, others)) = readers.split_last_mut() {
                            others.iter_mut().for_each(|reader| reader.read(event.clone()));
                            last.read(event);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => readers.iter_mut().for_each(|reader| reader.tick()),
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        })?;
        Ok(Self { events: Mutex::new(Some(events)), reader: Mutex::new(Some(reader)) })
    }

    /// For programs, or for people on this terminal; besides, for the page about the run, and for a workflow.
    pub(crate) fn open(json: bool, look: Look, context: Context) -> std::io::Result<Self> {
        let mut readers: Vec<Box<dyn Reader>> = Vec::new();
        if let Some(file) = &context.page {
            readers.push(Box::new(page::Writer::new(file.clone(), context.clone())));
        }
        let workflow = (github::is_here() && !json).then(|| context.clone());
        if json {
            readers.push(Box::new(json::Json::new(std::io::stdout(), look.verbose, context.options)));
        } else {
            readers.push(Box::new(Screen::new(std::io::stdout(), std::io::stderr(), look, context)));
        }
        // Behind the screen: what people read comes first.
        if let Some(context) = workflow {
            readers.push(Box::new(github::Github::new(std::io::stderr(), context)));
        }
        Self::new(readers)
    }

    /// Waits until everything that was told is written.
    pub(crate) fn finish(&self) {
        drop(self.events.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(reader) = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic there has been printed; there is nobody left to tell.
            let _ = reader.join();
        }
    }
}

/// How often `-v` must have been said for an event to be shown: steps, warnings and results always, the commands of a
/// step and what the provider remarks once, what only looks twice.
fn verbosity(event: &Event) -> u8 {
    match event {
        // What is only begun is for the journal.
        Event::Sent { .. } => u8::MAX,
        Event::Ran { step: None, .. } | Event::Log { level: Level::Debug, .. } => 2,
        Event::Ran { .. } | Event::Log { level: Level::Info, .. } => 1,
        _ => 0,
    }
}

impl Tell for Report {
    fn tell(&self, event: Event) {
        if let Some(events) = &*self.events.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = events.send(event);
        }
    }
}
