//! The request target in its four forms (RFC 9112 §3.2), read once into canonical parts.
//! Not the Host field, which a proxy ignores beside an absolute target (§3.2.2).
//! Start at [`Target::parse`].

use std::borrow::Cow;
use std::fmt;

use http::Method;
use memchr::{memchr, memchr2};

use crate::addr::{AddrError, Authority};

/// A request target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `http://example.com/path`: what a client sends to a proxy (§3.2.2).
    Absolute {
        /// Whether the scheme is `https`.
        secure: bool,
        /// Where the request goes.
        authority: Authority,
        /// Path and query as sent, `/` where the path was empty.
        path: String,
    },
    /// `example.com:443`, for CONNECT only (§3.2.3).
    Authority(Authority),
    /// `/path`: what a client sends to an origin (§3.2.1).
    Origin(String),
    /// `*`, for OPTIONS only (§3.2.4).
    Asterisk,
}

/// Why a target is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The form does not fit the method.
    #[error("the request target has a form that this method does not take")]
    Form,
    /// A scheme that is neither http nor https.
    #[error("the scheme of the request target is neither http nor https")]
    Scheme,
    /// The authority is not one.
    #[error("the authority of the request target is invalid: {0}")]
    Authority(AddrError),
    /// The path can be read in more than one way.
    #[error("the path of the request target is invalid: {0}")]
    Path(&'static str),
}

impl Target {
    /// Reads a target of visible ASCII.
    pub fn parse(method: &Method, text: &str) -> Result<Self, TargetError> {
        if *method == Method::CONNECT {
            return Authority::parse(text, None)
                .map(Self::Authority)
                .map_err(TargetError::Authority);
        }
        match text.as_bytes().first() {
            Some(b'/') => check_path(text).map(|()| Self::Origin(text.to_owned())),
            Some(b'*') if text == "*" && *method == Method::OPTIONS => Ok(Self::Asterisk),
            _ => Self::parse_absolute(method, text),
        }
    }

    fn parse_absolute(method: &Method, text: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = text.split_once("://").ok_or(TargetError::Form)?;
        let secure = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ => return Err(TargetError::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority = Authority::parse(authority, Some(default_port(secure)))
            .map_err(TargetError::Authority)?;
        check_path(path)?;
        // An OPTIONS for a whole origin leaves the last proxy as `*` (§3.2.4); any other empty path is `/`.
        let path = match path.as_bytes().first() {
            None if *method == Method::OPTIONS => "*".to_owned(),
            None => "/".to_owned(),
            Some(b'?') => format!("/{path}"),
            Some(_) => path.to_owned(),
        };
        Ok(Self::Absolute {
            secure,
            authority,
            path,
        })
    }
}

/// The port that a scheme means where none is written.
pub fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// The path without its query, in the one form that policies are written in: percent-encodings of unreserved characters
/// decoded, other encodings in upper case (RFC 3986 §6.2.2), runs of slashes as one.
pub fn normal_path(path_and_query: &str) -> Cow<'_, str> {
    let path = path_of(path_and_query);
    if memchr(b'%', path.as_bytes()).is_none() && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        let (digits, next) = after.split_at_checked(2).unwrap_or((after, ""));
        match u8::from_str_radix(digits, 16) {
            Ok(byte) if is_unreserved(byte) => normal.push(char::from(byte)),
            Ok(_) | Err(_) => {
                normal.push('%');
                normal.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = next;
    }
    normal.push_str(rest);
    Cow::Owned(one_slash(&normal))
}

/// How an origin might read the path that [`normal_path`] made, where that is another path: encoded slashes as slashes, without
/// `;parameters`, and with the characters decoded that a segment may have as they are. Who is judged by paths is judged by both.
pub fn other_reading(normal_path: &str) -> Option<String> {
    // What has neither is read in one way.
    memchr2(b'%', b';', normal_path.as_bytes())?;
    let decoded = normal_path.replace("%2F", "/").replace("%5C", "/");
    let segments: Vec<&str> = decoded
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .collect();
    let plain = IN_SEGMENTS
        .iter()
        .fold(segments.join("/"), |path, (encoded, plain)| {
            path.replace(encoded, plain)
        });
    let other = one_slash(&plain);
    (other != normal_path).then_some(other)
}

/// RFC 3986 §2.2 lets these differ from their encodings, but nearly every origin takes the one for the other (§3.3: `pchar`).
const IN_SEGMENTS: [(&str, &str); 13] = [
    ("%21", "!"),
    ("%24", "$"),
    ("%26", "&"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2B", "+"),
    ("%2C", ","),
    ("%3A", ":"),
    ("%3B", ";"),
    ("%3D", "="),
    ("%40", "@"),
];

/// Path and query, the latter without its question mark (RFC 3986 §3.4). By memchr, since it is asked several times for a request.
pub fn split_query(path_and_query: &str) -> (&str, Option<&str>) {
    let mark = memchr(b'?', path_and_query.as_bytes());
    let parts =
        mark.and_then(|at| Some((path_and_query.get(..at)?, path_and_query.get(at + 1..)?)));
    parts.map_or((path_and_query, None), |(path, query)| (path, Some(query)))
}

fn path_of(path_and_query: &str) -> &str {
    split_query(path_and_query).0
}

fn one_slash(path: &str) -> String {
    let mut one = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !one.ends_with('/') {
            one.push(c);
        }
    }
    one
}

/// Refuses what policy and origin might read as two different paths, where judging both readings is no help.
fn check_path(path_and_query: &str) -> Result<(), TargetError> {
    let bytes = path_and_query.as_bytes();
    if !bytes.iter().all(|b| (0x21..=0x7e).contains(b)) {
        return Err(TargetError::Path("only visible ASCII is allowed"));
    }
    if bytes.contains(&b'#') {
        return Err(TargetError::Path("a fragment is never sent"));
    }
    let path = path_of(path_and_query);
    if path.contains('\\') {
        return Err(TargetError::Path("a backslash is read as a slash by some"));
    }
    if !path.contains('%') && !path.contains("/.") {
        return Ok(());
    }
    for encoded in path.split('%').skip(1) {
        match encoded
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        {
            None => {
                return Err(TargetError::Path(
                    "a percent sign is not followed by two hexadecimal digits",
                ));
            }
            Some(byte) if byte < 0x20 || byte == 0x7f => {
                return Err(TargetError::Path(
                    "an encoded control character is cut off by some",
                ));
            }
            Some(_) => {}
        }
    }
    let normal = normal_path(path);
    let other = other_reading(&normal);
    let dotted = |path: &str| {
        path.split('/')
            .any(|segment| segment == "." || segment == "..")
    };
    if dotted(&normal) || other.as_deref().is_some_and(dotted) {
        return Err(TargetError::Path("dot segments are resolved by the client"));
    }
    Ok(())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute {
                secure,
                authority,
                path,
            } => {
                let scheme = if *secure { "https" } else { "http" };
                write!(
                    f,
                    "{scheme}://{}{path}",
                    authority.without_default_port(default_port(*secure))
                )
            }
            Self::Authority(authority) => authority.fmt(f),
            Self::Origin(path) => f.write_str(path),
            Self::Asterisk => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_begins_at_the_first_question_mark() {
        for (target, expected) in [
            ("/a", ("/a", None)),
            ("/a?", ("/a", Some(""))),
            ("/a?b?c", ("/a", Some("b?c"))),
            ("?", ("", Some(""))),
            ("", ("", None)),
        ] {
            assert_eq!(split_query(target), expected, "{target}");
        }
    }

    #[test]
    fn targets_are_read_into_canonical_parts() {
        for (method, text, expected) in [
            (
                Method::GET,
                "http://EXAMPLE.com",
                Some("http://example.com/"),
            ),
            (
                Method::GET,
                "HTTP://example.com:80?x=1",
                Some("http://example.com/?x=1"),
            ),
            (
                Method::GET,
                "https://example.com:8443/a/%41?b=/../",
                Some("https://example.com:8443/a/%41?b=/../"),
            ),
            (
                Method::OPTIONS,
                "http://example.com",
                Some("http://example.com*"),
            ),
            (Method::OPTIONS, "*", Some("*")),
            (Method::CONNECT, "example.com:443", Some("example.com:443")),
            (Method::GET, "/x", Some("/x")),
            (Method::GET, "*", None),
            (Method::CONNECT, "example.com", None),
            (Method::CONNECT, "http://example.com:443/", None),
            (Method::GET, "example.com:443", None),
            (Method::GET, "ftp://example.com/", None),
            (Method::GET, "http:///x", None),
            (Method::GET, "http://u:p@example.com/", None),
            (Method::GET, "http://example.com/#f", None),
            (Method::GET, "http://example.com/a/../b", None),
            (Method::GET, "http://example.com/a/%2e%2E/b", None),
            (Method::GET, "http://example.com/a%zz", None),
            (Method::GET, "http://example.com/a%+1", None),
            (Method::GET, "http://example.com/a/..%2fb", None),
            (Method::GET, "http://example.com/a/..;x/b", None),
            (Method::GET, "http://example.com/a/%2e%2e%5cb", None),
            (Method::GET, "http://example.com/a%00b", None),
            (
                Method::GET,
                "http://example.com/git%2Frepo;v=1/",
                Some("http://example.com/git%2Frepo;v=1/"),
            ),
            (Method::GET, "http://example.com\\@evil.example/", None),
            (Method::GET, "http://example.com/a\\b", None),
        ] {
            let target = Target::parse(&method, text)
                .ok()
                .map(|target| target.to_string());
            assert_eq!(target.as_deref(), expected, "{method} {text}");
        }
    }

    #[test]
    fn policies_see_one_form_of_a_path() {
        for (sent, seen) in [
            ("/a%41%2f?q=%41", "/aA%2F"),
            ("/%7euser", "/~user"),
            ("/plain", "/plain"),
            ("//a///b", "/a/b"),
            ("/%e2%82%ac", "/%E2%82%AC"),
        ] {
            assert_eq!(normal_path(sent), seen);
        }
    }

    #[test]
    fn a_path_that_can_be_read_otherwise_has_another_reading() {
        for (normal, other) in [
            ("/a%2Fb", Some("/a/b")),
            ("/%2Fadmin/x", Some("/admin/x")),
            ("/admin;a=b/x", Some("/admin/x")),
            ("/a/b", None),
            ("/a%41", None),
            ("/v1/doc%3Adelete", Some("/v1/doc:delete")),
            ("/%40me;v=1/%21%24", Some("/@me/!$")),
            ("/a%3Bb/c", Some("/a;b/c")),
            ("/a%20b%25%3F", None),
        ] {
            assert_eq!(other_reading(normal).as_deref(), other, "{normal}");
        }
    }
}
