//! A child process that ends when its handle is dropped: a deadline or a signal ends it and all processes that it has
//! started, so that no download continues.
//!
//! ```text
//! input ──thread──▶ stdin    stdout ──thread──▶ chunks, a few ahead ──▶ read()
//!                            stderr ──thread──▶ its end ──────────────▶ finish()
//! ```

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;

/// Bytes of a chunk of stdout.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that are read before they are requested.
const CHUNKS_AHEAD: usize = 4;
/// Bytes of the end of stderr that are kept.
const STDERR_BYTES: usize = 8 * 1024;

/// A running child process.
pub(super) struct ChildProcess {
    child: Child,
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    has_exited: bool,
}

impl ChildProcess {
    /// Start `command` and write `input` to it.
    pub(super) fn start(mut command: Command, input: Vec<u8>) -> io::Result<Self> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A child that closes its input early reports the reason on stderr.
            thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || forward(stdout, &sender));
        }
        let stderr = child.stderr.take();
        let stderr = stderr.map(|stderr| thread::spawn(move || read_tail(stderr)));
        Ok(Self {
            child,
            chunks,
            stderr,
            has_exited: false,
        })
    }

    /// Return the next chunk of stdout; `None` at its end.
    pub(super) async fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.chunks.recv().await.transpose()
    }

    /// Discard the remaining stdout and wait for the exit. Return the status and the end of stderr.
    pub(super) async fn finish(mut self) -> io::Result<(ExitStatus, String)> {
        while self.read().await?.is_some() {}
        let mut pause = Duration::from_millis(1);
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        };
        self.has_exited = true;
        let Some(thread) = self.stderr.take() else {
            return Ok((status, String::new()));
        };
        // The exit closes the pipe, which ends the thread.
        let stderr = tokio::task::spawn_blocking(move || thread.join()).await;
        let stderr = stderr.map_err(io::Error::other)?.unwrap_or_default();
        Ok((status, String::from_utf8_lossy(&stderr).trim().to_owned()))
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        if self.has_exited {
            return;
        }
        terminate_group(self.child.id());
        // Both fail only for a process that has exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Send SIGTERM to the process group of the child, so that its children can remove incomplete files. The standard library
/// can kill one process only; a shell is available wherever git is.
#[cfg(unix)]
fn terminate_group(id: u32) {
    let status = Command::new("sh")
        .args(["-c", "kill -s TERM -- \"-$0\"", &id.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if let Err(error) = status {
        tracing::debug!(%error, "cannot terminate the children of git");
    }
}

#[cfg(not(unix))]
fn terminate_group(_: u32) {}

/// Send the bytes of `from` in chunks.
fn forward(mut from: impl Read, to: &mpsc::Sender<io::Result<Vec<u8>>>) {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let chunk = match from.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                chunk.truncate(length);
                Ok(chunk)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = chunk.is_err();
        if to.blocking_send(chunk).is_err() || is_last {
            return;
        }
    }
}

/// Read `from` to its end. Return its last bytes.
fn read_tail(mut from: impl Read) -> Vec<u8> {
    let mut tail = VecDeque::new();
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut chunk) {
        tail.extend(chunk.get(..length).unwrap_or_default());
        let surplus = tail.len().saturating_sub(STDERR_BYTES);
        tail.drain(..surplus);
    }
    tail.into()
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Instant;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn input_stdout_and_stderr_of_any_size_are_transferred() {
        let input = vec![b'x'; 3 * CHUNK_BYTES * CHUNKS_AHEAD];
        let script =
            "cat; i=0; while [ $i -lt 2000 ]; do echo errors >&2; i=$((i+1)); done; exit 3";
        let mut process = ChildProcess::start(shell(script), input.clone()).unwrap();
        let mut output = Vec::new();
        while let Some(chunk) = process.read().await.unwrap() {
            output.extend(chunk);
        }
        let (status, stderr) = process.finish().await.unwrap();
        assert!(output == input);
        assert_eq!(status.code(), Some(3));
        assert!(stderr.ends_with("errors") && stderr.len() <= STDERR_BYTES);
    }

    #[tokio::test]
    async fn dropping_the_handle_ends_the_process_and_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let script = format!("(sleep 2; touch {}) & echo on; wait", mark.display());
        let mut process = ChildProcess::start(shell(&script), Vec::new()).unwrap();
        process.read().await.unwrap();
        let before = Instant::now();
        drop(process);
        assert!(before.elapsed() < Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!mark.exists(), "a grandchild continued");
    }
}
