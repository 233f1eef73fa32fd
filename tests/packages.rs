//! What `make install` puts on a host, and that both packages hold the same: made as `make deb` and
//! `make rpm` make them, but for the optimisation of the programs (scripts/test-package). The
//! Debian package on a booted system: tests/booted.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

type Files = BTreeSet<String>;

/// Runs a command, which must succeed: what it printed.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output();
    let output = output.with_context(|| format!("{command:?}; run `make test`"))?;
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(output.status.success(), "{command:?}: {stdout}{stderr}");
    Ok(stdout.into_owned())
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn package(kind: &str) -> Result<PathBuf> {
    let made = run(Command::new(repository().join("scripts/test-package")).arg(kind))?;
    Ok(PathBuf::from(made.trim_end()))
}

/// As a person types it, also where the tests run below `make`, which hands its own options on.
fn make(target: &str, destination: &Path) -> Result<String> {
    let destination = format!("DESTDIR={}", destination.display());
    let binary = format!("binary={}", env!("CARGO_BIN_EXE_tagkeeper"));
    run(Command::new("make")
        .current_dir(repository())
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .args([target, &destination, &binary]))
}

/// The files below a directory, by their names on the host.
fn below(root: &Path) -> Result<Files> {
    let list = run(Command::new("find")
        .arg(root)
        .args(["-not", "-type", "d", "-printf", "/%P\n"]))?;
    Ok(list.lines().map(str::to_owned).collect())
}

/// A directory with all that is installed, and the names in it.
fn installed() -> Result<(tempfile::TempDir, Files)> {
    package("deb")?; // The manual is made along with it.
    let root = tempfile::tempdir()?;
    make("install", root.path())?;
    let files = below(root.path())?;
    Ok((root, files))
}

#[test]
fn make_install_installs_what_make_uninstall_takes_away() -> Result<()> {
    let (root, files) = installed()?;
    for expected in [
        "/etc/tagkeeper/policy.toml",
        "/usr/bin/tagkeeper",
        "/usr/lib/tagkeeper/ready/sonic",
        "/usr/lib/tagkeeper/dropins/sonic.conf",
        "/usr/lib/tagkeeper/hooks/sonic",
        "/usr/lib/systemd/system/tagkeeper.service",
        "/usr/lib/systemd/system/tagkeeper.timer",
        "/usr/lib/systemd/system-preset/90-tagkeeper.preset",
        "/usr/lib/sysusers.d/tagkeeper.conf",
        "/usr/lib/tmpfiles.d/tagkeeper.conf",
        "/usr/share/tagkeeper/policy.toml",
        "/usr/share/man/man8/tagkeeper.8",
        "/usr/share/man/man5/tagkeeper.toml.5",
        "/usr/share/bash-completion/completions/tagkeeper",
        "/usr/share/zsh/site-functions/_tagkeeper",
        "/usr/share/fish/vendor_completions.d/tagkeeper.fish",
        "/usr/share/doc/tagkeeper/docs/ready.md",
        "/usr/share/doc/tagkeeper/third-party.txt",
        "/usr/share/doc/tagkeeper/tagkeeper.cdx.json",
        "/usr/share/doc/tagkeeper/SECURITY.md",
    ] {
        assert!(files.contains(expected), "{expected} is not in {files:#?}");
    }
    assert!(root.path().join("etc/tagkeeper/policy.d").is_dir());
    make("uninstall", root.path())?;
    let left = Files::from(["/etc/tagkeeper/policy.toml".to_owned()]);
    assert_eq!(
        below(root.path())?,
        left,
        "the policy stays, and nothing else"
    );
    assert!(!root.path().join("usr/lib/tagkeeper").exists());
    assert!(!root.path().join("usr/share/tagkeeper").exists());
    assert!(!root.path().join("usr/share/doc/tagkeeper").exists());
    Ok(())
}

/// Two hundred lines of `install` say less than where it went and what to do next.
#[test]
fn make_install_and_make_uninstall_end_in_a_few_lines_with_what_is_there() -> Result<()> {
    package("deb")?;
    let root = tempfile::tempdir()?;
    let shown = root.path().display();
    let installed = format!(
        "tagkeeper is installed in {shown}/usr/bin, its policy is in {shown}/etc/tagkeeper/\n"
    );
    assert_eq!(make("install", root.path())?, installed);
    let again = make("install", root.path())?;
    let kept = format!("{shown}/etc/tagkeeper/policy.toml is there already and stays as it is\n");
    assert_eq!(again, kept + &installed);
    assert_eq!(
        make("uninstall", root.path())?,
        format!(
            "tagkeeper is removed. Policy and state are kept: {shown}/etc/tagkeeper/ and \
             /var/lib/tagkeeper\n"
        )
    );
    Ok(())
}

#[test]
fn the_bill_of_materials_lists_what_the_notices_do() -> Result<()> {
    let (root, _) = installed()?;
    let doc = root.path().join("usr/share/doc/tagkeeper");
    let notices = fs::read_to_string(doc.join("third-party.txt"))?;
    let bill = fs::read_to_string(doc.join("tagkeeper.cdx.json"))?;
    let bill: serde_json::Value = serde_json::from_str(&bill)?;
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(
        bill["metadata"]["component"]["version"],
        env!("CARGO_PKG_VERSION")
    );
    let parts = bill["components"].as_array().context("no components")?;
    assert!(parts.len() > 50, "{}", parts.len());
    for part in parts {
        let (name, version) = (part["name"].as_str(), part["version"].as_str());
        let called = format!("{} {}", name.unwrap_or("?"), version.unwrap_or("?"));
        assert!(notices.contains(&format!("\n{called}: ")), "{called}");
        let licence = part["licenses"][0]["expression"].as_str();
        assert!(licence.is_some_and(|l| !l.is_empty()), "{part:#}");
    }
    let listed = notices
        .lines()
        .skip(3)
        .take_while(|line| !line.starts_with("---"));
    assert_eq!(listed.filter(|line| !line.is_empty()).count(), parts.len());
    Ok(())
}

/// By cargo's own list of what is built in, and with the words that the licences have in common.
#[test]
fn the_notices_name_every_crate_and_bring_the_texts_of_those_that_are_not_under_apache()
-> Result<()> {
    let (root, _) = installed()?;
    let notices = root.path().join("usr/share/doc/tagkeeper/third-party.txt");
    let notices = fs::read_to_string(notices)?;
    let tree = run(Command::new(env!("CARGO"))
        .current_dir(repository())
        .args(["tree", "--locked", "--edges", "normal,no-proc-macro"])
        .args(["--prefix", "none", "--format", "{p};{l}"]))?;
    let mut others = 0;
    for line in tree.lines().filter(|line| !line.starts_with("tagkeeper ")) {
        let (package, licence) = line.split_once(';').context("what was asked for")?;
        let mut words = package.split(' ');
        let name = words.next().unwrap_or_default();
        let version = words.next().unwrap_or_default().trim_start_matches('v');
        let called = format!("{name} {version}");
        assert!(notices.contains(&format!("\n{called}: ")), "{called}");
        if !licence.contains("Apache-2.0") {
            let is_above_a_text = |line: &str| line.ends_with(':') && line.contains(&called);
            assert!(notices.lines().any(is_above_a_text), "{called}");
            others += 1;
        }
    }
    assert!(others > 0 && notices.contains("Permission is hereby granted"));
    // In the packages that are linked statically.
    assert!(notices.contains("\nmusl, ") && notices.contains("Rich Felker"));
    Ok(())
}

/// Names as Debian has them.
fn as_debian(file: &str) -> String {
    match file {
        "/usr/share/doc/tagkeeper/CHANGELOG.md" => {
            "/usr/share/doc/tagkeeper/changelog.gz".to_owned()
        }
        "/usr/share/zsh/site-functions/_tagkeeper" => {
            "/usr/share/zsh/vendor-completions/_tagkeeper".to_owned()
        }
        page if page.starts_with("/usr/share/man/") => format!("{page}.gz"),
        other => other.to_owned(),
    }
}

#[test]
fn the_deb_holds_what_make_install_installs() -> Result<()> {
    let deb = package("deb")?;
    let (_root, files) = installed()?;
    let mut expected: Files = files.iter().map(|file| as_debian(file)).collect();
    // Its script puts the policy there.
    assert!(expected.remove("/etc/tagkeeper/policy.toml"));
    for file in [
        "/usr/share/doc/tagkeeper/changelog.Debian.gz",
        "/usr/share/doc/tagkeeper/copyright",
        "/usr/share/lintian/overrides/tagkeeper",
    ] {
        expected.insert(file.to_owned());
    }
    let root = tempfile::tempdir()?;
    run(Command::new("dpkg-deb")
        .arg("--extract")
        .arg(&deb)
        .arg(root.path()))?;
    assert_eq!(below(root.path())?, expected);

    let list = run(Command::new("dpkg-deb").arg("--contents").arg(&deb))?;
    for mode in [
        "-rwxr-xr-x 0/0 ./usr/bin/tagkeeper",
        "-rwxr-xr-x 0/0 ./usr/lib/tagkeeper/tagkeeper-ready",
        "lrwxrwxrwx 0/0 ./usr/lib/tagkeeper/ready/sonic",
        "-rw-r--r-- 0/0 ./usr/share/tagkeeper/policy.toml",
    ] {
        let columns = |line: &str| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {}", columns[0], columns[1], columns[5])
        };
        let found = list.lines().any(|line| columns(line) == mode);
        assert!(found, "'{mode}' is not in\n{list}");
    }
    let members = run(Command::new("dpkg-deb").arg("--info").arg(&deb))?;
    assert!(
        !members.contains("conffiles"),
        "upgrades would ask about an edited one"
    );
    Ok(())
}

#[test]
fn the_deb_is_of_the_version_that_its_changelog_is_at() -> Result<()> {
    let version = run(Command::new("dpkg-deb")
        .arg("--field")
        .arg(package("deb")?)
        .arg("Version"))?;
    let changelog = fs::read_to_string(repository().join("packaging/debian/changelog"))?;
    let newest = format!("tagkeeper ({}) ", version.trim_end());
    assert!(
        changelog.starts_with(&newest),
        "{newest}is not on top of\n{changelog}"
    );
    let cargo = format!("{}-", env!("CARGO_PKG_VERSION"));
    assert!(version.starts_with(&cargo), "{version}");
    Ok(())
}

#[test]
fn lintian_finds_no_error_and_no_warning_in_the_deb() -> Result<()> {
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error,warning"]);
    let said = run(lintian.arg(package("deb")?))?;
    // Nor an override that overrides nothing.
    assert_eq!(said, "");
    Ok(())
}

#[test]
fn the_rpm_holds_what_make_install_installs() -> Result<()> {
    let rpm = package("rpm")?;
    let (_root, files) = installed()?;
    // Its script makes the links.
    let mut expected: Files = files
        .into_iter()
        .filter(|file| !file.starts_with("/usr/lib/tagkeeper/ready/"))
        .collect();
    expected.insert("/usr/share/licenses/tagkeeper/LICENSE".to_owned());
    let list = run(Command::new("rpm").args(["-qlp"]).arg(&rpm))?;
    let held: Files = list.lines().map(str::to_owned).collect();
    assert_eq!(held, expected);
    let config = run(Command::new("rpm").args(["-qp", "--configfiles"]).arg(&rpm))?;
    assert_eq!(config.trim(), "/etc/tagkeeper/policy.toml");
    Ok(())
}

/// A root of its own, and rpm in it.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Result<Self> {
        let tar = run(&mut Command::new(repository().join("scripts/boot-root")))?;
        let root = tempfile::tempdir_in("/var/tmp")?;
        run(Command::new("tar")
            .arg("-xf")
            .arg(tar.trim_end())
            .arg("-C")
            .arg(root.path()))?;
        Ok(Self(root))
    }

    /// Without looking for what it depends on, which Debian's packages brought.
    fn rpm(&self, args: &[&str]) -> Result<String> {
        let mut rpm = Command::new("rpm");
        rpm.arg("--root")
            .arg(self.0.path())
            .arg("--nodeps")
            .args(args);
        run(&mut rpm)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }
}

#[test]
fn the_rpm_installs_upgrades_and_leaves() -> Result<()> {
    let rpm = package("rpm")?;
    let rpm = rpm.to_str().context("a path that is no text")?;
    let root = Root::new()?;
    let before = below(root.0.path())?;
    let wanted = "/etc/systemd/system/timers.target.wants/tagkeeper.timer";
    let policy = root.path("/etc/tagkeeper/policy.toml");

    root.rpm(&["--install", rpm])?;
    assert!(
        root.path(wanted).is_symlink(),
        "the preset enables the timer"
    );
    let link = fs::read_link(root.path("/usr/lib/tagkeeper/ready/sonic"))?;
    assert_eq!(link, Path::new("../tagkeeper-ready"));
    assert!(root.path("/etc/tagkeeper/policy.d").is_dir());
    let groups = fs::read_to_string(root.path("/etc/group"))?;
    let member = |line: &str| line.starts_with("docker:") && line.ends_with(":tagkeeper");
    assert!(groups.lines().any(member), "{groups}");
    root.rpm(&["--verify", "tagkeeper"])?;

    // An upgrade leaves alone what the operator wrote, and a timer that the operator disabled.
    fs::remove_file(root.path(wanted))?;
    fs::write(&policy, "# mine\n")?;
    root.rpm(&["--upgrade", "--force", rpm])?;
    assert!(!root.path(wanted).exists());
    assert!(root.path("/usr/lib/tagkeeper/ready/sonic").is_symlink());
    assert_eq!(fs::read_to_string(&policy)?, "# mine\n");

    root.rpm(&["--erase", "tagkeeper"])?;
    let left: Vec<String> = below(root.0.path())?
        .difference(&before)
        .filter(|file| !file.starts_with("/var/lib/rpm/") && !file.starts_with("/root/.rpmdb/"))
        .filter(|file| !file.ends_with('-'))
        .cloned()
        .collect();
    assert_eq!(left, ["/etc/tagkeeper/policy.toml.rpmsave"], "as rpm does");
    for gone in [
        "/usr/lib/tagkeeper",
        "/usr/share/tagkeeper",
        "/run/tagkeeper",
    ] {
        assert!(!root.path(gone).exists(), "{gone}");
    }

    // Installed once more: the preset again, and what the operator wrote is beside it.
    root.rpm(&["--install", rpm])?;
    assert!(root.path(wanted).is_symlink());
    let saved = root.path("/etc/tagkeeper/policy.toml.rpmsave");
    assert_eq!(fs::read_to_string(saved)?, "# mine\n");
    Ok(())
}
