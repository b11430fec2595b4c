//! The tags that an origin gives a response, so that it can be purged by them: words of `Surrogate-Key`, members of `Cache-Tag`.

use http::HeaderMap;

/// All of them, some perhaps twice. Case matters.
pub fn of(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let fields = [("surrogate-key", ' '), ("cache-tag", ',')];
    fields.into_iter().flat_map(move |(field, between)| {
        let values = headers.get_all(field).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let tags = texts.flat_map(move |text| text.split(between));
        tags.map(str::trim).filter(|tag| !tag.is_empty())
    })
}
