//! The `.exec.yaml` manifest: tasks with hints, grouped into stages, run by a mode.
//!
//! Modes and stages become edges: `all-sequential` is a chain, each stage waits for the whole stage before it, and
//! both come on top of `depends`. Unknown keys are errors, as in the format's own schema.

use crate::plan::problem::shortened;
use crate::plan::tree::{Kind, Node};
use crate::plan::walk::{Fields, Walk};
use crate::plan::wire::{At, Defaults, Duration, Plan, Task};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    AllParallel,
    AllSequential,
    DependencyDriven,
    ManualBatching,
}

const MODES: [(&str, Mode); 4] = [
    ("all-parallel", Mode::AllParallel),
    ("all-sequential", Mode::AllSequential),
    ("dependency-driven", Mode::DependencyDriven),
    ("manual-batching", Mode::ManualBatching),
];
const TIERS: [(&str, ()); 2] = [("fast", ()), ("deep", ())];
/// Edges that stages may add; the limit on all edges is checked later, but must not be built first.
const STAGE_EDGES_MAX: usize = crate::plan::graph::EDGES_MAX + 1;

/// Reads the manifest.
pub(crate) fn read<'a>(walk: &mut Walk<'a, '_, '_>) -> Option<Plan> {
    let root = walk.tree.root();
    walk.about = "the manifest".to_owned();
    let Some(mut fields) = Fields::of(walk.tree, root) else {
        walk.wrong(root, "the manifest", "a map with `stages` or `tasks`");
        return None;
    };
    match fields.take("version") {
        Some(node) => {
            walk.integer(node, "version", 1, 1);
        }
        None => {
            let message = "the manifest has no `version`".to_owned();
            walk.reporter
                .error("missing-key", root.at, "", message, "write `version: 1`");
        }
    }
    let mode = fields.take("mode").and_then(|node| walk.choice(node, "mode", &MODES));
    let tier = fields.take("tier");
    tier_noted(walk, tier);
    if let Some(node) = fields.take("max_parallel")
        && let Some(limit) = walk.integer(node, "max_parallel", 1, 10)
    {
        let message = format!("`max_parallel: {limit}` is not kept in the run");
        let help = format!("start it with `--max-parallel {limit}`");
        walk.reporter
            .warning("ignored-key", node.at, "max_parallel", message, help);
    }
    let timeout = fields.take("timeout_per_task").and_then(|node| {
        let seconds = walk.integer(node, "timeout_per_task", 30, 1_800)?;
        let ms = u64::try_from(seconds).ok()?.saturating_mul(1_000);
        Some(At {
            value: Duration { ms },
            at: node.at,
        })
    });
    let mut tasks = Vec::new();
    if let Some(node) = fields.take("tasks") {
        listed_tasks(walk, node, &mut tasks);
    }
    let stages = fields
        .take("stages")
        .map(|node| stages(walk, node, &mut tasks))
        .unwrap_or_default();
    walk.about = "the manifest".to_owned();
    walk.finish(fields);
    barriers(&mut tasks, &stages);
    if mode.is_some_and(|mode| mode.value == Mode::AllSequential) {
        chain(&mut tasks);
    }
    let defaults = Defaults {
        timeout,
        ..Defaults::default()
    };
    Some(Plan {
        defaults: Some(defaults),
        tasks,
        at: root.at,
        ..Plan::default()
    })
}

/// The stages, each as places in `tasks`. A stage holds tasks, or ids of tasks that are listed under `tasks`.
fn stages<'a>(walk: &mut Walk<'a, '_, '_>, node: &'a Node, tasks: &mut Vec<Task>) -> Vec<Vec<usize>> {
    let Kind::List(items) = &node.kind else {
        walk.wrong(node, "stages", "a list");
        return Vec::new();
    };
    let tree = walk.tree;
    items
        .iter()
        .enumerate()
        .map(|(place, id)| stage(walk, tree.node(*id), place + 1, tasks))
        .collect()
}

fn stage<'a>(walk: &mut Walk<'a, '_, '_>, node: &'a Node, number: usize, tasks: &mut Vec<Task>) -> Vec<usize> {
    walk.about = format!("stage {number}");
    let Some(mut fields) = Fields::of(walk.tree, node) else {
        walk.wrong(node, "stage", "a map with `name` and `tasks`");
        return Vec::new();
    };
    let name = fields.take("name").and_then(|node| walk.text(node, "name"));
    if let Some(name) = name {
        walk.about = format!("stage `{}`", shortened(&name.value));
    }
    let about = walk.about.clone();
    let mut members = Vec::new();
    match fields.take("tasks") {
        Some(list) => match &list.kind {
            Kind::List(items) if !items.is_empty() => {
                for id in items {
                    let item = walk.tree.node(*id);
                    if let Kind::Text(reference) = &item.kind {
                        members.extend(referenced(walk, item, reference, tasks));
                    } else if let Some(task) = task(walk, item) {
                        members.push(tasks.len());
                        tasks.push(task);
                    }
                }
            }
            _ => walk.wrong(list, "tasks", "a list of at least one task"),
        },
        None => {
            let message = format!("{about} has no `tasks`");
            walk.reporter
                .error("missing-key", node.at, "", message, "list at least one task in it");
        }
    }
    walk.about = about;
    walk.finish(fields);
    members
}

fn referenced<'a>(walk: &mut Walk<'a, '_, '_>, item: &'a Node, reference: &str, tasks: &[Task]) -> Option<usize> {
    let ids = || {
        tasks
            .iter()
            .map(|task| task.id.as_ref().map_or("", |id| id.value.as_str()))
    };
    let found = ids().position(|id| id == reference);
    if found.is_none() {
        let message = format!("{} names `{}`, which does not exist", walk.about, shortened(reference));
        let help = "a stage holds tasks, or ids of tasks listed under `tasks`";
        walk.reporter
            .unknown("unknown-task", item.at, reference, message, ids(), help);
    }
    found
}

fn listed_tasks<'a>(walk: &mut Walk<'a, '_, '_>, node: &'a Node, tasks: &mut Vec<Task>) {
    let Kind::List(items) = &node.kind else {
        walk.wrong(node, "tasks", "a list");
        return;
    };
    for id in items {
        let item = walk.tree.node(*id);
        tasks.extend(task(walk, item));
    }
}

fn task<'a>(walk: &mut Walk<'a, '_, '_>, node: &'a Node) -> Option<Task> {
    walk.about = "a task".to_owned();
    let Some(mut fields) = Fields::of(walk.tree, node) else {
        walk.wrong(node, "task", "a map with `id` and `title`");
        return None;
    };
    let id = fields.take("id").and_then(|node| walk.text(node, "id"));
    if let Some(id) = &id {
        walk.about = format!("task `{}`", shortened(&id.value));
        let digits = id.value.strip_prefix("task-").unwrap_or("");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let message = format!("`{}` is not a task id of a manifest", shortened(&id.value));
            walk.reporter.error(
                "bad-id",
                id.at,
                &id.value,
                message,
                "write `task-` and a number, such as `task-1`",
            );
        }
    }
    let title = fields.take("title").and_then(|node| walk.text(node, "title"));
    let hint = fields
        .take("prompt_hint")
        .and_then(|node| walk.text(node, "prompt_hint"));
    let files = fields
        .take("files")
        .map(|node| walk.texts(node, "files"))
        .unwrap_or_default();
    let needs = fields
        .take("depends")
        .map(|node| walk.ids(node, "depends"))
        .unwrap_or_default();
    let tier = fields.take("tier");
    tier_noted(walk, tier);
    walk.finish(fields);
    let prompt = match (title, hint) {
        (Some(title), Some(hint)) => Some(At {
            value: format!("{}\n\n{}", title.value, hint.value),
            at: hint.at,
        }),
        (title, hint) => title.or(hint),
    };
    Some(Task {
        id,
        prompt,
        files,
        needs,
        at: node.at,
        ..Task::default()
    })
}

fn tier_noted<'a>(walk: &mut Walk<'a, '_, '_>, tier: Option<&'a Node>) {
    let Some(node) = tier else { return };
    if walk.choice(node, "tier", &TIERS).is_some() {
        let message = "the key `tier` has no meaning here and is ignored".to_owned();
        walk.reporter.warning_once("ignored-key", node.at, "tier", message, "");
    }
}

/// Each stage waits for the whole stage before it. Empty stages (reported already) are no barrier.
fn barriers(tasks: &mut [Task], stages: &[Vec<usize>]) {
    let stages: Vec<&Vec<usize>> = stages.iter().filter(|stage| !stage.is_empty()).collect();
    let mut left = STAGE_EDGES_MAX;
    for pair in stages.windows(2) {
        let before: Vec<At<String>> = pair[0].iter().filter_map(|place| tasks[*place].id.clone()).collect();
        for place in pair[1] {
            let more = before.len().min(left);
            tasks[*place].needs.extend_from_slice(&before[..more]);
            left -= more;
        }
    }
}

fn chain(tasks: &mut [Task]) {
    for place in 1..tasks.len() {
        let before = tasks[place - 1].id.clone();
        tasks[place].needs.extend(before);
    }
}
