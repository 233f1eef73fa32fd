//! Every shell script of the repository, those of the packages included, by shellcheck; and
//! `scripts/install-toolchain` and `scripts/install-test-packages` on machines of all kinds.

#![cfg(test)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where scripts are. Those of the RPM package have no first line that names their shell: rpm runs
/// them by `sh`.
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
        for path in [
            "Cargo.toml",
            "scripts/apt.sh",
            "scripts/install-toolchain",
            "scripts/install-test-packages",
        ] {
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

    /// With a linker, as compilers of C bring one.
    fn with_linker(self) -> Self {
        self.with("cc", "exit 0")
    }

    /// With an apt that notes what it is to install.
    fn with_noting_apt(self) -> Self {
        let noted = self.path("installed");
        let noting = format!("echo \"$*\" >>{}", noted.display());
        self.with("apt-get", &noting)
    }

    /// The packages that apt was asked for.
    fn installed(&self) -> Vec<String> {
        let asked = fs::read_to_string(self.path("installed")).unwrap();
        let installs = asked
            .lines()
            .filter_map(|line| line.split_once("install "))
            .flat_map(|(_, words)| words.split(' '));
        installs
            .filter(|word| !word.starts_with('-'))
            .map(str::to_owned)
            .collect()
    }

    /// Whether there is a toolchain afterwards, and what was said about it.
    fn install(&self, user: u32) -> (bool, String) {
        self.script("scripts/install-toolchain", &[], user)
    }

    /// Whether a script succeeds, and what it complains of.
    fn script(&self, script: &str, args: &[&str], user: u32) -> (bool, String) {
        let done = Command::new("/bin/bash")
            .arg(self.path(script))
            .args(args)
            .env_clear()
            .env("PATH", self.path("bin"))
            .uid(user)
            .output()
            .unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        (done.status.success(), said)
    }
}

const ROOT: u32 = 0;
const OTHER: u32 = 65534;

#[test]
fn a_machine_has_a_toolchain_or_is_told_in_one_line_how_to_get_one() {
    const DISTRIBUTION: &str = "1.85.0+dfsg3-1";
    const TOO_OLD: &str = "older than 1.85, or without rustfmt and clippy; type: rustup update";
    const BY_HAND: &str = "for Rust 1.85 or later with rustfmt and clippy (https://rustup.rs), \
                           type: curl -sSf https://sh.rustup.rs | sh && . ~/.cargo/env";
    // A bare Debian has neither curl nor a linker.
    const ON_DEBIAN: &str = "for Rust 1.85 or later with rustfmt and clippy (https://rustup.rs), \
                             type: apt-get install curl gcc libc6-dev && \
                             curl -sSf https://sh.rustup.rs | sh && . ~/.cargo/env";
    let bare = || Machine::new().with_linker();
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
        (bare().with_apt(DISTRIBUTION), OTHER, Some(ON_DEBIAN)),
        (bare().with_apt("1.63.0+dfsg1-2"), ROOT, Some(ON_DEBIAN)),
        (bare().with_apt("(none)"), ROOT, Some(ON_DEBIAN)),
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

/// rustup brings no linker, and a bare Debian has none.
#[test]
fn a_machine_with_rust_and_without_a_linker_gets_one() {
    let with_rust = || Machine::new().with("cargo", "echo cargo 1.90.0");
    let linker = "there is no linker, 'cc'; type, as root: apt-get install gcc libc6-dev";
    for (machine, user) in [(with_rust(), ROOT), (with_rust().with_noting_apt(), OTHER)] {
        let (has_one, said) = machine.install(user);
        assert!(!has_one && said.contains(linker), "{said}");
        assert!(!machine.path("installed").exists());
    }
    let machine = with_rust();
    let cc = machine.path("bin/cc");
    let cc = cc.display();
    let machine = machine.with(
        "apt-get",
        &format!("[[ $* != *' install '*gcc* ]] || {{ echo >{cc}; chmod 755 {cc}; }}"),
    );
    let (has_one, said) = machine.install(ROOT);
    assert!(has_one, "{said}");
    assert!(machine.path("bin/cc").exists());
}

/// `make build` and `make deb` install nothing: they say what is missing before cargo would.
#[test]
fn a_build_says_in_one_line_what_it_is_missing() {
    let bare = Machine::new;
    let cargo = "there is no 'cargo' of Rust 1.85 or later; `make toolchain` installs one";
    let linker = "there is no linker, 'cc'; type: apt-get install gcc libc6-dev (on Debian)";
    for (machine, expected) in [
        (bare(), Some(cargo)),
        (bare().with("cargo", "echo cargo 1.84.1"), Some(cargo)),
        (bare().with("cargo", "echo cargo 1.85.0"), Some(linker)),
        // rustfmt and clippy are for the tests.
        (
            bare()
                .with("cargo", "[[ $1 == --version ]] && echo cargo 1.85.0")
                .with_linker(),
            None,
        ),
    ] {
        let machine = machine.with_noting_apt();
        let (is_complete, said) = machine.script("scripts/install-toolchain", &["--check"], ROOT);
        assert_eq!(is_complete, expected.is_none(), "{said}");
        assert_eq!(said.lines().count(), expected.into_iter().count(), "{said}");
        assert!(said.contains(expected.unwrap_or_default()), "{said}");
        assert!(!machine.path("installed").exists());
    }
}

/// Who wants to see the demo gets no lintian, no Prometheus and no other shells.
#[test]
fn the_demo_installs_an_engine_and_what_it_plays_with_and_no_more() {
    let machine = Machine::new().with_noting_apt();
    let (done, said) = machine.script("scripts/install-test-packages", &["engine"], ROOT);
    assert!(done, "{said}");
    let expected = ["docker.io", "docker-registry", "busybox-static"];
    assert!(
        machine
            .installed()
            .starts_with(&expected.map(str::to_owned)),
        "{:?}",
        machine.installed()
    );
    let others = ["util-linux", "mount", "docker-cli"];
    for package in &machine.installed()[expected.len()..] {
        assert!(others.contains(&package.as_str()), "{package}");
    }
    let demo = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Makefile")).unwrap();
    assert!(demo.contains("demo: root toolchain\n\tscripts/install-test-packages engine\n"));
}
