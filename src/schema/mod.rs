//! Contracts: the columns, keys and partitions of every table.
//!
//! `schemas/<layer>/<table>.json` is the only definition of a table. The Arrow schema of its files, the unique key, the
//! partitions and sort order, the bloom filters, the DDL and the data dictionary of `bitlake tables` come from it.
//!
//! ```text
//! schemas/domain/repos.json ──▶ Contract ──▶ arrow Schema ──▶ decode.rs  (JSON records → batches)
//! schemas/types.json ────────▶     │                     └──▶ conform.rs (query results → batches)
//!                                  └──▶ primary key, partition, bloom, descriptions ──▶ ddl/ (statements for warehouses)
//! ```

mod columns;
mod conform;
mod contract;
pub mod ddl;
mod decode;
mod layers;
mod source_table;
pub mod times;
mod typed;
mod types;

pub use conform::conform;
pub use contract::{CONTENT, Column, Contract, Partition, PartitionBy, SEEN_AT};
pub use decode::{Decoder, Parent, RecordEnvelope, Redecoder, SourceRecord, content_key};
pub use layers::{HISTORY, LAYERS};
pub use source_table::SourceTable;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use include_dir::{Dir, include_dir};

use crate::error::{Error, ErrorKind, Result};

static SCHEMAS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/schemas");

/// Contracts, by layer and table.
#[derive(Debug, Default, Clone)]
pub struct Contracts {
    tables: BTreeMap<(String, String), Arc<Contract>>,
}

impl Contracts {
    /// Return the contracts that are part of the binary.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when a bundled file is malformed, which a test excludes.
    pub fn bundled() -> Result<&'static Self> {
        static BUNDLED: LazyLock<Result<Contracts>> = LazyLock::new(|| {
            let files = LAYERS.iter().flat_map(|layer| {
                let tables = SCHEMAS.get_dir(*layer).into_iter().flat_map(Dir::files);
                tables.filter_map(move |file| {
                    let table = file.path().file_stem()?.to_str()?;
                    Some((*layer, table, file.contents_utf8()?))
                })
            });
            let types = SCHEMAS
                .get_file("types.json")
                .and_then(|file| file.contents_utf8())
                .unwrap_or("{}");
            let mut contracts = Contracts::parse(types, files)?;
            let source: Vec<_> = contracts.layer(SourceTable::LAYER).cloned().collect();
            for contract in source {
                contracts.insert(contract.history()?);
            }
            Ok(contracts)
        });
        BUNDLED.as_ref().map_err(|error| {
            Error::new(ErrorKind::Internal, "a bundled contract is malformed")
                .source(error.to_string())
        })
    }

    /// Parse contracts from (layer, table, JSON text). `types`: the text of `types.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] for malformed types, [`ErrorKind::Configuration`] for a malformed contract.
    pub fn parse<'a>(
        types: &str,
        files: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
    ) -> Result<Self> {
        let types = types::Types::parse(types)?;
        let mut contracts = Self::default();
        for (layer, table, text) in files {
            contracts.insert(Contract::parse(layer, table, text, &types)?);
        }
        Ok(contracts)
    }

    /// Add a contract, or replace that of the same table.
    pub fn insert(&mut self, contract: Contract) {
        let name = (contract.layer.clone(), contract.table.clone());
        self.tables.insert(name, Arc::new(contract));
    }

    /// Return the contract of a table, if there is one.
    #[must_use]
    pub fn get(&self, layer: &str, table: &str) -> Option<&Arc<Contract>> {
        self.tables.get(&(layer.to_owned(), table.to_owned()))
    }

    /// Return the contract of a table that is known to exist.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when there is none.
    pub fn require(&self, layer: &str, table: &str) -> Result<&Arc<Contract>> {
        self.get(layer, table).ok_or_else(|| {
            Error::new(ErrorKind::Internal, "table has no contract")
                .with("table", format!("{layer}.{table}"))
        })
    }

    /// Return all contracts, those of [`HISTORY`] included.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Contract>> {
        self.tables.values()
    }

    /// Return the contracts of [`LAYERS`], in the order of the layers, then by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Contract>> {
        LAYERS.iter().flat_map(|layer| self.layer(layer))
    }

    /// Return the contracts of a layer, by name.
    pub fn layer<'a>(&'a self, layer: &'a str) -> impl Iterator<Item = &'a Arc<Contract>> {
        self.tables
            .values()
            .filter(move |contract| contract.layer == layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundled_contract_has_descriptions() {
        let contracts = Contracts::bundled().unwrap();
        for contract in contracts.iter() {
            assert!(!contract.description.is_empty(), "{}", contract.name());
            for column in &contract.columns {
                assert!(
                    !column.description.is_empty(),
                    "{}.{} has no description",
                    contract.name(),
                    column.name
                );
            }
        }
    }

    #[test]
    fn a_column_added_later_must_be_last_and_nullable() {
        let parsed = |columns: &str| {
            let text = format!(
                r#"{{"description": "d", "version": 2, "primary_key": [], "columns": [{columns}]}}"#
            );
            let error = Contracts::parse("{}", [("domain", "t", text.as_str())]).err();
            error.map(|error| error.to_string()).unwrap_or_default()
        };
        let old = r#"{"name": "a", "type": "string"}"#;
        let new = r#"{"name": "b", "type": "string", "since": 2}"#;
        let strict = r#"{"name": "b", "type": "string", "since": 2, "nullable": false}"#;
        let future = r#"{"name": "b", "type": "string", "since": 3}"#;
        assert_eq!(parsed(&format!("{old}, {new}")), "");
        assert!(parsed(&format!("{new}, {old}")).contains("order of versions"));
        assert!(parsed(&format!("{old}, {future}")).contains("order of versions"));
        assert!(parsed(&format!("{old}, {strict}")).contains("must be nullable"));
    }
}
