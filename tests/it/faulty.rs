//! A store that fails, dies, or lets something else happen at chosen operations of another store.

use std::fmt::{Debug, Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};

/// One call of the store: `put`, `part`, `complete`, `abort`, `get`, `delete`, `list`, `rename`, `copy`.
pub struct Op<'a> {
    /// From 1.
    pub n: usize,
    pub name: &'static str,
    pub path: &'a str,
}

pub enum Act {
    Go,
    /// The store does nothing and says this.
    Fail(std::io::ErrorKind),
    /// The store does it, and the reply is lost.
    LoseReply,
    /// The store does nothing and answers 409, as S3 does while another request for the object is under way.
    Conflict,
    /// The store does it whatever the condition of the put is.
    IgnoreCondition,
    /// Something else comes first.
    First(BoxFuture<'static, ()>),
}

type Plan = dyn Fn(Op<'_>) -> Act + Send + Sync;

#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Plan>,
    count: Arc<AtomicUsize>,
}

impl Faulty {
    pub fn new(
        inner: Arc<dyn ObjectStore>,
        plan: impl Fn(Op<'_>) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner,
            plan: Arc::new(plan),
            count: Arc::default(),
        }
    }

    /// Calls so far.
    pub fn operations(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// A store whose process dies at its `k`-th operation, before or after that has had its effect.
    pub fn dies_at(inner: Arc<dyn ObjectStore>, k: usize, done: bool) -> Self {
        Self::new(inner, move |op| match op.n.cmp(&k) {
            std::cmp::Ordering::Less => Act::Go,
            std::cmp::Ordering::Equal if done => Act::LoseReply,
            _ => Act::Fail(std::io::ErrorKind::ConnectionAborted),
        })
    }

    /// A store whose process dies when it comes to such an operation.
    pub fn dies_when(
        inner: Arc<dyn ObjectStore>,
        at: impl Fn(&Op<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        let dead = AtomicBool::new(false);
        Self::new(inner, move |op| {
            match dead.load(Ordering::SeqCst) || at(&op) {
                true => {
                    dead.store(true, Ordering::SeqCst);
                    Act::Fail(std::io::ErrorKind::ConnectionAborted)
                }
                false => Act::Go,
            }
        })
    }

    fn act(&self, name: &'static str, path: &str) -> Act {
        let n = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        (self.plan)(Op { n, name, path })
    }

    async fn perform<T>(
        &self,
        name: &'static str,
        path: &Path,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.follow(self.act(name, path.as_ref()), path, work).await
    }

    async fn follow<T>(
        &self,
        act: Act,
        path: &Path,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match act {
            Act::Go | Act::IgnoreCondition => work.await,
            Act::Conflict => Err(conflict(path)),
            Act::Fail(kind) => Err(fault(kind)),
            Act::LoseReply => {
                work.await?;
                Err(fault(std::io::ErrorKind::ConnectionReset))
            }
            Act::First(other) => {
                other.await;
                work.await
            }
        }
    }
}

/// What object_store makes of a 409.
fn conflict(path: &Path) -> Error {
    Error::AlreadyExists {
        path: path.to_string(),
        source: "409 ConditionalRequestConflict".into(),
    }
}

fn fault(kind: std::io::ErrorKind) -> Error {
    Error::Generic {
        store: "faulty",
        source: std::io::Error::from(kind).into(),
    }
}

impl Debug for Faulty {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

impl Display for Faulty {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Debug::fmt(self, f)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        to: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let mut opts = opts;
        let act = self.act("put", to.as_ref());
        if matches!(act, Act::IgnoreCondition) {
            opts.mode = PutMode::Overwrite;
        }
        let put = self.inner.put_opts(to, payload, opts);
        self.follow(act, to, put).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.inner.put_multipart_opts(to, opts);
        Ok(Box::new(Upload {
            inner: self.perform("upload", to, upload).await?,
            path: to.clone(),
            store: self.clone(),
        }))
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        self.perform("get", from, self.inner.get_opts(from, options))
            .await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let one = paths.map(move |path| {
            let store = store.clone();
            async move {
                let path = path?;
                let alone = futures::stream::once(futures::future::ready(Ok(path.clone())));
                let mut deleted = store.inner.delete_stream(alone.boxed());
                let work = async { deleted.try_next().await.map(|_| path.clone()) };
                store.perform("delete", &path, work).await
            }
        });
        one.buffered(1).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.act("list", prefix.map_or("", |path| path.as_ref())) {
            Act::Go | Act::First(_) | Act::Conflict | Act::IgnoreCondition => {
                self.inner.list(prefix)
            }
            Act::Fail(kind) => {
                futures::stream::once(futures::future::ready(Err(fault(kind)))).boxed()
            }
            Act::LoseReply => {
                let kind = std::io::ErrorKind::ConnectionReset;
                futures::stream::once(futures::future::ready(Err(fault(kind)))).boxed()
            }
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.perform("copy", to, self.inner.copy_opts(from, to, options))
            .await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.perform("rename", to, self.inner.rename_opts(from, to, options))
            .await
    }
}

#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    path: Path,
    store: Faulty,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (store, path) = (self.store.clone(), self.path.clone());
        let part = self.inner.put_part(data);
        Box::pin(async move { store.perform("part", &path, part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let work = self.inner.complete();
        self.store.perform("complete", &self.path, work).await
    }

    async fn abort(&mut self) -> Result<()> {
        let work = self.inner.abort();
        self.store.perform("abort", &self.path, work).await
    }
}
