//! What tests share: servers that may be missing, ports, bounded waits.
//!
//! Imports: nothing of the crate. May not: sleep without a condition.
#![allow(clippy::allow_attributes, reason = "every test file uses another part of this one, so `expect` cannot hold")]
#![allow(dead_code, reason = "every test file uses another part of this one")]

use std::env;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

/// The longest that a test waits for anything; only a failing test ever waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(5);

/// The path of a program that Debian does not have; as [`server`], `source` says where it comes from.
pub(crate) fn foreign(name: &str, source: &str) -> Option<PathBuf> {
    found(name, source)
}

/// The path of a server's binary. If it is not installed, prints how to install it and returns `None`: the test returns.
///
/// # Panics
/// Where `ROLLOUT_REQUIRE_SERVERS=1`, a missing server is a failure.
pub(crate) fn server(name: &str) -> Option<PathBuf> {
    let package = match name {
        "nginx" => "nginx-light",
        "dnsmasq" => "dnsmasq-base",
        "sshd" => "openssh-server",
        "ssh" | "ssh-keygen" => "openssh-client",
        "systemd-nspawn" => "systemd-container",
        "docker" | "dockerd" => "docker.io",
        "busybox" => "busybox-static",
        "ip" => "iproute2",
        "ansible" | "ansible-inventory" | "ansible-playbook" => "ansible-core",
        other => other,
    };
    found(name, &format!("apt install {package}"))
}

#[expect(clippy::print_stdout, reason = "whoever runs the tests must see what was skipped")]
fn found(name: &str, source: &str) -> Option<PathBuf> {
    let dirs = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&dirs).chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    let found = dirs.map(|dir| dir.join(name)).find(|path| path.is_file());
    if found.is_none() {
        let missing = format!("{name} ({source})");
        assert!(!servers_are_required(), "required, but not installed: {missing}");
        println!("skipped: {missing}");
    }
    found
}

/// Whether a test fails that cannot have its server, instead of being skipped.
pub(crate) fn servers_are_required() -> bool {
    env::var_os("ROLLOUT_REQUIRE_SERVERS").is_some_and(|value| value == "1")
}

/// A port of the loopback interface that nobody uses now. For servers that cannot take port 0 themselves.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// A directory that vanishes with its value. Its path is short enough for Unix sockets in it.
pub(crate) fn temp_dir() -> TempDir {
    tempfile::Builder::new().prefix("rollout-").tempdir().expect("a temporary directory")
}

/// A copy of a program that can be started at once. Copied by a process of its own: a program that this process has open for
/// writing, while another test starts something, is "text file busy" for as long as that something has not become another.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg(from).arg(to).status().expect("cp");
    assert!(copied.success(), "cp to {}: {copied}", to.display());
}

/// Looks again and again until `look` finds something, and returns that.
///
/// # Panics
/// If it finds nothing within [`PATIENCE`].
pub(crate) async fn wait_for<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(POLL).await;
    }
}
