//! Delete and insert, in one transaction: Snowflake, BigQuery, Redshift, DuckDB, and Postgres by way of DuckDB.

use super::syntax::SqlSyntax;
use super::{DdlDialect, DdlScript, DdlTable, FILE_COLUMN, FILES_PER_STATEMENT, create};
use crate::error::Result;
use crate::schema::Contract;

/// The name under which DuckDB has attached Postgres.
const POSTGRES: &str = "pg";
/// Of Snowflake's stage, and before the names of tables that only serve loading.
const LAKE: &str = "lake";
/// Where Snowflake's stage and file format are.
const STAGE_LAYER: &str = "config";

pub(super) fn statements(
    script: &DdlScript<'_>,
    syntax: &SqlSyntax<'_>,
    tables: &[&DdlTable<'_>],
) -> Result<Vec<String>> {
    let definitions = create::statements(script, syntax, tables)?;
    let Some(location) = script.location else {
        return Ok(definitions);
    };
    let mut external = Vec::new();
    let mut rows = Vec::new();
    let mut after = Vec::new();
    for table in tables {
        rows.extend(delete(syntax, table));
        let loader = Loader {
            syntax,
            contract: table.contract,
            location,
        };
        let files = table.fresh();
        if files.is_empty() {
            continue;
        }
        if script.target == DdlDialect::BigQuery {
            external.push(loader.external_table(&files)?);
            after.push(format!("DROP EXTERNAL TABLE {}", loader.helper()));
        }
        rows.extend(loader.load(&files)?);
    }
    for (layer, table) in &script.gone {
        rows.push(delete_all(syntax, layer, table));
    }
    // On the first two, definitions end a transaction or are not allowed in one; each can be repeated.
    let (mut statements, begin, inside, commit) = match script.target {
        DdlDialect::Snowflake => {
            let mut before = stage(syntax, location);
            before.extend(definitions);
            (before, "BEGIN", Vec::new(), "COMMIT")
        }
        DdlDialect::BigQuery => {
            let before = [definitions, external].concat();
            (
                before,
                "BEGIN TRANSACTION",
                Vec::new(),
                "COMMIT TRANSACTION",
            )
        }
        DdlDialect::Postgres => {
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

fn stage(syntax: &SqlSyntax<'_>, location: &str) -> Vec<String> {
    let format = syntax.table(STAGE_LAYER, "lake_parquet");
    vec![
        // Times of the files are in UTC and stay so.
        "ALTER SESSION SET TIMEZONE = 'UTC'".to_owned(),
        format!("CREATE SCHEMA IF NOT EXISTS {}", syntax.schema(STAGE_LAYER)),
        format!(
            "CREATE FILE FORMAT IF NOT EXISTS {format} TYPE = PARQUET USE_VECTORIZED_SCANNER = TRUE"
        ),
        format!(
            "CREATE STAGE IF NOT EXISTS {} URL = {} STORAGE_INTEGRATION = {LAKE}",
            syntax.table(STAGE_LAYER, LAKE),
            syntax.text(&format!("{location}/"))
        ),
    ]
}

/// The table in the statements that DuckDB or the warehouse itself runs on rows.
fn rows_of(syntax: &SqlSyntax<'_>, layer: &str, table: &str) -> String {
    let name = syntax.table(layer, table);
    match syntax.target {
        DdlDialect::Postgres => format!("{POSTGRES}.{name}"),
        _ => name,
    }
}

fn delete(syntax: &SqlSyntax<'_>, table: &DdlTable<'_>) -> Vec<String> {
    let Contract {
        layer, table: name, ..
    } = table.contract;
    let Some(stale) = table.stale() else {
        return vec![delete_all(syntax, layer, name)];
    };
    let file = match syntax.target {
        // Its name of a file begins at the bucket.
        DdlDialect::Snowflake => format!("REGEXP_SUBSTR({FILE_COLUMN}, '{layer}/{name}/.*')"),
        _ => FILE_COLUMN.to_owned(),
    };
    let rows = rows_of(syntax, layer, name);
    stale
        .chunks(FILES_PER_STATEMENT)
        .map(|files| {
            format!(
                "DELETE FROM {rows} WHERE {file} IN ({})",
                syntax.texts(files)
            )
        })
        .collect()
}

fn delete_all(syntax: &SqlSyntax<'_>, layer: &str, table: &str) -> String {
    let all = match syntax.target {
        DdlDialect::BigQuery => " WHERE TRUE",
        _ => "",
    };
    format!("DELETE FROM {}{all}", rows_of(syntax, layer, table))
}

/// One table's inserts.
struct Loader<'a> {
    syntax: &'a SqlSyntax<'a>,
    contract: &'a Contract,
    location: &'a str,
}

impl Loader<'_> {
    fn load(&self, files: &[&str]) -> Result<Vec<String>> {
        let chunks = files.chunks(FILES_PER_STATEMENT);
        Ok(match self.syntax.target {
            DdlDialect::Snowflake => chunks.map(|files| self.copy_into(files)).collect(),
            DdlDialect::BigQuery => vec![self.insert_from_external()],
            DdlDialect::Redshift => self.copy_by_position(files)?,
            _ => chunks
                .map(|files| self.insert_from_parquet(files))
                .collect(),
        })
    }

    fn into(&self) -> String {
        rows_of(self.syntax, &self.contract.layer, &self.contract.table)
    }

    /// The columns in the contract's order, which is the files'.
    fn columns(&self) -> String {
        let columns = self.contract.columns.iter();
        let columns: Vec<_> = columns
            .map(|column| self.syntax.name(&column.name))
            .collect();
        columns.join(", ")
    }

    /// A table beside the loaded one that only serves loading.
    fn helper(&self) -> String {
        let name = format!("{LAKE}_{}", self.contract.table);
        match self.syntax.target {
            // Temporary tables have no schema.
            DdlDialect::Redshift => self.syntax.name(&name),
            _ => self.syntax.table(&self.contract.layer, &name),
        }
    }

    fn helper_columns(&self) -> Result<String> {
        let columns = self.contract.columns.iter().map(|column| {
            let data_type = self.syntax.type_of(&column.data_type)?;
            Ok(format!("{} {data_type}", self.syntax.name(&column.name)))
        });
        Ok(columns.collect::<Result<Vec<_>>>()?.join(",\n    "))
    }

    fn urls(&self, files: &[&str]) -> String {
        let urls: Vec<_> = files
            .iter()
            .map(|file| format!("{}/{file}", self.location))
            .collect();
        listed(self.syntax, &urls)
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
            self.syntax.table(STAGE_LAYER, LAKE),
            listed(self.syntax, &files),
            self.syntax.table(STAGE_LAYER, "lake_parquet"),
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
                self.syntax.text(file)
            ));
        }
        statements.push(format!("DROP TABLE {helper}"));
        Ok(statements)
    }

    fn insert_from_parquet(&self, files: &[&str]) -> String {
        let values = self.contract.columns.iter().map(|column| {
            let name = self.syntax.name(&column.name);
            match self.syntax.target {
                DdlDialect::Postgres if column.data_type.is_nested() => format!("to_json({name})"),
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
fn listed<T: AsRef<str>>(syntax: &SqlSyntax<'_>, texts: &[T]) -> String {
    match texts {
        [] | [_] => syntax.texts(texts),
        _ => {
            let lines: Vec<_> = texts
                .iter()
                .map(|text| syntax.text(text.as_ref()))
                .collect();
            format!("\n    {}", lines.join(",\n    "))
        }
    }
}
