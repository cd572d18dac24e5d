//! Caddy's `reverse_proxy` handler as JSON: whose upstreams are out, and the same handler with one of them in or out. Pure.
//!
//! Imports: model. May not: send anything, change anything but the list of upstreams and our own entry.
//!
//! Caddy has no word for an upstream that gets no new requests: it is in the list or it is not. One that we take out goes from
//! the list into a handler of its own in an entry of `handle_response` that no answer can match. There it gets no requests,
//! Caddy goes on to count those under way, everybody sees who took it out, and its place in the list is kept with it. One
//! that is nowhere was removed by somebody else.

use serde_json::{Map, Value, json};

/// A header that no answer has, and the mark of our entry.
const MARK: &str = "Taken-Out-By-Rollout";
/// The key of an upstream's place in the list.
const PLACE: &str = "place";

/// How an upstream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    In,
    Out,
}

/// What is wanted of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Out,
    In,
    Add,
    Remove,
}

/// An upstream that we took out, with its place in the list.
#[derive(Debug, Clone, PartialEq)]
struct Parked {
    place: usize,
    upstream: Value,
}

/// The handler, read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Handler {
    /// Without `upstreams` and our entry.
    rest: Map<String, Value>,
    list: Vec<Value>,
    parked: Vec<Parked>,
}

fn dial(upstream: &Value) -> Option<&str> {
    upstream.get("dial").and_then(Value::as_str)
}

impl Handler {
    /// Reads a handler.
    pub(super) fn read(json: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(json).map_err(|_none| "it is no JSON".to_owned())?;
        let Value::Object(mut rest) = value else { return Err("it is no object".to_owned()) };
        if rest.get("handler").and_then(Value::as_str) != Some("reverse_proxy") {
            return Err("it is no reverse_proxy handler".to_owned());
        }
        if rest.contains_key("dynamic_upstreams") {
            return Err("it has dynamic_upstreams, from which nothing can be taken out".to_owned());
        }
        let array = |value: Option<Value>| match value {
            Some(Value::Array(array)) => array,
            _ => Vec::new(),
        };
        let list = array(rest.shift_remove("upstreams"));
        let mut parked = Vec::new();
        if let Some(entries) = rest.get_mut("handle_response").and_then(Value::as_array_mut) {
            let (ours, others) = std::mem::take(entries).into_iter().partition::<Vec<_>, _>(is_ours);
            *entries = others;
            parked = ours
                .iter()
                .filter_map(|entry| entry.get("routes").and_then(Value::as_array))
                .flatten()
                .filter_map(unpark)
                .collect();
        }
        if rest.get("handle_response") == Some(&json!([])) {
            rest.shift_remove("handle_response");
        }
        Ok(Self { rest, list, parked })
    }

    /// How an upstream stands; in, if it is in the list as well.
    pub(super) fn standing(&self, address: &str) -> Option<Standing> {
        let is = |upstream: &Value| dial(upstream) == Some(address);
        if self.list.iter().any(is) {
            Some(Standing::In)
        } else {
            self.parked.iter().any(|parked| is(&parked.upstream)).then_some(Standing::Out)
        }
    }

    /// Carries a wish out as far as it can be.
    pub(super) fn wish(&mut self, address: &str, wish: Wish) {
        let is = |upstream: &Value| dial(upstream) == Some(address);
        match (wish, self.standing(address)) {
            (Wish::Out, Some(Standing::In)) => {
                let whole = self.whole();
                let place = whole.iter().position(is).unwrap_or(whole.len());
                self.parked.retain(|parked| !is(&parked.upstream));
                let (gone, left) = std::mem::take(&mut self.list).into_iter().partition(is);
                self.list = left;
                let gone: Vec<Value> = gone;
                self.parked.extend(gone.into_iter().map(|upstream| Parked { place, upstream }));
                self.parked.sort_by_key(|parked| parked.place);
            }
            (Wish::In, Some(Standing::Out)) => {
                let whole = self.whole();
                self.parked.retain(|parked| !is(&parked.upstream));
                let out = |upstream: &Value| self.parked.iter().any(|parked| dial(&parked.upstream) == dial(upstream));
                self.list = whole.into_iter().filter(|upstream| !out(upstream)).collect();
            }
            (Wish::Add, None) => self.list.push(json!({ "dial": address })),
            (Wish::Remove, _) => {
                self.list.retain(|upstream| !is(upstream));
                self.parked.retain(|parked| !is(&parked.upstream));
            }
            _ => {}
        }
    }

    /// The list as it is with everybody in.
    fn whole(&self) -> Vec<Value> {
        let mut whole = self.list.clone();
        for parked in &self.parked {
            whole.insert(parked.place.min(whole.len()), parked.upstream.clone());
        }
        whole
    }

    /// As Caddy takes it.
    pub(super) fn json(&self) -> Vec<u8> {
        let mut handler = self.rest.clone();
        handler.insert("upstreams".to_owned(), Value::Array(self.list.clone()));
        if !self.parked.is_empty() {
            let routes: Vec<Value> = self.parked.iter().map(park).collect();
            let entry = json!({ "match": { "status_code": [999], "headers": { MARK: ["never"] } }, "routes": routes });
            match handler.get_mut("handle_response").and_then(Value::as_array_mut) {
                Some(entries) => entries.insert(0, entry),
                None => drop(handler.insert("handle_response".to_owned(), json!([entry]))),
            }
        }
        Value::Object(handler).to_string().into_bytes()
    }

    /// After how many failed requests Caddy leaves an upstream out for a while; `None` if it does not.
    pub(super) fn max_fails(&self) -> Option<u64> {
        let passive = self.rest.get("health_checks")?.get("passive")?;
        // Without a duration nothing is remembered.
        passive.get("fail_duration").filter(|duration| !matches!(duration, Value::Number(n) if n.as_i64() == Some(0)))?;
        Some(passive.get("max_fails").and_then(Value::as_u64).unwrap_or(1))
    }

    /// True if Caddy checks the upstreams itself.
    pub(super) fn checks(&self) -> bool {
        self.rest.get("health_checks").and_then(|checks| checks.get("active")).is_some_and(|active| !active.is_null())
    }
}

fn is_ours(entry: &Value) -> bool {
    entry.pointer("/match/headers").and_then(|headers| headers.get(MARK)).is_some()
}

/// A route that matches no request.
fn park(parked: &Parked) -> Value {
    json!({
        "match": [{ "not": [{}] }],
        "handle": [
            { "handler": "vars", PLACE: parked.place },
            { "handler": "reverse_proxy", "upstreams": [parked.upstream] },
        ],
    })
}

fn unpark(route: &Value) -> Option<Parked> {
    let place = route.pointer("/handle/0")?.get(PLACE)?.as_u64()?;
    let upstream = route.pointer("/handle/1/upstreams/0")?.clone();
    Some(Parked { place: usize::try_from(place).ok()?, upstream })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"@id":"shop","handler":"reverse_proxy","handle_response":[{"routes":[]}],
        "upstreams":[{"dial":"a:1"},{"dial":"b:1","max_requests":7},{"dial":"c:1"},{"dial":"d:1"}]}"#;

    fn read(json: &[u8]) -> Handler {
        Handler::read(json).unwrap()
    }

    #[test]
    fn out_and_in_again_in_any_order_is_what_it_was() {
        let all = ["a:1", "b:1", "c:1", "d:1"];
        for first in all {
            for second in all {
                for third in all {
                    let mut handler = read(JSON.as_bytes());
                    for address in [first, second, third] {
                        handler.wish(address, Wish::Out);
                        handler = read(&handler.json());
                        assert_eq!(handler.standing(address), Some(Standing::Out));
                    }
                    for address in [second, first, third] {
                        handler.wish(address, Wish::In);
                        handler = read(&handler.json());
                        assert_eq!(handler.standing(address), Some(Standing::In));
                    }
                    assert_eq!(handler, read(JSON.as_bytes()), "{first} {second} {third}");
                }
            }
        }
    }

    #[test]
    fn what_somebody_removed_is_unknown_and_stays_so() {
        let mut handler = read(JSON.as_bytes());
        handler.wish("e:1", Wish::In);
        handler.wish("e:1", Wish::Out);
        assert_eq!((handler.standing("e:1"), handler.clone()), (None, read(JSON.as_bytes())));
        handler.wish("b:1", Wish::Out);
        handler.list.push(json!({ "dial": "b:1" }));
        assert_eq!(handler.standing("b:1"), Some(Standing::In), "somebody put it back");
        handler.wish("b:1", Wish::Out);
        assert_eq!(handler.parked.len(), 1);
    }

    #[test]
    fn upstreams_are_added_once_and_removed_wherever_they_are() {
        let mut handler = read(JSON.as_bytes());
        handler.wish("e:1", Wish::Add);
        handler.wish("e:1", Wish::Add);
        assert_eq!(handler.list.len(), 5);
        handler.wish("e:1", Wish::Out);
        handler.wish("e:1", Wish::Remove);
        assert_eq!(read(&handler.json()), read(JSON.as_bytes()));
    }

    #[test]
    fn health_checks_are_seen() {
        let of = |checks: &str| read(format!(r#"{{"handler":"reverse_proxy","health_checks":{checks}}}"#).as_bytes());
        assert_eq!(of(r#"{"passive":{"fail_duration":30}}"#).max_fails(), Some(1));
        assert_eq!(of(r#"{"passive":{"fail_duration":"1s","max_fails":3}}"#).max_fails(), Some(3));
        assert_eq!(of(r#"{"passive":{"fail_duration":0}}"#).max_fails(), None);
        assert_eq!(of(r#"{"passive":{"max_fails":3}}"#).max_fails(), None);
        assert!(of(r#"{"active":{"uri":"/"}}"#).checks() && !of("{}").checks());
    }

    #[test]
    fn what_is_no_handler_says_so() {
        for (json, why) in [
            ("", "no JSON"),
            ("null", "no object"),
            (r#"{"handler":"file_server"}"#, "no reverse_proxy"),
            (r#"{"handler":"reverse_proxy","dynamic_upstreams":{}}"#, "dynamic_upstreams"),
        ] {
            let error = Handler::read(json.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
