//! A link that can fail.

use super::*;

/// Carries bytes between clients and a server, and can fail like a link.
pub(crate) struct Proxy {
    dir: TempDir,
    /// Ends all connections that are open.
    epoch: tokio::sync::watch::Sender<u64>,
    /// Connections stay, but nothing comes from the server any more.
    pub(crate) frozen: Arc<AtomicBool>,
    /// The next answer to a POST is dropped with its connection, after the server gave it.
    pub(crate) swallow_an_answer: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) fn start(server: &Path) -> Self {
        let dir = private_dir();
        let listener = UnixListener::bind(dir.path().join("engine.sock")).unwrap();
        let (epoch, frozen, swallow) =
            (tokio::sync::watch::Sender::new(0), Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (server, mut tasks) = (server.to_owned(), JoinSet::new());
        let (cut, flags) = (epoch.subscribe(), (Arc::clone(&frozen), Arc::clone(&swallow)));
        tasks.spawn(async move {
            let mut carried = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let upstream = UnixStream::connect(&server).await.unwrap();
                let (mut cut, flags) = (cut.clone(), flags.clone());
                cut.mark_unchanged();
                carried.spawn(async move {
                    tokio::select! {
                        () = carry(client, upstream, flags) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { dir, epoch, frozen, swallow_an_answer: swallow, _tasks: tasks }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("engine.sock")
    }

    pub(crate) fn cut(&self) {
        self.epoch.send_modify(|epoch| *epoch += 1);
    }
}

async fn carry(mut client: UnixStream, mut server: UnixStream, (frozen, swallow): (Arc<AtomicBool>, Arc<AtomicBool>)) {
    let (mut up, mut down, mut posted) = ([0; 4096], [0; 4096], false);
    loop {
        tokio::select! {
            read = client.read(&mut up) => match read {
                Ok(n) if n > 0 => {
                    posted |= up.starts_with(b"POST");
                    server.write_all(&up[..n]).await.unwrap();
                }
                Ok(_) | Err(_) => return,
            },
            read = server.read(&mut down) => match read {
                Ok(n) if n > 0 => {
                    if posted && swallow.swap(false, Ordering::SeqCst) {
                        return;
                    }
                    if !frozen.load(Ordering::SeqCst) && client.write_all(&down[..n]).await.is_err() {
                        return;
                    }
                }
                Ok(_) | Err(_) => return,
            },
        }
    }
}
