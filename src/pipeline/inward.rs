//! The receiving end of a connection: shards come in and chunks are handed up; feedback and replies go out.
//!
//! This is where the sans-IO [`Inbound`] meets quinn. Every reply is written to the reply stream and, because a lost stream packet costs
//! round trips, copied into the next feedback datagrams a few times.

use super::error::Error;
use super::{RetryFor, close};
use crate::link::Link;
use crate::network::congestion::Pilot;
use crate::network::seam::now;
use crate::transfer::{Delivered, Inbound};
use crate::wire::datagram::{Datagram, Feedback};
use crate::wire::reply::{self, Reply};
use bytes::Bytes;
use quinn::Connection;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often each part of the reply log is copied into feedback at first; reminders copy the newest part again.
const COPIES: u32 = 4;
/// Answers in which a sender on a slow link would have been heard.
const SLOW_SILENCE: u32 = 6;
/// Most bytes of the log that are copied; older ones are left to the stream.
const COPIED: usize = 8 * 1024;

/// What the network side has for the command.
#[derive(Debug)]
pub(super) enum Received {
    /// A chunk is whole.
    Chunk(Delivered),
    /// The sender has said goodbye.
    Bye,
    /// What only a receiver says.
    Feedback,
}

pub(super) struct Inward {
    pub(super) connection: Connection,
    pilot: Arc<Pilot>,
    pub(super) inbound: Inbound,
    stream: mpsc::UnboundedSender<Bytes>,
    copies: Copies,
    heard: Instant,
    /// Room in quinn's datagram buffer while nothing is queued.
    empty_space: usize,
}

/// The newest part of the reply log, being copied.
#[derive(Debug, Default)]
struct Copies {
    log: Vec<u8>,
    /// Offset of `log` in the whole.
    start: u64,
    /// Where in `log` the next copy begins.
    at: usize,
    rounds: u32,
}

impl Copies {
    fn append(&mut self, bytes: &[u8]) {
        if self.rounds == 0 {
            // What was copied before is with the stream; only the newest part is kept, for a sender that did not hear it.
            self.start += self.log.len() as u64;
            self.log.clear();
        }
        self.log.extend_from_slice(bytes);
        self.rounds = COPIES;
        let excess = self.log.len().saturating_sub(COPIED);
        self.log.drain(..excess);
        self.start += excess as u64;
        self.at = self.at.saturating_sub(excess);
    }

    /// Copies the newest part once more.
    fn repeat(&mut self) {
        self.rounds = self.rounds.max(u32::from(!self.log.is_empty()));
    }

    /// The next part to copy, at most `room` bytes, with its offset.
    fn next(&mut self, room: usize) -> (u64, Bytes) {
        if self.rounds == 0 || room == 0 {
            return (0, Bytes::new());
        }
        let end = (self.at + room).min(self.log.len());
        let copy = (self.start + self.at as u64, Bytes::copy_from_slice(&self.log[self.at..end]));
        self.at = end;
        if self.at == self.log.len() {
            self.at = 0;
            self.rounds -= 1;
        }
        copy
    }
}

impl Inward {
    pub(super) fn new(connection: Connection, pilot: Arc<Pilot>) -> Self {
        let stream = write_replies(connection.clone());
        let empty_space = connection.datagram_send_buffer_space();
        let inbound = Inbound::over(pilot.link());
        Self { empty_space, connection, pilot, inbound, stream, copies: Copies::default(), heard: now() }
    }

    /// The sender was told this of the link: this side speaks as seldom. Gives what is wrong if one side alone was told. How long this side waits
    /// is not for the sender to say.
    pub(super) fn told(&mut self, link: Option<Link>) -> Option<&'static str> {
        match (self.pilot.link(), link) {
            (None, Some(link)) => {
                self.inbound.told(link);
                Some(
                    "the sender was told of a slow link (--link) and this side was not: the first contact takes longer",
                )
            }
            (Some(_), None) => {
                Some("this side was told of a slow link (--link) and the sender was not: it repeats what is on its way")
            }
            _ => None,
        }
    }

    /// Silence of at least `span` after which the sender has left: on a slow link, several answers.
    pub(super) fn silence(&self, span: Duration) -> Duration {
        self.pilot.link().map_or(span, |link| span.max(SLOW_SILENCE * link.answer()))
    }

    /// When anything last came from the sender.
    pub(super) fn heard(&self) -> Instant {
        self.heard
    }

    /// Says something to the sender.
    pub(super) fn reply(&mut self, reply: &Reply) {
        let mut bytes = Vec::new();
        reply::append(reply, &mut bytes);
        self.copies.append(&bytes);
        self.inbound.urge();
        // The writer ends only with the connection, which the next read notices.
        let _ = self.stream.send(Bytes::from(bytes));
    }

    /// Says the first word of the connection, again and again until something comes.
    pub(super) fn ask(&mut self, question: &Reply) {
        self.reply(question);
        self.inbound.begin(now());
    }

    /// Runs the connection until there is a chunk, or it has been silent for too long. May be dropped and called again.
    pub(super) async fn next(&mut self, retry_for: RetryFor) -> Result<Received, Error> {
        loop {
            self.speak()?;
            let silence = match retry_for {
                RetryFor::Span(span) if now().saturating_duration_since(self.heard) > span => {
                    return Err(Error::Silent { span });
                }
                RetryFor::Span(span) => self.heard + span + Duration::from_millis(1),
                RetryFor::Forever => now() + Duration::from_secs(3600),
            };
            let due = self
                .inbound
                .next_timeout(self.connection.rtt(), self.min_rtt())
                .map_or(silence, |due| due.min(silence));
            let datagram = tokio::select! {
                biased;
                datagram = self.connection.read_datagram() => datagram.map_err(|error| Error::lost(&self.connection, &error))?,
                () = tokio::time::sleep_until(due.into()) => continue,
            };
            self.heard = now();
            match Datagram::decode(&datagram)? {
                Datagram::Shard(shard) => {
                    if let Some(delivered) = self.inbound.on_shard(self.heard, &shard)? {
                        return Ok(Received::Chunk(delivered));
                    }
                }
                Datagram::Ping => {
                    self.inbound.urge();
                    self.copies.repeat();
                }
                Datagram::Bye => return Ok(Received::Bye),
                Datagram::Feedback(_) => return Ok(Received::Feedback),
            }
        }
    }

    fn min_rtt(&self) -> Duration {
        self.connection.min_rtt()
    }

    /// Sends the feedback that is due.
    fn speak(&mut self) -> Result<(), Error> {
        let rtt = self.connection.rtt();
        let min_rtt = self.min_rtt();
        while let Some(mut feedback) = self.inbound.poll_feedback(now(), rtt, min_rtt) {
            if self.inbound.is_reminding() {
                self.copies.repeat();
            }
            let room = Feedback::room_for_replies(feedback.missing.len());
            let (offset, replies) = self.copies.next(room);
            feedback.offset = offset as u32;
            feedback.replies = replies;
            // Feedback is what brings a dead path back to life, so it is never held up by a window full of lost packets.
            if self.connection.datagram_send_buffer_space() < self.empty_space {
                self.pilot.grant(2);
            }
            self.connection.send_datagram(feedback.encode()).map_err(|error| Error::unsent(&self.connection, error))?;
        }
        Ok(())
    }
}

impl Drop for Inward {
    fn drop(&mut self) {
        // One that was given up must not be left open, where a stranger would go on filling its buffers.
        self.connection.close(close::STOPPED.into(), b"");
    }
}

/// Writes the reply stream on a task of its own, which ends with the connection or the last reply.
fn write_replies(connection: Connection) -> mpsc::UnboundedSender<Bytes> {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Bytes>();
    tokio::spawn(async move {
        let Ok(mut stream) = connection.open_uni().await else { return };
        while let Some(bytes) = receiver.recv().await {
            if stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // Nothing is lost if the connection is gone: the replies were copied into datagrams as well.
        let _ = stream.finish();
    });
    sender
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_the_log_is_copied_several_times() {
        let mut copies = Copies::default();
        copies.append(&[7; 1000]);
        let mut seen = vec![0u32; 1000];
        loop {
            let (offset, bytes) = copies.next(300);
            if bytes.is_empty() {
                break;
            }
            for at in offset..offset + bytes.len() as u64 {
                seen[at as usize] += 1;
            }
        }
        assert!(seen.iter().all(|count| *count == COPIES));
        copies.append(b"new");
        assert_eq!(copies.next(300), (1000, Bytes::from_static(b"new")));
    }

    #[test]
    fn old_replies_are_left_to_the_stream() {
        let mut copies = Copies::default();
        copies.append(&vec![0; COPIED]);
        copies.append(b"newest");
        let (offset, _) = copies.next(10);
        assert_eq!(offset, 6);
    }
}
