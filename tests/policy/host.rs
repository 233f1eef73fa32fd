//! What the files of a host show of a policy that is probably a mistake. The host is a table; one
//! test has a real disk.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tagkeeper::policy_file::{
    Diagnostic, Disk, FileKind, Roots, Service, Stat, System, User, check, check_file,
    check_sources, of_host,
};

use super::source;

/// Files by path: kind, mode, uid and gid. What is not there does not exist; directories above what
/// is there are root's.
#[derive(Default)]
struct Files(BTreeMap<PathBuf, (Stat, Option<PathBuf>)>);

impl Files {
    /// From lines such as `/etc/x file 0644 0 0`, or `/etc/y link /etc/x`.
    fn new(lines: &[&str]) -> Self {
        let mut files = Self::default();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let [path, kind, rest @ ..] = words.as_slice() else {
                panic!("{line}");
            };
            let number = |n: usize, radix| u32::from_str_radix(rest[n], radix).unwrap();
            let directory = Stat {
                kind: FileKind::Directory,
                mode: 0o755,
                uid: 0,
                gid: 0,
            };
            for above in Path::new(path).ancestors().skip(1) {
                files.0.entry(above.to_owned()).or_insert((directory, None));
            }
            let entry = if *kind == "link" {
                (directory, Some(PathBuf::from(rest[0])))
            } else {
                let kind = match *kind {
                    "file" => FileKind::File,
                    "socket" => FileKind::Socket,
                    "device" => FileKind::Other,
                    _ => FileKind::Directory,
                };
                let (mode, uid, gid) = (number(0, 8), number(1, 10), number(2, 10));
                (
                    Stat {
                        kind,
                        mode,
                        uid,
                        gid,
                    },
                    None,
                )
            };
            files.0.insert(PathBuf::from(path), entry);
        }
        files
    }
}

impl Disk for Files {
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        match self.0.get(path) {
            Some((_, Some(target))) => self.stat(target),
            Some((stat, None)) => Ok(*stat),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        match self.0.get(path) {
            Some((_, Some(target))) => Ok(target.clone()),
            Some(_) => Ok(path.to_owned()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        let inside = self
            .0
            .keys()
            .filter(|path| path.parent() == Some(directory));
        Ok(inside
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect())
    }
}

/// The service with the drop-in that hides most: user 998, in groups 997 and docker's 995.
fn strict() -> Service {
    Service {
        user: Some(User {
            name: "tagkeeper".to_owned(),
            uid: 998,
            gids: vec![997, 995],
        }),
        hides_homes: true,
        hides_tmp: true,
        is_read_only: true,
        ..Service::default()
    }
}

/// A warning as one line: place, key, message, help.
fn lines(warnings: &[Diagnostic]) -> Vec<String> {
    let line = |w: &Diagnostic| {
        let key = w.key.as_deref().unwrap_or("-");
        let place = w.place.as_ref().unwrap();
        format!("{place} {key}: {} => {}", w.message, w.help)
    };
    warnings.iter().map(line).collect()
}

fn warnings(policy: &str, service: &Service, files: &[&str]) -> Vec<String> {
    let checked = check_sources(&[source("p.toml", policy)]).unwrap();
    lines(&of_host(&checked, None, service, &Files::new(files)))
}

const READY: &str = "[workload.app]\nrepository = \"app\"\nremotes = [\"r/app\"]\nready = [\"/opt/ready\", \"/healthz\"]\n";

#[test]
fn a_program_that_the_service_cannot_run() {
    let sound = "/opt/ready file 0755 0 0";
    assert_eq!(warnings(READY, &strict(), &[sound]), [""; 0]);
    let useless = "nothing is ever ready, and nothing promoted, until it runs: give the path of an executable";
    for (files, message, help) in [
        (&[][..], "does not exist", useless),
        (&["/opt/ready directory 0755 0 0"], "is not a file", useless),
        (&["/opt/ready file 0644 0 0"], "is not executable", useless),
        (
            &["/opt/ready file 0750 0 0"],
            "has mode 0750: the service's user, 'tagkeeper', cannot run it",
            "chmod a+rx '/opt/ready'",
        ),
        (
            &["/opt directory 0700 0 0", sound],
            "cannot be reached by the service's user, 'tagkeeper': no permission for '/opt'",
            "chmod a+x '/opt', or move it",
        ),
        (
            &[
                "/home/x/ready file 0755 0 0",
                "/opt/ready link /home/x/ready",
            ],
            "is below /home, which tagkeeper.service does not see (ProtectHome=)",
            "move it to /usr/local, /etc or /run",
        ),
        (
            &["/opt/ready file 0775 0 997"],
            "is not safe: group 997 can change it",
            "chmod go-w '/opt/ready'",
        ),
        (
            &["/opt directory 0777 0 0", sound],
            "is not safe: anyone can replace it, by way of '/opt'",
            "chmod go-w '/opt'",
        ),
        (
            &["/opt/ready file 0755 1000 0"],
            "is not safe: user 1000 can change it",
            "chown root '/opt/ready'",
        ),
    ] {
        let expected = format!(
            "p.toml:4:10 workload.app.ready: the 'ready' command of [workload.app], '/opt/ready', {message} => {help}"
        );
        assert_eq!(warnings(READY, &strict(), files), [expected], "{files:?}");
    }
    // Root's group may be trusted, as may a group of the service's own to run it.
    for files in ["/opt/ready file 0775 0 0", "/opt/ready file 0750 0 997"] {
        assert_eq!(warnings(READY, &strict(), &[files]), [""; 0], "{files}");
    }
}

#[test]
fn a_hook_and_the_file_that_it_is_given() {
    let policy = "[hooks]\nfailed = [\"/opt/hook\", \"/etc/hook.conf\"]\n";
    let sound = "/opt/hook file 0755 0 0";
    assert_eq!(
        warnings(policy, &strict(), &[]),
        [
            "p.toml:2:11 hooks.failed: the hook 'failed', '/opt/hook', does not exist => the hook will not run: give the path of an executable"
        ]
    );
    assert_eq!(
        warnings(policy, &strict(), &[sound, "/etc/hook.conf file 0640 0 0"]),
        [
            "p.toml:2:24 hooks.failed: '/etc/hook.conf', which the hook 'failed' is given, has mode 0640: the service's user, 'tagkeeper', cannot read it => chmod a+r '/etc/hook.conf'; or chmod g+r, with a group that 'tagkeeper' is in, if it holds secrets"
        ]
    );
    assert_eq!(
        warnings(
            policy,
            &strict(),
            &[sound, "/etc/hook.conf file 0640 0 997"]
        ),
        [""; 0]
    );
}

/// A script that an interpreter is given, or the configuration of a hook, is code that is run.
#[test]
fn what_a_command_is_given_is_as_safe_as_the_command() {
    let policy = "[hooks]\nfailed = [\"/opt/hook\", \"/etc/hook.conf\"]\n";
    let sound = "/opt/hook file 0755 0 0";
    assert_eq!(
        warnings(policy, &strict(), &[sound, "/etc/hook.conf file 0666 0 0"]),
        [
            "p.toml:2:24 hooks.failed: '/etc/hook.conf', which the hook 'failed' is given, is not safe: anyone can change it => chmod go-w '/etc/hook.conf'"
        ]
    );
}

/// What `chmod` would do to a disk or a socket is worse than a hook that fails.
#[test]
fn a_device_that_a_hook_is_given_is_not_to_be_opened() {
    let policy = "[hooks]\nfailed = [\"/opt/hook\", \"/dev/sda\"]\n";
    let sound = "/opt/hook file 0755 0 0";
    for kind in ["device", "socket"] {
        let file = format!("/dev/sda {kind} 0660 0 6");
        assert_eq!(
            warnings(policy, &strict(), &[sound, &file]),
            [
                "p.toml:2:24 hooks.failed: '/dev/sda', which the hook 'failed' is given, has mode 0660: the service's user, 'tagkeeper', cannot read it => add 'tagkeeper' to a group that may, or name a file instead"
            ]
        );
    }
}

#[test]
fn a_socket_that_the_service_cannot_use() {
    let at = |path: &str| format!("[engine]\nsocket = \"{path}\"\n");
    let docker = "/run/docker.sock socket 0660 0 995";
    assert_eq!(warnings("", &strict(), &[docker]), [""; 0]);
    // The default is written nowhere, and matters as much.
    let closed = "has mode 0660: the service's user, 'tagkeeper', cannot write to it";
    // The engine makes its socket anew at each start: a mode that was set by hand is lost.
    let help = "give it a group that 'tagkeeper' is in (SocketGroup= and SocketMode=0660 in the engine's socket unit)";
    assert_eq!(
        warnings("", &strict(), &["/run/docker.sock socket 0660 0 0"]),
        [format!(
            "/run/docker.sock -: the engine's socket, '/run/docker.sock', {closed} => {help}"
        )]
    );
    for (path, files, message) in [
        (
            "/run/user/1/s",
            &[][..],
            "is below /run/user, which tagkeeper.service does not see (ProtectHome=)",
        ),
        (
            "/tmp/s",
            &["/tmp/s socket 0666 0 0"],
            "is below /tmp, which tagkeeper.service does not see (PrivateTmp=)",
        ),
        ("/run/s", &["/run/s file 0666 0 0"], "is not a socket"),
        (
            "/run/p/s",
            &["/run/p directory 0700 0 0", "/run/p/s socket 0666 0 0"],
            "cannot be reached by the service's user, 'tagkeeper': no permission for '/run/p'",
        ),
    ] {
        let found = warnings(&at(path), &strict(), files);
        let expected =
            format!("p.toml:2:10 engine.socket: the engine's socket, '{path}', {message} => ");
        assert_eq!(found.len(), 1, "{path}");
        assert!(found[0].starts_with(&expected), "{}", found[0]);
    }
}

#[test]
fn a_metrics_file_where_the_service_cannot_write() {
    let at = |path: &str| format!("[metrics]\ntextfile = \"{path}\"\n");
    let docker = "/run/docker.sock socket 0660 0 995";
    let found = warnings(&at("/var/lib/prom/t.prom"), &strict(), &[docker]);
    assert!(found[0].starts_with("p.toml:2:12 metrics.textfile: the metrics file, '/var/lib/prom/t.prom', is outside of what tagkeeper.service may write to (ProtectSystem=)"), "{found:?}");
    assert_eq!(
        warnings(&at("/run/tagkeeper/t.prom"), &strict(), &[docker]),
        [""; 0]
    );
    // As it ships: what the modes allow.
    let plain = Service {
        is_read_only: false,
        ..strict()
    };
    let files = [docker, "/var/lib/prom directory 0755 990 990"];
    let found = warnings(&at("/var/lib/prom/t.prom"), &plain, &files);
    assert!(
        found[0].contains("has mode 0755: the service's user"),
        "{found:?}"
    );
    let opened = Service {
        writable: vec!["/var/lib/prom".into()],
        ..strict()
    };
    let files = [docker, "/var/lib/prom directory 0755 990 990"];
    let found = warnings(&at("/var/lib/prom/t.prom"), &opened, &files);
    assert!(
        found[0].contains("has mode 0755: the service's user, 'tagkeeper', cannot write to it"),
        "{found:?}"
    );
    let files = [docker, "/var/lib/prom directory 0775 990 997"];
    assert_eq!(
        warnings(&at("/var/lib/prom/t.prom"), &opened, &files),
        [""; 0]
    );
    // Opening a directory of the system to the service is no cure.
    let found = warnings(
        &at("/etc/t.prom"),
        &plain,
        &["/etc directory 0755 0 0", docker],
    );
    assert!(!found[0].contains("chmod"), "{found:?}");
    let found = warnings(&at("/run/none/t.prom"), &plain, &[docker]);
    assert!(
        found[0].contains("'/run/none/t.prom', is in a directory that does not exist"),
        "{found:?}"
    );
}

/// What a drop-in changes about the unit is not warned of.
#[test]
fn a_dropin_of_the_service_is_heeded() {
    let sound = ["/home/x file 0755 0 0", "/tmp/y file 0755 0 0"];
    let policy = "[hooks]\nfailed = [\"/home/x\"]\npromoted = [\"/tmp/y\"]\n";
    assert_eq!(warnings(policy, &strict(), &sound).len(), 2);
    // As it ships.
    let open = Service {
        hides_homes: false,
        hides_tmp: false,
        ..strict()
    };
    assert_eq!(warnings(policy, &open, &sound), [""; 0]);
    let bound = Service {
        visible: vec!["/home".into(), "/tmp".into()],
        ..strict()
    };
    assert_eq!(warnings(policy, &bound, &sound), [""; 0]);
    // Nothing is known of a user that is not there.
    let nobody = Service::default();
    assert_eq!(
        warnings(READY, &nobody, &["/opt/ready file 0700 0 0"]),
        [""; 0]
    );
}

/// The disk of this host, with what is this user's as if it were root's.
struct Owned(u32);

impl Disk for Owned {
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let stat = System.stat(path)?;
        let is_mine = stat.uid == self.0;
        let uid = if is_mine { 0 } else { stat.uid };
        let gid = if is_mine { 0 } else { stat.gid };
        Ok(Stat { uid, gid, ..stat })
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        System.real_path(path)
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        System.names(directory)
    }
}

/// On a real disk, as root sees it, who could read all of it.
#[test]
fn policy_files_that_the_service_does_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots {
        vendor_dir: dir.path().join("vendor"),
        file: dir.path().join("policy.toml"),
        dropin_dir: dir.path().join("policy.d"),
    };
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    set(dir.path(), 0o755).unwrap();
    fs::create_dir(&roots.dropin_dir).unwrap();
    fs::write(&roots.file, "").unwrap();
    set(&roots.file, 0o600).unwrap();
    let strays = ["telemetry", "lldp.conf", "bgp.toml.txt"];
    let others = [
        "fine.toml",
        "README",
        ".hidden",
        "a.toml~",
        "b.toml.dpkg-old",
    ];
    for name in strays.into_iter().chain(others).chain(["open.toml"]) {
        let path = roots.dropin_dir.join(name);
        fs::write(&path, "").unwrap();
        set(&path, if name == "open.toml" { 0o666 } else { 0o644 }).unwrap();
    }
    let checked = check(&roots).unwrap();
    let disk = Owned(System.stat(dir.path()).unwrap().uid);
    let mut found = lines(&of_host(&checked, Some(&roots), &strict(), &disk));
    found.retain(|line| line.contains(dir.path().to_str().unwrap()));
    let (f, d) = (roots.file.display(), roots.dropin_dir.display());
    let stray = |name: &str| {
        format!(
            "{d}/{name} -: '{d}/{name}' is not read, because it does not end in .toml => rename it to end in .toml, or remove it"
        )
    };
    assert_eq!(
        found,
        [
            format!(
                "{f} -: the policy '{f}' has mode 0600: the service's user, 'tagkeeper', cannot read it => chmod a+r '{f}'; or chmod g+r, with a group that 'tagkeeper' is in, if it holds secrets"
            ),
            format!(
                "{d}/open.toml -: the policy '{d}/open.toml' is not safe: anyone can change it => chmod go-w '{d}/open.toml'"
            ),
            stray("bgp.toml.txt"),
            stray("lldp.conf"),
            stray("telemetry"),
        ]
    );
    // Files that a person named are not what the service reads; whoever runs it by hand goes by
    // them.
    let found = lines(&of_host(&checked, None, &strict(), &System));
    let of_policy: Vec<_> = found.iter().filter(|l| l.contains("the policy")).collect();
    let unsafe_one = format!(
        "{d}/open.toml -: the policy '{d}/open.toml' is not safe: anyone can change it => chmod go-w '{d}/open.toml'"
    );
    assert_eq!(of_policy, [&unsafe_one]);
}

/// What masks a packaged file leads to /dev/null, which anyone can write to.
#[test]
fn a_mask_is_as_safe_as_the_directory_that_it_is_in() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots {
        vendor_dir: dir.path().join("vendor"),
        file: dir.path().join("policy.toml"),
        dropin_dir: dir.path().join("policy.d"),
    };
    fs::create_dir(&roots.dropin_dir).unwrap();
    symlink("/dev/null", roots.dropin_dir.join("masked.toml")).unwrap();
    let disk = Owned(System.stat(dir.path()).unwrap().uid);
    let checked = check(&roots).unwrap();
    let found = lines(&of_host(&checked, Some(&roots), &Service::default(), &disk));
    assert!(
        !found.iter().any(|line| line.contains("not safe")),
        "{found:?}"
    );
}

/// Nothing may tell root to close /dev/null, a terminal or a pipe to everybody else.
#[test]
fn only_files_and_directories_are_to_be_closed() {
    let path = Path::new("/dev/null");
    assert_eq!(System.stat(path).unwrap().kind, FileKind::Other);
    let checked = check_file(path).unwrap();
    let docker = "/run/docker.sock socket 0660 0 995";
    for (kind, count) in [("device", 0), ("socket", 0), ("file", 1), ("directory", 1)] {
        for rights in ["0666 0 0", "0664 0 5"] {
            let line = format!("/dev/null {kind} {rights}");
            let files = Files::new(&[docker, &line]);
            let found = lines(&of_host(&checked, None, &strict(), &files));
            assert_eq!(found.len(), count, "{line}: {found:?}");
        }
    }
}

#[test]
fn a_warning_about_a_whole_file_is_printed_without_a_line() {
    let checked = check_sources(&[source("p.toml", "")]).unwrap();
    let files = Files::new(&["/run/docker.sock file 0644 0 0"]);
    let warnings = of_host(&checked, None, &strict(), &files);
    assert_eq!(
        warnings[0].to_string(),
        "\
warning: the engine's socket, '/run/docker.sock', is not a socket
 --> /run/docker.sock
  = help: write the path of the engine's unix socket"
    );
}
