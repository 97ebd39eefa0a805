//! The three kinds of guest, told apart by what they are and what they export.
//!
//! | guest | runs until |
//! |---|---|
//! | WASI preview 1 module | its function (`_start`, or `NAME` of an entrypoint `/app.wasm#NAME`) returns |
//! | component that exports `wasi:cli/run` | `run` returns |
//! | component that exports `wasi:http/incoming-handler` | it is told to stop |

use anyhow::{Context, Result, bail};
use containerd_shim_wasm::sandbox::context::{RuntimeContext, Source, WasmBinaryType};
use wasmtime::component::{Component, Linker as ComponentLinker};
use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::preview1::{self, WasiP1Ctx};

use crate::host::{Host, Process};
use crate::{http, signals};

/// The exit code of a guest that trapped: 128 + SIGABRT, as Wasmtime's command line has it.
const EXIT_TRAP: i32 = 134;

/// A guest that was loaded, and compiled if it came as Wasm.
pub enum Guest {
    Module(Module),
    Component(Component),
}

impl Guest {
    /// Loads the entrypoint, which is a file of the container or a Wasm layer of its image.
    ///
    /// Fails when there is no such file, when it is no WebAssembly, or when it needs a feature
    /// that Wasmtime does not have.
    pub fn load(engine: &Engine, source: &Source<'_>) -> Result<Self> {
        let bytes = source
            .as_bytes()
            .context("cannot read the module; the container's first argument must be its path")?;
        if source.is_precompiled()? {
            return Self::from_compiled(engine, &bytes);
        }
        match WasmBinaryType::from_bytes(&bytes) {
            Some(WasmBinaryType::Module) => Module::from_binary(engine, &bytes).map(Self::Module),
            Some(WasmBinaryType::Component) => {
                Component::from_binary(engine, &bytes).map(Self::Component)
            }
            None => bail!(
                "the entrypoint is neither a WebAssembly module nor a component; \
                 text format (.wat) must be converted first"
            ),
        }
        .context("cannot compile the guest")
    }

    /// Loads what `LayerCompiler` made.
    fn from_compiled(engine: &Engine, bytes: &[u8]) -> Result<Self> {
        let kind = Engine::detect_precompiled(bytes);
        // SAFETY: the bytes come from containerd's content store, where only this shim's compiler
        // puts them under a key that names its version and settings.
        unsafe {
            match kind {
                Some(wasmtime::Precompiled::Module) => {
                    Module::deserialize(engine, bytes).map(Self::Module)
                }
                Some(wasmtime::Precompiled::Component) => {
                    Component::deserialize(engine, bytes).map(Self::Component)
                }
                None => bail!("containerd's cached code of this image is not from Wasmtime"),
            }
        }
        .context("cannot load cached code; pull the image again to drop it")
    }
}

/// Runs a guest to its end and answers the container's exit code.
///
/// Fails when the guest cannot be started. A guest that traps has been started: its trap goes to
/// the container's stderr.
pub async fn run(
    engine: &Engine,
    guest: Guest,
    ctx: &impl RuntimeContext,
    function: &str,
) -> Result<i32> {
    let process = Process::of(ctx);
    match guest {
        Guest::Module(module) => run_module(engine, &module, &process, function).await,
        Guest::Component(component)
            if exports(engine, &component, "wasi:http/incoming-handler") =>
        {
            http::serve(engine, &component, &process).await
        }
        Guest::Component(component) if exports(engine, &component, "wasi:cli/run") => {
            run_command(engine, &component, &process).await
        }
        Guest::Component(_) => bail!(
            "the component exports neither wasi:cli/run nor wasi:http/incoming-handler; \
             build it for the world wasi:cli/command or wasi:http/proxy"
        ),
    }
}

fn exports(engine: &Engine, component: &Component, interface: &str) -> bool {
    let of_interface = |name: &str| name.split('@').next() == Some(interface);
    let component_type = component.component_type();
    component_type
        .exports(engine)
        .any(|(name, _)| of_interface(name))
}

async fn run_module(
    engine: &Engine,
    module: &Module,
    process: &Process,
    function: &str,
) -> Result<i32> {
    let mut linker = Linker::new(engine);
    preview1::add_to_linker_async(&mut linker, |wasi: &mut WasiP1Ctx| wasi)?;
    let mut store = Store::new(engine, process.wasi()?.build_p1());
    signals::exit_when_told();
    let instance = match linker.instantiate_async(&mut store, module).await {
        Ok(instance) => instance,
        Err(error) if is_guests_end(&error) => return Ok(exit_code(Err(error))),
        Err(error) => return Err(error.context("cannot link the module to WASI preview 1")),
    };
    let function = instance
        .get_typed_func::<(), ()>(&mut store, function)
        .with_context(|| format!("the module has no function {function:?} to start with"))?;
    Ok(exit_code(function.call_async(&mut store, ()).await))
}

async fn run_command(engine: &Engine, component: &Component, process: &Process) -> Result<i32> {
    let mut linker = ComponentLinker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::add_only_http_to_linker_async(&mut linker)?;
    let mut store = Store::new(engine, Host::new(process.wasi()?.build()));
    signals::exit_when_told();
    let command = Command::instantiate_async(&mut store, component, &linker)
        .await
        .context("cannot link the component to WASI preview 2")?;
    match command.wasi_cli_run().call_run(&mut store).await {
        Ok(Ok(())) => Ok(0),
        Ok(Err(())) => Ok(1),
        Err(error) => Ok(exit_code(Err(error))),
    }
}

/// Whether an error came out of running code (a start function), not out of linking.
fn is_guests_end(error: &anyhow::Error) -> bool {
    error.is::<I32Exit>() || error.is::<wasmtime::Trap>()
}

/// The exit code of a guest's end: returned, called `exit`, or trapped.
fn exit_code(end: Result<()>) -> i32 {
    let Err(error) = end else { return 0 };
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return *code;
    }
    eprintln!("containerd-shim-wasmtime: the guest failed: {error:#}");
    EXIT_TRAP
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_guest_that_returns_ends_with_zero() {
        assert_eq!(0, exit_code(Ok(())));
    }

    #[test]
    fn a_guest_that_exits_chooses_its_code() {
        assert_eq!(7, exit_code(Err(I32Exit(7).into())));
    }

    #[test]
    fn a_trap_ends_as_an_abort_does() {
        assert_eq!(134, exit_code(Err(anyhow!("wasm trap: unreachable"))));
    }
}
