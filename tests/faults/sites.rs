//! Instances whose health and version a test decides while a deployment runs.
//!
//! Imports: model. May not: sleep without a condition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rollout::model::{InstanceId, Target, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::answers::target;

/// How an instance answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// 200.
    Well,
    /// 503.
    Sick,
    /// 200 and 503 in turn.
    Flapping,
    /// 503, and at `/started` as well, as one that warms up.
    Warming,
    /// 200, after 60 ms.
    Slow,
    /// Nobody listens.
    Away,
}

/// One instance on a port of its own.
#[derive(Clone)]
pub(crate) struct Site {
    id: InstanceId,
    port: u16,
    told: watch::Sender<(Health, String)>,
}

/// Some of them; gone when this is dropped.
pub(crate) struct Sites {
    all: Vec<Site>,
    _tasks: JoinSet<()>,
}

impl Sites {
    /// web-01 to web-`count`, healthy and on v1.
    pub(crate) async fn new(count: usize) -> Self {
        let (mut all, mut tasks) = (Vec::new(), JoinSet::new());
        for number in 1..=count {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = listener.local_addr().expect("its address").port();
            let (told, heard) = watch::channel((Health::Well, "v1".to_owned()));
            tasks.spawn(listen(listener, port, heard));
            all.push(Site { id: InstanceId::new(&format!("web-{number:02}")).expect("an id"), port, told });
        }
        Self { all, _tasks: tasks }
    }

    pub(crate) fn targets(&self) -> Vec<Target> {
        self.all.iter().map(|site| Target { id: site.id.clone(), ..target(site.port) }).collect()
    }

    pub(crate) fn all(&self, health: Health) {
        for site in &self.all {
            site.set(health);
        }
    }

    pub(crate) fn site(&self, id: &str) -> Site {
        self.all.iter().find(|site| site.id.as_str() == id).expect("one of them").clone()
    }

    /// What an update does to the right one of them.
    pub(crate) fn effect<E: Fn(&Site, &str) + Send + Sync>(&self, effect: E) -> impl Fn(&InstanceId, &Version) + use<E> {
        let all = self.all.clone();
        move |id, version| {
            let site = all.iter().find(|site| site.id == *id).expect("one of them");
            effect(site, version.as_str());
        }
    }
}

impl Site {
    pub(crate) fn set(&self, health: Health) {
        self.told.send_modify(|told| told.0 = health);
    }

    pub(crate) fn runs(&self, version: &str) {
        self.told.send_modify(|told| version.clone_into(&mut told.1));
    }

    pub(crate) fn is(&self, id: &str) -> bool {
        self.id.as_str() == id
    }
}

async fn listen(listener: TcpListener, port: u16, mut heard: watch::Receiver<(Health, String)>) {
    let (mut listener, mut served, asked) = (Some(listener), JoinSet::new(), Arc::new(AtomicU32::new(0)));
    loop {
        let away = heard.borrow_and_update().0 == Health::Away;
        if away {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(("127.0.0.1", port)).await.ok();
        }
        let Some(open) = &listener else {
            if heard.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            changed = heard.changed() => if changed.is_err() { return },
            accepted = open.accept() => if let Ok((stream, _)) = accepted {
                served.spawn(answer(stream, heard.borrow().clone(), asked.fetch_add(1, Ordering::SeqCst)));
            },
        }
    }
}

async fn answer(mut stream: TcpStream, (health, version): (Health, String), number: u32) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_closed) => return,
        }
    }
    let well = match health {
        Health::Well => true,
        Health::Slow => {
            tokio::time::sleep(std::time::Duration::from_millis(60)).await;
            true
        }
        Health::Sick => head.starts_with(b"GET /started "),
        Health::Warming | Health::Away => false,
        Health::Flapping => number.is_multiple_of(2),
    };
    let status = if well { "200 OK" } else { "503 Service Unavailable" };
    let body = format!("{{\"version\":\"{version}\"}}");
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    // A probe that gave up is not there any more.
    stream.write_all(text.as_bytes()).await.ok();
}
