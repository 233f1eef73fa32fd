//! Properties of all texts: what is accepted is sound, what is refused is refused with a place and
//! a help.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use tagkeeper::policy_file::{Refused, Settings, Source, parse as parse_sources};
use tagkeeper_core::model::Workload;

use super::source;

/// What policies are made of, and what they are broken by.
const WORDS: [&str; 70] = [
    "[workload.a]\n",
    "[workload.b]\n",
    "[workload]\n",
    "[workload.a.b]\n",
    "[[workload]]\n",
    "[defaults]\n",
    "[engine]\n",
    "[metrics]\n",
    "[hooks]\n",
    "textfile = \"/a.prom\"\n",
    "promoted = [\"/x\"]\n",
    "failed = []\n",
    "spread = \"0s\"\n",
    "repository = \"a\"\n",
    "repository = \"docker.io/library/a\"\n",
    "remotes = [\"a\", \"b\"]\n",
    "remotes = [\"b\"]\n",
    "remotes = [",
    "]\n",
    "container = \"a\"\n",
    "container = \"b\"\n",
    "container = [\"a*\", \"b\"]\n",
    "container = \"?[!b]\"\n",
    "dry_runs = false\n",
    "version_label = \"v\"\n",
    "[hold]\n",
    "workloads = [\"a\"]\n",
    "for = \"1h\"\n",
    "reason = \"r\"\n",
    "[reject]\n",
    "a = [\"v1\"]\n",
    "[[hold]]\n",
    "soak = “5s”\n",
    "hold = true\n",
    "ready = [\"/x\"]\n",
    "ready = []\n",
    "ready_timeout = \"1s\"\n",
    "soak = \"0s\"\n",
    "soak = \"1s\"\n",
    "soak = 5\n",
    "soak =",
    "fallbacks = 0\n",
    "fallbacks = 101\n",
    "grace = \"1h\"\n",
    "timeout = \"0s\"\n",
    "socket = \"/s\"\n",
    "socket = \"s\"\n",
    "local_fallback = \"keep\"\n",
    "pressure = \"85%\"\n",
    "pressure = \"0%\"\n",
    "pin = true\n",
    "workload.c.repository = \"c\"\n",
    "workload = 1\n",
    "\"\"\"",
    "'",
    "\"",
    "{",
    "}",
    "= ",
    "é",
    "容",
    "\u{0}",
    "\r\n",
    "\t",
    "\u{feff}",
    "# c\n",
    "x.y",
    ".",
    "sok = 1\n",
    "1979-05-27\n",
];

/// Text that comes close to a policy, so that chance reaches past the first syntax error.
fn near_policies() -> impl Strategy<Value = String> {
    let words = prop::sample::select(&WORDS[..]);
    prop::collection::vec(words, 0..14).prop_map(|words| words.concat())
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".*",
        "\\PC*",
        "[\\[\\]a-z.=\"'{}\n\r\t# é容-]{0,80}",
        near_policies(),
        near_policies(),
        near_policies()
    ]
}

/// What holds of every policy that is accepted; the rest of the program counts on it.
fn check_accepted(policy: &Settings) {
    assert!(policy.engine.timeout_ms > 0 && policy.engine.socket.is_absolute());
    let hooks = &policy.hooks;
    assert!(hooks.timeout_ms > 0);
    for hook in [&hooks.promoted, &hooks.failed, &hooks.rolled_back]
        .into_iter()
        .flatten()
    {
        assert!(Path::new(&hook[0]).is_absolute());
    }
    let textfile = policy.metrics.textfile.as_ref();
    assert!(textfile.is_none_or(|path| path.is_absolute() && path.extension().is_some()));
    let all: Vec<&Workload> = policy.policy.workloads.values().collect();
    for (i, one) in all.iter().enumerate() {
        assert!(one.soak_ms >= 1000 && one.fallbacks <= 100);
        assert!(one.pressure_percent.is_none_or(|p| (1..100).contains(&p)));
        if let Some(ready) = &one.ready {
            assert!(ready.timeout_ms > 0 && Path::new(&ready.command[0]).is_absolute());
        }
        let own: BTreeSet<_> = one.repositories().collect();
        assert_eq!(own.len(), 1 + one.remotes.len());
        for other in &all[i + 1..] {
            let common = one
                .containers
                .iter()
                .any(|c| other.is_local_name(c.as_str()));
            assert!(!common);
            assert!(other.repositories().all(|r| !own.contains(r)));
        }
    }
}

/// What holds of every error: it points into its text, and says what to do.
fn check_refused(refused: &Refused, sources: &[Source]) {
    assert!(!refused.problems.is_empty());
    assert!(refused.to_string().ends_with("nothing was done"));
    for d in &refused.problems {
        let place = d.place.as_ref().unwrap();
        let source = sources.iter().find(|s| s.label == place.file).unwrap();
        let (number, column) = d.position().unwrap();
        let line = source.text.split('\n').nth(number - 1).unwrap();
        let mark = if number == 1 { "\u{feff}" } else { "" };
        let line = line.trim_end_matches('\r');
        let line = line.strip_prefix(mark).unwrap_or(line);
        assert_eq!(d.source_line, line);
        let columns = line.chars().count();
        assert!(d.length >= 1 && (1..=columns + 1).contains(&column));
        assert!(!d.message.is_empty() && !d.help.is_empty());
        let printed = d.to_string();
        let place = format!("--> {place}\n");
        assert!(
            printed.contains(&place) && printed.contains('^'),
            "{printed}"
        );
        assert!((7..=8).contains(&printed.lines().count()), "{printed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_sound_policy_or_a_pointed_error(a in any_text(), b in any_text()) {
        let sources = [source("a.toml", &a), source("b.toml", &b)];
        match parse_sources(&sources) {
            Ok(policy) => check_accepted(&policy),
            Err(refused) => check_refused(&refused, &sources),
        }
        // Alone, each is what it is in company, or better.
        for one in &sources {
            if parse_sources(std::slice::from_ref(one)).is_err() {
                prop_assert!(parse_sources(&sources).is_err());
            }
        }
    }
}
