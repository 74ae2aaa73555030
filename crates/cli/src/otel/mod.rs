//! Spans for OpenTelemetry, made of the stored history: runs, in them tasks, in those tries. As OTLP in JSON.
//!
//! Pure but for the reader. `crate::notify` carries them to the collector. Nothing is measured for them: what is not in
//! the history is in no span, and no word of a prompt or an answer is. Ids follow from what is stored, so a span that is
//! sent twice, or again because its run was opened again, has the same.

mod names;

use std::collections::BTreeMap;

use names::Attributes;
use serde_json::{Value, json};
use wheelhouse_core::event::{Event, Happened};
use wheelhouse_core::ids::{RunId, TaskId};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::Work;
use wheelhouse_core::store::{Failure, Reader, RunView, TaskView};
use wheelhouse_core::time::Millis;
use wheelhouse_server::face::document;
use wheelhouse_server::face::feed::News;

/// Where traces are posted, under the address of a collector.
const TRACES: &str = "/v1/traces";

/// The address that spans are posted to: OTLP's path is added where it is missing.
pub(crate) fn address(endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    match endpoint.ends_with(TRACES) {
        true => endpoint.to_owned(),
        false => format!("{endpoint}{TRACES}"),
    }
}

/// What ended in these events, as one request; none when nothing did, or `gc` has removed it since.
pub(crate) fn request(reader: &mut dyn Reader, news: &[News]) -> Result<Option<Value>, Failure> {
    let mut maker = Maker {
        store: reader.store_id()?,
        reader,
        models: BTreeMap::new(),
    };
    let mut spans = Vec::new();
    for one in news {
        spans.extend(maker.span(&one.event)?);
    }
    if spans.is_empty() {
        return Ok(None);
    }
    let resource = Attributes::default()
        .text(names::SERVICE, "wheelhouse")
        .text(names::SERVICE_VERSION, env!("CARGO_PKG_VERSION"))
        .text(names::SERVICE_INSTANCE, &maker.store)
        .done();
    Ok(Some(json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{
            "scope": { "name": "wheelhouse", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans,
        }],
    }]})))
}

/// The models that the ledger knows of a task, by agent.
type Models = BTreeMap<(TaskId, String), Option<String>>;

struct Maker<'a> {
    reader: &'a mut dyn Reader,
    store: String,
    models: BTreeMap<RunId, Models>,
}

/// A stretch of time with a name.
struct Stretch<'a> {
    id: &'a str,
    parent: Option<String>,
    run: RunId,
    name: String,
    from: Millis,
    to: Millis,
    outcome: Option<&'a Outcome>,
}

impl Maker<'_> {
    fn span(&mut self, event: &Event) -> Result<Option<Value>, Failure> {
        let task = match event.task {
            Some(task) => self.reader.task(task)?,
            None => None,
        };
        match (&event.happened, task) {
            (Happened::RunFinished { .. }, _) => {
                let run = self.reader.run(event.run)?;
                Ok(run.map(|run| self.run(&run, event.at)))
            }
            (Happened::TaskDone { outcome, .. }, Some(task)) => self.task(&task, outcome, event.at).map(Some),
            (Happened::AttemptEnded { attempt, .. }, Some(task)) => self.one_try(event, &task, *attempt),
            _ => Ok(None),
        }
    }

    fn run(&self, run: &RunView, at: Millis) -> Value {
        let attributes = Attributes::default()
            .text(names::OPERATION, names::INVOKE_WORKFLOW)
            .text(names::WORKFLOW, &run.name)
            .text(names::RUN, run.id.to_string());
        let mut span = self.stretch(
            &Stretch {
                id: &self.run_id(run.id),
                parent: None,
                run: run.id,
                name: format!("{} {}", names::INVOKE_WORKFLOW, run.name),
                from: run.submitted_at,
                to: at,
                outcome: None,
            },
            attributes,
        );
        if !run.all_succeeded() {
            span["status"] = json!({ "code": ERROR });
        }
        span
    }

    fn task(&mut self, task: &TaskView, outcome: &Outcome, at: Millis) -> Result<Value, Failure> {
        let begun = self.reader.attempts(task.id)?.first().map(|first| first.started_at);
        let parent = match &task.parent {
            Some(parent) => self.reader.task_by_key(task.run, parent)?,
            None => None,
        };
        let parent = match parent {
            Some(parent) => self.task_id(parent.id),
            None => self.run_id(task.run),
        };
        Ok(self.stretch(
            &Stretch {
                id: &self.task_id(task.id),
                parent: Some(parent),
                run: task.run,
                name: format!("task {}", task.key.as_str()),
                from: begun.unwrap_or(at),
                to: at,
                outcome: Some(outcome),
            },
            Attributes::default().text(names::TASK, document::task_name(task.run, &task.key)),
        ))
    }

    fn one_try(&mut self, event: &Event, task: &TaskView, number: u32) -> Result<Option<Value>, Failure> {
        let Happened::AttemptEnded {
            outcome, usage, cost, ..
        } = &event.happened
        else {
            return Ok(None);
        };
        let tries = self.reader.attempts(task.id)?;
        let Some(one) = tries.iter().find(|one| one.number == number) else {
            return Ok(None);
        };
        let mut attributes = Attributes::default()
            .text(names::TASK, document::task_name(task.run, &task.key))
            .number(names::TRY, u64::from(number));
        let agent = one.agent.0.as_str();
        let spec = self.reader.spec(task.id)?;
        let name = match spec.map(|spec| spec.work) {
            // A command is nobody's model.
            Some(Work::Exec(_)) => format!("exec {}", task.key.as_str()),
            Some(Work::Prompt(_) | Work::Turn(_)) | None => {
                let model = self.model(task, agent)?;
                attributes = attributes
                    .text(names::OPERATION, names::INVOKE_AGENT)
                    .text(names::AGENT, agent)
                    .known(names::MODEL, model.clone())
                    .known(names::PROVIDER, model.as_deref().and_then(names::provider))
                    .known(names::CONVERSATION, one.session.clone())
                    .usage(usage)
                    .cost(*cost);
                format!("{} {agent}", names::INVOKE_AGENT)
            }
        };
        Ok(Some(self.stretch(
            &Stretch {
                id: &self.hash(&["try", &task.id.0.to_string(), &number.to_string()], SPAN_BYTES),
                parent: Some(self.task_id(task.id)),
                run: task.run,
                name,
                from: one.started_at,
                to: event.at,
                outcome: Some(outcome),
            },
            attributes,
        )))
    }

    /// Which model an agent worked with on a task; none when it was more than one, or nobody said.
    fn model(&mut self, task: &TaskView, agent: &str) -> Result<Option<String>, Failure> {
        if !self.models.contains_key(&task.run) {
            let mut models = Models::new();
            for sum in self.reader.ledger_of(task.run)? {
                let key = (sum.task, sum.key.agent.0.clone());
                let known = models.entry(key).or_insert_with(|| sum.key.model.clone());
                if *known != sum.key.model {
                    *known = None;
                }
            }
            self.models.insert(task.run, models);
        }
        let of_run = self.models.get(&task.run);
        Ok(of_run.and_then(|models| models.get(&(task.id, agent.to_owned())).cloned().flatten()))
    }

    fn stretch(&self, stretch: &Stretch<'_>, attributes: Attributes) -> Value {
        let failed = stretch.outcome.filter(|outcome| !outcome.is_success());
        let attributes = attributes
            .known(names::OUTCOME, stretch.outcome.map(Outcome::class))
            .known(names::ERROR, failed.map(Outcome::class));
        let mut span = json!({
            "traceId": self.hash(&["run", &stretch.run.0.to_string()], TRACE_BYTES),
            "spanId": stretch.id,
            "name": stretch.name,
            "kind": INTERNAL,
            "startTimeUnixNano": nanos(stretch.from),
            "endTimeUnixNano": nanos(stretch.to.max(stretch.from)),
            "attributes": attributes.done(),
        });
        if let Some(parent) = &stretch.parent {
            span["parentSpanId"] = json!(parent);
        }
        if let Some(outcome) = failed {
            span["status"] = json!({ "code": ERROR, "message": outcome.class() });
        }
        span
    }

    fn run_id(&self, run: RunId) -> String {
        self.hash(&["run", &run.0.to_string()], SPAN_BYTES)
    }

    fn task_id(&self, task: TaskId) -> String {
        self.hash(&["task", &task.0.to_string()], SPAN_BYTES)
    }

    /// An id that is the same each time, and another in another project.
    fn hash(&self, parts: &[&str], bytes: usize) -> String {
        let hash = blake3::hash(format!("{}/{}", self.store, parts.join("/")).as_bytes());
        hash.to_hex().chars().take(bytes * 2).collect()
    }
}

const TRACE_BYTES: usize = 16;
const SPAN_BYTES: usize = 8;
/// OTLP's kind of span for what happens within a program.
const INTERNAL: u8 = 1;
/// OTLP's status of what went wrong.
const ERROR: u8 = 2;

fn nanos(at: Millis) -> String {
    format!("{}000000", at.0)
}
