use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyUsagePurpose, NameConstraints,
    PKCS_RSA_SHA256,
};
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::fault::Source;

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "Test Authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(key.serialize_der()).unwrap()
}

fn authority(change: impl Fn(&mut CertificateParams)) -> Result<Authority, Fault> {
    let key = KeyPair::generate().unwrap();
    let mut params = params();
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    Authority::new(vec![certificate.der().clone()], &private(&key))
}

fn host(text: &str) -> Host {
    Host::parse_bare(text).unwrap()
}

#[test]
fn only_what_may_certify_servers_is_an_authority() {
    type Change = fn(&mut CertificateParams);
    let cases: &[(Change, &str)] = &[
        (|_| {}, ""),
        (|params| params.key_usages.clear(), ""),
        (|params| params.is_ca = IsCa::NoCa, "no basicConstraints"),
        (|params| params.is_ca = IsCa::ExplicitNoCa, "CA:FALSE"),
        (
            |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature],
            "without keyCertSign",
        ),
        (
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            "without serverAuth",
        ),
        (
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            "",
        ),
    ];
    for (change, expected) in cases {
        let told = authority(change)
            .err()
            .map_or_else(String::new, |fault| fault.problem);
        assert!(told.contains(expected), "{expected}: {told}");
        assert_eq!(told.is_empty(), expected.is_empty(), "{told}");
    }
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = params().self_signed(&key).unwrap();
    let wrong = Authority::new(vec![certificate.der().clone()], &private(&other));
    assert!(
        wrong
            .unwrap_err()
            .problem
            .contains("not the one of the certificate")
    );
}

#[test]
fn an_issuer_that_allows_no_intermediate_is_told() {
    let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    for (limit, fine) in [
        (BasicConstraints::Constrained(0), false),
        (BasicConstraints::Constrained(1), true),
        (BasicConstraints::Unconstrained, true),
    ] {
        let mut root = params();
        root.is_ca = IsCa::Ca(limit);
        let root_certificate = root.self_signed(&root_key).unwrap();
        let issuer = Issuer::from_params(&root, &root_key);
        let mut own = params();
        own.distinguished_name
            .push(DnType::CommonName, "Intermediate");
        let certificate = own.signed_by(&key, &issuer).unwrap();
        let chain = vec![certificate.der().clone(), root_certificate.der().clone()];
        let made = Authority::new(chain, &private(&key));
        assert_eq!(made.is_ok(), fine, "{limit:?}");
        if let Ok(made) = made {
            assert_eq!(made.anchor(), root_certificate.der());
            assert_eq!(made.below_root(), [certificate.der().clone()]);
        }
    }
}

#[test]
fn name_constraints_say_what_may_be_signed() {
    let dns = |name: &str| GeneralSubtree::DnsName(name.to_owned());
    let net = |text: &str| {
        let net: ipnet::IpNet = text.parse().unwrap();
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(net.addr(), net.prefix_len()))
    };
    let constrained = |permitted: &[GeneralSubtree], excluded: &[GeneralSubtree]| {
        authority(|params| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: permitted.to_vec(),
                excluded_subtrees: excluded.to_vec(),
            });
        })
        .unwrap()
    };
    let names = constrained(
        &[dns("example.com"), dns(".below.example")],
        &[dns("secret.example.com"), net("0.0.0.0/0"), net("::/0")],
    );
    for (text, expected) in [
        ("example.com", true),
        ("a.b.example.com", true),
        ("anexample.com", false),
        ("example.com.evil.test", false),
        ("secret.example.com", false),
        ("very.secret.example.com", false),
        ("below.example", false),
        ("x.below.example", true),
        ("other.test", false),
        ("192.0.2.1", false),
        ("2001:db8::1", false),
    ] {
        assert_eq!(names.may_sign(&host(text)), expected, "{text}");
    }
    for (parent, expected) in [
        ("example.com", false), // It would cover secret.example.com.
        ("a.example.com", true),
        ("secret.example.com", false),
        ("below.example", true),
        ("other.test", false),
    ] {
        assert_eq!(names.may_sign_wildcard(parent), expected, "*.{parent}");
    }
    let nets = constrained(&[net("10.0.0.0/8"), net("2001:db8::/32")], &[dns("")]);
    for (text, expected) in [
        ("10.1.2.3", true),
        ("11.1.2.3", false),
        ("2001:db8::7", true),
        ("2001:db9::7", false),
        ("example.com", false),
    ] {
        assert_eq!(nets.may_sign(&host(text)), expected, "{text}");
    }
}

#[test]
fn the_issuer_of_a_leaf_is_the_authoritys_name_byte_for_byte() {
    // Two attributes of one type, as directories of companies have them: made by hand, as rcgen keeps but one.
    let parts: [&[u8]; 2] = [b"example", b"com"];
    let part = |text: &[u8]| {
        let string = [&[0x16, text.len() as u8][..], text].concat();
        let oid = [
            0x06, 0x0a, 0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19,
        ];
        let pair = [&oid[..], &string].concat();
        let pair = [&[0x30, pair.len() as u8][..], &pair].concat();
        [&[0x31, pair.len() as u8][..], &pair].concat()
    };
    let names = parts.map(part).concat();
    let subject = [&[0x30, names.len() as u8][..], &names].concat();
    let mut authority = authority(|_| {}).unwrap();
    authority.subject = subject.clone();
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let leaf = authority
        .issue(
            CertificateParams::new(["a.example".to_owned()]).unwrap(),
            &key,
        )
        .unwrap();
    let (rest, parsed) = parse_x509_certificate(&leaf).unwrap();
    assert!(rest.is_empty());
    assert_eq!(parsed.issuer().as_raw(), subject);
    assert_eq!(parsed.issuer().iter().count(), 2);
}

#[test]
fn a_configuration_names_the_signing_authority_first_and_others_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let (new, old) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    put("new.pem", &params().self_signed(&new).unwrap().pem(), 0o644);
    put("old.pem", &params().self_signed(&old).unwrap().pem(), 0o644);
    put("new.key", &new.serialize_pem(), 0o600);
    put("open.key", &new.serialize_pem(), 0o644);
    let read = |setting: &str| {
        let source = Source::new(
            folder.path().join("egret.toml"),
            format!("authority = {setting}"),
        );
        let faults = Faults::new();
        let table = Table::parse(&source, &faults);
        let read = table.take::<Authorities>("authority", &faults);
        let told: Vec<String> = faults
            .into_vec()
            .iter()
            .map(|fault| format!("{} = {}", fault.problem, fault.remedy))
            .collect();
        read.ok_or_else(|| told.join("\n"))
    };
    let rotation =
        read("[{ cert = \"new.pem\", key = { file = \"new.key\" } }, { cert = \"old.pem\" }]")
            .unwrap();
    assert_eq!(rotation.offered.len(), 2);
    assert_eq!(&rotation.offered[0], rotation.signing.certificate());
    for (setting, expected) in [
        ("{ cert = \"new.pem\" }", "needs its key"),
        ("{ key = { file = \"new.key\" } }", "\"cert\" is missing"),
        (
            "{ cert = \"new.pem\", key = { file = \"open.key\" } }",
            "chmod 600",
        ),
        (
            "{ cert = \"old.pem\", key = { file = \"new.key\" } }",
            "not the one of the certificate",
        ),
        (
            "{ cert = \"none.pem\", key = { file = \"new.key\" } }",
            "name the right files, or make both anew with: egret ca init --cert",
        ),
        (
            "[{ cert = \"new.pem\", key = { file = \"new.key\" } }, { cert = \"none.pem\" }]",
            "= make the authority with: egret ca init --cert",
        ),
        ("[]", "egret ca init"),
        ("\"new.pem\"", "expected { cert"),
        (
            "{ cert = \"new.pem\", key = { file = \"new.key\" }, kye = 1 }",
            "unknown key \"kye\"",
        ),
    ] {
        let told = read(setting).err().unwrap_or_default();
        assert!(told.contains(expected), "{setting}: {told}");
    }
}
