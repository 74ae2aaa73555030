//! Ids and edges: who is needed by whom, circles, and texts that name what their task does not need.

use std::collections::{HashMap, HashSet};

use super::{Resolve, is_id};
use crate::ids::TaskKey;
use crate::plan::graph::{EDGES_MAX, Graph};
use crate::plan::problem::{Place, counted, shortened};
use crate::plan::template::{self, Field};
use crate::plan::walk::nowhere;
use crate::plan::wire::{At, Task};
use crate::plan::{ID_LETTERS_MAX, Words};

/// What each task needs, in the order of the plan.
#[derive(Default)]
pub(super) struct Edges {
    /// As keys, those of the run included.
    pub(super) keys: Vec<Vec<TaskKey>>,
    /// As places in the plan.
    pub(super) inside: Vec<Vec<usize>>,
    /// Where each task is.
    pub(super) at: Vec<Place>,
}

/// One `{{ tasks.… }}` of a text.
pub(super) struct TaskUse {
    pub(super) task: usize,
    pub(super) name: String,
    pub(super) explicit: bool,
    pub(super) at: Place,
    pub(super) file: Option<String>,
}

impl Resolve<'_, '_> {
    /// The place of each id. Of two tasks with one id the first has it.
    pub(super) fn ids(&mut self, tasks: &[Task]) -> HashMap<String, usize> {
        let mut index: HashMap<String, usize> = HashMap::with_capacity(tasks.len());
        for (place, task) in tasks.iter().enumerate() {
            let Some(id) = &task.id else {
                if !task.given.id {
                    let message = "a task has no `id`".to_owned();
                    self.reporter
                        .error("missing-key", task.at, "", message, "give it a name: `id: NAME`");
                }
                continue;
            };
            let name = shortened(&id.value);
            if !is_id(&id.value, |byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
            }) {
                let message = format!("`{name}` cannot be a task's id");
                let help = format!(
                    "use letters, digits, `_`, `.` and `-`, {ID_LETTERS_MAX} at the most, not `-` or `.` first"
                );
                self.reporter.error("bad-id", id.at, &id.value, message, help);
            }
            if self.existing_set.contains(id.value.as_str()) {
                let message = format!("the run has a task `{name}` already");
                self.reporter.error(
                    "duplicate-id",
                    id.at,
                    &id.value,
                    message,
                    "give the new task another id",
                );
            }
            if let Some(first) = index.get(&id.value) {
                let line = tasks[*first].id.as_ref().map_or(0, |first| first.at.line);
                let message = match self.manners.words {
                    Words::Plan => format!("the id `{name}` is taken by the task on line {line}"),
                    Words::TaskText => format!("duplicate id: {name} (first on line {line})"),
                };
                self.reporter
                    .error("duplicate-id", id.at, &id.value, message, "give one of them another id");
                continue;
            }
            index.insert(id.value.clone(), place);
        }
        index
    }

    pub(super) fn edges(&mut self, tasks: &[Task], index: &HashMap<String, usize>) -> Edges {
        let mut edges = Edges::default();
        let mut count = 0_usize;
        for (place, task) in tasks.iter().enumerate() {
            let own = task.id.as_ref().map_or("", |id| id.value.as_str());
            let mut keys: Vec<TaskKey> = Vec::with_capacity(task.needs.len());
            let mut inside = Vec::with_capacity(task.needs.len());
            let mut seen: HashSet<&str> = HashSet::with_capacity(task.needs.len());
            // Whoever reads what a task wrote needs that task.
            for need in task.needs.iter().chain(&task.stdin) {
                if !seen.insert(&need.value) {
                    continue;
                }
                match index.get(&need.value) {
                    Some(found) if *found == place => self.needs_itself(own, need),
                    Some(found) => {
                        inside.push(*found);
                        keys.push(TaskKey(need.value.clone()));
                    }
                    None if self.existing_set.contains(need.value.as_str()) => keys.push(TaskKey(need.value.clone())),
                    None => self.unknown_need(own, need, tasks),
                }
            }
            count += inside.len();
            edges.keys.push(keys);
            edges.inside.push(inside);
            edges.at.push(task.id.as_ref().map_or(task.at, |id| id.at));
        }
        if count > EDGES_MAX {
            let message = format!("the plan has {}; the limit is {EDGES_MAX}", counted(count, "edge"));
            let help = "put a task between two large groups that waits for the one and is needed by the other";
            self.reporter.error("too-many-edges", nowhere(), "", message, help);
            edges.inside.iter_mut().for_each(Vec::clear);
        }
        edges
    }

    fn needs_itself(&mut self, own: &str, need: &At<String>) {
        let message = format!("task `{}` needs itself", shortened(own));
        self.reporter.error(
            "self-reference",
            need.at,
            &need.value,
            message,
            "take it out of its own `needs`",
        );
    }

    fn unknown_need(&mut self, own: &str, need: &At<String>, tasks: &[Task]) {
        let (own, name) = (shortened(own), shortened(&need.value));
        let message = match self.manners.words {
            Words::Plan => format!("task `{own}` needs `{name}`, which does not exist"),
            Words::TaskText => format!("dependency \"{name}\" not found for task \"{own}\""),
        };
        let ids = tasks
            .iter()
            .filter_map(|task| task.id.as_ref())
            .map(|id| id.value.as_str());
        let exist = ids.chain(self.existing.iter().map(TaskKey::as_str));
        let help = "`needs` takes the ids of tasks of this plan";
        self.reporter
            .unknown("unknown-task", need.at, &need.value, message, exist, help);
    }

    /// Circles, and templates that name what is not needed.
    pub(super) fn graph(&mut self, index: &HashMap<String, usize>, names: &[String], edges: Edges) {
        let graph = Graph { needs: edges.inside };
        let groups = graph.groups();
        let ids: Vec<&str> = names.iter().map(String::as_str).collect();
        for group in groups.iter().filter(|group| group.len() > 1) {
            let circle = graph.circle(group);
            let Some(&first) = circle.first() else { continue };
            let found = path(&circle, &ids);
            let message = match self.manners.words {
                Words::Plan => format!("tasks need each other in a circle: {found}"),
                Words::TaskText => {
                    let mut names: Vec<&str> = circle.iter().map(|place| ids[*place]).collect();
                    names.sort_unstable();
                    format!("cycle detected involving tasks: {}", names.join(","))
                }
            };
            let help = "take one of these out of the `needs` of the one before it";
            self.reporter.error("cycle", edges.at[first], &found, message, help);
        }
        self.uses_needed(index, &ids, &edges.keys, &graph, &groups);
    }

    fn uses_needed(
        &mut self,
        index: &HashMap<String, usize>,
        ids: &[&str],
        keys: &[Vec<TaskKey>],
        graph: &Graph,
        groups: &[Vec<usize>],
    ) {
        let mut questions = Vec::new();
        let mut asked = Vec::new();
        for one in std::mem::take(&mut self.uses) {
            let directly = keys[one.task].iter().any(|need| need.as_str() == one.name);
            match index.get(&one.name) {
                _ if directly => {}
                Some(wanted) => {
                    questions.push((one.task, *wanted));
                    asked.push(one);
                }
                None if self.existing_set.contains(one.name.as_str()) => self.not_needed(&one, ids),
                None => self.unknown_use(&one, index, ids),
            }
        }
        let answers = graph.reaches(groups, &questions);
        for (one, reached) in asked.iter().zip(answers) {
            if !reached {
                self.not_needed(one, ids);
            }
        }
    }

    fn not_needed(&mut self, one: &TaskUse, ids: &[&str]) {
        let (own, name) = (shortened(ids[one.task]), &one.name);
        if ids[one.task] == name {
            let message = format!("task `{own}` names its own result");
            let help = "a task's result is there only when it is done; name another task";
            self.reporter.error("self-reference", one.at, name, message, help);
        } else {
            let message = format!("task `{own}` names `{name}` in its text and does not need it");
            let help = format!("add `{name}` to its `needs`, so that the result is there");
            self.reporter.error("not-needed", one.at, name, message, help);
        }
        if let Some(file) = &one.file {
            self.reporter.in_file(file);
        }
    }

    fn unknown_use(&mut self, one: &TaskUse, index: &HashMap<String, usize>, ids: &[&str]) {
        let own = shortened(ids[one.task]);
        let known = |name: &str| index.contains_key(name) || self.existing_set.contains(name);
        // `facts.sumary`: the task is known, so the last part was meant as a field.
        let field = one
            .name
            .rsplit_once('.')
            .filter(|(task, _)| !one.explicit && known(task));
        if let Some((task, field)) = field {
            let message = format!("task `{own}`: the result of `{task}` has no `{field}`");
            let help = format!("it has {}", template::field_list());
            let exist = Field::ALL.into_iter().map(Field::as_str);
            self.reporter
                .unknown("unknown-field", one.at, field, message, exist, help);
        } else {
            let message = format!("task `{own}` names `{}`, which does not exist", shortened(&one.name));
            let exist = ids.iter().copied().chain(self.existing.iter().map(TaskKey::as_str));
            let help = "write `{{ tasks.ID.summary }}` with the id of a task of this plan";
            self.reporter
                .unknown("unknown-task", one.at, &one.name, message, exist, help);
        }
        if let Some(file) = &one.file {
            self.reporter.in_file(file);
        }
    }
}

fn path(circle: &[usize], ids: &[&str]) -> String {
    /// How many names of a circle are printed.
    const NAMES_MAX: usize = 24;
    let mut names: Vec<&str> = circle.iter().map(|place| ids[*place]).collect();
    let left_out = names.len().saturating_sub(NAMES_MAX);
    let between = format!("({left_out} more)");
    if left_out > 0 {
        names.truncate(NAMES_MAX);
        names.push(&between);
    }
    names.push(ids[circle[0]]);
    names.join(" -> ")
}
