//! Opens the files of a `[[table]]`. Those of a bucket are copied to the local disk first, because their schema comes
//! from all of their rows, so each is read twice.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt};

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, OrError, Result};

/// A text file that can be read from its start any number of times.
pub(super) struct TextFile {
    pub name: String,
    file: File,
}

impl TextFile {
    /// Return the text from its first character that is not white space, without a byte order mark.
    pub(super) fn read(&self) -> Result<impl Read + use<>> {
        let mut file = self
            .file
            .try_clone()
            .or_error(ErrorKind::Configuration, "cannot read an outside file")
            .map_err(|error| error.with("file", &self.name))?;
        file.rewind()
            .or_error(ErrorKind::Configuration, "cannot read an outside file")
            .map_err(|error| error.with("file", &self.name))?;
        Ok(BufReader::new(Utf8::new(BufReader::new(file))))
    }

    #[cfg(test)]
    pub(super) fn of(text: &[u8]) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        Self {
            name: "test".to_owned(),
            file,
        }
    }
}

/// Open all files at `location`, ordered by name. Copies of remote files go to `folder`.
pub(super) async fn open(engine: &Engine, location: &str, folder: &Path) -> Result<Vec<TextFile>> {
    let (store, listed) = engine.outside_files(location).await?;
    let mut files = Vec::new();
    for meta in listed {
        let name = meta.location.to_string();
        let file = fetch(&store, &meta.location, folder).await;
        let file = file.map_err(|error| error.with("file", &name))?;
        files.push(TextFile { name, file });
    }
    Ok(files)
}

async fn fetch(
    store: &Arc<dyn ObjectStore>,
    path: &object_store::path::Path,
    folder: &Path,
) -> Result<File> {
    let failed = "cannot read an outside file";
    let found = store.get(path).await;
    let mut chunks = match found.or_error(ErrorKind::Configuration, failed)?.payload {
        GetResultPayload::File(file, _) => return Ok(file),
        GetResultPayload::Stream(chunks) => chunks,
    };
    let no_room = "cannot copy an outside file to the staging folder";
    std::fs::create_dir_all(folder).or_error(ErrorKind::Lake, no_room)?;
    // An unnamed file is deleted when it is closed.
    let mut copy = tempfile::tempfile_in(folder).or_error(ErrorKind::Lake, no_room)?;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.or_error(ErrorKind::Configuration, failed)?;
        copy.write_all(&chunk).or_error(ErrorKind::Lake, no_room)?;
    }
    Ok(copy)
}

/// A file is not UTF-8.
#[derive(Debug, thiserror::Error)]
#[error(
    "not UTF-8 from byte {at} on; convert the file, as in `iconv -f WINDOWS-1252 -t UTF-8` or `iconv -f UTF-16 -t UTF-8`"
)]
struct NotUtf8 {
    at: u64,
}

/// A reader that passes UTF-8 on and fails at any other byte. It skips a byte order mark and white space at the start.
struct Utf8<R> {
    inner: R,
    /// The first bytes of a character that is not read completely yet.
    begun: Vec<u8>,
    checked: u64,
    has_begun: bool,
}

impl<R: Read> Utf8<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            begun: Vec::new(),
            checked: 0,
            has_begun: false,
        }
    }

    fn check(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut text = std::mem::take(&mut self.begun);
        text.extend_from_slice(bytes);
        if let Err(error) = std::str::from_utf8(&text) {
            let valid = error.valid_up_to();
            if error.error_len().is_some() {
                let at = self.checked + valid as u64;
                return Err(io::Error::new(io::ErrorKind::InvalidData, NotUtf8 { at }));
            }
            self.begun = text.split_off(valid);
        }
        self.checked += text.len() as u64;
        Ok(())
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl<R: Read> Read for Utf8<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.inner.read(buffer)?;
            let bytes = buffer.get(..n).unwrap_or_default();
            if n == 0 && !buffer.is_empty() && !self.begun.is_empty() {
                let at = self.checked;
                return Err(io::Error::new(io::ErrorKind::InvalidData, NotUtf8 { at }));
            }
            self.check(bytes)?;
            if self.has_begun || n == 0 {
                return Ok(n);
            }
            // The buffer of the caller is larger than the mark, so the first read contains all of it.
            let marked = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
            let text = marked.trim_ascii_start();
            if text.is_empty() {
                continue;
            }
            self.has_begun = true;
            let (from, kept) = (n - text.len(), text.len());
            buffer.copy_within(from..n, 0);
            return Ok(kept);
        }
    }
}

/// Return a function that adds the name of the file to an error.
pub(super) fn in_file(file: &TextFile) -> impl Fn(Error) -> Error {
    move |error| error.with("file", &file.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Result<String, String> {
        let mut text = String::new();
        let mut file = TextFile::of(bytes).read().unwrap();
        let read = file.read_to_string(&mut text);
        read.map(|_| text).map_err(|error| error.to_string())
    }

    /// Reads one byte at a time, so that every character is split.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(buffer.len()).min(1);
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn a_byte_order_mark_and_leading_white_space_are_skipped() {
        assert_eq!(text("\u{feff}id\n1 ".as_bytes()).unwrap(), "id\n1 ");
        assert_eq!(text(b"\n  \r\nid\n").unwrap(), "id\n");
        for empty in ["", "\n", "\u{feff}", "\u{feff}\r\n", "  \n\t\n"] {
            assert_eq!(text(empty.as_bytes()).unwrap(), "", "{empty:?}");
        }
    }

    #[test]
    fn the_error_for_another_encoding_names_the_byte_and_the_fix() {
        let failure = text(b"id,name\n1,Andr\xe9,x").unwrap_err();
        assert!(
            failure.starts_with("not UTF-8 from byte 14 on"),
            "{failure}"
        );
        assert!(failure.contains("iconv"), "{failure}");
        let utf16 = text(b"\xff\xfei\0d\0").unwrap_err();
        assert!(utf16.starts_with("not UTF-8 from byte 0 on"), "{utf16}");
        assert!(text(b"caf\xc3").is_err());
    }

    #[test]
    fn characters_split_between_two_reads_are_complete() {
        let mut read = String::new();
        let checked = Utf8::new(Trickle("né €😀".as_bytes()));
        BufReader::with_capacity(1, checked)
            .read_to_string(&mut read)
            .unwrap();
        assert_eq!(read, "né €😀");
    }
}
