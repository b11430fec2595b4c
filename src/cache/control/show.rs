//! What a rule says of caching, in the words of the policy.

use std::fmt;
use std::time::Duration;

use super::{Control, IgnoreQuery, SetCookie};
use crate::settings::ByteSize;

/// As it could stand in a rule after `cache = `; what is not said is left out.
impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.enabled {
            return f.write_str("\"off\"");
        }
        let Self {
            enabled: _,
            ttl,
            ignore_query,
            key_headers,
            key_cookies,
            largest,
            min_uses,
            errors,
            set_cookie,
            stale_while_revalidate,
            stale_if_error,
        } = self;
        let mut parts = Vec::new();
        let time = |key: &str, period: &Option<Duration>| {
            period.map(|period| format!("{key} = \"{}\"", in_units(period)))
        };
        parts.extend(time("ttl", ttl));
        parts.extend(match ignore_query {
            IgnoreQuery::None => None,
            IgnoreQuery::All => Some("ignore-query = true".to_owned()),
            IgnoreQuery::Names(names) => Some(format!("ignore-query = {names:?}")),
        });
        let headers = key_headers.iter().map(|name| name.as_str());
        let headers: Vec<&str> = headers.collect();
        let of_key: Vec<String> = [
            (!headers.is_empty()).then(|| format!("headers = {headers:?}")),
            (!key_cookies.is_empty()).then(|| format!("cookies = {key_cookies:?}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !of_key.is_empty() {
            parts.push(format!("key = {{ {} }}", of_key.join(", ")));
        }
        parts.extend(largest.map(|size| format!("largest = \"{}\"", ByteSize(size))));
        if *min_uses > 1 {
            parts.push(format!("min-uses = {min_uses}"));
        }
        parts.extend(time("errors", errors));
        parts.extend(match set_cookie {
            SetCookie::Refuse => None,
            SetCookie::Strip => Some("set-cookie = \"strip\"".to_owned()),
            SetCookie::Store => Some("set-cookie = \"store\"".to_owned()),
        });
        parts.extend(time("stale-while-revalidate", stale_while_revalidate));
        parts.extend(time("stale-if-error", stale_if_error));
        if parts.is_empty() {
            return f.write_str("{}");
        }
        write!(f, "{{ {} }}", parts.join(", "))
    }
}

/// In the largest unit that it is a whole number of.
fn in_units(period: Duration) -> String {
    let millis = period.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    match units
        .iter()
        .find(|(length, _)| millis.is_multiple_of(*length))
    {
        Some((length, unit)) => format!("{}{unit}", millis / length),
        None => format!("{millis}ms"),
    }
}
