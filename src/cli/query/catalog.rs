//! The bundled queries and the user's own: reads their headers, finds them by name, and lists them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};

use crate::encoding;
use crate::engine::{Param, bind_params, declared_params};
use crate::error::{Error, ErrorKind, OrError, Result};
use crate::suggest;
use crate::transform::reports;

/// A former name of the query and the parameter values it stands for: `-- alias: dora/old_name interval=day`.
const ALIAS: &str = "-- alias:";
/// The limit of similar names in a hint.
const SHOWN: usize = 4;

/// A query that has a name, `group/name`.
#[derive(Debug, Clone)]
pub(super) struct NamedQuery {
    pub(super) name: String,
    pub(super) sql: String,
}

impl NamedQuery {
    /// Return the question that the query answers, which is the first line of its SQL.
    pub(super) fn question(&self) -> &str {
        let first = self.sql.lines().next().unwrap_or_default();
        first.trim_start_matches(['-', ' '])
    }

    /// Return the group, which is the first part of the name.
    pub(super) fn group(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Return the lines of the header without the comment marks.
    pub(super) fn header(&self) -> impl Iterator<Item = &str> {
        let lines = self.sql.lines().map_while(|line| line.strip_prefix("--"));
        lines.map(|line| line.strip_prefix(' ').unwrap_or(line))
    }

    /// Return the meaning of one row of the result.
    pub(super) fn grain(&self) -> Option<&str> {
        let mut lines = self.header();
        lines.find_map(|line| Some(line.strip_prefix("Grain:")?.trim()))
    }

    /// Return the former names, each with the parameter values that it stands for.
    pub(super) fn former_names(&self) -> Vec<(&str, Vec<(String, String)>)> {
        let lines = self.sql.lines().filter_map(|line| line.strip_prefix(ALIAS));
        lines
            .filter_map(|text| {
                let mut words = text.split_whitespace();
                let name = words.next()?;
                let values = words.filter_map(|word| word.split_once('='));
                let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
                Some((name, values.collect()))
            })
            .collect()
    }

    fn contains(&self, word: &str) -> bool {
        self.name.to_lowercase().contains(word)
            || self.header().any(|line| line.to_lowercase().contains(word))
    }
}

/// All queries, ordered by name.
pub(super) struct QueryCatalog(Vec<NamedQuery>);

impl QueryCatalog {
    /// Read the bundled queries, and those of `own/reports`, which replace bundled ones of the same name.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if a file cannot be read.
    pub(super) fn load(own: Option<&Path>) -> Result<Self> {
        let mut queries: BTreeMap<String, String> = reports()
            .into_iter()
            .map(|(name, sql)| (name, sql.to_owned()))
            .collect();
        if let Some(own) = own {
            queries.extend(own_queries(&own.join("reports"))?);
        }
        let queries = queries.into_iter();
        Ok(Self(
            queries
                .map(|(name, sql)| NamedQuery { name, sql })
                .collect(),
        ))
    }

    /// Return the query of a name, and the parameter values that a former name stands for.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if there is no such query; the hint has the most similar names.
    pub(super) fn get(&self, name: &str) -> Result<(&NamedQuery, Vec<(String, String)>)> {
        if let Some(query) = self.0.iter().find(|query| query.name == name) {
            return Ok((query, Vec::new()));
        }
        let renamed = self.0.iter().find_map(|query| {
            let mut former = query.former_names().into_iter();
            let (_, preset) = former.find(|(former, _)| *former == name)?;
            Some((query, preset))
        });
        renamed.ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> Error {
        let names = self.0.iter().map(|query| query.name.as_str());
        let groups = self.0.iter().map(NamedQuery::group);
        let near = suggest::nearest(name, names.chain(groups), SHOWN);
        let hint = match (suggest::did_you_mean(&near), self.search(name).len()) {
            (Some(hint), _) => hint,
            (None, 0) => "`bitlake query --list` lists all queries".to_owned(),
            (None, n) => format!("`bitlake query --search {name}` finds {n} with this word"),
        };
        Error::new(ErrorKind::Usage, "there is no such query")
            .with("name", name)
            .hint(hint)
    }

    /// Return the SQL of a query and the values of its parameters.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if there is no such query or parameter.
    pub(super) fn find(
        &self,
        name: &str,
        given: &[(String, String)],
    ) -> Result<(String, Vec<Param>)> {
        let (query, preset) = self.get(name)?;
        let preset = preset
            .into_iter()
            .filter(|(name, _)| !given.iter().any(|(given, _)| given == name));
        let values: Vec<_> = preset.chain(given.iter().cloned()).collect();
        let params = bind_params(declared_params(&query.sql)?, &values).map_err(|error| {
            error.hint(format!(
                "`bitlake query {} --help` lists the parameters",
                query.name
            ))
        })?;
        Ok((query.sql.clone(), params))
    }

    /// Return the queries of a group, whose name may end in a slash; none if there is no such group.
    pub(super) fn group(&self, name: &str) -> Vec<&NamedQuery> {
        let name = name.strip_suffix('/').unwrap_or(name);
        let queries = self.0.iter();
        queries.filter(|query| query.group() == name).collect()
    }

    /// Return the queries whose name or header has every word of a text.
    pub(super) fn search(&self, text: &str) -> Vec<&NamedQuery> {
        let words: Vec<_> = text.split_whitespace().map(str::to_lowercase).collect();
        let queries = self.0.iter();
        queries
            .filter(|query| !words.is_empty() && words.iter().all(|word| query.contains(word)))
            .collect()
    }

    /// Return all queries.
    pub(super) fn all(&self) -> Vec<&NamedQuery> {
        self.0.iter().collect()
    }

    /// Return the queries that are most similar to a query: queries of the same name in other groups, and queries of its
    /// group whose names share a part.
    pub(super) fn related(&self, query: &NamedQuery) -> Vec<&str> {
        const MOST: usize = 6;
        let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        let own = last(&query.name);
        let rank = |other: &NamedQuery| {
            let name = last(&other.name);
            match other.group() == query.group() {
                _ if name == own => Some(0),
                true if name.starts_with(&own) || own.starts_with(&name) => Some(1),
                false if name.starts_with(&own) => Some(2),
                _ => None,
            }
        };
        let others = self.0.iter().filter(|other| other.name != query.name);
        let mut ranked: Vec<_> = others
            .filter_map(|other| Some((rank(other)?, other.name.as_str())))
            .collect();
        ranked.sort_unstable();
        ranked
            .into_iter()
            .map(|(_, name)| name)
            .take(MOST)
            .collect()
    }
}

/// Read the files `GROUP/NAME.sql` of a folder.
fn own_queries(folder: &Path) -> Result<Vec<(String, String)>> {
    let entries = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let mut queries = Vec::new();
    for group in entries(folder) {
        for file in entries(&group)
            .iter()
            .filter(|file| file.extension().is_some_and(|e| e == "sql"))
        {
            let sql = std::fs::read(file)
                .or_error(ErrorKind::Configuration, "cannot read a query")
                .and_then(|bytes| encoding::text(bytes, file, ErrorKind::Configuration))
                .map_err(|error| error.with("file", file.display()))?;
            if let (Some(group), Some(name)) = (group.file_name(), file.file_stem()) {
                queries.push((format!("{}/{}", group.display(), name.display()), sql));
            }
        }
    }
    Ok(queries)
}

/// Return a list of queries by group, each with its question. If a line is longer than `width`, the questions have lines of
/// their own.
pub(super) fn list_text(queries: &[&NamedQuery], width: Option<usize>) -> String {
    let groups = queries.chunk_by(|one, other| one.group() == other.group());
    let groups: Vec<_> = groups.map(|queries| group_text(queries, width)).collect();
    groups.join("\n")
}

fn group_text(queries: &[&NamedQuery], width: Option<usize>) -> String {
    let longest = |text: fn(&NamedQuery) -> usize| queries.iter().map(|query| text(query)).max();
    let names = longest(|query| query.name.chars().count()).unwrap_or(0);
    let questions = longest(|query| query.question().chars().count()).unwrap_or(0);
    let is_narrow = width.is_some_and(|width| names + questions + 4 > width);
    let mut text = queries
        .first()
        .map_or_else(String::new, |query| format!("{}\n", query.group()));
    for query in queries {
        let (name, question) = (&query.name, query.question());
        text.push_str(&match is_narrow {
            true => format!("  {name}\n      {question}\n"),
            false => format!("  {name:names$}  {question}\n"),
        });
    }
    text
}

/// Return a list of queries as rows.
///
/// # Errors
/// [`ErrorKind::Configuration`] for a malformed declaration of a parameter.
pub(super) fn list_rows(queries: &[&NamedQuery]) -> Result<RecordBatch> {
    let column = |cell: &dyn Fn(&NamedQuery) -> String| {
        let cells = queries.iter().map(|query| Some(cell(query)));
        Arc::new(cells.collect::<StringArray>()) as ArrayRef
    };
    let mut parameters = Vec::new();
    for query in queries {
        let names = declared_params(&query.sql)?.into_iter().map(|it| it.name);
        parameters.push(Some(names.collect::<Vec<_>>().join(", ")));
    }
    let former = |query: &NamedQuery| {
        let names = query.former_names().into_iter();
        names.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
    };
    RecordBatch::try_from_iter([
        ("query", column(&|query| query.name.clone())),
        ("question", column(&|query| query.question().to_owned())),
        ("group", column(&|query| query.group().to_owned())),
        (
            "grain",
            column(&|query| query.grain().unwrap_or_default().to_owned()),
        ),
        (
            "parameters",
            Arc::new(StringArray::from(parameters)) as ArrayRef,
        ),
        ("former_names", column(&former)),
    ])
    .or_error(ErrorKind::Internal, "cannot list the queries")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> QueryCatalog {
        QueryCatalog::load(None).unwrap()
    }

    fn value(params: &[Param], name: &str) -> String {
        let found = params.iter().find(|param| param.name == name);
        found.map(|param| param.text.clone()).unwrap()
    }

    #[test]
    fn a_former_name_runs_the_report_with_the_values_that_it_stands_for() {
        let given = |values: &[(&str, &str)]| -> Vec<_> {
            let pairs = values.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let known = catalog();
        let (sql, params) = known.find("dora_details/lead_time_coding", &[]).unwrap();
        let (canonical, defaults) = known.find("dora_details/lead_time_mean", &[]).unwrap();
        assert_eq!(sql, canonical);
        assert_eq!(value(&params, "part"), "coding");
        assert_eq!(value(&defaults, "part"), "cycle");
        let given = given(&[("part", "review"), ("project", "shop")]);
        let (_, params) = known.find("dora_details/lead_time_coding", &given).unwrap();
        assert_eq!(value(&params, "part"), "review");
        assert_eq!(value(&params, "project"), "shop");
    }

    #[test]
    fn every_former_name_is_declared_once_and_sets_parameters_that_the_report_has() {
        let known = catalog();
        let mut names: Vec<&str> = known.0.iter().map(|query| query.name.as_str()).collect();
        for query in &known.0 {
            for (name, _) in query.former_names() {
                known.find(name, &[]).unwrap();
                names.push(name);
            }
        }
        let total = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), total);
        assert!(total > known.0.len(), "no report declares a former name");
    }

    #[test]
    fn queries_are_found_by_group_by_words_and_by_similar_names() {
        let known = catalog();
        assert_eq!(
            known.group("pull_requests").len(),
            known.group("pull_requests/").len()
        );
        assert!(known.group("pull_request").is_empty());
        let found = known.search("Slowest review");
        assert!(
            found
                .iter()
                .all(|query| query.contains("slowest") && query.contains("review"))
        );
        assert!(known.search(" ").is_empty());
        let hint = |name: &str| known.get(name).unwrap_err().to_string();
        assert!(hint("dora/overvew").ends_with("did you mean `dora/overview`?"));
        assert!(
            hint("lead_time").contains("`dora/lead_time`"),
            "{}",
            hint("lead_time")
        );
        assert!(hint("zzz").ends_with("`bitlake query --list` lists all queries"));
    }

    #[test]
    fn a_narrow_list_has_a_line_for_each_question() {
        let known = catalog();
        let queries = known.group("pull_requests");
        let wide = list_text(&queries, None);
        assert_eq!(wide.lines().count(), queries.len() + 1);
        let narrow = list_text(&queries, Some(60));
        assert_eq!(narrow.lines().count(), 2 * queries.len() + 1);
    }
}
