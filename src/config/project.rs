//! `[[repositories]]` and `[[project]]`: which repositories are collected, under which rules, and for which team's
//! figures.

use std::collections::BTreeMap;

use chrono::Weekday;
use chrono_tz::Tz;

use super::connection::Connection;
use super::keys;
use super::patterns::{self, RepositoryPattern};
use super::place::ConfigPlace;
use super::rules::RuleSet;
use super::section::Section;
use crate::error::Result;
use crate::suggest;

/// One `[[repositories]]`.
#[derive(Debug, Clone)]
pub struct RepositorySelection {
    pub connection: String,
    pub include: Vec<RepositoryPattern>,
    pub exclude: Vec<RepositoryPattern>,
    pub rules: String,
    pub place: ConfigPlace,
}

impl RepositorySelection {
    /// `full_name`: `workspace/slug`.
    pub fn selects(&self, full_name: &str) -> bool {
        let any = |patterns: &[RepositoryPattern]| patterns.iter().any(|p| p.matches(full_name));
        any(&self.include) && !any(&self.exclude)
    }
}

/// One `[[project]]`: a product or team for which figures are made.
#[derive(Debug, Clone)]
pub struct Project {
    pub name: String,
    pub repositories: Vec<RepositoryPattern>,
    /// Keys of Bitbucket projects, as in `CHK`.
    pub bitbucket_projects: Vec<String>,
    pub timezone: Tz,
    pub week_start: Weekday,
    /// How long after a deployment an incident may begin and still be blamed on it without a reference.
    pub incident_window_hours: i64,
    /// How old a change in an environment's first known deployment may be and still count as brought by it.
    pub baseline_days: i64,
    /// How long after production a revert still counts as rework.
    pub rework_days: i64,
    pub place: ConfigPlace,
}

pub(super) fn read_selections(
    root: &Section<'_>,
    connections: &[Connection],
    rules: &BTreeMap<String, RuleSet>,
) -> Result<Vec<RepositorySelection>> {
    root.tables("repositories", &keys::REPOSITORIES.names())?
        .iter()
        .map(|section| {
            let names: Vec<&str> = connections.iter().map(|c| c.name.as_str()).collect();
            let hint = "name the [[connection]] to use";
            let connection = section.required("connection", hint)?;
            refers(section, "connection", &connection, &names, "[[connection]]")?;
            let sets: Vec<&str> = rules.keys().map(String::as_str).collect();
            let rules = section.string("rules")?;
            let rules = rules.unwrap_or_else(|| "default".to_owned());
            refers(section, "rules", &rules, &sets, "rule set")?;
            let include = patterns::list(section, "include")?;
            if include.is_empty() {
                let hint = "add `include = [\"workspace/*\"]`";
                return Err(section.missing("include", hint));
            }
            Ok(RepositorySelection {
                connection,
                include,
                exclude: patterns::list(section, "exclude")?,
                rules,
                place: section.place().clone(),
            })
        })
        .collect()
}

/// `name` must be among `names`.
fn refers(section: &Section<'_>, key: &str, name: &str, names: &[&str], what: &str) -> Result<()> {
    if names.contains(&name) {
        return Ok(());
    }
    let error = section
        .place_of(key)
        .error(format!("there is no {what} named `{name}`"));
    Err(if names.is_empty() {
        error.hint(format!("add a {what}"))
    } else {
        error.hint(suggest::hint(name, names, "there are"))
    })
}

/// A bound for windows that keeps SQL's intervals in range.
const MOST_HOURS: i64 = 100_000;

pub(super) fn read_projects(root: &Section<'_>) -> Result<Vec<Project>> {
    let mut projects: Vec<Project> = Vec::new();
    for section in root.tables("project", &keys::PROJECT.names())? {
        let project = project(&section)?;
        if let Some(earlier) = projects.iter().find(|p| p.name == project.name) {
            return Err(section
                .place_of("name")
                .error(format!("two projects are named `{}`", project.name))
                .hint(format!("the other one is at {}", earlier.place)));
        }
        projects.push(project);
    }
    Ok(projects)
}

fn project(section: &Section<'_>) -> Result<Project> {
    let name = section.required("name", "add the project's name")?;
    let repositories = patterns::list(section, "repositories")?;
    let keys = section.strings("bitbucket_projects")?.unwrap_or_default();
    if repositories.is_empty() && keys.is_empty() {
        return Err(section
            .place()
            .error(format!("the project `{name}` has no repositories"))
            .hint(
                "add `repositories = [\"workspace/slug-*\"]` or `bitbucket_projects = [\"KEY\"]`",
            ));
    }
    Ok(Project {
        name,
        repositories,
        bitbucket_projects: keys.into_iter().map(|(key, _)| key).collect(),
        timezone: section.timezone("timezone")?,
        week_start: week_start(section)?,
        incident_window_hours: section
            .positive("incident_window_hours", MOST_HOURS)?
            .unwrap_or(72),
        baseline_days: section.positive("baseline_days", MOST_HOURS)?.unwrap_or(30),
        rework_days: section.positive("rework_days", MOST_HOURS)?.unwrap_or(14),
        place: section.place().clone(),
    })
}

fn week_start(section: &Section<'_>) -> Result<Weekday> {
    let days = [
        ("monday", Weekday::Mon),
        ("tuesday", Weekday::Tue),
        ("wednesday", Weekday::Wed),
        ("thursday", Weekday::Thu),
        ("friday", Weekday::Fri),
        ("saturday", Weekday::Sat),
        ("sunday", Weekday::Sun),
    ];
    let key = "week_start";
    let Some(word) = section.string(key)? else {
        return Ok(Weekday::Mon);
    };
    let lower = word.to_lowercase();
    match days.iter().find(|(day, _)| *day == lower) {
        Some((_, day)) => Ok(*day),
        None => Err(section.not_one_of(key, &word, &days)),
    }
}
