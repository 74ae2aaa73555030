//! What we add to a call of a model: a try of the backend `api`, key, request, stream, usage, log and result, beside the same
//! request by a client that does nothing else, and through gateways.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wheelhouse_agents::api::{Api, Config, Http, Key, Source, provider};
use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, BoxFuture, Inbox, Input, Order, Sink};
use wheelhouse_core::ids::{AgentName, RunId, TaskId, TaskKey};
use wheelhouse_core::outcome::Outcome;

use crate::model::Model;
use crate::peers::{self, Plain};
use crate::percentile_ms;

/// How many calls are timed one after the other.
const CALLS: usize = 3_000;
/// How many of a slower peer.
const CALLS_OF_PEERS: usize = 300;
/// How many callers there are at once for the rate.
const CALLERS: usize = 32;
/// For how long a rate is measured.
const RATE_FOR: Duration = Duration::from_secs(5);

struct Deaf;

impl Sink for Deaf {
    fn event(&self, _event: AgentEvent) {}
}

struct NoOrders;

impl Inbox for NoOrders {
    fn next(&mut self) -> BoxFuture<'_, Option<Order>> {
        Box::pin(async { None })
    }
}

fn assignment(directory: &Path) -> Assignment {
    Assignment {
        run: RunId(1),
        task: TaskId(1),
        key: TaskKey::from("task"),
        attempt: 1,
        agent: AgentName::from("model"),
        input: Input::Prompt("Summarise what the parser of this project does and where it is tested. ".repeat(5)),
        stdin: None,
        tools: None,
        model: None,
        role: None,
        cwd: directory.to_owned(),
        env: BTreeMap::new(),
        schema: None,
        session: None,
        log: None,
        output_max: 64 << 10,
        grace_ms: 300,
        mcp_servers: BTreeMap::new(),
    }
}

async fn once(api: &Api, directory: &Path) -> Duration {
    let begun = Instant::now();
    let ended = api
        .attempt(assignment(directory), Box::new(NoOrders), Arc::new(Deaf))
        .await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    begun.elapsed()
}

pub(crate) fn measure() {
    let model = Model::start(false);
    let directory = tempfile::tempdir().unwrap();
    let api = Arc::new(Api::new(
        Arc::new(Http::default()),
        Config {
            base_url: Some(model.url()),
            model: Some("model-1".to_owned()),
            key: Source::Env {
                name: "KEY".to_owned(),
                key: Key::new("sk-bench"),
            },
            ..Config::new(provider("openai-chat").unwrap())
        },
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let plain = |port: u16, headers: &str, calls: usize| -> Vec<Duration> {
        let mut client = Plain::new(port, headers).unwrap();
        (0..calls).filter_map(|_| client.call()).collect()
    };
    plain(model.port, "", 200);
    let mut floor = plain(model.port, "", CALLS);
    let mut ours: Vec<Duration> = runtime.block_on(async {
        let mut times = Vec::new();
        for call in 0..CALLS + 200 {
            let took = once(&api, directory.path()).await;
            if call >= 200 {
                times.push(took);
            }
        }
        times
    });
    let floor_p50 = percentile_ms(&mut floor, 50);
    let added = percentile_ms(&mut ours, 50) - floor_p50;
    println!("one caller, p50: plain client {floor_p50:.3} ms");
    println!(
        "  Wheelhouse adds {added:.3} ms (p99 of the whole call {:.3} ms)",
        percentile_ms(&mut ours, 99)
    );
    let floor_rate = rate_of_plain(model.port, "");
    let our_rate = runtime.block_on(rate(&api, directory.path()));
    println!("{CALLERS} callers: plain clients {floor_rate:.0} calls/s, Wheelhouse {our_rate:.0} calls/s");
    for peer in peers::all(&model.url()) {
        plain(peer.port, &peer.headers, 50);
        let mut through = plain(peer.port, &peer.headers, CALLS_OF_PEERS);
        let theirs = percentile_ms(&mut through, 50) - floor_p50;
        let their_rate = rate_of_plain(peer.port, &peer.headers);
        println!("  {} adds {theirs:.3} ms ({:.1} times ours)", peer.name, theirs / added);
        if their_rate > 0.0 {
            println!("    {their_rate:.0} calls/s (ours {:.1} times)", our_rate / their_rate);
        } else {
            println!("    no call of {CALLERS} callers at once came back: no ratio");
        }
    }
}

async fn rate(api: &Arc<Api>, directory: &Path) -> f64 {
    let begun = Instant::now();
    let callers = (0..CALLERS).map(|_| {
        let (api, directory) = (Arc::clone(api), directory.to_owned());
        tokio::spawn(async move {
            let mut calls = 0_usize;
            while begun.elapsed() < RATE_FOR {
                once(&api, &directory).await;
                calls += 1;
            }
            calls
        })
    });
    let mut calls = 0;
    for caller in callers.collect::<Vec<_>>() {
        calls += caller.await.unwrap();
    }
    calls as f64 / begun.elapsed().as_secs_f64()
}

fn rate_of_plain(port: u16, headers: &str) -> f64 {
    let calls = AtomicUsize::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                let Some(mut client) = Plain::new(port, headers) else {
                    return;
                };
                while begun.elapsed() < RATE_FOR {
                    if client.call().is_some() {
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    calls.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}
