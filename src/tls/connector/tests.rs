use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::fault::{Faults, Source};
use crate::settings::Table;

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A root, what it issued to sign others, and a leaf for `a.example` under that.
struct Chain {
    root: Authority,
    middle: Authority,
    leaf: CertificateDer<'static>,
    key: KeyPair,
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::new(vec![]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn named(name: &str) -> CertificateParams {
    let mut params = authority_params();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

impl Chain {
    fn mint() -> Self {
        let root = CertifiedIssuer::self_signed(named("root"), key()).expect("a root");
        let middle = CertifiedIssuer::signed_by(named("middle"), key(), &root).expect("a middle");
        let own = key();
        let params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        let leaf = params.signed_by(&own, &middle).expect("a leaf");
        Self {
            leaf: leaf.der().clone(),
            root,
            middle,
            key: own,
        }
    }

    /// A server that shows these certificates behind its own, and asks for one where `asks`.
    fn server(&self, others: &[CertificateDer<'static>], asks: bool) -> TlsAcceptor {
        let mut chain = vec![self.leaf.clone()];
        chain.extend_from_slice(others);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            roots.add(self.root.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .expect("a verifier");
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let mut config = builder.with_single_cert(chain, key).expect("a certificate");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    fn trust(&self) -> Trust {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, self.root.pem()).expect("written");
        let faults = Faults::new();
        let text = format!("roots = [{:?}]", file.display().to_string());
        let table = Table::parse(&Source::new("test.toml", text), &faults);
        let trust = read(Some(table), &faults);
        assert!(faults.is_empty(), "{:?}", faults.into_vec());
        trust
    }
}

fn pin(key: &impl PublicKeyData) -> Pins {
    Pins::new(&[Sha256::digest(key.subject_public_key_info()).into()])
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 443))
}

/// One handshake over a pipe, and one byte, behind which tickets have come.
async fn shake(
    trust: &Trust,
    server: &TlsAcceptor,
    alpn: Offered,
    pins: &Pins,
) -> Result<(Secured, Option<HandshakeKind>), ConnectError> {
    let (client, other): (DuplexStream, DuplexStream) = tokio::io::duplex(1 << 16);
    let host = Host::parse("a.example").expect("a host");
    let limit = Duration::from_secs(5);
    let serving = async {
        let mut stream = server.accept(other).await.ok()?;
        stream.write_all(b"!").await.ok()?;
        stream.flush().await.ok()?;
        stream.get_ref().1.handshake_kind()
    };
    let (secured, kind) = tokio::join!(
        async {
            let io = Stream::boxed(client);
            let mut secured = trust.secure(io, &host, peer(), alpn, pins, limit).await?;
            assert_eq!(secured.stream.read_u8().await.ok(), Some(b'!'));
            Ok(secured)
        },
        serving
    );
    secured.map(|secured| (secured, kind))
}

#[tokio::test]
async fn what_the_origin_chooses_and_shows_is_told() {
    let chain = Chain::mint();
    let (trust, middle) = (chain.trust(), chain.middle.der().clone());
    let server = chain.server(std::slice::from_ref(&middle), false);
    for (alpn, chosen) in [(Offered::Any, "h2"), (Offered::Http1, "http/1.1")] {
        let (secured, _) = shake(&trust, &server, alpn, &Pins::default())
            .await
            .expect("it is good");
        assert_eq!(secured.alpn.as_deref(), Some(chosen.as_bytes()));
        assert_eq!(secured.certificates, [chain.leaf.clone(), middle.clone()]);
        assert!(!secured.asked_for_certificate);
    }
    let without = chain.server(&[], false);
    let failed = shake(&trust, &without, Offered::Any, &Pins::default()).await;
    let failed = failed.expect_err("the middle is missing");
    assert_eq!(
        failed.to_string(),
        "the certificate of a.example was issued by an authority that is not trusted here (issuer: CN=middle)"
    );
}

#[tokio::test]
async fn sessions_are_resumed_but_for_those_who_ask_for_a_certificate() {
    use rustls::HandshakeKind::{Full, FullWithHelloRetryRequest, Resumed};
    let chain = Chain::mint();
    for asks in [false, true] {
        let trust = chain.trust();
        let server = chain.server(&[chain.middle.der().clone()], asks);
        for round in 0..3 {
            let (secured, kind) = shake(&trust, &server, Offered::Any, &Pins::default())
                .await
                .expect("it is good");
            assert_eq!(secured.asked_for_certificate, asks, "round {round}");
            assert_eq!(secured.certificates.len(), 2);
            let resumed = kind == Some(Resumed);
            assert_eq!(resumed, round > 0 && !asks, "round {round}: {kind:?}");
            assert!(resumed || matches!(kind, Some(Full | FullWithHelloRetryRequest)));
        }
    }
}

#[tokio::test]
async fn a_pinned_key_counts_only_where_it_is_in_the_verified_chain() {
    let chain = Chain::mint();
    let trust = chain.trust();
    let middle = chain.middle.der().clone();
    // Another authority that the same root has: anyone may show its certificate.
    let bystander =
        CertifiedIssuer::signed_by(named("bystander"), key(), &chain.root).expect("another");
    let server = chain.server(&[middle, bystander.der().clone()], false);
    let cases = [
        ("its own", pin(&chain.key), true),
        ("the middle's", pin(chain.middle.key()), true),
        ("the root's", pin(chain.root.key()), true),
        ("a bystander's", pin(bystander.key()), false),
        ("nobody's", pin(&key()), false),
    ];
    // Twice: a resumed session is held to pins too.
    for _ in 0..2 {
        for (whose, pins, good) in &cases {
            let shaken = shake(&trust, &server, Offered::Any, pins).await;
            let why = shaken.err().map(|error| error.why);
            assert_eq!(why, (!good).then_some(Why::Pinned), "{whose}");
        }
    }
}

#[tokio::test]
async fn what_is_not_tls_and_what_says_nothing_is_told_apart() {
    let trust = read(None, &Faults::new());
    let host = Host::parse("a.example").expect("a host");
    let limit = Duration::from_millis(20);
    let say = async |bytes: &'static [u8], close: bool| {
        let (client, mut other) = tokio::io::duplex(1 << 16);
        other.write_all(bytes).await.expect("written");
        let kept = (!close).then_some(other);
        let io = Stream::boxed(client);
        let pins = Pins::default();
        let shaken = trust.secure(io, &host, peer(), Offered::Any, &pins, limit);
        let why = shaken.await.err().map(|error| error.why);
        drop(kept);
        why
    };
    assert_eq!(say(b"", false).await, Some(Why::Timeout(limit)));
    assert_eq!(say(b"", true).await, Some(Why::Closed));
    let plain = say(b"HTTP/1.1 400 Bad Request\r\n\r\n", false).await;
    assert!(matches!(plain, Some(Why::Protocol(_))), "{plain:?}");
}

#[test]
fn trusts_are_equal_where_they_believe_the_same() {
    let chain = Chain::mint();
    assert_eq!(chain.trust(), chain.trust());
    assert_ne!(chain.trust(), Chain::mint().trust());
}
