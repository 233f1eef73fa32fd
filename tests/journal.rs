//! What the journal gets, on its own protocol: a socket of the test's own stands for journald.
//!
//! The socket's path is fixed, so the test runs itself once more in a mount namespace where `/run`
//! is its own. This takes root, as `make test` has it.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use tagkeeper::report::log;
use tagkeeper_core::model::{Event, EventKind, ImageId, Version, WorkloadName};

const SOCKET: &str = "/run/systemd/journal/socket";
const OWN_RUN: &str = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && exec \"$@\"";

fn promoted() -> Event {
    Event {
        workload: WorkloadName::new("telemetry"),
        kind: EventKind::Promoted {
            version: Version::new("v2"),
            image: ImageId::new(format!("sha256:{}", "b".repeat(64))),
            up_ms: 600_000,
            replaced: Some(Version::new("v1")),
            fallback: Some(Version::new("v1")),
        },
    }
}

/// Set inside the namespace, where the test does what it is about.
const INSIDE: &str = "TAGKEEPER_TEST_OWN_RUN";

/// Whether this is the inner run.
fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs a test once more, inside, with its stderr in a file, which `$JOURNAL_STREAM` names or does
/// not. Returns what was written to stderr.
fn run_inside(test: &str, stderr_is_named: bool) -> io::Result<String> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("stderr");
    let stderr = File::create(&path)?;
    let seen = stderr.metadata()?;
    let inode = if stderr_is_named {
        seen.ino()
    } else {
        seen.ino() + 1
    };
    let ended = Command::new("unshare")
        .args(["--mount", "sh", "-c", OWN_RUN, "sh"])
        .arg(std::env::current_exe()?)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .env("JOURNAL_STREAM", format!("{}:{inode}", seen.dev()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()?
        .wait_with_output()?;
    let written = std::fs::read_to_string(&path)?;
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(
        told.contains("1 passed; 0 failed"),
        "{test}: {}\n{told}{written}",
        ended.status
    );
    Ok(written)
}

#[test]
fn journal_gets_fields_to_search_by() {
    if !is_inside() {
        let stderr = run_inside("journal_gets_fields_to_search_by", true).unwrap();
        assert_eq!(stderr, "");
        return;
    }
    let journal = UnixDatagram::bind(SOCKET).unwrap();
    log::init();
    log::log_event(&promoted());
    log::log_event(&Event {
        kind: EventKind::Restored {
            version: Version::new("v2"),
            image: ImageId::new("b".repeat(64)),
            up_ms: 600_000,
        },
        ..promoted()
    });
    let (info, warning) = (receive(&journal).unwrap(), receive(&journal).unwrap());
    let image = format!("sha256:{}", "b".repeat(64));
    for (name, value) in [
        ("WORKLOAD", "telemetry"),
        ("EVENT", "promoted"),
        ("VERSION", "v2"),
        ("IMAGE", image.as_str()),
        (
            "MESSAGE",
            "telemetry: v2 is latest after 10m; v1 is the fallback",
        ),
        ("SYSLOG_IDENTIFIER", "tagkeeper"),
    ] {
        assert!(
            has_field(&info, name, value),
            "{name}={value} is missing: {}",
            info.escape_ascii()
        );
    }
    assert!(has_field(&info, "PRIORITY", "5"), "{}", info.escape_ascii());
    assert!(
        has_field(&warning, "PRIORITY", "4"),
        "{}",
        warning.escape_ascii()
    );
}

#[test]
fn redirected_stderr_gets_lines() {
    if !is_inside() {
        let stderr = run_inside("redirected_stderr_gets_lines", false).unwrap();
        assert_eq!(
            stderr,
            "telemetry: v2 is latest after 10m; v1 is the fallback\n"
        );
        return;
    }
    let journal = UnixDatagram::bind(SOCKET).unwrap();
    journal.set_nonblocking(true).unwrap();
    log::init();
    log::log_event(&promoted());
    assert!(journal.recv(&mut [0; 16]).is_err());
}

#[test]
fn stderr_gets_lines_where_the_journal_does_not_answer() {
    if !is_inside() {
        let name = "stderr_gets_lines_where_the_journal_does_not_answer";
        let stderr = run_inside(name, true).unwrap();
        assert_eq!(
            stderr,
            "telemetry: v2 is latest after 10m; v1 is the fallback\n"
        );
        return;
    }
    log::init();
    log::log_event(&promoted());
}

/// The next entry; the empty datagram that asks whether anybody listens is none.
fn receive(journal: &UnixDatagram) -> io::Result<Vec<u8>> {
    journal.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = journal.recv(&mut buffer)?;
        if length > 0 {
            return Ok(buffer[..length].to_vec());
        }
    }
}

/// Whether an entry of the journal's native protocol has a field: name, newline, length in eight
/// bytes, value, newline.
fn has_field(entry: &[u8], name: &str, value: &str) -> bool {
    let length = value.len() as u64;
    let field = [
        name.as_bytes(),
        b"\n",
        &length.to_le_bytes(),
        value.as_bytes(),
        b"\n",
    ]
    .concat();
    let starts = |at: usize| at == 0 || entry[at - 1] == b'\n';
    entry
        .windows(field.len())
        .enumerate()
        .any(|(at, window)| window == field && starts(at))
}
