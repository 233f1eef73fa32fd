//! The host that this runs on: its files, its users, and the drop-ins of the service.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{Disk, FileKind, Service, Stat, User};

/// As whom the unit runs the service.
const USER: &str = "tagkeeper";
/// Where the unit is: the first that is there counts.
const UNITS: [&str; 3] = [
    "/etc/systemd/system/tagkeeper.service",
    "/run/systemd/system/tagkeeper.service",
    "/usr/lib/systemd/system/tagkeeper.service",
];
/// Where its drop-ins are; later ones count.
const DROPINS: [&str; 3] = [
    "/usr/lib/systemd/system/tagkeeper.service.d",
    "/run/systemd/system/tagkeeper.service.d",
    "/etc/systemd/system/tagkeeper.service.d",
];

/// The disk of this host.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Disk for System {
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let meta = fs::metadata(path)?;
        let kind = meta.file_type();
        Ok(Stat {
            kind: if kind.is_file() {
                FileKind::File
            } else if kind.is_dir() {
                FileKind::Directory
            } else if kind.is_socket() {
                FileKind::Socket
            } else {
                FileKind::Other
            },
            mode: meta.mode(),
            uid: meta.uid(),
            gid: meta.gid(),
        })
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(directory)?;
        names
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }
}

/// The service of this host. What cannot be read is taken for what ships.
pub fn service() -> Service {
    let mut units = UNITS.iter().map(fs::read_to_string);
    let mut text = units.find_map(Result::ok).unwrap_or_default();
    text.push('\n');
    for path in dropins(&DROPINS) {
        text += &fs::read_to_string(path).unwrap_or_default();
        text.push('\n');
    }
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    Service::from_text(&text, &read("/etc/passwd"), &read("/etc/group"))
}

/// The drop-ins, in the order of their names, whichever directory they are in. Of two with one name
/// the one in the later directory counts (systemd.unit(5)).
fn dropins(directories: &[impl AsRef<Path>]) -> impl Iterator<Item = PathBuf> {
    let mut dropins = BTreeMap::new();
    for directory in directories {
        let directory = directory.as_ref();
        for name in System.names(directory).unwrap_or_default() {
            if Path::new(&name).extension().is_some_and(|e| e == "conf") {
                dropins.insert(name.clone(), directory.join(name));
            }
        }
    }
    dropins.into_values()
}

impl Service {
    /// The service by the text of its unit and drop-ins, of `/etc/passwd` and of `/etc/group`.
    pub(super) fn from_text(unit: &str, passwd: &str, group: &str) -> Self {
        let mut service = Self::default();
        let mut name = USER;
        let mut more = Vec::new();
        for line in unit.lines() {
            let Some((key, value)) = line.trim().split_once('=') else {
                continue;
            };
            let value = value.trim();
            let is_off = matches!(value, "no" | "false" | "off" | "0");
            // `-/path` may be absent; `/from:/to:norbind` shows one path as another. An empty value
            // takes back what was said before.
            let paths = || {
                value
                    .split_whitespace()
                    .map(|p| p.trim_start_matches(['-', '+']))
            };
            match key.trim() {
                "User" if !value.is_empty() => name = value,
                "SupplementaryGroups" if value.is_empty() => more.clear(),
                "ReadWritePaths" if value.is_empty() => service.writable.clear(),
                "BindPaths" | "BindReadOnlyPaths" if value.is_empty() => service.visible.clear(),
                "SupplementaryGroups" => more.extend(value.split_whitespace()),
                "ReadWritePaths" => service.writable.extend(paths().map(PathBuf::from)),
                "BindPaths" | "BindReadOnlyPaths" => service.visible.extend(
                    paths()
                        .filter_map(|p| p.split(':').take(2).last())
                        .map(PathBuf::from),
                ),
                "ProtectHome" => {
                    service.hides_homes = !value.is_empty() && !is_off && value != "read-only";
                }
                "PrivateTmp" => service.hides_tmp = !value.is_empty() && !is_off,
                "ProtectSystem" => service.is_read_only = value == "strict",
                _ => {}
            }
        }
        service.user = user(name, &more, passwd, group);
        service
    }
}

fn user(name: &str, more: &[&str], passwd: &str, group: &str) -> Option<User> {
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let entry = passwd
        .lines()
        .map(fields)
        .find(|f| f.first().is_some_and(|n| n == name))?;
    let uid = entry.get(2)?.parse().ok()?;
    let mut gids = vec![entry.get(3)?.parse().ok()?];
    for entry in group.lines().map(fields) {
        let [group, _, gid, members] = entry.as_slice() else {
            continue;
        };
        let is_member = members.split(',').any(|member| member == name);
        if is_member || more.contains(&group.as_str()) {
            gids.extend(gid.parse::<u32>());
        }
    }
    Some(User {
        name: name.to_owned(),
        uid,
        gids,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_what_passwd_group_and_dropins_say() {
        let passwd = "root:x:0:0::/root:/bin/sh\ntagkeeper:x:998:997::/:/sbin/nologin\n";
        let group =
            "root:x:0:\ndocker:x:995:alice,tagkeeper\nredis:x:994:\ntagkeeper2:x:1:tagkeepers\n";
        let service = Service::from_text("", passwd, group);
        assert_eq!(
            service.user,
            Some(User {
                name: "tagkeeper".to_owned(),
                uid: 998,
                gids: vec![997, 995]
            })
        );
        assert!(!service.hides_homes && !service.hides_tmp && !service.is_read_only);

        let dropins = "[Service]\nSupplementaryGroups=redis\nReadWritePaths=-/var/lib/prom /srv\n\
                       BindReadOnlyPaths=/home/x:/opt/x /home/y:/opt/y:norbind\nProtectHome=read-only\nPrivateTmp=no\n";
        let service = Service::from_text(dropins, passwd, group);
        assert_eq!(service.user.unwrap().gids, [997, 995, 994]);
        assert_eq!(
            service.writable,
            ["/var/lib/prom", "/srv"].map(PathBuf::from)
        );
        assert_eq!(service.visible, ["/opt/x", "/opt/y"].map(PathBuf::from));
        assert!(!service.hides_homes && !service.hides_tmp);

        let taken_back = "SupplementaryGroups=\nReadWritePaths=\nBindReadOnlyPaths=\n";
        let service = Service::from_text(&format!("{dropins}{taken_back}"), passwd, group);
        assert_eq!(service.user.unwrap().gids, [997, 995]);
        assert!(service.writable.is_empty() && service.visible.is_empty());

        let strict = "ProtectHome=yes\nPrivateTmp=yes\nProtectSystem=strict\n";
        let service = Service::from_text(strict, passwd, group);
        assert!(service.hides_homes && service.hides_tmp && service.is_read_only);
        let undone = format!("{strict}ProtectHome=no\nPrivateTmp=false\nProtectSystem=\n");
        let service = Service::from_text(&undone, passwd, group);
        assert!(!service.hides_homes && !service.hides_tmp && !service.is_read_only);

        let service = Service::from_text("User=root\n", passwd, group);
        assert_eq!(service.user.unwrap().uid, 0);
        assert_eq!(Service::from_text("", "", "").user, None);
    }

    #[test]
    fn dropins_are_in_the_order_of_their_names_and_a_later_directory_hides_a_name() {
        let root = tempfile::tempdir().expect("a directory");
        let [usr, run, etc] = ["usr", "run", "etc"].map(|name| root.path().join(name));
        for (directory, names) in [
            (&usr, &["50-b.conf", "20-a.conf", "README"][..]),
            (&etc, &["10-z.conf", "50-b.conf"]),
        ] {
            fs::create_dir(directory).expect("writable");
            for name in names {
                fs::write(directory.join(name), "").expect("writable");
            }
        }
        let found: Vec<PathBuf> = dropins(&[&usr, &run, &etc]).collect();
        let expected = [
            etc.join("10-z.conf"),
            usr.join("20-a.conf"),
            etc.join("50-b.conf"),
        ];
        assert_eq!(found, expected);
    }
}
