//! WASI with nothing in it: what a language's standard library needs to start, and no more.
//!
//! Linked interface by interface: `wasi:io` and `wasi:cli`, and the seed of hash tables as a constant, so that the same
//! inputs give the same plan. No environment, no arguments, standard input at its end, standard output and error kept
//! and cut, never a terminal. Nothing here waits, so nothing here needs a runtime or outlives a deadline: wasmtime-wasi's
//! own implementation would start `tokio` threads for the first line of a guest's panic, and panic itself where the
//! embedder is asynchronous. From there come the bindings alone.
//! Not linked, ever: files, sockets, HTTP, clocks, random numbers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::{cli, random, sync::io};
use wasmtime_wasi::p2::{StreamError, StreamResult};
use wasmtime_wasi_io::bindings::wasi::io::error;
use wasmtime_wasi_io::bytes::Bytes;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream, InputStream, OutputStream};

use super::state::State;

/// The interfaces that are linked, for the preflight.
pub(super) const OFFERED: [&str; 14] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure-seed",
];

/// Adds them.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    cli::environment::add_to_linker::<_, Nothing>(linker, State::wasi)?;
    cli::exit::add_to_linker::<_, Nothing>(linker, State::wasi)?;
    cli::stderr::add_to_linker::<_, Nothing>(linker, State::wasi)?;
    cli::stdin::add_to_linker::<_, Nothing>(linker, State::wasi)?;
    cli::stdout::add_to_linker::<_, Nothing>(linker, State::wasi)?;
    cli::terminal_input::add_to_linker::<_, Nothing>(linker, State::wasi)?;
    cli::terminal_output::add_to_linker::<_, Nothing>(linker, State::wasi)?;
    cli::terminal_stderr::add_to_linker::<_, Nothing>(linker, State::wasi)?;
    cli::terminal_stdin::add_to_linker::<_, Nothing>(linker, State::wasi)?;
    cli::terminal_stdout::add_to_linker::<_, Nothing>(linker, State::wasi)?;
    error::add_to_linker::<_, Nothing>(linker, State::wasi)?;
    io::poll::add_to_linker::<_, Nothing>(linker, State::wasi)?;
    io::streams::add_to_linker::<_, Nothing>(linker, State::wasi)?;
    random::insecure_seed::add_to_linker::<_, Nothing>(linker, State::wasi)
}

/// The guest asked to end: what `exit` does to the call.
#[derive(Debug, thiserror::Error)]
#[error("exit")]
pub(super) struct Exited;

/// The last bytes of what a guest wrote.
#[derive(Debug, Clone)]
pub(super) struct Written(Arc<Mutex<Tail>>);

#[derive(Debug)]
struct Tail {
    kept: VecDeque<u8>,
    limit: usize,
    dropped: u64,
}

impl Written {
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Tail { kept: VecDeque::new(), limit, dropped: 0 })))
    }

    fn write(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = bytes.len().saturating_sub(tail.limit);
        tail.kept.extend(&bytes[skipped..]);
        let over = tail.kept.len().saturating_sub(tail.limit);
        tail.kept.drain(..over);
        tail.dropped += (skipped + over) as u64;
    }

    /// What was kept, and how many bytes before it were not.
    pub(super) fn take(&self) -> (Vec<u8>, u64) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut tail.kept).into(), std::mem::take(&mut tail.dropped))
    }
}

/// The state that the interfaces need: next to none.
pub(super) struct View<'a> {
    pub(super) table: &'a mut ResourceTable,
    pub(super) written: &'a Written,
}

/// Names [`View`] to the linker.
pub(super) struct Nothing;

impl HasData for Nothing {
    type Data<'a> = View<'a>;
}

impl cli::environment::Host for View<'_> {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl cli::exit::Host for View<'_> {
    fn exit(&mut self, _status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(Exited.into())
    }

    fn exit_with_code(&mut self, _status: u8) -> wasmtime::Result<()> {
        Err(Exited.into())
    }
}

impl random::insecure_seed::Host for View<'_> {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((0, 0))
    }
}

impl cli::stdin::Host for View<'_> {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<DynInputStream>> {
        let stream: DynInputStream = Box::new(Ended);
        Ok(self.table.push(stream)?)
    }
}

impl cli::stdout::Host for View<'_> {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        let stream: DynOutputStream = Box::new(self.written.clone());
        Ok(self.table.push(stream)?)
    }
}

impl cli::stderr::Host for View<'_> {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        cli::stdout::Host::get_stdout(self)
    }
}

impl cli::terminal_input::Host for View<'_> {}

impl cli::terminal_input::HostTerminalInput for View<'_> {
    fn drop(&mut self, terminal: Resource<cli::terminal_input::TerminalInput>) -> wasmtime::Result<()> {
        self.table.delete(terminal)?;
        Ok(())
    }
}

impl cli::terminal_output::Host for View<'_> {}

impl cli::terminal_output::HostTerminalOutput for View<'_> {
    fn drop(&mut self, terminal: Resource<cli::terminal_output::TerminalOutput>) -> wasmtime::Result<()> {
        self.table.delete(terminal)?;
        Ok(())
    }
}

impl cli::terminal_stdin::Host for View<'_> {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_input::TerminalInput>>> {
        Ok(None)
    }
}

impl cli::terminal_stdout::Host for View<'_> {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl cli::terminal_stderr::Host for View<'_> {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl error::Host for View<'_> {}

impl error::HostError for View<'_> {
    fn to_debug_string(&mut self, error: Resource<error::Error>) -> wasmtime::Result<String> {
        Ok(format!("{:?}", self.table.get(&error)?))
    }

    fn drop(&mut self, error: Resource<error::Error>) -> wasmtime::Result<()> {
        self.table.delete(error)?;
        Ok(())
    }
}

/// Every stream here is ready at any time, so everything that can be polled is.
impl io::poll::Host for View<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.is_empty() {
            wasmtime::bail!("poll of nothing");
        }
        Ok((0..).zip(&pollables).map(|(place, _)| place).collect())
    }
}

impl io::poll::HostPollable for View<'_> {
    fn ready(&mut self, _pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        Ok(true)
    }

    fn block(&mut self, _pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        Ok(())
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.table.delete(pollable)?;
        Ok(())
    }
}

impl io::streams::Host for View<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<io::streams::StreamError> {
        match error {
            StreamError::Closed => Ok(io::streams::StreamError::Closed),
            StreamError::LastOperationFailed(error) => {
                Ok(io::streams::StreamError::LastOperationFailed(self.table.push(error)?))
            }
            StreamError::Trap(error) => Err(error),
        }
    }
}

impl io::streams::HostInputStream for View<'_> {
    fn read(&mut self, stream: Resource<DynInputStream>, _len: u64) -> StreamResult<Vec<u8>> {
        self.table.get(&stream)?;
        Err(StreamError::Closed)
    }

    fn blocking_read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        self.read(stream, len)
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        self.read(stream, len).map(|_| 0)
    }

    fn blocking_skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        self.skip(stream, len)
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, stream)
    }

    fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

/// What a guest may write at once; it may write again at once.
const PERMIT: usize = 64 << 10;

impl io::streams::HostOutputStream for View<'_> {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        Ok(self.table.get_mut(&stream)?.check_write()? as u64)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.table.get_mut(&stream)?.write(bytes.into())
    }

    fn blocking_write_and_flush(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.write(stream, bytes)
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.table.get_mut(&stream)?.flush()
    }

    fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.flush(stream)
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        match usize::try_from(len) {
            Ok(len) if len <= PERMIT => self.write(stream, vec![0; len]),
            _ => Err(StreamError::trap("more zeroes than the stream takes at once")),
        }
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        self.write_zeroes(stream, len)
    }

    /// The only input is at its end.
    fn splice(
        &mut self,
        _to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        io::streams::HostInputStream::skip(self, from, len)
    }

    fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        self.splice(to, from, len)
    }

    fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

/// Standard input: at its end.
struct Ended;

#[wasmtime_wasi::async_trait]
impl Pollable for Ended {
    async fn ready(&mut self) {}
}

impl InputStream for Ended {
    fn read(&mut self, _size: usize) -> StreamResult<Bytes> {
        Err(StreamError::Closed)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Written {
    async fn ready(&mut self) {}
}

impl OutputStream for Written {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        Self::write(self, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_and_what_was_dropped_is_counted() {
        let written = Written::new(4);
        written.write(b"ab");
        written.write(b"cdef");
        assert_eq!(written.take(), (b"cdef".to_vec(), 2));
        written.write(b"123456789");
        assert_eq!(written.take(), (b"6789".to_vec(), 5));
    }
}
