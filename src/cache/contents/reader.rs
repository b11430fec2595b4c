//! Reads a content from an offset on, whether it is whole by then or still arriving.
//! Not how it arrives (filling). Start at [`Reader`].

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::filling::Next;
use super::{Contents, Whole};
use crate::cache::disk::OnDisk;

/// A reader of a content, or of a range of it. It may be moved to another thread. The length that it hints at is exact where it is
/// known. Trailers come at the end of what is read as a whole.
pub struct Reader {
    contents: Contents,
    at: u64,
    /// Where it ends, where that is known.
    end: Option<u64>,
    /// Whether it reads all, and so the trailers too.
    all: bool,
    /// Its place among those who read what arrives.
    place: Option<usize>,
    /// What it reads from disk; the same for as long as it reads, because it holds the file open.
    disk: Option<OnDisk>,
    reading: Option<Reading>,
    /// A range of parts.
    parts: std::vec::IntoIter<Bytes>,
    done: bool,
}

type Reading = Pin<Box<dyn Future<Output = (OnDisk, io::Result<Bytes>)> + Send>>;

/// The content broke off, or could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is stored broke off")]
pub struct Cut;

/// What there is to do next.
enum Step {
    Bytes(Bytes),
    Read(OnDisk),
    Wait,
    /// Look again.
    Again,
    End(Option<HeaderMap>),
    Cut,
}

impl Reader {
    pub(super) fn new(contents: Contents, range: Option<Range<u64>>) -> Option<Self> {
        let all = range.is_none();
        let place = match (contents.0.whole.get(), contents.arriving()) {
            (None, Some(filling)) => {
                let at = range.as_ref().map_or(0, |range| range.start);
                filling.attach(at)
            }
            (Some(_), _) | (None, None) => None,
        };
        let mut reader = Self {
            at: 0,
            end: None,
            all,
            place,
            disk: None,
            reading: None,
            parts: Vec::new().into_iter(),
            done: false,
            contents,
        };
        // It may have become whole this moment.
        if reader.place.is_none() {
            reader.contents.0.whole.get()?;
        }
        let length = reader.contents.length();
        let range = range.unwrap_or_else(|| 0..length.unwrap_or(u64::MAX));
        if range.start > range.end || (!all && length.is_some_and(|length| range.end > length)) {
            return None;
        }
        if let Some(parts) = reader.contents.as_parts() {
            reader.parts = parts.slice(&range)?.into_iter();
        }
        reader.at = range.start;
        reader.end = if all { length } else { Some(range.end) };
        Some(reader)
    }

    fn left(&self) -> Option<u64> {
        self.end.map(|end| end.saturating_sub(self.at))
    }

    fn step(&mut self, cx: &Context<'_>) -> Step {
        if !self.all && self.left() == Some(0) {
            return Step::End(None);
        }
        if let (Some(place), Some(filling)) = (self.place, self.contents.arriving()) {
            return match filling.next(place, self.at, cx) {
                Next::Bytes(bytes) => Step::Bytes(bytes),
                Next::OnDisk(disk) => Step::Read(disk),
                Next::Wait => Step::Wait,
                Next::End(trailers) => Step::End(trailers),
                Next::Cut => Step::Cut,
                Next::Kept => {
                    self.leave();
                    Step::Again
                }
            };
        }
        match self.contents.0.whole.get() {
            Some(Whole::One(bytes)) => {
                let start = usize::try_from(self.at).unwrap_or(usize::MAX);
                let rest = (start < bytes.len()).then(|| bytes.slice(start..));
                rest.map_or(Step::End(None), Step::Bytes)
            }
            Some(Whole::Memory(pieces, trailers)) => {
                let end = || Step::End(trailers.clone());
                pieces.at(self.at).map_or_else(end, Step::Bytes)
            }
            Some(Whole::Disk(_, trailers)) if self.left() == Some(0) => Step::End(trailers.clone()),
            Some(Whole::Disk(disk, _)) => Step::Read(disk.clone()),
            Some(Whole::Parts(_)) => self.parts.next().map_or(Step::End(None), Step::Bytes),
            None => Step::Cut,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if let Some(reading) = &mut self.reading {
                let (disk, read) = ready!(reading.as_mut().poll(cx));
                self.reading = None;
                self.disk = Some(disk);
                // Nothing where there was to be something: the file is not what it was.
                let read = read.ok().filter(|bytes| !bytes.is_empty());
                return Poll::Ready(read.map_or(Step::Cut, Step::Bytes));
            }
            match self.step(cx) {
                Step::Wait => return Poll::Pending,
                Step::Again => {}
                Step::Read(disk) => self.read(disk),
                step @ (Step::Bytes(_) | Step::End(_) | Step::Cut) => return Poll::Ready(step),
            }
        }
    }

    fn read(&mut self, disk: OnDisk) {
        let disk = self.disk.take().unwrap_or(disk);
        let (at, left) = (self.at, self.left().unwrap_or(u64::MAX));
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        self.reading = Some(Box::pin(async move {
            let read = disk.read(at, most).await;
            (disk, read)
        }));
    }

    fn leave(&mut self) {
        if let (Some(place), Some(filling)) = (self.place.take(), self.contents.arriving()) {
            filling.detach(place);
        }
    }

    /// Whoever has come to the end holds nobody back, even if it is not dropped yet.
    fn finish(&mut self) {
        self.done = true;
        self.leave();
        self.reading = None;
        self.disk = None;
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
        let step = ready!(this.poll_next(cx));
        if let Step::Bytes(mut bytes) = step {
            let left = this.left().unwrap_or(u64::MAX);
            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            this.at += bytes.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        this.finish();
        // An end that comes before the bytes that were promised is none.
        let is_short = this.left().is_some_and(|left| left > 0);
        Poll::Ready(match step {
            Step::End(trailers) if !is_short => {
                let trailers = trailers.filter(|_| this.all);
                trailers.map(|trailers| Ok(Frame::trailers(trailers)))
            }
            Step::Bytes(_)
            | Step::Read(_)
            | Step::Wait
            | Step::Again
            | Step::End(_)
            | Step::Cut => Some(Err(Cut)),
        })
    }

    fn is_end_stream(&self) -> bool {
        let may_have_trailers = self.all
            && match self.contents.0.whole.get() {
                Some(Whole::One(_) | Whole::Parts(_)) => false,
                Some(Whole::Memory(_, trailers) | Whole::Disk(_, trailers)) => trailers.is_some(),
                None => true,
            };
        self.done || (self.left() == Some(0) && !may_have_trailers)
    }

    fn size_hint(&self) -> SizeHint {
        self.left()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.leave();
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
