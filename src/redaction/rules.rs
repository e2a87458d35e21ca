//! The rules that find secrets in free text: those of gitleaks and the project's own, as data in `rules/`.
//!
//! ```text
//! text ─▶ keywords of all rules, in one pass ─▶ the regex of each rule whose keyword occurs ─▶ entropy, allowlists ─▶ ranges
//! ```
//!
//! Most texts have no keyword, and need only that one pass. A regex is compiled when its keyword first occurs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, PatternID};
use regex::bytes::{Captures, Regex, RegexBuilder};
use serde::Deserialize;

use crate::secret::REMOVED;

const SOURCES: [&str; 2] = [
    include_str!("../../rules/gitleaks.toml"),
    include_str!("../../rules/bitlake.toml"),
];

/// The start of many rules: characters before the keyword. It is removed from the regex, because it takes most of the search
/// time and does not change which secret is found.
const LEAD: &str = r"[\w.-]{0,50}?";
/// The end of a secret in source code, as gitleaks has it.
const END_IN_CODE: &str = r#"(?:[\x60'"\s;]|\\[nr]|$)"#;
/// The end of a secret in prose, where a full stop or a bracket may follow.
const END_IN_PROSE: &str = r"(?:\W|$)";

/// Limit of a compiled regex, in bytes.
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

/// The rules that find secrets.
#[derive(Debug)]
pub(super) struct SecretRules {
    rules: Vec<Rule>,
    keywords: AhoCorasick,
    /// For each keyword, the indices of its rules.
    rules_of_keyword: Vec<Vec<usize>>,
    /// The allowlists of all rules.
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
    /// Return the bundled rules.
    ///
    /// # Errors
    /// The reason why the rules cannot be parsed.
    pub(super) fn bundled() -> Result<&'static Self, &'static str> {
        RULES.as_ref().map_err(String::as_str)
    }

    fn parse(sources: &[&str]) -> Result<Self, Box<dyn std::error::Error>> {
        let (mut rules, mut allowed) = (Vec::new(), Vec::new());
        let mut rules_of_keyword = BTreeMap::<String, Vec<usize>>::new();
        for source in sources {
            let file: RuleFile = toml::from_str(source)?;
            allowed.extend(file.allowlists.into_iter().map(Allowlist::new));
            for rule in file.rules {
                for keyword in &rule.keywords {
                    let of_keyword = rules_of_keyword.entry(keyword.clone()).or_default();
                    of_keyword.push(rules.len());
                }
                rules.push(Rule::new(rule));
            }
        }
        let keywords = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(rules_of_keyword.keys())?;
        Ok(Self {
            rules,
            keywords,
            rules_of_keyword: rules_of_keyword.into_values().collect(),
            allowed,
        })
    }

    /// Whether [`SecretRules::find`] finds nothing in any of the texts. `joined`: a text that contains them, at `ranges`, in
    /// order. One search for keywords is much cheaper than one for each text.
    pub(super) fn are_clean(
        &self,
        joined: &str,
        ranges: impl Iterator<Item = Range<usize>>,
    ) -> bool {
        let mut ranges = ranges.peekable();
        let mut tried = Vec::new();
        for keyword in self.keywords.find_overlapping_iter(joined) {
            while ranges.next_if(|range| range.end < keyword.end()).is_some() {
                tried.clear();
            }
            // A keyword that spans two texts is in neither.
            let range = ranges.peek().filter(|range| range.start <= keyword.start());
            let Some(text) = range.and_then(|range| joined.get(range.clone())) else {
                continue;
            };
            for number in self.rules_of(keyword.pattern()) {
                if tried.contains(number) {
                    continue;
                }
                tried.push(*number);
                let rule = self.rules.get(*number);
                if rule.is_some_and(|rule| !rule.find(text, &self.allowed).is_empty()) {
                    return false;
                }
            }
        }
        true
    }

    /// Return the ranges of secrets in `text`, in order and disjoint.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let rules = self.rules_to_try(text);
        let mut found: Vec<_> = rules
            .flat_map(|rule| rule.find(text, &self.allowed))
            .collect();
        found.sort_by_key(|range| range.start);
        found.dedup_by(|next, kept| {
            let intersects = next.start < kept.end;
            if intersects {
                kept.end = kept.end.max(next.end);
            }
            intersects
        });
        found
    }

    /// Return the rules of which a keyword occurs, each once.
    fn rules_to_try<'s>(&'s self, text: &str) -> impl Iterator<Item = &'s Rule> {
        let keywords = self.keywords.find_overlapping_iter(text);
        let numbers = keywords.flat_map(|keyword| self.rules_of(keyword.pattern()));
        let numbers: BTreeSet<usize> = numbers.copied().collect();
        numbers
            .into_iter()
            .filter_map(|number| self.rules.get(number))
    }

    /// Return the indices of a keyword's rules.
    fn rules_of(&self, keyword: PatternID) -> &[usize] {
        let rules = self.rules_of_keyword.get(keyword.as_usize());
        rules.map_or(&[], Vec::as_slice)
    }
}

impl Rule {
    fn new(text: RuleText) -> Self {
        let allowed: Vec<_> = text.allowlists.into_iter().map(Allowlist::new).collect();
        // An allowlist may look at the characters before the keyword.
        let needs_whole_match = allowed.iter().any(|it| it.target == RegexTarget::Match);
        let regex = if needs_whole_match {
            text.regex
        } else {
            text.regex.replace(LEAD, "")
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
            // The whole text is removed, because it cannot be searched.
            tracing::error!(rule = self.id, "the rule cannot be compiled");
            return std::iter::once(0..text.len()).collect();
        };
        let found = regex.captures_iter(text.as_bytes()).filter_map(|captures| {
            let secret = self.secret(&captures)?;
            let whole = captures.get(0)?.range();
            let range = to_char_boundaries(text, secret);
            let secret = text.get(range.clone())?;
            let matched = text.get(to_char_boundaries(text, whole))?;
            let is_allowed = self.is_allowed(secret, general)
                || self
                    .allowed
                    .iter()
                    .any(|it| it.allows(matched, RegexTarget::Match));
            (!is_allowed).then_some(range)
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
        let general = if self.context { general } else { &[] };
        let mut lists = general.iter().chain(&self.allowed);
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

    /// Compile the regex on first use, without Unicode classes, as Go does.
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

/// Extend a range of bytes to whole characters. The rules match bytes.
fn to_char_boundaries(text: &str, range: Range<usize>) -> Range<usize> {
    let (mut start, mut end) = (range.start, range.end);
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

/// Return Shannon's entropy in bits per byte.
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let length = text.len() as f64;
    let shares = counts.iter().filter(|n| **n > 0);
    shares
        .map(|n| f64::from(*n) / length)
        .map(|share| -share * share.log2())
        .sum()
}
