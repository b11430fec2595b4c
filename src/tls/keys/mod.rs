//! Private keys and certificate chains, from files an operator names to what rustls takes, with every mistake as a fault.
//! Mints nothing and chooses no certificate; a key's bytes are never printed.
//! Start at [`KeySource`]; [`read_chain`] and [`certified`] are its companions.

mod chain;
mod pem;
#[cfg(test)]
mod tests;

pub use chain::{Validity, certified, read_chain};

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::PrivateKeyDer;

use crate::fault::{Fault, Faults, Location};
use crate::settings::{FromValue, Kind, Table, Value};

/// A key file or a chain is a few kilobytes; what is longer is something else.
const FILE_LIMIT: u64 = 1 << 20;

/// The revocation lists of large authorities are some megabytes.
const LIST_LIMIT: u64 = 1 << 26;

/// Where a private key comes from: `{ file = "x.key" }` or `{ env = "NAME" }`, with `passphrase = { file | env }` beside
/// it for an encrypted one. It remembers the places, not the key, so that it can be read again when files have changed.
#[derive(Debug, Clone)]
pub struct KeySource {
    at: Location,
    from: Reference,
    passphrase: Option<Reference>,
}

/// Who besides its owner may read the file of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody: mode 0600 or less.
    Owner,
    /// The file's group: mode 0640 or less.
    Group,
}

#[derive(Debug, Clone)]
enum Reference {
    File(PathBuf),
    Env(String),
}

impl KeySource {
    /// A key in a file, named at a place.
    pub fn file(path: impl Into<PathBuf>, at: Location) -> Self {
        Self {
            at,
            from: Reference::File(path.into()),
            passphrase: None,
        }
    }

    /// Where it is named.
    pub fn at(&self) -> &Location {
        &self.at
    }

    /// The key's own file, where it is in one.
    pub fn path(&self) -> Option<&Path> {
        self.from.path()
    }

    /// The files that it is read from: the key's and the passphrase's. Empty where all comes from the environment.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.from), self.passphrase.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(Reference::path)
    }

    /// Reads the key, and decrypts it. Blocks on the disk, and for an encrypted key on the work that its derivation asks for
    /// (at most some seconds). PEM in PKCS#8 (RFC 5958), PKCS#1 (RFC 8017), SEC1 (RFC 5915) and encrypted PKCS#8 with PBES2
    /// (RFC 8018); DER by its content. `None` after a fault: unreadable, open to others, not a key, a passphrase that
    /// is missing, wrong or not needed.
    pub fn read(&self, access: Access, faults: &Faults) -> Option<PrivateKeyDer<'static>> {
        let bytes = self.from.read(access, &self.at, faults)?;
        let passphrase = match &self.passphrase {
            Some(passphrase) => {
                let mut bytes = passphrase.read(access, &self.at, faults)?;
                bytes.trim_line_end();
                Some(bytes)
            }
            None => None,
        };
        let passphrase = passphrase.as_ref().map(Wiped::bytes);
        match pem::private_key(bytes.bytes(), passphrase) {
            Ok(key) => Some(key),
            Err(error) => {
                let (problem, remedy) = error.told(&self.from.to_string());
                faults.push(Fault::at(&self.at, problem, remedy));
                None
            }
        }
    }
}

impl FromValue for KeySource {
    fn from_value(value: Value, faults: &Faults) -> Option<Self> {
        let at = value.at.clone();
        let Kind::Table(table) = value.kind else {
            return value.withheld("a key does not stand in a file like this", faults);
        };
        let before = faults.len();
        let passphrase = table
            .take_value("passphrase")
            .map(|value| passphrase(value, faults));
        let from = Reference::take(&table, "key", &at, faults);
        table.finish(faults);
        if faults.len() > before {
            return None;
        }
        Some(Self {
            at,
            from: from?,
            passphrase: passphrase.flatten(),
        })
    }
}

fn passphrase(value: Value, faults: &Faults) -> Option<Reference> {
    let at = value.at.clone();
    let Kind::Table(table) = value.kind else {
        return value.withheld("a passphrase does not stand in a file like this", faults);
    };
    let reference = Reference::take(&table, "passphrase", &at, faults);
    table.finish(faults);
    reference
}

impl Reference {
    fn take(table: &Table, what: &str, at: &Location, faults: &Faults) -> Option<Self> {
        let file: Option<PathBuf> = table.take("file", faults);
        let env: Option<String> = table.take("env", faults);
        match (file, env) {
            (Some(path), None) => Some(Self::File(path)),
            (None, Some(name)) => Some(Self::Env(name)),
            (Some(_), Some(_)) | (None, None) => {
                faults.push(Fault::at(
                    at,
                    format!("a {what} names either file or env"),
                    "write { file = \"path\" } or { env = \"NAME\" }",
                ));
                None
            }
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Env(_) => None,
        }
    }

    fn read(&self, access: Access, at: &Location, faults: &Faults) -> Option<Wiped> {
        let read = match self {
            Self::File(path) => read_secret(path, access),
            Self::Env(name) => environment(name),
        };
        match read {
            Ok(bytes) => Some(bytes),
            Err(fault) => {
                faults.push(Fault::at(at, fault.problem, fault.remedy));
                None
            }
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Env(name) => write!(f, "the environment's \"{name}\""),
        }
    }
}

/// What opens an encrypted key. Never printed.
pub struct Passphrase(Wiped);

impl Passphrase {
    /// From a file that only its owner can read; the newline at its end does not count.
    pub fn from_file(path: &Path) -> Result<Self, Fault> {
        Self::checked(
            read_secret(path, Access::Owner)?,
            &path.display().to_string(),
        )
    }

    /// From the environment.
    pub fn from_env(name: &str) -> Result<Self, Fault> {
        Self::checked(environment(name)?, name)
    }

    fn checked(mut bytes: Wiped, place: &str) -> Result<Self, Fault> {
        bytes.trim_line_end();
        if bytes.0.is_empty() {
            return Err(Fault::new(
                format!("the passphrase in {place} is empty"),
                "give one, or make a key without",
            ));
        }
        Ok(Self(bytes))
    }
}

/// A key in PKCS#8 as PEM, encrypted (PBES2 with PBKDF2, HMAC-SHA-256 and AES-256-CBC, as OpenSSL does). Takes some tenths of a
/// second. `None` if it is no PKCS#8, or no randomness is to be had.
pub fn encrypted_pem(pkcs8: &[u8], passphrase: &Passphrase) -> Option<String> {
    pem::encrypted(pkcs8, passphrase.0.bytes())
}

fn environment(name: &str) -> Result<Wiped, Fault> {
    std::env::var(name)
        .map(|text| Wiped(text.into_bytes()))
        .map_err(|_| Fault::new(format!("the environment has no \"{name}\""), "set it"))
}

/// Reads a file whose content is a secret. The mode is asked of the opened file, so that nobody can put another in its
/// place between the two.
fn read_secret(path: &Path, access: Access) -> Result<Wiped, Fault> {
    let mut file = open(path)?;
    let mode = file
        .metadata()
        .map_err(|error| unreadable(path, &error))?
        .mode();
    let (forbidden, allowed) = match access {
        Access::Owner => (0o077, "600"),
        Access::Group => (0o037, "640"),
    };
    if mode & forbidden != 0 {
        return Err(Fault::new(
            format!(
                "{} is a secret that others can read or change (mode {:04o})",
                path.display(),
                mode & 0o7777
            ),
            format!("chmod {allowed} {}", path.display()),
        ));
    }
    read_all(path, &mut file, FILE_LIMIT).map(Wiped)
}

/// Reads a file that is no secret.
pub(super) fn read_public(path: &Path) -> Result<Vec<u8>, Fault> {
    read_all(path, &mut open(path)?, FILE_LIMIT)
}

/// Reads a file of roots or of revocation lists.
pub(super) fn read_list(path: &Path) -> Result<Vec<u8>, Fault> {
    read_all(path, &mut open(path)?, LIST_LIMIT)
}

fn open(path: &Path) -> Result<File, Fault> {
    File::open(path).map_err(|error| unreadable(path, &error))
}

fn read_all(path: &Path, file: &mut File, limit: u64) -> Result<Vec<u8>, Fault> {
    // Room for the whole at once: a vector that grows leaves copies of a secret behind.
    let length = file.metadata().map_or(0, |data| data.len());
    let room = usize::try_from(length.min(limit)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(room + 1);
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > limit {
        return Err(Fault::new(
            format!("{} is too long for what it is to hold", path.display()),
            format!("name a file of at most {}MiB", limit >> 20),
        ));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(
        format!("cannot read {}: {error}", path.display()),
        "check the path and its permissions",
    )
}

/// Bytes that are overwritten when dropped.
struct Wiped(Vec<u8>);

impl Wiped {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The newline at a file's end is no part of a passphrase.
    fn trim_line_end(&mut self) {
        while self.0.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
            self.0.pop();
        }
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.fill(0);
        // Seen from outside, so that the compiler does not take the writes for useless.
        std::hint::black_box(&self.0);
    }
}
