//! Origins whose certificates or versions of TLS are not what they must be: each is refused, with its reason, whether the proxy
//! speaks TLS for its client or the client speaks it in a tunnel that is intercepted.
//! Every certificate is minted here. RFC 5280 §6; RFC 6125 §6; RFC 9209 §2.3.17.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::{Config, Egret, Interception, Response, get, ok, shake_hands, tunnel};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.use_authority_key_identifier_extension = true;
    params
}

fn server(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

/// An origin with a certificate of this authority, or with one that signs itself.
fn origin(params: CertificateParams, authority: Option<&Authority>) -> Origin {
    let key = KeyPair::generate().unwrap();
    let certificate = match authority {
        Some(authority) => params.signed_by(&key, authority),
        None => params.self_signed(&key),
    };
    let certificate = certificate.unwrap();
    let pem = certificate.pem();
    let config = server(vec![certificate.der().clone()], &key);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let closed = Arc::new(AtomicBool::new(false));
    let ended = closed.clone();
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            if ended.load(Ordering::SeqCst) {
                return;
            }
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(session, tcp.unwrap());
            std::thread::spawn(move || while answer(&mut stream).is_ok() {});
        }
    });
    Origin { port, pem, closed }
}

/// Listens until it is dropped.
struct Origin {
    port: u16,
    /// What it shows.
    pem: String,
    closed: Arc<AtomicBool>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn answer(stream: &mut (impl Read + Write)) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    stream.write_all(&ok(b"answer"))?;
    stream.flush()
}

/// A proxy that intercepts, and asks origins for `https` URLs as well.
struct Proxy {
    egret: Egret,
    interception: Interception,
}

impl Proxy {
    /// Trusts these roots, with further settings of `[tls]`.
    fn start(roots: &str, tls: &str, crl: &str) -> Self {
        let interception = Interception::init();
        let files = [("ca.pem", roots), ("crl.pem", crl)];
        let config = Config::closed()
            .rule("name = \"seen\"\nallow = { intercept = true }\naddress = \"127.0.0.0/8\"")
            .more(&format!("[tls]\nroots = [\"{{dir}}/ca.pem\"]\n{tls}"))
            .more("[intercept]\nauthority = { cert = \"{dir}/intercept.pem\", key = { file = \"{dir}/intercept.key\" } }");
        Self {
            egret: Egret::start_with(&[&interception.files()[..], &files].concat(), &config),
            interception,
        }
    }

    /// The answer where the proxy speaks TLS for its client.
    fn ask(&self, port: u16) -> Response {
        let url = format!("https://127.0.0.1:{port}/");
        self.egret.ask(&get(&url, ""))
    }

    /// The answer inside a tunnel, to a client that speaks TLS itself.
    fn ask_inside(&self, port: u16) -> Response {
        let place = format!("127.0.0.1:{port}");
        let wire = tunnel(&self.egret, &place);
        let roots = [&*self.interception.cert];
        let met = shake_hands(wire, "127.0.0.1", &roots, &["http/1.1"]);
        let mut wire = met.expect("the proxy's own certificate").wire;
        wire.send(format!("GET / HTTP/1.1\r\nHost: {place}\r\n\r\n").as_bytes());
        wire.response("GET")
    }

    /// Asks and expects 502 for the certificate, with these words.
    #[track_caller]
    fn refused(&self, port: u16, words: &[&str]) {
        self.refused_as(port, "tls_certificate_error", words);
    }

    #[track_caller]
    fn refused_as(&self, port: u16, kind: &str, words: &[&str]) {
        for answer in [self.ask(port), self.ask_inside(port)] {
            let (head, text) = (&answer.head, answer.text());
            assert_eq!(answer.status, 502, "{words:?}: {head}");
            assert_eq!(answer.proxy_error(), Some(kind), "{words:?}: {text}");
            for word in words {
                assert!(text.contains(word), "{word}: {text}");
            }
        }
    }
}

#[test]
fn each_kind_of_bad_certificate_is_refused_with_its_reason() {
    let ca = authority("A test authority");
    let stranger = authority("A stranger");
    let mut expired = leaf(&["127.0.0.1"]);
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2024, 1, 2);
    let mut early = leaf(&["127.0.0.1"]);
    early.not_before = date_time_ymd(2095, 3, 4);
    early.not_after = date_time_ymd(2096, 3, 4);
    let mut both = leaf(&["127.0.0.1"]);
    both.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let good = || leaf(&["127.0.0.1"]);
    let cases: &[(CertificateParams, Option<&Authority>, &[&str])] = &[
        (expired, Some(&ca), &["127.0.0.1 has expired (2024-01-02)"]),
        (early, Some(&ca), &["is not valid yet (2095-03-04)"]),
        (
            leaf(&["a.example", "127.0.0.2", "*.b.example"]),
            Some(&ca),
            &["is for a.example, 127.0.0.2, *.b.example, not for 127.0.0.1"],
        ),
        (leaf(&[]), Some(&ca), &["is for no host"]),
        (
            good(),
            None,
            &["127.0.0.1 is self-signed, and not one of the roots"],
        ),
        (
            both,
            None,
            &["127.0.0.1 is self-signed", "CA:TRUE", "have it sign"],
        ),
        (
            good(),
            Some(&stranger),
            &["an authority that is not trusted here", "CN=A stranger"],
        ),
    ];
    let proxy = Proxy::start(&ca.pem(), "", "");
    for (params, issuer, words) in cases {
        let origin = origin(params.clone(), *issuer);
        proxy.refused(origin.port, words);
    }
    let good = origin(good(), Some(&ca));
    assert_eq!(proxy.ask(good.port).text(), "answer");
    assert_eq!(proxy.ask_inside(good.port).text(), "answer");
}

#[test]
fn a_certificate_that_signs_itself_is_trusted_as_a_root_but_never_an_authority_s() {
    let mut both = leaf(&["127.0.0.1"]);
    both.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (own, both) = (origin(leaf(&["127.0.0.1"]), None), origin(both, None));
    let proxy = Proxy::start(&format!("{}{}", own.pem, both.pem), "", "");
    assert_eq!(proxy.ask(own.port).text(), "answer");
    proxy.refused(
        both.port,
        &["an authority's (CA:TRUE)", "have it sign a certificate"],
    );
}

#[test]
fn the_roots_of_the_platform_are_trusted() {
    let ca = authority("An authority of the machine");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("platform.pem");
    std::fs::write(&file, ca.pem()).unwrap();
    let origin = origin(leaf(&["127.0.0.1"]), Some(&ca));
    let store = [("SSL_CERT_FILE", file.to_str().unwrap())];
    let egret = Egret::start_in(&store, &[], &Config::loopback());
    let answer = egret.ask(&get(&format!("https://127.0.0.1:{}/", origin.port), ""));
    assert_eq!(answer.text(), "answer");
}

/// A revocation list that runs out in this year.
fn list(authority: &Authority, serial: u64, until: i32) -> String {
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(authority).unwrap().pem().unwrap()
}

#[test]
fn a_revoked_certificate_is_refused_and_so_is_one_whose_list_has_run_out() {
    let ca = authority("A test authority");
    let other = authority("An authority without a list");
    let numbered = |serial: u64, issuer| {
        let mut params = leaf(&["127.0.0.1"]);
        params.serial_number = Some(SerialNumber::from(serial));
        origin(params, Some(issuer))
    };
    let (revoked, good, unlisted) = (
        numbered(4711, &ca),
        numbered(4712, &ca),
        numbered(4711, &other),
    );
    let both = |list: &str| {
        let roots = format!("{}{}", ca.pem(), other.pem());
        Proxy::start(&roots, "crl = [\"{dir}/crl.pem\"]", list)
    };
    let proxy = both(&list(&ca, 4711, 2095));
    proxy.refused(revoked.port, &["127.0.0.1 was revoked"]);
    for origin in [&good, &unlisted] {
        assert_eq!(proxy.ask(origin.port).text(), "answer");
    }
    // A list that a reload brings is in force for the next connection, and ends those that are kept.
    proxy.egret.write("crl.pem", &list(&ca, 4712, 2095));
    assert!(proxy.egret.command(&["reload"]).status.success());
    proxy.refused(good.port, &["127.0.0.1 was revoked"]);
    let proxy = both(&list(&ca, 4711, 2021));
    proxy.refused(good.port, &["revocation list", "has run out"]);
}

/// `openssl s_server`, which answers each request with a page about the session.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(dir: &Path, certificate: &str, words: &[&str]) -> Self {
        let mut process = Command::new("openssl")
            .current_dir(dir)
            .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
            .args(["-cert", certificate, "-key", "leaf.key"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let accepting = lines.find_map(|line| {
            let line = line.ok()?;
            let place = line.strip_prefix("ACCEPT ")?;
            place.rsplit(':').next()?.parse().ok()
        });
        let port = accepting.unwrap();
        // What else it says must not fill the pipe.
        std::thread::spawn(move || for _ in lines.by_ref() {});
        Self { process, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn openssl(dir: &Path, words: &[&str]) {
    let output = Command::new("openssl")
        .current_dir(dir)
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
}

/// An authority in files, and a certificate `leaf.pem` of it with these words to `openssl req`.
fn issued(ca: &Authority, words: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
    std::fs::write(dir.path().join("ca.key"), ca.key().serialize_pem()).unwrap();
    let address = IpAddr::from([127, 0, 0, 1]);
    let names = format!("subjectAltName=IP:{address}");
    let mut all = vec![
        "req", "-x509", "-CA", "ca.pem", "-CAkey", "ca.key", "-nodes",
    ];
    all.extend(["-subj", "/CN=leaf", "-addext", &names, "-days", "30"]);
    all.extend(["-addext", "basicConstraints=critical,CA:FALSE"]);
    all.extend(["-keyout", "leaf.key", "-out", "leaf.pem"]);
    all.extend(words);
    openssl(dir.path(), &all);
    dir
}

const ANY_STRENGTH: [&str; 2] = ["-cipher", "ALL:@SECLEVEL=0"];

#[test]
fn weak_keys_and_signatures_are_refused() {
    let ca = authority("A test authority");
    let proxy = Proxy::start(&ca.pem(), "", "");
    let short = issued(&ca, &["-newkey", "rsa:1024", "-sha256"]);
    let old = issued(&ca, &["-newkey", "rsa:2048", "-sha1"]);
    for version in ["-tls1_2", "-tls1_3"] {
        for dir in [&short, &old] {
            let words = [version, ANY_STRENGTH[0], ANY_STRENGTH[1]];
            let server = Server::start(dir.path(), "leaf.pem", &words);
            proxy.refused(server.port, &["signature or key that is too weak"]);
        }
    }
}

#[test]
fn the_oldest_version_of_tls_that_is_spoken_can_be_chosen() {
    let ca = authority("A test authority");
    let dir = issued(&ca, &["-newkey", "rsa:2048", "-sha256"]);
    let two = Server::start(dir.path(), "leaf.pem", &["-tls1_2"]);
    let three = Server::start(dir.path(), "leaf.pem", &["-tls1_3"]);
    let words = ["-tls1_1", ANY_STRENGTH[0], ANY_STRENGTH[1]];
    let one = Server::start(dir.path(), "leaf.pem", &words);
    let both = Proxy::start(&ca.pem(), "", "");
    for (port, version) in [(two.port, "TLSv1.2"), (three.port, "TLSv1.3")] {
        for answer in [both.ask(port), both.ask_inside(port)] {
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.text().contains(version), "{}", answer.text());
        }
    }
    let none = "speaks no version of TLS that is allowed here";
    both.refused_as(one.port, "tls_alert_received", &[none]);
    let latest = Proxy::start(&ca.pem(), "min-version = \"1.3\"", "");
    latest.refused_as(two.port, "tls_alert_received", &[none]);
    assert_eq!(latest.ask(three.port).status, 200);
}

#[test]
fn what_can_not_be_read_is_told_at_its_place() {
    let ca = authority("A test authority");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("egret.toml");
    std::fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
    let text = Config::loopback().more(
        "[tls]\nroots = [\"none.pem\"]\ncrl = [\"ca.pem\", \"none.crl\"]\nmin-version = \"1.1\"\nrots = 1",
    );
    let text = text
        .text()
        .replace("{dir}", &dir.path().display().to_string());
    std::fs::write(&file, text).unwrap();
    let output = crate::support::program()
        .args(["check", "-c"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = crate::support::said(&output);
    for words in [
        "none.pem",
        "ca.pem holds no revocation list",
        "none.crl",
        "\"1.1\" is not known here",
        "unknown key \"rots\"",
    ] {
        assert!(said.contains(words), "{words} is missing in\n{said}");
    }
}
