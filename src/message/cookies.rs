//! The cookies that a request brings (RFC 6265 §5.4).

use http::HeaderMap;
use http::header::COOKIE;

/// Names and values, in their order. What is no pair is passed over.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let fields = headers.get_all(COOKIE).iter();
    let fields = fields.filter_map(|field| std::str::from_utf8(field.as_bytes()).ok());
    let pairs = fields.flat_map(|field| field.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('='))
}
