//! The stored shapes of what is kept as text: specs and results, without what is empty anyway.
//!
//! They are apart from core's types so that the file format does not change when those do. Each conversion takes its
//! type apart field by field: a new field does not build until it has a place here.

mod trail;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wheelhouse_core::breaker::{Breaker, Policy};
use wheelhouse_core::chain::Link;
use wheelhouse_core::ids::{AgentName, ArtifactHash, InstanceId, MessageId, TaskKey};
use wheelhouse_core::schema::Schema;
use wheelhouse_core::spec::{BudgetLimit, Edits, Inputs, Isolation, Merge, OnFailure, RunSpec, TaskSpec, Turn, Work};
use wheelhouse_core::store::{ArtifactRef, Check, ModelSource, TaskResult};
use wheelhouse_core::workflow::condition::Condition;
use wheelhouse_core::workflow::{Flow, Item, Shortcut, Workflow};

use crate::chain::KeptBreaker;
use crate::failure::{Answer, Stop};

/// A task without its key, which has a column of its own.
#[derive(Serialize, Deserialize)]
struct TaskShape<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    exec: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    prompt: Option<Cow<'a, str>>,
    /// A turn: the instance and the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn: Option<(u64, u64)>,
    #[serde(borrow)]
    agent: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", borrow)]
    fallback: Vec<LinkShape<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    needs: Cow<'a, [TaskKey]>,
    #[serde(default, skip_serializing_if = "is_default")]
    priority: i32,
    #[serde(default, skip_serializing_if = "is_empty")]
    files: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "is_empty")]
    verify: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "is_default")]
    worktree: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    merge: Option<MergeShape>,
    #[serde(default, skip_serializing_if = "is_empty")]
    protect: Cow<'a, [String]>,
    /// Whether its edits come as a patch.
    #[serde(default, skip_serializing_if = "is_default")]
    patch: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema: Option<Cow<'a, Schema>>,
    timeout_ms: u64,
    idle_timeout_ms: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    retry_max: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confidence_min: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_failure: Option<OnFailureShape>,
    #[serde(default, skip_serializing_if = "is_default")]
    planner: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    approval: bool,
    #[serde(default, skip_serializing_if = "map_is_empty")]
    env: Cow<'a, BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    cwd: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    budget_nano: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    routed: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flow: Option<FlowShape<'a>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    documents: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stdin: Option<Cow<'a, TaskKey>>,
}

#[derive(Serialize, Deserialize)]
struct FlowShape<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workflow: Option<Cow<'a, Workflow>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<Cow<'a, TaskKey>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    skip_if: Cow<'a, [Condition]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    skip_audit: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shortcut: Option<Shortcut>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    item: Option<Cow<'a, Item>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    states_verdict: bool,
}

impl<'a> FlowShape<'a> {
    fn of(flow: &'a Flow) -> Option<FlowShape<'a>> {
        let Flow {
            workflow,
            parent,
            skip_if,
            skip_audit,
            shortcut,
            item,
            states_verdict,
        } = flow;
        (!flow.is_plain()).then(|| FlowShape {
            workflow: workflow.as_deref().map(Cow::Borrowed),
            parent: parent.as_ref().map(Cow::Borrowed),
            skip_if: Cow::Borrowed(skip_if),
            skip_audit: *skip_audit,
            shortcut: *shortcut,
            item: item.as_ref().map(Cow::Borrowed),
            states_verdict: *states_verdict,
        })
    }

    fn flow(self) -> Flow {
        let FlowShape {
            workflow,
            parent,
            skip_if,
            skip_audit,
            shortcut,
            item,
            states_verdict,
        } = self;
        Flow {
            workflow: workflow.map(|workflow| Box::new(workflow.into_owned())),
            parent: parent.map(Cow::into_owned),
            skip_if: skip_if.into_owned(),
            skip_audit,
            shortcut,
            item: item.map(Cow::into_owned),
            states_verdict,
        }
    }
}

/// A link of a chain: most say nothing but who.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum LinkShape<'a> {
    #[serde(borrow)]
    Agent(Cow<'a, str>),
    More {
        #[serde(borrow)]
        agent: Cow<'a, str>,
        #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
        model: Option<Cow<'a, str>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_max: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window_tokens: Option<u64>,
    },
}

fn link_shape(link: &Link) -> LinkShape<'_> {
    let Link {
        agent,
        model,
        timeout_ms,
        retry_max,
        window_tokens,
    } = link;
    if *link == Link::of(agent.clone()) {
        return LinkShape::Agent(Cow::from(agent.as_str()));
    }
    LinkShape::More {
        agent: Cow::from(agent.as_str()),
        model: model.as_ref().map(Cow::from),
        timeout_ms: *timeout_ms,
        retry_max: *retry_max,
        window_tokens: *window_tokens,
    }
}

fn link(shape: LinkShape<'_>) -> Link {
    match shape {
        LinkShape::Agent(agent) => Link::of(AgentName(agent.into_owned())),
        LinkShape::More {
            agent,
            model,
            timeout_ms,
            retry_max,
            window_tokens,
        } => Link {
            agent: AgentName(agent.into_owned()),
            model: model.map(Cow::into_owned),
            timeout_ms,
            retry_max,
            window_tokens,
        },
    }
}

/// A breaker and the policy it goes by. Their types are made to be kept (see core), so they are their own shapes.
#[derive(Serialize, Deserialize)]
struct BreakerShape {
    policy: Policy,
    breaker: Breaker,
}

pub(crate) fn breaker_text(kept: &KeptBreaker) -> Answer<String> {
    let KeptBreaker { policy, breaker } = kept.clone();
    text(&BreakerShape { policy, breaker })
}

pub(crate) fn breaker(body: &str) -> Answer<KeptBreaker> {
    let BreakerShape { policy, breaker } = parse("a breaker", body)?;
    Ok(KeptBreaker { policy, breaker })
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnFailureShape {
    Retry,
    Fallback,
    Ask,
    Continue,
    Fail,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MergeShape {
    Branch,
    Queue,
}

#[derive(Serialize, Deserialize)]
struct RunShape<'a> {
    #[serde(default, skip_serializing_if = "map_is_empty")]
    vars: Cow<'a, BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    budget_nano: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct ResultShape<'a> {
    #[serde(default, skip_serializing_if = "is_default")]
    summary: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    files: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    artifacts: Vec<ArtifactShape<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    checks: Vec<CheckShape<'a>>,
    #[serde(default, skip_serializing_if = "is_default")]
    rehearsed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model_source: Option<ModelSource>,
    #[serde(default, skip_serializing_if = "is_default")]
    link: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confidence: Option<u8>,
    #[serde(default, skip_serializing_if = "is_default")]
    trail: trail::TrailShape<'a>,
}

#[derive(Serialize, Deserialize)]
struct ArtifactShape<'a> {
    name: Cow<'a, str>,
    hash: Cow<'a, str>,
    bytes: u64,
    bytes_written: u64,
}

#[derive(Serialize, Deserialize)]
struct CheckShape<'a> {
    command: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    log: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_default")]
    tail: Cow<'a, str>,
    took_ms: u64,
}

fn is_empty<T: Clone>(list: &[T]) -> bool {
    list.is_empty()
}

fn map_is_empty(map: &BTreeMap<String, String>) -> bool {
    map.is_empty()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(crate) fn task_text(spec: &TaskSpec) -> Answer<String> {
    let TaskSpec {
        key: _,
        work,
        agent,
        fallback,
        model,
        role,
        needs,
        priority,
        files,
        verify,
        isolation,
        merge,
        protect,
        edits,
        schema,
        timeout_ms,
        idle_timeout_ms,
        retry_max,
        deadline_ms,
        window_tokens,
        confidence_min,
        on_failure,
        planner,
        approval,
        env,
        cwd,
        budget,
        routed,
        flow,
        inputs: Inputs { documents, stdin },
    } = spec;
    let (exec, prompt, turn) = match work {
        Work::Exec(command) => (Some(command), None, None),
        Work::Prompt(prompt) => (None, Some(prompt), None),
        Work::Turn(turn) => (None, None, Some((turn.instance.0, turn.message.0))),
    };
    text(&TaskShape {
        turn,
        exec: exec.map(Cow::from),
        prompt: prompt.map(Cow::from),
        agent: Cow::from(agent.as_str()),
        fallback: fallback.iter().map(link_shape).collect(),
        model: model.as_ref().map(Cow::from),
        role: role.as_ref().map(Cow::from),
        needs: Cow::from(needs),
        priority: *priority,
        files: Cow::from(files),
        verify: Cow::from(verify),
        worktree: match isolation {
            Isolation::None => false,
            Isolation::Worktree => true,
        },
        merge: match merge {
            Merge::None => None,
            Merge::Branch => Some(MergeShape::Branch),
            Merge::Queue => Some(MergeShape::Queue),
        },
        protect: Cow::from(protect),
        patch: match edits {
            Edits::Own => false,
            Edits::Patch => true,
        },
        schema: schema.as_ref().map(Cow::Borrowed),
        timeout_ms: *timeout_ms,
        idle_timeout_ms: *idle_timeout_ms,
        retry_max: *retry_max,
        deadline_ms: *deadline_ms,
        window_tokens: *window_tokens,
        confidence_min: *confidence_min,
        on_failure: on_failure.map(|on_failure| match on_failure {
            OnFailure::Retry => OnFailureShape::Retry,
            OnFailure::Fallback => OnFailureShape::Fallback,
            OnFailure::Ask => OnFailureShape::Ask,
            OnFailure::Continue => OnFailureShape::Continue,
            OnFailure::Fail => OnFailureShape::Fail,
        }),
        planner: *planner,
        approval: *approval,
        env: Cow::Borrowed(env),
        cwd: cwd.as_ref().map(Cow::from),
        budget_nano: budget.map(|BudgetLimit { cost_nano }| cost_nano),
        routed: routed.as_ref().map(Cow::from),
        flow: FlowShape::of(flow),
        documents: Cow::from(documents),
        stdin: stdin.as_ref().map(Cow::Borrowed),
    })
}

pub(crate) fn task_spec(key: TaskKey, body: &str) -> Answer<TaskSpec> {
    let TaskShape {
        exec,
        prompt,
        turn,
        agent,
        fallback,
        model,
        role,
        needs,
        priority,
        files,
        verify,
        worktree,
        merge,
        protect,
        patch,
        schema,
        timeout_ms,
        idle_timeout_ms,
        retry_max,
        deadline_ms,
        window_tokens,
        confidence_min,
        on_failure,
        planner,
        approval,
        env,
        cwd,
        budget_nano,
        routed,
        flow,
        documents,
        stdin,
    } = parse("a task", body)?;
    let work = match (exec, prompt, turn) {
        (Some(command), None, None) => Work::Exec(command.into_owned()),
        (None, Some(prompt), None) => Work::Prompt(prompt.into_owned()),
        (None, None, Some((instance, message))) => Work::Turn(Turn {
            instance: InstanceId(instance),
            message: MessageId(message),
        }),
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) | (None, None, None) => {
            return Err(Stop::Damaged(format!("task `{key}` is stored without its work")));
        }
    };
    Ok(TaskSpec {
        key,
        work,
        agent: AgentName(agent.into_owned()),
        fallback: fallback.into_iter().map(link).collect(),
        model: model.map(Cow::into_owned),
        role: role.map(Cow::into_owned),
        needs: needs.into_owned(),
        priority,
        files: files.into_owned(),
        verify: verify.into_owned(),
        isolation: if worktree { Isolation::Worktree } else { Isolation::None },
        merge: match merge {
            None => Merge::None,
            Some(MergeShape::Branch) => Merge::Branch,
            Some(MergeShape::Queue) => Merge::Queue,
        },
        protect: protect.into_owned(),
        edits: if patch { Edits::Patch } else { Edits::Own },
        schema: schema.map(Cow::into_owned),
        timeout_ms,
        idle_timeout_ms,
        retry_max,
        deadline_ms,
        window_tokens,
        confidence_min,
        on_failure: on_failure.map(|on_failure| match on_failure {
            OnFailureShape::Retry => OnFailure::Retry,
            OnFailureShape::Fallback => OnFailure::Fallback,
            OnFailureShape::Ask => OnFailure::Ask,
            OnFailureShape::Continue => OnFailure::Continue,
            OnFailureShape::Fail => OnFailure::Fail,
        }),
        planner,
        approval,
        env: env.into_owned(),
        cwd: cwd.map(Cow::into_owned),
        budget: budget_nano.map(|cost_nano| BudgetLimit { cost_nano }),
        routed: routed.map(Cow::into_owned),
        flow: flow.map(FlowShape::flow).unwrap_or_default(),
        inputs: Inputs {
            documents: documents.into_owned(),
            stdin: stdin.map(Cow::into_owned),
        },
    })
}

/// Name, source and whether it is standing have columns of their own.
pub(crate) fn run_text(spec: &RunSpec) -> Answer<String> {
    let RunSpec {
        name: _,
        vars,
        budget,
        source: _,
        standing: _,
    } = spec;
    text(&RunShape {
        vars: Cow::Borrowed(vars),
        budget_nano: budget.map(|BudgetLimit { cost_nano }| cost_nano),
    })
}

pub(crate) fn run_spec(name: String, source: String, standing: bool, body: &str) -> Answer<RunSpec> {
    let RunShape { vars, budget_nano } = parse("a run", body)?;
    Ok(RunSpec {
        name,
        vars: vars.into_owned(),
        budget: budget_nano.map(|cost_nano| BudgetLimit { cost_nano }),
        source,
        standing,
    })
}

/// Nothing at all for a result that says nothing.
pub(crate) fn result_text(result: &TaskResult) -> Answer<Option<String>> {
    if *result == TaskResult::default() {
        return Ok(None);
    }
    let TaskResult {
        summary,
        verdict,
        files,
        artifacts,
        exit_code,
        checks,
        rehearsed,
        model,
        model_source,
        link,
        confidence,
        trail,
    } = result;
    text(&ResultShape {
        summary: Cow::from(summary),
        verdict: verdict.as_ref().map(Cow::from),
        files: Cow::from(files),
        artifacts: artifacts.iter().map(artifact_shape).collect(),
        exit_code: *exit_code,
        checks: checks.iter().map(check_shape).collect(),
        rehearsed: *rehearsed,
        model: model.as_ref().map(Cow::from),
        model_source: *model_source,
        link: *link,
        confidence: *confidence,
        trail: trail::shape(trail),
    })
    .map(Some)
}

pub(crate) fn result(body: Option<&str>) -> Answer<TaskResult> {
    let Some(body) = body else {
        return Ok(TaskResult::default());
    };
    let ResultShape {
        summary,
        verdict,
        files,
        artifacts,
        exit_code,
        checks,
        rehearsed,
        model,
        model_source,
        link,
        confidence,
        trail: trail_of,
    } = parse("a result", body)?;
    Ok(TaskResult {
        summary: summary.into_owned(),
        verdict: verdict.map(Cow::into_owned),
        files: files.into_owned(),
        artifacts: artifacts.into_iter().map(artifact_ref).collect(),
        exit_code,
        checks: checks.into_iter().map(check).collect(),
        rehearsed,
        model: model.map(Cow::into_owned),
        model_source,
        link,
        confidence,
        trail: trail::live(trail_of),
    })
}

fn artifact_shape(artifact: &ArtifactRef) -> ArtifactShape<'_> {
    let ArtifactRef {
        name,
        hash,
        bytes,
        bytes_written,
    } = artifact;
    ArtifactShape {
        name: Cow::from(name),
        hash: Cow::from(&hash.0),
        bytes: *bytes,
        bytes_written: *bytes_written,
    }
}

fn artifact_ref(shape: ArtifactShape<'_>) -> ArtifactRef {
    let ArtifactShape {
        name,
        hash,
        bytes,
        bytes_written,
    } = shape;
    ArtifactRef {
        name: name.into_owned(),
        hash: ArtifactHash(hash.into_owned()),
        bytes,
        bytes_written,
    }
}

fn check_shape(check: &Check) -> CheckShape<'_> {
    let Check {
        command,
        exit_code,
        log,
        tail,
        took_ms,
    } = check;
    CheckShape {
        command: Cow::from(command),
        exit_code: *exit_code,
        log: Cow::from(&log.0),
        tail: Cow::from(tail),
        took_ms: *took_ms,
    }
}

fn check(shape: CheckShape<'_>) -> Check {
    let CheckShape {
        command,
        exit_code,
        log,
        tail,
        took_ms,
    } = shape;
    Check {
        command: command.into_owned(),
        exit_code,
        log: ArtifactHash(log.into_owned()),
        tail: tail.into_owned(),
        took_ms,
    }
}

fn text(shape: &impl Serialize) -> Answer<String> {
    serde_json::to_string(shape).map_err(|error| Stop::Damaged(format!("cannot be written as JSON: {error}")))
}

fn parse<'a, T: Deserialize<'a>>(what: &str, body: &'a str) -> Answer<T> {
    serde_json::from_str(body)
        .map_err(|error| Stop::Damaged(format!("the stored text of {what} is unreadable: {error}")))
}

#[cfg(test)]
mod tests {
    use wheelhouse_core::trail::Trail;

    use super::*;

    fn plain() -> TaskSpec {
        TaskSpec {
            key: "a".into(),
            work: Work::Exec("true".into()),
            agent: "exec".into(),
            fallback: Vec::new(),
            model: None,
            role: None,
            needs: Vec::new(),
            priority: 0,
            files: Vec::new(),
            verify: Vec::new(),
            isolation: Isolation::None,
            merge: Merge::None,
            protect: Vec::new(),
            edits: Edits::Own,
            schema: None,
            timeout_ms: 1,
            idle_timeout_ms: 2,
            retry_max: 0,
            deadline_ms: None,
            window_tokens: None,
            confidence_min: None,
            on_failure: None,
            planner: false,
            approval: false,
            env: BTreeMap::new(),
            cwd: None,
            budget: None,
            routed: None,
            flow: Default::default(),
            inputs: Default::default(),
        }
    }

    fn full() -> TaskSpec {
        TaskSpec {
            key: "b \"quoted\"".into(),
            work: Work::Prompt("line\nbreak \u{0} \u{1F980}".into()),
            agent: "claude".into(),
            fallback: vec![
                "codex".into(),
                Link {
                    model: Some("m".to_owned()),
                    timeout_ms: Some(1),
                    retry_max: Some(0),
                    window_tokens: Some(2),
                    ..Link::from("exec")
                },
            ],
            model: Some("m".into()),
            role: Some("r\t".into()),
            needs: vec!["a".into()],
            priority: -5,
            files: vec!["src/**".into()],
            verify: vec!["cargo test".into()],
            isolation: Isolation::Worktree,
            merge: Merge::Queue,
            protect: vec!["tests".into()],
            edits: Edits::Patch,
            schema: Some(Schema::parse(r#"{"type":"object","required":["a"]}"#).unwrap()),
            timeout_ms: u64::MAX,
            idle_timeout_ms: 0,
            retry_max: 2,
            deadline_ms: Some(9),
            window_tokens: Some(8),
            confidence_min: Some(7),
            on_failure: Some(OnFailure::Ask),
            planner: true,
            approval: true,
            env: BTreeMap::from([("K".into(), "V".into())]),
            cwd: Some("sub".into()),
            budget: Some(BudgetLimit { cost_nano: u64::MAX }),
            routed: None,
            flow: Default::default(),
            inputs: Default::default(),
        }
    }

    #[test]
    fn specs_survive() {
        for before in [plain(), full()] {
            let body = task_text(&before).unwrap();
            assert_eq!(task_spec(before.key.clone(), &body).unwrap(), before);
        }
        let body = task_text(&plain()).unwrap();
        assert_eq!(
            body,
            r#"{"exec":"true","agent":"exec","timeout_ms":1,"idle_timeout_ms":2}"#
        );
    }

    #[test]
    fn runs_survive() {
        let before = RunSpec {
            name: "n".into(),
            vars: BTreeMap::from([("k".into(), "v".into())]),
            budget: Some(BudgetLimit { cost_nano: 3 }),
            source: "s".into(),
            standing: true,
        };
        let after = run_spec("n".into(), "s".into(), true, &run_text(&before).unwrap()).unwrap();
        assert_eq!(after, before);
    }

    #[test]
    fn results_survive() {
        let before = TaskResult {
            summary: "did it".into(),
            verdict: Some("approve".into()),
            files: vec!["a.rs".into()],
            artifacts: vec![ArtifactRef {
                name: "output".into(),
                hash: ArtifactHash("00".into()),
                bytes: 1,
                bytes_written: 2,
            }],
            exit_code: Some(-1),
            checks: vec![Check {
                command: "true".into(),
                exit_code: None,
                log: ArtifactHash("11".into()),
                tail: "t".into(),
                took_ms: 5,
            }],
            rehearsed: true,
            model: Some("m".to_owned()),
            model_source: Some(ModelSource::Reported),
            link: 2,
            confidence: Some(55),
            trail: Trail {
                read: vec!["src/b.rs".to_owned()],
                calls: 1,
                ..Trail::default()
            },
        };
        let body = result_text(&before).unwrap();
        assert_eq!(result(body.as_deref()).unwrap(), before);
        assert_eq!(result_text(&TaskResult::default()).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        assert!(matches!(task_spec("a".into(), "{}"), Err(Stop::Damaged(_))));
        assert!(matches!(task_spec("a".into(), "not json"), Err(Stop::Damaged(_))));
    }
}
