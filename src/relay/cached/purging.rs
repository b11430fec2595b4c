//! PURGE: a client has what is stored of a URI taken out, if it is one of those who may.
//! Not the taking out (cache), nor the operator's own way (`egret cache purge`). Policy has been asked before.
//! Start at [`is_purge`].

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};

use super::Answer;
use super::question::Question;
use crate::cache::{Cache, Purge};
use crate::gate::Intent;
use crate::message::Body;
use crate::pool::Received;
use crate::relay::Refusal;

/// Whether a method is the cache's own affair: PURGE, where the settings name who may send it. Where they name nobody, it is a
/// method like any other, and for the origin.
pub(super) fn is_purge(cache: &Cache, method: &Method) -> bool {
    method.as_str() == "PURGE" && !cache.settings().purge.is_empty()
}

/// Whether the client is one of those who may purge.
///
/// Errors: it is not.
pub(super) fn check_right(cache: &Cache, intent: Option<&Intent>) -> Result<(), Refusal> {
    let may = intent.is_some_and(|intent| {
        let principal = intent.principal.as_ref();
        let name = principal.map(|principal| &*principal.name);
        let groups = principal.map_or(&[][..], |principal| &principal.groups);
        let purge = &cache.settings().purge;
        purge.allows(intent.client.ip(), name, groups)
    });
    may.then_some(()).ok_or(Refusal::NotYours(
        "only those whom the cache's settings name may purge",
    ))
}

impl Question<'_> {
    /// Takes out what is stored of the URI, with all its variants. Cancel-safe: it may then be done in part.
    pub(super) async fn purge(&self, cache: &Arc<Cache>) -> Answer {
        let purged = cache.purge(&Purge::Uri(self.uri())).await;
        match purged.trouble {
            None if purged.is_nothing() => answer(StatusCode::OK, "nothing was stored\n"),
            None => answer(StatusCode::OK, "purged\n"),
            Some(_) => answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                "purged, but the disk did not note it: after a restart, it may be used again\n",
            ),
        }
    }
}

fn answer(status: StatusCode, text: &'static str) -> Answer {
    let mut response = Response::new(Body::from(bytes::Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Answer {
        received: Received {
            response,
            upgraded: None,
            delimited: true,
        },
        status: None,
    }
}
