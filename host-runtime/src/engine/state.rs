//! What belongs to one call, and nothing longer: the `T` of its store.

use wasmtime::component::ResourceTable;

use super::budget::Budget;
use super::limits::{Limits, Totals};
use super::wasi::{View, Written};
use crate::until::Until;

/// The state of one call. The hands of the call are not in here: they are lent ([`super::hands`]).
pub(super) struct State {
    pub(super) table: ResourceTable,
    pub(super) totals: Totals,
    pub(super) budget: Budget,
    pub(super) written: Written,
    /// How many host calls are left.
    pub(super) calls_left: u32,
    /// How many log lines are left.
    pub(super) lines_left: u32,
    /// Bytes of a log line that are kept.
    pub(super) line: usize,
}

impl State {
    pub(super) fn new(limits: &Limits, until: &Until) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources);
        Self {
            table,
            totals: Totals::new(limits),
            budget: Budget::begin(limits, until),
            written: Written::new(limits.stderr),
            calls_left: limits.host_calls,
            lines_left: limits.log_lines,
            line: limits.log_line,
        }
    }

    pub(super) fn wasi(&mut self) -> View<'_> {
        View { table: &mut self.table, written: &self.written }
    }
}
