//! `token`: what programs show to `serve`.

use serde_json::json;
use wheelhouse_server::token::{FILE, Scope, Secret};

use crate::app::App;
use crate::args;
use crate::exit;
use crate::faces;
use crate::failure::{Failure, Outcome};

/// Prints the token of a scope; makes the secret when there is none.
pub(crate) fn token(app: &App, args: &args::Token) -> Outcome {
    app.place.create()?;
    let secret = if args.renew {
        Secret::renew(&app.place.state_dir).map_err(|error| faces::no_token(&error))?
    } else {
        faces::secret(app)?
    };
    let scope = match args.scope {
        args::Scope::Read => Scope::Read,
        args::Scope::Operate => Scope::Operate,
        args::Scope::Admin => Scope::Admin,
    };
    let token = secret.token(scope);
    if app.terminal.json {
        let file = app.place.state_dir.join(FILE);
        app.terminal
            .print_json(&json!({ "token": token, "scope": scope.name(), "file": file }))?;
    } else {
        app.terminal.print(&format!("{token}\n"))?;
    }
    if args.renew {
        app.terminal
            .say("tokens printed before are void; a `serve` that runs takes the new one when it is started again");
    }
    Ok::<_, Failure>(exit::OK)
}
