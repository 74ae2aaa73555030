//! Texts: what a task does, templates and the names in them, and where they stand.

use super::edges::TaskUse;
use super::{Inside, Resolve};
use crate::ids::TaskKey;
use crate::plan::problem::{Place, shortened};
use crate::plan::template::{self, ErrorKind, Name};
use crate::plan::walk::listed;
use crate::plan::wire::{At, Task, WORKS};
use crate::plan::{Prompts, TEXT_BYTES_MAX};
use crate::spec::Work;

impl Resolve<'_, '_> {
    /// What the task does: one of the four keys that say so, which are taken out of it.
    pub(super) fn work(&mut self, place: usize, own: &str, task: &mut Task, needs: &[TaskKey]) -> Option<Work> {
        self.inside = Inside::of(task.workflow.as_ref());
        let work = self.work_of(place, own, task, needs);
        self.inside = Inside::Task;
        work
    }

    fn work_of(&mut self, place: usize, own: &str, task: &mut Task, needs: &[TaskKey]) -> Option<Work> {
        let nothing_at = (!task.given.work).then_some(task.at);
        let with = std::mem::take(&mut task.with);
        let (exec, prompt) = (task.exec.take(), task.prompt.take());
        let (prompt_file, template) = (task.prompt_file.take(), task.template.take());
        let values = [&exec, &prompt, &prompt_file, &template];
        let given = WORKS.into_iter().zip(values);
        let given: Vec<(&str, Place)> = given
            .filter_map(|(key, value)| value.as_ref().map(|value| (key, value.at)))
            .collect();
        match given.as_slice() {
            [_] => {}
            [] => {
                if let Some(at) = nothing_at {
                    let message = format!("{own} has nothing to do");
                    let help = format!("add one of {}", listed(WORKS.into_iter()));
                    self.reporter.error("one-work", at, "", message, help);
                }
            }
            [.., (_, last)] => {
                let keys = listed(given.iter().map(|(key, _)| *key));
                let message = format!("{own} has {keys}; it can have only one of them");
                self.reporter
                    .error("one-work", *last, "", message, "make two tasks of it, or take one out");
            }
        }
        // Each one is checked all the same: everything is reported at once.
        let exec = exec.and_then(|text| self.command_text(place, own, text));
        let prompt = prompt.and_then(|text| self.prompt_text(place, own, text, needs));
        let file = prompt_file.and_then(|path| self.prompt_from_file(place, own, &path));
        let made = self.prompt_from_template(place, own, template.as_ref(), with);
        exec.map(Work::Exec).or(prompt.or(file).or(made).map(Work::Prompt))
    }

    fn command_text(&mut self, place: usize, own: &str, text: At<String>) -> Option<String> {
        self.says_something(own, "exec", &text)?;
        if text.value.contains('\0') {
            let message = format!("{own}: `exec` holds a NUL character");
            self.reporter.error(
                "bad-value",
                text.at,
                "",
                message,
                "a command cannot hold one; take it out",
            );
            return None;
        }
        let spots = Spots::inline(self.source, &text);
        self.template(place, own, &text.value, &spots, None);
        for error in template::check_shell(&text.value, &self.vars) {
            self.template_error(own, &error, &spots, &text.value, None);
        }
        Some(text.value)
    }

    fn prompt_text(&mut self, place: usize, own: &str, text: At<String>, needs: &[TaskKey]) -> Option<String> {
        self.says_something(own, "prompt", &text)?;
        if self.manners.prompts == Prompts::Literal
            || (self.manners.prompts == Prompts::TemplatesIfSound && template::check(&text.value).is_err())
        {
            return Some(self.with_results(template::literal(&text.value), needs));
        }
        let spots = Spots::inline(self.source, &text);
        let before = self.uses.len();
        self.template(place, own, &text.value, &spots, None);
        if self.uses.len() > before {
            return Some(text.value);
        }
        Some(self.with_results(text.value, needs))
    }

    /// The queue promises the results of the tasks a task waited for, without a word for it in the prompt.
    fn with_results(&self, mut prompt: String, needs: &[TaskKey]) -> String {
        if !self.manners.results_appended || needs.is_empty() {
            return prompt;
        }
        prompt.push_str("\n\nResults of the tasks this one waited for:");
        for need in needs {
            prompt.push_str(&format!("\n{{{{ tasks[\"{need}\"].summary }}}}"));
        }
        prompt
    }

    fn prompt_from_file(&mut self, place: usize, own: &str, path: &At<String>) -> Option<String> {
        let text = self.text_of_file(own, ("prompt_file", "prompt-file", "prompt file"), path)?;
        let spots = Spots::of_file(&text);
        self.template(place, own, &text, &spots, Some(&path.value));
        Some(text)
    }

    /// The text of a file that a key names; each file is read once. `names` are the key, the code of the problem when it
    /// cannot be read, and what people call it.
    pub(super) fn text_of_file(
        &mut self,
        own: &str,
        (key, code, called): (&str, &'static str, &str),
        path: &At<String>,
    ) -> Option<String> {
        self.says_something(own, key, path)?;
        self.stays_inside(own, key, path)?;
        if !self.prompt_files.contains_key(&path.value) {
            let read = (self.context.read_file)(&path.value);
            self.prompt_files.insert(path.value.clone(), read);
        }
        let text = match self.prompt_files.get(&path.value)? {
            Ok(text) => text.clone(),
            Err(why) => {
                let message = format!("{own}: the {called} `{}` cannot be read: {why}", shortened(&path.value));
                let help = "the path is relative to the directory of the plan";
                self.reporter.error(code, path.at, &path.value, message, help);
                return None;
            }
        };
        let as_value = At {
            value: text,
            at: path.at,
        };
        self.says_something(own, &format!("{key}` `{}", shortened(&path.value)), &as_value)?;
        Some(as_value.value)
    }

    /// Checks a template that stands in a file, and notes the tasks it names.
    pub(super) fn template_in(&mut self, task: usize, own: &str, text: &str, path: &str) {
        self.template(task, own, text, &Spots::of_file(text), Some(path));
    }

    pub(super) fn says_something(&mut self, own: &str, key: &str, text: &At<String>) -> Option<()> {
        if text.value.trim().is_empty() {
            let message = format!("{own}: `{key}` is empty");
            self.reporter
                .error("empty-text", text.at, "", message, "write what is to be done");
            return None;
        }
        if text.value.len() > TEXT_BYTES_MAX {
            let message = format!(
                "{own}: `{key}` has {} bytes; the limit is {TEXT_BYTES_MAX}",
                text.value.len()
            );
            let help = "put it into a file and name the file in the prompt";
            self.reporter.error("too-large", text.at, "", message, help);
            return None;
        }
        Some(())
    }

    /// Checks a template that stands in a plan, and notes the tasks it names.
    pub(super) fn template_of(&mut self, task: usize, own: &str, text: &At<String>) {
        let spots = Spots::inline(self.source, text);
        self.template(task, own, &text.value, &spots, None);
    }

    /// Checks a template and notes the tasks it names.
    fn template(&mut self, task: usize, own: &str, text: &str, spots: &Spots, file: Option<&str>) {
        let (uses, errors) = template::examine(text);
        for error in errors {
            self.template_error(own, &error, spots, text, file);
        }
        for one in uses {
            let at = spots.at(one.start);
            match one.name {
                Name::Literal(_) => {}
                Name::Item if self.inside == Inside::Map => {}
                Name::Results if self.inside == Inside::Reduce => {}
                Name::Item | Name::Results => self.only_in_a_map(own, &one.name, at, file),
                Name::With(name) => self.known_parameter(own, &name, at, file),
                Name::Var(name) => self.known_var(own, &name, at, file),
                Name::Task {
                    task: name, explicit, ..
                } => self.uses.push(TaskUse {
                    task,
                    name,
                    explicit,
                    at,
                    file: file.map(str::to_owned),
                }),
            }
        }
        if template::statement(text).is_some() {
            let message = format!("{own}: `{{% … %}}` is plain text here");
            let help = "templates know `{{ … }}` only";
            self.reporter
                .warning("template-statement", spots.whole, "{%", message, help);
            if let Some(file) = file {
                self.reporter.in_file(file);
            }
        }
    }

    fn template_error(&mut self, own: &str, error: &template::Error, spots: &Spots, text: &str, file: Option<&str>) {
        let code = match &error.kind {
            ErrorKind::Unclosed | ErrorKind::Empty | ErrorKind::NotAName { .. } => "template-syntax",
            ErrorKind::UnknownRoot { .. } => "template-name",
            ErrorKind::UnknownField { .. } => "unknown-field",
            ErrorKind::UnknownVar { .. } => "unknown-var",
            ErrorKind::Shell { .. } => "template-shell",
            ErrorKind::TooLong => "too-large",
        };
        let at = spots.at(error.at);
        let found: String = text[error.at..].chars().take(60).collect();
        self.reporter
            .error(code, at, &found, format!("{own}: {error}"), error.kind.help());
        if let Some(file) = file {
            self.reporter.in_file(file);
        }
    }

    fn only_in_a_map(&mut self, own: &str, name: &Name, at: Place, file: Option<&str>) {
        let (name, help) = match name {
            Name::Results => (
                "results",
                "`{{ results }}` stands in the `reduce` of a `workflow: {kind: map}`",
            ),
            _ => (
                "item",
                "`{{ item }}` stands in the prompt or command of a `workflow: {kind: map}`",
            ),
        };
        let message = format!("{own}: there is no `{{{{ {name} }}}}` here");
        self.reporter.error("template-name", at, name, message, help);
        if let Some(file) = file {
            self.reporter.in_file(file);
        }
    }

    fn known_var(&mut self, own: &str, name: &str, at: Place, file: Option<&str>) {
        if self.vars.contains_key(name) {
            return;
        }
        let message = format!("{own}: no variable is called `{}`", shortened(name));
        let help = match self.vars.len() {
            0 => "the plan has none; define it under `vars:`".to_owned(),
            _ => format!("there are {}", listed(self.vars.keys().map(String::as_str).take(20))),
        };
        let exist = self.vars.keys().map(String::as_str);
        self.reporter.unknown("unknown-var", at, name, message, exist, help);
        if let Some(file) = file {
            self.reporter.in_file(file);
        }
    }

    /// Fills in the variables of a text that no result can flow into.
    pub(super) fn with_vars(&mut self, text: &At<String>, own: &str, key: &str) -> String {
        if self.manners.prompts != Prompts::Templates || !text.value.contains("{{") {
            return text.value.clone();
        }
        let spots = Spots::inline(self.source, text);
        let (uses, errors) = template::examine(&text.value);
        let mut sound = errors.is_empty();
        for error in errors {
            self.template_error(own, &error, &spots, &text.value, None);
        }
        for one in uses {
            let at = spots.at(one.start);
            match one.name {
                Name::Literal(_) => {}
                Name::Var(name) => {
                    sound &= self.vars.contains_key(&name);
                    self.known_var(own, &name, at, None);
                }
                Name::Item | Name::Results => {
                    sound = false;
                    self.only_in_a_map(own, &one.name, at, None);
                }
                Name::With(name) => {
                    sound = false;
                    self.known_parameter(own, &name, at, None);
                }
                Name::Task { task, .. } => {
                    sound = false;
                    let message = format!("{own}: `{key}` cannot name task `{}`", shortened(&task));
                    let help = "results flow into `prompt`, `prompt_file` and `exec`; variables flow everywhere";
                    self.reporter.error("template-name", at, &task, message, help);
                }
            }
        }
        if !sound {
            return text.value.clone();
        }
        let none = |_: &str, _: &str| None;
        template::render(&text.value, &self.vars, &none, template::Mode::Prompt).unwrap_or_else(|_| text.value.clone())
    }
}

/// Where each `{{` of a text stands in its file.
struct Spots {
    /// The offset of each `{{` in the text, in order.
    offsets: Vec<usize>,
    /// Where each stands; empty when the text does not stand in the file as it is.
    places: Vec<Place>,
    whole: Place,
}

impl Spots {
    fn inline(source: &str, text: &At<String>) -> Spots {
        let raw = source.get(text.at.start as usize..text.at.end as usize).unwrap_or("");
        Spots::new(&text.value, raw, text.at)
    }

    fn of_file(text: &str) -> Spots {
        let whole = Place {
            line: 1,
            column: 1,
            ..Place::default()
        };
        Spots::new(text, text, whole)
    }

    fn new(text: &str, raw: &str, whole: Place) -> Spots {
        let offsets: Vec<usize> = text.match_indices("{{").map(|(at, _)| at).collect();
        let mut places = if offsets.is_empty() {
            Vec::new()
        } else {
            braces(raw, whole)
        };
        // Escapes can hide or add braces; then only the place of the whole is sure.
        if places.len() != offsets.len() {
            places.clear();
        }
        Spots { offsets, places, whole }
    }

    /// The place of the `{{` at an offset of the text.
    fn at(&self, offset: usize) -> Place {
        let before = self.offsets.partition_point(|start| *start <= offset);
        before
            .checked_sub(1)
            .and_then(|index| self.places.get(index))
            .copied()
            .unwrap_or(self.whole)
    }
}

fn braces(raw: &str, start: Place) -> Vec<Place> {
    let (mut line, mut column, mut from) = (start.line, start.column, 0);
    let mut places = Vec::new();
    for (offset, _) in raw.match_indices("{{") {
        for letter in raw[from..offset].chars() {
            if letter == '\n' {
                line += 1;
                column = 1;
            } else {
                column += 1;
            }
        }
        from = offset;
        places.push(Place { line, column, ..start });
    }
    places
}
