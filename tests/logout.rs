//! A deployment outlives the logout of whoever started it, or says before that it will not: a whole host with systemd, its
//! logind told to kill what a session leaves behind, and real logins over its sshd.
//!
//! Imports: the library. May not: sleep without a condition.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it cannot go on")]

#[path = "common/mod.rs"]
mod common;
mod machine;
#[path = "ssh_drop/terminal.rs"]
#[allow(clippy::allow_attributes, reason = "shared with ssh_drop, which uses more of it")]
#[allow(dead_code, reason = "shared with ssh_drop, which uses more of it")]
mod terminal;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{copy_program, free_port, server, servers_are_required, temp_dir};
use machine::{Machine, Tree};
use serde_json::Value;
use tempfile::TempDir;
use terminal::{Terminal, wait};

/// Who may log in: one lingers, one does not.
const LINGERS: &str = "op";
const DOES_NOT: &str = "ann";

/// What a user who does not linger is told before.
const WARNING: &str = "this deployment will not survive a logout: loginctl enable-linger ann";

/// A host with the program on it.
struct Host {
    _machine: Machine,
    ssh: PathBuf,
    ssh_config: PathBuf,
    _dir: TempDir,
}

/// A fleet of files: what is to be seen here is the engine's life.
fn config(home: &str) -> String {
    let id = "{{ instance.id }}";
    format!(
        r#"[service]
name = "files"
[fleet]
driver = "command"
instances = ["web-[01:04]"]
port = 8080
[update]
command = ["sh", "-c", "echo $1 > {home}/$2", "sh", "{{{{ version }}}}", "{id}"]
idempotent = true
[update.observe]
command = ["cat", "{home}/{id}"]
regex = "(\\S+)"
[traffic]
driver = "none"
[drain]
timeout = "1s"
[health]
probe = "exec"
command = ["test", "-s", "{home}/{id}"]
interval = "100ms"
[strategy]
batch_size = 1
batch_pause = "2s"
[journal]
dir = "{home}/state"
"#
    )
}

impl Host {
    /// `None` where it cannot be: the test is skipped.
    #[expect(clippy::print_stdout, reason = "whoever runs the tests must see what was skipped")]
    fn boot() -> Option<Self> {
        let (dir, ssh) = (temp_dir(), server("ssh")?);
        let tree = Tree::new(dir.path())?;
        copy_program(env!("CARGO_BIN_EXE_rollout").as_ref(), &tree.path("usr/bin/rollout"));
        tree.write("etc/systemd/logind.conf.d/kill.conf", 0o644, "[Login]\nKillUserProcesses=yes\n");
        for (login, uid) in [(LINGERS, 4711), (DOES_NOT, 4712)] {
            let home = format!("/home/{login}");
            tree.user(login, uid, &home);
            let mut files = vec![("rollout.toml".to_owned(), config(&home))];
            files.extend((1..=4).map(|number| (format!("web-0{number}"), "v1\n".to_owned())));
            for (name, text) in files {
                let path = format!("home/{login}/{name}");
                tree.write(&path, 0o644, &text);
                std::os::unix::fs::chown(tree.path(&path), Some(uid), Some(uid)).unwrap();
            }
        }
        tree.write("etc/sudoers.d/ann", 0o440, "ann ALL=(root) NOPASSWD: ALL\n");
        // As `loginctl enable-linger` does it.
        tree.write(&format!("var/lib/systemd/linger/{LINGERS}"), 0o644, "");
        let ssh_config = tree.sshd(dir.path(), free_port(), "UsePAM yes\n");
        let host = Self { _machine: tree.boot(), ssh, ssh_config, _dir: dir };
        wait("the host to boot", || host.run(LINGERS, "systemctl --user is-system-running").0.then_some(()));
        let (runs, said) = host.run(LINGERS, "rollout --version");
        if !runs {
            assert!(!servers_are_required(), "the program does not run on Debian 12: {said}");
            println!("skipped: the program does not run on Debian 12: {said}");
            return None;
        }
        Some(host)
    }

    fn command(&self, login: &str, line: &str) -> Command {
        let mut command = Command::new(&self.ssh);
        command.arg("-F").arg(&self.ssh_config).args(["-q", "-l", login, "host", line]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Logs in, runs a line of shell, and logs out: whether it succeeded, and what it said.
    fn run(&self, login: &str, line: &str) -> (bool, String) {
        let ran = self.command(login, line).output().unwrap();
        (ran.status.success(), [ran.stdout, ran.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat())
    }

    fn status(&self, login: &str) -> Value {
        serde_json::from_str(self.run(login, "rollout status --output json 2>/dev/null").1.trim()).unwrap_or_default()
    }

    /// Nobody of this name is logged in any more.
    fn is_logged_out(&self, login: &str, as_seen_by: &str) {
        wait("the end of the session", || {
            let (_, sessions) = self.run(as_seen_by, "loginctl list-sessions --no-legend");
            (!sessions.is_empty() && !sessions.contains(&format!(" {login} "))).then_some(())
        });
    }
}

#[test]
fn with_lingering_a_deployment_goes_on_after_the_logout() {
    let Some(host) = Host::boot() else { return };
    let (_, plan) = host.run(LINGERS, "rollout plan v2");
    assert!(plan.contains("batch   4") && !plan.contains("logout"), "{plan}");

    let (begun, said) = host.run(LINGERS, "rollout deploy v2 --yes --detach");
    assert!(begun && !said.contains("logout"), "{said}");
    host.is_logged_out(LINGERS, DOES_NOT);
    let (_, cgroup) = host.run(LINGERS, "cat /proc/$(cat state/files.default/engine.lock)/cgroup");
    assert!(cgroup.contains("/user@4711.service/"), "{cgroup}");
    let (completed, said) = host.run(LINGERS, "rollout attach");
    assert!(completed && said.contains("4/4 updated"), "{said}");

    // As root, whoever logged in: the machine's own manager has it. What belongs to op is not root's to trust.
    let (installed, said) = host.run(DOES_NOT, "sudo install -m 644 /home/op/rollout.toml /etc/rollout.toml");
    assert!(installed, "{said}");
    let (begun, said) =
        host.run(DOES_NOT, "sudo rollout --config /etc/rollout.toml --set journal.dir=/var/lib/rollout deploy v9 --yes --detach");
    assert!(begun && !said.contains("logout"), "{said}");
    host.is_logged_out(DOES_NOT, LINGERS);
    let (_, cgroup) = host.run(DOES_NOT, "sudo sh -c 'cat /proc/$(cat /var/lib/rollout/files.default/engine.lock)/cgroup'");
    assert!(cgroup.contains("/system.slice/"), "{cgroup}");
    let (completed, said) =
        host.run(DOES_NOT, "sudo rollout --config /etc/rollout.toml --set journal.dir=/var/lib/rollout attach");
    assert!(completed && said.contains("4/4 updated"), "{said}");

    // The link drops under a console.
    let mut console = Terminal::open(&host.ssh, &host.ssh_config, &format!("{LINGERS}@host"), "rollout deploy v3");
    console.question();
    assert!(!console.text().contains("TROUBLE"), "{}", console.text());
    console.press("y");
    console.shows("[RUN]");
    console.drop_link();
    host.is_logged_out(LINGERS, DOES_NOT);
    let (completed, said) = host.run(LINGERS, "rollout attach");
    assert!(completed && said.contains("4/4 updated"), "{said}");
}

#[test]
fn without_lingering_it_is_said_before() {
    let Some(host) = Host::boot() else { return };
    let (_, plan) = host.run(DOES_NOT, "rollout plan v2 | tr -s ' \\n' ' '");
    assert!(plan.contains(WARNING), "{plan}");
    let (_, plan) = host.run(DOES_NOT, "rollout plan v2 --output json");
    assert!(plan.contains(WARNING), "{plan}");

    let mut console = Terminal::open(&host.ssh, &host.ssh_config, &format!("{DOES_NOT}@host"), "rollout deploy v2");
    console.question();
    assert!(console.text().contains("TROUBLE: this deployment will not survive a logout"), "{}", console.text());
    console.press("y");
    console.shows("[RUN]");
    assert_eq!(host.status(DOES_NOT)["troubles"], Value::from(vec![WARNING]));
    // It is true.
    console.drop_link();
    host.is_logged_out(DOES_NOT, LINGERS);
    wait("the engine's end", || (host.status(DOES_NOT)["status"] == "interrupted").then_some(()));
    let (_, said) = host.run(DOES_NOT, "rollout recover --continue --detach");
    assert!(said.contains(&format!("warning: {WARNING}")), "{said}");
}
