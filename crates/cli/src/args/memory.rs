//! What can be typed after `memory`.

use std::time::Duration;

use clap::{Args, Subcommand};
use wheelhouse_core::time::parse_duration;

/// `memory …`
#[derive(Subcommand, Debug)]
pub(crate) enum Memory {
    /// Add a note; from an agent it waits until a person keeps it
    Add(Add),
    /// List the notes
    List(List),
    /// Find the notes that a question is about, and those linked with them
    Find(Find),
    /// Let the words of an agent in, or keep what was seen for good
    Keep(Names),
    /// Take notes away
    Forget(Names),
}

/// `memory add`
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// The words; `-` reads stdin
    pub(crate) text: String,
    /// Whose affair it is: `project`, `agent/NAME`, or a name that agents are configured to read
    #[arg(long = "in", value_name = "NAMESPACE", default_value = "project")]
    pub(crate) namespace: String,
    /// Forget it after this time, such as `30d`
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) life: Option<Duration>,
}

/// `memory list`
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only this namespace
    #[arg(long = "in", value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Only what waits for a person
    #[arg(long)]
    pub(crate) waiting: bool,
    /// Also those whose time is over
    #[arg(long)]
    pub(crate) all: bool,
}

/// `memory find`
#[derive(Args, Debug)]
pub(crate) struct Find {
    /// Words, or a note's name
    #[arg(required = true)]
    pub(crate) question: Vec<String>,
    /// Only this namespace
    #[arg(long = "in", value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// So many answers
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) count: u32,
}

/// `memory keep`, `memory forget`
#[derive(Args, Debug)]
pub(crate) struct Names {
    /// The notes, such as `m0123456789`; a beginning is enough
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
}
