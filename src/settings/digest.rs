//! The hash of a public key, as an operator writes it.
//! Hashes nothing.
//! Start at [`KeyDigest`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{FromValue, Value};
use crate::fault::{Fault, Faults};

/// SHA-256 of a public key (SubjectPublicKeyInfo): `sha256/` and Base64, the form of RFC 7469 §2.1.1 and of curl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest(pub [u8; 32]);

impl FromValue for KeyDigest {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let at = value.at.clone();
        let text = String::from_value(value, faults)?;
        let digest = parse(&text).map(Self);
        if digest.is_none() {
            faults.push(Fault::at(
                &at,
                format!("\"{text}\" is not the hash of a public key"),
                "it is \"sha256/\" and the digest of a public key in base64: openssl x509 -in cert.pem -pubkey -noout | \
                 openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64",
            ));
        }
        digest
    }
}

/// RFC 7469 writes one slash, curl two; and the digest itself may begin with one, which is then a part of it.
fn parse(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256/")?;
    let decode = |digits: &str| STANDARD.decode(digits).ok()?.try_into().ok();
    decode(digits).or_else(|| decode(digits.strip_prefix('/')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_in_both_forms_also_where_it_begins_with_a_slash() {
        for bytes in [[0; 32], [0xff; 32]] {
            let digits = STANDARD.encode(bytes);
            for prefix in ["sha256/", "sha256//"] {
                assert_eq!(
                    parse(&format!("{prefix}{digits}")),
                    Some(bytes),
                    "{prefix}{digits}"
                );
            }
            for wrong in [
                digits.clone(),
                format!("sha256///{digits}"),
                format!("sha1/{digits}"),
            ] {
                assert_eq!(parse(&wrong), None, "{wrong}");
            }
        }
        assert_eq!(parse("sha256/"), None);
    }
}
