//! How long the opening of a session may take, and orders of the backend's own: the one clock of this backend.
//!
//! The conversation is pure and the loop that carries it knows only the engine's orders. So what the backend itself wants
//! (end what does not open; end a turn that the vendor tries again and again) comes as an order too, between the
//! engine's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use wheelhouse_core::agent::{BoxFuture, Inbox, Order, Reply};

/// How long an agent has to answer `initialize`. OpenCode takes 20 s beside another busy program.
pub const INITIALIZE_PATIENCE: Duration = Duration::from_secs(60);
/// How long it has to open a session after that; one with a long history is loaded and said again in this time.
pub const SESSION_PATIENCE: Duration = Duration::from_secs(120);

/// How long an agent that goes on with the history of a session after its answer must be silent to be done with it.
pub const HISTORY_SILENCE: Duration = Duration::from_millis(400);

/// The request that an order of the backend's own answers when that silence has been kept.
pub(super) const HISTORY_TOLD: &str = "wheelhouse: history told";

/// Where the opening stands. Shared by the conversation, which moves it, and the inbox, which watches it.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// Until when the step under way must be done; none when the session is open.
    deadline: Option<Instant>,
    overdue: bool,
    interrupt: bool,
    /// When the silence after the history will have lasted long enough.
    told_at: Option<Instant>,
}

impl Default for Opening {
    fn default() -> Opening {
        Opening {
            inner: Arc::new(Inner {
                state: Mutex::new(State {
                    deadline: Some(Instant::now() + INITIALIZE_PATIENCE),
                    overdue: false,
                    interrupt: false,
                    told_at: None,
                }),
                news: Notify::new(),
            }),
        }
    }
}

impl Opening {
    /// The agent has answered; the session is asked for.
    pub(super) fn initialized(&self) {
        self.change(|state| state.deadline = Some(Instant::now() + SESSION_PATIENCE));
    }

    /// The session is open, or will never be.
    pub(super) fn settled(&self) {
        self.change(|state| state.deadline = None);
    }

    /// A piece of history was told, or may yet be: the silence begins anew.
    pub(super) fn history(&self) {
        self.change(|state| state.told_at = Some(Instant::now() + HISTORY_SILENCE));
    }

    /// The turn is to be interrupted, and nobody ordered it.
    pub(super) fn interrupt(&self) {
        self.change(|state| state.interrupt = true);
    }

    /// Whether the time ran out.
    pub(super) fn is_overdue(&self) -> bool {
        self.lock().overdue
    }

    /// The engine's orders, with the backend's own between them.
    pub(super) fn watched(&self, inbox: Box<dyn Inbox>) -> Box<dyn Inbox> {
        Box::new(Watched {
            opening: self.clone(),
            inbox: Some(inbox),
        })
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.inner.news.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An order of the backend's own.
    async fn order(&self) -> Order {
        loop {
            let state = *self.lock();
            if state.interrupt {
                self.lock().interrupt = false;
                return Order::Interrupt;
            }
            tokio::select! {
                () = at(state.told_at) => {
                    self.lock().told_at = None;
                    return Order::Answer { request: HISTORY_TOLD.to_owned(), answer: Reply::Allow };
                }
                () = at(state.deadline) => {
                    let mut state = self.lock();
                    state.deadline = None;
                    state.overdue = true;
                    return Order::Stop;
                }
                () = self.inner.news.notified() => {}
            }
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

struct Watched {
    opening: Opening,
    inbox: Option<Box<dyn Inbox>>,
}

impl Inbox for Watched {
    fn next(&mut self) -> BoxFuture<'_, Option<Order>> {
        Box::pin(async {
            loop {
                let Some(inbox) = &mut self.inbox else {
                    return Some(self.opening.order().await);
                };
                tokio::select! {
                    order = inbox.next() => match order {
                        Some(order) => return Some(order),
                        None => self.inbox = None,
                    },
                    order = self.opening.order() => return Some(order),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl Inbox for Silent {
        fn next(&mut self) -> BoxFuture<'_, Option<Order>> {
            Box::pin(std::future::pending())
        }
    }

    struct Closed;

    impl Inbox for Closed {
        fn next(&mut self) -> BoxFuture<'_, Option<Order>> {
            Box::pin(std::future::ready(None))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_open_in_time_is_stopped() {
        let inboxes: [Box<dyn Inbox>; 2] = [Box::new(Silent), Box::new(Closed)];
        for inbox in inboxes {
            let opening = Opening::default();
            let began = Instant::now();
            let mut inbox = opening.watched(inbox);
            assert_eq!(inbox.next().await, Some(Order::Stop));
            assert!(opening.is_overdue());
            assert_eq!(began.elapsed().as_secs(), INITIALIZE_PATIENCE.as_secs());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_session_has_no_deadline_and_an_interrupt_of_ours_comes_through() {
        let opening = Opening::default();
        let mut inbox = opening.watched(Box::new(Silent));
        let waiting = tokio::spawn(async move { inbox.next().await });
        tokio::task::yield_now().await;
        opening.initialized();
        opening.settled();
        tokio::time::advance(INITIALIZE_PATIENCE + SESSION_PATIENCE).await;
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        opening.interrupt();
        assert_eq!(waiting.await.unwrap(), Some(Order::Interrupt));
        assert!(!opening.is_overdue());
    }
}
