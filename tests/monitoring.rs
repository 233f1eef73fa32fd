//! Metrics where they are read: the real program, Debian's node_exporter, Prometheus and
//! Alertmanager on loopback, and what ships for them: rules, an example, dashboards.
//!
//! `make test` installs them; without them every test that needs one fails.

#![cfg(test)]

#[path = "support/host.rs"]
#[allow(dead_code, reason = "shared with tests that use all of it")]
mod host;
#[path = "faults/scene.rs"]
#[allow(dead_code, reason = "shared with tests that use all of it")]
mod scene;

#[path = "monitoring/alertmanager.rs"]
mod alertmanager;
#[path = "monitoring/fleet.rs"]
mod fleet;
#[path = "monitoring/scrape.rs"]
mod scrape;
#[path = "monitoring/shipped.rs"]
mod shipped;
