//! A child process that never outlives the wish for it: dropping it, as a deadline or a signal does, ends it and whatever
//! it has started, so that no download goes on unseen.
//!
//! ```text
//! input ──thread──▶ stdin    stdout ──thread──▶ pieces, at most a few ahead ──▶ read()
//!                            stderr ──thread──▶ its last words ──────────────▶ end()
//! ```

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;

const PIECE: usize = 64 * 1024;
const PIECES_AHEAD: usize = 4;
/// What is kept of the end of stderr.
const LAST_WORDS: usize = 8 * 1024;

pub(super) struct Process {
    child: Child,
    pieces: mpsc::Receiver<io::Result<Vec<u8>>>,
    last_words: Option<JoinHandle<Vec<u8>>>,
    ended: bool,
}

impl Process {
    /// Starts `command` and writes `input` to it.
    pub(super) fn start(mut command: Command, input: Vec<u8>) -> io::Result<Self> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A child that does not want all of it says why on stderr.
            thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || pass_on(stdout, &sender));
        }
        let stderr = child.stderr.take();
        let last_words = stderr.map(|stderr| thread::spawn(move || tail(stderr)));
        Ok(Self {
            child,
            pieces,
            last_words,
            ended: false,
        })
    }

    /// The next piece of stdout.
    pub(super) async fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.pieces.recv().await.transpose()
    }

    /// Waits for its end; what is left of stdout is thrown away. Returns the end of stderr.
    pub(super) async fn end(mut self) -> io::Result<(ExitStatus, String)> {
        while self.read().await?.is_some() {}
        let mut pause = Duration::from_millis(1);
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        };
        self.ended = true;
        let words = match self.last_words.take() {
            // Its pipe is closed by now, or a moment later.
            Some(thread) => tokio::task::spawn_blocking(move || thread.join()).await,
            None => return Ok((status, String::new())),
        };
        let words = words.map_err(io::Error::other)?.unwrap_or_default();
        Ok((status, String::from_utf8_lossy(&words).trim().to_owned()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        end_group(self.child.id());
        // Both fail only where it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends the children of the child as well, and gives them the chance to remove half-written files. A shell is where git
/// is, and the standard library can end one process only.
#[cfg(unix)]
fn end_group(id: u32) {
    let ended = Command::new("sh")
        .args(["-c", "kill -s TERM -- \"-$0\"", &id.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if let Err(error) = ended {
        tracing::debug!(%error, "cannot end what git has started");
    }
}

#[cfg(not(unix))]
fn end_group(_: u32) {}

fn pass_on(mut from: impl Read, to: &mpsc::Sender<io::Result<Vec<u8>>>) {
    loop {
        let mut piece = vec![0; PIECE];
        let piece = match from.read(&mut piece) {
            Ok(0) => return,
            Ok(length) => {
                piece.truncate(length);
                Ok(piece)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let last = piece.is_err();
        if to.blocking_send(piece).is_err() || last {
            return;
        }
    }
}

fn tail(mut from: impl Read) -> Vec<u8> {
    let mut words = VecDeque::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        words.extend(piece.get(..length).unwrap_or_default());
        let surplus = words.len().saturating_sub(LAST_WORDS);
        words.drain(..surplus);
    }
    words.into()
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
    async fn input_output_and_errors_of_any_size_get_through() {
        let input = vec![b'x'; 3 * PIECE * PIECES_AHEAD];
        let script =
            "cat; i=0; while [ $i -lt 2000 ]; do echo errors >&2; i=$((i+1)); done; exit 3";
        let mut process = Process::start(shell(script), input.clone()).unwrap();
        let mut output = Vec::new();
        while let Some(piece) = process.read().await.unwrap() {
            output.extend(piece);
        }
        let (status, words) = process.end().await.unwrap();
        assert!(output == input);
        assert_eq!(status.code(), Some(3));
        assert!(words.ends_with("errors") && words.len() <= LAST_WORDS);
    }

    #[tokio::test]
    async fn what_is_dropped_ends_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let script = format!("(sleep 2; touch {}) & echo on; wait", mark.display());
        let mut process = Process::start(shell(&script), Vec::new()).unwrap();
        process.read().await.unwrap();
        let before = Instant::now();
        drop(process);
        assert!(before.elapsed() < Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!mark.exists(), "a grandchild went on");
    }
}
