//! Reads a content from an offset on, whether it is whole by then or still arriving.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::filling::Next;
use super::{Contents, Pieces, Whole};
use crate::cache::disk::OnDisk;

/// A reader of a content, or of a range of it. It may be moved to another thread.
pub struct Reader {
    contents: Contents,
    at: u64,
    /// Where it ends, where that is known.
    end: Option<u64>,
    /// Its place among those who read what arrives.
    place: Option<usize>,
    /// The piece that was read last, of what is whole in memory: where to look next.
    piece: usize,
    /// Where that piece begins.
    begins: u64,
    reading: Option<Reading>,
    /// A range of parts, which are at hand.
    parts: std::vec::IntoIter<Bytes>,
    trailers: Option<HeaderMap>,
    done: bool,
}

type Reading = Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send>>;

/// The content broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is stored broke off")]
pub struct Cut;

impl Reader {
    pub(super) fn new(contents: Contents, range: Option<Range<u64>>) -> Option<Self> {
        let length = contents.length();
        let at = range.as_ref().map_or(0, |range| range.start);
        let end = range.map(|range| range.end).or(length);
        let (mut place, mut parts) = (None, Vec::new());
        match contents.state() {
            Ok(Whole::Parts(of)) => parts = of.slice(&(at..end?))?,
            Ok(Whole::Memory(_) | Whole::Disk(_)) => {}
            Err(Some(filling)) => match filling.attach(at) {
                Some(attached) => place = Some(attached),
                // It may have become whole this moment.
                None => _ = contents.state().ok()?,
            },
            Err(None) => return None,
        }
        Some(Self {
            contents,
            at,
            end,
            place,
            piece: 0,
            begins: 0,
            reading: None,
            parts: parts.into_iter(),
            trailers: None,
            done: false,
        })
    }

    fn left(&self) -> Option<u64> {
        self.end.map(|end| end.saturating_sub(self.at))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        loop {
            if self.left() == Some(0) {
                return Poll::Ready(None);
            }
            if let Some(reading) = &mut self.reading {
                let read = ready!(reading.as_mut().poll(cx));
                self.reading = None;
                // Less than there was to be: the file is not what it was.
                let read = read.ok().filter(|bytes| !bytes.is_empty()).ok_or(Cut);
                return Poll::Ready(Some(read));
            }
            let contents = self.contents.clone();
            match contents.state() {
                Ok(Whole::Memory(pieces)) => return Poll::Ready(self.of_pieces(pieces)),
                Ok(Whole::Disk(disk)) => self.read(disk.clone()),
                Ok(Whole::Parts(_)) => return Poll::Ready(self.parts.next().map(Ok)),
                Err(Some(filling)) => {
                    let Some(place) = self.place else {
                        return Poll::Ready(Some(Err(Cut)));
                    };
                    match filling.next(place, self.at, cx.waker()) {
                        Next::Bytes(bytes) => return Poll::Ready(Some(Ok(bytes))),
                        Next::OnDisk(disk) => self.read(disk),
                        // It may have become whole between the two looks.
                        Next::Wait | Next::End | Next::Cut if contents.state().is_ok() => {}
                        Next::Wait => return Poll::Pending,
                        Next::End => return Poll::Ready(None),
                        Next::Cut => return Poll::Ready(Some(Err(Cut))),
                    }
                }
                Err(None) => return Poll::Ready(Some(Err(Cut))),
            }
        }
    }

    fn read(&mut self, disk: OnDisk) {
        let (at, most) = (self.at, self.left().unwrap_or(u64::MAX));
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        self.reading = Some(Box::pin(async move { disk.read(at, most).await }));
    }

    /// The rest of the piece that this stands in.
    fn of_pieces(&mut self, pieces: &Pieces) -> Option<Result<Bytes, Cut>> {
        while let Some(piece) = pieces.pieces.get(self.piece) {
            let ends = self.begins + piece.len() as u64;
            if self.at < ends {
                let skip = usize::try_from(self.at - self.begins).ok()?;
                return Some(Ok(piece.slice(skip..)));
            }
            self.begins = ends;
            self.piece += 1;
        }
        self.trailers = pieces.trailers.clone();
        None
    }
}

impl Body for Reader {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        match ready!(this.poll_next(cx)) {
            Some(Ok(mut bytes)) => {
                if let Some(left) = this.left() {
                    bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                }
                this.at += bytes.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(Err(cut)) => {
                this.done = true;
                Poll::Ready(Some(Err(cut)))
            }
            None => {
                this.done = true;
                let trailers = this.trailers.take();
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.left() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let (Some(place), Some(filling)) = (self.place, &self.contents.0.filling) {
            filling.detach(place);
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("at", &self.at)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
