//! `ready/sonic`: whether SONiC's `STATE_DB` names this container as the one that does the
//! feature's work.
//!
//! What SONiC writes into `FEATURE|<feature>`: a local container is `current_owner` "local" with
//! the container's *name* as `container_id` and nothing remote going on; one of Kubernetes' becomes
//! "kube", `remote_state` "running" and twelve characters of its control group's name, written by
//! itself, and only once it may work. A container that has to wait (the version runs locally, or
//! the local container is still stopping) is up, and leaves the fields to others.
//!
//! Those twelve characters are its id only where the engine uses control groups v1 and the cgroupfs
//! driver. With the systemd driver they are `docker-` and five digits; with control groups v2 there
//! are none (`get_docker_id` in sonic-buildimage's `container_startup.py`, 086b03b). Then the
//! version that the container wrote must be this container's too.

use anyhow::{Context as _, Result, bail, ensure};
use tagkeeper::redis::Redis;
use tagkeeper::text::clean;

use crate::deadline;
use crate::engine::Engine;
use crate::options::{Options, Usage};
use crate::subject::{Subject, is_hex};
use crate::wait_for;

pub(crate) const USAGE: &str =
    "sonic [--socket PATH] [--db NUMBER] [--engine PATH] [--timeout TIME] [FEATURE]";
pub(crate) const OPTIONS: &[&str] = &["socket", "db", "engine", "timeout"];

const SOCKET: &str = "/var/run/redis/redis.sock";
/// The number of `STATE_DB` in SONiC's `database_config.json`.
const STATE_DB: u32 = 6;
/// A shorter prefix of an id is no identity. It is what SONiC writes, and what engines print.
const SHORT_ID: usize = 12;
/// What the systemd driver calls a container's group: this and the id.
const SCOPE_PREFIX: &str = "docker-";
/// SONiC's images have their version in this variable, and give it to `container_startup.py`.
const VERSION_VARIABLE: &str = "IMAGE_VERSION=";

const FIELDS: [&str; 4] = [
    "current_owner",
    "remote_state",
    "container_id",
    "container_version",
];

/// Content if `STATE_DB` names this container. The feature is the workload, unless it is given.
pub(crate) fn ask(subject: &Subject, options: &Options) -> Result<()> {
    let feature = match options.words.as_slice() {
        [] => subject.required_workload()?,
        [feature] => feature,
        _ => bail!(Usage("more than one feature".to_owned())),
    };
    let socket = options.text("socket").unwrap_or(SOCKET);
    let db = options.value("db", "6")?.unwrap_or(STATE_DB);
    let (id, name) = (subject.container_id()?, subject.container_name()?);
    let key = format!("FEATURE|{}", row(feature, name));
    deadline::doing(format!("asking the Redis server at '{socket}' for {key}"));
    // The command has one deadline for all that it waits for.
    let fields = Redis::connect(socket, db, None)?.fields(&key, FIELDS)?;
    let Naming::ByVersion(version) = judge(&key, &fields, id, name)? else {
        return Ok(());
    };
    // The tag of a SONiC image is its version, as a rule. Where it is not, the container itself has
    // the answer.
    if subject.version() == Some(version.as_str()) {
        return Ok(());
    }
    let own = wait_for(own_version(id, options))?;
    ensure!(
        own == version,
        "{key} has container_version '{}', and the container has '{}'",
        clean(version),
        clean(own)
    );
    Ok(())
}

/// Whose row of `FEATURE` tells of the container. On a switch with several ASICs a feature has
/// instances, `lldp0` beside `lldp`, and SONiC's `container` keeps a row for each.
fn row<'a>(feature: &'a str, container: &'a str) -> &'a str {
    let number = container.strip_prefix(feature).unwrap_or("");
    let is_instance = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_instance { container } else { feature }
}

/// How the fields name the container.
#[derive(Debug, PartialEq)]
enum Naming {
    /// By its name, or by enough of its id.
    Fully,
    /// By no id, or by too little of it: only if this is its version.
    ByVersion(String),
}

/// Whether these fields name the container. A missing field is what SONiC's own readers take it
/// for.
fn judge(key: &str, fields: &[Option<String>; 4], id: &str, name: &str) -> Result<Naming> {
    if fields[..3].iter().all(Option::is_none) {
        bail!("STATE_DB says nothing of {key}");
    }
    let [owner, remote, named, version] = fields.each_ref().map(|field| field.as_deref());
    let (owner, remote) = (owner.unwrap_or("none"), remote.unwrap_or("none"));
    let named = named.unwrap_or("");
    let (wanted, naming) = match owner {
        "local" => ("none", (named == name).then_some(Naming::Fully)),
        "kube" => ("running", naming(named, version.unwrap_or(""), id)),
        _ => bail!("{key} has current_owner '{}'", clean(owner)),
    };
    ensure!(
        remote == wanted,
        "{key} has current_owner '{owner}' with remote_state '{}', not '{wanted}'",
        clean(remote)
    );
    naming.with_context(|| {
        format!(
            "{key} has current_owner '{owner}' with container_id '{}', which does not name '{}' ({})",
            clean(named),
            clean(name),
            id.get(..SHORT_ID).unwrap_or(id)
        )
    })
}

/// How `container_id` and `container_version` name the container of Kubernetes with this id, if
/// they do.
fn naming(named: &str, version: &str, id: &str) -> Option<Naming> {
    if named.len() >= SHORT_ID && is_hex(named) {
        return id.starts_with(named).then_some(Naming::Fully);
    }
    let digits = match named {
        "" => "",
        scope => scope.strip_prefix(SCOPE_PREFIX)?,
    };
    let may_be = is_hex(digits) && id.starts_with(digits) && !version.is_empty();
    may_be.then(|| Naming::ByVersion(version.to_owned()))
}

/// The version that the container's image was built with, from its environment.
async fn own_version(id: &str, options: &Options) -> Result<String> {
    let engine = Engine::at(options.text("engine"))?;
    let environment = engine.environment_of(id).await?;
    let version = environment
        .iter()
        .find_map(|variable| variable.strip_prefix(VERSION_VARIABLE));
    version
        .map(str::to_owned)
        .context("STATE_DB has no usable container_id, and the container has no IMAGE_VERSION")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn naming_of(owner: Option<&str>, remote: Option<&str>, named: Option<&str>) -> Option<Naming> {
        let fields = [owner, remote, named, Some("v2")].map(|field| field.map(str::to_owned));
        judge("FEATURE|telemetry", &fields, ID, "telemetry").ok()
    }

    fn is_content(owner: Option<&str>, remote: Option<&str>, named: Option<&str>) -> bool {
        naming_of(owner, remote, named) == Some(Naming::Fully)
    }

    #[test]
    fn an_instance_has_the_row_of_its_own_name() {
        assert_eq!(row("lldp", "lldp"), "lldp");
        assert_eq!(row("lldp", "lldp11"), "lldp11");
        assert_eq!(row("lldp", "lldp-0"), "lldp");
        assert_eq!(row("lldp", "k8s_lldp0_1"), "lldp");
    }

    #[test]
    fn an_id_that_identifies_nothing_leaves_it_to_the_version() {
        let by_version = || Some(Naming::ByVersion("v2".to_owned()));
        let kube = |named| naming_of(Some("kube"), Some("running"), named);
        for named in [None, Some(""), Some("docker-01234"), Some("docker-")] {
            assert_eq!(kube(named), by_version(), "{named:?}");
        }
        for named in [
            "docker-01235",
            "docker-0123x",
            "docker0",
            "cri-containe",
            "/",
        ] {
            assert_eq!(kube(Some(named)), None, "{named}");
        }
        for remote in ["none", "pending", "ready", "stopped", ""] {
            assert_eq!(naming_of(Some("kube"), Some(remote), Some("")), None);
        }
        assert_eq!(naming_of(Some("local"), Some("none"), Some("")), None);
        for version in [None, Some("")] {
            assert_eq!(naming("", version.unwrap_or(""), ID), None);
        }
    }

    #[test]
    fn the_orchestrators_container_is_named_by_its_id_once_it_runs() {
        for named in [&ID[..12], &ID[..40], ID] {
            assert!(
                is_content(Some("kube"), Some("running"), Some(named)),
                "{named}"
            );
        }
        let longer = format!("{ID}0");
        for named in [
            &ID[..11],
            "0123456789ac",
            "0123456789AB",
            "telemetry",
            &longer,
        ] {
            assert!(
                !is_content(Some("kube"), Some("running"), Some(named)),
                "{named}"
            );
        }
        for remote in ["none", "pending", "ready", "stopped", "Running", ""] {
            assert!(
                !is_content(Some("kube"), Some(remote), Some(ID)),
                "{remote}"
            );
        }
        assert!(!is_content(Some("kube"), None, Some(ID)));
    }

    #[test]
    fn the_local_container_is_named_by_its_name_while_nothing_takes_over() {
        assert!(is_content(Some("local"), Some("none"), Some("telemetry")));
        assert!(is_content(Some("local"), None, Some("telemetry")));
        for remote in ["pending", "ready", "running", "stopped"] {
            assert!(
                !is_content(Some("local"), Some(remote), Some("telemetry")),
                "{remote}"
            );
        }
        for named in ["", "telemetr", "telemetry2", ID] {
            assert!(
                !is_content(Some("local"), Some("none"), Some(named)),
                "{named}"
            );
        }
    }

    #[test]
    fn nobody_or_somebody_else_owns_it() {
        for owner in ["none", "", "Kube", "docker"] {
            assert!(
                !is_content(Some(owner), Some("running"), Some(ID)),
                "{owner}"
            );
            assert!(
                !is_content(Some(owner), Some("none"), Some("telemetry")),
                "{owner}"
            );
        }
        assert!(!is_content(None, None, None));
        assert!(!is_content(None, Some("running"), Some(ID)));
    }
}
