//! Delete and insert, in one transaction: Snowflake, BigQuery, Redshift, DuckDB, and Postgres by way of DuckDB.

use super::words::Words;
use super::{FILE_COLUMN, FILES_PER_STATEMENT, Script, Table, Target, create};
use crate::error::Result;
use crate::schema::Contract;

/// The name under which DuckDB has attached Postgres.
const POSTGRES: &str = "pg";
/// Of Snowflake's stage, and before the names of tables that only serve loading.
const LAKE: &str = "lake";
/// Where Snowflake's stage and file format are.
const STAGE_LAYER: &str = "config";

pub(super) fn statements(
    script: &Script<'_>,
    words: &Words<'_>,
    tables: &[&Table<'_>],
) -> Result<Vec<String>> {
    let definitions = create::statements(script, words, tables)?;
    let Some(location) = script.location else {
        return Ok(definitions);
    };
    let mut external = Vec::new();
    let mut rows = Vec::new();
    let mut after = Vec::new();
    for table in tables {
        rows.extend(delete(words, table));
        let loader = Loader {
            words,
            contract: table.contract,
            location,
        };
        let files = table.fresh();
        if files.is_empty() {
            continue;
        }
        if script.target == Target::BigQuery {
            external.push(loader.external_table(&files)?);
            after.push(format!("DROP EXTERNAL TABLE {}", loader.helper()));
        }
        rows.extend(loader.load(&files)?);
    }
    for (layer, table) in &script.gone {
        rows.push(delete_all(words, layer, table));
    }
    // On the first two, definitions end a transaction or are not allowed in one; each can be repeated.
    let (mut statements, begin, inside, commit) = match script.target {
        Target::Snowflake => {
            let mut before = stage(words, location);
            before.extend(definitions);
            (before, "BEGIN", Vec::new(), "COMMIT")
        }
        Target::BigQuery => {
            let before = [definitions, external].concat();
            (
                before,
                "BEGIN TRANSACTION",
                Vec::new(),
                "COMMIT TRANSACTION",
            )
        }
        Target::Postgres => {
            let inside = in_postgres(definitions);
            (attach(), "BEGIN TRANSACTION", inside, "COMMIT")
        }
        _ => (Vec::new(), "BEGIN TRANSACTION", definitions, "COMMIT"),
    };
    statements.push(begin.to_owned());
    statements.extend(inside);
    statements.extend(rows);
    statements.push(commit.to_owned());
    statements.extend(after);
    Ok(statements)
}

/// Makes Postgres a database of DuckDB's session.
fn attach() -> Vec<String> {
    vec![
        "INSTALL postgres".to_owned(),
        "LOAD postgres".to_owned(),
        // Postgres has no character 0, and Bitbucket's texts may.
        "SET pg_null_byte_replacement = ''".to_owned(),
        format!("ATTACH '' AS {POSTGRES} (TYPE postgres)"),
    ]
}

/// Statements that Postgres itself runs, in its own dialect.
fn in_postgres(statements: Vec<String>) -> Vec<String> {
    let call =
        |statement| format!("CALL postgres_execute('{POSTGRES}', $ddl$\n{statement}\n$ddl$)");
    statements.into_iter().map(call).collect()
}

fn stage(words: &Words<'_>, location: &str) -> Vec<String> {
    let format = words.table(STAGE_LAYER, "lake_parquet");
    vec![
        // Times of the files are in UTC and stay so.
        "ALTER SESSION SET TIMEZONE = 'UTC'".to_owned(),
        format!("CREATE SCHEMA IF NOT EXISTS {}", words.schema(STAGE_LAYER)),
        format!(
            "CREATE FILE FORMAT IF NOT EXISTS {format} TYPE = PARQUET USE_VECTORIZED_SCANNER = TRUE"
        ),
        format!(
            "CREATE STAGE IF NOT EXISTS {} URL = {} STORAGE_INTEGRATION = {LAKE}",
            words.table(STAGE_LAYER, LAKE),
            words.text(&format!("{location}/"))
        ),
    ]
}

/// The table in the statements that DuckDB or the warehouse itself runs on rows.
fn rows_of(words: &Words<'_>, layer: &str, table: &str) -> String {
    let name = words.table(layer, table);
    match words.target {
        Target::Postgres => format!("{POSTGRES}.{name}"),
        _ => name,
    }
}

fn delete(words: &Words<'_>, table: &Table<'_>) -> Vec<String> {
    let Contract {
        layer, table: name, ..
    } = table.contract;
    let Some(stale) = table.stale() else {
        return vec![delete_all(words, layer, name)];
    };
    let file = match words.target {
        // Its name of a file begins at the bucket.
        Target::Snowflake => format!("REGEXP_SUBSTR({FILE_COLUMN}, '{layer}/{name}/.*')"),
        _ => FILE_COLUMN.to_owned(),
    };
    let rows = rows_of(words, layer, name);
    stale
        .chunks(FILES_PER_STATEMENT)
        .map(|files| {
            format!(
                "DELETE FROM {rows} WHERE {file} IN ({})",
                words.texts(files)
            )
        })
        .collect()
}

fn delete_all(words: &Words<'_>, layer: &str, table: &str) -> String {
    let all = match words.target {
        Target::BigQuery => " WHERE TRUE",
        _ => "",
    };
    format!("DELETE FROM {}{all}", rows_of(words, layer, table))
}

/// One table's inserts.
struct Loader<'a> {
    words: &'a Words<'a>,
    contract: &'a Contract,
    location: &'a str,
}

impl Loader<'_> {
    fn load(&self, files: &[&str]) -> Result<Vec<String>> {
        let chunks = files.chunks(FILES_PER_STATEMENT);
        Ok(match self.words.target {
            Target::Snowflake => chunks.map(|files| self.copy_into(files)).collect(),
            Target::BigQuery => vec![self.insert_from_external()],
            Target::Redshift => self.copy_by_position(files)?,
            _ => chunks
                .map(|files| self.insert_from_parquet(files))
                .collect(),
        })
    }

    fn into(&self) -> String {
        rows_of(self.words, &self.contract.layer, &self.contract.table)
    }

    /// The columns in the contract's order, which is the files'.
    fn columns(&self) -> String {
        let columns = self.contract.columns.iter();
        let columns: Vec<_> = columns
            .map(|column| self.words.name(&column.name))
            .collect();
        columns.join(", ")
    }

    /// A table beside the loaded one that only serves loading.
    fn helper(&self) -> String {
        let name = format!("{LAKE}_{}", self.contract.table);
        match self.words.target {
            // Temporary tables have no schema.
            Target::Redshift => self.words.name(&name),
            _ => self.words.table(&self.contract.layer, &name),
        }
    }

    fn helper_columns(&self) -> Result<String> {
        let columns = self.contract.columns.iter().map(|column| {
            let data_type = self.words.type_of(&column.data_type)?;
            Ok(format!("{} {data_type}", self.words.name(&column.name)))
        });
        Ok(columns.collect::<Result<Vec<_>>>()?.join(",\n    "))
    }

    fn urls(&self, files: &[&str]) -> String {
        let urls: Vec<_> = files
            .iter()
            .map(|file| format!("{}/{file}", self.location))
            .collect();
        listed(self.words, &urls)
    }

    /// Snowflake remembers names of loaded files, and a partition's name stays when its content changes: `FORCE`.
    fn copy_into(&self, files: &[&str]) -> String {
        let Contract { layer, table, .. } = self.contract;
        let folder = format!("{layer}/{table}/");
        let files: Vec<_> = files
            .iter()
            .map(|file| file.strip_prefix(&folder).unwrap_or(file))
            .collect();
        format!(
            "COPY INTO {}\nFROM @{}/{folder}\nFILES = ({})\nFILE_FORMAT = (FORMAT_NAME = '{}')\n\
             MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE\nINCLUDE_METADATA = ({FILE_COLUMN} = METADATA$FILENAME)\nFORCE = TRUE",
            self.into(),
            self.words.table(STAGE_LAYER, LAKE),
            listed(self.words, &files),
            self.words.table(STAGE_LAYER, "lake_parquet"),
        )
    }

    fn external_table(&self, files: &[&str]) -> Result<String> {
        Ok(format!(
            "CREATE OR REPLACE EXTERNAL TABLE {} (\n    {}\n) OPTIONS (\n    format = 'PARQUET',\n    \
             enable_list_inference = TRUE,\n    uris = [{}]\n)",
            self.helper(),
            self.helper_columns()?,
            self.urls(files)
        ))
    }

    fn insert_from_external(&self) -> String {
        let columns = self.columns();
        format!(
            "INSERT INTO {} ({FILE_COLUMN}, {columns})\nSELECT SUBSTR(_FILE_NAME, {}), {columns}\nFROM {}",
            self.into(),
            self.after_location(),
            self.helper()
        )
    }

    /// Where the path below the lake begins in a file's whole name, counted from 1.
    fn after_location(&self) -> usize {
        self.location.chars().count() + 2
    }

    /// Redshift fills columns by position and has no word for a file's name, so each file takes its way alone.
    fn copy_by_position(&self, files: &[&str]) -> Result<Vec<String>> {
        let helper = self.helper();
        let columns = self.columns();
        let mut statements = vec![format!(
            "CREATE TEMP TABLE {helper} (\n    {}\n)",
            self.helper_columns()?
        )];
        for (n, file) in files.iter().enumerate() {
            if n > 0 {
                statements.push(format!("DELETE FROM {helper}"));
            }
            statements.push(format!(
                "COPY {helper} FROM {} IAM_ROLE DEFAULT FORMAT AS PARQUET SERIALIZETOJSON FILLRECORD",
                self.urls(&[file])
            ));
            statements.push(format!(
                "INSERT INTO {} ({FILE_COLUMN}, {columns})\nSELECT {}, {columns}\nFROM {helper}",
                self.into(),
                self.words.text(file)
            ));
        }
        statements.push(format!("DROP TABLE {helper}"));
        Ok(statements)
    }

    fn insert_from_parquet(&self, files: &[&str]) -> String {
        let values = self.contract.columns.iter().map(|column| {
            let name = self.words.name(&column.name);
            match self.words.target {
                Target::Postgres if column.data_type.is_nested() => format!("to_json({name})"),
                _ => name,
            }
        });
        format!(
            "INSERT INTO {} ({FILE_COLUMN}, {})\nSELECT substr({FILE_COLUMN}, {}), {}\nFROM read_parquet([{}],\n    \
             filename = '{FILE_COLUMN}', hive_partitioning = false, union_by_name = true)",
            self.into(),
            self.columns(),
            self.after_location(),
            values.collect::<Vec<_>>().join(", "),
            self.urls(files)
        )
    }
}

/// One a line where there are several.
fn listed<T: AsRef<str>>(words: &Words<'_>, texts: &[T]) -> String {
    match texts {
        [] | [_] => words.texts(texts),
        _ => {
            let lines: Vec<_> = texts.iter().map(|text| words.text(text.as_ref())).collect();
            format!("\n    {}", lines.join(",\n    "))
        }
    }
}
