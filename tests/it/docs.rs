//! The documentation: generated references, links, configuration examples.
//!
//! Run with `UPDATE_DOCS=1` to write the references that are generated from the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use bitlake::cli::Cli;
use bitlake::config::{Config, REFERENCE, json_schema};
use bitlake::schema::{Contract, Contracts, LAYERS};
use clap::{Arg, Command, CommandFactory};

const GENERATED: &str = "<!-- Generated: UPDATE_DOCS=1 cargo test --test it docs -->\n\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a page of the book, by its path below `docs/src`.
pub fn page(name: &str) -> String {
    let path = root().join("docs/src").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The contents of the fenced blocks of a language.
pub fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1);
    blocks
        .map(|block| block.split("\n```").next().unwrap())
        .collect()
}

/// Compare a generated page with the file, or write it with `UPDATE_DOCS=1`.
fn check(name: &str, text: &str) {
    check_file(name, &format!("{GENERATED}{}\n", text.trim_end()));
}

fn check_file(name: &str, text: &str) {
    let path = root().join("docs/src/reference").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, text).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/src/reference/{name} is stale: run UPDATE_DOCS=1 cargo test --test it docs"
    );
}

/// Escape plain text for a cell of a Markdown table; code between backticks stays.
fn cell(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(n, part)| {
        let special: &[char] = match n % 2 {
            0 => &['|', '\\', '*', '_', '[', ']', '<', '>'],
            _ => &['|'],
        };
        let mut escaped = String::new();
        for c in part.chars() {
            if special.contains(&c) {
                escaped.push('\\');
            }
            escaped.push(if c == '\n' { ' ' } else { c });
        }
        escaped
    });
    parts.collect::<Vec<_>>().join("`")
}

#[test]
fn the_configuration_reference_lists_every_key() {
    let mut text = "# Configuration keys\n\nAll keys of `bitlake.toml`, generated from the list by which bitlake checks the file. \
        [Configuration](../configuration.md) shows how to use them.\n"
        .to_owned();
    for table in REFERENCE {
        write!(
            text,
            "\n## {}\n\n{}\n\n| key | values | default | effect |\n|---|---|---|---|\n",
            table.title.replace('[', "\\[").replace(']', "\\]"),
            table.description
        )
        .unwrap();
        for key in table.keys {
            let (name, values) = (key.name, key.values.markdown());
            let default = key.default.markdown();
            writeln!(
                text,
                "| `{name}` | {values} | {default} | {} |",
                key.description
            )
            .unwrap();
        }
    }
    check("configuration.md", &text);
}

#[test]
fn the_schema_of_the_configuration_is_what_init_prints() {
    check_file("bitlake.schema.json", &json_schema());
}

#[test]
fn the_command_reference_lists_every_command_and_option() {
    let mut cli = Cli::command();
    cli.build();
    let mut text = format!(
        "# Commands\n\n{}.\n\n[Command line](../command-line.md) explains exit codes and queries.\n",
        cli.get_about().unwrap()
    );
    let global: BTreeSet<String> = cli
        .get_arguments()
        .map(|arg| arg.get_id().to_string())
        .collect();
    text.push_str("\n## Global options\n\n");
    arguments(&mut text, cli.get_arguments());
    let after = cli.get_after_long_help().unwrap().to_string();
    write!(text, "\n```text\n{}\n```\n", after.trim_end()).unwrap();
    for command in cli.get_subcommands_mut() {
        if command.get_name() != "help" {
            describe(&mut text, command, &global);
        }
    }
    check("commands.md", &text);
}

/// The questions that most readers have, and the queries that answer them.
const FIRST_QUESTIONS: [(&str, &str); 12] = [
    ("How do we deliver, month by month?", "dora/overview"),
    ("What is our DORA class, and why?", "dora/overall"),
    (
        "How long does a change take to production?",
        "dora/lead_time",
    ),
    (
        "How long does it take from merge to production?",
        "dora_details/lead_time_mean --param part=deploy",
    ),
    (
        "Which deployments failed, and how do we know?",
        "dora/failures",
    ),
    ("Which incidents count, and which do not?", "dora/incidents"),
    (
        "Which reviews took longest, and why?",
        "pull_requests/slowest_reviews",
    ),
    (
        "Which reviews took longest last month?",
        "pull_requests/slowest_reviews --param from=\"last month\" --param to=\"this month\"",
    ),
    (
        "Which pull requests wait, and for whom?",
        "pull_requests/oldest_open",
    ),
    ("Do large pull requests take longer?", "pull_requests/size"),
    ("How do teams compare?", "dora_by_team/overall"),
    ("How many pipeline slots do we need?", "cicd/slot_usage"),
];

/// The rows of `query --list --format json`.
fn listed_queries() -> Vec<serde_json::Value> {
    let output = super::demo::bitlake(&["query", "--list", "--format", "json"]);
    let text = super::demo::text(&output.stdout);
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    rows.collect()
}

#[test]
fn the_page_of_questions_lists_every_query_with_its_command() {
    let mut text = "# Questions\n\nThe question that each bundled query answers, generated from the queries. \
        `bitlake query NAME --help` explains a query with its parameters and an example; `bitlake query --search TEXT` finds \
        queries by words. [Command line](../command-line.md#queries) describes `query`.\n\n## First questions\n\n\
        | question | command |\n|---|---|\n"
        .to_owned();
    let queries = listed_queries();
    for (question, command) in FIRST_QUESTIONS {
        let name = command.split(' ').next().unwrap();
        let known = queries.iter().any(|query| query["query"] == name);
        assert!(known, "there is no query {name}");
        writeln!(text, "| {question} | `bitlake query {command}` |").unwrap();
    }
    let mut group = "";
    for query in &queries {
        let of = |key: &str| query[key].as_str().unwrap();
        if of("group") != group {
            group = of("group");
            write!(
                text,
                "\n## {}\n\n| question | command | parameters |\n|---|---|---|\n",
                cell(group)
            )
            .unwrap();
        }
        let (question, name) = (cell(of("question")), of("query"));
        let parameters = of("parameters");
        writeln!(
            text,
            "| {question} | `bitlake query {name}` | {parameters} |"
        )
        .unwrap();
    }
    check("questions.md", &text);
}

fn describe(text: &mut String, command: &mut Command, global: &BTreeSet<String>) {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    write!(
        text,
        "\n## bitlake {}\n\n{}.\n\n```text\n{usage}\n```\n",
        command.get_name(),
        cell(&command.get_about().unwrap().to_string())
    )
    .unwrap();
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !global.contains(arg.get_id().as_str()))
        .collect();
    if !own.is_empty() {
        text.push('\n');
        arguments(text, own);
    }
    let after = command.get_after_help().map(ToString::to_string);
    if let Some(examples) = after.as_ref().and_then(|it| it.strip_prefix("Examples:\n")) {
        write!(text, "\n```sh\n{}\n```\n", dedent(examples)).unwrap();
    } else if let Some(after) = after {
        write!(text, "\n{}\n", after.replace('\n', " ").trim()).unwrap();
    }
}

fn dedent(examples: &str) -> String {
    let lines = examples.lines().map(|line| line.trim_start());
    lines.collect::<Vec<_>>().join("\n")
}

fn arguments<'a>(text: &mut String, arguments: impl IntoIterator<Item = &'a Arg>) {
    text.push_str("| option | effect | default | values |\n|---|---|---|---|\n");
    for arg in arguments {
        let values = arg.get_value_names().unwrap_or_default();
        let value = match arg.get_num_args() {
            Some(number) if number.takes_values() => format!(" <{}>", values.join(" ")),
            _ => String::new(),
        };
        let name = match (arg.get_short(), arg.get_long()) {
            (Some(short), Some(long)) => format!("-{short}, --{long}{value}"),
            (None, Some(long)) => format!("--{long}{value}"),
            _ => format!("[{}]", values.join(" ")),
        };
        let defaults = arg.get_default_values().iter();
        let defaults: Vec<_> = defaults
            .map(|value| value.to_string_lossy())
            .filter(|value| !value.is_empty() && value != "0" && value != "false")
            .map(|value| format!("`{value}`"))
            .collect();
        let possible = arg.get_possible_values();
        let possible: Vec<_> = possible
            .iter()
            .filter(|value| !["true", "false"].contains(&value.get_name()))
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        writeln!(
            text,
            "| `{name}` | {} | {} | {} |",
            cell(&help),
            defaults.join(", "),
            possible.join(", ")
        )
        .unwrap();
    }
}

#[test]
fn the_table_reference_lists_every_column() {
    let contracts = Contracts::bundled().unwrap();
    for layer in LAYERS {
        let mut text = format!(
            "# Tables of {layer}\n\n[Tables](../tables.md) describes the layers. `bitlake tables {layer}` prints a list of these tables.\n"
        );
        for contract in contracts.layer(layer) {
            describe_table(&mut text, contract);
        }
        check(&format!("{layer}.md"), &text);
    }
}

fn describe_table(text: &mut String, contract: &Contract) {
    write!(
        text,
        "\n## {}\n\n{}\n\nKey: {}.",
        contract.table,
        cell(&contract.description),
        code(&contract.primary_key)
    )
    .unwrap();
    if let Some(partition) = &contract.partition {
        let (by, column) = (partition.by.as_str(), &partition.column);
        write!(
            text,
            " Partition: `{}`, the {by} of `{column}`.",
            partition.key
        )
        .unwrap();
    }
    text.push_str("\n\n| column | type | unit | meaning |\n|---|---|---|---|\n");
    for column in &contract.columns {
        let null = if column.nullable { "" } else { ", not null" };
        writeln!(
            text,
            "| `{}` | `{}`{null} | {} | {} |",
            column.name,
            column.type_name(),
            column.unit.as_deref().map(cell).unwrap_or_default(),
            cell(&column.description)
        )
        .unwrap();
    }
}

fn code(names: &[String]) -> String {
    let names = names.iter().map(|name| format!("`{name}`"));
    names.collect::<Vec<_>>().join(", ")
}

/// Every Markdown file of the documentation, by its path below the root.
fn documents() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![
        PathBuf::new(),
        PathBuf::from(".github"),
        PathBuf::from("examples"),
        PathBuf::from("docs/src"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap().flatten() {
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() && folder != Path::new("") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.insert(path, std::fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    found
}

/// The lines outside of fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The ids that mdBook and GitHub give the headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let id: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            })
            .collect();
        let mut unique = id.clone();
        let mut n = 0;
        while !found.insert(unique.clone()) {
            n += 1;
            unique = format!("{id}-{n}");
        }
    }
    found
}

/// The targets of `[text](target)`, with code left out.
fn targets(line: &str) -> Vec<&str> {
    let text = line.split('`').step_by(2);
    let links = text.flat_map(|part| part.split("](").skip(1));
    links.filter_map(|rest| rest.split(')').next()).collect()
}

fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let documents = documents();
    let mut broken = Vec::new();
    let mut links = 0;
    for (path, text) in &documents {
        for target in prose(text).flat_map(targets) {
            if target.starts_with("http://") || target.starts_with("https://") {
                continue;
            }
            links += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => path.clone(),
                file => normal(&path.parent().unwrap().join(file)),
            };
            let there = root().join(&file).exists();
            let has_heading = anchor.is_empty()
                || documents
                    .get(&file)
                    .is_some_and(|text| anchors(text).contains(anchor));
            if !there || !has_heading {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(links > 50, "{links} links were found");
}

#[test]
fn every_page_is_in_the_summary_and_every_path_exists() {
    let documents = documents();
    let summary = page("SUMMARY.md");
    let mut broken = Vec::new();
    for (path, text) in &documents {
        if let Ok(page) = path.strip_prefix("docs/src")
            && page != Path::new("SUMMARY.md")
            && !summary.contains(&format!("]({})", page.display()))
        {
            broken.push(format!("{} is not in SUMMARY.md", path.display()));
        }
        if path == Path::new("CHANGELOG.md") {
            continue;
        }
        for name in prose(text).flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let first = name.split('/').next().unwrap();
            let folders = [
                "benches", "crates", "docs", "examples", "fixtures", "queries", "recipes", "rules",
                "schemas", "src", "tests", ".ci", ".github",
            ];
            let is_path = folders.contains(&first) && name.contains('/');
            let is_pattern = name.contains(['<', '*', '{', ' ']) || name.contains("NAME");
            if is_path && !is_pattern && !root().join(name).exists() {
                broken.push(format!("{}: `{name}` does not exist", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_readme_is_short() {
    let lines = include_str!("../../README.md").lines().count();
    assert!(lines <= 150, "{lines} lines");
}

/// A complete file from a block of the documentation, which may be a part of one.
fn complete(block: &str) -> String {
    let lake = match block.contains("[lake]") {
        true => "",
        false => "lake = { url = \"lake\" }\n",
    };
    format!("{lake}{block}")
}

fn parse(text: &str) -> Result<Config, bitlake::error::Error> {
    Config::parse(text, Path::new("bitlake.toml"), &BTreeMap::new(), &[])
}

/// Every configuration of the documents and of `examples`, by where it is.
pub fn configurations() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (path, text) in documents() {
        for (n, block) in blocks(&text, "toml").into_iter().enumerate() {
            found.insert(format!("{}, block {n}", path.display()), complete(block));
        }
    }
    for (path, text) in examples() {
        found.insert(path.display().to_string(), text);
    }
    found
}

/// Every complete configuration of `examples`.
fn examples() -> BTreeMap<PathBuf, String> {
    let entries = std::fs::read_dir(root().join("examples")).unwrap();
    let paths = entries.flatten().map(|entry| entry.path());
    let files = paths.filter(|path| path.extension().is_some_and(|it| it == "toml"));
    files
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn every_configuration_in_the_documents_is_valid() {
    let configurations = configurations();
    for (at, text) in &configurations {
        if let Err(error) = parse(text) {
            panic!("{at}: {error}\n{text}");
        }
    }
    assert!(configurations.len() >= 18, "{}", configurations.len());
}

#[test]
fn every_example_is_a_complete_configuration() {
    let mut names = Vec::new();
    for path in examples().keys() {
        let config = Config::load(path, &BTreeMap::new(), &[]).unwrap();
        assert!(!config.connections.is_empty(), "{}", path.display());
        assert!(!config.repositories.is_empty(), "{}", path.display());
        assert!(!config.projects.is_empty(), "{}", path.display());
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    assert_eq!(
        names,
        [
            "access-tokens.toml",
            "api-token.toml",
            "incidents.toml",
            "s3-athena.toml"
        ]
    );
}
