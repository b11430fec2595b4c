//! Patterns over host names: exact, `*.suffix`, glob.
//! Not for addresses: those are matched as networks.
//! Start at [`HostPattern::parse`].

use globset::{GlobBuilder, GlobMatcher};

use super::{AddrError, Host, shorten};

/// A pattern that a canonical host matches or not.
#[derive(Debug, Clone)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(Host),
    /// Any name below this one (`*.example.com` has `a.example.com` and `a.b.example.com`, not `example.com`).
    Below(Box<str>),
    /// A glob with `*`, `?` or `[…]` elsewhere; `*` stays inside a label, `**` crosses dots.
    Glob(Box<str>, GlobMatcher),
    /// `*`: every host, names and addresses.
    Any,
}

impl HostPattern {
    /// Reads a pattern in canonical or any other spelling of a name.
    pub fn parse(text: &str) -> Result<Self, AddrError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(suffix) = text.strip_prefix("*.").filter(|rest| !has_meta(rest)) {
            return match Host::parse(suffix)? {
                Host::Name(name) => Ok(Self::Below(format!(".{name}").into())),
                Host::Addr(_) => Err(AddrError::InvalidHost {
                    text: shorten(text),
                    why: "an address has no names below it",
                }),
            };
        }
        if !has_meta(text) || text.starts_with('[') {
            return Host::parse_bare(text).map(Self::Exact);
        }
        Self::parse_glob(text)
    }

    /// Whether the host matches. Names only match names, so that an address never slips through a pattern of letters.
    pub fn matches(&self, host: &Host) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == host,
            Self::Below(suffix) => host
                .name()
                .is_some_and(|name| name.len() > suffix.len() && name.ends_with(&**suffix)),
            Self::Glob(_, glob) => host
                .name()
                .is_some_and(|name| glob.is_match(labels_as_path(name))),
        }
    }

    /// Whether a part of the name is given, so that it does not hold for whatever name there is.
    pub fn has_literal(&self) -> bool {
        let mut in_class = false;
        match self {
            Self::Any => false,
            Self::Exact(_) | Self::Below(_) => true,
            Self::Glob(text, _) => text.bytes().any(|b| {
                in_class = b == b'[' || in_class && b != b']';
                !in_class && b.is_ascii_alphanumeric()
            }),
        }
    }

    fn parse_glob(text: &str) -> Result<Self, AddrError> {
        let invalid = |why| AddrError::InvalidHost {
            text: shorten(text),
            why,
        };
        if !text.is_ascii() || text.contains('/') {
            return Err(invalid(
                "a glob over names is written in ASCII, without slashes",
            ));
        }
        let lower = text.to_ascii_lowercase();
        // Labels become path segments, so that globset's separator rule keeps `*` inside one label.
        let glob = GlobBuilder::new(&labels_as_path(lower.trim_end_matches('.')))
            .literal_separator(true)
            .build()
            .map_err(|_| invalid("it is not a valid glob"))?;
        Ok(Self::Glob(lower.into(), glob.compile_matcher()))
    }
}

fn has_meta(text: &str) -> bool {
    text.bytes().any(|b| matches!(b, b'*' | b'?' | b'[' | b'{'))
}

fn labels_as_path(name: &str) -> String {
    name.replace('.', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_in_canonical_form() {
        for (pattern, host, expected) in [
            ("example.com", "EXAMPLE.com.", true),
            ("example.com", "a.example.com", false),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
            ("api-*.example.com", "api-7.example.com", true),
            ("api-*.example.com", "api-7.x.example.com", false),
            ("**.cdn.*.example", "a.b.cdn.x.example", true),
            ("*", "192.0.2.1", true),
            ("1*", "192.0.2.1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("::1", "[::1]", true),
            ("bücher.example", "xn--bcher-kva.example", true),
        ] {
            let host = Host::parse(host).expect("the table holds hosts");
            let pattern = HostPattern::parse(pattern).expect("the table holds patterns");
            assert_eq!(pattern.matches(&host), expected, "{pattern:?} {host}");
        }
    }
}
