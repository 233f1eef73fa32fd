//! Policy text: any bytes are a policy or a list of errors that can be printed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tagkeeper::policy_file::{SHOWN, Source, check_sources};

fuzz_target!(|text: &str| {
    // Two files, so that merging is tried too; a line of dashes parts them.
    let sources: Vec<Source> = text
        .splitn(2, "\n---\n")
        .enumerate()
        .map(|(n, text)| Source {
            label: format!("{n}.toml"),
            text: text.to_owned(),
        })
        .collect();
    match check_sources(&sources) {
        Ok(checked) => {
            for warning in &checked.warnings {
                assert!(!warning.to_string().is_empty());
            }
            let policy = checked.settings.policy;
            for hold in &policy.holds {
                assert!(!hold.workloads.is_empty());
            }
            for workload in policy.workloads.values() {
                assert!(workload.soak_ms >= 1000 && !workload.containers.is_empty());
            }
        }
        Err(refused) => {
            assert!((1..=SHOWN).contains(&refused.problems.len()));
            assert!(!refused.to_string().is_empty());
        }
    }
});
