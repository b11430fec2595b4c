//! The value of a cookie that keeps a client with its endpoint: an opaque number of the endpoint and an end, signed. Whoever reads it
//! learns no address, and whoever changes it is sent anywhere.
//! Sets no field: that is for whoever writes the response.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use jiff::Timestamp;

use super::settings::StickySettings;
use super::{Endpoint, EndpointKey};

/// Makes and checks the cookies of one upstream.
pub struct Sticky {
    upstream: Box<str>,
    key: hmac::Key,
    settings: StickySettings,
}

impl Sticky {
    pub(super) fn new(upstream: &str, settings: &StickySettings) -> Self {
        Self {
            upstream: upstream.into(),
            key: hmac::Key::new(hmac::HMAC_SHA256, settings.secret.expose()),
            settings: settings.clone(),
        }
    }

    pub(super) fn settings(&self) -> &StickySettings {
        &self.settings
    }

    /// The cookie's name.
    pub fn cookie(&self) -> &str {
        &self.settings.cookie
    }

    /// The endpoint that a cookie's value names, for [`Ask::sticky`](super::Ask::sticky). `None` where it is not ours, or over.
    pub fn read(&self, value: &[u8], now: Timestamp) -> Option<u64> {
        if value.len() != TEXT {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (said, tag) = bytes.split_at_checked(SAID)?;
        let own = self.sign(b"cookie", said);
        constant_time::verify_slices_are_equal(own.as_ref().get(..TAG)?, tag).ok()?;
        let (id, end) = said.split_at_checked(8)?;
        let end = i64::from_be_bytes(end.try_into().ok()?);
        (now.as_second() < end).then(|| id.try_into().map(u64::from_be_bytes).ok())?
    }

    /// The cookie's value that names an endpoint from now on.
    pub fn value(&self, endpoint: &Endpoint, now: Timestamp) -> String {
        let long = self.settings.ttl.unwrap_or(SESSION);
        let long = i64::try_from(long.as_secs()).unwrap_or(i64::MAX);
        let end = now.as_second().saturating_add(long);
        let mut bytes = Vec::with_capacity(SAID + TAG);
        bytes.extend(self.id(endpoint.key()).to_be_bytes());
        bytes.extend(end.to_be_bytes());
        let tag = self.sign(b"cookie", &bytes);
        bytes.extend(tag.as_ref().iter().take(TAG));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The value of a `Set-Cookie` field that keeps the client with this endpoint (RFC 6265 §4.1). Scripts do not see the cookie.
    /// `None` cannot come of settings that were read.
    pub fn set_cookie(&self, endpoint: &Endpoint, now: Timestamp) -> Option<HeaderValue> {
        let settings = &self.settings;
        let mut text = format!(
            "{}={}; Path={}; HttpOnly; SameSite={}",
            settings.cookie,
            self.value(endpoint, now),
            settings.path,
            settings.same_site.word()
        );
        if settings.secure {
            text += "; Secure";
        }
        if let Some(ttl) = settings.ttl {
            text += &format!("; Max-Age={}", ttl.as_secs());
        }
        HeaderValue::try_from(text).ok()
    }

    /// The number by which a cookie names an endpoint.
    pub(super) fn id(&self, key: &EndpointKey) -> u64 {
        let tag = self.sign(b"endpoint", key.to_string().as_bytes());
        let first = tag.as_ref().first_chunk::<8>();
        first.map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// Signs something of a kind, for this upstream: what is good for one is not good for another.
    fn sign(&self, kind: &[u8], what: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        let name = self.upstream.as_bytes();
        // With its length before it, no name runs into what follows.
        for part in [kind, &(name.len() as u64).to_be_bytes(), name, what] {
            context.update(part);
        }
        context.sign()
    }
}

impl fmt::Debug for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sticky({})", self.settings.cookie)
    }
}

/// Endpoint and end.
const SAID: usize = 16;
/// Of the signature, as much as RFC 2104 §5 asks for at least.
const TAG: usize = 16;
/// The length in base64.
const TEXT: usize = 43;
/// How long a cookie without an end of its own is good for.
const SESSION: Duration = Duration::from_secs(86_400);
