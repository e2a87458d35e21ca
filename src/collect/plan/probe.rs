//! How long the lists of a new repository are, by a request or two each.
//!
//! ```text
//! branches and tags, pull requests, pipelines, deployments   the list says its size
//! … of them since `since`                                    filtered, or the border is looked for by halves
//! activity, commits                                          by how close the newest are to each other
//! pull requests that the graph does not tell                 by the share of them among the newest
//! ```

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::entity::{text, time};
use super::super::newest_first::quoted;
use super::super::pull_request_activity;
use super::super::repositories::DiscoveredRepository;
use super::Requests;
use super::night::Rates;
use crate::bitbucket::{ApiTarget, Client, Endpoint, NextPage, endpoints};
use crate::config::{EntityGroup, RuleSet, StepsRule};
use crate::error::Result;
use crate::redaction::ReceivedRecord;

pub(super) struct Probe<'a> {
    pub client: &'a Client,
    pub discovered: &'a DiscoveredRepository,
    pub rules: &'a RuleSet,
    pub since: DateTime<Utc>,
    pub now: DateTime<Utc>,
}

/// How many records each list has that the first load reads; nothing for a list that is not there or not wanted.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// Days that they come from.
    days: f64,
    refs: Option<f64>,
    commits: Option<f64>,
    pull_requests: Option<f64>,
    open: f64,
    activity: Option<f64>,
    /// Pull requests whose commits were squashed.
    squashed: f64,
    pipelines: Option<f64>,
    deployments: Option<f64>,
    issues: Option<f64>,
}

/// The first page of a list.
struct First {
    values: Vec<Value>,
    /// Of the whole list; of a list that does not say, if this is not all of it, nothing.
    size: Option<f64>,
}

impl Probe<'_> {
    pub async fn ask(&self) -> Result<Sizes> {
        let wants = |group: EntityGroup| self.rules.entities.contains(&group);
        let begin = self
            .discovered
            .created_on
            .map_or(self.since, |created| created.max(self.since));
        let mut sizes = Sizes {
            days: days(begin, self.now).max(1.0),
            ..Sizes::default()
        };
        let mut graph = Graph::default();
        if wants(EntityGroup::Code) {
            self.code(&mut sizes, &mut graph).await?;
        }
        if wants(EntityGroup::Review) {
            self.review(&mut sizes, &graph).await?;
        }
        if wants(EntityGroup::Issues) && self.discovered.has_issues {
            let first = self.first(&endpoints::ISSUES, 1, 1, None).await?;
            sizes.issues = first.and_then(|first| first.size);
        }
        if wants(EntityGroup::Cicd)
            && let Some((young, all)) = self.young_pipelines().await?
        {
            sizes.pipelines = Some(young);
            let first = self.first(&endpoints::DEPLOYMENTS, 1, 1, None).await?;
            let deployments = first.and_then(|first| first.size);
            sizes.deployments = deployments.map(|size| size * young / all.max(1.0));
        }
        Ok(sizes)
    }

    async fn code(&self, sizes: &mut Sizes, graph: &mut Graph) -> Result<()> {
        let Some(refs) = self.first(&endpoints::REFS, 100, 1, None).await? else {
            return Ok(());
        };
        sizes.refs = refs.size;
        let named = refs.values.iter();
        graph.branches = named
            .clone()
            .filter(|one| text(one, "/type").as_deref() == Some("branch"))
            .count();
        let Some(commits) = self.first(&endpoints::COMMITS, 100, 1, None).await? else {
            return Ok(());
        };
        let dates = commits
            .values
            .iter()
            .filter_map(|commit| time(commit, "/date"));
        let oldest = named
            .filter_map(|one| time(one, "/target/date"))
            .chain(self.discovered.created_on)
            .min();
        let read = commits.values.len() as f64;
        sizes.commits = commits
            .size
            .or_else(|| Some(dense(read, dates.min()?, oldest?, self.now)));
        graph.parents = commits.values.iter().filter_map(parents).collect();
        Ok(())
    }

    async fn review(&self, sizes: &mut Sizes, graph: &Graph) -> Result<()> {
        let changed = format!("updated_on >= {}", quoted(self.since));
        let list = &endpoints::PULL_REQUESTS;
        let Some(newest) = self.first(list, list.pagelen, 1, Some(&changed)).await? else {
            return Ok(());
        };
        let all = newest.size.unwrap_or(newest.values.len() as f64);
        let state = |state: &'static str| {
            move |record: &&Value| text(record, "/state").as_deref() == Some(state)
        };
        sizes.pull_requests = Some(all);
        sizes.open = newest.values.iter().filter(state("OPEN")).count() as f64;
        let mut declined = 0.0;
        if newest
            .values
            .iter()
            .any(|record| state("DECLINED")(&record))
        {
            let q = format!("{changed} AND state = \"DECLINED\"");
            let first = self.first(list, 1, 1, Some(&q)).await?;
            declined = first.and_then(|first| first.size).unwrap_or_default();
        }
        let merged = newest.values.iter().filter(state("MERGED"));
        sizes.squashed = (all - sizes.open - declined).max(0.0) * graph.untold(merged);

        let list = &endpoints::REPOSITORY_ACTIVITY;
        if let Some(first) = self.first(list, list.pagelen, 1, None).await? {
            let dates: Vec<_> = first
                .values
                .iter()
                .filter_map(pull_request_activity::date)
                .collect();
            let read = dates.iter().filter(|date| **date >= self.since).count() as f64;
            sizes.activity = match (first.size, dates.iter().min()) {
                (None, Some(oldest)) if *oldest > self.since => {
                    let span = chrono::TimeDelta::try_minutes((sizes.days * 1440.0) as i64);
                    let from = span.and_then(|span| self.now.checked_sub_signed(span));
                    let from = from.unwrap_or(self.since);
                    Some(dense(read, *oldest, from, self.now))
                }
                _ => Some(read),
            };
        }
        Ok(())
    }

    /// How many pipelines there are since `since`, and in all. Unless even the first is young, the border is looked for by
    /// halves, to within a page or one of twenty.
    async fn young_pipelines(&self) -> Result<Option<(f64, f64)>> {
        let list = &endpoints::PIPELINES;
        let Some(first) = self.first(list, 1, 1, None).await? else {
            return Ok(None);
        };
        let size = first.size.unwrap_or_default();
        let page = f64::from(list.pagelen);
        if size <= page || self.is_young(size).await? {
            return Ok(Some((size, size)));
        }
        let (mut young, mut old) = (0.0, size);
        while old - young > page.max(young / 20.0) {
            let middle = f64::midpoint(young, old).floor();
            match self.is_young(middle).await? {
                true => young = middle,
                false => old = middle,
            }
        }
        Ok(Some((f64::midpoint(young, old), size)))
    }

    /// Whether the pipeline at this place, counted from the newest, is wanted.
    async fn is_young(&self, place: f64) -> Result<bool> {
        let page = self
            .first(&endpoints::PIPELINES, 1, place as u64, None)
            .await?;
        let created = page.and_then(|page| time(page.values.first()?, "/created_on"));
        Ok(created.is_none_or(|created| created >= self.since))
    }

    /// One page of a list, which may be of another size than the walk's; nothing where the list is not there.
    async fn first(
        &self,
        list: &'static Endpoint,
        pagelen: u16,
        page: u64,
        q: Option<&str>,
    ) -> Result<Option<First>> {
        let target = ApiTarget::full_name(&self.discovered.found.full_name);
        let pages = self
            .client
            .list(list, target)
            .with_filter(q.map(str::to_owned));
        let mut pages = pages.with_page(pagelen, page);
        let NextPage::Page(page) = pages.next().await? else {
            return Ok(None);
        };
        let read = |record: &RawValue| ReceivedRecord::read(record.get()).value().clone();
        let values: Vec<Value> = page.values.iter().map(|it| read(it)).collect();
        let all = || pages.cursor().is_none().then_some(values.len() as f64);
        Ok(Some(First {
            size: page.size.map(|size| size as f64).or_else(all),
            values,
        }))
    }
}

/// What the newest commits and the branches tell.
#[derive(Default)]
struct Graph {
    branches: usize,
    /// By hash.
    parents: BTreeMap<String, Vec<String>>,
}

fn parents(commit: &Value) -> Option<(String, Vec<String>)> {
    let parents = commit.get("parents")?.as_array()?.iter();
    let hashes = parents.filter_map(|parent| text(parent, "/hash"));
    Some((text(commit, "/hash")?, hashes.collect()))
}

impl Graph {
    /// Of these merged pull requests, the share whose merge commit does not build on their source.
    fn untold<'a>(&self, merged: impl Iterator<Item = &'a Value>) -> f64 {
        let (mut judged, mut untold) = (BTreeSet::new(), 0);
        for record in merged {
            let merge = text(record, "/merge_commit/hash");
            let found = merge.and_then(|short| {
                let (hash, parents) = self.parents.range(short.clone()..).next()?;
                hash.starts_with(&short).then_some((hash, parents))
            });
            let Some((hash, parents)) = found else {
                continue;
            };
            judged.insert(hash);
            let source = text(record, "/source/commit/hash").unwrap_or_default();
            let told =
                !source.is_empty() && parents.iter().any(|parent| parent.starts_with(&source));
            untold += usize::from(!told);
        }
        untold as f64 / judged.len().max(1) as f64
    }
}

/// How many records lie between two times, if all come as close as the newest so many, which reach down to `oldest`.
fn dense(newest: f64, oldest: DateTime<Utc>, from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    let span = days(oldest, to).max(1.0 / 1440.0);
    (newest - 0.5) * (days(from, to) / span).max(1.0)
}

fn days(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).num_minutes() as f64 / 1440.0
}

impl Sizes {
    pub fn first_load(&self, rules: &RuleSet) -> Requests {
        let mut all = Requests::new();
        let wants = |group: EntityGroup| rules.entities.contains(&group);
        // To learn that a list is not there, or empty, takes a request as well.
        let mut list = |list: &Endpoint, size: Option<f64>| {
            let pages = (size.unwrap_or_default() / f64::from(list.pagelen)).ceil();
            all.insert(list.name.to_owned(), pages.max(1.0));
        };
        if wants(EntityGroup::Code) {
            list(&endpoints::REFS, self.refs);
            list(&endpoints::COMMITS, self.commits);
        }
        if wants(EntityGroup::Review) {
            list(&endpoints::PULL_REQUESTS, self.pull_requests);
            if self.pull_requests.is_some() {
                list(&endpoints::REPOSITORY_ACTIVITY, self.activity);
            }
        }
        if wants(EntityGroup::Issues) && self.issues.is_some() {
            list(&endpoints::ISSUES, self.issues);
        }
        if wants(EntityGroup::Cicd) {
            list(&endpoints::PIPELINES, self.pipelines);
            if self.pipelines.is_some() {
                list(&endpoints::DEPLOYMENTS, self.deployments);
                list(&endpoints::ENVIRONMENTS, None);
            }
        }
        let issues = self.issues.unwrap_or_default();
        let steps = self
            .pipelines
            .filter(|_| rules.effective_steps() == StepsRule::All);
        for (table, each) in [
            (endpoints::PULL_REQUEST_COMMITS.name, self.squashed),
            (endpoints::ISSUE_COMMENTS.name, issues),
            (endpoints::ISSUE_CHANGES.name, issues),
            (endpoints::PIPELINE_STEPS.name, steps.unwrap_or_default()),
        ] {
            if each > 0.0 {
                all.insert(table.to_owned(), each.round());
            }
        }
        all
    }

    pub fn rates(&self) -> Rates {
        let rate = |size: Option<f64>| size.unwrap_or_default() / self.days;
        Rates {
            moved: true,
            refs: (self.refs.unwrap_or_default() / 100.0).ceil().max(1.0),
            commits: rate(self.commits),
            open: self.open,
            pull_requests: rate(self.pull_requests),
            activity: rate(self.activity),
            lists: self.squashed / self.days,
            pipelines: self.pipelines.map(|size| size / self.days),
            deployments: rate(self.deployments),
            issues: self.issues.map(|size| size / self.days),
            environments: 1.0 / 7.0,
        }
    }
}
