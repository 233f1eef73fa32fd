//! Policy text: any bytes are a policy or a list of errors that can be printed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tagkeeper::policy::{Source, parse_policy};

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
    match parse_policy(&sources) {
        Ok(policy) => {
            for workload in policy.workloads.values() {
                assert!(workload.soak_ms >= tagkeeper::policy::MIN_SOAK_MS);
            }
        }
        Err(refused) => assert!(!refused.to_string().is_empty()),
    }
});
