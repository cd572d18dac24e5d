//! An engine made of a state and a broadcast.

use super::*;

pub(crate) struct Fake {
    this: std::sync::Weak<Self>,
    pub(crate) kept: Mutex<(Vec<Event>, State)>,
    pub(crate) live: broadcast::Sender<Update>,
    requests: Mutex<Vec<Request>>,
}

/// Live updates that a feed may lag behind.
pub(crate) const LAG: usize = 64;

impl Fake {
    pub(crate) fn new(number: u32) -> Arc<Self> {
        let golden = include_str!("../journal/v1.jsonl");
        let mut first = decode(golden.lines().next().unwrap()).unwrap();
        first.deployment = DeploymentId::new("shop", number);
        if let EventKind::DeploymentPlanned { plan, .. } = &mut first.kind {
            plan.deployment = first.deployment.clone();
        }
        let kept = Mutex::new((vec![first.clone()], State::begin(&first).unwrap()));
        Arc::new_cyclic(|this| Self { this: this.clone(), kept, live: broadcast::Sender::new(LAG), requests: Mutex::default() })
    }

    pub(crate) fn append(&self, kind: EventKind) -> Seq {
        let mut kept = self.kept.lock().unwrap();
        let (events, state) = &mut *kept;
        let event = Event { seq: state.seq.next(), at: state.at, deployment: state.plan.deployment.clone(), kind };
        state.apply(&event).unwrap();
        events.push(event.clone());
        self.live.send(Update::Event(event)).unwrap_or_default();
        state.seq
    }

    pub(crate) fn pause(&self, reason: &str) -> Seq {
        self.append(EventKind::DeploymentPaused {
            by: Actor::Engine,
            reason: reason.to_owned(),
            cause: Cause::Asked,
            until: None,
        })
    }

    pub(crate) fn end(&self) -> Seq {
        self.append(EventKind::DeploymentEnded { ending: Ending::Cancelled, reason: String::new(), vip: None, lb: None })
    }

    pub(crate) fn seq(&self) -> Seq {
        self.kept.lock().unwrap().1.seq
    }

    pub(crate) fn snapshot_now(&self) -> Snapshot {
        let state = self.kept.lock().unwrap().1.clone();
        let progress = Progress { troubles: vec!["from the snapshot".to_owned()], ..Progress::default() };
        Snapshot { format: FORMAT, seq: state.seq, state, progress }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

pub(crate) fn log_line(number: u64) -> LogLine {
    LogLine {
        number,
        at: Timestamp::from_millis(1_790_000_000_000),
        level: "info".to_owned(),
        target: "engine".to_owned(),
        message: format!("line {number}"),
    }
}

impl Engine for Fake {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, SessionError>> {
        async { Ok(self.snapshot_now()) }.boxed()
    }

    fn subscribe(&self, after: Seq) -> Box<dyn Feed> {
        let live = self.live.subscribe();
        let kept = self.kept.lock().unwrap();
        let past = kept.0.iter().filter(|e| e.seq > after).cloned().collect();
        Box::new(FakeFeed { engine: self.this.upgrade().unwrap(), past, live, last: after })
    }

    fn send(&self, request: Request) -> BoxFuture<'static, Result<Receipt, SessionError>> {
        let this = self.this.upgrade().unwrap();
        async move {
            this.requests.lock().unwrap().push(request.clone());
            match request.command {
                Command::Pause { reason } => {
                    let seq =
                        this.append(EventKind::DeploymentPaused { by: request.actor, reason, cause: Cause::Asked, until: None });
                    Ok(Receipt { seq, message: "takes no new instance".to_owned() })
                }
                Command::Start => Err(SessionError::Link("the engine stalls".to_owned())),
                other => Err(Refusal { message: format!("{} is refused here", other.verb()) }.into()),
            }
        }
        .boxed()
    }

    fn logs(&self, after: u64) -> Vec<LogLine> {
        (1..=3).filter(|n| *n > after).map(log_line).collect()
    }
}

pub(crate) struct FakeFeed {
    engine: Arc<Fake>,
    past: VecDeque<Event>,
    live: broadcast::Receiver<Update>,
    last: Seq,
}

impl Feed for FakeFeed {
    fn next(&mut self) -> BoxFuture<'_, Update> {
        async move {
            loop {
                if let Some(event) = self.past.pop_front() {
                    self.last = event.seq;
                    return Update::Event(event);
                }
                if self.engine.kept.lock().unwrap().1.end.is_some() && self.last == self.engine.seq() {
                    return Update::Closed;
                }
                match self.live.recv().await {
                    Ok(Update::Event(event)) if event.seq <= self.last => {}
                    Ok(Update::Event(event)) => {
                        self.last = event.seq;
                        return Update::Event(event);
                    }
                    Ok(update) => return update,
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        self.live = self.engine.live.subscribe();
                        let snapshot = self.engine.snapshot_now();
                        self.last = snapshot.seq;
                        return Update::Resync(Box::new(snapshot));
                    }
                    Err(broadcast::error::RecvError::Closed) => return Update::Closed,
                }
            }
        }
        .boxed()
    }
}
