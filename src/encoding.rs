//! Text files that people bring (configuration, credentials, CSV, SQL) must be UTF-8. Excel, PowerShell and Notepad
//! write other encodings, and "invalid UTF-8 sequence" does not say which one, or what to do.

use std::fmt;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// So many of the first bytes tell UTF-16 without a byte order mark.
const TELLING: usize = 4096;

/// An encoding that is not UTF-8, by the name that `iconv` knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    Utf16,
    Utf16LittleEndian,
    Utf16BigEndian,
    Utf32,
    /// Bytes that are no UTF-8. They do not tell their encoding; this is the one that spreadsheets write.
    Windows1252,
}

impl Foreign {
    /// The encoding of a file that begins with `bytes`, unless that may be UTF-8. A character that the end of `bytes`
    /// cuts is no fault.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Some(Self::Utf32),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Some(Self::Utf16),
            _ => {}
        }
        let (even, odd) = zeros(bytes.get(..TELLING).unwrap_or(bytes));
        let most = bytes.len().min(TELLING) / 4;
        // Latin letters in UTF-16 are every other byte zero, which is valid UTF-8 and never text.
        if bytes.len() > 1 && (even > most || odd > most) {
            return Some(match even > odd {
                true => Self::Utf16BigEndian,
                false => Self::Utf16LittleEndian,
            });
        }
        match std::str::from_utf8(bytes) {
            Err(error) if error.error_len().is_some() => Some(Self::Windows1252),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Utf16 => "UTF-16",
            Self::Utf16LittleEndian => "UTF-16LE",
            Self::Utf16BigEndian => "UTF-16BE",
            Self::Utf32 => "UTF-32",
            Self::Windows1252 => "WINDOWS-1252",
        }
    }

    /// The command that makes UTF-8 of the file at `path`.
    pub fn fix(self, path: impl fmt::Display) -> String {
        format!("convert it: iconv -f {self} -t UTF-8 {path} > {path}.utf8")
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Zero bytes at even and at odd places.
fn zeros(bytes: &[u8]) -> (usize, usize) {
    let at = |first: usize| {
        let places = bytes.iter().skip(first).step_by(2);
        places.filter(|byte| **byte == 0).count()
    };
    (at(0), at(1))
}

/// The text of a file that was read from `path`, without its byte order mark.
///
/// # Errors
/// `kind`, naming the encoding and the command that converts it, when the bytes are not UTF-8.
pub fn text(bytes: Vec<u8>, path: &Path, kind: ErrorKind) -> Result<String> {
    let shown = path.display();
    if let Some(foreign) = Foreign::of(&bytes) {
        let line = std::str::from_utf8(&bytes).err().map(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            before.iter().filter(|byte| **byte == b'\n').count() + 1
        });
        let what = match (foreign, line) {
            (Foreign::Windows1252, Some(line)) => {
                format!(
                    "the file {shown} is not UTF-8 from its line {line} on: most likely it is {foreign}"
                )
            }
            _ => format!("the file {shown} is {foreign} and must be UTF-8"),
        };
        return Err(Error::new(kind, what).hint(foreign.fix(shown)));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::new(kind, format!("the file {shown} ends inside a character"))
            .hint("copy it again: its last bytes are missing")
    })?;
    Ok(match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(text) => text.to_owned(),
        None => text,
    })
}

/// `text` without the white space and the byte order marks around it.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == BYTE_ORDER_MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, mark: bool, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let mark = mark.then_some('\u{feff}');
        let units: Vec<u16> = mark
            .into_iter()
            .chain(text.chars())
            .collect::<String>()
            .encode_utf16()
            .collect();
        units.into_iter().flat_map(bytes).collect()
    }

    fn read(bytes: Vec<u8>) -> Result<String> {
        text(bytes, Path::new("users.csv"), ErrorKind::Configuration)
    }

    #[test]
    fn utf_8_is_read_with_and_without_a_byte_order_mark() {
        for (bytes, expected) in [
            ("\u{feff}Id,Name\nü,€\n", "Id,Name\nü,€\n"),
            ("Id", "Id"),
            ("", ""),
        ] {
            assert_eq!(read(bytes.as_bytes().to_vec()).unwrap(), expected);
        }
    }

    #[test]
    fn another_encoding_is_named_with_the_command_that_converts_it() {
        let text = "Id,Name\n1,J\u{fc}rgen\n";
        let cases = [
            (utf16(text, true, u16::to_le_bytes), "UTF-16"),
            (utf16(text, true, u16::to_be_bytes), "UTF-16"),
            (utf16(text, false, u16::to_le_bytes), "UTF-16LE"),
            (utf16(text, false, u16::to_be_bytes), "UTF-16BE"),
            (b"\xff\xfe\x00\x00I\x00\x00\x00".to_vec(), "UTF-32"),
            (b"Id,Name\n1,J\xfcrgen\n".to_vec(), "WINDOWS-1252"),
        ];
        for (bytes, encoding) in cases {
            let error = read(bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            let fix = format!("iconv -f {encoding} -t UTF-8 users.csv > users.csv.utf8");
            assert!(error.to_string().contains(&fix), "{error}");
        }
        let error = read(b"Id,Name\n1,J\xfcrgen\n".to_vec()).unwrap_err();
        assert!(error.message().contains("from its line 2 on"), "{error}");
    }

    #[test]
    fn a_character_that_is_cut_is_no_foreign_encoding_of_a_prefix() {
        assert_eq!(Foreign::of("J\u{fc}".as_bytes().get(..2).unwrap()), None);
        let error = read(b"J\xc3".to_vec()).unwrap_err();
        assert!(
            error.message().contains("ends inside a character"),
            "{error}"
        );
    }

    #[test]
    fn marks_and_blanks_around_a_text_are_no_part_of_it() {
        assert_eq!(trimmed("\u{feff} s3cr3t\r\n\u{feff}"), "s3cr3t");
    }
}
