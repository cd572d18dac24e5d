//! The socket's life: private, one engine's, gone at the end.

use super::*;

#[tokio::test]
async fn the_socket_is_private_one_engines_and_gone_at_the_end() {
    let running = Running::start();
    let path = running.path();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(engine_pid(&path), Some(i32::try_from(std::process::id()).unwrap()));
    match Server::bind(&path, Fake::new(1)) {
        Err(error @ ControlError::AlreadyRuns { .. }) => {
            let text = error.to_string();
            assert!(text.contains(&format!("(pid {})", std::process::id())) && text.contains("rollout attach"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(running.client().await.snapshot().await.unwrap().seq, Seq(1), "the first is not disturbed");
    let dir = running.stop().await;
    assert!(!path.exists());
    assert_eq!(engine_pid(&path), None);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["engine.lock"]);
    let error = Client::connect(&path).await.unwrap_err().to_string();
    assert!(error.contains("no engine answers at"), "{error}");
}

#[tokio::test]
async fn what_a_dead_engine_left_is_replaced() {
    let dir = private_dir();
    let path = dir.path().join("engine.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists() && engine_pid(&path).is_none(), "a socket that nobody serves");
    let server = Server::bind(&path, Fake::new(1)).unwrap();
    assert!(engine_pid(&path).is_some());
    drop(server);
    assert!(!path.exists(), "dropping it removes it too");
}

#[tokio::test]
async fn a_place_that_does_not_do_is_refused_with_the_remedy() {
    let dir = private_dir();
    let refused = |path: &Path| Server::bind(path, Fake::new(1)).unwrap_err().to_string();
    let file = dir.path().join("engine.sock");
    std::fs::write(&file, "precious").unwrap();
    assert!(
        refused(&file).contains("no socket lies there") && refused(&file).contains(&format!("`mv {}", file.display())),
        "{}",
        refused(&file)
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    std::fs::remove_file(&file).unwrap();

    let alive = UnixListener::bind(&file).unwrap();
    assert!(refused(&file).contains("already runs"), "a living one without our lock: {}", refused(&file));
    drop(alive);

    let long = dir.path().join("x".repeat(100));
    assert!(refused(&long).contains("shorter [journal] dir"), "{}", refused(&long));
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(refused(&file).contains("chmod 700"), "{}", refused(&file));
}

#[tokio::test]
async fn the_end_waits_for_nobody() {
    let running = Running::start_within(Limits { farewell: Duration::from_millis(400), ..Limits::default() });
    let mut reader = running.client().await;
    running.engine.pause("one");
    next_event(&mut reader).await;
    // One that never reads, with more than its socket can hold, and one in the middle of a request.
    let mut deaf = UnixStream::connect(running.path()).await.unwrap();
    for _ in 0..500 {
        running.engine.pause(&"x".repeat(4000));
    }
    deaf.write_all(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut half = UnixStream::connect(running.path()).await.unwrap();
    half.write_all(b"GET /v1/ev").await.unwrap();
    running.stop.cancel();
    let closed = async {
        loop {
            match next(&mut reader).await {
                // It left before the end: another may come.
                Update::Gone => break,
                Update::Event(_) | Update::Resync(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    closed.await;
    running.stop().await;
}
