//! `[[table]]` files of arbitrary bytes give rows of a table or an error that names the file.

use std::collections::BTreeMap;
use std::path::Path;

use bitlake::config::Config;
use bitlake::error::Error;
use bitlake::lake::Lake;
use bitlake::transform::{TransformOptions, transform};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::HOSTILE;

/// Read `bytes` as `domain.projects`, the smallest table of the layer, and compute the layer.
async fn transform_bytes(folder: &Path, format: &str, bytes: &[u8]) -> Result<(), Error> {
    let file = folder.join(format!("given.{format}"));
    std::fs::write(&file, bytes).unwrap();
    let text = format!(
        "[lake]\nurl = \"lake\"\n[[table]]\nname = \"domain.incidents\"\nlocation = \"given.{format}\"\nformat = \"{format}\"\nadd = true\n"
    );
    let config = Config::parse(&text, &folder.join("bitlake.toml"), &BTreeMap::new(), &[])?;
    let lake = Lake::create(&config.lake.url, &config.lake.options)?;
    let lock = lake.lock()?;
    let options = TransformOptions {
        only: Some(["domain".to_owned()].into()),
        ..TransformOptions::default()
    };
    let now = "2026-11-30T12:00:00Z".parse().unwrap();
    transform(&config, &lake, &lock, "run", now, &options).await?;
    Ok(())
}

fn each(format: &str, files: &[Vec<u8>]) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    for bytes in files {
        let result = runtime.block_on(transform_bytes(folder.path(), format, bytes));
        if let Err(error) = result {
            assert!([2, 5].contains(&error.kind().exit_code()), "{error}");
            assert!(error.to_string().len() < 20_000);
        }
    }
}

#[test]
fn a_csv_of_any_bytes_is_a_table_or_an_error() {
    let header = "id,title,created_date,resolution_date\n";
    let mut files: Vec<Vec<u8>> = [
        "",
        "id\n",
        "id,id\n1,2\n",
        "\"",
        "id,title\n\"a\n",
        "id\0,title\n1,2\n",
        "\u{feff}id\n1\n",
        "id,title\n1\n1,2,3\n",
        "id\r1\r2",
        "=1+1,@x\n1,2\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    files.push(vec![0xff; 300]);
    files.push([header.as_bytes(), &[0x80; 40]].concat());
    files.push(format!("{}\n", vec!["a"; 5_000].join(",")).into_bytes());
    files.push(format!("id,title\n1,\"{}\"\n", "x".repeat(2_000_000)).into_bytes());
    let rows = HOSTILE.map(|value| format!("1,x,{value},{value}\n"));
    files.push([header.to_owned(), rows.concat()].concat().into_bytes());
    each("csv", &files);
}

#[test]
fn an_ndjson_of_any_bytes_is_a_table_or_an_error() {
    let mut files: Vec<Vec<u8>> = [
        "",
        "\n",
        "{}",
        "{",
        "[]",
        "null",
        "{\"id\":1}{\"id\":2}",
        "{\"id\":1}\n{\"id\":[]}",
        "{\"id\":{}}\n{\"id\":\"x\"}",
        "{\"id\":\"\\ud800\"}",
        "{\"id\":1e999}",
        "{\"\":1}",
        "{\"id\":1,\"id\":2}",
        "{\"id\":\"a\",\"b\":{\"c\":[{\"d\":1}]}}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    files.push(vec![0xff; 300]);
    files.push(b"{\"id\":\"\xff\"}".to_vec());
    for n in [100, 100_000] {
        files.push(format!("{{\"id\":{}1{}}}", "[".repeat(n), "]".repeat(n)).into_bytes());
        files.push(format!("{}1{}", "{\"id\":".repeat(n), "}".repeat(n)).into_bytes());
        files.push("{\"id\":".repeat(n).into_bytes());
    }
    for values in HOSTILE.chunks(8) {
        let rows = values
            .iter()
            .map(|value| format!("{{\"id\":\"1\",\"created_date\":{value},\"title\":{value}}}\n"));
        files.push(rows.collect::<String>().into_bytes());
    }
    each("ndjson", &files);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2))]

    #[test]
    fn random_bytes_are_a_table_or_an_error(
        csv in proptest::collection::vec(any::<u8>(), 0..200),
        text in "(id|title|,|\n|\"|\r|[a-z0-9]{1,3}|\\PC){0,40}",
        json in "(\\{|\\}|\\[|\\]|:|,|\n|\"id\"|\"[a-z]{0,3}\"|[0-9]{1,3}|null|true){0,40}",
    ) {
        each("csv", &[csv.clone(), text.into_bytes()]);
        each("ndjson", &[csv, json.into_bytes()]);
    }
}
