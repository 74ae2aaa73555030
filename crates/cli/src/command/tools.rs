//! `tools`: the tools of other MCP servers, searched and called by a person. The servers are started for this command and end
//! with it.

use std::io::Read;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use wheelhouse_context::project::project;
use wheelhouse_context::tools::Detail;
use wheelhouse_core::message::Party;
use wheelhouse_core::tool_server::{ToolAnswer, ToolServers, Wanted};
use wheelhouse_server::face::tool_search::{self, Found, Wish};
use wheelhouse_server::face::tool_use::{self, Handing};

use crate::app::App;
use crate::args::tools::{Level, Tools, ToolsAction};
use crate::config::Settings;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::state::State;
use crate::terminal::one_line;
use crate::tool_servers;

/// The longest arguments read from stdin, in bytes.
const ARGUMENTS_MAX: u64 = 8 << 20;

/// Searches, or calls.
pub(crate) fn tools(app: &App, args: &Tools) -> Outcome {
    let settings = app.settings(None)?;
    app.place.create()?;
    match &args.action {
        None => search(app, &settings, args),
        Some(ToolsAction::Call {
            tool,
            args,
            only,
            reduced,
        }) => call(app, &settings, tool, args, only.as_deref(), *reduced),
    }
}

/// Does the work while the servers that it needs are carried on.
fn with_servers<T>(
    app: &App,
    settings: &Settings,
    work: impl AsyncFnOnce(&tool_search::Tools) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::STATE_FAILED, format!("cannot wait for servers: {error}")))?;
    let servers: Arc<dyn ToolServers> = Arc::new(tool_servers::servers(app, settings, None));
    let tools = tool_search::Tools::new(Arc::clone(&servers), &app.place.state_dir);
    if !tools.any() {
        return Err(Failure::new(exit::NOT_FOUND, "no other MCP server is configured").hint(
            "add `[mcp.servers.NAME]` with `command = \"…\"` or `url = \"…\"` to wheelhouse.toml; docs/tools.md",
        ));
    }
    runtime.block_on(async {
        let (done, over) = tokio::sync::oneshot::channel::<()>();
        let work = async {
            let value = work(&tools).await;
            drop(done);
            value
        };
        tokio::join!(work, servers.carry(Box::pin(async { drop(over.await) }))).0
    })
}

fn search(app: &App, settings: &Settings, args: &Tools) -> Outcome {
    let query = args.query.join(" ");
    let wish = Wish {
        query: &query,
        server: args.server.as_deref(),
        detail: match args.detail {
            Level::Names => Detail::Name,
            Level::Lines => Detail::Signature,
            Level::Schemas => Detail::Full,
        },
        limit: args.count as usize,
        pruned: true,
        account: false,
    };
    let lists_servers = query.trim().is_empty() && args.server.is_none();
    let found: Found = with_servers(app, settings, async |tools| {
        if args.refresh {
            for name in tools.servers().names() {
                // Why one cannot be asked is said with the rest.
                let _ = tools.servers().manifest(&name, Wanted::Live).await;
            }
        }
        if lists_servers {
            let (_, servers) = tools.manifests(None).await?;
            return Ok(Found {
                servers,
                ..Found::default()
            });
        }
        tools.search(&wish, &|_, _| true).await
    })?;
    if app.terminal.json {
        app.terminal
            .print_json(&json!({ "tools": found.tools, "servers": found.servers }))?;
    } else if lists_servers {
        app.terminal
            .print(&found.servers.iter().map(server_line).collect::<String>())?;
    } else {
        let lines = found.tools.iter().map(|tool| match tool {
            Value::String(line) => format!("{}\n", one_line(line)),
            whole => format!("{whole:#}\n"),
        });
        app.terminal.print(&lines.collect::<String>())?;
        for server in found.servers.iter().filter(|server| server["failure"].is_string()) {
            app.terminal
                .warn(&one_line(server["failure"].as_str().unwrap_or_default()));
        }
    }
    Ok(match found.tools.is_empty() && !lists_servers {
        true => exit::NOT_FOUND,
        false => exit::OK,
    })
}

fn server_line(server: &Value) -> String {
    let name = server["server"].as_str().unwrap_or_default();
    match (server["failure"].as_str(), server["kept"].as_bool()) {
        (Some(failure), _) => format!("{name}  {}\n", one_line(failure)),
        (None, Some(true)) => format!("{name}  {} tools, by the list that was kept\n", server["tools"]),
        (None, _) => format!("{name}  {} tools\n", server["tools"]),
    }
}

fn arguments(text: &str) -> Result<Map<String, Value>, Failure> {
    let mut read = String::new();
    let text = match text {
        "-" => {
            let taken = std::io::stdin().lock().take(ARGUMENTS_MAX).read_to_string(&mut read);
            taken.map_err(|error| Failure::new(exit::IO, format!("cannot read the arguments from stdin: {error}")))?;
            &read
        }
        text => text,
    };
    serde_json::from_str(text).map_err(|error| {
        Failure::usage(format!("the arguments are no JSON object: {error}")).hint("`--args '{\"a\": 1}'`")
    })
}

fn call(app: &App, settings: &Settings, name: &str, args: &str, only: Option<&str>, reduced: bool) -> Outcome {
    let arguments = arguments(args)?;
    let answer = with_servers(app, settings, async |tools| {
        let ready = tool_use::ready(tools, name).await?;
        ready.check(&arguments)?;
        let called = tool_use::call(tools, &ready, arguments).await;
        State::open(&app.place)?.change(tool_use::used(Party::Person, name, &called))?;
        called
    })?;
    let document = match reduced {
        true => handed(app, settings, name, &answer, only),
        false => whole(name, &answer, only)?,
    };
    if app.terminal.json {
        app.terminal.print_json(&document)?;
    } else {
        let said = |member: &str| document.get(member).and_then(Value::as_str);
        let text = said("text").unwrap_or_default();
        app.terminal.print(&format!("{}\n", text.trim_end_matches('\n')))?;
        if let Some(note) = said("note") {
            app.terminal.warn(note);
        }
    }
    Ok(match answer.is_error {
        true => exit::TASKS_FAILED,
        false => exit::OK,
    })
}

fn handed(app: &App, settings: &Settings, name: &str, answer: &ToolAnswer, only: Option<&str>) -> Map<String, Value> {
    let rules = tool_servers::rules(settings);
    let how = Handing {
        results: &tool_use::results(&app.place.state_dir),
        fields: only,
        usual_fields: rules.fields.get(name).map(String::as_str),
        cap_tokens: rules.result_tokens,
        limits: &rules.context.all,
    };
    tool_use::hand_over(name, answer, &how).document
}

/// The answer as it is, or the fields of it that are wanted.
fn whole(name: &str, answer: &ToolAnswer, only: Option<&str>) -> Result<Map<String, Value>, Failure> {
    let mut document = Map::from_iter([("tool".to_owned(), name.into())]);
    if answer.is_error {
        document.insert("failed".to_owned(), true.into());
    }
    let mut text = answer.text.clone();
    if let Some(only) = only.filter(|_| !answer.is_error) {
        let structured = answer
            .structured
            .clone()
            .or_else(|| serde_json::from_str(&answer.text).ok());
        let structured = structured
            .ok_or_else(|| Failure::usage("the answer is no JSON, so it has no fields; the call was made"))?;
        let kept = project(&structured, only)
            .map_err(|miss| Failure::usage(format!("`--only`: {miss}; the call was made")))?;
        text = kept.to_string();
    }
    document.insert("text".to_owned(), text.into());
    document.insert("took_ms".to_owned(), answer.took_ms.into());
    Ok(document)
}
