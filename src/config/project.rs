//! Reads `[[repositories]]` and `[[project]]`: which repositories are collected with which rule set, and which projects
//! they belong to.

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
    /// The name of the connection.
    pub connection: String,
    /// The patterns of the repositories to collect.
    pub include: Vec<RepositoryPattern>,
    /// The patterns of the repositories to leave out.
    pub exclude: Vec<RepositoryPattern>,
    /// The name of the rule set.
    pub rules: String,
    /// The line of the table's header.
    pub place: ConfigPlace,
}

impl RepositorySelection {
    /// Return whether the repository `full_name` (`workspace/slug`) is included and not excluded.
    pub fn selects(&self, full_name: &str) -> bool {
        let any = |patterns: &[RepositoryPattern]| patterns.iter().any(|p| p.matches(full_name));
        any(&self.include) && !any(&self.exclude)
    }
}

/// One `[[project]]`: a product or team that metrics are computed for.
#[derive(Debug, Clone)]
pub struct Project {
    /// The name of the project.
    pub name: String,
    /// The patterns of its repositories.
    pub repositories: Vec<RepositoryPattern>,
    /// Keys of Bitbucket projects, such as `CHK`, whose repositories belong to the project.
    pub bitbucket_projects: Vec<String>,
    /// The time zone of the project's days, weeks and months.
    pub timezone: Tz,
    /// The first day of the project's weeks.
    pub week_start: Weekday,
    /// How long after a deployment an incident may begin and still be linked to it without naming it.
    pub incident_window_hours: i64,
    /// How old a change in an environment's first known deployment may be and still count as delivered by it.
    pub baseline_days: i64,
    /// How long after its production deployment the revert of a change still counts as rework.
    pub rework_days: i64,
    /// The line of the table's header.
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
            let hint = "add the name of a [[connection]]";
            let connection = section.required("connection", hint)?;
            check_reference(section, "connection", &connection, &names, "[[connection]]")?;
            let sets: Vec<&str> = rules.keys().map(String::as_str).collect();
            let rules = section.string("rules")?;
            let rules = rules.unwrap_or_else(|| "default".to_owned());
            check_reference(section, "rules", &rules, &sets, "rule set")?;
            let include = patterns::read_list(section, "include")?;
            if include.is_empty() {
                let hint = "add `include = [\"workspace/*\"]`";
                return Err(section.missing("include", hint));
            }
            Ok(RepositorySelection {
                connection,
                include,
                exclude: patterns::read_list(section, "exclude")?,
                rules,
                place: section.place().clone(),
            })
        })
        .collect()
}

/// Check that `name` is one of `names`.
fn check_reference(
    section: &Section<'_>,
    key: &str,
    name: &str,
    names: &[&str],
    what: &str,
) -> Result<()> {
    if names.contains(&name) {
        return Ok(());
    }
    let error = section
        .place_of(key)
        .error(format!("there is no {what} named `{name}`"));
    Err(if names.is_empty() {
        error.hint(format!("add a {what}"))
    } else {
        error.hint(suggest::hint(name, names, "use one of"))
    })
}

pub(super) fn read_projects(root: &Section<'_>) -> Result<Vec<Project>> {
    let mut projects: Vec<Project> = Vec::new();
    for section in root.tables("project", &keys::PROJECT.names())? {
        let project = read_project(&section)?;
        if let Some(earlier) = projects.iter().find(|p| p.name == project.name) {
            return Err(section
                .place_of("name")
                .error(format!("two projects are named `{}`", project.name))
                .hint(format!(
                    "rename one of them; the other is at {}",
                    earlier.place
                )));
        }
        projects.push(project);
    }
    Ok(projects)
}

fn read_project(section: &Section<'_>) -> Result<Project> {
    let name = section.required("name", "add the project's name")?;
    let repositories = patterns::read_list(section, "repositories")?;
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
        week_start: read_week_start(section)?,
        incident_window_hours: section
            .positive("incident_window_hours", keys::MAX_WINDOW)?
            .unwrap_or(72),
        baseline_days: section
            .positive("baseline_days", keys::MAX_WINDOW)?
            .unwrap_or(30),
        rework_days: section
            .positive("rework_days", keys::MAX_WINDOW)?
            .unwrap_or(14),
        place: section.place().clone(),
    })
}

fn read_week_start(section: &Section<'_>) -> Result<Weekday> {
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
