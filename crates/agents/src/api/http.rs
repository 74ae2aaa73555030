//! The line to a model: connections that are kept, TLS by rustls with ring, the certificates of the system.
//!
//! HTTP/1.1 alone: each answer has a connection to itself, so a stalled one delays no other, and a cut one is seen as cut
//! (a chunked body without its end). No proxy is taken from the environment and no redirect is followed: a key goes
//! where the settings say, and nowhere else.

use std::error::Error;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use wheelhouse_core::outcome::Outcome;

/// How long it may take until a connection stands.
pub(super) const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long a connection is kept that nobody uses.
const IDLE_CONNECTION: Duration = Duration::from_secs(90);
/// How many unused connections are kept to one host.
const IDLE_CONNECTIONS_MAX: usize = 256;

/// What a request carries.
pub(crate) type Body = Full<Bytes>;

/// The connections of all `api` agents of one engine.
#[derive(Default)]
pub struct Http {
    plain: OnceLock<Client<HttpConnector, Body>>,
    /// Made when the first `https` address is asked: reading the system's certificates takes milliseconds.
    tls: OnceLock<Result<Client<HttpsConnector<HttpConnector>, Body>, String>>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

/// A request that got no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NoAnswer {
    pub(crate) outcome: Outcome,
    pub(crate) words: String,
}

impl Http {
    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, NoAnswer> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let answer = if request.uri().scheme_str() == Some("https") {
            match self.tls.get_or_init(with_tls) {
                Ok(client) => client.request(request),
                Err(words) => {
                    return Err(NoAnswer {
                        outcome: Outcome::Unavailable,
                        words: words.clone(),
                    });
                }
            }
        } else {
            self.plain.get_or_init(without_tls).request(request)
        };
        answer.await.map_err(|error| no_answer(&host, &error))
    }
}

impl Http {
    /// Posts a JSON document somewhere and says with what status it was answered; why not, when it was not.
    pub async fn post_json(&self, url: &str, headers: &[(&str, String)], body: String) -> Result<u16, String> {
        let mut request = Request::post(url).header(hyper::header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| format!("`{url}` cannot be posted to: {error}"))?;
        let answer = self.send(request).await.map_err(|none| none.words)?;
        Ok(answer.status().as_u16())
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_DEADLINE));
    connector
}

fn builder() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX);
    builder
}

fn without_tls() -> Client<HttpConnector, Body> {
    builder().build(connector())
}

fn with_tls() -> Result<Client<HttpsConnector<HttpConnector>, Body>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})"));
        return Err(format!(
            "this machine has no certificates to check a server by{}; install `ca-certificates`, or name a file of \
             them in SSL_CERT_FILE",
            why.unwrap_or_default()
        ));
    }
    let provider = rustls::crypto::ring::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector());
    Ok(builder().build(https))
}

/// Why nothing came: an address that is wrong is not tried again, one that is silent may be.
fn no_answer(host: &str, error: &hyper_util::client::legacy::Error) -> NoAnswer {
    let words = chain(error);
    if !error.is_connect() {
        return NoAnswer {
            outcome: Outcome::Overloaded,
            words: format!("{host} closed the connection before it answered: {words}"),
        };
    }
    let outcome = if has_cause::<rustls::Error>(error) || words.contains("dns error") {
        Outcome::Unavailable
    } else {
        Outcome::Overloaded
    };
    NoAnswer {
        outcome,
        words: format!("{host} cannot be reached: {words}"),
    }
}

/// An error with its causes, each said once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let words = error.to_string();
        if !said.iter().any(|earlier| earlier.contains(&words)) {
            said.push(words);
        }
        next = error.source();
    }
    said.join(": ")
}

fn has_cause<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<T>() {
            return true;
        }
        // An error wrapped for `std::io` is not among its causes.
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inside.is_some_and(|inside| inside.is::<T>()) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Whether what is said to this address stays on this machine.
pub(crate) fn is_loopback(uri: &Uri) -> bool {
    let Some(host) = uri.host() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for (uri, expected) in [
            ("http://127.0.0.1:1/v1", true),
            ("http://127.8.0.1", true),
            ("http://[::1]:8080", true),
            ("http://LOCALHOST:1", true),
            ("http://localhost.example.com", false),
            ("http://0.0.0.0", false),
            ("http://example.com", false),
        ] {
            assert_eq!(is_loopback(&uri.parse().unwrap()), expected, "{uri}");
        }
    }
}
