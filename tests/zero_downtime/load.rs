//! Users: about 200 requests a second by `hey`, and websockets one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use futures::{SinkExt as _, StreamExt as _};
use tokio::time::{Duration, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::common::server;
use crate::hey::{Hey, Rate, assert_nothing_failed, hey_at};
use crate::site::Site;

/// The longest that a healthy websocket may keep its user waiting.
const PATIENCE: Duration = Duration::from_secs(5);
/// Websockets at once.
const TALKERS: usize = 4;

/// Websockets that a user had.
#[derive(Debug, Clone, Copy, Default)]
struct Talked {
    whole: u64,
    cut: u64,
}

/// All of it, until it is ended.
pub(crate) struct Load {
    heys: Vec<(String, Hey)>,
    stop: Arc<AtomicBool>,
    talkers: JoinHandle<Vec<Result<Talked, String>>>,
}

impl Load {
    pub(crate) fn start(site: &Site) -> Self {
        let program = server("hey").expect("looked for before");
        let (fast, slow) = (format!("{}/", site.url()), format!("{}/slow?ms=200", site.url()));
        let plain = Rate { each: 15, users: 4 };
        let slowly = Rate { each: 4, users: 10 };
        let streams = [(&fast, true, plain), (&fast, false, plain), (&slow, true, slowly), (&slow, false, slowly)];
        let heys = streams
            .iter()
            .map(|(url, keep, rate)| (format!("{url}, connections kept: {keep}"), hey_at(&program, url, *keep, *rate)));
        let stop = Arc::new(AtomicBool::new(false));
        let url = format!("{}/ws", site.url().replacen("http://", "ws://", 1));
        let talkers = {
            let (stop, cuts) = (Arc::clone(&stop), !site.balancer.keeps_websockets());
            std::thread::spawn(move || talk(&url, &stop, cuts))
        };
        Self { heys: heys.collect(), stop, talkers }
    }

    /// Ends it. Nothing failed; returns what there was, in words.
    pub(crate) fn ended(self) -> String {
        let requests: u64 = self.heys.into_iter().map(|(what, hey)| assert_nothing_failed(hey, &what)).sum();
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Talked::default();
        for talked in self.talkers.join().unwrap() {
            let Talked { whole, cut } = talked.unwrap_or_else(|why| panic!("a websocket: {why}"));
            (all.whole, all.cut) = (all.whole + whole, all.cut + cut);
        }
        assert!(all.whole > 20, "only {all:?} websockets");
        let cut = if all.cut > 0 { format!(", {} websockets closed by the balancer", all.cut) } else { String::new() };
        format!("{requests} requests and {} websockets, 0 failed{cut}", all.whole)
    }
}

/// Where the balancer `cuts` websockets, one that it closed is counted and not held against us.
fn talk(url: &str, stop: &AtomicBool, cuts: bool) -> Vec<Result<Talked, String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let talkers = (0..TALKERS).map(async |_| {
        let mut talked = Talked::default();
        while !stop.load(Ordering::Relaxed) {
            match timeout(PATIENCE, conversation(url)).await.map_err(|_elapsed| "no answer in 5s".to_owned())? {
                Ok(()) => talked.whole += 1,
                Err(Trouble::Closed(_)) if cuts => talked.cut += 1,
                Err(Trouble::Closed(why) | Trouble::Refused(why)) => return Err(why),
            }
        }
        Ok(talked)
    });
    runtime.block_on(futures::future::join_all(talkers))
}

/// Why a conversation did not go as it should.
enum Trouble {
    Refused(String),
    Closed(String),
}

/// Opens one, hears three echoes, a tenth of a second apart, and closes it.
async fn conversation(url: &str) -> Result<(), Trouble> {
    let refused = |e| Trouble::Refused(format!("cannot be opened: {e}"));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.map_err(refused)?;
    for number in 0..3 {
        let said = format!("hello {number}");
        socket.send(Message::text(said.clone())).await.map_err(|e| Trouble::Closed(format!("cannot be written: {e}")))?;
        match socket.next().await {
            Some(Ok(Message::Text(heard))) if heard.as_str() == said => {}
            other => return Err(Trouble::Closed(format!("said {said:?}, heard {other:?}"))),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    socket.close(None).await.map_err(|e| Trouble::Closed(format!("cannot be closed: {e}")))?;
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}
