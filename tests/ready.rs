//! The ready commands that ship: `sonic` against a real Redis server, `exec` in real containers,
//! `http` on loopback and at a container's address. Whatever answers wrongly, too much or not at
//! all is not ready, and in time.
//!
//! Run by `make test`; without its engine or its Redis server every test that needs one fails.

#![cfg(test)]

#[path = "ready/asking.rs"]
mod asking;
#[path = "support/engine.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the stories, which use all of it"
)]
mod engine;
#[path = "ready/examples.rs"]
mod examples;
#[path = "ready/exec.rs"]
mod exec;
#[path = "support/executable.rs"]
mod executable;
#[path = "ready/http.rs"]
mod http;
#[path = "ready/peers.rs"]
mod peers;
#[path = "support/redis.rs"]
mod redis;
#[path = "ready/shipped.rs"]
mod shipped;
#[path = "ready/sonic.rs"]
mod sonic;
#[path = "requirements/story.rs"]
#[allow(dead_code, reason = "shared with the stories, which use all of it")]
mod story;
