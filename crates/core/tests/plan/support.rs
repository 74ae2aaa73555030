//! A project with two agents, and short ways to read a plan in it.

use std::collections::BTreeMap;

use wheelhouse_core::ids::AgentName;
use wheelhouse_core::plan::{self, Checked, Context, Format, Problems, Source};
use wheelhouse_core::spec::TaskSpec;

/// What plans are read against.
pub(crate) struct Project {
    pub(crate) agents: Vec<AgentName>,
    pub(crate) default_agent: AgentName,
    pub(crate) vars: BTreeMap<String, String>,
    pub(crate) files: BTreeMap<String, String>,
}

impl Default for Project {
    fn default() -> Self {
        Project {
            agents: ["claude", "codex", "exec", "rehearsal"].map(AgentName::from).to_vec(),
            default_agent: "rehearsal".into(),
            vars: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }
}

impl Project {
    pub(crate) fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&Context<'_>) -> T) -> T {
        let read_file = |path: &str| self.files.get(path).cloned().ok_or_else(|| "no such file".to_owned());
        act(&Context {
            agents: &self.agents,
            default_agent: &self.default_agent,
            vars: &self.vars,
            read_file: &read_file,
            ..Context::default()
        })
    }

    pub(crate) fn read_as(&self, name: &str, format: Option<Format>, text: &str) -> Result<Checked, Problems> {
        self.with(|context| plan::read(&Source { name, text, format }, context))
    }

    pub(crate) fn read(&self, name: &str, text: &str) -> Result<Checked, Problems> {
        self.read_as(name, None, text)
    }
}

/// Reads a plan that must be accepted.
pub(crate) fn accept(text: &str) -> Checked {
    accept_as("plan.yaml", text)
}

/// The same, under a name.
pub(crate) fn accept_as(name: &str, text: &str) -> Checked {
    Project::default()
        .read(name, text)
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// Reads a plan that must be refused.
pub(crate) fn refuse(text: &str) -> Problems {
    refuse_as("plan.yaml", text)
}

/// The same, under a name.
pub(crate) fn refuse_as(name: &str, text: &str) -> Problems {
    match Project::default().read(name, text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(problems) => problems,
    }
}

/// `code line:column` of each problem.
pub(crate) fn places(problems: &Problems) -> Vec<String> {
    problems
        .0
        .iter()
        .map(|p| format!("{} {}:{}", p.code, p.line, p.column))
        .collect()
}

/// The task of that id.
pub(crate) fn task<'c>(checked: &'c Checked, id: &str) -> &'c TaskSpec {
    checked
        .tasks
        .iter()
        .find(|task| task.key.as_str() == id)
        .unwrap_or_else(|| panic!("no task {id}"))
}
