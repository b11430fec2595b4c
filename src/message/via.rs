//! `Via` on each message that is forwarded (RFC 9110 §7.6.3).
//! No loop is found by it: names repeat; the gate knows the proxy's own addresses, and where they lead.
//! Start at [`Via::append`].

use http::header::VIA;
use http::{HeaderMap, HeaderValue, Version};

use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Kind, Value};

/// The name that this proxy gives itself in `Via` and `Proxy-Status`.
#[derive(Debug, Clone)]
pub struct Via {
    name: String,
    /// Ready values for HTTP/1.0, 1.1 and 2; `None` where the operator switched `Via` off.
    values: Option<[HeaderValue; 3]>,
}

impl Via {
    /// A pseudonym to sign with. Errors: a name that is not a token.
    pub fn new(name: &str) -> Option<Self> {
        let token = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&b));
        let value = |version: &str| HeaderValue::try_from(format!("{version} {name}")).ok();
        token.then_some(())?;
        Some(Self {
            name: name.to_owned(),
            values: Some([value("1.0")?, value("1.1")?, value("2")?]),
        })
    }

    /// The name, also used in `Proxy-Status`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds this hop; `received` is the version that the message came with.
    pub fn append(&self, headers: &mut HeaderMap, received: Version) {
        let Some([v10, v11, v2]) = &self.values else {
            return;
        };
        let value = match received {
            Version::HTTP_10 => v10,
            Version::HTTP_2 => v2,
            _ => v11,
        };
        headers.append(VIA, value.clone());
    }
}

impl Default for Via {
    fn default() -> Self {
        Self::new("egret").unwrap_or(Self {
            name: String::new(),
            values: None,
        })
    }
}

/// `via = "pseudonym"` or `via = false`.
impl FromValue for Via {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        match &value.kind {
            Kind::Bool(false) => Some(Self {
                name: "egret".to_owned(),
                values: None,
            }),
            Kind::Bool(true) => Some(Self::default()),
            Kind::Text(name) => {
                let via = Self::new(name);
                if via.is_none() {
                    faults.push(Fault::at(
                        &value.at,
                        format!("\"{name}\" is not a token"),
                        "letters, digits, \"-\", \".\" and \"_\" are",
                    ));
                }
                via
            }
            Kind::Integer(_)
            | Kind::Float(_)
            | Kind::Datetime(_)
            | Kind::List(_)
            | Kind::Table(_) => value.mismatch("a pseudonym, or false", faults),
        }
    }
}
