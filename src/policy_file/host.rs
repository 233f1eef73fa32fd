//! What this host's files show of a policy that is probably a mistake: what the service cannot use,
//! whoever runs `check`, and what others than root could change.
//!
//! Judges by owners and modes, and by what the unit hides; asks a [`Disk`] for them, and changes
//! nothing.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Finding, printable};
use super::files::Roots;
use super::lint::{CheckedPolicy, section};

mod system;

pub use system::{System, service};

/// What the service writes to, also where a drop-in makes everything else read-only.
const WRITABLE: [&str; 2] = ["/run/tagkeeper", "/var/lib/tagkeeper"];
/// What `ProtectHome=` hides.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
/// What `PrivateTmp=` hides.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];
/// How leftovers of package managers and editors end, which nobody takes for a drop-in.
const LEFTOVERS: [&str; 12] = [
    "~",
    ".bak",
    ".orig",
    ".dpkg-old",
    ".dpkg-dist",
    ".dpkg-new",
    ".ucf-dist",
    ".rpmsave",
    ".rpmnew",
    ".rpmorig",
    ".swp",
    ".disabled",
];

const READ: u32 = 4;
const WRITE: u32 = 2;
const EXECUTE: u32 = 1;

/// A file system, as far as it is looked at.
pub trait Disk {
    /// Kind, owner and mode of what a path leads to.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// The path without symlinks.
    fn real_path(&self, path: &Path) -> io::Result<PathBuf>;
    /// The names in a directory.
    fn names(&self, directory: &Path) -> io::Result<Vec<String>>;
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Stat {
    /// Whether it is a file or a directory, whose mode and owner say who can change it, and are for
    /// a person to set. A device is the system's: /dev/null is open to all, and has to be.
    fn is_kept(self) -> bool {
        matches!(self.kind, FileKind::File | FileKind::Directory)
    }

    /// Who can write to it besides its owner.
    fn opened_to(self) -> Option<String> {
        if !self.is_kept() {
            return None;
        }
        // In a sticky directory everybody has files of their own.
        let is_sticky = self.kind == FileKind::Directory && self.mode & 0o1000 != 0;
        if is_sticky {
            None
        } else if self.mode & 0o002 != 0 {
            Some("anyone can".to_owned())
        } else if self.mode & 0o020 != 0 && self.gid != 0 {
            Some(format!("group {} can", self.gid))
        } else {
            None
        }
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A unix socket.
    Socket,
    /// Anything else.
    Other,
}

/// As whom the service runs, and what its unit and the drop-ins leave of the host. The unit that
/// ships hides nothing; its drop-in `strict.conf` does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// The user; none where this host has no such user, so that nothing can be said of its rights.
    pub user: Option<User>,
    /// `ProtectHome=`: what is below the homes is hidden.
    pub hides_homes: bool,
    /// `PrivateTmp=`: what is in the temporary directories is hidden.
    pub hides_tmp: bool,
    /// `ProtectSystem=strict`: only its own directories can be written to.
    pub is_read_only: bool,
    /// Paths that are writable all the same.
    pub writable: Vec<PathBuf>,
    /// Paths that are brought back into view.
    pub visible: Vec<PathBuf>,
}

/// A user of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The numbers of all its groups.
    pub gids: Vec<u32>,
}

/// What is probably wrong with a policy on this host, as far as files show it. `roots` is where the
/// policy was read; none where a person named a file, which the service does not read.
pub fn of_host(
    checked: &CheckedPolicy,
    roots: Option<&Roots>,
    service: &Service,
    disk: &dyn Disk,
) -> Vec<Diagnostic> {
    let host = Host { service, disk };
    let mut findings = host.programs(checked);
    findings.extend(host.metrics_file(checked));
    findings.sort_by_key(|finding| finding.span);
    let mut warnings = checked.located(findings);
    warnings.extend(host.socket(checked));
    match roots {
        Some(roots) => {
            warnings.extend(host.policy_files(checked, roots));
            warnings.extend(host.strays(roots));
        }
        None => warnings.extend(host.named_files(checked)),
    }
    warnings
}

struct Host<'h> {
    service: &'h Service,
    disk: &'h dyn Disk,
}

/// What is wrong, and what to do about it.
type Trouble = (String, String);

impl Host<'_> {
    /// Whether the user has these rights on it.
    fn may(&self, stat: Stat, wanted: u32) -> bool {
        let Some(user) = &self.service.user else {
            return true;
        };
        let bits = if user.uid == 0 {
            // Root passes everything, but runs only what is executable for somebody.
            let executable = u32::from(stat.mode & 0o111 != 0 || stat.kind == FileKind::Directory);
            READ | WRITE | executable
        } else if stat.uid == user.uid {
            stat.mode >> 6
        } else if user.gids.contains(&stat.gid) {
            stat.mode >> 3
        } else {
            stat.mode
        };
        bits & wanted == wanted
    }

    /// Why the service's user cannot use a path in this way.
    fn denied(&self, path: &Path, wanted: u32) -> Option<Trouble> {
        let user = &self.service.user.as_ref()?.name;
        let real = self.disk.real_path(path).ok()?;
        for directory in parents(&real) {
            let stat = self.disk.stat(directory).ok()?;
            if !self.may(stat, EXECUTE) {
                let directory = shown(directory);
                return Some((
                    format!(
                        "cannot be reached by the service's user, '{user}': no permission for '{directory}'"
                    ),
                    format!("chmod a+x '{directory}', or move it"),
                ));
            }
        }
        let stat = self.disk.stat(&real).ok()?;
        if self.may(stat, wanted) {
            return None;
        }
        let shown = shown(path);
        let (what, help) = match wanted {
            _ if wanted & EXECUTE != 0 && stat.kind == FileKind::File => {
                ("run", format!("chmod a+rx '{shown}'"))
            }
            _ if wanted & WRITE != 0 => (
                "write to",
                format!(
                    "give it a group that '{user}' is in (SocketGroup= and SocketMode=0660 in the engine's socket unit)"
                ),
            ),
            _ if !stat.is_kept() => (
                "read",
                format!("add '{user}' to a group that may, or name a file instead"),
            ),
            _ => (
                "read",
                format!(
                    "chmod a+r '{shown}'; or chmod g+r, with a group that '{user}' is in, if it holds secrets"
                ),
            ),
        };
        let mode = stat.mode & 0o7777;
        let trouble =
            format!("has mode {mode:04o}: the service's user, '{user}', cannot {what} it");
        Some((trouble, help))
    }

    /// Why the unit's sandbox does not show a path.
    fn hidden(&self, path: &Path) -> Option<Trouble> {
        let real = self
            .disk
            .real_path(path)
            .unwrap_or_else(|_| path.to_owned());
        let is_below = |root: &Path| path.starts_with(root) || real.starts_with(root);
        if self.service.visible.iter().any(|root| is_below(root)) {
            return None;
        }
        let homes = HOMES
            .iter()
            .map(|root| (root, "ProtectHome=", self.service.hides_homes));
        let temporary = TEMPORARY
            .iter()
            .map(|root| (root, "PrivateTmp=", self.service.hides_tmp));
        let mut roots = homes.chain(temporary);
        let (root, setting, _) =
            roots.find(|(root, _, hides)| *hides && is_below(Path::new(root)))?;
        Some((
            format!("is below {root}, which tagkeeper.service does not see ({setting})"),
            "move it to /usr/local, /etc or /run".to_owned(),
        ))
    }

    /// Who else than root can change what a path leads to.
    fn open_to_others(&self, path: &Path) -> Option<Trouble> {
        let real = self.disk.real_path(path).ok()?;
        // A mask: what anyone writes to /dev/null changes nothing.
        if !self.disk.stat(&real).ok()?.is_kept() {
            return None;
        }
        let all = parents(&real).chain([real.as_path()]);
        for one in all {
            let stat = self.disk.stat(one).ok()?;
            let by_owner = (stat.uid != 0).then(|| format!("user {} can", stat.uid));
            let Some(who) = by_owner.or_else(|| stat.opened_to()) else {
                continue;
            };
            let (mut trouble, mut help) = open_file(&who, one);
            let shown = shown(one);
            if one != real {
                trouble = format!("is not safe: {who} replace it, by way of '{shown}'");
            }
            if stat.uid != 0 {
                help = format!("chown root '{shown}'");
            }
            return Some((trouble, help));
        }
        None
    }

    /// The commands of the policy: what the service cannot run, and what others could put in its
    /// place.
    fn programs(&self, checked: &CheckedPolicy) -> Vec<Finding> {
        let settings = &checked.settings;
        let hooks = &settings.hooks;
        let hooks = [
            ("promoted", &hooks.promoted),
            ("failed", &hooks.failed),
            ("rolled_back", &hooks.rolled_back),
        ];
        let hooks = hooks.into_iter().filter_map(|(key, command)| {
            Some((
                format!("hooks.{key}"),
                format!("hook '{key}'"),
                command.as_ref()?,
                false,
            ))
        });
        let ready = settings
            .policy
            .workloads
            .iter()
            .filter_map(|(name, workload)| {
                let section = section(name);
                let what = format!("'ready' command of [{section}]");
                Some((
                    format!("{section}.ready"),
                    what,
                    &workload.ready.as_ref()?.command,
                    true,
                ))
            });
        let mut findings = Vec::new();
        for (key, what, command, is_ready) in ready.chain(hooks) {
            let Some((program, arguments)) = command.split_first() else {
                continue;
            };
            let path = Path::new(program);
            for (trouble, help) in self.of_program(path, is_ready) {
                let message = format!("the {what}, '{}', {trouble}", printable(program));
                findings.extend(checked.warning(&[format!("{key}#0")], message, help));
            }
            // A file that a command is given. One that is not there may be no file at all:
            // `/healthz`.
            for (index, argument) in arguments.iter().enumerate() {
                let path = Path::new(argument);
                if !path.is_absolute() || self.disk.stat(path).is_err() {
                    continue;
                }
                for (trouble, help) in self.of_file(path, READ) {
                    let message = format!(
                        "'{}', which the {what} is given, {trouble}",
                        printable(argument)
                    );
                    let key = [format!("{key}#{}", index + 1)];
                    findings.extend(checked.warning(&key, message, help));
                }
            }
        }
        findings
    }

    fn of_program(&self, path: &Path, is_ready: bool) -> Vec<Trouble> {
        let useless = || {
            let what = if is_ready {
                "nothing is ever ready, and nothing promoted, until it runs"
            } else {
                "the hook will not run"
            };
            format!("{what}: give the path of an executable")
        };
        let problem = match self.disk.stat(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Some(("does not exist".to_owned(), useless()))
            }
            Err(error) => Some((format!("cannot be examined: {error}"), useless())),
            Ok(stat) if stat.kind != FileKind::File => {
                Some(("is not a file".to_owned(), useless()))
            }
            Ok(stat) if stat.mode & 0o111 == 0 => Some(("is not executable".to_owned(), useless())),
            Ok(_) => None,
        };
        if let Some(problem) = problem {
            return vec![self.hidden(path).unwrap_or(problem)];
        }
        self.of_file(path, READ | EXECUTE)
    }

    /// What keeps the service from using a file that is there, and who else can change it.
    fn of_file(&self, path: &Path, rights: u32) -> Vec<Trouble> {
        let unusable = self.hidden(path).or_else(|| self.denied(path, rights));
        let troubles = [unusable, self.open_to_others(path)];
        troubles.into_iter().flatten().collect()
    }

    fn socket(&self, checked: &CheckedPolicy) -> Option<Diagnostic> {
        let socket = &checked.settings.engine.socket;
        let stat = self.disk.stat(socket).ok();
        let trouble = self.hidden(socket).or_else(|| match stat?.kind {
            FileKind::Socket => self.denied(socket, READ | WRITE),
            _ => Some((
                "is not a socket".to_owned(),
                "write the path of the engine's unix socket".to_owned(),
            )),
        });
        let (trouble, help) = trouble?;
        let message = format!("the engine's socket, '{}', {trouble}", shown(socket));
        let written = checked.warning(&["engine.socket".to_owned()], message.clone(), help.clone());
        let written = checked.located(written).pop();
        // The default is written nowhere.
        Some(written.unwrap_or_else(|| Diagnostic::of_file(socket, message, help)))
    }

    fn metrics_file(&self, checked: &CheckedPolicy) -> Option<Finding> {
        let file = checked.settings.metrics.textfile.as_ref()?;
        let own = WRITABLE.iter().map(Path::new);
        if own.clone().any(|root| file.starts_with(root)) {
            // The unit makes them, and gives them to its user.
            return None;
        }
        let mut writable = self.service.writable.iter();
        let (trouble, help) = if self.service.is_read_only && !writable.any(|w| file.starts_with(w))
        {
            (
                "is outside of what tagkeeper.service may write to (ProtectSystem=)".to_owned(),
                "write \"/run/tagkeeper/tagkeeper.prom\", or add ReadWritePaths= by `systemctl edit tagkeeper.service`"
                    .to_owned(),
            )
        } else {
            let directory = file.parent()?;
            let missing = "is in a directory that does not exist".to_owned();
            let trouble = match self.disk.stat(directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing,
                _ => {
                    let (trouble, _) = self.denied(directory, WRITE | EXECUTE)?;
                    format!("is in '{}', which {trouble}", shown(directory))
                }
            };
            let help = "write \"/run/tagkeeper/tagkeeper.prom\", or name a directory that the service's user may write to";
            (trouble, help.to_owned())
        };
        let message = format!("the metrics file, '{}', {trouble}", shown(file));
        checked.warning(&["metrics.textfile".to_owned()], message, help)
    }

    /// The files of the policy, and the directories that they are in.
    fn policy_files(&self, checked: &CheckedPolicy, roots: &Roots) -> Vec<Diagnostic> {
        let directories = [&roots.vendor_dir, &roots.dropin_dir].map(PathBuf::as_path);
        let files = checked
            .sources()
            .iter()
            .map(|source| Path::new(&source.label));
        // A file that is there and cannot be read refuses the policy.
        let is_usable = |path: &Path| {
            self.denied(path, READ).or_else(|| {
                self.disk
                    .real_path(path)
                    .ok()
                    .and_then(|real| (real != path).then(|| self.hidden(path)).flatten())
            })
        };
        let mut warnings = Vec::new();
        let mut seen = BTreeSet::new();
        for path in directories.into_iter().chain(files) {
            let troubles = [is_usable(path), self.open_to_others(path)];
            for (trouble, help) in troubles.into_iter().flatten() {
                // What is wrong with a directory is said of it, once, and not of every file in it.
                if seen.insert(help.clone()) {
                    warnings.push(of_policy(path, (trouble, help)));
                }
            }
        }
        warnings
    }

    /// The files that a person named: whoever runs it by hand goes by them.
    fn named_files(&self, checked: &CheckedPolicy) -> Vec<Diagnostic> {
        let files = checked
            .sources()
            .iter()
            .map(|source| Path::new(&source.label));
        let warning = |path: &Path| {
            let who = self.disk.stat(path).ok()?.opened_to()?;
            Some(of_policy(path, open_file(&who, path)))
        };
        files.filter_map(warning).collect()
    }

    /// Files among the drop-ins that are not read.
    fn strays(&self, roots: &Roots) -> Vec<Diagnostic> {
        let mut warnings = Vec::new();
        for directory in [&roots.vendor_dir, &roots.dropin_dir] {
            let mut names = self.disk.names(directory).unwrap_or_default();
            names.sort_unstable();
            for name in names {
                let is_read = Path::new(&name).extension().is_some_and(|e| e == "toml");
                let is_leftover = LEFTOVERS.iter().any(|end| name.ends_with(end));
                if is_read || is_leftover || name.starts_with('.') || name == "README" {
                    continue;
                }
                let path = directory.join(&name);
                let message = format!(
                    "'{}' is not read, because it does not end in .toml",
                    shown(&path)
                );
                let help = "rename it to end in .toml, or remove it".to_owned();
                warnings.push(Diagnostic::of_file(&path, message, help));
            }
        }
        warnings
    }
}

/// What is wrong with a file of the policy, or a directory of such files.
fn of_policy(path: &Path, (trouble, help): Trouble) -> Diagnostic {
    let message = format!("the policy '{}' {trouble}", shown(path));
    Diagnostic::of_file(path, message, help)
}

/// That others can change a file, by its mode.
fn open_file(who: &str, path: &Path) -> Trouble {
    (
        format!("is not safe: {who} change it"),
        format!("chmod go-w '{}'", shown(path)),
    )
}

/// The directories above a path, from the root down.
fn parents(path: &Path) -> impl Iterator<Item = &Path> {
    let mut all: Vec<&Path> = path.ancestors().skip(1).collect();
    all.reverse();
    all.into_iter()
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}
