//! Endpoints under TLS: whom we believe, who we are, what is spoken.

use rcgen::{BasicConstraints, IsCa};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;

use super::endpoints::permit;
use super::*;
use crate::message::ProxyError;

/// An authority, and the files that it writes.
struct Papers {
    dir: tempfile::TempDir,
    root: CertifiedIssuer<'static, KeyPair>,
}

impl Papers {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let root = CertifiedIssuer::self_signed(params, key).expect("a root");
        let papers = Self {
            dir: tempfile::tempdir().expect("a folder"),
            root,
        };
        papers.write("ca.pem", &papers.root.pem());
        let (certificate, key) = papers.issue("egret.internal");
        papers.write("own.pem", &certificate.pem());
        papers.write("own.key", &key.serialize_pem());
        papers
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let signed = CertificateParams::new(vec![name.to_owned()])
            .and_then(|params| params.signed_by(&key, &self.root))
            .expect("a certificate");
        (signed, key)
    }

    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("closed");
    }

    /// A server for `app.internal` that lets only clients with a certificate in.
    fn server(&self, alpn: &[&str]) -> TlsAcceptor {
        let (certificate, key) = self.issue("app.internal");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.der().clone()).expect("a root");
        let clients =
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(clients.expect("a verifier"))
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .expect("a certificate");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

const MUTUAL: &str =
    "roots = [\"ca.pem\"], client = { cert = \"own.pem\", key = { file = \"own.key\" } }";

#[tokio::test]
async fn an_endpoint_is_verified_by_name_and_shown_who_we_are() {
    let papers = Papers::new();
    let only = |alpn: &'static str| format!("protocol = \"{alpn}\"\n");
    let named = ", server-name = \"app.internal\"";
    let rows = [
        // The endpoint's own name is an address, which the certificate is not for.
        ((String::new(), MUTUAL, ""), Err(ProxyError::TlsCertificate)),
        ((String::new(), MUTUAL, named), Ok(Some("h2"))),
        ((only("http/1.1"), MUTUAL, named), Ok(Some("http/1.1"))),
        ((only("h2"), MUTUAL, named), Ok(Some("h2"))),
        // The roots of this machine do not know it.
        (
            (String::new(), "min-version = \"1.3\"", named),
            Err(ProxyError::TlsCertificate),
        ),
        (
            (String::new(), MUTUAL, ", server-name = \"other.internal\""),
            Err(ProxyError::TlsCertificate),
        ),
    ];
    tokio::task::LocalSet::new()
        .run_until(async {
            for ((protocol, tls, name), expected) in rows {
                let text = format!("{protocol}tls = {{ {tls}{name} }}");
                let met = meet(&papers, &text, &["h2", "http/1.1"]).await;
                let met =
                    met.map(|alpn| alpn.map(|alpn| String::from_utf8_lossy(&alpn).into_owned()));
                let expected = expected.map(|alpn| alpn.map(str::to_owned));
                assert_eq!(met.map_err(|failure| failure.error), expected, "{text}");
            }
            // Nothing else than what is demanded is spoken.
            let text = format!("protocol = \"h2\"\ntls = {{ {MUTUAL}{named} }}");
            assert!(meet(&papers, &text, &["http/1.1"]).await.is_err());
            assert!(meet(&papers, &text, &[]).await.is_err());
        })
        .await;
}

/// Dials a server that speaks this, by these settings. Gives what it chose.
async fn meet(papers: &Papers, text: &str, alpn: &[&str]) -> Result<Option<Vec<u8>>, Failure> {
    let faults = Faults::new();
    let life = Lifeline::new();
    let base = Origin {
        settings: Settings::default(),
        trust: connector::read(None, &faults),
    };
    let source = Source::new(papers.dir.path().join("egret.toml"), text);
    let terms = Terms::read(&Table::parse(&source, &faults), &base, &faults);
    let terms = Arc::new(terms.ok_or(faults).expect("good settings"));
    let pool = Pool::new(base, life.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    let server = papers.server(alpn);
    life.spawn_background(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            if let Ok(mut stream) = server.accept(tcp).await {
                use tokio::io::AsyncWriteExt;
                let _ = stream.write_all(b"in").await;
            }
        }
    });
    let endpoint = Authority::parse(&address.to_string(), None).expect("an authority");
    let key = Key::to_endpoint(terms, endpoint, false);
    let mut dialled = pool
        .dial_with(&permit(address), &key, Duration::from_secs(10))
        .await?;
    // With TLS 1.3 a server that misses a certificate says so after the handshake.
    let mut word = [0; 2];
    let read = tokio::io::AsyncReadExt::read_exact(&mut dialled.stream, &mut word).await;
    read.map_err(|error| Failure::dial(&error, address))?;
    assert_eq!(dialled.peer, address);
    Ok(dialled.alpn)
}
