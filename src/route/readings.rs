//! The ways in which a path may be read, made once for each request.

use std::borrow::Cow;

use crate::message::{normal_path, other_reading, split_query};

/// A target in origin-form, and what its path may mean.
#[derive(Debug, Clone)]
pub struct Readings<'a> {
    sent: &'a str,
    normal: Cow<'a, str>,
    query: Option<&'a str>,
    other: Option<String>,
    literal: Option<String>,
}

impl<'a> Readings<'a> {
    /// Of path and query as the client sent them. Allocates nothing for a path that is in its normal form.
    pub fn of(target: &'a str) -> Self {
        let (path, query) = split_query(target);
        let normal = normal_path(path);
        // RFC 3986 §6.2.2.1: the case of hexadecimal digits is no difference to anyone.
        let literal = (*normal != *path)
            .then(|| upper_hex(path))
            .filter(|literal| *literal != *normal);
        Self {
            sent: target,
            other: other_reading(&normal),
            normal,
            query,
            literal,
        }
    }

    /// Path and query, as sent.
    pub fn sent(&self) -> &'a str {
        self.sent
    }

    /// The path in its normal form.
    pub fn normal(&self) -> &str {
        &self.normal
    }

    /// The query, without its question mark.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// What an origin may take the path for that decodes more than it should.
    pub fn other(&self) -> Option<&str> {
        self.other.as_deref()
    }

    /// Every reading but the normal one: also that of an origin that decodes nothing, and takes each slash for one.
    pub(super) fn others(&self) -> impl Iterator<Item = &str> {
        self.other.iter().chain(&self.literal).map(String::as_str)
    }
}

fn upper_hex(path: &str) -> String {
    let mut upper = String::with_capacity(path.len());
    let mut digits = 0;
    for c in path.chars() {
        let digit = digits > 0;
        digits = if c == '%' {
            2_u8
        } else {
            digits.saturating_sub(1)
        };
        upper.push(if digit { c.to_ascii_uppercase() } else { c });
    }
    upper
}
