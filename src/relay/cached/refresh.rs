//! Refreshes a stored response after a client has had the stale one (RFC 5861 §3).

use std::future::Future;
use std::pin::Pin;

use http::header::{
    CACHE_CONTROL, HeaderMap, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, PRAGMA, RANGE,
};
use http::{Method, Request, Version};

use super::Purpose;
use crate::message::{Body, Interim, Reply};
use crate::relay::{Caller, Destination, Relay};

impl Relay {
    /// Asks the origin in a task of its own, as the client that had the stale response: policy is asked again, and a record of
    /// its own says what came of it.
    pub(in crate::relay) fn refresh(
        &self,
        headers: &HeaderMap,
        version: Version,
        caller: &Caller,
        to: &Destination,
    ) {
        let mut request = Request::new(Body::Empty);
        *request.method_mut() = Method::GET;
        *request.version_mut() = version;
        *request.headers_mut() = headers.clone();
        for name in OF_THE_CLIENT {
            request.headers_mut().remove(name);
        }
        let (relay, to) = (self.clone(), to.clone());
        let caller = Caller {
            interim: Interim::default(),
            ..caller.clone()
        };
        self.parts.life.spawn(async move {
            // Boxed: an exchange spawns this, so that its type would hold itself.
            let exchange: Pin<Box<dyn Future<Output = Reply>>> =
                Box::pin(relay.carry(request, &caller, &to, Purpose::Refresh));
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
