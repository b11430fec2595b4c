//! DER (ITU-T X.690), as far as it is taken apart and put together by hand here: elements with their lengths.
//! Knows no certificate; x509-parser and rcgen do.
//! Start at [`element`].

/// SEQUENCE, constructed.
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const BIT_STRING: u8 = 0x03;

/// An element of parts. X.690 §8.1.3, §10.1: the length in as few bytes as it needs.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = Vec::with_capacity(length + 6);
    der.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => der.push(short),
        Ok(_) | Err(_) => {
            let digits = length.to_be_bytes();
            let digits = digits
                .split_at(digits.iter().take_while(|d| **d == 0).count())
                .1;
            der.push(0x80 | u8::try_from(digits.len()).unwrap_or_default());
            der.extend_from_slice(digits);
        }
    }
    for part in parts {
        der.extend_from_slice(part);
    }
    der
}

/// The first element of some bytes: all of it, its content, and what follows. `None` where its length is not one that DER writes,
/// or more than is there.
pub(super) fn first(der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let short = *der.get(1)?;
    let (header, length) = if short < 0x80 {
        (2, usize::from(short))
    } else {
        let digits = usize::from(short & 0x7f);
        if !(1..=4).contains(&digits) {
            return None;
        }
        let length = der
            .get(2..2 + digits)?
            .iter()
            .fold(0usize, |sum, digit| sum << 8 | usize::from(*digit));
        (2 + digits, length)
    };
    let (whole, rest) = der.split_at_checked(header.checked_add(length)?)?;
    Some((whole, whole.get(header..)?, rest))
}
