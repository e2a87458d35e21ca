//! The location of a lake: a folder or a prefix in a bucket, and the names of its files there.
//!
//! ```text
//! path below the lake     domain/repos/part-0.parquet
//! object in the store     the same in a folder; with the lake's prefix before it in a bucket
//! URL for the engine      file:///lake/domain/… or s3://bucket/prefix/domain/…; see [`engine_url`]
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use url::Url;

use super::bucket::engine_url;
use super::version::ConditionKind;
use crate::config::{ADDRESSES, StoreKind};
use crate::error::{Error, ErrorKind, OrError, Result};

/// The folder or the bucket that holds a lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LakeLocation {
    /// A folder on local disk. It has no conditional puts; file locks replace them.
    Folder(PathBuf),
    /// A prefix in a store with conditional puts.
    Bucket {
        /// The address of the store itself: `s3://bucket`, `gs://bucket`, `az://container`.
        url: Url,
        /// The lake's prefix within the store; empty for the whole bucket.
        prefix: ObjectPath,
    },
}

impl LakeLocation {
    /// Return the kind of store; `None` for a folder, and for a store that only tests use.
    pub(super) fn store_kind(&self) -> Option<StoreKind> {
        match self {
            Self::Folder(_) => None,
            Self::Bucket { url, .. } => StoreKind::of(url.as_str()),
        }
    }

    /// Return the property that the store compares for the condition of a put.
    pub(super) fn compares(&self) -> ConditionKind {
        match self.store_kind() {
            Some(StoreKind::Google) => ConditionKind::Generation,
            _ => ConditionKind::ETag,
        }
    }

    /// Return the object of the store that holds the lake's file `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] when `path` is malformed, or when a symbolic link on it leads out of the lake.
    pub(super) fn object(&self, path: &str) -> Result<ObjectPath> {
        let path = ObjectPath::parse(path)
            .or_error(ErrorKind::Lake, "not a path of the lake")
            .map_err(|error| error.with("file", path))?;
        Ok(match self {
            Self::Folder(folder) => {
                check_inside(folder, path.as_ref())?;
                path
            }
            Self::Bucket { prefix, .. } => prefix.parts().chain(path.parts()).collect(),
        })
    }

    /// Return the path below the lake of an object of its store; `None` for an object outside the lake.
    pub(super) fn path(&self, object: &ObjectPath) -> Option<String> {
        match self {
            Self::Folder(_) => Some(object.to_string()),
            Self::Bucket { prefix, .. } => {
                let parts = object.prefix_match(prefix)?;
                Some(parts.collect::<ObjectPath>().to_string())
            }
        }
    }

    /// Return the URL at which the query engine reads a file of the lake.
    pub(super) fn file_url(&self, path: &str) -> Result<Url> {
        match self {
            Self::Folder(folder) => file_url(&folder.join(self.object(path)?.as_ref())),
            Self::Bucket { url, .. } => {
                let object = self.object(path)?;
                let mut url = engine_url(url);
                url.path_segments_mut()
                    .map_err(|()| Error::new(ErrorKind::Internal, "not the address of a bucket"))?
                    .clear()
                    .extend(object.parts().map(|part| part.as_ref().to_owned()));
                Ok(url)
            }
        }
    }
}

impl std::fmt::Display for LakeLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Bucket { url, prefix } => {
                write!(f, "{}/{prefix}", url.as_str().trim_end_matches('/'))
            }
        }
    }
}

/// Parse an address in the bucket `url`, such as `s3://bucket/prefix`.
///
/// # Errors
/// [`ErrorKind::Configuration`] for a malformed address.
pub(super) fn parse_bucket(address: &str, url: Url) -> Result<LakeLocation> {
    let failed = |error: String| {
        Error::new(ErrorKind::Configuration, "not the address of a bucket")
            .with("lake", address)
            .source(error)
    };
    let parsed = Url::parse(address).map_err(|error| failed(error.to_string()))?;
    let prefix = ObjectPath::from_url_path(parsed.path());
    let prefix = prefix.map_err(|error| failed(error.to_string()))?;
    Ok(LakeLocation::Bucket { url, prefix })
}

/// Refuse a path on which a symbolic link leads out of the folder.
fn check_inside(folder: &Path, path: &str) -> Result<()> {
    let whole = folder.join(path);
    for at in whole.ancestors().take_while(|at| *at != folder) {
        // A missing file or folder is created in its parent, which the next iteration checks.
        if at.symlink_metadata().is_err() {
            continue;
        }
        return match at.canonicalize() {
            Ok(real) if real.starts_with(folder) => Ok(()),
            _ => Err(
                Error::new(ErrorKind::Lake, "a symbolic link leads out of the lake")
                    .with("file", path)
                    .hint("replace the link with the files that it points to"),
            ),
        };
    }
    Ok(())
}

/// Open the store of an existing folder.
pub(super) fn open_folder(folder: &Path) -> Result<(LakeLocation, Arc<dyn ObjectStore>)> {
    let failed = "cannot open the lake";
    let folder = folder
        .canonicalize()
        .or_error(ErrorKind::Lake, failed)
        .map_err(|error| error.with("lake", folder.display()))?;
    let store = LocalFileSystem::new_with_prefix(&folder)
        .or_error(ErrorKind::Lake, failed)?
        .with_automatic_cleanup(true);
    Ok((LakeLocation::Folder(folder), Arc::new(store)))
}

/// Return the `file://` URL of a local file, as the query engine expects it.
///
/// # Errors
/// [`ErrorKind::Lake`] for a relative path.
pub fn file_url(path: &Path) -> Result<Url> {
    Url::from_file_path(path).map_err(|()| {
        Error::new(ErrorKind::Lake, "not an absolute path").with("file", path.display())
    })
}

/// Parse the address of a folder: a path or a `file://` URL.
///
/// # Errors
/// [`ErrorKind::Configuration`] for an empty address, a malformed URL or an unsupported scheme.
pub(super) fn parse_folder(address: &str) -> Result<PathBuf> {
    let wrong =
        |what: &str| Error::new(ErrorKind::Configuration, what.to_owned()).with("lake", address);
    match address.split_once("://") {
        None if address.is_empty() => {
            Err(Error::new(ErrorKind::Configuration, "`lake.url` is empty").hint(ADDRESSES))
        }
        None => Ok(PathBuf::from(address)),
        Some(("file", _)) => Url::parse(address)
            .ok()
            .and_then(|url| url.to_file_path().ok())
            .ok_or_else(|| wrong("not a file URL")),
        Some(_) => Err(wrong("a lake cannot have this address").hint(ADDRESSES)),
    }
}
