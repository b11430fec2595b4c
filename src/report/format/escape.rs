//! Three ways to make a peer's text harmless inside a line.
//! All keep printable ASCII readable; none lets a line end, a terminal escape or a quote through.
//! Start at the function of the form: [`json`], [`apache`], [`url`].

use std::fmt::Write as _;

/// A JSON string with its quotes. Beside what JSON demands (RFC 8259 §7), escapes what a terminal or an editor would
/// obey: C1 controls, line separators, direction overrides.
pub(super) fn json(line: &mut String, text: &str) {
    line.push('"');
    let mut from = 0;
    for (at, c) in text.char_indices() {
        if !is_special(c) {
            continue;
        }
        line.push_str(text.get(from..at).unwrap_or_default());
        from = at + c.len_utf8();
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            other => unicode(line, other),
        }
    }
    line.push_str(text.get(from..).unwrap_or_default());
    line.push('"');
}

fn is_special(c: char) -> bool {
    matches!(c, '"' | '\\' | '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// All that is special lies in the basic plane, so that four digits are enough.
fn unicode(line: &mut String, c: char) {
    write!(line, "\\u{:04x}", u32::from(c)).expect("a String takes all that is written");
}

/// The text as Apache's logs have it: `\"`, `\\`, `\n`, and `\xhh` for each byte that is not printable ASCII.
/// With `bare`, for a field without quotes, a space is escaped too.
pub(super) fn apache(line: &mut String, text: &str, bare: bool) {
    for byte in text.bytes() {
        match byte {
            b'"' => line.push_str("\\\""),
            b'\\' => line.push_str("\\\\"),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            b' ' if !bare => line.push(' '),
            b'!'..=b'~' => line.push(char::from(byte)),
            other => hex(line, "\\x", other, LOWER),
        }
    }
}

/// The text as Squid's logs have a URL: bytes that are unsafe in one (RFC 1738 §2.2) become `%HH`; `%` itself stays.
pub(super) fn url(line: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'<' | b'>' | b'"' | b'#' | b'{' | b'}' | b'|' | b'\\' | b'^' | b'~' | b'[' | b']'
            | b'`' | b'\'' => {
                hex(line, "%", byte, UPPER);
            }
            b'!'..=b'~' => line.push(char::from(byte)),
            other => hex(line, "%", other, UPPER),
        }
    }
}

fn hex(line: &mut String, prefix: &str, byte: u8, digits: &[u8; 16]) {
    line.push_str(prefix);
    for half in [byte >> 4, byte & 15] {
        line.push(
            digits
                .get(usize::from(half))
                .copied()
                .map_or('0', char::from),
        );
    }
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";
