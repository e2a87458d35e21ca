//! Contracts: what a table promises to those who load it, said once.
//!
//! `schemas/<layer>/<table>.json` is the single truth of a table. From it come the Arrow schema that every batch is
//! cast to, the key that must be unique, the partition and sort order of its files, the bloom filters, and the data
//! dictionary that `bitlake tables` prints.
//!
//! ```text
//! schemas/domain/repos.json ──▶ Contract ──▶ arrow Schema ──▶ decode.rs  (JSON records → batches)
//! schemas/types.json ────────▶     │                     └──▶ conform.rs (query results → batches)
//!                                  └──▶ primary key, partition, bloom, descriptions ──▶ ddl/ (what a warehouse runs)
//! ```

mod conform;
mod contract;
pub mod ddl;
mod decode;
mod source_table;
pub mod times;
mod typed;
mod types;

pub use conform::conform;
pub use contract::{CONTENT, Column, Contract, Partition, PartitionBy, SEEN_AT};
pub use decode::{Decoder, Parent, RecordEnvelope, Redecoder, SourceRecord, content_key};
pub use source_table::SourceTable;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use include_dir::{Dir, include_dir};

use crate::error::{Error, ErrorKind, Result};

static SCHEMAS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/schemas");

/// The layers, in the order of the data.
pub const LAYERS: [&str; 5] = ["config", "bitbucket", "domain", "dora", "metrics"];

/// The layer of every version of every record, which is there only where it was asked for: no part of [`LAYERS`].
pub const HISTORY: &str = "history";

/// All contracts, by layer and table.
#[derive(Debug, Default, Clone)]
pub struct Contracts {
    tables: BTreeMap<(String, String), Arc<Contract>>,
}

impl Contracts {
    /// The contracts that are part of the binary.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when a bundled file is malformed; a test reads them all.
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
            let source: Vec<_> = contracts.layer("bitbucket").cloned().collect();
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

    /// Reads contracts from `(layer, table, JSON text)`; `types` is the text of `types.json`.
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

    pub fn insert(&mut self, contract: Contract) {
        let name = (contract.layer.clone(), contract.table.clone());
        self.tables.insert(name, Arc::new(contract));
    }

    pub fn get(&self, layer: &str, table: &str) -> Option<&Arc<Contract>> {
        self.tables.get(&(layer.to_owned(), table.to_owned()))
    }

    /// The contract of a table that bitlake itself names.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when there is none.
    pub fn require(&self, layer: &str, table: &str) -> Result<&Arc<Contract>> {
        self.get(layer, table).ok_or_else(|| {
            Error::new(ErrorKind::Internal, "table has no contract")
                .with("table", format!("{layer}.{table}"))
        })
    }

    /// With those of [`HISTORY`].
    pub fn all(&self) -> impl Iterator<Item = &Arc<Contract>> {
        self.tables.values()
    }

    /// All contracts of [`LAYERS`], layer by layer in the order of the data, then by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Contract>> {
        LAYERS.iter().flat_map(|layer| self.layer(layer))
    }

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
    fn every_bundled_contract_is_well_formed() {
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
    fn a_later_column_comes_last_and_is_nullable() {
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
