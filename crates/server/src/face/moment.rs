//! The one place of this crate that asks what time it is.

use wheelhouse_core::time::Millis;

/// Now, by the system's clock, which is the store's clock too.
pub fn now() -> Millis {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
