//! The shapes of Claude Code's lines, as much of them as is used. Every field may be missing.

use serde::Deserialize;

use crate::decode::jsonl::Field;

/// What every line may have; looked at for each of them.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Field<'a>,
    #[serde(borrow, default)]
    pub(super) subtype: Field<'a>,
    #[serde(borrow, default)]
    pub(super) event: Field<'a>,
    #[serde(borrow, default)]
    pub(super) message: Field<'a>,
    #[serde(borrow, default)]
    pub(super) parent_tool_use_id: Field<'a>,
    #[serde(borrow, default)]
    pub(super) tool_result_meta: Field<'a>,
    #[serde(borrow, default)]
    pub(super) request_id: Field<'a>,
    #[serde(borrow, default)]
    pub(super) request: Field<'a>,
    #[serde(borrow, default)]
    pub(super) response: Field<'a>,
    #[serde(borrow, default)]
    pub(super) session_id: Field<'a>,
}

/// `system/init`.
#[derive(Deserialize)]
pub(super) struct Init<'a> {
    #[serde(borrow, default)]
    pub(super) model: Field<'a>,
    #[serde(borrow, default)]
    pub(super) claude_code_version: Field<'a>,
    #[serde(borrow, default, rename = "apiKeySource")]
    pub(super) api_key_source: Field<'a>,
    #[serde(borrow, default)]
    pub(super) mcp_servers: Field<'a>,
}

/// An entry of `mcp_servers`.
#[derive(Deserialize)]
pub(super) struct Server<'a> {
    #[serde(borrow, default)]
    pub(super) name: Field<'a>,
    #[serde(borrow, default)]
    pub(super) status: Field<'a>,
}

/// The other `system` lines.
#[derive(Deserialize)]
pub(super) struct System<'a> {
    #[serde(borrow, default)]
    pub(super) attempt: Field<'a>,
    #[serde(borrow, default)]
    pub(super) max_retries: Field<'a>,
    #[serde(borrow, default)]
    pub(super) retry_delay_ms: Field<'a>,
    #[serde(borrow, default)]
    pub(super) error_status: Field<'a>,
    #[serde(borrow, default)]
    pub(super) error: Field<'a>,
    #[serde(borrow, default)]
    pub(super) tool_name: Field<'a>,
    #[serde(borrow, default)]
    pub(super) tool_use_id: Field<'a>,
    #[serde(borrow, default)]
    pub(super) message: Field<'a>,
    #[serde(borrow, default)]
    pub(super) content: Field<'a>,
    #[serde(borrow, default)]
    pub(super) task_id: Field<'a>,
    #[serde(borrow, default)]
    pub(super) task_type: Field<'a>,
    #[serde(borrow, default)]
    pub(super) description: Field<'a>,
    #[serde(borrow, default)]
    pub(super) status: Field<'a>,
    #[serde(borrow, default)]
    pub(super) summary: Field<'a>,
    #[serde(borrow, default)]
    pub(super) tasks: Field<'a>,
    #[serde(borrow, default)]
    pub(super) rate_limit_info: Field<'a>,
}

/// `rate_limit_info`.
#[derive(Deserialize)]
pub(super) struct Limit<'a> {
    #[serde(borrow, default)]
    pub(super) status: Field<'a>,
    #[serde(borrow, default, rename = "resetsAt")]
    pub(super) resets_at: Field<'a>,
    #[serde(borrow, default, rename = "rateLimitType")]
    pub(super) kind: Field<'a>,
}

/// A message of the model or of the user.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default)]
    pub(super) id: Field<'a>,
    #[serde(borrow, default)]
    pub(super) model: Field<'a>,
    #[serde(borrow, default)]
    pub(super) content: Field<'a>,
    #[serde(borrow, default)]
    pub(super) stop_reason: Field<'a>,
    #[serde(borrow, default)]
    pub(super) usage: Field<'a>,
}

/// A block of a message.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Field<'a>,
    #[serde(borrow, default)]
    pub(super) text: Field<'a>,
    #[serde(borrow, default)]
    pub(super) thinking: Field<'a>,
    #[serde(borrow, default)]
    pub(super) id: Field<'a>,
    #[serde(borrow, default)]
    pub(super) name: Field<'a>,
    #[serde(borrow, default)]
    pub(super) input: Field<'a>,
    #[serde(borrow, default)]
    pub(super) tool_use_id: Field<'a>,
    #[serde(borrow, default)]
    pub(super) is_error: Field<'a>,
    #[serde(borrow, default)]
    pub(super) content: Field<'a>,
}

/// An entry of `tool_result_meta`.
#[derive(Deserialize)]
pub(super) struct ResultMeta<'a> {
    #[serde(borrow, default)]
    pub(super) id: Field<'a>,
    #[serde(borrow, default)]
    pub(super) non_execution_kind: Field<'a>,
    #[serde(borrow, default)]
    pub(super) permission_decision: Field<'a>,
}

/// `permission_decision`.
#[derive(Deserialize)]
pub(super) struct Decision<'a> {
    #[serde(borrow, default)]
    pub(super) decision: Field<'a>,
}

/// The event inside `stream_event`.
#[derive(Deserialize)]
pub(super) struct StreamEvent<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Field<'a>,
    #[serde(borrow, default)]
    pub(super) delta: Field<'a>,
    #[serde(borrow, default)]
    pub(super) message: Field<'a>,
    #[serde(borrow, default)]
    pub(super) usage: Field<'a>,
}

/// The delta of a stream event.
#[derive(Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Field<'a>,
    #[serde(borrow, default)]
    pub(super) text: Field<'a>,
    #[serde(borrow, default)]
    pub(super) thinking: Field<'a>,
    #[serde(borrow, default)]
    pub(super) stop_reason: Field<'a>,
}

/// Anthropic's usage of one request.
#[derive(Deserialize)]
pub(super) struct Tokens<'a> {
    #[serde(borrow, default)]
    pub(super) input_tokens: Field<'a>,
    #[serde(borrow, default)]
    pub(super) cache_creation_input_tokens: Field<'a>,
    #[serde(borrow, default)]
    pub(super) cache_read_input_tokens: Field<'a>,
    #[serde(borrow, default)]
    pub(super) output_tokens: Field<'a>,
    #[serde(borrow, default)]
    pub(super) output_tokens_details: Field<'a>,
}

/// `output_tokens_details`.
#[derive(Deserialize)]
pub(super) struct Details<'a> {
    #[serde(borrow, default)]
    pub(super) thinking_tokens: Field<'a>,
}

/// An entry of `modelUsage` and `model_usage_since_last_result`.
#[derive(Deserialize)]
pub(super) struct ModelTokens<'a> {
    #[serde(borrow, default, rename = "inputTokens")]
    pub(super) input: Field<'a>,
    #[serde(borrow, default, rename = "outputTokens")]
    pub(super) output: Field<'a>,
    #[serde(borrow, default, rename = "cacheReadInputTokens")]
    pub(super) cache_read: Field<'a>,
    #[serde(borrow, default, rename = "cacheCreationInputTokens")]
    pub(super) cache_write: Field<'a>,
    #[serde(borrow, default, rename = "thinkingTokens")]
    pub(super) thinking: Field<'a>,
    #[serde(borrow, default, rename = "costUSD")]
    pub(super) cost_usd: Field<'a>,
    #[serde(borrow, default, rename = "costBasis")]
    pub(super) cost_basis: Field<'a>,
    #[serde(borrow, default)]
    pub(super) provider: Field<'a>,
}

/// `result`. Its fields come in any order.
#[derive(Deserialize)]
pub(super) struct ResultLine<'a> {
    #[serde(borrow, default)]
    pub(super) session_id: Field<'a>,
    #[serde(borrow, default)]
    pub(super) subtype: Field<'a>,
    #[serde(borrow, default)]
    pub(super) is_error: Field<'a>,
    #[serde(borrow, default)]
    pub(super) api_error_status: Field<'a>,
    #[serde(borrow, default)]
    pub(super) api_error_type: Field<'a>,
    #[serde(borrow, default)]
    pub(super) api_error: Field<'a>,
    #[serde(borrow, default)]
    pub(super) result: Field<'a>,
    #[serde(borrow, default)]
    pub(super) errors: Field<'a>,
    #[serde(borrow, default)]
    pub(super) stop_reason: Field<'a>,
    #[serde(borrow, default)]
    pub(super) terminal_reason: Field<'a>,
    #[serde(borrow, default)]
    pub(super) total_cost_usd: Field<'a>,
    #[serde(borrow, default)]
    pub(super) usage: Field<'a>,
    #[serde(borrow, default, rename = "modelUsage")]
    pub(super) model_usage: Field<'a>,
    #[serde(borrow, default)]
    pub(super) model_usage_since_last_result: Field<'a>,
    #[serde(borrow, default)]
    pub(super) permission_denials: Field<'a>,
}

/// An entry of `permission_denials`.
#[derive(Deserialize)]
pub(super) struct DenialLine<'a> {
    #[serde(borrow, default)]
    pub(super) tool_name: Field<'a>,
    #[serde(borrow, default)]
    pub(super) tool_use_id: Field<'a>,
    #[serde(borrow, default)]
    pub(super) tool_input: Field<'a>,
}

/// A request of the CLI to its host.
#[derive(Deserialize)]
pub(super) struct Request<'a> {
    #[serde(borrow, default)]
    pub(super) subtype: Field<'a>,
    #[serde(borrow, default)]
    pub(super) tool_name: Field<'a>,
    #[serde(borrow, default)]
    pub(super) tool_use_id: Field<'a>,
    #[serde(borrow, default)]
    pub(super) input: Field<'a>,
    #[serde(borrow, default)]
    pub(super) message: Field<'a>,
    #[serde(borrow, default)]
    pub(super) mcp_server_name: Field<'a>,
    #[serde(borrow, default)]
    pub(super) requested_schema: Field<'a>,
}

/// The answer to a request of ours.
#[derive(Deserialize)]
pub(super) struct Response<'a> {
    #[serde(borrow, default)]
    pub(super) subtype: Field<'a>,
    #[serde(borrow, default)]
    pub(super) request_id: Field<'a>,
    #[serde(borrow, default)]
    pub(super) error: Field<'a>,
}
