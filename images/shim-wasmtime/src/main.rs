//! The binary. It holds the version text and nothing else, so that a build with another version
//! compiles this file only.

/// `SHIM_VERSION` at build time, or else the crate's version.
const VERSION: &str = match option_env!("SHIM_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// `SHIM_REVISION` at build time: the state of the source the binary was built from.
const REVISION: &str = match option_env!("SHIM_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

fn main() {
    containerd_shim_wasmtime::main(VERSION, REVISION);
}
