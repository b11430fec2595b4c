//! The record of one exchange or tunnel while it happens: written exactly once, however it ends.
//! Not the log, which is `report`: this fills one record and hands it over.
//! Start at [`Recording::begin`].

use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, Method, Response};
use http_body::Body as _;
use jiff::Timestamp;
use tokio::time::Instant;

use super::followed::{Followed, counted};
use super::parts::{Decided, Parts, Service};
use super::{Caller, Refusal};
use crate::addr::{AddrClass, Authority};
use crate::filter::Variables;
use crate::gate::{Intent, Seen};
use crate::message::{Body, split_query};
use crate::policy::{Allowance, Scheme};
use crate::report::{Flow, FlowFacts, FlowGuard, FlowKind, Record, RequestId, Verdict, text_of};
use crate::stream::LazyDeadline;
use crate::tls::acceptor::ClientTls;
use crate::upstream::{Entered, Picked};

/// A record in the making. Dropped unfinished, it says that the client went away. It passes through many hands, so it stands in a
/// box.
#[derive(Debug)]
pub(super) struct Recording {
    parts: Rc<Parts>,
    service: Arc<Service>,
    tls: Option<Rc<ClientTls>>,
    record: Option<Record>,
    intent: Option<Intent>,
    started: Instant,
    flow: Option<FlowGuard>,
    /// A place in an upstream, held until the exchange has ended.
    entered: Option<Entered>,
    /// The endpoint that answers, busy until the exchange has ended.
    picked: Option<Picked>,
    /// When the exchange must have ended.
    deadline: Option<Instant>,
}

impl Recording {
    pub(super) fn begin(parts: &Rc<Parts>, caller: &Caller) -> Box<Self> {
        let now = Timestamp::now();
        let id = parts.ids.next(now);
        let record = Record::new(
            now,
            id,
            parts.worker,
            caller.service.name.clone(),
            caller.client,
            caller.protocol,
        );
        let record = match &caller.within {
            Some(within) => Record {
                intercepted: true,
                scheme: Scheme::Https.word(),
                tunnel: within.tunnel,
                ..record
            },
            None => record,
        };
        Box::new(Self {
            parts: parts.clone(),
            service: caller.service.clone(),
            tls: caller.tls.clone(),
            record: Some(record),
            intent: None,
            started: Instant::now(),
            flow: None,
            entered: None,
            picked: None,
            deadline: None,
        })
    }

    /// Nothing is recorded: for what is done beside an exchange that is recorded.
    pub(super) fn silent(parts: &Rc<Parts>, caller: &Caller) -> Box<Self> {
        let mut silent = Self::begin(parts, caller);
        silent.record = None;
        silent
    }

    pub(super) fn id(&self) -> Option<RequestId> {
        self.record.as_ref().map(|record| record.id)
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    pub(super) fn time(&self) -> Timestamp {
        self.record
            .as_ref()
            .map_or_else(Timestamp::now, |record| record.time)
    }

    /// What the request says of itself. The path goes in without its query, unless the log asks for that.
    pub(super) fn note_request(
        &mut self,
        method: &Method,
        headers: &HeaderMap,
        path_and_query: Option<&str>,
    ) {
        let wants = self.parts.reporter.wants();
        let Some(record) = &mut self.record else {
            return;
        };
        record.method = Some(method.clone());
        if let Some((path, query)) = path_and_query.map(split_query) {
            record.path = Some(path.into());
            record.query = query.filter(|_| wants.query).map(Into::into);
        }
        if wants.user_agent {
            record.user_agent = headers
                .get(http::header::USER_AGENT)
                .map(|value| text_of(value.as_bytes()));
        }
    }

    /// The intent, as it is about to be decided. The exchange becomes visible among the flows.
    pub(super) fn note_intent(&mut self, intent: Intent, kind: FlowKind) -> &Intent {
        if let Some(record) = &mut self.record {
            record.scheme = intent.scheme.word();
            record.method = intent.method.clone();
            // What a client asks of a gateway is not all of it what is judged.
            let authority = record
                .authority
                .get_or_insert_with(|| intent.authority.clone());
            record.principal = intent
                .principal
                .as_ref()
                .map(|principal| principal.name.clone());
            self.flow = Some(
                self.parts.flows.begin(FlowFacts {
                    id: record.id,
                    kind,
                    started: self.started,
                    listener: intent.listener.clone(),
                    client: intent.client,
                    principal: record.principal.clone(),
                    groups: intent
                        .principal
                        .as_ref()
                        .map(|principal| principal.groups.clone()),
                    authority: authority.clone(),
                    rule: None,
                }),
            );
        }
        self.intent.insert(intent)
    }

    /// What the tunnel began with.
    pub(super) fn saw(&mut self, seen: Seen) {
        if let Some(hello) = seen.look().hello() {
            self.edit(|record| {
                record.sni = hello
                    .server_name
                    .as_ref()
                    .map(|name| name.to_string().into());
                let fingerprint = Some(&hello.fingerprint).filter(|known| !known.is_empty());
                record.fingerprint = fingerprint.cloned();
            });
        }
        if let Some(intent) = &mut self.intent {
            intent.hello = seen;
        }
    }

    /// What the client's connection began with, where that was TLS.
    pub(super) fn tls(&self) -> Option<&Rc<ClientTls>> {
        self.tls.as_ref()
    }

    pub(super) fn intent(&self) -> Option<&Intent> {
        self.intent.as_ref()
    }

    /// What a rule's filters may say of the request.
    pub(super) fn variables(&self) -> Variables<'_> {
        let id = self.record.as_ref().map(|record| &record.id as _);
        let Some(intent) = &self.intent else {
            return Variables {
                id,
                ..Variables::default()
            };
        };
        let principal = intent.principal.as_ref();
        Variables {
            client: Some(intent.client.ip().to_canonical()),
            host: Some(&intent.authority.host),
            path: intent.path.as_deref().unwrap_or_default(),
            query: "",
            scheme: intent.scheme.word(),
            method: intent.method.as_ref().map_or("", Method::as_str),
            id,
            listener: &intent.listener,
            principal: principal.map_or("", |principal| &principal.name),
            route: self
                .record
                .as_ref()
                .and_then(|record| record.route.as_deref())
                .unwrap_or_default(),
        }
    }

    pub(super) fn flow(&self) -> Option<&Rc<Flow>> {
        self.flow.as_ref().map(FlowGuard::flow)
    }

    /// The rule that allows, and whether only report mode made it so.
    pub(super) fn allowed(&mut self, allowance: &Allowance) {
        let rule = &allowance.rule.name;
        let would_deny = allowance.would_deny.as_ref();
        if let Some(flow) = self.flow() {
            flow.set_rule(rule.clone());
        }
        let Some(record) = &mut self.record else {
            return;
        };
        record.rule = Some(would_deny.map_or(rule, |denial| &denial.rule.name).clone());
        record.verdict = if would_deny.is_some() {
            Verdict::WouldDeny
        } else {
            Verdict::Allow
        };
        if let Some(denial) = would_deny {
            record.reason = Some(Refusal::Denied(denial.as_ref().clone()).reason());
        }
    }

    /// Takes a place in an upstream.
    pub(super) fn enter(&mut self, entered: Entered) {
        self.entered = Some(entered);
    }

    /// Keeps the endpoint that answers.
    pub(super) fn hold(&mut self, picked: Option<Picked>) {
        self.picked = picked;
    }

    /// Until when the exchange may take, its body included.
    pub(super) fn limit(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// What is being waited for, for who looks at the flows.
    pub(super) fn state(&self, state: &'static str) {
        if let Some(flow) = self.flow() {
            flow.state.set(state);
        }
    }

    /// Changes the record, if it is still open.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            change(record);
        }
    }

    pub(super) fn origin(&mut self, peer: SocketAddr) {
        self.edit(|record| record.origin = Some(peer));
        if let Some(flow) = self.flow() {
            flow.origin.set(Some(peer));
        }
    }

    /// Whether the origin has an address that policy guards, as far as is known; what is not known is taken for one.
    pub(super) fn is_guarded(&self) -> bool {
        let origin = self.record.as_ref().and_then(|record| record.origin);
        origin.is_none_or(|peer| AddrClass::of(peer.ip().to_canonical()) != AddrClass::Public)
    }

    /// The whole answer is at hand: writes the record and gives the response back.
    pub(super) fn respond(mut self: Box<Self>, response: Response<Body>) -> Response<Body> {
        let size = response.body().size_hint().exact().unwrap_or(0);
        self.edit(|record| {
            record.status = Some(response.status().as_u16());
            record.bytes_out = size;
        });
        self.finish();
        response
    }

    /// Answers with a refusal and writes it down.
    pub(super) fn refuse(
        mut self: Box<Self>,
        refusal: &Refusal,
        authority: Option<&Authority>,
        asked: Option<&HeaderMap>,
    ) -> Response<Body> {
        self.note_refusal(refusal);
        let id = self.id().map(|id| id.to_string()).unwrap_or_default();
        let via = &self.service.via;
        let answer = if self.service.gate.gateway {
            refusal.answer_outside(authority)
        } else {
            refusal.answer(authority)
        };
        let response = answer.into_response(via.name(), &id, asked);
        self.respond(response)
    }

    pub(super) fn note_refusal(&mut self, refusal: &Refusal) {
        self.edit(|record| {
            record.reason = Some(refusal.reason());
            record.error = Some(refusal.error().token());
            match refusal {
                Refusal::Denied(denial) => {
                    record.verdict = Verdict::Deny;
                    record.rule = Some(denial.rule.name.clone());
                }
                Refusal::Challenge { .. } | Refusal::NotYours(_) => record.verdict = Verdict::Deny,
                Refusal::Unmet(rule, _) => {
                    record.verdict = Verdict::Deny;
                    record.rule = Some(rule.clone());
                }
                Refusal::Busy
                | Refusal::Failed(_)
                | Refusal::Trouble(_)
                | Refusal::Target(_)
                | Refusal::Misdirected(_)
                | Refusal::OtherOrigin { .. }
                | Refusal::Ended(_)
                | Refusal::NotStored
                | Refusal::NoRoute
                | Refusal::NoTrace
                | Refusal::Unrewritable(_) => {}
            }
        });
    }

    /// Writes the record of a connection that ended without an answer.
    pub(super) fn close(mut self: Box<Self>, reason: impl Into<Cow<'static, str>>) {
        let reason = reason.into();
        self.edit(|record| record.reason = Some(reason));
        self.finish();
    }

    /// Ends with a reason that cut it short.
    pub(super) fn cut(mut self: Box<Self>, reason: impl Into<Cow<'static, str>>) {
        let reason = reason.into();
        self.edit(|record| {
            record.aborted = true;
            record.reason = Some(reason);
        });
        self.finish();
    }

    /// A response whose body is still to come: the record is written when it has gone, or broken.
    pub(super) fn follow(mut self: Box<Self>, response: Response<Body>) -> Response<Body> {
        self.edit(|record| record.status = Some(response.status().as_u16()));
        let (head, body) = response.into_parts();
        if body.is_empty() {
            self.finish();
            return Response::from_parts(head, body);
        }
        if let Some(flow) = self.flow() {
            flow.state.set("relaying");
        }
        let killed = self.flow().map(Flow::killed);
        let deadline = self.deadline.map(|at| {
            let deadline = LazyDeadline::new();
            deadline.set(at);
            deadline
        });
        Response::from_parts(
            head,
            Body::stream(Followed {
                body,
                recording: Some(self),
                killed,
                deadline,
            }),
        )
    }

    /// Counts a request body as it passes.
    pub(super) fn counted(&self, body: Body) -> Body {
        match (self.flow(), body) {
            (Some(flow), Body::Stream(stream)) => counted(Body::Stream(stream), flow.clone()),
            (_, body) => body,
        }
    }

    pub(super) fn finish(&mut self) {
        let Some(mut record) = self.record.take() else {
            return;
        };
        if let Some(flow) = self.flow() {
            record.bytes_in += flow.traffic.from_client.get();
            record.bytes_out += flow.traffic.from_origin.get();
        }
        record.total = Some(self.started.elapsed());
        self.parts.counters.count(&record);
        if let Some(intent) = self.intent.take() {
            let remembered = match record.verdict {
                Verdict::Deny | Verdict::WouldDeny => &self.parts.refused,
                Verdict::Allow | Verdict::None => &self.parts.let_through,
            };
            remembered.push(record.id, Decided { intent });
        }
        self.parts.reporter.emit(record);
        self.flow = None;
        self.picked = None;
        self.entered = None;
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let draining = self.parts.life.is_draining();
        self.edit(|record| {
            record.aborted = true;
            let reason = match (std::thread::panicking(), draining) {
                (true, _) => "the proxy failed inside",
                (false, true) => "the proxy was stopped",
                (false, false) => "the client went away",
            };
            record.reason.get_or_insert(Cow::Borrowed(reason));
        });
        self.finish();
    }
}
