//! Decodes text files of users (configuration, credentials, CSV, SQL), which must be UTF-8.
//!
//! Excel, PowerShell and Notepad write other encodings. The error names the encoding and the command that converts the
//! file.

use std::fmt;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The number of bytes that are examined to detect UTF-16 without a byte order mark.
const EXAMINED: usize = 4096;

/// An encoding other than UTF-8, which `Display` writes as `iconv` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignEncoding {
    /// UTF-16 with a byte order mark.
    Utf16,
    /// Little-endian UTF-16 without a byte order mark.
    Utf16LittleEndian,
    /// Big-endian UTF-16 without a byte order mark.
    Utf16BigEndian,
    /// UTF-32 with a byte order mark.
    Utf32,
    /// The most likely encoding of other bytes that are not UTF-8, because spreadsheets write it.
    Windows1252,
}

impl ForeignEncoding {
    /// Return the encoding of a file that begins with `bytes`; `None` if it may be UTF-8, also if `bytes` ends inside a
    /// character.
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Some(Self::Utf32),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Some(Self::Utf16),
            _ => {}
        }
        let (even, odd) = count_zeros(bytes.get(..EXAMINED).unwrap_or(bytes));
        let most = bytes.len().min(EXAMINED) / 4;
        // In UTF-16 every other byte of a Latin letter is zero. This is valid UTF-8, but text has no zero bytes.
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

    /// Return the command that converts the file at `path` to UTF-8.
    pub fn fix(self, path: impl fmt::Display) -> String {
        format!("convert it: iconv -f {self} -t UTF-8 {path} > {path}.utf8")
    }
}

impl fmt::Display for ForeignEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Return the number of zero bytes at even and at odd positions.
fn count_zeros(bytes: &[u8]) -> (usize, usize) {
    let at = |first: usize| {
        let places = bytes.iter().skip(first).step_by(2);
        places.filter(|byte| **byte == 0).count()
    };
    (at(0), at(1))
}

/// Return the text of a file that was read from `path`, without its byte order mark.
///
/// # Errors
/// An error of `kind` if the bytes are not UTF-8, with the encoding and the command that converts the file.
pub fn text(bytes: Vec<u8>, path: &Path, kind: ErrorKind) -> Result<String> {
    let shown = path.display();
    if let Some(foreign) = ForeignEncoding::detect(&bytes) {
        let line = std::str::from_utf8(&bytes).err().map(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            before.iter().filter(|byte| **byte == b'\n').count() + 1
        });
        let what = match (foreign, line) {
            (ForeignEncoding::Windows1252, Some(line)) => {
                format!(
                    "the file {shown} is not UTF-8 from line {line} on: it is most likely {foreign}"
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

/// Return `text` without white space and byte order marks at its ends.
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
    fn utf_8_is_decoded_with_and_without_a_byte_order_mark() {
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
        assert!(error.message().contains("from line 2 on"), "{error}");
    }

    #[test]
    fn a_truncated_character_is_not_another_encoding() {
        assert_eq!(
            ForeignEncoding::detect("J\u{fc}".as_bytes().get(..2).unwrap()),
            None
        );
        let error = read(b"J\xc3".to_vec()).unwrap_err();
        assert!(
            error.message().contains("ends inside a character"),
            "{error}"
        );
    }

    #[test]
    fn byte_order_marks_and_white_space_around_a_text_are_removed() {
        assert_eq!(trimmed("\u{feff} s3cr3t\r\n\u{feff}"), "s3cr3t");
    }
}
