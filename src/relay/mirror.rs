//! A copy of a request for another upstream. Nobody waits for what comes of it, and its answer is thrown away.
//! Start at [`Relay::mirrored`].

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::request::Parts;
use http_body::Body as _;
use tokio::time::timeout;

use super::attempts::Attempts;
use super::destination::{Backend, Destination, Gateway, Step};
use super::recording::Recording;
use super::retry::{Message, Sending};
use super::tries::Tries;
use super::way::Judging;
use super::{Caller, Refusal, Relay};
use crate::message::{Body, Interim, buffer};

impl Relay {
    /// Sends a copy to the upstream that the route mirrors to, where it does for this one. The body comes back for who is to answer.
    ///
    /// A body without a size, or larger than what is kept of one for this, and a copy that finds too many others under way, is not mirrored.
    /// Errors: the client's body breaks while its beginning is read.
    pub(super) async fn mirrored(
        &self,
        (head, body): (&Parts, Body),
        tries: &Tries<'_>,
        recording: &mut Recording,
    ) -> Result<Body, Refusal> {
        let Some(to) = copied(tries.judging.to) else {
            return Ok(body);
        };
        // What has no size may be a conversation, whose next part waits for an answer to the first.
        if matches!(body, Body::Stream(_)) && body.size_hint().exact().is_none() {
            return Ok(body);
        }
        let body = buffer::collect(body, LARGEST).await?;
        let copy = match &body {
            Body::Empty => Body::Empty,
            Body::Full(bytes) => Body::Full(bytes.clone()),
            Body::Stream(_) => return Ok(body),
        };
        let Some(place) = Place::take(&self.parts.mirrors) else {
            return Ok(body);
        };
        let judging = Judging {
            to: &to,
            ..tries.judging
        };
        let Some(backend) = to.backend() else {
            return Ok(body);
        };
        // What policy does not permit, or has no endpoint, has no copy.
        let Ok(way) = self.begin(judging, backend, Attempts::default(), recording) else {
            return Ok(body);
        };
        let caller = Caller {
            interim: Interim::default(),
            ..tries.judging.caller.clone()
        };
        let (relay, method, headers) = (self.clone(), head.method.clone(), head.headers.clone());
        self.parts.life.spawn(async move {
            let _place = place;
            let mut recording = Recording::silent(&relay.parts, &caller);
            let sending = Sending {
                pool: &relay.parts.pool,
                way: &way,
                to: &to,
                interim: &caller.interim,
            };
            let message = Message {
                method: &method,
                headers: &headers,
            };
            let whole = async {
                let sent = sending.send(message, copy, &mut recording).await;
                let Ok(received) = sent else {
                    return;
                };
                let mut body = received.response.into_body();
                while let Some(Ok(_)) = body.frame().await {}
            };
            // Whether it came to an end or not is nobody's concern.
            let _ = timeout(LONGEST, whole).await;
        });
        Ok(body)
    }
}

/// Where the copy of a request goes; `None` where none is made.
fn copied(to: &Destination) -> Option<Destination> {
    let by = to.by.as_ref()?;
    let backend = Backend {
        served: by.mirror.clone()?,
        target: to.backend()?.target.clone(),
        key: None,
        sticky: None,
    };
    Some(Destination {
        by: Some(Rc::new(Gateway {
            route: by.route.clone(),
            step: Step::Send(backend),
            seen: by.seen.clone(),
            peer: by.peer,
            writing: by.writing,
            mirror: None,
        })),
        ..to.clone()
    })
}

/// One of the copies that a worker may have under way.
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(count: &Rc<Cell<usize>>) -> Option<Self> {
        (count.get() < AT_ONCE).then(|| {
            count.set(count.get() + 1);
            Self(count.clone())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// The largest body that is copied.
const LARGEST: usize = 1 << 20;
/// Copies under way at once on a worker.
const AT_ONCE: usize = 256;
/// How long a copy may take.
const LONGEST: Duration = Duration::from_secs(60);
