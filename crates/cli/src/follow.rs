//! Follows runs to their end: tells what happens on stderr, passes on what a person asks for with Ctrl-C.
//!
//! It reads the store like anybody else and is woken by the engine's hints, so it follows an engine in this process
//! and one in another alike. It never changes anything.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{Cursor, RunId};
use wheelhouse_core::store::{Reader, RunState, RunView, TaskView};
use wheelhouse_core::task::{Held, TaskState};
use wheelhouse_core::time::human;
use wheelhouse_engine::nudge::{self, Subscription};
use wheelhouse_engine::{Ending, StopSignal};

use crate::exit;
use crate::failure::Failure;
use crate::feed::{Feed, News};
use crate::host;
use crate::moment::now;
use crate::place::Place;
use crate::region::Region;
use crate::show::status::Engine;
use crate::show::{line, words};
use crate::terminal::{Terminal, fit};

/// How often the store is looked at while no engine gives hints.
const POLL: Duration = Duration::from_millis(250);
/// How often the live region is redrawn for the sake of its clocks.
const REDRAW: Duration = Duration::from_secs(1);
/// How often it is looked at although hints should come: they may be lost, the truth is in the store.
const SAFETY_POLL: Duration = Duration::from_secs(60);
/// How many running tasks the live region shows.
const LIVE_MAX: u32 = 8;

/// The engine of this process, as its follower sees it.
pub(crate) struct Hosted {
    /// Takes what a person asks for.
    pub(crate) stop: mpsc::Sender<StopSignal>,
    /// Says how it ended.
    pub(crate) ended: oneshot::Receiver<Result<Ending, Failure>>,
    /// Brings its lines for people.
    pub(crate) notices: mpsc::Receiver<String>,
}

/// Something that wants to know what happens as well.
pub(crate) trait Watcher {
    /// There is news, or a moment has passed.
    fn look(&mut self, reader: &mut dyn Reader) -> Result<(), Failure>;
    /// Whether the runs that are followed may count as over.
    fn is_content(&mut self) -> bool;
    /// How often it wants to look although nothing happened.
    fn interval(&self) -> Duration;
}

/// Which runs are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    /// These.
    Runs(Vec<RunId>),
    /// Every one, until the engine ends.
    Everything,
}

/// Where the telling begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Since {
    /// With the first event of the runs.
    Beginning,
    /// With what happens from now on.
    Now,
}

/// Why following ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The runs are finished; an engine of this process may still be at work for others.
    Finished,
    /// Nothing of the runs can go on without a person.
    Held,
    /// The engine of this process ended.
    Hosted(Ending),
    /// The engine of another process went away and the runs are not finished.
    Gone,
    /// A person asked, and the engine is not ours to stop.
    Left,
}

/// Whether there is a picture with clocks in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Drawn {
    Something,
    Nothing,
}

/// A person's wish to stop, from any of the ways to say it.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    count: u32,
}

impl Signals {
    /// Starts listening; from here on the signals do not end the process by themselves.
    pub(crate) fn listen() -> Result<Signals, Failure> {
        let open = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(exit::STATE_FAILED, format!("cannot listen for signals: {error}")))
        };
        Ok(Signals {
            interrupt: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
            hangup: open(SignalKind::hangup())?,
            count: 0,
        })
    }

    /// Waits for the next one and says how many there were.
    pub(crate) async fn next(&mut self) -> u32 {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
        self.count += 1;
        self.count
    }
}

/// Follows runs.
pub(crate) struct Follower<'a> {
    place: &'a Place,
    terminal: &'a Terminal,
    reader: Box<dyn Reader>,
    followed: Followed,
    feed: Feed,
    region: Region,
    /// Tasks done by run, as told so far.
    done: BTreeMap<RunId, u64>,
}

impl<'a> Follower<'a> {
    /// A follower that begins to tell at `since`.
    pub(crate) fn new(
        place: &'a Place,
        terminal: &'a Terminal,
        reader: Box<dyn Reader>,
        followed: Followed,
        since: Since,
    ) -> Result<Self, Failure> {
        let mut reader = reader;
        let only = match &followed {
            Followed::Runs(runs) => match runs.as_slice() {
                [run] => Some(*run),
                _ => None,
            },
            Followed::Everything => None,
        };
        let mut feed = Feed::new(Cursor::default(), only);
        let mut done = BTreeMap::new();
        if since == Since::Now {
            feed.skip_to_end(reader.as_mut())?;
            if let Followed::Runs(runs) = &followed {
                for run in runs {
                    let counts = reader.run(*run)?.map(|view| view.counts).unwrap_or_default();
                    done.insert(*run, counts.total() - counts.open());
                }
            }
        }
        Ok(Follower {
            place,
            terminal,
            reader,
            followed,
            feed,
            region: Region::new(terminal.err, terminal.quiet),
            done,
        })
    }

    /// Follows until there is nothing more to follow. With `hosted` it follows the engine of this process, else
    /// whichever engine works on the state directory.
    pub(crate) async fn follow(
        &mut self,
        signals: &mut Signals,
        mut hosted: Option<&mut Hosted>,
        mut watcher: Option<&mut (dyn Watcher + '_)>,
    ) -> Result<End, Failure> {
        let mut ear = nudge::subscribe(&self.place.state_dir).await;
        let mut was_heard = ear.is_some();
        loop {
            self.tell_news()?;
            if let Some(watcher) = watcher.as_deref_mut() {
                watcher.look(self.reader.as_mut())?;
            }
            let content = watcher.as_deref_mut().is_none_or(Watcher::is_content);
            if let Some(end) = self.end(hosted.is_some(), content)? {
                self.region.clear();
                return Ok(end);
            }
            let drawn = self.draw()?;
            let mut pause = match (ear.is_some(), drawn) {
                (false, _) => POLL,
                (true, Drawn::Something) => REDRAW,
                (true, Drawn::Nothing) => SAFETY_POLL,
            };
            if let Some(watcher) = watcher.as_deref() {
                pause = pause.min(watcher.interval());
            }
            let (ended, notices, stop) = match hosted.as_deref_mut() {
                Some(hosted) => (Some(&mut hosted.ended), Some(&mut hosted.notices), Some(&hosted.stop)),
                None => (None, None, None),
            };
            tokio::select! {
                heard = hear(&mut ear) => if !heard { ear = None },
                ended = engine_end(ended) => {
                    self.tell_news()?;
                    if let Some(watcher) = watcher.as_deref_mut() {
                        watcher.look(self.reader.as_mut())?;
                    }
                    self.region.clear();
                    return ended.map(End::Hosted);
                }
                Some(notice) = notice(notices) => self.region.print(&notice),
                count = signals.next() => match stop {
                    Some(stop) => self.stop(stop, count).await,
                    None => {
                        self.region.clear();
                        return Ok(End::Left);
                    }
                },
                () = tokio::time::sleep(pause) => {}
            }
            if ear.is_none() {
                ear = nudge::subscribe(&self.place.state_dir).await;
                was_heard |= ear.is_some();
                // One that was gone before it was ever heard gives its seat up all the same.
                let is_gone = |place: &Place| was_heard || matches!(host::engine(&place.state_dir), Engine::Absent);
                if ear.is_none() && hosted.is_none() && is_gone(self.place) {
                    self.tell_news()?;
                    self.region.clear();
                    let end = self.end(false, true)?;
                    return Ok(end.unwrap_or(End::Gone));
                }
            }
        }
    }

    /// Waits for the engine of this process alone; the runs that were followed are over.
    pub(crate) async fn wait_for_engine(
        &mut self,
        signals: &mut Signals,
        hosted: &mut Hosted,
    ) -> Result<Ending, Failure> {
        loop {
            tokio::select! {
                ended = engine_end(Some(&mut hosted.ended)) => return ended,
                Some(notice) = notice(Some(&mut hosted.notices)) => self.region.print(&notice),
                count = signals.next() => self.stop(&hosted.stop, count).await,
            }
        }
    }

    async fn stop(&mut self, stop: &mpsc::Sender<StopSignal>, count: u32) {
        match count {
            1 => {
                self.region.print(
                    "stopping: nothing new starts, what runs is asked to end (again: it is killed; a third time: \
                     leave at once)",
                );
                // An engine that is gone needs no telling.
                let _ = stop.send(StopSignal::Ask).await;
            }
            2 => {
                self.region.print("stopping now: what runs is killed");
                let _ = stop.send(StopSignal::Kill).await;
            }
            _ => {
                self.region.clear();
                std::process::exit(i32::from(exit::INTERRUPTED.code));
            }
        }
    }

    fn is_followed(&self, run: RunId) -> bool {
        match &self.followed {
            Followed::Runs(runs) => runs.contains(&run),
            Followed::Everything => true,
        }
    }

    fn tell_news(&mut self) -> Result<(), Failure> {
        let mut totals: BTreeMap<RunId, RunView> = BTreeMap::new();
        loop {
            let news = self.feed.next(self.reader.as_mut())?;
            if news.is_empty() {
                return Ok(());
            }
            for news in news
                .iter()
                .filter(|news| self.is_followed(news.event.run))
                .collect::<Vec<_>>()
            {
                self.tell(news, &mut totals)?;
            }
        }
    }

    fn tell(&mut self, news: &News, totals: &mut BTreeMap<RunId, RunView>) -> Result<(), Failure> {
        let run = news.event.run;
        if !totals.contains_key(&run)
            && let Some(view) = self.reader.run(run)?
        {
            totals.insert(run, view);
        }
        let total = totals.get(&run).map_or(0, |view| view.counts.total());
        let done = self.done.entry(run).or_default();
        let mut took = None;
        match &news.event.happened {
            Happened::TaskDone { .. } => {
                *done += 1;
                if let Some(task) = news.event.task {
                    took = self.reader.task(task)?.as_ref().and_then(words::took);
                }
            }
            Happened::TaskRetried => *done = done.saturating_sub(1),
            _ => {}
        }
        let far = (*done, total);
        let paint = self.terminal.err.paint;
        let named = news.key.as_ref().map(|key| match (&self.followed, self.feed.run) {
            (Followed::Runs(_), Some(_)) => key.clone(),
            (Followed::Runs(_) | Followed::Everything, _) => crate::json::task_name(run, key).as_str().into(),
        });
        if let Some(line) = line::progress(&news.event, named.as_ref(), took, far, paint)
            && !self.terminal.quiet
        {
            self.region.print(&line);
        }
        Ok(())
    }

    /// Whether following is over, by what is stored.
    fn end(&mut self, hosted: bool, content: bool) -> Result<Option<End>, Failure> {
        let Followed::Runs(runs) = self.followed.clone() else {
            return Ok(None);
        };
        if !content {
            return Ok(None);
        }
        let mut finished = true;
        let mut held = true;
        for run in runs {
            let Some(view) = self.reader.run(run)? else { continue };
            if is_over(&view) {
                continue;
            }
            finished = false;
            // Our own engine knows best when nothing is left, and says so by ending.
            held &= !hosted && needs_person(self.reader.as_mut(), &view)?;
        }
        Ok(match (finished, held) {
            (true, _) => Some(End::Finished),
            (false, true) => Some(End::Held),
            (false, false) => None,
        })
    }

    fn draw(&mut self) -> Result<Drawn, Failure> {
        if !self.region.is_enabled() {
            return Ok(Drawn::Nothing);
        }
        let mut lines = Vec::new();
        let (width, paint) = (self.terminal.err.width, self.terminal.err.paint);
        let moment = now();
        for run in self.followed_open()? {
            for task in self.reader.tasks_in(run.id, TaskState::Running.name(), LIVE_MAX)? {
                lines.push(paint.live(&fit(&running_line(&task, moment), width.saturating_sub(1))));
            }
            let counts = &run.counts;
            let parts = [
                (counts.running, "running"),
                (counts.held, "held"),
                (counts.ready, "ready"),
                (counts.waiting, "waiting"),
            ];
            let mut text = format!("{}: {}", run.id, words::run_progress(&run));
            for (number, word) in parts {
                if number > 0 {
                    text.push_str(&format!(" · {} {word}", words::thousands(number)));
                }
            }
            text.push_str(&format!(" · {}", human(words::run_took(&run, moment))));
            lines.push(paint.dim(&fit(&text, width.saturating_sub(1))));
        }
        self.region.draw(&lines);
        Ok(if lines.is_empty() {
            Drawn::Nothing
        } else {
            Drawn::Something
        })
    }

    fn followed_open(&mut self) -> Result<Vec<RunView>, Failure> {
        let runs = match &self.followed {
            Followed::Runs(runs) => {
                let mut views = Vec::new();
                for run in runs.clone() {
                    views.extend(self.reader.run(run)?);
                }
                views
            }
            Followed::Everything => self.reader.runs(20)?,
        };
        Ok(runs.into_iter().filter(|run| !is_over(run)).collect())
    }
}

fn running_line(task: &TaskView, moment: wheelhouse_core::time::Millis) -> String {
    format!("▸ {}  {}  {}", task.key, task.agent, words::task_note(task, moment))
}

/// Whether nothing of the run is left to do. A standing run is over when it is empty.
pub(crate) fn is_over(run: &RunView) -> bool {
    run.state == RunState::Finished || (run.standing && run.counts.open() == 0)
}

/// Whether nothing of the run can go on before a person does something.
pub(crate) fn needs_person(reader: &mut dyn Reader, run: &RunView) -> Result<bool, Failure> {
    let counts = &run.counts;
    if is_over(run) || counts.running > 0 {
        return Ok(false);
    }
    match run.state {
        RunState::Paused | RunState::Interrupted => return Ok(true),
        RunState::Active | RunState::Finished => {}
    }
    if counts.ready > 0 || counts.held == 0 {
        return Ok(false);
    }
    let held = reader.tasks_in(run.id, "held", u32::try_from(counts.held).unwrap_or(u32::MAX))?;
    let reasons: HashSet<bool> = held
        .iter()
        .map(|task| match &task.state {
            TaskState::Held(
                Held::Approval { .. }
                | Held::Question { .. }
                | Held::MergeConflict { .. }
                | Held::Budget { until: None, .. }
                | Held::Paused,
            ) => true,
            TaskState::Held(
                Held::Quota { .. } | Held::Retry { .. } | Held::Conflict { .. } | Held::Budget { until: Some(_), .. },
            )
            | TaskState::Waiting { .. }
            | TaskState::Ready
            | TaskState::Running
            | TaskState::Done { .. } => false,
        })
        .collect();
    Ok(!reasons.contains(&false))
}

async fn hear(ear: &mut Option<Subscription>) -> bool {
    match ear {
        Some(ear) => ear.changed().await,
        None => std::future::pending().await,
    }
}

async fn notice(notices: Option<&mut mpsc::Receiver<String>>) -> Option<String> {
    match notices {
        Some(notices) => notices.recv().await,
        None => std::future::pending().await,
    }
}

async fn engine_end(ended: Option<&mut oneshot::Receiver<Result<Ending, Failure>>>) -> Result<Ending, Failure> {
    let Some(ended) = ended else {
        return std::future::pending().await;
    };
    match ended.await {
        Ok(ending) => ending,
        Err(_) => Err(Failure::new(exit::STATE_FAILED, "the engine ended without a word")
            .hint("`wheelhouse resume` goes on where it was")),
    }
}
