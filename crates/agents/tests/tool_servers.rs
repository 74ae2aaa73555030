//! Other MCP servers from outside: real programs that serve, hang, flood, lie and die, under a real keeper.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use wheelhouse_agents::api::Key;
use wheelhouse_agents::tool_servers::{Config, KeyFrom, Place, Reach, Servers, Times};
use wheelhouse_core::tool_server::{Failure, Origin, ToolAnswer, ToolServers, Wanted};
use wheelhouse_testkit::{script, tool_server};

/// What a server is given that no test waits for in vain.
const LONG: Duration = Duration::from_secs(30);
/// What a server is given that will not answer.
const SHORT: Duration = Duration::from_millis(400);

struct Rig {
    dir: TempDir,
    servers: BTreeMap<String, Config>,
    times: Times,
}

impl Rig {
    fn new() -> Rig {
        Rig {
            dir: tempfile::tempdir().unwrap(),
            servers: BTreeMap::new(),
            times: Times {
                start: LONG,
                list: LONG,
                call: LONG,
            },
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A server by its script; its log is `NAME.log`.
    fn server(mut self, name: &str, script: Value) -> Rig {
        let mut script = script;
        script["name"] = name.into();
        script["log"] = self.path(&format!("{name}.log")).display().to_string().into();
        let file = self.path(&format!("{name}.json"));
        fs::write(&file, script.to_string()).unwrap();
        let reach = Reach::Program {
            argv: vec![tool_server::program().display().to_string(), file.display().to_string()],
            env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            secrets: Vec::new(),
        };
        self.servers.insert(name.to_owned(), Config { reach, tools: None });
        self
    }

    fn with(mut self, name: &str, change: impl FnOnce(&mut Config)) -> Rig {
        change(self.servers.get_mut(name).unwrap());
        self
    }

    fn within(mut self, times: Times) -> Rig {
        self.times = times;
        self
    }

    fn log(&self, name: &str) -> Vec<String> {
        let log = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    fn started(&self, name: &str) -> Vec<i32> {
        let pids = self.log(name);
        pids.iter()
            .filter_map(|line| line.strip_prefix("start ")?.parse().ok())
            .collect()
    }

    /// Does the work while the servers are carried on; they are ended after it.
    fn run<T>(&self, work: impl AsyncFnOnce(&Servers) -> T) -> T {
        let place = Place {
            exe: script::keeper(),
            cwd: self.dir.path().to_owned(),
            lists: self.path("lists"),
        };
        let servers = Servers::new(place, self.times, self.servers.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (done, over) = tokio::sync::oneshot::channel::<()>();
            let work = async {
                let value = work(&servers).await;
                drop(done);
                value
            };
            let carry = servers.carry(Box::pin(async { drop(over.await) }));
            tokio::join!(work, carry).0
        })
    }
}

fn tool(name: &str, script: Value) -> Value {
    json!({ "name": name, "description": format!("Does {name}."), "inputSchema": { "type": "object" }, "script": script })
}

async fn call(servers: &Servers, name: &str) -> Result<ToolAnswer, Failure> {
    let (server, tool) = name.split_once('/').unwrap();
    servers
        .call(server, tool, Map::from_iter([("q".to_owned(), json!("x"))]))
        .await
}

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn a_list_in_pages_is_kept_and_calls_are_answered() {
    let tools: Vec<Value> = (0..25).map(|n| tool(&format!("t{n}"), json!({}))).collect();
    let rig = Rig::new().server("a", json!({ "version": "1.2", "page": 10, "tools": tools }));
    rig.run(async |servers| {
        let manifest = servers.manifest("a", Wanted::Known).await.unwrap();
        assert_eq!((manifest.origin, manifest.tools.len()), (Origin::Live, 25));
        assert_eq!((manifest.title.as_str(), manifest.version.as_str()), ("a", "1.2"));
        assert_eq!(call(servers, "a/t24").await.unwrap().text, r#"{"q":"x"}"#);
        let none = call(servers, "b/t").await.unwrap_err().to_string();
        assert_eq!(none, "there is no MCP server `b`; there is a");
    });
    let pids = rig.started("a");
    assert_eq!(pids.len(), 1);
    assert!(!is_alive(pids[0]), "it ended with those who used it");
    // Whoever comes next knows the list and starts nothing for it.
    rig.run(async |servers| {
        let manifest = servers.manifest("a", Wanted::Known).await.unwrap();
        assert_eq!((manifest.origin, manifest.tools.len()), (Origin::Kept, 25));
        assert_eq!(rig.started("a").len(), 1);
        // A call starts it, and its list is asked for again.
        call(servers, "a/t1").await.unwrap();
        let manifest = servers.manifest("a", Wanted::Known).await.unwrap();
        assert_eq!(manifest.origin, Origin::Live);
    });
    assert_eq!(
        rig.log("a")
            .iter()
            .filter(|line| line.starts_with("tools/list"))
            .count(),
        6
    );
}

#[test]
fn a_server_that_hangs_or_dies_harms_nobody_else() {
    let bad = json!({ "tools": [tool("hang", json!({ "do": "hang" })), tool("die", json!({ "do": "exit" })), tool("fine", json!({}))],
                      "complaint": "Traceback: out of ideas" });
    let rig = Rig::new()
        .server("bad", bad)
        .server("good", json!({ "tools": [tool("fine", json!({}))] }))
        .within(Times {
            start: LONG,
            list: LONG,
            call: SHORT,
        });
    rig.run(async |servers| {
        let (hung, fine, good) = tokio::join!(
            call(servers, "bad/hang"),
            call(servers, "bad/fine"),
            call(servers, "good/fine")
        );
        let hung = hung.unwrap_err();
        assert!(matches!(hung, Failure::TimedOut { after_ms: 400, .. }), "{hung}");
        assert!(fine.is_ok() && good.is_ok());
        // It is told that nobody waits any more.
        call(servers, "bad/fine").await.unwrap();
        assert!(
            rig.log("bad").iter().any(|line| line == "notifications/cancelled"),
            "{:?}",
            rig.log("bad")
        );
        let died = call(servers, "bad/die").await.unwrap_err().to_string();
        assert!(
            died.contains("went away before it answered `die`: it ended with exit 7"),
            "{died}"
        );
        assert!(died.contains("Traceback: out of ideas"), "{died}");
        // After a crash it is started again, a few times; then it is left alone, and says why.
        for _ in 0..2 {
            call(servers, "bad/fine").await.unwrap();
            call(servers, "bad/die").await.unwrap_err();
        }
        let rest = call(servers, "bad/fine").await.unwrap_err();
        assert!(
            matches!(
                rest,
                Failure::Resting {
                    starts: 3,
                    rest_s: 1..=60,
                    ..
                }
            ),
            "{rest}"
        );
        assert!(call(servers, "good/fine").await.is_ok());
    });
    assert_eq!(rig.started("bad").len(), 3);
}

#[test]
fn what_is_no_answer_is_said_so() {
    let rig = Rig::new()
        .server(
            "lies",
            json!({ "noise": "Listening…", "tools": [tool("garbage", json!({ "do": "garbage" })), tool("fine", json!({})),
                    tool("refuse", json!({ "do": "refuse", "text": "not\u{1b}[2J today" })), tool("wrong", json!({ "is_error": true }))] }),
        )
        .server("odd", json!({ "greeting": "odd" }))
        .server("gone", json!({ "greeting": "exit" }))
        .within(Times {
            start: LONG,
            list: LONG,
            call: SHORT,
        });
    rig.run(async |servers| {
        let late = call(servers, "lies/garbage").await.unwrap_err().to_string();
        assert!(
            late.contains("lines that are no messages, the last of them `this is no message`"),
            "{late}"
        );
        let refused = call(servers, "lies/refuse").await.unwrap_err().to_string();
        assert_eq!(
            refused,
            "the MCP server `lies` refused `refuse` (-32000): not [2J today"
        );
        assert!(call(servers, "lies/wrong").await.unwrap().is_error);
        assert!(call(servers, "lies/fine").await.is_ok());
        let odd = call(servers, "odd/x").await.unwrap_err().to_string();
        assert!(
            odd.contains("without a version of the protocol; is it an MCP server?"),
            "{odd}"
        );
        let gone = call(servers, "gone/x").await.unwrap_err().to_string();
        assert!(gone.contains("did not start") && gone.contains("exit 3"), "{gone}");
        // It is not tried again at once.
        let rest = call(servers, "gone/x").await.unwrap_err().to_string();
        assert!(rest.contains("left alone") && rest.contains("exit 3"), "{rest}");
    });
    assert_eq!(rig.started("gone").len(), 1);
}

#[test]
fn a_huge_answer_is_refused_and_the_next_one_taken() {
    let rig = Rig::new().server(
        "a",
        json!({ "tools": [tool("huge", json!({ "do": "huge" })), tool("fine", json!({}))] }),
    );
    rig.run(async |servers| {
        let huge = call(servers, "a/huge").await.unwrap_err().to_string();
        assert!(
            huge.contains("cannot be used: it has 2") && huge.contains("are read"),
            "{huge}"
        );
        assert!(call(servers, "a/fine").await.is_ok());
    });
    assert_eq!(rig.started("a").len(), 1);
}

#[test]
fn one_that_never_greets_is_given_up_and_a_start_goes_on_without_its_first_asker() {
    let rig = Rig::new().server("hangs", json!({ "greeting": "hang" })).within(Times {
        start: SHORT,
        list: LONG,
        call: LONG,
    });
    rig.run(async |servers| {
        let late = servers.manifest("hangs", Wanted::Known).await.unwrap_err().to_string();
        assert!(
            late.contains("did not start") && late.contains("`initialize` within 400 ms"),
            "{late}"
        );
    });
    assert!(rig.started("hangs").iter().all(|pid| !is_alive(*pid)));
    let rig = Rig::new().server("a", json!({ "tools": [tool("fine", json!({}))] }));
    rig.run(async |servers| {
        // Given up at its first step.
        let first = tokio::time::timeout(Duration::ZERO, servers.manifest("a", Wanted::Known)).await;
        assert!(first.is_err());
        assert!(call(servers, "a/fine").await.is_ok());
    });
    assert_eq!(rig.started("a").len(), 1);
}

#[test]
fn new_tools_are_seen_when_the_server_says_so() {
    let then = json!([tool("new", json!({})), tool("hidden", json!({}))]);
    let rig = Rig::new()
        .server(
            "a",
            json!({ "tools": [tool("change", json!({ "tools": then })), tool("hidden", json!({}))] }),
        )
        .with("a", |config| {
            config.tools = Some(["change", "new"].map(str::to_owned).into())
        });
    rig.run(async |servers| {
        let names = async || {
            let manifest = servers.manifest("a", Wanted::Known).await.unwrap();
            manifest.tools.iter().map(|tool| tool.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names().await, ["change"]);
        call(servers, "a/change").await.unwrap();
        assert_eq!(names().await, ["new"]);
    });
}

#[test]
fn it_is_given_its_own_environment_and_its_secrets_are_not_repeated() {
    let secret = "s3cr3t-0123456789";
    let tools = json!([
        tool("home", json!({ "env": "HOME" })),
        tool("token", json!({ "env": "TOKEN" })),
        tool("leak", json!({ "do": "refuse", "text": format!("bad token {secret}") })),
    ]);
    let rig = Rig::new().server("a", json!({ "tools": tools })).with("a", |config| {
        let Reach::Program { env, secrets, .. } = &mut config.reach else {
            panic!("it is a program")
        };
        env.insert("TOKEN".to_owned(), secret.to_owned());
        secrets.extend(Key::new(secret));
    });
    rig.run(async |servers| {
        assert_eq!(call(servers, "a/home").await.unwrap().text, "unset");
        // What a tool answers is its answer; what goes into failures and logs is not to hold the secret.
        assert_eq!(call(servers, "a/token").await.unwrap().text, secret);
        let leak = call(servers, "a/leak").await.unwrap_err().to_string();
        assert!(leak.contains("bad token [key]") && !leak.contains(secret), "{leak}");
    });
    let kept = fs::read_to_string(rig.path("lists/a.json")).unwrap();
    assert!(!kept.contains(secret));
}

/// A server at an address.
struct AtAddress {
    child: Child,
    url: String,
}

impl AtAddress {
    fn start(rig: &Rig, script: &Value) -> AtAddress {
        let file = rig.path("http.json");
        fs::write(&file, script.to_string()).unwrap();
        let mut child = Command::new(tool_server::program())
            .args([file.as_os_str(), "--http".as_ref()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut url)
            .unwrap();
        AtAddress {
            child,
            url: url.trim().to_owned(),
        }
    }

    fn config(&self, key: KeyFrom) -> Config {
        Config {
            reach: Reach::Address {
                url: self.url.clone(),
                key,
                env: BTreeMap::new(),
            },
            tools: None,
        }
    }
}

impl Drop for AtAddress {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_at_an_address_is_asked_with_its_key() {
    let mut rig = Rig::new();
    let script = json!({ "name": "web", "version": "2", "key": "k-0123456789", "page": 1,
        "tools": [tool("fine", json!({ "structured": { "n": 1 } })), tool("two", json!({ "do": "refuse", "text": "no" }))] });
    let at = AtAddress::start(&rig, &script);
    let env = |key: &str| KeyFrom::Env {
        name: "WEB_KEY".to_owned(),
        key: Key::new(key),
    };
    rig.servers.insert("web".to_owned(), at.config(env("k-0123456789")));
    rig.servers.insert("wrong".to_owned(), at.config(env("k-9876543210")));
    rig.servers.insert("keyless".to_owned(), at.config(env("")));
    let mut far = at.config(env("k-0123456789"));
    let Reach::Address { url, .. } = &mut far.reach else {
        panic!("it is an address")
    };
    *url = "http://192.0.2.1/mcp".to_owned();
    rig.servers.insert("far".to_owned(), far);
    rig.run(async |servers| {
        let manifest = servers.manifest("web", Wanted::Known).await.unwrap();
        assert_eq!((manifest.tools.len(), manifest.version.as_str()), (2, "2"));
        let answer = call(servers, "web/fine").await.unwrap();
        assert_eq!(
            (answer.text.as_str(), answer.structured),
            (r#"{"q":"x"}"#, Some(json!({ "n": 1 })))
        );
        let refused = call(servers, "web/two").await.unwrap_err().to_string();
        assert!(refused.contains("(-32000): no"), "{refused}");
        let wrong = call(servers, "wrong/fine").await.unwrap_err().to_string();
        assert!(
            wrong.contains("it answered 401") && wrong.contains("the key is the one in WEB_KEY"),
            "{wrong}"
        );
        assert!(!wrong.contains("k-9876543210"), "{wrong}");
        let keyless = call(servers, "keyless/fine").await.unwrap_err().to_string();
        assert!(
            keyless.contains("there is no key in the environment variable WEB_KEY"),
            "{keyless}"
        );
        let far = call(servers, "far/fine").await.unwrap_err().to_string();
        assert!(far.contains("would carry the key in clear"), "{far}");
    });
}
