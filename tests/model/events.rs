//! What the orchestrator, the local service, the operator and the host do to the model.

use std::collections::BTreeMap;
use std::rc::Rc;

use tagkeeper::engine::ImageName;
use tagkeeper::image::{ImageId, Reference};
use tagkeeper::policy::{EnginePolicy, Glob, LocalFallback, Policy, Ready, Workload};
use tagkeeper::world::ContainerState;

use super::Model;
use super::names::{VERSIONS, WORKLOADS, digest_of, image_id, tag_of};
use super::pins::LIMIT_PERCENT;
use super::step::Event;

impl Model {
    pub(crate) fn happen(&mut self, event: &Event) {
        self.stamp += 1;
        match *event {
            Event::Hold { .. }
            | Event::Fallbacks { .. }
            | Event::Soak { .. }
            | Event::Grace { .. }
            | Event::LocalFallback { .. }
            | Event::AskReady { .. }
            | Event::Remote { .. }
            | Event::Glob { .. }
            | Event::Pin { .. }
            | Event::Pressure { .. }
            | Event::Leave { .. } => self.edit_policy(event),
            Event::Reboot { restarts } => self.host.reboot(restarts),
            Event::SwapDisk => {
                self.host.swap_disk();
                self.truth.upheaval_everywhere(self.host.uptime_ms);
            }
            Event::Fill => self.host.full ^= true,
            Event::WallJump { hours } => self.host.wall_secs += hours * 3600,
            Event::NotReady { workload } => self.ready[workload] = !self.ready[workload],
            Event::Rmi { .. }
            | Event::TagForeign { .. }
            | Event::TagLocal { .. }
            | Event::Prune
            | Event::HandLatest { .. }
            | Event::DropLatest { .. }
            | Event::Install { .. } => self.change_names(event),
            _ => self.change_containers(event),
        }
    }

    fn change_containers(&mut self, event: &Event) {
        match *event {
            Event::Pull {
                workload,
                version,
                remote,
            } => self.pull(workload, version, remote),
            Event::Republish { workload, version } => self.builds[workload][version] += 1,
            Event::Start { workload, version } => self.orchestrate(workload, version),
            Event::Upgrade {
                workload,
                version,
                removes,
            } => self.upgrade(workload, version, removes),
            Event::Stop { pick, code } => self.with_container(pick, |host, at| host.stop(at, code)),
            Event::Restart { pick } => self.with_container(pick, super::host::Host::start),
            Event::RemoveContainer { pick } => self.with_container(pick, |host, at| {
                host.disk.containers.remove(at);
            }),
            Event::Pause { pick } => self.with_container(pick, |host, at| {
                let state = &mut host.disk.containers[at].listed.state;
                *state = match state.clone() {
                    ContainerState::Running => ContainerState::Paused,
                    ContainerState::Paused => ContainerState::Running,
                    other => other,
                };
            }),
            Event::Health { pick, health } => {
                self.with_container(pick, |host, at| host.disk.containers[at].health = health);
            }
            Event::LocalStart { workload } => self.start_local(workload),
            Event::LocalStop { workload } => {
                if let Some(at) = self.local_container(workload)
                    && self.host.disk.containers[at].is_running()
                {
                    self.host.stop(at, 0);
                }
            }
            Event::Shell { pick } => {
                if let Some((_, name)) = self.pick_name(pick) {
                    let shell = format!("debug-{}", self.host.next());
                    if let Some(at) = self.host.create(shell, &name) {
                        self.host.start(at);
                    }
                }
            }
            _ => {}
        }
    }

    fn change_names(&mut self, event: &Event) {
        match *event {
            Event::Rmi { pick } => {
                if let Some((_, name)) = self.pick_name(pick) {
                    self.host.remove_image(&ImageName::Reference(name));
                }
            }
            Event::TagForeign { pick } => {
                if let Some((id, _)) = self.pick_name(pick) {
                    let name = self.names.foreign.with_tag(&tag_of(pick % VERSIONS));
                    self.name(&id, &name);
                }
            }
            Event::TagLocal {
                workload,
                version,
                pick,
            } => {
                if let Some((id, _)) = self.pick_name(pick) {
                    let name = self.names.local[workload].with_tag(&tag_of(version));
                    self.name(&id, &name);
                }
            }
            Event::HandLatest { workload, pick } => {
                if let Some((id, _)) = self.pick_name(pick) {
                    let latest = self.names.latest[workload].clone();
                    self.name(&id, &latest);
                }
            }
            Event::DropLatest { workload } => {
                let latest = self.names.latest[workload].clone();
                self.host.remove_image(&ImageName::Reference(latest));
            }
            Event::Install {
                workload,
                version,
                latest,
            } => self.install(workload, version, latest),
            Event::Prune => self.host.prune(),
            _ => {}
        }
    }

    /// Names an image, as `docker tag` does; the truth takes note.
    pub(crate) fn name(&mut self, id: &ImageId, name: &Reference) {
        self.host.tag(id, name);
        self.truth.named(id, self.host.uptime_ms);
    }

    fn pick_name(&self, pick: usize) -> Option<(ImageId, Reference)> {
        let all = self.host.disk.images.iter();
        let names: Vec<_> = all
            .flat_map(|i| i.references.iter().map(move |r| (&i.id, r)))
            .collect();
        let (id, name) = names.get(pick % names.len().max(1))?;
        Some(((*id).clone(), (*name).clone()))
    }

    fn with_container(&mut self, pick: usize, change: impl FnOnce(&mut super::host::Host, usize)) {
        let count = self.host.disk.containers.len();
        if count > 0 {
            change(&mut self.host, pick % count);
        }
    }

    fn number(&self, workload: usize, version: usize, build: u64) -> u64 {
        let shared = self.setting.shares && version >= 2;
        let owner = if shared { 0 } else { workload as u64 };
        1 + build + 50 * (version as u64 + 10 * owner)
    }

    fn pull(&mut self, workload: usize, version: usize, remote: usize) {
        let number = self.number(workload, version, self.builds[workload][version]);
        let repository = self.names.remotes[workload][remote].clone();
        self.arrive(number, &repository.with_tag(&tag_of(version)));
        let digest = digest_of(&repository, number);
        if self.host.named(&digest).is_none() {
            self.name(&image_id(number), &digest);
        }
    }

    fn arrive(&mut self, number: u64, name: &Reference) {
        let id = image_id(number);
        if self.host.image(&id).is_none() {
            self.host.unpack(&id);
            self.truth.arrived(&id, self.host.uptime_ms);
        }
        self.name(&id, name);
    }

    fn orchestrate(&mut self, workload: usize, version: usize) {
        let remote = self.names.remotes[workload][0].with_tag(&tag_of(version));
        if self.host.named(&remote).is_none() {
            self.pull(workload, version, 0);
        }
        let name = format!(
            "k8s_{}_{}",
            self.names.workloads[workload],
            self.host.next()
        );
        if let Some(at) = self.host.create(name, &remote) {
            self.host.start(at);
        }
    }

    fn upgrade(&mut self, workload: usize, version: usize, removes: bool) {
        let prefix = format!("k8s_{}_", self.names.workloads[workload]);
        if let Some(at) = self.local_container(workload)
            && self.host.disk.containers[at].is_running()
        {
            self.host.stop(at, 0);
        }
        for at in (0..self.host.disk.containers.len()).rev() {
            if self.host.disk.containers[at]
                .listed
                .name()
                .starts_with(&prefix)
            {
                self.host.stop(at, 143);
                if removes {
                    self.host.disk.containers.remove(at);
                }
            }
        }
        self.orchestrate(workload, version);
    }

    pub(crate) fn local_container(&self, workload: usize) -> Option<usize> {
        let name = self.names.workloads[workload].as_str();
        self.host
            .disk
            .containers
            .iter()
            .position(|held| held.listed.name() == name)
    }

    /// The local service starts the container that is there, or else creates one from `repository:latest`.
    pub(crate) fn start_local(&mut self, workload: usize) {
        let latest = self.names.latest[workload].clone();
        let name = self.names.workloads[workload].as_str().to_owned();
        let at = self
            .local_container(workload)
            .or_else(|| self.host.create(name, &latest));
        if let Some(at) = at.filter(|&at| !self.host.disk.containers[at].is_running()) {
            self.host.start(at);
        }
    }

    /// A build is loaded under its local name: the remote's own image, or a twin of it.
    pub(crate) fn install(&mut self, workload: usize, version: usize, latest: bool) {
        let build = if self.setting.twins {
            40
        } else {
            self.builds[workload][version]
        };
        let number = self.number(workload, version, build);
        self.arrive(
            number,
            &self.names.local[workload].with_tag(&tag_of(version)),
        );
        if latest {
            let name = self.names.latest[workload].clone();
            self.name(&image_id(number), &name);
        }
    }

    fn edit_policy(&mut self, event: &Event) {
        let now = self.host.uptime_ms;
        match *event {
            Event::Hold { workload } => self.entries[workload].hold ^= true,
            Event::Fallbacks { workload, kept } => self.entries[workload].fallbacks = kept,
            Event::Soak { workload, minutes } => self.entries[workload].soak_ms = minutes * 60_000,
            Event::Grace { workload, minutes } => {
                self.entries[workload].grace_ms = minutes * 60_000;
            }
            Event::LocalFallback { workload } => {
                let kept = &mut self.entries[workload].local_fallback;
                *kept = if *kept == LocalFallback::Drop {
                    LocalFallback::Keep
                } else {
                    LocalFallback::Drop
                };
            }
            Event::AskReady { workload } => {
                let ready = &mut self.entries[workload].ready;
                let command = Ready {
                    command: vec!["ready".to_owned()],
                    timeout_ms: 1000,
                };
                *ready = if ready.is_none() { Some(command) } else { None };
            }
            Event::Glob { workload } => {
                let glob = &mut self.entries[workload].orchestrated;
                *glob = if glob.is_none() {
                    Glob::parse("k8s_*").ok()
                } else {
                    None
                };
            }
            Event::Pin { workload } => self.entries[workload].pin ^= true,
            Event::Pressure { workload } => {
                let limit = &mut self.entries[workload].pressure_percent;
                *limit = if limit.is_none() {
                    Some(LIMIT_PERCENT)
                } else {
                    None
                };
            }
            Event::Remote { workload } => {
                let second = &self.names.remotes[workload][1];
                let remotes = &mut self.entries[workload].remotes;
                match remotes.iter().position(|r| r == second) {
                    Some(at) => drop(remotes.remove(at)),
                    None => remotes.push(second.clone()),
                }
                self.truth.upheaval(workload, now);
            }
            Event::Leave { workload } => {
                self.present[workload] ^= true;
                self.truth.upheaval(workload, now);
            }
            _ => {}
        }
        self.write_policy();
    }

    pub(crate) fn write_policy(&mut self) {
        let mut policy = Policy {
            engine: EnginePolicy::default(),
            workloads: BTreeMap::new(),
            ..Policy::default()
        };
        for workload in 0..WORKLOADS {
            if self.present[workload] {
                let entry: Workload = self.entries[workload].clone();
                policy
                    .workloads
                    .insert(self.names.workloads[workload].clone(), entry);
            }
        }
        self.policy = Rc::new(policy);
        self.stamp += 1;
    }
}
