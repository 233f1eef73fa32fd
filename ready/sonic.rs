//! `ready/sonic`: whether SONiC's `STATE_DB` names this container as the one that does the feature's work.
//!
//! What SONiC writes into `FEATURE|<feature>`: a local container is `current_owner` "local" with the container's *name* as
//! `container_id` and nothing remote going on; one of Kubernetes' becomes "kube", `remote_state` "running" and the first
//! twelve digits of its id, written by itself, and only once it may work. A container that has to wait (the
//! version runs locally, or the local container is still stopping) is up, and leaves the fields to others.

use anyhow::{Result, bail, ensure};

use crate::deadline;
use crate::options::{Options, Usage};
use crate::redis;
use crate::subject::{Subject, is_hex};
use crate::text::tame;

pub(crate) const USAGE: &str = "sonic [--socket PATH] [--db NUMBER] [--timeout TIME] [FEATURE]";
pub(crate) const OPTIONS: &[&str] = &["socket", "db", "timeout"];

const SOCKET: &str = "/var/run/redis/redis.sock";
/// The number of `STATE_DB` in SONiC's `database_config.json`.
const STATE_DB: u32 = 6;
/// A shorter prefix of an id is no identity. It is what SONiC writes, and what engines print.
const SHORT_ID: usize = 12;

const FIELDS: [&str; 3] = ["current_owner", "remote_state", "container_id"];

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
    let key = format!("FEATURE|{feature}");
    deadline::doing(format!("asking the Redis server at '{socket}' for {key}"));
    let fields = redis::read_fields(socket, db, &key, FIELDS)?;
    judge(&key, &fields, id, name)
}

/// Whether these fields name the container. A missing field is what SONiC's own readers take it for.
fn judge(key: &str, fields: &[Option<String>; 3], id: &str, name: &str) -> Result<()> {
    if fields.iter().all(Option::is_none) {
        bail!("STATE_DB says nothing of {key}");
    }
    let [owner, remote, named] = fields;
    let owner = owner.as_deref().unwrap_or("none");
    let remote = remote.as_deref().unwrap_or("none");
    let named = named.as_deref().unwrap_or("");
    let (wanted, is_named) = match owner {
        "local" => ("none", named == name),
        "kube" => ("running", names_id(named, id)),
        _ => bail!("{key} has current_owner '{}'", tame(owner.as_bytes())),
    };
    ensure!(
        remote == wanted,
        "{key} has current_owner '{owner}' with remote_state '{}', not '{wanted}'",
        tame(remote.as_bytes())
    );
    ensure!(
        is_named,
        "{key} has current_owner '{owner}' with container_id '{}', which does not name '{}' ({})",
        tame(named.as_bytes()),
        tame(name.as_bytes()),
        id.get(..SHORT_ID).unwrap_or(id)
    );
    Ok(())
}

/// Whether a field holds this id, whole or shortened, and by no fewer digits than a short id has.
fn names_id(field: &str, id: &str) -> bool {
    field.len() >= SHORT_ID && is_hex(field) && id.starts_with(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn is_content(owner: Option<&str>, remote: Option<&str>, named: Option<&str>) -> bool {
        let fields = [owner, remote, named].map(|field| field.map(str::to_owned));
        judge("FEATURE|telemetry", &fields, ID, "telemetry").is_ok()
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
            "",
            &ID[..11],
            "0123456789ac",
            "0123456789AB",
            "docker-01234",
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
        assert!(!is_content(Some("kube"), Some("running"), None));
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
