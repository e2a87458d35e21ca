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

/// Return up to `most` candidates that are like `word`, the most similar first: those whose last part, behind `.` or `/`,
/// has few wrong letters or contains that of the word. Of equal ones, the most similar prefix is first.
pub fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> Vec<&'a str> {
    const SHORTEST_PART: usize = 3;
    let word = word.to_lowercase();
    let split = |name: &str| {
        let at = name.rfind(['.', '/']).map_or(0, |at| at + 1);
        let (prefix, last) = name.split_at(at);
        (prefix.to_owned(), last.to_owned())
    };
    let (prefix, last) = split(&word);
    let rank = |candidate: &str| {
        let (other_prefix, other) = split(&candidate.to_lowercase());
        let wrong = strsim::damerau_levenshtein(&last, &other);
        let contains =
            |whole: &str, part: &str| part.len() >= SHORTEST_PART && whole.contains(part);
        let wrong = match wrong <= (other.chars().count() / 3).max(1) {
            true => wrong,
            false if contains(&other, &last) || contains(&last, &other) => wrong + last.len(),
            false => return None,
        };
        Some((wrong, strsim::damerau_levenshtein(&prefix, &other_prefix)))
    };
    let ranked = candidates.into_iter();
    let mut ranked: Vec<_> = ranked
        .filter_map(|name| Some((rank(name)?, name)))
        .collect();
    ranked.sort();
    ranked.dedup();
    // A name with the same prefix is meant, if there is one.
    if ranked
        .first()
        .is_some_and(|((_, prefix_distance), _)| *prefix_distance == 0)
    {
        ranked.retain(|((_, prefix_distance), _)| *prefix_distance == 0);
    }
    ranked
        .into_iter()
        .map(|(_, name)| name)
        .take(most)
        .collect()
}

/// Return `did you mean …?` for candidates, `None` if there are none.
pub fn did_you_mean(near: &[&str]) -> Option<String> {
    let quoted: Vec<_> = near.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => None,
        Some((only, [])) => Some(format!("did you mean {only}?")),
        Some((last, others)) => Some(format!("did you mean {} or {last}?", others.join(", "))),
    }
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
    fn near_names_have_few_wrong_letters_or_the_word_as_a_part() {
        let known = [
            "domain.repos",
            "domain.board_repos",
            "domain.refs",
            "dora.changes",
        ];
        assert_eq!(nearest("domian.repo", known, 1), ["domain.repos"]);
        assert_eq!(
            nearest("repos", known, 5),
            ["domain.repos", "domain.board_repos"]
        );
        assert_eq!(nearest("x", known, 5), Vec::<&str>::new());
        assert_eq!(
            did_you_mean(&["a", "b", "c"]).unwrap(),
            "did you mean `a`, `b` or `c`?"
        );
        assert_eq!(did_you_mean(&[]), None);
    }

    #[test]
    fn the_hint_lists_all_candidates_if_none_is_similar() {
        assert_eq!(
            hint("x", &["csv", "json"], "use one of"),
            "use one of: csv, json"
        );
    }
}
