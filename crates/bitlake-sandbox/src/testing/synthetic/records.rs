//! The API records of a synthetic workspace, made from an index of the history when a page contains them.
//!
//! A record is found again by its id: a hash begins with the scattered numbers of repository and commit, a uuid with the
//! number of the record.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::history::{
    ActivityEntry, ActivityKind, PullRequestFate, RepositoryHistory, SyntheticPullRequest,
};
use super::variety::Variety;

pub(super) const WORKSPACE: &str = "acme";
/// An odd factor and its inverse, modulo 2⁴⁸.
const SCATTER: u64 = 0x9E37_79B9_7F4B;
const GATHER: u64 = 0x393D_EE21_9263;

#[derive(Debug, Clone, Copy)]
pub(super) enum RecordKind {
    Workspace,
    Repository,
    User,
    Pipeline,
    Step,
    Deployment,
    Environment,
}

/// A repository, by its number in the workspace.
#[derive(Clone, Copy)]
pub(super) struct SyntheticRepository<'a> {
    pub number: usize,
    pub history: &'a RepositoryHistory,
    pub variety: &'a Variety,
}

pub(super) fn slug(number: usize) -> String {
    format!("repo-{number:03}")
}

pub(super) fn uuid(kind: RecordKind, repository: usize, n: usize) -> String {
    let kind = kind as usize + 1;
    let salt = mix((kind << 56 | repository << 32 | n) as u64) >> 16;
    format!("{{{n:08x}-{repository:04x}-4{kind:03x}-8000-{salt:012x}}}")
}

/// Mix the bits of a number (splitmix64); equal on every machine.
pub(super) fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Multiply in 48 bits; by an odd factor this can be undone.
fn multiply(n: u64, factor: u64) -> u64 {
    n.wrapping_mul(factor) & 0xFFFF_FFFF_FFFF
}

/// Scatter numbers of 48 bits, so that the hashes of a repository differ from their first character on.
fn scatter(n: u64) -> u64 {
    let n = multiply(n, SCATTER);
    multiply(n ^ (n >> 24), SCATTER)
}

/// Return the number that [`scatter`] made this one from.
fn gather(n: u64) -> u64 {
    let n = multiply(n, GATHER);
    multiply(n ^ (n >> 24), GATHER)
}

/// Format a time as the core API does.
fn core(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

/// Return the account of a number.
pub(super) fn account(n: usize) -> Value {
    json!({
        "type": "user", "uuid": uuid(RecordKind::User, 0, n), "account_id": format!("712020:{n:08x}"),
        "nickname": format!("person{n}"), "display_name": format!("Person {n}"),
    })
}

pub(super) fn workspace() -> Value {
    json!({"type": "workspace", "uuid": workspace_uuid(), "name": "Acme", "slug": WORKSPACE})
}

pub(super) fn workspace_uuid() -> String {
    uuid(RecordKind::Workspace, 0, 0)
}

pub(super) fn is_workspace(id: &str) -> bool {
    id == WORKSPACE || id == workspace_uuid()
}

pub(super) fn members(people: usize) -> Vec<Value> {
    let member =
        |n| json!({"type": "workspace_membership", "user": account(n), "workspace": workspace()});
    (0..people).map(member).collect()
}

/// Return the number of the repository that a path names by slug or uuid.
pub(super) fn number(id: &str) -> Option<usize> {
    let number = match (id.strip_prefix("repo-"), id.get(1..9)) {
        (Some(number), _) => number.parse().ok()?,
        (None, number) => usize::from_str_radix(number?, 16).ok()?,
    };
    (id == slug(number) || id == uuid(RecordKind::Repository, 0, number)).then_some(number)
}

impl SyntheticRepository<'_> {
    fn full_name(&self) -> String {
        format!("{WORKSPACE}/{}", slug(self.number))
    }

    pub(super) fn stub(&self) -> Value {
        let uuid = uuid(RecordKind::Repository, 0, self.number);
        json!({"type": "repository", "uuid": uuid, "full_name": self.full_name(), "name": slug(self.number)})
    }

    pub(super) fn record(&self) -> Value {
        let slug = slug(self.number);
        json!({
            "type": "repository", "uuid": uuid(RecordKind::Repository, 0, self.number), "name": slug, "slug": slug,
            "full_name": self.full_name(), "description": "", "website": null, "language": "rust", "scm": "git",
            "is_private": true, "has_issues": false, "has_wiki": false, "fork_policy": "no_public_forks",
            "created_on": core(self.time_of(0) + TimeDelta::seconds(self.number as i64)),
            "updated_on": core(self.history.touched), "size": 1_000_000 + self.number,
            "mainbranch": {"type": "branch", "name": "main"}, "parent": null,
            "project": {"type": "project", "key": "EST", "uuid": "{00000000-0000-4000-8000-00000000e571}", "name": "Synthetic"},
            "workspace": workspace(),
            "owner": {"type": "team", "uuid": workspace_uuid(), "display_name": "Acme"},
        })
    }

    /// Return the account that has this place in the repository's team.
    pub(super) fn user(&self, place: usize) -> Value {
        account(self.variety.account(self.number, place))
    }

    fn title(&self, n: usize) -> String {
        let change = |n| format!("EST-{} Change {}", n % 100, n + 1);
        match self.variety.reverted_by(n) {
            Some(reverted) => format!("Revert \"{}\"", change(reverted)),
            None => change(n),
        }
    }

    fn description(&self, n: usize) -> String {
        match self.variety.reverted_by(n) {
            Some(reverted) => format!("This reverts pull request #{}.", reverted + 1),
            None => Variety::prose(self.variety.text, (self.number << 32 | n) as u64),
        }
    }

    fn time_of(&self, commit: usize) -> DateTime<Utc> {
        self.history.commits[commit].time
    }

    pub(super) fn hash(&self, commit: usize) -> String {
        let number = (self.number << 32 | commit) as u64;
        let salt = (mix(number), mix(!number) >> 16);
        format!("{:012x}{:016x}{:012x}", scatter(number), salt.0, salt.1)
    }

    fn short(&self, commit: usize) -> String {
        let mut hash = self.hash(commit);
        hash.truncate(12);
        hash
    }

    /// Find a commit by its hash or a prefix of it.
    pub(super) fn commit_named(&self, hash: &str) -> Option<usize> {
        let number = gather(u64::from_str_radix(hash.get(..12)?, 16).ok()?);
        let n = (number & 0xFFFF_FFFF) as usize;
        (n < self.history.commits.len() && self.hash(n).starts_with(hash)).then_some(n)
    }

    pub(super) fn commit(&self, n: usize) -> Value {
        let parents = self.history.commits[n].parents.iter();
        let parents: Vec<Value> = parents
            .map(|n| json!({"type": "commit", "hash": self.hash(*n)}))
            .collect();
        let person = self.variety.account(self.number, n);
        json!({
            "type": "commit", "hash": self.hash(n),
            "date": self.time_of(n).format("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
            "message": format!("Change {n} (EST-{})\n", n % 100),
            "author": {"type": "author", "raw": format!("Person {person} <person{person}@acme.example>"), "user": account(person)},
            "parents": parents,
        })
    }

    pub(super) fn branches(&self) -> Vec<Value> {
        let branches = self.history.branches.iter();
        let branches = branches.map(|n| (branch(*n), self.history.pull_requests[*n].head));
        let branches = branches.chain([("main".to_owned(), self.history.trunk)]);
        let record = |(name, head)| {
            json!({
                "type": "branch", "name": name, "target": self.commit(head),
                "merge_strategies": ["merge_commit", "squash"], "default_merge_strategy": "merge_commit",
            })
        };
        branches.map(record).collect()
    }

    pub(super) fn tags(&self) -> Vec<Value> {
        let record = |(n, commit): (usize, &usize)| {
            let (name, target) = (format!("v1.{n}.0"), self.commit(*commit));
            json!({"type": "tag", "name": name, "target": target, "message": null, "date": null, "tagger": null})
        };
        self.history.tags.iter().enumerate().map(record).collect()
    }

    /// Return the members of a pull request that filters and sorting use.
    pub(super) fn outline(&self, n: usize) -> Value {
        let of = &self.history.pull_requests[n];
        json!({
            "id": n + 1, "state": of.fate.state(), "title": self.title(n), "draft": false, "comment_count": of.comments,
            "created_on": core(of.created), "updated_on": core(of.updated),
        })
    }

    pub(super) fn pull_request(&self, n: usize) -> Value {
        let of = &self.history.pull_requests[n];
        let landed = of.landed.map(|commit| {
            json!({"type": "commit", "hash": self.short(commit), "date": core(self.time_of(commit))})
        });
        let mut record = json!({
            "type": "pullrequest", "id": n + 1, "title": self.title(n), "description": self.description(n), "state": of.fate.state(),
            "draft": false, "author": self.user(n), "source": self.source(n, of.head), "destination": self.destination(of),
            "merge_commit": landed, "created_on": core(of.created), "updated_on": core(of.updated),
            "closed_by": of.closed.map(|_| self.user(n)), "reason": "", "comment_count": of.comments, "task_count": 0,
            "close_source_branch": true, "reviewers": [self.user(n + 1), self.user(n + 2)],
            "participants": self.participants(n, of),
        });
        if let Some(closed) = of.closed {
            record["closed_on"] = core(closed).into();
        }
        record
    }

    fn source(&self, n: usize, head: usize) -> Value {
        json!({
            "branch": {"name": branch(n)}, "commit": {"type": "commit", "hash": self.short(head)}, "repository": self.stub(),
        })
    }

    fn destination(&self, of: &SyntheticPullRequest) -> Value {
        json!({
            "branch": {"name": "main"}, "commit": {"type": "commit", "hash": self.short(of.base)}, "repository": self.stub(),
        })
    }

    fn participants(&self, n: usize, of: &SyntheticPullRequest) -> Vec<Value> {
        let team = self.variety.team;
        let mut known = std::collections::BTreeMap::new();
        for at in &of.entries {
            let entry = &self.history.entries[*at];
            if matches!(entry.kind, ActivityKind::Approval | ActivityKind::Comment) {
                let who = self.actor(*at, entry);
                let (approved, time) = known.entry(who).or_insert((false, entry.time));
                *approved |= entry.kind == ActivityKind::Approval;
                *time = entry.time;
            }
        }
        let record = |(who, (approved, time)): (usize, (bool, DateTime<Utc>))| {
            let role = if [(n + 1) % team, (n + 2) % team].contains(&who) {
                "REVIEWER"
            } else {
                "PARTICIPANT"
            };
            json!({
                "type": "participant", "user": self.user(who), "role": role, "approved": approved,
                "state": approved.then_some("approved"), "participated_on": core(time),
            })
        };
        known.into_iter().map(record).collect()
    }

    /// Return the actor of an entry, as a place in the team: authors push and close, other members comment and approve.
    fn actor(&self, at: usize, entry: &ActivityEntry) -> usize {
        let (n, team) = (entry.pull_request, self.variety.team);
        match entry.kind {
            ActivityKind::Comment | ActivityKind::Approval => (n + 1 + at % (team - 1)) % team,
            ActivityKind::Opened | ActivityKind::Pushed | ActivityKind::Closed => n % team,
        }
    }

    fn reference(&self, n: usize) -> Value {
        json!({"type": "pullrequest", "id": n + 1, "title": self.title(n)})
    }

    /// Return the comment of the entry at this index.
    pub(super) fn comment(&self, at: usize) -> Value {
        let entry = &self.history.entries[at];
        let prose = Variety::prose(self.variety.text / 4, (self.number << 32 | at) as u64);
        let (text, time) = (
            format!(
                "Remark {at}.{}{prose}",
                if prose.is_empty() { "" } else { " " }
            ),
            core(entry.time),
        );
        let mut record = json!({
            "type": "pullrequest_comment", "id": 600_000_000 + self.number * 1_000_000 + at, "created_on": time,
            "updated_on": time, "user": self.user(self.actor(at, entry)), "deleted": false, "pending": false,
            "content": {"type": "rendered", "raw": text, "markup": "markdown", "html": format!("<p>{text}</p>")},
            "pullrequest": self.reference(entry.pull_request),
        });
        if at.is_multiple_of(2) {
            record["inline"] = json!({"path": "src/main.rs", "from": null, "to": at % 100 + 1});
        }
        record
    }

    /// Return the entry of the activity at this index.
    pub(super) fn activity(&self, at: usize) -> Value {
        let entry = &self.history.entries[at];
        let n = entry.pull_request;
        let (date, of) = (core(entry.time), &self.history.pull_requests[n]);
        let (kind, content) = match entry.kind {
            ActivityKind::Comment => ("comment", self.comment(at)),
            ActivityKind::Approval => {
                let user = self.user(self.actor(at, entry));
                (
                    "approval",
                    json!({"date": date, "user": user, "pullrequest": self.reference(n)}),
                )
            }
            ActivityKind::Opened | ActivityKind::Pushed | ActivityKind::Closed => {
                let (state, changes) = match (entry.kind, of.fate) {
                    (ActivityKind::Closed, PullRequestFate::Declined) => (
                        "DECLINED",
                        json!({"status": {"old": "open", "new": "rejected"}}),
                    ),
                    (ActivityKind::Closed, _) => (
                        "MERGED",
                        json!({"status": {"old": "open", "new": "fulfilled"}}),
                    ),
                    _ => ("OPEN", json!({})),
                };
                (
                    "update",
                    json!({
                        "state": state, "title": self.title(n), "description": self.description(n), "draft": false, "reason": "",
                        "author": self.user(n), "date": date, "source": self.source(n, entry.head),
                        "destination": self.destination(of), "changes": changes, "reviewers": [self.user(n + 1), self.user(n + 2)],
                    }),
                )
            }
        };
        json!({"pull_request": self.reference(n), kind: content})
    }
}

fn branch(n: usize) -> String {
    format!("feature/EST-{}-change-{}", n % 100, n + 1)
}
