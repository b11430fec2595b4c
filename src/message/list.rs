//! Lists in fields: members between commas, some of which stand in quoted strings (RFC 9110 §5.6.1, §5.6.4).
//! Not what a member says; not `Forwarded`, which is read from its end (forwarded), nor structured fields, which have a grammar
//! of their own (RFC 9651).
//! Start at [`members`].

/// The members of one line, without the space around them; those that are empty too.
///
/// Behind a quote that is not closed there is no quoted string any more, so that it hides nothing: each comma separates there.
/// For whom that is not the careful reading, [`is_closed`] says so.
pub fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(line, b',').map(<[u8]>::trim_ascii)
}

/// Splits at a separator that stands in no quoted string; else as [`members`].
pub fn split(line: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    Parts {
        rest: Some(line),
        separator,
        plain: false,
    }
}

/// Whether each quote in it that begins a quoted string has one that ends it.
pub fn is_closed(text: &[u8]) -> bool {
    let mut quotes = Quotes::default();
    text.iter().for_each(|byte| quotes.pass(*byte));
    !quotes.inside
}

struct Parts<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
    /// A quote was not closed.
    plain: bool,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let Some(end) = self.end(rest) else {
            return Some(rest);
        };
        self.rest = rest.get(end + 1..);
        rest.get(..end)
    }
}

impl Parts<'_> {
    /// Where the next separator is. Each byte is looked at twice at most.
    fn end(&mut self, text: &[u8]) -> Option<usize> {
        if !self.plain {
            let mut quotes = Quotes::default();
            for (at, byte) in text.iter().enumerate() {
                if *byte == self.separator && !quotes.inside {
                    return Some(at);
                }
                quotes.pass(*byte);
            }
            self.plain = quotes.inside;
        }
        let mut bytes = text.iter();
        bytes
            .position(|byte| *byte == self.separator)
            .filter(|_| self.plain)
    }
}

/// Where one stands among quotes.
#[derive(Default)]
struct Quotes {
    inside: bool,
    escaped: bool,
}

impl Quotes {
    fn pass(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.inside => self.escaped = true,
            b'"' => self.inside = !self.inside,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commas_separate_but_for_those_in_quoted_strings() {
        for (line, expected) in [
            ("", &[""][..]),
            ("a", &["a"]),
            (" a , b\t", &["a", "b"]),
            ("a,,b,", &["a", "", "b", ""]),
            ("a=\"b, c\", d", &["a=\"b, c\"", "d"]),
            ("a=\"b\\\", c\", d", &["a=\"b\\\", c\"", "d"]),
            ("a=\"b\\\\\", c", &["a=\"b\\\\\"", "c"]),
            ("a\\, b", &["a\\", "b"]),
            // Those before the quote that is not closed are as they are.
            ("a=\"b, c\", d=\"e, f", &["a=\"b, c\"", "d=\"e", "f"]),
            ("a=\"b\\\", c", &["a=\"b\\\"", "c"]),
            ("\", \\\", a", &["\"", "\\\"", "a"]),
        ] {
            let read: Vec<_> = members(line.as_bytes()).collect();
            let expected: Vec<_> = expected.iter().map(|member| member.as_bytes()).collect();
            assert_eq!(read, expected, "{line}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_lost_and_what_is_not_closed_hides_no_comma(line in "[a\"\\\\, ]{0,24}") {
            let parts: Vec<_> = split(line.as_bytes(), b',').collect();
            prop_assert_eq!(parts.join(&b","[..]), line.as_bytes());
            prop_assert!(parts.iter().all(|part| is_closed(part) || !part.contains(&b',')));
        }
    }
}
