//! A configuration names the commands that we run: one that another user could have written is refused, before anything of it
//! is read, with the command that mends it. The other user is a real one.
//!
//! Imports: `common`, `second_user`. May not: leave a process behind.
#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test ends where it cannot go on")]

mod common;
mod second_user;

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use second_user::{ANN, EVE, ROOT, Ran, User, command, mode, must};
use tempfile::TempDir;
use tokio::time::Instant;

/// Every verb that reads the file.
const VERBS: [&[&str]; 10] = [
    &["deploy", "v2", "--yes"],
    &["plan", "v2"],
    &["rollback", "--yes"],
    &["recover", "--detach"],
    &["engine", "--version", "v2", "--started-by", "eve"],
    &["check"],
    &["status"],
    &["history"],
    &["attach"],
    &["pause"],
];

/// What a user who is at work has: a directory with a file in it.
struct Desk {
    _dir: TempDir,
    exe: PathBuf,
    home: PathBuf,
    who: User,
}

impl Desk {
    fn of(who: User) -> Option<Self> {
        if !second_user::are_there() {
            return None;
        }
        let (dir, exe) = second_user::place();
        let home = dir.path().join("home");
        fs::create_dir_all(home.join("shop")).unwrap();
        let desk = Self { _dir: dir, exe, home, who };
        desk.write(&desk.file());
        for path in [desk.home.clone(), desk.shop()] {
            desk.own(&path, 0o755);
        }
        Some(desk)
    }

    fn shop(&self) -> PathBuf {
        self.home.join("shop")
    }

    fn file(&self) -> PathBuf {
        self.shop().join("rollout.toml")
    }

    fn state(&self) -> PathBuf {
        self.home.join("state")
    }

    fn own(&self, path: &Path, bits: u32) {
        chown(path, Some(self.who.uid), Some(self.who.gid)).unwrap();
        mode(path, bits);
    }

    fn write(&self, path: &Path) {
        fs::write(path, self.text("/bin/true")).unwrap();
        self.own(path, 0o644);
    }

    fn text(&self, program: &str) -> String {
        format!(
            "[service]\nname = \"shop\"\n[fleet]\ndriver = \"command\"\n[[fleet.instance]]\nid = \"web-01\"\nhost = \"127.0.0.1\"\n\
             port = 1\n[update]\ncommand = [{program:?}]\nobserve = [\"/bin/echo\", \"v1\"]\n[traffic]\ndriver = \"none\"\n\
             [journal]\ndir = {:?}\n",
            self.state().display().to_string()
        )
    }

    /// By `--config`.
    fn run(&self, file: &Path, verb: &[&str]) -> Ran {
        Ran::of(command(self.who, &self.exe).arg("--config").arg(file).args(verb).output().unwrap())
    }

    /// As whatever lies in a directory.
    fn run_in(&self, dir: &Path, verb: &[&str]) -> Ran {
        Ran::of(command(self.who, &self.exe).args(verb).current_dir(dir).output().unwrap())
    }

    fn by_variable(&self, file: &Path, verb: &[&str]) -> Ran {
        Ran::of(command(self.who, &self.exe).args(verb).env("ROLLOUT_CONFIG", file).output().unwrap())
    }

    fn assert_refused(&self, ran: &Ran, what: &str, remedy: &str) {
        let said = ran.said();
        assert_eq!(ran.code, Some(2), "{what}: {said}");
        assert!(said.contains(remedy), "{what}: no {remedy:?} in {said}");
        assert!(!said.contains("web-01") && !said.contains("TOML"), "{what}: it was read: {said}");
        assert!(!self.state().exists(), "{what}: something was written");
    }
}

#[test]
fn what_another_user_could_have_written_is_refused_until_it_is_mended() {
    for who in [ROOT, ANN] {
        let Some(desk) = Desk::of(who) else { return };
        let (file, shop, home) = (desk.file(), desk.shop(), desk.home.clone());
        let chmod = |path: &Path| format!("chmod o-w {}", path.display());
        let take = |path: &Path| format!("chown -h root {}", path.display());
        let eves = |path: &Path| chown(path, Some(EVE.uid), Some(EVE.gid)).unwrap();
        let table: [(&str, &dyn Fn(), String); 6] = [
            ("a file that everybody can write", &|| mode(&file, 0o666), chmod(&file)),
            ("in a directory that everybody can write", &|| mode(&shop, 0o777), chmod(&shop)),
            ("further up", &|| mode(&home, 0o707), chmod(&home)),
            ("another's file", &|| eves(&file), take(&file)),
            ("in another's directory", &|| eves(&shop), take(&shop)),
            ("further up", &|| eves(&home), take(&home)),
        ];
        for (what, spoil, remedy) in table {
            spoil();
            for verb in VERBS {
                desk.assert_refused(&desk.run(&file, verb), &format!("{what}, {verb:?}"), &format!("`{remedy}`"));
            }
            desk.assert_refused(&desk.by_variable(&file, &["status"]), what, &remedy);
            desk.assert_refused(&desk.run_in(&shop, &["status"]), what, &remedy);
            must(ROOT, &remedy);
            let ran = desk.run(&file, &["status"]);
            assert_eq!(ran.code, Some(0), "{what}, after {remedy}: {}", ran.said());
        }
    }
}

#[test]
fn what_another_user_plants_is_not_even_read() {
    let Some(desk) = Desk::of(ANN) else { return };
    let (open, shown) = (desk.home.join("open"), desk.home.join("open").display().to_string());
    fs::create_dir(&open).unwrap();
    // As /tmp is: everybody writes, nobody replaces what is another's.
    mode(&open, 0o1777);
    let planted = open.join("rollout.toml");
    // Not TOML: if it were read, that would be said.
    must(EVE, &format!("echo 'not = = TOML' > {shown}/rollout.toml; chmod 644 {shown}/rollout.toml"));
    for verb in VERBS {
        desk.assert_refused(&desk.run_in(&open, verb), "planted in a sticky directory", "nobody (uid 65534)");
    }
    fs::remove_file(&planted).unwrap();
    must(EVE, &format!("mkdir {shown}/conf; ln -s {} {shown}/conf/rollout.toml", desk.file().display()));
    desk.assert_refused(&desk.run(&open.join("conf/rollout.toml"), &["status"]), "a link of hers to ours", "nobody (uid 65534)");
    must(EVE, &format!("ln -s {} {shown}/rollout.toml", desk.file().display()));
    desk.assert_refused(&desk.run_in(&open, &["status"]), "a link of hers in a sticky directory", "chown -h root");
    fs::remove_file(&planted).unwrap();
    // What waits for a writer would hold us for ever.
    for who in [EVE, ANN] {
        must(who, &format!("mkfifo {shown}/rollout.toml"));
        let begun = Instant::now();
        let ran = desk.run_in(&open, &["deploy", "v2", "--yes"]);
        desk.assert_refused(&ran, "a FIFO", "is not a regular file");
        assert!(begun.elapsed() < Duration::from_secs(10));
        fs::remove_file(&planted).unwrap();
    }
    // In a directory that is not sticky she takes ours away and puts hers in its place.
    mode(&open, 0o777);
    desk.write(&planted);
    must(EVE, &format!("cd {shown} && mv rollout.toml mine && cat mine > rollout.toml && chmod 644 rollout.toml"));
    desk.assert_refused(&desk.run_in(&open, &["deploy", "v2", "--yes"]), "in its place", &format!("chmod o-w {shown}"));
}

#[test]
fn what_nobody_else_could_have_written_is_taken() {
    for who in [ROOT, ANN] {
        let Some(desk) = Desk::of(who) else { return };
        let (file, shop, home) = (desk.file(), desk.shop(), desk.home.clone());
        let accepted = |what: &str, ran: &Ran| assert_eq!(ran.code, Some(0), "{what}: {}", ran.said());
        let status: &[&str] = &["status"];
        accepted("ours", &desk.run(&file, status));
        mode(&home, 0o1777);
        accepted("ours below a sticky directory", &desk.run_in(&shop, status));
        symlink("shop/../shop/rollout.toml", home.join("link.toml")).unwrap();
        chown_link(&home.join("link.toml"), who);
        accepted("by a link of ours", &desk.run(&home.join("link.toml"), status));
        for path in [&file, &shop] {
            chown(path, Some(0), Some(0)).unwrap();
        }
        accepted("root's", &desk.run(&file, status));
        // As in a checkout of a user whose umask is 002.
        desk.own(&shop, 0o775);
        desk.own(&file, 0o664);
        let ran = desk.run(&file, &["check"]);
        assert!(!ran.said().contains("can write"), "by the own group alone: {}", ran.said());
    }
}

fn chown_link(path: &Path, who: User) {
    std::os::unix::fs::lchown(path, Some(who.uid), Some(who.gid)).unwrap();
}

/// A repository that a group works in: its members may write it, and `check` says so unless it is the operators' own.
#[test]
fn what_a_group_can_write_is_taken_and_check_names_the_group() {
    let Some(desk) = Desk::of(ROOT) else { return };
    let (file, shop, state) = (desk.file(), desk.shop(), desk.state());
    let group = shell_group();
    mode(&shop, 0o2775);
    chown(&shop, Some(0), Some(EVE.gid)).unwrap();
    // She is a member: what she checks out is hers.
    must(EVE, &format!("cd {} && mv rollout.toml old && cp old rollout.toml && chmod 664 rollout.toml", shop.display()));
    let doubt = |ran: &Ran| ran.said().contains(&format!("the members of group {group} can write {}", shop.display()));
    let ran = desk.run(&file, &["check"]);
    assert!(doubt(&ran), "{}", ran.said());
    assert!(ran.said().contains(&format!("chmod g-w {}", shop.display())), "{}", ran.said());
    assert_eq!(desk.run(&file, &["status"]).code, Some(0));
    // The same group has part in the state.
    fs::create_dir(&state).unwrap();
    chown(&state, Some(0), Some(EVE.gid)).unwrap();
    mode(&state, 0o2770);
    let ran = desk.run(&file, &["check"]);
    assert!(!doubt(&ran) && ran.said().contains(&format!("shared by group {group}")), "{}", ran.said());
    // One who is not of it.
    chown(&file, Some(ANN.uid), None).unwrap();
    let ran = desk.run(&file, &["status"]);
    assert!(ran.code == Some(2) && ran.said().contains("daemon (uid 1)"), "{}", ran.said());
}

/// The name of Eve's group.
fn shell_group() -> String {
    second_user::shell(EVE, "id -gn").out.trim().to_owned()
}

#[test]
fn check_names_a_program_that_anybody_could_replace() {
    let Some(desk) = Desk::of(ANN) else { return };
    let tool = desk.shop().join("tool");
    fs::write(&tool, "#!/bin/sh\n").unwrap();
    desk.own(&tool, 0o755);
    fs::write(desk.file(), desk.text(&tool.display().to_string())).unwrap();
    let check = || desk.run(&desk.file(), &["check"]).said();
    assert!(!check().contains("doubt    program"), "{}", check());
    mode(&tool, 0o757);
    let (line, remedy) = (format!("doubt    program   {}", tool.display()), format!("chmod o-w {}", tool.display()));
    assert!(check().contains(&line) && check().contains(&remedy), "{}", check());
    must(ROOT, &remedy);
    assert!(!check().contains("doubt    program"), "{}", check());
    // A script that an interpreter is given is one as well.
    fs::write(desk.file(), desk.text("/bin/sh").replace("[\"/bin/sh\"]", &format!("[\"sh\", \"{}\"]", tool.display()))).unwrap();
    chown(&tool, Some(EVE.uid), None).unwrap();
    assert!(check().contains(&line) && check().contains("nobody (uid 65534)"), "{}", check());
}

/// What `init` writes nobody else can write, whatever the umask.
#[test]
fn init_writes_a_file_that_is_taken() {
    let Some(desk) = Desk::of(ANN) else { return };
    let file = desk.shop().join("new.toml");
    let haproxy = desk.home.join("haproxy.cfg");
    fs::write(&haproxy, "global\n stats socket /run/haproxy.sock\nbackend shop\n server web-01 127.0.0.1:8080 check\n").unwrap();
    mode(&haproxy, 0o644);
    let line = format!("umask 000; {} --config {} init --from {}", desk.exe.display(), file.display(), haproxy.display());
    must(ANN, &line);
    let ran = desk.run(&file, &["plan", "v2"]);
    assert!(!ran.said().contains("can be written"), "{}", ran.said());
}
