//! Why a client does not get what it asked for, and how that is told: in HTTP, in a record, in SOCKS.
//! Not the page (message) and not the reply codes of SOCKS (mode).
//! Start at [`Refusal::answer`].

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use http::header::{ALLOW, PROXY_AUTHENTICATE, WWW_AUTHENTICATE};

use super::allowed;
use crate::addr::Authority;
use crate::auth::Challenge;
use crate::gate::Barred;
use crate::listener::http::Trouble;
use crate::message::{Answer, BodyError, ProxyError, TargetError};
use crate::policy::{Denial, Reason};
use crate::pool::Failure;
use crate::resolve::ResolveError;

/// A refusal.
#[derive(Debug)]
pub enum Refusal {
    /// Policy said no.
    Denied(Denial),
    /// The client must say who it is: to a proxy, or to a gateway as to an origin.
    Challenge {
        /// By which methods.
        challenges: Vec<Challenge>,
        /// Whether the listener acts as the origin.
        gateway: bool,
    },
    /// Too many clients are saying who they are.
    Busy,
    /// The network did not do it.
    Failed(Failure),
    /// A rule allows it only with something done to it that can not be done.
    Unmet(Arc<str>, &'static str),
    /// The client's own request broke, or is no request.
    Trouble(Trouble),
    /// The target is invalid.
    Target(TargetError),
    /// The request is not one for a proxy.
    Misdirected(&'static str),
    /// A request inside a tunnel is for another origin than the tunnel (RFC 9110 §15.5.20).
    OtherOrigin {
        /// Whom it is for.
        asked: Authority,
        /// Whom the tunnel was opened for.
        tunnel: Authority,
    },
    /// An operator or a drain ended it.
    Ended(String),
    /// The client wants a stored response or none (RFC 9111 §5.2.1.7), and there is none that may be used.
    NotStored,
    /// A gateway has nothing for it.
    NoRoute,
    /// A gateway shows what comes to its endpoints only where a route says so (RFC 9110 §9.3.8).
    NoTrace,
    /// A gateway's route can not make a target of it that means one thing.
    Unrewritable(String),
    /// It asked for something of the proxy that only others may.
    NotYours(&'static str),
}

impl Refusal {
    /// The kind, by RFC 9209.
    pub fn error(&self) -> ProxyError {
        match self {
            Self::Denied(denial) => match denial.reason {
                Reason::Guarded(..) | Reason::OwnListener(_) | Reason::Address(_) => {
                    ProxyError::AddressProhibited
                }
                Reason::Rule | Reason::Default | Reason::Rate(_) | Reason::Hello(_) => {
                    ProxyError::RequestDenied
                }
            },
            Self::Challenge { .. } | Self::Unmet(..) | Self::NotYours(_) => {
                ProxyError::RequestDenied
            }
            Self::Busy => ProxyError::ConnectionLimit,
            Self::Failed(failure) => failure.error,
            Self::Trouble(Trouble::Connections) => ProxyError::ConnectionLimit,
            Self::Trouble(_)
            | Self::Target(_)
            | Self::Misdirected(_)
            | Self::OtherOrigin { .. }
            | Self::NoTrace
            | Self::Unrewritable(_) => ProxyError::RequestError,
            Self::NoRoute => ProxyError::DestinationNotFound,
            Self::Ended(_) => ProxyError::ConnectionTerminated,
            Self::NotStored => ProxyError::InternalResponse,
        }
    }

    /// Why, on one line.
    pub fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::Denied(denial) => describe(denial).into(),
            Self::Challenge { .. } => "the client did not say who it is, or not rightly".into(),
            Self::Busy => "too many password checks are under way".into(),
            Self::Failed(failure) => failure.detail.clone().into(),
            Self::Trouble(trouble) => trouble.to_string().into(),
            Self::Target(error) => error.to_string().into(),
            Self::Misdirected(reason) | Self::Unmet(_, reason) | Self::NotYours(reason) => {
                (*reason).into()
            }
            Self::NoRoute => "no route leads anywhere for this host, path and method".into(),
            Self::NoTrace => "TRACE goes on only where a route names it among its methods".into(),
            Self::Unrewritable(reason) => reason.clone().into(),
            Self::NotStored => "the request wants a stored response, and none may be used".into(),
            Self::OtherOrigin { asked, tunnel } => {
                format!("the tunnel was opened for {tunnel}, and the request is for {asked}").into()
            }
            Self::Ended(reason) => reason.clone().into(),
        }
    }

    /// The answer to an HTTP client.
    pub fn answer(&self, authority: Option<&Authority>) -> Answer {
        let place = authority.map_or_else(
            || "The request".to_owned(),
            |authority| format!("The request to {authority}"),
        );
        let answer = |title: &str| Answer::new(self.error(), title).detail(self.reason());
        match self {
            Self::Denied(denial) => deny(denial, &place, self),
            Self::Challenge {
                challenges,
                gateway,
            } => {
                let (title, status, field) = if *gateway {
                    (
                        "This service wants to know who you are",
                        StatusCode::UNAUTHORIZED,
                        WWW_AUTHENTICATE,
                    )
                } else {
                    (
                        "This proxy wants to know who you are",
                        StatusCode::PROXY_AUTHENTICATION_REQUIRED,
                        PROXY_AUTHENTICATE,
                    )
                };
                let mut answer = answer(title).status(status);
                for challenge in challenges {
                    answer.headers.append(&field, challenge.value().clone());
                }
                answer
            }
            Self::Busy => answer("The proxy is busy").retry_after(1),
            Self::Unmet(rule, _) => {
                let mut answer = answer(&format!("{place} is not allowed"));
                answer.rule = Some(rule.to_string());
                answer
            }
            Self::Ended(_) => {
                answer(&format!("{place} was ended")).status(StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::Failed(_) => answer(&format!("{place} failed")),
            Self::NotStored => answer("There is no stored response"),
            Self::NotYours(_) => answer(&format!("{place} is not allowed")),
            Self::Trouble(trouble) => {
                let answer = answer("The request was refused").status(trouble.status());
                if *trouble == Trouble::Connections {
                    answer.retry_after(5)
                } else {
                    answer
                }
            }
            Self::Target(_) | Self::Misdirected(_) | Self::Unrewritable(_) => {
                answer("The request was refused")
            }
            Self::NoRoute => answer("There is nothing here"),
            Self::NoTrace => with_methods(answer("TRACE is not allowed here")),
            Self::OtherOrigin { .. } => answer("The request came to the wrong place")
                .status(StatusCode::MISDIRECTED_REQUEST),
        }
    }
}

impl Refusal {
    /// The answer to a client of a gateway. It takes that for the origin, and learns nothing of what is behind it: neither names nor
    /// addresses, nor what rules say of these. The record has all that, and the answer its id.
    pub fn answer_outside(&self, authority: Option<&Authority>) -> Answer {
        let mut answer = self.answer(authority);
        let told = match self {
            Self::Failed(failure) => outside(failure.error),
            Self::Denied(denial) => match denial.reason {
                Reason::Guarded(..) | Reason::OwnListener(_) | Reason::Address(_) => {
                    answer.error = ProxyError::RequestDenied;
                    "no rule allows it"
                }
                Reason::Rule | Reason::Default | Reason::Rate(_) | Reason::Hello(_) => {
                    return answer;
                }
            },
            Self::Unmet(..) => {
                answer.rule = None;
                "it can not be done as the rules demand"
            }
            Self::Unrewritable(_) => "its path can not be made into one for the service",
            Self::Ended(_) => "the service has ended it",
            Self::Challenge { .. }
            | Self::Busy
            | Self::Trouble(_)
            | Self::Target(_)
            | Self::Misdirected(_)
            | Self::OtherOrigin { .. }
            | Self::NotStored
            | Self::NoRoute
            | Self::NoTrace
            | Self::NotYours(_) => return answer,
        };
        answer.detail = told.to_owned();
        answer
    }
}

/// What a client is told of a failure behind a gateway.
fn outside(error: ProxyError) -> &'static str {
    match error.status() {
        StatusCode::GATEWAY_TIMEOUT => "the service did not answer in time",
        StatusCode::SERVICE_UNAVAILABLE => "the service can not take it now",
        _ => "the service could not be reached, or its answer is none",
    }
}

impl From<Barred> for Refusal {
    fn from(barred: Barred) -> Self {
        match barred {
            Barred::Denied(denial) => Self::Denied(denial),
            Barred::Unresolved(error) => {
                let kind = match &error {
                    ResolveError::Timeout => ProxyError::DnsTimeout,
                    ResolveError::Busy => ProxyError::ConnectionLimit,
                    ResolveError::NotFound { .. }
                    | ResolveError::NoAddresses { .. }
                    | ResolveError::ServerFailure { .. }
                    | ResolveError::InvalidName => ProxyError::DnsError,
                };
                Self::Failed(Failure::new(kind, error.to_string()))
            }
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::Trouble(Trouble::from(&error))
    }
}

/// A resource that does not take the method says which it does (RFC 9110 §15.5.6).
fn with_methods(answer: Answer) -> Answer {
    let mut answer = answer.status(StatusCode::METHOD_NOT_ALLOWED);
    answer.headers.insert(ALLOW, allowed(true));
    answer
}

fn deny(denial: &Denial, place: &str, refusal: &Refusal) -> Answer {
    let action = &denial.action;
    let status = StatusCode::from_u16(action.status).unwrap_or(StatusCode::FORBIDDEN);
    let mut answer = Answer::new(refusal.error(), format!("{place} is not allowed"))
        .status(status)
        .detail(refusal.reason());
    answer.rule = Some(denial.rule.name.to_string());
    answer.remedy = action.message.clone();
    if let Reason::Rate(wait) = denial.reason {
        // Whole seconds, and never one too few.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        answer = answer.retry_after(u32::try_from(seconds).unwrap_or(u32::MAX).max(1));
    }
    match &action.redirect {
        Some(to) => answer.status(StatusCode::FOUND).location(to),
        None => answer,
    }
}

fn describe(denial: &Denial) -> String {
    let rule = &denial.rule.name;
    match &denial.reason {
        Reason::Rule => format!("rule \"{rule}\" denies it"),
        Reason::Default => "no rule allows it".to_owned(),
        Reason::Guarded(ip, class) => format!("{ip} is a {class} address, and no rule names it"),
        Reason::OwnListener(address) => format!("{address} is this proxy itself"),
        Reason::Address(ip) => format!("no rule allows the address {ip}"),
        Reason::Rate(_) => format!("more requests than rule \"{rule}\" allows in this time"),
        Reason::Hello(problem) => format!("{problem} (rule \"{rule}\")"),
    }
}
