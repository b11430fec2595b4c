//! A probe by HTTP: one request, whose status is expected, and a part of whose content may be.
//! Start at [`ask`].

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Response};

use super::check::{Target, contains, said};
use crate::message::http1::framing::Length;
use crate::message::{Body, Interim, default_port};
use crate::pool::{Key, Outgoing, SendError};
use crate::upstream::Probe;

/// Asks, and holds the answer against what is expected.
pub(super) async fn ask(target: &Target<'_>, probe: &Probe) -> Result<(), String> {
    let Probe::Http {
        method,
        path,
        host,
        status,
        body,
    } = probe
    else {
        return Err("this is no probe by HTTP".to_owned());
    };
    let own = || {
        let port = default_port(target.terms.is_secure());
        target.authority.without_default_port(port).to_string()
    };
    let host = host.as_deref().map_or_else(own, str::to_owned);
    let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    let outgoing = Outgoing {
        method: &method,
        target: path,
        host: &host,
        headers: &headers,
        length: Length::Empty,
        patience: None,
    };
    let response = send(target, &outgoing, Body::Empty).await?;
    let code = response.status().as_u16();
    if !status.iter().any(|range| range.contains(code)) {
        return Err(format!("it answered with status {code}"));
    }
    if body.is_none() {
        return Ok(());
    }
    let content = read(response.into_body(), LOOKED_AT).await?.0;
    if contains(&content, body.as_deref()) {
        return Ok(());
    }
    Err("its answer does not contain what is expected".to_owned())
}

/// Sends a request on a connection of its own, on the upstream's terms.
pub(super) async fn send(
    target: &Target<'_>,
    outgoing: &Outgoing<'_>,
    body: Body,
) -> Result<Response<Body>, String> {
    let terms = target.terms;
    let http1 = terms.needs_http1(outgoing.target, outgoing.host, outgoing.headers);
    let key = Key::to_endpoint(terms.clone(), target.authority.clone(), http1);
    let pool = &target.means.pool;
    let lease = pool.lease(&target.permit, &key, None).await.map_err(said)?;
    let interim = Interim::default();
    let sent = lease
        .connection
        .send(pool, key, outgoing, body, false, &interim);
    match sent.await {
        Ok(received) => Ok(received.response),
        Err(SendError::Origin(failure, _)) => Err(said(failure)),
        Err(SendError::Client(error)) => Err(error.to_string()),
    }
}

/// The first bytes of a content, at most so many, and its trailers where it has ended before.
pub(super) async fn read(
    mut body: Body,
    most: usize,
) -> Result<(Bytes, Option<HeaderMap>), String> {
    let mut content = BytesMut::new();
    let mut trailers = None;
    while content.len() < most
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|error| error.to_string())?;
        match frame.into_data() {
            Ok(data) => content.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((content.freeze(), trailers))
}

/// How much of a content is looked at.
const LOOKED_AT: usize = 64 << 10;
pub(super) const AGENT: &str = concat!("egret/", env!("CARGO_PKG_VERSION"), " (health check)");
