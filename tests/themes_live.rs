//! A theme of one's own in a real console, in tmux: it is on, follows its file, and the list tries others.
//!
//! Imports: nothing of the crate; the program is what is tested. May not: look at anything but the screen.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in the functions that tests share, too")]

#[path = "common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{server, temp_dir, wait_for};
use tempfile::TempDir;

/// The demo in a terminal of its own.
struct Screen {
    tmux: PathBuf,
    dir: TempDir,
}

impl Screen {
    fn start(tmux: PathBuf, theme: &str) -> Self {
        let screen = Self { tmux, dir: temp_dir() };
        std::fs::create_dir_all(screen.folder()).unwrap();
        screen.write(theme);
        let dir = screen.dir.path().display();
        let program = env!("CARGO_BIN_EXE_rollout");
        let env = format!("XDG_CONFIG_HOME={dir} XDG_STATE_HOME={dir}/state TMPDIR={dir} LANG=C.UTF-8 TERM=xterm-256color");
        let demo = format!("{program} demo --instances 2 --set console.theme=mine");
        let command = format!("cd {dir} && exec env -u NO_COLOR -u COLORTERM -u FORCE_COLOR -u ROLLOUT_CONFIG {env} {demo}");
        let out = screen.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", &command]);
        assert!(out.status.success(), "{out:?}");
        screen
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("rollout").join("themes")
    }

    /// As editors write: the whole file at once.
    fn write(&self, theme: &str) {
        let new = self.folder().join("new");
        std::fs::write(&new, theme).unwrap();
        std::fs::rename(new, self.folder().join("mine.toml")).unwrap();
    }

    fn tmux(&self, args: &[&str]) -> Output {
        Command::new(&self.tmux).arg("-S").arg(self.socket()).args(args).output().unwrap()
    }

    fn socket(&self) -> PathBuf {
        Path::new(self.dir.path()).join("tmux")
    }

    fn press(&self, key: &str) {
        assert!(self.tmux(&["send-keys", key]).status.success());
    }

    /// The screen with its colours.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p", "-e"]).stdout).into_owned()
    }

    async fn shows(&self, wanted: &str) -> String {
        wait_for(&format!("{wanted:?}"), async || Some(self.text()).filter(|text| text.contains(wanted))).await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// The badge of a planned deployment in this colour.
fn planned(color: u8) -> String {
    format!("\x1b[38;5;{color}m[PLANNED]")
}

fn theme(color: u8) -> String {
    format!("extends = \"default\"\n[badge]\nplanned = {{ fg = {color} }}\n")
}

#[tokio::test]
async fn a_theme_of_ones_own_is_on_follows_its_file_and_others_are_tried_live() {
    let Some(tmux) = server("tmux") else { return };
    let screen = Screen::start(tmux, &theme(201));
    screen.shows(&planned(201)).await;
    screen.write(&theme(202));
    screen.shows(&planned(202)).await;
    screen.shows("theme mine: its file was read again").await;
    // Broken: what is on stays on, and the screen says where it is broken.
    screen.write(&theme(203).replace("planned", "planed"));
    let text = screen.shows("mine.toml:3:1 badge.planed").await;
    assert!(text.contains(&planned(202)), "{text}");
    screen.write(&theme(204));
    screen.shows(&planned(204)).await;
    // By signal, which without a handler ends a program.
    let pid = String::from_utf8(screen.tmux(&["display-message", "-p", "#{pane_pid}"]).stdout).unwrap();
    screen.write(&theme(205));
    assert!(Command::new("kill").args(["-USR1", pid.trim()]).status().unwrap().success());
    screen.shows(&planned(205)).await;

    screen.press("T");
    let text = screen.shows("> mine").await;
    assert!(text.contains("yours") && text.contains("solarized"), "{text}");
    // The list follows the folder, and the theme that is tried its file.
    screen.write(&theme(206));
    screen.shows(&planned(206)).await;
    screen.press("g");
    screen.shows(&planned(63)).await;
    screen.press("Escape");
    screen.shows(&planned(206)).await;
    screen.press("T");
    screen.shows("> mine").await;
    screen.press("g");
    screen.press("Enter");
    screen.shows("theme = \"default\" under [console] in rollout.toml keeps it").await;
    screen.shows(&planned(63)).await;
    // It leaves nothing behind: the demo ends with its console.
    screen.press("q");
    screen.shows("Leave?").await;
    screen.press("x");
    wait_for("its end", async || (!screen.tmux(&["has-session"]).status.success()).then_some(())).await;
}

/// A theme that cannot be used keeps nobody from the screen.
#[tokio::test]
async fn a_broken_theme_is_a_message_on_a_screen_in_the_default_colours() {
    let Some(tmux) = server("tmux") else { return };
    let screen = Screen::start(tmux, "extends = \"drak\"\n");
    let text = screen.shows("there is no theme \"drak\"; the nearest is dark").await;
    assert!(text.contains(&planned(63)), "{text}");
    // Mended, it is on.
    screen.write(&theme(201));
    screen.shows(&planned(201)).await;
    screen.press("q");
    screen.shows("Leave?").await;
    screen.press("x");
    wait_for("its end", async || (!screen.tmux(&["has-session"]).status.success()).then_some(())).await;
}

/// `rollout theme …`, with these own themes.
fn verb(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollout"));
    command.arg("theme").args(args).current_dir(dir).env("XDG_CONFIG_HOME", dir).env_remove("ROLLOUT_CONFIG");
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn with_themes(themes: &[(&str, &str)]) -> TempDir {
    let dir = temp_dir();
    let folder = dir.path().join("rollout").join("themes");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in themes {
        std::fs::write(folder.join(format!("{name}.toml")), text).unwrap();
    }
    dir
}

fn lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_verb_lists_shows_and_checks_the_themes_without_a_configuration() {
    let faint = "extends = \"light\"\nabout = \"as I like it\"\n[ui]\nmessage = { fg = \"#FFFF00\" }\n";
    let dir = with_themes(&[("mine", faint), ("bad", "[ui]\nheder = {}\n")]);
    let dir = dir.path();

    let (code, out, _) = verb(dir, &["list"]);
    assert_eq!(code, Some(0));
    for said in ["solarized-light", "comes with rollout", "as I like it", "mine.toml", "bad.toml:2:1 ui.heder → unknown key"] {
        assert!(out.contains(said), "{said}: {out}");
    }
    let all = lines(&verb(dir, &["list", "--output", "json"]).1);
    let summary = all.last().unwrap();
    assert_eq!((&summary["type"], &summary["faulty"]), (&"summary".into(), &1.into()));
    assert_eq!(summary["themes"].as_u64().unwrap() + 1, all.len() as u64);

    // No colours into a pipe, unless they are asked for; the file comes first.
    let (code, out, _) = verb(dir, &["show", "mine"]);
    assert_eq!(code, Some(0));
    assert!(out.starts_with(faint) && out.contains("✓ healthy") && !out.contains('\x1b'), "{out}");
    let (_, out, _) = verb(dir, &["show", "mine", "--color", "truecolor", "--ascii"]);
    assert!(out.contains("\x1b[38;2;255;255;0mmessage") && out.contains("+ healthy"), "{out}");
    let (_, out, _) = verb(dir, &["show", "default", "--color", "16"]);
    assert!(out.contains("\x1b[32m✓ healthy") && !out.contains("38;"), "{out}");

    let (code, out, _) = verb(dir, &["check", "mine"]);
    assert_eq!(code, Some(2), "{out}");
    assert!(out.contains("ui.message has a contrast of 1.07:1 on white with truecolor colours; 4.5:1 is the least"), "{out}");
    assert!(out.contains("1.07!") && out.contains("1 theme to mend"), "{out}");
    let (code, out, _) = verb(dir, &["check", "mine", "--output", "json"]);
    let all = lines(&out);
    let contrast =
        all.iter().find(|line| line["part"] == "ui.message" && line["colors"] == "256" && line["background"] == "white");
    assert_eq!((code, &contrast.unwrap()["ok"]), (Some(2), &false.into()));
    assert_eq!(all.last().unwrap()["failed"], 1);
    assert_eq!(verb(dir, &["check", "light"]).0, Some(0));
    // Of all: those that come along pass, mine and the broken one do not.
    let (code, out, _) = verb(dir, &["check"]);
    assert_eq!(code, Some(2));
    assert!(out.contains("solarized: can be read") && out.contains("2 themes to mend"), "{out}");
    // A file, wherever it lies.
    let file = dir.join("rollout/themes/mine.toml");
    assert_eq!(verb(dir, &["check", file.to_str().unwrap()]).0, Some(2));
    assert_eq!(verb(dir, &["check", "./none.toml"]).0, Some(2));
    let (code, _, err) = verb(dir, &["show", "solarised"]);
    assert_eq!((code, err.contains("the nearest is solarized")), (Some(2), true), "{err}");
}

/// What lies in the folder and is no theme keeps nobody waiting.
#[test]
fn a_pipe_a_directory_and_a_giant_are_faults() {
    let dir = with_themes(&[("giant", &"# much\n".repeat(20_000)), ("fine", "extends = \"dark\"")]);
    let folder = dir.path().join("rollout").join("themes");
    std::fs::create_dir(folder.join("dir.toml")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("pipe.toml")).status().unwrap().success());
    std::os::unix::fs::symlink("/nowhere/at/all", folder.join("gone.toml")).unwrap();
    std::fs::write(folder.join("bytes.toml"), [0xff, 0xfe]).unwrap();
    let (code, out, _) = verb(dir.path(), &["list"]);
    assert_eq!(code, Some(0));
    for said in
        ["giant.toml: is larger", "dir.toml: is no file", "pipe.toml: is no file", "gone.toml: cannot be read", "not UTF-8"]
    {
        assert!(out.contains(said), "{said}: {out}");
    }
    assert!(out.contains("fine "), "{out}");
}
