//! SOCKS 4, 4a and 5 of the forward proxy (RFC 1928, 1929): CONNECT only, answered when the origin's side stands.

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;

use super::Means;
use crate::addr::Authority;
use crate::auth::Credentials;
use crate::gate::Seen;
use crate::lifeline::Tail;
use crate::listener::{Conn, Protocol};
use crate::message::{Interim, ProxyError};
use crate::relay::{Caller, Offer, Refusal};
use crate::report;
use crate::socks::{ReadError, read, v4, v5};
use crate::stream::Stream;

/// Serves a SOCKS connection to its end. The negotiation must be over within the listener's limit for a header section.
pub(super) async fn serve(means: &Means, conn: Conn) -> Option<Tail> {
    let service = means.relay.service(&means.service);
    let limit = service.limits.header_time;
    let protocol = match conn.protocol {
        Protocol::Socks4 => report::Protocol::Socks4,
        Protocol::Socks5 | Protocol::Http1 | Protocol::Http2 | Protocol::Opaque => {
            report::Protocol::Socks5
        }
    };
    let mut session = Session {
        means,
        stream: conn.stream,
        buf: BytesMut::new(),
        caller: Caller {
            service,
            client: conn.client,
            local: conn.local,
            protocol,
            interim: Interim::default(),
            within: None,
            hello: Seen::Nothing,
            tls: conn.tls,
        },
    };
    let asked = match tokio::time::timeout(limit, session.negotiate()).await {
        Ok(Ok(asked)) => asked,
        Ok(Err(why)) => {
            means.relay.broken_off(&session.caller, why);
            return None;
        }
        Err(_) => {
            means
                .relay
                .broken_off(&session.caller, "the SOCKS negotiation did not end in time");
            return None;
        }
    };
    session.tunnel(asked).await
}

struct Session<'a> {
    means: &'a Means,
    stream: Stream,
    buf: BytesMut,
    caller: Caller,
}

struct Asked {
    authority: Authority,
    credentials: Option<Credentials>,
}

impl Session<'_> {
    /// Reads what the client wants. An error says why the connection ends; the client has been told what its version can say.
    async fn negotiate(&mut self) -> Result<Asked, String> {
        if self.caller.protocol == report::Protocol::Socks5 {
            self.negotiate_v5().await
        } else {
            self.negotiate_v4().await
        }
    }

    async fn negotiate_v4(&mut self) -> Result<Asked, String> {
        let request = match read(&mut self.stream, &mut self.buf, v4::parse_request).await {
            Ok(request) => request,
            Err(error) => {
                return self
                    .end(&v4::encode_reply(v4::Reply::Rejected, None), text(&error))
                    .await;
            }
        };
        match request.command {
            v4::Command::Connect(authority) => {
                if authority.host.name().is_some() {
                    self.caller.protocol = report::Protocol::Socks4a;
                }
                // The user id of SOCKS4 is a claim without a proof: it is nobody's identity here.
                Ok(Asked {
                    authority,
                    credentials: None,
                })
            }
            v4::Command::Bind | v4::Command::Other(_) => {
                self.end(
                    &v4::encode_reply(v4::Reply::Rejected, None),
                    "the SOCKS command is not supported".to_owned(),
                )
                .await
            }
        }
    }

    async fn negotiate_v5(&mut self) -> Result<Asked, String> {
        let credentials = self.choose_method().await?;
        let request = match read(&mut self.stream, &mut self.buf, v5::parse_request).await {
            Ok(request) => request,
            Err(error) => {
                let reply = if let ReadError::Bad(bad) = &error {
                    bad.reply()
                } else {
                    v5::Reply::GeneralFailure
                };
                return self.end(&v5::encode_reply(reply, None), text(&error)).await;
            }
        };
        match request {
            v5::Request::Connect(authority) => Ok(Asked {
                authority,
                credentials,
            }),
            v5::Request::Bind | v5::Request::UdpAssociate | v5::Request::Other(_) => {
                let reply = v5::encode_reply(v5::Reply::CommandNotSupported, None);
                self.end(&reply, "the SOCKS command is not supported".to_owned())
                    .await
            }
        }
    }

    /// User and password where this listener reads them and the client has them; nothing where it offers that.
    async fn choose_method(&mut self) -> Result<Option<Credentials>, String> {
        let greeting = read(&mut self.stream, &mut self.buf, v5::parse_greeting)
            .await
            .map_err(|error| text(&error))?;
        let gate = &self.caller.service.gate;
        let reads = gate.auth.as_ref();
        // Who is known by a certificate is not asked for more.
        let wanted = reads.is_some_and(|auth| auth.reads_credentials())
            && !self.means.relay.has_certificate(&self.caller);
        let method = match (
            greeting.offers(v5::Method::UserPassword),
            greeting.offers(v5::Method::None),
        ) {
            (true, true) if wanted => v5::Method::UserPassword,
            (_, true) => v5::Method::None,
            (true, false) => v5::Method::UserPassword,
            (false, false) => v5::Method::NoneAcceptable,
        };
        if method == v5::Method::NoneAcceptable {
            return self
                .end(
                    &v5::encode_method(method),
                    "the client offers no method that is known here".to_owned(),
                )
                .await;
        }
        self.say(&v5::encode_method(method)).await?;
        if method == v5::Method::None {
            return Ok(None);
        }
        let offered = read(&mut self.stream, &mut self.buf, v5::parse_credentials)
            .await
            .map_err(|error| text(&error))?;
        let credentials = Credentials::user_password(&offered.user, &offered.password)
            .ok()
            .filter(|_| wanted);
        let good = !wanted
            || self
                .means
                .relay
                .knows(&self.caller, credentials.as_ref())
                .await;
        if !good {
            return self
                .end(
                    &v5::encode_credentials_reply(false),
                    "the client's user or password is wrong".to_owned(),
                )
                .await;
        }
        self.say(&v5::encode_credentials_reply(true)).await?;
        Ok(credentials)
    }

    async fn tunnel(mut self, asked: Asked) -> Option<Tail> {
        let offer = Offer {
            authority: asked.authority,
            headers: None,
            credentials: asked.credentials,
        };
        let v5 = self.caller.protocol == report::Protocol::Socks5;
        match self.means.relay.open(&self.caller, offer).await {
            Ok(opening) => {
                let said = if v5 {
                    self.say(&v5::encode_reply(v5::Reply::Succeeded, opening.local))
                        .await
                } else {
                    self.say(&v4::encode_reply(v4::Reply::Granted, opening.local))
                        .await
                };
                said.ok()?;
                self.stream.unread(self.buf);
                Some(Box::pin(opening.carry(self.stream, None)))
            }
            Err(refused) => {
                let told = if v5 {
                    self.farewell(&v5::encode_reply(reply_of(&refused.refusal), None))
                        .await
                } else {
                    self.farewell(&v4::encode_reply(v4::Reply::Rejected, None))
                        .await
                };
                // Whether the client heard it makes no difference to the record.
                drop(told);
                refused.record();
                None
            }
        }
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream
            .write_all(bytes)
            .await
            .map_err(|_| "the client went away".to_owned())
    }

    async fn farewell(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.say(bytes).await?;
        self.stream
            .shutdown()
            .await
            .map_err(|_| "the client went away".to_owned())
    }

    /// Says a last word, and why there is no more.
    async fn end<T>(&mut self, bytes: &[u8], why: String) -> Result<T, String> {
        self.farewell(bytes).await?;
        Err(why)
    }
}

fn text(error: &ReadError) -> String {
    match error {
        ReadError::Bad(bad) => format!("malformed SOCKS: {bad}"),
        ReadError::Io(_) | ReadError::Closed => error.to_string(),
    }
}

/// A refusal in SOCKS5's words (RFC 1928 §6).
fn reply_of(refusal: &Refusal) -> v5::Reply {
    match refusal.error() {
        ProxyError::RequestDenied | ProxyError::AddressProhibited => v5::Reply::NotAllowed,
        ProxyError::DnsTimeout | ProxyError::DnsError | ProxyError::ConnectionTimeout => {
            v5::Reply::HostUnreachable
        }
        ProxyError::Unroutable => v5::Reply::NetworkUnreachable,
        ProxyError::ConnectionRefused => v5::Reply::ConnectionRefused,
        ProxyError::DestinationNotFound
        | ProxyError::DestinationUnavailable
        | ProxyError::ConnectionTerminated
        | ProxyError::ConnectionReadTimeout
        | ProxyError::ConnectionLimit
        | ProxyError::TlsProtocol
        | ProxyError::TlsCertificate
        | ProxyError::TlsAlert
        | ProxyError::RequestError
        | ProxyError::ResponseIncomplete
        | ProxyError::ResponseHeadSize
        | ProxyError::UpgradeFailed
        | ProxyError::ProtocolError
        | ProxyError::InternalResponse => v5::Reply::GeneralFailure,
    }
}
