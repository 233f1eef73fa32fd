//! Did-you-mean: for keys of a policy, names of workloads, repositories. Pure.

/// Most bytes of what was written: what is longer is like nothing that a person meant.
const LONGEST: usize = 256;

/// The candidate closest to what was written: it begins with it, or differs in a third of its
/// letters at most.
pub fn closest<'k>(
    written: &str,
    candidates: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    // Each candidate costs the product of both lengths.
    if written.len() > LONGEST {
        return None;
    }
    let written = written.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&written, candidate), candidate))
        .filter(|&(distance, candidate)| {
            let is_abbreviated = written.len() >= 3 && candidate.starts_with(&written);
            is_abbreviated || distance <= (candidate.len() / 3).max(1)
        })
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn the_closest_candidate_is_suggested() {
        let candidates = ["soak", "grace", "local_fallback", "telemetry", "ab"];
        for (written, meant) in [
            ("sok", Some("soak")),
            ("Soak", Some("soak")),
            ("local-fallback", Some("local_fallback")),
            ("loc", Some("local_fallback")),
            ("telemetyr", Some("telemetry")),
            ("telemery2", Some("telemetry")),
            ("b", Some("ab")),
            ("colour", None),
            ("lo", None),
            ("", None),
        ] {
            assert_eq!(closest(written, candidates), meant, "{written}");
        }
    }
}
