//! Who takes part, and the verbs for one instance.

use rollout::demo::world::Lb;
use serde_json::Value;

use crate::fleet::{Fleet, Ran};

#[test]
fn a_deployment_takes_only_whom_it_is_told() {
    let fleet = Fleet::start(4, Lb::Builtin, &["strategy.batch_pause=100ms"]);
    let some = fleet.run(&["deploy", "v2", "--yes", "--output", "json", "--only", "web-[01:02],web-03", "--exclude", "web-02"]);
    assert_eq!(some.code, Some(0), "{}{}", some.out, some.err);
    let (summary, show) = (some.summary(), fleet.run(&["show", "1"]).out);
    assert_eq!((&summary["updated"], &summary["exposed"]), (&Value::from(2), &Value::from(2)), "{summary}\n{show}");
    for (flag, id) in [("--only", "web-99"), ("--exclude", "web-[7:8]"), ("--no-rollback-for", "other")] {
        let ran = fleet.run(&["deploy", "v2", "--yes", flag, id]);
        assert!(ran.code == Some(6) && ran.err.contains("no such instance"), "{flag}: {ran:?}");
    }
    let bad = fleet.run(&["deploy", "v2", "--yes", "--only", "web-[2:1]"]);
    assert!(matches!(bad.code, Some(2)) && bad.err.contains("counts down"), "{bad:?}");

    // Those that are there already are taken again only if that is asked for.
    let rest = fleet.run(&["deploy", "v2", "--yes", "--output", "json", "--strategy", "rolling"]);
    assert_eq!((rest.code, &rest.summary()["exposed"]), (Some(0), &Value::from(2)), "{}", rest.err);
    let restart = fleet.run(&["deploy", "v2", "--yes", "--output", "json", "--restart"]);
    assert_eq!((restart.code, &restart.summary()["updated"]), (Some(0), &Value::from(4)), "{}", restart.err);
}

#[test]
fn a_person_confirms_holds_skips_and_releases() {
    let fleet = Fleet::start(4, Lb::Builtin, &["strategy.batch_pause=100ms", "strategy.batch_size=1", "strategy.confirm=batch"]);
    let deploy = fleet.spawn(&["deploy", "v2", "--yes", "--output", "json"]);
    let words = "batch 1 done, waits for approval";
    fleet.wait(words, || fleet.run(&["status"]).out.contains(words).then_some(()));
    let ok = |args: &[&str]| {
        let ran = fleet.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        ran
    };
    let held = ok(&["hold", "web-03", "--reason", "its disk is being replaced", "--output", "json"]).lines();
    assert_eq!((&held[0]["type"], &held[0]["command"]), (&Value::from("receipt"), &Value::from("hold")), "{held:?}");
    ok(&["skip", "web-04", "--reason", "leaves next week"]);
    assert_eq!(fleet.run(&["retry", "web-02"]).code, Some(6), "it has not failed");
    assert_eq!(fleet.run(&["hold", "web-99"]).code, Some(6), "nobody has that name");
    assert_eq!(fleet.run(&["hold", "web 9"]).code, Some(2), "that is no id");
    assert_eq!(fleet.run(&["skip", "web-02", "--read-only"]).code, Some(6));
    assert_eq!(fleet.run(&["rollback", "--to", "v1"]).code, Some(6), "--to is for after the end");
    ok(&["release", "web-03"]);
    assert!(ok(&["promote", "--full"]).out.contains("no further one waits"));
    let summary = Ran::ended(deploy).summary();
    assert_eq!((&summary["updated"], &summary["skipped"]), (&Value::from(3), &Value::from(1)), "{summary}");
    let events = fleet.run(&["events", "1"]).out;
    assert!(events.contains("its disk is being replaced") && events.contains("leaves next week"), "{events}");
}
