//! Which coding a client likes best (RFC 9110 §12.5.3).
//! Not whether the response may be coded.
//! Start at [`choose`].

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use super::Coding;

/// The coding that a request likes best of these, the first of those that it likes equally; `None` for none. A request
/// without the field is answered without a coding, though it would take any: who does not ask may not expect one. One
/// that refuses what is not coded too (`identity;q=0`) gets that rather than nothing.
pub(super) fn choose(request: &HeaderMap, codings: &[Coding]) -> Option<Coding> {
    let mut weights = Weights::default();
    for value in request.get_all(ACCEPT_ENCODING) {
        for part in value.to_str().unwrap_or_default().split(',') {
            weights.note(part);
        }
    }
    let liked = codings
        .iter()
        .copied()
        .map(|coding| (weights.of(coding), coding));
    let mut best = None;
    for (weight, coding) in liked {
        if weight > best.map_or(0, |(best, _)| best) {
            best = Some((weight, coding));
        }
    }
    let (weight, coding) = best?;
    // Where a client says how it likes what is not coded, it is not made to take what it likes less.
    (weight >= weights.identity.unwrap_or(0)).then_some(coding)
}

/// Weights in thousandths.
#[derive(Debug, Default)]
struct Weights {
    codings: [Option<u16>; Coding::ALL.len()],
    identity: Option<u16>,
    any: Option<u16>,
}

impl Weights {
    fn note(&mut self, part: &str) {
        let mut parameters = part.split(';').map(str::trim);
        let name = parameters.next().unwrap_or_default();
        // A weight that is none makes the whole entry none: it could be meant either way.
        let Some(weight) = parameters.next().map_or(Some(1_000), weight) else {
            return;
        };
        let noted = match name {
            "*" => Some(&mut self.any),
            name if name.eq_ignore_ascii_case("identity") => Some(&mut self.identity),
            name => Coding::named(name).and_then(|coding| self.codings.get_mut(coding as usize)),
        };
        if let Some(noted) = noted {
            // Of two, the one that asks for less.
            *noted = Some(noted.map_or(weight, |before| before.min(weight)));
        }
    }

    fn of(&self, coding: Coding) -> u16 {
        let named = self.codings.get(coding as usize).copied().flatten();
        named.or(self.any).unwrap_or(0)
    }
}

/// `q=0.123` (RFC 9110 §12.4.2) in thousandths.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|b| b.is_ascii_digit());
    if !name.eq_ignore_ascii_case("q") || !digits {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::message::compress::Coding::{Brotli, Gzip, Zstd};

    #[test]
    fn the_best_weight_wins_and_the_order_decides_between_equals() {
        for (accept, expected) in [
            ("gzip", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("GZIP, BR", Some(Brotli)),
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip;q=1.0, br;q=0.5", Some(Gzip)),
            ("gzip; Q=0.001", Some(Gzip)),
            ("gzip ;\tq=0.8 , br;q=0.9", Some(Brotli)),
            ("*", Some(Zstd)),
            ("*;q=0.5, zstd;q=0", Some(Brotli)),
            ("gzip, *;q=0", Some(Gzip)),
            ("gzip;q=0.5, identity;q=0.5", Some(Gzip)),
            ("gzip, identity;q=0", Some(Gzip)),
            ("gzip;q=0.5, identity", None),
            ("gzip;q=0", None),
            ("gzip;q=0.000", None),
            ("identity", None),
            ("identity;q=0", None),
            ("*;q=0", None),
            ("deflate, compress", None),
            ("", None),
            // Not weights.
            ("gzip;q=2", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=-1", None),
            ("gzip;q", None),
            ("gzip;q=", None),
            ("gzip;level=9", None),
            ("gzip, gzip;q=0", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept));
            assert_eq!(choose(&headers, &Coding::ALL), expected, "{accept}");
        }
        assert_eq!(choose(&HeaderMap::new(), &Coding::ALL), None);
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("br;q=0.5"));
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(choose(&headers, &[Brotli, Gzip]), Some(Gzip));
        assert_eq!(choose(&headers, &[Brotli]), Some(Brotli));
    }
}
