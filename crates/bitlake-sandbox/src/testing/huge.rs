//! A page that is larger than the memory it is read into, plain or packed: a few lines of JSON around one letter,
//! repeated. It is made while it is sent.

use std::io;

use axum::body::Body;
use futures::stream;

const HEAD: &[u8] = br#"{"values":[{"uuid":""#;
const TAIL: &[u8] = br#""}]}"#;
const PIECE: usize = 64 * 1024;

/// `bytes` letters, plain.
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

/// `bytes` letters and some more, in gzip: deflate's longest match, 258 bytes back to the byte before, takes 13 bits.
/// The checksum is left out, as nobody should get there.
pub(crate) fn packed(bytes: u64) -> Body {
    let mut head = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    head.extend(stored(&[HEAD, b"a"].concat()));
    // Eight matches fill 13 bytes, but a block begins with three bits of its own: hence blocks of 8 n matches, padded
    // by an empty stored block, which ends at a full byte.
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

/// A block of bytes as they are.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or_default();
    let mut block = vec![0];
    block.extend(length.to_le_bytes());
    block.extend((!length).to_le_bytes());
    block.extend(bytes);
    block
}

/// Deflate fills bytes from their lowest bit.
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
