//! A request that nobody has made, put together to ask what would become of it: for `egret explain`, here or in the process.
//! Not the answer (config), nor a case beside a policy's rules (policy).
//! Start at [`Question::read`].

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::addr::{Authority, Host};
use crate::auth::Principal;
use crate::message::{Target, normal_path};
use crate::policy::{Facts, Look, NamedBy, Scheme};

/// The question as words, as a command line has them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Question {
    /// A URL, `host:port` for a tunnel, or a request line.
    pub url: String,
    /// The listener; the first one that takes such a request by default.
    pub listener: Option<String>,
    /// The client's address; loopback by default.
    pub from: Option<IpAddr>,
    /// The client's principal.
    pub user: Option<String>,
    /// The client's groups.
    pub groups: Vec<String>,
    /// The method; by default GET, and of a proxy CONNECT for `https` and `host:port`.
    pub method: Option<String>,
    /// When it is asked (RFC 3339); now by default.
    pub at: Option<Timestamp>,
    /// Fields, as `name: value`.
    pub headers: Vec<String>,
    /// What the name resolves to.
    pub addresses: Vec<IpAddr>,
}

/// The question, understood: as a proxy is asked it, and as a gateway is.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The listener; `None` for the first one that takes such a request.
    pub listener: Option<String>,
    /// The client's address.
    pub client: IpAddr,
    /// Who the client is said to be.
    pub principal: Option<Principal>,
    /// Where to.
    pub authority: Authority,
    /// The addresses that were given.
    pub addresses: Option<Vec<IpAddr>>,
    /// The fields.
    pub headers: HeaderMap,
    /// When it is asked.
    pub at: Timestamp,
    /// What a gateway gets of it; `None` for a tunnel, which none takes.
    pub sent: Option<Sent>,
    scheme: Scheme,
    method: Method,
    path: Option<String>,
}

/// A request as clients send it to the service itself. Its host is the question's authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Whether over TLS.
    pub secure: bool,
    /// The method.
    pub method: Method,
    /// Path and query, or `*`.
    pub target: String,
}

impl Question {
    /// Understands the question. Errors: one line that says what is wrong.
    pub fn read(&self) -> Result<Asked, String> {
        let named = self
            .method
            .as_deref()
            .map(|method| Method::try_from(method.to_ascii_uppercase().as_str()));
        let method = named
            .transpose()
            .map_err(|_| "the method is not a token".to_owned())?;
        let (in_line, url) = self.request_line()?;
        let method = method.or(in_line);
        let sent = Sent::of(url, method.as_ref());
        let (target, method) = target(url, method)?;
        let (scheme, authority, path) = match target {
            Target::Authority(authority) => (Scheme::Tunnel, authority, None),
            Target::Absolute {
                secure,
                authority,
                path,
            } => {
                let scheme = if secure { Scheme::Https } else { Scheme::Http };
                (scheme, authority, Some(normal_path(&path).into_owned()))
            }
            Target::Origin(_) | Target::Asterisk => {
                return Err("write a whole URL, or host:port for a tunnel".to_owned());
            }
        };
        Ok(Asked {
            listener: self.listener.clone(),
            client: self
                .from
                .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
                .to_canonical(),
            principal: self.principal(),
            addresses: (!self.addresses.is_empty()).then(|| self.addresses.clone()),
            authority,
            scheme,
            method,
            path,
            headers: self.fields()?,
            at: self.at.unwrap_or_else(Timestamp::now),
            sent,
        })
    }

    /// The method and the target where the whole request line was given: `GET http://example.org/ HTTP/1.1`.
    fn request_line(&self) -> Result<(Option<Method>, &str), String> {
        let words: Vec<&str> = self.url.split_whitespace().collect();
        match words.as_slice() {
            [target] => Ok((None, target)),
            [method, target] | [method, target, "HTTP/1.1" | "HTTP/1.0" | "HTTP/2"] => {
                let method = Method::try_from(*method);
                let method = method.map_err(|_| "the method is not a token".to_owned())?;
                Ok((Some(method), target))
            }
            _ => Err(
                "write a URL, host:port, or a request line such as \"GET http://example.org/ HTTP/1.1\""
                    .to_owned(),
            ),
        }
    }

    fn principal(&self) -> Option<Principal> {
        if self.user.is_none() && self.groups.is_empty() {
            return None;
        }
        let name = self.user.as_deref().unwrap_or("someone").into();
        Some(Principal {
            name,
            groups: self
                .groups
                .iter()
                .map(|group| group.as_str().into())
                .collect(),
            method: "asked",
        })
    }

    fn fields(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for field in &self.headers {
            let parts = field.split_once(':').and_then(|(name, value)| {
                Some((
                    HeaderName::try_from(name.trim()).ok()?,
                    HeaderValue::try_from(value.trim()).ok()?,
                ))
            });
            let (name, value) = parts
                .ok_or_else(|| format!("\"{field}\" is not a field; write \"name: value\""))?;
            headers.append(name, value);
        }
        Ok(headers)
    }
}

impl Asked {
    /// The addresses as far as the question has them: given, or in place of a name.
    pub fn known_addresses(&self) -> Option<Vec<IpAddr>> {
        let given = self.addresses.clone();
        given.or_else(|| self.authority.host.ip().map(|ip| vec![ip]))
    }

    /// The name that has to be resolved to learn the addresses.
    pub fn unresolved(&self) -> Option<&str> {
        match (&self.addresses, &self.authority.host) {
            (None, Host::Name(name)) => Some(name),
            (Some(_), _) | (None, Host::Addr(_)) => None,
        }
    }

    /// The facts for a decision about a proxy's request.
    pub fn facts<'a>(&'a self, listener: &'a str, principal: Option<&'a Principal>) -> Facts<'a> {
        Facts {
            listener,
            client: self.client,
            principal,
            authority: &self.authority,
            scheme: self.scheme,
            method: Some(&self.method),
            path: self.path.as_deref(),
            headers: Some(&self.headers),
            hello: match self.scheme {
                Scheme::Tunnel => Look::Later,
                Scheme::Http | Scheme::Https => Look::Nothing,
            },
            now: self.at,
            resolved: None,
            named_by: NamedBy::Client,
        }
    }
}

impl Sent {
    /// No gateway takes CONNECT, or what is no URL.
    fn of(url: &str, method: Option<&Method>) -> Option<Self> {
        let method = method.cloned().unwrap_or(Method::GET);
        match Target::parse(&method, url).ok()? {
            Target::Absolute { secure, path, .. } => Some(Self {
                secure,
                method,
                target: path,
            }),
            Target::Authority(_) | Target::Origin(_) | Target::Asterisk => None,
        }
    }
}

/// As clients of a proxy do: `https` becomes a tunnel, unless a method says that the proxy is to fetch it.
fn target(url: &str, method: Option<Method>) -> Result<(Target, Method), String> {
    let tunnel = match &method {
        Some(method) => *method == Method::CONNECT,
        None => {
            !url.contains("://")
                || url
                    .get(..8)
                    .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
        }
    };
    if !tunnel {
        let method = method.unwrap_or(Method::GET);
        return Target::parse(&method, url)
            .map(|target| (target, method))
            .map_err(|error| error.to_string());
    }
    let place = match Target::parse(&Method::GET, url) {
        Ok(Target::Absolute { authority, .. }) => authority,
        _ => Authority::parse(url, None)
            .or_else(|_| Host::parse_bare(url).map(|host| Authority::new(host, 443)))
            .map_err(|e| e.to_string())?,
    };
    Ok((Target::Authority(place), Method::CONNECT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_url_or_host_and_port_or_a_request_line() {
        for (text, scheme, method, authority) in [
            ("http://a.example/x", "http", "GET", "a.example:80"),
            ("https://a.example/x", "tunnel", "CONNECT", "a.example:443"),
            ("a.example:8443", "tunnel", "CONNECT", "a.example:8443"),
            (
                "POST http://a.example/x HTTP/1.1",
                "http",
                "POST",
                "a.example:80",
            ),
            (
                "GET https://a.example/ HTTP/1.1",
                "https",
                "GET",
                "a.example:443",
            ),
            (
                "CONNECT a.example:443 HTTP/1.1",
                "tunnel",
                "CONNECT",
                "a.example:443",
            ),
            (
                "CONNECT a.example:443",
                "tunnel",
                "CONNECT",
                "a.example:443",
            ),
        ] {
            let question = Question {
                url: text.to_owned(),
                ..Question::default()
            };
            let asked = question.read().expect(text);
            assert_eq!(asked.scheme.word(), scheme, "{text}");
            assert_eq!(asked.method, method, "{text}");
            assert_eq!(asked.authority.to_string(), authority, "{text}");
        }
        for wrong in [
            "",
            "GET http://a.example/ HTTP/1.1 x",
            "GET /x HTTP/1.1",
            "G@T http://a/",
        ] {
            let question = Question {
                url: wrong.to_owned(),
                ..Question::default()
            };
            assert!(question.read().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_gateway_gets_a_request_where_a_proxy_is_asked_for_a_tunnel_and_no_tunnel_at_all() {
        for (text, method, sent) in [
            ("http://a.example/x?y", None, Some((false, "GET", "/x?y"))),
            ("https://a.example", None, Some((true, "GET", "/"))),
            (
                "https://a.example/x",
                Some("post"),
                Some((true, "POST", "/x")),
            ),
            ("PUT https://a.example/x", None, Some((true, "PUT", "/x"))),
            (
                "OPTIONS http://a.example",
                None,
                Some((false, "OPTIONS", "*")),
            ),
            ("a.example:443", None, None),
            ("https://a.example/", Some("CONNECT"), None),
            ("CONNECT a.example:443", None, None),
        ] {
            let question = Question {
                url: text.to_owned(),
                method: method.map(str::to_owned),
                ..Question::default()
            };
            let asked = question.read().expect(text);
            let sent = sent.map(|(secure, method, target)| Sent {
                secure,
                method: method.parse().expect("a method"),
                target: target.to_owned(),
            });
            assert_eq!(asked.sent, sent, "{text} {method:?}");
        }
    }
}
