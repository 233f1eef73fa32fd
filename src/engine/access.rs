//! Why an engine's socket did not let us in, and what to do about it: for people, when it has
//! failed already.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Where engines listen by default.
const USUAL_SOCKETS: [&str; 2] = ["/run/docker.sock", "/run/podman/podman.sock"];
/// Whose names are asked for: the system's own lists. What is only in a directory service is shown
/// by its number.
const GROUPS: &str = "/etc/group";
const USERS: &str = "/etc/passwd";
/// Read and write, for the group: what it takes to speak to a socket.
const GROUP_MAY_SPEAK: u32 = 0o060;

/// Adds what the operator can do about a failure. `error` stays in the chain.
pub(super) fn explain(error: io::Error, socket: &str) -> anyhow::Error {
    let why = match error.kind() {
        ErrorKind::PermissionDenied => Some(denied(socket)),
        ErrorKind::ConnectionRefused => Some(refused(socket)),
        ErrorKind::NotFound => Some(absent(socket)),
        _ => None,
    };
    let error = anyhow::Error::new(error);
    match why {
        Some(why) => error.context(why),
        None => error,
    }
}

fn denied(socket: &str) -> String {
    let me = name_of(rustix::process::geteuid().as_raw(), USERS);
    match fs::metadata(socket) {
        Ok(meta) => denied_by(&Rights::of(&meta), socket, &me),
        Err(_) => format!(
            "no permission for '{socket}': a directory above it is closed to user '{me}'; run as root, or open it (chmod o+x)"
        ),
    }
}

/// Who may speak to a socket.
struct Rights {
    user: String,
    group: String,
    mode: u32,
}

impl Rights {
    fn of(meta: &Metadata) -> Self {
        Self {
            user: name_of(meta.uid(), USERS),
            group: name_of(meta.gid(), GROUPS),
            mode: meta.mode() & 0o777,
        }
    }
}

fn denied_by(rights: &Rights, socket: &str, me: &str) -> String {
    let Rights { user, group, mode } = rights;
    let mend = if mode & GROUP_MAY_SPEAK == GROUP_MAY_SPEAK && group != "root" {
        format!(
            "run as root, or add '{me}' to the group (usermod --append --groups {group} {me}) and log in again"
        )
    } else {
        "run as root, or give the socket a group (SocketGroup= and SocketMode=0660 in the engine's socket unit)".to_owned()
    };
    format!(
        "no permission for '{socket}': it is for user '{user}' and group '{group}' (mode {mode:04o}), and this runs as user '{me}': {mend}"
    )
}

fn refused(socket: &str) -> String {
    let is_socket = fs::metadata(socket).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket {
        format!("nothing listens on '{socket}': is the engine running? Start it, and try again")
    } else {
        format!("'{socket}' is not a socket: give the engine's by --socket or in [engine]")
    }
}

fn absent(socket: &str) -> String {
    let there = |other: &&&str| **other != socket && Path::new(other).exists();
    match USUAL_SOCKETS.iter().find(there) {
        Some(other) => format!(
            "there is no socket '{socket}', but there is '{other}': select that with --socket or in [engine], or start the engine that you meant"
        ),
        None => format!(
            "there is no socket '{socket}': is the engine running? Start it, or name its socket by --socket or in [engine]"
        ),
    }
}

/// The name of a user or a group in one of the system's lists, else the number.
fn name_of(id: u32, list: &str) -> String {
    let text = fs::read_to_string(list).unwrap_or_default();
    find_name(&text, id).unwrap_or_else(|| id.to_string())
}

/// The first field of the line whose third is the id: both lists are written so.
fn find_name(list: &str, id: u32) -> Option<String> {
    let id = id.to_string();
    list.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&id.as_str()))
        .and_then(|fields| fields.first().map(|name| (*name).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_number() {
        let list = "root:x:0:\ndocker:x:998:a,b\n+::\n\nodd:x:10:\n";
        for (id, name) in [
            (0, Some("root")),
            (998, Some("docker")),
            (99, None),
            (1, None),
        ] {
            assert_eq!(find_name(list, id).as_deref(), name, "{id}");
        }
    }

    #[test]
    fn who_is_not_let_in_is_told_by_which_group() {
        let docker = |mode| Rights {
            user: "root".to_owned(),
            group: "docker".to_owned(),
            mode,
        };
        let said = denied_by(&docker(0o660), "/run/docker.sock", "ann");
        for part in [
            "group 'docker'",
            "mode 0660",
            "user 'ann'",
            "--groups docker ann",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let of_root = Rights {
            group: "root".to_owned(),
            ..docker(0o660)
        };
        for rights in [docker(0o600), of_root] {
            let said = denied_by(&rights, "/run/docker.sock", "ann");
            assert!(
                said.contains("SocketGroup=") && !said.contains("usermod"),
                "{said}"
            );
        }
    }
}
