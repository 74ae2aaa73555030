//! Where the programs for tests are. Cargo builds them beside the tests when a whole workspace is tested; when only
//! one crate is, they may be missing or old, and are built here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The scripted agent. For tests: panics when it cannot be built.
pub fn program() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND
        .get_or_init(|| found("wheelhouse-testkit", "scripted-agent"))
        .clone()
}

/// A program that answers `keep` and `rehearse` as the product's binary does. For tests of crates that come before
/// the binary: panics when it cannot be built.
pub fn keeper() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND
        .get_or_init(|| found("wheelhouse-agents", "keep-for-tests"))
        .clone()
}

/// An agent that speaks ACP and does what its prompt says. For tests: panics when it cannot be built.
pub fn acp_agent() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| found("wheelhouse-agents", "acp-agent")).clone()
}

/// An MCP server that does what its file says. For tests: panics when it cannot be built.
pub fn mcp_server() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND
        .get_or_init(|| found("wheelhouse-testkit", "scripted-mcp-server"))
        .clone()
}

#[expect(
    clippy::panic,
    reason = "only tests call this, and there is no test without the program"
)]
fn found(package: &str, binary: &str) -> PathBuf {
    let Some(directory) = beside() else {
        panic!("the directory that this test was built in is unknown")
    };
    let path = directory.join(binary);
    if !is_fresh(&path) {
        build(&directory, package, binary);
    }
    assert!(path.exists(), "{} was not built", path.display());
    path
}

/// The profile's directory: tests lie in its `deps`, examples in its `examples`, other programs in itself.
fn beside() -> Option<PathBuf> {
    let exe = std::env::current_exe().ok()?;
    let directory = exe.parent()?;
    let inner = ["deps", "examples"].iter().any(|name| directory.ends_with(name));
    Some(if inner { directory.parent()? } else { directory }.to_owned())
}

/// Whether it is newer than everything it was built from, as cargo's list beside it says.
fn is_fresh(path: &Path) -> bool {
    let changed = |path: &Path| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
    let list = std::fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    let (Some(built), Some((_, sources))) = (changed(path), list.split_once(": ")) else {
        return false;
    };
    // Spaces within a path are escaped there.
    sources
        .trim()
        .replace("\\ ", "\0")
        .split(' ')
        .map(|source| PathBuf::from(source.replace('\0', " ")))
        .all(|source| changed(&source).is_some_and(|changed| changed <= built))
}

#[expect(
    clippy::panic,
    reason = "only tests call this, and there is no test without the program"
)]
fn build(directory: &Path, package: &str, binary: &str) {
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // Cargo describes to a test the package that it is of. Build scripts that ask for that (ring's does) would take it for
    // a change, and everything above them would be built anew here, and again by the next build outside.
    for (name, _) in std::env::vars_os() {
        let describes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_EXE_", "CARGO_CRATE_"];
        if name
            .to_str()
            .is_some_and(|name| describes.iter().any(|begin| name.starts_with(begin)))
        {
            command.env_remove(&name);
        }
    }
    let built = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "build",
            "--quiet",
            "--package",
            package,
            "--bin",
            binary,
            "--profile",
            profile,
        ])
        .arg("--target-dir")
        .args(directory.parent())
        .status();
    match built {
        Ok(status) if status.success() => {}
        other => panic!("`cargo build --package {package} --bin {binary}` failed: {other:?}"),
    }
}
