//! What is known of a stored response, for people: facts, and no value that may be a secret.
//! Not whether it may be used for a request (reuse). Start at [`Inspected`].

use http::header::{ETAG, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

use super::{Freshness, Key, Vary, tags};

/// One variant of what is stored of a URI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspected {
    /// The URI of its key.
    pub uri: String,
    /// What a rule or a partition adds to the key; values are digests, but for those that are nobody's secret.
    pub key_extras: String,
    /// Its status.
    pub status: u16,
    /// When it was received, or last found good by its origin.
    pub stored_at: Timestamp,
    /// Its age in seconds (RFC 9111 §4.2.3).
    pub age: u64,
    /// Its freshness lifetime in seconds.
    pub lifetime: u64,
    /// Whether it is fresh.
    pub fresh: bool,
    /// Seconds until it is stale; negative since it is.
    pub ttl: i64,
    /// The request fields that it varies by. Not their values.
    pub vary: Vec<String>,
    /// The length in bytes of the content that is there.
    pub size: u64,
    /// Where it lies.
    pub tier: Tier,
    /// How often it was used, where that is counted.
    pub hits: Option<u64>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its entity tag.
    pub etag: Option<String>,
    /// When it was last changed, as the origin says.
    pub last_modified: Option<String>,
}

/// Where a stored response lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// In memory.
    Memory,
    /// On disk.
    Disk,
    /// In memory and on disk.
    Both,
}

impl Inspected {
    /// The facts of a stored response. `size` is the length of its content.
    pub fn new(
        (key, vary): (&Key, &Vary),
        (status, headers): (StatusCode, &HeaderMap),
        freshness: &Freshness,
        (tier, size): (Tier, u64),
        now: Timestamp,
    ) -> Self {
        Self {
            uri: key.uri().to_string(),
            key_extras: key.extras().to_owned(),
            status: status.as_u16(),
            stored_at: freshness.received,
            age: freshness.age(now).as_secs(),
            lifetime: freshness.lifetime.as_secs(),
            fresh: freshness.is_fresh(now),
            ttl: freshness.ttl(now),
            vary: vary.names.iter().map(ToString::to_string).collect(),
            size,
            tier,
            hits: None,
            tags: shown_tags(headers),
            etag: text(headers, &ETAG),
            last_modified: text(headers, &LAST_MODIFIED),
        }
    }
}

/// Each tag once.
fn shown_tags(headers: &HeaderMap) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    for tag in tags::of(headers) {
        if shown.len() < MOST_TAGS && !shown.iter().any(|known| known == tag) {
            shown.push(tag.to_owned());
        }
    }
    shown
}

fn text(headers: &HeaderMap, name: &http::HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// More are not shown.
const MOST_TAGS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_told_by_facts_without_the_values_it_varies_by() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("etag", "\"a\""),
            ("surrogate-key", "one  two"),
            ("cache-tag", "two, three"),
            ("set-cookie", "session=secret"),
        ] {
            headers.append(name, value.parse().expect("a value"));
        }
        let received: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let seconds = std::time::Duration::from_secs;
        let freshness = |lifetime| Freshness::plain(received, seconds(5), seconds(lifetime));
        let key = Key::new("https://example.com/", "accept-language=[2:de]");
        let vary = Vary {
            names: [http::header::COOKIE].into(),
            values: [7; 16],
        };
        let now = received + jiff::SignedDuration::from_secs(10);
        let inspect = |lifetime, now| {
            let (what, tier) = ((StatusCode::OK, &headers), (Tier::Both, 42));
            Inspected::new((&key, &vary), what, &freshness(lifetime), tier, now)
        };
        let fresh = inspect(60, now);
        assert_eq!((fresh.age, fresh.fresh, fresh.ttl), (15, true, 45));
        assert_eq!(fresh.tags, ["one", "two", "three"]);
        let shown = serde_json::to_string(&fresh).expect("JSON");
        assert!(
            shown.contains("\"vary\":[\"cookie\"]") && !shown.contains("secret"),
            "{shown}"
        );
        let stale = inspect(10, now);
        assert_eq!((stale.fresh, stale.ttl), (false, -5));
        assert!(!inspect(15, now).fresh, "as old as its lifetime is stale");
        let back = inspect(60, Timestamp::UNIX_EPOCH);
        assert_eq!((back.age, back.fresh), (5, true));
    }
}
