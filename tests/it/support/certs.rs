//! Certificates of every kind in a folder of their own, and a client that speaks TLS to the proxy.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use super::Wire;

/// An authority and the files that it wrote, all in one folder: `NAME.pem`, `NAME.key` and what a test adds.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// An authority whose own certificate is in `ca.pem`, its key in `ca.key`.
    pub(crate) fn new() -> Self {
        Self::named("Test authority")
    }

    /// One of another name.
    pub(crate) fn named(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("certs-").tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let pem = params.self_signed(&key).unwrap().pem();
        let secret = key.serialize_pem();
        let authority = Self {
            folder,
            issuer: Issuer::new(params, key),
        };
        authority.put("ca.pem", &pem);
        authority.put("ca.key", &secret);
        authority
    }

    /// The path of a file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Replaces a certificate and its key by those of another name.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        for end in ["pem", "key"] {
            let text = fs::read(self.path(&format!("{from}.{end}"))).unwrap();
            self.put(&format!("{to}.{end}"), text);
        }
    }

    /// A certificate with its key. The common name is the file's; its serial number is what revocation lists call it.
    pub(crate) fn mint(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial(name)));
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.put(&format!("{name}.pem"), certificate.pem());
        self.put(&format!("{name}.key"), key.serialize_pem());
    }

    /// A server's certificate.
    pub(crate) fn server(&self, name: &str, hosts: &[&str]) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let names = CertificateParams::new(hosts).unwrap().subject_alt_names;
        self.mint(name, |params| params.subject_alt_names = names);
    }

    /// A client's certificate.
    pub(crate) fn client(&self, name: &str, names: Vec<SanType>) {
        self.mint(name, |params| {
            params.subject_alt_names = names;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
    }

    /// A revocation list of these certificates.
    pub(crate) fn revoke(&self, file: &str, names: &[&str]) {
        let revoked = |name: &&str| RevokedCertParams {
            serial_number: SerialNumber::from(serial(name)),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: names.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let crl = params.signed_by(&self.issuer).unwrap();
        self.put(file, crl.pem().unwrap());
    }

    /// `{ cert = …, key = … }` of one certificate.
    pub(crate) fn entry(&self, name: &str) -> String {
        let [cert, key] = [format!("{name}.pem"), format!("{name}.key")]
            .map(|file| self.path(&file).display().to_string());
        format!("{{ cert = \"{cert}\", key = {{ file = \"{key}\" }} }}")
    }

    /// `tls = { certificates = […], … }` of a listener.
    pub(crate) fn tls(&self, names: &[&str], more: &str) -> String {
        let entries: Vec<String> = names.iter().map(|name| self.entry(name)).collect();
        format!("tls = {{ certificates = [{}] {more} }}", entries.join(", "))
    }

    /// `, client = { roots = […], … }` inside of it.
    pub(crate) fn clients(&self, more: &str) -> String {
        let roots = self.path("ca.pem").display().to_string();
        format!(", client = {{ roots = [\"{roots}\"], {more} }}")
    }

    fn certificates(&self, file: &str) -> Vec<CertificateDer<'static>> {
        let pem = CertificateDer::pem_file_iter(self.path(file)).unwrap();
        pem.map(Result::unwrap).collect()
    }
}

fn serial(name: &str) -> u64 {
    name.bytes()
        .fold(7, |sum, b| (sum * 31 + u64::from(b)) % 1_000_000_007)
}

/// A client of the proxy that trusts one authority.
#[derive(Clone)]
pub(crate) struct Client {
    config: Arc<ClientConfig>,
}

impl Client {
    /// With a certificate of `own`'s, or none. What it offers by ALPN is given too.
    pub(crate) fn new(trusted: &Authority, own: Option<(&Authority, &str)>, alpn: &[&str]) -> Self {
        let mut roots = RootCertStore::empty();
        for root in trusted.certificates("ca.pem") {
            roots.add(root).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            Some((authority, name)) => {
                let chain = authority.certificates(&format!("{name}.pem"));
                let key = authority.path(&format!("{name}.key"));
                let key = PrivateKeyDer::from_pem_file(key).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|id| id.as_bytes().to_vec()).collect();
        Self {
            config: Arc::new(config),
        }
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    /// A connection that asks for a name. The handshake is done by the first write.
    pub(crate) fn connect(&self, address: SocketAddr, name: &str) -> Wire {
        Wire::connect(address).wrapped(|tcp| self.over(tcp, name))
    }

    /// TLS over a connection that is there.
    pub(crate) fn over(
        &self,
        tcp: TcpStream,
        name: &str,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        StreamOwned::new(
            ClientConnection::new(self.config.clone(), name).unwrap(),
            tcp,
        )
    }
}
