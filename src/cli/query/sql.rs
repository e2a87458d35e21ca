//! The user's own SQL: from the command line, a file or stdin, with parameters; and statements that list names.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};

use crate::cli::tables::find;
use crate::encoding;
use crate::engine::{Browse, Engine, Param, add_placeholders, bind_params, declared_params};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::schema::{Contract, Contracts, HISTORY, LAYERS};
use crate::suggest;

/// Return the SQL of `--sql`: the text itself, the file after `@`, or stdin for `-`.
///
/// # Errors
/// [`ErrorKind::Usage`] if it cannot be read, is not UTF-8 or is empty.
pub(super) fn read(given: &str) -> Result<String> {
    let unreadable = "cannot read the SQL";
    let text = match given.strip_prefix('@') {
        Some(path) => std::fs::read(path)
            .or_error(ErrorKind::Usage, unreadable)
            .and_then(|bytes| encoding::text(bytes, Path::new(path), ErrorKind::Usage))
            .map_err(|error| error.with("file", path))?,
        None if given == "-" => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.or_error(ErrorKind::Usage, unreadable)?;
            encoding::text(bytes, Path::new("stdin"), ErrorKind::Usage)?
        }
        None => given.to_owned(),
    };
    match text.trim() {
        "" => Err(Error::new(ErrorKind::Usage, "the SQL is empty")
            .hint("--sql takes a SELECT, @FILE or - for stdin")),
        _ => Ok(text),
    }
}

/// Return the parameters of the SQL: those that its header declares (`-- param: …`), and its other `$name`s, whose
/// types follow from the query.
///
/// # Errors
/// [`ErrorKind::Usage`]: a value that does not fit, an unknown name, or a name without a value.
pub(super) async fn params(
    engine: &Engine,
    sql: &str,
    given: &[(String, String)],
) -> Result<Vec<Param>> {
    let placeholders = engine.placeholders(sql).await?;
    let params = add_placeholders(declared_params(sql)?, placeholders, given)?;
    bind_params(params, given)
}

/// Return the names that a statement lists, as rows.
///
/// # Errors
/// [`ErrorKind::Usage`] if there is no such layer or table.
pub(super) fn browse(question: &Browse) -> Result<RecordBatch> {
    let contracts = Contracts::bundled()?;
    match question {
        Browse::Tables(None) => tables(contracts.iter().map(AsRef::as_ref)),
        Browse::Tables(Some(layer)) if layer == HISTORY || LAYERS.contains(&layer.as_str()) => {
            tables(contracts.layer(layer).map(AsRef::as_ref))
        }
        Browse::Tables(Some(layer)) => Err(Error::new(ErrorKind::Usage, "there is no such layer")
            .with("layer", layer)
            .hint(suggest::hint(layer, &LAYERS, "the layers are"))),
        Browse::Columns(name) => columns(find(contracts, name)?),
    }
}

fn tables<'a>(contracts: impl Iterator<Item = &'a Contract>) -> Result<RecordBatch> {
    let contracts: Vec<_> = contracts.collect();
    let column = |cell: fn(&Contract) -> String| {
        let cells = contracts.iter().map(|contract| Some(cell(contract)));
        Arc::new(cells.collect::<StringArray>()) as ArrayRef
    };
    batch([
        ("table", column(Contract::name)),
        (
            "description",
            column(|contract| contract.description.clone()),
        ),
    ])
}

fn columns(contract: &Contract) -> Result<RecordBatch> {
    let mut cells: [Vec<String>; 5] = Default::default();
    for column in &contract.columns {
        let row = [
            column.name.clone(),
            column.type_name(),
            if column.nullable { "yes" } else { "no" }.to_owned(),
            column.unit.as_deref().unwrap_or_default().to_owned(),
            column.description.clone(),
        ];
        for (cells, cell) in cells.iter_mut().zip(row) {
            cells.push(cell);
        }
    }
    let names = ["column", "type", "nullable", "unit", "description"];
    let columns = cells.map(|cells| Arc::new(StringArray::from(cells)) as ArrayRef);
    batch(names.into_iter().zip(columns))
}

fn batch<'a>(columns: impl IntoIterator<Item = (&'a str, ArrayRef)>) -> Result<RecordBatch> {
    RecordBatch::try_from_iter(columns).or_error(ErrorKind::Internal, "cannot list the names")
}
