//! How often the files that a fix changed are among the first found for its issue: `cargo bench -p wheelhouse-engine
//! --bench localisation -- --data DIR --trees DIR [--weights DIR] [--kept DIR] [--titles]`.
//!
//! `--weights` names a model: one of static vectors is a sixth way of looking, with its weight chosen like the others; an
//! encoder orders the first places anew, and `--kept` keeps its vectors for the next time. `--titles` asks with the first line
//! of each issue alone: vectors are for short questions.
//! DIR of the data has `instances.jsonl` (issue, changed files, patch); DIR of the trees one directory for each release,
//! `NAME-VERSION`. An issue is searched in the release that has the most of the lines its patch expects. Test files are
//! no candidates. The baseline is BM25 over whole files, written here and sharing nothing with the product. Weights are
//! chosen on all repositories but one and scored on that one.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wheelhouse_context::retrieval::language::is_test;
use wheelhouse_context::retrieval::legs::Leg;
use wheelhouse_context::retrieval::packet::{self, Packet};
use wheelhouse_context::retrieval::search::{Options, RANK_CONSTANT, Unit, Weights};
use wheelhouse_engine::codebase::{Codebase, Stages, Weights as Model, by_meaning};

const AT: [usize; 5] = [1, 3, 5, 10, 20];
const FETCHED: usize = 200;
/// So many places are ordered anew by an encoder.
const REORDERED: usize = 40;

/// An issue with what was found for it.
struct Case {
    id: String,
    repo: String,
    gold: Vec<String>,
    plain: Vec<String>,
    fused: Vec<String>,
    /// The same, with the first ordered anew by an encoder: how near each is to the issue.
    near: Option<Vec<f32>>,
    /// Path and rank in each leg, for fusing anew.
    ranks: Vec<(String, BTreeMap<Leg, usize>)>,
    packet: Packet,
    peer: Option<Vec<String>>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).map(PathBuf::from)
    };
    let (Some(data), Some(trees)) = (value("--data"), value("--trees")) else {
        println!("localisation: passed over; it needs --data DIR and --trees DIR");
        return;
    };
    let way = Way {
        model: value("--weights").map(|path| Arc::new(Model::open(&path).expect("weights"))),
        kept: value("--kept"),
        titles: arguments.iter().any(|argument| argument == "--titles"),
    };
    let cases = cases(&data, &trees, &way);
    let repos: Vec<String> = cases
        .iter()
        .map(|case| case.repo.clone())
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    println!("\n{} issues of {} repositories", cases.len(), repos.len());
    println!(
        "{:<44} {}",
        "list",
        AT.map(|at| format!("{:>6}", format!("@{at}"))).join(" ")
    );
    row("BM25 alone, whole files", &cases, |case| case.plain.clone());
    for leg in Leg::ALL {
        row(&format!("only {}", leg.name()), &cases, |case| {
            fuse(case, Weights::only(leg), 60.0)
        });
    }
    row("all, equal weights, k=60", &cases, |case| {
        fuse(case, Weights([1.0; 6]), 60.0)
    });
    row("as built (default weights)", &cases, |case| case.fused.clone());
    with_vectors(&way, &cases);
    let grid = grid(way.model.as_ref().is_some_and(|model| model.is_static()));
    let chosen: HashMap<&str, (Weights, f32)> = repos
        .iter()
        .map(|out| {
            (
                out.as_str(),
                *best(&grid, cases.iter().filter(|case| case.repo != *out)),
            )
        })
        .collect();
    for (repo, (weights, k)) in &chosen {
        println!("  without {repo}: {:?} k={k}", weights.0);
    }
    row("weights cross-validated by repository", &cases, |case| {
        let (weights, k) = chosen[case.repo.as_str()];
        fuse(case, weights, k)
    });
    let (weights, k) = best(&grid, cases.iter());
    row(
        &format!("best of the grid on all (not a result) k={k}"),
        &cases,
        |case| fuse(case, *weights, *k),
    );
    println!("  {:?}", weights.0);
    row("stored predictions of an agent with a large model", &cases, |case| {
        case.peer.clone().unwrap_or_default()
    });
    packets(&cases);
    for repo in &repos {
        let own: Vec<&Case> = cases.iter().filter(|case| case.repo == *repo).collect();
        let at = |n, of: &dyn Fn(&Case) -> Vec<String>| {
            own.iter().filter(|case| hit(&of(case), &case.gold, n)).count() as f64 * 100.0 / own.len() as f64
        };
        println!(
            "{repo:<20} {:>3} issues  BM25 @1 {:>5.1} @5 {:>5.1}  built @1 {:>5.1} @5 {:>5.1}",
            own.len(),
            at(1, &|case| case.plain.clone()),
            at(5, &|case| case.plain.clone()),
            at(1, &|case| case.fused.clone()),
            at(5, &|case| case.fused.clone()),
        );
    }
    if arguments.iter().any(|argument| argument == "--misses") {
        for case in &cases {
            println!(
                "{} {:?} {:?}",
                case.id,
                case.gold,
                case.fused.iter().take(5).collect::<Vec<_>>()
            );
        }
    }
}

fn row(name: &str, cases: &[Case], of: impl Fn(&Case) -> Vec<String>) {
    let shares = AT.map(|at| {
        let hits = cases.iter().filter(|case| hit(&of(case), &case.gold, at)).count();
        format!("{:>6.1}", hits as f64 * 100.0 / cases.len() as f64)
    });
    println!("{name:<44} {}", shares.join(" "));
}

/// Whether all changed files are among the first so many.
fn hit(list: &[String], gold: &[String], at: usize) -> bool {
    let first: HashSet<&String> = list.iter().take(at).collect();
    gold.iter().all(|path| first.contains(path))
}

fn fuse(case: &Case, weights: Weights, k: f32) -> Vec<String> {
    let score = |ranks: &BTreeMap<Leg, usize>| -> f32 {
        let shares = ranks
            .iter()
            .map(|(leg, rank)| weights.0[*leg as usize] / (k + *rank as f32));
        shares.sum()
    };
    let mut scored: Vec<(f32, &String)> = case.ranks.iter().map(|(path, ranks)| (score(ranks), path)).collect();
    scored.retain(|(score, _)| *score > 0.0);
    scored.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
    scored.into_iter().map(|(_, path)| path.clone()).collect()
}

/// What the vectors alone change.
fn with_vectors(way: &Way, cases: &[Case]) {
    if way.model.as_ref().is_some_and(|model| model.is_static()) {
        row("as built, without meaning", cases, |case| {
            let mut weights = Weights::default();
            weights.0[Leg::Meaning as usize] = 0.0;
            fuse(case, weights, RANK_CONSTANT)
        });
    } else if way.model.is_some() {
        for share in [1.0, 0.5, 0.25] {
            row(
                &format!("first {REORDERED} by an encoder, share {share}"),
                cases,
                |case| anew(case, share),
            );
        }
    }
}

/// The first places ordered anew by nearness, which counts so much against the order there was.
fn anew(case: &Case, share: f32) -> Vec<String> {
    let near = case.near.as_deref().unwrap_or_default();
    let mut by_near: Vec<usize> = (0..near.len()).collect();
    by_near.sort_by(|one, other| near[*other].total_cmp(&near[*one]));
    let part = |rank: usize| 1.0 / (RANK_CONSTANT + rank as f32 + 1.0);
    let mut scores: Vec<f32> = (0..near.len()).map(part).collect();
    for (rank, place) in by_near.iter().enumerate() {
        scores[*place] += share * part(rank);
    }
    let mut order: Vec<usize> = (0..near.len()).collect();
    order.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]));
    let first = order.iter().map(|place| case.fused[*place].clone());
    first.chain(case.fused[near.len()..].iter().cloned()).collect()
}

fn grid(with_meaning: bool) -> Vec<(Weights, f32)> {
    let meanings: &[f32] = if with_meaning {
        &[0.0, 0.1, 0.25, 0.5, 1.0]
    } else {
        &[0.0]
    };
    let mut grid = Vec::new();
    for k in [10.0, 60.0] {
        for definitions in [0.5, 1.0] {
            for paths in [0.5, 1.0, 1.5, 2.0] {
                for neighbours in [0.0, 0.1, 0.25, 0.5] {
                    for likeness in [0.0, 0.25, 0.5, 1.0] {
                        for meaning in meanings {
                            grid.push((Weights([1.0, definitions, paths, neighbours, likeness, *meaning]), k));
                        }
                    }
                }
            }
        }
    }
    grid
}

/// The weights with the best sum of shares at 1, 5 and 10.
fn best<'a>(grid: &'a [(Weights, f32)], cases: impl Iterator<Item = &'a Case> + Clone) -> &'a (Weights, f32) {
    let value = |(weights, k): &(Weights, f32)| -> usize {
        let each = cases.clone().map(|case| {
            let list = fuse(case, *weights, *k);
            [1, 5, 10].iter().filter(|at| hit(&list, &case.gold, **at)).count()
        });
        each.sum()
    };
    // The first of equals, so that the choice does not hang on the order of a map.
    let mut found = (&grid[0], value(&grid[0]));
    for one in &grid[1..] {
        let own = value(one);
        if own > found.1 {
            found = (one, own);
        }
    }
    found.0
}

fn packets(cases: &[Case]) {
    let (mut injected, mut right, mut chars) = (0, 0, 0);
    for case in cases {
        if let Packet::Inject { excerpts, .. } = &case.packet {
            injected += 1;
            chars += excerpts.iter().map(|one| one.text.len()).sum::<usize>();
            right += usize::from(
                case.gold
                    .iter()
                    .any(|gold| excerpts.iter().any(|one| one.path == *gold)),
            );
        }
    }
    println!(
        "packet: given for {injected} of {} issues ({} bytes on average), with a changed file in {right} of them",
        cases.len(),
        chars / injected.max(1)
    );
}

/// How the issues are asked.
struct Way {
    model: Option<Arc<Model>>,
    kept: Option<PathBuf>,
    titles: bool,
}

impl Way {
    fn question<'a>(&self, instance: &'a serde_json::Value) -> &'a str {
        let whole = instance["problem_statement"].as_str().unwrap();
        let title = whole.lines().find(|line| !line.trim().is_empty());
        title.filter(|_| self.titles).unwrap_or(whole)
    }
}

fn cases(data: &Path, trees: &Path, way: &Way) -> Vec<Case> {
    let text = std::fs::read_to_string(data.join("instances.jsonl")).expect("instances.jsonl");
    let mut by_tree: BTreeMap<PathBuf, Vec<(serde_json::Value, Vec<String>)>> = BTreeMap::new();
    let mut releases: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for entry in std::fs::read_dir(trees).expect("the trees") {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let name = name.rsplit_once('-').map_or(name.as_str(), |(name, _)| name).to_owned();
        releases.entry(name).or_default().push(path);
    }
    releases.values_mut().for_each(|paths| paths.sort());
    for line in text.lines() {
        let instance: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let repo = instance["repo"].as_str().unwrap();
        let name = repo.rsplit('/').next().unwrap();
        let Some(candidates) = releases.get(name) else { continue };
        let gold: Vec<&str> = instance["gold_files"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one.as_str())
            .collect();
        let nearest = candidates
            .iter()
            .filter_map(|tree| {
                let there: Option<Vec<String>> = gold.iter().map(|path| in_tree(tree, path)).collect();
                let there = there?;
                Some((
                    likeness(tree, &there, instance["gold_patch"].as_str().unwrap()),
                    tree,
                    there,
                ))
            })
            .max_by(|one, other| one.0.total_cmp(&other.0));
        if let Some((_, tree, there)) = nearest {
            by_tree.entry(tree.clone()).or_default().push((instance.clone(), there));
        }
    }
    let mut cases = Vec::new();
    let model = way.model.as_ref();
    let table = model.filter(|model| model.is_static());
    let stages = Stages {
        meaning: table.map(|model| Arc::clone(model) as _),
        second: None,
    };
    for (tree, instances) in by_tree {
        let mut codebase = Codebase::open(&tree, None);
        codebase.update().expect("an index");
        let plain = Plain::new(&tree);
        eprintln!(
            "{}: {} files, {} issues",
            tree.display(),
            codebase.extent().files,
            instances.len()
        );
        for (instance, gold) in instances {
            let issue = way.question(&instance);
            let options = Options {
                count: FETCHED,
                unit: Unit::File,
                code_only: true,
                no_tests: true,
                ..Options::default()
            };
            let hour = Duration::from_secs(3600);
            let (hits, _) = codebase.find(issue, &options, hour, &stages).expect("an answer");
            // Every leg, also those without weight, for fusing anew.
            let all = Options {
                weights: Weights([1.0; 6]),
                ..options
            };
            let (ranked, _) = codebase.find(issue, &all, hour, &stages).expect("an answer");
            let near = model.filter(|model| !model.is_static()).map(|model| {
                let first = &hits[..hits.len().min(REORDERED)];
                let ordered = by_meaning(model.as_ref(), 1.0, way.kept.as_deref(), issue, first, &codebase.tree());
                ordered.expect("an order").near
            });
            let task = packet::Task {
                prompt: issue,
                checks: &[],
                chars_max: packet::CHARS_MAX,
            };
            let peer = instance["peer_locagent_claude35"]["files"]
                .as_array()
                .map(|files| files.iter().filter_map(|path| in_tree(&tree, path.as_str()?)).collect());
            cases.push(Case {
                id: instance["instance_id"].as_str().unwrap().to_owned(),
                repo: instance["repo"].as_str().unwrap().to_owned(),
                plain: plain.rank(issue),
                near,
                fused: hits.into_iter().map(|hit| hit.path).collect(),
                ranks: ranked.into_iter().map(|hit| (hit.path, hit.ranks)).collect(),
                packet: packet::packet(&codebase.index(), &codebase.tree(), &task),
                peer,
                gold,
            });
        }
    }
    cases
}

/// Where a path of the repository is in a release, which may leave the folder of sources out.
fn in_tree(tree: &Path, path: &str) -> Option<String> {
    let shorter = path.strip_prefix("src/").or_else(|| path.strip_prefix("lib/"));
    let found = [Some(path), shorter]
        .into_iter()
        .flatten()
        .find(|path| tree.join(path).is_file());
    found.map(str::to_owned)
}

/// The share of the lines that the patch expects which are there.
fn likeness(tree: &Path, gold: &[String], patch: &str) -> f64 {
    let mut lines: HashSet<String> = HashSet::new();
    for path in gold {
        let text = std::fs::read(tree.join(path)).unwrap_or_default();
        lines.extend(
            String::from_utf8_lossy(&text)
                .lines()
                .map(|line| line.trim_end().to_owned()),
        );
    }
    let expected = patch
        .lines()
        .filter(|line| (line.starts_with(' ') || line.starts_with('-')) && !line.starts_with("---"));
    let expected: Vec<&str> = expected
        .map(|line| line[1..].trim_end())
        .filter(|line| line.len() > 4)
        .collect();
    let there = expected.iter().filter(|line| lines.contains(**line)).count();
    there as f64 / expected.len().max(1) as f64
}

/// BM25 over whole files, by itself: words of letters, digits and `_`, and their parts.
struct Plain {
    files: Vec<(String, HashMap<String, f32>, f32)>,
    with: HashMap<String, f32>,
    mean: f32,
}

impl Plain {
    fn new(tree: &Path) -> Plain {
        let mut files = Vec::new();
        let mut with: HashMap<String, f32> = HashMap::new();
        let mut pending = vec![tree.to_owned()];
        while let Some(directory) = pending.pop() {
            for entry in std::fs::read_dir(directory).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    pending.push(path);
                    continue;
                }
                let below = path.strip_prefix(tree).unwrap().to_string_lossy().into_owned();
                if !below.ends_with(".py") || is_test(&below) {
                    continue;
                }
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                let mut counts: HashMap<String, f32> = HashMap::new();
                for word in words(&text) {
                    *counts.entry(word).or_default() += 1.0;
                }
                counts
                    .keys()
                    .for_each(|word| *with.entry(word.clone()).or_default() += 1.0);
                let length = counts.values().sum();
                files.push((below, counts, length));
            }
        }
        let mean = files.iter().map(|file| file.2).sum::<f32>() / files.len().max(1) as f32;
        Plain { files, with, mean }
    }

    fn rank(&self, issue: &str) -> Vec<String> {
        let mut asked: HashMap<String, f32> = HashMap::new();
        for word in words(issue) {
            let count = asked.entry(word).or_default();
            *count = (*count + 1.0).min(3.0);
        }
        let all = self.files.len() as f32;
        let mut scored: Vec<(f32, &String)> = Vec::new();
        for (path, counts, length) in &self.files {
            let mut score = 0.0;
            for (word, times) in &asked {
                let Some(count) = counts.get(word) else { continue };
                let with = self.with[word];
                let idf = (1.0 + (all - with + 0.5) / (with + 0.5)).ln();
                score += times * idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / self.mean));
            }
            scored.push((score, path));
        }
        scored.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
        scored.into_iter().take(FETCHED).map(|(_, path)| path.clone()).collect()
    }
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for whole in text
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| word.len() > 1)
    {
        let mut parts: Vec<String> = vec![String::new()];
        let mut before = ' ';
        for c in whole.chars() {
            if c == '_' || (c.is_uppercase() && before.is_lowercase()) {
                parts.push(String::new());
            }
            if c != '_' {
                parts.last_mut().unwrap().extend(c.to_lowercase());
            }
            before = c;
        }
        parts.retain(|part| part.len() > 1);
        if parts.len() > 1 {
            words.push(whole.to_lowercase());
        }
        words.append(&mut parts);
    }
    words
}
