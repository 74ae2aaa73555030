//! Tool discovery on MetaTool: is the tool that a person chose for a need among the first that are found.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde_json::Value;
use wheelhouse_context::count;
use wheelhouse_context::tools::{Catalogue, Detail, Need, Tool, show};

use crate::sets::{read, rows};
use crate::source;
use crate::table::Table;

const AT: [usize; 4] = [1, 3, 5, 10];
const FOLDS: usize = 5;

pub(crate) fn measure(table: &mut Table, data: &Path) {
    let set = data.join("metatool");
    if !set.exists() {
        println!("tools: passed over, {} is not there", set.display());
        return;
    }
    let tools = tools_of(&set.join("plugin_des.json"));
    let known: HashSet<String> = tools.iter().map(|tool| tool.name.clone()).collect();
    let rows: Vec<(String, String)> = rows(&source::text(&set.join("all_clean_data.csv")))
        .into_iter()
        .map(|(need, tool)| (need, tool.to_lowercase()))
        .filter(|(_, tool)| known.contains(tool))
        .collect();
    if rows.is_empty() {
        source::stop(
            &set.join("all_clean_data.csv"),
            None,
            "no row names a tool of plugin_des.json",
        );
    }
    let catalogue = Catalogue::new(tools.clone());
    let plain = Plain::new(&tools);
    let ours = recall(&rows, |need| found(&catalogue, need));
    let baseline = recall(&rows, |need| plain.find(need));
    let about = format!(
        "tool discovery, {} needs, {} tools: recall@1/3/5/10, MRR",
        rows.len(),
        tools.len()
    );
    table.row(
        &about,
        shown(&ours),
        "0.404 / 0.548 / 0.595 / 0.659, 0.496 (BM25, the set's page)",
        format!("{} (BM25, here)", shown(&baseline)),
    );
    table.row(
        "the same, having seen what other needs led to (5 folds)",
        shown(&learned(&tools, &rows)),
        "0.735 / 0.876 / 0.906 / 0.942 (centroids, the set's page)",
        shown(&baseline),
    );
    let whole: u64 = tools.iter().map(|tool| count::tokens(&show(tool, Detail::Full))).sum();
    let sent: u64 = rows
        .iter()
        .step_by(20)
        .map(|(need, _)| {
            let need = Need {
                text: need,
                server: None,
                limit: 5,
            };
            catalogue
                .find(&need)
                .iter()
                .map(|one| count::tokens(&show(one.tool, Detail::Full)))
                .sum::<u64>()
        })
        .sum();
    let mean = sent as f64 / rows.iter().step_by(20).count() as f64;
    table.row(
        "tokens of tools shown, for one need",
        format!("{mean:.0} (five found)"),
        "–",
        format!("{whole} (all {})", tools.len()),
    );
    let pairs = two(&set);
    if !pairs.is_empty() {
        let big = Catalogue::new(tools_of(&set.join("big_tool_des.json")));
        let both = |k: usize| {
            let hit = |(need, wanted): &&(String, Vec<String>)| {
                let found = found(&big, need);
                wanted.iter().all(|tool| found.iter().take(k).any(|one| one == tool))
            };
            pairs.iter().filter(hit).count() as f64 / pairs.len() as f64
        };
        table.row(
            format!("tool discovery, {} needs of two tools: both in 5 / 10", pairs.len()),
            format!("{:.3} / {:.3}", both(5), both(10)),
            "0.352 / 0.473 (BM25, the set's page)",
            "–",
        );
    }
}

/// Names with what they are about: an object of them, or a list of objects with `name` and `description`.
fn tools_of(path: &Path) -> Vec<Tool> {
    let tool = |name: &str, about: Option<&Value>| Tool {
        server: String::new(),
        name: name.to_lowercase(),
        description: about.and_then(Value::as_str).unwrap_or_default().to_owned(),
        schema: Value::Null,
    };
    match whole(path) {
        Value::Object(all) => all.iter().map(|(name, about)| tool(name, Some(about))).collect(),
        Value::Array(all) => {
            let named = all
                .iter()
                .filter_map(|one| Some((one["name"].as_str()?, one.get("description"))));
            named.map(|(name, about)| tool(name, about)).collect()
        }
        _ => source::stop(path, None, "there is no object or list of tools"),
    }
}

fn whole(path: &Path) -> Value {
    read(path).unwrap_or_else(|why| crate::fail(&why))
}

fn two(set: &Path) -> Vec<(String, Vec<String>)> {
    let path = set.join("multi_tool_query_golden.json");
    if !path.exists() || !set.join("big_tool_des.json").exists() {
        return Vec::new();
    }
    let pair = |case: &Value| {
        let tools = case["tool"].as_array()?.iter().filter_map(|tool| tool.as_str());
        Some((
            case["query"].as_str()?.to_owned(),
            tools.map(str::to_lowercase).collect(),
        ))
    };
    whole(&path).as_array().into_iter().flatten().filter_map(pair).collect()
}

fn found(catalogue: &Catalogue, need: &str) -> Vec<String> {
    let need = Need {
        text: need,
        server: None,
        limit: 10,
    };
    catalogue
        .find(&need)
        .into_iter()
        .map(|one| one.tool.name.clone())
        .collect()
}

/// Recall at each of [`AT`], and the mean reciprocal rank.
fn recall(rows: &[(String, String)], find: impl Fn(&str) -> Vec<String>) -> [f64; 5] {
    let mut sums = [0.0; 5];
    for (need, tool) in rows {
        let place = find(need).iter().position(|one| one == tool);
        for (sum, k) in sums.iter_mut().zip(AT) {
            *sum += f64::from(u8::from(place.is_some_and(|place| place < k)));
        }
        sums[4] += place.map_or(0.0, |place| 1.0 / (place + 1) as f64);
    }
    sums.map(|sum| sum / rows.len() as f64)
}

fn learned(tools: &[Tool], rows: &[(String, String)]) -> [f64; 5] {
    let mut sums = [0.0; 5];
    for fold in 0..FOLDS {
        let of = |held: bool| {
            rows.iter()
                .enumerate()
                .filter(move |(at, _)| (at % FOLDS == fold) == held)
                .map(|(_, row)| row)
        };
        let mut catalogue = Catalogue::new(tools.to_vec());
        for (need, tool) in of(false) {
            catalogue.learn(need, tool);
        }
        let held: Vec<(String, String)> = of(true).cloned().collect();
        let scored = recall(&held, |need| found(&catalogue, need));
        for (sum, one) in sums.iter_mut().zip(scored) {
            *sum += one * held.len() as f64;
        }
    }
    sums.map(|sum| sum / rows.len() as f64)
}

fn shown(scores: &[f64; 5]) -> String {
    let [one, three, five, ten, mrr] = scores;
    format!("{one:.3} / {three:.3} / {five:.3} / {ten:.3}, {mrr:.3}")
}

/// BM25 over name and description, written here and sharing nothing with the product.
struct Plain {
    names: Vec<String>,
    postings: HashMap<String, BTreeMap<usize, f64>>,
    lengths: Vec<f64>,
}

impl Plain {
    fn new(tools: &[Tool]) -> Plain {
        let mut plain = Plain {
            names: Vec::new(),
            postings: HashMap::new(),
            lengths: Vec::new(),
        };
        for (place, tool) in tools.iter().enumerate() {
            let words = words(&format!("{} {}", tool.name, tool.description));
            plain.lengths.push(words.len() as f64);
            for word in words {
                *plain.postings.entry(word).or_default().entry(place).or_default() += 1.0;
            }
            plain.names.push(tool.name.clone());
        }
        plain
    }

    fn find(&self, need: &str) -> Vec<String> {
        let total = self.names.len() as f64;
        let average = self.lengths.iter().sum::<f64>() / total;
        let mut scores = vec![0.0; self.names.len()];
        for word in words(need).into_iter().collect::<HashSet<_>>() {
            let Some(postings) = self.postings.get(&word) else {
                continue;
            };
            let known = postings.len() as f64;
            let idf = ((total - known + 0.5) / (known + 0.5)).ln_1p();
            for (place, count) in postings {
                scores[*place] += idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * self.lengths[*place] / average));
            }
        }
        let mut order: Vec<usize> = (0..scores.len()).filter(|place| scores[*place] > 0.0).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
        order
            .into_iter()
            .take(10)
            .map(|place| self.names[place].clone())
            .collect()
    }
}

fn words(text: &str) -> Vec<String> {
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}
