//! What SONiC's ctrmgrd does in the planner's place (`ctrmgrd.py` and `kube_commands.py` of
//! sonic-net/sonic-buildimage, `src/sonic-ctrmgrd/ctrmgr`): ten minutes by the wall clock after a
//! pod's container started it looks once whether that container runs. If so, its image becomes
//! latest, the stopped local container is removed, and then older images.

use tagkeeper_core::model::ContainerId;

use super::switch::{FIXED, SHIPPED, VersionNumber};
use crate::host::Host;

/// `tag_latest_image_on_wait_seconds`, by default.
const WAIT_MINUTES: u64 = 10;

/// The timers and what `STATE_DB` holds.
#[derive(Default)]
pub(super) struct SingleLook {
    timers: Vec<(u64, ContainerId, VersionNumber)>,
    /// `container_stable_version`, `container_last_version`.
    stable: Option<VersionNumber>,
    last: Option<VersionNumber>,
}

impl SingleLook {
    /// The pod's container has come to run. A wall clock that jumps ahead makes the timer fire.
    pub(super) fn begin(
        &mut self,
        container: ContainerId,
        version: VersionNumber,
        minute: u64,
        wall_jumps_at: Option<u64>,
    ) {
        let due = minute + WAIT_MINUTES;
        let jump = wall_jumps_at.filter(|at| (minute..due).contains(at));
        self.timers.push((jump.unwrap_or(due), container, version));
    }

    pub(super) fn is_due(&self, minute: u64) -> bool {
        self.timers.iter().any(|(at, ..)| *at <= minute)
    }

    /// Whether latest moved.
    pub(super) fn pass(&mut self, host: &mut Host, minute: u64) -> bool {
        let (due, later) = std::mem::take(&mut self.timers)
            .into_iter()
            .partition(|(at, ..)| *at <= minute);
        self.timers = later;
        let due: Vec<(u64, ContainerId, VersionNumber)> = due;
        let mut has_moved = false;
        for (_, container, version) in due {
            let mut containers = host.containers().iter();
            let Some(found) = containers.find(|c| c.id == container && c.is_running()) else {
                continue;
            };
            let image = crate::host::digit(found.image.as_ref().unwrap());
            has_moved |= host.latest() != Some(image);
            host.tag(image, "local:latest");
            let containers = &mut host.docker().containers;
            containers.retain(|c| c.state == "running" || c.names != ["telemetry"]);
            if self.stable != Some(version) {
                self.last = self.stable.replace(version);
            }
            self.clean(host, version);
        }
        has_moved
    }

    /// A local version becomes the remote's of that name, or is removed, and nothing else; where
    /// there is none, every remote version but this one and the last is removed.
    fn clean(&self, host: &mut Host, current: VersionNumber) {
        if host.meaning(&format!("remote:v{current}")).is_none() {
            return;
        }
        for version in SHIPPED..=FIXED {
            let (local, remote) = (format!("local:v{version}"), format!("remote:v{version}"));
            let Some(image) = host.meaning(&local) else {
                continue;
            };
            if host.meaning(&remote).is_some() {
                remove(host, &remote);
                host.tag(image, &remote);
            }
            remove(host, &local);
            return;
        }
        for version in
            (SHIPPED..=FIXED).filter(|version| *version != current && Some(*version) != self.last)
        {
            remove(host, &format!("remote:v{version}"));
        }
    }
}

/// `docker rmi`: the image goes with its last name.
fn remove(host: &mut Host, name: &str) {
    let Some(image) = host.meaning(name) else {
        return;
    };
    host.untag(name);
    if host.disk_image(image).references().next().is_none() {
        host.lose_image(image);
    }
}
