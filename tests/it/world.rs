//! A changing workspace: every step of [`World`] changes Bitbucket's records at a time of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::support::at;

/// One repository's records, as the sandbox reads them.
pub struct World {
    pub now: DateTime<Utc>,
    /// The repository's slug, which is its uuid too.
    slug: String,
    /// The time of the last push or change of a pull request.
    updated_on: DateTime<Utc>,
    serial: u64,
    branches: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    /// Newest first.
    commits: Vec<Value>,
    pull_requests: BTreeMap<u64, Value>,
    /// Hashes, newest first.
    pull_request_commits: BTreeMap<u64, Vec<String>>,
    comments: BTreeMap<u64, Value>,
    activity: Vec<Value>,
    pipelines: BTreeMap<u64, Value>,
    steps: BTreeMap<u64, Value>,
    deployments: BTreeMap<u64, Value>,
    issues: BTreeMap<u64, Value>,
    issue_changes: BTreeMap<u64, Value>,
    issue_comments: BTreeMap<u64, Value>,
}

fn stamp(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

fn user(n: u64) -> Value {
    json!({"type": "user", "uuid": format!("{{user-{n}}}"), "display_name": format!("User {n}"),
        "account_id": format!("a{n}"), "nickname": format!("u{n}")})
}

impl World {
    pub fn new() -> Self {
        Self::named("web", 0)
    }

    /// Create the repository `acme/<slug>`, whose ids and hashes follow `serial`.
    pub fn named(slug: &str, serial: u64) -> Self {
        let mut world = Self::empty(slug, serial);
        world.commit("main", None);
        world
    }

    /// Create a repository with the same commits.
    pub fn fork(&self, slug: &str, serial: u64) -> Self {
        Self {
            branches: self.branches.clone(),
            tags: self.tags.clone(),
            commits: self.commits.clone(),
            ..Self::empty(slug, serial)
        }
    }

    fn empty(slug: &str, serial: u64) -> Self {
        Self {
            slug: slug.to_owned(),
            now: at("2026-03-01T08:00:00Z"),
            updated_on: at("2026-03-01T08:00:00Z"),
            serial,
            branches: BTreeMap::new(),
            tags: BTreeMap::new(),
            commits: Vec::new(),
            pull_requests: BTreeMap::new(),
            pull_request_commits: BTreeMap::new(),
            comments: BTreeMap::new(),
            activity: Vec::new(),
            pipelines: BTreeMap::new(),
            steps: BTreeMap::new(),
            deployments: BTreeMap::new(),
            issues: BTreeMap::new(),
            issue_changes: BTreeMap::new(),
            issue_comments: BTreeMap::new(),
        }
    }

    /// Apply one of many events; `pick` chooses the event and its subject.
    pub fn happen(&mut self, kind: u8, pick: usize) {
        self.now += TimeDelta::minutes(7);
        match kind % 18 {
            0 | 1 => self.open_pull_request(),
            2 => self.edit(pick),
            3 => self.approve(pick),
            4 | 5 => self.comment(pick),
            6 => self.change_comment(pick),
            7 => self.drop_comment(pick),
            8 => self.push(pick, false),
            9 => self.push(pick, true),
            10 => self.close(pick, "MERGED"),
            11 => self.close(pick, "DECLINED"),
            12 => self.tag(pick),
            13 | 14 => self.start_pipeline(pick),
            15 => self.go_on(pick),
            16 => self.deploy_again(pick),
            _ => self.issue(pick),
        }
    }

    fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn commit(&mut self, branch: &str, parent: Option<&str>) -> String {
        let n = self.next();
        let hash = format!("{n:08x}").repeat(5);
        let parent = parent
            .map(str::to_owned)
            .or_else(|| self.branches.get(branch).cloned());
        let parents: Vec<_> = parent
            .iter()
            .map(|hash| json!({"type": "commit", "hash": hash}))
            .collect();
        let author = json!({"type": "author", "raw": "U <u@acme.example>", "user": user(n % 3)});
        let commit = json!({"type": "commit", "hash": hash, "date": stamp(self.now),
            "message": format!("change {n}"), "author": author, "parents": parents});
        self.commits.insert(0, commit);
        self.updated_on = self.now;
        self.branches.insert(branch.to_owned(), hash.clone());
        hash
    }

    /// Return an open pull request.
    fn open(&self, pick: usize) -> Option<u64> {
        let open = |record: &&Value| record["state"] == "OPEN";
        let open: Vec<_> = self.pull_requests.values().filter(open).collect();
        open.get(pick % open.len().max(1))?["id"].as_u64()
    }

    fn any_pull_request(&self, pick: usize) -> Option<u64> {
        self.pull_requests
            .keys()
            .nth(pick % self.pull_requests.len().max(1))
            .copied()
    }

    fn touch(&mut self, id: u64) -> &mut Value {
        let now = stamp(self.now);
        self.updated_on = self.now;
        let record = self.pull_requests.get_mut(&id).unwrap();
        record["updated_on"] = json!(now);
        record
    }

    fn record(&mut self, id: u64, kind: &str, entry: Value) {
        let pull_request = json!({"type": "pullrequest", "id": id});
        self.activity
            .push(json!({"pull_request": pull_request, kind: entry}));
    }

    fn update(&mut self, id: u64, by: u64) {
        let state = self.pull_requests[&id]["state"].clone();
        let entry = json!({"state": state, "date": stamp(self.now), "author": user(by)});
        self.record(id, "update", entry);
    }

    fn open_pull_request(&mut self) {
        let id = self.next();
        let branch = format!("feature/{id}");
        let main = self.branches["main"].clone();
        let hash = self.commit(&branch, Some(&main));
        let now = stamp(self.now);
        let (uuid, full_name) = (format!("{{{}}}", self.slug), format!("acme/{}", self.slug));
        let side = |name: &str, hash: &str| {
            json!({"branch": {"name": name}, "commit": {"hash": &hash[..12]},
            "repository": {"uuid": uuid, "full_name": full_name, "name": self.slug}})
        };
        self.pull_requests.insert(id, json!({"type": "pullrequest", "id": id, "title": format!("Change {id}"),
            "state": "OPEN", "author": user(id % 3), "created_on": now, "updated_on": now, "comment_count": 0,
            "source": side(&branch, &hash), "destination": side("main", &main), "participants": [], "reviewers": []}));
        self.pull_request_commits.insert(id, vec![hash]);
        self.update(id, id % 3);
    }

    fn edit(&mut self, pick: usize) {
        if let Some(id) = self.any_pull_request(pick) {
            let n = self.next();
            self.touch(id)["title"] = json!(format!("Change {id}, edition {n}"));
        }
    }

    /// An approval does not change the time of the last change.
    fn approve(&mut self, pick: usize) {
        let Some(id) = self.open(pick) else { return };
        let by = user(pick as u64 % 5);
        let now = stamp(self.now);
        let record = self.pull_requests.get_mut(&id).unwrap();
        record["participants"] = json!([{"type": "participant", "user": by, "role": "REVIEWER", "approved": true,
            "state": "approved", "participated_on": now}]);
        self.record(id, "approval", json!({"date": now, "user": by}));
    }

    fn comment(&mut self, pick: usize) {
        let Some(id) = self.any_pull_request(pick) else {
            return;
        };
        let n = self.next();
        let now = stamp(self.now);
        let comment = json!({"type": "pullrequest_comment", "id": n, "created_on": now, "updated_on": now,
            "content": {"raw": "hm"}, "user": user(n % 4), "deleted": false, "pullrequest": {"id": id}});
        self.comments.insert(n, comment.clone());
        self.count_comments(id);
        // The feed's entry of a deleted comment.
        self.record(
            id,
            "comment",
            json!({"id": n, "created_on": now, "user": user(n % 4)}),
        );
    }

    fn count_comments(&mut self, id: u64) {
        let of = |comment: &&Value| comment["pullrequest"]["id"] == id;
        let n = self.comments.values().filter(of).count();
        self.touch(id)["comment_count"] = json!(n);
    }

    fn any_comment(&self, pick: usize) -> Option<(u64, u64)> {
        let (n, comment) = self
            .comments
            .iter()
            .nth(pick % self.comments.len().max(1))?;
        Some((*n, comment["pullrequest"]["id"].as_u64()?))
    }

    /// Edit a comment, or delete it and leave a tombstone.
    fn change_comment(&mut self, pick: usize) {
        let Some((n, id)) = self.any_comment(pick) else {
            return;
        };
        let now = stamp(self.now);
        let comment = self.comments.get_mut(&n).unwrap();
        comment["updated_on"] = json!(now);
        comment["content"]["raw"] = json!(now);
        comment["deleted"] = json!(pick.is_multiple_of(2));
        self.touch(id);
    }

    /// Remove a comment without a trace, if the pull request keeps another one: an empty list proves nothing.
    fn drop_comment(&mut self, pick: usize) {
        let Some((n, id)) = self.any_comment(pick) else {
            return;
        };
        let of = |comment: &&Value| comment["pullrequest"]["id"] == id;
        if self.comments.values().filter(of).count() > 1 {
            self.comments.remove(&n);
            self.count_comments(id);
        }
    }

    fn push(&mut self, pick: usize, force: bool) {
        let Some(id) = self.open(pick) else { return };
        let branch = format!("feature/{id}");
        let main = self.branches["main"].clone();
        let hash = match force {
            true => self.commit(&branch, Some(&main)),
            false => self.commit(&branch, None),
        };
        let commits = self.pull_request_commits.get_mut(&id).unwrap();
        if force {
            commits.clear();
        }
        commits.insert(0, hash.clone());
        let record = self.touch(id);
        record["source"]["commit"]["hash"] = json!(&hash[..12]);
        record["destination"]["commit"]["hash"] = json!(&main[..12]);
        self.update(id, id % 3);
    }

    fn close(&mut self, pick: usize, state: &str) {
        let Some(id) = self.open(pick) else { return };
        let branch = format!("feature/{id}");
        if state == "MERGED" {
            let head = self.branches[&branch].clone();
            let merge = self.commit("main", None);
            let parents = self.commits[0]["parents"].as_array_mut().unwrap();
            parents.push(json!({"type": "commit", "hash": head}));
            let date = stamp(self.now);
            self.touch(id)["merge_commit"] =
                json!({"type": "commit", "hash": &merge[..12], "date": date});
        }
        let now = stamp(self.now);
        let record = self.touch(id);
        record["state"] = json!(state);
        record["closed_on"] = json!(now);
        record["closed_by"] = user(id % 4);
        self.update(id, id % 4);
        if state == "MERGED" {
            self.branches.remove(&branch);
        }
    }

    /// Create, move or delete a tag.
    fn tag(&mut self, pick: usize) {
        let name = format!("v1.{}", pick % 4);
        self.updated_on = self.now;
        match pick % 3 {
            // The last tag is never deleted: an empty list proves nothing.
            0 if self.tags.len() > 1 => drop(self.tags.remove(&name)),
            _ => drop(self.tags.insert(name, self.branches["main"].clone())),
        }
    }

    fn start_pipeline(&mut self, pick: usize) {
        let n = self.next();
        let now = stamp(self.now);
        let hash = self.branches["main"].clone();
        let stage = if pick.is_multiple_of(4) {
            "PAUSED"
        } else {
            "RUNNING"
        };
        self.pipelines.insert(n, json!({"type": "pipeline", "uuid": format!("{{p{n}}}"), "build_number": n,
            "created_on": now, "state": {"name": "IN_PROGRESS", "stage": {"name": stage}}, "run_number": 1,
            "target": {"type": "pipeline_ref_target", "ref_type": "branch", "ref_name": "main", "commit": {"hash": hash}}}));
        self.steps.insert(n, json!({"type": "pipeline_step", "uuid": format!("{{s{n}}}"), "name": "deploy",
            "pipeline": {"uuid": format!("{{p{n}}}")}, "state": {"name": "PENDING"}, "run_number": 1}));
        self.deployments.insert(n, json!({"type": "deployment", "uuid": format!("{{d{n}}}"), "key": format!("steps-{{s{n}}}"),
            "state": {"name": "UNDEPLOYED"}, "step": {"uuid": format!("{{s{n}}}")},
            "environment": {"uuid": "{env}", "name": "live", "environment_type": {"name": "Production"}},
            "release": {"pipeline": {"uuid": format!("{{p{n}}}")}, "commit": {"hash": hash}, "created_on": now}}));
    }

    /// Complete an unfinished pipeline, unless it is so old that the collector has given it up.
    fn go_on(&mut self, pick: usize) {
        let young = stamp(self.now - TimeDelta::days(20));
        let open = |record: &&Value| {
            record["state"]["name"] == "IN_PROGRESS"
                && record["created_on"].as_str().unwrap() > young.as_str()
        };
        let open: Vec<_> = self
            .pipelines
            .iter()
            .filter(|(_, record)| open(record))
            .map(|(n, _)| *n)
            .collect();
        if let Some(n) = open.get(pick % open.len().max(1)) {
            self.finish(*n);
        }
    }

    fn finish(&mut self, n: u64) {
        let now = stamp(self.now);
        let done = json!({"name": "COMPLETED", "result": {"name": "SUCCESSFUL"}});
        let pipeline = self.pipelines.get_mut(&n).unwrap();
        pipeline["state"] = done.clone();
        pipeline["completed_on"] = json!(now);
        let step = self.steps.get_mut(&n).unwrap();
        step["state"] = done;
        step["completed_on"] = json!(now);
        let deployment = self.deployments.get_mut(&n).unwrap();
        deployment["state"] = json!({"name": "COMPLETED", "started_on": now, "completed_on": now,
            "status": {"name": "SUCCESSFUL"}});
        deployment["last_update_time"] = json!(now);
    }

    /// Redeploy an old release: its step and its deployment are overwritten.
    fn deploy_again(&mut self, pick: usize) {
        let done = |record: &&Value| record["state"]["name"] == "COMPLETED";
        let done: Vec<_> = self
            .pipelines
            .iter()
            .filter(|(_, record)| done(record))
            .map(|(n, _)| *n)
            .collect();
        let Some(n) = done.get(pick % done.len().max(1)) else {
            return;
        };
        let run = self.pipelines[n]["run_number"].as_u64().unwrap() + 1;
        self.pipelines.get_mut(n).unwrap()["run_number"] = json!(run);
        let step = self.steps.get_mut(n).unwrap();
        step["run_number"] = json!(run);
        step["trigger"] = json!({"type": "pipeline_step_trigger_redeploy"});
        self.finish(*n);
    }

    fn issue(&mut self, pick: usize) {
        let now = stamp(self.now);
        if pick.is_multiple_of(3) || self.issues.is_empty() {
            let n = self.next();
            // The names of repositories, also of another one.
            let component = ["lib", "web", "other"][pick / 3 % 3];
            self.issues.insert(
                n,
                json!({"type": "issue", "id": n, "title": "Broken", "state": "new", "kind": "bug",
                "priority": "major", "created_on": now, "updated_on": now, "reporter": user(1), "assignee": user(2),
                "component": {"name": component}}),
            );
        } else {
            let (change, comment) = (self.next(), self.next());
            let n = self.issues.len();
            let (id, issue) = self.issues.iter_mut().nth(pick % n).unwrap();
            let (before, after) = (
                issue["state"].clone(),
                json!(["open", "resolved", "closed"][pick % 3]),
            );
            issue["state"] = after.clone();
            issue["updated_on"] = json!(now);
            self.issue_changes.insert(change, json!({"type": "issue_change", "id": change, "issue": {"id": id},
                "created_on": now, "user": user(1), "changes": {"state": {"old": before, "new": after}}}));
            self.issue_comments.insert(
                comment,
                json!({"type": "issue_comment", "id": comment, "issue": {"id": id},
                "created_on": now, "updated_on": now, "user": user(1), "content": {"raw": "Why?"}}),
            );
        }
    }

    /// Somebody new opens a pull request.
    pub fn join(&mut self) {
        self.now += TimeDelta::minutes(7);
        self.open_pull_request();
        let id = *self.pull_requests.keys().next_back().unwrap();
        self.touch(id)["author"] = user(1_000 + id);
    }

    /// Return the reachable commits in Bitbucket's order.
    pub fn reachable(&self) -> BTreeSet<String> {
        let parents: BTreeMap<&str, Vec<&str>> = self
            .commits
            .iter()
            .map(|commit| {
                let of = commit["parents"].as_array().unwrap().iter();
                (
                    commit["hash"].as_str().unwrap(),
                    of.map(|it| it["hash"].as_str().unwrap()).collect(),
                )
            })
            .collect();
        let mut open: Vec<&str> = self
            .branches
            .values()
            .chain(self.tags.values())
            .map(String::as_str)
            .collect();
        let mut seen = BTreeSet::new();
        while let Some(hash) = open.pop() {
            if seen.insert(hash.to_owned()) {
                open.extend(parents[hash].iter().copied());
            }
        }
        seen
    }

    /// Write everything below `folder` as fixtures of the sandbox.
    pub fn write(&self, folder: &Path) {
        let slug = &self.slug;
        let web = folder.join("acme").join(slug);
        std::fs::create_dir_all(&web).unwrap();
        let repository = json!({"type": "repository", "uuid": format!("{{{slug}}}"), "full_name": format!("acme/{slug}"),
            "slug": slug, "name": slug, "is_private": true, "has_issues": true, "mainbranch": {"name": "main", "type": "branch"},
            "created_on": "2026-03-01T08:00:00+00:00", "updated_on": stamp(self.updated_on),
            "workspace": {"type": "workspace", "uuid": "{acme}", "slug": "acme", "name": "acme"}});
        std::fs::write(web.join("repository.json"), repository.to_string()).unwrap();
        let lines = |table: &str, records: Vec<String>| {
            std::fs::write(web.join(format!("{table}.jsonl")), records.join("\n")).unwrap();
        };
        let all = |records: &BTreeMap<u64, Value>| records.values().map(Value::to_string).collect();
        let refs = |kind: &str, refs: &BTreeMap<String, String>| {
            refs.iter()
                .map(|(name, hash)| {
                    let target = self
                        .commits
                        .iter()
                        .find(|commit| commit["hash"] == hash.as_str());
                    json!({"type": kind, "name": name, "target": target}).to_string()
                })
                .collect()
        };
        lines("branches", refs("branch", &self.branches));
        lines("tags", refs("tag", &self.tags));
        // A commit removed by a force-push is found by its hash and in no list.
        let reachable = self.reachable();
        let (listed, left): (Vec<_>, Vec<_>) = self
            .commits
            .iter()
            .partition(|commit| reachable.contains(commit["hash"].as_str().unwrap()));
        lines(
            "commits",
            listed.into_iter().map(Value::to_string).collect(),
        );
        lines(
            "unlisted_commits",
            left.into_iter().map(Value::to_string).collect(),
        );
        lines("pull_requests", all(&self.pull_requests));
        lines("pull_request_comments", all(&self.comments));
        // The feed shows comments in their current version, in the order of their creation.
        let shown = self.activity.iter().map(|entry| {
            let mut entry = entry.clone();
            let n = entry.pointer("/comment/id").and_then(Value::as_u64);
            if let Some(comment) = n.and_then(|n| self.comments.get(&n)) {
                entry["comment"] = comment.clone();
            }
            entry.to_string()
        });
        lines("pull_request_activity", shown.collect());
        lines("pipelines", all(&self.pipelines));
        lines("pipeline_steps", all(&self.steps));
        lines("deployments", all(&self.deployments));
        lines("issues", all(&self.issues));
        lines("issue_changes", all(&self.issue_changes));
        lines("issue_comments", all(&self.issue_comments));
        let commits = self.pull_request_commits.iter();
        let commits =
            commits.map(|(id, hashes)| json!({"pull_request": id, "hashes": hashes}).to_string());
        lines("pull_request_commits", commits.collect());
    }
}
