//! tagkeeper beside orchestrators that other people wrote, each on an engine of its own, with a
//! real registry: what it does to the images is what they need.
//!
//! The orchestrator runs in real time, and a story waits for what it does; tagkeeper's clock is
//! moved, so that nothing waits for a soak. What is asserted is what the engine has: images, names
//! and containers. The policy is the one of `config/examples`, with the names of the story. `make
//! test-orchestrators` runs these tests alone.
#![cfg(test)]

#[path = "support/beside.rs"]
mod beside;
#[path = "orchestrators/deployed.rs"]
mod deployed;
#[path = "support/engine.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with tests/requirements.rs, which uses all of it"
)]
mod engine;
#[path = "orchestrators/orchestrator.rs"]
mod orchestrator;
#[path = "orchestrators/stories.rs"]
mod stories;
#[path = "requirements/story.rs"]
#[allow(
    dead_code,
    reason = "shared with tests/requirements.rs, which uses all of it"
)]
mod story;
#[path = "orchestrators/swarm.rs"]
mod swarm;
