//! `wheelhouse find` from outside: what is found and why, what is left out and said, and bad trees.

use std::fs;
use std::os::unix::fs::symlink;

use wheelhouse_testkit::model_api::{ModelApi, Script};

use crate::{House, until};

const LEASE: &str =
    "//! Leases.\n\n/// Renews a lease before it ends.\npub fn renew_lease(lease: u32) -> u32 {\n    lease + 1\n}\n";

fn house() -> House {
    let house = House::new();
    fs::create_dir(house.project().join(".git")).unwrap();
    house.write("src/lease.rs", LEASE);
    house.write("src/clock.py", "import lease\n\ndef tick(now):\n    return now + 1\n");
    house.write("docs/lease.md", "# Leases\n\nA lease ends.\n");
    house
}

fn paths(document: &serde_json::Value) -> Vec<String> {
    let hits = document["hits"].as_array().unwrap();
    hits.iter()
        .map(|hit| hit["path"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn places_are_found_with_why() {
    let house = house();
    let done = house.ok(&["find", "who renews a lease"]);
    assert!(
        done.out.starts_with("src/lease.rs:1-6  function renew_lease\n"),
        "{}",
        done.out
    );
    assert!(done.out.contains("  words "), "{}", done.out);
    assert!(done.err.contains("3 files searched"), "{}", done.err);
    let document = house.json(&["find", "renew_lease"]);
    let first = &document["hits"][0];
    assert_eq!(first["path"], "src/lease.rs");
    assert_eq!((first["start"].as_u64(), first["line"].as_u64()), (Some(4), Some(4)));
    assert_eq!(first["why"]["defines"][0], "renew_lease");
    assert_eq!(first["why"]["ranks"]["definitions"], 1);
    assert_eq!(
        document["index"]["changed"], 0,
        "nothing changed since the question before"
    );
}

#[test]
fn the_question_can_be_narrowed() {
    let house = house();
    assert_eq!(paths(&house.json(&["find", "lease", "--code", "--files"])).len(), 2);
    assert_eq!(
        paths(&house.json(&["find", "lease", "--in", "docs"])),
        ["docs/lease.md"]
    );
    assert_eq!(paths(&house.json(&["find", "lease", "-n", "1"])).len(), 1);
    let outside = house.run(&["find", "lease", "--in", "/etc"]);
    assert_eq!(outside.code, Some(2), "{outside:#?}");
    assert!(outside.err.contains("is not in the project"), "{}", outside.err);
    let nothing = house.run(&["find", "zzyzx"]);
    assert_eq!((nothing.code, nothing.out.as_str()), (Some(5), ""));
    assert!(
        nothing.err.contains("nothing found; 3 files searched"),
        "{}",
        nothing.err
    );
    let empty = house.run(&["find", "  "]);
    assert_eq!(empty.code, Some(2), "{empty:#?}");
}

#[test]
fn what_is_no_text_of_people_is_left_out_and_said() {
    let house = house();
    fs::write(house.project().join("image.rs"), b"lease \0 lease").unwrap();
    fs::write(house.project().join("latin.c"), b"/* caf\xe9 */ int lease_latin;\n").unwrap();
    house.write("bundle.js", &"var lease=1;".repeat(2_000));
    house.write("line.txt", &"lease ".repeat(3_000));
    house.write("data.json", &"\"lease\",\n".repeat(200_000));
    // A single line far larger than memory should ever see costs nothing: it is not read.
    let huge = fs::File::create(house.project().join("huge.txt")).unwrap();
    huge.set_len(100 << 20).unwrap();
    house.write(".gitignore", "secret/\n");
    house.write("secret/lease.rs", LEASE);
    symlink("..", house.project().join("src/loop")).unwrap();
    symlink("/etc/hostname", house.project().join("outside.txt")).unwrap();
    let document = house.json(&["find", "lease", "--files", "-n", "50"]);
    let mut found = paths(&document);
    found.sort();
    assert_eq!(found, ["docs/lease.md", "latin.c", "src/clock.py", "src/lease.rs"]);
    assert_eq!(
        document["index"]["skipped"],
        serde_json::json!({"binary": 1, "large": 2, "minified": 2})
    );
    let done = house.ok(&["find", "lease"]);
    assert!(
        done.err.contains("left out: 1 binary, 2 large, 2 minified"),
        "{}",
        done.err
    );
}

#[test]
fn changes_are_seen_at_once() {
    let house = house();
    house.ok(&["find", "lease"]);
    house.write("src/lease.rs", "pub fn surrender_lease() {}\n");
    fs::remove_file(house.project().join("docs/lease.md")).unwrap();
    house.write("src/fresh.go", "package a\n\nfunc SurrenderNow() {}\n");
    let document = house.json(&["find", "surrender"]);
    assert_eq!(paths(&document), ["src/fresh.go", "src/lease.rs"]);
    assert_eq!(document["hits"][1]["within"], "function surrender_lease");
    assert!(
        house.json(&["find", "lease ends"])["hits"]
            .as_array()
            .unwrap()
            .iter()
            .all(|hit| hit["path"] != "docs/lease.md")
    );
}

#[test]
fn a_damaged_index_is_built_anew_and_that_is_said() {
    let house = house();
    house.ok(&["find", "lease"]);
    let index = house.project().join(".wheelhouse/index");
    for entry in fs::read_dir(&index).unwrap() {
        let path = entry.unwrap().path();
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 0xff;
        for damage in [bad, Vec::new(), good[..good.len() / 2].to_vec()] {
            fs::write(&path, damage).unwrap();
            let done = house.ok(&["find", "renew_lease"]);
            assert!(done.err.contains("the index was"), "{}: {}", path.display(), done.err);
            assert!(done.err.contains("it is built anew"), "{}", done.err);
            assert!(done.out.starts_with("src/lease.rs:"), "{}", done.out);
            assert!(!house.ok(&["find", "renew_lease"]).err.contains("anew"));
        }
    }
}

#[test]
fn nothing_is_left_behind_where_no_project_is() {
    let house = House::new();
    house.write("a.rs", LEASE);
    let done = house.ok(&["find", "renew_lease"]);
    assert!(done.out.starts_with("a.rs:4-6"), "{}", done.out);
    assert!(!house.project().join(".wheelhouse").exists());
}

#[test]
fn a_second_stage_orders_anew_or_is_said_to_have_failed() {
    let house = house();
    let reversed =
        "python3 -c 'import json,sys; d=json.load(sys.stdin); print([c[\"number\"] for c in d[\"candidates\"]][::-1])'";
    let before = paths(&house.json(&["find", "lease"]));
    let after = paths(&house.json(&["find", "lease", "--rerank", reversed]));
    assert_eq!(after, before.iter().rev().cloned().collect::<Vec<_>>());
    let kept = paths(&house.json(&["find", "lease", "--rerank", "echo '[99, 1]'"]));
    assert_eq!(kept[0], before[1]);
    for broken in ["echo nonsense", "exit 3", "cat /dev/null"] {
        let done = house.ok(&["find", "lease", "--rerank", broken]);
        assert!(
            done.err.contains("in the order of the first stage"),
            "{broken}: {}",
            done.err
        );
        assert!(done.out.starts_with(&before[0]), "{broken}: {}", done.out);
    }
}

#[test]
fn a_question_can_be_a_stack_trace_on_stdin() {
    use std::io::Write;
    let house = house();
    let mut child = house
        .command(&["find", "-", "--json"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let trace = "Traceback (most recent call last):\n  File \"/home/x/src/clock.py\", line 4, in tick\nTypeError: unsupported\n";
    child.stdin.take().unwrap().write_all(trace.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["hits"][0]["path"], "src/clock.py");
    assert_eq!(document["hits"][0]["why"]["ranks"]["paths"], 1);
}

/// A project with an endpoint for vectors, and three pages about leases: the fake's vectors are of the beginnings of words, so
/// by its lights the second is nearest.
fn with_vectors(fake: &ModelApi, model: &str) -> House {
    let house = House::new().with_env("E_KEY", "sk-embedding-key");
    house.write(
        "wheelhouse.toml",
        &format!(
            "[find.embeddings]\nurl = \"{}\"\nmodel = \"{model}\"\nkey_env = \"E_KEY\"\n",
            fake.openai_url()
        ),
    );
    house.ok(&["init"]);
    house.write(
        "one.md",
        "lease lease lease and one two three four five six seven eight nine\n",
    );
    house.write("two.md", "lease lease leave leads leash learn leans\n");
    house.write(
        "three.md",
        "a lease of other things with many words in between that are not near\n",
    );
    house
}

fn asked(fake: &ModelApi) -> usize {
    let all = fake.timeline();
    all.iter()
        .filter(|attempt| attempt.request.contains("/v1/embeddings"))
        .count()
}

#[test]
fn places_are_ordered_by_meaning_where_an_endpoint_is_named() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = with_vectors(&fake, "small");
    let plain = house.json(&["find", "lease", "--files", "--set", "find.embeddings.url="]);
    assert_eq!((asked(&fake), &plain["second_stage"]), (0, &serde_json::Value::Null));
    let document = house.json(&["find", "lease", "--files"]);
    assert_eq!(paths(&document)[0], "two.md", "{document:#}");
    assert_ne!(paths(&plain)[0], "two.md", "{plain:#}");
    let how = document["second_stage"].as_str().unwrap();
    assert!(
        how.starts_with("ordered by meaning with small: 4 texts asked for, 0 known, "),
        "{how}"
    );
    assert!(how.ends_with("tokens, cost unknown"), "{how}");
    // What is known is asked for once; what changed is asked for again, and nothing else.
    let again = house.ok(&["find", "lease", "--files"]);
    assert!(
        again.err.contains("ordered by meaning with small, all 4 texts known"),
        "{again:#?}"
    );
    assert_eq!(asked(&fake), 1);
    house.write(
        "three.md",
        "a lease of yet other things with many words in between that are not near\n",
    );
    let changed = house.ok(&["find", "lease", "--files"]);
    assert!(changed.err.contains("1 texts asked for, 3 known"), "{changed:#?}");
    // A command has the last word.
    let last = house.json(&["find", "lease", "--files", "--rerank", "echo '[2]'"]);
    assert_eq!(paths(&last)[1..], paths(&document)[..2], "{last:#}");
    // Agents that ask are answered in the same order.
    let _engine = house.start(&["serve"]);
    until("the engine is up", || {
        house.json(&["status"])["engine"]["running"] == true
    });
    let mut client = crate::mcp::Client::new(&house);
    let hello = serde_json::json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    client.ask("initialize", hello);
    let called = client.ask(
        "tools/call",
        serde_json::json!({"name": "find_code", "arguments": {"query": "lease"}}),
    );
    assert!(called["result"]["isError"] != true, "{called:#}");
    assert!(called.to_string().contains("two.md"), "{called:#}");
    assert!(asked(&fake) >= 2);
}

#[test]
fn an_endpoint_that_fails_leaves_the_local_order_and_is_said() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = with_vectors(&fake, "fault-500");
    let plain = paths(&house.json(&["find", "lease", "--files", "--set", "find.embeddings.url="]));
    let said = "the places are not ordered by meaning, but by the local ways of looking alone: ";
    let broken = house.ok(&["find", "lease", "--files"]);
    assert!(
        broken.err.contains(said) && broken.err.contains("answered 500"),
        "{broken:#?}"
    );
    assert!(broken.out.starts_with(&plain[0]), "{broken:#?}");
    assert!(!format!("{broken:?}").contains("sk-embedding-key"), "{broken:#?}");
    let nobody = house.ok(&[
        "find",
        "lease",
        "--files",
        "--set",
        "find.embeddings.url=http://127.0.0.1:9/v1",
    ]);
    assert!(
        nobody.err.contains(said) && nobody.err.contains("cannot be reached"),
        "{nobody:#?}"
    );
    let keyless = house.ok(&[
        "find",
        "lease",
        "--files",
        "--set",
        "find.embeddings.key_env=NO_SUCH_KEY",
    ]);
    assert!(
        keyless
            .err
            .contains("there is no key in the environment variable NO_SUCH_KEY"),
        "{keyless:#?}"
    );
    let clear = house.ok(&[
        "find",
        "lease",
        "--files",
        "--set",
        "find.embeddings.url=http://192.0.2.1/v1",
    ]);
    assert!(clear.err.contains("in clear"), "{clear:#?}");
    let weights = house.run(&["find", "lease", "--set", "find.embeddings.url=/models/minilm"]);
    assert_eq!(weights.code, Some(2), "{weights:#?}");
    assert!(
        weights
            .err
            .contains("a directory of weights is named by `find.embeddings.directory`"),
        "{weights:#?}"
    );
    let both = house.run(&["find", "lease", "--set", "find.embeddings.directory=/models/minilm"]);
    assert_eq!(both.code, Some(2), "{both:#?}");
    assert!(both.err.contains("vectors come from one of them"), "{both:#?}");
}

/// The words that the models below know: those about leases point one way, all others another.
const KNOWN: [&str; 16] = [
    "[UNK]", "lease", "tenancy", "renewal", "[CLS]", "[SEP]", "one", "two", "three", "other", "things", "words",
    "many", "of", "a", "with",
];

/// A directory with a model: its weights, and a tokenizer of these words.
fn model(config: &str, tensors: &[(&str, &[usize], Vec<f32>)]) -> tempfile::TempDir {
    let vocab: serde_json::Map<String, serde_json::Value> = KNOWN
        .iter()
        .zip(0..)
        .map(|(word, id)| ((*word).to_owned(), id.into()))
        .collect();
    let tokenizer = serde_json::json!({
        "normalizer": {"type": "BertNormalizer", "lowercase": true}, "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": vocab},
    });
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, numbers) in tensors {
        let from = data.len();
        numbers.iter().for_each(|number| data.extend(number.to_le_bytes()));
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [from, data.len()]});
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::Value::Object(header).to_string();
    let bytes = [(header.len() as u64).to_le_bytes().to_vec(), header.into_bytes(), data].concat();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("model.safetensors"), bytes).unwrap();
    fs::write(directory.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    fs::write(directory.path().join("config.json"), config).unwrap();
    directory
}

/// How many numbers a vector has.
const WIDTH: usize = 4;

/// Vectors of the known words.
fn rows() -> Vec<f32> {
    let row = |id| {
        if (1..6).contains(&id) {
            [1.0, 0.0, 0.0, 0.0]
        } else {
            [0.0, 1.0, 0.0, 0.0]
        }
    };
    (0..KNOWN.len()).flat_map(row).collect()
}

/// A table of static vectors.
fn table() -> tempfile::TempDir {
    let config = r#"{"model_type": "model2vec", "hidden_dim": 4}"#;
    model(config, &[("embeddings", &[KNOWN.len(), WIDTH], rows())])
}

/// An encoder of one layer that passes on what its words say.
fn encoder() -> tempfile::TempDir {
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    let mut add = |name: &str, shape: &[usize], number: f32| {
        let count = shape.iter().product();
        tensors.push((name.to_owned(), shape.to_vec(), vec![number; count]));
    };
    add("embeddings.position_embeddings.weight", &[64, WIDTH], 0.0);
    add("embeddings.token_type_embeddings.weight", &[2, WIDTH], 0.0);
    let layer = |part: &str| format!("encoder.layer.0.{part}");
    for (part, rows, columns) in [
        ("attention.self.query", WIDTH, WIDTH),
        ("attention.self.key", WIDTH, WIDTH),
        ("attention.self.value", WIDTH, WIDTH),
        ("attention.output.dense", WIDTH, WIDTH),
        ("intermediate.dense", 8, WIDTH),
        ("output.dense", WIDTH, 8),
    ] {
        add(&layer(&format!("{part}.weight")), &[rows, columns], 0.0);
        add(&layer(&format!("{part}.bias")), &[rows], 0.0);
    }
    for norm in [
        "embeddings.LayerNorm",
        &layer("attention.output.LayerNorm"),
        &layer("output.LayerNorm"),
    ] {
        add(&format!("{norm}.weight"), &[WIDTH], 1.0);
        add(&format!("{norm}.bias"), &[WIDTH], 0.0);
    }
    tensors.push((
        "embeddings.word_embeddings.weight".to_owned(),
        vec![KNOWN.len(), WIDTH],
        rows(),
    ));
    let config = serde_json::json!({
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": WIDTH, "num_attention_heads": 1, "num_hidden_layers": 1,
        "intermediate_size": 8, "max_position_embeddings": 64, "type_vocab_size": 2, "vocab_size": KNOWN.len(),
    });
    let tensors: Vec<(&str, &[usize], Vec<f32>)> = tensors
        .iter()
        .map(|(name, shape, numbers)| (name.as_str(), shape.as_slice(), numbers.clone()))
        .collect();
    model(&config.to_string(), &tensors)
}

/// A project that names a directory of weights.
fn with_weights(weights: &std::path::Path) -> House {
    let house = House::new();
    house.write(
        "wheelhouse.toml",
        &format!("find.embeddings.directory = \"{}\"\n", weights.display()),
    );
    house.ok(&["init"]);
    house.write(
        "one.md",
        "lease lease lease and one two three one two three other things\n",
    );
    house.write("two.md", "a lease tenancy tenancy tenancy\n");
    house.write("three.md", "a lease of other things with many words of many things\n");
    house
}

#[test]
fn an_encoder_of_a_directory_orders_the_best_places() {
    let weights = encoder();
    let house = with_weights(weights.path());
    // The shorter the better, by words alone; by meaning the one about tenancies.
    for number in 0..10 {
        let text = format!("lease{}\n", " other".repeat(number + 1));
        house.write(&format!("page-{number}.md"), &text);
    }
    let place = |document: &serde_json::Value| paths(document).iter().position(|path| path == "two.md").unwrap();
    let ask = ["find", "lease", "--files", "-n", "20"];
    let plain = house.json(&[&ask[..], &["--set", "find.embeddings.directory="]].concat());
    let document = house.json(&ask);
    assert!(place(&document) < place(&plain), "{plain:#} {document:#}");
    assert_eq!(plain["second_stage"], serde_json::Value::Null);
    let how = document["second_stage"].as_str().unwrap();
    let said = " on this machine: 14 texts read, 0 known";
    assert!(
        how.starts_with("ordered by meaning with ") && how.ends_with(said),
        "{how}"
    );
    // A directory is named as seen from the project, and the same weights under another name know the same texts.
    std::os::unix::fs::symlink(weights.path(), house.project().join("model")).unwrap();
    let relative = house.json(&[&ask[..], &["--set", "find.embeddings.directory=model"]].concat());
    assert_eq!(paths(&relative), paths(&document));
    let how = relative["second_stage"].as_str().unwrap();
    assert!(
        how.ends_with("with model on this machine: 0 texts read, 14 known"),
        "{how}"
    );
}

#[test]
fn static_vectors_find_what_no_word_says() {
    let weights = table();
    let house = with_weights(weights.path());
    house.write("four.md", "many other words\n");
    let off = ["find", "renewal", "--files", "--set", "find.embeddings.directory="];
    assert_eq!(house.run(&off).code, Some(5), "no file has the word, nor one like it");
    let document = house.json(&["find", "renewal", "--files"]);
    assert_eq!(paths(&document)[0], "two.md", "{document:#}");
    assert!(!paths(&document).contains(&"four.md".to_owned()), "{document:#}");
    assert_eq!(document["hits"][0]["why"]["ranks"], serde_json::json!({"meaning": 1}));
    assert_eq!(document["second_stage"], serde_json::Value::Null);
    let pieces = document["index"]["vectors"].as_u64().unwrap();
    let kept = house.project().join(".wheelhouse/index/meaning");
    let first = fs::read(&kept).unwrap();
    // Only what changed is read anew; what is gone is forgotten.
    house.write("four.md", "tenancy\n");
    fs::remove_file(house.project().join("two.md")).unwrap();
    let changed = house.ok(&["find", "renewal", "--files"]);
    assert!(
        changed.out.starts_with("four.md:1-1") && changed.out.contains("  near in meaning\n"),
        "{changed:#?}"
    );
    assert!(
        changed
            .err
            .contains(&format!("; {} pieces looked at by meaning", pieces - 1)),
        "{changed:#?}"
    );
    assert_ne!(fs::read(&kept).unwrap(), first);
    // Vectors that are damaged, or of another model, are made anew.
    for bytes in [b"damaged".to_vec(), first] {
        fs::write(&kept, bytes).unwrap();
        assert_eq!(paths(&house.json(&["find", "renewal", "--files"]))[0], "four.md");
    }
    // Agents that ask are answered from the same vectors.
    let _engine = house.start(&["serve"]);
    until("the engine is up", || {
        house.json(&["status"])["engine"]["running"] == true
    });
    let mut client = crate::mcp::Client::new(&house);
    let hello = serde_json::json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    client.ask("initialize", hello);
    let query = serde_json::json!({"name": "find_code", "arguments": {"query": "renewal"}});
    let called = client.ask("tools/call", query);
    assert!(called.to_string().contains("four.md"), "{called:#}");
}

#[test]
fn weights_that_cannot_be_used_are_an_error_and_nothing_is_found_without_them() {
    let weights = table();
    let house = with_weights(weights.path());
    let refused = |said: &str| {
        let done = house.run(&["find", "lease"]);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{done:#?}");
        assert!(
            done.err.contains("`find.embeddings.directory`: ") && done.err.contains(said),
            "{done:#?}"
        );
        assert!(
            done.err.contains("of a Model2Vec model or of a BERT sentence encoder"),
            "{done:#?}"
        );
    };
    let file = |name: &str| weights.path().join(name);
    let model = fs::read(file("model.safetensors")).unwrap();
    fs::write(file("model.safetensors"), &model[..model.len() - 1]).unwrap();
    refused(
        "model.safetensors: it is cut off or damaged: tensor `embeddings` ends at byte 256 of its data, which has 255",
    );
    fs::remove_file(file("model.safetensors")).unwrap();
    fs::create_dir(file("model.safetensors")).unwrap();
    refused("model.safetensors could not be read: it is no file");
    fs::write(file("config.json"), r#"{"model_type": "qwen3"}"#).unwrap();
    fs::remove_dir(file("model.safetensors")).unwrap();
    refused("model.safetensors is not there");
    fs::write(file("model.safetensors"), &model).unwrap();
    refused("config.json has `\"model_type\": \"qwen3\"`; what is read here: `model2vec` (static vectors) and `bert`");
    fs::remove_file(file("tokenizer.json")).unwrap();
    refused("tokenizer.json (or vocab.txt) is not there");
    // A server says so when it is started, not to each agent that asks.
    let serve = house.run(&["serve"]);
    assert_eq!(serve.code, Some(2), "{serve:#?}");
    assert!(
        serve.err.contains("tokenizer.json (or vocab.txt) is not there"),
        "{serve:#?}"
    );
    let set = |path: &str| house.run(&["find", "lease", "--set", &format!("find.embeddings.directory={path}")]);
    let done = set("/no/such/place");
    assert!(
        done.code == Some(2) && done.err.contains("/no/such/place is not there"),
        "{done:#?}"
    );
    let done = set("one.md");
    assert!(
        done.code == Some(2) && done.err.contains("one.md is no directory"),
        "{done:#?}"
    );
}
