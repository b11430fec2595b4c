//! A certificate authority for one test, and TLS for its origins.

use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{NamedGroup, ServerConfig, ServerConnection, StreamOwned};

use super::Wire;

/// An authority that was made now and is forgotten with the test.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// Two authorities of one name would be taken for each other.
fn number() -> usize {
    static MADE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(1);
    MADE.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

impl Ca {
    pub(crate) fn mint() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(
            rcgen::DnType::CommonName,
            format!("Egret test authority {}", number()),
        );
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// The authority's own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The digest of the authority's public key, in base64, as a pin has it.
    pub(crate) fn pin(&self) -> String {
        use rcgen::PublicKeyData;
        use sha2::{Digest, Sha256};
        super::base64_of(&Sha256::digest(self.issuer.key().subject_public_key_info()))
    }

    /// A server's configuration with a certificate for these names or addresses, HTTP/1.1 only.
    pub(crate) fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        self.serve(names, WebPkiClientVerifier::no_client_auth())
    }

    /// The same, and it asks for a client certificate without insisting.
    pub(crate) fn asking_server(&self, names: &[&str]) -> Arc<ServerConfig> {
        use rustls::pki_types::pem::PemObject;
        let mut roots = rustls::RootCertStore::empty();
        let own = rustls::pki_types::CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        roots.add(own).unwrap();
        let provider = Arc::new(default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
            .allow_unauthenticated()
            .build()
            .unwrap();
        self.serve(names, verifier)
    }

    fn serve(
        &self,
        names: &[&str],
        clients: Arc<dyn rustls::server::danger::ClientCertVerifier>,
    ) -> Arc<ServerConfig> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let names = CertificateParams::new(names).unwrap().subject_alt_names;
        let key = KeyPair::generate().unwrap();
        let change = |params: &mut CertificateParams| params.subject_alt_names = names;
        self.serve_of(default_provider(), &key, change, clients)
    }

    /// A server's configuration with this cryptography, a key and a certificate of any kind.
    pub(crate) fn server_of(
        &self,
        provider: CryptoProvider,
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Arc<ServerConfig> {
        let anyone = WebPkiClientVerifier::no_client_auth();
        self.serve_of(provider, key, change, anyone)
    }

    fn serve_of(
        &self,
        provider: CryptoProvider,
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
        clients: Arc<dyn rustls::server::danger::ClientCertVerifier>,
    ) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

/// The server's side of TLS; the handshake is done by the first read.
pub(crate) fn accept(
    config: &Arc<ServerConfig>,
    tcp: TcpStream,
) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), tcp)
}

/// The authority of interception, made by the program itself in the folder of a test.
pub(crate) struct Interception {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Interception {
    /// Makes `intercept.pem` and `intercept.key`.
    pub(crate) fn init() -> Self {
        Self::init_for(&[])
    }

    /// The same, with further words of `egret ca init`.
    pub(crate) fn init_for(words: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let output = super::program()
            .args(["ca", "init", "--cert"])
            .arg(&cert)
            .arg("--key")
            .arg(&key)
            .args(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", super::said(&output));
        Self {
            cert: std::fs::read_to_string(cert).unwrap(),
            key: std::fs::read_to_string(key).unwrap(),
        }
    }

    /// The files of it, for a process that starts. The key is closed to others by [`super::Egret`].
    pub(crate) fn files(&self) -> [(&str, &str); 2] {
        [("intercept.pem", &self.cert), ("intercept.key", &self.key)]
    }
}

/// What a client's TLS found out about the server.
pub(crate) struct Met {
    pub(crate) wire: Wire,
    pub(crate) alpn: Option<Vec<u8>>,
    /// How the keys were agreed on.
    pub(crate) group: Option<NamedGroup>,
    pub(crate) certificates: Vec<rustls::pki_types::CertificateDer<'static>>,
}

/// A client's handshake over a connection, for a name, trusting these roots.
pub(crate) fn shake_hands(
    wire: Wire,
    name: &str,
    roots: &[&str],
    alpn: &[&str],
) -> std::io::Result<Met> {
    use rustls::pki_types::pem::PemObject;
    let mut store = rustls::RootCertStore::empty();
    for root in roots {
        let root = rustls::pki_types::CertificateDer::from_pem_slice(root.as_bytes()).unwrap();
        store.add(root).unwrap();
    }
    let provider = Arc::new(default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut tcp = wire.tcp();
    while session.is_handshaking() {
        session.complete_io(&mut tcp)?;
    }
    let alpn = session.alpn_protocol().map(<[u8]>::to_vec);
    let certificates = session
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|certificate| certificate.clone().into_owned())
        .collect();
    let group = session
        .negotiated_key_exchange_group()
        .map(|group| group.name());
    Ok(Met {
        wire: wire.wrapped(|tcp| StreamOwned::new(session, tcp)),
        alpn,
        group,
        certificates,
    })
}
