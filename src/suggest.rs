//! "Did you mean …?", for keys, names and values alike.

/// The candidate that `word` most likely stands for, if one is near enough to be worth saying.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
            (distance, candidate)
        })
        // A third of the letters wrong is still a slip of the finger; more is another word.
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// The hint for an unknown word: the nearest candidate, else all of them under `label`.
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
    fn a_slip_is_recognised_and_another_word_is_not() {
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
