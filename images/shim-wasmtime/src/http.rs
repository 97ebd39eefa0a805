//! Serves a component of the world `wasi:http/proxy`.
//!
//! HTTP/1.1 on all addresses of the pod, port `WASMTIME_HTTP_PORT` (8080 unless set). Each request
//! gets an instance of its own. At the first signal to stop, the server accepts no more
//! connections, finishes the requests under way and ends with 0; at the second one it ends at
//! once. containerd has no part in a request: a restart of containerd leaves the server alone.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use wasmtime::component::{Component, Linker, Resource};
use wasmtime::{Engine, Store};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::bindings::ProxyPre;
use wasmtime_wasi_http::bindings::http::types::Scheme;
use wasmtime_wasi_http::body::HyperOutgoingBody;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::types::{HostIncomingRequest, HostResponseOutparam};

use crate::host::{Host, Process};
use crate::signals::Told;

/// The variable of the container that says where to listen.
const PORT_VARIABLE: &str = "WASMTIME_HTTP_PORT";

/// The port of a container that does not say.
const DEFAULT_PORT: u16 = 8080;

/// How long to wait after a failed `accept`, which is nearly always a want of file descriptors
/// that ends when a connection does. A guess.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until told to stop and answers the container's exit code.
///
/// Fails when the component wants something that `wasi:http/proxy` does not offer, or when the
/// port cannot be used.
pub async fn serve(engine: &Engine, component: &Component, process: &Process) -> Result<i32> {
    let mut told = Told::listen();
    let server = Arc::new(Server {
        guest: link(engine, component)?,
        process: process.clone(),
    });
    let port = port(process.variable(PORT_VARIABLE))?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        .await
        .with_context(|| {
            format!("cannot listen on port {port}; set {PORT_VARIABLE} to one that is free")
        })?;
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::select! {
        () = accept(&listener, &server, &stopping, &mut connections) => {}
        _ = told.next() => {}
    }
    drop((listener, stop));
    tokio::select! {
        () = finish(connections) => Ok(0),
        signal = told.next() => Ok(128 + signal),
    }
}

fn link(engine: &Engine, component: &Component) -> Result<ProxyPre<Host>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::add_only_http_to_linker_async(&mut linker)?;
    linker
        .instantiate_pre(component)
        .and_then(ProxyPre::new)
        .context("cannot link the component to wasi:http/proxy 0.2")
}

fn port(variable: Option<&str>) -> Result<u16> {
    match variable {
        None | Some("") => Ok(DEFAULT_PORT),
        Some(text) => text
            .parse()
            .with_context(|| format!("{PORT_VARIABLE} must be a port number, not {text:?}")),
    }
}

/// Starts a task for each connection, for ever.
async fn accept(
    listener: &TcpListener,
    server: &Arc<Server>,
    stopping: &watch::Receiver<()>,
    connections: &mut JoinSet<()>,
) {
    loop {
        tokio::select! {
            connection = listener.accept() => match connection {
                Ok((stream, _)) => {
                    connections.spawn(converse(server.clone(), stream, stopping.clone()));
                }
                Err(error) => {
                    log::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {} // forget the finished ones
        }
    }
}

async fn finish(mut connections: JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// Answers the requests of one connection until the client or the server has had enough.
async fn converse(server: Arc<Server>, stream: TcpStream, mut stopping: watch::Receiver<()>) {
    let service = service_fn(|request| server.answer(request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        log::debug!("a connection ended: {error}");
    }
}

struct Server {
    guest: ProxyPre<Host>,
    process: Process,
}

impl Server {
    /// Hands a request to a fresh instance and answers what it sets as its response.
    ///
    /// The instance lives on in a task of its own: it may write the body after its response was
    /// set. An error makes hyper close the connection.
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<HyperOutgoingBody>> {
        let mut store = Store::new(self.guest.engine(), Host::new(self.process.wasi()?.build()));
        let (sender, response) = oneshot::channel();
        let request = store
            .data_mut()
            .new_incoming_request(Scheme::Http, request)?;
        let outparam = store.data_mut().new_response_outparam(sender)?;
        let guest = self.guest.clone();
        tokio::spawn(async move {
            if let Err(error) = handle(guest, store, request, outparam).await {
                eprintln!("containerd-shim-wasmtime: the guest failed: {error:#}");
            }
        });
        let response = response.await.context("the guest set no response")?;
        Ok(response?)
    }
}

async fn handle(
    guest: ProxyPre<Host>,
    mut store: Store<Host>,
    request: Resource<HostIncomingRequest>,
    outparam: Resource<HostResponseOutparam>,
) -> Result<()> {
    let proxy = guest.instantiate_async(&mut store).await?;
    let handler = proxy.wasi_http_incoming_handler();
    handler.call_handle(&mut store, request, outparam).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_variable_the_port_is_8080() {
        assert_eq!(8080, port(None).unwrap());
    }

    #[test]
    fn the_variable_sets_the_port() {
        assert_eq!(80, port(Some("80")).unwrap());
    }

    #[test]
    fn a_wrong_port_is_named_in_the_error() {
        let error = port(Some("http")).unwrap_err();

        assert!(error.to_string().contains("\"http\""), "{error}");
    }
}
