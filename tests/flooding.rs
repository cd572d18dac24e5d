//! Programs that print without end: the engine's memory and its directory stay as small as without them.
//!
//! Imports: the library, `common`. May not: leave a process behind.
#![expect(clippy::expect_used, reason = "a test ends where it cannot go on")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{temp_dir, wait_for};
use rollout::control::engine_pid;

/// Bytes of each of two instances, in lines of twenty: five million lines in all.
const PRINTED: u64 = 50_000_000;
/// The most that the engine may ever have had in memory, in KiB. Without the flood it has some 30 MiB.
const MEMORY: u64 = 96 * 1024;

fn config(dir: &Path) -> String {
    let script = format!(
        "yes 'nineteen characters' | head -c {PRINTED}; yes 'nineteen characters' | head -c {PRINTED} >&2; echo $2 > {0}/$1",
        dir.display()
    );
    format!(
        r#"
[service]
name = "shop"
[fleet]
driver = "command"
[[fleet.instance]]
id = "web-01"
host = "127.0.0.1"
port = 8001
[[fleet.instance]]
id = "web-02"
host = "127.0.0.1"
port = 8002
[update]
command = ["/bin/sh", "-c", {script:?}, "sh", "{{{{ instance.id }}}}", "{{{{ version }}}}"]
observe = ["/bin/cat", "{0}/{{{{ instance.id }}}}"]
timeout = "5m"
[traffic]
driver = "none"
[drain]
timeout = "0s"
[health]
probe = "exec"
command = ["/bin/sh", "-c", "yes 'nineteen characters' | head -c 1000000"]
interval = "100ms"
timeout = "30s"
rise = 1
[strategy]
batch_size = 1
batch_pause = "10ms"
max_unavailable = 1
[journal]
dir = "{0}/state"
"#,
        dir.display()
    )
}

/// The most that a process ever had in memory, in KiB.
fn peak(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").trim().parse().ok()
}

#[tokio::test]
async fn a_flood_of_output_is_read_and_forgotten() {
    let dir = temp_dir();
    for id in ["web-01", "web-02"] {
        fs::write(dir.path().join(id), "v1\n").unwrap();
    }
    let file = dir.path().join("rollout.toml");
    fs::write(&file, config(dir.path())).unwrap();
    let service = dir.path().join("state/shop.default");
    let said = dir.path().join("stderr");
    let mut deploy = Command::new(env!("CARGO_BIN_EXE_rollout"))
        .arg("--config")
        .arg(&file)
        .args(["deploy", "v2", "--yes", "--output", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let pid = wait_for("the engine is there", async || {
        assert_eq!(deploy.try_wait().unwrap(), None, "{}", fs::read_to_string(&said).unwrap());
        engine_pid(&service.join("engine.sock"))
    })
    .await;
    let (mut most, begun) = (0, tokio::time::Instant::now());
    let code = wait_for("it ends", async || {
        most = most.max(peak(pid).unwrap_or_default());
        deploy.try_wait().unwrap()
    })
    .await;
    let files: Vec<(String, u64)> = fs::read_dir(&service)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.metadata().unwrap().len()))
        .collect();
    println!("{} MB printed in {:?}; the engine had {most} KiB at most; {files:?}", 4 * PRINTED / 1_000_000, begun.elapsed());
    assert_eq!(code.code(), Some(0), "{}", fs::read_to_string(&said).unwrap());
    assert!(most > 0 && most < MEMORY, "{most} KiB");
    assert!(files.iter().map(|(_, size)| size).sum::<u64>() < 2_000_000, "{files:?}");
}
