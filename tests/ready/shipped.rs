//! What `make install` brings: the commands under their names, and drop-ins that open what they
//! need and nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::asking::{ID, NAME, PROGRAM, run};
use crate::peers::{Manner, port_at};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn make(target: &str, destdir: &Path) {
    let output = Command::new("make")
        .args(["-C", ROOT, target, "PREFIX=/opt/tk"])
        .arg(format!("DESTDIR={}", destdir.display()))
        .arg(format!("binary={}", env!("CARGO_BIN_EXE_tagkeeper")))
        .arg(format!("ready_binary={PROGRAM}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn installed_commands_work_under_their_names_and_leave_without_a_trace() {
    let root = tempfile::tempdir().unwrap();
    make("install", root.path());
    let lib = root.path().join("opt/tk/lib/tagkeeper");
    let port = port_at("127.0.0.1", Manner::http("200 OK", "")).to_string();
    let mut http = Command::new(lib.join("ready/http"));
    http.arg(&port);
    run(http, ID, NAME).expect_ready();
    for name in ["sonic", "exec", "http"] {
        let mut command = Command::new(lib.join("ready").join(name));
        command.arg("--nonsense");
        run(command, ID, NAME).expect_wrong_usage(&format!("usage: {name} "));
    }
    let dropin = fs::read_to_string(lib.join("dropins/sonic.conf")).unwrap();
    assert!(
        dropin.contains("ln -s /opt/tk/lib/tagkeeper/dropins/sonic.conf"),
        "{dropin}"
    );

    assert!(lib.join("hooks/sonic").is_file() && lib.join("hooks/webhook").is_file());
    assert!(lib.join("dropins/network.conf").is_file());

    make("uninstall", root.path());
    assert!(!lib.exists(), "{:?}", fs::read_dir(&lib));
}

#[test]
fn called_by_no_name_of_a_command_it_says_which_there_are() {
    let mut command = Command::new(PROGRAM);
    command.arg("ping");
    run(command, ID, NAME).expect_wrong_usage("sonic|exec|http");
}

#[test]
fn drop_ins_open_what_is_needed_and_nothing_else() {
    for (name, settings) in [
        ("sonic", &["SupplementaryGroups=redis"][..]),
        (
            "loopback",
            &[
                "PrivateNetwork=no",
                "RestrictAddressFamilies=AF_INET AF_INET6",
                "IPAddressAllow=localhost",
            ],
        ),
        (
            "container-address",
            &[
                "PrivateNetwork=no",
                "RestrictAddressFamilies=AF_INET AF_INET6",
                "IPAddressAllow=localhost 172.16.0.0/12",
            ],
        ),
    ] {
        let text = fs::read_to_string(format!("{ROOT}/ready/dropins/{name}.conf")).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(
            lines.collect::<Vec<_>>(),
            [&["[Service]"], settings].concat(),
            "{name}"
        );
        let link = format!("ln -s /usr/lib/tagkeeper/dropins/{name}.conf");
        assert!(text.contains(&link), "{name} does not say how to link it");
    }
}
