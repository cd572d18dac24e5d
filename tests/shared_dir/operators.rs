//! Throw-away users and their group.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::common::servers_are_required;
use crate::site::Ran;

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The group is one of her supplementary ones.
    Ann,
    /// The group is his primary one.
    Bob,
    /// Of another group.
    Eve,
    Root,
}

/// The lists of users are the machine's: one change at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A group with two members, and a user outside of it. All of them are gone with the value.
pub(crate) struct Operators {
    stem: String,
    _alone: MutexGuard<'static, ()>,
}

#[expect(clippy::print_stdout, reason = "whoever runs the tests must see what was skipped")]
fn can_make_users() -> bool {
    let tools = ["/usr/sbin/useradd", "/usr/sbin/groupadd", "/usr/bin/setpriv"].map(Path::new);
    let can = rustix::process::geteuid().is_root() && tools.iter().all(|tool| tool.exists());
    assert!(can || !servers_are_required(), "required: users of a group (needs root, useradd and setpriv)");
    if !can {
        println!("skipped: users of a group (needs root, useradd and setpriv; apt install passwd util-linux)");
    }
    can
}

fn system(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn must(program: &str, arguments: &[&str]) {
    let said = system(program, arguments);
    assert!(said.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
}

impl Operators {
    /// `None` where that cannot be: the test is skipped.
    pub(crate) fn add() -> Option<Self> {
        if !can_make_users() {
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // What fails half-way is removed as well.
        let operators = Self { stem: format!("rlt{}", std::process::id()), _alone: alone };
        let group = operators.group();
        let add = |who: Who, more: &[&str]| {
            let login = operators.login(who);
            let common = ["--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/sh"];
            must("/usr/sbin/useradd", &[&common[..], more, &[login.as_str()]].concat());
        };
        must("/usr/sbin/groupadd", &["--system", &group]);
        add(Who::Ann, &["--user-group", "--groups", &group]);
        add(Who::Bob, &["--gid", &group]);
        add(Who::Eve, &["--user-group"]);
        Some(operators)
    }

    pub(crate) fn group(&self) -> String {
        format!("{}-ops", self.stem)
    }

    pub(crate) fn login(&self, who: Who) -> String {
        match who {
            Who::Ann => format!("{}-ann", self.stem),
            Who::Bob => format!("{}-bob", self.stem),
            Who::Eve => format!("{}-eve", self.stem),
            Who::Root => "root".to_owned(),
        }
    }

    pub(crate) fn gid(&self) -> u32 {
        number_of(&["group", &self.group()])
    }

    pub(crate) fn uid(&self, who: Who) -> u32 {
        number_of(&["passwd", &self.login(who)])
    }

    /// A command that runs as `who`, as after a login: all groups, another umask for each.
    pub(crate) fn command(&self, who: Who, program: &Path) -> Command {
        let umask = match who {
            Who::Ann => "077",
            Who::Bob => "022",
            Who::Eve => "000",
            Who::Root => "027",
        };
        let (login, group) = (self.login(who), if who == Who::Bob { self.group() } else { self.login(who) });
        let mut command = Command::new("/usr/bin/setpriv");
        command.args(["--reuid", &login, "--regid", &group, "--init-groups"]);
        command.args(["sh", "-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]).arg(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/nonexistent").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What a line in a shell of `who` says.
    pub(crate) fn shell(&self, who: Who, line: &str) -> Ran {
        Ran::of(self.command(who, Path::new("/bin/sh")).args(["-c", line]).output().unwrap())
    }
}

/// The number of an entry of a list.
fn number_of(entry: &[&str]) -> u32 {
    let said = system("/usr/bin/getent", entry);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    said.split(':').nth(2).and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{entry:?}: {said}"))
}

impl Drop for Operators {
    fn drop(&mut self) {
        for who in [Who::Ann, Who::Bob, Who::Eve] {
            system("/usr/sbin/userdel", &["--force", &self.login(who)]);
        }
        system("/usr/sbin/groupdel", &[&self.group()]);
    }
}
