//! Models made here, with numbers that an independent program computed; and the real one, where a directory of it is named.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

type Tree = BTreeMap<String, Vec<u8>>;

const VOCABULARY: [&str; 12] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "lease", "##s", "ren", "##ew", "where", "are", "_", "x",
];

/// A safetensors file of tensors in F32.
fn tensors(all: &[(&str, Vec<usize>, Vec<f32>)]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, numbers) in all {
        let from = data.len();
        numbers.iter().for_each(|number| data.extend(number.to_le_bytes()));
        header.insert(
            (*name).to_owned(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [from, data.len()]}),
        );
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn tokenizer() -> Vec<u8> {
    let vocab: serde_json::Map<String, Value> = VOCABULARY
        .iter()
        .enumerate()
        .map(|(id, word)| ((*word).to_owned(), json!(id)))
        .collect();
    json!({
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab},
    })
    .to_string()
    .into_bytes()
}

/// Two numbers a token: its id and 1.
fn lookup() -> Tree {
    let rows = (0..12).flat_map(|id| [id as f32, 1.0]).collect();
    BTreeMap::from([
        (
            "config.json".to_owned(),
            br#"{"model_type": "model2vec", "hidden_dim": 2}"#.to_vec(),
        ),
        ("tokenizer.json".to_owned(), tokenizer()),
        (
            "model.safetensors".to_owned(),
            tensors(&[("embeddings", vec![12, 2], rows)]),
        ),
    ])
}

/// The numbers of a tensor of the tiny encoder: a wave, so that whoever computes it anew needs only this line.
fn wave(seed: usize, shape: &[usize]) -> Vec<f32> {
    let count: usize = shape.iter().product();
    (0..count)
        .map(|i| ((i + 1) as f32 * 0.37 + seed as f32 * 1.3).sin() * 0.5)
        .collect()
}

/// An encoder of two layers of width 8 with two heads.
fn encoder() -> Tree {
    let mut all = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![12, 8]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![10, 8]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, 8]),
        ("embeddings.LayerNorm.weight".to_owned(), vec![8]),
        ("embeddings.LayerNorm.bias".to_owned(), vec![8]),
    ];
    for layer in 0..2 {
        let parts: [(&str, usize, usize); 6] = [
            ("attention.self.query", 8, 8),
            ("attention.self.key", 8, 8),
            ("attention.self.value", 8, 8),
            ("attention.output.dense", 8, 8),
            ("intermediate.dense", 16, 8),
            ("output.dense", 8, 16),
        ];
        for (part, rows, columns) in parts {
            all.push((format!("encoder.layer.{layer}.{part}.weight"), vec![rows, columns]));
            all.push((format!("encoder.layer.{layer}.{part}.bias"), vec![rows]));
        }
        for part in ["attention.output.LayerNorm", "output.LayerNorm"] {
            all.push((format!("encoder.layer.{layer}.{part}.weight"), vec![8]));
            all.push((format!("encoder.layer.{layer}.{part}.bias"), vec![8]));
        }
    }
    let waves: Vec<(&str, Vec<usize>, Vec<f32>)> = all
        .iter()
        .enumerate()
        .map(|(seed, (name, shape))| (name.as_str(), shape.clone(), wave(seed, shape)))
        .collect();
    let config = json!({
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2,
        "intermediate_size": 16, "max_position_embeddings": 10, "type_vocab_size": 2, "vocab_size": 12, "layer_norm_eps": 1e-12,
    });
    BTreeMap::from([
        ("config.json".to_owned(), config.to_string().into_bytes()),
        ("vocab.txt".to_owned(), VOCABULARY.join("\n").into_bytes()),
        ("model.safetensors".to_owned(), tensors(&waves)),
    ])
}

fn loaded(tree: &Tree) -> Model {
    Model::load(tree).unwrap_or_else(|why| panic!("{why}"))
}

/// Why a model with one file changed is refused.
fn refused(tree: &Tree, file: &str, bytes: Option<Vec<u8>>) -> String {
    let mut tree = tree.clone();
    match bytes {
        Some(bytes) => tree.insert(file.to_owned(), bytes),
        None => tree.remove(file),
    };
    match Model::load(&tree) {
        Ok(_) => panic!("{file} was accepted"),
        Err(why) => why.to_string(),
    }
}

fn near(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    let dot: f32 = one.iter().zip(other).map(|(a, b)| a * b).sum();
    let length = |of: &[f32]| of.iter().map(|x| x * x).sum::<f32>().sqrt();
    dot / (length(one) * length(other)).max(1e-9)
}

#[test]
fn words_are_cut_as_bert_cuts_them() {
    let words = loaded(&lookup()).words;
    let ids = |text: &str| words.tokens(text, usize::MAX);
    assert_eq!(ids("Where are LEASES rénew_x?"), [8, 9, 4, 5, 6, 7, 10, 11, 1]);
    assert_eq!(
        ids("lease\u{200b}s\u{3000}x\u{2014}x"),
        [4, 5, 11, 1, 11],
        "format characters go, spaces and dashes cut"
    );
    assert_eq!(ids("x漢x"), [11, 1, 11]);
    assert_eq!(ids("leaseq [SEP]"), [1, 1, 1, 1], "a special token in a text is text");
    assert_eq!(ids(&"x".repeat(101)), [1]);
    assert_eq!(words.tokens("x x x", 2), [11, 11]);
    assert_eq!(ids(" \n\t"), [0_u32; 0]);
}

#[test]
fn static_vectors_are_means_of_known_tokens() {
    let model = loaded(&lookup());
    assert!(model.is_static() && model.dimensions() == 2);
    // (4 + 5) and 2: what is unknown counts nothing.
    assert!(near(&model.vector("leases ???"), &[9.0, 2.0]) > 0.999_999);
    let length: f32 = model.vector("leases").iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-6);
    assert_eq!(model.vector("???"), [0.0, 0.0]);
    // Weights by token, rows shared by tokens.
    let mut tree = lookup();
    let parts = [
        ("embeddings", vec![2, 2], vec![1.0, 0.0, 0.0, 1.0]),
        ("weights", vec![12], (0..12).map(|id| id as f32).collect()),
    ];
    let mut bytes = tensors(&parts);
    let header = 8 + u64::from_le_bytes(*bytes.first_chunk::<8>().unwrap()) as usize;
    let mapping: Vec<u8> = (0..12_i64).flat_map(|id| (id % 2).to_le_bytes()).collect();
    let from = bytes.len() - header;
    let mut named: Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    named["mapping"] = json!({"dtype": "I64", "shape": [12], "data_offsets": [from, from + mapping.len()]});
    let named = named.to_string();
    let data = bytes.split_off(header);
    bytes = [
        (named.len() as u64).to_le_bytes().to_vec(),
        named.into_bytes(),
        data,
        mapping,
    ]
    .concat();
    tree.insert(WEIGHTS.to_owned(), bytes);
    // lease is 4 and even, ##s is 5 and odd.
    assert!(near(&loaded(&tree).vector("leases"), &[4.0, 5.0]) > 0.999_999);
}

#[test]
fn models_with_other_weights_have_other_names() {
    let one = loaded(&lookup());
    assert_eq!(one.name(), loaded(&lookup()).name());
    let mut tree = lookup();
    tree.insert(
        WEIGHTS.to_owned(),
        tensors(&[("embeddings", vec![12, 2], vec![0.5; 24])]),
    );
    assert_ne!(one.name(), loaded(&tree).name());
}

#[test]
fn what_is_no_model_is_refused_with_what_was_found_and_what_is_read() {
    let good = lookup();
    let bytes = good[WEIGHTS].clone();
    let cases: [(&str, Option<Vec<u8>>, &str); 12] = [
        (CONFIG, None, "config.json is not there"),
        (WEIGHTS, None, "model.safetensors is not there"),
        ("tokenizer.json", None, "tokenizer.json (or vocab.txt) is not there"),
        (CONFIG, Some(b"{".to_vec()), "config.json: it is no JSON object: "),
        (
            CONFIG,
            Some(br#"{"model_type": "roberta"}"#.to_vec()),
            "config.json has `\"model_type\": \"roberta\"`; what is read here: `model2vec` (static vectors) and `bert`",
        ),
        (
            CONFIG,
            Some(br#"{"model_type": "model2vec", "hidden_dim": 3}"#.to_vec()),
            "its rows have 2 numbers; by config.json they have 3",
        ),
        (
            WEIGHTS,
            Some(bytes[..bytes.len() - 9].to_vec()),
            "it is cut off or damaged: tensor `embeddings` ends at byte 96",
        ),
        (
            WEIGHTS,
            Some(bytes[..20].to_vec()),
            "it is cut off: 20 bytes, and a header of",
        ),
        (
            WEIGHTS,
            Some(b"version https://git-lfs.github.com/spec/v1".to_vec()),
            "does not begin as a safetensors file",
        ),
        (WEIGHTS, Some(Vec::new()), "it has 0 bytes and is no safetensors file"),
        (
            WEIGHTS,
            Some(tensors(&[("embeddings", vec![11, 2], vec![0.0; 22])])),
            "it has 11 rows, and not one for each of the 12 tokens",
        ),
        (
            WEIGHTS,
            Some(tensors(&[("embeddings", vec![12, 2], vec![f32::NAN; 24])])),
            "has numbers that are none",
        ),
    ];
    for (file, bytes, said) in cases {
        let why = refused(&good, file, bytes);
        assert!(why.contains(said), "{file}: {why}");
    }
    let typed = |name: &str| {
        let header = format!(r#"{{"embeddings": {{"dtype": "{name}", "shape": [12, 2], "data_offsets": [0, 96]}}}}"#);
        [
            (header.len() as u64).to_le_bytes().to_vec(),
            header.into_bytes(),
            vec![0; 96],
        ]
        .concat()
    };
    let why = refused(&good, WEIGHTS, Some(typed("F8_E4M3")));
    assert!(
        why.contains("of the type F8_E4M3; what is read here: F32, F16"),
        "{why}"
    );
    let why = refused(&good, WEIGHTS, Some(typed("F64")));
    assert!(why.contains("has 12 numbers and the shape [12, 2]"), "{why}");
    let other = |from: &str, to: &str| Some(String::from_utf8(tokenizer()).unwrap().replace(from, to).into_bytes());
    for (from, to, said) in [
        (
            "\"WordPiece\"",
            "\"Unigram\"",
            "a tokenizer of the kind Unigram; what is read here: WordPiece",
        ),
        (
            "BertNormalizer",
            "Precompiled",
            "another normalizer; what is read here: BertNormalizer",
        ),
        (
            "\"unk_token\":\"[UNK]\"",
            "\"unk_token\":\"<unk>\"",
            "its vocabulary has no `<unk>`",
        ),
    ] {
        let why = refused(&good, "tokenizer.json", other(from, to));
        assert!(why.contains(said), "{why}");
    }
}

#[test]
fn an_encoder_that_would_be_computed_otherwise_is_refused() {
    let good = encoder();
    let config = |from: &str, to: &str| {
        let text = String::from_utf8(good[CONFIG].clone()).unwrap();
        assert!(text.contains(from), "{text}");
        Some(text.replace(from, to).into_bytes())
    };
    for (file, bytes, said) in [
        (
            CONFIG,
            config("\"gelu\"", "\"relu\""),
            "`\"hidden_act\": \"relu\"`; what is read here: `gelu`",
        ),
        (
            CONFIG,
            config("\"num_attention_heads\":2", "\"num_attention_heads\":3"),
            "of 8 cannot be shared by 3 heads",
        ),
        (
            CONFIG,
            config("\"num_hidden_layers\":2", "\"num_hidden_layers\":3"),
            "no tensor `encoder.layer.2.attention",
        ),
        (
            CONFIG,
            config("\"intermediate_size\":16", "\"intermediate_size\":15"),
            "has the shape [16, 8]; by its config.json it has [15, 8]",
        ),
        (
            CONFIG,
            config("\"hidden_size\":8", "\"hidden_size\":0"),
            "`hidden_size` is no number from 1",
        ),
        (
            "1_Pooling/config.json",
            Some(br#"{"pooling_mode_max_tokens": true}"#.to_vec()),
            "the pooling pooling_mode_max_tokens; what is read here: `pooling_mode_mean_tokens`",
        ),
        (
            "modules.json",
            Some(br#"[{"type": "sentence_transformers.models.Dense"}]"#.to_vec()),
            "the module `sentence_transformers.models.Dense`",
        ),
        ("vocab.txt", Some(b"[UNK]\nx".to_vec()), "its vocabulary has no `[CLS]`"),
        (
            "vocab.txt",
            Some([VOCABULARY.join("\n"), "\nmore".to_owned()].concat().into_bytes()),
            "it has 13 tokens, the weights only 12",
        ),
    ] {
        let why = refused(&good, file, bytes);
        assert!(why.contains(said), "{why}");
    }
}

/// The numbers were computed by `BertModel` of transformers 5 with these weights, in Python.
#[test]
fn an_encoder_computes_what_the_reference_computes() {
    let close = |is: &[f32], wanted: [f32; 8]| {
        let far = is.iter().zip(wanted).any(|(is, wanted)| (is - wanted).abs() > 2e-5);
        assert!(is.len() == 8 && !far, "{is:?} and not {wanted:?}");
    };
    let mut tree = encoder();
    let model = loaded(&tree);
    assert!(!model.is_static() && model.dimensions() == 8);
    let mean = [
        -0.118152, -0.065396, -0.138699, -0.298047, -0.455948, -0.310399, -0.313965, 0.68621,
    ];
    close(&model.vector("Where are leases"), mean);
    // Ten places: eight tokens and the two at the ends; the rest of a text is not read.
    let cut = [
        -0.11946, -0.066555, -0.137899, -0.297859, -0.455475, -0.305275, -0.322138, 0.684938,
    ];
    close(&model.vector(&"x ".repeat(30)), cut);
    tree.insert(
        "1_Pooling/config.json".to_owned(),
        br#"{"pooling_mode_cls_token": true}"#.to_vec(),
    );
    let first = [
        -0.113808, -0.062796, -0.137497, -0.29907, -0.4573, -0.302523, -0.317908, 0.687784,
    ];
    close(&loaded(&tree).vector("Where are leases"), first);
}

/// Against a real model: `WHEELHOUSE_REFERENCE` names a JSON file with the `directory` of a model and `texts`, each with `text`,
/// `ids` (its tokens without those at the ends) and `vector`, as another program computed them.
#[test]
fn a_real_model_gives_the_vectors_of_its_reference() {
    let Some(file) = std::env::var_os("WHEELHOUSE_REFERENCE").map(PathBuf::from) else {
        println!("passed over: WHEELHOUSE_REFERENCE names no file of vectors to compare with");
        return;
    };
    let said: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let directory = file.parent().unwrap().join(said["directory"].as_str().unwrap());
    let names = [
        CONFIG,
        WEIGHTS,
        "tokenizer.json",
        "vocab.txt",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
    ];
    let there = names
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::fs::read(directory.join(name)).ok()?)));
    let model = loaded(&there.collect());
    let numbers = |value: &Value| -> Vec<f32> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one.as_f64().unwrap() as f32)
            .collect()
    };
    let mut least = 1.0_f32;
    for one in said["texts"].as_array().unwrap() {
        let text = one["text"].as_str().unwrap();
        let wanted: Vec<u32> = numbers(&one["ids"]).iter().map(|id| *id as u32).collect();
        let most = match &model.made_by {
            MadeBy::Encoder(encoder) => encoder.tokens_max(),
            MadeBy::Lookup(_) => usize::MAX,
        };
        assert_eq!(model.words.tokens(text, most), wanted, "{text:?}");
        let vector = numbers(&one["vector"]);
        // A text without a word has no direction in a table.
        if vector.iter().any(|number| *number != 0.0) {
            least = least.min(near(&model.vector(text), &vector));
        }
    }
    println!("least cosine {least}");
    assert!(least > 0.999, "{least}");
}
