//! The stories of tests/orchestrators.rs, played by orchestrators that `make test-orchestrators`
//! installs. No part of `make test`.
#![cfg(test)]

#[path = "support/beside.rs"]
mod beside;
#[path = "orchestrators/compose.rs"]
mod compose;
#[path = "orchestrators/deployed.rs"]
mod deployed;
#[path = "support/engine.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with tests/requirements.rs, which uses all of it"
)]
mod engine;
#[path = "orchestrators/kube_play.rs"]
mod kube_play;
#[path = "orchestrators/kubernetes.rs"]
mod kubernetes;
#[path = "orchestrators/orchestrator.rs"]
mod orchestrator;
#[path = "orchestrators/pod.rs"]
mod pod;
#[path = "orchestrators/quadlet.rs"]
mod quadlet;
#[path = "orchestrators/stories.rs"]
mod stories;
#[path = "requirements/story.rs"]
#[allow(
    dead_code,
    reason = "shared with tests/requirements.rs, which uses all of it"
)]
mod story;
