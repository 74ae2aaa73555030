//! Who is let in: the address that was asked for, the page that asks, the token.
//!
//! In this order, so that a page of another site learns nothing, not even whether a token would do. The checks of `Host`
//! and `Origin` are what keeps web pages out that reach a loopback address by a name of their own (DNS rebinding).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri, header};

use wheelhouse_core::caller::TOKEN_PREFIX;
use wheelhouse_core::message::Party;

use crate::api::Faces;
use crate::api::problem::{Code, Problem};
use crate::face::crew;
use crate::token::{Scope, Secret};

/// The names a loopback address is called by.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What is checked.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The address that is listened on.
    address: SocketAddr,
    /// Further host names that callers may use.
    hosts: Vec<String>,
    /// What tokens come from; none lets everybody in.
    secret: Option<Secret>,
}

/// Who calls, after the check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Caller {
    /// What it may do.
    pub(crate) scope: Scope,
    /// Who it is to the store: a person, or the instance whose token it showed.
    pub(crate) party: Party,
}

impl Guard {
    /// A guard for an address.
    pub(crate) fn new(address: SocketAddr, hosts: Vec<String>, secret: Option<Secret>) -> Guard {
        Guard { address, hosts, secret }
    }

    fn knows(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        LOOPBACK_NAMES.contains(&host.as_str())
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(&host))
            || host.parse::<IpAddr>().is_ok_and(|address| self.is_listened_on(address))
    }

    /// Another site's name never parses as an address, so an address that leads here is not rebinding.
    fn is_listened_on(&self, address: IpAddr) -> bool {
        self.address.ip() == address || (self.address.ip().is_unspecified() && !address.is_loopback())
    }

    /// Whether the request was meant for this server.
    fn host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let mut named = headers.get_all(header::HOST).iter();
        let host = match (named.next(), named.next()) {
            (Some(host), None) => host.to_str().unwrap_or_default(),
            (None, None) => uri.authority().map(|authority| authority.as_str()).unwrap_or_default(),
            (_, Some(_)) => "",
        };
        let (name, _) = split_port(host);
        if self.knows(name) {
            return Ok(());
        }
        Err(Problem::new(
            Code::WrongHost,
            format!("this server is not called `{host}`: it answers to localhost and its own address"),
        )
        .hint("`wheelhouse serve --host NAME` lets callers use a further name"))
    }

    /// Whether a browser's page may call.
    fn origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(());
        };
        let text = origin.to_str().unwrap_or_default();
        let host = text.parse::<Uri>().ok().and_then(|uri| {
            let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
            uri.host().filter(|_| is_web).map(str::to_owned)
        });
        match host {
            Some(host) if self.knows(&host) => Ok(()),
            Some(_) | None => Err(Problem::new(
                Code::WrongOrigin,
                format!("pages of `{text}` may not call this server"),
            )),
        }
    }

    fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let Some(secret) = &self.secret else {
            return Ok(Caller::person(Scope::Admin));
        };
        let Some(shown) = shown(headers) else {
            return Err(
                Problem::new(Code::NoToken, "no token was shown; send `Authorization: Bearer TOKEN`")
                    .hint("`wheelhouse token` prints it, in the project that is served"),
            );
        };
        match secret.scope(shown) {
            Some(scope) => Ok(Caller::person(scope)),
            None => Err(
                Problem::new(Code::NoToken, "the token that was shown is not one of this server")
                    .hint("`wheelhouse token` prints it, in the project that is served"),
            ),
        }
    }

    /// What a loopback server's URL is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        // `::1` without brackets is no host of a request, and what is left of it is no name we know.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    }
}

/// Lets in who was meant, wherever it goes.
pub(crate) async fn address(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let checked = guard
        .host(request.uri(), request.headers())
        .and_then(|()| guard.origin(request.headers()));
    match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The token that a request shows.
fn shown(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
}

/// The instance whose token a request shows, if it shows one.
async fn instance(faces: &Faces, headers: &HeaderMap) -> Option<Result<Caller, Problem>> {
    let token = shown(headers)
        .filter(|token| token.starts_with(TOKEN_PREFIX))?
        .to_owned();
    let state_dir = faces.desk.state_dir().to_owned();
    let caller = faces
        .desk
        .read(move |reader| crew::caller(&state_dir, reader, Some(&token)))
        .await;
    Some(match caller {
        // An instance looks, and does to its own crew what the store lets it; all else is a person's.
        Ok(caller) => Ok(Caller {
            scope: Scope::Read,
            party: caller.0,
        }),
        Err(failure) => Err(Problem::new(Code::NoToken, failure.message)),
    })
}

/// Lets in who shows a token, and marks the request with what it may do.
pub(crate) async fn token(State(faces): State<Faces>, mut request: Request, next: Next) -> Response {
    let caller = match instance(&faces, request.headers()).await {
        Some(caller) => caller,
        None => faces.guard.caller(request.headers()),
    };
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

impl Caller {
    /// A person with a token of that scope.
    pub(crate) fn person(scope: Scope) -> Caller {
        Caller {
            scope,
            party: Party::Person,
        }
    }

    /// Who may do nothing but look.
    pub(crate) fn reader() -> Caller {
        Caller::person(Scope::Read)
    }

    /// Whether it is a person.
    pub(crate) fn is_person(self) -> bool {
        self.party == Party::Person
    }

    /// Whether the caller may do what needs `scope`.
    pub(crate) fn may(self, scope: Scope) -> Result<(), Problem> {
        if self.scope >= scope {
            return Ok(());
        }
        Err(Problem::new(
            Code::Forbidden,
            format!("this token may `{}`; that needs `{}`", self.scope.name(), scope.name()),
        )
        .hint(format!(
            "`wheelhouse token --scope {}` prints one that may",
            scope.name()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(address: &str) -> Guard {
        Guard::new(address.parse().unwrap(), vec!["box.example".to_owned()], None)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn only_names_of_this_machine_are_its_host() {
        let guard = guard("127.0.0.1:7416");
        let uri = Uri::from_static("/");
        for good in [
            "localhost",
            "LOCALHOST:7416",
            "127.0.0.1:7416",
            "[::1]:7416",
            "box.example:1",
        ] {
            assert!(guard.host(&uri, &headers(&[("host", good)])).is_ok(), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io:7416",
            "",
            "10.0.0.1",
            "[::2]",
        ] {
            assert!(guard.host(&uri, &headers(&[("host", bad)])).is_err(), "{bad}");
        }
        assert!(guard.host(&uri, &headers(&[])).is_err(), "no host at all");
        let two = headers(&[("host", "localhost"), ("host", "evil.example")]);
        assert!(guard.host(&uri, &two).is_err(), "two hosts");
    }

    #[test]
    fn a_page_of_another_site_is_not_let_in_and_a_program_without_origin_is() {
        let guard = guard("127.0.0.1:7416");
        assert!(guard.origin(&headers(&[])).is_ok());
        for good in ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8"] {
            assert!(guard.origin(&headers(&[("origin", good)])).is_ok(), "{good}");
        }
        for bad in [
            "http://evil.example",
            "null",
            "file://localhost",
            "http://localhost.evil.example",
            "x",
        ] {
            assert!(guard.origin(&headers(&[("origin", bad)])).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_scope_includes_the_narrower_ones() {
        let operate = Caller::person(Scope::Operate);
        assert!(operate.may(Scope::Read).is_ok());
        assert!(operate.may(Scope::Operate).is_ok());
        assert!(operate.may(Scope::Admin).is_err());
    }
}
