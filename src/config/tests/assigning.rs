//! Tests of the assignment of rule sets and projects.

use super::super::*;
use super::{BASE, message, parse};

fn found(full_name: &str, bitbucket_project: Option<&str>) -> RepositoryIdentity {
    RepositoryIdentity {
        connection_id: 1,
        full_name: full_name.to_owned(),
        uuid: format!("{{{full_name}}}"),
        bitbucket_project: bitbucket_project.map(str::to_owned),
    }
}

fn workspace() -> Vec<RepositoryIdentity> {
    vec![
        found("acme/api", Some("CHK")),
        found("acme/sandbox-1", None),
        found("acme/web", None),
    ]
}

fn assign(text: &str) -> crate::error::Result<Vec<AssignedRepository>> {
    parse(&format!("{BASE}{text}"))
        .unwrap()
        .assign(&workspace())
}

#[test]
fn repositories_get_their_rule_set_and_projects_unless_they_are_excluded() {
    let assigned = assign(
        r#"[[project]]
name = "site"
repositories = ["acme/w*"]
[[project]]
name = "all"
repositories = ["acme/*"]
[[project]]
name = "checkout"
bitbucket_projects = ["chk"]
"#,
    )
    .unwrap();
    let summary: Vec<_> = assigned
        .iter()
        .map(|a| format!("{} {} {}", a.found.full_name, a.rules, a.projects.join(",")))
        .collect();
    assert_eq!(
        summary,
        ["acme/api default all,checkout", "acme/web default site,all"]
    );
}

#[test]
fn two_rule_sets_for_one_repository_are_an_error_that_names_both_lines() {
    let twice = r#"[[repositories]]
connection = "acme"
include = ["acme/web"]
rules = "strict"
[rules.strict]
"#;
    assert_eq!(
        message(assign(twice)),
        "acme/web has two rule sets, `default` at bitlake.toml:6 and `strict` at \
         bitlake.toml:10 (file=bitlake.toml, line=10): exclude the repository from one of them"
    );
    let same = twice.replace("rules = \"strict\"", "rules = \"default\"");
    assert_eq!(assign(&same).unwrap().len(), 2);
}

#[test]
fn rule_sets_of_two_connections_do_not_clash() {
    let other = r#"[[connection]]
id = 2
name = "other"
auth = "none"
[[repositories]]
connection = "other"
include = ["acme/*"]
rules = "strict"
[rules.strict]
"#;
    let assigned = assign(other).unwrap();
    assert!(assigned.iter().all(|a| a.rules == "default"));
}

#[test]
fn a_project_pattern_that_matches_nothing_is_an_error() {
    let project = |pattern: &str| {
        let text =
            format!("[[project]]\nname = \"p\"\nrepositories = [\n\"acme/web\",\n\"{pattern}\"]\n");
        message(assign(&text))
    };
    assert_eq!(
        project("acme/checkout-*"),
        "`acme/checkout-*` of the project `p` matches no repository (file=bitlake.toml, line=14): \
         correct or remove the pattern; `bitlake repos` lists the repositories"
    );
    assert_eq!(
        project("acme/wbe"),
        "`acme/wbe` of the project `p` matches no repository (file=bitlake.toml, line=14): \
         did you mean `acme/web`?"
    );
}

#[test]
fn a_repository_outside_the_connection_is_an_error() {
    let project = |pattern: &str| {
        message(assign(&format!(
            "[[project]]\nname = \"p\"\nrepositories = [\"{pattern}\"]\n"
        )))
    };
    for pattern in ["other/web", "other/*", "acme/sandbox-1"] {
        assert_eq!(
            project(pattern),
            format!(
                "no [[repositories]] selects `{pattern}` of the project `p` \
                 (file=bitlake.toml, line=12): add the pattern to `include` of a [[repositories]]"
            )
        );
    }
}

#[test]
fn a_bitbucket_project_without_repositories_is_an_error() {
    assert_eq!(
        message(assign(
            "[[project]]\nname = \"p\"\nbitbucket_projects = [\"NOPE\"]\n"
        )),
        "no selected repository belongs to the Bitbucket project `NOPE` of the project `p` \
         (file=bitlake.toml, line=10): correct or remove the key; Bitbucket shows it in the project's \
         URL"
    );
}
