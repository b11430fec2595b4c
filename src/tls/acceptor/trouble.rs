//! Why a handshake failed, in words for a record.
//! Not what the client is told: that is TLS's own alert.
//! Start at [`HandshakeError`].

use std::io::ErrorKind;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use crate::tls::identity::Naming;

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// By TLS.
    #[error("the TLS handshake failed: {}", words(.0))]
    Tls(Error),
    /// The connection broke or was closed.
    #[error("the client closed the connection during the TLS handshake")]
    Closed,
    /// It took too long.
    #[error("the TLS handshake did not end in time")]
    Slow,
    /// A certificate is required, and none came.
    #[error("the client gave no certificate")]
    NoCertificate,
    /// A session was resumed after its certificate had expired.
    #[error("the client's certificate has expired since its session began")]
    Expired,
    /// The certificate is good, and holds no name that could be the principal's.
    #[error("the client's certificate has no {} that could name it", .0.wanted())]
    Nameless(Naming),
}

impl From<std::io::Error> for HandshakeError {
    fn from(error: std::io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(tls) => Self::Tls(Error::clone(tls)),
            None if error.kind() == ErrorKind::InvalidData => {
                Self::Tls(Error::General(error.to_string()))
            }
            None => Self::Closed,
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "of the many ways in which TLS fails, these are the ones an operator can do something about"
)]
fn words(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => "the client gave no certificate".to_owned(),
        Error::InvalidCertificate(why) => of_certificate(why),
        Error::NoApplicationProtocol => "there is no protocol in common (ALPN)".to_owned(),
        Error::PeerIncompatible(why) => of_versions(why),
        Error::AlertReceived(alert) => of_alert(*alert),
        _ => error.to_string(),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "as above")]
fn of_certificate(why: &CertificateError) -> String {
    let known = match why {
        CertificateError::UnknownIssuer => {
            "is of an authority that is not among the listener's roots"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet"
        }
        CertificateError::Revoked => "is revoked",
        CertificateError::UnknownRevocationStatus => {
            "is of an authority for which there is no revocation list (crl)"
        }
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            "can not be checked: the revocation list (crl) is out of date"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not one for clients (extended key usage)"
        }
        CertificateError::BadSignature => "has a signature that is not right",
        other => return format!("the client's certificate is not good: {other}"),
    };
    format!("the client's certificate {known}")
}

#[expect(clippy::wildcard_enum_match_arm, reason = "as above")]
fn of_versions(why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::NoCipherSuitesInCommon => "there is no cipher suite in common".to_owned(),
        PeerIncompatible::NoKxGroupsInCommon => "there is no key exchange in common".to_owned(),
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired => {
            "there is no version of TLS in common".to_owned()
        }
        PeerIncompatible::NoSignatureSchemesInCommon => {
            "the client can not verify a key of our certificate's kind".to_owned()
        }
        other => format!("the client's TLS does not fit: {other:?}"),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "as above")]
fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => {
            "the client does not trust the authority of our certificate".to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked
        | AlertDescription::UnsupportedCertificate => {
            format!("the client does not accept our certificate ({alert:?})")
        }
        other => format!("the client broke it off ({other:?})"),
    }
}
