//! `[rules.NAME]`: which entities a repository has and how its words are read: the settings of the SQL.
//!
//! The set `default` is always there, so that a workspace works without any rules. A set in the file changes what it
//! names; everything else is as built in.

use std::collections::{BTreeMap, BTreeSet};

use super::document::ConfigNode;
use super::keys;
use super::patterns::{regex, regex_of_any};
use super::place::ConfigPlace;
use super::section::Section;
use crate::error::Result;
use crate::suggest;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSet {
    pub name: String,
    /// An entity group left out costs no request.
    pub entities: BTreeSet<EntityGroup>,
    /// Bitbucket's issue state → `TODO`, `IN_PROGRESS`, `DONE` or `OTHER`.
    pub issue_status: BTreeMap<String, String>,
    /// Bitbucket's issue kind → `BUG`, `REQUIREMENT`, `INCIDENT` or `TASK`.
    pub issue_type: BTreeMap<String, String>,
    pub deployments: Deployments,
    /// Whose steps are read: each pipeline's cost a request.
    pub steps: StepsRule,
    /// A step, branch or tag whose name matches is a deployment.
    pub deployment_pattern: Option<String>,
    /// … in production.
    pub production_pattern: Option<String>,
    pub tags: TagRules,
    /// Finds issue keys; where it has a group, its first group is the key.
    pub issue_key_pattern: Option<String>,
    /// Finds in a title the number of the pull request that was carried to another branch, in its first group.
    pub cherry_pick_pattern: Option<String>,
    /// A pull request whose branch or title matches is a hotfix.
    pub hotfix_pattern: Option<String>,
    /// A merged pull request is a change only where its destination branch matches: one expression for all patterns.
    pub change_branches: Option<String>,
    pub commits_diffs: CommitsDiffs,
    /// Component of a monorepo → the paths that belong to it.
    pub components: BTreeMap<String, String>,
    pub place: ConfigPlace,
}

/// Which tags count as releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRules {
    pub pattern: Option<String>,
    /// How many pairs that follow each other, from the newest.
    pub limit: i64,
    pub order: String,
    /// Further pairs, `(new, old)`.
    pub pairs: Vec<(String, String)>,
}

/// For which deployments the commits between two are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitsDiffs {
    /// Those whose predecessor is known.
    Successive,
    /// All, as DevLake does it: a first or failed one is compared with nothing and has the whole history.
    All,
}

impl CommitsDiffs {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Successive => "successive",
            Self::All => "all",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityGroup {
    Issues,
    Code,
    Review,
    Cicd,
    Accounts,
}

impl EntityGroup {
    pub const ALL: [Self; 5] = [
        Self::Issues,
        Self::Code,
        Self::Review,
        Self::Cicd,
        Self::Accounts,
    ];

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
    /// Steps by the patterns.
    Steps,
    /// Both, without counting a release twice.
    Both,
}

impl Deployments {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bitbucket => "bitbucket",
            Self::Steps => "steps",
            Self::Both => "both",
        }
    }
}

/// Whose steps are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepsRule {
    /// Those of every pipeline.
    All,
    /// Those that deployments rest on: of every pipeline where steps count as deployments by a pattern, else of the
    /// pipelines whose deployment does not say how it ended.
    Deployments,
    /// Nobody's.
    None,
}

impl StepsRule {
    pub const ALL: [Self; 3] = [Self::All, Self::Deployments, Self::None];

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

const TAG_ORDERS: [&str; 5] = [
    "semver",
    "reverse semver",
    "alphabetically",
    "reverse alphabetically",
    "natural",
];

/// The key of the list, the status it stands for, and the states it holds unless the file says otherwise.
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

/// Every state of Bitbucket's tracker; `submitted` only in old data.
const STATES: [&str; 9] = [
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

/// Every kind of Bitbucket's tracker with its type.
const KINDS: [(&str, &str); 4] = [
    ("bug", "BUG"),
    ("enhancement", "REQUIREMENT"),
    ("proposal", "REQUIREMENT"),
    ("task", "REQUIREMENT"),
];

const TYPES: [&str; 4] = ["BUG", "REQUIREMENT", "INCIDENT", "TASK"];

impl RuleSet {
    /// The built-in rules.
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

    /// What [`RuleSet::steps`] comes to: all of them where a pattern looks for deployments among them.
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

pub(super) fn read(root: &Section<'_>) -> Result<BTreeMap<String, RuleSet>> {
    let unwritten = ConfigPlace::new(&root.place().file, 0);
    let standard = RuleSet::standard("default", unwritten);
    let mut all = BTreeMap::from([("default".to_owned(), standard)]);
    let Some(node) = root.get("rules") else {
        return Ok(all);
    };
    for (name, node) in Section::open_any(node, "[rules]")?.entries() {
        all.insert(name.to_owned(), one(name, node)?);
    }
    Ok(all)
}

fn one(name: &str, node: &ConfigNode) -> Result<RuleSet> {
    let section = Section::open(node, &format!("[rules.{name}]"), &keys::RULES.names())?;
    let mut rules = RuleSet::standard(name, section.place().clone());
    if let Some(entities) = section.strings("entities")? {
        rules.entities = entities
            .iter()
            .map(|(word, place)| entity_group(word, place))
            .collect::<Result<_>>()?;
    }
    if let Some(statuses) = section.section("issue_status", &keys::ISSUE_STATUS.names())? {
        rules.issue_status = issue_status(&statuses)?;
    }
    if let Some(types) = section.section("issue_type", &keys::ISSUE_TYPE.names())? {
        for (kind, _) in types.entries() {
            let to = types.one_of(kind, &TYPES.map(|word| (word, word)))?;
            rules.issue_type.extend(to.map(|to| owned(kind, to)));
        }
    }
    let kinds = [
        Deployments::Bitbucket,
        Deployments::Steps,
        Deployments::Both,
    ];
    if let Some(kind) = section.one_of("deployments", &kinds.map(|kind| (kind.as_str(), kind)))? {
        rules.deployments = kind;
    }
    if let Some(whose) = section.one_of("steps", &StepsRule::ALL.map(|w| (w.as_str(), w)))? {
        rules.steps = whose;
    }
    rules.deployment_pattern = regex(&section, "deployment_pattern", None)?;
    rules.production_pattern = regex(&section, "production_pattern", None)?;
    rules.issue_key_pattern = regex(&section, "issue_key_pattern", Some(ISSUE_KEY_PATTERN))?;
    rules.hotfix_pattern = regex(&section, "hotfix_pattern", Some(HOTFIX_PATTERN))?;
    rules.change_branches = regex_of_any(&section, "change_branches")?;
    rules.cherry_pick_pattern = regex(&section, "cherry_pick_pattern", None)?;
    if let Some(pattern) = &rules.cherry_pick_pattern
        && capture_groups(pattern) == 0
    {
        return Err(section
            .error("cherry_pick_pattern", "has no group for the number")
            .hint("put it in brackets, as in `#(\\d+)`"));
    }
    let written = [CommitsDiffs::Successive, CommitsDiffs::All];
    if let Some(which) = section.one_of("commits_diffs", &written.map(|w| (w.as_str(), w)))? {
        rules.commits_diffs = which;
    }
    if let Some(node) = section.get("components") {
        let components = Section::open_any(node, &format!("[rules.{name}] components"))?;
        for (component, _) in components.entries() {
            if let Some(pattern) = regex(&components, component, None)? {
                rules.components.insert(component.to_owned(), pattern);
            }
        }
    }
    if rules.deployments != Deployments::Bitbucket && rules.deployment_pattern.is_none() {
        let kind = rules.deployments.as_str();
        return Err(section
            .error(
                "deployments",
                &format!("= \"{kind}\" needs a deployment_pattern"),
            )
            .hint("add `deployment_pattern = \"^deploy\"`, or the pattern of your step names"));
    }
    if rules.deployments != Deployments::Bitbucket && rules.steps == StepsRule::None {
        let kind = rules.deployments.as_str();
        return Err(section
            .error(
                "steps",
                &format!("= \"none\" leaves deployments = \"{kind}\" nothing to find them in"),
            )
            .hint("leave `steps` out: the steps that deployments rest on are read"));
    }
    if let Some(tags) = section.section("tags", &keys::TAGS.names())? {
        rules.tags = read_tags(&tags, rules.tags)?;
    }
    Ok(rules)
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
        pattern: regex(section, "pattern", standard.pattern.as_deref())?,
        limit: section
            .positive("limit", i64::from(i32::MAX))?
            .unwrap_or(standard.limit),
        order: order.map_or(standard.order, str::to_owned),
        pairs: section
            .tables("pairs", &keys::TAG_PAIR.names())?
            .iter()
            .map(|pair| {
                let hint = "name a tag or branch, as in `{ new = \"v2.0.0\", old = \"v1.0.0\" }`";
                Ok((pair.required("new", hint)?, pair.required("old", hint)?))
            })
            .collect::<Result<_>>()?,
    })
}

/// How many groups a checked pattern has.
pub(crate) fn capture_groups(pattern: &str) -> usize {
    regex::Regex::new(pattern).map_or(0, |regex| regex.captures_len() - 1)
}

/// A list in the file replaces the built-in one; the lists that are not given keep theirs, less what was re-mapped.
fn issue_status(section: &Section<'_>) -> Result<BTreeMap<String, String>> {
    let mut mapped: BTreeMap<String, (&str, &str)> = BTreeMap::new();
    for (key, status, _) in STATUSES {
        for (state, place) in section.strings(key)?.unwrap_or_default() {
            let state = state.to_lowercase();
            if !STATES.contains(&state.as_str()) {
                return Err(place
                    .error(format!("Bitbucket has no issue status `{state}`"))
                    .hint(suggest::hint(&state, &STATES, "it has")));
            }
            match mapped.insert(state.clone(), (key, status)) {
                Some((earlier, _)) if earlier != key => {
                    return Err(place
                        .error(format!(
                            "the issue status `{state}` is mapped twice, in `{earlier}` and in `{key}`"
                        ))
                        .hint("keep it in one list"));
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
