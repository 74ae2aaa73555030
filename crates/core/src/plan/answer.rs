//! Schemas of answers: out of a plan, or a file of their own, with the place of each fault.

use super::problem::Reporter;
use super::tree::{Node, Tree};
use super::walk::nowhere;
use crate::schema::Schema;

/// How large a schema may be, in bytes, its aliases written out. It goes to a model with each request.
pub(crate) const SCHEMA_BYTES_MAX: u64 = 256 << 10;

/// The schema at this node; none, with the reasons reported, when it is none that can be checked.
pub(crate) fn schema(tree: &Tree, node: &Node, about: &str, reporter: &mut Reporter) -> Option<Schema> {
    let Some(value) = tree.json(node, SCHEMA_BYTES_MAX) else {
        let message = format!("{about}: its schema is larger than {SCHEMA_BYTES_MAX} bytes");
        let help = "a model is sent all of it with each request; ask for less";
        reporter.error("too-large", node.at, "", message, help);
        return None;
    };
    match Schema::try_from(value) {
        Ok(schema) => Some(schema),
        Err(not) => {
            for fault in &not.0 {
                let found = fault.path.last().map_or("", String::as_str);
                let message = format!("{about}: its schema cannot be used: {fault}");
                reporter.error("bad-schema", tree.spot(node, &fault.path), found, message, HELP);
            }
            None
        }
    }
}

const HELP: &str = "the keywords that are checked are in docs/agents/api.md";

/// The schema in a file; none, with the reasons reported at their places in it, when it holds none.
pub(crate) fn from_file(file: &str, text: &str, about: &str, reporter: &mut Reporter) -> Option<Schema> {
    let mut inside = Reporter::new(file);
    let schema = if text.trim().is_empty() {
        let message = format!("{about}: its schema file is empty");
        inside.error("bad-schema", nowhere(), "", message, "write a JSON schema into it");
        None
    } else {
        super::tree(file, text, &mut inside).and_then(|tree| schema(&tree, tree.root(), about, &mut inside))
    };
    reporter.absorb(inside);
    schema
}
