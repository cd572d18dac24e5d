//! Our own probes, the probe through the balancer, programs and endpoints.

use std::sync::atomic::Ordering;

use rollout::analysis::{Answer, CheckSettings, CommandSettings, HttpSettings, ProbeMeasure, Source, WebSettings};
use rollout::model::{Measurement, Span};
use rollout::os::extract::Extract;
use rollout::os::program::Environment;
use rollout::probe::{self, VipSettings};

use crate::common::{temp_dir, wait_for};
use crate::world::{Fleet, analyst, check, measured, values};

/// Nobody else asks, so that every fourth probe is the one that fails.
async fn quiet(fails_every: [u64; 3]) -> Fleet {
    let fleet = Fleet::start(fails_every).await;
    for instance in &fleet.instances {
        instance.behaviour.is_used.store(false, Ordering::Relaxed);
    }
    fleet
}

#[tokio::test]
async fn probes_tell_touched_from_untouched_and_know_how_many_they_are() {
    let fleet = quiet([4, 0, 0]).await;
    let compared = fleet.compared();
    let probes = |measure, min_samples| CheckSettings { min_samples, ..check(Source::Probe(measure)) };
    let said = measured(probes(ProbeMeasure::ErrorRate, 40), &compared).await;
    let Measurement::Value { touched, untouched, samples } = said else { panic!("{said:?}") };
    assert!((0.2..=0.3).contains(&touched.value()), "every fourth: {touched}");
    assert_eq!((untouched.map(rollout::model::Quantity::value), samples), (Some(0.0), Some(40)));
    let said = measured(probes(ProbeMeasure::Latency(0.99), 20), &compared).await;
    let Measurement::Value { touched, untouched: Some(untouched), samples: Some(samples) } = said else { panic!("{said:?}") };
    assert!(touched.value() < 1.0 && untouched.value() < 1.0, "seconds: {touched} {untouched}");
    assert!((14..=16).contains(&samples), "only passes have a latency: {samples}");

    // One that hangs has failed when the time is up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut hung = compared.clone();
    hung.touched[0].port = listener.local_addr().expect("its address").port();
    let hurried = CheckSettings { timeout: Span::from_millis(200), ..probes(ProbeMeasure::ErrorRate, 10) };
    let said = measured(hurried, &hung).await;
    assert_eq!(values(&said), Some((1.0, Some(0.0))), "{said:?}");
}

#[tokio::test]
async fn a_measurement_without_enough_probes_is_gone_on_with() {
    let fleet = quiet([0, 0, 0]).await;
    let compared = fleet.compared();
    let settings = CheckSettings { min_samples: 120, ..check(Source::Probe(ProbeMeasure::ErrorRate)) };
    let analyst = analyst(settings, None).expect("settings that work");
    let mut samples = Vec::new();
    for _ in 0..4 {
        match analyst.measure("errors", &compared).await {
            Measurement::Value { samples: Some(counted), .. } => samples.push(counted),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(samples, [50, 100, 150, 50], "an instance is asked fifty times at most, and the last began anew");
}

#[tokio::test]
async fn the_probe_through_the_balancer_counts_between_measurements() {
    let fleet = quiet([2, 0, 0]).await;
    let url = format!("http://127.0.0.1:{}/", fleet.instances[0].target.port);
    let vip = probe::vip(&VipSettings { urls: vec![url], rate: 200, ca_file: None }).expect("settings that work");
    let analyst = analyst(check(Source::Vip), Some(vip.clone())).expect("settings that work");
    let compared = fleet.compared();
    let said = analyst.measure("errors", &compared).await;
    assert!(matches!(&said, Measurement::Nothing { why } if why.contains("not begun")), "{said:?}");
    vip.start();
    let said = analyst.measure("errors", &compared).await;
    assert!(matches!(&said, Measurement::Nothing { why } if why.contains("from here on")), "{said:?}");
    wait_for("a hundred requests", async || vip.stats().filter(|stats| stats.requests > 100)).await;
    let said = analyst.measure("errors", &compared).await;
    let (failed, untouched) = values(&said).unwrap_or_else(|| panic!("{said:?}"));
    assert!((0.4..0.6).contains(&failed) && untouched.is_none(), "every second: {said:?}");
    // None fails from here on, and only that counts.
    fleet.instances[0].behaviour.fails_every.store(0, Ordering::Relaxed);
    wait_for("good ones", async || values(&analyst.measure("errors", &compared).await).filter(|found| found.0 == 0.0)).await;
    vip.stop().await;
}

fn command(script: &str, answer: Answer) -> CheckSettings {
    let argv = ["/bin/sh", "-c", script, "measure", "{{ touched_ids }}", "{{ version }}"];
    let argv = argv.iter().map(|element| (*element).to_owned()).collect();
    let env = Environment(vec![("TOKEN".to_owned(), "s3cret".to_owned())]);
    check(Source::Command(Box::new(CommandSettings { argv, env, answer })))
}

#[tokio::test]
async fn a_program_prints_a_number_for_each_side() {
    let fleet = quiet([0, 0, 0]).await;
    let compared = fleet.compared();
    let run = async |script: &str, answer: Answer| measured(command(script, answer), &compared).await;
    let sides = r#"case "$1 $2 $ROLLOUT_SERVICE $ROLLOUT_CHECK $TOKEN" in
        "web-1 v2 shop errors s3cret") echo 0.02;; "web-2,web-3 v1 shop errors s3cret") echo 0.01;; *) echo "$*";; esac"#;
    assert_eq!(values(&run(sides, Answer::default()).await), Some((0.02, Some(0.01))));

    let json = |at: &str| Extract::Json(at.to_owned());
    let answer = Answer { value: json("/new"), control: Some("/old".to_owned()), samples: Some("/n".to_owned()) };
    let said = run(r#"echo '{"new": 3, "old": 4, "n": 70}'"#, answer.clone()).await;
    assert_eq!(values(&said), Some((3.0, Some(4.0))));
    assert!(matches!(said, Measurement::Value { samples: Some(70), .. }), "{said:?}");

    let nothings = [("true", "empty"), ("echo NaN", "NaN"), ("echo about 7", "\"about 7\" is no number")];
    for (script, part) in nothings {
        let said = run(script, Answer::default()).await;
        assert!(matches!(&said, Measurement::Nothing { why } if why.contains(part)), "{script}: {said:?}");
    }
    let errors = [("echo no such table >&2; exit 3", "exit code 3: no such table"), ("kill -9 $$", "signal 9")];
    for (script, part) in errors {
        let said = run(script, Answer::default()).await;
        assert!(matches!(&said, Measurement::Error { why } if why.contains(part)), "{script}: {said:?}");
    }
    let said = run("echo 'not json'", answer).await;
    assert!(matches!(&said, Measurement::Error { why } if why.contains("no JSON: not json")), "{said:?}");

    let slow = CheckSettings { timeout: Span::from_millis(300), ..command("sleep 60", Answer::default()) };
    let said = measured(slow, &compared).await;
    assert!(matches!(&said, Measurement::Error { why } if why.contains("did not end in time")), "{said:?}");

    let dir = temp_dir();
    let missing = dir.path().join("measure").display().to_string();
    let settings = CommandSettings { argv: vec![missing], env: Environment::default(), answer: Answer::default() };
    let refused = analyst(check(Source::Command(Box::new(settings))), None).err().expect("it is not there");
    assert!(refused.starts_with("[analysis.errors] command: ") && refused.contains("not there"), "{refused}");
}

#[tokio::test]
async fn an_endpoint_is_asked_for_each_side_with_its_secret_header() {
    let fleet = quiet([0, 0, 0]).await;
    let mut compared = fleet.compared();
    let at = fleet.instances[2].target.port;
    let endpoint = |path: &str, token: &str| {
        let url = format!("http://127.0.0.1:{at}{path}");
        let headers = vec![("Authorization".to_owned(), format!("Bearer {token}"))];
        let answer = Answer { value: Extract::Json("/percent".to_owned()), control: None, samples: Some("/requests".to_owned()) };
        let web = WebSettings { url, headers, tls: None };
        CheckSettings { factor: 0.01, ..check(Source::Http(Box::new(HttpSettings { web, answer }))) }
    };
    let good = endpoint("/errors?of={{ touched_ids }}", "s3cret");
    assert!(!format!("{good:?}").contains("s3cret"));
    let said = measured(good.clone(), &compared).await;
    assert_eq!(values(&said), Some((0.025, Some(0.005))), "percent became shares");
    assert!(matches!(said, Measurement::Value { samples: Some(400), .. }), "{said:?}");

    let refused = measured(endpoint("/errors?of={{ touched_ids }}", "guess"), &compared).await;
    let expected = format!("http://127.0.0.1:{at}: status 401: no token");
    assert_eq!(refused, Measurement::Error { why: expected });
    let missing = measured(endpoint("/nowhere", "s3cret"), &compared).await;
    assert!(matches!(&missing, Measurement::Error { why } if why.ends_with("status 404")), "{missing:?}");
    let page = measured(endpoint("/metrics", "s3cret"), &compared).await;
    assert!(matches!(&page, Measurement::Error { why } if why.contains("the answer is no JSON: # TYPE")), "{page:?}");
    let silent = measured(endpoint("/errors?of=nobody", "s3cret"), &compared).await;
    assert!(matches!(&silent, Measurement::Nothing { why } if why.contains("no single value")), "{silent:?}");

    compared.touched.clear();
    let nobody = measured(good, &compared).await;
    assert!(matches!(&nobody, Measurement::Nothing { why } if why.contains("no instance serves")), "{nobody:?}");
}
