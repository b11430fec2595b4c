//! A gateway: clients take it for the origin, and routes say which upstream answers (RFC 9110 §3.7).
//! Finds no route and asks no endpoint itself: relay does.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use http::header::HOST;
use http::{HeaderMap, Request, Response};

use super::client::{self, Client};
use super::{Entry, Means, Mode, own};
use crate::addr::Authority;
use crate::lifeline::{Lifeline, Tail};
use crate::listener::Conn;
use crate::listener::http::{Exchange, Handler, Trouble};
use crate::message::http1::head::RequestHead;
use crate::message::{Body, Reply, Target, TargetError, default_port};
use crate::relay::{self, Refusal};

pub(super) const REVERSE: Entry = Entry {
    name: "reverse",
    summary: "clients take it for the origin: routes say which upstream answers",
    gateway: true,
    opaque: false,
    build: |means| Rc::new(Gateway { means }),
};

struct Gateway {
    means: Means,
}

impl Mode for Gateway {
    fn serve(
        self: Rc<Self>,
        conn: Conn,
        life: Lifeline,
    ) -> Pin<Box<dyn Future<Output = Option<Tail>>>> {
        Box::pin(client::serve(self.means.clone(), conn, life, Requests))
    }
}

/// The requests of one connection.
struct Requests(Client);

impl Handler for Requests {
    async fn handle(&self, request: Request<Body>, exchange: Exchange) -> Reply {
        let client = &self.0;
        let mut caller = client.caller(&exchange, false);
        if let Some(over) = client.is_over(&caller) {
            return client.refuse(&caller, &request, &over);
        }
        let (authority, path) = match self.asked(&request, &exchange) {
            Ok(asked) => asked,
            Err(refusal) => return client.refuse(&caller, &request, &refusal),
        };
        if path == "*" {
            return client
                .answer(&caller, &request, "*", own::options(true))
                .await;
        }
        let (mut head, body) = request.into_parts();
        let asked = relay::Request {
            head: &head,
            secure: client.tls.is_some(),
            authority,
            path,
        };
        match client.means.relay.route(&mut caller, asked) {
            Ok(mut to) => {
                own::max_forwards(&mut head, &mut to);
                let relay = &client.means.relay;
                relay.exchange((&mut head, body), &caller, &to).await
            }
            Err(refusal) => {
                let request = Request::from_parts(head, body);
                let (authority, path) = self.asked(&request, &exchange).unwrap_or_default();
                let asked = (authority.as_ref(), &*path);
                client.refuse_for(&caller, &request, asked, &refusal)
            }
        }
    }

    fn refuse(&self, trouble: &Trouble, head: Option<&RequestHead>) -> Response<Body> {
        self.0.turn_away(trouble, head)
    }

    fn abandoned(&self, trouble: &Trouble) {
        self.0.abandoned(trouble);
    }
}

impl Requests {
    /// The authority and the path that a request is for. An authority in the target wins over Host (RFC 9112 §3.2.2).
    fn asked(
        &self,
        request: &Request<Body>,
        exchange: &Exchange,
    ) -> Result<(Option<Authority>, String), Refusal> {
        let text = std::str::from_utf8(&exchange.target).unwrap_or_default();
        let secure = self.0.tls.is_some();
        match Target::parse(request.method(), text).map_err(Refusal::Target)? {
            Target::Origin(path) => Ok((host(request.headers(), secure)?, path)),
            Target::Absolute {
                authority, path, ..
            } => Ok((Some(authority), path)),
            Target::Asterisk => Ok((None, "*".to_owned())),
            Target::Authority(_) => Err(Refusal::Misdirected(NO_PROXY)),
        }
    }
}

/// What Host says; nothing where there is none, as HTTP/1.0 allows. One, and a valid one: that was checked (RFC 9112 §3.2).
fn host(headers: &HeaderMap, secure: bool) -> Result<Option<Authority>, Refusal> {
    let Some(host) = headers.get(HOST).filter(|host| !host.is_empty()) else {
        return Ok(None);
    };
    let text = host.to_str().unwrap_or_default();
    let authority = Authority::parse(text, Some(default_port(secure)));
    let invalid = |error| Refusal::Target(TargetError::Authority(error));
    authority.map(Some).map_err(invalid)
}

const NO_PROXY: &str = "this is no proxy: requests are for the services behind it";
