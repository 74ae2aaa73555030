//! What the answer of a task must be valid against.

use super::Resolve;
use crate::plan::answer;
use crate::plan::problem::shortened;
use crate::plan::wire::{Answer, At};
use crate::schema::Schema;

/// What answers are that no schema holds.
const OTHERWISE: [&str; 4] = [
    "is a command",
    "returns tasks (`plan: true`)",
    "answers with a patch (`edits: patch`)",
    "is a `consensus`, whose seats answer with verdicts",
];

impl Resolve<'_, '_> {
    /// The schema of a task, unless its answer is something else; `is` says which of [`OTHERWISE`] it is.
    pub(super) fn answer(
        &mut self,
        own: &str,
        given: Option<At<Answer>>,
        is: [bool; OTHERWISE.len()],
    ) -> Option<Schema> {
        let At { value, at } = given?;
        for (_, what) in is.into_iter().zip(OTHERWISE).filter(|(is, _)| *is) {
            let message = format!("{own} {what}, and `schema` has no meaning for its answer");
            let help = "take `schema` out, or let a task that needs this one answer by it";
            self.reporter.error("bad-schema", at, "schema", message, help);
        }
        match value {
            Answer::Inline(schema) => schema,
            Answer::File(path) => self.schema_file(own, &At { value: path, at }),
        }
    }

    /// Each file is read, and its problems told, once.
    fn schema_file(&mut self, own: &str, path: &At<String>) -> Option<Schema> {
        self.says_something(own, "schema", path)?;
        self.stays_inside(own, "schema", path)?;
        if let Some(known) = self.schema_files.get(&path.value) {
            return known.clone();
        }
        let schema = match (self.context.read_file)(&path.value) {
            Ok(text) => answer::from_file(&path.value, &text, own, self.reporter),
            Err(why) => {
                let message = format!(
                    "{own}: the schema file `{}` cannot be read: {why}",
                    shortened(&path.value)
                );
                let help = "the path is relative to the directory of the plan; or write the schema itself";
                self.reporter.error("schema-file", path.at, &path.value, message, help);
                None
            }
        };
        self.schema_files.insert(path.value.clone(), schema.clone());
        schema
    }
}
