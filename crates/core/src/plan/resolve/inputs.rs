//! What a task is given besides its own words: reusable texts with parameters, documents, and what another task wrote.

use std::collections::{BTreeMap, BTreeSet};

use super::{Resolve, is_id};
use crate::ids::TaskKey;
use crate::plan::ID_LETTERS_MAX;
use crate::plan::problem::{Place, shortened};
use crate::plan::template::{self, Name};
use crate::plan::walk::listed;
use crate::plan::wire::{At, Reusable, Task};
use crate::spec::Inputs;

/// How many documents a task may be given.
const DOCUMENTS_MAX: usize = 50;

impl Resolve<'_, '_> {
    /// Takes the plan's reusable texts up. What stands in them is checked where a task takes one, with its parameters.
    pub(super) fn reusable(&mut self, templates: Vec<(At<String>, Reusable)>) {
        for (name, reusable) in templates {
            if !is_id(&name.value, |byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
            }) {
                let message = format!("`{}` cannot be a template's name", shortened(&name.value));
                let help = format!("use letters, digits, `_` and `-`, {ID_LETTERS_MAX} at the most");
                self.reporter.error("bad-name", name.at, &name.value, message, &help);
            }
            let own = format!("`templates`: `{}`", shortened(&name.value));
            if self.says_something(&own, "templates", &reusable.text).is_some() {
                self.all_taken(&own, &reusable.text.value, &reusable.defaults);
                self.templates.insert(name.value, reusable);
            }
        }
    }

    /// The prompt that a template and its parameters come to. Whatever is wrong in the template is told at its own place,
    /// what is wrong in a value at the value's.
    pub(super) fn prompt_from_template(
        &mut self,
        place: usize,
        own: &str,
        template: Option<&At<String>>,
        with: Vec<(At<String>, At<String>)>,
    ) -> Option<String> {
        let Some(named) = template else {
            if let Some((first, _)) = with.first() {
                let message = format!("{own} has `with` and no `template`");
                let help = "`with` holds the parameters of a `template`; variables of the plan stand under `vars`";
                self.reporter.error("bad-input", first.at, "with", message, help);
            }
            return None;
        };
        for (_, value) in &with {
            self.template_of(place, own, value);
        }
        let reusable = self.templates.get(&named.value).cloned();
        let is_given = |name: &str| with.iter().any(|(given, _)| given.value == name);
        let defaults = reusable.iter().flat_map(|reusable| &reusable.defaults);
        let defaults: Vec<_> = defaults.filter(|(name, _)| !is_given(&name.value)).collect();
        for (_, value) in &defaults {
            self.template_of(place, own, value);
        }
        let values = with
            .iter()
            .chain(defaults.iter().copied())
            .map(|(name, value)| (name.value.clone(), value.value.clone()));
        self.parameters = Some(values.collect());
        let text = match &reusable {
            Some(Reusable { text, .. }) => {
                self.template_of(place, own, text);
                Some(text.value.clone())
            }
            None if named.value.contains(['/', '.']) || self.templates.is_empty() => {
                let text = self.text_of_file(own, ("template", "template-file", "template"), named);
                if let Some(text) = &text {
                    self.template_in(place, own, text, &named.value);
                }
                text
            }
            None => {
                let message = format!("{own}: no template is called `{}`", shortened(&named.value));
                let exist: Vec<String> = self.templates.keys().cloned().collect();
                let exist = || exist.iter().map(String::as_str);
                let help = format!(
                    "`templates` has {}; a file is named by its path, such as `prompts/review.md`",
                    listed(exist().take(20))
                );
                self.reporter
                    .unknown("template-file", named.at, &named.value, message, exist(), help);
                None
            }
        };
        let values = self.parameters.take().unwrap_or_default();
        let text = text?;
        self.all_taken(own, &text, &with);
        Some(template::with_parameters(&text, &values))
    }

    /// A parameter that the template does not have is a slip of the pen.
    fn all_taken(&mut self, own: &str, text: &str, with: &[(At<String>, At<String>)]) {
        let names: BTreeSet<String> = template::examine(text)
            .0
            .into_iter()
            .filter_map(|one| match one.name {
                Name::With(name) => Some(name),
                _ => None,
            })
            .collect();
        for (name, _) in with.iter().filter(|(name, _)| !names.contains(&name.value)) {
            let message = format!("{own}: its template has no `{{{{ with.{} }}}}`", shortened(&name.value));
            let help = match names.len() {
                0 => "it has no parameters; take `with` out".to_owned(),
                _ => format!("its parameters are {}", listed(names.iter().map(String::as_str))),
            };
            let exist = names.iter().map(String::as_str);
            self.reporter
                .unknown("template-parameter", name.at, &name.value, message, exist, help);
        }
    }

    /// Whether what is being read is given that parameter.
    pub(super) fn known_parameter(&mut self, own: &str, name: &str, at: Place, file: Option<&str>) {
        let given: Vec<String> = match &self.parameters {
            Some(values) if values.contains_key(name) => return,
            Some(values) => values.keys().cloned().collect(),
            None => {
                let message = format!("{own}: there is no `{{{{ with.{} }}}}` here", shortened(name));
                let help = "parameters stand in a `template` and are given by `with`";
                self.reporter.error("template-name", at, name, message, help);
                if let Some(file) = file {
                    self.reporter.in_file(file);
                }
                return;
            }
        };
        let message = format!("{own}: its template needs `{}`, which is not given", shortened(name));
        let help = format!("add it: `with: {{{name}: …}}`, or give it a default in the plan's template");
        let exist = given.iter().map(String::as_str);
        self.reporter
            .unknown("template-parameter", at, name, message, exist, help);
        if let Some(file) = file {
            self.reporter.in_file(file);
        }
    }

    /// Documents and what another task wrote, where they have a meaning. That the task exists is checked with the edges.
    pub(super) fn inputs(&mut self, own: &str, task: &mut Task) -> Inputs {
        let documents = std::mem::take(&mut task.documents);
        let stdin = task.stdin.take();
        let (is_exec, is_workflow) = (task.exec.is_some(), task.workflow.is_some());
        if let (Some(first), true) = (documents.first(), is_exec) {
            let message = format!("{own} is a command, and `documents` are for prompts");
            let help = "a command opens files itself; take `documents` out";
            self.reporter.error("bad-input", first.at, "documents", message, help);
        }
        if let Some(over) = documents.get(DOCUMENTS_MAX) {
            let message = format!("{own} has {} documents; the limit is {DOCUMENTS_MAX}", documents.len());
            let help = "name the few that the task is about; an agent finds the others";
            self.reporter.error("bad-input", over.at, "documents", message, help);
        }
        if let (Some(stdin), true) = (&stdin, is_workflow) {
            let message = format!("{own} is done by several, and `stdin` is read by one");
            let help = "hand the result over in the prompt: `{{ tasks.ID.result }}`";
            self.reporter.error("bad-input", stdin.at, "stdin", message, help);
        }
        let mut kept = BTreeMap::new();
        for (place, document) in documents.into_iter().enumerate() {
            if self.says_something(own, "documents", &document).is_some()
                && self.stays_inside(own, "documents", &document).is_some()
            {
                let path = self.with_vars(&document, own, "documents");
                kept.entry(path).or_insert(place);
            }
        }
        let mut documents: Vec<(usize, String)> = kept.into_iter().map(|(path, place)| (place, path)).collect();
        documents.sort_unstable();
        Inputs {
            documents: documents.into_iter().map(|(_, path)| path).collect(),
            stdin: stdin.map(|stdin| TaskKey(stdin.value)),
        }
    }
}
