//! What passes a rule's filters beside the fields of a message: content, trailers, and interim responses.
//! Not the filters themselves.

use super::masked::Masked;
use crate::filter::Filters;
use crate::message::{Body, Interim};

/// A request's body whose trailers pass the filters.
pub(super) fn request_body(filters: &Filters, body: Body) -> Body {
    if filters.is_empty() {
        return body;
    }
    let filters = filters.clone();
    body.map_trailers(move |trailers| filters.on_request_trailers(trailers))
}

/// A response's body whose content and trailers pass the filters.
pub(super) fn response_body(filters: &Filters, body: Body) -> Body {
    if filters.is_empty() {
        return body;
    }
    let body = match filters.mask() {
        Some(mask) if !body.is_empty() => Body::stream(Masked::new(body, mask)),
        Some(_) | None => body,
    };
    let filters = filters.clone();
    body.map_trailers(move |trailers| filters.on_response_trailers(trailers))
}

/// The same queue of interim responses; what is pushed through the handle that this returns passes the filters.
pub(super) fn interim(filters: &Filters, interim: &Interim) -> Interim {
    if filters.is_empty() {
        return interim.clone();
    }
    let filters = filters.clone();
    interim.changed_by(move |headers| filters.on_response_trailers(headers))
}
