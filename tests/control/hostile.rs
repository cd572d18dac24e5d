//! Hostile and broken peers hurt only themselves.

use super::*;

#[tokio::test]
async fn garbage_hurts_only_who_sends_it() {
    let running = Running::start_within(Limits { request: Duration::from_millis(300), ..Limits::default() });
    let mut bystander = running.client().await;
    let path = running.path();
    let mut noise = Vec::new();
    let mut word = 0x2545_F491_4F6C_DD1D_u64;
    for _ in 0..200_000 {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        noise.push(word.to_le_bytes()[0]);
    }
    let huge_head = format!("GET / HTTP/1.1\r\nx: {}\r\n", "y".repeat(300_000));
    let chunked = format!(
        "POST /v1/commands HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        format!("8000\r\n{}\r\n", "z".repeat(0x8000)).repeat(4)
    );
    let raws: [(&[u8], &str); 9] = [
        (&noise, ""),
        (b"\0\0\0\0\r\n\r\n", "400"),
        (b"GET / HTTP/9.9\r\n\r\n", "400"),
        (huge_head.as_bytes(), "431"),
        (b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 4294967296\r\n\r\nabc", "413"),
        (b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "400"),
        (chunked.as_bytes(), "413"),
        (b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{\"command\":", "408"),
        (b"GET /v1/deployment HTTP/1.1\r\nHo", ""),
    ];
    for (bytes, status) in raws {
        let answer = raw(&path, bytes).await;
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(70)]).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{head:?}: {answer}");
        assert!(answer.split(' ').nth(1).unwrap_or_default().starts_with(status), "{head:?}: {answer}");
    }
    // Gone in the middle of a request and of an answer.
    for bytes in [&b"POST /v1/comm"[..], b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(bytes).await.unwrap();
    }
    running.engine.pause("still here");
    assert_eq!(reason_of(&next_event(&mut bystander).await), "still here");
    assert_eq!(running.engine.requests(), []);
}

#[tokio::test]
async fn too_many_connections_are_dropped_until_there_is_room() {
    let running = Running::start_within(Limits { connections: 4, ..Limits::default() });
    let path = running.path();
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(UnixStream::connect(&path).await.unwrap());
    }
    let fifth = raw(&path, b"").await;
    assert!(fifth.starts_with("HTTP/1.1 503 ") && fifth.contains("there are 4 connections open"), "{fifth}");
    drop(idle);
    let recovered = async {
        while Client::connect_with(&path, hasty()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within(recovered).await;
}

/// What the engine answers to a command of a user with these ids; `None` where nobody can be another user.
#[expect(clippy::print_stdout, reason = "whoever runs the tests must see what was skipped")]
async fn pause_as(running: &Running, ids: &[&str]) -> Option<String> {
    // As if the directory had been opened by mistake: the kernel's word is the second lock.
    let (dir, path) = (running.dir.path(), running.path());
    let opened = std::fs::metadata(dir).unwrap().permissions().mode() | 0o011;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(opened)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let mut command = tokio::process::Command::new("setpriv");
    command.args(ids).args(["curl", "--silent", "--show-error", "--max-time", "10"]);
    command.args(["--write-out", " %{http_code}", "--data", r#"{"command":"pause"}"#, "--unix-socket"]);
    let output = command.arg(&path).arg("http://localhost/v1/commands").output().await;
    let is_root = std::fs::metadata(&path).unwrap().uid() == 0;
    let Some(output) = output.ok().filter(|output| is_root && output.status.code() != Some(127)) else {
        println!("skipped: a client of another user (needs root, setpriv and curl; apt install util-linux curl)");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn another_user_is_refused() {
    let running = Running::start();
    let Some(answer) = pause_as(&running, &["--reuid=65534", "--regid=65534", "--clear-groups"]).await else { return };
    assert!(answer.contains("only the engine's own user") && answer.contains("not uid 65534"), "{answer}");
    assert!(answer.ends_with(" 403"), "{answer}");
    assert_eq!(running.engine.requests(), []);
}

#[tokio::test]
async fn in_a_shared_directory_the_members_of_its_group_are_served_and_nobody_else() {
    // A number that no list has: the kernel alone knows who is a member.
    const GROUP: &str = "4000000010";
    let dir = private_dir();
    if std::os::unix::fs::chown(dir.path(), None, GROUP.parse().ok()).is_err() {
        println!("skipped: a directory of another group (needs root)");
        return;
    }
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o2770)).unwrap();
    let running = Running::start_in(dir, Limits::default());
    let meta = std::fs::metadata(running.path()).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.gid().to_string().as_str()), (0o660, GROUP));
    let own = format!("--regid={GROUP}");
    let as_member = pause_as(&running, &["--reuid=65534", &own, "--clear-groups"]).await;
    let Some(answer) = as_member else { return };
    assert!(answer.ends_with(" 200"), "by the own group: {answer}");
    let more = format!("--groups=7,{GROUP}");
    let answer = pause_as(&running, &["--reuid=65533", "--regid=65533", &more]).await.unwrap();
    assert!(answer.ends_with(" 200"), "by one of the others: {answer}");
    let uids: Vec<Actor> = running.engine.requests().into_iter().map(|request| request.actor).collect();
    let nobody = Actor::operator("nobody", 65_534);
    assert_eq!(uids, [nobody, Actor::operator("65533", 65_533)]);
    let answer = pause_as(&running, &["--reuid=65533", "--regid=65533", "--groups=7"]).await.unwrap();
    assert!(answer.contains(&format!("only members of group {GROUP} and root")) && answer.ends_with(" 403"), "{answer}");
    assert_eq!(running.engine.requests().len(), 2);
}

#[tokio::test]
async fn curl_is_a_client() {
    let running = Running::start();
    let curl = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "10", "--unix-socket"]).arg(running.path()).args(arguments);
        let output = command.output().await.ok()?;
        assert!(output.status.success(), "{output:?}");
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let Some(snapshot) = curl(&["http://localhost/v1/deployment"]).await else {
        println!("skipped: curl (apt install curl)");
        return;
    };
    let snapshot: Snapshot = serde_json::from_str(&snapshot).unwrap();
    assert_eq!(snapshot.seq, Seq(1));
    let receipt = curl(&["http://localhost/v1/commands", "-d", r#"{"command":"pause","reason":"by curl"}"#]).await.unwrap();
    assert_eq!(serde_json::from_str::<Receipt>(&receipt).unwrap().seq, Seq(2));
    running.engine.end();
    let stream = curl(&["--no-buffer", "http://localhost/v1/events"]).await.unwrap();
    assert_eq!(stream.matches("event: event\n").count(), 3);
    assert!(stream.contains("by curl") && stream.ends_with("event: closed\ndata: {}\n\n"), "{stream}");
}
