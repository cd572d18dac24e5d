//! Prometheus' answers, read as values. Pure: any bytes give a number or say why not.
//!
//! Imports: os' text, the settings. May not: speak to a server.

use serde::Deserialize;
use serde_json::Value;

use super::Reduce;
use super::reading::{Reading, Silence, number, shown};
use crate::os::text;

/// An answer as a whole.
#[derive(Debug, Deserialize)]
struct Reply {
    status: String,
    data: Option<Data>,
    #[serde(rename = "errorType")]
    kind: Option<String>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

/// The number in an answer; `reduce` if a range was asked for. `None` if it is no answer of Prometheus.
pub(super) fn read(body: &[u8], reduce: Option<Reduce>) -> Option<Reading> {
    let reply: Reply = serde_json::from_slice(body).ok()?;
    let Some(data) = reply.data.filter(|_| reply.status == "success") else {
        let word = |text: Option<String>| text.map(|text| text::sanitise(&text));
        let said = [word(reply.kind), word(reply.error)].into_iter().flatten().collect::<Vec<_>>().join(": ");
        let said = if said.is_empty() { format!("status {:?} without data", text::sanitise(&reply.status)) } else { said };
        return Some(Err(Silence::Error(said)));
    };
    Some(match (data.kind.as_str(), reduce) {
        ("scalar", None) => point(&data.result),
        ("vector", None) => one_of(&data.result).and_then(|series| match series.get("value") {
            Some(value) => point(value),
            None => Err(Silence::Nothing("a histogram, not a number; write histogram_quantile(…) around it".to_owned())),
        }),
        ("matrix", Some(reduce)) => one_of(&data.result).and_then(|series| points(series, reduce)),
        (kind, _) => {
            let what = format!("a {}, not a number{}", text::sanitise(kind), shown(data.result.to_string().as_bytes()));
            Err(Silence::Nothing(what))
        }
    })
}

/// The only series.
fn one_of(result: &Value) -> Result<&Value, Silence> {
    match result.as_array().map(Vec::as_slice).unwrap_or_default() {
        [] => Err(Silence::Nothing("no data".to_owned())),
        [one] => Ok(one),
        many => Err(Silence::Nothing(format!("{} series, not one; write sum(…) or max(…) around them", many.len()))),
    }
}

/// `[time, "number"]`.
fn point(value: &Value) -> Reading {
    match value.get(1) {
        Some(Value::String(text)) => number(text),
        Some(_) | None => Err(Silence::Nothing(format!("no number{}", shown(value.to_string().as_bytes())))),
    }
}

/// The points of a series, as one number.
fn points(series: &Value, reduce: Reduce) -> Reading {
    let points = series.get("values").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut numbers = Vec::with_capacity(points.len());
    let mut last = None;
    for value in points {
        match (point(value), value.get(1).and_then(Value::as_str)) {
            (Ok(number), _) => numbers.push(number),
            // A gap, unless nothing follows.
            (Err(_), Some("NaN")) => {}
            (Err(silence), _) => return Err(silence),
        }
        last = value.get(1).and_then(Value::as_str);
    }
    let nothing = || Silence::Nothing(if points.is_empty() { "no data".to_owned() } else { "NaN".to_owned() });
    match reduce {
        Reduce::Max => numbers.into_iter().reduce(f64::max).ok_or_else(nothing),
        Reduce::Mean => {
            #[expect(clippy::cast_precision_loss, reason = "an answer has far fewer points than 2^52")]
            let count = numbers.len() as f64;
            if numbers.is_empty() { Err(nothing()) } else { Ok(numbers.iter().sum::<f64>() / count) }
        }
        Reduce::Last => last.map_or_else(|| Err(nothing()), number),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn instant(data: &Value) -> Reading {
        read(json!({"status": "success", "data": data}).to_string().as_bytes(), None).unwrap()
    }

    fn nothing(reading: Reading) -> String {
        match reading {
            Err(Silence::Nothing(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_number_is_one_number() {
        assert_eq!(instant(&json!({"resultType": "scalar", "result": [1.5, "0.25"]})), Ok(0.25));
        let one = json!([{"metric": {"a": "b"}, "value": [1.5, "7"]}]);
        assert_eq!(instant(&json!({"resultType": "vector", "result": one})), Ok(7.0));
    }

    #[test]
    fn g9_everything_else_says_nothing_and_is_shown() {
        let vector = |values: &[&str]| {
            let series: Vec<Value> = values.iter().map(|value| json!({"metric": {}, "value": [1, value]})).collect();
            nothing(instant(&json!({"resultType": "vector", "result": series})))
        };
        assert_eq!(vector(&[]), "no data");
        assert_eq!(vector(&["NaN"]), "NaN");
        assert_eq!(vector(&["+Inf"]), "+Inf");
        assert_eq!(vector(&["x"]), "\"x\" is no number");
        assert!(vector(&["1", "2"]).starts_with("2 series"));
        assert_eq!(nothing(instant(&json!({"resultType": "string", "result": [1, "x"]}))), "a string, not a number: [1,\"x\"]");
        assert!(nothing(instant(&json!({"resultType": "matrix", "result": []}))).starts_with("a matrix"));
        assert!(
            nothing(instant(&json!({"resultType": "vector", "result": [{"histogram": [1, {}]}]}))).starts_with("a histogram")
        );
        assert!(nothing(instant(&json!({"resultType": "scalar", "result": [1]}))).starts_with("no number"));
    }

    #[test]
    fn ranges_are_reduced_and_gaps_are_left_out() {
        let range = |values: &[&str], reduce| {
            let values: Vec<Value> = values.iter().map(|value| json!([1, value])).collect();
            let data = json!({"resultType": "matrix", "result": [{"metric": {}, "values": values}]});
            read(json!({"status": "success", "data": data}).to_string().as_bytes(), Some(reduce)).unwrap()
        };
        let points = ["1", "NaN", "4", "1"];
        assert_eq!(range(&points, Reduce::Max), Ok(4.0));
        assert_eq!(range(&points, Reduce::Mean), Ok(2.0));
        assert_eq!(range(&points, Reduce::Last), Ok(1.0));
        assert_eq!(nothing(range(&["1", "NaN"], Reduce::Last)), "NaN");
        assert_eq!(nothing(range(&["NaN"], Reduce::Max)), "NaN");
        assert_eq!(nothing(range(&["1", "+Inf"], Reduce::Mean)), "+Inf");
        for reduce in [Reduce::Max, Reduce::Mean, Reduce::Last] {
            assert_eq!(nothing(range(&[], reduce)), "no data");
        }
    }

    #[test]
    fn errors_are_in_its_own_words() {
        let error = br#"{"status": "error", "errorType": "bad_data", "error": "parse error: unexpected \"(\""}"#;
        assert_eq!(read(error, None), Some(Err(Silence::Error("bad_data: parse error: unexpected \"(\"".to_owned()))));
        assert!(matches!(read(br#"{"status": "success"}"#, None), Some(Err(Silence::Error(_)))));
        for other in [&b"<html>"[..], b"", b"[]", br#"{"up": true}"#, b"\xff"] {
            assert_eq!(read(other, None), None);
        }
    }
}
