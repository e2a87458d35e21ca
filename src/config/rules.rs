//! Reads `[rules.NAME]`: which entities of a repository are collected, and how its records are classified.
//!
//! The rule set `default` always exists, so that a configuration needs no rules. A rule set of the file changes the keys
//! that it names; the other keys keep their defaults. The SQL reads the rules from the table `config.rules`.

use std::collections::{BTreeMap, BTreeSet};

use super::document::ConfigNode;
use super::keys;
use super::patterns::{read_any_regex, read_regex};
use super::place::ConfigPlace;
use super::section::Section;
use crate::error::Result;
use crate::suggest;

/// One `[rules.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSet {
    /// The name of the rule set.
    pub name: String,
    /// The entity groups to collect. A group that is left out costs no request.
    pub entities: BTreeSet<EntityGroup>,
    /// The status (`TODO`, `IN_PROGRESS`, `DONE` or `OTHER`) by Bitbucket's issue state.
    pub issue_status: BTreeMap<String, String>,
    /// The type (`BUG`, `REQUIREMENT`, `INCIDENT` or `TASK`) by Bitbucket's issue kind.
    pub issue_type: BTreeMap<String, String>,
    /// What counts as a deployment.
    pub deployments: Deployments,
    /// The pipelines whose steps are collected; the steps of each pipeline cost one request.
    pub steps: StepsRule,
    /// A regular expression: a step, branch or tag whose name matches is a deployment.
    pub deployment_pattern: Option<String>,
    /// A regular expression: a deployment whose name matches is a production deployment.
    pub production_pattern: Option<String>,
    /// Which tags are releases.
    pub tags: TagRules,
    /// A regular expression that finds issue keys. The first group, if there is one, is the key.
    pub issue_key_pattern: Option<String>,
    /// A regular expression whose first group is, in the title of a cherry-pick, the number of the original pull request.
    pub cherry_pick_pattern: Option<String>,
    /// A regular expression: a pull request whose source branch or title matches is a hotfix.
    pub hotfix_pattern: Option<String>,
    /// A regular expression: a merged pull request is a change only if its destination branch matches.
    pub change_branches: Option<String>,
    /// Which deployments `domain.commits_diffs` has rows for.
    pub commits_diffs: CommitsDiffs,
    /// A regular expression of paths by the component of a monorepo that they belong to.
    pub components: BTreeMap<String, String>,
    /// The line of the rule set's header.
    pub place: ConfigPlace,
}

/// Which tags are releases, and which of them are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRules {
    /// A regular expression: a tag whose name matches is a release.
    pub pattern: Option<String>,
    /// How many pairs of successive tags are compared, from the newest.
    pub limit: i64,
    /// The order of the tags, as the key `order` of the configuration names it: `semver`, `reverse semver` and others.
    pub order: String,
    /// Further pairs to compare, as `(new, old)`.
    pub pairs: Vec<(String, String)>,
}

/// Which deployments `domain.commits_diffs` has rows for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitsDiffs {
    /// Deployments whose predecessor is known.
    Successive,
    /// All deployments, as in DevLake: a first or failed deployment has the whole history.
    All,
}

impl CommitsDiffs {
    const ALL: [Self; 2] = [Self::Successive, Self::All];

    /// Return the value as the file spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Successive => "successive",
            Self::All => "all",
        }
    }
}

/// A value of `entities`: a group of Bitbucket's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityGroup {
    /// Issues, their comments and changes.
    Issues,
    /// Branches, tags and commits.
    Code,
    /// Pull requests, their commits, comments and activity.
    Review,
    /// Pipelines, their steps, deployments and environments.
    Cicd,
    /// Members of workspaces.
    Accounts,
}

impl EntityGroup {
    /// Every group, in the order of the reference.
    pub const ALL: [Self; 5] = [
        Self::Issues,
        Self::Code,
        Self::Review,
        Self::Cicd,
        Self::Accounts,
    ];

    /// Return the value as the file spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issues => "issues",
            Self::Code => "code",
            Self::Review => "review",
            Self::Cicd => "cicd",
            Self::Accounts => "accounts",
        }
    }
}

/// What counts as a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployments {
    /// Bitbucket's own deployments.
    Bitbucket,
    /// Pipeline steps, branches and tags whose names match `deployment_pattern`.
    Steps,
    /// Both, without counting a release twice.
    Both,
}

impl Deployments {
    const ALL: [Self; 3] = [Self::Bitbucket, Self::Steps, Self::Both];

    /// Return the value as the file spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bitbucket => "bitbucket",
            Self::Steps => "steps",
            Self::Both => "both",
        }
    }
}

/// The pipelines whose steps are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepsRule {
    /// Every pipeline.
    All,
    /// The pipelines that a deployment's result depends on: every pipeline if steps count as deployments, otherwise the
    /// pipelines whose deployment has no result.
    Deployments,
    /// No pipeline.
    None,
}

impl StepsRule {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::All, Self::Deployments, Self::None];

    /// Return the value as the file spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Deployments => "deployments",
            Self::None => "none",
        }
    }
}

const TAGS_PATTERN: &str = r"^v?\d+\.\d+";
const ISSUE_KEY_PATTERN: &str = r"([A-Z][A-Z0-9]+-\d+|#\d+)";
const HOTFIX_PATTERN: &str = r"(?i)^(hotfix|revert)\b";

pub(super) const TAG_ORDERS: [&str; 5] = [
    "semver",
    "reverse semver",
    "alphabetically",
    "reverse alphabetically",
    "natural",
];

/// Each key of `issue_status` with the status that it maps to and its default states.
const STATUSES: [(&str, &str, &[&str]); 4] = [
    ("todo", "TODO", &["new", "open"]),
    ("in_progress", "IN_PROGRESS", &[]),
    ("done", "DONE", &["resolved", "closed"]),
    (
        "other",
        "OTHER",
        &["on hold", "wontfix", "duplicate", "invalid"],
    ),
];

/// Every state of Bitbucket's issue tracker. `submitted` occurs in old records only.
pub(super) const STATES: [&str; 9] = [
    "new",
    "open",
    "resolved",
    "on hold",
    "invalid",
    "duplicate",
    "wontfix",
    "closed",
    "submitted",
];

/// Every kind of Bitbucket's issue tracker with its default type.
const KINDS: [(&str, &str); 4] = [
    ("bug", "BUG"),
    ("enhancement", "REQUIREMENT"),
    ("proposal", "REQUIREMENT"),
    ("task", "REQUIREMENT"),
];

pub(super) const TYPES: [&str; 4] = ["BUG", "REQUIREMENT", "INCIDENT", "TASK"];

impl RuleSet {
    /// Return the default rules.
    pub fn standard(name: &str, place: ConfigPlace) -> Self {
        let issue_status = STATUSES
            .iter()
            .flat_map(|(_, status, states)| states.iter().map(|state| owned(state, status)))
            .collect();
        Self {
            name: name.to_owned(),
            entities: EntityGroup::ALL.into_iter().collect(),
            issue_status,
            issue_type: KINDS.iter().map(|(kind, to)| owned(kind, to)).collect(),
            deployments: Deployments::Bitbucket,
            steps: StepsRule::Deployments,
            deployment_pattern: None,
            production_pattern: None,
            tags: TagRules {
                pattern: Some(TAGS_PATTERN.to_owned()),
                limit: 10,
                order: "reverse semver".to_owned(),
                pairs: Vec::new(),
            },
            issue_key_pattern: Some(ISSUE_KEY_PATTERN.to_owned()),
            cherry_pick_pattern: None,
            hotfix_pattern: Some(HOTFIX_PATTERN.to_owned()),
            change_branches: None,
            commits_diffs: CommitsDiffs::Successive,
            components: BTreeMap::new(),
            place,
        }
    }

    /// Return the pipelines whose steps are collected: every pipeline if steps count as deployments, otherwise
    /// [`RuleSet::steps`].
    pub fn effective_steps(&self) -> StepsRule {
        match self.deployments {
            Deployments::Steps | Deployments::Both => StepsRule::All,
            Deployments::Bitbucket => self.steps,
        }
    }
}

fn owned(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// Read every rule set of the file, and add `default` if the file does not define it.
pub(super) fn read(root: &Section<'_>) -> Result<BTreeMap<String, RuleSet>> {
    let unwritten = ConfigPlace::new(&root.place().file, 0);
    let standard = RuleSet::standard("default", unwritten);
    let mut all = BTreeMap::from([("default".to_owned(), standard)]);
    let Some(node) = root.get("rules") else {
        return Ok(all);
    };
    for (name, node) in Section::open_any(node, "[rules]")?.entries() {
        all.insert(name.to_owned(), read_rule_set(name, node)?);
    }
    Ok(all)
}

fn read_rule_set(name: &str, node: &ConfigNode) -> Result<RuleSet> {
    let section = Section::open(node, &format!("[rules.{name}]"), &keys::RULES.names())?;
    let mut rules = RuleSet::standard(name, section.place().clone());
    read_entities(&section, &mut rules)?;
    read_issue_mappings(&section, &mut rules)?;
    read_choices(&section, &mut rules)?;
    read_patterns(&section, &mut rules)?;
    read_components(&section, &mut rules)?;
    check_deployments(&section, &rules)?;
    if let Some(tags) = section.section("tags", &keys::TAGS.names())? {
        rules.tags = read_tags(&tags, rules.tags)?;
    }
    Ok(rules)
}

fn read_entities(section: &Section<'_>, rules: &mut RuleSet) -> Result<()> {
    if let Some(entities) = section.strings("entities")? {
        rules.entities = entities
            .iter()
            .map(|(word, place)| entity_group(word, place))
            .collect::<Result<_>>()?;
    }
    Ok(())
}

fn read_issue_mappings(section: &Section<'_>, rules: &mut RuleSet) -> Result<()> {
    if let Some(statuses) = section.section("issue_status", &keys::ISSUE_STATUS.names())? {
        rules.issue_status = read_issue_status(&statuses)?;
    }
    if let Some(types) = section.section("issue_type", &keys::ISSUE_TYPE.names())? {
        for (kind, _) in types.entries() {
            let to = types.one_of(kind, &TYPES.map(|word| (word, word)))?;
            rules.issue_type.extend(to.map(|to| owned(kind, to)));
        }
    }
    Ok(())
}

/// Read the keys whose value is one of a few words.
fn read_choices(section: &Section<'_>, rules: &mut RuleSet) -> Result<()> {
    let deployments = Deployments::ALL.map(|it| (it.as_str(), it));
    if let Some(deployments) = section.one_of("deployments", &deployments)? {
        rules.deployments = deployments;
    }
    let steps = StepsRule::ALL.map(|it| (it.as_str(), it));
    if let Some(steps) = section.one_of("steps", &steps)? {
        rules.steps = steps;
    }
    let commits_diffs = CommitsDiffs::ALL.map(|it| (it.as_str(), it));
    if let Some(commits_diffs) = section.one_of("commits_diffs", &commits_diffs)? {
        rules.commits_diffs = commits_diffs;
    }
    Ok(())
}

fn read_patterns(section: &Section<'_>, rules: &mut RuleSet) -> Result<()> {
    rules.deployment_pattern = read_regex(section, "deployment_pattern", None)?;
    rules.production_pattern = read_regex(section, "production_pattern", None)?;
    rules.issue_key_pattern = read_regex(section, "issue_key_pattern", Some(ISSUE_KEY_PATTERN))?;
    rules.hotfix_pattern = read_regex(section, "hotfix_pattern", Some(HOTFIX_PATTERN))?;
    rules.change_branches = read_any_regex(section, "change_branches")?;
    rules.cherry_pick_pattern = read_regex(section, "cherry_pick_pattern", None)?;
    match &rules.cherry_pick_pattern {
        Some(pattern) if capture_groups(pattern) == 0 => Err(section
            .error("cherry_pick_pattern", "has no group for the number")
            .hint("enclose the number in parentheses, such as `#(\\d+)`")),
        _ => Ok(()),
    }
}

fn read_components(section: &Section<'_>, rules: &mut RuleSet) -> Result<()> {
    let Some(node) = section.get("components") else {
        return Ok(());
    };
    let components = Section::open_any(node, &format!("{} components", section.name()))?;
    for (component, _) in components.entries() {
        if let Some(pattern) = read_regex(&components, component, None)? {
            rules.components.insert(component.to_owned(), pattern);
        }
    }
    Ok(())
}

/// Check that steps can be recognised as deployments if they count as such.
fn check_deployments(section: &Section<'_>, rules: &RuleSet) -> Result<()> {
    let kind = rules.deployments.as_str();
    if rules.deployments == Deployments::Bitbucket {
        return Ok(());
    }
    if rules.deployment_pattern.is_none() {
        let complaint = format!("= \"{kind}\" needs a deployment_pattern");
        return Err(section
            .error("deployments", &complaint)
            .hint("add `deployment_pattern = \"^deploy\"`, or the pattern of your step names"));
    }
    if rules.steps == StepsRule::None {
        let complaint = format!("= \"none\" collects no steps for deployments = \"{kind}\"");
        return Err(section
            .error("steps", &complaint)
            .hint("remove `steps`, which collects the steps that deployments need"));
    }
    Ok(())
}

fn entity_group(word: &str, place: &ConfigPlace) -> Result<EntityGroup> {
    let known = EntityGroup::ALL;
    known
        .into_iter()
        .find(|group| group.as_str() == word)
        .ok_or_else(|| {
            place
                .error(format!("unknown entity group `{word}`"))
                .hint(suggest::hint(
                    word,
                    &known.map(EntityGroup::as_str),
                    "use one of",
                ))
        })
}

fn read_tags(section: &Section<'_>, standard: TagRules) -> Result<TagRules> {
    let order = section.one_of("order", &TAG_ORDERS.map(|order| (order, order)))?;
    Ok(TagRules {
        pattern: read_regex(section, "pattern", standard.pattern.as_deref())?,
        limit: section
            .positive("limit", i64::from(i32::MAX))?
            .unwrap_or(standard.limit),
        order: order.map_or(standard.order, str::to_owned),
        pairs: section
            .tables("pairs", &keys::TAG_PAIR.names())?
            .iter()
            .map(|pair| {
                let hint = "add the name of a tag or branch, such as `{ new = \"v2.0.0\", old = \"v1.0.0\" }`";
                Ok((pair.required("new", hint)?, pair.required("old", hint)?))
            })
            .collect::<Result<_>>()?,
    })
}

/// Return the number of groups of a regular expression that the configuration has checked.
pub(crate) fn capture_groups(pattern: &str) -> usize {
    regex::Regex::new(pattern).map_or(0, |regex| regex.captures_len() - 1)
}

/// Read `issue_status`. A list of the file replaces the default list. A list that is not given keeps its default states
/// except for those that another list contains.
fn read_issue_status(section: &Section<'_>) -> Result<BTreeMap<String, String>> {
    let mut mapped: BTreeMap<String, (&str, &str)> = BTreeMap::new();
    for (key, status, _) in STATUSES {
        for (state, place) in section.strings(key)?.unwrap_or_default() {
            let state = state.to_lowercase();
            if !STATES.contains(&state.as_str()) {
                return Err(place
                    .error(format!("Bitbucket has no issue state `{state}`"))
                    .hint(suggest::hint(&state, &STATES, "use one of")));
            }
            match mapped.insert(state.clone(), (key, status)) {
                Some((earlier, _)) if earlier != key => {
                    return Err(place
                        .error(format!(
                            "the issue state `{state}` is mapped twice, in `{earlier}` and in `{key}`"
                        ))
                        .hint("keep the state in one list"));
                }
                _ => {}
            }
        }
    }
    for (key, status, states) in STATUSES {
        if section.get(key).is_none() {
            for state in states {
                mapped.entry((*state).to_owned()).or_insert((key, status));
            }
        }
    }
    let statuses = mapped.iter();
    Ok(statuses
        .map(|(state, (_, status))| owned(state, status))
        .collect())
}
