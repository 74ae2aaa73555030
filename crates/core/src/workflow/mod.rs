//! Workflows as pure controllers: outcomes of child tasks in, new child tasks or a result out.
//!
//! A controller holds nothing between two calls. It is given what its children came to, by name, and says what
//! follows ([`next`]), so a workflow that was interrupted anywhere goes on from what the store knows. Called by the
//! engine for tasks that are workflows, and by teams for `coordinate` ([`consensus`]). What a plan writes becomes a
//! [`Workflow`] in `plan`; who does which step is settled there.

pub mod cascade;
pub mod condition;
pub mod consensus;
pub mod crew;
pub mod gate;
pub mod map;
pub mod panel;
mod past;
pub mod qc;
pub mod report;
pub mod review;
mod steps;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentName, TaskKey};
use crate::outcome::Outcome;
use crate::question::QuestionKind;
use crate::spec::{OnFailure, TaskSpec};
use crate::store::{Next, TaskResult};
use condition::Condition;
pub use past::Past;
use report::Report;
use review::Bench;
pub use steps::doubts;

/// Who is said to do a task that is a workflow: nobody, its children have agents.
pub const AGENT: &str = "workflow";
/// Between the name of a workflow's task and that of a step: `draft.produce`.
pub const SEPARATOR: char = '.';
/// How many agents one workflow has by default at the most, whatever the task.
pub const HANDFUL: usize = 5;
/// How many children a workflow may have open at a time.
pub const OPEN_MAX: u32 = 64;

/// What makes a task more than one try of one agent.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Flow {
    /// It is a small controller of child tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Box<Workflow>>,
    /// The workflow it is a step of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskKey>,
    /// It is not needed when all of these hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_if: Vec<Condition>,
    /// In so many of 100 cases in which it is not needed it is done all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_audit: Option<u8>,
    /// Whether code may do it in place of its agent where that is certain; none: what the settings say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortcut: Option<Shortcut>,
    /// The input that this step of a `map` is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
    /// Its answer must state a verdict, or the next one of its chain is asked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub states_verdict: bool,
}

/// Whether code may do a task in place of its agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shortcut {
    /// Where its prompt is a mechanical transform and nothing else, and the result is certain.
    Auto,
    /// Never.
    Off,
}

impl Flow {
    /// Whether it says nothing.
    pub fn is_plain(&self) -> bool {
        *self == Flow::default()
    }
}

/// One input of a `map`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Its words.
    pub text: String,
    /// The task whose output it comes from; none when the plan itself names it.
    pub from: Option<TaskKey>,
}

/// How a task that is a workflow goes about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Workflow {
    /// Produce, review, cross-check, incorporate, deliver.
    Qc(qc::Qc),
    /// Several vote, blind to each other.
    Consensus(panel::Panel),
    /// The cheapest first, and one rung up when it does not pass.
    Cascade(cascade::Cascade),
    /// The same over many inputs.
    Map(map::Map),
    /// A chain whose answers somebody else judges.
    Gate(gate::Gate),
}

impl Workflow {
    /// The word for it, as in plans.
    pub fn name(&self) -> &'static str {
        match self {
            Workflow::Qc(_) => "qc",
            Workflow::Consensus(_) => "consensus",
            Workflow::Cascade(_) => "cascade",
            Workflow::Map(_) => "map",
            Workflow::Gate(_) => "gate",
        }
    }

    /// Everybody who may have a part in it.
    pub fn hands(&self) -> Vec<&Hand> {
        match self {
            Workflow::Qc(qc) => qc.hands(),
            Workflow::Consensus(panel) => panel.everybody().collect(),
            Workflow::Cascade(cascade) => cascade.rungs.iter().collect(),
            Workflow::Map(map) => map.every_hand(),
            Workflow::Gate(gate) => gate.links.iter().map(|link| &link.hand).chain(&gate.judges).collect(),
        }
    }

    /// The same, to be replaced (a rehearsal gives every part to the stand-in).
    pub fn hands_mut(&mut self) -> Vec<&mut Hand> {
        match self {
            Workflow::Qc(qc) => qc.hands_mut(),
            Workflow::Consensus(panel) => panel.seats.iter_mut().chain(&mut panel.reserve).collect(),
            Workflow::Cascade(cascade) => cascade.rungs.iter_mut().collect(),
            Workflow::Map(map) => map.every_hand_mut(),
            Workflow::Gate(gate) => {
                let links = gate.links.iter_mut().map(|link| &mut link.hand);
                links.chain(&mut gate.judges).collect()
            }
        }
    }

    /// Whether its steps are independent of each other, so that on a retry those that succeeded need not be done again.
    fn steps_are_independent(&self) -> bool {
        matches!(self, Workflow::Map(_))
    }
}

/// Who has a part in a workflow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hand {
    /// The agent.
    pub agent: AgentName,
    /// A model it is told to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Who stands behind it: a judge must be of another vendor than the judged.
    pub vendor: String,
}

/// What one child came to.
#[derive(Clone, PartialEq, Debug)]
pub struct Child {
    /// Its name within the run.
    pub key: TaskKey,
    /// Who did it last.
    pub agent: AgentName,
    /// How it ended; none while it is open.
    pub outcome: Option<Outcome>,
    /// What it produced.
    pub result: TaskResult,
    /// Its whole answer, bounded by the engine.
    pub text: String,
}

impl Child {
    /// Whether it is over and did its work.
    pub fn succeeded(&self) -> bool {
        self.outcome.as_ref().is_some_and(Outcome::is_success)
    }
}

/// What follows from what the children came to.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// These children are added, and the workflow waits until no more than so many of its children are open.
    Await {
        /// The new children.
        new: Vec<TaskSpec>,
        /// How many may still be open when it looks again.
        open_max: u32,
    },
    /// It is over.
    Done(Box<Delivery>),
}

/// What a workflow comes to.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivery {
    /// How it ended.
    pub outcome: Outcome,
    /// Why a person must look, when one must.
    pub attention: Option<String>,
    /// What it delivers.
    pub output: Output,
    /// What to say about it in short.
    pub summary: String,
    /// The judgement, as a verdict block without its fences.
    pub verdict: Option<String>,
    /// Where all of that comes from.
    pub report: Report,
}

impl Delivery {
    /// The work of a child that passed what was asked of it.
    fn passed(child: &Child, headline: &str, report: Report) -> Delivery {
        Delivery {
            outcome: Outcome::Succeeded,
            attention: None,
            output: Output::Of(child.key.clone()),
            summary: format!("{headline}\n\n{}", child.result.summary),
            verdict: Some(report::block(
                "pass",
                report.confidence,
                report.score,
                &report.findings,
                headline,
            )),
            report,
        }
    }
}

/// What a workflow delivers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// What this child produced.
    Of(TaskKey),
    /// A text of its own.
    Text(String),
    /// Nothing.
    Nothing,
}

/// What is given to a controller.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The task that is a workflow.
    pub task: &'a TaskSpec,
    /// The number of its try: a retry by a person begins anew, see [`Past::of`].
    pub attempt: u32,
    /// Its children so far, oldest first.
    pub children: &'a [Child],
    /// The inputs of a `map` that come from another task.
    pub inputs: &'a [String],
    /// What is known about those who review.
    pub bench: &'a Bench,
    /// How long ago its first step began, in milliseconds.
    pub elapsed_ms: u64,
}

/// What follows now. None when the task is no workflow.
pub fn next(scene: Scene<'_>) -> Option<Step> {
    let workflow = scene.task.flow.workflow.as_deref()?;
    let past = Past::of(
        &scene.task.key,
        scene.attempt,
        scene.children,
        workflow.steps_are_independent(),
    );
    Some(match workflow {
        Workflow::Qc(qc) => qc::next(scene.task, qc, scene.bench, &past),
        Workflow::Consensus(panel) => panel::next(scene.task, panel, scene.bench, &past),
        Workflow::Cascade(cascade) => cascade::next(scene.task, cascade, &past),
        Workflow::Map(map) => map::next(scene.task, map, scene.inputs, (scene.bench, &past)),
        Workflow::Gate(gate) => gate::next(scene.task, gate, &past, scene.elapsed_ms),
    })
}

/// What becomes of the task when its workflow is over. The rounds were the workflow's own: nothing is tried again.
pub fn dispose(task: &TaskSpec, delivery: &Delivery) -> Next {
    let ask = |why: &str| Next::Ask {
        kind: QuestionKind::Failure,
        text: format!("`{}` needs a person: {why}", task.key),
    };
    if delivery.outcome.is_success() {
        return Next::Done { continues: false };
    }
    match (task.on_failure, &delivery.attention) {
        (Some(OnFailure::Continue), _) => Next::Done { continues: true },
        (Some(OnFailure::Fail), _) => Next::Done { continues: false },
        (_, _) if delivery.outcome == Outcome::Cancelled => Next::Done { continues: false },
        (_, Some(why)) => ask(why),
        (Some(OnFailure::Ask), None) => ask(&delivery.summary),
        (Some(OnFailure::Retry | OnFailure::Fallback) | None, None) => Next::Done { continues: false },
    }
}
