//! The bytes of a key file: which kind of key it is, and its decryption.
//! Reads no file.
//! Start at [`private_key`].

use pkcs8::der::Decode;
use pkcs8::pkcs5::pbes2::{self, Kdf};
use pkcs8::pkcs5::{self, EncryptionScheme};
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Rounds of PBKDF2 for what is encrypted here.
const ROUNDS: u32 = 600_000;

/// Rounds of PBKDF2: some seconds. What is beyond is a file made to stall whoever reads it.
const ROUNDS_LIMIT: u32 = 10_000_000;

/// Memory of scrypt, in bytes, and its whole work in the same measure.
const SCRYPT_MEMORY: u64 = 1 << 28;
const SCRYPT_WORK: u64 = 1 << 32;

/// Why bytes are not a usable key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyError {
    /// No private key in PEM, and no DER.
    None,
    /// More than one private key.
    Several(usize),
    /// It begins like a key, and is broken.
    Broken,
    /// Encrypted in the way of old OpenSSL, with MD5.
    Legacy,
    /// Encrypted with what is not supported here.
    Scheme,
    /// Its derivation asks for more work or memory than is given.
    Costly,
    /// Encrypted, and no passphrase is named.
    PassphraseMissing,
    /// Not encrypted, and a passphrase is named.
    PassphraseUnused,
    /// The passphrase does not open it.
    PassphraseWrong,
}

impl KeyError {
    /// The problem and its remedy, for the key's place as an operator knows it.
    pub(super) fn told(&self, place: &str) -> (String, String) {
        let convert = "convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW";
        let (problem, remedy) = match self {
            Self::None => (
                format!("{place} holds no private key"),
                "give a key in PEM (\"-----BEGIN PRIVATE KEY-----\")",
            ),
            Self::Several(count) => (
                format!("{place} holds {count} private keys"),
                "leave the one that belongs to the certificate",
            ),
            Self::Broken => (
                format!("{place} holds a private key that cannot be decoded"),
                "restore the file from where the key was made",
            ),
            Self::Legacy => (
                format!("{place} is encrypted in a form that is not safe any more"),
                convert,
            ),
            Self::Scheme => (
                format!("{place} is encrypted with what is not supported here"),
                convert,
            ),
            Self::Costly => (
                format!("{place} asks for too much work or memory to be decrypted"),
                convert,
            ),
            Self::PassphraseMissing => (
                format!("{place} is encrypted, and no passphrase is named"),
                "add to the key: passphrase = { env = \"NAME\" } or { file = \"path\" }",
            ),
            Self::PassphraseUnused => (
                format!("{place} is not encrypted, but a passphrase is named for it"),
                "leave the passphrase out, or encrypt the key: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW",
            ),
            Self::PassphraseWrong => (
                format!("the passphrase does not open {place}"),
                "check what env or file gives; the newline at a file's end does not count",
            ),
        };
        (problem, remedy.to_owned())
    }
}

/// Reads the one private key of a text in PEM, or of DER.
pub(super) fn private_key(
    bytes: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<PrivateKeyDer<'static>, KeyError> {
    // 0x30 begins every DER form of a key, and no PEM.
    if bytes.first() == Some(&0x30) {
        return der(bytes, passphrase);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| KeyError::None)?;
    let begins: Vec<(usize, &str)> = labels(text)
        .filter(|(_, label)| label.ends_with("PRIVATE KEY"))
        .collect();
    let (start, label) = match begins.as_slice() {
        [] => return Err(KeyError::None),
        [one] => *one,
        several => return Err(KeyError::Several(several.len())),
    };
    let section = section(text, start, label).ok_or(KeyError::Broken)?;
    if section.contains("Proc-Type:") && section.contains("ENCRYPTED") {
        return Err(KeyError::Legacy);
    }
    if label == "ENCRYPTED PRIVATE KEY" {
        let (_, document) = SecretDocument::from_pem(section).map_err(|_| KeyError::Broken)?;
        return decrypt(document.as_bytes(), passphrase);
    }
    if passphrase.is_some() {
        return Err(KeyError::PassphraseUnused);
    }
    PrivateKeyDer::from_pem_slice(section.as_bytes()).map_err(|_| KeyError::Broken)
}

fn der(bytes: &[u8], passphrase: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, KeyError> {
    if EncryptedPrivateKeyInfoRef::from_der(bytes).is_ok() {
        return decrypt(bytes, passphrase);
    }
    if passphrase.is_some() {
        return Err(KeyError::PassphraseUnused);
    }
    PrivateKeyDer::try_from(bytes)
        .map(|key| key.clone_key())
        .map_err(|_| KeyError::Broken)
}

/// Each `-----BEGIN LABEL-----` with its place.
fn labels(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices("-----BEGIN ")
        .filter_map(|(start, begin)| {
            let after = text.get(start + begin.len()..)?;
            let (label, _) = after.split_once("-----")?;
            (!label.contains('\n')).then_some((start, label))
        })
}

/// From BEGIN to END, without what stands around it.
fn section<'a>(text: &'a str, start: usize, label: &str) -> Option<&'a str> {
    let from = text.get(start..)?;
    let end = format!("-----END {label}-----");
    let length = from.find(&end)? + end.len();
    from.get(..length)
}

fn decrypt(der: &[u8], passphrase: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, KeyError> {
    let encrypted = EncryptedPrivateKeyInfoRef::from_der(der).map_err(|error| {
        // A scheme that the decoder does not know is told by its object identifier.
        match error.kind() {
            pkcs8::der::ErrorKind::OidUnknown { .. } => KeyError::Scheme,
            _ => KeyError::Broken,
        }
    })?;
    let EncryptionScheme::Pbes2(parameters) = &encrypted.encryption_algorithm else {
        return Err(KeyError::Scheme);
    };
    if !affordable(&parameters.kdf) {
        return Err(KeyError::Costly);
    }
    let passphrase = passphrase.ok_or(KeyError::PassphraseMissing)?;
    let plain = encrypted.decrypt(passphrase).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(
            pkcs5::Error::UnsupportedAlgorithm { .. } | pkcs5::Error::NoPbes1CryptSupport,
        ) => KeyError::Scheme,
        // One wrong passphrase in 256 leaves valid padding, and then what is no DER.
        _ => KeyError::PassphraseWrong,
    })?;
    Ok(PrivatePkcs8KeyDer::from(plain.as_bytes().to_vec()).into())
}

/// Encrypts what [`private_key`] decrypts.
pub(super) fn encrypted(pkcs8: &[u8], passphrase: &[u8]) -> Option<String> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    aws_lc_rs::rand::fill(&mut salt).ok()?;
    aws_lc_rs::rand::fill(&mut iv).ok()?;
    let parameters = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ROUNDS, &salt, iv).ok()?;
    let document = PrivateKeyInfoRef::try_from(pkcs8)
        .ok()?
        .encrypt_with_params(parameters, passphrase)
        .ok()?;
    let pem = document
        .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
        .ok()?;
    Some(pem.to_string())
}

fn affordable(kdf: &Kdf) -> bool {
    if let Some(pbkdf2) = kdf.pbkdf2() {
        return pbkdf2.iteration_count <= ROUNDS_LIMIT;
    }
    kdf.scrypt().is_some_and(|scrypt| {
        let memory = scrypt
            .cost_parameter
            .saturating_mul(u64::from(scrypt.block_size))
            .saturating_mul(128);
        memory <= SCRYPT_MEMORY
            && memory.saturating_mul(u64::from(scrypt.parallelization)) <= SCRYPT_WORK
    })
}
