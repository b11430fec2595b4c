//! The kinds of trouble that a proxy has, by the names of RFC 9209 §2.3, with the status that tells each.
//! Not the page that tells it, which is an `Answer`.
//! Start at [`ProxyError`].

use http::{HeaderValue, StatusCode};

/// What went wrong between this proxy and the origin, or was refused on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the RFC's token, spelt below")]
pub enum ProxyError {
    DnsTimeout,
    DnsError,
    DestinationNotFound,
    DestinationUnavailable,
    AddressProhibited,
    Unroutable,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectionTimeout,
    ConnectionReadTimeout,
    ConnectionLimit,
    TlsProtocol,
    TlsCertificate,
    TlsAlert,
    RequestError,
    RequestDenied,
    ResponseIncomplete,
    ResponseHeadSize,
    UpgradeFailed,
    ProtocolError,
    InternalResponse,
}

impl ProxyError {
    /// The RFC's token.
    pub fn token(self) -> &'static str {
        self.row().0
    }

    /// The status of an answer to it.
    pub fn status(self) -> StatusCode {
        self.row().1
    }

    fn row(self) -> (&'static str, StatusCode) {
        match self {
            Self::DnsTimeout => ("dns_timeout", StatusCode::GATEWAY_TIMEOUT),
            Self::DnsError => ("dns_error", StatusCode::BAD_GATEWAY),
            // Recommended is 500 (§2.3.3), for what a proxy should have known; clients and crawlers go by 404.
            Self::DestinationNotFound => ("destination_not_found", StatusCode::NOT_FOUND),
            Self::DestinationUnavailable => {
                ("destination_unavailable", StatusCode::SERVICE_UNAVAILABLE)
            }
            // SHOULD be 502 (§2.3.5); our own policy forbids it, and 403 tells the client that truth.
            Self::AddressProhibited => ("destination_ip_prohibited", StatusCode::FORBIDDEN),
            Self::Unroutable => ("destination_ip_unroutable", StatusCode::BAD_GATEWAY),
            Self::ConnectionRefused => ("connection_refused", StatusCode::BAD_GATEWAY),
            Self::ConnectionTerminated => ("connection_terminated", StatusCode::BAD_GATEWAY),
            Self::ConnectionTimeout => ("connection_timeout", StatusCode::GATEWAY_TIMEOUT),
            Self::ConnectionReadTimeout => ("connection_read_timeout", StatusCode::GATEWAY_TIMEOUT),
            Self::ConnectionLimit => ("connection_limit_reached", StatusCode::SERVICE_UNAVAILABLE),
            Self::TlsProtocol => ("tls_protocol_error", StatusCode::BAD_GATEWAY),
            Self::TlsCertificate => ("tls_certificate_error", StatusCode::BAD_GATEWAY),
            Self::TlsAlert => ("tls_alert_received", StatusCode::BAD_GATEWAY),
            Self::RequestError => ("http_request_error", StatusCode::BAD_REQUEST),
            Self::RequestDenied => ("http_request_denied", StatusCode::FORBIDDEN),
            Self::ResponseIncomplete => ("http_response_incomplete", StatusCode::BAD_GATEWAY),
            Self::ResponseHeadSize => {
                ("http_response_header_section_size", StatusCode::BAD_GATEWAY)
            }
            Self::UpgradeFailed => ("http_upgrade_failed", StatusCode::BAD_GATEWAY),
            Self::ProtocolError => ("http_protocol_error", StatusCode::BAD_GATEWAY),
            Self::InternalResponse => ("proxy_internal_response", StatusCode::GATEWAY_TIMEOUT),
        }
    }
}

/// A `Proxy-Status` value (RFC 9209 §2): the proxy's name, the error, and details as a quoted string.
pub fn proxy_status(name: &str, error: ProxyError, details: &str) -> Option<HeaderValue> {
    let mut text = format!("{name}; error={}", error.token());
    if !details.is_empty() {
        text += "; details=\"";
        // A structured string holds visible ASCII and SP only (RFC 9651 §3.3.3).
        for c in details.chars().take(200) {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                ' '..='~' => text.push(c),
                _ => text.push('?'),
            }
        }
        text.push('"');
    }
    HeaderValue::try_from(text).ok()
}
