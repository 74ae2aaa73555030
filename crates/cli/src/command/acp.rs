//! `acp`: an editor opens Wheelhouse as one agent, over stdin and stdout. The protocol is the server crate's; here it is
//! given the project, its agents and an engine.

use std::sync::Arc;

use wheelhouse_core::route::Caller;
use wheelhouse_server::acp::{Choose, Chosen, Ports, StartEngine};

use crate::app::App;
use crate::args;
use crate::config::Settings;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::host;
use crate::proxy;
use crate::roster;
use crate::routing;
use crate::state::State;

/// Serves until the editor closes its side.
pub(crate) fn acp(app: &App, args: &args::Acp) -> Outcome {
    let settings = app.settings(None)?;
    let state = State::open(&app.place)?;
    let ports = Ports {
        store: state.store,
        reader: state.reader,
        state_dir: app.place.state_dir.clone(),
        project: app.place.project.clone(),
        defaults: super::crew::defaults(app, &settings),
        agent: args.agent.clone().filter(|name| name != roster::AUTO),
        engine: engine(app),
        seed: host::random(),
        choose: choose(app, settings, args.agent.as_deref()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::STATE_FAILED, format!("cannot wait for the editor: {error}")))?;
    let served = runtime.block_on(wheelhouse_server::acp::serve(ports, proxy::lines(), |line| {
        app.terminal.print(line)
    }));
    runtime.shutdown_background();
    served.map(|()| exit::OK)
}

fn engine(app: &App) -> StartEngine {
    let app = app.clone();
    Arc::new(move || host::detach(&app, None).map(drop))
}

/// The router is asked when nobody is named: neither here nor in the configuration.
fn choose(app: &App, settings: Settings, agent: Option<&str>) -> Choose {
    let app = app.clone();
    let is_routed = agent.unwrap_or(&settings.default_agent) == roster::AUTO;
    Box::new(move |words| {
        if !is_routed {
            return Ok(None);
        }
        let question = super::ask::question(words, Caller::Person, None);
        let choice = routing::router(&app, &settings)?.decide(&question);
        Ok(choice.chosen().map(|chosen| Chosen {
            agent: chosen.agent.to_string(),
            model: chosen.model.clone(),
            why: choice.sentence(),
        }))
    })
}
