//! The faces of Wheelhouse for programs, and what all faces share.
//!
//! [`face`] holds the verbs, names, documents and failures that the command line uses too. [`Server`] serves the HTTP
//! API. Translation only: what a wish means is in `face`, what is true is in the store, and what happens next is the
//! engine's. A server can be killed and started at any moment; it holds nothing that matters.

pub mod acp;
mod api;
mod code;
mod desk;
pub mod face;
mod guard;
mod listen;
mod madrox;
mod mcp;
mod paced;
pub mod ports;
pub mod token;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::api::{Faces, STREAMS_MAX};
use crate::code::Code;
use crate::desk::Desk;
use crate::face::tool_search::Tools;
use crate::guard::Guard;
pub use crate::listen::Limits;
pub use crate::mcp::PATH as MCP_PATH;
use crate::mcp::tool::Toolset;
use crate::ports::Ports;

/// The tools of ours that instances may have, each as it stands in a prompt.
pub fn instance_tools() -> std::collections::BTreeMap<String, String> {
    mcp::tool::texts_for_instances()
}

/// The OpenAPI page of the API, for a server at that URL.
pub fn description(url: &str) -> serde_json::Value {
    api::openapi::document(url)
}

/// A server that is about to serve.
pub struct Server {
    faces: Faces,
    listener: TcpListener,
    limits: Limits,
    open: Arc<AtomicUsize>,
}

impl Server {
    /// A server on that listener. `hosts` are further names that callers may use.
    pub fn new(listener: TcpListener, ports: Ports, hosts: Vec<String>) -> std::io::Result<Server> {
        let address = listener.local_addr()?;
        let Ports {
            store,
            state_dir,
            project,
            toolset,
            tools,
            servers,
            tool_rules,
            stages,
            plans,
            secret,
        } = ports;
        let faces = Faces {
            desk: Desk::new(store, &state_dir),
            code: Arc::new(Code::new(project, &state_dir, stages)),
            toolset: match &toolset {
                None => Toolset::default(),
                Some(name) => Toolset::named(name).map_err(std::io::Error::other)?,
            },
            tools: Arc::new(tools),
            servers: Arc::new(Tools::new(servers, &state_dir)),
            tool_rules: Arc::new(tool_rules),
            leave: Arc::default(),
            plans: plans.into(),
            guard: Arc::new(Guard::new(address, hosts, secret)),
            stop: CancellationToken::new(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        };
        Ok(Server {
            faces,
            listener,
            limits: Limits::default(),
            open: Arc::default(),
        })
    }

    /// With other limits on connections.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Server {
        self.limits = limits;
        self
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Ends [`Server::serve`] when it is cancelled.
    pub fn stop(&self) -> CancellationToken {
        self.faces.stop.clone()
    }

    /// How many connections are open.
    pub fn connections(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.open)
    }

    /// Serves until told to stop.
    pub async fn serve(self) {
        let Server {
            faces,
            listener,
            limits,
            open,
        } = self;
        let (mcp, watchers) = mcp::service(&faces);
        let router = api::router(&faces, mcp);
        let desk = Arc::clone(&faces.desk);
        let servers = Arc::clone(faces.servers.servers());
        let (ended, until_ended) = tokio::sync::oneshot::channel::<()>();
        let serving = async {
            tokio::select! {
                () = listen::serve(listener, router, limits, open, faces.stop.clone()) => {}
                () = desk.carry_news() => {}
                () = watchers.carry(&faces) => {}
            }
            drop(ended);
        };
        // The servers that were started for our callers end after the last answer.
        tokio::join!(serving, servers.carry(Box::pin(async { drop(until_ended.await) })));
    }
}
