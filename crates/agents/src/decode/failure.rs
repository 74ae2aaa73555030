//! From what a vendor says went wrong to the class that everybody else reads.
//!
//! The one place where words of error messages are looked at. Structured facts (HTTP status, the vendor's own error
//! kind) come first; words decide only where the vendors give nothing else, as Codex does in `exec`.

use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::time::Millis;

/// How much of a message is searched, in bytes.
const MESSAGE_MAX: usize = 8 * 1024;

/// What is known about a failed request to a model.
#[derive(Clone, Debug, Default)]
pub struct Failure<'a> {
    /// The HTTP status, when the vendor's program tells it.
    pub status: Option<u64>,
    /// The kinds the vendor gave it, in its own words (`rate_limit_error`, `contextWindowExceeded`).
    pub kinds: Vec<&'a str>,
    /// The message.
    pub message: &'a str,
    /// How long the provider asked to wait.
    pub retry_after_ms: Option<u64>,
    /// When a used-up allowance returns.
    pub resets_at: Option<Millis>,
}

/// The class of a failure. [`Outcome::Crashed`] is what nothing else fits.
pub fn class(failure: &Failure<'_>) -> Outcome {
    let message = failure
        .message
        .get(..MESSAGE_MAX)
        .unwrap_or(failure.message)
        .to_lowercase();
    let says = |patterns: &[&str]| patterns.iter().any(|pattern| message.contains(pattern));
    let kind = |kinds: &[&str]| failure.kinds.iter().any(|kind| kinds.contains(kind));
    let status = |statuses: &[u64]| failure.status.is_some_and(|status| statuses.contains(&status));

    if kind(TOO_LONG_KINDS) || status(&[413]) || says(TOO_LONG_WORDS) {
        return Outcome::ContextTooLong;
    }
    if kind(QUOTA_KINDS) || status(&[402]) || says(QUOTA_WORDS) {
        return Outcome::Quota {
            resets_at: failure.resets_at.or_else(|| reset_in(&message)),
        };
    }
    if kind(AUTH_KINDS) || status(&[401, 403]) || says(AUTH_WORDS) {
        return Outcome::Auth;
    }
    if kind(REFUSED_KINDS) || says(REFUSED_WORDS) {
        return Outcome::Refused;
    }
    if kind(RATE_KINDS) || status(&[429]) || says(RATE_WORDS) {
        return Outcome::RateLimited {
            retry_after_ms: failure.retry_after_ms.or_else(|| wait_in(&message)),
        };
    }
    if kind(MISSING_KINDS) || status(&[404]) || says(MISSING_WORDS) {
        return Outcome::Unavailable;
    }
    if says(STALLED_WORDS) {
        return Outcome::Stalled;
    }
    if kind(OVERLOADED_KINDS) || status(&[408, 500, 502, 503, 504, 529]) || says(OVERLOADED_WORDS) {
        return Outcome::Overloaded;
    }
    if kind(CUT_KINDS) || says(CUT_WORDS) {
        return Outcome::Truncated;
    }
    Outcome::Crashed
}

const TOO_LONG_KINDS: &[&str] = &[
    "prompt_too_long",
    "contextWindowExceeded",
    "context_length_exceeded",
    "request_too_large",
];
const TOO_LONG_WORDS: &[&str] = &[
    "prompt is too long",
    "prompt as too long",
    "context_length_exceeded",
    "maximum context length",
    "context window",
    "input is too long",
    "exceeds the maximum number of tokens",
    "maximum prompt length",
    "exceeds the available context size",
];
const QUOTA_KINDS: &[&str] = &[
    "billing_error",
    "usageLimitExceeded",
    "sessionBudgetExceeded",
    "insufficient_quota",
];
const QUOTA_WORDS: &[&str] = &[
    "usage limit",
    "hit your limit",
    "hour limit reached",
    "weekly limit reached",
    "session limit reached",
    "credit balance is too low",
    "insufficient_quota",
    "exceeded your current quota",
    "out of credits",
];
const AUTH_KINDS: &[&str] = &[
    "authentication_failed",
    "authentication_error",
    "permission_error",
    "oauth_org_not_allowed",
    "unauthorized",
];
const AUTH_WORDS: &[&str] = &[
    "not logged in",
    "please run /login",
    "invalid api key",
    "invalid x-api-key",
    "incorrect api key",
    "401 unauthorized",
    "403 forbidden",
    "missing environment variable",
    "authentication required",
    "oauth token has expired",
    "authentication token is expired",
    "api key expired",
    "api key not valid",
    "refresh token",
];
const REFUSED_KINDS: &[&str] = &[
    "cyberPolicy",
    "misalignmentPolicyViolation",
    "inferenceHookDenied",
    "refusal",
];
const REFUSED_WORDS: &[&str] = &[
    "content filtering policy",
    "usage policy",
    "invalid_prompt",
    "safety classifier",
];
const RATE_KINDS: &[&str] = &["rate_limit", "rate_limit_error", "rateLimitExceeded"];
const RATE_WORDS: &[&str] = &[
    "429 too many requests",
    "rate limit",
    "rate_limit_exceeded",
    "too many requests",
];
const MISSING_KINDS: &[&str] = &["not_found_error", "model_not_found", "modelNotFound"];
const MISSING_WORDS: &[&str] = &[
    "no conversation found with session id",
    "is already in use",
    "no rollout found",
    "model_not_found",
    "has been deprecated",
    "does not exist or you do not have access",
    "unknown option",
    "unexpected argument",
];
const STALLED_WORDS: &[&str] = &["idle timeout waiting for sse"];
const OVERLOADED_KINDS: &[&str] = &[
    "overloaded",
    "overloaded_error",
    "server_error",
    "api_error",
    "connection_failed",
    "timeout_error",
    "serverOverloaded",
    "internalServerError",
    "flexUnavailable",
    "policyCapacityUnavailable",
    "httpConnectionFailed",
    "responseStreamConnectionFailed",
];
const OVERLOADED_WORDS: &[&str] = &[
    "overloaded",
    "high demand",
    "connection refused",
    "waiting for network",
    "internal server error",
    "service unavailable",
    "bad gateway",
    "gateway timeout",
    "unable to connect",
    "could not connect",
    "connection error",
    "error sending request",
];
const CUT_KINDS: &[&str] = &["responseStreamDisconnected", "max_output_tokens"];
const CUT_WORDS: &[&str] = &[
    "stream disconnected before completion",
    "error decoding response body",
    "stream closed before",
    "connection closed",
    "empty or malformed response",
    "output token maximum",
];

/// The moment in `usage limit reached|1790000000` (seconds since 1970), as older releases of Claude Code say it.
fn reset_in(message: &str) -> Option<Millis> {
    let digits: String = message
        .rsplit_once('|')?
        .1
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let seconds: u64 = digits.parse().ok()?;
    // Ten digits are seconds; anything else is no moment of our time.
    (digits.len() == 10).then(|| Millis(seconds.saturating_mul(1_000)))
}

/// The wait in `try again in 1.2s`, `retry after 20 seconds`, `try again in 350ms`.
fn wait_in(message: &str) -> Option<u64> {
    let after = ["try again in ", "retry after ", "retry in ", "retry-after: "]
        .iter()
        .find_map(|words| message.split_once(words))?
        .1;
    let end = after
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(after.len());
    let number: f64 = after[..end].trim_end_matches('.').parse().ok()?;
    let unit_ms = match after[end..].trim_start() {
        unit if unit.starts_with("ms") || unit.starts_with("milli") => 1.0,
        unit if unit.starts_with('m') => 60_000.0,
        unit if unit.starts_with('h') => 3_600_000.0,
        _ => 1_000.0,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and the digits have no sign"
    )]
    Some((number * unit_ms) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_message(message: &str) -> Outcome {
        class(&Failure {
            message,
            ..Failure::default()
        })
    }

    #[test]
    fn a_status_decides_where_there_is_one() {
        for (status, expected) in [
            (401, Outcome::Auth),
            (403, Outcome::Auth),
            (402, Outcome::Quota { resets_at: None }),
            (404, Outcome::Unavailable),
            (413, Outcome::ContextTooLong),
            (429, Outcome::RateLimited { retry_after_ms: None }),
            (500, Outcome::Overloaded),
            (529, Outcome::Overloaded),
            (400, Outcome::Crashed),
        ] {
            let failure = Failure {
                status: Some(status),
                ..Failure::default()
            };
            assert_eq!(class(&failure), expected, "{status}");
        }
    }

    #[test]
    fn words_decide_where_nothing_else_is_given() {
        for (message, expected) in [
            (
                "Claude AI usage limit reached|1790000000",
                Outcome::Quota {
                    resets_at: Some(Millis(1_790_000_000_000)),
                },
            ),
            (
                "You've hit your limit · resets 3pm (UTC)",
                Outcome::Quota { resets_at: None },
            ),
            (
                "Your credit balance is too low to access the API",
                Outcome::Quota { resets_at: None },
            ),
            ("Not logged in · Please run /login", Outcome::Auth),
            ("Missing environment variable: `OPENAI_API_KEY`.", Outcome::Auth),
            (
                "OAuth token has expired. Please obtain a new token or refresh your existing token.",
                Outcome::Auth,
            ),
            (
                "Provided authentication token is expired. Please try signing in again.",
                Outcome::Auth,
            ),
            ("API key expired. Please renew the API key.", Outcome::Auth),
            ("API key not valid. Please pass a valid API key.", Outcome::Auth),
            ("Output blocked by content filtering policy", Outcome::Refused),
            (
                "exceeded retry limit, last status: 429 Too Many Requests",
                Outcome::RateLimited { retry_after_ms: None },
            ),
            (
                "Rate limit reached for gpt-5.5. Please try again in 1.2s.",
                Outcome::RateLimited {
                    retry_after_ms: Some(1_200),
                },
            ),
            (
                "We’re currently experiencing high demand, which may cause temporary errors.",
                Outcome::Overloaded,
            ),
            ("stream disconnected before completion: Overloaded", Outcome::Overloaded),
            (
                "stream disconnected before completion: Transport error: network error",
                Outcome::Truncated,
            ),
            (
                "stream disconnected before completion: idle timeout waiting for SSE",
                Outcome::Stalled,
            ),
            ("something never seen", Outcome::Crashed),
            ("", Outcome::Crashed),
        ] {
            assert_eq!(by_message(message), expected, "{message}");
        }
    }

    #[test]
    fn waits_are_read_in_their_units() {
        for (message, ms) in [
            ("try again in 350ms", Some(350)),
            ("retry after 20 seconds", Some(20_000)),
            ("try again in 2m", Some(120_000)),
            ("try again in 7", Some(7_000)),
            ("try again in a while", None),
            ("no hint", None),
        ] {
            assert_eq!(wait_in(message), ms, "{message}");
        }
    }
}
