//! What a person wants out of the cache, in the form of its keys.
//! Not the taking out (front), nor who may ask for it (settings).
//! Start at [`Purge`] and [`uri`].

use serde::Serialize;

use crate::addr::{AddrError, Authority};
use crate::fault::Fault;

/// What is to be taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purge {
    /// All that is stored of one URI, whatever it varies by.
    Uri(String),
    /// All URIs that begin so; scheme and host are whole.
    Prefix(String),
    /// All that bears this tag, in `Surrogate-Key` or `Cache-Tag`.
    Tag(String),
    /// Everything.
    All,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// How many were taken out of memory.
    pub memory: u64,
    /// What becomes of those on disk.
    pub disk: Swept,
    /// What kept the disk from noting it: what is purged is not used now, and may be again after a restart.
    pub trouble: Option<String>,
}

/// What becomes of purged responses on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Swept {
    /// There were none, or there is no disk.
    Nothing,
    /// There may have been some. None is used any more; their files go one after the other.
    InBackground,
}

impl Purged {
    /// Whether nothing was stored that could be taken out.
    pub fn is_nothing(&self) -> bool {
        self.memory == 0 && self.disk == Swept::Nothing
    }
}

impl Purge {
    /// One URI. Faults: it is none.
    pub fn uri(text: &str) -> Result<Self, Fault> {
        uri(text).map(Self::Uri)
    }

    /// A beginning of URIs. Faults: scheme and host are not whole.
    pub fn prefix(text: &str) -> Result<Self, Fault> {
        uri(text).map(Self::Prefix)
    }

    /// A tag. Faults: no response can bear it.
    pub fn tag(text: &str) -> Result<Self, Fault> {
        let tag = text.trim();
        let printable = tag.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if tag.is_empty() || tag.len() > LONGEST || tag.contains(',') || !printable {
            return Err(Fault::new(
                format!("{:?} is not a tag", shown(text)),
                "write one as it stands in Surrogate-Key or Cache-Tag; case matters",
            ));
        }
        Ok(Self::Tag(tag.to_owned()))
    }
}

/// A URL as people write it, as it stands in keys: scheme and host in lower case, no default port, `/` for an empty path, no
/// fragment. Path and query stay byte for byte. Faults: what is no URL of a web page.
pub fn uri(text: &str) -> Result<String, Fault> {
    let text = text.trim();
    let wrong = |why: &str, remedy: &str| Fault::new(format!("{:?}: {why}", shown(text)), remedy);
    let whole = "write it whole: https://example.com/path";
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(wrong("this is not a whole URL", whole));
    };
    let (scheme, default_port) = match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => ("http", 80),
        _ if scheme.eq_ignore_ascii_case("https") => ("https", 443),
        _ => return Err(wrong("only http and https are cached", whole)),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.contains('*') {
        let remedy = "name each host, or purge by --tag";
        return Err(wrong("a host is not a pattern here", remedy));
    }
    let authority = Authority::parse(authority, Some(default_port));
    let authority = authority.map_err(|error| {
        if error == AddrError::UserInfo {
            // Not shown: what stands before the `@` may be a password.
            return Fault::new("a user or password is no part of a key", whole);
        }
        wrong(&error.to_string(), whole)
    })?;
    let path = rest.split('#').next().unwrap_or_default();
    if text.len() > LONGEST || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong(
            "path and query are visible ASCII",
            "write other characters as percent and two digits",
        ));
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    let authority = authority.without_default_port(default_port);
    Ok(format!("{scheme}://{authority}{slash}{path}"))
}

/// Enough to know it by.
fn shown(text: &str) -> String {
    const ENOUGH: usize = 200;
    match text.char_indices().nth(ENOUGH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

const LONGEST: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_a_persons_is_brought_to_the_form_of_keys() {
        for (text, key) in [
            ("http://example.com", "http://example.com/"),
            (
                " HTTP://Example.COM:80/A?b=C#d ",
                "http://example.com/A?b=C",
            ),
            ("https://example.com:443?x", "https://example.com/?x"),
            (
                "https://example.com:80/%7euser//a",
                "https://example.com:80/%7euser//a",
            ),
            ("https://example.com./#", "https://example.com/"),
            ("https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443/"),
            ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ] {
            assert_eq!(uri(text).as_deref(), Ok(key), "{text}");
        }
    }

    #[test]
    fn nonsense_is_a_fault_with_a_remedy() {
        for (text, problem) in [
            ("", "not a whole URL"),
            ("example.com/a", "not a whole URL"),
            ("/a", "not a whole URL"),
            ("ftp://example.com/", "only http and https"),
            ("http://", "host"),
            ("http:///a", "host"),
            ("http://*.example.com/", "not a pattern"),
            ("http://example.com:99999/", "99999"),
            ("http://example.com/a b", "visible ASCII"),
            ("http://example.com/ä", "visible ASCII"),
        ] {
            let fault = uri(text).expect_err(text);
            assert!(fault.problem.contains(problem), "{text}: {fault}");
            assert!(!fault.remedy.is_empty(), "{text}");
        }
        let fault = uri("http://me:secret@example.com/").expect_err("a password");
        assert!(!fault.render().contains("secret"), "{fault}");
        let long = uri(&format!("http://example.com/{}", "a".repeat(LONGEST)));
        assert!(long.expect_err("long").render().len() < 1000);
    }

    #[test]
    fn a_prefix_has_a_whole_host_and_a_tag_is_one_that_can_be_borne() {
        let prefix = Purge::prefix("https://Example.com");
        assert_eq!(prefix, Ok(Purge::Prefix("https://example.com/".to_owned())));
        assert_eq!(Purge::tag(" p-1 "), Ok(Purge::Tag("p-1".to_owned())));
        for text in ["", " ", "a,b", "ä", "a\nb"] {
            assert!(Purge::tag(text).is_err(), "{text:?}");
        }
    }
}
