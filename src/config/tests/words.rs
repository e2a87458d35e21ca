//! The words of the list of keys, and thereby of the reference and the JSON Schema, are those that the parser takes.

use std::collections::BTreeSet;

use super::super::key_types::KeyValues;
use super::super::keys::REFERENCE;
use super::{message, parse};

/// A file with one key of the table `title`.
fn file_with(title: &str, setting: &str) -> String {
    let table = match title {
        "[lake]" => "",
        "[lake.tables.\"LAYER.TABLE\"]" => "[lake.tables.\"domain.commits\"]",
        "[[connection]]" => "[[connection]]\nid = 1\nname = \"acme\"",
        "[[project]]" => "[[project]]\nname = \"p\"\nrepositories = [\"acme/web\"]",
        "[rules.NAME]" => "[rules.default]\ndeployment_pattern = \"deploy\"",
        "[rules.NAME] issue_status" => "[rules.default.issue_status]",
        "[rules.NAME] issue_type" => "[rules.default.issue_type]",
        "[rules.NAME] tags" => "[rules.default.tags]",
        "[sync], for commits" => "[sync]",
        "[[table]]" => "[[table]]\nname = \"domain.issues\"\nlocation = \"x\"",
        title => panic!("write a table {title}"),
    };
    format!("[lake]\nurl = \"out\"\n{table}\n{setting}\n")
}

/// Return the words that the parser's error names.
fn suggested(error: &str) -> BTreeSet<&str> {
    let (_, words) = error.rsplit_once("use one of: ").expect(error);
    words.split(", ").collect()
}

#[test]
fn the_words_of_a_key_are_those_that_the_parser_takes() {
    let mut keys = 0;
    for table in REFERENCE.iter().filter(|it| it.title != "[lake], for S3") {
        for key in table.keys {
            let (words, opening, closing) = match &key.values {
                KeyValues::Words(words) | KeyValues::AnyCase(words) => (*words, "", ""),
                KeyValues::List(_, KeyValues::Words(words) | KeyValues::AnyCase(words)) => {
                    (*words, "[", "]")
                }
                _ => continue,
            };
            let set = |word: &str| {
                let setting = format!("{} = {opening}\"{word}\"{closing}", key.name);
                parse(&file_with(table.title, &setting))
            };
            let error = message(set("nothing-like-it"));
            let known: BTreeSet<&str> = words.iter().copied().collect();
            assert_eq!(suggested(&error), known, "{} {}", table.title, key.name);
            keys += 1;
        }
    }
    assert!(keys > 15, "{keys} keys have words");
}
