use std::os::unix::fs::PermissionsExt;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::*;
use crate::fault::Source;
use crate::settings::Located;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// Reads `key = …` as it would stand in a configuration in this folder.
    fn key(&self, setting: &str, access: Access) -> Result<PrivateKeyDer<'static>, String> {
        let source = Source::new(self.0.path().join("egret.toml"), format!("key = {setting}"));
        let faults = Faults::new();
        let table = Table::parse(&source, &faults);
        let key = table
            .take::<KeySource>("key", &faults)
            .and_then(|source| source.read(access, &faults));
        key.ok_or_else(|| told(faults))
    }

    fn chain(&self, name: &str) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, String> {
        let faults = Faults::new();
        let path = Located {
            value: self.0.path().join(name),
            at: nowhere(),
        };
        read_chain(&path, &faults).ok_or_else(|| told(faults))
    }
}

fn told(faults: Faults) -> String {
    let faults = faults.into_vec();
    assert!(!faults.is_empty(), "nothing was read and no fault told");
    let lines: Vec<String> = faults
        .iter()
        .map(|fault| format!("{} = {}", fault.problem, fault.remedy))
        .collect();
    lines.join("\n")
}

fn nowhere() -> Location {
    Location {
        source: Source::new("test", ""),
        span: 0..0,
    }
}

fn parameters(rounds: u32) -> pkcs8::pkcs5::pbes2::Parameters {
    pkcs8::pkcs5::pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(rounds, &[7; 16], [9; 16])
        .unwrap()
}

fn encrypted(key: &KeyPair, passphrase: &str) -> String {
    let document = pkcs8::PrivateKeyInfoRef::try_from(key.serialized_der())
        .unwrap()
        .encrypt_with_params(parameters(1000), passphrase)
        .unwrap();
    in_pem(&document)
}

/// What a file says that asks for hours of work.
fn costly() -> String {
    let info = pkcs8::EncryptedPrivateKeyInfo {
        encryption_algorithm: parameters(50_000_000).into(),
        encrypted_data: pkcs8::der::asn1::OctetString::new([0; 32]).unwrap(),
    };
    in_pem(&pkcs8::SecretDocument::encode_msg(&info).unwrap())
}

fn in_pem(document: &pkcs8::SecretDocument) -> String {
    document
        .to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF)
        .unwrap()
        .to_string()
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_command_that_closes_it() {
    let folder = Folder::new();
    let pem = KeyPair::generate().unwrap().serialize_pem();
    for (mode, access, allowed) in [
        (0o600, Access::Owner, None),
        (0o400, Access::Owner, None),
        (0o640, Access::Owner, Some("chmod 600")),
        (0o604, Access::Owner, Some("chmod 600")),
        (0o620, Access::Owner, Some("chmod 600")),
        (0o640, Access::Group, None),
        (0o644, Access::Group, Some("chmod 640")),
        (0o660, Access::Group, Some("chmod 640")),
    ] {
        let path = folder.put("x.key", &pem, mode);
        let read = folder.key("{ file = \"x.key\" }", access);
        match (read, allowed) {
            (Ok(_), None) => {}
            (Err(told), Some(command)) => assert!(
                told.contains(&format!("{command} {}", path.display())),
                "{mode:o} {access:?}: {told}"
            ),
            (read, _) => panic!("{mode:o} {access:?}: {}", read.is_ok()),
        }
    }
}

/// A folder with keys of many kinds, and passphrases.
fn keys() -> Folder {
    let folder = Folder::new();
    let key = KeyPair::generate().unwrap();
    let plain = key.serialize_pem();
    folder.put("plain.key", &plain, 0o600);
    folder.put("two.key", format!("{plain}{plain}"), 0o600);
    folder.put("text.key", "no key", 0o600);
    folder.put("cut.key", &plain[..60], 0o600);
    folder.put("encrypted.key", encrypted(&key, "open sesame"), 0o600);
    folder.put("costly.key", costly(), 0o600);
    folder.put(
        "old.key",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        0o600,
    );
    folder.put("right", "open sesame\n", 0o600);
    folder.put("wrong", "open barley\n", 0o600);
    folder.put("public", "open sesame\n", 0o644);
    folder
}

#[test]
fn every_mistake_with_a_key_is_told_with_its_remedy() {
    let folder = keys();
    for (setting, expected) in [
        ("{ file = \"plain.key\" }", ""),
        (
            "{ file = \"encrypted.key\", passphrase = { file = \"right\" } }",
            "",
        ),
        (
            "{ file = \"encrypted.key\", passphrase = { file = \"wrong\" } }",
            "the passphrase does not open",
        ),
        (
            "{ file = \"encrypted.key\", passphrase = { file = \"public\" } }",
            "chmod 600",
        ),
        ("{ file = \"encrypted.key\" }", "no passphrase is named"),
        (
            "{ file = \"plain.key\", passphrase = { file = \"right\" } }",
            "is not encrypted",
        ),
        (
            "{ file = \"costly.key\", passphrase = { file = \"right\" } }",
            "too much work",
        ),
        (
            "{ file = \"old.key\", passphrase = { file = \"right\" } }",
            "openssl pkcs8 -topk8",
        ),
        ("{ file = \"missing.key\" }", "cannot read"),
        ("{ file = \"text.key\" }", "holds no private key"),
        ("{ file = \"cut.key\" }", "cannot be decoded"),
        ("{ file = \"two.key\" }", "holds 2 private keys"),
        ("{ env = \"EGRET_NO_SUCH_KEY\" }", "the environment has no"),
        (
            "{ env = \"A\", file = \"plain.key\" }",
            "either file or env",
        ),
        (
            "{ file = \"plain.key\", passphrase = \"open sesame\" }",
            "does not stand in a file",
        ),
        ("\"plain.key\"", "a key does not stand"),
    ] {
        let told = folder.key(setting, Access::Owner).err().unwrap_or_default();
        assert!(told.contains(expected), "{setting}: {told}");
        assert_eq!(told.is_empty(), expected.is_empty(), "{setting}: {told}");
        assert!(!told.contains("open sesame"), "{setting}: {told}");
    }
}

#[test]
fn a_key_is_read_from_pem_and_der() {
    let folder = Folder::new();
    let key = KeyPair::generate().unwrap();
    folder.put(
        "x.pem",
        format!("Bag Attributes\n{}", key.serialize_pem()),
        0o600,
    );
    folder.put("x.der", key.serialized_der(), 0o600);
    for file in ["x.pem", "x.der"] {
        let read = folder.key(&format!("{{ file = \"{file}\" }}"), Access::Owner);
        assert_eq!(read.unwrap().secret_der(), key.serialized_der(), "{file}");
    }
}

#[test]
fn a_chain_is_checked_for_order_and_validity() {
    let folder = Folder::new();
    let root_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Root");
    let root = params.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(params, root_key);
    let key = KeyPair::generate().unwrap();
    let leaf = |change: fn(&mut CertificateParams)| {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        change(&mut params);
        params.signed_by(&key, &issuer).unwrap()
    };
    let good = leaf(|_| {});
    let expired = leaf(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let early = leaf(|params| params.not_before = rcgen::date_time_ymd(2999, 1, 1));
    folder.put("good", good.pem() + &root.pem(), 0o644);
    folder.put("der", good.der(), 0o644);
    folder.put("reversed", root.pem() + &good.pem(), 0o644);
    folder.put("expired", expired.pem(), 0o644);
    folder.put("early", early.pem(), 0o644);
    folder.put("key", key.serialize_pem(), 0o644);
    for (file, expected) in [
        ("good", ""),
        ("der", ""),
        ("reversed", "did not issue it"),
        ("expired", "expired at 2020-01-01"),
        ("early", "is not valid before 2999-01-01"),
        ("key", "holds no certificate"),
    ] {
        let told = folder.chain(file).err().unwrap_or_default();
        assert!(told.contains(expected), "{file}: {told}");
        assert_eq!(told.is_empty(), expected.is_empty(), "{file}: {told}");
    }
    let faults = Faults::new();
    let der = |key: &KeyPair| PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let chain = folder.chain("good").unwrap();
    assert!(certified(chain.clone(), der(&key), &nowhere(), &faults).is_some());
    let other = KeyPair::generate().unwrap();
    assert!(certified(chain, der(&other), &nowhere(), &faults).is_none());
    assert!(told(faults).contains("not the one of the certificate"));
}
