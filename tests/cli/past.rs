//! `history`, `show`, `events`, ids, and the way back after the end.

use std::io::{BufRead as _, BufReader};

use rollout::demo::world::Lb;
use serde_json::Value;

use crate::assert_narrow;
use crate::fleet::{Fleet, Ran};

fn versions(fleet: &Fleet) -> Vec<String> {
    let check = fleet.run(&["check", "--output", "json"]);
    let found = check.lines().into_iter().find(|line| line["kind"] == "instance").unwrap();
    let text = found["message"].as_str().unwrap().to_owned();
    text.split("; ").nth(1).unwrap().split(", ").map(str::to_owned).collect()
}

#[test]
#[expect(clippy::cognitive_complexity, reason = "one history, looked at from all sides")]
fn what_was_is_listed_shown_and_undone() {
    let fleet = Fleet::start(3, Lb::Builtin, &["strategy.batch_pause=100ms", "strategy.batch_size=1"]);
    let empty = fleet.run(&["history"]);
    assert_eq!((empty.code, empty.out.trim()), (Some(0), "demo (default): no deployment yet"));
    assert_eq!(fleet.run(&["history", "--output", "json"]).out, "");
    assert_eq!(fleet.run(&["rollback"]).code, Some(6), "there is nothing to go back from");

    assert_eq!(fleet.run(&["deploy", "v2", "--yes"]).code, Some(0));
    assert_eq!(fleet.run(&["deploy", "v3-bad", "--yes"]).code, Some(3));

    let history = fleet.run(&["history"]);
    assert_narrow(&history.out);
    let lines: Vec<&str> = history.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", history.out);
    assert!(lines[0].starts_with("DEPLOYMENT") && lines[1].starts_with("demo-2") && lines[2].starts_with("demo-1"), "{lines:?}");
    assert!(lines[1].contains("rolled_back") && lines[2].contains("completed"), "{lines:?}");
    let newest = fleet.run(&["history", "-n", "1"]);
    assert!(
        newest.out.contains("demo-2") && !newest.out.contains("demo-1") && newest.out.contains("and 1 older"),
        "{}",
        newest.out
    );
    let rows = fleet.run(&["history", "--output", "json"]).lines();
    assert_eq!((&rows[0]["type"], &rows[0]["deployment"]), (&Value::from("deployment"), &Value::from("demo-2")));
    assert!(rows[1]["duration_ms"].as_u64().unwrap() > 0 && rows.len() == 2, "{rows:?}");

    // By id, by number, by a beginning that is unique.
    for id in ["demo-1", "1"] {
        assert_eq!(fleet.run(&["show", id, "--output", "json"]).summary()["deployment"], "demo-1", "{id}");
    }
    assert_eq!(fleet.run(&["show", "demo-"]).code, Some(2), "two begin so");
    assert_eq!(fleet.run(&["events", "demo-9"]).code, Some(2));

    let text = fleet.run(&["events", "1"]);
    assert_eq!(text.code, Some(0), "{}", text.err);
    assert!(text.out.lines().all(|line| line.starts_with("20") && line.contains("  ")), "{}", text.out);
    let events = fleet.run(&["events", "1", "--output", "json", "--follow"]).lines();
    assert_eq!(events.len(), text.out.lines().count());
    let order: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(order, (1..=order.len() as u64).collect::<Vec<_>>());
    assert_eq!(
        (&events[0]["type"], &events[events.len() - 1]["type"]),
        (&Value::from("deployment_planned"), &Value::from("deployment_ended"))
    );

    // After the end a rollback is a deployment of its own. The last one has already gone back by itself.
    let nothing = fleet.run(&["rollback"]);
    assert!(nothing.code == Some(6) && nothing.err.contains("nothing to undo"), "{nothing:?}");
    let never = fleet.run(&["rollback", "--to", "v9"]);
    assert!(never.code == Some(6) && never.err.contains("known good: v1, v2"), "{never:?}");
    assert_eq!(versions(&fleet), ["v2 on 3"]);
    let back = fleet.run(&["rollback", "--to", "v1", "--output", "json"]);
    assert_eq!(back.code, Some(0), "{}{}", back.out, back.err);
    assert_eq!(versions(&fleet), ["v1 on 3"]);
    let again = fleet.run(&["rollback"]);
    assert!(again.code == Some(6) && again.err.contains("has undone demo-2 already"), "{again:?}");

    assert_eq!(fleet.run(&["deploy", "v2", "--yes"]).code, Some(0));
    let back = fleet.run(&["rollback"]);
    assert_eq!(back.code, Some(0), "{}{}", back.out, back.err);
    assert_eq!(versions(&fleet), ["v1 on 3"]);
}

#[test]
fn events_are_followed_to_the_end() {
    let fleet = Fleet::start(4, Lb::Builtin, &["strategy.batch_pause=300ms", "strategy.batch_size=1"]);
    let deploy = fleet.spawn(&["deploy", "v2", "--yes", "--output", "json"]);
    fleet.until("it has begun", |status| status["status"] == "in_progress");
    let follow = fleet.spawn(&["events", "demo-1", "--follow", "--output", "json"]);
    let status = fleet.until("it runs", |status| status["status"] == "in_progress");
    assert_eq!(status["deployment"], "demo-1");
    let live = fleet.run(&["history", "--output", "json"]).lines();
    assert_eq!((&live[0]["status"], &live[0]["finished_at"]), (&Value::from("in_progress"), &Value::Null));

    // One reader leaves early, and nobody notices.
    let mut hasty = fleet.spawn(&["events", "1", "-f"]);
    let mut first = String::new();
    BufReader::new(hasty.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("planned"), "{first}");
    assert_eq!(Ran::ended(hasty).code, Some(0));

    let followed = Ran::ended(follow);
    assert_eq!((followed.code, followed.err.as_str()), (Some(0), ""));
    let ended = Ran::ended(deploy);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let stored = fleet.run(&["events", "1", "--output", "json"]);
    assert_eq!(followed.out, stored.out, "what was followed is what is stored");
}
