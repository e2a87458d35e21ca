//! The rules that know secrets in free text: those of gitleaks and the project's own, as data in `rules/`.
//!
//! ```text
//! text ─▶ keywords of all rules, in one pass ─▶ the regex of each rule whose keyword occurs ─▶ entropy, allowlists ─▶ ranges
//! ```
//!
//! Most texts hold no keyword and cost that one pass. A regex is compiled when its keyword occurs for the first time.

use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::{Captures, Regex, RegexBuilder};
use serde::Deserialize;

use crate::secret::REMOVED;

const SOURCES: [&str; 2] = [
    include_str!("../../rules/gitleaks.toml"),
    include_str!("../../rules/bitlake.toml"),
];

/// What may stand before the words that a rule looks for. It costs most of the search, and says nothing of the secret.
const LEAD: &str = r"[\w.-]{0,50}?";
/// What ends a secret in source code, and what ends it in prose as well: a full stop, a bracket.
const END_IN_CODE: &str = r#"(?:[\x60'"\s;]|\\[nr]|$)"#;
const END_IN_PROSE: &str = r"(?:\W|$)";

/// Bytes of a compiled regex.
const REGEX_SIZE: usize = 1 << 26;

static RULES: LazyLock<Result<SecretRules, String>> =
    LazyLock::new(|| SecretRules::parse(&SOURCES).map_err(|error| error.to_string()));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default)]
    allowlists: Vec<AllowlistText>,
    rules: Vec<RuleText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RuleText {
    id: String,
    regex: String,
    #[serde(default)]
    context: bool,
    entropy: Option<f64>,
    secret_group: Option<usize>,
    keywords: Vec<String>,
    #[serde(default)]
    allowlists: Vec<AllowlistText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AllowlistText {
    #[serde(default)]
    regex_target: RegexTarget,
    #[serde(default)]
    regexes: Vec<String>,
    #[serde(default)]
    stopwords: Vec<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RegexTarget {
    #[default]
    Secret,
    Match,
}

/// All rules.
#[derive(Debug)]
pub(super) struct SecretRules {
    rules: Vec<Rule>,
    keywords: AhoCorasick,
    /// By keyword, the rules that it starts.
    of_keyword: Vec<Vec<usize>>,
    allowed: Vec<Allowlist>,
}

#[derive(Debug)]
struct Rule {
    id: String,
    regex: LazyRegex,
    context: bool,
    entropy: f64,
    secret_group: Option<usize>,
    allowed: Vec<Allowlist>,
}

#[derive(Debug)]
struct Allowlist {
    target: RegexTarget,
    regexes: Vec<LazyRegex>,
    stopwords: Vec<String>,
}

#[derive(Debug)]
struct LazyRegex {
    text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl SecretRules {
    /// The bundled ones.
    ///
    /// # Errors
    /// What is wrong with their text.
    pub(super) fn bundled() -> Result<&'static Self, &'static str> {
        RULES.as_ref().map_err(String::as_str)
    }

    fn parse(sources: &[&str]) -> Result<Self, Box<dyn std::error::Error>> {
        let (mut rules, mut allowed) = (Vec::new(), Vec::new());
        let (mut keywords, mut of_keyword) = (Vec::<String>::new(), Vec::<Vec<usize>>::new());
        for source in sources {
            let file: RuleFile = toml::from_str(source)?;
            allowed.extend(file.allowlists.into_iter().map(Allowlist::new));
            for rule in file.rules {
                for keyword in &rule.keywords {
                    let known = keywords.iter().position(|it| it == keyword);
                    let place = known.unwrap_or_else(|| {
                        keywords.push(keyword.clone());
                        of_keyword.push(Vec::new());
                        keywords.len() - 1
                    });
                    of_keyword[place].push(rules.len());
                }
                rules.push(Rule::new(rule));
            }
        }
        let keywords = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(keywords)?;
        Ok(Self {
            rules,
            keywords,
            of_keyword,
            allowed,
        })
    }

    /// Where secrets are in `text`, in its order and apart from each other.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        // By rule, whether one of its keywords occurs; empty while none does.
        let mut started: Vec<bool> = Vec::new();
        for keyword in self.keywords.find_overlapping_iter(text) {
            started.resize(self.rules.len(), false);
            for rule in &self.of_keyword[keyword.pattern()] {
                started[*rule] = true;
            }
        }
        let rules = self.rules.iter().zip(started);
        let mut found: Vec<_> = rules
            .filter(|(_, starts)| *starts)
            .flat_map(|(rule, _)| rule.find(text, &self.allowed))
            .collect();
        found.sort_by_key(|range| range.start);
        found.dedup_by(|next, kept| {
            let overlaps = next.start < kept.end;
            if overlaps {
                kept.end = kept.end.max(next.end);
            }
            overlaps
        });
        found
    }
}

impl Rule {
    fn new(text: RuleText) -> Self {
        let allowed: Vec<_> = text.allowlists.into_iter().map(Allowlist::new).collect();
        let sees_match = allowed.iter().any(|it| it.target == RegexTarget::Match);
        let regex = match sees_match {
            true => text.regex,
            false => text.regex.replace(LEAD, ""),
        };
        Self {
            id: text.id,
            regex: LazyRegex::new(regex.replace(END_IN_CODE, END_IN_PROSE)),
            context: text.context,
            entropy: text.entropy.unwrap_or_default(),
            secret_group: text.secret_group,
            allowed,
        }
    }

    fn find(&self, text: &str, general: &[Allowlist]) -> Vec<Range<usize>> {
        let Some(regex) = self.regex.get() else {
            // Nothing that was not looked at is kept.
            tracing::error!(rule = self.id, "the rule cannot be compiled");
            return std::iter::once(0..text.len()).collect();
        };
        let found = regex.captures_iter(text.as_bytes()).filter_map(|captures| {
            let secret = self.secret(&captures)?;
            let whole = captures.get(0)?.range();
            let range = widened(text, secret);
            let allowed = self.is_allowed(&text[range.clone()], general)
                || self
                    .allowed
                    .iter()
                    .any(|it| it.allows(&text[widened(text, whole.clone())], RegexTarget::Match));
            (!allowed).then_some(range)
        });
        found.collect()
    }

    fn secret(&self, captures: &Captures<'_>) -> Option<Range<usize>> {
        let group = match self.secret_group {
            Some(group) => captures.get(group),
            None => (1..captures.len()).find_map(|group| captures.get(group)),
        };
        Some(group.or_else(|| captures.get(0))?.range())
    }

    fn is_allowed(&self, secret: &str, general: &[Allowlist]) -> bool {
        let mut lists = match self.context {
            true => general.iter(),
            false => [].iter(),
        }
        .chain(&self.allowed);
        secret.is_empty()
            || secret == REMOVED
            || self.context && (secret.contains(REMOVED) || entropy(secret) < self.entropy)
            || lists.any(|list| list.allows(secret, RegexTarget::Secret))
    }
}

impl Allowlist {
    fn new(text: AllowlistText) -> Self {
        Self {
            target: text.regex_target,
            regexes: text.regexes.into_iter().map(LazyRegex::new).collect(),
            stopwords: text.stopwords,
        }
    }

    fn allows(&self, text: &str, target: RegexTarget) -> bool {
        let by_regex = || {
            let mut regexes = self.regexes.iter().filter_map(LazyRegex::get);
            self.target == target && regexes.any(|regex| regex.is_match(text.as_bytes()))
        };
        let by_word = || {
            let lower = text.to_ascii_lowercase();
            let mut words = self.stopwords.iter();
            target == RegexTarget::Secret && words.any(|word| lower.contains(word.as_str()))
        };
        by_regex() || by_word()
    }
}

impl LazyRegex {
    fn new(text: String) -> Self {
        Self {
            text,
            compiled: OnceLock::new(),
        }
    }

    /// Without Unicode, as Go reads it.
    fn get(&self) -> Option<&Regex> {
        let compile = || {
            RegexBuilder::new(&self.text)
                .unicode(false)
                .size_limit(REGEX_SIZE)
                .build()
                .ok()
        };
        self.compiled.get_or_init(compile).as_ref()
    }
}

/// The range that holds whole characters: the rules see bytes.
fn widened(text: &str, range: Range<usize>) -> Range<usize> {
    let (mut start, mut end) = (range.start, range.end);
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

/// Shannon's, in bits per byte.
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let length = text.len() as f64;
    let shares = counts.iter().filter(|n| **n > 0);
    shares
        .map(|n| f64::from(*n) / length)
        .map(|share| -share * share.log2())
        .sum()
}
