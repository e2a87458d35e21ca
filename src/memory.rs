//! The memory and the processor time of this process, as the operating system counts them. DataFusion's memory pool does not count windows, joins
//! and formatted rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// The interval between two readings of a [`MemoryWatch`].
const INTERVAL: Duration = Duration::from_millis(20);

/// Return the resident size of this process in bytes; `None` if the system does not report it.
pub(crate) fn resident_size() -> Option<u64> {
    read("VmRSS:")
}

/// Return the largest resident size that this process ever had, in bytes; `None` if the system does not report it.
fn peak_size() -> Option<u64> {
    read("VmHWM:")
}

fn read(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The clock ticks of a second in `/proc`, on every architecture of Linux.
const TICKS: u64 = 100;

/// Return the processor time that this process has used; `None` if the system does not report it.
pub(crate) fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may contain spaces.
    let fields = stat.rsplit_once(')')?.1;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    let ticks = user.checked_add(system)?;
    Some(Duration::from_millis(ticks.checked_mul(1000 / TICKS)?))
}

/// Watches the resident size of the process until it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    /// The largest resident size of the process before.
    before: u64,
    largest: Arc<AtomicU64>,
    /// Ends the thread when it is dropped.
    _over: mpsc::Sender<()>,
}

impl MemoryWatch {
    /// Start to watch. `None` if the system does not report the size, or refuses a thread.
    pub(crate) fn start() -> Option<Self> {
        let before = peak_size()?;
        let largest = Arc::new(AtomicU64::new(resident_size()?));
        let (over, is_over) = mpsc::channel();
        let seen = Arc::clone(&largest);
        let watch = move || {
            while is_over.recv_timeout(INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
                seen.fetch_max(resident_size().unwrap_or_default(), Ordering::Relaxed);
            }
        };
        let thread = std::thread::Builder::new().name("memory".to_owned());
        thread.spawn(watch).ok()?;
        Some(Self {
            before,
            largest,
            _over: over,
        })
    }

    /// Return the largest resident size since the start in bytes: exact if the process was never larger before, else the
    /// largest that was read.
    pub(crate) fn peak(&self) -> u64 {
        let largest = self.largest.load(Ordering::Relaxed);
        let peak = peak_size().filter(|peak| *peak > self.before);
        peak.unwrap_or(largest).max(largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_larger_than_what_was_allocated_meanwhile() {
        let Some(watch) = MemoryWatch::start() else {
            return;
        };
        let taken = vec![1_u8; 64 << 20];
        std::thread::sleep(INTERVAL * 5);
        drop(taken);
        assert!(watch.peak() >= 64 << 20, "{watch:?}");
    }
}
