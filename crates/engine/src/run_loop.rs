//! The loop of a running engine: carries inputs to the dispatcher and its effects into the world.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use wheelhouse_core::ids::{Lease, OwnerId};
use wheelhouse_core::time::Millis;

use crate::attempt::Word;
use crate::dispatch::{Dispatcher, Effect, Ending, Input, Limits, StopSignal};
use crate::fault;
use crate::lock::StateLock;
use crate::prepare::World;
use crate::supervise::{self, Writer};
use crate::token::Key;
use crate::{Error, Ports, Settings, nudge};

/// How many inputs may queue up before those who report must wait.
const INPUTS_MAX: usize = 8_192;
/// How many inputs are taken before effects are carried out, so that one busy source cannot starve the rest.
const INPUTS_A_ROUND: usize = 1_024;

/// Runs the engine until its end: see [`Settings::until`]. Tries that are under way when `stop` says so are ended and
/// their tasks returned. The caller holds the lock and has made sure that no process of an earlier engine is left.
pub async fn run(
    settings: Settings,
    ports: Ports,
    lock: StateLock,
    stop: mpsc::Receiver<StopSignal>,
) -> Result<Ending, Error> {
    fault::pass(settings.fault.as_ref(), "started");
    let mut reader = ports.store.reader()?;
    let store_id = reader.store_id()?;
    let key = Key::open(&settings.state_dir).map_err(|source| Error::State {
        what: "keep the key of instances' tokens",
        path: settings.state_dir.clone(),
        source,
    })?;
    let (inputs, inbox) = mpsc::channel(INPUTS_MAX);
    let (news, followers) = watch::channel(());
    let listener = nudge::listen(&settings.state_dir).map_err(|source| Error::State {
        what: "listen for nudges",
        path: settings.state_dir.clone(),
        source,
    })?;
    let ear = supervise::nudges(listener, inputs.clone(), followers);
    let limits = Limits {
        owner: OwnerId(format!("{:016x}", ports.seed)),
        parallel_max: settings.parallel_max.max(1),
        caps: settings.caps.clone(),
        go_on: settings.go_on,
        until: settings.until,
        terms: Arc::clone(&settings.money.terms),
    };
    let writer = supervise::writer(ports.store, inputs.clone(), settings.fault.clone());
    let mut hands = Hands {
        fault: settings.fault.clone(),
        world: Arc::new(World::new(
            settings,
            ports.roster,
            reader,
            store_id,
            key,
            ports.instance_mcp,
        )),
        writer,
        inputs,
        orders: HashMap::new(),
        news,
        notice: ports.notice,
    };
    let ending = turn(&mut hands, Dispatcher::new(limits, ports.seed), inbox, stop).await;
    fault::pass(hands.fault.as_ref(), "before-end");
    ear.end().await;
    hands.writer.end().await;
    drop(lock);
    match ending {
        Ending::Broken(why) => Err(Error::Broken(why)),
        ending @ (Ending::NothingLeft | Ending::Stopped { .. }) => Ok(ending),
    }
}

async fn turn(
    hands: &mut Hands,
    mut dispatcher: Dispatcher,
    mut inbox: mpsc::Receiver<Input>,
    mut stop: mpsc::Receiver<StopSignal>,
) -> Ending {
    let birth = Instant::now();
    let now = || Millis(u64::try_from(birth.elapsed().as_millis()).unwrap_or(u64::MAX));
    loop {
        for effect in dispatcher.poll(now()) {
            if let Some(ending) = hands.carry_out(effect).await {
                return ending;
            }
        }
        let wake = dispatcher.next_wake().map(|at| birth + Duration::from_millis(at.0));
        let input = tokio::select! {
            Some(input) = inbox.recv() => Some(input),
            Some(signal) = stop.recv() => Some(Input::Stop(signal)),
            () = sleep_until(wake) => None,
        };
        if let Some(input) = input {
            hands.seen(&input);
            dispatcher.handle(input, now());
            for _ in 0..INPUTS_A_ROUND {
                let Ok(input) = inbox.try_recv() else { break };
                hands.seen(&input);
                dispatcher.handle(input, now());
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

struct Hands {
    world: Arc<World>,
    writer: Writer,
    inputs: mpsc::Sender<Input>,
    orders: HashMap<Lease, mpsc::Sender<Word>>,
    news: watch::Sender<()>,
    notice: Arc<dyn Fn(String) + Send + Sync>,
    fault: Option<fault::Fault>,
}

impl Hands {
    fn seen(&mut self, input: &Input) {
        if let Input::AttemptEnded { lease, .. }
        | Input::WorkflowAwaits { lease, .. }
        | Input::WorkflowEnded { lease, .. } = input
        {
            fault::pass(self.fault.as_ref(), "after-end");
            self.orders.remove(lease);
        }
    }

    async fn carry_out(&mut self, effect: Effect) -> Option<Ending> {
        match effect {
            Effect::Commit(batch) => self.writer.commit(batch),
            Effect::Begin(claimed) => {
                fault::pass(self.fault.as_ref(), "after-claim");
                let orders = supervise::attempt(Arc::clone(&self.world), Arc::clone(&claimed), self.inputs.clone());
                self.orders.insert(claimed.lease, orders);
            }
            Effect::Order(lease, order) => {
                if let Some(orders) = self.orders.get(&lease) {
                    // A full or closed queue means that the try is being ended already.
                    let _ = orders.try_send(Word::Order(order));
                }
            }
            Effect::Grant(lease, granted_nano) => {
                if let Some(orders) = self.orders.get(&lease) {
                    let _ = orders.try_send(Word::Granted(granted_nano));
                }
            }
            Effect::Notice(line) => (self.notice)(line),
            Effect::News => {
                self.news.send_replace(());
            }
            Effect::End(ending) => return Some(ending),
        }
        None
    }
}
