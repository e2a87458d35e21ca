//! The lake: the layout of its files, and the protocols by which they are written.
//!
//! Loaders may glob the layers' folders at any time. So a file appears whole or not at all, has a stable name, and is the
//! only file of its partition. Files that only bitlake reads (state, segments, manifest, run reports) are below
//! `_bitlake/`.
//!
//! ```text
//! layout.rs            every path of the lake
//! store_errors.rs      errors of a store, with hints
//! bucket.rs            access to a bucket, by the scheme of its address
//! profile.rs, s3.rs, google.rs, azure.rs    the credentials of each store
//! version.rs           versions of objects, and lost races
//! location.rs          a folder or a bucket
//! store.rs             the opened lake: list and remove files
//! retry.rs             failed puts: try again or give up
//! objects.rs           JSON objects and their conditional puts
//! conditional_puts.rs  does the store honour the conditions of puts?
//! lock.rs              the exclusive or shared lock of a lake on local disk
//!
//! parquet.rs           batches → one deterministic Parquet file, its digest and bounds
//! scratch_file.rs      a Parquet file that is read back and removed
//! manifest.rs          the published files, now and after each former publish
//! files.rs             put, compare and fetch data files
//! inventory.rs         compare the published files with the files that exist
//!
//! pending.rs           records to fetch by id
//! list_state.rs        the state of one list of a repository
//! state.rs             the checkpoint of a repository
//! segments.rs          collected records, private until published
//! scan.rs              read the records of a source table by columns
//!
//! lease.rs             the right to publish
//! publish.rs           staged files → the lake: intent, puts, removals, manifest
//! removals.rs          files that a publish removes, and when
//! rollback.rs          restore a former publish
//! clean.rs             remove leftovers of former runs
//! ```
//!
//! A module imports those above it only.

mod azure;
mod bucket;
mod clean;
mod conditional_puts;
mod files;
mod google;
mod inventory;
pub mod layout;
mod lease;
mod list_state;
mod location;
mod lock;
mod manifest;
mod objects;
mod parquet;
mod pending;
mod profile;
mod publish;
mod removals;
mod retry;
mod rollback;
mod s3;
mod scan;
mod scratch_file;
mod segments;
mod shared_files;
mod state;
mod store;
mod store_errors;
mod version;

pub use bucket::{bucket, credential_source, engine_location};
pub use clean::Retention;
pub use inventory::{Damage, Inventory, InventoryDepth};
pub use layout::FORMAT_VERSION;
pub use list_state::{Cursor, ListDetail, ListState, ListStatus, Replaces, SegmentRef};
pub use location::{LakeLocation, file_url};
pub use lock::LakeLock;
pub use manifest::{FileEntry, Intent, Manifest, TableEntry};
pub use parquet::{ParquetFile, WrittenFile};
pub use pending::{ExpectedComments, NamedCommits, PendingKind, PendingRecord};
pub use publish::{NextFile, NextTable, PublishSummary, publish, publish_with};
pub use rollback::rollback;
pub use scan::ScanItem;
pub use scratch_file::{ScratchFile, WrittenScratch};
pub use segments::{SEQUENCE, SegmentWriter, segment_schema};
pub use shared_files::SharedFiles;
pub use state::{RepositoryState, Visit};
pub use store::{DEFAULT_LEASE, Lake, is_lake};
pub use version::{ObjectVersion, is_lost_race};
