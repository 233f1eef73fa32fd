//! Leaves the tables for unwinding out of what ships: the program aborts on a panic (Cargo.toml), so
//! only a backtrace would read them, and a stripped program has no names for one.

#![allow(
    clippy::print_stdout,
    reason = "this is how a build script speaks to cargo"
)]

use std::env::var;

const LINKER_SCRIPT: &str = "packaging/no-unwind-tables.ld";

fn main() {
    println!("cargo::rerun-if-changed={LINKER_SCRIPT}");
    let is = |name: &str, value: &str| var(name).is_ok_and(|is| is == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        let here = var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-T{here}/{LINKER_SCRIPT}");
    }
}
