//! Password hashes: read, verified, made. bcrypt, SHA-crypt, apr1 and argon2.
//! Slow by design: nothing here is called on a worker (verifier sees to that).
//! Start at [`Hash::parse`] and [`hash_password`].

use std::fmt;

use argon2::{Argon2, PasswordHash, PasswordHasher as _, PasswordVerifier as _};
use sha_crypt::{Algorithm, Params, ShaCrypt};

use super::apr1;
use super::credentials::PASSWORD_LIMIT;

/// A hash from a password file, whose form and cost were checked.
pub(super) struct Hash {
    kind: Kind,
    text: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bcrypt,
    ShaCrypt,
    Apr1,
    Argon2,
}

/// What is wrong, and the remedy.
type Problem = (String, &'static str);

const REMEDY: &str = "make the line anew with `egret hash`";

/// bcrypt reads no further than this.
const BCRYPT_LIMIT: usize = 72;

/// Costs above these would let a few clients keep every verifier busy for seconds.
const BCRYPT_COST_MAX: u32 = 15;
const SHA_ROUNDS_MAX: u32 = 1_000_000;
const ARGON2_MEMORY_MAX: u32 = 256 * 1024;
const ARGON2_WORK_MAX: u64 = 1024 * 1024;
const ARGON2_LANES_MAX: u32 = 64;

impl Hash {
    /// Reads a hash, or says why it cannot be used.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let kind = match text.split('$').nth(1).filter(|_| text.starts_with('$')) {
            Some("2a" | "2b" | "2y") => check_bcrypt(text)?,
            Some("5") => check_sha_crypt(text, 43, 16)?,
            Some("6") => check_sha_crypt(text, 86, 4)?,
            Some("apr1") => check_apr1(text)?,
            Some("argon2id" | "argon2i" | "argon2d") => check_argon2(text)?,
            Some("2x") => {
                return Err(refuse(
                    "bcrypt's \"2x\" form marks hashes of a faulty implementation",
                ));
            }
            Some("1") => return Err(refuse("MD5-crypt is too weak")),
            Some(_) => {
                return Err(refuse(
                    "this kind of hash is not known (known: bcrypt, SHA-crypt, apr1, argon2)",
                ));
            }
            None => return Err(refuse(&name_weakness(text))),
        };
        Ok(Self {
            kind,
            text: text.into(),
        })
    }

    /// Whether this is the password. Takes as long for a wrong one as for the right one.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        match self.kind {
            Kind::Bcrypt => {
                // Cut to 72 bytes, all passwords with the same beginning would be the right one.
                let equal = bcrypt::verify(password, &self.text).unwrap_or(false);
                equal && password.len() <= BCRYPT_LIMIT
            }
            Kind::ShaCrypt => ShaCrypt::default()
                .verify_password(password, &*self.text)
                .is_ok(),
            Kind::Apr1 => {
                let mut fields = self.text.split('$').skip(2);
                let (salt, expected) = (fields.next(), fields.next());
                let digest = apr1::digest(password, salt.unwrap_or_default().as_bytes());
                equal(digest.as_bytes(), expected.unwrap_or_default().as_bytes())
            }
            Kind::Argon2 => PasswordHash::new(&self.text)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
        }
    }

    /// The hash as it stands in the file.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What makes verifying take the time it takes: two hashes with the same words take the same.
    pub(super) fn cost(&self) -> String {
        let words = match self.kind {
            Kind::Bcrypt => 3,
            Kind::ShaCrypt if self.text.contains("$rounds=") => 3,
            Kind::ShaCrypt | Kind::Apr1 => 2,
            Kind::Argon2 => 4,
        };
        self.text
            .split('$')
            .take(words)
            .collect::<Vec<_>>()
            .join("$")
    }
}

impl fmt::Debug for Hash {
    /// The kind alone: a hash can be guessed against.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({:?}, ..)", self.kind)
    }
}

fn refuse(problem: &str) -> Problem {
    (problem.to_owned(), REMEDY)
}

/// What a hash without a scheme is likely to be.
fn name_weakness(text: &str) -> String {
    let crypt = |text: &str| text.bytes().all(|b| apr1::ALPHABET.contains(&b));
    if text.is_empty() {
        "the hash is missing".to_owned()
    } else if text.starts_with("{SHA}") || text.starts_with("{SSHA}") {
        "SHA-1 is too weak for passwords: it is guessed by the billion in a second".to_owned()
    } else if text.len() == 13 && crypt(text) {
        "this is crypt's DES, which is too weak and reads 8 characters only, or a password in plain text"
            .to_owned()
    } else {
        "this is a password in plain text, or a hash that is not known".to_owned()
    }
}

fn check_bcrypt(text: &str) -> Result<Kind, Problem> {
    let parts: bcrypt::HashParts = text
        .parse()
        .map_err(|error| refuse(&format!("this is not a whole bcrypt hash: {error}")))?;
    match parts.get_cost() {
        4..=BCRYPT_COST_MAX => Ok(Kind::Bcrypt),
        cost => Err(refuse(&format!(
            "bcrypt's cost {cost} is not between 4 and {BCRYPT_COST_MAX}"
        ))),
    }
}

fn check_sha_crypt(text: &str, length: usize, last: usize) -> Result<Kind, Problem> {
    let mut fields = text.split('$').skip(2).peekable();
    if let Some(rounds) = fields
        .peek()
        .and_then(|field| field.strip_prefix("rounds="))
    {
        let fits = rounds
            .parse::<u32>()
            .is_ok_and(|rounds| (Params::ROUNDS_MIN..=SHA_ROUNDS_MAX).contains(&rounds));
        if !fits {
            return Err(refuse(&format!(
                "SHA-crypt's rounds are not between {} and {SHA_ROUNDS_MAX}",
                Params::ROUNDS_MIN
            )));
        }
        fields.next();
    }
    check_crypt_fields(fields, 16, length, last)
        .then_some(Kind::ShaCrypt)
        .ok_or_else(|| refuse("this is not a whole SHA-crypt hash"))
}

fn check_apr1(text: &str) -> Result<Kind, Problem> {
    check_crypt_fields(text.split('$').skip(2), 8, 22, 4)
        .then_some(Kind::Apr1)
        .ok_or_else(|| refuse("this is not a whole apr1 hash"))
}

/// Whether a salt and a hash follow, and nothing else. `last` bounds the value of the hash's last letter, which has
/// bits to spare.
fn check_crypt_fields<'a>(
    mut fields: impl Iterator<Item = &'a str>,
    salt_max: usize,
    length: usize,
    last: usize,
) -> bool {
    let (Some(salt), Some(hash), None) = (fields.next(), fields.next(), fields.next()) else {
        return false;
    };
    let value = |b: u8| apr1::ALPHABET.iter().position(|letter| *letter == b);
    let all = |text: &str| text.bytes().all(|b| value(b).is_some());
    let ends = hash.bytes().last().and_then(value);
    (1..=salt_max).contains(&salt.len())
        && hash.len() == length
        && all(salt)
        && all(hash)
        && ends.is_some_and(|value| value < last)
}

fn check_argon2(text: &str) -> Result<Kind, Problem> {
    let broken = || refuse("this is not a whole argon2 hash");
    let hash = PasswordHash::new(text).map_err(|_| broken())?;
    let params = argon2::Params::try_from(&hash).map_err(|_| broken())?;
    let salted = hash
        .salt
        .as_ref()
        .is_some_and(|salt| salt.len() >= argon2::MIN_SALT_LEN);
    if !salted || hash.hash.is_none() || !matches!(hash.version, Some(16 | 19)) {
        return Err(broken());
    }
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() > ARGON2_MEMORY_MAX
        || work > ARGON2_WORK_MAX
        || params.p_cost() > ARGON2_LANES_MAX
    {
        return Err(refuse(&format!(
            "argon2's cost is too high: m at most {ARGON2_MEMORY_MAX}, m times t at most {ARGON2_WORK_MAX}, p at most \
             {ARGON2_LANES_MAX}"
        )));
    }
    Ok(Kind::Argon2)
}

fn equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// How a password is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashMethod {
    /// bcrypt, understood everywhere; passwords of at most 72 bytes.
    Bcrypt {
        /// The work doubles with each; 4 to 15.
        cost: u32,
    },
    /// argon2id, the strongest: 19 MiB, two passes (RFC 9106).
    Argon2id,
    /// SHA-crypt with SHA-512, as in `/etc/shadow`.
    Sha512,
}

impl HashMethod {
    /// The methods by name.
    pub const NAMES: &[(&'static str, Self)] = &[
        ("bcrypt", Self::Bcrypt { cost: 12 }),
        ("argon2id", Self::Argon2id),
        ("sha512", Self::Sha512),
    ];
}

impl Default for HashMethod {
    fn default() -> Self {
        Self::Bcrypt { cost: 12 }
    }
}

/// Why a password is not hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// No password at all.
    #[error("the password is empty")]
    Empty,
    /// More bytes than the method reads.
    #[error("the password has {length} bytes; {method} reads {limit} at most")]
    TooLong {
        /// Its bytes.
        length: usize,
        /// The most it may have.
        limit: usize,
        /// The method's name.
        method: &'static str,
    },
    /// No client could send it: not UTF-8, or a control character (RFC 7617 §2).
    #[error("the password is not UTF-8 without control characters, so no client can send it")]
    Unsendable,
    /// bcrypt's cost is out of range.
    #[error("bcrypt's cost is between 4 and 15, not {cost}")]
    Cost {
        /// What was asked for.
        cost: u32,
    },
    /// The system gave no random bytes, or too little memory.
    #[error("the system has no random bytes or no memory to spare")]
    System,
}

/// Hashes a password for a line `user:hash`. Takes a good part of a second by design.
pub fn hash_password(password: &[u8], method: HashMethod) -> Result<String, HashError> {
    let sendable = |text: &str| !text.contains(char::is_control);
    if password.is_empty() {
        return Err(HashError::Empty);
    }
    if !std::str::from_utf8(password).is_ok_and(sendable) {
        return Err(HashError::Unsendable);
    }
    let (limit, name) = match method {
        HashMethod::Bcrypt { .. } => (BCRYPT_LIMIT, "bcrypt"),
        HashMethod::Argon2id => (PASSWORD_LIMIT, "argon2id"),
        HashMethod::Sha512 => (PASSWORD_LIMIT, "sha512"),
    };
    if password.len() > limit {
        return Err(HashError::TooLong {
            length: password.len(),
            limit,
            method: name,
        });
    }
    match method {
        HashMethod::Bcrypt { cost } if !(4..=BCRYPT_COST_MAX).contains(&cost) => {
            Err(HashError::Cost { cost })
        }
        HashMethod::Bcrypt { cost } => bcrypt::hash_with_salt(password, cost, salt()?)
            .map(|parts| parts.format_for_version(bcrypt::Version::TwoY))
            .map_err(|_| HashError::System),
        HashMethod::Argon2id => Argon2::default()
            .hash_password_with_salt(password, &salt::<16>()?)
            .map(|hash| hash.to_string())
            .map_err(|_| HashError::System),
        HashMethod::Sha512 => {
            let params = Params::new(SHA_ROUNDS).map_err(|_| HashError::System)?;
            // Twelve bytes are the sixteen letters of salt that SHA-crypt reads.
            ShaCrypt::new(Algorithm::Sha512Crypt, params)
                .hash_password_with_salt(password, &salt::<12>()?)
                .map(|hash| hash.to_string())
                .map_err(|_| HashError::System)
        }
    }
}

/// Rounds of the SHA-crypt hashes made here.
const SHA_ROUNDS: u32 = 200_000;

fn salt<const N: usize>() -> Result<[u8; N], HashError> {
    let mut salt = [0; N];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| HashError::System)?;
    Ok(salt)
}
