//! Converts local times to instants in the time zones of the projects.
//!
//! ```text
//! from=2026-10 ─┬─ shop, web: Europe/Berlin ─▶ 2026-09-30T22:00:00Z ─▶ rows ─┐
//!               └─ india:     Asia/Kolkata  ─▶ 2026-09-30T18:30:00Z ─▶ rows ─┴▶ rows, by project
//! ```

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::clock;
use crate::engine::{Engine, Moment, Param, bind_params, resolve_moments};
use crate::error::Result;

const PROJECT: &str = "project";

/// The time zones of the projects of a lake, and the time of its last run.
pub(super) struct LakeCalendar {
    zones: BTreeMap<String, Tz>,
    /// The end of the collected time, from which `last month` is counted; without collected time, the present.
    now: DateTime<Utc>,
}

impl LakeCalendar {
    /// Read the calendar of the lake.
    ///
    /// # Errors
    /// As [`Engine::query_texts`].
    pub(super) async fn read(engine: &Engine) -> Result<Self> {
        let names = "SELECT name FROM config.projects ORDER BY name";
        let zones = "SELECT timezone FROM config.projects ORDER BY name";
        let names = engine.query_texts(names).await?.into_iter();
        let zones = engine.query_texts(zones).await?.into_iter();
        let zones = names
            .zip(zones)
            .filter_map(|(name, zone)| Some((name, zone.parse().ok()?)));
        // The noon of the last day that has begun.
        let last_day = "SELECT cast(max(period_end) - interval '12 hours' AS varchar) \
            FROM config.buckets WHERE period = 'all'";
        let last_day = engine.query_texts(last_day).await?;
        let last_day = last_day.first().and_then(|time| Moment::parse(time));
        let last_day = last_day.map(|time| time.resolve(Tz::UTC, DateTime::UNIX_EPOCH));
        Ok(Self {
            zones: zones.collect(),
            now: last_day.unwrap_or_else(clock::now),
        })
    }

    /// Return a calendar without projects, to print a query without a lake.
    pub(super) fn without_lake() -> Self {
        Self {
            zones: BTreeMap::new(),
            now: clock::now(),
        }
    }

    /// Return the parameters of each run of the query, one run for each time zone. `by_project`: each row of the query
    /// belongs to one project.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if `from` is not before `to`.
    pub(super) fn variants(&self, params: Vec<Param>, by_project: bool) -> Result<Vec<Vec<Param>>> {
        let resolved = |mut params: Vec<Param>, zone| {
            resolve_moments(&mut params, zone, self.now).map(|()| params)
        };
        let is_local = |param: &Param| param.moment.is_some_and(|moment| moment.is_local());
        if !params.iter().any(is_local) {
            return Ok(vec![resolved(params, Tz::UTC)?]);
        }
        let selected = params.iter().find(|param| param.name == PROJECT);
        let selects_projects = selected.is_some();
        let selected = selected.map(Param::items).unwrap_or_default();
        let mut zones: BTreeMap<&str, (Tz, Vec<&str>)> = BTreeMap::new();
        for (project, zone) in &self.zones {
            if selected.is_empty() || selected.contains(&project.as_str()) {
                let (_, projects) = zones.entry(zone.name()).or_insert((*zone, Vec::new()));
                projects.push(project);
            }
        }
        let mut found = zones.values();
        match (found.next(), found.next()) {
            (None, _) => Ok(vec![resolved(params, Tz::UTC)?]),
            (Some((zone, _)), None) => Ok(vec![resolved(params, *zone)?]),
            _ if by_project && selects_projects => zones
                .values()
                .map(|(zone, projects)| {
                    let given = [(PROJECT.to_owned(), projects.join(","))];
                    resolved(bind_params(params.clone(), &given)?, *zone)
                })
                .collect(),
            _ => {
                tracing::warn!(
                    "the projects have different time zones, and times are read in UTC: add --param project=NAME, or give \
                     instants such as 2026-10-01T00:00:00+02:00"
                );
                Ok(vec![resolved(params, Tz::UTC)?])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::declared_params;

    const HEADER: &str = "-- param: project varchar[] = null\n-- param: from timestamp = null\n-- param: to timestamp = null";

    fn calendar() -> LakeCalendar {
        let zones = [
            ("india", chrono_tz::Asia::Kolkata),
            ("shop", chrono_tz::Europe::Berlin),
            ("web", chrono_tz::Europe::Berlin),
        ];
        LakeCalendar {
            zones: zones.map(|(name, zone)| (name.to_owned(), zone)).into(),
            now: "2026-11-20T17:00:00Z".parse().unwrap(),
        }
    }

    /// Return the projects and the `from` of each variant.
    fn variants(given: &[(&str, &str)], by_project: bool) -> Vec<String> {
        let given = given
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let given: Vec<_> = given.collect();
        let params = bind_params(declared_params(HEADER).unwrap(), &given).unwrap();
        let variants = calendar().variants(params, by_project).unwrap();
        variants
            .iter()
            .map(|params| format!("{} {}", params[0].text, params[1].value))
            .collect()
    }

    #[test]
    fn a_date_is_read_in_the_zone_of_each_project() {
        let micros = |time: &str| time.parse::<DateTime<Utc>>().unwrap().timestamp_micros();
        let (berlin, kolkata, utc) = (
            micros("2026-09-30T22:00:00Z"),
            micros("2026-09-30T18:30:00Z"),
            micros("2026-10-01T00:00:00Z"),
        );
        for (given, by_project, expected) in [
            (
                vec![("from", "2026-10")],
                true,
                vec![format!("india {kolkata}"), format!("shop,web {berlin}")],
            ),
            (
                vec![("from", "last month"), ("project", "web,shop")],
                true,
                vec![format!("web,shop {berlin}")],
            ),
            (
                vec![("from", "2026-10-01"), ("project", "india")],
                false,
                vec![format!("india {kolkata}")],
            ),
            (
                vec![("from", "2026-10-01")],
                false,
                vec![format!("null {utc}")],
            ),
            (
                vec![("from", "2026-10-01T00:00:00Z")],
                true,
                vec![format!("null {utc}")],
            ),
        ] {
            assert_eq!(variants(&given, by_project), expected, "{given:?}");
        }
    }

    #[test]
    fn a_period_that_is_empty_is_refused() {
        let given = [("from", "2026-10"), ("to", "2026-10")];
        let given = given.map(|(k, v)| (k.to_owned(), v.to_owned()));
        let params = bind_params(declared_params(HEADER).unwrap(), &given).unwrap();
        let refusal = calendar().variants(params, true).unwrap_err().to_string();
        assert!(
            refusal.contains("October 2026 is from=2026-10 and to=2026-11"),
            "{refusal}"
        );
    }
}
