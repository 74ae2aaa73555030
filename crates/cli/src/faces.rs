//! Puts the server together: its address, its token, and the plan reader it works with; and says where it can be found.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpListener;
use wheelhouse_agents::keep;
use wheelhouse_core::agent::McpServer;
use wheelhouse_core::caller::TOKEN_VARIABLE;
use wheelhouse_core::ids::TaskKey;
use wheelhouse_core::plan::Checked;
use wheelhouse_core::route::Caller;
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_engine::InstanceMcp;
use wheelhouse_server::Server;
use wheelhouse_server::face::spawn::Defaults;
use wheelhouse_server::ports::{AgentDoc, Asked, NewTask, PlanText, Plans, Ports, ReportWish, RouteWish, TreeVerb};
use wheelhouse_server::token::{self, Secret};

use crate::app::App;
use crate::args;
use crate::command::{add, ask, crew, plan_cost, prices, report, reprice, route, tree};
use crate::config::Settings;
use crate::exit;
use crate::failure::{Failure, with_sources};
use crate::host;
use crate::place;
use crate::plans::{self, CheckFailure, Text};
use crate::roster;
use crate::routing;
use crate::second;
use crate::state::State;
use crate::tool_servers;

/// The file that says where the server of a state directory is.
const WHERE: &str = "serve.json";

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whereabouts {
    /// Its URL, without a path.
    pub(crate) url: String,
    /// Its process.
    pub(crate) pid: u32,
}

/// The file is there as long as the server is; a killed one leaves it, so what it says is to be checked.
#[derive(Debug)]
pub(crate) struct Announced(PathBuf);

impl Drop for Announced {
    fn drop(&mut self) {
        // Left behind it misleads nobody for long: whoever reads it asks the server who it is.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Tells others where the server is.
pub(crate) fn announce(state_dir: &Path, address: SocketAddr) -> Result<Announced, Failure> {
    let path = state_dir.join(WHERE);
    let whereabouts = Whereabouts {
        url: format!("http://{address}"),
        pid: std::process::id(),
    };
    let text = serde_json::to_vec(&whereabouts)
        .map_err(|error| Failure::new(exit::STATE_FAILED, format!("cannot say where the server is: {error}")))?;
    place::write_private(&path, &text).map_err(|error| Failure::io("say where the server is in", &path, &error))?;
    Ok(Announced(path))
}

/// Where the server says it is, if it said so.
pub(crate) fn whereabouts(state_dir: &Path) -> Option<Whereabouts> {
    serde_json::from_slice(&std::fs::read(state_dir.join(WHERE)).ok()?).ok()
}

/// How long a server has to come up.
const SERVER_DEADLINE: Duration = Duration::from_secs(15);
/// How often it is looked whether it did.
const SERVER_LOOK: Duration = Duration::from_millis(20);

/// The server of the project; one is started in the background when none answers.
pub(crate) async fn ensure(app: &App) -> Result<Whereabouts, Failure> {
    if let Some(place) = answering(&app.place.state_dir).await {
        return Ok(place);
    }
    app.place.create()?;
    // One that finds another at it ends at once; whichever comes up first is as good.
    let mut child = host::launch(app, &["serve", "--own-session", "--beside"])?;
    let deadline = tokio::time::Instant::now() + SERVER_DEADLINE;
    while tokio::time::Instant::now() < deadline {
        if let Some(place) = answering(&app.place.state_dir).await {
            return Ok(place);
        }
        if let Ok(Some(status)) = child.try_wait()
            && status.code() != Some(i32::from(exit::BUSY.code))
        {
            break;
        }
        tokio::time::sleep(SERVER_LOOK).await;
    }
    Err(
        Failure::new(exit::STATE_FAILED, "the server in the background did not come up").hint(format!(
            "its log: {}; `wheelhouse serve` starts it in the foreground",
            app.place.state_dir.join("engine.log").display()
        )),
    )
}

/// The server of the project for an instance: the engine that does its turn sees to one ([`for_instances`]). One started
/// from here would run inside the instance's process tree and end with its turn.
pub(crate) async fn awaited(app: &App) -> Result<Whereabouts, Failure> {
    let deadline = tokio::time::Instant::now() + SERVER_DEADLINE;
    loop {
        if let Some(place) = answering(&app.place.state_dir).await {
            return Ok(place);
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Failure::new(exit::STATE_FAILED, "nobody serves the project")
                .hint("the engine that does an instance's turn starts a server for it; `wheelhouse serve` does too"));
        }
        tokio::time::sleep(SERVER_LOOK).await;
    }
}

/// The server of the project, when there is one.
pub(crate) async fn present(app: &App) -> Result<Whereabouts, Failure> {
    let found = answering(&app.place.state_dir).await;
    found.ok_or_else(|| {
        Failure::new(
            exit::STATE_FAILED,
            "nobody serves the project, and a task's process starts no server",
        )
        .hint("`wheelhouse serve` in the project does")
    })
}

/// What an instance's agent is given to reach us: `wheelhouse mcp`, which knows by the token that it inherits whose it
/// is. A server for it to talk to is started when none answers.
pub(crate) fn for_instances(app: &App) -> InstanceMcp {
    let app = app.clone();
    Arc::new(move || {
        let up = tokio::runtime::Handle::current().block_on(ensure(&app));
        up.map_err(|failure| failure.message)?;
        Ok(McpServer::Program {
            command: app.exe.display().to_string(),
            args: vec![
                "--state-dir".to_owned(),
                app.place.state_dir.display().to_string(),
                "mcp".to_owned(),
            ],
            env: BTreeMap::new(),
            inherit: vec![TOKEN_VARIABLE.to_owned()],
        })
    })
}

/// The server that said where it is, when it takes a connection there. A dead one leaves its word behind.
async fn answering(state_dir: &Path) -> Option<Whereabouts> {
    let place = whereabouts(state_dir)?;
    let address = place.url.strip_prefix("http://")?;
    let connected = tokio::net::TcpStream::connect(address).await.is_ok();
    // Whoever has its port now is not it when its process is gone.
    (connected && is_alive(place.pid)).then_some(place)
}

fn is_alive(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_ok())
}

/// The secret of the state directory; made when there is none.
pub(crate) fn secret(app: &App) -> Result<Secret, Failure> {
    Secret::open(&app.place.state_dir).map_err(|error| no_token(&error))
}

/// Why there is no token.
pub(crate) fn no_token(error: &token::Error) -> Failure {
    let failure = Failure::new(exit::STATE_FAILED, with_sources(error));
    match error {
        token::Error::Unreadable { .. } => failure.hint("`wheelhouse token --renew` makes a new one"),
        token::Error::Io { .. } => failure.hint("`wheelhouse doctor` looks at the state directory"),
    }
}

/// Takes the address. One that was asked for is taken or refused; the configured one gives way to another project's.
pub(crate) async fn bind(app: &App, settings: &Settings, args: &args::Serve) -> Result<TcpListener, Failure> {
    let address = args.listen.unwrap_or(settings.serve_listen);
    if !address.ip().is_loopback() && !args.expose {
        return Err(Failure::usage(format!("other machines can reach {address}"))
            .hint("`--expose` does it all the same; there is no TLS, so put a proxy that has in front"));
    }
    if !address.ip().is_loopback() && args.without_token {
        return Err(Failure::usage(format!(
            "without a token everybody who can reach {address} could run commands here; that is not done"
        )));
    }
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && args.listen.is_none() => {
            app.terminal.say(&format!(
                "{address} is taken, by the server of another project perhaps: a free port is used"
            ));
            TcpListener::bind(SocketAddr::new(address.ip(), 0))
                .await
                .map_err(|error| cannot_listen(address, &error))
        }
        Err(error) => Err(cannot_listen(address, &error)),
    }
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Failure {
    let failure = Failure::new(exit::IO, format!("cannot listen on {address}: {error}"));
    if error.kind() == std::io::ErrorKind::AddrInUse {
        failure.hint("`--listen 127.0.0.1:0` takes a free port")
    } else {
        failure
    }
}

/// The server of this project on that listener.
pub(crate) fn server(
    app: &App,
    settings: &Settings,
    args: &args::Serve,
    listener: TcpListener,
) -> Result<Server, Failure> {
    let secret = if args.without_token { None } else { Some(secret(app)?) };
    let mut state = State::open(&app.place)?;
    let mark = tool_servers::mark(&state.reader.store_id()?);
    // There is one server of faces to a state directory: what carries its mark is of one that was killed with its keeper.
    keep::sweep(&mark, settings.grace);
    let ports = Ports {
        store: state.store,
        state_dir: app.place.state_dir.clone(),
        project: app.place.project.clone(),
        tools: roster::tool_scopes(settings)?,
        servers: Arc::new(tool_servers::servers(app, settings, Some(&mark))),
        tool_rules: tool_servers::rules(settings),
        stages: second::stages(app, settings, None)?,
        toolset: args.toolset.clone().or_else(|| Some(settings.serve_toolset.clone())),
        plans: Box::new(Reader {
            app: app.clone(),
            settings: settings.clone(),
        }),
        secret,
    };
    Server::new(listener, ports, args.hosts.clone())
        .map_err(|error| Failure::new(exit::IO, format!("cannot serve: {error}")))
}

/// Reads plans with the configuration that the engine was started with.
struct Reader {
    app: App,
    settings: Settings,
}

impl Plans for Reader {
    fn plan(&self, text: &PlanText) -> Result<Checked, Failure> {
        let read = Text {
            name: text.name.clone(),
            text: text.text.clone(),
            dir: self.app.place.project.clone(),
        };
        plans::check(&self.app, &self.settings, &read, &text.vars, text.cast).map_err(|failure| match failure {
            CheckFailure::Problems(problems) => plans::refusal(&text.name, &problems),
            CheckFailure::Other(failure) => failure,
        })
    }

    fn task(&self, wanted: &NewTask, existing: &[TaskKey]) -> Result<TaskSpec, Failure> {
        add::check(&self.app, &self.settings, wanted, existing)
    }

    fn ask(&self, text: &str, caller: Caller) -> Result<Asked, Failure> {
        let choice = routing::router(&self.app, &self.settings)?.decide(&ask::question(text, caller, None));
        if let Some(own) = choice.do_it_yourself {
            return Ok(Asked::DoItYourself(own));
        }
        let asked = wheelhouse_core::ask::compose(text, &choice, None);
        let plan = PlanText {
            name: "ask".to_owned(),
            text: asked.plan.to_string(),
            vars: Vec::new(),
            cast: plans::Cast::AsWritten,
        };
        Ok(Asked::Plan {
            checked: Box::new(self.plan(&plan)?),
            why: asked.why,
        })
    }

    fn crew(&self) -> Defaults {
        crew::defaults(&self.app, &self.settings)
    }

    fn route(&self, wanted: &RouteWish) -> Result<Value, Failure> {
        route::asked(&self.app, &self.settings, wanted)
    }

    fn prices(&self, model: Option<&str>) -> Result<Value, Failure> {
        prices::asked(&self.app, model)
    }

    fn reprice(&self, month: Option<&str>) -> Result<Value, Failure> {
        reprice::asked(&self.app, month)
    }

    fn cost(&self, text: &PlanText) -> Result<Value, Failure> {
        let forecast = plan_cost::forecast(&self.app, &self.settings, &self.plan(text)?)?;
        Ok(serde_json::json!(forecast))
    }

    fn report(&self, wish: &ReportWish) -> Result<Value, Failure> {
        report::asked(&self.app, &self.settings, wish)
    }

    fn tree(&self, verb: TreeVerb, what: &str) -> Result<Value, Failure> {
        tree::asked(&self.app, verb, what)
    }

    fn agents(&self) -> Vec<AgentDoc> {
        let default = self.app.default_agent(&self.settings);
        roster::agent_names(&self.settings)
            .into_iter()
            .map(|name| {
                let configured = self.settings.agents.get(name.as_str());
                let backend = configured.map_or_else(|| name.to_string(), |agent| agent.backend.clone());
                let program = match configured.and_then(|agent| agent.command.clone()) {
                    Some(command) => Some(command),
                    None => roster::BACKENDS
                        .iter()
                        .find(|known| known.name == backend)
                        .and_then(|known| known.program.map(str::to_owned)),
                };
                AgentDoc {
                    installed: program.is_none_or(|program| self.app.program(&program).is_some()),
                    default: name == default,
                    model: configured.and_then(|agent| agent.model.clone()),
                    backend,
                    name: name.to_string(),
                }
            })
            .collect()
    }
}
