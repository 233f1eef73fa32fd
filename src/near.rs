//! The word that was probably meant: for keys of a policy, names of workloads, repositories. Pure.

/// The one of `legal` that is nearest to what was written: it begins with it, or differs in a third of its letters at most.
pub fn near<'k>(written: &str, legal: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let written = written.to_lowercase();
    legal
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&written, candidate), candidate))
        .filter(|&(distance, candidate)| {
            let abbreviated = written.len() >= 3 && candidate.starts_with(&written);
            abbreviated || distance <= (candidate.len() / 3).max(1)
        })
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn what_was_probably_meant() {
        let legal = ["soak", "grace", "local_fallback", "telemetry", "ab"];
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
            assert_eq!(near(written, legal), meant, "{written}");
        }
    }
}
