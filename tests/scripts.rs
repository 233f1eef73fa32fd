//! Every shell script of the repository, those of the packages included, by shellcheck.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where scripts are. Those of the RPM package have no first line that names their shell: rpm runs them by `sh`.
const PLACES: [&str; 8] = [
    ".ci",
    "bench",
    "demo",
    "hooks",
    "packaging/debian",
    "packaging/rpm",
    "ready",
    "scripts",
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
