//! Refreshes a stored response after a client has had the stale one (RFC 5861 §3).

use std::future::Future;
use std::pin::Pin;

use http::Method;
use http::header::{
    CACHE_CONTROL, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    PRAGMA, RANGE,
};
use http::request::Parts;

use super::Purpose;
use crate::auth::Principal;
use crate::message::{Body, Interim, Reply};
use crate::relay::{Caller, Destination, Relay};

impl Relay {
    /// Asks the origin in a task of its own, as the client that had the stale response, `known` as it is: policy is asked again,
    /// and a record of its own says what came of it. The request is that of the client sent on (RFC 9111 §4.3), with what it and
    /// its rule or route have in it for the origin, credentials too; what may be stored of an answer to these, §3.5 says.
    pub(in crate::relay) fn refresh(
        &self,
        head: &Parts,
        (caller, known): (&Caller, Option<Principal>),
        to: &Destination,
    ) {
        let mut head = head.clone();
        head.method = Method::GET;
        for name in OF_THE_CLIENT {
            head.headers.remove(name);
        }
        let (relay, to) = (self.clone(), to.clone());
        let caller = Caller {
            interim: Interim::default(),
            ..caller.clone()
        };
        self.parts.life.spawn(async move {
            // Boxed: an exchange spawns this, so that its type would hold itself.
            let whose = (&caller, &to, Purpose::Refresh(known.as_ref()));
            let exchange: Pin<Box<dyn Future<Output = Reply> + '_>> =
                Box::pin(relay.carry((&mut head, Body::Empty), whose));
            let mut reply = exchange.await;
            while let Some(Ok(_)) = reply.response.body_mut().frame().await {}
        });
    }
}

/// What the client asked of its own answer.
const OF_THE_CLIENT: [http::HeaderName; 8] = [
    CACHE_CONTROL,
    PRAGMA,
    RANGE,
    IF_RANGE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
];
