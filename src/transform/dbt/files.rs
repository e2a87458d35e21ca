//! The files of a dbt project.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::plan::{DbtModel, DbtPlan, model_name, source_name};
use super::{DBT_MARK, DbtProject};
use crate::engine::{DUCKDB, Dialect, model_type};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::ddl::{description, is_reserved_in_snowflake, is_reserved_word};
use crate::schema::{Column, Contract};

/// The test of a key of several columns.
const UNIQUE_KEY: &str = "bitlake_unique_key";

/// Write a plan's files.
pub(super) fn write(plan: &DbtPlan<'_>) -> Result<DbtProject> {
    let mut files = BTreeMap::from([
        ("README.md".to_owned(), readme(plan)),
        ("dbt_project.yml".to_owned(), project(plan)?),
        (format!("macros/{UNIQUE_KEY}.sql"), unique_key()),
        ("models/sources.yml".to_owned(), sources(plan)?),
    ]);
    if plan.dialect == Dialect::Duckdb {
        files.insert("profiles.yml".to_owned(), duckdb_profile());
    }
    for model in &plan.models {
        let path = format!(
            "models/{}/{}.sql",
            model.name.layer,
            model_name(&model.name)
        );
        files.insert(path, model_sql(model));
    }
    let layers: BTreeSet<_> = plan.models.iter().map(|model| &model.name.layer).collect();
    for layer in layers {
        let models = plan
            .models
            .iter()
            .filter(|model| model.name.layer == *layer);
        files.insert(
            format!("models/{layer}/{layer}.yml"),
            properties(plan.dialect, models)?,
        );
    }
    let not_models = plan.not_models.iter();
    Ok(DbtProject {
        files,
        models: plan
            .models
            .iter()
            .map(|model| model.name.to_string())
            .collect(),
        not_models: not_models
            .map(|(name, reason)| (name.to_string(), reason.clone()))
            .collect(),
    })
}

fn model_sql(model: &DbtModel) -> String {
    format!(
        "-- {DBT_MARK}\n{{{{ config(schema={}, alias={}) }}}}\n{}\n",
        yaml_text(&model.name.layer),
        yaml_text(&model.name.table),
        model.sql.trim_end()
    )
}

/// Write the descriptions and tests of a layer's models.
fn properties<'a>(dialect: Dialect, models: impl Iterator<Item = &'a DbtModel>) -> Result<String> {
    let mut text = format!("# {DBT_MARK}\nversion: 2\n\nmodels:\n");
    for model in models {
        // Writing to a `String` cannot fail.
        let _ = write!(
            text,
            "  - name: {}\n    description: {}\n",
            yaml_text(&model_name(&model.name)),
            yaml_text(&model.description)
        );
        let contract = model.contract.as_deref();
        text += &contract.map_or_else(|| Ok(String::new()), |it| columns(dialect, it, true, 4))?;
    }
    Ok(text)
}

fn sources(plan: &DbtPlan<'_>) -> Result<String> {
    let mut text = format!("# {DBT_MARK}\nversion: 2\n\nsources:\n");
    let layers: BTreeSet<_> = plan.sources.keys().map(|table| &table.layer).collect();
    for layer in layers {
        let _ = write!(
            text,
            "  - name: {}\n    schema: \"{{{{ var('lake_schema_prefix', '') }}}}{layer}\"\n",
            source_name(layer)
        );
        if plan.dialect == Dialect::Duckdb {
            let _ = write!(
                text,
                "    config:\n      meta:\n        external_location: \"read_parquet('{{{{ var('lake') }}}}/{layer}/{{name}}/**/*.parquet', \
                 hive_partitioning = false)\"\n"
            );
        }
        text += "    tables:\n";
        for (table, contract) in plan
            .sources
            .iter()
            .filter(|(table, _)| table.layer == *layer)
        {
            let _ = write!(
                text,
                "      - name: {}\n        description: {}\n",
                yaml_text(&table.table),
                yaml_text(&contract.description)
            );
            text += &columns(plan.dialect, contract, false, 8)?;
        }
    }
    Ok(text)
}

/// Write the key and the columns of a table, indented. What a warehouse has loaded is not tested again.
fn columns(
    dialect: Dialect,
    contract: &Contract,
    is_tested: bool,
    indent: usize,
) -> Result<String> {
    let mut text = String::new();
    if is_tested && contract.primary_key.len() > 1 {
        let key = contract
            .primary_key
            .iter()
            .map(|name| match is_reserved(dialect, name) {
                true => yaml_text(&format!("{{{{ adapter.quote('{name}') }}}}")),
                false => yaml_text(name),
            });
        let key = key.collect::<Vec<_>>().join(", ");
        let _ = write!(
            text,
            "data_tests:\n  - {UNIQUE_KEY}:\n      arguments:\n        columns: [{key}]\n"
        );
    }
    text += "columns:\n";
    for column in &contract.columns {
        let is_key = contract.primary_key == [column.name.as_str()];
        text += &column_text(dialect, column, is_key, is_tested)?;
    }
    let margin = " ".repeat(indent);
    Ok(text
        .lines()
        .map(|line| format!("{margin}{line}\n"))
        .collect())
}

fn column_text(dialect: Dialect, column: &Column, is_key: bool, is_tested: bool) -> Result<String> {
    let mut text = format!(
        "  - name: {}\n    description: {}\n",
        yaml_text(&column.name),
        yaml_text(&description(column))
    );
    if is_tested {
        let _ = writeln!(
            text,
            "    data_type: {}",
            model_type(&column.data_type, dialect)?
        );
    }
    if is_reserved(dialect, &column.name) {
        text += "    quote: true\n";
    }
    text += match (is_tested, is_key, column.nullable) {
        (true, true, _) => "    data_tests: [unique, not_null]\n",
        (true, false, false) => "    data_tests: [not_null]\n",
        _ => "",
    };
    Ok(text)
}

fn is_reserved(dialect: Dialect, name: &str) -> bool {
    match dialect {
        Dialect::Snowflake => is_reserved_in_snowflake(name),
        _ => is_reserved_word(name),
    }
}

fn unique_key() -> String {
    format!(
        "-- {DBT_MARK}\n{{% test {UNIQUE_KEY}(model, columns) %}}\n\
         SELECT {{{{ columns | join(', ') }}}}\nFROM {{{{ model }}}}\n\
         GROUP BY {{{{ columns | join(', ') }}}}\nHAVING count(*) > 1\n{{% endtest %}}\n"
    )
}

fn project(plan: &DbtPlan<'_>) -> Result<String> {
    let mut text = format!(
        "# {DBT_MARK}\nname: bitlake\nversion: \"{}\"\nconfig-version: 2\nprofile: bitlake\nrequire-dbt-version: \">=1.10.5\"\n\n",
        env!("CARGO_PKG_VERSION")
    );
    if plan.dialect == Dialect::Duckdb {
        let _ = write!(
            text,
            "vars:\n  # The lake: a folder or the address of a bucket. Write a quote (') in it twice.\n  lake: {}\n\non-run-start:\n",
            yaml_text(&lake_text(plan.lake.unwrap_or("lake"))?)
        );
        let macros = DUCKDB.lines().filter(|line| line.starts_with("CREATE "));
        for line in macros {
            let _ = writeln!(text, "  - {}", yaml_text(line.trim_end_matches(';')));
        }
        text.push('\n');
    }
    Ok(text + "models:\n  bitlake:\n    +materialized: table\n")
}

/// Return the lake for a string of SQL, in which dbt evaluates Jinja and dbt-duckdb evaluates single brackets.
///
/// # Errors
/// [`ErrorKind::Configuration`] for a lake with brackets.
fn lake_text(lake: &str) -> Result<String> {
    if lake.contains(['{', '}']) {
        return Err(Error::new(
            ErrorKind::Configuration,
            "the lake has brackets that dbt would evaluate",
        )
        .with("lake", lake)
        .hint("move the lake, or name it by a path without `{` and `}`"));
    }
    Ok(lake.trim_end_matches('/').replace('\'', "''"))
}

/// Return the profile of a database file, with the settings of `queries/duckdb.sql`.
fn duckdb_profile() -> String {
    let mut text = format!(
        "# {DBT_MARK}\nbitlake:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: bitlake.duckdb\n      \
         schema: bitlake\n      threads: 2\n      settings:\n"
    );
    for line in DUCKDB.lines() {
        let setting = line
            .strip_prefix("SET ")
            .and_then(|it| it.trim_end_matches(';').split_once(" = "));
        if let Some((name, value)) = setting {
            let _ = writeln!(
                text,
                "        {name}: {}",
                yaml_text(value.trim_matches('\''))
            );
        }
    }
    text
}

fn readme(plan: &DbtPlan<'_>) -> String {
    let dialect = plan.dialect.name();
    let load = match plan.dialect {
        Dialect::Duckdb => "The models read the lake's Parquet files in place. The variable `lake` in `dbt_project.yml` names the lake.\n\
             `profiles.yml` writes to `bitlake.duckdb`, in schemas `bitlake_domain`, `bitlake_dora` and so on.\n"
            .to_owned(),
        dialect => format!(
            "Load the lake with `bitlake ddl --dialect {}`. If you use `--schema-prefix`, set the variable `lake_schema_prefix`, too.\n\
             Name the profile of the warehouse `bitlake`. dbt prefixes each layer's schema with the profile's schema.\n",
            match dialect {
                Dialect::Trino => "athena",
                Dialect::Spark => "databricks",
                other => other.name(),
            }
        ),
    };
    let mut text = format!(
        "<!-- {DBT_MARK} -->\n# bitlake's tables, computed by dbt\n\nThe SQL steps of bitlake {} as {} models for {dialect}. \
         A table `domain.repos` is the model `domain_repos`.\n\n{load}\n\
         ```sh\ndbt build\n```\n\n\
         `metrics_history` records a run's figures under the variables `run_id` and `recorded_at`, which default to those of the \
         dbt run.\n",
        env!("CARGO_PKG_VERSION"),
        plan.models.len()
    );
    if !plan.not_models.is_empty() {
        text += "\n## Tables that are not models\n\nThese are sources, which models read from the loaded lake. Tables of `base` are not in the \
                 lake, because only models would read them.\n\n| table | reason |\n|---|---|\n";
        for (name, reason) in &plan.not_models {
            let reason = reason.replace('|', "\\|").replace('\n', " ");
            let _ = writeln!(text, "| `{name}` | {reason} |");
        }
    }
    text
}

/// Write a text in YAML, of which JSON is a subset.
fn yaml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lake_is_a_string_of_sql_without_templates() {
        assert_eq!(lake_text("/data/bob's lake/").unwrap(), "/data/bob''s lake");
        for lake in ["/data/{{ x }}", "/data/{% x %}", "/data/{name}"] {
            let error = lake_text(lake).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        }
    }
}
