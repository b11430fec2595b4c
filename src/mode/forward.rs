//! The forward proxy: HTTP requests in absolute-form, CONNECT, SOCKS, on one port.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use http::{Method, Request, Response, StatusCode};

use super::client::{self, Client};
use super::{Entry, Means, Mode, own, socks};
use crate::addr::Authority;
use crate::lifeline::{Lifeline, Tail};
use crate::listener::http::{Exchange, Handler, Trouble};
use crate::listener::{Conn, Protocol};
use crate::message::http1::head::RequestHead;
use crate::message::{Body, Reply, Target};
use crate::relay::{Caller, Destination, Offer, Refusal};

pub(super) const ENTRY: Entry = Entry {
    name: "forward",
    summary: "clients name their destination: HTTP proxy requests, CONNECT, SOCKS4, 4a and 5",
    gateway: false,
    opaque: false,
    build: |means| Rc::new(Forward { means }),
};

struct Forward {
    means: Means,
}

impl Mode for Forward {
    fn serve(
        self: Rc<Self>,
        conn: Conn,
        life: Lifeline,
    ) -> Pin<Box<dyn Future<Output = Option<Tail>>>> {
        Box::pin(async move {
            let protocol = conn.protocol;
            if matches!(protocol, Protocol::Socks4 | Protocol::Socks5) {
                return socks::serve(&self.means, conn).await;
            }
            client::serve(self.means.clone(), conn, life, Requests).await
        })
    }
}

/// The requests of one connection.
struct Requests(Client);

impl Handler for Requests {
    async fn handle(&self, request: Request<Body>, exchange: Exchange) -> Reply {
        let client = &self.0;
        let caller = client.caller(&exchange, request.method() == Method::CONNECT);
        let text = std::str::from_utf8(&exchange.target).unwrap_or_default();
        if let Some(over) = client.is_over(&caller) {
            return client.refuse(&caller, &request, &over);
        }
        let accepted = caller.service.accepted;
        match Target::parse(request.method(), text) {
            Ok(Target::Authority(authority)) if accepted.connect => {
                self.connect(request, &caller, authority).await
            }
            Ok(Target::Absolute {
                secure,
                authority,
                path,
            }) if accepted.http => {
                self.forward(
                    request,
                    &caller,
                    Destination {
                        secure,
                        authority,
                        path,
                        by: None,
                        own: None,
                    },
                )
                .await
            }
            Ok(Target::Asterisk) if accepted.http => {
                client
                    .answer(&caller, &request, "*", own::options(false))
                    .await
            }
            Ok(Target::Origin(_)) => {
                client.refuse(&caller, &request, &Refusal::Misdirected(NOT_FOR_A_PROXY))
            }
            Ok(Target::Authority(_) | Target::Absolute { .. } | Target::Asterisk) => client.refuse(
                &caller,
                &request,
                &Refusal::Trouble(Trouble::Protocol(accepted)),
            ),
            Err(error) => client.refuse(&caller, &request, &Refusal::Target(error)),
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
    async fn connect(
        &self,
        request: Request<Body>,
        caller: &Caller,
        authority: Authority,
    ) -> Reply {
        let headers = request.into_parts().0.headers;
        let offer = Offer {
            authority,
            headers: Some(headers),
            credentials: None,
        };
        match self.0.means.relay.open(caller, offer).await {
            Ok(opening) => Reply {
                response: Response::new(Body::Empty),
                takeover: Some(Box::new(move |client| {
                    Box::pin(opening.carry(client, Some(StatusCode::OK)))
                })),
                close: true,
            },
            // The client may have sent bytes for the tunnel already: what follows is not a request (RFC 9931 §8).
            Err(refused) => Reply::closing(refused.into_response()),
        }
    }

    async fn forward(&self, request: Request<Body>, caller: &Caller, mut to: Destination) -> Reply {
        let client = &self.0;
        if let Some(page) = client.means.relay.own_page(&to) {
            return client.answer(caller, &request, &to.path, page).await;
        }
        let (mut head, body) = request.into_parts();
        own::max_forwards(&mut head, &mut to);
        let relay = &client.means.relay;
        relay.exchange((&mut head, body), caller, &to).await
    }
}

const NOT_FOR_A_PROXY: &str = "this is a proxy: requests name their destination in full (http://…), or use CONNECT; set HTTP_PROXY to this address";
