//! What clients are shown inside intercepted tunnels: leaves after the origins' certificates, and the authorities that sign them.
//! Not the making of one leaf, which is tried beside its code; nor what passes inside, which is `intercept`.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;

use rcgen::{BasicConstraints, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm};
use rustls::NamedGroup;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use crate::support::{
    Authority, Ca, Config, Dns, Egret, Interception, Met, Origin, get, ok, program, run, said,
    shake_hands, tunnel, until,
};

const NEW: &str = "{ cert = \"{dir}/intercept.pem\", key = { file = \"{dir}/intercept.key\" } }";

/// A proxy with one worker that intercepts and trusts this authority for origins, by these lines of `[intercept]`.
fn config(lines: &str) -> Config {
    Config::closed()
        .rule("name = \"seen\"\nallow = { intercept = true }\naddress = \"127.0.0.0/8\"")
        .roots()
        .workers(1)
        .more(&format!("[intercept]\n{lines}"))
}

fn start(files: &[(&str, &str)], ca: &Ca, lines: &str) -> Egret {
    start_by(files, ca, &config(lines))
}

fn start_by(files: &[(&str, &str)], ca: &Ca, config: &Config) -> Egret {
    Egret::start_with(&[files, &[("ca.pem", ca.pem())]].concat(), config)
}

/// Asks inside for a host that the proxy can resolve.
fn ask(met: &mut Met, host: &str, origin: &Origin) -> String {
    let place = format!("{host}:{}", origin.port());
    let request = format!("GET / HTTP/1.1\r\nHost: {place}\r\n\r\n");
    met.wire.send(request.as_bytes());
    met.wire.response("GET").text()
}

fn signed_by(authority: &str) -> String {
    format!("authority = {authority}")
}

/// An origin for any host right below `many.test`, with a key of this kind and a certificate of five days.
fn origin(ca: &Ca, algorithm: &'static SignatureAlgorithm) -> Origin {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let config = ca.server_of(default_provider(), &key, |params| {
        params.subject_alt_names = vec![SanType::DnsName("*.many.test".try_into().unwrap())];
        let now = ASN1Time::now().to_datetime();
        params.not_before = now - std::time::Duration::from_secs(2 * 3600);
        params.not_after = now + std::time::Duration::from_secs(5 * 86_400);
    });
    Origin::tls(config, |_| ok(b"met"))
}

/// Meets the origin by its address, and names a host in the ClientHello.
fn meet(egret: &Egret, origin: &Origin, host: &str, root: &str) -> std::io::Result<Met> {
    let wire = tunnel(egret, &origin.address.to_string());
    shake_hands(wire, host, &[root], &["http/1.1"])
}

/// Whether the key is RSA, and the validity in seconds since the epoch.
fn read(certificate: &CertificateDer<'_>) -> (bool, [i64; 2]) {
    let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
    let rsa = matches!(parsed.public_key().parsed(), Ok(PublicKey::RSA(_)));
    let validity = parsed.validity();
    let ends = [&validity.not_before, &validity.not_after];
    (rsa, ends.map(ASN1Time::timestamp))
}

#[test]
fn a_leaf_has_the_kind_of_key_and_the_validity_of_the_origins_certificate() {
    let ca = Ca::mint();
    let authority = Interception::init();
    for (algorithm, is_rsa) in [(&PKCS_RSA_SHA256, true), (&PKCS_ECDSA_P256_SHA256, false)] {
        let origin = origin(&ca, algorithm);
        let sealed = Egret::start(&Config::loopback());
        let own = meet(&sealed, &origin, "a.many.test", ca.pem()).expect("the origin's own");
        let own = read(&own.certificates[0]);
        assert_eq!(own.0, is_rsa);
        let egret = start(&authority.files(), &ca, &signed_by(NEW));
        // Where no RSA key is ready in time, an EC key stands in. Each host has a leaf of its own.
        let mut asked = 0;
        until("a leaf like the origin's certificate", || {
            asked += 1;
            let host = format!("n{asked}.many.test");
            let met = meet(&egret, &origin, &host, &authority.cert).expect("a leaf");
            let leaf = read(&met.certificates[0]);
            assert_eq!(leaf.1, own.1, "{host}");
            leaf.0 == is_rsa
        });
    }
}

#[test]
fn leaves_that_are_being_made_hold_up_no_other_request() {
    const CLIENTS: usize = 4;
    const LEAVES: usize = 10;
    let ca = Ca::mint();
    let authority = Interception::init();
    let origin = origin(&ca, &PKCS_RSA_SHA256);
    let plain = Origin::http(|_| ok(b"plain"));
    let egret = start(&authority.files(), &ca, &signed_by(NEW));
    thread::scope(|scope| {
        let (egret, origin, root) = (&egret, &origin, &*authority.cert);
        let minting = (0..CLIENTS).map(|client| {
            scope.spawn(move || {
                for number in 0..LEAVES {
                    let host = format!("c{client}n{number}.many.test");
                    meet(egret, origin, &host, root).expect("a leaf");
                }
            })
        });
        let minting: Vec<_> = minting.collect();
        let mut wire = egret.connect();
        while !minting.iter().all(thread::ScopedJoinHandle::is_finished) {
            wire.send(get(&plain.url("/"), "").as_bytes());
            assert_eq!(wire.response("GET").status, 200);
        }
    });
    let leaves = &egret.status()["leaves"];
    assert_eq!(leaves["minted"], CLIENTS * LEAVES, "{leaves}");
    assert_eq!(leaves["waiting"], 0, "{leaves}");
}

#[test]
fn a_company_that_certifies_an_intermediate_needs_to_be_trusted_alone() {
    let company = Authority::named("The company's root");
    let request = program()
        .args(["ca", "request", "--name", "Egress of the company"])
        .current_dir(company.path(""))
        .args(["--key", "egress.key", "--request", "egress.csr"])
        .output()
        .unwrap();
    assert!(request.status.success(), "{}", said(&request));
    let mut openssl = Command::new("openssl");
    openssl.current_dir(company.path("")).args([
        "x509",
        "-req",
        "-in",
        "egress.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-days",
        "30",
        "-copy_extensions",
        "copyall",
        "-out",
        "egress.pem",
    ]);
    let Some(signed) = run(&mut openssl) else {
        return;
    };
    signed.succeeded();
    let text = |file: &str| std::fs::read_to_string(company.path(file)).unwrap();
    let (chain, key) = (text("egress.pem") + &text("ca.pem"), text("egress.key"));
    let ca = Ca::mint();
    let origin = origin(&ca, &PKCS_ECDSA_P256_SHA256);
    let files = [("intercept.pem", &*chain), ("intercept.key", &key)];
    let egret = start(&files, &ca, &signed_by(NEW));
    let met = meet(&egret, &origin, "a.many.test", &text("ca.pem")).expect("it is trusted");
    assert_eq!(met.certificates.len(), 2, "the leaf and the intermediate");
    let landing =
        egret.ask("GET http://egret.invalid/ca.pem HTTP/1.1\r\nHost: egret.invalid\r\n\r\n");
    assert_eq!(landing.text().trim(), text("ca.pem").trim());
}

#[test]
fn an_authority_is_replaced_while_both_are_trusted_and_a_bad_one_is_not_taken() {
    let (old, new, ca) = (Interception::init(), Interception::init(), Ca::mint());
    let expired = Authority::new();
    expired.mint("expired", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let origin = origin(&ca, &PKCS_ECDSA_P256_SHA256);
    let old_files = [("old.pem", &*old.cert), ("old.key", &*old.key)];
    let files = [&new.files()[..], &old_files].concat();
    let before = "{ cert = \"{dir}/old.pem\", key = { file = \"{dir}/old.key\" } }";
    let dns = Dns::start(&[("a.many.test", "127.0.0.1")]);
    let egret = start_by(&files, &ca, &config(&signed_by(before)).dns(&dns));
    let mut open = meet(&egret, &origin, "a.many.test", &old.cert).expect("by the old one");
    let reload = |authority: &str| {
        let config = config(&signed_by(authority)).dns(&dns);
        egret.write("egret.toml", &config.text());
        let output = egret.command(&["reload"]);
        (output.status.code(), said(&output))
    };
    let both = format!("[{NEW}, {{ cert = \"{{dir}}/old.pem\" }}]");
    assert_eq!(reload(&both).0, Some(0));
    meet(&egret, &origin, "a.many.test", &new.cert).expect("by the new one");
    let offered =
        egret.ask("GET http://egret.invalid/ca.pem HTTP/1.1\r\nHost: egret.invalid\r\n\r\n");
    assert_eq!(offered.text(), format!("{}{}", new.cert, old.cert));
    // What was open goes on under the leaf that it began with.
    assert_eq!(ask(&mut open, "a.many.test", &origin), "met");
    for (bad, problem) in [
        (
            "{ cert = \"{dir}/intercept.pem\", key = { file = \"{dir}/old.key\" } }".to_owned(),
            "not the one of the certificate",
        ),
        (expired.entry("expired"), "expired"),
        (before.replace("old.key", "none.key"), "none.key"),
    ] {
        let (code, told) = reload(&bad);
        assert_eq!(code, Some(2), "{bad}: {told}");
        assert!(told.contains(problem), "{bad}: {told}");
        meet(&egret, &origin, "b.many.test", &new.cert).expect("by the last good one");
    }
}

#[test]
fn an_encrypted_key_is_opened_with_its_passphrase_and_with_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passphrase");
    std::fs::write(&file, "open sesame\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let authority = Interception::init_for(&["--passphrase-file", file.to_str().unwrap()]);
    assert!(authority.key.contains("ENCRYPTED"));
    let ca = Ca::mint();
    let origin = origin(&ca, &PKCS_ECDSA_P256_SHA256);
    let key = "key = { file = \"{dir}/intercept.key\", passphrase = { env = \"EGRET_TEST_PASSPHRASE\" } }";
    let config = config(&signed_by(&format!(
        "{{ cert = \"{{dir}}/intercept.pem\", {key} }}"
    )));
    let files = [&authority.files()[..], &[("ca.pem", ca.pem())]].concat();
    let good = [("EGRET_TEST_PASSPHRASE", "open sesame")];
    let egret = Egret::start_in(&good, &files, &config);
    meet(&egret, &origin, "a.many.test", &authority.cert).expect("a leaf");
    assert!(!egret.everything_written().contains("open sesame"));
    let output = program()
        .args(["check", "-c"])
        .arg(egret.path("egret.toml"))
        .env("EGRET_TEST_PASSPHRASE", "open barley")
        .output()
        .unwrap();
    let told = said(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("passphrase"), "{told}");
    assert!(!told.contains("barley"), "{told}");
}

#[test]
fn the_proxys_own_host_has_the_name_that_it_is_given() {
    let authority = Interception::init();
    let lines = format!("{}\nhost = \"trust.corp.test\"", signed_by(NEW));
    let egret = start(&authority.files(), &Ca::mint(), &lines);
    let ask = |host: &str| {
        egret.ask(&format!(
            "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"
        ))
    };
    let page = ask("trust.corp.test");
    assert_eq!(page.status, 200);
    assert!(
        page.text().contains("https://trust.corp.test/trusted.svg"),
        "{}",
        page.text()
    );
    assert_ne!(ask("egret.invalid").status, 200);
    let wire = tunnel(&egret, "trust.corp.test:443");
    shake_hands(wire, "trust.corp.test", &[&authority.cert], &[]).expect("trusted");
}

#[test]
fn keys_are_agreed_on_in_a_way_that_quantum_computers_do_not_break() {
    let ca = Ca::mint();
    let authority = Interception::init();
    // An origin that agrees on keys in no other way (draft-ietf-tls-ecdhe-mlkem).
    let provider = CryptoProvider {
        kx_groups: vec![kx_group::X25519MLKEM768],
        ..default_provider()
    };
    let config = ca.server_of(provider, &KeyPair::generate().unwrap(), |params| {
        params.subject_alt_names = vec![SanType::DnsName("a.many.test".try_into().unwrap())];
    });
    let origin = Origin::tls(config, |_| ok(b"met"));
    let dns = Dns::start(&[("a.many.test", "127.0.0.1")]);
    let config = self::config(&signed_by(NEW)).dns(&dns);
    let egret = start_by(&authority.files(), &ca, &config);
    let mut met = meet(&egret, &origin, "a.many.test", &authority.cert).expect("a leaf");
    assert_eq!(met.group, Some(NamedGroup::X25519MLKEM768));
    assert_eq!(ask(&mut met, "a.many.test", &origin), "met");
}
