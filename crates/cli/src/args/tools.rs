//! `wheelhouse tools …`: the tools of other MCP servers, for people.

use clap::{Args, Subcommand, ValueEnum};

/// `tools`
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  wheelhouse tools                                   the servers and how many tools they have
  wheelhouse tools 'open a pull request'             what fits, best first
  wheelhouse tools --server git --detail schemas
  wheelhouse tools call git/log --args '{\"count\": 3}'")]
pub(crate) struct Tools {
    /// What a tool should do, or its name
    pub(crate) query: Vec<String>,
    /// Only tools of this server
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,
    /// How much of each is shown
    #[arg(long, value_name = "LEVEL", default_value = "lines")]
    pub(crate) detail: Level,
    /// So many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) count: u32,
    /// Start every server and ask it anew, in place of what was kept of its list
    #[arg(long)]
    pub(crate) refresh: bool,
    #[command(subcommand)]
    pub(crate) action: Option<ToolsAction>,
}

/// How much of a tool is shown.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    /// Its name
    Names,
    /// A line: name, parameters, what it does
    Lines,
    /// With its schema, without what a model does not need
    Schemas,
}

/// `tools …`
#[derive(Subcommand, Debug)]
pub(crate) enum ToolsAction {
    /// Call a tool, and print its answer
    Call {
        /// `SERVER/TOOL`
        tool: String,
        /// Its arguments as a JSON object; `-` reads stdin
        #[arg(long, value_name = "JSON", default_value = "{}")]
        args: String,
        /// Of the answer only these fields, such as `rows.id,total`
        #[arg(long, value_name = "FIELDS")]
        only: Option<String>,
        /// Print what an agent would be handed: projected and reduced as the configuration says
        #[arg(long)]
        reduced: bool,
    },
}
