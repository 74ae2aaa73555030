//! The soft line of a running try: where it is, what is left of it, and that it was passed. What it is, core decides
//! (`core::soft`); nothing is stopped here.

use std::sync::{Arc, Mutex, PoisonError};

use wheelhouse_core::ledger;
use wheelhouse_core::money::show_usd;
use wheelhouse_core::price::Billing;
use wheelhouse_core::route::past::{Past, PastTask, Sketch, kept_up};
use wheelhouse_core::soft::{self, Policy, SoftLine};
use wheelhouse_core::spec::Work;
use wheelhouse_core::store::{Claimed, Failure, Reader};

use crate::meter::asked_model;
use crate::prepare::World;

/// How many past tasks are looked through for similar ones, the newest.
const PAST_MAX: u32 = 2_000;
/// How many of them are read again for each try; what came since the last one is nearly always among them.
const NEWEST: u32 = 32;

/// The past tasks of the engine's life, kept up: for each try only the newest few are read.
#[derive(Default)]
pub(crate) struct Known {
    tasks: Vec<PastTask>,
    past: Past,
}

pub(crate) type Shared = Arc<Mutex<Known>>;

impl Known {
    /// What there is now.
    fn now(&mut self, reader: &mut dyn Reader) -> Result<&Past, Failure> {
        let newest = reader.past(NEWEST)?;
        let whole = newest.len() < NEWEST as usize;
        // Of one moment there can be more than were read.
        let reaches_back = newest.last().map(|one| one.at) < newest.first().map(|one| one.at);
        let known = if whole {
            self.tasks.len() == newest.len()
        } else {
            reaches_back
        };
        if known && self.tasks.starts_with(&newest) {
            return Ok(&self.past);
        }
        self.tasks = match kept_up(&self.tasks, newest, PAST_MAX as usize) {
            Some(tasks) => tasks,
            None => reader.past(PAST_MAX)?,
        };
        // What a task was like in other ways than its words is the router's affair.
        let plain = self.tasks.iter().map(|task| PastTask {
            features: None,
            ..task.clone()
        });
        self.past = Past::of(plain);
        Ok(&self.past)
    }
}

/// The line of one try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Standing {
    line: SoftLine,
    /// What earlier tries of the task took.
    before_nano: u64,
    said: bool,
}

/// The line of a task that has no limit of its own; none where nobody pays by the token, or too little is known.
pub(crate) async fn standing(world: &World, claimed: &Claimed) -> Option<Standing> {
    let (spec, terms) = (&claimed.spec, &world.settings.money.terms);
    let payer = terms.payer(&claimed.agent);
    let pays = matches!(payer.billing, Billing::Api | Billing::Reported);
    let (Work::Prompt(text), None, true) = (&spec.work, spec.budget, pays && terms.soft != Policy::Off) else {
        return None;
    };
    let (sketch, agent, kind) = (Sketch::of(text), claimed.agent.clone(), ledger::kind(spec));
    let asked = asked_model(claimed);
    let (model, task) = (asked.clone().or(payer.model), claimed.lease.task);
    let shared = Arc::clone(&world.past);
    let known = world
        .read(move |reader| {
            let mut known = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let similar = known.now(reader)?.costs(&sketch, agent.as_str(), asked.as_deref());
            let kind = reader.experience(&agent, model.as_deref(), kind)?;
            let before = reader.attempts(task)?;
            let before = before.iter().filter_map(|attempt| attempt.cost?.nano());
            Ok((similar, kind, before.sum::<u64>()))
        })
        .await;
    let (similar, kind, before_nano) = known.ok()?;
    let line = soft::line(terms.safety_percent, soft::risk(spec), &similar, kind)?;
    Some(Standing {
        line,
        before_nano,
        said: false,
    })
}

impl Standing {
    /// What is said before the try begins.
    pub(crate) fn expectation(&self) -> String {
        format!("told above {}: {}", show_usd(self.line.nano), self.line.why())
    }

    /// What is said when it is passed, once.
    pub(crate) fn passed(&mut self, counted_nano: u64) -> Option<String> {
        let all = self.before_nano.saturating_add(counted_nano);
        if self.said || all <= self.line.nano {
            return None;
        }
        self.said = true;
        Some(format!(
            "it has used {}, more than {}: {}. It goes on",
            show_usd(all),
            show_usd(self.line.nano),
            self.line.why()
        ))
    }
}
