//! What is known about those who review, before they do: earlier reviews of the project, and what each agent reads for.
//! Who is left out or called in, and what becomes of findings, core decides (`workflow::review`); this reads, and says it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
use wheelhouse_core::store::{Claimed, Failure, Reader};
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

/// How many runs' records are kept at hand: so many runs that review are under way at once, at the most, without one of
/// them being read again.
const RECORDS_MAX: usize = 64;

/// What an engine has read of earlier reviews.
#[derive(Default)]
pub(crate) struct Known {
    /// By run, the last that was asked for at the end: all workflows of a run go by the same record.
    records: Mutex<VecDeque<(RunId, Arc<Record>)>>,
    /// The reviews of runs that are finished, with the moment in which they were: nothing changes there but what people
    /// think of them. At most [`RUNS_MAX`].
    runs: Mutex<BTreeMap<RunId, (Millis, Arc<OfRun>)>>,
}

pub(crate) type Shared = Arc<Known>;

/// The reviews of one run.
#[derive(Default)]
struct OfRun {
    /// What was reviewed, when it was over, the last one first.
    reviewed: Vec<(Millis, Vec<Review>)>,
    /// The tasks of those who were heard.
    tasks: BTreeMap<TaskKey, TaskId>,
}

impl Known {
    fn record(&self, run: RunId) -> Option<Arc<Record>> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let place = records.iter().position(|(of, _)| *of == run)?;
        let found = records.remove(place)?;
        let record = Arc::clone(&found.1);
        records.push_back(found);
        Some(record)
    }

    fn keep(&self, run: RunId, record: Arc<Record>) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.retain(|(of, _)| *of != run);
        records.push_back((run, record));
        if records.len() > RECORDS_MAX {
            records.pop_front();
        }
    }
}

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
pub(crate) fn lot(run: RunId, key: &TaskKey) -> u64 {
    let text = format!("{run}/{key}");
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    // The low bits of FNV are its worst.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step) >> 16
}

async fn record(world: &World, claimed: &Claimed) -> Result<Arc<Record>, Box<Ended>> {
    let (run, since) = (claimed.run, claimed.since);
    if let Some(known) = world.reviews.record(run) {
        return Ok(known);
    }
    let shared = Arc::clone(&world.reviews);
    let (record, standing) = world
        .read(move |reader| {
            let own = reader.run(run)?;
            let standing = own.as_ref().is_some_and(|own| own.standing);
            // A run that never ends learns from itself; any other goes by what was there when it began, so that what
            // is decided is the same whenever it is asked.
            let until = own.filter(|own| !own.standing).map_or(since, |own| own.submitted_at);
            Ok((earlier(reader, until, &shared)?, standing))
        })
        .await?;
    let record = Arc::new(record);
    if !standing {
        world.reviews.keep(run, Arc::clone(&record));
    }
    Ok(record)
}

/// The reviews that ended before that moment, newest first.
fn earlier(reader: &mut dyn Reader, until: Millis, known: &Known) -> Result<Record, Failure> {
    let mut reviews = Vec::new();
    let mut known = known.runs.lock().unwrap_or_else(PoisonError::into_inner);
    let runs = reader.runs(RUNS_MAX)?;
    known.retain(|of, _| runs.iter().any(|run| run.id == *of));
    for run in runs {
        if reviews.len() >= REVIEWS_MAX {
            break;
        }
        let finished_at = run.finished_at.filter(|_| !run.standing);
        let kept = known.get(&run.id).filter(|(at, _)| Some(*at) == finished_at);
        let of = match kept {
            Some((_, of)) => Arc::clone(of),
            None => {
                let of = Arc::new(of_run(reader, run.id)?);
                if let Some(at) = finished_at {
                    known.insert(run.id, (at, Arc::clone(&of)));
                }
                of
            }
        };
        let mut over = of.reviewed.iter().filter(|(at, _)| *at <= until).peekable();
        if over.peek().is_none() {
            continue;
        }
        let stars: BTreeMap<TaskId, u8> = reader.ratings(run.id)?.into_iter().collect();
        let rated = |key: &TaskKey| match stars.get(of.tasks.get(key)?)? {
            stars if *stars >= STARS.0 => Some(true),
            stars if *stars <= STARS.1 => Some(false),
            _ => None,
        };
        for mut review in over.flat_map(|(_, reviews)| reviews.iter().cloned()) {
            for reviewer in &mut review.heard {
                reviewer.rated = rated(&reviewer.task);
            }
            reviews.push(review);
        }
    }
    reviews.truncate(REVIEWS_MAX);
    Ok(Record { reviews })
}

fn of_run(reader: &mut dyn Reader, run: RunId) -> Result<OfRun, Failure> {
    let tasks = reader.tasks(run, 0, TASKS_MAX)?;
    let workflows = tasks.iter().filter(|task| task.agent.as_str() == AGENT);
    let mut over: Vec<(Millis, TaskId)> = workflows.filter_map(|task| Some((task.done_at?, task.id))).collect();
    over.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut of = OfRun::default();
    for (at, task) in over {
        let reviews = of_task(reader, task)?;
        if !reviews.is_empty() {
            of.reviewed.push((at, reviews));
        }
    }
    let heard = || {
        of.reviewed
            .iter()
            .flat_map(|(_, reviews)| reviews)
            .flat_map(|review| &review.heard)
    };
    let keys: BTreeSet<&TaskKey> = heard().map(|one| &one.task).collect();
    let ids = tasks.iter().filter(|task| keys.contains(&task.key));
    let ids: BTreeMap<TaskKey, TaskId> = ids.map(|task| (task.key.clone(), task.id)).collect();
    of.tasks = ids;
    Ok(of)
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
    let all = review::heard_first(workflow) as u64;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_runs_for_long_keeps_the_records_of_few_runs() {
        let known = Known::default();
        let record = |number: u64| known.record(RunId(number)).is_some();
        for number in 1..=1_000 {
            known.keep(RunId(number), Arc::default());
            known.keep(RunId(number), Arc::default());
            assert!(record(1) || number > 1_000, "what is asked for all the time stays");
        }
        assert_eq!(known.records.lock().unwrap().len(), RECORDS_MAX);
        assert!(record(1_000) && record(1_000 - 60) && !record(500));
    }
}
