//! The workloads' own word on readiness: the `ready` command (design 4.3).
//!
//! Part of the observation, so that the decision stays pure. Exit 0 is ready; anything else is not, and why is said.

use crate::decide::Inquiry;
use crate::policy::Ready;
use crate::runner::Errand;
use crate::world::Readiness;

/// Runs the command with the question in its environment.
pub fn ask(ready: &Ready, inquiry: &Inquiry) -> Readiness {
    let Inquiry::AskReady {
        workload,
        container,
        container_name,
        image,
        version,
    } = inquiry
    else {
        return Readiness::Ready;
    };
    let errand = Errand {
        command: &ready.command,
        environment: &[
            ("TAGKEEPER_WORKLOAD", workload.as_str()),
            ("TAGKEEPER_CONTAINER_ID", &container.to_string()),
            ("TAGKEEPER_CONTAINER_NAME", container_name),
            ("TAGKEEPER_IMAGE", &image.to_string()),
            ("TAGKEEPER_VERSION", version.as_str()),
        ],
        input: String::new(),
        timeout_ms: ready.timeout_ms,
    };
    match errand.run() {
        Ok(()) => Readiness::Ready,
        Err(why) => Readiness::NotReady(why),
    }
}
