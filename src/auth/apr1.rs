//! Apache's MD5 hash of passwords, `$apr1$salt$hash`, only to verify what older htpasswd files hold.
//! Never made anew: MD5 a thousand times over is cheap to guess against.
//! Start at [`digest`].

use md5::{Digest, Md5};

/// The alphabet of crypt's base 64, in order of value.
pub(super) const ALPHABET: &[u8; 64] =
    b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const ROUNDS: usize = 1000;

/// The 22 characters after the salt.
pub(super) fn digest(password: &[u8], salt: &[u8]) -> String {
    let inner = Md5::new()
        .chain_update(password)
        .chain_update(salt)
        .chain_update(password)
        .finalize();
    let mut outer = Md5::new()
        .chain_update(password)
        .chain_update(b"$apr1$")
        .chain_update(salt);
    for at in (0..password.len()).step_by(16) {
        let take = (password.len() - at).min(16);
        outer.update(inner.get(..take).unwrap_or_default());
    }
    // One byte for each bit of the length: zero for a one, the password's first byte for a zero.
    let mut bits = password.len();
    while bits > 0 {
        let first = password.get(..1).unwrap_or_default();
        outer.update(if bits & 1 == 1 { &[0][..] } else { first });
        bits >>= 1;
    }
    let mut state = outer.finalize();
    for round in 0..ROUNDS {
        let odd = round % 2 == 1;
        let mut hasher = Md5::new();
        hasher.update(if odd { password } else { &state });
        if round % 3 != 0 {
            hasher.update(salt);
        }
        if round % 7 != 0 {
            hasher.update(password);
        }
        hasher.update(if odd { &state } else { password });
        state = hasher.finalize();
    }
    encode(&state.into())
}

fn encode(state: &[u8; 16]) -> String {
    let [
        b0,
        b1,
        b2,
        b3,
        b4,
        b5,
        b6,
        b7,
        b8,
        b9,
        b10,
        b11,
        b12,
        b13,
        b14,
        b15,
    ] = *state;
    let mut text = String::with_capacity(22);
    let groups = [
        (b0, b6, b12, 4),
        (b1, b7, b13, 4),
        (b2, b8, b14, 4),
        (b3, b9, b15, 4),
        (b4, b10, b5, 4),
        (0, 0, b11, 2),
    ];
    for (high, middle, low, letters) in groups {
        let mut bits = u32::from(high) << 16 | u32::from(middle) << 8 | u32::from(low);
        for _ in 0..letters {
            let letter = ALPHABET.get((bits & 63) as usize).copied();
            text.push(char::from(letter.unwrap_or_default()));
            bits >>= 6;
        }
    }
    text
}
