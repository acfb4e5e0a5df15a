//! The replies of a receiver as the sender reads them: from the reply stream, and from the copies in feedback.
//!
//! Invariant: each reply comes out once and in order, whichever way its bytes came first.

use super::error::{Error, Side};
use crate::wire::datagram::Datagram;
use crate::wire::reply::{Reply, ReplyReader};
use bytes::Bytes;
use quinn::Connection;
use tokio::sync::mpsc;

/// The replies of a receiver as they come: on a stream and as copies.
pub(super) struct Replies {
    pub(super) log: ReplyReader,
    pub(super) stream: mpsc::Receiver<(u64, Bytes)>,
}

impl Replies {
    pub(super) fn of(connection: &Connection) -> Replies {
        Replies { log: ReplyReader::default(), stream: read_replies(connection.clone()) }
    }

    /// The first word of a receiver that has dialled us.
    pub(super) async fn first(&mut self, connection: &Connection) -> Result<Reply, Error> {
        loop {
            if let Some(reply) = self.log.next_reply()? {
                return Ok(reply);
            }
            tokio::select! {
                biased;
                datagram = connection.read_datagram() => {
                    let datagram = datagram.map_err(|error| Error::lost(connection, &error))?;
                    match Datagram::decode(&datagram)? {
                        Datagram::Feedback(feedback) => {
                            self.log.insert(u64::from(feedback.offset), feedback.replies);
                        }
                        Datagram::Shard(_) | Datagram::Ping | Datagram::Bye => {
                            return Err(Error::same_side(connection, Side::Sender));
                        }
                    }
                }
                Some((offset, bytes)) = self.stream.recv() => self.log.insert(offset, bytes),
            }
        }
    }
}

/// Reads the reply stream on a task of its own, which ends with the connection.
fn read_replies(connection: Connection) -> mpsc::Receiver<(u64, Bytes)> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        let Ok(mut stream) = connection.accept_uni().await else { return };
        while let Ok(Some(chunk)) = stream.read_chunk(16 * 1024, true).await {
            if sender.send((chunk.offset, chunk.bytes)).await.is_err() {
                return;
            }
        }
    });
    receiver
}
