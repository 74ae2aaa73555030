//! What `report`, `rate` and their neighbours take.

use std::path::PathBuf;

use clap::Args;

/// `report`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  wheelhouse report
  wheelhouse report --month 2026-11 --html november.html
  wheelhouse report --since 2026-11-20 --csv > week.csv
  wheelhouse report --run r7 --json")]
pub(crate) struct Report {
    /// The days from this one on, such as `2026-11-01`; days are UTC days
    #[arg(long, value_name = "DAY", conflicts_with_all = ["month", "run"])]
    pub(crate) since: Option<String>,
    /// The days up to this one; today when absent
    #[arg(long, value_name = "DAY", conflicts_with_all = ["month", "run"])]
    pub(crate) until: Option<String>,
    /// This month, such as `2026-11`; the present one when nothing is said
    #[arg(long, value_name = "MONTH", conflicts_with = "run")]
    pub(crate) month: Option<String>,
    /// This run (`r7`) in place of a period
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// The lead's model, for what everything would have cost on it; the planner's or the default agent's when absent
    #[arg(long, value_name = "MODEL")]
    pub(crate) lead: Option<String>,
    /// Print the sums behind it, one line a day, agent, model, account and kind of work
    #[arg(long)]
    pub(crate) csv: bool,
    /// Write it as one page with plots that needs nothing else
    #[arg(long, value_name = "FILE", conflicts_with = "csv")]
    pub(crate) html: Option<PathBuf>,
}

/// `rate`
#[derive(Args, Debug)]
pub(crate) struct Rate {
    /// The task (`draft`, `r7/draft`)
    pub(crate) task: String,
    /// From 1 to 5
    pub(crate) stars: u8,
    /// Why, in words
    pub(crate) words: Vec<String>,
}

/// `compare`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  wheelhouse compare --steps
  wheelhouse compare --print > mine.yaml && wheelhouse compare mine.yaml --model claude-sonnet-4-6
  wheelhouse compare --ledger --month 2026-11")]
pub(crate) struct Compare {
    /// The workload; the one that comes with the program, of 100 tasks a day, when absent
    pub(crate) workload: Option<PathBuf>,
    /// Show every message of each class
    #[arg(long)]
    pub(crate) steps: bool,
    /// What it would cost if this model read and wrote everything
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Take from the ledger what it knows: the tasks of each class and what doing one writes
    #[arg(long)]
    pub(crate) ledger: bool,
    /// With `--ledger`: the days from this one on
    #[arg(long, value_name = "DAY", requires = "ledger")]
    pub(crate) since: Option<String>,
    /// With `--ledger`: the days up to this one
    #[arg(long, value_name = "DAY", requires = "ledger")]
    pub(crate) until: Option<String>,
    /// With `--ledger`: this month
    #[arg(long, value_name = "MONTH", requires = "ledger", conflicts_with_all = ["since", "until"])]
    pub(crate) month: Option<String>,
    /// Print the workload that comes with the program
    #[arg(long)]
    pub(crate) print: bool,
}
