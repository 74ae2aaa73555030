//! Asking a vendor's program for its version, for `doctor`. Never used in a run: there the program says it itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use crate::keep::{self, Command, Keeper, NotStarted, Stdin, Stream};
use crate::output::Clipped;
use crate::report::Vendor;

/// How long a program has to say its version. OpenCode takes five seconds of processor time to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of what it says is read, in bytes.
const OUTPUT_MAX: u64 = 4 << 10;

/// What a program said of its version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// The version, when one could be read.
    pub number: Option<String>,
    /// What to say when it is not one that was tested.
    pub untested: Option<String>,
}

pub(crate) async fn version(
    keeper: &Keeper,
    binary: &Path,
    env: BTreeMap<String, String>,
    vendor: &Vendor,
) -> Result<Version, NotStarted> {
    let grace = Duration::from_secs(1);
    let kept = keeper
        .spawn(Command {
            argv: vec![binary.into(), "--version".into()],
            env,
            cwd: PathBuf::from("/"),
            stdin: Stdin::Null,
            grace,
        })
        .await?;
    let mut output = Clipped::new(OUTPUT_MAX);
    let followed = keep::follow(kept, Box::new(NoOrders), grace, |stream, bytes| {
        if stream == Stream::Output {
            output.push(bytes);
        }
    });
    // A program that does not say its version in time has none that we know; dropping it ends it.
    let _ = timeout(PATIENCE, followed).await;
    let said = output.finish().bytes;
    let number = number_in(&String::from_utf8_lossy(&said));
    Ok(Version {
        untested: match &number {
            Some(number) => vendor.untested(number),
            None => Some(format!("{} did not say its version", vendor.name)),
        },
        number,
    })
}

/// `2.1.329 (Claude Code)`, `codex-cli 0.169.0`: the first word that begins with a digit and has a dot.
fn number_in(said: &str) -> Option<String> {
    let words = said.split_whitespace();
    words
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
        .map(str::to_owned)
}

/// Nobody orders anything.
pub(crate) struct NoOrders;

impl wheelhouse_core::agent::Inbox for NoOrders {
    fn next(&mut self) -> wheelhouse_core::agent::BoxFuture<'_, Option<wheelhouse_core::agent::Order>> {
        Box::pin(std::future::pending())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, number) in [
            ("2.1.329 (Claude Code)\n", Some("2.1.329")),
            ("codex-cli 0.169.0\n", Some("0.169.0")),
            ("v22.1.0", Some("22.1.0")),
            ("hello 5 times", None),
            ("", None),
        ] {
            assert_eq!(number_in(said).as_deref(), number, "{said}");
        }
    }
}
