//! The real Prometheus: what it says, what it cannot say, and how it is when it is not there.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use rollout::analysis::{CheckSettings, Range, Reduce, Source, WebSettings};
use rollout::model::{Measurement, Span};
use rollout::os::tls;
use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::certificates::{Authority, Pair};
use crate::common::{server, wait_for};
use crate::instances::Instance;
use crate::world::{Fleet, Prometheus, check, error_share, measured, values};

const TOUCHED: &str = "instance=~\"{{ touched }}\"";
const COUNT: &str = "count(up{instance=~\"{{ touched }}\"})";

fn nothing(measurement: &Measurement) -> &str {
    match measurement {
        Measurement::Nothing { why } => why,
        other => panic!("{other:?}"),
    }
}

fn error(measurement: &Measurement) -> &str {
    match measurement {
        Measurement::Error { why } => why,
        other => panic!("{other:?}"),
    }
}

/// Waits until the query gives a number, and this is what is looked for.
async fn wait_for_values(prometheus: &Prometheus, query: &str, fleet: &Fleet, good: impl Fn((f64, Option<f64>)) -> bool) {
    wait_for(query, async || values(&prometheus.measure(query, &fleet.compared()).await).filter(|found| good(*found))).await;
}

/// Waits until it has looked at every instance, whether or not they answered in time.
async fn wait_for_all(prometheus: &Prometheus, fleet: &Fleet) {
    wait_for_values(prometheus, COUNT, fleet, |found| found == (1.0, Some(2.0))).await;
}

/// One in ten fails on the new version and none elsewhere; by address, by id of nobody, by version, and the other way round.
#[tokio::test]
async fn touched_and_untouched_are_asked_by_the_same_query() {
    let fleet = Fleet::start([10, 0, 0]).await;
    let Some(prometheus) = Prometheus::start(&fleet, None).await else { return };
    wait_for_all(&prometheus, &fleet).await;
    let apart = |(touched, untouched): (f64, Option<f64>)| (0.05..0.2).contains(&touched) && untouched == Some(0.0);
    for selector in [TOUCHED, "instance=~'({{ touched_hosts }}):[0-9]+',version=\"{{ version }}\"", "version=\"{{ version }}\""] {
        wait_for_values(&prometheus, &error_share(selector), &fleet, apart).await;
    }
    // Now the others fail as well, and the control group says so.
    for instance in &fleet.instances {
        instance.behaviour.fails_every.store(2, Ordering::Relaxed);
    }
    let alike = |(touched, untouched): (f64, Option<f64>)| touched > 0.4 && untouched.is_some_and(|share| share > 0.4);
    wait_for_values(&prometheus, &error_share(TOUCHED), &fleet, alike).await;
    // Both sides in one query: it compares by itself.
    let both = "count(up{instance=~\"{{ touched }}\"}) / count(up{instance=~\"{{ untouched }}\"})";
    assert_eq!(values(&prometheus.measure(both, &fleet.compared()).await), Some((0.5, None)));
    // An explicit control, and how many requests there were.
    let mut settings = prometheus.settings("scalar(count(up{instance=~\"{{ touched }}\"}))");
    settings.control = Some("count(up{instance=~\"{{ untouched }}\"})".to_owned());
    settings.samples = Some("sum(http_requests_total{instance=~\"{{ touched }}\"})".to_owned());
    let said = measured(check(Source::Prometheus(Box::new(settings))), &fleet.compared()).await;
    assert_eq!(values(&said), Some((1.0, Some(2.0))));
    assert!(matches!(said, Measurement::Value { samples: Some(samples), .. } if samples > 10), "{said:?}");
}

/// G8: no data is no value, neither good nor bad.
#[tokio::test]
async fn g8_missing_metrics_say_nothing() {
    let fleet = Fleet::start([0, 0, 0]).await;
    let Some(prometheus) = Prometheus::start(&fleet, None).await else { return };
    wait_for_all(&prometheus, &fleet).await;
    let compared = fleet.compared();
    assert_eq!(nothing(&prometheus.measure(&error_share("job=\"nobody\""), &compared).await), "no data");
    // An address that nobody scrapes, though it begins like one that is.
    let mut other = compared.clone();
    other.touched[0].host = "127.0.0".to_owned();
    assert_eq!(nothing(&prometheus.measure(COUNT, &other).await), "no data");
    // The control group's silence matters where it is compared with, and only there.
    let settings = prometheus.settings("count(up{instance=~\"{{ touched }}\",version=\"{{ version }}\"}) or vector(1)");
    other.untouched[0].host = "127.0.0".to_owned();
    let ratio = CheckSettings { compares: true, ..check(Source::Prometheus(Box::new(settings))) };
    assert!(values(&measured(ratio, &other).await).is_some());
    let mut lost = fleet.compared();
    lost.untouched.iter_mut().for_each(|target| target.host = "127.0.0".to_owned());
    let settings = prometheus.settings(COUNT);
    let alone = check(Source::Prometheus(Box::new(settings)));
    assert_eq!(values(&measured(alone.clone(), &lost).await), Some((1.0, None)));
    let ratio = CheckSettings { compares: true, ..alone };
    assert_eq!(nothing(&measured(ratio, &lost).await), "the untouched instances: no data");
    // No requests counted at all is a number of samples too.
    let mut settings = prometheus.settings(COUNT);
    settings.samples = Some("sum(nobody{instance=~\"{{ touched }}\"})".to_owned());
    let said = measured(check(Source::Prometheus(Box::new(settings))), &compared).await;
    assert!(matches!(said, Measurement::Value { samples: Some(0), .. }), "{said:?}");
}

/// G9: what is no single number is shown as it was answered.
#[tokio::test]
async fn g9_nan_infinity_strings_and_two_series_say_nothing() {
    let fleet = Fleet::start([0, 0, 0]).await;
    let Some(prometheus) = Prometheus::start(&fleet, None).await else { return };
    wait_for_all(&prometheus, &fleet).await;
    let compared = fleet.compared();
    let said = async |query: &str| nothing(&prometheus.measure(query, &compared).await).to_owned();
    assert_eq!(said(&error_share("instance=~\"{{ touched }}\",code=\"501\"")).await, "no data");
    assert_eq!(said("0 * count(up{instance=~\"{{ touched }}\"}) / 0").await, "NaN");
    assert_eq!(said("count(up{instance=~\"{{ touched }}\"}) / 0").await, "+Inf");
    assert_eq!(said("-count(up{instance=~\"{{ touched }}\"}) / 0").await, "-Inf");
    assert!(said("\"{{ version }}\"").await.starts_with("a string, not a number"));
    assert!(said("up{instance=~\"{{ touched }}\"}[2s]").await.starts_with("a matrix, not a number"));
    let mut two = compared.clone();
    two.touched = two.untouched.clone();
    let two = prometheus.measure("up{instance=~\"{{ touched }}\"}", &two).await;
    assert!(nothing(&two).starts_with("2 series"), "{two:?}");
}

/// G10: it ends, is begun again, hangs, goes on; each time in words, and never a value.
#[tokio::test]
async fn g10_prometheus_that_is_down_or_hangs_is_an_error_and_comes_back() {
    let fleet = Fleet::start([0, 0, 0]).await;
    let Some(mut prometheus) = Prometheus::start(&fleet, None).await else { return };
    wait_for_all(&prometheus, &fleet).await;
    let compared = fleet.compared();

    prometheus.end();
    let said = prometheus.measure(COUNT, &compared).await;
    assert_eq!(error(&said), format!("http://127.0.0.1:{}: connection refused", prometheus.port));
    prometheus.begin().await;
    wait_for_all(&prometheus, &fleet).await;

    prometheus.server().signal(Signal::STOP);
    let mut hurried = check(Source::Prometheus(Box::new(prometheus.settings(COUNT))));
    hurried.timeout = Span::from_millis(300);
    let said = measured(hurried, &compared).await;
    assert_eq!(error(&said), format!("http://127.0.0.1:{}: no answer in 300ms", prometheus.port));
    prometheus.server().signal(Signal::CONT);
    wait_for_all(&prometheus, &fleet).await;

    let said = prometheus.measure("count(up{instance=~\"{{ touched }}\"}", &compared).await;
    assert!(error(&said).contains("bad_data") && error(&said).contains("unclosed left parenthesis"), "{said:?}");
    let said = prometheus.measure("up{instance=~\"{{ touched }}\"} * on() up{instance=~\"{{ touched }}\"} * on() up", &compared);
    let said = said.await;
    assert!(error(&said).contains("execution"), "{said:?}");
}

/// G10: what answers in its place, as a proxy does that has lost it.
#[tokio::test]
async fn g10_what_is_no_prometheus_is_an_error_with_its_words() {
    let pages = [(StatusCode::INTERNAL_SERVER_ERROR, "<h1>it broke</h1>"), (StatusCode::OK, "<html>log in</html>")];
    let fleet = Fleet::start([0, 0, 0]).await;
    for (status, page) in pages {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let service = Router::new().fallback(any(move || async move { (status, page) }));
        let serving = async move { axum::serve(listener, service).await.expect("a service") };
        let _server = AbortOnDropHandle::new(tokio::spawn(serving));
        let web = WebSettings { url, ..WebSettings::default() };
        let settings =
            rollout::analysis::PrometheusSettings { web, query: "up".to_owned(), control: None, samples: None, range: None };
        let said = measured(check(Source::Prometheus(Box::new(settings))), &fleet.compared()).await;
        let expected = if status.is_success() { "no answer of Prometheus" } else { "status 500" };
        assert!(error(&said).contains(expected) && error(&said).ends_with(&format!(": {page}")), "{said:?}");
    }
}

/// G10: by TLS, and refused where the server is not proven.
#[tokio::test]
async fn g10_a_prometheus_that_is_not_proven_is_not_believed() {
    let Some(openssl) = server("openssl") else { return };
    let fleet = Fleet::start([0, 0, 0]).await;
    let (ours, theirs) = (Authority::new(&openssl), Authority::new(&openssl));
    let Pair { cert, key } = ours.issue("good", "IP:127.0.0.1");
    let web = format!("tls_server_config:\n  cert_file: {}\n  key_file: {}\n", cert.display(), key.display());
    let Some(prometheus) = Prometheus::start(&fleet, Some(&web)).await else { return };
    let by = async |authority: &Authority| {
        let mut settings = prometheus.settings(COUNT);
        settings.web.tls = Some(tls::Settings { ca_file: Some(authority.file()), ..tls::Settings::default() });
        measured(check(Source::Prometheus(Box::new(settings))), &fleet.compared()).await
    };
    wait_for("a value by TLS", async || values(&by(&ours).await).filter(|found| *found == (1.0, Some(2.0)))).await;
    let said = by(&theirs).await;
    assert!(error(&said).contains("not trusted") && error(&said).contains("ca_file"), "{said:?}");
    let plain = prometheus.measure(COUNT, &fleet.compared()).await;
    assert!(error(&plain).contains("self-signed or from an authority that is not trusted"), "{plain:?}");
}

/// A range of points, as one number each.
#[tokio::test]
async fn ranges_are_reduced_to_one_number() {
    let fleet = Fleet::start([0, 0, 0]).await;
    let Some(prometheus) = Prometheus::start(&fleet, None).await else { return };
    // It only grows, so that the largest is the last and the mean is below.
    let query = "sum(http_requests_total{instance=~\"{{ touched }}\"})";
    wait_for_all(&prometheus, &fleet).await;
    let by = async |reduce| {
        let mut settings = prometheus.settings(query);
        settings.range = Some(Range { length: Span::from_secs(20), step: Span::from_millis(250), reduce });
        let said = measured(check(Source::Prometheus(Box::new(settings))), &fleet.compared()).await;
        values(&said).unwrap_or_else(|| panic!("{said:?}"))
    };
    wait_for("points that differ", async || (by(Reduce::Mean).await.0 < by(Reduce::Last).await.0).then_some(())).await;
    for instance in &fleet.instances {
        instance.behaviour.is_used.store(false, Ordering::Relaxed);
    }
    // Nobody asks any more: what was answered is what Prometheus comes to know.
    let answered = || {
        let of =
            |instance: &Instance| f64::from(u32::try_from(instance.behaviour.answered.load(Ordering::Relaxed)).expect("few"));
        let (touched, untouched) = fleet.instances.split_at(1);
        (of(&touched[0]), Some(untouched.iter().map(of).sum::<f64>()))
    };
    wait_for("the last point", async || (by(Reduce::Last).await == answered()).then_some(())).await;
    assert_eq!(by(Reduce::Max).await, answered());
    let (mean, _) = by(Reduce::Mean).await;
    assert!(mean > 0.0 && mean < answered().0, "{mean} {:?}", answered());
    let mut settings = prometheus.settings("up{instance=~\"{{ touched }}\",job=\"nobody\"}");
    settings.range = Some(Range { length: Span::from_secs(20), step: Span::from_secs(1), reduce: Reduce::Max });
    let said = measured(check(Source::Prometheus(Box::new(settings))), &fleet.compared()).await;
    assert_eq!(nothing(&said), "no data");
}
