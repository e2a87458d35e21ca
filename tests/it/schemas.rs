//! Schemas grow: files written under an older contract are read under the new one and get the new columns from the kept
//! payloads.

use std::path::Path;
use std::sync::Arc;

use bitlake::transform::TransformOptions;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StructArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::*;

const FILE: &str =
    "bitbucket/pull_requests/connection=1/workspace_slug=acme/repo=web/part-0.parquet";
/// Publish only the source layer.
const SOURCE: [&str; 1] = ["config"];
const ANN: &str = "SELECT title, author['nickname'] FROM bitbucket.pull_requests ORDER BY id";

/// Remove `title` and `author.nickname` from a Parquet file, as if no contract had ever named them.
fn age(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let batches: Vec<_> = reader
        .build()
        .unwrap()
        .map(|batch| aged(&batch.unwrap()))
        .collect();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batches[0].schema(), None).unwrap();
    for batch in &batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
}

fn aged(batch: &RecordBatch) -> RecordBatch {
    let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let field = field.as_ref().clone();
        match field.name().as_str() {
            "title" => {}
            "author" => {
                let author = column.as_struct();
                let kept = author.fields().iter().zip(author.columns());
                let kept: Vec<_> = kept
                    .filter(|(field, _)| field.name() != "nickname")
                    .map(|(field, column)| (Arc::clone(field), Arc::clone(column)))
                    .collect();
                let (fields, columns_of): (Vec<_>, Vec<_>) = kept.into_iter().unzip();
                let fields = fields.into();
                let author = StructArray::new(fields, columns_of, author.nulls().cloned());
                let field = Field::new("author", author.data_type().clone(), true);
                columns.push((field, Arc::new(author)));
            }
            _ => columns.push((field, Arc::clone(column))),
        }
    }
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// Change a JSON object of the lake.
fn edit(bench: &Bench, path: &str, change: impl FnOnce(&mut Value)) {
    let path = bench.folder.path().join("lake").join(path);
    let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

fn read(bench: &Bench, path: &str) -> Vec<u8> {
    std::fs::read(bench.folder.path().join("lake").join(path)).unwrap()
}

#[tokio::test]
async fn a_published_file_of_an_older_schema_reads_as_null_and_is_decoded_again() {
    let mut bench = Bench::quirk("approval_activity").await;
    bench.complete().await;
    bench.transform(&SOURCE).await.unwrap();
    let today = read(&bench, FILE);
    let rows = bench.query(ANN).await;
    assert!(rows[0].ends_with(" | ann"), "{rows:?}");

    age(&bench.folder.path().join("lake").join(FILE));
    edit(&bench, "_bitlake/manifest.json", |manifest| {
        let table = &mut manifest["tables"]["bitbucket.pull_requests"];
        table["schema_version"] = json!(0);
        name_bytes(&bench, &mut table["files"][FILE]);
    });
    assert!(
        bench
            .query(ANN)
            .await
            .iter()
            .all(|row| row == "NULL | NULL")
    );

    let report = bench.transform(&SOURCE).await.unwrap();
    assert_eq!(report.published.files_written, 1);
    assert_eq!(bench.query(ANN).await, rows);
    assert!(read(&bench, FILE) == today, "the same bytes again");
    let manifest = bench.lake.manifest().await.unwrap();
    let table = manifest.table("bitbucket.pull_requests").unwrap();
    let contracts = bitlake::schema::Contracts::bundled().unwrap();
    let contract = contracts.require("bitbucket", "pull_requests").unwrap();
    assert_eq!(table.schema_version, contract.version, "and never again");
}

/// Make the manifest name the current bytes of the files, as the version that wrote them did.
fn name_bytes(bench: &Bench, file: &mut Value) {
    let bytes = read(bench, FILE);
    file["bytes"] = json!(bytes.len());
    file["sha256"] = json!(hex(&Sha256::digest(&bytes)));
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Write a time of the year 2300 into `created_on` of a Parquet file, as a version without a bound did.
fn date_far_ahead(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batches[0].schema(), None).unwrap();
    for batch in &batches {
        let at = batch.schema().index_of("created_on").unwrap();
        let mut columns = batch.columns().to_vec();
        let far = TimestampMicrosecondArray::from(vec![10_413_792_000_000_000; batch.num_rows()]);
        columns[at] = Arc::new(far.with_timezone("UTC"));
        writer
            .write(&RecordBatch::try_new(batch.schema(), columns).unwrap())
            .unwrap();
    }
    writer.close().unwrap();
}

#[tokio::test]
async fn a_lake_with_times_that_no_engine_can_hold_heals() {
    let mut bench = Bench::quirk("time_beyond_every_engine").await;
    bench.complete().await;
    bench.transform(&[]).await.unwrap();
    let dates = "SELECT pull_request_key, created_date FROM domain.pull_requests ORDER BY 1";
    let rows = bench.query(dates).await;
    let today = read(&bench, FILE);

    date_far_ahead(&bench.folder.path().join("lake").join(FILE));
    edit(&bench, "_bitlake/manifest.json", |manifest| {
        let table = &mut manifest["tables"]["bitbucket.pull_requests"];
        table["schema_version"] = json!(1);
        name_bytes(&bench, &mut table["files"][FILE]);
    });
    let report = bench.transform(&[]).await.unwrap();
    assert_eq!(
        report.odd_times["bitbucket.pull_requests"]["created_on"].rows,
        1
    );
    assert_eq!(bench.query(dates).await, rows);
    assert!(
        read(&bench, FILE) == today,
        "the bytes of a lake that never had them"
    );
}

#[tokio::test]
async fn a_segment_of_an_older_schema_is_decoded_again() {
    let mut bench = Bench::quirk("approval_activity").await;
    bench.complete().await;
    let state = bench.state().await;
    let segment = &state.entities["pull_requests"].segments[0];
    age(&bench.folder.path().join("lake").join(&segment.path));
    edit(&bench, &state.path(), |state| {
        state["entities"]["pull_requests"]["segments"][0]["schema_version"] = json!(0);
    });
    bench.transform(&SOURCE).await.unwrap();
    let rows = bench.query(ANN).await;
    assert!(rows[0].ends_with(" | ann"), "{rows:?}");
}

#[tokio::test]
async fn a_rebuild_counts_values_that_do_not_fit_and_changes_no_byte() {
    let mut bench = Bench::quirk("value_of_wrong_type").await;
    let collected = bench.complete().await;
    let rebuild = || TransformOptions {
        rebuild: true,
        ..TransformOptions::default()
    };
    // It publishes collected segments as well.
    let report = bench.transform_with(&SOURCE, rebuild()).await.unwrap();
    assert!(report.published.files_written > 0);
    let misfits = &web(&collected, "pull_requests").misfits;
    assert!(!misfits.is_empty());
    assert_eq!(report.misfits["bitbucket.pull_requests"], *misfits);

    let report = bench.transform_with(&SOURCE, rebuild()).await.unwrap();
    assert_eq!(report.published.files_written, 0);
    assert_eq!(report.misfits["bitbucket.pull_requests"], *misfits);
    let report = bench.transform(&SOURCE).await.unwrap();
    assert!(report.misfits.is_empty(), "only a rebuild reads them again");
}

#[tokio::test]
async fn a_rebuild_mends_a_column_that_was_decoded_otherwise() {
    let mut bench = Bench::quirk("approval_activity").await;
    bench.complete().await;
    bench.transform(&SOURCE).await.unwrap();
    let today = read(&bench, FILE);
    age(&bench.folder.path().join("lake").join(FILE));
    edit(&bench, "_bitlake/manifest.json", |manifest| {
        name_bytes(
            &bench,
            &mut manifest["tables"]["bitbucket.pull_requests"]["files"][FILE],
        );
    });
    bench.transform(&SOURCE).await.unwrap();
    assert!(
        read(&bench, FILE) != today,
        "a transform does not look at it"
    );
    let rebuild = TransformOptions {
        rebuild: true,
        ..TransformOptions::default()
    };
    bench.transform_with(&SOURCE, rebuild).await.unwrap();
    assert!(read(&bench, FILE) == today, "the same bytes again");
}

#[tokio::test]
async fn a_table_or_segment_of_a_newer_schema_is_refused() {
    let mut bench = Bench::quirk("approval_activity").await;
    bench.complete().await;
    let path = bench.state().await.path();
    edit(&bench, &path, |state| {
        state["entities"]["pull_requests"]["segments"][0]["schema_version"] = json!(99);
    });
    let error = bench.transform(&SOURCE).await.unwrap_err().to_string();
    assert!(
        error.starts_with("the state was written by a newer version of bitlake")
            && error.ends_with("upgrade bitlake"),
        "{error}"
    );
    edit(&bench, &path, |state| {
        state["entities"]["pull_requests"]["segments"][0]["schema_version"] = json!(1);
    });
    bench.transform(&SOURCE).await.unwrap();
    edit(&bench, "_bitlake/manifest.json", |manifest| {
        manifest["tables"]["bitbucket.tags"]["schema_version"] = json!(99);
    });
    let error = bench.transform(&SOURCE).await.unwrap_err();
    assert_eq!(error.kind().exit_code(), 5);
    assert_eq!(
        error.to_string(),
        "the table was written by a newer version of bitlake (table=bitbucket.tags, schema_version=99): \
         upgrade bitlake"
    );
}
