//! `patch`: patches for people and for agents that have only a shell. What fits and what it makes of files is decided by
//! `context::patch`, written by `engine::edits`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wheelhouse_context::patch::answer::{self, Edited};
use wheelhouse_context::patch::envelope::{self, Failing};
use wheelhouse_context::patch::json::{Sent, apply_text, difference};
use wheelhouse_context::patch::{Changes, Rejected, fresh, inside};
use wheelhouse_engine::codebase::{Files, Tree};
use wheelhouse_engine::edits;

use crate::app::App;
use crate::args::patch::Patch;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::terminal::plain;

/// The longest patch that is read, in bytes.
const PATCH_MAX: u64 = 64 << 20;

/// Does what was asked.
pub(crate) fn patch(app: &App, args: &Patch) -> Outcome {
    match args {
        Patch::Apply {
            patch,
            check,
            to,
            expect,
            partial,
        } => {
            let wanted = Wanted {
                to: to.as_deref(),
                expect,
                partial: *partial,
            };
            apply(app, &text(app, patch)?, *check, &wanted)
        }
        Patch::Make { old, new } => make(app, old, new),
        Patch::Hash { files } => hash(app, files),
    }
}

struct Wanted<'a> {
    to: Option<&'a str>,
    expect: &'a [String],
    partial: bool,
}

fn apply(app: &App, patch: &str, check: bool, wanted: &Wanted<'_>) -> Outcome {
    let tree = Tree::up_to(&app.here, edits::FILE_BYTES_MAX);
    let mut problems = stale(&tree, wanted.expect)?;
    let (edited, stopped) = match edited(&tree, patch, wanted) {
        Ok(edited) => edited,
        Err(more) => {
            problems.extend(more);
            (Edited::default(), None)
        }
    };
    if !problems.is_empty() {
        return Err(refused(&problems));
    }
    let rows: Vec<Value> = rows(&tree, &edited);
    let written = match check {
        true => edits::check(&app.here, &edited.changes),
        false => edits::write(&app.here, &edited.changes, &edited.moved),
    };
    written.map_err(|error| match error {
        edits::Error::Place { .. } => Failure::new(exit::REFUSED, format!("{error}; nothing was changed")),
        edits::Error::Write { .. } | edits::Error::Half { .. } => Failure::new(exit::IO, error.to_string()),
    })?;
    if app.terminal.json {
        app.terminal.print_json(&json!({
            "applied": !check,
            "files": rows,
            "stopped": stopped.as_ref().map(ToString::to_string),
        }))?;
    } else {
        let line = |row: &Value| {
            let text = |key: &str| row[key].as_str().map(plain).unwrap_or_default();
            let from = match row["from"].as_str() {
                Some(from) => format!(" (from {})", plain(from)),
                None => String::new(),
            };
            format!("{} {}{from}\n", &text("change")[..1].to_uppercase(), text("path"))
        };
        app.terminal.print(&rows.iter().map(line).collect::<String>())?;
    }
    match stopped {
        None => {
            if check {
                app.terminal.say("it applies; nothing was changed");
            }
            Ok(exit::OK)
        }
        Some(stopped) => Err(refused(&[stopped]).hint("what came before stays, as `--partial` says")),
    }
}

/// What the patch makes of the files.
fn edited(tree: &Tree, patch: &str, wanted: &Wanted<'_>) -> Result<(Edited, Option<Rejected>), Vec<Rejected>> {
    let one = |problem| vec![problem];
    if let Some(to) = wanted.to {
        let path = inside(to).map_err(one)?;
        let content = answer::text_of(tree, &path).map_err(one)?;
        let operations = serde_json::from_str(patch).map_err(|error| {
            one(Rejected::Malformed {
                line: error.line(),
                why: error.to_string(),
            })
        })?;
        let changed = apply_text(&path, &content, &operations).map_err(one)?;
        let edited = Edited {
            changes: Changes::from([(path, Some(changed))]),
            ..Edited::default()
        };
        return Ok((edited, None));
    }
    if wanted.partial {
        let applied = envelope::apply(tree, patch, Failing::Leaves).map_err(one)?;
        let edited = Edited {
            changes: applied.changes,
            moved: applied.moved,
            ..Edited::default()
        };
        return Ok((edited, applied.stopped));
    }
    answer::apply(tree, patch).map(|edited| (edited, None))
}

/// Files that are not what they were expected to be.
fn stale(tree: &Tree, expect: &[String]) -> Result<Vec<Rejected>, Failure> {
    let mut problems = Vec::new();
    for pair in expect {
        let Some((path, hash)) = pair.rsplit_once('=').filter(|(_, hash)| hash.len() >= 8) else {
            let message = format!("`--expect {pair}` is no FILE=HASH with at least eight digits");
            return Err(Failure::new(exit::USAGE, message).hint("`wheelhouse patch hash FILE` prints it"));
        };
        match tree.read(path) {
            Ok(bytes) => problems.extend(fresh(path, &bytes, hash).err()),
            Err(error) => problems.push(Rejected::DoesNotFit {
                path: path.to_owned(),
                why: error.to_string(),
            }),
        }
    }
    Ok(problems)
}

/// One row a changed file, with the hashes before and after.
fn rows(tree: &Tree, edited: &Edited) -> Vec<Value> {
    let from: BTreeMap<&String, &String> = edited.moved.iter().map(|(to, from)| (from, to)).collect();
    let rows = edited.changes.iter().filter_map(|(path, content)| {
        let before = tree.read(path).ok();
        let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
        let change = match (content, &before) {
            _ if edited.moved.contains_key(path) => "moved",
            // Its new place has its row.
            (None, _) if from.contains_key(path) => return None,
            (None, _) => "deleted",
            (Some(_), Some(_)) => "changed",
            (Some(_), None) => "added",
        };
        Some(json!({
            "path": path,
            "change": change,
            "from": edited.moved.get(path),
            "before": before.as_deref().map(hash),
            "after": content.as_ref().map(|text| hash(text.as_bytes())),
        }))
    });
    rows.collect()
}

fn refused(problems: &[Rejected]) -> Failure {
    let is_wrong = |problem: &Rejected| {
        matches!(
            problem,
            Rejected::Malformed { .. } | Rejected::Nothing | Rejected::Outside(_)
        )
    };
    let exit = if problems.iter().any(is_wrong) {
        exit::USAGE
    } else {
        exit::REFUSED
    };
    let told: Vec<String> = problems.iter().map(|problem| plain(&problem.to_string())).collect();
    let failure = Failure::new(exit, format!("the patch does not apply:\n{}", told.join("\n")));
    match problems {
        [Rejected::Nothing] => {
            failure.hint("a patch stands between `*** Begin Patch` and `*** End Patch`; docs/patches.md has all forms")
        }
        _ => failure,
    }
}

fn make(app: &App, old: &Path, new: &Path) -> Outcome {
    let read = |path: &Path| -> Result<Value, Failure> {
        let text = text(app, path)?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::new(exit::USAGE, format!("{} is no JSON: {error}", path.display())))
    };
    match difference(&read(old)?, &read(new)?) {
        Sent::Patch(operations) => app.terminal.print(&format!("{operations}\n"))?,
        Sent::Whole(document) => {
            app.terminal.print(&format!("{document}\n"))?;
            app.terminal
                .say("this is the new document: it is shorter than the operations");
        }
    }
    Ok(exit::OK)
}

fn hash(app: &App, files: &[PathBuf]) -> Outcome {
    let mut text = String::new();
    for file in files {
        let bytes = std::fs::read(app.here.join(file)).map_err(|error| Failure::io("read", file, &error))?;
        text.push_str(&format!(
            "{}  {}\n",
            blake3::hash(&bytes).to_hex(),
            plain(&file.display().to_string())
        ));
    }
    app.terminal.print(&text)?;
    Ok(exit::OK)
}

fn text(app: &App, path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(PATCH_MAX + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(app.here.join(path)).and_then(|file| file.take(PATCH_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::io("read", path, &error))?;
    if bytes.len() as u64 > PATCH_MAX {
        let message = format!("{} has more than {PATCH_MAX} bytes", path.display());
        return Err(Failure::new(exit::USAGE, message).hint("a patch holds what changes, not what is there"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure::new(exit::USAGE, format!("{}: line {line} is no UTF-8 text", path.display()))
    })
}
