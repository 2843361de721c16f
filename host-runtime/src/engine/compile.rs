//! Compiling: here, for bytes that are trusted, or in a process of its own, for bytes that are not.
//!
//! Wasmtime counts it as no flaw when a component makes its compiler run for hours or take all memory. So somebody
//! else's component is compiled by a child: the same binary, told by a hidden argument, which limits itself before it
//! reads a byte. It gets the component on standard input and gives native code on standard output; it opens no file, and
//! what it gives is bounded and goes through the same checks as every other code. Not for: keeping code
//! ([`super::cache`]), which only the parent does.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::limits::Limits;
use crate::until::{Until, Wake};

/// Where an artifact is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compile {
    /// In this process: for a provider that was built together with it.
    InProcess,
    /// In a child process of this program, which must call [`child_main`] first thing: for everything else.
    Child(PathBuf),
}

/// The argument that makes the program a compiler.
const CHILD: &str = "--compile-component";

/// What decides which code comes out: the same numbers for parent and child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Codegen {
    /// Bytes of address space reserved for each linear memory.
    pub(super) reservation: u64,
    /// Whether the address of a memory may change when it grows.
    pub(super) may_move: bool,
    /// Bytes of unmapped space behind a memory.
    pub(super) guard: u64,
    /// Whether the first content of a memory is mapped instead of copied.
    pub(super) mapped: bool,
}

impl Codegen {
    pub(super) fn config(self) -> wasmtime::Config {
        let mut config = wasmtime::Config::new();
        config
            // The same inputs give the same plan.
            .cranelift_nan_canonicalization(true)
            .relaxed_simd_deterministic(true)
            // One call at a time: without this each call carries the bookkeeping of asynchronous components.
            .concurrency_support(false)
            .epoch_interruption(true)
            .memory_reservation(self.reservation)
            .memory_reservation_for_growth(0)
            .memory_may_move(self.may_move)
            .memory_guard_size(self.guard)
            .memory_init_cow(self.mapped);
        config
    }

    fn to_args(self) -> [String; 4] {
        let Self { reservation, may_move, guard, mapped } = self;
        [reservation, may_move.into(), guard, mapped.into()].map(|number: u64| number.to_string())
    }

    fn from_args(mut args: impl Iterator<Item = std::ffi::OsString>) -> Option<Self> {
        let mut number = || args.next()?.to_str()?.parse::<u64>().ok();
        Some(Self { reservation: number()?, may_move: number()? == 1, guard: number()?, mapped: number()? == 1 })
    }
}

/// Native code for a component.
pub(super) fn compile(
    how: &Compile,
    engine: &wasmtime::Engine,
    codegen: Codegen,
    component: &[u8],
    limits: &Limits,
    until: &Until,
) -> Result<Vec<u8>, String> {
    match how {
        Compile::InProcess => engine.precompile_component(component).map_err(|error| super::error::chain(&error)),
        Compile::Child(program) => in_child(program, codegen, component, limits, until),
    }
}

fn in_child(
    program: &Path,
    codegen: Codegen,
    component: &[u8],
    limits: &Limits,
    until: &Until,
) -> Result<Vec<u8>, String> {
    let mut child = Command::new(program)
        .arg(CHILD)
        .args(codegen.to_args())
        .args([limits.compile_memory.to_string(), limits.compile_s.to_string()])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("the compiler's own process could not be started: {error}"))?;
    let until = until.sooner(Duration::from_secs(limits.compile_s));
    let said = talk(&mut child, component, limits.compiled + 64, &until);
    if said.is_err() {
        // It may be in the middle of anything; it is ours, and it has nothing to lose.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| format!("the compiler's own process was lost: {error}"))?;
    match said {
        Ok(answer) => Answer::read(answer, status, limits),
        Err(Trouble::Time) => Err(format!("it takes longer than the limit `compile_s`, {} s", limits.compile_s)),
        Err(Trouble::Cancelled) => Err("cancelled".to_owned()),
        Err(Trouble::Size) => Err(format!("its code has more bytes than the limit `compiled`, {}", limits.compiled)),
        Err(Trouble::Io(error)) => Err(format!("the compiler's own process could not be talked to: {error}")),
    }
}

/// Why there is no answer of the child.
enum Trouble {
    Time,
    Cancelled,
    Size,
    Io(std::io::Error),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Gives the child all of its input, then takes all of its output. It reads to the end before it writes.
fn talk(child: &mut Child, input: &[u8], limit: usize, until: &Until) -> Result<Vec<u8>, Trouble> {
    if let Some(stdin) = child.stdin.take() {
        ioctl_fionbio(&stdin, true).map_err(std::io::Error::from)?;
        let mut rest = input;
        while !rest.is_empty() {
            match rustix::io::write(&stdin, rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::AGAIN) => ready(&stdin, PollFlags::OUT, until)?,
                Err(Errno::INTR) => {}
                // It has ended; what it said before is the answer.
                Err(Errno::PIPE) => break,
                Err(error) => return Err(Trouble::Io(error.into())),
            }
        }
    }
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        ioctl_fionbio(&stdout, true).map_err(std::io::Error::from)?;
        let mut piece = vec![0; 256 << 10];
        loop {
            match rustix::io::read(&stdout, &mut piece) {
                Ok(0) => break,
                Ok(read) => answer.extend_from_slice(&piece[..read]),
                Err(Errno::AGAIN) => ready(&stdout, PollFlags::IN, until)?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(Trouble::Io(error.into())),
            }
            if answer.len() > limit {
                return Err(Trouble::Size);
            }
        }
    }
    Ok(answer)
}

fn ready(fd: impl AsFd, flags: PollFlags, until: &Until) -> Result<(), Trouble> {
    match until.wait(fd.as_fd(), flags)? {
        Wake::Ready => Ok(()),
        Wake::Deadline => Err(Trouble::Time),
        Wake::Cancelled => Err(Trouble::Cancelled),
    }
}

/// What the child says: `+`, the length in 8 bytes, the code; or `-` and why not.
struct Answer;

impl Answer {
    fn read(mut answer: Vec<u8>, status: ExitStatus, limits: &Limits) -> Result<Vec<u8>, String> {
        const HEAD: usize = 9;
        let memory = limits.compile_memory;
        match answer.split_first() {
            Some((b'-', why)) if why.ends_with(b"out of memory") => {
                return Err(format!("it takes more memory than the limit `compile_memory`, {memory} bytes"));
            }
            Some((b'-', why)) => return Err(boundary::text::one_line(why)),
            Some((b'+', rest)) => {
                if let Some((length, code)) = rest.split_first_chunk::<8>()
                    && u64::from_le_bytes(*length) == code.len() as u64
                {
                    answer.drain(..HEAD);
                    return Ok(answer);
                }
            }
            _ => {}
        }
        Err(format!(
            "the compiler's own process ended early ({status}), mostly by the limit `compile_memory`, {memory} bytes"
        ))
    }

    fn write(compiled: Result<Vec<u8>, String>) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        match compiled {
            Ok(code) => {
                out.write_all(b"+")?;
                out.write_all(&(code.len() as u64).to_le_bytes())?;
                out.write_all(&code)?;
            }
            Err(why) => {
                out.write_all(b"-")?;
                out.write_all(why.as_bytes())?;
            }
        }
        out.flush()
    }
}

/// Is the compiler, when the program was started as one; the program's `main` calls this before anything else and ends
/// with what it returns.
///
/// ```
/// fn main() -> std::process::ExitCode {
///     if let Some(code) = stagecraft_net::engine::child_main() {
///         return code;
///     }
///     // …
///     std::process::ExitCode::SUCCESS
/// }
/// ```
#[must_use]
pub fn child_main() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != CHILD {
        return None;
    }
    let codegen = Codegen::from_args(args.by_ref());
    let mut number = || args.next()?.to_str()?.parse::<u64>().ok();
    let (Some(codegen), Some(memory), Some(seconds)) = (codegen, number(), number()) else {
        return Some(ExitCode::from(1));
    };
    limit_myself(memory, seconds);
    let mut component = Vec::new();
    let compiled = std::io::stdin()
        .take(crate::artifact::MAX_BYTES as u64)
        .read_to_end(&mut component)
        .map_err(|error| error.to_string())
        .and_then(|_| {
            wasmtime::Engine::new(&codegen.config())
                .and_then(|engine| engine.precompile_component(&component))
                .map_err(|error| super::error::chain(&error))
        });
    Some(if Answer::write(compiled).is_ok() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Takes away what a compiler does not need. A limit that cannot be set was lower already.
fn limit_myself(memory: u64, seconds: u64) {
    for (resource, limit) in
        [(Resource::As, memory), (Resource::Cpu, seconds.saturating_mul(4)), (Resource::Fsize, 0), (Resource::Core, 0)]
    {
        let _ = setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) });
    }
}
