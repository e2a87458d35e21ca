//! Anything that git, or what calls itself git, may print.

use proptest::prelude::*;

use super::super::log::Reader;

/// Pieces of real output, and bytes of any kind.
fn output() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\x01abc\0def\0A <a@x>\x001\0B <b@x>\x002\0message\0\0".to_vec()),
        Just(b"\n:100644 100644 aa bb M\0path\0".to_vec()),
        Just(b":000000 160000 00 bb\0".to_vec()),
        Just(b"\n1\t2\tpath\twith tab\0".to_vec()),
        Just(b"-\t-\tbinary\0".to_vec()),
        Just(b"\0".to_vec()),
        Just(b"\x01".to_vec()),
        Just("99999999999999999999\t\u{e9}".as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Everything that is read of `parts`, errors included, as text.
fn read<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut reader = Reader::of_commits();
    let mut found = Vec::new();
    for part in parts {
        match reader.commits(part) {
            Ok(commits) => found.extend(commits),
            Err(error) => return error.to_string(),
        }
    }
    match reader.last_commit() {
        Ok(last) => found.extend(last),
        Err(error) => return error.to_string(),
    }
    format!("{found:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn output_is_read_alike_however_it_is_cut(output in output(), size in 1_usize..9) {
        let whole = read(std::iter::once(output.as_slice()));
        prop_assert_eq!(read(output.chunks(size)), whole);
        let mut reader = Reader::of_counts();
        let counted = reader.counts(&output).len() + usize::from(reader.last_counts().is_some());
        prop_assert!(counted <= output.len());
    }
}
