//! Vectors of texts from an endpoint that speaks as OpenAI's `/embeddings` does. One request for many texts; no session,
//! no stream, no second try: whoever asks has an order without them to fall back to.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::json;

use super::http::{Http, is_loopback};
use super::key::Key;

/// How long a request may take, connection and all.
const DEADLINE: Duration = Duration::from_secs(20);
/// The largest answer that is read, in bytes: a hundred vectors of 3,072 numbers as text are about four megabytes.
const ANSWER_MAX: usize = 32 << 20;
/// How much of a refusal is repeated, in bytes.
const REFUSAL_MAX: usize = 200;
/// How many texts go into one request.
pub const TEXTS_MAX: usize = 100;

/// Where vectors come from.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The address before `/embeddings`, such as `http://127.0.0.1:11434/v1`.
    pub url: String,
    /// The model.
    pub model: String,
    /// The key, where one is needed.
    pub key: Option<Key>,
}

/// Vectors, one for each text, and what they took.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Embedded {
    /// In the order of the texts; all of one length.
    pub vectors: Vec<Vec<f32>>,
    /// What the provider counted, in tokens; none where it does not say.
    pub tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Datum>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Datum {
    index: usize,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
}

impl Endpoint {
    /// The vectors of at most [`TEXTS_MAX`] texts. The connection is this call's own.
    pub async fn embed(&self, texts: &[String]) -> Result<Embedded, String> {
        let url = format!("{}/embeddings", self.url.trim_end_matches('/'));
        let request = self.request(&url, texts)?;
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let http = Http::default();
        let work = async {
            let answer = http.send(request).await.map_err(|none| none.words)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_MAX);
            let body = body
                .collect()
                .await
                .map_err(|error| format!("{host} broke off: {error}"))?;
            let body = body.to_bytes();
            if !status.is_success() {
                let words = String::from_utf8_lossy(&body);
                let words: String = words.split_whitespace().collect::<Vec<_>>().join(" ");
                let words = &words[..words.floor_char_boundary(REFUSAL_MAX)];
                let words = match &self.key {
                    Some(key) => key.redact(words).into_owned(),
                    None => words.to_owned(),
                };
                return Err(format!("{host} answered {}: {words}", status.as_u16()));
            }
            serde_json::from_slice(&body)
                .map_err(|error| format!("{host} answered something else than vectors: {error}"))
        };
        let answer: Answer = tokio::time::timeout(DEADLINE, work)
            .await
            .map_err(|_| format!("{host} did not answer within {} s", DEADLINE.as_secs()))??;
        ordered(answer, texts.len()).map_err(|why| format!("{host} {why}"))
    }

    fn request(&self, url: &str, texts: &[String]) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::post(url).header(CONTENT_TYPE, "application/json");
        let uri = request.uri_ref().cloned();
        let uri = uri.ok_or_else(|| format!("`{url}` is no address"))?;
        if let Some(key) = &self.key {
            if uri.scheme_str() == Some("http") && !is_loopback(&uri) {
                return Err(format!(
                    "`{url}` would carry the key in clear over a network; use https"
                ));
            }
            let header = key.header("Bearer ").ok_or("the key cannot be sent")?;
            request = request.header(AUTHORIZATION, header);
        }
        let body = json!({ "model": self.model, "input": texts }).to_string();
        request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| format!("`{url}` cannot be asked: {error}"))
    }
}

/// The vectors in the order of the texts; why not, when they are not one each and of one length.
fn ordered(answer: Answer, texts: usize) -> Result<Embedded, String> {
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; texts];
    for Datum { index, embedding } in answer.data {
        let sound = !embedding.is_empty() && embedding.iter().all(|number| number.is_finite());
        match vectors.get_mut(index) {
            Some(place) if sound => *place = Some(embedding),
            Some(_) => return Err("gave a vector that is none".to_owned()),
            None => return Err(format!("gave a vector for text {index} of {texts}")),
        }
    }
    let vectors: Option<Vec<Vec<f32>>> = vectors.into_iter().collect();
    let vectors = vectors.ok_or_else(|| format!("gave fewer than the {texts} vectors that it was asked for"))?;
    let length = vectors.first().map_or(0, Vec::len);
    if vectors.iter().any(|vector| vector.len() != length) {
        return Err("gave vectors of different lengths".to_owned());
    }
    Ok(Embedded {
        vectors,
        tokens: answer.usage.and_then(|usage| usage.prompt_tokens),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, texts: usize) -> Result<Embedded, String> {
        ordered(serde_json::from_str(text).unwrap(), texts)
    }

    #[test]
    fn vectors_are_one_each_and_of_one_length() {
        let shuffled = r#"{"data": [{"index": 1, "embedding": [0, 1]}, {"index": 0, "embedding": [1, 0]}], "usage": {"prompt_tokens": 7}}"#;
        let embedded = read(shuffled, 2).unwrap();
        assert_eq!(
            (embedded.vectors, embedded.tokens),
            (vec![vec![1.0, 0.0], vec![0.0, 1.0]], Some(7))
        );
        for (bad, why) in [
            (r#"{"data": []}"#, "fewer"),
            (r#"{"data": [{"index": 5, "embedding": [1]}]}"#, "text 5 of 1"),
            (r#"{"data": [{"index": 0, "embedding": []}]}"#, "is none"),
        ] {
            assert!(read(bad, 1).unwrap_err().contains(why), "{bad}");
        }
        let uneven = r#"{"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 2]}]}"#;
        assert!(read(uneven, 2).unwrap_err().contains("different lengths"));
    }

    #[test]
    fn a_key_goes_over_no_network_in_clear() {
        let endpoint = |url: &str| Endpoint {
            url: url.to_owned(),
            model: "m".to_owned(),
            key: Key::new("sk-0123456789"),
        };
        let asked = |url: &str| endpoint(url).request(&format!("{url}/embeddings"), &["x".to_owned()]);
        assert!(asked("http://127.0.0.1:1/v1").is_ok() && asked("https://example.org/v1").is_ok());
        assert!(asked("http://example.org/v1").unwrap_err().contains("in clear"));
        assert!(asked("no address").is_err());
    }
}
