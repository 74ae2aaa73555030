//! Holding a conversation with one kept program: lines out of it, lines into it, the orders of the engine, the reports
//! of its warden, all in one loop. Used by the backends that speak a protocol over stdin and stdout.
//!
//! The backend's [`Protocol`] is pure: it sees lines and orders and says what to tell and what to write. Time, pipes
//! and signals are here. How a turn is ended against its will, in this order: by the protocol; by closing stdin; by
//! TERM; by KILL of the whole tree. Each step comes when the one before has had the assignment's grace.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::unix::pipe;
use tokio::time::Instant;
use wheelhouse_core::agent::{AgentEvent, Inbox, Order, Reply, Sink};
use wheelhouse_core::store::ProcessMark;

use crate::decode::jsonl::{Line, Lines};
use crate::keep::{self, Control, DRAIN_DEADLINE, End, KILL_DEADLINE, Kept, LEFTOVER_GRACE, Report, Strength};
use crate::output::{Clipped, Part, Pulse, RawLog};

/// How much is read at a time: as much as a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;

/// How much of what the program complains about is kept, in bytes.
pub(crate) const ERRORS_MAX: u64 = 64 << 10;

/// How long a program that said its turn is over, and whose stdin is closed, has to end by itself.
pub(crate) const EXIT_PATIENCE: Duration = Duration::from_secs(5);

/// The same when commands that it left running are all it waits for.
pub(crate) const COMMANDS_PATIENCE: Duration = Duration::from_secs(30);

/// How much longer than its own limits a warden may take before it is taken for stuck, and killed.
const WARDEN_SLACK: Duration = Duration::from_secs(5);

/// What a protocol wants told and written.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// To be told.
    pub(crate) events: Vec<AgentEvent>,
    /// To be written to the program.
    pub(crate) write: Vec<u8>,
    /// What it says about the turn.
    pub(crate) standing: Standing,
}

/// Where the turn stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Standing {
    /// It runs.
    #[default]
    Running,
    /// The protocol itself asked the program to end it; what is not obeyed within the grace is ended by signals.
    Ending,
    /// It is over, and the program goes on with work of its own that may bring another one.
    Lingering(Lingering),
    /// It is over and nothing is waited for but the end of the program.
    Over,
    /// The protocol broke down: there will be no end of the turn, and the program is to be stopped.
    Broken,
}

/// What a program goes on with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lingering {
    /// Children that report back; the engine's timers alone bound them.
    Children,
    /// Commands left running; they have [`COMMANDS_PATIENCE`].
    Commands,
}

/// A vendor's side of a conversation.
pub(crate) trait Protocol: Send {
    /// The program runs: what to say first.
    fn begin(&mut self, out: &mut Outbox);
    /// It said a line.
    fn line(&mut self, line: Line<'_>, out: &mut Outbox);
    /// It complained.
    fn complaint(&mut self, line: &str);
    /// The turn is to end, the session to stay. False when the program cannot be asked for that.
    fn interrupt(&mut self, out: &mut Outbox) -> bool;
    /// Words for the running turn.
    fn steer(&mut self, words: String, out: &mut Outbox);
    /// The answer to an open request; false when there is no such request.
    fn answer(&mut self, request: &str, reply: &Reply, out: &mut Outbox) -> bool;
}

/// How a conversation ended.
#[derive(Debug)]
pub(crate) struct Conversed {
    /// How the main process ended; absent when its warden was lost.
    pub(crate) end: Option<End>,
    /// Processes of its tree that would not die.
    pub(crate) left: u64,
    /// Whether the engine ordered the end.
    pub(crate) stopped: bool,
    /// Whether the engine ordered an interrupt.
    pub(crate) interrupted: bool,
    /// What the program complained about.
    pub(crate) errors: Part,
}

/// Speaks with a program to its end. Dropping the future kills the tree.
pub(crate) async fn converse(
    kept: Kept,
    inbox: Box<dyn Inbox>,
    grace: Duration,
    log: Option<&Path>,
    sink: &Arc<dyn Sink>,
    protocol: &mut dyn Protocol,
) -> Conversed {
    let mut talk = Talk {
        stdin: kept.stdin,
        to_write: VecDeque::new(),
        control: kept.control,
        warden: kept.warden,
        grace,
        sink,
        protocol,
        log: RawLog::open(log),
        pulse: Pulse::default(),
        output_lines: Lines::default(),
        error_lines: Lines::with_limit(8 << 10),
        errors: Clipped::new(ERRORS_MAX),
        standing: Standing::Running,
        end: None,
        left: 0,
        watching: true,
        stopped: false,
        interrupted: false,
        asked_at: None,
        deadline: None,
    };
    talk.with_protocol(|protocol, out| protocol.begin(out));
    talk.run(kept.stdout, kept.stderr, inbox).await;
    talk.conversed()
}

/// The state of the loop.
struct Talk<'a> {
    stdin: Option<pipe::Sender>,
    to_write: VecDeque<u8>,
    control: Control,
    warden: ProcessMark,
    grace: Duration,
    sink: &'a Arc<dyn Sink>,
    protocol: &'a mut dyn Protocol,
    log: RawLog,
    pulse: Pulse,
    output_lines: Lines,
    error_lines: Lines,
    errors: Clipped,
    standing: Standing,
    end: Option<End>,
    left: u64,
    /// Whether reports of the warden are still to come.
    watching: bool,
    stopped: bool,
    interrupted: bool,
    /// When the program was first asked to end its turn.
    asked_at: Option<Instant>,
    /// When to do the next step, and which.
    deadline: Option<(Instant, Step)>,
}

/// What happens at a deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// TERM, then KILL by the warden.
    Terminate(Why),
    /// The warden itself is stuck, or the pipes are held by a stranger.
    GiveUp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    /// It was asked to end its turn and did not.
    Ignored,
    /// Its turn is over and it stays.
    Stays,
}

impl Talk<'_> {
    async fn run(&mut self, stdout: pipe::Receiver, stderr: pipe::Receiver, inbox: Box<dyn Inbox>) {
        let mut output = Some(stdout);
        let mut errors = Some(stderr);
        let mut orders = Box::pin(next_order(inbox));
        let mut listening = true;
        loop {
            let deadline = self.deadline;
            tokio::select! {
                report = self.control.next(), if self.watching => self.report(report),
                open = readable(output.as_ref()), if output.is_some() => {
                    if !open || !self.take_output(output.as_ref()) {
                        output = None;
                        self.finish_output();
                    }
                }
                open = readable(errors.as_ref()), if errors.is_some() => {
                    if !open || !self.take_errors(errors.as_ref()) {
                        errors = None;
                    }
                }
                writable = writable(self.stdin.as_ref()), if self.stdin.is_some() && !self.to_write.is_empty() => {
                    self.write_some(writable);
                }
                (inbox, order) = &mut orders, if listening && self.watching => {
                    match order {
                        Some(order) => {
                            self.order(order);
                            orders.set(next_order(inbox));
                        }
                        None => listening = false,
                    }
                }
                () = at(deadline.map(|(moment, _)| moment)), if deadline.is_some() => {
                    self.deadline = None;
                    match deadline {
                        Some((_, Step::Terminate(why))) => self.terminate(why),
                        Some((_, Step::GiveUp)) | None => {
                            if self.watching {
                                kill_stuck(self.warden);
                            }
                            return;
                        }
                    }
                }
            }
            if !self.watching && output.is_none() && errors.is_none() {
                return;
            }
            // A program that never stops talking must not keep the thread from others.
            tokio::task::coop::consume_budget().await;
        }
    }

    fn conversed(mut self) -> Conversed {
        if let Some(trouble) = self.log.trouble() {
            self.sink
                .event(AgentEvent::Notice(format!("the log could not be written: {trouble}")));
        }
        Conversed {
            end: self.end,
            left: self.left,
            stopped: self.stopped,
            interrupted: self.interrupted,
            errors: self.errors.finish(),
        }
    }

    /// Lets the protocol act and does what it wants done.
    fn with_protocol(&mut self, act: impl FnOnce(&mut dyn Protocol, &mut Outbox)) {
        let mut out = Outbox {
            standing: self.standing,
            ..Outbox::default()
        };
        act(self.protocol, &mut out);
        self.settle(out);
    }

    fn settle(&mut self, out: Outbox) {
        for event in out.events {
            if event != AgentEvent::Alive || self.pulse.is_due(std::time::Instant::now()) {
                self.sink.event(event);
            }
        }
        if self.stdin.is_some() {
            self.to_write.extend(out.write);
        }
        if out.standing != self.standing {
            self.standing = out.standing;
            self.stand();
        }
        self.close_when_over();
    }

    /// What a new standing of the turn leads to.
    fn stand(&mut self) {
        if self.end.is_some() {
            return;
        }
        // What was being ended stays under its deadline until the turn is over, whatever else it says.
        match self.standing {
            Standing::Running if self.asked_at.is_none() => self.deadline = None,
            Standing::Running => {}
            Standing::Ending => self.due(self.grace, Step::Terminate(Why::Ignored)),
            Standing::Lingering(Lingering::Children) => self.deadline = None,
            Standing::Lingering(Lingering::Commands) => self.due(COMMANDS_PATIENCE, Step::Terminate(Why::Stays)),
            Standing::Over => self.due(EXIT_PATIENCE, Step::Terminate(Why::Stays)),
            Standing::Broken => self.terminate(Why::Stays),
        }
    }

    fn close_when_over(&mut self) {
        let is_over = !matches!(self.standing, Standing::Running | Standing::Ending);
        if is_over && self.to_write.is_empty() {
            self.stdin = None;
        }
    }

    fn due(&mut self, after: Duration, step: Step) {
        self.deadline = Some((Instant::now() + after, step));
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Ended(end) => {
                self.end = Some(end);
                self.stdin = None;
                self.due(LEFTOVER_GRACE + KILL_DEADLINE + WARDEN_SLACK, Step::GiveUp);
            }
            Report::Gone { left } => {
                self.left = left;
                self.watching = false;
                self.due(DRAIN_DEADLINE, Step::GiveUp);
            }
            Report::Lost => {
                self.watching = false;
                self.due(DRAIN_DEADLINE, Step::GiveUp);
            }
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Interrupt => {
                self.interrupted = true;
                self.ask_to_end();
            }
            Order::Stop if self.stopped => {}
            Order::Stop => {
                self.stopped = true;
                self.ask_to_end();
            }
            Order::Kill => {
                self.stopped = true;
                self.control.order(Strength::Kill);
                self.due(KILL_DEADLINE + WARDEN_SLACK, Step::GiveUp);
            }
            Order::Steer(words) => self.with_protocol(|protocol, out| protocol.steer(words, out)),
            Order::Answer { request, answer } => {
                let mut known = false;
                self.with_protocol(|protocol, out| known = protocol.answer(&request, &answer, out));
                if !known {
                    let words = format!("an answer came to request {request}, which is not open");
                    self.sink.event(AgentEvent::Notice(words));
                }
            }
        }
    }

    /// By the protocol first; by signals when that brings nothing within the grace.
    fn ask_to_end(&mut self) {
        if self.end.is_some() || self.asked_at.is_some() && !self.stopped {
            return;
        }
        self.asked_at.get_or_insert_with(Instant::now);
        if matches!(self.standing, Standing::Running | Standing::Ending) {
            self.due(self.grace, Step::Terminate(Why::Ignored));
            let mut can_be_asked = false;
            self.with_protocol(|protocol, out| can_be_asked = protocol.interrupt(out));
            if !can_be_asked {
                self.terminate(Why::Stays);
            }
        } else {
            self.stdin = None;
            self.due(self.grace, Step::Terminate(Why::Stays));
        }
    }

    fn terminate(&mut self, why: Why) {
        match why {
            Why::Ignored => self.sink.event(AgentEvent::Notice(
                "the agent did not end its turn when asked; it is ended by signals, its session stays".to_owned(),
            )),
            Why::Stays if self.standing == Standing::Lingering(Lingering::Commands) => {
                self.sink.event(AgentEvent::Notice(
                    "the agent left commands running; they are ended".to_owned(),
                ));
            }
            Why::Stays => {}
        }
        self.stdin = None;
        self.control.order(Strength::Stop);
        self.due(self.grace + LEFTOVER_GRACE + KILL_DEADLINE + WARDEN_SLACK, Step::GiveUp);
    }

    fn take_output(&mut self, stream: Option<&pipe::Receiver>) -> bool {
        let mut chunk = [0; CHUNK_BYTES];
        let bytes = match read(stream, &mut chunk) {
            Read::Some(count) => &chunk[..count],
            Read::Nothing => return true,
            Read::Closed => return false,
        };
        self.log.append(bytes);
        let mut lines = std::mem::take(&mut self.output_lines);
        lines.feed(bytes, |line| {
            self.with_protocol(|protocol, out| protocol.line(line, out))
        });
        self.output_lines = lines;
        true
    }

    fn finish_output(&mut self) {
        let mut lines = std::mem::take(&mut self.output_lines);
        lines.finish(|line| self.with_protocol(|protocol, out| protocol.line(line, out)));
    }

    fn take_errors(&mut self, stream: Option<&pipe::Receiver>) -> bool {
        let mut chunk = [0; CHUNK_BYTES];
        let bytes = match read(stream, &mut chunk) {
            Read::Some(count) => &chunk[..count],
            Read::Nothing => return true,
            Read::Closed => return false,
        };
        self.log.append(bytes);
        self.errors.push(bytes);
        let mut lines = std::mem::take(&mut self.error_lines);
        lines.feed(bytes, |line| {
            if let Line::Whole(line) = line {
                self.protocol.complaint(&String::from_utf8_lossy(line));
            }
        });
        self.error_lines = lines;
        true
    }

    fn write_some(&mut self, writable: bool) {
        let Some(stdin) = self.stdin.as_ref().filter(|_| writable) else {
            self.stdin = None;
            return;
        };
        let (first, _) = self.to_write.as_slices();
        match stdin.try_write(first) {
            Ok(count) => drop(self.to_write.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It does not read any more; what it says of that comes on its other pipes.
            Err(_) => {
                self.stdin = None;
                self.to_write.clear();
            }
        }
        if self.to_write.is_empty() {
            self.to_write.shrink_to(CHUNK_BYTES);
        }
        self.close_when_over();
    }
}

enum Read {
    Some(usize),
    Nothing,
    Closed,
}

fn read(stream: Option<&pipe::Receiver>, chunk: &mut [u8]) -> Read {
    match stream.map(|stream| stream.try_read(chunk)) {
        None | Some(Ok(0)) => Read::Closed,
        Some(Ok(count)) => Read::Some(count),
        Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
        Some(Err(_)) => Read::Closed,
    }
}

async fn next_order(mut inbox: Box<dyn Inbox>) -> (Box<dyn Inbox>, Option<Order>) {
    let order = inbox.next().await;
    (inbox, order)
}

async fn readable(stream: Option<&pipe::Receiver>) -> bool {
    match stream {
        Some(stream) => stream.readable().await.is_ok(),
        None => false,
    }
}

async fn writable(stream: Option<&pipe::Sender>) -> bool {
    match stream {
        Some(stream) => stream.writable().await.is_ok(),
        None => false,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A warden that does not do its work is killed itself: its agent dies with it and the keeper kills the rest.
fn kill_stuck(warden: ProcessMark) {
    if keep::is_alive(warden) {
        // It may have gone just now; then there is nothing to kill.
        let _ = kill(Pid::from_raw(warden.pid.cast_signed()), Signal::SIGKILL);
    }
}
