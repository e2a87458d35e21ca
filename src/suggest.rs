//! Suggests the most similar known word for a misspelt key, name or value.

/// Return the candidate that is most similar to `word`, if one is similar enough.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
            (distance, candidate)
        })
        // A word with more than a third of its letters wrong is another word.
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Return the hint for an unknown word: the most similar candidate, or else all of them after `label`.
pub fn hint(word: &str, candidates: &[&str], label: &str) -> String {
    match closest(word, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("{label}: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_has_a_suggestion_and_another_word_has_none() {
        let known = ["entities", "deployments"];
        assert_eq!(closest("enities", known), Some("entities"));
        assert_eq!(closest("Deployments", known), Some("deployments"));
        assert_eq!(closest("branches", known), None);
    }

    #[test]
    fn the_hint_lists_all_candidates_if_none_is_similar() {
        assert_eq!(
            hint("x", &["csv", "json"], "use one of"),
            "use one of: csv, json"
        );
    }
}
