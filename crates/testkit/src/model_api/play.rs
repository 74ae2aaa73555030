//! Sends an answer, or what the fault leaves of it.
//!
//! Everything is written by the one task that owns the connection. While it waits it also reads, so that a client
//! that closes is noticed at once and not at the next write.

use std::time::Duration;

use serde_json::{Value, json};

use super::ask::Ask;
use super::choose::Play;
use super::fault::FaultKind;
use super::http::{self, Connection, Gone, LAST_CHUNK, Sizing};
use super::state::State;
use super::timeline::{AttemptRef, Finished, Vendor};
use super::trouble::Trouble;
use super::wire::{self, Frame};

/// What may follow on the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum After {
    /// The next request.
    KeepOpen,
    /// Nothing: close it in order.
    Close,
    /// Nothing: break it.
    Reset,
}

/// One answer on its way.
pub(crate) struct Sender<'a> {
    pub(crate) state: &'a State,
    pub(crate) connection: &'a mut Connection,
    pub(crate) attempt: AttemptRef,
}

const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json";
const GARBAGE: &str = "<html><body><h1>It works!</h1></body></html>\n";

impl Sender<'_> {
    /// Answers a model call.
    pub(crate) async fn play(&mut self, ask: &Ask, play: &Play) -> After {
        let sent = self.send(ask, play).await;
        sent.unwrap_or_else(|Gone| {
            self.state.finish(self.attempt, Finished::ClientGone);
            After::Close
        })
    }

    async fn send(&mut self, ask: &Ask, play: &Play) -> Result<After, Gone> {
        self.wait(play.delay_ms).await?;
        let fault = play.fault.map(|fault| fault.kind);
        if let Some(trouble) = play.fault.and_then(|fault| Trouble::of_fault(&fault, &ask.model)) {
            return self.refuse(&trouble, ask.vendor, &play.seed).await;
        }
        match fault {
            Some(FaultKind::Hang) => {
                self.connection.gone().await;
                Err(Gone)
            }
            Some(FaultKind::Garbage) => {
                let kind = if ask.stream { EVENT_STREAM } else { JSON };
                self.whole(200, kind, &[], GARBAGE.as_bytes()).await
            }
            Some(FaultKind::ErrorIn200) => {
                let body = overloaded().body(ask.vendor);
                self.json(200, &[], &body).await
            }
            Some(FaultKind::ErrorEvent) if !ask.stream => self.refuse(&overloaded(), ask.vendor, &play.seed).await,
            _ if ask.stream => self.stream(ask, play, fault).await,
            _ => self.in_one_piece(ask, play, fault).await,
        }
    }

    /// A refusal in the vendor's words.
    pub(crate) async fn refuse(&mut self, trouble: &Trouble, vendor: Vendor, seed: &str) -> Result<After, Gone> {
        let refusal = trouble.refusal(vendor, seed);
        self.json(refusal.status, &refusal.headers, &refusal.body).await
    }

    /// A JSON answer.
    pub(crate) async fn json(
        &mut self,
        status: u16,
        headers: &[(&'static str, String)],
        body: &Value,
    ) -> Result<After, Gone> {
        self.whole(status, JSON, headers, body.to_string().as_bytes()).await
    }

    async fn whole(
        &mut self,
        status: u16,
        content_type: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Result<After, Gone> {
        let mut bytes = http::head(status, content_type, headers, Sizing::Length(body.len()));
        bytes.extend_from_slice(body);
        self.state.status(self.attempt, status);
        self.last(&bytes).await?;
        Ok(After::KeepOpen)
    }

    /// Writes the last bytes of an answer. Whoever has read them finds the attempt completed.
    async fn last(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        if self.connection.is_gone() {
            return Err(Gone);
        }
        self.state.finish(self.attempt, Finished::Completed);
        self.connection.write(bytes).await
    }

    async fn in_one_piece(&mut self, ask: &Ask, play: &Play, fault: Option<FaultKind>) -> Result<After, Gone> {
        let mut body = wire::whole(ask, play);
        if fault == Some(FaultKind::Noise) {
            body["a_field_from_the_future"] = true.into();
        }
        let body = body.to_string();
        let (first, rest) = body.as_bytes().split_at(body.len() / 2);
        let head = http::head(200, JSON, &answer_headers(ask, play), Sizing::Length(body.len()));
        self.state.status(self.attempt, 200);
        self.connection.write(&head).await?;
        self.connection.write(first).await?;
        match fault {
            Some(FaultKind::Stall) => self.stall().await,
            // A body that ends before its length cannot end properly.
            Some(FaultKind::Cut | FaultKind::CutClean) => Ok(self.cut(After::Close)),
            Some(FaultKind::Reset) => Ok(self.cut(After::Reset)),
            _ => {
                self.hold(play).await?;
                self.last(rest).await?;
                Ok(After::KeepOpen)
            }
        }
    }

    async fn stream(&mut self, ask: &Ask, play: &Play, fault: Option<FaultKind>) -> Result<After, Gone> {
        let mut frames = wire::stream(ask, play);
        if fault == Some(FaultKind::Noise) {
            frames = noisy(ask.vendor, frames);
        }
        let head = http::head(200, EVENT_STREAM, &answer_headers(ask, play), Sizing::Chunked);
        self.state.status(self.attempt, 200);
        self.connection.write(&head).await?;
        let turning = turning_point(&frames);
        for (at, frame) in frames.iter().enumerate() {
            if at == turning {
                self.hold(play).await?;
                if let Some(after) = self.turn(fault, frame, ask, play).await? {
                    return Ok(after);
                }
            }
            if at > 0 && frame.is_text {
                self.wait(play.pace_ms).await?;
            }
            let is_last = at + 1 == frames.len();
            for piece in pieces(&frame.bytes, play.shred) {
                let chunk = http::chunk(piece);
                match is_last {
                    true => {
                        // The end of the body travels with the last event: no client sees one without the other.
                        let ends = std::ptr::eq(piece.as_ptr_range().end, frame.bytes.as_ptr_range().end);
                        let bytes = if ends { [&chunk, LAST_CHUNK].concat() } else { chunk };
                        if ends {
                            self.last(&bytes).await?
                        } else {
                            self.connection.write(&bytes).await?
                        }
                    }
                    false => self.connection.write(&chunk).await?,
                }
            }
        }
        Ok(After::KeepOpen)
    }

    /// What a fault does in the middle of the stream, before `frame`.
    async fn turn(
        &mut self,
        fault: Option<FaultKind>,
        frame: &Frame,
        ask: &Ask,
        play: &Play,
    ) -> Result<Option<After>, Gone> {
        match fault {
            Some(FaultKind::Stall) => self.stall().await.map(Some),
            Some(FaultKind::Cut | FaultKind::Reset) => {
                // The chunk promises the whole frame and half of it comes.
                let chunk = http::chunk(&frame.bytes);
                self.connection.write(&chunk[..chunk.len() / 2]).await?;
                let reset = fault == Some(FaultKind::Reset);
                Ok(Some(self.cut(if reset { After::Reset } else { After::Close })))
            }
            Some(FaultKind::CutClean) => {
                self.state.finish(self.attempt, Finished::Cut);
                self.connection.write(LAST_CHUNK).await?;
                Ok(Some(After::KeepOpen))
            }
            Some(FaultKind::ErrorEvent) => {
                let error = overloaded().frame(ask.vendor, &play.seed);
                let bytes = [&http::chunk(&error.bytes), LAST_CHUNK].concat();
                self.last(&bytes).await?;
                Ok(Some(After::KeepOpen))
            }
            _ => Ok(None),
        }
    }

    fn cut(&mut self, after: After) -> After {
        self.state.finish(self.attempt, Finished::Cut);
        after
    }

    async fn stall(&mut self) -> Result<After, Gone> {
        self.connection.gone().await;
        Err(Gone)
    }

    async fn hold(&mut self, play: &Play) -> Result<(), Gone> {
        let Some(gate) = &play.hold else { return Ok(()) };
        tokio::select! {
            () = self.state.released(gate) => Ok(()),
            () = self.connection.gone() => Err(Gone),
        }
    }

    async fn wait(&mut self, wait_ms: u64) -> Result<(), Gone> {
        if wait_ms == 0 {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait_ms)) => Ok(()),
            () = self.connection.gone() => Err(Gone),
        }
    }
}

fn overloaded() -> Trouble {
    Trouble::Overloaded { retry_after_s: None }
}

fn answer_headers(ask: &Ask, play: &Play) -> Vec<(&'static str, String)> {
    let name = match ask.vendor {
        Vendor::Anthropic => "request-id",
        Vendor::Responses | Vendor::Chat | Vendor::Gemini => "x-request-id",
    };
    vec![(name, format!("req_{}", play.seed))]
}

/// Before which frame faults strike: in the middle of the text, but never before something was said; without text,
/// before the end.
fn turning_point(frames: &[Frame]) -> usize {
    let texts: Vec<usize> = (0..frames.len()).filter(|&at| frames[at].is_text).collect();
    let end = frames
        .iter()
        .position(|frame| frame.is_end)
        .unwrap_or(frames.len().saturating_sub(1));
    match texts[..] {
        [] => end.min(frames.len().saturating_sub(1)),
        [only] => (only + 1).min(frames.len().saturating_sub(1)),
        _ => texts[texts.len().div_ceil(2)],
    }
}

/// Frames with, between them, what a good client ignores: comments where the protocol's clients take them, an
/// event of an unknown kind, a field of an unknown name.
fn noisy(vendor: Vendor, frames: Vec<Frame>) -> Vec<Frame> {
    let (comment, surprise) = match vendor {
        Vendor::Anthropic => (
            true,
            Frame::event("surprise", &json!({"type": "surprise", "new": true})),
        ),
        Vendor::Responses => (
            true,
            Frame::event("response.surprise", &json!({"type": "response.surprise", "new": true})),
        ),
        Vendor::Chat => (true, Frame::data(&json!({"choices": [], "new": true}))),
        // Google's own client takes a comment for half an event.
        Vendor::Gemini => (false, Frame::data(&json!({"new": true}))),
    };
    let mut all = Vec::new();
    for (at, frame) in frames.into_iter().enumerate() {
        if comment {
            all.push(Frame::raw(": keep-alive\n\n".to_owned()));
        }
        all.push(frame);
        if at == 0 {
            all.push(surprise.clone());
        }
    }
    all
}

fn pieces(bytes: &[u8], shred: Option<usize>) -> std::slice::Chunks<'_, u8> {
    bytes.chunks(shred.unwrap_or(bytes.len()).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(kinds: &str) -> Vec<Frame> {
        let frame = |kind| {
            let frame = Frame::raw(format!("{kind}"));
            match kind {
                't' => frame.text(),
                'e' => frame.end(),
                _ => frame,
            }
        };
        kinds.chars().map(frame).collect()
    }

    #[test]
    fn faults_strike_in_the_middle_of_the_text() {
        for (kinds, at) in [
            ("..ttttee", 4),
            ("..tttee", 4),
            ("..ttee", 3),
            ("..tee", 3),
            ("...ee", 3),
            ("te", 1),
            ("e", 0),
        ] {
            assert_eq!(turning_point(&frames(kinds)), at, "{kinds}");
        }
    }
}
