//! `watch`: the status screen, live. On a terminal it is redrawn in place; elsewhere the news come line by line.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sys::termios::{self, LocalFlags, SetArg, SpecialCharacterIndices, Termios};
use wheelhouse_core::ids::RunId;
use wheelhouse_core::store::Reader;
use wheelhouse_engine::nudge;

use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::follow::{End, Followed, Follower, Signals, Since, is_over};
use crate::gather::{self, Screen};
use crate::host;
use crate::json::page;
use crate::moment::now;
use crate::show;
use crate::state;
use crate::terminal::{draw_out, fit};

/// How often the screen is drawn for the sake of its clocks, and looked at in case a hint was lost.
const REDRAW: Duration = Duration::from_secs(1);
/// How often the keyboard is asked.
const KEY_POLL: Duration = Duration::from_millis(150);
/// The height assumed when the terminal does not say.
const HEIGHT_DEFAULT: u16 = 24;

/// Watches until `q`, Ctrl-C, or the end of the run that was named.
pub(crate) fn watch(app: &App, args: &args::Watch) -> Outcome {
    let mut reader = state::expect(&app.place)?;
    let run = match &args.run {
        Some(run) => Some(state::run(reader.as_mut(), run)?.id),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::STATE_FAILED, format!("cannot wait for events: {error}")))?;
    runtime.block_on(async {
        if app.terminal.json {
            documents(app, reader.as_mut(), run).await
        } else if app.terminal.out.tty {
            screen(app, reader.as_mut(), run).await
        } else {
            lines(app, reader, run).await
        }
    })?;
    Ok(exit::OK)
}

fn gathered(app: &App, reader: &mut dyn Reader, run: Option<RunId>) -> Result<Screen, Failure> {
    let state_dir = &app.place.state_dir;
    match run {
        None => gather::screen(reader, state_dir),
        Some(run) => match reader.run(run)? {
            Some(view) => gather::screen_of(reader, view, state_dir),
            None => Ok(Screen::default()),
        },
    }
}

/// Whether the one run that is watched is over.
fn is_finished(screen: &Screen, run: Option<RunId>) -> bool {
    run.is_some() && screen.open.iter().all(|rows| is_over(&rows.run))
}

/// Waits for the next reason to look: a hint, or a second. False when a person has seen enough.
async fn next_look(app: &App, signals: &mut Signals, keys: &mut Option<Keys>) -> bool {
    let mut ear = nudge::subscribe(&app.place.state_dir).await;
    let heard = async {
        match &mut ear {
            Some(ear) => ear.changed().await,
            None => std::future::pending().await,
        }
    };
    let quit = async {
        match keys {
            Some(keys) => keys.quit().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = heard => true,
        () = tokio::time::sleep(REDRAW) => true,
        () = quit => false,
        _ = signals.next() => false,
    }
}

async fn documents(app: &App, reader: &mut dyn Reader, run: Option<RunId>) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let mut told = None;
    loop {
        let screen = gathered(app, reader, run)?;
        let document = page::screen(&screen, host::engine(&app.place.state_dir));
        if told.as_ref() != Some(&document) {
            app.terminal.print_json_line(&document)?;
            told = Some(document);
        }
        if is_finished(&screen, run) || !next_look(app, &mut signals, &mut None).await {
            return Ok(());
        }
    }
}

async fn lines(app: &App, reader: Box<dyn Reader>, run: Option<RunId>) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let followed = run.map_or(Followed::Everything, |run| Followed::Runs(vec![run]));
    let mut follower = Follower::new(&app.place, &app.terminal, reader, followed, Since::Now)?;
    loop {
        match follower.follow(&mut signals, None, None).await? {
            // Another engine may come.
            End::Gone => {}
            End::Finished | End::Held | End::Hosted(_) | End::Left => return Ok(()),
        }
    }
}

async fn screen(app: &App, reader: &mut dyn Reader, run: Option<RunId>) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let mut keys = Keys::open();
    let canvas = Canvas::open();
    let last = loop {
        let screen = gathered(app, reader, run)?;
        let surface = app.terminal.out;
        let size = terminal_size::terminal_size();
        let width = size.map_or(surface.width, |(width, _)| usize::from(width.0));
        let height = usize::from(size.map_or(HEIGHT_DEFAULT, |(_, height)| height.0));
        let engine = host::engine(&app.place.state_dir);
        let lines = show::status::lines(&screen, engine, now(), width, surface.paint);
        let foot = fit("q or Ctrl-C leaves; what runs goes on", width);
        canvas.draw(&lines, &surface.paint.dim(&foot), height);
        if is_finished(&screen, run) || !next_look(app, &mut signals, &mut keys).await {
            break lines;
        }
    };
    drop(canvas);
    drop(keys);
    // The last picture stays on the ordinary screen.
    app.terminal.print(&format!("{}\n", last.join("\n")))
}

/// The terminal's second screen; the first comes back with the drop, whatever happens.
struct Canvas;

impl Canvas {
    fn open() -> Canvas {
        draw_out("\x1b[?1049h\x1b[?25l\x1b[2J");
        Canvas
    }

    /// Draws from the top; what does not fit the height is left out above the foot.
    fn draw(&self, lines: &[String], foot: &str, height: usize) {
        let room = height.saturating_sub(1).max(1);
        let mut text = String::from("\x1b[H");
        for line in lines.iter().take(room.saturating_sub(1)) {
            text.push_str(line);
            text.push_str("\x1b[K\r\n");
        }
        text.push_str(foot);
        text.push_str("\x1b[K\x1b[J");
        draw_out(&text);
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        draw_out("\x1b[?25h\x1b[?1049l");
    }
}

/// The keyboard, letter by letter and without echo until it is dropped.
struct Keys {
    input: OwnedFd,
    before: Termios,
}

impl Keys {
    /// None when stdin is no terminal.
    fn open() -> Option<Keys> {
        let input = io::stdin().as_fd().try_clone_to_owned().ok()?;
        let before = termios::tcgetattr(&input).ok()?;
        let mut raw = before.clone();
        raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        raw.control_chars[SpecialCharacterIndices::VMIN as usize] = 0;
        raw.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        termios::tcsetattr(&input, SetArg::TCSANOW, &raw).ok()?;
        Some(Keys { input, before })
    }

    /// Waits for `q`. The keyboard is polled: a terminal cannot be awaited without making it non-blocking for every
    /// process that shares it.
    async fn quit(&mut self) {
        loop {
            let mut letters = [0; 16];
            match nix::unistd::read(&self.input, &mut letters) {
                Ok(count) if letters[..count].contains(&b'q') => return,
                Ok(_) | Err(_) => tokio::time::sleep(KEY_POLL).await,
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(&self.input, SetArg::TCSANOW, &self.before);
    }
}
