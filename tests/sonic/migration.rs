//! `packaging/sonic`: tagkeeper goes along to the next SONiC image. config-setup's part is restated
//! (`do_config_backup`, `copy_post_migration_hooks`, `run_hook`; sonic-buildimage 086b03b), and
//! dpkg writes down what it was asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::executable;

const HOOKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/sonic");

/// What an installation of the next image does on the old one.
const BACKUP: &str = r"
rm -rf $DPKG_ROOT/host/old_config
mkdir -p $DPKG_ROOT/host
cp -ar $DPKG_ROOT/etc/sonic $DPKG_ROOT/host/old_config
cp -arL $DPKG_ROOT/etc/config-setup/config-migration-post-hooks.d $DPKG_ROOT/host/old_config
bash -n $DPKG_ROOT/etc/config-setup/config-migration-pre-hooks.d/tagkeeper
. $DPKG_ROOT/etc/config-setup/config-migration-pre-hooks.d/tagkeeper || echo failed
echo went on
";

/// What the first boot of the next image does there.
const FIRST_BOOT: &str = r"
mkdir -p $DPKG_ROOT/etc/config-setup/config-migration-post-hooks.d
cp -ar $DPKG_ROOT/etc/sonic/old_config/config-migration-post-hooks.d/. $DPKG_ROOT/etc/config-setup/config-migration-post-hooks.d
bash -n $DPKG_ROOT/etc/config-setup/config-migration-post-hooks.d/tagkeeper
. $DPKG_ROOT/etc/config-setup/config-migration-post-hooks.d/tagkeeper || echo failed
echo went on
";

/// The root of an image, as SONiC's build leaves it.
struct Image {
    dir: TempDir,
}

impl Image {
    fn new() -> Self {
        let image = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        image.write(
            "etc/sonic/remote_ctr.config.json",
            "{\n    \"tag_latest_image_on_wait_seconds\": 600,\n    \"retry_tag_latest_seconds\": 30\n}\n",
        );
        image
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// Runs config-setup's part, with a dpkg that ends like this. What was said.
    fn config_setup(&self, script: &str, dpkg_ends_with: u8) -> String {
        let bin = self.path("bin");
        fs::create_dir_all(&bin).unwrap();
        let dpkg = format!(
            "#!/bin/sh\necho \"$@\" >>{}\nexit {dpkg_ends_with}\n",
            self.path("dpkg").display()
        );
        self.write("bin/dpkg.sh", &dpkg);
        executable::copy(bin.join("dpkg.sh"), &bin.join("dpkg"));
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let output = Command::new("bash")
            .args(["-c", script])
            .env("DPKG_ROOT", self.dir.path())
            .env("PATH", path)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8(said).unwrap()
    }

    /// The next image is installed from here and boots.
    fn next(&self, dpkg_ends_with: u8) -> (Self, String) {
        assert_eq!(self.config_setup(BACKUP, 0), "went on\n");
        let next = Self::new();
        fs::rename(
            self.path("host/old_config"),
            next.path("etc/sonic/old_config"),
        )
        .unwrap();
        let said = next.config_setup(FIRST_BOOT, dpkg_ends_with);
        (next, said)
    }
}

/// An image on which an operator has set tagkeeper up as the page says.
fn set_up() -> Image {
    let image = Image::new();
    for part in ["pre", "post"] {
        let hook = format!("etc/config-setup/config-migration-{part}-hooks.d/tagkeeper");
        let shipped = Path::new(HOOKS).join(format!("{part}-migration"));
        image.write(&hook, &fs::read_to_string(shipped).unwrap());
    }
    image.write("etc/sonic/tagkeeper/tagkeeper.deb", "the package");
    image.write("etc/tagkeeper/policy.toml", "# the operator's\n");
    image.write(
        "etc/tagkeeper/policy.d/telemetry.toml",
        "[workload.telemetry]\n",
    );
    fs::create_dir_all(image.path("etc/systemd/system/tagkeeper.service.d")).unwrap();
    let link = image.path("etc/systemd/system/tagkeeper.service.d/ready-sonic.conf");
    std::os::unix::fs::symlink("/usr/lib/tagkeeper/dropins/sonic.conf", link).unwrap();
    let config = image
        .read("etc/sonic/remote_ctr.config.json")
        .replace("600", "315360000");
    image.write("etc/sonic/remote_ctr.config.json", &config);
    image
}

fn assert_set_up(image: &Image) {
    let policy = [
        "etc/tagkeeper/policy.toml",
        "etc/tagkeeper/policy.d/telemetry.toml",
    ]
    .map(|path| image.read(path));
    assert_eq!(policy, ["# the operator's\n", "[workload.telemetry]\n"]);
    let link = fs::read_link(image.path("etc/systemd/system/tagkeeper.service.d/ready-sonic.conf"));
    assert_eq!(
        link.unwrap(),
        Path::new("/usr/lib/tagkeeper/dropins/sonic.conf")
    );
    let config = image.read("etc/sonic/remote_ctr.config.json");
    assert!(
        config.contains("\"tag_latest_image_on_wait_seconds\": 315360000,"),
        "{config}"
    );
    assert!(
        config.contains("\"retry_tag_latest_seconds\": 30"),
        "{config}"
    );
}

#[test]
fn two_images_later_everything_is_there() {
    let mut image = set_up();
    for _ in 0..2 {
        let (next, said) = image.next(0);
        assert_eq!(said, "went on\n");
        assert_set_up(&next);
        let package = next.path("etc/sonic/tagkeeper/tagkeeper.deb");
        assert_eq!(
            next.read("dpkg"),
            format!("--install {}\n", package.display())
        );
        assert_eq!(
            next.read("etc/sonic/tagkeeper/tagkeeper.deb"),
            "the package"
        );
        image = next;
    }
}

#[test]
fn a_package_that_cannot_be_installed_does_not_stop_the_boot() {
    let (next, said) = set_up().next(1);
    assert_eq!(said, "failed\nwent on\n");
    assert_set_up(&next);
}

#[test]
fn an_image_that_has_the_package_from_its_build_gets_the_policy_alone() {
    let old = set_up();
    fs::remove_file(old.path("etc/sonic/tagkeeper/tagkeeper.deb")).unwrap();
    assert_eq!(old.config_setup(BACKUP, 0), "went on\n");
    let next = Image::new();
    next.write("usr/bin/tagkeeper", "");
    fs::rename(
        old.path("host/old_config"),
        next.path("etc/sonic/old_config"),
    )
    .unwrap();
    assert_eq!(next.config_setup(FIRST_BOOT, 1), "went on\n");
    assert_set_up(&next);
    assert_eq!(next.read("dpkg"), "");
}

#[test]
fn an_old_image_without_tagkeeper_changes_nothing() {
    let next = set_up();
    next.write(
        "etc/sonic/old_config/config-migration-post-hooks.d/other",
        "",
    );
    assert_eq!(next.config_setup(FIRST_BOOT, 1), "went on\n");
    assert_eq!(next.read("dpkg"), "");
}
