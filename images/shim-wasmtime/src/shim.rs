//! What `containerd-shim-wasm` asks of a shim: its name and version, a sandbox that runs guests,
//! and a compiler whose results containerd keeps beside the image.

use std::hash::Hash;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use containerd_shim_wasm::sandbox::Sandbox;
use containerd_shim_wasm::sandbox::context::{RuntimeContext, WasmBinaryType, WasmLayer};
use containerd_shim_wasm::shim::{Cli, Compiler, Config, Shim, Version};
use wasmtime::Engine;

use crate::guest::{self, Guest};

/// Version and revision, given by the binary before anything else runs.
static VERSION: OnceLock<(&str, &str)> = OnceLock::new();

/// The exit code of a guest that could not be started: what a shell answers for a file that is
/// there and cannot be executed.
const EXIT_CANNOT_START: i32 = 126;

/// Runs the shim's command line (`-v`, `-info`, `start`, `delete`, or the server itself).
///
/// The log level is `warn`: at `info` the WASI implementation logs every write of the guest, which
/// would copy its output into the node's journal. `RUST_LOG` overrides it.
pub fn main(version: &'static str, revision: &'static str) {
    VERSION.get_or_init(|| (version, revision));
    WasmtimeShim::run(Config {
        default_log_level: "warn".to_string(),
        ..Default::default()
    });
}

struct WasmtimeShim;

impl Shim for WasmtimeShim {
    type Sandbox = WasmtimeSandbox;

    fn name() -> &'static str {
        "wasmtime"
    }

    fn version() -> Version {
        let (version, revision) = *VERSION.get().unwrap_or(&("unknown", "unknown"));
        Version { version, revision }
    }

    #[allow(refining_impl_trait)] // the trait's own type cannot be named outside of its crate
    async fn compiler() -> Option<LayerCompiler> {
        engine()
            .inspect_err(|error| log::error!("images are not compiled ahead of time: {error:#}"))
            .map(LayerCompiler)
            .ok()
    }
}

/// Compiles the Wasm layers of an image once, in the shim, outside of the container.
///
/// Images that hold their module as a file are compiled at each start instead.
struct LayerCompiler(Engine);

impl Compiler for LayerCompiler {
    fn cache_key(&self) -> impl Hash {
        self.0.precompile_compatibility_hash()
    }

    /// Answers one entry for each layer: the compiled code, or `None` to use the layer as it is.
    async fn compile(&self, layers: &[WasmLayer]) -> Result<Vec<Option<Vec<u8>>>> {
        layers
            .iter()
            .map(|layer| self.compile_layer(&layer.layer))
            .collect()
    }
}

impl LayerCompiler {
    fn compile_layer(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
        let code = match WasmBinaryType::from_bytes(bytes) {
            Some(WasmBinaryType::Module) => self.0.precompile_module(bytes)?,
            Some(WasmBinaryType::Component) => self.0.precompile_component(bytes)?,
            None => return Ok(None),
        };
        Ok(Some(code))
    }
}

/// Runs one guest in a container that the library has prepared.
#[derive(Default)]
struct WasmtimeSandbox;

impl Sandbox for WasmtimeSandbox {
    /// Runs the guest to its end and answers its exit code.
    ///
    /// What prevents the start is written to the container's stderr, where `kubectl logs` shows
    /// it. The library would write it to the node's journal and exit with 137, which reads as
    /// "killed for want of memory".
    async fn run_wasi(&self, ctx: &impl RuntimeContext) -> Result<i32> {
        match start(ctx).await {
            Ok(exit_code) => Ok(exit_code),
            Err(error) => {
                eprintln!("containerd-shim-wasmtime: {error:#}");
                Ok(EXIT_CANNOT_START)
            }
        }
    }
}

async fn start(ctx: &impl RuntimeContext) -> Result<i32> {
    let entrypoint = ctx.entrypoint();
    let engine = engine()?;
    let guest = Guest::load(&engine, &entrypoint.source)?;
    guest::run(&engine, guest, ctx, &entrypoint.func).await
}

/// The engine's settings are part of the key of compiled code: one function for both users.
fn engine() -> Result<Engine> {
    let mut config = wasmtime::Config::new();
    config.async_support(true);
    Engine::new(&config).context("cannot set up Wasmtime on this machine")
}
