//! Apache Spark SQL, from 4.2: Databricks SQL without `QUALIFY`.

use super::databricks;
use super::rules::{Construct, DialectRules};

pub(super) static RULES: DialectRules = DialectRules {
    constructs: &[
        Construct::CteColumns,
        Construct::DistinctFrom,
        Construct::Filter,
        Construct::IgnoreNullsOutside,
        Construct::ImplicitDistinct,
        Construct::TryCast,
        Construct::Values,
    ],
    ..databricks::RULES
};
