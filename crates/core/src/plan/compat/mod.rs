//! Formats of other tools, read as they are: the `---TASK---` text and the `.exec.yaml` manifest. Each becomes the
//! wire types; from there on they are plans. The queue and the flat task list are near enough to plans to be read
//! by `walk` with lenient manners.

pub(super) mod manifest;
pub(super) mod task_text;
