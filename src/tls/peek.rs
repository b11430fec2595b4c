//! Looking at what a client says first without taking it away: the bytes stay in front of the stream.
//! Does not know what follows from what is seen.
//! Start at [`look`].

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bytes::BytesMut;

use crate::stream::{Stream, poll_read_shared};

use super::hello::{self, ClientHello, HelloError, LIMIT, Parse};

/// What stands at the beginning of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// A ClientHello.
    Hello(Box<ClientHello>),
    /// Another protocol than TLS.
    NotTls,
    /// TLS, but no hello that we take.
    Bad(HelloError),
    /// The client closed before it could be told.
    Closed,
}

/// Reads until it is known what the client speaks, and puts everything back: whatever the outcome, the next read yields
/// the first byte again.
///
/// Waits for the client's first byte as long as it takes, which for a protocol where the server speaks first is for ever: the
/// caller sets a limit. A hello that has begun must be whole within `limit`. Memory: none until it speaks, then as much as
/// was read, at most [`LIMIT`]. Errors: those of the stream.
/// Cancel-safe: what was read is put back when the future is dropped, so that a later look or read begins at the first byte.
pub async fn look(stream: &mut Stream, limit: Duration) -> io::Result<Looked> {
    let mut held = Held {
        stream,
        bytes: BytesMut::new(),
    };
    let wanted = match held.read(1).await? {
        Step::Known(looked) => return Ok(looked),
        Step::Need(wanted) => wanted,
    };
    // In a box, for which there is no need while the client is silent.
    match tokio::time::timeout(limit, Box::pin(held.rest(wanted))).await {
        Ok(looked) => looked,
        Err(_) => Ok(Looked::Bad(HelloError::Slow)),
    }
}

/// What a read led to.
enum Step {
    Known(Looked),
    /// So many bytes, from the first one on, are wanted at least.
    Need(usize),
}

impl Held<'_> {
    async fn rest(&mut self, mut wanted: usize) -> io::Result<Looked> {
        loop {
            match self.read(wanted).await? {
                Step::Known(looked) => return Ok(looked),
                Step::Need(more) => wanted = more,
            }
        }
    }

    /// One read, and a look at what there is where that may be enough.
    async fn read(&mut self, wanted: usize) -> io::Result<Step> {
        let seen = self.bytes.len();
        let most = LIMIT - seen;
        let read = poll_fn(|cx| poll_read_shared(self.stream, cx, &mut self.bytes, most));
        if read.await? == 0 {
            return Ok(Step::Known(Looked::Closed));
        }
        if self.bytes.len() < wanted {
            return Ok(Step::Need(wanted));
        }
        Ok(match hello::parse(&self.bytes) {
            Parse::Need(more) => Step::Need(self.bytes.len() + more),
            Parse::Hello(hello) => Step::Known(Looked::Hello(hello)),
            Parse::NotTls => Step::Known(Looked::NotTls),
            Parse::Bad(error) => Step::Known(Looked::Bad(error)),
        })
    }
}

/// Bytes that are read and not yet put back.
struct Held<'a> {
    stream: &'a mut Stream,
    bytes: BytesMut,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.stream.unread(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A ClientHello of TLS 1.2 without extensions, in two records.
    fn hello() -> Vec<u8> {
        let mut message = vec![1, 0, 0, 41, 3, 3];
        message.extend([7; 32]);
        message.extend([0, 0, 2, 0x13, 1, 1, 0]);
        let (one, other) = message.split_at(10);
        let lengths = [one.len() as u8, other.len() as u8];
        [
            &[22, 3, 1, 0, lengths[0]],
            one,
            &[22, 3, 1, 0, lengths[1]],
            other,
        ]
        .concat()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_hello_that_has_begun_must_be_whole_in_time_and_silence_may_last() {
        let (mut client, mut stream) = pair();
        client.write_all(&hello()[..20]).await.unwrap();
        let looked = look(&mut stream, LONG).await.unwrap();
        assert_eq!(looked, Looked::Bad(HelloError::Slow));
        assert_eq!(stream.unread_len(), 20);
        let (client, mut stream) = pair();
        let silent = tokio::time::timeout(LONG * 10, look(&mut stream, LONG)).await;
        assert!(silent.is_err());
        drop(client);
    }

    fn pair() -> (DuplexStream, Stream) {
        let (client, ours) = duplex(1 << 17);
        (client, Stream::boxed(ours))
    }

    #[tokio::test]
    async fn what_was_looked_at_is_still_to_be_read() {
        let long = [&[22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xe0][..], &[0; 70_000]].concat();
        for (bytes, expected) in [
            ([&hello()[..], b"early data"].concat(), "Hello"),
            (b"SSH-2.0-x\r\n".to_vec(), "NotTls"),
            (vec![22, 3, 1, 0, 0], "Bad"),
            (long, "Bad"),
            (hello()[..40].to_vec(), "Closed"),
            (vec![], "Closed"),
        ] {
            let (mut client, mut stream) = pair();
            client.write_all(&bytes).await.unwrap();
            drop(client);
            for _ in 0..2 {
                let looked = format!("{:?}", look(&mut stream, LONG).await.unwrap());
                assert!(looked.starts_with(expected), "{looked} of {bytes:02x?}");
                assert!(stream.unread_len() <= LIMIT);
            }
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            assert!(read == bytes, "{expected}");
        }
    }

    #[tokio::test]
    async fn a_look_that_is_given_up_loses_nothing() {
        let (mut client, mut stream) = pair();
        let bytes = hello();
        for byte in &bytes[..bytes.len() - 1] {
            client.write_all(&[*byte]).await.unwrap();
            let mut context = Context::from_waker(Waker::noop());
            let polled = pin!(look(&mut stream, LONG)).poll(&mut context);
            assert!(matches!(polled, Poll::Pending), "{polled:?}");
        }
        assert_eq!(stream.unread_len(), bytes.len() - 1);
        client.write_all(&bytes[bytes.len() - 1..]).await.unwrap();
        assert!(matches!(
            look(&mut stream, LONG).await.unwrap(),
            Looked::Hello(_)
        ));
        drop(client);
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, bytes);
    }
}
