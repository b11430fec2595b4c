//! The mint: how many cold leaves are made in an hour, what a kept one costs, and a handshake with it.
//! In memory; the client trusts the authority and verifies. `cargo bench --bench mint`
//!
//! Nanoseconds for a leaf or a handshake. Aimed at: a kept leaf costs nothing beside a handshake, less than a hundredth of it; a cold
//! one less than the handshake itself.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use egret::addr::Host;
use egret::tls::authority::{Authorities, Authority, New};
use egret::tls::mint::{Leaf, Mint, Settings, Spec};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection, SignatureAlgorithm};
use tokio::runtime::Runtime;
use tokio::time::Instant;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be made");
    let mint = mint();
    cold(&runtime, &mint);
    let ec = origin(&PKCS_ECDSA_P256_SHA256);
    let rsa = origin(&PKCS_RSA_SHA256);
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut next = 0_u64;
    let mut fresh = |what: &str, spec: &dyn Fn(&Host) -> Spec| {
        criterion.bench_function(&format!("mint, {what}"), |bencher| {
            bencher.iter(|| {
                next += 1;
                let leaf = mint.leaf(spec(&host(next)));
                runtime.block_on(leaf).expect("it can be minted")
            });
        });
    };
    fresh("plain", &Spec::plain);
    fresh("mirror of 20 names", &|host| Spec::mirror(host, &ec));
    let own = host(0);
    let leaf = |spec| runtime.block_on(mint.leaf(spec)).expect("it can be minted");
    criterion.bench_function("a leaf that is kept", |bencher| {
        bencher.iter(|| leaf(Spec::mirror(&own, black_box(&ec))));
    });
    for (what, mirrored) in [("EC", &ec), ("RSA", &rsa)] {
        let rsa = what == "RSA";
        // The first RSA key may not be ready when it is asked for.
        let (own, leaf) = (0..20)
            .map(|n| (host(n), leaf(Spec::mirror(&host(n), mirrored))))
            .find(|(_, leaf)| (leaf.key.key.algorithm() == SignatureAlgorithm::RSA) == rsa)
            .expect("a leaf of each kind can be had");
        eprintln!("{what}: the leaf has {:?}", leaf.key.key.algorithm());
        let client = client(&mint);
        criterion.bench_function(&format!("handshake, both sides, {what}"), |bencher| {
            bencher.iter(|| handshake(&client, &leaf, &own));
        });
    }
    criterion.final_summary();
    eprintln!("{:?}", mint.counts());
}

/// Five thousand leaves for hosts that were never seen, 64 at a time.
fn cold(runtime: &Runtime, mint: &Mint) {
    const LEAVES: u64 = 5_000;
    const AT_ONCE: u64 = 64;
    let started = Instant::now();
    let mut longest = Duration::ZERO;
    for first in (0..LEAVES).step_by(AT_ONCE as usize) {
        let asked = Instant::now();
        let all = (first..first + AT_ONCE).map(|n| {
            mint.leaf(Spec::plain(
                &Host::parse(&format!("cold{n}.example")).expect("a host"),
            ))
        });
        let leaves = runtime.block_on(futures_util::future::join_all(all));
        assert!(leaves.iter().all(Result::is_ok));
        longest = longest.max(asked.elapsed());
    }
    let took = started.elapsed();
    eprintln!(
        "{LEAVES} cold leaves in {took:?}: {:.0} an hour; {AT_ONCE} at once waited {longest:?} at most",
        LEAVES as f64 / took.as_secs_f64() * 3600.0
    );
}

fn mint() -> Arc<Mint> {
    let new = New {
        name: "Bench".to_owned(),
        days: 365,
        permitted: Vec::new(),
    };
    let made = new.root().expect("a root can be made");
    let key = PrivateKeyDer::try_from(made.key.serialize_der()).expect("it is a key");
    let authority = Authority::new(vec![made.certificate], &key).expect("it is an authority");
    Mint::new(Authorities::only(authority), Settings::default()).expect("threads start")
}

fn origin(algorithm: &'static rcgen::SignatureAlgorithm) -> CertificateDer<'static> {
    let names: Vec<String> = (0..20).map(|n| format!("n{n}.example.com")).collect();
    let params = CertificateParams::new(names).expect("names can be put into a certificate");
    let key = KeyPair::generate_for(algorithm).expect("a key can be made");
    params
        .self_signed(&key)
        .expect("it can be signed")
        .der()
        .clone()
}

fn host(number: u64) -> Host {
    Host::parse(&format!("host{number}.example")).expect("a host")
}

/// Without resumption, so that every handshake is a full one.
fn client(mint: &Mint) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(mint.authority().anchor().clone())
        .expect("it is a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions are known")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

fn handshake(client: &Arc<ClientConfig>, leaf: &Leaf, host: &Host) {
    let name = ServerName::try_from(host.to_string()).expect("a server name");
    let mut client = ClientConnection::new(client.clone(), name).expect("a client");
    let mut server = ServerConnection::new(leaf.config.clone()).expect("a server");
    let mut bytes = Vec::with_capacity(8 << 10);
    while client.is_handshaking() || server.is_handshaking() {
        bytes.clear();
        client.write_tls(&mut bytes).expect("memory takes it");
        server.read_tls(&mut bytes.as_slice()).expect("memory");
        server.process_new_packets().expect("the server agrees");
        bytes.clear();
        server.write_tls(&mut bytes).expect("memory takes it");
        client.read_tls(&mut bytes.as_slice()).expect("memory");
        client.process_new_packets().expect("the client agrees");
    }
}
