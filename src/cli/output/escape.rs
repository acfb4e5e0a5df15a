//! Names and messages made safe to show.
//!
//! A name from elsewhere may hold a newline, an escape sequence or a mark that reverses the reading direction. Invariant: what these
//! functions give is one line of printable text, on a terminal and in a file alike. The form is rsync's: `\#` and three octal digits
//! for each byte, and a backslash that would read like one is escaped as well, so that a name can be told back exactly.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

/// A name of any bytes.
pub(in crate::cli) fn name(bytes: &[u8]) -> String {
    escape(bytes, true)
}

/// A message, in which names are escaped already or which came from a peer.
pub(in crate::cli) fn text(message: &str) -> String {
    escape(message.as_bytes(), false)
}

/// A word of a command line, quoted where a shell would read it as something else.
pub(in crate::cli) fn word(word: &OsStr) -> String {
    let bytes = word.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"%+,-./:=@_^".contains(byte) || *byte >= 0x80;
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return name(bytes);
    }
    format!("'{}'", name(bytes).replace('\'', "'\\''"))
}

/// What the system says of an error, without its number.
pub(in crate::cli) fn cause(error: &io::Error) -> String {
    without_number(&error.to_string())
}

/// A message that ends with the system's words for an error, made to fit into a line of ours: `a: No such file or directory (os
/// error 2)` is `a: no such file or directory`. Any other message stays as it is.
pub(in crate::cli) fn without_number(message: &str) -> String {
    let number = message.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (os error "));
    let Some((said, _)) = number.filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit())) else {
        return message.to_owned();
    };
    let start = said.rfind(": ").map_or(0, |at| at + 2);
    let (object, words) = said.split_at(start);
    let mut letters = words.chars();
    match (letters.next(), letters.clone().next()) {
        // "RPC …" is no word to lower.
        (Some(first), Some(second)) if second.is_lowercase() => {
            format!("{object}{}{}", first.to_lowercase(), letters.as_str())
        }
        _ => said.to_owned(),
    }
}

fn escape(bytes: &[u8], backslash: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut at = 0;
    for part in bytes.utf8_chunks() {
        for letter in part.valid().chars() {
            let length = letter.len_utf8();
            let reads_like_ours = backslash && letter == '\\' && is_escape(&bytes[at..]);
            if unsafe_to_show(letter) || reads_like_ours {
                octal(&mut out, &bytes[at..at + length]);
            } else {
                out.push(letter);
            }
            at += length;
        }
        octal(&mut out, part.invalid());
        at += part.invalid().len();
    }
    out
}

fn is_escape(bytes: &[u8]) -> bool {
    bytes.get(1) == Some(&b'#') && bytes.len() >= 5 && bytes[2..5].iter().all(u8::is_ascii_digit)
}

fn octal(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "\\#{byte:03o}");
    }
}

/// Control characters (C0, DEL, C1), line separators, and what changes the direction of reading or cannot be seen.
fn unsafe_to_show(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_rsyncs() {
        assert_eq!(name(b"a\nb"), "a\\#012b");
        assert_eq!(name(b"\x1b[31mred\x7f"), "\\#033[31mred\\#177");
        assert_eq!(name(b"caf\xe9"), "caf\\#351");
        assert_eq!(name("é ü 漢 😀 a\\b".as_bytes()), "é ü 漢 😀 a\\b");
        assert_eq!(name("\u{85}\u{202e}".as_bytes()), "\\#302\\#205\\#342\\#200\\#256");
        assert_eq!(name(b"\\#012"), "\\#134#012");
        assert_eq!(text("a\\#012: no\n"), "a\\#012: no\\#012");
    }

    #[test]
    fn causes_are_short_and_fit_into_a_line() {
        assert_eq!(cause(&io::Error::from_raw_os_error(13)), "permission denied");
        assert_eq!(cause(&io::Error::other("TLS alert")), "TLS alert");
        assert_eq!(without_number("a: b: No such file or directory (os error 2)"), "a: b: no such file or directory");
        assert_eq!(without_number("a (os error x)"), "a (os error x)");
    }

    /// The inverse of `name`.
    fn unescape(text: &str) -> Vec<u8> {
        let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
        while at < bytes.len() {
            if bytes[at] == b'\\' && is_escape(&bytes[at..]) {
                out.push(u8::from_str_radix(&text[at + 2..at + 5], 8).unwrap());
                at += 5;
            } else {
                out.push(bytes[at]);
                at += 1;
            }
        }
        out
    }

    proptest::proptest! {
        #[test]
        fn nothing_unsafe_is_left_and_nothing_is_lost(
            bytes in proptest::collection::vec(proptest::prop_oneof![proptest::num::u8::ANY, b'\\'..=b'\\', b'#'..=b'#', b'0'..=b'9'], 0..30),
        ) {
            let shown = name(&bytes);
            proptest::prop_assert!(!shown.chars().any(unsafe_to_show));
            proptest::prop_assert_eq!(unescape(&shown), bytes);
        }
    }
}
