//! Measures the lists of a new repository by a request or two each.
//!
//! ```text
//! branches and tags, pull requests, pipelines, deployments   the size that the list reports
//! the part of them since `since`                             by a filter, or by a binary search of the list
//! activity, commits                                          extrapolated from the density of the newest records
//! pull requests whose commits are not in the graph           extrapolated from the share among the newest
//! ```

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::super::discovered::DiscoveredRepository;
use super::super::entity::{text, time};
use super::super::newest_first::quoted;
use super::super::pull_request_activity;
use super::rates::{ENVIRONMENTS_PER_DAY, Rates};
use super::{Requests, days_between};
use crate::bitbucket::{ApiTarget, Client, Endpoint, NextPage, endpoints};
use crate::config::{EntityGroup, RuleSet, StepsRule};
use crate::error::Result;
use crate::json::{self, JsonDocument, JsonValue};

/// A new repository to measure.
pub(super) struct Probe<'a> {
    pub(super) client: &'a Client,
    pub(super) discovered: &'a DiscoveredRepository,
    pub(super) rules: &'a RuleSet,
    pub(super) since: DateTime<Utc>,
    pub(super) now: DateTime<Utc>,
}

/// The number of records of each list that a first load reads; `None` for a list that is unavailable or not wanted.
#[derive(Debug, Default)]
pub(super) struct MeasuredSizes {
    /// The days from which the records come.
    days: f64,
    refs: Option<f64>,
    commits: Option<f64>,
    pull_requests: Option<f64>,
    /// Pull requests that are open.
    open: f64,
    activity: Option<f64>,
    /// Merged pull requests whose commits the merge does not contain.
    squashed: f64,
    pipelines: Option<f64>,
    deployments: Option<f64>,
    issues: Option<f64>,
}

/// One page of a list.
struct SamplePage {
    records: Vec<JsonDocument>,
    /// The size of the whole list; `None` when the list does not report it and has more pages.
    size: Option<f64>,
}

impl SamplePage {
    fn values(&self) -> impl Iterator<Item = JsonValue<'_>> {
        self.records.iter().map(JsonDocument::root)
    }
}

impl Probe<'_> {
    /// Measure the lists that the rules ask for.
    pub(super) async fn measure(&self) -> Result<MeasuredSizes> {
        let wants = |group: EntityGroup| self.rules.entities.contains(&group);
        let begin = self
            .discovered
            .created_on
            .map_or(self.since, |created| created.max(self.since));
        let mut sizes = MeasuredSizes {
            days: days_between(begin, self.now).max(1.0),
            ..MeasuredSizes::default()
        };
        let mut graph = NewestCommits::default();
        if wants(EntityGroup::Code) {
            self.measure_code(&mut sizes, &mut graph).await?;
        }
        if wants(EntityGroup::Review) {
            self.measure_review(&mut sizes, &graph).await?;
        }
        if wants(EntityGroup::Issues) && self.discovered.has_issues {
            let first = self.fetch_page(&endpoints::ISSUES, 1, 1, None).await?;
            sizes.issues = first.and_then(|first| first.size);
        }
        if wants(EntityGroup::Cicd)
            && let Some((wanted, all)) = self.count_wanted_pipelines().await?
        {
            sizes.pipelines = Some(wanted);
            let first = self.fetch_page(&endpoints::DEPLOYMENTS, 1, 1, None).await?;
            let deployments = first.and_then(|first| first.size);
            sizes.deployments = deployments.map(|size| size * wanted / all.max(1.0));
        }
        Ok(sizes)
    }

    async fn measure_code(
        &self,
        sizes: &mut MeasuredSizes,
        graph: &mut NewestCommits,
    ) -> Result<()> {
        let Some(refs) = self.fetch_page(&endpoints::REFS, 100, 1, None).await? else {
            return Ok(());
        };
        sizes.refs = refs.size;
        let Some(commits) = self.fetch_page(&endpoints::COMMITS, 100, 1, None).await? else {
            return Ok(());
        };
        let dates = commits.values().filter_map(|commit| time(commit, "/date"));
        let oldest = refs
            .values()
            .filter_map(|one| time(one, "/target/date"))
            .chain(self.discovered.created_on)
            .min();
        let read = commits.records.len() as f64;
        sizes.commits = commits
            .size
            .or_else(|| Some(extrapolate(read, dates.min()?, oldest?, self.now)));
        graph.parents = commits.values().filter_map(parents).collect();
        Ok(())
    }

    async fn measure_review(&self, sizes: &mut MeasuredSizes, graph: &NewestCommits) -> Result<()> {
        let changed = format!("updated_on >= {}", quoted(self.since));
        let list = &endpoints::PULL_REQUESTS;
        let Some(newest) = self
            .fetch_page(list, list.pagelen, 1, Some(&changed))
            .await?
        else {
            return Ok(());
        };
        let all = newest.size.unwrap_or(newest.records.len() as f64);
        let state = |state: &'static str| {
            move |record: &JsonValue<'_>| text(*record, "/state").as_deref() == Some(state)
        };
        sizes.pull_requests = Some(all);
        sizes.open = newest.values().filter(state("OPEN")).count() as f64;
        let mut declined = 0.0;
        if newest.values().any(|record| state("DECLINED")(&record)) {
            let q = format!("{changed} AND state = \"DECLINED\"");
            let first = self.fetch_page(list, 1, 1, Some(&q)).await?;
            declined = first.and_then(|first| first.size).unwrap_or_default();
        }
        let merged = newest.values().filter(state("MERGED"));
        sizes.squashed = (all - sizes.open - declined).max(0.0) * graph.share_of_squashed(merged);

        let list = &endpoints::REPOSITORY_ACTIVITY;
        if let Some(first) = self.fetch_page(list, list.pagelen, 1, None).await? {
            let dates: Vec<_> = first
                .values()
                .filter_map(pull_request_activity::date)
                .collect();
            let read = dates.iter().filter(|date| **date >= self.since).count() as f64;
            sizes.activity = match (first.size, dates.iter().min()) {
                (None, Some(oldest)) if *oldest > self.since => {
                    let span = chrono::TimeDelta::try_minutes((sizes.days * 1440.0) as i64);
                    let from = span.and_then(|span| self.now.checked_sub_signed(span));
                    let from = from.unwrap_or(self.since);
                    Some(extrapolate(read, *oldest, from, self.now))
                }
                _ => Some(read),
            };
        }
        Ok(())
    }

    /// Count the pipelines since `since`, and all of them. The oldest wanted one is found by a binary search, to within one
    /// page or one in twenty.
    async fn count_wanted_pipelines(&self) -> Result<Option<(f64, f64)>> {
        let list = &endpoints::PIPELINES;
        let Some(first) = self.fetch_page(list, 1, 1, None).await? else {
            return Ok(None);
        };
        let size = first.size.unwrap_or_default();
        let page = f64::from(list.pagelen);
        if size <= page || self.is_wanted_pipeline(size).await? {
            return Ok(Some((size, size)));
        }
        let (mut wanted, mut older) = (0.0, size);
        while older - wanted > page.max(wanted / 20.0) {
            let middle = f64::midpoint(wanted, older).floor();
            match self.is_wanted_pipeline(middle).await? {
                true => wanted = middle,
                false => older = middle,
            }
        }
        Ok(Some((f64::midpoint(wanted, older), size)))
    }

    /// Whether the pipeline at a position, counted from the newest, was created since `since`.
    async fn is_wanted_pipeline(&self, position: f64) -> Result<bool> {
        let page = self
            .fetch_page(&endpoints::PIPELINES, 1, position as u64, None)
            .await?;
        let created = page.and_then(|page| time(page.values().next()?, "/created_on"));
        Ok(created.is_none_or(|created| created >= self.since))
    }

    /// Fetch one page of a list, of any page length; `None` when the list is unavailable.
    async fn fetch_page(
        &self,
        list: &'static Endpoint,
        pagelen: u16,
        page: u64,
        q: Option<&str>,
    ) -> Result<Option<SamplePage>> {
        let target = ApiTarget::full_name(&self.discovered.found.full_name);
        let pages = self
            .client
            .list(list, target)
            .with_filter(q.map(str::to_owned));
        let mut pages = pages.with_page(pagelen, page);
        let NextPage::Page(page) = pages.next().await? else {
            return Ok(None);
        };
        let read = |record: &RawValue| json::read(record.get()).map(|read| read.document);
        let records = page.values.iter();
        let records: Vec<_> = records.map(|it| read(it).unwrap_or_default()).collect();
        let size_of_last_page = || pages.cursor().is_none().then_some(records.len() as f64);
        Ok(Some(SamplePage {
            size: page.size.map(|size| size as f64).or_else(size_of_last_page),
            records,
        }))
    }
}

/// The newest commits, by which the merges of pull requests are judged.
#[derive(Default)]
struct NewestCommits {
    /// The parents of each commit, by hash.
    parents: BTreeMap<String, Vec<String>>,
}

fn parents(commit: JsonValue<'_>) -> Option<(String, Vec<String>)> {
    let parents = commit.get("parents").filter(|it| it.is_array())?.items();
    let hashes = parents.filter_map(|parent| text(parent, "/hash"));
    Some((text(commit, "/hash")?, hashes.collect()))
}

impl NewestCommits {
    /// Return the share of merged pull requests whose merge commit does not have their source as a parent.
    fn share_of_squashed<'a>(&self, merged: impl Iterator<Item = JsonValue<'a>>) -> f64 {
        let (mut judged, mut squashed) = (BTreeSet::new(), 0);
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
            let is_merged =
                !source.is_empty() && parents.iter().any(|parent| parent.starts_with(&source));
            squashed += usize::from(!is_merged);
        }
        squashed as f64 / judged.len().max(1) as f64
    }
}

/// Extrapolate the number of records between two times from the density of the newest, of which `oldest` is the last.
fn extrapolate(newest: f64, oldest: DateTime<Utc>, from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    let span = days_between(oldest, to).max(1.0 / 1440.0);
    (newest - 0.5) * (days_between(from, to) / span).max(1.0)
}

impl MeasuredSizes {
    /// Return the requests of the first load.
    pub(super) fn first_load(&self, rules: &RuleSet) -> Requests {
        let mut all = Requests::new();
        let wants = |group: EntityGroup| rules.entities.contains(&group);
        // An unavailable or empty list takes a request, too.
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

    /// Return the growth of the lists per day.
    pub(super) fn rates(&self) -> Rates {
        let rate = |size: Option<f64>| size.unwrap_or_default() / self.days;
        Rates {
            is_moved: true,
            ref_pages: (self.refs.unwrap_or_default() / 100.0).ceil().max(1.0),
            commits: rate(self.commits),
            open_pull_requests: self.open,
            pull_requests: rate(self.pull_requests),
            activity: rate(self.activity),
            commit_lists: self.squashed / self.days,
            pipelines: self.pipelines.map(|size| size / self.days),
            deployments: rate(self.deployments),
            issues: self.issues.map(|size| size / self.days),
            environments: ENVIRONMENTS_PER_DAY,
        }
    }
}
