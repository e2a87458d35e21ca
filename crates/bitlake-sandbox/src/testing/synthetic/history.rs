//! The history of one repository, event by event: numbers and times only, so that thousands of records cost nothing until
//! a page contains them.
//!
//! ```text
//! trunk  o──o────────m────────o(squashed)──▶     m: two parents, the second is the pull request's head
//!            \      /        ┊
//!             x───x(pushed)  x(no longer in any branch)
//! ```

use chrono::{DateTime, TimeDelta, Utc};

use super::builds::is_deploying;
use super::{Day, SyntheticWorkspace};

/// The number of different histories.
pub(super) const VARIANTS: usize = 5;
/// One of this many pull requests is declined.
const DECLINED: usize = 7;
/// Two of five pull requests have no comment.
const SILENT: usize = 5;
/// The time between two entries of a pull request's activity.
const STEP: TimeDelta = TimeDelta::hours(12);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PullRequestFate {
    Open,
    /// Merged with a merge commit.
    Merged,
    Squashed,
    Declined,
}

impl PullRequestFate {
    pub(super) fn state(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Merged | Self::Squashed => "MERGED",
            Self::Declined => "DECLINED",
        }
    }
}

/// A pull request; its id is its index in the history plus one.
#[derive(Debug, Clone)]
pub(super) struct SyntheticPullRequest {
    pub created: DateTime<Utc>,
    pub updated: DateTime<Utc>,
    pub closed: Option<DateTime<Utc>>,
    pub fate: PullRequestFate,
    /// The commit of the trunk from which the source branch starts.
    pub base: usize,
    pub head: usize,
    /// The merge or squash commit on the trunk.
    pub landed: Option<usize>,
    pub comments: usize,
    /// The activity, oldest first.
    pub entries: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ActivityKind {
    Opened,
    Pushed,
    Comment,
    Approval,
    Closed,
}

#[derive(Debug, Clone)]
pub(super) struct ActivityEntry {
    pub pull_request: usize,
    pub kind: ActivityKind,
    pub time: DateTime<Utc>,
    /// The pull request's head after the entry.
    pub head: usize,
}

#[derive(Debug, Clone)]
pub(super) struct SyntheticCommit {
    pub parents: Vec<usize>,
    pub time: DateTime<Utc>,
}

#[derive(Debug, Clone)]
pub(super) struct SyntheticPipeline {
    pub created: DateTime<Utc>,
    pub commit: usize,
}

/// One repository's history. Every list is ordered by time, oldest first.
#[derive(Debug, Clone)]
pub(super) struct RepositoryHistory {
    pub pull_requests: Vec<SyntheticPullRequest>,
    pub entries: Vec<ActivityEntry>,
    pub commits: Vec<SyntheticCommit>,
    pub pipelines: Vec<SyntheticPipeline>,
    /// Pull requests whose source branch exists: open and declined.
    pub branches: Vec<usize>,
    /// Tagged commits of the trunk.
    pub tags: Vec<usize>,
    pub trunk: usize,
    /// The time of the last change of commits, branches or pull requests.
    pub touched: DateTime<Utc>,
    most_branches: usize,
    squashed: usize,
    merges: usize,
}

#[derive(Debug, Clone, Copy)]
enum HistoryEvent {
    Open,
    Push(usize),
    Comment(usize),
    Approve(usize),
    Close(usize),
    Tag,
    Run,
}

impl RepositoryHistory {
    /// Build the history that `workspace` describes, with pull requests, pipelines and tags spread evenly over its span. Each
    /// variant squashes at another time.
    pub(super) fn new(workspace: &SyntheticWorkspace, variant: usize) -> Self {
        let start = workspace.start();
        let mut history = Self {
            pull_requests: Vec::new(),
            entries: Vec::new(),
            commits: vec![SyntheticCommit {
                parents: Vec::new(),
                time: start,
            }],
            pipelines: Vec::new(),
            branches: Vec::new(),
            tags: Vec::new(),
            trunk: 0,
            touched: start,
            most_branches: workspace.branches.saturating_sub(1),
            squashed: workspace.squashed.max(1),
            merges: variant * workspace.squashed / VARIANTS,
        };
        let mut events = Vec::new();
        let even = |n: usize, of: usize| {
            start + (workspace.now - start) * (2 * n as i32 + 1) / (2 * of as i32)
        };
        for n in 0..workspace.pull_requests {
            let opened = even(n, workspace.pull_requests);
            let rest = match n % SILENT {
                0 | 1 => [HistoryEvent::Push(n), HistoryEvent::Approve(n)],
                _ => [HistoryEvent::Comment(n), HistoryEvent::Approve(n)],
            };
            events.push((opened, HistoryEvent::Open));
            let rest = rest.into_iter().chain([HistoryEvent::Close(n)]);
            events.extend(
                (1..)
                    .zip(rest)
                    .map(|(step, event)| (opened + STEP * step, event)),
            );
        }
        events.extend((0..workspace.tags).map(|n| (even(n, workspace.tags), HistoryEvent::Tag)));
        events.extend(
            (0..workspace.pipelines).map(|n| (even(n, workspace.pipelines), HistoryEvent::Run)),
        );
        // Nothing happens at the very end, so that a collection's clock is later than every record.
        let end = workspace.now - TimeDelta::hours(1);
        events.retain(|(time, _)| *time <= end);
        history.play(events);
        history
    }

    /// Add the events of one day, spread evenly over twelve hours.
    pub(super) fn advance(&mut self, day: &Day, from: DateTime<Utc>) {
        let open: Vec<usize> = self.open().collect();
        let (closing, still) = open.split_at(day.closed.min(open.len()));
        let others = day.touched.saturating_sub(day.opened + closing.len());
        // Half of them are open, the rest closed recently.
        let closed = (0..self.pull_requests.len()).rev();
        let closed = closed.filter(|n| !open.contains(n));
        let (still, closed) = match still.len() > others / 2 {
            true => (&still[..others / 2], closed.take(others - others / 2)),
            false => (still, closed.take(others - still.len())),
        };
        let touched: Vec<usize> = closing.iter().chain(still).copied().chain(closed).collect();

        let mut events = vec![HistoryEvent::Open; day.opened];
        let more = day.entries.saturating_sub(day.opened + closing.len());
        for (n, pull_request) in touched.iter().copied().cycle().take(more).enumerate() {
            let is_open = open.contains(&pull_request);
            events.push(match (n / touched.len(), n % 4) {
                (0, 3) if is_open => HistoryEvent::Push(pull_request),
                (0, _) => HistoryEvent::Comment(pull_request),
                _ if is_open => HistoryEvent::Approve(pull_request),
                _ => HistoryEvent::Comment(pull_request),
            });
        }
        events.extend(closing.iter().map(|n| HistoryEvent::Close(*n)));
        let even = |events: Vec<HistoryEvent>| {
            let parts = events.len() as i32 + 1;
            let time = move |n| from + TimeDelta::hours(2) + TimeDelta::hours(12) * n / parts;
            (1..).map(time).zip(events)
        };
        let runs = vec![HistoryEvent::Run; day.pipelines];
        self.play(even(events).chain(even(runs)).collect());
    }

    fn play(&mut self, mut events: Vec<(DateTime<Utc>, HistoryEvent)>) {
        events.sort_by_key(|(time, _)| *time);
        for (time, event) in events {
            self.happen(event, time);
        }
    }

    fn open(&self) -> impl Iterator<Item = usize> {
        let is_open = |n: &usize| {
            self.pull_requests
                .get(*n)
                .is_some_and(|one| one.fate == PullRequestFate::Open)
        };
        (0..self.pull_requests.len()).filter(is_open)
    }

    fn happen(&mut self, event: HistoryEvent, time: DateTime<Utc>) {
        let (n, kind) = match event {
            HistoryEvent::Run => {
                // Deployments are made from the trunk, other pipelines run for every push.
                let commit = match is_deploying(self.pipelines.len()) {
                    true => self.trunk,
                    false => self.commits.len() - 1,
                };
                let created = time;
                return self.pipelines.push(SyntheticPipeline { created, commit });
            }
            HistoryEvent::Tag => return self.tags.push(self.trunk),
            HistoryEvent::Open => (self.begin(time), ActivityKind::Opened),
            HistoryEvent::Push(n) => (n, ActivityKind::Pushed),
            HistoryEvent::Comment(n) => (n, ActivityKind::Comment),
            HistoryEvent::Approve(n) => (n, ActivityKind::Approval),
            HistoryEvent::Close(n) => (n, ActivityKind::Closed),
        };
        match kind {
            ActivityKind::Pushed => {
                let head = self.commit(vec![self.pull_requests[n].head], time);
                self.pull_requests[n].head = head;
            }
            ActivityKind::Closed => self.close(n, time),
            ActivityKind::Comment => self.pull_requests[n].comments += 1,
            ActivityKind::Opened | ActivityKind::Approval => {}
        }
        let pull_request = &mut self.pull_requests[n];
        // An approval changes the participants only.
        if kind != ActivityKind::Approval {
            pull_request.updated = time;
            self.touched = time;
        }
        pull_request.entries.push(self.entries.len());
        let head = pull_request.head;
        self.entries.push(ActivityEntry {
            pull_request: n,
            kind,
            time,
            head,
        });
    }

    fn begin(&mut self, time: DateTime<Utc>) -> usize {
        let n = self.pull_requests.len();
        let head = self.commit(vec![self.trunk], time);
        self.pull_requests.push(SyntheticPullRequest {
            created: time,
            updated: time,
            closed: None,
            fate: PullRequestFate::Open,
            base: self.trunk,
            head,
            landed: None,
            comments: 0,
            entries: Vec::new(),
        });
        self.branches.push(n);
        self.tidy();
        n
    }

    fn close(&mut self, n: usize, time: DateTime<Utc>) {
        let head = self.pull_requests[n].head;
        let fate = match n % DECLINED {
            0 => PullRequestFate::Declined,
            _ if self.merges % self.squashed == self.squashed - 1 => PullRequestFate::Squashed,
            _ => PullRequestFate::Merged,
        };
        if fate != PullRequestFate::Declined {
            self.merges += 1;
            self.trunk = match fate {
                PullRequestFate::Merged => self.commit(vec![self.trunk, head], time),
                _ => self.commit(vec![self.trunk], time),
            };
            self.branches.retain(|branch| *branch != n);
        }
        let pull_request = &mut self.pull_requests[n];
        pull_request.fate = fate;
        pull_request.closed = Some(time);
        pull_request.landed = (fate != PullRequestFate::Declined).then_some(self.trunk);
        self.tidy();
    }

    /// Branches of declined pull requests are removed when there are too many branches.
    fn tidy(&mut self) {
        while self.branches.len() > self.most_branches
            && let Some(at) = self
                .branches
                .iter()
                .position(|n| self.pull_requests[*n].closed.is_some())
        {
            self.branches.remove(at);
        }
    }

    fn commit(&mut self, parents: Vec<usize>, time: DateTime<Utc>) -> usize {
        self.commits.push(SyntheticCommit { parents, time });
        self.commits.len() - 1
    }

    /// Return for each commit whether it is reachable from `heads`.
    pub(super) fn reachable(&self, heads: impl IntoIterator<Item = usize>) -> Vec<bool> {
        let mut seen = vec![false; self.commits.len()];
        let mut open: Vec<usize> = heads.into_iter().collect();
        while let Some(n) = open.pop() {
            if !std::mem::replace(&mut seen[n], true) {
                open.extend(&self.commits[n].parents);
            }
        }
        seen
    }

    /// Return the heads of all branches and tags.
    pub(super) fn heads(&self) -> impl Iterator<Item = usize> {
        let branches = self.branches.iter().map(|n| self.pull_requests[*n].head);
        branches
            .chain(self.tags.iter().copied())
            .chain([self.trunk])
    }

    /// Return the commits of a pull request, newest first.
    pub(super) fn commits_of(&self, pull_request: &SyntheticPullRequest) -> Vec<usize> {
        let mut commits = Vec::new();
        let mut at = pull_request.head;
        while at != pull_request.base {
            commits.push(at);
            at = self.commits[at].parents[0];
        }
        commits
    }
}
