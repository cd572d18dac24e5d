//! Real other users: those that every Debian has, by `setpriv`, with no group but their own.
#![allow(clippy::allow_attributes, reason = "every test file uses another part of this one, so `expect` cannot hold")]
#![allow(dead_code, reason = "every test file uses another part of this one")]

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::common::{copy_program, servers_are_required, temp_dir};

/// A user of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: &'static str,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

pub(crate) const ROOT: User = User { name: "root", uid: 0, gid: 0 };
/// An operator who is not root.
pub(crate) const ANN: User = User { name: "daemon", uid: 1, gid: 1 };
/// Nobody's friend.
pub(crate) const EVE: User = User { name: "nobody", uid: 65_534, gid: 65_534 };

/// What a program said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// Whether other users can be had. If not, the test is skipped by name.
#[expect(clippy::print_stdout, reason = "whoever runs the tests must see what was skipped")]
pub(crate) fn are_there() -> bool {
    let can = rustix::process::geteuid().is_root() && Path::new("/usr/bin/setpriv").exists();
    assert!(can || !servers_are_required(), "required: a second user (needs root and setpriv)");
    if !can {
        println!("skipped: a second user (needs root and setpriv; apt install util-linux)");
    }
    can
}

/// A command that a user runs, as after a login, in the directory `/`.
pub(crate) fn command(who: User, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--reuid", &who.uid.to_string(), "--regid", &who.gid.to_string(), "--clear-groups"]).arg("--").arg(program);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/nonexistent").current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a line of a user's shell says.
pub(crate) fn shell(who: User, line: &str) -> Ran {
    Ran::of(command(who, "/bin/sh").args(["-c", line]).output().expect("a shell"))
}

/// What must work.
pub(crate) fn must(who: User, line: &str) {
    let ran = shell(who, line);
    assert_eq!(ran.code, Some(0), "{line}: {}", ran.said());
}

pub(crate) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// A directory that every user can enter, with the program in it: not everybody reaches where it was built.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let dir = temp_dir();
    mode(dir.path(), 0o755);
    let exe = dir.path().join("rollout");
    copy_program(env!("CARGO_BIN_EXE_rollout").as_ref(), &exe);
    mode(&exe, 0o755);
    (dir, exe)
}

/// For whoever runs the tests.
#[expect(clippy::print_stdout, reason = "whoever runs the tests sees what was tried")]
pub(crate) fn print(line: &str) {
    println!("{line}");
}
