//! Every shell script of the repository, those of the packages included, by shellcheck; and
//! `scripts/install-toolchain` on machines of all kinds.

#![cfg(test)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where scripts are. Those of the RPM package have no first line that names their shell: rpm runs them by `sh`.
const PLACES: [&str; 11] = [
    ".ci",
    "bench",
    "demo",
    "hooks",
    "packaging/debian",
    "packaging/rpm",
    "packaging/sonic",
    "ready",
    "scripts",
    "tests/fleet",
    "tests/vm",
];

fn scripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directories = PLACES
        .iter()
        .map(|place| fs::read_dir(root.join(place)).unwrap());
    let files = directories.flatten().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.is_file() && is_script(path))
        .collect()
}

fn is_script(path: &Path) -> bool {
    let text = fs::read(path).unwrap();
    let first = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    [&b"#!/bin/sh"[..], b"#!/bin/bash"].contains(&first)
        || path.extension().is_some_and(|e| e == "sh")
}

#[test]
fn shellcheck_has_nothing_to_warn_of() {
    let (of_rpm, others): (Vec<_>, Vec<_>) = scripts()
        .into_iter()
        .partition(|path| path.parent().is_some_and(|p| p.ends_with("packaging/rpm")));
    assert_eq!(of_rpm.len(), 3);
    assert!(others.len() >= 15, "{others:?}");
    for (shell, scripts) in [("--shell=sh", of_rpm), ("--norc", others)] {
        let checked = Command::new("shellcheck")
            .args(["--severity=warning", "--format=gcc", shell])
            .args(&scripts)
            .output();
        let checked = checked.unwrap_or_else(|e| panic!("shellcheck: {e}; run `make test`"));
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(
            checked.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&checked.stderr)
        );
    }
}

/// A machine that has the shell's usual tools, and a cargo or an apt only if it is given one.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let machine = Self(dir);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for path in ["bin", "scripts"] {
            fs::create_dir(machine.path(path)).unwrap();
        }
        for path in ["Cargo.toml", "scripts/install-toolchain"] {
            fs::copy(root.join(path), machine.path(path)).unwrap();
        }
        for tool in ["cat", "chmod", "cut", "dirname", "head", "sed", "sort"] {
            let places = ["/usr/bin", "/bin"].map(|place| Path::new(place).join(tool));
            let place = places.iter().find(|place| place.exists()).unwrap();
            symlink(place, machine.path("bin").join(tool)).unwrap();
        }
        let open = Permissions::from_mode(0o755);
        fs::set_permissions(machine.0.path(), open).unwrap();
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn with(self, tool: &str, script: &str) -> Self {
        let path = self.path("bin").join(tool);
        fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// With an apt whose `rustc` has this version, and whose `cargo` has it too once installed.
    fn with_apt(self, candidate: &str) -> Self {
        let policy = format!("rustc:\n  Installed: (none)\n  Candidate: {candidate}");
        let (version, bin) = (candidate.split('+').next().unwrap(), self.path("bin"));
        let bin = bin.display();
        let cargo = format!("#!/bin/bash\necho cargo {version}");
        self.with("apt-cache", &format!("echo '{policy}'")).with(
            "apt-get",
            &format!(
                "if [[ $* == *' install '*rustfmt* ]]; then\n\
                 echo '{cargo}' >{bin}/cargo && chmod 755 {bin}/cargo; fi"
            ),
        )
    }

    /// Whether there is a toolchain afterwards, and what was said about it.
    fn install(&self, user: u32) -> (bool, String) {
        let done = Command::new("/bin/bash")
            .arg(self.path("scripts/install-toolchain"))
            .env_clear()
            .env("PATH", self.path("bin"))
            .uid(user)
            .output()
            .unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        (done.status.success(), said)
    }
}

#[test]
fn a_machine_has_a_toolchain_or_is_told_in_one_line_how_to_get_one() {
    const ROOT: u32 = 0;
    const OTHER: u32 = 65534;
    const DISTRIBUTION: &str = "1.85.0+dfsg3-1";
    const TOO_OLD: &str = "older than 1.85, or without rustfmt and clippy; type: rustup update";
    const BY_HAND: &str = "for Rust 1.85 or later with rustfmt and clippy (https://rustup.rs), \
                           type: curl -sSf https://sh.rustup.rs | sh";
    let bare = Machine::new;
    let with_cargo = |cargo: &str| bare().with("cargo", cargo);
    for (machine, user, expected) in [
        (with_cargo("echo cargo 1.85.0"), OTHER, None),
        (with_cargo("echo cargo 1.100.0"), OTHER, None),
        (with_cargo("echo cargo 1.84.1"), ROOT, Some(TOO_OLD)),
        (with_cargo("echo cargo 1.9.0"), ROOT, Some(TOO_OLD)),
        (
            with_cargo("[[ $1 == --version ]] && echo cargo 1.90.0").with_apt(DISTRIBUTION),
            ROOT,
            Some(TOO_OLD),
        ),
        (bare(), ROOT, Some(BY_HAND)),
        (bare().with_apt(DISTRIBUTION), ROOT, None),
        (bare().with_apt(DISTRIBUTION), OTHER, Some(BY_HAND)),
        (bare().with_apt("1.63.0+dfsg1-2"), ROOT, Some(BY_HAND)),
        (bare().with_apt("(none)"), ROOT, Some(BY_HAND)),
    ] {
        let had_cargo = machine.path("bin/cargo").exists();
        let (has_one, said) = machine.install(user);
        assert_eq!(has_one, expected.is_none(), "{said}");
        if let Some(expected) = expected {
            assert!(said.contains(expected), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert_eq!(machine.path("bin/cargo").exists(), had_cargo);
        }
    }
}
