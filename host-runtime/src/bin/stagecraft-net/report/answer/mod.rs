//! What `status`, `explain` and `export` print on standard output: one answer about all hosts of a run, at its end.
//!
//! Pure: what a run found ([`roll`]) goes in, text comes out; the time is part of what goes in. Not for: what changes,
//! which is told host by host ([`super::screen`]); failures, which are the same for every command.

mod document;
mod export;
mod metrics;
mod moment;
mod roll;
mod story;
mod table;
mod warning;

use stagecraft_net::event::HostResult;
use stagecraft_net::inventory::HostSpec;

pub(crate) use export::Format as ExportFormat;
pub(crate) use moment::now;
pub(super) use roll::{Entry, Found, Roll};

use super::block::Block;

/// What the answer is.
#[derive(Debug, Clone, Default)]
pub(crate) enum Answer {
    /// What holds or would change, host by host.
    #[default]
    Changes,
    /// How all hosts are.
    Glance {
        /// In which form.
        form: Form,
        /// Hosts that are right have a line of their own.
        all: bool,
        /// A key that ends within so many days is warned of.
        expiry_days: u16,
    },
    /// All that is known of one host.
    Story,
    /// What the network says the hosts are, for another program.
    Export {
        /// Which program.
        format: ExportFormat,
        /// The services that a compose file gives the hosts to.
        services: Vec<String>,
    },
}

/// The form of a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Form {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// A text file for node_exporter
    Prometheus,
}

/// What a run wants of a host.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// The host as the project has it.
    pub(crate) spec: HostSpec,
    /// The name that it should have in the network; none where the provider does not give one.
    pub(crate) fqdn: Option<String>,
}

/// An answer.
#[derive(Default)]
pub(super) struct Rendered {
    /// Lines for standard output.
    pub(super) out: Vec<String>,
    /// Blocks for standard error.
    pub(super) blocks: Vec<Block>,
}

/// How an answer may look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    /// Colours on standard output and on standard error.
    pub(super) color: (bool, bool),
    /// Every host is named, however many there are.
    pub(super) all: bool,
}

impl Answer {
    /// Whether the run ends with this, and not with what changes.
    pub(crate) fn replaces_changes(&self) -> bool {
        !matches!(self, Self::Changes)
    }

    /// Whether people read it; else a program does, and nothing but the answer may stand on standard output.
    pub(super) fn is_for_people(&self) -> bool {
        matches!(self, Self::Changes | Self::Story | Self::Glance { form: Form::Table, .. })
    }

    /// The answer.
    pub(super) fn render(&self, roll: &Roll<'_>, paint: Paint) -> Rendered {
        match self {
            Self::Changes => Rendered::default(),
            Self::Story => story::render(roll, paint),
            Self::Glance { form, all, expiry_days } => {
                let warnings = warning::all(roll, *expiry_days);
                let out = match form {
                    Form::Table => table::render(roll, &Paint { all: paint.all || *all, ..paint }),
                    Form::Json => document::render(roll, &warnings),
                    Form::Prometheus => metrics::render(roll),
                };
                Rendered { out, blocks: warnings.iter().map(|one| one.block(paint)).collect() }
            }
            Self::Export { format, services } => export::render(roll, *format, services, paint),
        }
    }

    /// Whether a host of the run is left out of an answer that is about members of the network.
    pub(crate) fn is_partial(&self, wishes: &[Wish], results: &[HostResult]) -> bool {
        matches!(self, Self::Export { format, .. } if export::is_partial(*format, wishes, results))
    }
}

#[cfg(test)]
mod tests;
