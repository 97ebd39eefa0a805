//! What a guest sees of the world: the container's arguments, environment, streams, files and
//! network. The container is the boundary, so inside of it nothing is held back.

use anyhow::{Context, Result};
use containerd_shim_wasm::sandbox::context::RuntimeContext;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{DirPerms, FilePerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpView};

/// The store's data of a component.
pub struct Host {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
}

impl Host {
    pub fn new(wasi: WasiCtx) -> Self {
        Self {
            wasi,
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
        }
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Host {
    fn ctx(&mut self) -> &mut WasiHttpCtx {
        &mut self.http
    }

    fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

/// The arguments and variables of a container, copied out of its specification so that a server
/// can make a fresh world for each request.
#[derive(Clone)]
pub struct Process {
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Process {
    pub fn of(ctx: &impl RuntimeContext) -> Self {
        Self {
            args: ctx.args().to_vec(),
            env: ctx.envs().iter().map(|entry| split_entry(entry)).collect(),
        }
    }

    pub fn variable(&self, name: &str) -> Option<&str> {
        // As with execve, the last entry of a name wins.
        let entry = self.env.iter().rev().find(|(key, _)| key == name);
        entry.map(|(_, value)| value.as_str())
    }

    pub fn wasi(&self) -> Result<WasiCtxBuilder> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.args(&self.args)
            .envs(&self.env)
            .inherit_stdio()
            .inherit_network()
            .allow_ip_name_lookup(true)
            .preopened_dir("/", "/", DirPerms::all(), FilePerms::all())
            .context("cannot open the container's root directory")?;
        Ok(wasi)
    }
}

fn split_entry(entry: &str) -> (String, String) {
    let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
    (name.to_string(), value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(entries: &[&str]) -> Process {
        Process {
            args: vec![],
            env: entries.iter().map(|entry| split_entry(entry)).collect(),
        }
    }

    #[test]
    fn a_value_may_hold_an_equals_sign() {
        assert_eq!(Some("a=b"), process(&["X=a=b"]).variable("X"));
    }

    #[test]
    fn the_last_entry_of_a_name_wins() {
        assert_eq!(Some("2"), process(&["X=1", "X=2"]).variable("X"));
    }

    #[test]
    fn an_entry_without_a_value_is_empty() {
        assert_eq!(Some(""), process(&["X"]).variable("X"));
    }
}
