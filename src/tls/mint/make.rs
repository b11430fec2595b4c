//! The making of one leaf, on the minting thread.
//! Keeps nothing and knows no queue.
//! Start at [`Maker::make`].

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::compress::CompressionCache;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, ResolvesServerCertUsingSni};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::keys::{Keys, Kind};
use super::spec::{Name, Spec, Traits};
use super::{Leaf, MintError};
use crate::tls::authority::{Authority, serial};
use crate::tls::keys::Validity;

pub(super) struct Maker {
    authority: Arc<Authority>,
    provider: Arc<CryptoProvider>,
    template: ServerConfig,
    keys: Keys,
    leaf: SignedDuration,
    without_rsa: u64,
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What clients accept of certificates from public authorities; some ask it of all.
const LONGEST: SignedDuration = SignedDuration::from_hours(397 * 24);

impl Maker {
    pub(super) fn new(authority: Arc<Authority>, leaf_days: u16) -> Result<Self, MintError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Ok(Self {
            authority,
            template: template(&provider)?,
            provider,
            keys: Keys::new()?,
            leaf: SignedDuration::from_hours(24 * i64::from(leaf_days)),
            without_rsa: 0,
        })
    }

    pub(super) fn without_rsa(&self) -> u64 {
        self.without_rsa
    }

    /// Makes a leaf. Costs one signature of the authority; waits for an RSA key, if one is asked for, only a moment.
    pub(super) fn make(
        &mut self,
        spec: &Spec,
        now: Timestamp,
        others_wait: bool,
    ) -> Result<Arc<Leaf>, MintError> {
        if !self.authority.validity().covers(now) {
            return Err(MintError::AuthorityExpired);
        }
        let traits = spec.traits(&self.authority, now);
        let validity = self.validity(&traits, now);
        let (key, as_asked) = self.keys.take(traits.kind, others_wait)?;
        self.without_rsa += u64::from(!as_asked);
        let kind = if as_asked { traits.kind } else { Kind::Ec };
        let params = self.params(&traits.names, kind, validity)?;
        let certificate = self.authority.issue(params, &key).map_err(failed)?;
        let mut chain = vec![certificate];
        chain.extend_from_slice(self.authority.below_root());
        let signer = self
            .provider
            .key_provider
            .load_private_key(private(&key))
            .map_err(failed)?;
        let certified = Arc::new(CertifiedKey::new(chain, signer));
        let mut config = self.template.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(certified.clone()));
        Ok(Arc::new(Leaf {
            key: certified,
            config: Arc::new(config),
            not_after: validity.not_after,
            renew_at: renewal(now, validity.not_after),
        }))
    }

    /// From the origin's beginning, but not longer ago than a day, which is for clocks that are slow; to its end, but not
    /// later than the setting says and the authority lives.
    fn validity(&self, traits: &Traits, now: Timestamp) -> Validity {
        let authority = self.authority.validity();
        let yesterday = now.saturating_sub(DAY).unwrap_or(now);
        let latest = now.saturating_add(self.leaf).unwrap_or(now);
        let window = traits.window.unwrap_or(Validity {
            not_before: yesterday,
            not_after: latest,
        });
        let not_before = window.not_before.max(yesterday).max(authority.not_before);
        let longest = not_before.saturating_add(LONGEST).unwrap_or(latest);
        Validity {
            not_before,
            not_after: window
                .not_after
                .min(latest)
                .min(authority.not_after)
                .min(longest),
        }
    }

    fn params(
        &self,
        names: &[Name],
        kind: Kind,
        validity: Validity,
    ) -> Result<CertificateParams, MintError> {
        let mut params = CertificateParams::default();
        params.serial_number = Some(serial().map_err(failed)?);
        validity.put_into(&mut params);
        params.distinguished_name = self.subject(names);
        params.subject_alt_names = names
            .iter()
            .map(alternative)
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = match kind {
            Kind::Ec => vec![KeyUsagePurpose::DigitalSignature],
            // TLS 1.2 without forward secrecy is not spoken here, but some clients look for it. RFC 5246 §7.4.2.
            Kind::Rsa => vec![
                KeyUsagePurpose::DigitalSignature,
                KeyUsagePurpose::KeyEncipherment,
            ],
        };
        Ok(params)
    }

    /// The first name, for people who look at it. None for an address, which some clients would take for a name and hold
    /// against the constraints of names; none where it would be too long (RFC 5280, appendix A: ub-common-name).
    fn subject(&self, names: &[Name]) -> DistinguishedName {
        let mut subject = DistinguishedName::new();
        let first = match names.first() {
            Some(Name::Exact(name)) => name.to_string(),
            Some(Name::Wildcard(parent)) => format!("*.{parent}"),
            Some(Name::Address(_)) | None => return subject,
        };
        if first.len() <= 64 && self.authority.may_name_subject() {
            subject.push(DnType::CommonName, first);
        }
        subject
    }
}

/// What all leaves have in common.
///
/// Sessions are resumed with tickets, of one ticketer for all leaves: a table of sessions for each of ten thousand leaves
/// would be most of the memory. It is sound: a ticket is taken only for the server name that it was given for, the
/// client has seen a leaf of that name, and origin and policy are asked anew for every connection, resumed or not.
fn template(provider: &Arc<CryptoProvider>) -> Result<ServerConfig, MintError> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(failed)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.cert_compression_cache = Arc::new(CompressionCache::Disabled);
    Ok(config)
}

fn alternative(name: &Name) -> Result<SanType, rcgen::Error> {
    Ok(match name {
        Name::Exact(name) => SanType::DnsName(name.to_string().try_into()?),
        Name::Wildcard(parent) => SanType::DnsName(format!("*.{parent}").try_into()?),
        Name::Address(ip) => SanType::IpAddress(*ip),
    })
}

/// At half of what is left, and an hour before the end; but every leaf serves a minute, however short it lives.
fn renewal(now: Timestamp, end: Timestamp) -> Timestamp {
    let half = now
        .saturating_add(now.duration_until(end) / 2)
        .unwrap_or(end);
    let hour_before = end.saturating_sub(HOUR).unwrap_or(end);
    let minute = now
        .saturating_add(SignedDuration::from_mins(1))
        .unwrap_or(end);
    half.min(hour_before).max(minute).min(end)
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

fn failed(error: impl std::fmt::Display) -> MintError {
    MintError::Failed(error.to_string().into())
}
