//! What a client offers to be known by, and what it is asked to offer: Basic (RFC 7617).
//! Verifies nothing; a password in here is never printed, and overwritten when it is dropped.
//! Start at [`Credentials::from_field`].

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// The most bytes that a user's name has; SOCKS5 can say no more (RFC 1929 §2).
pub(super) const USER_LIMIT: usize = 255;

/// The most bytes that a password has: some hashes take time in proportion to it.
pub(super) const PASSWORD_LIMIT: usize = 1024;

/// What a client offers.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A user's name and password.
    Basic {
        /// The name; no control characters, 1 to 255 bytes.
        user: Arc<str>,
        /// The password; no control characters, at most 1024 bytes.
        password: Password,
    },
}

/// Why credentials cannot be read. The client is answered as if they were wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The field is not a scheme and, after a space, one token.
    #[error("the credentials are not a scheme and one token")]
    Form,
    /// The token is not strict base 64.
    #[error("the credentials are not in base 64")]
    Base64,
    /// The decoded text is not UTF-8.
    #[error("the credentials are not in UTF-8")]
    Utf8,
    /// No colon between user and password.
    #[error("the credentials have no colon between user and password")]
    Colon,
    /// A control character. RFC 7617 §2 forbids them.
    #[error("the credentials have a control character")]
    Control,
    /// The user's name is empty or longer than 255 bytes, or the password longer than 1024.
    #[error("the user's name or the password has a length that nobody's has")]
    Length,
}

impl Credentials {
    /// Reads one `Proxy-Authorization` or `Authorization` field. `None`: a scheme that no method reads, to be treated as nothing offered.
    /// A request with more than one such field is ambiguous; its reader refuses it before it comes here.
    /// RFC 9110 §11.4, RFC 7617 §2.
    pub fn from_field(value: &HeaderValue) -> Result<Option<Self>, CredentialsError> {
        let bytes = value.as_bytes();
        let end = bytes.iter().position(|b| *b == b' ').unwrap_or(bytes.len());
        let (scheme, rest) = bytes.split_at(end);
        if scheme.is_empty() || !scheme.iter().all(|b| is_token(*b)) {
            return Err(CredentialsError::Form);
        }
        if !scheme.eq_ignore_ascii_case(b"Basic") {
            return Ok(None);
        }
        let token = rest.trim_ascii();
        if token.is_empty() {
            return Err(CredentialsError::Form);
        }
        if token.len() > (USER_LIMIT + 1 + PASSWORD_LIMIT).div_ceil(3) * 4 {
            return Err(CredentialsError::Length);
        }
        let mut decoded = Wiped(vec![0; token.len()]);
        let length = STANDARD
            .decode_slice(token, &mut decoded.0)
            .map_err(|_| CredentialsError::Base64)?;
        let text = decoded.0.get(..length).unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|_| CredentialsError::Utf8)?;
        // The user's name has no colon, the password may. RFC 7617 §2.
        let (user, password) = text.split_once(':').ok_or(CredentialsError::Colon)?;
        Self::checked(user, password).map(Some)
    }

    /// Reads the user and password of SOCKS5. RFC 1929 §2.
    pub fn user_password(user: &[u8], password: &[u8]) -> Result<Self, CredentialsError> {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| CredentialsError::Utf8);
        Self::checked(text(user)?, text(password)?)
    }

    /// The name offered, known or not.
    pub fn user(&self) -> &str {
        let Self::Basic { user, .. } = self;
        user
    }

    fn checked(user: &str, password: &str) -> Result<Self, CredentialsError> {
        if user.contains(char::is_control) || password.contains(char::is_control) {
            return Err(CredentialsError::Control);
        }
        if user.is_empty() || user.len() > USER_LIMIT || password.len() > PASSWORD_LIMIT {
            return Err(CredentialsError::Length);
        }
        Ok(Self::Basic {
            user: user.into(),
            password: Password::new(password.as_bytes()),
        })
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A password. Never printed; its bytes are overwritten when its last holder drops it.
#[derive(Clone)]
pub struct Password(Arc<Wiped>);

impl Password {
    /// Keeps a copy of the bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(Wiped(bytes.to_vec())))
    }

    /// The bytes, to verify them.
    pub fn expose(&self) -> &[u8] {
        &self.0.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Bytes that are overwritten when dropped. They are never grown, as that would leave a copy behind.
struct Wiped(Vec<u8>);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.fill(0);
        // Seen from outside, so that the compiler does not take the writes for useless.
        std::hint::black_box(&self.0);
    }
}

/// What a client is asked to offer: one value of `Proxy-Authenticate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge(HeaderValue);

impl Challenge {
    /// Asks for a user and password of a realm, in UTF-8. `None` where the realm is not printable ASCII, as what else
    /// a client would make of it is not known. RFC 7617 §2.
    pub fn basic(realm: &str) -> Option<Self> {
        if !realm.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return None;
        }
        let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!("Basic realm=\"{quoted}\", charset=\"UTF-8\"");
        HeaderValue::try_from(text).ok().map(Self)
    }

    /// The field's value.
    pub fn value(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}
