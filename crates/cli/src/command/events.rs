//! `events`: the history, all of it or from a cursor on, once or as it grows.

use wheelhouse_core::ids::Cursor;
use wheelhouse_core::store::{Reader, RunState};
use wheelhouse_engine::nudge;

use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::feed::Feed;
use crate::follow::Signals;
use crate::json;
use crate::moment::now;
use crate::show::line;
use crate::state;

/// How often it is looked for news while no engine gives hints.
const POLL: std::time::Duration = std::time::Duration::from_millis(500);

/// Prints events.
pub(crate) fn events(app: &App, args: &args::Events) -> Outcome {
    let mut reader = state::expect(&app.place)?;
    let run = match &args.run {
        Some(run) => Some(state::run(reader.as_mut(), run)?.id),
        None => None,
    };
    let mut feed = Feed::new(Cursor(args.since.unwrap_or(0)), run);
    print_news(app, &mut feed, reader.as_mut())?;
    if args.follow {
        follow(app, &mut feed, reader.as_mut())?;
    }
    Ok(exit::OK)
}

fn print_news(app: &App, feed: &mut Feed, reader: &mut dyn Reader) -> Result<(), Failure> {
    loop {
        let news = feed.next(reader)?;
        if news.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for news in &news {
            if app.terminal.json {
                text.push_str(&json::event(&news.event, news.key.as_ref()).to_string());
            } else {
                text.push_str(&line::event(
                    &news.event,
                    news.key.as_ref(),
                    now(),
                    app.terminal.out.paint,
                ));
            }
            text.push('\n');
        }
        app.terminal.print(&text)?;
    }
}

fn follow(app: &App, feed: &mut Feed, reader: &mut dyn Reader) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::STATE_FAILED, format!("cannot wait for events: {error}")))?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        loop {
            let mut ear = nudge::subscribe(&app.place.state_dir).await;
            // What happened before the ear was open.
            print_news(app, feed, reader)?;
            if over(feed, reader)? {
                return Ok(());
            }
            let heard = async {
                match &mut ear {
                    Some(ear) => ear.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = heard => {}
                _ = signals.next() => return Ok(()),
                () = tokio::time::sleep(POLL) => {}
            }
        }
    })
}

/// Whether the one run that is followed is finished.
fn over(feed: &Feed, reader: &mut dyn Reader) -> Result<bool, Failure> {
    let Some(run) = feed.run else { return Ok(false) };
    Ok(reader.run(run)?.is_none_or(|view| view.state == RunState::Finished))
}
