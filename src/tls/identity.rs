//! Who a client is by its certificate: one name out of the kinds that a certificate can hold.
//! Verifies nothing: the certificate was verified by whoever calls this.
//! Start at [`Naming::name_of`].

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Which name of a certificate is its principal's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Naming {
    /// The first of SPIFFE id, DNS name, e-mail address, common name that is there.
    #[default]
    First,
    /// The SPIFFE id: the one URI, with the scheme `spiffe` (X509-SVID §2).
    Spiffe,
    /// The first DNS name.
    Dns,
    /// The first e-mail address.
    Email,
    /// The common name of the subject.
    CommonName,
    /// The whole subject, as in RFC 4514: `CN=alice,O=Example`.
    Subject,
}

impl Naming {
    /// The words of the setting.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("spiffe", Self::Spiffe),
        ("dns", Self::Dns),
        ("email", Self::Email),
        ("common-name", Self::CommonName),
        ("subject", Self::Subject),
    ];

    /// The name that a certificate gives. `None` where it has none of this kind, more than one where only one can be meant, or
    /// one that could pass for something else in a record or a rule: empty, too long, with control characters.
    pub fn name_of(self, certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
        let (_, parsed) = parse_x509_certificate(certificate).ok()?;
        let name = match self {
            Self::First => spiffe(&parsed)
                .or_else(|| dns(&parsed))
                .or_else(|| email(&parsed))
                .or_else(|| common_name(&parsed)),
            Self::Spiffe => spiffe(&parsed),
            Self::Dns => dns(&parsed),
            Self::Email => email(&parsed),
            Self::CommonName => common_name(&parsed),
            Self::Subject => subject(parsed.subject()),
        };
        name.map(Into::into)
    }

    /// What the certificate would have to hold.
    pub fn wanted(self) -> &'static str {
        match self {
            Self::First => "SPIFFE id, DNS name, e-mail address or common name",
            Self::Spiffe => "SPIFFE id",
            Self::Dns => "DNS name",
            Self::Email => "e-mail address",
            Self::CommonName => "common name",
            Self::Subject => "subject",
        }
    }
}

fn alternatives<'a>(certificate: &'a X509Certificate<'_>) -> &'a [GeneralName<'a>] {
    match certificate.subject_alternative_name() {
        Ok(Some(found)) => &found.value.general_names,
        Ok(None) | Err(_) => &[],
    }
}

fn spiffe(certificate: &X509Certificate<'_>) -> Option<String> {
    let mut uris = alternatives(certificate).iter().filter_map(|name| {
        if let GeneralName::URI(uri) = name {
            Some(*uri)
        } else {
            None
        }
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) if uri.starts_with("spiffe://") => fit(uri),
        (_, _) => None,
    }
}

fn dns(certificate: &X509Certificate<'_>) -> Option<String> {
    let name = alternatives(certificate).iter().find_map(|name| {
        if let GeneralName::DNSName(host) = name {
            Some(host.to_ascii_lowercase())
        } else {
            None
        }
    });
    fit(&name?)
}

fn email(certificate: &X509Certificate<'_>) -> Option<String> {
    alternatives(certificate).iter().find_map(|name| {
        if let GeneralName::RFC822Name(address) = name {
            fit(address)
        } else {
            None
        }
    })
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let mut names = certificate.subject().iter_common_name();
    match (names.next(), names.next()) {
        (Some(name), None) => fit(name.as_str().ok()?),
        (_, _) => None,
    }
}

/// RFC 4514 §2.1: the most specific part first.
fn subject(name: &X509Name<'_>) -> Option<String> {
    let mut parts = Vec::new();
    for set in name.iter_rdn() {
        let part: Option<Vec<String>> = set.iter().map(attribute).collect();
        parts.push(part?.join("+"));
    }
    parts.reverse();
    fit(&parts.join(","))
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let oid = attribute.attr_type().to_id_string();
    // RFC 4514 §3, and the e-mail address that many authorities write.
    let known = [
        ("2.5.4.3", "CN"),
        ("2.5.4.7", "L"),
        ("2.5.4.8", "ST"),
        ("2.5.4.10", "O"),
        ("2.5.4.11", "OU"),
        ("2.5.4.6", "C"),
        ("2.5.4.9", "STREET"),
        ("0.9.2342.19200300.100.1.25", "DC"),
        ("0.9.2342.19200300.100.1.1", "UID"),
        ("1.2.840.113549.1.9.1", "emailAddress"),
    ];
    let key = known
        .iter()
        .find(|(known, _)| *known == oid)
        .map_or(oid.as_str(), |(_, key)| key);
    Some(format!("{key}={}", escaped(attribute.as_str().ok()?)))
}

/// RFC 4514 §2.4: without this, a value could pass for further parts of the name.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let special = matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=')
            || at == 0 && matches!(c, ' ' | '#')
            || at == last && c == ' ';
        if special {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// A name that can stand in a record and in a rule.
fn fit(name: &str) -> Option<String> {
    let fits = !name.is_empty() && name.len() <= LONGEST && !name.contains(char::is_control);
    fits.then(|| name.to_owned())
}

/// X509-SVID's bound of a SPIFFE id is 2048 bytes; nobody is called by more.
const LONGEST: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(common: &[&str], alternatives: Vec<SanType>) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Example, Inc.");
        for name in common {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.subject_alt_names = alternatives;
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    fn ia5(text: &str) -> Ia5String {
        Ia5String::try_from(text).unwrap()
    }

    #[test]
    fn each_kind_of_name_is_found_and_the_first_kind_wins() {
        let spiffe = || SanType::URI(ia5("spiffe://example.org/ci"));
        let dns = || SanType::DnsName(ia5("CI.example.org"));
        let email = || SanType::Rfc822Name(ia5("ci@example.org"));
        let all = certificate(&["ci"], vec![dns(), email(), spiffe()]);
        for (naming, expected) in [
            (Naming::First, "spiffe://example.org/ci"),
            (Naming::Spiffe, "spiffe://example.org/ci"),
            (Naming::Dns, "ci.example.org"),
            (Naming::Email, "ci@example.org"),
            (Naming::CommonName, "ci"),
            (Naming::Subject, "CN=ci,O=Example\\, Inc."),
        ] {
            assert_eq!(
                naming.name_of(&all).as_deref(),
                Some(expected),
                "{naming:?}"
            );
        }
        for (alternatives, expected) in [
            (vec![email(), dns()], "ci.example.org"),
            (vec![email()], "ci@example.org"),
            (vec![], "ci"),
            // No SPIFFE id has a second URI beside it.
            (vec![spiffe(), SanType::URI(ia5("spiffe://other/x"))], "ci"),
            (vec![SanType::URI(ia5("https://example.org/"))], "ci"),
        ] {
            let found = Naming::First.name_of(&certificate(&["ci"], alternatives));
            assert_eq!(found.as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_name_that_could_pass_for_another_is_none() {
        for common in ["", "ci\nadmin", "a\0b"] {
            let found = Naming::First.name_of(&certificate(&[common], vec![]));
            assert_eq!(found, None, "{common:?}");
        }
        let found = Naming::Subject.name_of(&certificate(&["ci,O=Other"], vec![]));
        assert_eq!(
            found.as_deref(),
            Some("CN=ci\\,O\\=Other,O=Example\\, Inc.")
        );
    }
}
