//! On a terminal: the live region, the live screen, colour, and that the terminal is as it was afterwards.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};

use crate::{DEADLINE, House, until};

/// A command on a terminal of its own.
pub(crate) struct OnTerminal {
    child: Child,
    master: OwnedFd,
    shown: mpsc::Receiver<Vec<u8>>,
    text: String,
}

impl OnTerminal {
    pub(crate) fn start(house: &House, words: &[&str]) -> OnTerminal {
        let size = Winsize {
            ws_row: 24,
            ws_col: 70,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = house
            .command(words)
            .env("TERM", "xterm-256color")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let mut reader = File::from(pty.master.try_clone().unwrap());
        let (send, shown) = mpsc::channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut chunk) {
                if send.send(chunk[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        OnTerminal {
            child,
            master: pty.master,
            shown,
            text: String::new(),
        }
    }

    /// Waits until the terminal has been sent that.
    fn until_shown(&mut self, what: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.text.contains(what) {
            match self.shown.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("never shown: {what:?} in {:?}", self.text),
            }
        }
    }

    fn press(&self, letters: &[u8]) {
        nix::unistd::write(&self.master, letters).unwrap();
    }

    pub(crate) fn done(mut self) -> (Option<i32>, String) {
        let end = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it does not end: {:?}", self.text);
            while let Ok(bytes) = self.shown.recv_timeout(Duration::from_millis(10)) {
                self.text.push_str(&String::from_utf8_lossy(&bytes));
            }
        };
        while let Ok(bytes) = self.shown.recv_timeout(Duration::from_millis(200)) {
            self.text.push_str(&String::from_utf8_lossy(&bytes));
        }
        (status.code(), self.text)
    }
}

const SLOW: &str =
    "tasks: [{id: slow, exec: 'while [ ! -e go ]; do sleep 0.05; done'}, {id: next, exec: 'echo next', needs: [slow]}]";

#[test]
fn a_run_shows_what_is_under_way_and_leaves_only_lines() {
    let house = House::new();
    house.write("slow.yaml", SLOW);
    let mut terminal = OnTerminal::start(&house, &["run", "slow.yaml"]);
    terminal.until_shown("▸ slow  exec  for");
    house.write("go", "");
    let (code, text) = terminal.done();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("\x1b[32msucceeded\x1b[0m"), "{text}");
    // Whatever was drawn is taken away again: as many lines up as were drawn.
    assert!(text.contains("A\x1b[J"), "{text}");
    assert!(text.contains("All 2 tasks succeeded"), "{text}");
}

#[test]
fn no_color_means_no_colour_even_on_a_terminal() {
    let house = House::new().with_env("NO_COLOR", "1");
    house.write("one.yaml", "tasks: [{id: one, exec: 'echo one'}]");
    let (code, text) = OnTerminal::start(&house, &["run", "one.yaml"]).done();
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("\x1b[3") && !text.contains("\x1b[1m"), "{text:?}");
}

#[test]
fn watch_draws_in_place_and_gives_the_terminal_back() {
    let house = House::new();
    house.write("slow.yaml", SLOW);
    house.ok(&["run", "slow.yaml", "--detach"]);
    house.until_task("slow", "running");
    let mut terminal = OnTerminal::start(&house, &["watch"]);
    terminal.until_shown("q or Ctrl-C leaves");
    assert!(terminal.text.contains("\x1b[?1049h\x1b[?25l"), "{:?}", terminal.text);
    house.write("go", "");
    terminal.until_shown("succeeded");
    terminal.press(b"q");
    let (code, text) = terminal.done();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("\x1b[?25h\x1b[?1049l"), "{text:?}");
    house.until_no_engine();
}

#[test]
fn watch_without_a_terminal_tells_line_by_line_and_ends_with_its_run() {
    let house = House::new();
    house.write("slow.yaml", SLOW);
    house.ok(&["run", "slow.yaml", "--detach"]);
    house.until_task("slow", "running");
    let lines = house.start(&["watch", "r1"]);
    let documents = house.start(&["watch", "r1", "--json"]);
    until("both look", || house.json(&["status"])["engine"]["running"] == true);
    house.write("go", "");
    let lines = lines.done();
    assert_eq!(lines.code, Some(0), "{lines:#?}");
    let documents = documents.done();
    let last: serde_json::Value = serde_json::from_str(documents.out.lines().last().unwrap()).unwrap();
    assert_eq!(last["open"][0]["run"]["state"], "finished", "{documents:#?}");
}

#[test]
fn text_from_tasks_cannot_steer_the_terminal() {
    let house = House::new();
    house.write(
        "evil.yaml",
        "tasks: [{id: evil, exec: 'printf \"\\\\033]0;owned\\\\007\\\\033[2Jhello\\\\n\"'}]",
    );
    let (code, text) = OnTerminal::start(&house, &["run", "evil.yaml"]).done();
    assert_eq!(code, Some(0), "{text}");
    for words in [
        vec!["result", "evil"],
        vec!["result", "evil", "--full"],
        vec!["logs", "evil"],
        vec!["status", "evil"],
    ] {
        let (_, text) = OnTerminal::start(&house, &words).done();
        assert!(text.contains("hello"), "{words:?}: {text:?}");
        assert!(
            !text.contains("\x1b]0;") && !text.contains("\x1b[2J"),
            "{words:?}: {text:?}"
        );
    }
    // Without a terminal it is handed on as it is.
    assert_eq!(
        house.ok(&["result", "evil", "--full"]).out,
        "\x1b]0;owned\x07\x1b[2Jhello\n"
    );
}
