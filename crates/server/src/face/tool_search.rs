//! The tools of other MCP servers, found by what they should do: for all faces.
//!
//! Lists that are known are searched as they are; a server that nobody knows yet is started, and who searches waits for it a
//! little and no longer: it is there for the next search. What servers say of their tools is their words, shown as data.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::timeout;
use wheelhouse_context::receipt::Receipt;
use wheelhouse_context::schema;
use wheelhouse_context::tools::{Catalogue, Detail, FOUND_MAX, Need, Tool, show};
use wheelhouse_core::tool_server::{BETWEEN, Manifest, Origin, ToolServers, Wanted};

use super::exit;
use super::failure::Failure;
use super::lessons::Lessons;

/// How long a search waits for a server that nobody knows yet.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How many tools an answer names when nobody says.
pub const FOUND: usize = 5;
/// How much of a description is shown beside a schema, in bytes.
const DESCRIPTION_MAX: usize = 400;

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Wish<'w> {
    /// In words, or a name. Nothing: what a server has, in its order.
    pub query: &'w str,
    /// Only tools of this server.
    pub server: Option<&'w str>,
    /// How much of each is shown.
    pub detail: Detail,
    /// How many at the most.
    pub limit: usize,
    /// Whether schemas are shown without what a model does not need.
    pub pruned: bool,
    /// Whether an account of it is wanted.
    pub account: bool,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The tools, best first, as they are shown.
    pub tools: Vec<Value>,
    /// Their names.
    pub names: Vec<String>,
    /// The servers that were searched or could not be.
    pub servers: Vec<Value>,
    /// What showing all would have taken and what this takes, in tokens; none when nothing was searched, or nobody asked.
    pub receipt: Option<Receipt>,
}

/// The servers, and what was made of their lists for searching.
pub struct Tools {
    servers: Arc<dyn ToolServers>,
    index: Mutex<Index>,
    lessons: Lessons,
}

/// A catalogue of these manifests.
#[derive(Default)]
struct Index {
    of: Vec<Arc<Manifest>>,
    catalogue: Arc<Catalogue>,
}

impl Tools {
    /// Over these servers; what searches led to lies in the state directory.
    pub fn new(servers: Arc<dyn ToolServers>, state_dir: &Path) -> Tools {
        Tools {
            servers,
            index: Mutex::default(),
            lessons: Lessons::new(state_dir.join("tools").join("lessons.jsonl")),
        }
    }

    /// That caller was shown these tools for that need.
    pub fn was_shown(&self, who: &str, need: &str, names: Vec<String>) {
        self.lessons.shown(who, need, names);
    }

    /// That caller used that tool: what it was last shown it for is remembered, so that needs like it find it.
    pub fn was_used(&self, who: &str, name: &str) {
        if let Some(need) = self.lessons.used(who, name) {
            let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::make_mut(&mut index.catalogue).learn(&need, name);
        }
    }

    /// The servers.
    pub fn servers(&self) -> &Arc<dyn ToolServers> {
        &self.servers
    }

    /// Whether there are any servers.
    pub fn any(&self) -> bool {
        !self.servers.names().is_empty()
    }

    /// What each server offers that can be known in time; and why one cannot.
    pub async fn manifests(&self, only: Option<&str>) -> Result<(Vec<Arc<Manifest>>, Vec<Value>), Failure> {
        let names = self.servers.names();
        if let Some(server) = only.filter(|server| !names.iter().any(|name| name == server)) {
            return Err(Failure::not_found("MCP server", server, &names));
        }
        let wanted = names.iter().filter(|name| only.is_none_or(|only| only == *name));
        let asked = wanted.map(|name| async move {
            let known = timeout(PATIENCE, self.servers.manifest(name, Wanted::Known)).await;
            (name, known)
        });
        let (mut manifests, mut notes) = (Vec::new(), Vec::new());
        for (name, known) in join_all(asked).await {
            match known {
                Ok(Ok(manifest)) => {
                    let mut note = json!({ "server": name, "tools": manifest.tools.len() });
                    if manifest.origin == Origin::Kept {
                        note["kept"] = true.into();
                    }
                    notes.push(note);
                    manifests.push(manifest);
                }
                Ok(Err(failure)) => notes.push(json!({ "server": name, "failure": failure.to_string() })),
                Err(_) => notes.push(json!({ "server": name, "failure": "it is still starting; search again" })),
            }
        }
        Ok((manifests, notes))
    }

    /// The tools that fit, among those that the caller may see (`sees` is asked server and tool).
    pub async fn search(&self, wish: &Wish<'_>, sees: &(dyn Fn(&str, &str) -> bool + Sync)) -> Result<Found, Failure> {
        let (manifests, servers) = self.manifests(wish.server).await?;
        let catalogue = self.catalogue(manifests, sees);
        let all = catalogue.tools();
        let limit = wish.limit.clamp(1, FOUND_MAX);
        let need = Need {
            text: wish.query,
            server: wish.server,
            limit: FOUND_MAX,
        };
        let (tools, receipt): (Vec<&Tool>, _) = if wish.query.trim().is_empty() {
            (all.iter().take(limit).collect(), None)
        } else {
            let mut hits = catalogue.find(&need);
            hits.truncate(limit);
            let accounts = wish.account && !all.is_empty();
            let receipt = accounts.then(|| catalogue.receipt(&need, &hits, wish.detail));
            (hits.iter().map(|hit| hit.tool).collect(), receipt)
        };
        Ok(Found {
            names: tools.iter().map(|tool| show(tool, Detail::Name)).collect(),
            tools: tools.iter().map(|tool| shown(tool, wish)).collect(),
            servers,
            receipt,
        })
    }

    /// The catalogue of what the caller may see. That of everything is kept; who sees less has one made.
    fn catalogue(&self, manifests: Vec<Arc<Manifest>>, sees: &(dyn Fn(&str, &str) -> bool + Sync)) -> Arc<Catalogue> {
        let mut seen = Vec::new();
        let mut all = true;
        for manifest in &manifests {
            for tool in &manifest.tools {
                match sees(&manifest.server, &tool.name) {
                    true => seen.push((manifest, tool)),
                    false => all = false,
                }
            }
        }
        let made = || {
            let tools = seen.iter().map(|(manifest, tool)| Tool {
                server: manifest.server.clone(),
                name: tool.name.clone(),
                description: tool.description.clone(),
                schema: tool.schema.clone(),
            });
            let mut catalogue = Catalogue::new(tools.collect());
            self.lessons.each(|need, name| {
                // One that led to a tool that is gone, or is not seen, teaches nothing here.
                catalogue.learn(need, name);
            });
            Arc::new(catalogue)
        };
        if !all {
            return made();
        }
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same =
            index.of.len() == manifests.len() && index.of.iter().zip(&manifests).all(|(a, b)| Arc::ptr_eq(a, b));
        if !is_same {
            *index = Index {
                catalogue: made(),
                of: manifests,
            };
        }
        Arc::clone(&index.catalogue)
    }
}

/// A tool as it is shown.
fn shown(tool: &Tool, wish: &Wish<'_>) -> Value {
    match wish.detail {
        Detail::Name | Detail::Signature => show(tool, wish.detail).into(),
        Detail::Full => json!({
            "name": format!("{}{BETWEEN}{}", tool.server, tool.name),
            "description": schema::first_sentence(&tool.description, DESCRIPTION_MAX),
            "inputSchema": if wish.pruned { schema::prune(&tool.schema) } else { tool.schema.clone() },
        }),
    }
}

/// The level of detail of that name.
pub fn detail(word: Option<&str>, usual: Detail) -> Result<Detail, Failure> {
    match word {
        None => Ok(usual),
        Some("names") => Ok(Detail::Name),
        Some("lines") => Ok(Detail::Signature),
        Some("schemas") => Ok(Detail::Full),
        Some(other) => Err(Failure::new(
            exit::USAGE,
            format!("`{other}` is no level of detail; there is names, lines, schemas"),
        )),
    }
}
