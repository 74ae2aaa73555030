//! `wheelhouse find` over trees that will not hold still and with an index that others damage, kill and share.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::mcp::Client;
use crate::{House, until};

const LEASE: &str = "fn before() {}\n\npub fn renew_lease() {}\n";

fn house() -> House {
    let house = House::new();
    fs::create_dir(house.project().join(".git")).unwrap();
    house.write("src/lease.rs", LEASE);
    house
}

/// So many files that building an index over them takes a moment.
fn many(house: &House) {
    for number in 0..1_500 {
        house.write(
            &format!("src/part{}/file{number}.rs", number % 40),
            &format!("pub fn handle_{number}() {{ renew_lease({number}) }}\n").repeat(20),
        );
    }
}

fn index(house: &House) -> std::path::PathBuf {
    house.project().join(".wheelhouse/index")
}

/// Nothing but what an index is made of.
fn is_whole(house: &House) {
    let names = fs::read_dir(index(house)).unwrap().flatten();
    let names: Vec<String> = names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().all(|name| !name.contains(".part")), "{names:?}");
    let again = house.ok(&["find", "renew_lease"]);
    assert!(!again.err.contains("index"), "{again:#?}");
}

#[test]
fn what_stands_in_the_place_of_an_index_is_replaced() {
    let house = house();
    house.ok(&["find", "renew_lease"]);
    let parts: Vec<_> = fs::read_dir(index(&house))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(parts.len(), 2);
    let built_anew = |what: &str| {
        let done = house.ok(&["find", "renew_lease"]);
        assert!(done.err.contains("the index was"), "{what}: {done:#?}");
        assert!(done.err.contains("it is built anew"), "{what}: {done:#?}");
        assert!(!done.err.contains("could not be kept"), "{what}: {done:#?}");
        assert!(done.out.starts_with("src/lease.rs:"), "{what}: {done:#?}");
        is_whole(&house);
    };
    for part in &parts {
        fs::remove_file(part).unwrap();
        fs::create_dir_all(part.join("with/more")).unwrap();
        built_anew("a directory");
        fs::remove_file(part).unwrap();
        symlink("/dev/null", part).unwrap();
        built_anew("a link");
        assert!(part.symlink_metadata().unwrap().is_file());
    }
    // Another version, with a checksum that is right for it.
    let catalogue = index(&house).join("catalogue");
    let mut other = fs::read(&catalogue).unwrap();
    other.truncate(other.len() - 32);
    let at = other.windows(7).position(|word| word == b"index-1").unwrap() + 6;
    other[at] = b'0';
    let sum = blake3::hash(&other);
    other.extend(sum.as_bytes());
    fs::write(&catalogue, other).unwrap();
    built_anew("another version");
    fs::remove_dir_all(index(&house)).unwrap();
    fs::write(index(&house), "no index").unwrap();
    built_anew("a file");
}

#[test]
fn a_file_that_changes_between_looking_and_showing_is_looked_at_again_or_said() {
    let house = house();
    // A second stage runs between the two: here it is also somebody who writes.
    let once =
        "[ -e once ] || { touch once; printf '\\n\\n\\n\\n\\nfn renew_lease() {}\\n' > src/lease.rs; }; echo '[0]'";
    let document = house.json(&["find", "renew_lease", "--lines", "3", "--rerank", once]);
    let hit = &document["hits"][0];
    assert_eq!(
        (&hit["line"], &hit["text"]),
        (&json!(6), &json!("fn renew_lease() {}")),
        "{document:#}"
    );
    assert_eq!(document["notices"], json!([]), "{document:#}");
    let always = "{ echo; cat src/lease.rs; } > new; mv new src/lease.rs; echo '[0]'";
    let document = house.json(&["find", "renew_lease", "--lines", "3", "--rerank", always]);
    let hit = &document["hits"][0];
    assert_eq!(
        (&hit["changed"], &hit["text"]),
        (&json!(true), &json!("")),
        "{document:#}"
    );
    assert_eq!(hit["excerpt"], Value::Null, "{document:#}");
    let said = "1 place is in files that changed while they were looked at";
    assert!(
        document["notices"][0].as_str().unwrap().starts_with(said),
        "{document:#}"
    );
    let text = house.ok(&["find", "renew_lease", "--rerank", always]);
    assert!(
        text.out.contains("(changed while it was looked at)") && text.err.contains(said),
        "{text:#?}"
    );
}

#[test]
fn while_files_are_written_cut_moved_and_deleted_every_line_shown_is_one_of_its_file() {
    let house = house();
    // Each state of a file says in each line which it is, and its definition stands on another line in each.
    let state = |file: usize, turn: usize| {
        let above = format!("// turn {turn}\n").repeat(1 + (turn * 7 + file) % 60);
        format!("{above}pub fn renew_lease_{turn}() {{ renew_lease() }} // turn {turn}\n")
    };
    for file in 0..8 {
        house.write(&format!("src/moving{file}.rs"), &state(file, 0));
    }
    let over = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (over, source) = (Arc::clone(&over), house.project().join("src"));
        move || {
            for turn in 1.. {
                if over.load(Ordering::SeqCst) {
                    return turn;
                }
                // The others hold still, so that there are lines to show.
                let path = source.join(format!("moving{}.rs", turn % 3));
                match turn % 5 {
                    0 => fs::remove_file(&path).unwrap_or_default(),
                    1 => {
                        fs::write(source.join("moving.half"), state(turn % 3, turn)).unwrap();
                        fs::rename(source.join("moving.half"), &path).unwrap();
                    }
                    2 => fs::write(&path, "").unwrap(),
                    _ => fs::write(&path, state(turn % 3, turn)).unwrap(),
                }
            }
            unreachable!()
        }
    });
    let mut shown = 0;
    for _ in 0..12 {
        let document = house.json(&["find", "renew_lease", "--lines", "5"]);
        for hit in document["hits"].as_array().unwrap() {
            let text = hit["text"].as_str().unwrap();
            let within = hit["within"].as_str().unwrap_or_default();
            let (Some((_, turn)), Some((_, of_text))) =
                (within.split_once("renew_lease_"), text.split_once("// turn "))
            else {
                continue;
            };
            assert_eq!(turn, of_text, "{hit:#}");
            shown += 1;
        }
        let notices = document["notices"].to_string();
        assert!(!notices.contains("damaged"), "{document:#}");
    }
    over.store(true, Ordering::SeqCst);
    let turns = writer.join().unwrap();
    assert!(turns > 20 && shown > 0, "{turns} turns, {shown} lines");
    house.ok(&["find", "renew_lease"]);
    is_whole(&house);
}

#[test]
fn an_index_whose_building_was_killed_is_built_by_the_next() {
    let house = house();
    many(&house);
    let building = house.start(&["find", "renew_lease"]);
    building.until_said("building the index");
    building.signal(Signal::SIGKILL);
    assert_eq!(building.done().signal, Some(9));
    // Killed again while it writes it down: as soon as anything of it is there.
    let writing = house.start(&["find", "renew_lease"]);
    until("something is written", || index(&house).exists());
    writing.signal(Signal::SIGKILL);
    writing.done();
    let done = house.json(&["find", "renew_lease", "-n", "1"]);
    assert_eq!(done["index"]["files"], 1_501, "{done:#}");
    assert_eq!(done["hits"].as_array().unwrap().len(), 1);
    let again = house.json(&["find", "renew_lease", "-n", "1"]);
    assert_eq!(
        (&again["index"]["files"], &again["notices"]),
        (&json!(1_501), &json!([]))
    );
}

#[test]
fn several_may_look_while_an_engine_looks_too() {
    let house = house();
    house.ok(&["init"]);
    many(&house);
    let _engine = house.start(&["serve"]);
    until("the engine is up", || {
        house.json(&["status"])["engine"]["running"] == true
    });
    let finds: Vec<_> = (0..3)
        .map(|_| house.start(&["find", "handle_77", "--json", "-n", "1"]))
        .collect();
    let mut client = Client::new(&house);
    client.begin();
    let called = client.ask(
        "tools/call",
        json!({"name": "find_code", "arguments": {"query": "handle_77", "count": 1}}),
    );
    let answer = &called["result"]["structuredContent"];
    assert_eq!(answer["files"], 1_502, "{called:#}");
    assert!(
        answer["places"][0]["at"]
            .as_str()
            .unwrap()
            .starts_with("src/part37/file77.rs:"),
        "{called:#}"
    );
    for find in finds {
        let done = find.done();
        let document: Value = serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{done:#?}"));
        assert_eq!(document["hits"][0]["path"], "src/part37/file77.rs", "{document:#}");
        assert_eq!(document["notices"], json!([]), "{document:#}");
    }
    is_whole(&house);
}

#[test]
fn an_agent_that_asks_is_told_what_people_are_told() {
    let house = house();
    house.ok(&["init"]);
    house.ok(&["find", "renew_lease"]);
    fs::write(index(&house).join("catalogue"), "damaged").unwrap();
    let _engine = house.start(&["serve"]);
    until("the engine is up", || {
        house.json(&["status"])["engine"]["running"] == true
    });
    let mut client = Client::new(&house);
    client.begin();
    let arguments = json!({"name": "find_code", "arguments": {"query": "renew_lease"}});
    let called = client.ask("tools/call", arguments.clone());
    let answer = &called["result"]["structuredContent"];
    assert!(
        answer["notices"][0]
            .as_str()
            .is_some_and(|said| said.contains("it is built anew")),
        "{called:#}"
    );
    // A file that was changed within the two seconds for which a look is good: its new lines, not others'.
    house.write("src/lease.rs", "\n\n\n\npub fn renew_lease() {} // moved\n");
    let called = client.ask("tools/call", arguments);
    let answer = &called["result"]["structuredContent"];
    assert_eq!(
        answer["places"][0]["line"], "5: pub fn renew_lease() {} // moved",
        "{called:#}"
    );
    assert_eq!(answer["notices"], Value::Null, "{called:#}");
}

#[test]
fn other_encodings_and_odd_names_are_no_obstacle() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let house = house();
    let utf16: Vec<u8> = "\u{feff}fn wide_lease() {}\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(house.project().join("wide.rs"), utf16).unwrap();
    fs::write(
        house.project().join("latin.py"),
        b"# caf\xe9\r\ndef latin_lease():\r    pass\n",
    )
    .unwrap();
    fs::write(house.project().join("bom.rs"), "\u{feff}fn bom_lease() {}\n").unwrap();
    fs::write(
        house.project().join(OsStr::from_bytes(b"n\xffme.rs")),
        "fn lost_lease() {}\n",
    )
    .unwrap();
    house.write("a\nb.rs", "fn newline_lease() {}\n");
    nix::unistd::mkfifo(&house.project().join("pipe.rs"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let deep = (0..60).map(|_| "deep").collect::<Vec<_>>().join("/");
    house.write(&format!("{deep}/deep.rs"), "fn deep_lease() {}\n");
    // 60,000 open braces, which a reader by recursion would fall over.
    house.write(
        "nested.rs",
        &format!("fn nested_lease() {{}}\n{}", "{\n".repeat(60_000)),
    );
    house.write("nested.json", &"[\n".repeat(60_000));
    let found = |question: &str| {
        let document = house.json(&["find", question, "-n", "1"]);
        let hit = &document["hits"][0];
        (hit["path"].clone(), hit["within"].clone())
    };
    assert_eq!(found("latin_lease"), (json!("latin.py"), json!("function latin_lease")));
    assert_eq!(found("bom_lease"), (json!("bom.rs"), json!("function bom_lease")));
    assert_eq!(found("newline_lease").0, json!("a\nb.rs"));
    assert_eq!(found("deep_lease").0, json!(format!("{deep}/deep.rs")));
    assert_eq!(found("nested_lease").0, json!("nested.rs"));
    let text = house.ok(&["find", "newline_lease", "-n", "1"]).out;
    assert!(!text.contains("a\nb.rs"), "a name makes no line of its own: {text:?}");
    let skipped = house.json(&["find", "wide_lease"])["index"]["skipped"].clone();
    assert_eq!(skipped["binary"], 1, "{skipped}");
}
