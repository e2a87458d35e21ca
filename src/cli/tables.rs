//! `bitlake tables`: prints the data dictionary, which is generated from the contracts.

use super::args::TablesArgs;
use super::context::{CliContext, CommandOutcome};
use super::output::print;
use super::rows;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Contract, Contracts, HISTORY, LAYERS};
use crate::suggest;

/// The limit of similar names in a hint.
const SHOWN: usize = 3;

pub(super) fn run(_: &CliContext, args: &TablesArgs) -> Result<CommandOutcome> {
    let contracts = Contracts::bundled()?;
    match &args.name {
        None => print(&list(contracts.iter().map(AsRef::as_ref)))?,
        Some(layer) if layer == HISTORY || LAYERS.contains(&layer.as_str()) => {
            print(&list(contracts.layer(layer).map(AsRef::as_ref)))?;
        }
        Some(name) => print(&describe(find(contracts, name)?))?,
    }
    Ok(CommandOutcome::Complete)
}

/// Find a table by `layer.table`, or by its name in the layer `domain`.
pub(super) fn find<'a>(contracts: &'a Contracts, name: &str) -> Result<&'a Contract> {
    let (layer, table) = name.split_once('.').unwrap_or(("domain", name));
    contracts
        .get(layer, table)
        .map(AsRef::as_ref)
        .ok_or_else(|| {
            let names: Vec<_> = contracts.all().map(|contract| contract.name()).collect();
            let near = suggest::nearest(name, names.iter().map(String::as_str), SHOWN);
            let hint = suggest::did_you_mean(&near);
            let hint = hint.unwrap_or_else(|| "`bitlake tables` lists the tables".to_owned());
            Error::new(ErrorKind::Usage, "there is no such table")
                .with("table", name)
                .hint(hint)
        })
}

/// Return a list of the tables with their descriptions.
fn list<'a>(contracts: impl Iterator<Item = &'a Contract>) -> String {
    let lines: Vec<_> = contracts
        .map(|contract| vec![contract.name(), contract.description.clone()])
        .collect();
    rows::aligned(&lines)
}

/// Return the columns, key and partition of a table.
fn describe(contract: &Contract) -> String {
    let mut text = format!(
        "{}  (version {})\n{}\n\n",
        contract.name(),
        contract.version,
        contract.description
    );
    text.push_str(&format!("key        {}\n", contract.primary_key.join(", ")));
    if let Some(partition) = &contract.partition {
        text.push_str(&format!(
            "partition  {} = {} of {} (UTC)\n",
            partition.key,
            partition.by.as_str(),
            partition.column
        ));
    }
    text.push('\n');
    let lines: Vec<_> = contract
        .columns
        .iter()
        .map(|column| {
            let null = if column.nullable { "null" } else { "not null" };
            let unit = column
                .unit
                .as_ref()
                .map(|unit| format!(" [{unit}]"))
                .unwrap_or_default();
            vec![
                column.name.clone(),
                column.type_name(),
                null.to_owned(),
                format!("{}{unit}", column.description),
            ]
        })
        .collect();
    text.push_str(&rows::aligned(&lines));
    text
}
