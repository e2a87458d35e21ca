//! Snowflake: `COPY INTO` from a stage, in one transaction.

use super::create::definitions;
use super::load::{FILES_PER_STATEMENT, loaded_table, replace_rows};
use super::script::{DdlScript, DdlTable, FILE_COLUMN};
use super::syntax::{ScalarTypes, SqlDialect, SqlSyntax, has_word};
use crate::error::Result;
use crate::schema::Contract;

/// The name of the stage, and of the storage integration that it needs.
const STAGE: &str = "lake";
/// The file format of the stage.
const FILE_FORMAT: &str = "lake_parquet";
/// The schema of the stage and the file format.
const STAGE_LAYER: &str = "config";

/// Snowflake's own reserved words. Other warehouses accept needless quotes; in Snowflake a quoted name in lower case is
/// not found without quotes.
const RESERVED: &str = "\
    account all alter and any as between by case cast check column connect connection constraint create cross \
    current database delete distinct drop else exists false following for from full grant group having ilike in \
    increment inner insert intersect into is issue join lateral left like minus natural not null of on or order \
    organization qualify regexp revoke right rlike row rows sample schema select set some start table tablesample \
    then to trigger true union unique update using values view when whenever where with";

/// Return whether a name needs quotes in Snowflake.
pub(crate) fn is_reserved_in_snowflake(name: &str) -> bool {
    has_word(RESERVED, name)
}

/// The dialect of Snowflake.
pub(super) struct Snowflake;

impl SqlDialect for Snowflake {
    fn scalar_types(&self) -> ScalarTypes {
        ScalarTypes {
            text: "VARCHAR",
            integer: "BIGINT",
            double: "DOUBLE",
            boolean: "BOOLEAN",
            date: "DATE",
            timestamp: "TIMESTAMP_TZ",
        }
    }

    fn list_type(&self, _item: &str) -> String {
        "ARRAY".to_owned()
    }

    fn struct_type(&self, _fields: &[(String, String)]) -> String {
        "OBJECT".to_owned()
    }

    fn is_reserved(&self, name: &str) -> bool {
        has_word(RESERVED, name)
    }

    fn literal(&self, text: &str) -> String {
        format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    }

    fn column_comment(&self, description: &str) -> String {
        format!(" COMMENT {description}")
    }

    fn table_options(&self, description: &str) -> String {
        format!(" COMMENT = {description}")
    }

    /// Return the path of a file, which starts at the bucket in Snowflake.
    fn file_path(&self, folder: &str) -> String {
        format!("REGEXP_SUBSTR({FILE_COLUMN}, '{folder}.*')")
    }

    fn can_read(&self, location: &str) -> bool {
        stage_url(location).is_some()
    }

    fn example_location(&self) -> &'static str {
        "s3://bucket/lake, gcs://bucket/lake or azure://account.blob.core.windows.net/container/lake"
    }

    fn instructions(&self) -> &'static [&'static str] {
        &[
            "Needs a storage integration named lake, or a stage of your own as lake in the schema config.",
            "Stop at the first error, otherwise a part of the load is committed: snowsql -o exit_on_error=true -f FILE",
        ]
    }
}

pub(super) fn statements(
    script: &DdlScript<'_>,
    syntax: &SqlSyntax<'_>,
    tables: &[&DdlTable<'_>],
) -> Result<Vec<String>> {
    let definitions = definitions(syntax, tables)?.into_statements();
    let Some(location) = script.location else {
        return Ok(definitions);
    };
    // Definitions come first, because each commits the transaction. All of them can be repeated.
    let stage = stage_url(location).unwrap_or_else(|| location.to_owned());
    let mut statements = create_stage(syntax, &stage);
    statements.extend(definitions);
    statements.push("BEGIN".to_owned());
    statements.extend(replace_rows(script, syntax, tables, |contract, files| {
        let chunks = files.chunks(FILES_PER_STATEMENT);
        Ok(chunks
            .map(|files| copy_into(syntax, contract, files))
            .collect())
    })?);
    statements.push("COMMIT".to_owned());
    Ok(statements)
}

/// Return a location as Snowflake writes it: `gs://` as `gcs://`, and a container of Azure after its account. `None` if
/// Snowflake cannot read from the location.
fn stage_url(location: &str) -> Option<String> {
    let (scheme, rest) = location.split_once("://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    match scheme {
        "s3" | "s3gov" | "s3china" | "gcs" => Some(location.to_owned()),
        "gs" => Some(format!("gcs://{rest}")),
        "azure" => host.contains('.').then(|| location.to_owned()),
        "abfss" => {
            let (container, account) = host.split_once('@')?;
            let (account, _) = account.split_once('.')?;
            let path = format!("{container}/{path}");
            let path = path.trim_end_matches('/');
            Some(format!("azure://{account}.blob.core.windows.net/{path}"))
        }
        _ => None,
    }
}

fn create_stage(syntax: &SqlSyntax<'_>, location: &str) -> Vec<String> {
    let format = syntax.table(STAGE_LAYER, FILE_FORMAT);
    vec![
        // The files' times are in UTC, and must be read as such.
        "ALTER SESSION SET TIMEZONE = 'UTC'".to_owned(),
        format!("CREATE SCHEMA IF NOT EXISTS {}", syntax.schema(STAGE_LAYER)),
        format!(
            "CREATE FILE FORMAT IF NOT EXISTS {format} TYPE = PARQUET USE_VECTORIZED_SCANNER = TRUE"
        ),
        format!(
            "CREATE STAGE IF NOT EXISTS {} URL = {} STORAGE_INTEGRATION = {STAGE}",
            syntax.table(STAGE_LAYER, STAGE),
            syntax.text(&format!("{location}/"))
        ),
    ]
}

/// Copy files with `FORCE`: Snowflake skips file names that it has loaded before, but a changed partition keeps its name.
fn copy_into(syntax: &SqlSyntax<'_>, contract: &Contract, files: &[&str]) -> String {
    let Contract { layer, table, .. } = contract;
    let folder = format!("{layer}/{table}/");
    let files: Vec<_> = files
        .iter()
        .map(|file| file.strip_prefix(&folder).unwrap_or(file))
        .collect();
    format!(
        "COPY INTO {}\nFROM @{}/{folder}\nFILES = ({})\nFILE_FORMAT = (FORMAT_NAME = '{}')\n\
         MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE\nINCLUDE_METADATA = ({FILE_COLUMN} = METADATA$FILENAME)\nFORCE = TRUE",
        loaded_table(syntax, layer, table),
        syntax.table(STAGE_LAYER, STAGE),
        syntax.text_lines(&files),
        syntax.table(STAGE_LAYER, FILE_FORMAT),
    )
}
