//! Every limit of the sandbox, in one table: name, default, and why.
//!
//! A limit is for one call of one provider unless its line says otherwise. Exceeding one ends the call with an error
//! that names the limit; it never ends the process, and the next call begins afresh.
//! Not for: the limits of what a machine sends ([`boundary`]), nor of a run ([`crate::until`]).

use wasmtime::ResourceLimiter;

macro_rules! limits {
    ($($(#[doc = $why:literal])+ $name:ident: $type:ty = $default:expr;)+) => {
        /// The limits of the sandbox. [`Limits::default`] is what the binary uses.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Limits {
            $($(#[doc = $why])+ pub $name: $type,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        /// The table of [`Limits`]: name, default, why.
        pub const TABLE: &[(&str, u64, &str)] =
            &[$((stringify!($name), { let default: $type = $default; default as u64 }, concat!($($why),+)),)+];
    };
}

limits! {
    /// Bytes of linear memory, of all memories together. Providers in Python or JavaScript need some 20 MiB; this is also
    /// the address space that is reserved for each memory, so that a thousand hosts in flight fit.
    memory: usize = 64 << 20;
    /// Elements of tables, of all tables together. A Rust guest has a few hundred, CPython some thousands.
    table_elements: usize = 20_000;
    /// Core instances, and as many memories and tables. A Rust guest has 3, CPython needs 64.
    instances: usize = 100;
    /// Component handles that live at the same time: they cost the host memory that the guest's own limit does not count.
    handles: usize = 1_024;
    /// Entries of the host's resource table: the handles of the call, its streams and secrets.
    resources: usize = 256;
    /// Bytes that one host call, or the result of the call, may copy out of the guest.
    copied: usize = 8 << 20;
    /// Host calls. Each probe is a round trip of tens of milliseconds, so an honest provider makes some dozens.
    host_calls: u32 = 10_000;
    /// Milliseconds of processor time, without what the host spends on the guest's behalf in `probe`, `run` and `pause`.
    /// An honest call takes some milliseconds.
    cpu_ms: u64 = 2_000;
    /// Milliseconds between the end of the call's time (or its cancellation) and the end of the guest, in which it may
    /// still say what it has seen.
    wind_down_ms: u64 = 500;
    /// Bytes of the WebAssembly stack. The thread must have [`super::HOST_STACK`] more.
    stack: usize = 512 << 10;
    /// Bytes kept of what the guest writes to standard output and standard error, the last ones.
    stderr: usize = 8 << 10;
    /// Lines that the guest may log.
    log_lines: u32 = 1_000;
    /// Bytes of one log line; the rest is cut off.
    log_line: usize = 4 << 10;
    /// Bytes of the opaque data that a plan hands to its apply. The contract's own number.
    private: usize = 64 << 10;
    /// Elements of each list in an answer.
    list: usize = 1_024;
    /// Bytes of each text in an answer; the schema of the config may have sixteen times as many.
    text: usize = 64 << 10;
    /// Bytes of compiled code. Not for one call: for an artifact. CPython compiles to 35 MiB.
    compiled: usize = 256 << 20;
    /// Bytes of address space for the compiler's own process. Not for one call: for an artifact.
    compile_memory: u64 = 4 << 30;
    /// Seconds that the compiler's own process may take. Not for one call: for an artifact. CPython takes 5.
    compile_s: u64 = 60;
}

/// Counts what the instances of one call take, in total: a limit a memory would be no limit.
#[derive(Debug)]
pub(super) struct Totals {
    memory: Total,
    tables: Total,
    instances: usize,
    /// The first thing that was refused. A guest mostly traps after it, on a failed allocation.
    refused: Option<Refused>,
}

/// Something that the guest asked for and did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    /// The name of the limit.
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) wanted: usize,
    pub(super) limit: usize,
}

#[derive(Debug)]
struct Total {
    name: &'static str,
    what: &'static str,
    used: usize,
    limit: usize,
}

impl Total {
    /// Takes `desired - current` more, or tells what was refused.
    fn grow(&mut self, current: usize, desired: usize) -> Result<(), Refused> {
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if wanted > self.limit {
            return Err(Refused { name: self.name, what: self.what, wanted, limit: self.limit });
        }
        self.used = wanted;
        Ok(())
    }
}

impl Totals {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory: Total { name: "memory", what: "bytes of memory", used: 0, limit: limits.memory },
            tables: Total { name: "table_elements", what: "elements of tables", used: 0, limit: limits.table_elements },
            instances: limits.instances,
            refused: None,
        }
    }

    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// Notes a refusal and answers as [`ResourceLimiter`] wants it: the growth fails, the guest goes on.
    fn note(&mut self, grown: Result<(), Refused>) -> bool {
        match grown {
            Ok(()) => true,
            Err(refused) => {
                self.refused.get_or_insert(refused);
                false
            }
        }
    }
}

impl ResourceLimiter for Totals {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.memory.grow(current, desired);
        Ok(self.note(grown))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.tables.grow(current, desired);
        Ok(self.note(grown))
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.instances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_counted_together_and_the_first_refusal_is_kept() {
        let mut totals = Totals::new(&Limits { memory: 100, ..Limits::default() });
        assert!(totals.memory_growing(0, 60, None).unwrap());
        assert!(!totals.memory_growing(0, 60, None).unwrap(), "a second memory does not get a limit of its own");
        assert!(totals.memory_growing(60, 100, None).unwrap());
        assert!(!totals.memory_growing(100, usize::MAX, None).unwrap());
        assert_eq!(
            totals.refused(),
            Some(Refused { name: "memory", what: "bytes of memory", wanted: 120, limit: 100 })
        );
    }

    #[test]
    fn tables_have_a_limit_of_their_own_and_instances_are_counted_by_the_engine() {
        let mut totals = Totals::new(&Limits { table_elements: 10, instances: 3, ..Limits::default() });
        assert!(totals.table_growing(0, 8, None).unwrap());
        assert!(!totals.table_growing(8, 11, None).unwrap());
        assert!(totals.memory_growing(0, 1 << 20, None).unwrap());
        assert_eq!(totals.refused().map(|refused| refused.name), Some("table_elements"));
        assert_eq!([totals.instances(), totals.tables(), totals.memories()], [3; 3]);
    }

    #[test]
    fn the_table_of_limits_gives_the_defaults_and_a_reason_for_each() {
        let memory = TABLE.iter().find(|(name, ..)| *name == "memory").expect("a line for memory");
        assert_eq!(memory.1, Limits::default().memory as u64);
        assert!(TABLE.iter().all(|(_, default, why)| *default > 0 && why.len() > 20));
    }
}
