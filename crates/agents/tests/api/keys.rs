//! Where keys come from, and that they stay where they belong.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use wheelhouse_agents::api::{Config, Helper, Source};
use wheelhouse_agents::keep::Keeper;
use wheelhouse_core::outcome::Outcome;

use crate::support::{APIS, SECRET, rig};

fn keeper() -> Arc<Keeper> {
    Arc::new(Keeper::start(PathBuf::from(env!("CARGO_BIN_EXE_keep-for-tests"))).unwrap())
}

#[tokio::test]
async fn a_missing_key_ends_the_try_before_anything_is_asked() {
    let rig = rig();
    let config = Config {
        key: Source::Env {
            name: "NO_SUCH_KEY".to_owned(),
            key: None,
        },
        ..rig.config("openai")
    };
    let ended = rig.ask(config, "Hello").await.ended;
    assert_eq!(ended.outcome, Outcome::Unavailable);
    assert!(
        ended.detail.contains("NO_SUCH_KEY") && ended.detail.contains("export"),
        "{}",
        ended.detail
    );
    assert_eq!(rig.fake.timeline().len(), 0);
}

#[tokio::test]
async fn a_key_is_taken_from_a_private_file_and_a_new_one_is_used_at_once() {
    let rig = rig();
    let path = rig.directory.path().join("key");
    let config = || Config {
        key: Source::File(path.clone()),
        ..rig.config("anthropic")
    };
    let ended = rig.ask(config(), "Hello").await.ended;
    assert_eq!(ended.outcome, Outcome::Unavailable, "{}", ended.detail);
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ended = rig.ask(config(), "Hello").await.ended;
    assert!(ended.detail.contains("chmod 600"), "{}", ended.detail);
    assert_eq!(rig.fake.timeline().len(), 0, "a key that others may read is not used");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let ended = rig.ask(config(), "Hello").await.ended;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(rig.fake.turns()[0].auth.as_deref(), Some("x-api-key"));
}

#[tokio::test]
async fn a_helper_is_asked_once_and_again_when_its_key_is_refused() {
    let rig = rig();
    let count = rig.directory.path().join("count");
    let command = format!("echo x >> {}; echo {SECRET}", count.display());
    let source = Source::Helper(Helper::new(keeper(), command, rig.directory.path().to_owned()));
    let config = || Config {
        key: source.clone(),
        ..rig.config("gemini")
    };
    let asked = || std::fs::read_to_string(&count).unwrap_or_default().lines().count();
    for _ in 0..3 {
        let ended = rig.ask(config(), "Hello").await.ended;
        assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    }
    assert_eq!(asked(), 1);
    let ended = rig.ask(config(), "[[fault:401]]Hello").await.ended;
    assert_eq!(ended.outcome, Outcome::Auth, "{}", ended.detail);
    rig.ask(config(), "Hello").await;
    assert_eq!(asked(), 2);

    let failing = Config {
        key: Source::Helper(Helper::new(
            keeper(),
            "exit 3".to_owned(),
            rig.directory.path().to_owned(),
        )),
        ..rig.config("gemini")
    };
    let ended = rig.ask(failing, "Hello").await.ended;
    assert_eq!(ended.outcome, Outcome::Unavailable);
    assert!(ended.detail.contains("exit 3"), "{}", ended.detail);
}

#[tokio::test]
async fn a_key_is_in_nothing_that_is_told_or_written() {
    for api in APIS {
        for prompt in [
            "Hello",
            "[[fault:401]]Hello",
            "[[fault:cut]]Hello",
            "[[fault:garbage]]Hello",
        ] {
            let rig = rig();
            let tried = rig.ask(rig.config(api), prompt).await;
            let written = format!("{tried:?}{}{:?}", rig.log(), rig.config(api));
            assert!(!written.contains(SECRET), "{api} {prompt}");
        }
    }
}
