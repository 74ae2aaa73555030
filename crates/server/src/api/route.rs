//! What a route is: the one description that the router, the scope check and the OpenAPI page are made from.

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema};

use super::Faces;
use super::problem::{Code, Problem};
use crate::guard::Caller;
use crate::token::Scope;

/// A method of HTTP that routes use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verb {
    /// Changes nothing.
    Get,
    /// Changes something.
    Post,
}

impl Verb {
    /// As OpenAPI writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::Post => "post",
        }
    }
}

/// A value in the query of a request: its name, its kind in JSON Schema, what it does.
pub(crate) type Query = (&'static str, &'static str, &'static str);

/// What comes back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// A JSON document with these members.
    Document(&'static [(&'static str, Shape)]),
    /// Events as they happen.
    Stream,
    /// Bytes as they are.
    Bytes,
}

/// What a member of a document is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// One of that name.
    One(&'static str),
    /// A list of those.
    Many(&'static str),
    /// Text, a number, a truth.
    Plain(&'static str),
    /// An object or list that docs/json.md describes.
    Any,
}

/// One method of one path.
pub(crate) struct Route {
    pub(crate) verb: Verb,
    /// Below `/api/v1`, with `{names}`.
    pub(crate) path: &'static str,
    /// The operation's name, unique.
    pub(crate) id: &'static str,
    /// What it does, in one sentence.
    pub(crate) about: &'static str,
    /// What a caller must be allowed.
    pub(crate) scope: Scope,
    /// Whether an instance may ask too, within its rights.
    pub(crate) crew: bool,
    /// The commands of the command line that do the same.
    pub(crate) commands: &'static [&'static str],
    /// What may stand in the query.
    pub(crate) query: &'static [Query],
    /// What the body is, when there is one.
    pub(crate) body: Option<fn() -> Schema>,
    /// The status when all is well.
    pub(crate) status: u16,
    /// What comes back then.
    pub(crate) answer: Answer,
    /// Does it.
    pub(crate) handler: MethodRouter<Faces>,
}

impl Route {
    /// A route that changes nothing.
    pub(crate) fn get(
        path: &'static str,
        id: &'static str,
        about: &'static str,
        answer: Answer,
        handler: MethodRouter<Faces>,
    ) -> Route {
        Route {
            verb: Verb::Get,
            path,
            id,
            about,
            scope: Scope::Read,
            crew: false,
            commands: &[],
            query: &[],
            body: None,
            status: 200,
            answer,
            handler,
        }
    }

    /// A route that changes something.
    pub(crate) fn post(
        path: &'static str,
        id: &'static str,
        about: &'static str,
        answer: Answer,
        handler: MethodRouter<Faces>,
    ) -> Route {
        Route {
            verb: Verb::Post,
            scope: Scope::Operate,
            ..Route::get(path, id, about, answer, handler)
        }
    }

    /// An instance may ask too: what it may do to whom, the store knows.
    pub(crate) fn for_crew(self) -> Route {
        Route { crew: true, ..self }
    }

    /// What does the same on the command line.
    pub(crate) fn like(self, commands: &'static [&'static str]) -> Route {
        Route { commands, ..self }
    }

    /// With what may stand in the query.
    pub(crate) fn query(self, query: &'static [Query]) -> Route {
        Route { query, ..self }
    }

    /// With what the body is.
    pub(crate) fn takes<T: JsonSchema>(self) -> Route {
        Route {
            body: Some(|| schemars::schema_for!(T)),
            ..self
        }
    }

    /// It makes something.
    pub(crate) fn creates(self) -> Route {
        Route { status: 201, ..self }
    }

    /// The handler behind its scope check.
    pub(crate) fn guarded(self) -> (&'static str, MethodRouter<Faces>) {
        let needed = (self.scope, self.crew);
        let checked = self.handler.layer(middleware::from_fn_with_state(needed, scope));
        (self.path, checked)
    }
}

async fn scope(State((needed, crew)): State<(Scope, bool)>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().copied();
    let allowed = match caller {
        Some(caller) if crew && !caller.is_person() => Ok(()),
        Some(caller) => caller.may(needed),
        // Without the check of the token in front of it a route lets nobody in.
        None => Err(Problem::new(Code::NoToken, "no token was checked")),
    };
    match allowed {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
