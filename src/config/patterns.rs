//! Reads patterns of repositories (`acme/checkout-*`) and regular expressions.
//!
//! Both are compiled when the configuration is loaded, so that an invalid one is reported with its line.

use globset::{GlobBuilder, GlobMatcher};
use regex::Regex;

use super::place::ConfigPlace;
use super::section::Section;
use crate::error::{ErrorKind, OrError, Result};

/// A pattern of repositories, `workspace/slug`, where the slug may contain globs. Matching ignores case.
#[derive(Debug, Clone)]
pub struct RepositoryPattern {
    /// The pattern as the file spells it.
    pub text: String,
    /// The line of the pattern.
    pub place: ConfigPlace,
    workspace: String,
    /// `None` if the pattern is a full name.
    glob: Option<GlobMatcher>,
}

impl RepositoryPattern {
    /// Compile a pattern that was written at `place`.
    pub(super) fn new(text: &str, place: &ConfigPlace) -> Result<Self> {
        let (workspace, slug) = text
            .split_once('/')
            .filter(|(workspace, slug)| {
                !workspace.is_empty() && !slug.is_empty() && !slug.contains('/')
            })
            .ok_or_else(|| {
                place
                    .error(format!("`{text}` is not a pattern of repositories"))
                    .hint("write workspace/slug, such as \"acme/web\" or \"acme/*\"")
            })?;
        if is_glob(workspace) {
            return Err(place
                .error(format!("`{text}` has a glob in the workspace"))
                .hint("name the workspace, because Bitbucket lists repositories by workspace"));
        }
        let glob = is_glob(slug)
            .then(|| {
                let mut glob = GlobBuilder::new(text);
                glob.literal_separator(true).case_insensitive(true).build()
            })
            .transpose()
            .or_error(
                ErrorKind::Configuration,
                format!("`{text}` is not a valid glob"),
            )
            .map_err(|error| place.locate(error))?;
        Ok(Self {
            text: text.to_owned(),
            place: place.clone(),
            workspace: workspace.to_lowercase(),
            glob: glob.map(|glob| glob.compile_matcher()),
        })
    }

    /// Return whether the repository `full_name` (`workspace/slug`) matches.
    pub fn matches(&self, full_name: &str) -> bool {
        match &self.glob {
            Some(glob) => glob.is_match(full_name),
            None => self.text.eq_ignore_ascii_case(full_name),
        }
    }

    /// Return whether the pattern is the full name of one repository, which can be fetched without a listing.
    pub fn is_exact(&self) -> bool {
        self.glob.is_none()
    }

    /// Return the workspace in lower case, as Bitbucket spells it.
    pub fn workspace(&self) -> &str {
        &self.workspace
    }
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', ']', '{', '}', '\\'])
}

/// Read the patterns under `key`. A missing key gives an empty list.
pub(super) fn read_list(section: &Section<'_>, key: &str) -> Result<Vec<RepositoryPattern>> {
    section
        .strings(key)?
        .unwrap_or_default()
        .iter()
        .map(|(text, place)| RepositoryPattern::new(text, place))
        .collect()
}

/// Read a regular expression; a missing key gives `default`. An empty text gives `None`, because `""` disables a
/// pattern, while as an expression it would match everything.
pub(super) fn read_regex(
    section: &Section<'_>,
    key: &str,
    default: Option<&str>,
) -> Result<Option<String>> {
    let Some(text) = section.text(key)? else {
        return Ok(default.map(str::to_owned));
    };
    if text.is_empty() {
        return Ok(None);
    }
    match syntax_error(&text) {
        None => Ok(Some(text)),
        Some(complaint) => Err(section.error(key, &complaint)),
    }
}

/// Read a list of regular expressions as one that matches if any of them does; a missing key gives `None`. An empty list
/// or expression is an error, because it would match nothing or everything.
pub(super) fn read_any_regex(section: &Section<'_>, key: &str) -> Result<Option<String>> {
    let Some(patterns) = section.strings(key)? else {
        return Ok(None);
    };
    if patterns.is_empty() || patterns.iter().any(|(text, _)| text.is_empty()) {
        return Err(section
            .error(key, "contains no pattern")
            .hint("remove the key, or write patterns, such as `[\"^main$\"]`"));
    }
    for (text, place) in &patterns {
        if let Some(complaint) = syntax_error(text) {
            return Err(place.error(format!("`{key}` {complaint}")));
        }
    }
    let each = patterns.iter().map(|(text, _)| format!("(?:{text})"));
    let any = each.collect::<Vec<_>>().join("|");
    match syntax_error(&any) {
        None => Ok(Some(any)),
        Some(complaint) => Err(section.error(key, &complaint)),
    }
}

/// Return what is wrong with a regular expression.
fn syntax_error(text: &str) -> Option<String> {
    let error = Regex::new(text).err()?.to_string();
    // The library marks the position on several lines; the last line states the reason.
    let reason = error.lines().last().unwrap_or_default();
    let reason = reason.trim_start_matches("error: ");
    Some(format!(
        "is not a valid regular expression, `{text}`: {reason}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> RepositoryPattern {
        RepositoryPattern::new(text, &ConfigPlace::outside("test")).unwrap()
    }

    #[test]
    fn a_glob_matches_within_the_slug_and_ignores_case() {
        let globbed = pattern("Acme/checkout-*");
        assert!(globbed.matches("acme/checkout-api"));
        assert!(!globbed.matches("acme/api"));
        assert!(!globbed.matches("other/checkout-api"));
        assert!(!pattern("acme/*").matches("acme/a/b"));
        assert!(!globbed.is_exact());
        assert_eq!(globbed.workspace(), "acme");
    }

    #[test]
    fn a_full_name_matches_one_repository() {
        assert!(pattern("acme/web").is_exact());
        assert!(pattern("acme/web").matches("acme/Web"));
        assert!(!pattern("acme/web").matches("acme/web2"));
    }
}
