//! Applies the configured file layout to the contracts. Every step writes by its contract, so no other code depends on
//! the configured layout.
//!
//! The source layer always has one file per repository, and `config` one per table.

use datafusion::arrow::datatypes::DataType;

use crate::config::{Config, PartitionUnit, TableLayout};
use crate::error::Result;
use crate::schema::{Contract, Contracts, Partition, PartitionBy};
use crate::suggest;

/// The layers whose partition can be configured.
const LAYERS: [&str; 3] = ["domain", "dora", "metrics"];
/// The columns that can hold the repository of a row, in order of preference.
const REPOSITORY: [&str; 4] = ["repo_id", "base_repo_id", "cicd_scope_id", "board_id"];

/// Return the bundled contracts with the configured layout.
///
/// # Errors
/// [`ErrorKind::Configuration`](crate::error::ErrorKind::Configuration), naming the line: a table or column that does
/// not exist or cannot define partitions.
pub fn contracts(config: &Config) -> Result<Contracts> {
    let layout = &config.lake.layout;
    let bundled = Contracts::bundled()?;
    for table in &layout.tables {
        check_name(bundled, table)?;
    }
    let mut contracts = bundled.clone();
    for contract in bundled.iter() {
        let mut contract = Contract::clone(contract);
        contract.compression = layout.compression;
        if LAYERS.contains(&contract.layer.as_str()) {
            let own = layout.tables.iter().find(|t| t.name == contract.name());
            contract.partition = match (own, layout.partition) {
                (Some(table), _) => configured(&contract, table)?,
                (None, Some(cut)) => default_partition(&contract, cut),
                (None, None) => contract.partition,
            };
        }
        contracts.insert(contract);
    }
    Ok(contracts)
}

fn check_name(contracts: &Contracts, table: &TableLayout) -> Result<()> {
    let (layer, name) = table.name.split_once('.').unwrap_or_default();
    if contracts.get(layer, name).is_none() {
        let names: Vec<_> = LAYERS
            .iter()
            .flat_map(|layer| contracts.layer(layer))
            .map(|contract| contract.name())
            .collect();
        let hint = match suggest::closest(&table.name, names.iter().map(String::as_str)) {
            Some(close) => format!("did you mean `{close}`?"),
            None => "`bitlake tables` lists them".to_owned(),
        };
        let complaint = format!("there is no table `{}`", table.name);
        return Err(table.place.error(complaint).hint(hint));
    }
    match layer {
        "bitbucket" | "history" | "config" => Err(table
            .place
            .error(format!("the partition of `{}` cannot be set", table.name))
            .hint("the files of bitbucket, history and config have a fixed layout; set tables of domain, dora or metrics")),
        _ => Ok(()),
    }
}

/// Return the partition that `[lake] partition` gives a table. A table without a suitable column keeps that of its
/// contract.
fn default_partition(contract: &Contract, cut: PartitionUnit) -> Option<Partition> {
    let by = unit(cut)?;
    let column = match by {
        PartitionBy::Repository => repository_column(contract),
        _ => contract.partition.as_ref().map(|own| own.column.as_str()),
    };
    match column {
        Some(column) => Some(partition(contract, by, column)),
        None => contract.partition.clone(),
    }
}

/// Return the partition that `[lake.tables]` gives a table.
fn configured(contract: &Contract, table: &TableLayout) -> Result<Option<Partition>> {
    let refused = |complaint: &str, hint: String| {
        let complaint = format!("`{}` {complaint}", table.name);
        Err(table.place.error(complaint).hint(hint))
    };
    let Some(by) = unit(table.partition) else {
        return Ok(None);
    };
    let fits = |data_type: &DataType| match by {
        PartitionBy::Repository => *data_type == DataType::Utf8,
        _ => matches!(data_type, DataType::Timestamp(..)),
    };
    let (kind, own) = match by {
        PartitionBy::Repository => ("text", repository_column(contract)),
        _ => (
            "timestamp",
            contract.partition.as_ref().map(|own| own.column.as_str()),
        ),
    };
    let columns: Vec<_> = contract
        .columns
        .iter()
        .filter(|column| fits(&column.data_type))
        .map(|column| column.name.as_str())
        .collect();
    match table.column.as_deref().or(own) {
        Some(column) if columns.contains(&column) => Ok(Some(partition(contract, by, column))),
        Some(column) if contract.column(column).is_some() => refused(
            &format!("cannot be partitioned by `{column}`, which is not a {kind}"),
            format!("use one of: {}", columns.join(", ")),
        ),
        Some(column) => refused(
            &format!("has no column `{column}`"),
            suggest::hint(column, &columns, "use one of"),
        ),
        None if columns.is_empty() => refused(
            &format!("has no {kind} column to partition by"),
            "use another partition, or none".to_owned(),
        ),
        None => refused(
            &format!("has no default {kind} column to partition by"),
            format!(
                "set `column` to a column that never changes: {}",
                columns.join(", ")
            ),
        ),
    }
}

/// Return the next finer partition of a table, if there is one.
pub(super) fn finer(contract: &Contract) -> Option<&'static str> {
    if !LAYERS.contains(&contract.layer.as_str()) {
        return None;
    }
    match contract.partition.as_ref().map(|it| it.by) {
        Some(PartitionBy::Year) => Some("month"),
        Some(PartitionBy::Month) => Some("day"),
        Some(PartitionBy::Day | PartitionBy::Repository) => None,
        None => {
            let bundled = Contracts::bundled().ok()?;
            let own = bundled.get(&contract.layer, &contract.table)?;
            let repository = repository_column(contract).map(|_| "repository");
            own.partition.as_ref().map(|_| "month").or(repository)
        }
    }
}

fn unit(cut: PartitionUnit) -> Option<PartitionBy> {
    match cut {
        PartitionUnit::Day => Some(PartitionBy::Day),
        PartitionUnit::Month => Some(PartitionBy::Month),
        PartitionUnit::Year => Some(PartitionBy::Year),
        PartitionUnit::Repository => Some(PartitionBy::Repository),
        PartitionUnit::None => None,
    }
}

fn repository_column(contract: &Contract) -> Option<&'static str> {
    REPOSITORY
        .into_iter()
        .find(|name| contract.column(name).is_some())
}

/// Return a partition with a key that no other partition of the table has, because publishing recognises a changed
/// partition by its key.
fn partition(contract: &Contract, by: PartitionBy, column: &str) -> Partition {
    let own = contract.partition.as_ref().map(|own| {
        let stem = own.key.strip_suffix(own.by.as_str()).unwrap_or(&own.key);
        (own.column.as_str(), format!("{stem}{}", by.as_str()))
    });
    let named = format!(
        "{}_{}",
        column.strip_suffix("_date").unwrap_or(column),
        by.as_str()
    );
    let key = match (by, own) {
        (PartitionBy::Repository, _) if repository_column(contract) == Some(column) => {
            "repository".to_owned()
        }
        (PartitionBy::Repository, _) => format!("by_{column}"),
        (_, Some((own_column, key))) if own_column == column => key,
        (_, Some((_, key))) if key == named => format!("{column}_{}", by.as_str()),
        _ => named,
    };
    Partition {
        key,
        by,
        column: column.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    fn laid_out(lake: &str) -> Result<Contracts> {
        let text = format!("[lake]\nurl = \"out\"\n{lake}");
        let config = Config::parse(&text, Path::new("bitlake.toml"), &BTreeMap::new(), &[]);
        contracts(&config.unwrap())
    }

    /// Return key and column of a table's partition.
    fn cut(lake: &str, table: &str) -> Option<(String, String)> {
        let contracts = laid_out(lake).unwrap();
        let (layer, table) = table.split_once('.').unwrap();
        let partition = contracts.require(layer, table).unwrap().partition.clone();
        partition.map(|by| (by.key, by.column))
    }

    fn pair(key: &str, column: &str) -> Option<(String, String)> {
        Some((key.to_owned(), column.to_owned()))
    }

    fn own(table: &str, settings: &str) -> String {
        format!("[lake.tables]\n\"{table}\" = {{ {settings} }}\n")
    }

    #[test]
    fn without_settings_the_contracts_are_unchanged() {
        assert_eq!(
            cut("", "domain.cicd_tasks"),
            pair("created_month", "pipeline_created_date")
        );
        assert_eq!(cut("", "domain.repos"), None);
    }

    #[test]
    fn the_default_partition_applies_to_every_suitable_table() {
        let day = "partition = \"day\"\n";
        assert_eq!(
            cut(day, "domain.commits"),
            pair("committed_day", "committed_date")
        );
        assert_eq!(cut(day, "domain.repos"), None);
        let repository = "partition = \"repository\"\n";
        assert_eq!(
            cut(repository, "domain.pull_requests"),
            pair("repository", "base_repo_id")
        );
        assert_eq!(
            cut(repository, "domain.cicd_deployment_commits"),
            pair("repository", "repo_id")
        );
        assert_eq!(
            cut(repository, "domain.commits"),
            pair("committed_month", "committed_date")
        );
        assert_eq!(cut("partition = \"none\"\n", "domain.commits"), None);
    }

    #[test]
    fn the_setting_of_a_table_overrides_the_default() {
        let lake = format!(
            "partition = \"day\"\n{}",
            own("domain.commits", "partition = \"none\"")
        );
        assert_eq!(cut(&lake, "domain.commits"), None);
        let year = own(
            "dora.deployments",
            "partition = \"year\", column = \"created_date\"",
        );
        assert_eq!(
            cut(&year, "dora.deployments"),
            pair("created_year", "created_date")
        );
    }

    #[test]
    fn another_column_has_another_key() {
        let by = |column: &str, unit: &str| {
            let settings = format!("partition = \"{unit}\", column = \"{column}\"");
            cut(&own("domain.cicd_tasks", &settings), "domain.cicd_tasks")
        };
        assert_eq!(
            by("pipeline_created_date", "month"),
            pair("created_month", "pipeline_created_date")
        );
        assert_eq!(
            by("created_date", "month"),
            pair("created_date_month", "created_date")
        );
        assert_eq!(
            by("created_date", "day"),
            pair("created_date_day", "created_date")
        );
        assert_eq!(
            by("pipeline_id", "repository"),
            pair("by_pipeline_id", "pipeline_id")
        );
    }

    #[test]
    fn no_partition_key_is_a_column_of_its_table() {
        for unit in ["day", "month", "year", "repository"] {
            let contracts = laid_out(&format!("partition = \"{unit}\"\n")).unwrap();
            for contract in contracts.iter() {
                if let Some(by) = &contract.partition {
                    assert!(contract.column(&by.key).is_none(), "{}", contract.name());
                }
            }
        }
    }

    #[test]
    fn configuration_mistakes_name_the_line_and_the_fix() {
        let message_of = |table: &str, settings: &str| {
            let error = laid_out(&own(table, settings)).unwrap_err();
            error
                .to_string()
                .replace(" (file=bitlake.toml, line=4)", "")
        };
        let day = "partition = \"day\"";
        assert_eq!(
            message_of("domain.pull_request", day),
            "there is no table `domain.pull_request`: did you mean `domain.pull_requests`?"
        );
        assert_eq!(
            message_of("bitbucket.commits", day),
            "the partition of `bitbucket.commits` cannot be set: the files of bitbucket, history and config have a fixed \
             layout; set tables of domain, dora or metrics"
        );
        assert_eq!(
            message_of("domain.repos", day),
            "`domain.repos` has no default timestamp column to partition by: set `column` to a column that never changes: \
             created_date, updated_date"
        );
        assert_eq!(
            message_of("domain.repos", "partition = \"day\", column = \"created\""),
            "`domain.repos` has no column `created`: use one of: created_date, updated_date"
        );
        assert_eq!(
            message_of("domain.repos", "partition = \"day\", column = \"name\""),
            "`domain.repos` cannot be partitioned by `name`, which is not a timestamp: use one of: created_date, updated_date"
        );
        assert_eq!(
            message_of("domain.users", "partition = \"year\""),
            "`domain.users` has no timestamp column to partition by: use another partition, or none"
        );
    }

    #[test]
    fn compression_applies_to_every_table() {
        let contracts = laid_out("compression = \"snappy\"\n").unwrap();
        assert!(contracts.iter().all(|contract| {
            contract.compression == Some(datafusion::parquet::basic::Compression::SNAPPY)
        }));
    }
}
