//! Iceberg and Delta Lake: a Python script that loads the tables of a table format with Python libraries.
//!
//! A table of these formats has data files of its own. The lake's files are replaced in place; therefore the script copies
//! their rows, and never registers the files.

use std::fmt::Write;

use datafusion::arrow::datatypes::DataType;

use super::create::description;
use super::script::{DdlScript, DdlTable, FILE_COLUMN, FILE_DESCRIPTION};
use super::syntax::{ScalarTypes, SqlDialect, SqlSyntax, scheme};
use crate::error::Result;

/// The function that reads a file of the lake.
const READ: &str = include_str!("read.py");

/// The differences between the scripts.
#[derive(Debug, Clone, Copy)]
pub(super) struct PythonLoader {
    /// The functions that load.
    program: &'static str,
    instructions: &'static str,
}

/// Tables of an Iceberg catalog.
pub(super) const ICEBERG: PythonLoader = PythonLoader {
    program: include_str!("iceberg.py"),
    instructions: "Needs pyiceberg[pyarrow] and a catalog in ~/.pyiceberg.yaml or PYICEBERG_CATALOG__NAME__…: python3 FILE NAME",
};

/// Tables of Delta Lake, each in a folder of its own.
pub(super) const DELTA: PythonLoader = PythonLoader {
    program: include_str!("delta.py"),
    instructions: "Needs deltalake and pyarrow: python3 FILE FOLDER-OR-URL",
};

/// Types and texts of pyarrow.
pub(super) struct PyArrow;

impl SqlDialect for PyArrow {
    fn scalar_types(&self) -> ScalarTypes {
        ScalarTypes {
            text: "pa.string()",
            integer: "pa.int64()",
            double: "pa.float64()",
            boolean: "pa.bool_()",
            date: "pa.date32()",
            timestamp: "pa.timestamp(\"us\", \"UTC\")",
        }
    }

    fn list_type(&self, item: &str) -> String {
        format!("pa.list_({item})")
    }

    fn struct_type(&self, fields: &[(String, String)]) -> String {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, data_type)| format!("({name}, {data_type})"))
            .collect();
        format!("pa.struct([{}])", fields.join(", "))
    }

    /// Return true, because every name is a string of Python.
    fn is_reserved(&self, _name: &str) -> bool {
        true
    }

    fn quote(&self, name: &str) -> String {
        self.literal(name)
    }

    /// Write a string of JSON, which is also a string of Python.
    fn literal(&self, text: &str) -> String {
        serde_json::Value::from(text).to_string()
    }

    /// pyarrow needs the account of an Azure container in its address.
    fn can_read(&self, location: &str) -> bool {
        !matches!(scheme(location), Some("az" | "azure"))
    }

    fn example_location(&self) -> &'static str {
        "abfss://container@account.dfs.core.windows.net/lake"
    }

    fn instructions(&self) -> &'static [&'static str] {
        &[]
    }
}

/// Write the script.
///
/// # Errors
/// [`ErrorKind::Internal`](crate::error::ErrorKind::Internal) when pyarrow has no type for a column.
pub(super) fn write(script: &DdlScript<'_>, loader: PythonLoader) -> Result<String> {
    let syntax = SqlSyntax {
        dialect: &PyArrow,
        schema_prefix: script.schema_prefix,
    };
    let mut text = String::new();
    let title = script.title.iter().map(String::as_str);
    for line in title.chain([loader.instructions]) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "# {}", line.replace(char::is_control, " "));
    }
    let tables: Vec<_> = script
        .tables
        .iter()
        .filter(|it| !it.is_unchanged())
        .collect();
    if tables.is_empty() && script.gone.is_empty() {
        text.push_str("# Nothing changed.\n");
        return Ok(text);
    }
    text.push_str(loader.program);
    text.push_str(READ);
    let location = script.location.map(|location| syntax.text(location));
    let _ = write!(text, "load({}, [", location.as_deref().unwrap_or("None"));
    for table in tables {
        write_table(&mut text, &syntax, table)?;
    }
    let gone = script.gone.iter();
    let gone =
        gone.map(|(layer, name)| format!("({}, {})", syntax.schema(layer), syntax.text(name)));
    let _ = writeln!(text, "\n], {})", list(gone, ""));
    Ok(text)
}

/// Write a list of Python, one item per line.
fn list(items: impl Iterator<Item = String>, indent: &str) -> String {
    let items: String = items.map(|item| format!("\n{indent}    {item},")).collect();
    match items.is_empty() {
        true => "[]".to_owned(),
        false => format!("[{items}\n{indent}]"),
    }
}

fn write_table(text: &mut String, syntax: &SqlSyntax<'_>, table: &DdlTable<'_>) -> Result<()> {
    let contract = table.contract;
    let _ = write!(
        text,
        "\n    ({}, {}, {}, [",
        syntax.schema(&contract.layer),
        syntax.text(&contract.table),
        syntax.text(&contract.description)
    );
    let mut column = |name: &str, data_type: &DataType, nullable: bool, description: &str| {
        let _ = write!(
            text,
            "\n        column({}, {}, {}, {}),",
            syntax.text(name),
            syntax.type_of(data_type)?,
            if nullable { "True" } else { "False" },
            syntax.text(description)
        );
        Ok(())
    };
    column(FILE_COLUMN, &DataType::Utf8, false, FILE_DESCRIPTION)?;
    for it in &contract.columns {
        column(&it.name, &it.data_type, it.nullable, &description(it))?;
    }
    let files = |files: Vec<&str>| list(files.into_iter().map(|it| syntax.text(it)), "    ");
    let stale = table.stale_files().map(files);
    let _ = write!(
        text,
        "\n    ], {}, {}),",
        stale.as_deref().unwrap_or("None"),
        files(table.fresh_files())
    );
    Ok(())
}
