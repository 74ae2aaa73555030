//! `wheelhouse mcp` from outside: a client that starts its servers, and a server that may die under it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::{House, until};

/// A client on the proxy's streams.
pub(crate) struct Client {
    proxy: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    number: u64,
}

impl Client {
    pub(crate) fn new(house: &House) -> Client {
        let mut proxy = house
            .command(&["mcp"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Client {
            input: proxy.stdin.take(),
            output: BufReader::new(proxy.stdout.take().unwrap()),
            proxy,
            number: 0,
        }
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    /// A request whose answer is awaited elsewhere; a proxy that is gone hears nothing.
    pub(crate) fn request(&mut self, method: &str, params: &Value) {
        self.number += 1;
        let message = json!({ "jsonrpc": "2.0", "id": self.number, "method": method, "params": params });
        let _ = writeln!(self.input.as_mut().unwrap(), "{message}");
    }

    /// The answer to the last request; none when the proxy is gone.
    pub(crate) fn answer(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let message: Value = serde_json::from_str(&line).ok()?;
            if message["id"] == self.number {
                return Some(message);
            }
        }
    }

    /// Kills the proxy with whatever is under way.
    pub(crate) fn kill(&mut self) {
        self.proxy.kill().unwrap();
    }

    pub(crate) fn hear(&mut self) -> Value {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).unwrap() > 0, "the proxy ended");
        serde_json::from_str(&line).unwrap()
    }

    /// A request; its answer comes, others pass by.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let id = self.number;
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let message = self.hear();
            if message["id"] == id {
                return message;
            }
        }
    }

    pub(crate) fn begin(&mut self) {
        let able = json!({ "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" } });
        let agreed = self.ask("initialize", able);
        assert_eq!(agreed["result"]["serverInfo"]["name"], "wheelhouse", "{agreed}");
        self.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.ask("tools/call", json!({ "name": tool, "arguments": arguments }));
        assert!(answer["result"]["structuredContent"].is_object(), "{tool}: {answer}");
        answer["result"]["structuredContent"].clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

/// The server that the proxy started; it ends with the test.
pub(crate) struct Server<'h>(pub(crate) &'h House);

impl Server<'_> {
    pub(crate) fn pid(&self) -> Option<i32> {
        let told = std::fs::read(self.0.project().join(".wheelhouse/serve.json")).ok()?;
        let told: Value = serde_json::from_slice(&told).ok()?;
        i32::try_from(told["pid"].as_i64()?).ok()
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            let is_gone = || self.pid() != Some(pid) || kill(Pid::from_raw(pid), None).is_err();
            if !std::thread::panicking() {
                until("the server is gone", is_gone);
            }
        }
    }
}

const PLAN: &str = "name: p\ntasks:\n  - {id: a, exec: 'echo hello'}\n";

#[test]
fn it_just_works_and_the_death_of_the_server_is_a_pause() {
    let house = House::new();
    let server = Server(&house);
    let mut client = Client::new(&house);
    client.begin();
    let listed = client.ask("tools/list", json!({}));
    assert!(listed["result"]["tools"].as_array().unwrap().len() >= 10, "{listed}");
    assert_eq!(client.call("run", json!({ "plan": PLAN }))["run"], "r1");
    assert_eq!(client.call("wait", json!({ "what": "r1" }))["over"], true);
    assert_eq!(client.call("result", json!({ "task": "r1/a" }))["digest"], "hello");
    let before = server.pid().unwrap();
    kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
    assert_eq!(client.call("run", json!({ "plan": PLAN }))["run"], "r2");
    assert_eq!(client.call("wait", json!({ "what": "r2" }))["over"], true);
    assert_ne!(server.pid().unwrap(), before);
    // The client closes its side; the server stays for others.
    client.input = None;
    until("the proxy ends", || client.proxy.try_wait().unwrap().is_some());
    assert!(server.pid().is_some());
}

#[test]
fn a_client_may_say_everything_at_once() {
    let house = House::new();
    let _server = Server(&house);
    let mut client = Client::new(&house);
    let able = json!({ "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" } });
    client.say(&json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": able }));
    client.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    client.say(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }));
    assert_eq!(client.hear()["id"], 0);
    assert!(client.hear()["result"]["tools"].is_array());
}

#[test]
fn what_is_no_message_is_answered_and_a_killed_proxy_leaves_nothing_undone() {
    let house = House::new();
    let _server = Server(&house);
    let mut client = Client::new(&house);
    client.begin();
    writeln!(client.input.as_mut().unwrap(), "{{").unwrap();
    assert_eq!(client.hear()["error"]["code"], -32700);
    let slow = "name: p\ntasks:\n  - {id: a, exec: 'sleep 1; echo done'}\n";
    client.call("run", json!({ "plan": slow }));
    drop(client);
    house.until_run("r1", "finished");
    assert_eq!(house.json(&["result", "r1/a"])["result"]["summary"], "done");
}
