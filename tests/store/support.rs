//! What the tests share: states of any size, a look at files, and other circumstances to run a test
//! in.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tagkeeper::store::{Lock, LockError, Rejections, StateDir, state_document};
use tagkeeper_core::model::{
    Clock, EndedBy, Failure, ImageId, LineageEntry, Moment, Outcome, Rejected, State, Version,
    WorkloadName, WorkloadState,
};
use tempfile::TempDir;

pub(crate) const FIXTURE_V1: &str = include_str!("../fixtures/state-v1.json");
/// The same, with all that edition 1 kept for people.
pub(crate) const FIXTURE_V1_HISTORY: &str = include_str!("../fixtures/state-v1-history.json");
pub(crate) const FIXTURE_V2: &str = include_str!("../fixtures/state-v2.json");
pub(crate) const FIXTURE_REJECTED: &str = include_str!("../fixtures/rejected-v1.json");
pub(crate) const WALL: &str = "2026-11-22T23:18:00Z";
const SCRATCH: &str = "TAGKEEPER_TEST_SCRATCH";

/// A state that differs from any other `marker`'s all over, and takes `bytes` on disk.
pub(crate) fn state(marker: char, bytes: usize) -> State {
    let least = padded_state(marker, 0);
    let least_bytes = state_document(&least).unwrap().len();
    padded_state(marker, bytes.saturating_sub(least_bytes))
}

fn padded_state(marker: char, padding: usize) -> State {
    let moment = Moment {
        clock_ms: 1,
        at: marker.to_string(),
    };
    let failure = Failure {
        version: Version::new(marker),
        image: ImageId::new(marker.to_string()),
        outcome: Outcome::Withdrawn,
        attempts: 1,
        ended_by: EndedBy::Stopped,
        own_end: None,
        up_secs: 1,
        ended_ms: 1,
        at: marker.to_string().repeat(padding),
    };
    let workload = WorkloadState {
        since: Some(moment),
        failures: vec![failure],
        ..WorkloadState::default()
    };
    State {
        instance: "0123456789abcdef".to_owned(),
        clock: Clock {
            clock_ms: 1,
            monotonic_ms: 1,
        },
        workloads: [(telemetry(), workload)].into(),
        ..State::default()
    }
}

pub(crate) fn telemetry() -> WorkloadName {
    WorkloadName::new("telemetry")
}

/// A digit 64 times over, as an image's id.
pub(crate) fn image(digit: char) -> ImageId {
    ImageId::new(format!("sha256:{}", digit.to_string().repeat(64)))
}

pub(crate) fn proven(digit: char) -> LineageEntry {
    LineageEntry {
        version: Version::new(format!("v{digit}")),
        image: image(digit),
        rolled_out: true,
        promoted_at: None,
    }
}

/// The rejection of one image of `telemetry`.
pub(crate) fn rejection(digit: char) -> Rejections {
    let rejected = Rejected {
        version: Version::new(format!("v{digit}")),
        at: WALL.to_owned(),
        digests: BTreeSet::from([format!("sha256:{}", "5".repeat(64))]),
        proven: None,
    };
    [(telemetry(), [(image(digit), rejected)].into())].into()
}

pub(crate) fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The file with a change by somebody who keeps to the format: a later version, say.
pub(crate) fn rewrite(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut content = json(path);
    change(&mut content);
    let fields = content.as_object_mut().unwrap();
    let version = fields.remove("version").unwrap();
    fields.remove("checksum");
    let fields = serde_json::to_string(&content).unwrap();
    let covered = format!("{}\n", fields.strip_prefix('{').unwrap());
    let checksum = crc32fast::hash(covered.as_bytes());
    let head =
        format!("{{\n  \"version\": {version},\n  \"checksum\": \"crc32:{checksum:08x}\",\n");
    fs::write(path, head + &covered).unwrap();
}

/// Everything under a directory: names, what they are, and what is in the files.
pub(crate) fn everything(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let kind = stat(&path).file_type();
            let content = if kind.is_file() {
                fs::read_to_string(&path).unwrap()
            } else {
                format!("{kind:?}")
            };
            (path, content)
        })
        .collect();
    found.sort();
    found
}

pub(crate) fn saved(dir: &StateDir) -> State {
    match dir.load() {
        Ok(Some(state)) => state,
        other => panic!("no state: {other:?}"),
    }
}

/// Takes a lock that was just let go. A program that another test starts at this moment has a copy
/// of it between its fork and its exec, so it may take a few tries.
pub(crate) fn lock_again(dir: &StateDir) -> Lock {
    for _ in 0..1000 {
        match dir.lock() {
            Err(LockError::Held) => std::thread::sleep(Duration::from_millis(10)),
            other => return other.unwrap(),
        }
    }
    panic!("the lock was not let go");
}

/// That a save was refused for what is in the state.
pub(crate) fn assert_refused(error: &anyhow::Error) {
    let told = format!("{error:#}");
    assert!(
        told.starts_with("refused to save a state that makes no sense: "),
        "{told}"
    );
}

pub(crate) fn spare(dir: &StateDir) -> PathBuf {
    dir.path().join("state.json.spare")
}

pub(crate) fn stat(path: impl AsRef<Path>) -> Metadata {
    let path = path.as_ref();
    fs::symlink_metadata(path).unwrap_or_else(|e| panic!("no {}: {e}", path.display()))
}

/// What changes when a file is touched in any way. Reading may move the access time.
pub(crate) fn touched(path: impl AsRef<Path>) -> [i64; 5] {
    let m = stat(path);
    [
        i64::try_from(m.ino()).unwrap(),
        m.mtime(),
        m.mtime_nsec(),
        m.ctime(),
        m.ctime_nsec(),
    ]
}

pub(crate) fn run(program: &str, args: &[&str]) {
    let out = Command::new(program).args(args).output();
    let out = out.unwrap_or_else(|e| panic!("this test needs '{program}': {e}"));
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success(),
        "this test needs '{program} {}' to work: {stderr}",
        args.join(" ")
    );
}

/// Runs a test again as a process of its own under `wrapper`, with an empty directory for it. What
/// the process mounts in a namespace of its own, or gives up, ends with it. `name` is the test's
/// own. Returns the directory outside, to look at what the process left there; nothing inside.
pub(crate) fn under(wrapper: &[&str], name: &str, test: impl FnOnce(&Path)) -> Option<TempDir> {
    if let Some(scratch) = env::var_os(SCRATCH) {
        test(Path::new(&scratch));
        return None;
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(wrapper[0]);
    command
        .args(&wrapper[1..])
        .arg(env::current_exe().unwrap())
        .args(["--exact", name]);
    let out = command.env(SCRATCH, scratch.path()).output();
    let out = out.unwrap_or_else(|e| panic!("this test needs '{}': {e}", wrapper[0]));
    let (stdout, stderr) = (
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr),
    );
    // A name that matches nothing would pass as well, without having tested anything.
    let ran = out.status.success() && stdout.contains("1 passed");
    assert!(
        ran,
        "under {wrapper:?}, as root: {}\n{stdout}\n{stderr}",
        out.status
    );
    Some(scratch)
}

/// In a mount namespace of its own.
pub(crate) const MOUNTS: &[&str] = &["unshare", "--mount", "--propagation", "private"];

/// Mounts a fresh ext4 of 32 MiB, by way of a loop device, under `scratch`.
pub(crate) fn mount_ext4(scratch: &Path) -> PathBuf {
    let (image, mount) = (scratch.join("image"), scratch.join("ext4"));
    fs::create_dir(&mount).unwrap();
    File::create(&image).unwrap().set_len(32 << 20).unwrap();
    let (image, at) = (image.to_str().unwrap(), mount.to_str().unwrap());
    run("mkfs.ext4", &["-q", "-F", "-b", "4096", "-m", "0", image]);
    run("mount", &["-t", "ext4", "-o", "loop", image, at]);
    mount
}

/// Mounts a fresh tmpfs of 1 MiB under `scratch`.
pub(crate) fn mount_tmpfs(scratch: &Path) -> PathBuf {
    let mount = scratch.join("tmpfs");
    fs::create_dir(&mount).unwrap();
    run(
        "mount",
        &[
            "-t",
            "tmpfs",
            "-o",
            "size=1M",
            "tmpfs",
            mount.to_str().unwrap(),
        ],
    );
    mount
}

/// Writes until there is no room for another byte, in blocks of every size, and it is on the disk.
pub(crate) fn fill(mount: &Path) {
    for attempt in 0..5 {
        for bytes in [1 << 20, 1 << 14, 4096, 1] {
            let path = mount.join(format!("filler-{attempt}-{bytes}"));
            if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
                while file.write_all(&vec![b'x'; bytes]).is_ok() {}
            }
        }
        // What was freed lately can be had once the journal is written.
        rustix::fs::syncfs(File::open(mount).unwrap()).unwrap();
    }
    let probe = mount.join("probe");
    let full = fs::write(&probe, [b'x'; 4096]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let _ = fs::remove_file(probe);
}
