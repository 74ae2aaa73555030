//! Who can be asked: four wire formats, and the providers and local servers that speak them, as data.

/// What a request and its answer look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Responses.
    Responses,
    /// OpenAI Chat Completions.
    Chat,
    /// Gemini `streamGenerateContent`.
    Gemini,
}

impl Wire {
    /// The path that a base URL without any gets.
    pub(super) fn version_path(self) -> &'static str {
        match self {
            Wire::Anthropic | Wire::Responses | Wire::Chat => "/v1",
            Wire::Gemini => "/v1beta",
        }
    }
}

/// One way to be asked, by the name that `api = "…"` takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Provider {
    /// Its name in the settings.
    pub name: &'static str,
    /// What it speaks.
    pub wire: Wire,
    /// Where it is.
    pub base_url: &'static str,
    /// The environment variable its key is usually in; none where no key is needed.
    pub key_env: Option<&'static str>,
    /// Which optional fields it is known to take.
    pub dialect: Dialect,
}

/// What a server takes beyond what everybody takes. A field that a server does not know may be refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// All that the vendor of the wire format documents.
    Vendor,
    /// Only the fields that compatible servers agree on.
    Compatible,
}

/// All of them. The first four are the wire formats at their vendors.
pub const PROVIDERS: &[Provider] = &[
    Provider {
        name: "anthropic",
        wire: Wire::Anthropic,
        base_url: "https://api.anthropic.com",
        key_env: Some("ANTHROPIC_API_KEY"),
        dialect: Dialect::Vendor,
    },
    Provider {
        name: "openai",
        wire: Wire::Responses,
        base_url: "https://api.openai.com/v1",
        key_env: Some("OPENAI_API_KEY"),
        dialect: Dialect::Vendor,
    },
    Provider {
        name: "openai-chat",
        wire: Wire::Chat,
        base_url: "https://api.openai.com/v1",
        key_env: Some("OPENAI_API_KEY"),
        dialect: Dialect::Vendor,
    },
    Provider {
        name: "gemini",
        wire: Wire::Gemini,
        base_url: "https://generativelanguage.googleapis.com",
        key_env: Some("GEMINI_API_KEY"),
        dialect: Dialect::Vendor,
    },
    Provider {
        name: "xai",
        wire: Wire::Chat,
        base_url: "https://api.x.ai/v1",
        key_env: Some("XAI_API_KEY"),
        dialect: Dialect::Compatible,
    },
    Provider {
        name: "openrouter",
        wire: Wire::Chat,
        base_url: "https://openrouter.ai/api/v1",
        key_env: Some("OPENROUTER_API_KEY"),
        dialect: Dialect::Compatible,
    },
    local("ollama", "http://127.0.0.1:11434/v1"),
    local("lm-studio", "http://127.0.0.1:1234/v1"),
    local("llama-cpp", "http://127.0.0.1:8080/v1"),
    local("vllm", "http://127.0.0.1:8000/v1"),
];

const fn local(name: &'static str, base_url: &'static str) -> Provider {
    Provider {
        name,
        wire: Wire::Chat,
        base_url,
        key_env: None,
        dialect: Dialect::Compatible,
    }
}

/// The provider of that name.
pub fn provider(name: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| provider.name == name)
}
