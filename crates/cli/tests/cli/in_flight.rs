//! A thousand messages under way while everything that carries them is killed: the engine, the proxies of the clients
//! that send, the processes of the agents that answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::mcp::{Client, Server};
use crate::{House, until};

/// Clients that send at the same time, each through a proxy of its own.
const SENDERS: usize = 8;
/// Messages of each.
const EACH: usize = 125;
/// Instances that are sent to; the last ones are agents, the others shells.
const RECEIVERS: usize = 10;
const AGENTS: usize = 2;
const ALL: usize = SENDERS * EACH;
/// After how many acknowledged messages the engine is killed while one instance at a time answers, and after how many
/// answers when all do.
const ENGINE_DIES_SENDING: [usize; 3] = [200, 450, 700];
const ENGINE_DIES_ANSWERING: [usize; 2] = [500, 800];
/// Every so many messages of a client its proxy is killed with a call under way.
const PROXY_DIES_EVERY: usize = 25;

/// To whom a client's message goes: each has two who hear it in turn, each is heard by two or more.
fn receiver(sender: usize, number: usize) -> usize {
    (sender + number % 2 * 5) % RECEIVERS
}

/// The messages of each client that wait to be killed the first time: one to each who hears it.
const WAITS_TO_DIE: [usize; 2] = [10, 11];

/// What a message says: its own name, written down where it is done.
fn words(sender: usize, number: usize) -> String {
    let agent = receiver(sender, number) >= RECEIVERS - AGENTS;
    let name = format!("{sender}-{number}");
    let own = if agent { "$PPID" } else { "$$" };
    let dies = match WAITS_TO_DIE.contains(&number) {
        true => format!(
            "if mkdir held-{name}; then echo {own} > held-{name}/new; mv held-{name}/new held-{name}/pid; \
             while :; do sleep 1; done; fi; "
        ),
        false => String::new(),
    };
    let prefix = if agent { "$ " } else { "" };
    format!("{prefix}{dies}echo {name} >> \"$WHEELHOUSE_INSTANCE.order\"; echo {name}")
}

/// Sends all messages of a client, each until it is acknowledged, under a name of its own; their ids.
fn send_all(house: &House, sender: usize, acknowledged: &AtomicUsize) -> Vec<String> {
    let mut client = Client::new(house);
    client.begin();
    let mut ids = Vec::with_capacity(EACH);
    for number in 0..EACH {
        let to = format!("w-{}", receiver(sender, number) + 1);
        let dies = number % PROXY_DIES_EVERY == PROXY_DIES_EVERY - 1;
        // Half of the calls that lose their proxy have been heard, and wait for their answers.
        let is_heard = dies && number / PROXY_DIES_EVERY % 2 == 1;
        let call = |seconds: u64| {
            json!({
                "name": "send",
                "arguments": { "to": to, "message": words(sender, number), "seconds": seconds },
                "_meta": { "wheelhouse/key": format!("{sender}-{number}") },
            })
        };
        client.request("tools/call", &call(if is_heard { 60 } else { 0 }));
        if is_heard {
            until("it is heard", || {
                house
                    .ok(&["output", &to])
                    .out
                    .contains(&format!("echo {sender}-{number} "))
            });
        }
        if dies {
            client.kill();
        }
        loop {
            match client.answer() {
                Some(answer) if answer["result"]["structuredContent"]["message"].is_string() => {
                    let id = answer["result"]["structuredContent"]["message"].as_str();
                    ids.push(id.unwrap().to_owned());
                    break;
                }
                // The engine was away for longer than the proxy tries: what a client does then is to ask again.
                Some(answer) => assert!(
                    answer["error"]["message"]
                        .as_str()
                        .is_some_and(|why| why.contains("cannot be reached")),
                    "{answer}"
                ),
                None => {
                    client = Client::new(house);
                    client.begin();
                }
            }
            client.request("tools/call", &call(0));
        }
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    ids
}

/// Kills the processes that wait for it, each once; how many.
fn kill_children(project: &Path, seen: &mut BTreeSet<PathBuf>) -> usize {
    let mut killed = 0;
    for entry in fs::read_dir(project).unwrap().flatten() {
        let place = entry.path().join("pid");
        let Ok(pid) = fs::read_to_string(&place) else { continue };
        if !seen.insert(place) {
            continue;
        }
        let pid = Pid::from_raw(pid.trim().parse().unwrap());
        // It may have died with its engine already.
        let own = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mark = project.as_os_str().as_encoded_bytes();
        if own.windows(mark.len()).any(|window| window == mark) && kill(pid, Signal::SIGKILL).is_ok() {
            killed += 1;
        }
    }
    killed
}

fn house() -> House {
    let house = House::new();
    let agent = wheelhouse_testkit::script::acp_agent();
    house.write(
        "wheelhouse.toml",
        &format!(
            "retry = 2\n[agents.hands]\nbackend = \"acp\"\ncommand = \"{}\"\nenv.ACP_JOURNAL = \"{}\"\n",
            agent.display(),
            house.home().display()
        ),
    );
    for number in 1..=RECEIVERS {
        let agent = if number > RECEIVERS - AGENTS { "hands" } else { "exec" };
        house.ok(&["spawn", &format!("w-{number}"), "--agent", agent]);
    }
    house
}

/// How many turns were done, and how many messages wait for one.
fn answered(house: &House) -> (u64, u64) {
    let document = house.json(&["instances"]);
    let all = document["instances"].as_array().unwrap();
    let sum = |key: &str| all.iter().map(|view| view[key].as_u64().unwrap()).sum();
    (sum("turns"), sum("queued"))
}

/// How many lines instances have written.
fn written(house: &House) -> usize {
    let text = |place| fs::read_to_string(house.project().join(format!("i{place}.order"))).unwrap_or_default();
    (1..=RECEIVERS).map(|place| text(place).lines().count()).sum()
}

/// Kills the engine when it is due the next time.
fn kill_what_is_due(server: &Server, progress: usize, due: &[usize], died: &mut usize) -> bool {
    let dies = due.get(*died).is_some_and(|due| progress >= *due)
        && server
            .pid()
            .is_some_and(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok());
    *died += usize::from(dies);
    dies
}

#[test]
fn a_thousand_messages_survive_the_killing_of_engine_proxies_and_agents() {
    let house = house();
    // Nearly all of them are in flight at the same time: one turn at a time is done while they are sent.
    house.ok(&["policy", "set", "max_instances=1"]);
    let server = Server(&house);
    let acknowledged = AtomicUsize::new(0);
    let sent: Mutex<BTreeMap<usize, Vec<String>>> = Mutex::default();
    let (mut children, mut seen) = (0, BTreeSet::new());
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (house, acknowledged, sent) = (&house, &acknowledged, &sent);
            scope.spawn(move || {
                let ids = send_all(house, sender, acknowledged);
                sent.lock().unwrap().insert(sender, ids);
            });
        }
        let (mut engines, mut before) = (0, 0);
        while engines < ENGINE_DIES_SENDING.len() {
            until("more is acknowledged", || {
                children += kill_children(&house.project(), &mut seen);
                kill_what_is_due(&server, before, &ENGINE_DIES_SENDING, &mut engines);
                std::mem::replace(&mut before, acknowledged.load(Ordering::SeqCst)) != before
            });
        }
    });
    let (done, queued) = answered(&house);
    assert!(queued > 500, "{done} are answered, {queued} wait");
    house.ok(&["policy", "set", "max_instances=10"]);
    // What does not end goes on at least, however busy the machine is.
    let (mut engines, mut before) = (0, written(&house));
    while before < ALL {
        until("more is answered", || {
            children += kill_children(&house.project(), &mut seen);
            if kill_what_is_due(&server, before, &ENGINE_DIES_ANSWERING, &mut engines) {
                // Whoever asks next finds an engine again.
                Client::new(&house).begin();
            }
            std::mem::replace(&mut before, written(&house)) != before || before >= ALL
        });
    }
    until("all turns are over", || answered(&house) == (ALL as u64, 0));
    assert_eq!(engines, ENGINE_DIES_ANSWERING.len());
    assert!(children > 0, "no agent was killed");
    let sent = sent.into_inner().unwrap();
    none_is_lost_and_none_is_doubled(&house, &sent);
    each_is_answered_once_with_its_own_answer(&house, &sent);
    the_order_of_each_sender_is_kept(&house);
    assert!(!house.home().join("forked").exists(), "two were at work in one session");
    assert_eq!(house.json(&["fsck"])["sound"], true);
}

fn none_is_lost_and_none_is_doubled(house: &House, sent: &BTreeMap<usize, Vec<String>>) {
    let log = house.run(&["audit", "--messages", "--json"]).out;
    let log: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let logged: BTreeSet<&str> = log.iter().map(|letter| letter["message"].as_str().unwrap()).collect();
    let sent: BTreeSet<&str> = sent.values().flatten().map(String::as_str).collect();
    assert_eq!((log.len(), logged.len(), sent.len()), (ALL, ALL, ALL));
    assert_eq!(logged, sent, "what was acknowledged is what there is");
    assert!(log.iter().all(|letter| letter["state"] == "done"));
    let mut done: BTreeMap<String, u32> = BTreeMap::new();
    for line in house.run(&["events", "--json"]).out.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        if event["event"] == "task_done" {
            *done.entry(event["task"].to_string()).or_default() += 1;
        }
    }
    assert_eq!(done.len(), ALL);
    assert!(done.values().all(|times| *times == 1), "a turn ended twice");
}

fn each_is_answered_once_with_its_own_answer(house: &House, sent: &BTreeMap<usize, Vec<String>>) {
    let mut answers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for number in 1..=RECEIVERS {
        for line in house.json(&["output", &format!("w-{number}")])["output"]
            .as_array()
            .unwrap()
        {
            if line["type"] == "answer" {
                let answer = &line["answer"];
                assert_eq!(answer["outcome"]["class"], "succeeded", "{answer}");
                let text = answer["text"].as_str().unwrap().trim().to_owned();
                answers
                    .entry(answer["message"].as_str().unwrap().to_owned())
                    .or_default()
                    .push(text);
            }
        }
    }
    for (sender, ids) in sent {
        for (number, id) in ids.iter().enumerate() {
            let answer = &answers[id];
            assert_eq!(answer.len(), 1, "{id}: {answer:?}");
            if receiver(*sender, number) < RECEIVERS - AGENTS {
                assert_eq!(answer[0], format!("{sender}-{number}"), "{id} has another's answer");
            }
        }
    }
}

/// What was under way when something died may have been done again, at once; nothing else is.
fn the_order_of_each_sender_is_kept(house: &House) {
    for place in 0..RECEIVERS {
        let text = house.read(&format!("i{}.order", place + 1));
        let mut order: Vec<&str> = text.lines().collect();
        order.dedup();
        let mut by_sender: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for line in &order {
            let (sender, number) = line.split_once('-').unwrap();
            by_sender
                .entry(sender.parse().unwrap())
                .or_default()
                .push(number.parse().unwrap());
        }
        for sender in 0..SENDERS {
            let wanted: Vec<usize> = (0..EACH).filter(|number| receiver(sender, *number) == place).collect();
            let got = by_sender.remove(&sender).unwrap_or_default();
            assert_eq!(got, wanted, "messages of {sender} to w-{}", place + 1);
        }
    }
}
