//! What a decision saw beside the intent, kept with it so that it can be explained afterwards. Holds no credentials.

use std::cell::{OnceCell, RefCell};
use std::net::SocketAddr;

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderValue};

/// What was seen so far. Written by the gate alone.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    fields: OnceCell<Box<HeaderMap>>,
    addresses: RefCell<Option<Box<[SocketAddr]>>>,
}

impl Judged {
    /// Every address that was judged, permitted or not, in the order of the answer; `None` where it did not come to that.
    pub fn addresses(&self) -> Option<Box<[SocketAddr]>> {
        self.addresses.borrow().clone()
    }

    /// The request's fields, where a rule asks for any. Of credentials there is only that they were there.
    pub fn fields(&self) -> Option<&HeaderMap> {
        self.fields.get().map(|fields| &**fields)
    }

    pub(super) fn saw_fields(&self, headers: &HeaderMap) {
        self.fields.get_or_init(|| {
            let mut fields = headers.clone();
            for secret in [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE] {
                if fields.contains_key(&secret) {
                    fields.insert(secret, HeaderValue::from_static("(hidden)"));
                }
            }
            Box::new(fields)
        });
    }

    pub(super) fn saw_addresses(&self, addresses: Vec<SocketAddr>) {
        self.addresses.replace(Some(addresses.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_credentials_only_their_presence_is_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static("secret"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("secret"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("secret too"));
        headers.insert("x-build", HeaderValue::from_static("7"));
        let judged = Judged::default();
        judged.saw_fields(&headers);
        let kept = judged.fields().expect("they were seen");
        assert_eq!(kept.len(), 3);
        assert_eq!(kept["x-build"], "7");
        assert!(!format!("{judged:?}").contains("secret"));
    }
}
