//! How fast it is: `cargo xtask bench speed`. Every number beside its goal, and beside a peer in the same run where there
//! is one.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wheelhouse_context::count;
use wheelhouse_context::patch::{self, envelope};
use wheelhouse_context::slice::{Reader, slice};

fn main() {
    count::tokens("once, so that the vocabulary is there");
    let (ours, theirs): (Vec<f64>, Vec<f64>) = corpora().iter().map(|(name, text)| counting(name, text)).unzip();
    let ratio = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs);
    println!(
        "  at least {:.1} MB/s (goal 100) and {:.1} times tiktoken (goal 10)",
        ours.iter().copied().fold(f64::INFINITY, f64::min),
        ratio.fold(f64::INFINITY, f64::min)
    );

    let diff = diff();
    let readers = readers();
    let took = fastest(5, || slice("change.diff", &diff, &readers));
    println!(
        "slicing a diff of {} lines for {} readers: {:.1} ms (goal 200)",
        diff.lines().count(),
        readers.len(),
        took.as_secs_f64() * 1e3
    );

    let table = table();
    let json_bytes = table.to_string().len() as f64 / 1e6;
    let encoded = wheelhouse_context::encode::toon(&table).unwrap();
    let took = fastest(3, || wheelhouse_context::encode::toon(&table));
    println!(
        "TOON, encoding {json_bytes:.1} MB of JSON: {:.1} MB/s (goal 100)",
        json_bytes / took.as_secs_f64()
    );
    let options = toon_format::DecodeOptions::new();
    let took = fastest(3, || toon_format::decode::<Value>(&encoded, &options).is_ok());
    println!(
        "TOON, decoding: {:.1} MB/s",
        encoded.len() as f64 / 1e6 / took.as_secs_f64()
    );
    let took = fastest(3, || table.to_string().len());
    println!(
        "  serde_json, encoding the same: {:.1} MB/s",
        json_bytes / took.as_secs_f64()
    );

    let (files, change) = patched();
    let bytes: usize = files.values().map(Vec::len).sum::<usize>() + change.len();
    let took = fastest(3, || envelope::all(&files, &change).is_ok());
    println!(
        "apply_patch, {:.1} MB of files, 200 hunks: {:.1} MB/s (goal 100)",
        bytes as f64 / 1e6,
        bytes as f64 / 1e6 / took.as_secs_f64()
    );
    let content = String::from_utf8(files["big.rs"].clone()).unwrap();
    let took = fastest(3, || {
        patch::replace("big.rs", &content, "let value_77777 = compute(77777)?;", "nothing")
    });
    println!(
        "search and replace in {:.1} MB: {:.1} MB/s",
        content.len() as f64 / 1e6,
        content.len() as f64 / 1e6 / took.as_secs_f64()
    );
    let operations: Value = (0..1_000)
        .map(|n| json!({"op": "replace", "path": format!("/{}/price", n * 50), "value": n}))
        .collect();
    let took = (0..3).map(|_| table.clone()).map(|document| {
        let began = Instant::now();
        let changed = patch::json::apply(document, &operations);
        let took = began.elapsed();
        assert!(changed.is_ok());
        took
    });
    let took = took.min().unwrap();
    println!(
        "RFC 6902, 1,000 operations on {json_bytes:.1} MB in memory: {:.2} ms, {:.0} MB/s (goal 100)",
        took.as_secs_f64() * 1e3,
        json_bytes / took.as_secs_f64()
    );
    let text = table.to_string();
    let took = fastest(3, || patch::json::apply_text("table.json", &text, &operations).unwrap());
    println!(
        "  the same from text to text, reading and writing included: {:.1} MB/s",
        json_bytes / took.as_secs_f64()
    );
}

fn fastest<T>(times: usize, work: impl Fn() -> T) -> Duration {
    let once = || {
        let began = Instant::now();
        black_box(work());
        began.elapsed()
    };
    (0..times).map(|_| once()).min().unwrap_or_default()
}

/// One text, counted by us and by two peers: our rate and that of tiktoken, in MB/s.
fn counting(name: &str, text: &str) -> (f64, f64) {
    let second = bpe_openai::o200k_base();
    let peer = tiktoken_rs::o200k_base().unwrap();
    let part = &text[..text.floor_char_boundary(3_000_000)];
    assert_eq!(count::tokens(part), peer.encode_ordinary(part).len() as u64, "{name}");
    let rate = |bytes: usize, took: Duration| bytes as f64 / 1e6 / took.as_secs_f64();
    // In turn, so that what else the machine does hits all of them.
    let mut best = [0.0_f64; 3];
    for _ in 0..5 {
        let ours = fastest(1, || count::tokens(text));
        let others = fastest(1, || second.count(part));
        let theirs = fastest(1, || peer.encode_ordinary(part).len());
        best = [
            best[0].max(rate(text.len(), ours)),
            best[1].max(rate(part.len(), others)),
            best[2].max(rate(part.len(), theirs)),
        ];
    }
    let [ours, others, theirs] = best;
    println!(
        "counting {name}, {:.1} MB: {ours:.1} MB/s; bpe-openai {others:.1}, ratio {:.1}; tiktoken's Rust core {theirs:.1}, ratio {:.1}",
        text.len() as f64 / 1e6,
        ours / others,
        ours / theirs
    );
    (ours, theirs)
}

/// Texts of several kinds, each again and again up to 16 MB.
fn corpora() -> Vec<(&'static str, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut corpora = vec![
        ("Rust", files(&top.join("crates"), "rs")),
        ("Markdown", files(&top.join("docs"), "md")),
        ("JSON", files(&top.join("docs"), "json") + &table().to_string()),
    ];
    for (_, text) in &mut corpora {
        let once = text.clone();
        while text.len() < 16_000_000 {
            text.push_str(&once);
        }
    }
    corpora
}

/// All files of a kind under a directory, one after the other.
fn files(top: &Path, kind: &str) -> String {
    let mut open: Vec<PathBuf> = vec![top.to_owned()];
    let mut text = String::new();
    while let Some(directory) = open.pop() {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == kind) {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

fn table() -> Value {
    let row = |n: usize| json!({"id": n, "name": format!("item number {n}"), "price": n * 3, "kind": "plain"});
    Value::Array((0..60_000).map(row).collect())
}

fn diff() -> String {
    let mut diff = String::new();
    for file in 0..100 {
        let path = format!("src/{}/part_{file}.rs", ["auth", "db", "web", "cli"][file % 4]);
        diff.push_str(&format!(
            "diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1,48 +1,48 @@ fn part_{file}() {{\n"
        ));
        for line in 0..96 {
            let sign = [' ', '+', '-', ' '][line % 4];
            diff.push_str(&format!(
                "{sign}    let value_{line} = query(connection, {line}, \"select name from table_{file}\")?;\n"
            ));
        }
    }
    diff
}

fn readers() -> Vec<Reader> {
    let reader = |n: usize| Reader {
        name: format!("reader-{n}"),
        keywords: vec![["query", "cache", "render", "argument"][n % 4].to_owned()],
        paths: vec![format!("src/{}/**", ["auth", "db", "web", "cli"][n % 4])],
        ..Reader::default()
    };
    (0..8).map(reader).collect()
}

fn patched() -> (BTreeMap<String, Vec<u8>>, String) {
    let line = |n: usize| format!("    let value_{n} = compute({n})?;");
    let text: String = (0..200_000).map(|n| format!("{}\n", line(n))).collect();
    let mut change = "*** Begin Patch\n*** Update File: big.rs\n".to_owned();
    for n in (0..200).map(|n| n * 1_000 + 10) {
        change.push_str(&format!(
            "@@\n {}\n-{}\n+    changed();\n {}\n",
            line(n),
            line(n + 1),
            line(n + 2)
        ));
    }
    change.push_str("*** End Patch\n");
    (BTreeMap::from([("big.rs".to_owned(), text.into_bytes())]), change)
}
