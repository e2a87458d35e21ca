//! The stores of a lake under test; each test has a lake of its own.

mod servers;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::error_handling::HandleError;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::IntoResponse;
use bitlake::error::Result;
use bitlake::lake::{
    InventoryDepth, Lake, LakeLocation, NextFile, NextTable, ParquetFile, PublishSummary,
    WrittenFile, layout, publish,
};
use bitlake::schema::{Contract, Contracts, LAYERS};
use chrono::Utc;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub use self::servers::Service;

/// Partitions of `domain.things`.
pub const MAY: &str = "domain/things/created_month=2026-05/part-0.parquet";
pub const JUNE: &str = "domain/things/created_month=2026-06/part-0.parquet";
pub const JULY: &str = "domain/things/created_month=2026-07/part-0.parquet";

pub fn contract() -> Arc<Contract> {
    let text = r#"{"description": "d", "version": 1, "primary_key": ["id"], "bloom": {"id": 1000}, "columns": [
        {"name": "id", "type": "string", "nullable": false, "description": "i"},
        {"name": "text", "type": "string", "description": "t"}]}"#;
    let contracts = Contracts::parse("{}", [("domain", "things", text)]).unwrap();
    Arc::clone(contracts.require("domain", "things").unwrap())
}

pub fn rows(n: usize) -> RecordBatch {
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..n).map(|row| format!("{row:08}")),
    ));
    let texts: ArrayRef =
        Arc::new(StringArray::from_iter((0..n).map(|row| {
            (row % 7 > 0).then(|| format!("text {}", row % 1000))
        })));
    RecordBatch::try_new(contract().arrow_schema(), vec![ids, texts]).unwrap()
}

pub fn write(path: &Path, batches: &[RecordBatch]) -> WrittenFile {
    let contract = contract();
    let mut file = ParquetFile::create(path, contract.arrow_schema(), &contract).unwrap();
    for batch in batches {
        file.write(batch).unwrap();
    }
    file.finish().unwrap()
}

/// Files of `n` rows each, generated once.
pub struct Staged {
    folder: TempDir,
}

impl Staged {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn file(&self, n: usize) -> WrittenFile {
        write(&self.folder.path().join(format!("{n}.parquet")), &[rows(n)])
    }

    pub fn bytes(&self, n: usize) -> Vec<u8> {
        std::fs::read(self.file(n).path).unwrap()
    }

    /// Bytes (not Parquet) for five parts of a multipart upload, all different.
    pub fn large(&self) -> WrittenFile {
        let bytes: Vec<u8> = (0..9_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let path = self.folder.path().join("large");
        std::fs::write(&path, &bytes).unwrap();
        let digest = Sha256::digest(&bytes);
        WrittenFile {
            path,
            rows: 0,
            bytes: bytes.len() as u64,
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            bounds: BTreeMap::new(),
        }
    }

    /// Publish these files as the table `domain.things`.
    pub async fn publish(
        &self,
        lake: &Lake,
        run: &str,
        files: &[(&str, usize)],
    ) -> Result<PublishSummary> {
        let lock = lake.lock()?;
        let base = lake.inventory(InventoryDepth::Listing).await?;
        publish(lake, &lock, run, Utc::now(), &base, self.tables(files)).await
    }

    /// Return these files as the table `domain.things`.
    pub fn tables(&self, files: &[(&str, usize)]) -> BTreeMap<String, NextTable> {
        let files = files
            .iter()
            .map(|(path, n)| ((*path).to_owned(), NextFile::Staged(self.file(*n))));
        let next = NextTable {
            schema_version: 1,
            made_from: BTreeMap::new(),
            files: files.collect(),
        };
        BTreeMap::from([("domain.things".to_owned(), next)])
    }
}

/// A store, and a lake over it.
pub struct Ground {
    pub place: LakeLocation,
    pub store: Arc<dyn ObjectStore>,
    /// Whether the store evaluates conditions of puts.
    pub is_conditional: bool,
    /// Whether conditions are atomic against concurrent writers.
    pub is_atomic: bool,
    pub is_versioned: bool,
    /// The address of an S3 server's bucket.
    pub http: Option<String>,
    /// How the bucket of a server is reached.
    pub service: Option<Service>,
    _folder: Option<TempDir>,
}

impl Ground {
    pub fn lake(&self) -> Lake {
        Lake::new(self.place.clone(), Arc::clone(&self.store))
    }

    /// The names of the conditions that there is no object, and that it is an expected one.
    pub fn conditions(&self) -> [&'static str; 2] {
        match self.place.to_string().starts_with("gs://") {
            true => [
                "x-goog-if-generation-match: 0",
                "x-goog-if-generation-match",
            ],
            false => ["If-None-Match", "If-Match"],
        }
    }

    /// Open the lake as another process does, with its own connections.
    pub fn elsewhere(&self) -> Lake {
        let Some(service) = &self.service else {
            return self.lake();
        };
        let url = format!("{}/some/prefix", service.address);
        Lake::create(&url, &service.options()).unwrap()
    }

    /// Return the contents of the layers' files.
    pub async fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for layer in LAYERS {
            for path in self.lake().list(layer).await.unwrap() {
                let bytes = self.bytes(&path).await;
                files.insert(path, bytes);
            }
        }
        files
    }

    /// Return the name of a file within the store.
    pub fn object(&self, path: &str) -> String {
        match &self.place {
            LakeLocation::Folder(_) => path.to_owned(),
            LakeLocation::Bucket { prefix, .. } => format!("{prefix}/{path}"),
        }
    }

    pub async fn bytes(&self, path: &str) -> Vec<u8> {
        let object = object_store::path::Path::parse(self.object(path)).unwrap();
        let found = self.store.get(&object).await.unwrap();
        found.bytes().await.unwrap().to_vec()
    }

    /// Let the lease of a dead run's intent expire.
    pub async fn expire(&self) {
        let lake = self.lake();
        let mut manifest = lake.manifest().await.unwrap();
        if let Some(intent) = &mut manifest.intent {
            intent.expires_at = "2026-01-01T00:00:00Z".parse().unwrap();
            lake.put_json(layout::MANIFEST, &manifest).await.unwrap();
        }
    }

    pub fn over(&self, store: impl ObjectStore) -> Lake {
        Lake::new(self.place.clone(), Arc::new(store))
    }
}

pub fn memory() -> Ground {
    Ground {
        place: LakeLocation::Bucket {
            url: "memory://lake".parse().unwrap(),
            prefix: "some/prefix".into(),
        },
        store: Arc::new(InMemory::new()),
        is_conditional: true,
        is_atomic: true,
        is_versioned: false,
        http: None,
        service: None,
        _folder: None,
    }
}

pub fn folder() -> Ground {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("lake");
    Lake::create(root.to_str().unwrap(), &BTreeMap::new()).unwrap();
    let store = LocalFileSystem::new_with_prefix(&root)
        .unwrap()
        .with_automatic_cleanup(true);
    Ground {
        place: LakeLocation::Folder(root.canonicalize().unwrap()),
        store: Arc::new(store),
        is_conditional: false,
        is_atomic: true,
        is_versioned: false,
        http: None,
        service: None,
        _folder: Some(folder),
    }
}

/// Return the `[lake]` options for a test's S3 server.
pub fn options(endpoint: &str) -> BTreeMap<String, String> {
    servers::s3(endpoint, "").options()
}

/// Run `work` on its own runtime while this thread blocks.
pub fn on_its_own<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

fn in_bucket(service: Service) -> Ground {
    let bucket = bitlake::lake::bucket(&service.address, &service.options());
    let (url, store) = bucket.unwrap().unwrap();
    Ground {
        place: LakeLocation::Bucket {
            url,
            prefix: "some/prefix".into(),
        },
        store,
        is_conditional: true,
        is_atomic: true,
        is_versioned: false,
        http: None,
        service: Some(service),
        _folder: None,
    }
}

fn in_s3(endpoint: &str, bucket: &str) -> Ground {
    Ground {
        http: Some(format!("{endpoint}/{bucket}")),
        ..in_bucket(servers::s3(endpoint, bucket))
    }
}

/// Start an S3 server in this process, whose conditional put is not atomic.
pub fn s3s() -> Ground {
    s3s_failing(usize::MAX)
}

/// Start the server with an error instead of every `nth` reply; alternately the request is executed before, or not.
pub fn s3s_failing(nth: usize) -> Ground {
    s3s_answering(move |n, _| {
        let done = !(n / nth).is_multiple_of(2);
        let status = match done {
            true => StatusCode::INTERNAL_SERVER_ERROR,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        n.is_multiple_of(nth).then_some((status, done))
    })
}

/// Start the server with 409 for the first `times` puts, as S3 replies during another request for the object.
pub fn s3s_busy(times: usize) -> Ground {
    let puts = AtomicUsize::new(0);
    s3s_answering(move |_, method| {
        let is_early = *method == Method::PUT && puts.fetch_add(1, Ordering::SeqCst) < times;
        is_early.then_some((StatusCode::CONFLICT, false))
    })
}

/// Start the server without the conditions of puts, which it ignores as some compatible stores do.
pub fn s3s_careless() -> Service {
    let folder = tempfile::tempdir().unwrap();
    let app = s3s_in(folder.path(), false);
    let forget = |mut request: Request, next: Next| {
        for condition in ["if-match", "if-none-match"] {
            request.headers_mut().remove(condition);
        }
        next.run(request)
    };
    let endpoint = serve(app.layer(axum::middleware::from_fn(forget)), folder);
    let mut service = servers::s3(&endpoint, "lake");
    // A signature would contain the conditions.
    let unsigned = ("skip_signature".to_owned(), "true".to_owned());
    service.settings.extend([unsigned]);
    service
}

/// `answer` returns for the n-th request, from 1, the status that replaces its reply and whether it is executed.
fn s3s_answering(
    answer: impl Fn(usize, &Method) -> Option<(StatusCode, bool)> + Send + Sync + 'static,
) -> Ground {
    let folder = tempfile::tempdir().unwrap();
    let app = s3s_in(folder.path(), true);
    let count = AtomicUsize::new(0);
    let answer =
        Arc::new(move |method: &Method| answer(count.fetch_add(1, Ordering::SeqCst) + 1, method));
    let fail = move |request: Request, next: Next| {
        let answer = answer(request.method());
        async move {
            let Some((status, done)) = answer else {
                return next.run(request).await;
            };
            if done {
                next.run(request).await;
            }
            status.into_response()
        }
    };
    let endpoint = serve(app.layer(axum::middleware::from_fn(fail)), folder);
    Ground {
        is_atomic: false,
        ..in_s3(&endpoint, "lake")
    }
}

/// The service of an S3 server with the bucket `lake` in a folder.
fn s3s_in(folder: &Path, is_signed: bool) -> Router {
    std::fs::create_dir(folder.join("lake")).unwrap();
    let files = s3s_fs::FileSystem::new(folder).unwrap();
    let mut service = s3s::service::S3ServiceBuilder::new(files);
    if is_signed {
        service.set_auth(s3s::auth::SimpleAuth::from_single("key", "secret"));
    }
    let service = HandleError::new(service.build(), |_| async {
        StatusCode::INTERNAL_SERVER_ERROR
    });
    Router::new().fallback_service(service)
}

/// Serve `app` in a thread of its own, so that it serves while a test blocks; return its address. It keeps `folder`.
fn serve(app: Router, folder: TempDir) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        on_its_own(async move {
            let _folder = folder;
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
    });
    endpoint
}

/// Create a versioned bucket in moto, whose conditional puts are atomic; `None` without moto.
pub async fn moto(bucket: &str) -> Option<Ground> {
    let endpoint = servers::moto_bucket(bucket).await?;
    Some(Ground {
        is_versioned: true,
        ..in_s3(&endpoint, bucket)
    })
}

/// Create a bucket in gcp-storage-emulator with the XML API that it lacks; `None` without it. Conditions compare
/// generations, which are its versions. See `tests/stores/gcs.py` for names of buckets that ignore conditions.
pub async fn gcs(bucket: &str) -> Option<Ground> {
    let service = servers::gcs_bucket(bucket, false).await?;
    Some(Ground {
        is_versioned: true,
        ..in_bucket(service)
    })
}

/// Create a bucket in gcp-storage-emulator as it is.
pub async fn bare_gcs(bucket: &str) -> Option<Ground> {
    let service = servers::gcs_bucket(bucket, true).await?;
    Some(in_bucket(service))
}

/// Create a container in Azurite, which keeps no versions; `None` without it.
pub fn azurite(container: &str) -> Option<Ground> {
    servers::azurite_container(container).map(in_bucket)
}

/// Generate a test of each function for each store.
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        mod memory { $(#[tokio::test] async fn $name() {
            super::$name(&crate::stores::memory()).await;
        })* }
        mod folder { $(#[tokio::test] async fn $name() {
            super::$name(&crate::stores::folder()).await;
        })* }
        mod s3s { $(#[tokio::test] async fn $name() {
            super::$name(&crate::stores::s3s()).await;
        })* }
        mod moto { $(#[tokio::test] async fn $name() {
            let bucket = stringify!($name).replace('_', "-");
            if let Some(ground) = crate::stores::moto(&bucket).await {
                super::$name(&ground).await;
            }
        })* }
        mod gcs { $(#[tokio::test] async fn $name() {
            let bucket = stringify!($name).replace('_', "-");
            if let Some(ground) = crate::stores::gcs(&bucket).await {
                super::$name(&ground).await;
            }
        })* }
        mod azurite { $(#[tokio::test] async fn $name() {
            let container = stringify!($name).replace('_', "-");
            let container = container.get(..container.len().min(63)).unwrap();
            if let Some(ground) = crate::stores::azurite(container) {
                super::$name(&ground).await;
            }
        })* }
    };
}
pub(crate) use on_every_store;
