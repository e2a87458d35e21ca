//! Patterns for repositories (`acme/checkout-*`) and for the names inside them (regular expressions).
//!
//! Both are compiled when the file is read, so that a bad one is reported with its line and not hours later.

use globset::{GlobBuilder, GlobMatcher};
use regex::Regex;

use super::place::ConfigPlace;
use super::section::Section;
use crate::error::{ErrorKind, OrError, Result};

/// `workspace/slug`, where the slug may hold globs. Bitbucket's names are lower case and matching ignores case.
#[derive(Debug, Clone)]
pub struct RepositoryPattern {
    pub text: String,
    pub place: ConfigPlace,
    workspace: String,
    /// None for a plain name.
    glob: Option<GlobMatcher>,
}

impl RepositoryPattern {
    pub(super) fn new(text: &str, place: &ConfigPlace) -> Result<Self> {
        let (workspace, slug) = text
            .split_once('/')
            .filter(|(workspace, slug)| {
                !workspace.is_empty() && !slug.is_empty() && !slug.contains('/')
            })
            .ok_or_else(|| {
                place
                    .error(format!("`{text}` is no repository pattern"))
                    .hint("write workspace/slug, as in \"acme/web\" or \"acme/*\"")
            })?;
        if is_glob(workspace) {
            return Err(place
                .error(format!("`{text}` has a glob for a workspace"))
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
                format!("`{text}` is no valid glob"),
            )
            .map_err(|error| place.locate(error))?;
        Ok(Self {
            text: text.to_owned(),
            place: place.clone(),
            workspace: workspace.to_lowercase(),
            glob: glob.map(|glob| glob.compile_matcher()),
        })
    }

    /// `full_name`: `workspace/slug`.
    pub fn matches(&self, full_name: &str) -> bool {
        match &self.glob {
            Some(glob) => glob.is_match(full_name),
            None => self.text.eq_ignore_ascii_case(full_name),
        }
    }

    /// Whether it names one repository, which then needs no listing to be found.
    pub fn is_exact(&self) -> bool {
        self.glob.is_none()
    }

    /// In lower case, as Bitbucket writes it.
    pub fn workspace(&self) -> &str {
        &self.workspace
    }
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', ']', '{', '}', '\\'])
}

/// The patterns listed under `key`; an absent key is an empty list.
pub(super) fn list(section: &Section<'_>, key: &str) -> Result<Vec<RepositoryPattern>> {
    section
        .strings(key)?
        .unwrap_or_default()
        .iter()
        .map(|(text, place)| RepositoryPattern::new(text, place))
        .collect()
}

/// A regular expression's text; `default` when the key is absent. An empty one is none at all: it would match
/// everything, and whoever writes `""` means nothing.
pub(super) fn regex(
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
    match mistake(&text) {
        None => Ok(Some(text)),
        Some(mistake) => Err(section.error(key, &mistake)),
    }
}

/// One regular expression that matches what any of a list matches; none for an absent key. An empty list or pattern
/// is an error: it would match nothing, or everything.
pub(super) fn regex_of_any(section: &Section<'_>, key: &str) -> Result<Option<String>> {
    let Some(patterns) = section.strings(key)? else {
        return Ok(None);
    };
    if patterns.is_empty() || patterns.iter().any(|(text, _)| text.is_empty()) {
        return Err(section
            .error(key, "names nothing")
            .hint("leave it out, or write patterns, as in `[\"^main$\"]`"));
    }
    for (text, place) in &patterns {
        if let Some(mistake) = mistake(text) {
            return Err(place.error(format!("`{key}` {mistake}")));
        }
    }
    let each = patterns.iter().map(|(text, _)| format!("(?:{text})"));
    let any = each.collect::<Vec<_>>().join("|");
    match mistake(&any) {
        None => Ok(Some(any)),
        Some(mistake) => Err(section.error(key, &mistake)),
    }
}

/// What is wrong with a regular expression.
fn mistake(text: &str) -> Option<String> {
    let error = Regex::new(text).err()?.to_string();
    // The library draws the place with a caret over several lines; its last line says what is wrong.
    let reason = error.lines().last().unwrap_or_default();
    let reason = reason.trim_start_matches("error: ");
    Some(format!("is no valid regular expression `{text}`: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> RepositoryPattern {
        RepositoryPattern::new(text, &ConfigPlace::outside("test")).unwrap()
    }

    #[test]
    fn a_star_stays_within_the_slug_and_case_does_not_matter() {
        let globbed = pattern("Acme/checkout-*");
        assert!(globbed.matches("acme/checkout-api"));
        assert!(!globbed.matches("acme/api"));
        assert!(!globbed.matches("other/checkout-api"));
        assert!(!pattern("acme/*").matches("acme/a/b"));
        assert!(!globbed.is_exact());
        assert_eq!(globbed.workspace(), "acme");
    }

    #[test]
    fn a_plain_name_is_exact() {
        assert!(pattern("acme/web").is_exact());
        assert!(pattern("acme/web").matches("acme/Web"));
        assert!(!pattern("acme/web").matches("acme/web2"));
    }
}
