//! A body whose content passes a mask, piece by piece.
//! Not the mask itself (filter).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::filter::Mask;
use crate::message::{Body, BodyError};

pub(super) struct Masked {
    body: Body,
    mask: Mask,
    /// Trailers that came while content was held back.
    trailers: Option<Frame<Bytes>>,
    ended: bool,
}

impl Masked {
    pub(super) fn new(body: Body, mask: Mask) -> Self {
        Self {
            body,
            mask,
            trailers: None,
            ended: false,
        }
    }

    /// What is held back, once no content follows.
    fn rest(&mut self) -> Option<Frame<Bytes>> {
        let rest = self.mask.end();
        (!rest.is_empty()).then(|| Frame::data(rest))
    }
}

impl HttpBody for Masked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        loop {
            if let Some(trailers) = this.trailers.take() {
                return Poll::Ready(Some(Ok(trailers)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx)?) else {
                this.ended = true;
                return Poll::Ready(this.rest().map(Ok));
            };
            match frame.into_data() {
                Ok(data) => {
                    let passed = this.mask.pass(data);
                    if !passed.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(passed))));
                    }
                }
                Err(trailers) => {
                    let rest = this.rest();
                    this.trailers = Some(trailers);
                    if let Some(rest) = rest {
                        return Poll::Ready(Some(Ok(rest)));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let whole = self.ended || self.body.is_end_stream();
        whole && self.trailers.is_none() && self.mask.held() == 0
    }

    fn size_hint(&self) -> SizeHint {
        let (held, rest) = (self.mask.held() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(held));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}
