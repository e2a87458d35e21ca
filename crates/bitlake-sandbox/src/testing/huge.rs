//! A page larger than the memory of its reader, plain or compressed: a little JSON around one repeated letter, generated
//! while it is sent.

use std::io;

use axum::body::Body;
use futures::stream;

const HEAD: &[u8] = br#"{"values":[{"uuid":""#;
const TAIL: &[u8] = br#""}]}"#;
const PIECE: usize = 64 * 1024;

/// Return a body with `bytes` letters, uncompressed.
pub(crate) fn plain(bytes: u64) -> Body {
    let whole = usize::try_from(bytes).unwrap_or(usize::MAX);
    let pieces = (0..whole.div_ceil(PIECE)).map(move |n| {
        let left = whole - n * PIECE;
        vec![b'a'; left.min(PIECE)]
    });
    body(
        [HEAD.to_vec()]
            .into_iter()
            .chain(pieces)
            .chain([TAIL.to_vec()]),
    )
}

/// Return a body with at least `bytes` letters in gzip: deflate's longest match, 258 bytes at distance 1, takes 13 bits. The
/// checksum is left out, because no reader should reach it.
pub(crate) fn packed(bytes: u64) -> Body {
    let mut head = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    head.extend(stored(&[HEAD, b"a"].concat()));
    // Eight matches fill 13 bytes, but a block begins with a header of three bits. Each block therefore contains 8 n
    // matches and is padded by an empty stored block, which ends at a byte boundary.
    let per_block = 8 * 1024;
    let mut bits = Bits::default();
    bits.push(&[0, 1, 0]);
    (0..per_block).for_each(|_| bits.push(&[1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]));
    bits.push(&[0; 7]);
    bits.push(&[0, 0, 0]);
    let mut block = bits.0;
    block.extend([0, 0, 0xff, 0xff]);
    let blocks = bytes.div_ceil(258 * per_block);
    body(
        [head]
            .into_iter()
            .chain((0..blocks).map(move |_| block.clone())),
    )
}

/// Return a stored (uncompressed) block.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or_default();
    let mut block = vec![0];
    block.extend(length.to_le_bytes());
    block.extend((!length).to_le_bytes());
    block.extend(bytes);
    block
}

/// A bit writer; deflate fills bytes from the lowest bit.
#[derive(Default)]
struct Bits(Vec<u8>, u8);

impl Bits {
    fn push(&mut self, bits: &[u8]) {
        for bit in bits {
            if self.1 == 0 {
                self.0.push(0);
            }
            if let Some(last) = self.0.last_mut() {
                *last |= bit << self.1;
            }
            self.1 = (self.1 + 1) % 8;
        }
    }
}

fn body(pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Body {
    Body::from_stream(stream::iter(pieces.map(Ok::<_, io::Error>)))
}
