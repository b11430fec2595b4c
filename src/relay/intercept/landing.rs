//! The proxy's own host: offers the authority's certificate, says how to trust it, and shows whether this client does.
//! Not the admin interface: nothing here is a secret, and nothing can be changed.
//! Start at [`Landing::page`].

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE,
};
use http::{HeaderValue, Response, StatusCode};
use rustls::pki_types::CertificateDer;

use crate::addr::Host;
use crate::message::{Body, split_query};
use crate::tls::authority::{fingerprint, pem};
use crate::tls::trust::STORES;

/// The pages, made once.
#[derive(Debug)]
pub(super) struct Landing {
    host: Host,
    page: Bytes,
    pem: Bytes,
    der: Bytes,
}

impl Landing {
    pub(super) fn new(host: Host, offered: &[CertificateDer<'static>]) -> Self {
        Self {
            page: page(&host, offered).into(),
            pem: offered.iter().map(pem).collect::<String>().into(),
            der: offered
                .first()
                .map(|first| Bytes::copy_from_slice(first))
                .unwrap_or_default(),
            host,
        }
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// What stands at a path; whatever follows a `?` does not matter.
    pub(super) fn page(&self, path: &str) -> Response<Body> {
        let (path, _) = split_query(path);
        let (kind, body) = match path {
            "/" => ("text/html; charset=utf-8", self.page.clone()),
            "/ca.pem" => ("application/x-pem-file", self.pem.clone()),
            "/ca.der" | "/ca.crt" => ("application/x-x509-ca-cert", self.der.clone()),
            "/trusted.svg" => ("image/svg+xml", Bytes::from_static(TRUSTED.as_bytes())),
            _ => (
                "text/plain; charset=utf-8",
                Bytes::from_static(b"There is nothing here.\n"),
            ),
        };
        let mut response = Response::new(Body::from(body));
        if !matches!(
            path,
            "/" | "/ca.pem" | "/ca.der" | "/ca.crt" | "/trusted.svg"
        ) {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'unsafe-inline'; img-src https:",
            ),
        );
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        if path.starts_with("/ca.") {
            headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        }
        response
    }
}

fn page(host: &Host, offered: &[CertificateDer<'static>]) -> String {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Certificate of this proxy</title><style>{STYLE}</style><h1>Certificate of this proxy</h1>\
         <p>This proxy decrypts connections where its policy says so. Programs accept that only if they trust its authority.</p>\
         <p><img src=\"https://{host}/trusted.svg\" alt=\"This client does not trust the authority yet.\"></p>\
         <p><a href=\"/ca.pem\">ca.pem</a> (PEM: Linux, macOS, programs) &middot; <a href=\"/ca.der\">ca.der</a> (DER: Windows, phones)</p>"
    );
    for certificate in offered {
        // A String takes all that is written.
        let _ = write!(
            page,
            "<p>SHA-256 <code>{}</code></p>",
            fingerprint(certificate)
        );
    }
    page.push_str(
        "<p>Compare it with what your administrator tells you, by another way than this page.</p>",
    );
    for store in STORES {
        let commands = escape(&store.commands.replace("{cert}", "ca.pem"));
        let _ = write!(
            page,
            "<h2>{}</h2><pre>{commands}</pre>",
            escape(store.title)
        );
    }
    page
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:48em;margin:2em auto;padding:0 1em}\
                     pre,code{background:#eee;padding:.2em;overflow-wrap:anywhere;white-space:pre-wrap}h2{font-size:1em}";

/// Shown only where the handshake with the authority's certificate succeeds.
const TRUSTED: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"420\" height=\"24\"><text y=\"18\" \
                       font-family=\"sans-serif\" font-size=\"16\" fill=\"green\">This client trusts the authority.</text></svg>";
