//! What can be typed about patches.

use std::path::PathBuf;

use clap::Subcommand;

/// `patch`
#[derive(Subcommand, Debug)]
pub(crate) enum Patch {
    /// Apply a patch to the files below this directory: all of it or nothing
    #[command(after_help = "\
A patch is the envelope of apply_patch, search and replace blocks, or RFC 6902 operations for a JSON file; it may stand
among other words, such as a model's answer.

Examples:
  wheelhouse patch apply --check change.patch
  pbpaste | wheelhouse patch apply -
  wheelhouse patch apply --to package.json operations.json
  wheelhouse patch apply --expect src/a.rs=0f3c9a1b change.patch")]
    Apply {
        /// The patch; `-` reads stdin
        #[arg(value_name = "PATCH")]
        patch: PathBuf,
        /// Only say what it would change, or why it does not apply
        #[arg(long)]
        check: bool,
        /// The JSON file that RFC 6902 operations are for
        #[arg(long, value_name = "FILE")]
        to: Option<String>,
        /// Refuse unless the file has this hash (repeatable); `patch hash` prints it
        #[arg(long, value_name = "FILE=HASH")]
        expect: Vec<String>,
        /// Keep what comes before the first part that does not fit, as apply_patch itself does
        #[arg(long, conflicts_with = "to")]
        partial: bool,
    },
    /// Print the change between two JSON files as RFC 6902, or the new file where that is shorter
    Make {
        /// The file as it was
        old: PathBuf,
        /// The file as it is to be
        new: PathBuf,
    },
    /// Print the hash of files as `--expect` takes it
    Hash {
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}
