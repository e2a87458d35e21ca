//! Arbitrary output of a program named git.

use proptest::prelude::*;

use super::super::log_parser::LogParser;

/// Parts of real output and arbitrary bytes.
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

/// Format the result of parsing `parts`, or the error.
fn read<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut parser = LogParser::of_commits();
    let mut found = Vec::new();
    for part in parts {
        match parser.parse_commits(part) {
            Ok(commits) => found.extend(commits),
            Err(error) => return error.to_string(),
        }
    }
    match parser.finish_commits() {
        Ok(last) => found.extend(last),
        Err(error) => return error.to_string(),
    }
    format!("{found:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn the_result_does_not_depend_on_the_chunks(output in output(), size in 1_usize..9) {
        let whole = read(std::iter::once(output.as_slice()));
        prop_assert_eq!(read(output.chunks(size)), whole);
        let mut parser = LogParser::of_line_counts();
        let counted = parser.parse_line_counts(&output).len() + usize::from(parser.finish_line_counts().is_some());
        prop_assert!(counted <= output.len());
    }
}
