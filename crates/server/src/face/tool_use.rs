//! Using a tool of another MCP server, for all faces: its arguments held against its whole schema before the server is asked,
//! and its answer handed over within bounds.
//!
//! What is longer than its cap is reduced when it is handed over (both ends, a handle, the identifiers that only the hidden part
//! has); the whole lies in a file of its owner alone, and `artifact` reads on in it. A call that was made is never answered
//! with a complaint about how its answer was to be shown: that would be taken for a call that was not made.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use wheelhouse_context::project::project;
use wheelhouse_context::receipt::{Layer, Receipt};
use wheelhouse_context::settings::Limits;
use wheelhouse_context::{count, reduce, schema};
use wheelhouse_core::crew;
use wheelhouse_core::message::Party;
use wheelhouse_core::schema::Schema;
use wheelhouse_core::store::Command;
use wheelhouse_core::tool_server::{self, Manifest, ServerTool, ToolAnswer, Wanted};
use wheelhouse_engine::private;

use super::exit;
use super::failure::Failure;
use super::tool_search::Tools;

/// What is handed over although nothing reduces it, in bytes.
const WHOLE_MAX: usize = 1 << 20;
/// How many whole answers are kept; the oldest goes first.
const KEPT_MAX: usize = 1_000;
/// How every handle begins.
const HANDLE: &str = "t-";
/// How much of a failure the audit log tells, in bytes.
const WHY_MAX: usize = 200;
/// How many problems of arguments are named.
const PROBLEMS_MAX: usize = 8;
/// How much of a pruned schema is shown with them, in bytes.
const SCHEMA_SHOWN: usize = 4 << 10;

/// A tool that can be called.
pub struct Ready {
    /// What its server offers.
    manifest: Arc<Manifest>,
    /// Which of its tools.
    tool: String,
}

impl Ready {
    /// `SERVER/TOOL`
    pub fn name(&self) -> String {
        format!("{}{}{}", self.manifest.server, tool_server::BETWEEN, self.tool)
    }

    /// The tool.
    pub fn tool(&self) -> &ServerTool {
        static NONE: std::sync::LazyLock<ServerTool> = std::sync::LazyLock::new(|| ServerTool {
            name: String::new(),
            description: String::new(),
            schema: Value::Null,
            read_only: false,
        });
        // It was there when this was made, and a manifest never changes.
        self.manifest.tool(&self.tool).unwrap_or(&NONE)
    }

    /// Holds arguments against the whole schema; every problem with its place, and what is taken.
    pub fn check(&self, arguments: &Map<String, Value>) -> Result<(), Failure> {
        let tool = self.tool();
        let problems = Schema::of_others(&tool.schema).problems(&Value::Object(arguments.clone()));
        if problems.is_empty() {
            return Ok(());
        }
        let named: Vec<&str> = problems.iter().take(PROBLEMS_MAX).map(String::as_str).collect();
        let more = match problems.len().saturating_sub(PROBLEMS_MAX) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let takes = schema::prune(&tool.schema).to_string();
        let takes = &takes[..takes.floor_char_boundary(SCHEMA_SHOWN)];
        Err(Failure::usage(format!(
            "the arguments of `{}` are not what it takes, and its server was not asked: {}{more}. It takes {takes}",
            self.name(),
            named.join("; "),
        )))
    }
}

/// The tool of that name, its server started.
pub async fn ready(tools: &Tools, name: &str) -> Result<Ready, Failure> {
    let Some((server, tool)) = tool_server::parts(name) else {
        let words = format!("`{name}` is no tool of another server: those are called SERVER/TOOL");
        return Err(Failure::new(exit::NOT_FOUND, words).hint("`find_tools` finds them by what they should do"));
    };
    let manifest = tools
        .servers()
        .manifest(server, Wanted::Live)
        .await
        .map_err(|failure| said(&failure))?;
    if manifest.tool(tool).is_none() {
        let exist: Vec<String> = manifest
            .tools
            .iter()
            .map(|tool| format!("{server}{}{}", tool_server::BETWEEN, tool.name))
            .collect();
        return Err(Failure::not_found("tool", name, &exist));
    }
    Ok(Ready {
        tool: tool.to_owned(),
        manifest,
    })
}

/// Calls it. What is wrong with the server is said; whether the call was done is then unknown, and said too.
pub async fn call(tools: &Tools, ready: &Ready, arguments: Map<String, Value>) -> Result<ToolAnswer, Failure> {
    let called = tools
        .servers()
        .call(&ready.manifest.server, &ready.tool, arguments)
        .await;
    called.map_err(|failure| said(&failure))
}

/// The line of the audit log: who used what, how it came out and how long it took; never what was given or answered.
pub fn used(by: Party, name: &str, called: &Result<ToolAnswer, Failure>) -> Command {
    let how = match called {
        Ok(answer) if answer.is_error => format!("the tool failed after {} ms", answer.took_ms),
        Ok(answer) => format!("answered in {} ms", answer.took_ms),
        Err(failure) => failure.message[..failure.message.floor_char_boundary(WHY_MAX)].to_owned(),
    };
    let detail = format!("{name}: {how}");
    Command::Crew(crew::Command::Used { by, detail })
}

/// A failure of a server. The state is fine, and so is the request: it is what the world is like.
fn said(failure: &tool_server::Failure) -> Failure {
    use tool_server::Failure as Of;
    let told = match failure {
        Of::NoSuchServer { .. } => Failure::new(exit::NOT_FOUND, failure.to_string()),
        Of::Busy { .. } => Failure::new(exit::BUSY, failure.to_string()),
        Of::NotStarted { .. } | Of::Resting { .. } | Of::Refused { .. } => {
            Failure::new(exit::REFUSED, failure.to_string())
        }
        Of::TimedOut { .. } | Of::Gone { .. } | Of::Unusable { .. } => Failure::new(
            exit::REFUSED,
            format!("{failure}. Whether it was done all the same is not known: look before you call again"),
        ),
    };
    match failure {
        Of::NotStarted { .. } | Of::Resting { .. } => told.hint("`wheelhouse doctor` looks at the servers"),
        _ => told,
    }
}

/// An answer, ready to be handed over.
#[derive(Debug)]
pub struct Handed {
    /// What to hand over.
    pub document: Map<String, Value>,
    /// What the layers left out.
    pub receipts: Vec<Receipt>,
}

/// How an answer is to be handed over.
pub struct Handing<'h> {
    /// Where whole answers are kept.
    pub results: &'h Path,
    /// Only these fields, as the caller wants it.
    pub fields: Option<&'h str>,
    /// Only these fields, as the configuration wants it where the caller says nothing.
    pub usual_fields: Option<&'h str>,
    /// How many tokens it may take.
    pub cap_tokens: u64,
    /// Which layers are on.
    pub limits: &'h Limits,
}

/// Hands an answer over: projected, reduced, and the whole kept where something is left out.
pub fn hand_over(name: &str, answer: &ToolAnswer, how: &Handing<'_>) -> Handed {
    let mut handed = Handed {
        document: Map::from_iter([("tool".to_owned(), name.into())]),
        receipts: Vec::new(),
    };
    if answer.is_error {
        handed.document.insert("failed".to_owned(), true.into());
    }
    let usual = how.usual_fields.filter(|_| how.limits.is_on(Layer::Projection));
    // Who asks for no field in so many words wants the whole.
    let own = how.fields.map(str::trim);
    let fields = own.or(usual).filter(|fields| !fields.is_empty() && !answer.is_error);
    let document = || {
        answer
            .structured
            .clone()
            .or_else(|| serde_json::from_str(&answer.text).ok())
    };
    let mut shown = answer.text.clone();
    if let Some(fields) = fields {
        let projected = match document() {
            Some(document) => project(&document, fields).map_err(|miss| miss.to_string()),
            None => Err("the answer is no JSON, so it has no fields".to_owned()),
        };
        match projected {
            Ok(kept) => {
                shown = kept.to_string();
                let (would, sent) = (count::tokens(&answer.text), count::tokens(&shown));
                let receipt = Receipt::new(Layer::Projection, name, would, sent);
                let left = would.saturating_sub(sent);
                handed
                    .receipts
                    .push(receipt.without("other fields", "not asked for", left));
                handed.document.insert("fields".to_owned(), fields.into());
            }
            Err(why) => {
                let note = format!("`fields` was passed over: {why}");
                handed.document.insert("note".to_owned(), note.into());
            }
        }
    }
    let reduces = how.limits.is_on(Layer::Reduction) || shown.len() > WHOLE_MAX;
    let is_long = reduces && !count::fits(&shown, how.cap_tokens);
    if is_long || !handed.receipts.is_empty() {
        match keep(how.results, &answer.text) {
            Ok(handle) => {
                let whole = json!({ "result": handle, "bytes": answer.text.len() });
                if is_long {
                    let place = format!("`artifact` of result {handle}");
                    let reduced = reduce::reduce(name, &shown, &place, how.cap_tokens);
                    handed.receipts.extend(reduced.receipt);
                    shown = reduced.text;
                }
                handed.document.insert("whole".to_owned(), whole);
            }
            Err(error) => {
                // Nothing is hidden that could not be read on.
                let note = format!("the whole could not be kept ({error}), so it is here");
                handed.document.insert("note".to_owned(), note.into());
            }
        }
    }
    handed.document.insert("text".to_owned(), shown.into());
    handed
}

/// Where whole answers lie.
pub fn results(state_dir: &Path) -> PathBuf {
    state_dir.join("tools").join("results")
}

/// Keeps a text for its owner alone; gives its handle.
fn keep(dir: &Path, text: &str) -> io::Result<String> {
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let handle = format!("{HANDLE}{}", &hash[..16]);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let path = dir.join(&handle);
    if !path.exists() {
        make_room(dir)?;
        private::write(&path, text.as_bytes())?;
    }
    Ok(handle)
}

/// Takes the oldest away when there are too many.
pub fn make_room(dir: &Path) -> io::Result<()> {
    let mut kept: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        kept.push((entry.metadata()?.modified()?, entry.path()));
    }
    if kept.len() < KEPT_MAX {
        return Ok(());
    }
    kept.sort();
    for (_, path) in kept.iter().take(kept.len() + 1 - KEPT_MAX) {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// The whole answer of that handle.
pub fn kept(state_dir: &Path, handle: &str) -> Result<Vec<u8>, Failure> {
    let is_one = handle
        .strip_prefix(HANDLE)
        .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let none = || {
        let words = format!("there is no kept answer `{handle}`; the newest {KEPT_MAX} are kept");
        Failure::new(exit::NOT_FOUND, words).hint("call the tool again")
    };
    if !is_one {
        return Err(none());
    }
    fs::read(results(state_dir).join(handle)).map_err(|_| none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> ToolAnswer {
        ToolAnswer {
            text: text.to_owned(),
            structured: None,
            is_error: false,
            took_ms: 1,
        }
    }

    fn handed(dir: &Path, answer: &ToolAnswer, fields: Option<&str>, limits: &Limits) -> Handed {
        let how = Handing {
            results: dir,
            fields,
            usual_fields: Some("rows.id"),
            cap_tokens: 300,
            limits,
        };
        hand_over("db/query", answer, &how)
    }

    #[test]
    fn a_long_answer_is_reduced_and_the_whole_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let results = results(dir.path());
        let text: String = (0..2_000).map(|n| format!("row {n} customer_{n:04}\n")).collect();
        let one = handed(&results, &answer(&text), Some(""), &Limits::default());
        let shown = one.document["text"].as_str().unwrap();
        assert!(count::tokens(shown) <= 300 && shown.contains("only there: "), "{shown}");
        let handle = one.document["whole"]["result"].as_str().unwrap();
        assert!(shown.contains(handle));
        assert_eq!(kept(dir.path(), handle).unwrap(), text.as_bytes());
        let layers: Vec<Layer> = one.receipts.iter().map(|receipt| receipt.layer).collect();
        assert_eq!(layers, [Layer::Reduction]);
        let off = Limits {
            off: [Layer::Reduction, Layer::Projection].into(),
            ..Limits::default()
        };
        let whole = handed(&results, &answer(&text), None, &off);
        assert_eq!(
            (whole.document["text"].as_str().unwrap(), whole.receipts.len()),
            (text.as_str(), 0)
        );
        for odd in ["t-0123456789abcdef", "../../secret", "t-../../../secrets", ""] {
            assert!(kept(dir.path(), odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn fields_are_kept_and_a_miss_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let rows = answer(r#"{"rows": [{"id": 1, "note": "long"}, {"id": 2}], "total": 2}"#);
        let text = |one: &Handed| one.document["text"].as_str().unwrap().to_owned();
        let usual = handed(dir.path(), &rows, None, &Limits::default());
        assert_eq!(text(&usual), r#"{"rows":[{"id":1},{"id":2}]}"#);
        assert_eq!((usual.receipts[0].layer, usual.receipts.len()), (Layer::Projection, 1));
        let own = handed(dir.path(), &rows, Some("total"), &Limits::default());
        assert_eq!(text(&own), r#"{"total":2}"#);
        let missed = handed(dir.path(), &rows, Some("sum"), &Limits::default());
        assert_eq!(text(&missed), rows.text);
        let note = missed.document["note"].as_str().unwrap();
        assert!(note.contains("there is no field `sum`; there is rows, total"), "{note}");
        let words = handed(dir.path(), &answer("no rows"), None, &Limits::default());
        assert!(text(&words) == "no rows" && words.document["note"].as_str().unwrap().contains("no JSON"));
    }
}
