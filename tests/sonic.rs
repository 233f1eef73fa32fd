//! SONiC's flows, played on the fake engine with the policies and programs that ship for them:
//! `multi_asic` has a switch with several ASICs, `hook` the way back to SONiC's own daemon,
//! `packages` the features of sonic-package-manager and debug images, `kube` what runs in pods for
//! good, `upstream` the rows of SONiC's own tests, `migration` the way to the next SONiC image,
//! `by_hand` what an operator types, `init` the first policy, `ways` the way in and the way back.
//!
//! What SONiC does is restated from sonic-buildimage 086b03b, as docs/sonic.md has it. Needs root,
//! for the clock.

#![cfg(test)]

#[path = "sonic/by_hand.rs"]
mod by_hand;
#[path = "support/example.rs"]
mod example;
#[path = "support/executable.rs"]
mod executable;
#[path = "sonic/hook.rs"]
mod hook;
#[path = "support/host.rs"]
#[allow(dead_code, reason = "shared with the faults, which use all of it")]
mod host;
#[path = "sonic/init.rs"]
mod init;
#[path = "sonic/kube.rs"]
mod kube;
#[path = "sonic/migration.rs"]
mod migration;
#[path = "sonic/multi_asic.rs"]
mod multi_asic;
#[path = "sonic/packages.rs"]
mod packages;
#[path = "support/redis.rs"]
#[allow(
    dead_code,
    reason = "shared with the ready commands, which use all of it"
)]
mod redis;
#[path = "sonic/switch.rs"]
mod switch;
#[path = "sonic/upstream.rs"]
mod upstream;
#[path = "sonic/ways.rs"]
mod ways;
