//! A read through room that all streams of a worker share, so that one which waits for its peer holds none.
//! Start at [`poll_read_shared`].

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// Polls for bytes, at most 16 KiB and at most `most` of them, and puts them behind those of `buf`. The number of bytes; 0 at
/// the end of the stream.
///
/// `buf` gets room when there is something to put there, and where it was empty, no more than that. Not to be called by what
/// `from` reads from.
pub fn poll_read_shared(
    from: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    buf: &mut BytesMut,
    most: usize,
) -> Poll<io::Result<usize>> {
    SHARED.with_borrow_mut(|room| {
        let most = most.min(room.len());
        let mut read = ReadBuf::new(room.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(from).poll_read(cx, &mut read))?;
        let filled = read.filled();
        if buf.is_empty() {
            *buf = BytesMut::with_capacity(filled.len());
        }
        buf.extend_from_slice(filled);
        Poll::Ready(Ok(filled.len()))
    })
}

thread_local! {
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; ROOM]);
}

/// Bytes that are read at a time at most.
const ROOM: usize = 16 << 10;
