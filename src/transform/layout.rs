//! The contracts with the files cut and compressed as the configuration asks: every step writes by its contract, so
//! this is the only place that knows of both.
//!
//! The source layer keeps one file per repository and `config` one per table, whatever is asked.

use datafusion::arrow::datatypes::DataType;

use crate::config::{Config, PartitionUnit, TableLayout};
use crate::error::Result;
use crate::schema::{Contract, Contracts, Partition, PartitionBy};
use crate::suggest;

/// The layers whose tables can be cut otherwise.
const LAYERS: [&str; 3] = ["domain", "dora", "metrics"];
/// The columns that say to which repository a row belongs: the first that a table has.
const REPOSITORY: [&str; 4] = ["repo_id", "base_repo_id", "cicd_scope_id", "board_id"];

/// The bundled contracts, laid out.
///
/// # Errors
/// [`ErrorKind::Configuration`](crate::error::ErrorKind::Configuration), naming the line: a table or column that does
/// not exist or cannot cut files.
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
                (Some(table), _) => asked(&contract, table)?,
                (None, Some(cut)) => default(&contract, cut),
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
            .error(format!("`{}` cannot be cut otherwise", table.name))
            .hint("the files of bitbucket, history and config have a fixed layout; set tables of domain, dora or metrics")),
        _ => Ok(()),
    }
}

/// What `[lake] partition` makes of a table: what cannot be cut so stays as its contract says.
fn default(contract: &Contract, cut: PartitionUnit) -> Option<Partition> {
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

/// What `[lake.tables]` makes of a table.
fn asked(contract: &Contract, table: &TableLayout) -> Result<Option<Partition>> {
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
            &format!("cannot be cut by `{column}`, which is no {kind}"),
            format!("use one of: {}", columns.join(", ")),
        ),
        Some(column) => refused(
            &format!("has no column `{column}`"),
            suggest::hint(column, &columns, "use one of"),
        ),
        None if columns.is_empty() => refused(
            &format!("has no {kind} to cut it by"),
            "use another partition, or none".to_owned(),
        ),
        None => refused(
            &format!("has no {kind} that cuts it by itself"),
            format!(
                "name one that never changes with `column`: {}",
                columns.join(", ")
            ),
        ),
    }
}

/// How a table could be cut more finely than it is, if it could.
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

/// Two ways to cut a table never have the same key: publishing tells by it that a table has moved.
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

    /// Key and column of a table's partition.
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
    fn without_settings_the_contracts_are_as_they_are() {
        assert_eq!(
            cut("", "domain.cicd_tasks"),
            pair("created_month", "pipeline_created_date")
        );
        assert_eq!(cut("", "domain.repos"), None);
    }

    #[test]
    fn a_default_reaches_every_table_that_can_be_cut_so() {
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
    fn a_tables_own_setting_goes_before_the_default() {
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
    fn no_key_is_a_column_of_its_file() {
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
    fn mistakes_name_the_line_and_what_to_do() {
        let told = |table: &str, settings: &str| {
            let error = laid_out(&own(table, settings)).unwrap_err();
            error
                .to_string()
                .replace(" (file=bitlake.toml, line=4)", "")
        };
        let day = "partition = \"day\"";
        assert_eq!(
            told("domain.pull_request", day),
            "there is no table `domain.pull_request`: did you mean `domain.pull_requests`?"
        );
        assert_eq!(
            told("bitbucket.commits", day),
            "`bitbucket.commits` cannot be cut otherwise: the files of bitbucket, history and config have a fixed \
             layout; set tables of domain, dora or metrics"
        );
        assert_eq!(
            told("domain.repos", day),
            "`domain.repos` has no timestamp that cuts it by itself: name one that never changes with `column`: \
             created_date, updated_date"
        );
        assert_eq!(
            told("domain.repos", "partition = \"day\", column = \"created\""),
            "`domain.repos` has no column `created`: use one of: created_date, updated_date"
        );
        assert_eq!(
            told("domain.repos", "partition = \"day\", column = \"name\""),
            "`domain.repos` cannot be cut by `name`, which is no timestamp: use one of: created_date, updated_date"
        );
        assert_eq!(
            told("domain.users", "partition = \"year\""),
            "`domain.users` has no timestamp to cut it by: use another partition, or none"
        );
    }

    #[test]
    fn compression_is_that_of_every_table() {
        let contracts = laid_out("compression = \"snappy\"\n").unwrap();
        assert!(contracts.iter().all(|contract| {
            contract.compression == Some(datafusion::parquet::basic::Compression::SNAPPY)
        }));
    }
}
