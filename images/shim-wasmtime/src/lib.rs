//! A containerd shim that runs WebAssembly with Wasmtime.
//!
//! containerd starts the binary once for each pod; `containerd-shim-wasm` answers the Task API,
//! builds the sandbox (namespaces, cgroup, root file system) and, inside it, asks this crate to
//! run the guest. What is kept out of here: anything about containerd, and anything about Linux
//! containers (the pause process of a pod), which the library runs by itself.
//!
//! * [`shim`] is the door: what the library asks for, and ahead-of-time compilation;
//! * [`guest`] tells the three kinds of guest apart and runs them;
//! * [`http`] serves a `wasi:http/proxy` component;
//! * [`host`] is what a guest can see of the world;
//! * [`signals`] is how it is told to stop.

mod guest;
mod host;
mod http;
mod shim;
mod signals;

pub use shim::main;
