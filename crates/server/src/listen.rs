//! Accepts connections and serves them, within limits; ends them when the server ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::paced::Paced;

/// How much a caller may ask of the connection alone.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many connections are served at a time; further ones wait to be accepted.
    pub connections: usize,
    /// How long a caller has to send the head of a request.
    pub head: Duration,
    /// How long a caller may take nothing of an answer.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 1_024,
            head: Duration::from_secs(10),
            stall: Duration::from_secs(30),
        }
    }
}

/// How long open requests have to end when the server does.
const GRACE: Duration = Duration::from_secs(2);
/// Before another try after the system refused a connection (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until told to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    open: Arc<AtomicUsize>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        // The place comes first: what is over the limit waits in the system's queue and costs nothing here.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (router, stop) = (router.clone(), stop.clone());
        let open = Arc::clone(&open);
        connections.spawn(async move {
            open.fetch_add(1, Ordering::Relaxed);
            connection(stream, router, limits, stop).await;
            open.fetch_sub(1, Ordering::Relaxed);
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    let _ = tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, router: Router, limits: Limits, stop: CancellationToken) {
    // Small answers are the rule; waiting for more to send would cost each 40 ms.
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(
            TokioIo::new(Paced::new(stream, limits.stall)),
            TowerToHyperService::new(router),
        )
        .with_upgrades();
    tokio::pin!(served);
    tokio::select! {
        // A connection that breaks is its caller's news, not ours.
        _ = served.as_mut() => return,
        () = stop.cancelled() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}
