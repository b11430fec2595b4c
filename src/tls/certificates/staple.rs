//! An OCSP response from a file, to be stapled to a certificate (RFC 6066 §8).
//! Does not verify it: that is the client's work.
//! Start at [`read`].

use std::path::PathBuf;

use crate::fault::{Fault, Faults};
use crate::settings::Located;
use crate::tls::der::{SEQUENCE, first};
use crate::tls::keys::read_public;

/// Reads a response in DER. `None` after a fault: unreadable, or no successful response.
pub(super) fn read(path: &Located<PathBuf>, faults: &Faults) -> Option<Vec<u8>> {
    let shown = path.value.display();
    let tell = |problem: String, remedy: &str| {
        faults.push(Fault::at(&path.at, problem, remedy));
        None
    };
    match read_public(&path.value) {
        Ok(bytes) if is_successful(&bytes) => Some(bytes),
        Ok(_) => tell(
            format!("{shown} is no successful OCSP response in DER"),
            "fetch one: openssl ocsp -issuer CA.pem -cert proxy.pem -url URL -respout proxy.ocsp",
        ),
        Err(fault) => tell(fault.problem, &fault.remedy),
    }
}

/// Whether the bytes are a whole `OCSPResponse` whose status is `successful` (RFC 6960 §4.2.1).
fn is_successful(der: &[u8]) -> bool {
    der.first() == Some(&SEQUENCE)
        && first(der).is_some_and(|(_, content, rest)| {
            rest.is_empty() && content.starts_with(&[0x0a, 1, 0, 0xa0])
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_and_successful_response_is_stapled() {
        for (bytes, good) in [
            (&[0x30, 5, 0x0a, 1, 0, 0xa0, 0][..], true),
            (&[0x30, 0x81, 5, 0x0a, 1, 0, 0xa0, 0], true),
            (&[0x30, 3, 0x0a, 1, 6], false),
            (&[0x30, 9, 0x0a, 1, 0, 0xa0, 0], false),
            (b"-----BEGIN OCSP RESPONSE-----", false),
            (&[], false),
            (&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0], false),
        ] {
            assert_eq!(is_successful(bytes), good, "{bytes:?}");
        }
    }
}
