//! How fast a tree is indexed, brought up to date and searched: `cargo bench -p wheelhouse-engine --bench codebase --
//! DIR [LINES [WEIGHTS]]`. The tree is made of files below DIR, copied until it has so many lines (a million). WEIGHTS is a
//! directory of static vectors, for the time that they take.
#![expect(clippy::expect_used, reason = "a benchmark that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wheelhouse_context::retrieval::search::Options;
use wheelhouse_engine::codebase::{Codebase, Stages, Weights};

const QUESTIONS: &[&str] = &[
    "where are retries with backoff decided",
    "parse url percent encoding",
    "fn poll_next for Stream",
    "TcpListener accept loop error handling",
    "hash map entry api insert or default",
    "mutex poisoned lock recovery",
    "serde deserialize untagged enum",
    "thread pool work stealing deque",
    "utf8 validation of a byte slice",
    "regex literal prefix optimisation in regex_automata::meta::Strategy",
    "the borrow of `RawTable` in reserve_rehash panics",
    "src/lib.rs panics with index out of bounds when the buffer is empty",
];

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let Some(source) = arguments.first() else {
        println!("codebase: passed over; it needs a directory of sources: cargo bench … -- DIR [LINES]");
        return;
    };
    let lines_wanted = arguments
        .get(1)
        .and_then(|lines| lines.parse().ok())
        .unwrap_or(1_000_000);
    let root = tempfile::tempdir().expect("a directory for the tree");
    let lines = make_tree(Path::new(source), root.path(), lines_wanted);
    let keep = tempfile::tempdir().expect("a directory for the index");
    std::thread::sleep(Duration::from_secs(3));

    let mut codebase = Codebase::open(root.path(), Some(keep.path()));
    let update = codebase.update().expect("an index");
    let extent = codebase.extent();
    println!(
        "{lines} lines, {} files, {} pieces, {} definitions: indexed in {:.2} s; {:.0} MB on disk, {:.0} MB peak",
        extent.files,
        extent.pieces,
        extent.definitions,
        update.took.as_secs_f64(),
        megabytes(keep.path()),
        peak_megabytes()
    );
    println!("left out: {:?}", extent.skipped);

    let victim = find_file(root.path(), ".rs").expect("a file to change");
    let mut updates = Vec::new();
    for round in 0..20 {
        let mut text = std::fs::read_to_string(&victim).expect("readable");
        text.push_str(&format!("\nfn added_in_round_{round}() {{}}\n"));
        std::fs::write(&victim, text).expect("writable");
        updates.push(codebase.update().expect("an update").took);
    }
    print_times("one changed file", updates);
    let idle = (0..10).map(|_| codebase.update().expect("an update").took).collect();
    print_times("a look at an unchanged tree", idle);

    let began = Instant::now();
    let mut again = Codebase::open(root.path(), Some(keep.path()));
    println!("opened from disk in {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    again.update().expect("an update");
    print_times("a question", questions(&mut again, &Stages::default()));
    if let Some(weights) = arguments.get(2) {
        let began = Instant::now();
        let weights = Weights::open(Path::new(weights)).expect("weights");
        println!("weights opened in {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
        let stages = Stages {
            meaning: Some(Arc::new(weights)),
            second: None,
        };
        let (took, pieces) = first_by_meaning(&mut again, &stages);
        println!("{pieces} pieces have vectors, with the first question in {took:.2} s");
        println!(
            "{:.0} MB on disk, {:.0} MB peak",
            megabytes(keep.path()),
            peak_megabytes()
        );
        print_times("a question with meaning", questions(&mut again, &stages));
        let mut opened = Codebase::open(root.path(), Some(keep.path()));
        let (took, _) = first_by_meaning(&mut opened, &stages);
        println!("opened from disk, with a question in {:.1} ms", took * 1e3);
    }
}

/// The seconds that the first question takes, and how many pieces have vectors then.
fn first_by_meaning(codebase: &mut Codebase, stages: &Stages) -> (f64, usize) {
    let began = Instant::now();
    let answer = codebase.find(QUESTIONS[0], &Options::default(), Duration::ZERO, stages);
    let (_, update) = answer.expect("an answer");
    assert!(update.notices.is_empty(), "{:?}", update.notices);
    (began.elapsed().as_secs_f64(), update.vectors.unwrap_or_default())
}

fn questions(codebase: &mut Codebase, stages: &Stages) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..20 {
        for question in QUESTIONS {
            let began = Instant::now();
            let answer = codebase.find(question, &Options::default(), Duration::from_secs(3600), stages);
            let (hits, _) = answer.expect("an answer");
            times.push(began.elapsed());
            assert!(!hits.is_empty(), "{question}");
        }
    }
    times
}

fn print_times(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!(
        "{what}: p50 {:.1} ms, p95 {:.1} ms, max {:.1} ms",
        at(50),
        at(95),
        at(100)
    );
}

/// Copies files until there are enough lines.
fn make_tree(from: &Path, to: &Path, lines_wanted: usize) -> usize {
    let mut lines = 0;
    let mut pending = vec![from.to_owned()];
    while let Some(directory) = pending.pop() {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(&directory)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            let code = [".rs", ".c", ".h", ".py", ".js", ".ts", ".md"]
                .iter()
                .any(|end| path.to_string_lossy().ends_with(end));
            if !code || text.len() > 500_000 {
                continue;
            }
            let below = to.join(path.strip_prefix(from).expect("below"));
            std::fs::create_dir_all(below.parent().expect("a parent")).expect("writable");
            std::fs::write(below, &text).expect("writable");
            lines += text.lines().count();
            if lines >= lines_wanted {
                return lines;
            }
        }
    }
    lines
}

fn find_file(below: &Path, ending: &str) -> Option<PathBuf> {
    let mut pending = vec![below.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).ok()?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                return Some(path);
            }
        }
    }
    None
}

fn megabytes(directory: &Path) -> f64 {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let bytes: u64 = entries
        .map(|entry| entry.expect("an entry").metadata().expect("a file").len())
        .sum();
    bytes as f64 / 1e6
}

fn peak_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: f64 = line
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0);
    kilobytes / 1e3
}
