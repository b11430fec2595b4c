use std::sync::Arc;

use jiff::SignedDuration;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, GeneralSubtree, IsCa, KeyPair,
    KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256,
    SignatureAlgorithm,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::*;
use crate::tls::authority::Authority;
use crate::tls::keys::Validity;

fn authority(change: impl Fn(&mut CertificateParams)) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Test");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Authority::new(vec![certificate.der().clone()], &key).unwrap()
}

fn mint(authority: Authority) -> Arc<Mint> {
    Mint::new(Authorities::only(authority), Settings::default()).unwrap()
}

fn origin(
    names: &[&str],
    algorithm: &'static SignatureAlgorithm,
    validity: Validity,
) -> CertificateDer<'static> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    validity.put_into(&mut params);
    let key = KeyPair::generate_for(algorithm).unwrap();
    params.self_signed(&key).unwrap().der().clone()
}

fn days(from: i64, to: i64) -> Validity {
    let now = Timestamp::now();
    Validity {
        not_before: now + SignedDuration::from_hours(24 * from),
        not_after: now + SignedDuration::from_hours(24 * to),
    }
}

fn host(text: &str) -> Host {
    Host::parse_bare(text).unwrap()
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(work)
}

/// A client that trusts the authority, against the leaf. Returns what was agreed on.
fn handshake(mint: &Mint, leaf: &Leaf, name: &str) -> Result<ClientConnection, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(mint.authority().anchor().clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut server = ServerConnection::new(leaf.config.clone()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(client)
}

fn names(leaf: &Leaf) -> Vec<String> {
    let (_, parsed) = parse_x509_certificate(&leaf.key.cert[0]).unwrap();
    let extension = parsed.subject_alternative_name().unwrap().unwrap();
    let show = |name: &GeneralName<'_>| {
        if let GeneralName::DNSName(name) = name {
            Some((*name).to_owned())
        } else {
            None
        }
    };
    let names = extension.value.general_names.iter();
    names.filter_map(show).collect()
}

#[test]
fn a_client_that_trusts_the_authority_accepts_a_leaf_for_its_names_and_no_others() {
    let mint = mint(authority(|_| {}));
    let mirrored = origin(
        &[
            "www.example.com",
            "example.com",
            "*.cdn.example.com",
            "192.0.2.7",
        ],
        &PKCS_ECDSA_P256_SHA256,
        days(-10, 80),
    );
    let spec = Spec::mirror(&host("example.com"), &mirrored);
    let leaf = block(mint.leaf(spec)).unwrap();
    for (name, accepted) in [
        ("example.com", true),
        ("www.example.com", true),
        ("a.cdn.example.com", true),
        ("192.0.2.7", true),
        ("a.b.cdn.example.com", false),
        ("evil.example.com", false),
        ("192.0.2.8", false),
    ] {
        assert_eq!(handshake(&mint, &leaf, name).is_ok(), accepted, "{name}");
    }
    let agreed = handshake(&mint, &leaf, "example.com").unwrap();
    assert_eq!(agreed.alpn_protocol(), Some(&b"h2"[..]));
    for own in ["plain.example", "192.0.2.9", "2001:db8::5"] {
        let leaf = block(mint.leaf(Spec::plain(&host(own)))).unwrap();
        assert!(handshake(&mint, &leaf, own).is_ok(), "{own}");
        assert!(handshake(&mint, &leaf, "other.example").is_err(), "{own}");
    }
}

#[test]
fn the_host_is_covered_even_where_the_origins_certificate_has_other_names_or_too_many() {
    let mint = mint(authority(|_| {}));
    let many: Vec<String> = (0..300).map(|n| format!("n{n}.example.com")).collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    many.push("*.last.example");
    let mirrored = origin(&many, &PKCS_ED25519, days(-1, 80));
    for own in ["a.last.example", "elsewhere.test", "n299.example.com"] {
        let leaf = block(mint.leaf(Spec::mirror(&host(own), &mirrored))).unwrap();
        assert_eq!(names(&leaf).len(), 100, "{own}");
        assert!(handshake(&mint, &leaf, own).is_ok(), "{own}");
    }
}

#[test]
fn names_that_the_authority_may_not_sign_for_are_left_out_and_such_hosts_refused() {
    let mint = mint(authority(|params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.com".to_owned())],
            excluded_subtrees: vec![],
        });
    }));
    let mirrored = origin(
        &["a.example.com", "*.example.com", "a.other.test", "*.test"],
        &PKCS_ECDSA_P256_SHA256,
        days(-1, 80),
    );
    let leaf = block(mint.leaf(Spec::mirror(&host("a.example.com"), &mirrored))).unwrap();
    assert_eq!(names(&leaf), ["a.example.com", "*.example.com"]);
    assert!(handshake(&mint, &leaf, "b.example.com").is_ok());
    let refused = block(mint.leaf(Spec::mirror(&host("a.other.test"), &mirrored)));
    assert_eq!(
        refused.unwrap_err(),
        MintError::Forbidden(host("a.other.test"))
    );
}

#[test]
fn validity_is_the_origins_within_limits() {
    let mint = mint(authority(|params| days(-3, 20).put_into(params)));
    let hours = |validity: Validity| {
        let now = Timestamp::now();
        let hours =
            |at: Timestamp| (at.duration_since(now).as_secs() as f64 / 3600.0).round() as i64;
        (hours(validity.not_before), hours(validity.not_after))
    };
    for (origin_days, expected) in [
        (Some(days(-100, 300)), (-24, 480)),
        (Some(days(0, 300)), (0, 480)),
        (Some(days(-100, 5)), (-24, 120)),
        (Some(days(-100, -5)), (-24, 480)),
        (None, (-24, 480)),
    ] {
        let own = host("example.com");
        let spec = origin_days.map_or_else(
            || Spec::plain(&own),
            |validity| {
                let mirrored = origin(&["example.com"], &PKCS_ECDSA_P256_SHA256, validity);
                Spec::mirror(&own, &mirrored)
            },
        );
        let leaf = block(mint.leaf(spec)).unwrap();
        let validity = Validity::of(&leaf.key.cert[0]).unwrap();
        assert_eq!(hours(validity), expected, "{origin_days:?}");
    }
    let over = Authorities::only(authority(|params| days(-9, -1).put_into(params)));
    let over = Mint::new(over, Settings::default()).unwrap();
    let refused = block(over.leaf(Spec::plain(&host("example.com"))));
    assert_eq!(refused.unwrap_err(), MintError::AuthorityExpired);
}

#[test]
fn the_kind_of_key_is_the_origins_or_ec_where_no_rsa_key_is_ready() {
    let mint = mint(authority(|_| {}));
    for (algorithm, rsa) in [
        (&PKCS_ECDSA_P256_SHA256, false),
        (&PKCS_ED25519, false),
        (&PKCS_RSA_SHA256, true),
    ] {
        let mirrored = origin(&["example.com"], algorithm, days(-1, 80));
        let before = mint.counts().without_rsa;
        let leaf = block(mint.leaf(Spec::mirror(&host("example.com"), &mirrored))).unwrap();
        let fell_back = mint.counts().without_rsa > before;
        let algorithm = leaf.key.key.algorithm();
        let is_rsa = algorithm == rustls::SignatureAlgorithm::RSA;
        assert_eq!(is_rsa, rsa && !fell_back, "{algorithm:?}");
        assert!(handshake(&mint, &leaf, "example.com").is_ok());
    }
}

fn kept(mint: &Mint, key: &Key) -> Option<Arc<Leaf>> {
    mint.shared.store.lookup(key, Timestamp::now())
}

#[test]
fn all_who_ask_at_once_share_one_minting_and_the_next_find_it_kept() {
    let mint = mint(authority(|_| {}));
    let spec = Spec::plain(&host("example.com"));
    assert!(kept(&mint, spec.key()).is_none());
    let asked = (0..50).map(|_| mint.leaf(spec.clone()));
    let leaves = block(futures_util::future::join_all(asked));
    let first = leaves[0].clone().unwrap();
    for leaf in leaves {
        assert!(Arc::ptr_eq(&leaf.unwrap(), &first));
    }
    assert!(Arc::ptr_eq(&kept(&mint, spec.key()).unwrap(), &first));
    assert_eq!(mint.counts().minted, 1);
    assert_eq!(mint.counts().waiting, 0);
    // Another certificate of the same host is another leaf.
    let mirrored = origin(&["example.com"], &PKCS_ECDSA_P256_SHA256, days(-1, 80));
    let other = Spec::mirror(&host("example.com"), &mirrored);
    assert!(kept(&mint, other.key()).is_none());
}

#[test]
fn a_leaf_is_minted_anew_when_half_of_its_life_is_over() {
    let mint = mint(authority(|_| {}));
    let spec = Spec::plain(&host("example.com"));
    let leaf = block(mint.leaf(spec.clone())).unwrap();
    let (now, store) = (Timestamp::now(), &mint.shared.store);
    for (hours, kept) in [(0, true), (14 * 24, true), (16 * 24, false)] {
        let at = now + SignedDuration::from_hours(hours);
        assert_eq!(store.lookup(spec.key(), at).is_some(), kept, "{hours}");
    }
    let life = leaf.not_after.duration_since(now);
    assert!(life > SignedDuration::from_hours(29 * 24), "{life:?}");
}

#[test]
fn no_more_leaves_are_kept_than_there_is_room_for() {
    let settings = Settings {
        leaves: NonZeroUsize::new(32).unwrap(),
        ..Settings::default()
    };
    let mint = Mint::new(Authorities::only(authority(|_| {})), settings).unwrap();
    let keys: Vec<Key> = (0..200)
        .map(|n| Key::plain(&host(&format!("n{n}.example"))))
        .collect();
    block(async {
        for key in &keys {
            mint.leaf(Spec::plain(key.host())).await.unwrap();
        }
    });
    let kept = keys.iter().filter(|key| kept(&mint, key).is_some()).count();
    assert!((1..=32).contains(&kept), "{kept}");
}

#[test]
fn a_leaf_says_what_it_is_for() {
    let mint = mint(authority(|_| {}));
    let leaf = block(mint.leaf(Spec::plain(&host("example.com")))).unwrap();
    let (_, parsed) = parse_x509_certificate(&leaf.key.cert[0]).unwrap();
    assert!(!parsed.is_ca());
    assert!(
        parsed
            .extended_key_usage()
            .unwrap()
            .unwrap()
            .value
            .server_auth
    );
    assert!(
        parsed
            .key_usage()
            .unwrap()
            .unwrap()
            .value
            .digital_signature()
    );
    assert_eq!(parsed.raw_serial().len(), 16);
    assert_eq!(parsed.subject().to_string(), "CN=example.com");
    let anchor = mint.authority().anchor();
    let (_, anchor) = parse_x509_certificate(anchor).unwrap();
    assert_eq!(parsed.issuer().as_raw(), anchor.subject().as_raw());
    let ids = |wanted: &str| {
        let oids = parsed.extensions().iter();
        oids.filter(|one| one.oid.to_id_string() == wanted).count()
    };
    assert_eq!((ids("2.5.29.14"), ids("2.5.29.35")), (1, 1), "SKI and AKI");
}
