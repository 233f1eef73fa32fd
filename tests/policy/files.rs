//! Finding, merging and masking policy files; and the file that is shipped.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tagkeeper::policy_file::{
    DEFAULT_HOOK_SPREAD_MS, DEFAULT_HOOK_TIMEOUT_MS, DEFAULT_READY_TIMEOUT_MS, Diagnostic,
    EngineSettings, Refused, Roots, Settings, check, check_file,
};

use tagkeeper_core::model::{Ready, Rejection, Workload};

use super::{parse, pattern, repository};

struct Host {
    _dir: tempfile::TempDir,
    roots: Roots,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots {
            vendor_dir: dir.path().join("vendor"),
            file: dir.path().join("policy.toml"),
            dropin_dir: dir.path().join("dropin"),
        };
        fs::create_dir(&roots.vendor_dir).unwrap();
        fs::create_dir(&roots.dropin_dir).unwrap();
        Self { _dir: dir, roots }
    }

    fn vendor(&self, name: &str) -> PathBuf {
        self.roots.vendor_dir.join(name)
    }

    fn dropin(&self, name: &str) -> PathBuf {
        self.roots.dropin_dir.join(name)
    }

    fn load(&self) -> Result<Settings, Refused> {
        check(&self.roots).map(|checked| checked.settings)
    }

    fn socket(&self) -> String {
        let socket = self.load().unwrap().engine.socket;
        socket.to_str().unwrap().to_owned()
    }
}

fn write(path: impl AsRef<Path>, text: &str) {
    fs::write(path, text).unwrap();
}

fn socket_at(path: &str) -> String {
    format!("[engine]\nsocket = \"{path}\"\n")
}

#[test]
fn later_files_win_key_by_key() {
    let host = Host::new();
    let steps = [
        (host.vendor("20.toml"), "/vendor20"),
        (host.vendor("90.toml"), "/vendor90"),
        (host.roots.file.clone(), "/operator"),
        (host.dropin("10.toml"), "/dropin10"),
        (host.dropin("30.toml"), "/dropin30"),
    ];
    for (path, socket) in &steps {
        write(path, &socket_at(socket));
        assert_eq!(host.socket(), *socket);
    }
    // Whatever order the directory lists them in.
    write(
        host.dropin("05.toml"),
        "[defaults]\nsoak = \"5s\"\ngrace = \"1h\"\n",
    );
    write(
        host.dropin("40.toml"),
        "[defaults]\nsoak = \"7s\"\n[workload.app]\nrepository = \"app\"\nfallbacks = 4\n",
    );
    write(
        &host.roots.file,
        "[engine]\ntimeout = \"7s\"\n[defaults]\nsoak = \"3s\"\nfallbacks = 2\n\
         [metrics]\ntextfile = \"/mine.prom\"\n[hooks]\nfailed = [\"/mine\"]\ntimeout = \"1s\"\nspread = \"0s\"\n",
    );
    write(
        host.dropin("50.toml"),
        "[metrics]\ntextfile = \"/late.prom\"\n[hooks]\npromoted = [\"/late\"]\ntimeout = \"2s\"\n",
    );
    let policy = host.load().unwrap();
    assert_eq!(policy.engine.timeout_ms, 7_000);
    assert_eq!(policy.engine.socket, Path::new("/dropin30"));
    let hooks = &policy.hooks;
    assert_eq!(policy.metrics.textfile, Some("/late.prom".into()));
    assert_eq!(hooks.promoted, Some(vec!["/late".to_owned()]));
    assert_eq!(hooks.failed, Some(vec!["/mine".to_owned()]));
    assert_eq!((&hooks.rolled_back, hooks.timeout_ms), (&None, 2000));
    assert_eq!(hooks.spread_ms, 0, "the later file does not set it");
    let app = &policy.policy.workloads["app"];
    assert_eq!(
        (app.soak_ms, app.grace_ms, app.fallbacks),
        (7_000, 3_600_000, 4)
    );
}

type Mask = dyn Fn(&Path);

#[test]
fn a_dropin_masks_the_packaged_file_of_its_name() {
    let broken = "soak = ][";
    let masks: [(&str, &Mask); 3] = [
        ("another file", &|p| write(p, &socket_at("/mine"))),
        ("an empty file", &|p| write(p, "")),
        ("a symlink to /dev/null", &|p| {
            symlink("/dev/null", p).unwrap();
        }),
    ];
    for (name, mask) in masks {
        let host = Host::new();
        write(host.vendor("app.toml"), broken);
        assert!(host.load().is_err(), "{name}");
        mask(&host.dropin("app.toml"));
        assert!(host.load().is_ok(), "{name}");
    }
    // Only the same name masks, and the operator's own file never is masked.
    let host = Host::new();
    write(host.vendor("app.toml"), &socket_at("/vendor"));
    write(host.dropin("app2.toml"), "");
    assert_eq!(host.socket(), "/vendor");
    write(&host.roots.file, &socket_at("/operator"));
    write(host.dropin("policy.toml"), "");
    assert_eq!(host.socket(), "/operator");
}

#[test]
fn only_toml_files_without_a_dot_in_front_are_read() {
    let host = Host::new();
    write(&host.roots.file, &socket_at("/operator"));
    for name in [
        ".hidden.toml",
        ".toml",
        "app.toml~",
        "app.toml.dpkg-old",
        "app.conf",
        "README",
    ] {
        write(host.dropin(name), "][");
        write(host.vendor(name), "][");
    }
    assert_eq!(host.socket(), "/operator");
}

fn is_unreadable(problems: &[Diagnostic]) -> bool {
    let is_of_a_file = |d: &Diagnostic| d.place.is_some() && d.position().is_none();
    problems.len() == 1 && problems.iter().all(is_of_a_file)
}

#[test]
fn no_file_at_all_is_refused_and_names_the_places() {
    let host = Host::new();
    for dir in [&host.roots.vendor_dir, &host.roots.dropin_dir] {
        let refused = host.load().unwrap_err();
        let printed = refused.to_string();
        assert!(
            matches!(refused.problems[..], [Diagnostic { place: None, .. }]),
            "{printed}"
        );
        for path in [
            &host.vendor("*.toml"),
            &host.roots.file,
            &host.dropin("*.toml"),
        ] {
            assert!(printed.contains(path.to_str().unwrap()), "{printed}");
        }
        assert!(
            printed.ends_with("\n\n1 error; nothing was done"),
            "{printed}"
        );
        fs::remove_dir(dir).unwrap();
    }
    assert!(matches!(
        host.load().unwrap_err().problems[..],
        [Diagnostic { place: None, .. }]
    ));
    write(&host.roots.file, "");
    assert_eq!(host.load().unwrap(), parse("").unwrap());
}

/// "There is none" is not what to say when nobody could look.
#[test]
fn an_unreadable_place_is_not_taken_for_an_empty_one() {
    let host = Host::new();
    fs::remove_dir(&host.roots.dropin_dir).unwrap();
    write(&host.roots.dropin_dir, "");
    let problems = host.load().unwrap_err().problems;
    assert!(is_unreadable(&problems), "{problems:?}");
}

/// What is there and cannot be read might have been what said "hold".
#[test]
fn what_cannot_be_read_refuses_the_policy() {
    type Spoil = dyn Fn(&Host) -> PathBuf;
    let rows: [(&str, &Spoil); 7] = [
        ("a directory for a file", &|h| {
            fs::create_dir(h.dropin("x.toml")).unwrap();
            h.dropin("x.toml")
        }),
        ("a dangling drop-in", &|h| {
            symlink("/nonexistent/x", h.dropin("x.toml")).unwrap();
            h.dropin("x.toml")
        }),
        ("a dangling policy", &|h| {
            fs::remove_file(&h.roots.file).unwrap();
            symlink("/nonexistent/x", &h.roots.file).unwrap();
            h.roots.file.clone()
        }),
        ("a pipe", &|h| {
            let path = h.dropin("x.toml");
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, &path, kind, 0o600.into(), 0).unwrap();
            path
        }),
        ("a file for the drop-ins", &|h| {
            fs::remove_dir(&h.roots.dropin_dir).unwrap();
            write(&h.roots.dropin_dir, "");
            h.roots.dropin_dir.clone()
        }),
        ("a dangling directory", &|h| {
            fs::remove_dir(&h.roots.vendor_dir).unwrap();
            symlink("/nonexistent/x", &h.roots.vendor_dir).unwrap();
            h.roots.vendor_dir.clone()
        }),
        ("a loop", &|h| {
            symlink(h.dropin("x.toml"), h.dropin("x.toml")).unwrap();
            h.dropin("x.toml")
        }),
    ];
    for (name, spoil) in rows {
        let host = Host::new();
        write(&host.roots.file, "[defaults]\nsoak = 1\n");
        let before = host.load().unwrap_err().problems.len();
        assert_eq!(before, 1, "{name}");
        let path = spoil(&host);
        let refused = host.load().unwrap_err();
        let said = format!("error: failed to read '{}': ", path.display());
        assert!(refused.to_string().contains(&said), "{name}: {refused}");
        // The other files' errors are reported all the same.
        let others = refused
            .problems
            .iter()
            .filter_map(Diagnostic::position)
            .count();
        assert_eq!(
            others,
            usize::from(path != host.roots.file),
            "{name}: {refused}"
        );
    }
}

/// Who reads "no such file" looks at the name, and sees that it is there.
#[test]
fn a_symlink_that_leads_nowhere_is_called_so() {
    let host = Host::new();
    let missing = host.roots.file.with_file_name("missing");
    write(&host.roots.file, "");
    let named = host.roots.file.with_file_name("named");
    symlink(&missing, &named).unwrap();
    symlink(&missing, host.dropin("a.toml")).unwrap();
    symlink("../missing", host.dropin("b.toml")).unwrap();
    symlink("a.toml", host.dropin("c.toml")).unwrap();
    let through = host.roots.dropin_dir.join("../missing");
    let found = host.load().unwrap_err().problems;
    let alone = check_file(&named).unwrap_err().problems;
    for (problem, link, target) in [
        (&found[0], host.dropin("a.toml"), &missing),
        (&found[1], host.dropin("b.toml"), &through),
        (&found[2], host.dropin("c.toml"), &missing),
        (&alone[0], named, &missing),
    ] {
        let (link, target) = (link.display(), target.display());
        assert_eq!(
            problem.message,
            format!("failed to read '{link}': it is a symlink that leads nowhere, to '{target}'")
        );
        assert_eq!(
            problem.help,
            format!("create '{target}', or remove the symlink")
        );
    }
    let absent = check_file(&missing).unwrap_err().problems;
    assert_eq!(absent[0].help, "create it, or name another file");
}

/// As where the disk that /etc/tagkeeper is on is not mounted: what the operator wrote is not gone.
#[test]
fn a_directory_that_leads_nowhere_is_not_taken_for_an_empty_one() {
    let mut host = Host::new();
    write(host.vendor("a.toml"), &socket_at("/vendor.sock"));
    let etc = host.roots.file.with_file_name("etc");
    symlink("/no/such/disk", &etc).unwrap();
    host.roots.file = etc.join("policy.toml");
    host.roots.dropin_dir = etc.join("policy.d");
    let refused = host.load().unwrap_err();
    assert_eq!(refused.problems.len(), 2);
    for problem in &refused.problems {
        let said = format!(
            "'{}' is a symlink that leads nowhere, to '/no/such/disk'",
            etc.display()
        );
        assert!(problem.message.ends_with(&said), "{problem}");
    }
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let host = Host::new();
    write(&host.roots.file, &"#".repeat(4 << 20));
    host.load().unwrap();
    write(&host.roots.file, &"#".repeat((4 << 20) + 1));
    let refused = host.load().unwrap_err();
    assert!(
        refused.to_string().contains("it is larger than 4 MiB"),
        "{refused}"
    );
    let endless = check_file(Path::new("/dev/zero")).unwrap_err();
    assert!(
        endless.to_string().contains("it is larger than 4 MiB"),
        "{endless}"
    );
}

#[test]
fn text_that_is_not_utf_8_is_refused_with_the_place() {
    let host = Host::new();
    fs::write(
        &host.roots.file,
        b"[defaults]\nsoak = \"\xc3\xa9\xff\" # \xfe\n",
    )
    .unwrap();
    let refused = host.load().unwrap_err();
    let one = &refused.problems[0];
    assert_eq!(
        (one.position(), one.length),
        (Some((2, 10)), 1),
        "{refused}"
    );
    assert_eq!(
        one.place.as_ref().unwrap().file,
        host.roots.file.to_str().unwrap()
    );
    assert!(one.message.contains("not UTF-8"), "{refused}");
}

/// As some editors on Windows save it, with a mark in front or without.
#[test]
fn utf_16_is_called_by_its_name() {
    let text = "[defaults]\nsoak = \"1h\"\n";
    let marked = format!("\u{feff}{text}");
    let little = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let all: [Vec<u8>; 4] = [little(text), big(text), little(&marked), big(&marked)];
    for bytes in all {
        let host = Host::new();
        fs::write(&host.roots.file, &bytes).unwrap();
        let refused = host.load().unwrap_err();
        let one = &refused.problems[0];
        assert_eq!(
            one.message, "the file is UTF-16 text, not UTF-8",
            "{refused}"
        );
        assert_eq!(one.position(), Some((1, 1)));
        assert_eq!(one.source_line, "[defaults]");
        assert_eq!(refused.count(), 1, "{refused}");
    }
}

/// A drop-in of a fleet, beside what the host has.
#[test]
fn a_hold_and_a_rejection_may_be_in_any_file() {
    let host = Host::new();
    write(
        &host.roots.file,
        "[workload.app]\nrepository = \"app\"\n[hold]\nfor = \"1h\"\n",
    );
    write(host.vendor("a.toml"), "[reject]\napp = \"v1\"\n");
    write(host.dropin("b.toml"), "[hold]\n[reject]\napp = [\"v2\"]\n");
    let policy = host.load().unwrap().policy;
    assert_eq!(policy.holds.len(), 2);
    let rejected: Vec<&str> = policy.rejections["app"]
        .iter()
        .map(Rejection::as_str)
        .collect();
    assert_eq!(rejected, ["v1", "v2"]);
    fs::remove_file(host.dropin("b.toml")).unwrap();
    assert_eq!(host.load().unwrap().policy.holds.len(), 1);
}

#[test]
fn a_named_file_replaces_all_others() {
    let host = Host::new();
    let path = host.roots.file.with_file_name("mine.conf");
    write(&path, &socket_at("/mine"));
    assert_eq!(
        check_file(&path).unwrap().settings.engine.socket,
        Path::new("/mine")
    );
    assert_eq!(
        check_file(Path::new("/dev/null")).unwrap().settings,
        parse("").unwrap()
    );
    let absent = host.roots.file.with_file_name("absent.toml");
    let refused = check_file(&absent).unwrap_err();
    assert!(is_unreadable(&refused.problems), "{refused}");
    assert!(refused.to_string().contains("absent.toml"), "{refused}");
}

const SHIPPED: &str = include_str!("../../config/policy.toml");

/// The shipped file with its settings switched on: `#key` is a setting, `# text` is prose.
fn uncommented() -> String {
    SHIPPED
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect()
}

#[test]
fn the_shipped_policy_does_nothing() {
    let policy = parse(SHIPPED).unwrap();
    let nothing = Settings {
        hash: policy.hash,
        ..Settings::default()
    };
    assert_eq!(policy, nothing);
    assert!(
        SHIPPED
            .lines()
            .all(|line| line.is_empty() || line.starts_with('#'))
    );
}

#[test]
fn the_shipped_policy_shows_the_defaults() {
    let policy = parse(&uncommented()).unwrap();
    assert_eq!(policy.engine, EngineSettings::default());
    assert_eq!(policy.hooks.timeout_ms, DEFAULT_HOOK_TIMEOUT_MS);
    assert_eq!(policy.hooks.spread_ms, DEFAULT_HOOK_SPREAD_MS);
    // The keys that have no default are shown by example; every other one is at its default.
    let expected = Workload {
        remotes: vec![repository("registry.example/docker-sonic-telemetry")],
        orchestrated: Some(pattern("k8s_telemetry_*")),
        ready: Some(Ready {
            command: vec!["/usr/lib/tagkeeper/ready/sonic".to_owned()],
            timeout_ms: DEFAULT_READY_TIMEOUT_MS,
        }),
        version_label: Some("org.opencontainers.image.version".to_owned()),
        pressure_percent: Some(85),
        ..Workload::new("telemetry", repository("docker-sonic-telemetry"))
    };
    assert_eq!(policy.policy.workloads.len(), 1);
    assert_eq!(policy.policy.workloads["telemetry"], expected);
}
