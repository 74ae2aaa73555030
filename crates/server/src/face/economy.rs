//! What the layers of context left out of a run's prompts, from the receipts in its history, beside what the run
//! consumed. Receipts are payload reductions, not savings, and are not added over layers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wheelhouse_context::receipt::{Layer, REPORT_KIND, Receipt};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{Cursor, RunId, TaskId};
use wheelhouse_core::soft::{EXPECTED_KIND, PASSED_KIND};
use wheelhouse_core::store::{Reader, RunView};
use wheelhouse_core::task::TaskState;
use wheelhouse_core::verdict::{self, Finding, Severity, Stance};
use wheelhouse_core::workflow::condition::AUDIT_KIND;

use super::failure::Failure;

/// Events read at once.
const PAGE: u32 = 1_000;

/// All uses of one layer.
#[derive(Clone, Copy, Default, Debug)]
pub struct Uses {
    /// How often.
    pub count: u64,
    /// What it would have sent, in tokens.
    pub would: u64,
    /// What it sent.
    pub sent: u64,
}

/// The account of a run.
#[derive(Debug)]
pub struct Account {
    /// The run.
    pub run: RunView,
    /// By layer.
    pub layers: BTreeMap<Layer, Uses>,
    /// Each receipt, with the name of its task.
    pub receipts: Vec<(Option<String>, Receipt)>,
    /// What was said of tasks that are measured against their like.
    pub soft_lines: Vec<SoftLine>,
    /// Tasks that were not needed and were done all the same.
    pub audits: Vec<Audit>,
}

/// One thing that was said of a try's soft line.
#[derive(Clone, Debug)]
pub struct SoftLine {
    /// The task.
    pub task: Option<String>,
    /// It was passed; else it was said before the try began where it is.
    pub passed: bool,
    /// What was said: where it is, what it was measured from, and how many past tasks that are.
    pub said: String,
}

/// A task that was not needed and was done all the same.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The task.
    pub task: Option<String>,
    /// Why it was not needed.
    pub why: String,
    /// Whether something would have been missed; none when that cannot be told.
    pub missed: Option<bool>,
    /// How that is known.
    pub found: String,
}

/// The account of a run.
pub fn account(reader: &mut dyn Reader, run: RunView) -> Result<Account, Failure> {
    let Told {
        receipts,
        soft_lines,
        audits,
    } = told(reader, run.id)?;
    let mut layers: BTreeMap<Layer, Uses> = BTreeMap::new();
    for (_, receipt) in &receipts {
        let uses = layers.entry(receipt.layer).or_default();
        uses.count += 1;
        uses.would += receipt.would_tokens;
        uses.sent += receipt.sent_tokens;
    }
    Ok(Account {
        run,
        layers,
        receipts,
        soft_lines,
        audits,
    })
}

impl Account {
    /// As a document.
    pub fn document(&self) -> Value {
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|(layer, uses)| {
                json!({"layer": layer.name(), "uses": uses.count, "would_tokens": uses.would, "sent_tokens": uses.sent})
            })
            .collect();
        let each: Vec<Value> = self
            .receipts
            .iter()
            .map(|(task, receipt)| json!({"task": task, "receipt": receipt}))
            .collect();
        let usage = &self.run.usage;
        json!({
            "run": self.run.id.to_string(),
            "tokenizer": "o200k_base",
            "layers": layers,
            "receipts": each,
            "soft_lines": self.soft_lines.iter().map(|one| json!({
                "task": one.task, "passed": one.passed, "said": one.said,
            })).collect::<Vec<_>>(),
            "skip_audits": self.audits.iter().map(|one| json!({
                "task": one.task, "why": one.why, "missed": one.missed, "found": one.found,
            })).collect::<Vec<_>>(),
            "usage": {"input": usage.input, "cache_read": usage.cache_read, "cache_write": usage.cache_write,
                      "output": usage.output, "reasoning": usage.reasoning, "source": usage.source},
            "cost_nano": self.run.cost_nano,
            "cost_unknown": self.run.cost_unknown,
        })
    }
}

/// What a run's history has for the account.
#[derive(Default)]
struct Told {
    receipts: Vec<(Option<String>, Receipt)>,
    soft_lines: Vec<SoftLine>,
    audits: Vec<Audit>,
}

/// Every receipt in the run's history, with the name of its task, and what else is of account.
fn told(reader: &mut dyn Reader, run: RunId) -> Result<Told, Failure> {
    let mut told = Told::default();
    let mut after = Cursor(0);
    let mut keys = BTreeMap::new();
    loop {
        let page = reader.events(after, Some(run), PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.cursor;
        for event in page {
            let Happened::AttemptReported { kind, text, .. } = &event.happened else {
                continue;
            };
            if ![REPORT_KIND, EXPECTED_KIND, PASSED_KIND, AUDIT_KIND].contains(&kind.as_str()) {
                continue;
            }
            let key = match event.task {
                Some(task) => match keys.get(&task) {
                    Some(key) => Some(String::clone(key)),
                    None => {
                        let key = reader.task(task)?.map(|view| view.key.to_string());
                        keys.extend(key.clone().map(|key| (task, key)));
                        key
                    }
                },
                None => None,
            };
            match kind.as_str() {
                REPORT_KIND => told.receipts.extend(Receipt::parse(text).map(|receipt| (key, receipt))),
                AUDIT_KIND => {
                    let (missed, found) = match event.task {
                        Some(task) => audited(reader, task)?,
                        None => (None, String::new()),
                    };
                    told.audits.push(Audit {
                        task: key,
                        why: text.clone(),
                        missed,
                        found,
                    });
                }
                kind => told.soft_lines.push(SoftLine {
                    task: key,
                    passed: kind == PASSED_KIND,
                    said: text.clone(),
                }),
            }
        }
    }
    Ok(told)
}

/// Whether something would have been missed had a task been skipped: it failed, did not approve, or found something
/// grave. One that gives no verdict tells nobody.
fn audited(reader: &mut dyn Reader, task: TaskId) -> Result<(Option<bool>, String), Failure> {
    let Some(view) = reader.task(task)? else {
        return Ok((None, "it is gone".to_owned()));
    };
    let TaskState::Done { outcome } = &view.state else {
        return Ok((None, "it is not over".to_owned()));
    };
    if !outcome.is_success() {
        return Ok((Some(true), format!("it ended as {outcome}")));
    }
    let result = reader.result(task)?.unwrap_or_default();
    let output = match result.artifacts.first() {
        Some(kept) => reader.artifact(&kept.hash)?.unwrap_or_default(),
        None => Vec::new(),
    };
    let Some(verdict) = verdict::read(&String::from_utf8_lossy(&output)) else {
        return Ok((
            None,
            "it gave no verdict: whether its work was needed is yours to say".to_owned(),
        ));
    };
    let grave = |finding: &&Finding| matches!(finding.severity, Severity::P0 | Severity::P1);
    let grave = verdict.findings.iter().filter(grave).count();
    let missed = verdict.stance != Stance::Approve || grave > 0;
    let found = format!(
        "it says {}, with {} findings, {grave} of them P0 or P1",
        verdict.stance.name(),
        verdict.findings.len()
    );
    Ok((Some(missed), found))
}
