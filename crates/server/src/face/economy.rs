//! What the layers of context left out of a run's prompts, from the receipts in its history, beside what the run
//! consumed. Receipts are payload reductions, not savings, and are not added over layers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wheelhouse_context::receipt::{Layer, REPORT_KIND, Receipt};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{Cursor, RunId};
use wheelhouse_core::store::{Reader, RunView};

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
}

/// The account of a run.
pub fn account(reader: &mut dyn Reader, run: RunView) -> Result<Account, Failure> {
    let receipts = receipts(reader, run.id)?;
    let mut layers: BTreeMap<Layer, Uses> = BTreeMap::new();
    for (_, receipt) in &receipts {
        let uses = layers.entry(receipt.layer).or_default();
        uses.count += 1;
        uses.would += receipt.would_tokens;
        uses.sent += receipt.sent_tokens;
    }
    Ok(Account { run, layers, receipts })
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
            "usage": {"input": usage.input, "cache_read": usage.cache_read, "cache_write": usage.cache_write,
                      "output": usage.output, "reasoning": usage.reasoning, "source": usage.source},
            "cost_nano": self.run.cost_nano,
            "cost_unknown": self.run.cost_unknown,
        })
    }
}

/// Every receipt in the run's history, with the name of its task.
fn receipts(reader: &mut dyn Reader, run: RunId) -> Result<Vec<(Option<String>, Receipt)>, Failure> {
    let mut receipts: Vec<(Option<String>, Receipt)> = Vec::new();
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
            let Some(receipt) = Some(text)
                .filter(|_| kind == REPORT_KIND)
                .and_then(|text| Receipt::parse(text))
            else {
                continue;
            };
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
            receipts.push((key, receipt));
        }
    }
    Ok(receipts)
}
