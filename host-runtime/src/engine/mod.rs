//! Runs a provider: the only place that knows wasmtime.
//!
//! [`Engine`] is one for a process; [`Engine::load`] takes an [`Artifact`] through preflight, compiler and cache to a
//! [`Loaded`] provider, and each call of that runs in a store of its own, on the caller's thread, synchronously. A call
//! ends with an answer within the contract's bounds or with one [`CallError`]; whatever it did to itself is gone with its
//! store, so the next call begins afresh.
//!
//! | what a guest has | what it does not have |
//! |---|---|
//! | its memory and its processor time, within [`Limits`] | files, sockets, HTTP, clocks, random numbers |
//! | the handles of this one call | any way from a name to a handle, or from a slot to a secret's bytes |
//! | standard streams that lead nowhere | environment, arguments |
//!
//! Not for: what the handles do (`crate::call`), what is allowed ([`crate::policy`]), or what bytes may be loaded
//! ([`crate::artifact`]).

mod answer;
mod bindings;
mod budget;
mod cache;
mod compile;
mod error;
mod hands;
mod limits;
mod preflight;
mod state;
mod wasi;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Component, Linker, Resource};
use wasmtime::{Store, UpdateDeadline};

pub use self::cache::user_dir;
pub use self::compile::{Compile, child_main};
pub use self::error::{CallError, Fault, LoadError, Phase, Unmet};
pub use self::limits::{Limits, TABLE as LIMITS};
pub use self::watch::Watch;

use self::answer::Bounds;
use self::bindings::{NetworkProvider, NetworkProviderPre};
use self::cache::{Cache, Key};
use self::compile::Codegen;
use self::state::State;
use crate::artifact::{Artifact, DESCRIPTOR_SECTION, Which};
use crate::contract::{
    Assessment, BatchError, Descriptor, Diagnostic, Failure, Hands, Level, Outcome, PauseEnd, Request, SecretHandle,
    Step,
};
use crate::until::{Cancel, Until};

/// What a thread's stack must have beyond [`Limits::stack`] to run calls: the host's own functions, down to the SSH
/// library's.
pub const HOST_STACK: usize = 512 << 10;

/// How an [`Engine`] is set up.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// What one call may take.
    pub limits: Limits,
    /// Where compiled code is kept; `None` for nowhere. [`user_dir`] is the user's own place for it.
    pub cache: Option<PathBuf>,
    /// For tests: is shown the whole linear memory of each call.
    pub watch: Option<Watch>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { limits, cache, watch } = self;
        f.debug_struct("Options")
            .field("limits", limits)
            .field("cache", cache)
            .field("watch", &watch.is_some())
            .finish()
    }
}

/// The engine of a process. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
    linker: Arc<Linker<State>>,
    codegen: Codegen,
    limits: Arc<Limits>,
    cache: Option<Cache>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("limits", &self.limits).field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// This machine cannot run providers.
#[derive(Debug, thiserror::Error)]
#[error("this machine cannot run providers: {0}")]
pub struct EngineError(String);

impl Engine {
    /// An engine. It keeps a thread that ticks every 10 ms, which ends with the last clone and the last [`Loaded`].
    ///
    /// # Errors
    /// When the machine has no thread left, or its processor is not one that can be compiled for.
    pub fn new(options: Options) -> Result<Self, EngineError> {
        let Options { limits, cache, watch } = options;
        // The guard is wasmtime's own default: with it one check of a pointer serves every offset from it.
        let codegen = match &watch {
            None => Codegen { reservation: limits.memory as u64, may_move: false, guard: 32 << 20, mapped: true },
            Some(_) => Codegen { reservation: 0, may_move: true, guard: 0, mapped: false },
        };
        let mut config = codegen.config();
        config
            .max_wasm_stack(limits.stack)
            // Not used without asynchronous calls, but it must be the larger one.
            .async_stack_size(limits.stack + (1 << 20));
        if let Some(watch) = watch {
            config.with_host_memory(Arc::new(watch::Watching(watch)));
        }
        let wasmtime = wasmtime::Engine::new(&config).map_err(|error| EngineError(error::chain(&error)))?;
        let mut linker = Linker::new(&wasmtime);
        wasi::link(&mut linker)
            .and_then(|()| {
                NetworkProvider::add_to_linker::<_, wasmtime::component::HasSelf<State>>(&mut linker, |state| state)
            })
            .map_err(|error| EngineError(error::chain(&error)))?;
        budget::tick(&wasmtime).map_err(|error| EngineError(error.to_string()))?;
        Ok(Self { wasmtime, linker: Arc::new(linker), codegen, limits: Arc::new(limits), cache: cache.map(Cache::new) })
    }

    /// Makes an artifact ready to be called: preflight, compiled or from the cache, and held against its own descriptor.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self, artifact: &Artifact, compile: Compile) -> Result<Loaded, LoadError> {
        /// What describing itself may take a provider.
        const DESCRIBE: Duration = Duration::from_secs(10);

        preflight::judge(artifact)?;
        let which = artifact.which();
        let failed = |reason| LoadError::Compile { which: which.clone(), reason };
        let cancel = Cancel::new().map_err(|error| failed(error.to_string()))?;
        let (component, origin) = self.component(artifact, &compile, &cancel).map_err(failed)?;
        let pre = self
            .linker
            .instantiate_pre(&component)
            .and_then(NetworkProviderPre::new)
            .map_err(|error| LoadError::Link { which: which.clone(), reason: error::chain(&error) })?;
        let mut loaded = Loaded { engine: self.clone(), pre, which, descriptor: artifact.descriptor().clone(), origin };
        let said = match loaded.describe(&Until::after(DESCRIBE, &cancel)) {
            Ok(said) => said,
            // The types of what a provider exports are compared when it is first instantiated.
            Err(CallError { which, fault: Fault::Other(reason), .. }) => return Err(LoadError::Link { which, reason }),
            Err(error) => return Err(error.into()),
        };
        let fields = differences(&said, &loaded.descriptor);
        if fields.is_empty() {
            loaded.descriptor = said;
            Ok(loaded)
        } else {
            Err(LoadError::Descriptor { which: loaded.which, section: DESCRIPTOR_SECTION, fields })
        }
    }

    /// The component, from the cache where it is there.
    fn component(
        &self,
        artifact: &Artifact,
        compile: &Compile,
        cancel: &Cancel,
    ) -> Result<(Component, Origin), String> {
        let key = Key::new(&artifact.digest(), &self.wasmtime);
        if let Some(cache) = &self.cache
            && let Some(code) = cache.get(&key, self.limits.compiled)
            && let Ok(component) = self.trusted(&code)
        {
            return Ok((component, Origin::Cache));
        }
        let until = Until::after(Duration::from_secs(self.limits.compile_s), cancel);
        let code = compile::compile(compile, &self.wasmtime, self.codegen, artifact.bytes(), &self.limits, &until)?;
        let component = self.trusted(&code).map_err(|error| error::chain(&error))?;
        if let Some(cache) = &self.cache {
            cache.put(&key, &code);
        }
        Ok((component, Origin::Compiled))
    }

    /// A component from native code.
    fn trusted(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` runs the bytes as native code, so they must come from wasmtime's own compiler. They do:
        // they are what it gave this moment, in this process or in our own child, or they stood in a folder that is ours
        // and closed to everybody else, in an entry whose digest is intact (`cache`). No caller has bytes from elsewhere:
        // artifacts that are native code are refused where they are read.
        unsafe { Component::deserialize(&self.wasmtime, code) }
    }
}

/// The fields in which two descriptors differ.
fn differences(a: &Descriptor, b: &Descriptor) -> Vec<&'static str> {
    [
        ("id", a.id != b.id),
        ("display-name", a.display_name != b.display_name),
        ("description", a.description != b.description),
        ("version", a.version != b.version),
        ("config-schema", a.config_schema != b.config_schema),
        ("secrets", a.secrets != b.secrets),
        ("commands", a.commands != b.commands),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect()
}

/// Where a provider's native code came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// It was compiled for this.
    Compiled,
    /// It had been compiled before, on this machine by this user.
    Cache,
}

/// A provider that is ready to be called, from any number of threads.
#[derive(Clone)]
pub struct Loaded {
    engine: Engine,
    pre: NetworkProviderPre<State>,
    which: Arc<Which>,
    descriptor: Descriptor,
    origin: Origin,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("which", &self.which).field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Loaded {
    /// What it says of itself, the same in its artifact and in its code.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Its id, version and digest.
    #[must_use]
    pub fn which(&self) -> &Which {
        &self.which
    }

    /// Where its native code came from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Asks it what it is.
    ///
    /// # Errors
    /// See [`CallError`]; so for every call.
    pub fn describe(&self, until: &Until) -> Result<Descriptor, CallError> {
        self.call(
            Phase::Describe,
            &mut Nobody,
            until,
            |provider, store| provider.stagecraft_network_provider().call_describe(store).map(Descriptor::from),
            |bounds, descriptor| bounds.descriptor(descriptor),
        )
    }

    /// Asks it what it finds in a config, a JSON text.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn validate(&self, config: &str, until: &Until) -> Result<Vec<Diagnostic>, CallError> {
        self.call(
            Phase::Validate,
            &mut Nobody,
            until,
            |provider, store| {
                let found = provider.stagecraft_network_provider().call_validate(store, config)?;
                Ok(found.into_iter().map(Diagnostic::from).collect::<Vec<_>>())
            },
            |bounds, found| bounds.diagnostics(found),
        )
    }

    /// Asks it what a host will be called in the network.
    ///
    /// # Errors
    /// See [`CallError`]; the inner error is the provider's own.
    pub fn node_fqdn(&self, config: &str, host: &str, until: &Until) -> Result<Result<String, Failure>, CallError> {
        self.call(
            Phase::NodeFqdn,
            &mut Nobody,
            until,
            |provider, store| {
                let name = provider.stagecraft_network_provider().call_node_fqdn(store, config, host)?;
                Ok(name.map_err(Failure::from))
            },
            |bounds, name| name.as_ref().map_or_else(|failure| bounds.failure(failure), |name| bounds.name(name)),
        )
    }

    /// Lets it look at a machine and plan.
    ///
    /// # Errors
    /// See [`CallError`]; the inner error is the provider's own.
    pub fn plan(
        &self,
        request: &Request,
        hands: &mut dyn Hands,
        until: &Until,
    ) -> Result<Result<Assessment, Failure>, CallError> {
        self.call(
            Phase::Plan,
            hands,
            until,
            |provider, store| {
                let look = store.data_mut().table.push(hands::Observer)?;
                let look = Resource::new_borrow(look.rep());
                let said = provider.stagecraft_network_provider().call_plan(store, &request.into(), look)?;
                Ok(said.map(Assessment::from).map_err(Failure::from))
            },
            |bounds, said| said.as_ref().map_or_else(|failure| bounds.failure(failure), |said| bounds.assessment(said)),
        )
    }

    /// Lets it change a machine in the steps that were shown, with the private data of the plan that they come from.
    ///
    /// # Errors
    /// See [`CallError`]; the inner error is the provider's own.
    pub fn apply(
        &self,
        request: &Request,
        steps: &[Step],
        private: &[u8],
        hands: &mut dyn Hands,
        until: &Until,
    ) -> Result<Result<Outcome, Failure>, CallError> {
        self.call(
            Phase::Apply,
            hands,
            until,
            |provider, store| {
                let table = &mut store.data_mut().table;
                let look = Resource::new_borrow(table.push(hands::Observer)?.rep());
                let act = Resource::new_borrow(table.push(hands::Actor)?.rep());
                let given = Resource::new_borrow(table.push(hands::Vault)?.rep());
                let steps: Vec<_> = steps.iter().cloned().map(Into::into).collect();
                let provider = provider.stagecraft_network_provider();
                let said = provider.call_apply(store, &request.into(), &steps, private, look, act, given)?;
                Ok(said.map(Outcome::from).map_err(Failure::from))
            },
            |bounds, said| said.as_ref().map_or_else(|failure| bounds.failure(failure), |said| bounds.outcome(said)),
        )
    }

    /// One call in a store of its own.
    fn call<R>(
        &self,
        phase: Phase,
        hands: &mut dyn Hands,
        until: &Until,
        call: impl FnOnce(&NetworkProvider, &mut Store<State>) -> wasmtime::Result<R>,
        check: impl FnOnce(&Bounds<'_>, &R) -> Result<(), Fault>,
    ) -> Result<R, CallError> {
        let limits = &*self.engine.limits;
        let mut store = Store::new(&self.engine.wasmtime, State::new(limits, until));
        store.limiter(|state| &mut state.totals);
        store.set_hostcall_fuel(limits.copied);
        store.set_max_component_handles(limits.handles);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| match store.data_mut().budget.check() {
            None => Ok(UpdateDeadline::Continue(1)),
            Some(_) => Ok(UpdateDeadline::Interrupt),
        });
        let said = hands::lend(hands, || {
            let provider = self.pre.instantiate(&mut store)?;
            call(&provider, &mut store)
        });
        let wrote = error::wrote(store.data().written.take());
        let (fault, running) = match said {
            Ok(said) => match check(&Bounds(limits), &said) {
                Ok(()) => {
                    // Nobody reads a guest's streams; for its author they are in the log.
                    boundary::text::last_lines(&wrote, 20).lines().for_each(|line| hands.log(Level::Debug, line));
                    return Ok(said);
                }
                Err(fault) => (fault, Vec::new()),
            },
            Err(error) => (error::fault(&error, store.data(), limits), error::running(&error)),
        };
        Err(CallError { which: self.which.clone(), phase, fault, wrote, running })
    }
}

/// The hands of a call that gets no handle: nothing but the log is in reach, and it leads nowhere.
struct Nobody;

impl Hands for Nobody {
    fn name(&self) -> String {
        String::new()
    }

    fn connection(&self) -> Option<String> {
        None
    }

    fn probe(&mut self, _: Vec<boundary::command::Command>) -> Result<Vec<boundary::command::Output>, BatchError> {
        Err(BatchError::Other("this call was given no machine".to_owned()))
    }

    fn run(
        &mut self,
        _: &str,
        _: Vec<boundary::command::Command>,
    ) -> Result<Vec<boundary::command::Output>, BatchError> {
        self.probe(Vec::new())
    }

    fn pause(&mut self, _: Duration) -> PauseEnd {
        PauseEnd::Elapsed
    }

    fn secret(&mut self, _: &str) -> Option<SecretHandle> {
        None
    }

    fn log(&mut self, _: Level, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The built-in provider, as it is embedded.
    fn builtin() -> Artifact {
        Artifact::from_bytes(&include_bytes!(env!("BUILTIN_ARTIFACT"))[..], None).expect("an artifact")
    }

    #[test]
    fn the_built_in_provider_loads_and_never_compiles_twice() {
        let home = tempfile::tempdir().expect("a folder");
        let options = Options { cache: Some(home.path().join("code")), ..Options::default() };
        let artifact = builtin();
        let origins = [(); 2].map(|()| {
            let engine = Engine::new(options.clone()).expect("an engine");
            let loaded = engine.load(&artifact, Compile::InProcess).expect("a provider");
            assert_eq!(loaded.descriptor(), artifact.descriptor());
            loaded.origin()
        });
        assert_eq!(origins, [Origin::Compiled, Origin::Cache]);
    }
}
