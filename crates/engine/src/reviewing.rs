//! What is known about those who review, before they do: earlier reviews of the project, and what each agent reads for.
//! Who is left out or called in, and what becomes of findings, core decides (`workflow::review`); this reads, and says it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use wheelhouse_context::count::tokens;
use wheelhouse_context::receipt::{Layer, REPORT_KIND, Receipt};
use wheelhouse_context::slice::SAFETY_WORDS;
use wheelhouse_core::agent::Ended;
use wheelhouse_core::ids::{AgentName, RunId, TaskId, TaskKey};
use wheelhouse_core::ledger;
use wheelhouse_core::money::show_usd;
use wheelhouse_core::spec::{TaskSpec, Work};
use wheelhouse_core::store::{Claimed, Failure, Reader, TaskView};
use wheelhouse_core::time::Millis;
use wheelhouse_core::workflow::report::{ARTIFACT, Report};
use wheelhouse_core::workflow::review::record::REVIEWS_MAX;
use wheelhouse_core::workflow::review::{self, Bench, Record, Review, call::Domain};
use wheelhouse_core::workflow::{AGENT, Hand};

use crate::attempt::report;
use crate::dispatch::Input;
use crate::prepare::World;

/// How many earlier runs are looked through, the newest.
const RUNS_MAX: u32 = 50;
/// How many tasks of each of them.
const TASKS_MAX: u32 = 500;
/// From so many stars on a person thought well of a review, and up to so many ill.
const STARS: (u8, u8) = (4, 2);

/// Benches by run: all workflows of a run go by the same record, and it is read once.
pub(crate) type Shared = Arc<Mutex<BTreeMap<RunId, Arc<Record>>>>;

/// What is known about those who have a part in this workflow; nothing where nobody reviews.
pub(crate) async fn bench(world: &World, claimed: &Claimed) -> Result<Bench, Box<Ended>> {
    let Some(workflow) = claimed
        .spec
        .flow
        .workflow
        .as_deref()
        .filter(|one| review::has_reviewers(one))
    else {
        return Ok(Bench::default());
    };
    let settings = &world.settings.context;
    let mut bench = Bench {
        record: (*record(world, claimed).await?).clone(),
        triage: settings.all.is_on(Layer::Triage),
        lot: lot(claimed.run, &claimed.spec.key),
        ..Bench::default()
    };
    for Hand { agent, .. } in workflow.hands() {
        let limits = settings.of(agent);
        if limits.safety || is_named_safety(agent) {
            bench.guards.insert(agent.clone());
        }
        if !limits.is_on(Layer::Dropout) {
            bench.stay.insert(agent.clone());
        }
        let mut domain = Domain::default();
        if let Some(reader) = &limits.reader {
            domain.words = reader.keywords.iter().map(|word| word.to_lowercase()).collect();
            domain.paths.clone_from(&reader.paths);
        }
        if bench.guards.contains(agent) {
            domain.words.extend(SAFETY_WORDS.iter().map(|word| (*word).to_owned()));
        }
        if domain != Domain::default() {
            bench.domains.insert(agent.clone(), domain);
        }
    }
    Ok(bench)
}

/// Whether an agent is called after what it looks after: `security`, `security-review`.
fn is_named_safety(agent: &AgentName) -> bool {
    let mut words = agent.as_str().split(|c: char| !c.is_alphanumeric());
    words.any(|word| ["security", "safety"].contains(&word.to_ascii_lowercase().as_str()))
}

/// A number of the task that is the same every time (FNV-1a).
fn lot(run: RunId, key: &TaskKey) -> u64 {
    let text = format!("{run}/{key}");
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    // The low bits of FNV are its worst.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step) >> 16
}

async fn record(world: &World, claimed: &Claimed) -> Result<Arc<Record>, Box<Ended>> {
    let (run, since) = (claimed.run, claimed.since);
    let known = world
        .reviews
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&run)
        .cloned();
    if let Some(known) = known {
        return Ok(known);
    }
    let (record, standing) = world
        .read(move |reader| {
            let own = reader.run(run)?;
            let standing = own.as_ref().is_some_and(|own| own.standing);
            // A run that never ends learns from itself; any other goes by what was there when it began, so that what
            // is decided is the same whenever it is asked.
            let until = own.filter(|own| !own.standing).map_or(since, |own| own.submitted_at);
            Ok((earlier(reader, until)?, standing))
        })
        .await?;
    let record = Arc::new(record);
    if !standing {
        let mut shared = world.reviews.lock().unwrap_or_else(PoisonError::into_inner);
        shared.insert(run, Arc::clone(&record));
    }
    Ok(record)
}

/// The reviews that ended before that moment, newest first.
fn earlier(reader: &mut dyn Reader, until: Millis) -> Result<Record, Failure> {
    let mut reviews = Vec::new();
    for run in reader.runs(RUNS_MAX)? {
        if reviews.len() >= REVIEWS_MAX {
            break;
        }
        let tasks = reader.tasks(run.id, 0, TASKS_MAX)?;
        let is_over = |task: &&TaskView| task.agent.as_str() == AGENT && task.done_at.is_some_and(|at| at <= until);
        let mut over: Vec<&TaskView> = tasks.iter().filter(is_over).collect();
        over.sort_by_key(|task| std::cmp::Reverse(task.done_at));
        if over.is_empty() {
            continue;
        }
        let stars: BTreeMap<TaskId, u8> = reader.ratings(run.id)?.into_iter().collect();
        let rated = |key: &TaskKey| {
            let task = tasks.iter().find(|task| task.key == *key)?;
            match stars.get(&task.id)? {
                stars if *stars >= STARS.0 => Some(true),
                stars if *stars <= STARS.1 => Some(false),
                _ => None,
            }
        };
        for task in over {
            for mut review in of_task(reader, task.id)? {
                for reviewer in &mut review.heard {
                    reviewer.rated = rated(&reviewer.task);
                }
                reviews.push(review);
            }
        }
    }
    reviews.truncate(REVIEWS_MAX);
    Ok(Record { reviews })
}

fn of_task(reader: &mut dyn Reader, task: TaskId) -> Result<Vec<Review>, Failure> {
    let result = reader.result(task)?.unwrap_or_default();
    let Some(kept) = result.artifacts.iter().find(|artifact| artifact.name == ARTIFACT) else {
        return Ok(Vec::new());
    };
    let bytes = reader.artifact(&kept.hash)?.unwrap_or_default();
    let report: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
    let reviews = report.and_then(|mut report| serde_json::from_value(report["reviews"].take()).ok());
    Ok(reviews.unwrap_or_default())
}

/// Says who is not heard at first, with the receipt.
pub(crate) async fn say_left_out(world: &World, claimed: &Claimed, bench: &Bench, inputs: &mpsc::Sender<Input>) {
    let spec = &claimed.spec;
    let (Some(workflow), Work::Prompt(prompt)) = (spec.flow.workflow.as_deref(), &spec.work) else {
        return;
    };
    let left_out = review::left_out(workflow, bench);
    if left_out.is_empty() {
        return;
    }
    let each = tokens(prompt);
    let all = workflow.hands().len() as u64;
    let mut receipt = Receipt::new(
        Layer::Dropout,
        spec.key.as_str(),
        all * each,
        (all - left_out.len() as u64) * each,
    );
    for one in &left_out {
        let cost = usual(world, &one.hand, spec).await;
        let cost = cost.map_or(String::new(), |nano| {
            format!("; a try of it is about {}", show_usd(nano))
        });
        let who = format!("{} ({})", one.step, one.hand.agent);
        receipt = receipt.without(&who, &format!("{}{cost}", one.why), each);
        let said = format!("{who} is not heard at first: {}", one.why);
        report(inputs, claimed.lease, "notice", said).await;
    }
    report(inputs, claimed.lease, REPORT_KIND, receipt.line()).await;
}

/// What a try of that agent at such work has cost.
async fn usual(world: &World, hand: &Hand, spec: &TaskSpec) -> Option<u64> {
    let model = hand
        .model
        .clone()
        .or(world.settings.money.terms.payer(&hand.agent).model);
    let (agent, kind) = (hand.agent.clone(), ledger::kind(spec));
    let past = world
        .read(move |reader| reader.experience(&agent, model.as_deref(), kind))
        .await;
    past.ok()?.mean_nano()
}

/// Says who was called in.
pub(crate) async fn say_called(claimed: &Claimed, children: &[TaskSpec], inputs: &mpsc::Sender<Input>) {
    for child in children
        .iter()
        .filter(|child| child.key.as_str().ends_with(review::call::CALLED))
    {
        let said = format!("{} is called in: {}", child.agent, child.key);
        report(inputs, claimed.lease, "notice", said).await;
    }
}

/// The receipt of a list that was merged.
pub(crate) async fn say_merged(claimed: &Claimed, of: &Report, inputs: &mpsc::Sender<Input>) {
    let Some((before, after)) = of.triaged.as_ref().filter(|(before, _)| !before.is_empty()) else {
        return;
    };
    let made: usize = of
        .reviews
        .iter()
        .flat_map(|review| &review.findings)
        .map(|one| one.by.len())
        .sum();
    let kept: usize = of.reviews.iter().map(|review| review.findings.len()).sum();
    let receipt = Receipt::new(Layer::Triage, claimed.spec.key.as_str(), tokens(before), tokens(after))
        .noted(&format!("{made} findings became {kept}, weighed by who made them"));
    report(inputs, claimed.lease, REPORT_KIND, receipt.line()).await;
}
