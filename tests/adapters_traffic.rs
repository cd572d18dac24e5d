//! The traffic drivers `command`, `http` and `none` against real programs and a real HTTP server.
//!
//! Imports: traffic, model, ports. May not: sleep without a condition.
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use common::{free_port, temp_dir};
use rollout::model::{InstanceId, Rotation, Span, Target};
use rollout::os::extract::Extract;
use rollout::os::program::Environment;
use rollout::ports::{TrafficDriver, TrafficError};
use rollout::traffic::{self, Asked, CommandSettings, HttpSettings, Request, Settings};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

fn target(id: &str) -> Target {
    let id = InstanceId::new(id).expect("an id");
    Target { id, host: "127.0.0.1".to_owned(), port: 8080, zone: None, labels: BTreeMap::default() }
}

fn id(text: &str) -> InstanceId {
    InstanceId::new(text).expect("an id")
}

/// A balancer of files: `ID` holds its state, `ID.sessions` its connections, `log` the orders.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new(states: &[(&str, &str)]) -> Self {
        let files = Self { dir: temp_dir() };
        for (id, state) in states {
            files.write(id, state);
        }
        files
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).expect("a file");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// A script in the balancer's directory; `$0` is the instance.
    fn script(&self, script: &str) -> Vec<String> {
        let script = format!("cd {} || exit 99; {script}", self.dir.path().display());
        ["sh", "-c", &script, "{{ instance.id }}"].map(str::to_owned).to_vec()
    }

    fn asked(&self, script: &str) -> Asked {
        Asked { argv: self.script(script), answer: Extract::FirstLine }
    }

    fn settings(&self) -> CommandSettings {
        CommandSettings {
            service: "shop".to_owned(),
            out: self.script("echo out $0 >> log; echo out > $0"),
            into: self.script("echo in $0 >> log; echo in > $0"),
            state: self.asked("cat $0"),
            list: None,
            sessions: None,
            states: BTreeMap::from([("healthy".to_owned(), Rotation::Serving), ("unused".to_owned(), Rotation::Draining)]),
            env: Environment::default(),
            timeout: Span::from_secs(2),
        }
    }
}

fn command(settings: CommandSettings) -> Arc<dyn TrafficDriver> {
    traffic::build(&Settings::Command(Box::new(settings))).expect("settings that work")
}

#[tokio::test]
async fn commands_take_out_and_put_in_and_are_read_back() {
    let files = Files::new(&[("web-1", "in"), ("web-2", "healthy"), ("web-3", "down")]);
    let driver = command(files.settings());
    let all = [target("web-1"), target("web-2"), target("web-3")];
    let states = driver.read(&all).await.expect("states");
    let wanted = [("web-1", Rotation::Serving), ("web-2", Rotation::Serving), ("web-3", Rotation::Down)];
    assert_eq!(states, wanted.map(|(name, rotation)| (id(name), rotation)).into());
    assert_eq!(driver.take_out(&all[0]).await, Ok(None));
    assert_eq!(driver.take_out(&all[0]).await, Ok(None), "once more is no order");
    assert_eq!(driver.read(&all).await.expect("states").get(&id("web-1")), Some(&Rotation::Draining));
    assert_eq!(driver.admit(&all[0]).await, Ok(()));
    assert_eq!(driver.admit(&all[1]).await, Ok(()), "it serves already");
    assert_eq!(files.log(), "out web-1\nin web-1\n");
    // Down by the balancer's own check: nothing to order, and not confirmed.
    assert!(matches!(driver.admit(&all[2]).await, Err(TrafficError::NotConfirmed(_))));
    assert_eq!(files.log().lines().count(), 2);
    assert_eq!(driver.counters().await, Ok(Vec::new()));
}

#[tokio::test]
async fn exit_code_zero_without_effect_is_not_confirmed() {
    let files = Files::new(&[("web-1", "in")]);
    let driver = command(CommandSettings { out: files.script("exit 0"), ..files.settings() });
    let error = driver.take_out(&target("web-1")).await.expect_err("nothing changed");
    assert_eq!(error, TrafficError::NotConfirmed("web-1 was ordered out, but is serving".to_owned()));
    files.write("web-1", "down");
    let error = driver.take_out(&target("web-1")).await.expect_err("it may come up again").to_string();
    assert!(error.ends_with("must say out of one that was taken out, whatever its check says"), "{error}");
    files.write("web-1", "unused");
    let driver = command(CommandSettings { into: files.script("exit 0"), ..files.settings() });
    let error = driver.admit(&target("web-1")).await.expect_err("nothing changed");
    assert!(matches!(&error, TrafficError::NotConfirmed(why) if why.contains("draining")), "{error}");
}

#[tokio::test]
async fn maintenance_is_never_ours() {
    let files = Files::new(&[("web-1", "maintenance")]);
    let driver = command(files.settings());
    for done in [driver.take_out(&target("web-1")).await.map(drop), driver.admit(&target("web-1")).await] {
        assert!(matches!(&done, Err(TrafficError::Refused(why)) if why.contains("which we did not order")), "{done:?}");
    }
    assert_eq!(files.log(), "");
}

#[tokio::test]
async fn connections_are_counted_where_a_command_tells() {
    let files = Files::new(&[("web-1", "in"), ("web-1.sessions", "7")]);
    let driver = command(CommandSettings { sessions: Some(files.asked("cat $0.sessions")), ..files.settings() });
    assert_eq!(driver.take_out(&target("web-1")).await, Ok(Some(7)));
    files.write("web-1.sessions", "0\n");
    assert_eq!(driver.sessions(&target("web-1")).await, Ok(Some(0)));
    files.write("web-1.sessions", "many");
    let error = driver.sessions(&target("web-1")).await.expect_err("no number").to_string();
    assert!(error.contains("\"many\" is no number"), "{error}");
}

#[tokio::test]
async fn one_list_answers_for_all() {
    let files = Files::new(&[("list", r#"{"web-1": "in", "web-2": "unused", "web-9": "??"}"#)]);
    let list = Some(files.script("echo x >> asked; cat list").into_iter().take(3).collect());
    let driver = command(CommandSettings { list, ..files.settings() });
    let all = [target("web-1"), target("web-2"), target("web-3")];
    let states = driver.read(&all).await.expect("states");
    let wanted = [("web-1", Rotation::Serving), ("web-2", Rotation::Draining), ("web-3", Rotation::Missing)];
    assert_eq!(states, wanted.map(|(name, rotation)| (id(name), rotation)).into());
    assert_eq!(fs::read_to_string(files.dir.path().join("asked")).expect("a file"), "x\n", "asked once");
    files.write("list", "web-1 in");
    let error = driver.read(&all).await.expect_err("no JSON").to_string();
    assert!(error.contains("no JSON object"), "{error}");
}

#[tokio::test]
async fn what_goes_wrong_with_a_command_is_said() {
    let files = Files::new(&[("web-1", "in")]);
    let refused = async |state: &str| {
        let driver = command(CommandSettings { state: files.asked(state), ..files.settings() });
        driver.read(&[target("web-1")]).await.expect_err(state)
    };
    let error = refused("echo no credentials >&2; exit 2").await;
    assert_eq!(error, TrafficError::Refused("[traffic] state of web-1: exit code 2: no credentials".to_owned()));
    let error = refused("echo perhaps").await;
    assert!(matches!(&error, TrafficError::Refused(why) if why.contains("\"perhaps\" is no known state")), "{error}");
    assert!(refused("true").await.to_string().contains("web-1: the answer is empty"));
    assert!(matches!(refused("kill -9 $$").await, TrafficError::Unreachable(_)));
    let began = Instant::now();
    assert!(matches!(refused("sleep 60").await, TrafficError::Unreachable(_)));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let missing = CommandSettings { out: vec!["/no/such/lb".to_owned()], ..files.settings() };
    let error = traffic::build(&Settings::Command(Box::new(missing))).err().expect("refused");
    assert_eq!(error, "[traffic] out: /no/such/lb is not there; install it or write its path");
}

/// What the balancer's API keeps.
#[derive(Default)]
struct Api {
    weights: BTreeMap<String, u32>,
    /// Method, path, body and token of every request that changes something.
    orders: Vec<String>,
    deaf: bool,
}

type Shared = Arc<Mutex<Api>>;

fn lock(api: &Shared) -> std::sync::MutexGuard<'_, Api> {
    api.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A balancer with an API, on a port of its own. It is gone when this is dropped.
struct Balancer {
    api: Shared,
    base: String,
    _tasks: JoinSet<()>,
}

impl Balancer {
    async fn start() -> Self {
        let api = Shared::default();
        lock(&api).weights = BTreeMap::from([("web-1".to_owned(), 1), ("web-2".to_owned(), 0)]);
        let weight = post(|State(api): State<Shared>, Path(id): Path<String>, headers: HeaderMap, body: String| async move {
            let header = |name: &str| {
                headers.get(name).map_or_else(|| "-".to_owned(), |v| String::from_utf8_lossy(v.as_bytes()).into_owned())
            };
            let mut api = lock(&api);
            api.orders.push(format!("{id} {body} {} {}", header("authorization"), header("content-type")));
            if header("authorization") != "Bearer s3cret" {
                return (StatusCode::FORBIDDEN, "who are you?\u{1b}[2J");
            }
            let weight = serde_json::from_str::<serde_json::Value>(&body).ok().and_then(|b| b.get("weight")?.as_u64());
            if let (false, Some(weight)) = (api.deaf, weight) {
                api.weights.insert(id, u32::try_from(weight).unwrap_or_default());
            }
            (StatusCode::ACCEPTED, "")
        });
        let server = get(|State(api): State<Shared>, Path(id): Path<String>| async move {
            match lock(&api).weights.get(&id) {
                Some(weight) => (StatusCode::OK, format!("{{\"server\": {{\"weight\": {weight}, \"requests\": 3}}}}")),
                None => (StatusCode::NOT_FOUND, String::new()),
            }
        });
        let moved = get(async || (StatusCode::FOUND, [("location", "/servers/web-1")]));
        let router = Router::new()
            .route("/servers/{id}/weight", weight)
            .route("/servers/{id}", server)
            .route("/moved", moved)
            .route("/broken", get(async || (StatusCode::BAD_GATEWAY, "no upstream")))
            .with_state(api.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("its address"));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.expect("a server") });
        Self { api, base, _tasks: tasks }
    }

    fn request(&self, method: &str, path: &str, body: Option<&str>) -> Request {
        Request {
            method: method.to_owned(),
            url: format!("{}{path}", self.base),
            body: body.map(str::to_owned),
            status: vec![(200, 299)],
            answer: Extract::Json("/server/weight".to_owned()),
        }
    }

    fn settings(&self) -> HttpSettings {
        let weight = |weight: &str| self.request("POST", "/servers/{{ instance.id }}/weight", Some(weight));
        HttpSettings {
            service: "shop".to_owned(),
            out: weight("{\"weight\": 0}"),
            into: weight("{\"weight\": 1}"),
            state: self.request("GET", "/servers/{{ instance.id }}", None),
            sessions: None,
            states: BTreeMap::from([("1".to_owned(), Rotation::Serving), ("0".to_owned(), Rotation::Draining)]),
            headers: vec![("Authorization".to_owned(), "Bearer s3cret".to_owned())],
            timeout: Span::from_secs(1),
        }
    }
}

fn http(settings: HttpSettings) -> Arc<dyn TrafficDriver> {
    traffic::build(&Settings::Http(Box::new(settings))).expect("settings that work")
}

#[tokio::test]
async fn requests_take_out_and_put_in_and_are_read_back() {
    let balancer = Balancer::start().await;
    let settings = balancer.settings();
    assert!(!format!("{settings:?}").contains("s3cret"));
    let sessions = Request { answer: Extract::Json("/server/requests".to_owned()), ..settings.state.clone() };
    let driver = http(HttpSettings { sessions: Some(sessions), ..settings });
    let all = [target("web-1"), target("web-2"), target("web-3")];
    let states = driver.read(&all).await.expect("states");
    let wanted = [("web-1", Rotation::Serving), ("web-2", Rotation::Draining), ("web-3", Rotation::Missing)];
    assert_eq!(states, wanted.map(|(name, rotation)| (id(name), rotation)).into());
    assert_eq!(driver.take_out(&all[0]).await, Ok(Some(3)));
    assert_eq!(driver.admit(&all[0]).await, Ok(()));
    let ordered = |weight: u8| format!("web-1 {{\"weight\": {weight}}} Bearer s3cret application/json");
    assert_eq!(lock(&balancer.api).orders, [ordered(0), ordered(1)]);
    // Accepted, and nothing changed.
    lock(&balancer.api).deaf = true;
    assert!(matches!(driver.take_out(&all[0]).await, Err(TrafficError::NotConfirmed(_))));
}

#[tokio::test]
async fn what_goes_wrong_with_a_request_is_said() {
    let balancer = Balancer::start().await;
    let stranger = http(HttpSettings { headers: Vec::new(), ..balancer.settings() });
    let error = stranger.take_out(&target("web-1")).await.expect_err("forbidden");
    assert_eq!(error, TrafficError::Refused("[traffic] out of web-1: status 403: who are you?\\u{1b}[2J".to_owned()));
    let state = async |path: &str| {
        let driver = http(HttpSettings { state: balancer.request("GET", path, None), ..balancer.settings() });
        driver.read(&[target("web-1")]).await.expect_err(path)
    };
    assert!(matches!(state("/broken").await, TrafficError::Unreachable(why) if why.contains("status 502: no upstream")));
    assert!(matches!(state("/moved").await, TrafficError::Refused(why) if why.contains("status 302")), "no redirect is followed");
    let unknown = HttpSettings { states: BTreeMap::new(), ..balancer.settings() };
    let error = http(unknown).read(&[target("web-1")]).await.expect_err("no word");
    assert!(error.to_string().contains("\"1\" is no known state"), "{error}");
    let nobody = Request { url: format!("http://127.0.0.1:{}/", free_port()), ..balancer.settings().state };
    let error = http(HttpSettings { state: nobody, ..balancer.settings() }).read(&[target("web-1")]).await.expect_err("nobody");
    assert!(matches!(&error, TrafficError::Unreachable(why) if why.contains("connection refused")), "{error}");
    // Somebody accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", silent.local_addr().expect("its address"));
    let hangs = http(HttpSettings { state: Request { url, ..balancer.settings().state }, ..balancer.settings() });
    let read = timeout(Duration::from_mins(1), async { hangs.read(&[target("web-1")]).await }).await.expect("a deadline");
    assert!(matches!(read, Err(TrafficError::Unreachable(_))), "{read:?}");
}

#[test]
fn requests_that_cannot_work_are_refused() {
    let request = |url: &str| Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        body: None,
        status: vec![(200, 299)],
        answer: Extract::FirstLine,
    };
    let settings = |state: Request, headers: Vec<(String, String)>| {
        let out = request("http://localhost/");
        let (service, states, timeout) = ("shop".to_owned(), BTreeMap::new(), Span::from_secs(1));
        let settings = HttpSettings { service, into: out.clone(), out, state, sessions: None, states, headers, timeout };
        traffic::build(&Settings::Http(Box::new(settings))).err().expect("refused")
    };
    assert!(settings(request("http:///{{ instance.id }}:x y"), Vec::new()).contains("[traffic] state: "));
    assert!(settings(request("http://x/{{ version }}"), Vec::new()).contains("version"));
    let pointer = Request { answer: Extract::Json("x".to_owned()), ..request("http://x/") };
    assert!(settings(pointer, Vec::new()).contains("JSON pointer"));
    let header = vec![("X-Token".to_owned(), "two\nlines".to_owned())];
    let error = settings(request("http://x/"), header);
    assert!(error.contains("X-Token") && !error.contains("lines"), "{error}");
}

/// A drain that did not read back would look as if somebody undid it.
#[tokio::test]
async fn none_knows_no_connections_and_reads_back_what_was_ordered() {
    let driver = traffic::build(&Settings::None).expect("no settings");
    let all = [target("web-1"), target("web-2")];
    let read = |first| [(id("web-1"), first), (id("web-2"), Rotation::Serving)].into();
    assert_eq!(driver.take_out(&all[0]).await, Ok(None));
    assert_eq!(driver.sessions(&all[0]).await, Ok(None));
    assert_eq!(driver.read(&all).await, Ok(read(Rotation::Draining)));
    assert_eq!(driver.admit(&all[0]).await, Ok(()));
    assert_eq!(driver.read(&all).await, Ok(read(Rotation::Serving)));
    assert_eq!(driver.counters().await, Ok(Vec::new()));
}
