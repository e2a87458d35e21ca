//! Suggests the closest known word for an unknown key, name or value.

/// Return the candidate closest to `word`, if it is close enough to be a typing error.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
            (distance, candidate)
        })
        // At most a third of the letters may differ.
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Return the hint for an unknown word: the closest candidate, or else all of them after `label`.
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
    fn a_typing_error_is_recognised_and_another_word_is_not() {
        let known = ["entities", "deployments"];
        assert_eq!(closest("enities", known), Some("entities"));
        assert_eq!(closest("Deployments", known), Some("deployments"));
        assert_eq!(closest("branches", known), None);
    }

    #[test]
    fn the_hint_lists_all_when_none_is_near() {
        assert_eq!(
            hint("x", &["csv", "json"], "use one of"),
            "use one of: csv, json"
        );
    }
}
