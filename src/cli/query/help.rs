//! The help of one query: its question, parameters, an example and related queries.

use super::catalog::{NamedQuery, QueryCatalog};
use crate::cli::rows;
use crate::engine::{Param, declared_params};
use crate::error::Result;

/// Values of parameters in examples, in order of preference. They exist in the lake of `bitlake demo`.
const EXAMPLES: [(&str, &str); 8] = [
    ("project", "checkout"),
    ("from", "2026-10"),
    ("interval", "week"),
    ("part", "review"),
    ("metric", "change_failure_rate"),
    ("report", "2021"),
    ("n", "5"),
    ("repo", "acme/checkout-web"),
];
/// The forms of times.
const TIMES: &str = "
Times, in the time zone of each project unless they have an offset:
  2026-10-01, 2026-10, 2026   the first instant of a day, month or year
  2026-10-01 08:00            a local time
  2026-10-01T08:00:00+02:00   an instant
  today, yesterday, this month, last month, this year, last year   counted from the last collected day
`to` is the first instant after the period: October 2026 is from=2026-10 and to=2026-11.
";
/// The limit of parameters in an example.
const MOST: usize = 2;
/// The longest command that fits into a line of 80 columns.
const LINE: usize = 78;

/// Return the help of a query.
///
/// # Errors
/// [`ErrorKind::Configuration`](crate::error::ErrorKind::Configuration) for a malformed declaration of a parameter.
pub(super) fn help(catalog: &QueryCatalog, query: &NamedQuery) -> Result<String> {
    let params = declared_params(&query.sql)?;
    let notes = query.header().skip(1).filter(|line| !is_machinery(line));
    let mut text = format!("{}\n\n{}\n\n", query.question(), paragraphs(notes));
    match params.is_empty() {
        true => text.push_str("The query takes no parameters.\n"),
        false => {
            text.push_str("Parameters (--param NAME=VALUE):\n");
            let lines: Vec<_> = params.iter().map(parameter).collect();
            text.push_str(&rows::aligned(&lines));
        }
    }
    if params.iter().any(|param| param.type_name == "timestamp") {
        text.push_str(TIMES);
    }
    let example = broken(&example(query, &params));
    text.push_str(&format!("\nExample:\n  {example}\n"));
    let related = catalog.related(query);
    if !related.is_empty() {
        text.push_str(&format!("\nSee also:\n  {}\n", related.join("\n  ")));
    }
    Ok(text)
}

/// Join the lines of each paragraph, because the terminal wraps them at its own width. A label (`Note:`) and a bullet begin
/// a paragraph.
fn paragraphs<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for line in lines {
        let label = line.split_once(':').map_or("", |(label, _)| label);
        let is_label = !label.is_empty() && label.chars().all(char::is_alphabetic);
        let begins = is_label || line.is_empty() || line.starts_with("* ");
        if !text.is_empty() {
            text.push(if begins { '\n' } else { ' ' });
        }
        text.push_str(if begins { line } else { line.trim_start() });
    }
    text.trim().to_owned()
}

/// Break a command that is longer than a line of the help, so that the user can paste it.
fn broken(command: &str) -> String {
    match command.len() > LINE {
        true => command.replace(" --param", " \\\n    --param"),
        false => command.to_owned(),
    }
}

/// Return whether the help leaves out a line of the header: the line is for programs, or shown elsewhere.
fn is_machinery(line: &str) -> bool {
    line.starts_with("param:") || line.starts_with("alias:")
}

fn parameter(param: &Param) -> Vec<String> {
    let kind = match (param.type_name.trim_end_matches("[]"), param.is_list()) {
        ("varchar", false) => "text",
        ("varchar", true) => "texts",
        ("bigint", _) => "number",
        ("double", _) => "number",
        ("boolean", _) => "true or false",
        ("timestamp", _) => "time",
        (other, _) => other,
    };
    let default = match param.text.as_str() {
        "null" => String::new(),
        text => format!("[{text}]"),
    };
    vec![
        format!("  {}", param.name),
        kind.to_owned(),
        default,
        param.description.clone(),
    ]
}

/// Return a command that runs the query with values of some of its parameters.
pub(super) fn example(query: &NamedQuery, params: &[Param]) -> String {
    let suits = |param: &&Param, value: &str| {
        param.text != value
            && (param.allowed.is_empty() || param.allowed.iter().any(|it| it == value))
    };
    let chosen = EXAMPLES.iter().filter(|(name, value)| {
        let param = params.iter().find(|param| param.name == *name);
        param.as_ref().is_some_and(|param| suits(param, value))
    });
    let chosen = chosen
        .take(MOST)
        .map(|(name, value)| format!(" --param {name}={value}"));
    format!("bitlake query {}{}", query.name, chosen.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_has_help_with_an_example_that_it_accepts() {
        let catalog = QueryCatalog::load(None).unwrap();
        for query in catalog.all() {
            let help = help(&catalog, query).unwrap();
            let shown = help.lines().skip_while(|line| *line != "Example:");
            let shown = shown.skip(1).take_while(|line| !line.is_empty());
            let shown: Vec<_> = shown.collect();
            // The name of a query is not broken.
            assert!(
                shown.iter().skip(1).all(|line| line.len() <= 80),
                "{shown:?}"
            );
            let words: Vec<_> = shown.iter().flat_map(|it| it.split_whitespace()).collect();
            assert_eq!(words[..3], ["bitlake", "query", &query.name]);
            let given = words.iter().filter_map(|word| word.split_once('='));
            let given: Vec<_> = given.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            catalog.find(&query.name, &given).unwrap();
            for param in declared_params(&query.sql).unwrap() {
                assert!(help.contains(&format!("  {} ", param.name)), "{help}");
            }
        }
    }
}
