//! Weights in nginx's file: the same text with some servers on a part of their own weight, and as it was before.
//!
//! Imports: its parent. May not: open a file.
//!
//! A server's own weight is the one that stands there, 1 by default. While some have a part of theirs, a comment of ours in
//! the block keeps what stood there, and all servers of the block are on another scale: nginx takes whole numbers only, and
//! any of them. Clients are bound to servers by `ip_hash` and `hash`: there a weight is no share of the requests.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Server, Upstream};

/// The beginning of our comment: a line of its own, with each server's address and what stood there.
const KEPT: &str = "    # weights before rollout:";
/// What stands there for a server without a weight.
const NOTHING: &str = "-";
/// All of a server's own weight, in percent.
const WHOLE: u64 = 100;

/// The directive, if by it a weight is no share of the requests.
pub(super) fn no_share(statement: &[&str]) -> Option<String> {
    let first = statement.first()?;
    ["ip_hash", "hash"].contains(first).then(|| (*first).to_owned())
}

/// What stood there before us, by address; `None` for nothing.
type Own = BTreeMap<String, Option<u64>>;

impl Upstream {
    /// Why weights are no shares of the requests, if they are none.
    pub(in crate::traffic::nginx) fn no_shares(&self) -> Option<String> {
        let by = self.by.as_ref()?;
        Some(format!(
            "the upstream goes by {by}, where a weight is no share of the requests: use steps with `instances` instead of `weight`, \
             or remove {by}"
        ))
    }

    /// The same file in which servers have so much of their own weight, in percent, and all others theirs; without any, as it
    /// was before.
    pub(in crate::traffic::nginx) fn weighed(&self, percents: &BTreeMap<String, u16>) -> Result<String, String> {
        let kept = self.kept();
        let own = |server: &Server| {
            let before = kept.as_ref().and_then(|(_, own)| own.get(&server.address).copied());
            before.unwrap_or_else(|| server.weight.as_ref().map(|(_, weight)| *weight))
        };
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        if percents.values().all(|percent| u64::from(*percent) == WHOLE) {
            let Some((line, _)) = &kept else { return Ok(self.text.clone()) };
            edits.push((line.clone(), String::new()));
            edits.extend(self.servers.iter().filter_map(|server| edit(server, own(server))));
            return Ok(self.edited(edits));
        }
        self.weighable(percents)?;
        let exact = |server: &Server| {
            let percent = percents.get(&server.address).map_or(WHOLE, |percent| u64::from(*percent).max(1));
            own(server).unwrap_or(1).saturating_mul(percent)
        };
        let unit = self.servers.iter().map(exact).fold(0, greatest_common_divisor).max(1);
        edits.extend(self.servers.iter().filter_map(|server| edit(server, Some(exact(server) / unit))));
        let words = self.servers.iter().map(|server| {
            let weight = own(server).map_or_else(|| NOTHING.to_owned(), |weight| weight.to_string());
            format!(" {}={weight}", server.address)
        });
        let line = format!("{KEPT}{}\n", words.collect::<String>());
        edits.push((kept.map_or_else(|| self.line_of_end(), |(line, _)| line), line));
        Ok(self.edited(edits))
    }

    /// An error if weights would be no shares, or could not be put back.
    fn weighable(&self, percents: &BTreeMap<String, u16>) -> Result<(), String> {
        if let Some(why) = self.no_shares() {
            return Err(why);
        }
        if let Some(unknown) = percents.keys().find(|address| self.standing(address).is_none()) {
            return Err(format!("the upstream has no server {unknown}; see [traffic] server"));
        }
        let mut seen = std::collections::BTreeSet::new();
        let odd = |address: &str| address.contains(char::is_whitespace) || address.is_empty();
        match self.servers.iter().find(|server| odd(&server.address) || !seen.insert(&server.address)) {
            Some(server) => Err(format!("server {:?} stands there twice, or its address has blanks", server.address)),
            None => Ok(()),
        }
    }

    /// Our comment, with its line's end, and what it says.
    fn kept(&self) -> Option<(Range<usize>, Own)> {
        let block = self.text.get(self.begin..self.end)?;
        let from = self.begin + block.find(KEPT)?;
        let rest = self.text.get(from..self.end)?;
        let line = rest.split_inclusive('\n').next()?;
        let of = |word: &str| {
            let (address, weight) = word.rsplit_once('=')?;
            Some((address.to_owned(), weight.parse().ok()))
        };
        Some((from..from + line.len(), line.strip_prefix(KEPT)?.split_whitespace().filter_map(of).collect()))
    }

    fn edited(&self, mut edits: Vec<(Range<usize>, String)>) -> String {
        edits.sort_by_key(|(range, _)| range.start);
        let mut text = self.text.clone();
        for (range, new) in edits.iter().rev() {
            text.replace_range(range.clone(), new);
        }
        text
    }
}

/// The change that gives a server a weight, or none.
fn edit(server: &Server, wanted: Option<u64>) -> Option<(Range<usize>, String)> {
    let has = server.weight.as_ref().map(|(_, weight)| *weight);
    let at = server.weight.as_ref().map_or(server.named..server.named, |(range, _)| range.clone());
    (has != wanted).then(|| (at, wanted.map_or_else(String::new, |weight| format!(" weight={weight}"))))
}

fn greatest_common_divisor(one: u64, other: u64) -> u64 {
    let (mut one, mut other) = (one, other);
    while other > 0 {
        (one, other) = (other, one % other);
    }
    one
}

#[cfg(test)]
mod tests {
    use super::super::{HEADER, Wish};
    use super::*;

    fn read(text: &str) -> Upstream {
        Upstream::read(text, "shop").unwrap()
    }

    fn file(body: &str) -> String {
        format!("{HEADER}\nupstream other {{ server 10.0.0.1:80 weight=9; }}\nupstream shop {{{body}}}\n")
    }

    fn percents(of: &[(&str, u16)]) -> BTreeMap<String, u16> {
        of.iter().map(|(address, percent)| ((*address).to_owned(), *percent)).collect()
    }

    const BODIES: [&str; 2] = [
        "\n    least_conn;\n    server 10.0.0.1:80 weight=3 max_fails=2; # rack 7\n    server 10.0.0.2:80 down; # broken disk\n    \
         server \"10.0.0.3:80\" max_fails=0;\n    keepalive 16;\n",
        " server 10.0.0.1:80  weight=3; server 10.0.0.2:80;server 10.0.0.3:80 backup; ",
    ];

    #[test]
    fn weights_change_and_are_put_back_as_they_were() {
        for body in BODIES {
            let before = file(body);
            let weighed = read(&before).weighed(&percents(&[("10.0.0.2:80", 22)])).unwrap();
            let of = |text: &str| read(text).servers.iter().map(|s| s.weight.as_ref().map(|w| w.1)).collect::<Vec<_>>();
            assert_eq!(of(&weighed), [Some(150), Some(11), Some(50)], "{weighed}");
            assert!(weighed.contains("upstream other { server 10.0.0.1:80 weight=9; }"), "{weighed}");
            assert!(weighed.contains(&format!("{KEPT} 10.0.0.1:80=3 10.0.0.2:80=- 10.0.0.3:80=-\n")), "{weighed}");
            assert_eq!(read(&weighed).weighed(&percents(&[("10.0.0.2:80", 22)])).unwrap(), weighed, "twice is once");
            let more = read(&weighed).weighed(&percents(&[("10.0.0.1:80", 50), ("10.0.0.2:80", 150)])).unwrap();
            assert_eq!(of(&more), [Some(3), Some(3), Some(2)], "{more}");
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let back = read(&more).weighed(&percents(&[])).unwrap();
            assert_eq!((words(&back), of(&back)), (words(&before), of(&before)));
            assert_eq!(read(&back).weighed(&percents(&[])).unwrap(), back);
            assert_eq!(read(&before).weighed(&percents(&[("10.0.0.1:80", 100)])).unwrap(), before, "all of it is nothing to do");
        }
    }

    #[test]
    fn drains_additions_and_weights_do_not_undo_each_other() {
        let weighed = read(&file(BODIES[0])).weighed(&percents(&[("10.0.0.1:80", 10)])).unwrap();
        let wishes = [("10.0.0.1:80".to_owned(), Wish::Out), ("10.0.0.9:80".to_owned(), Wish::Add)];
        let out = read(&weighed).with(&wishes, true);
        assert!(out.contains("server 10.0.0.1:80 weight=3 max_fails=2 down; # taken out by rollout # rack 7"), "{out}");
        let again = read(&out).weighed(&percents(&[("10.0.0.1:80", 10)])).unwrap();
        assert!(again.contains("server 10.0.0.9:80 weight=10;") && again.contains(" 10.0.0.9:80=-\n"), "{again}");
        let back = read(&again).weighed(&percents(&[])).unwrap();
        assert_eq!(back, read(&file(BODIES[0])).with(&wishes, true));
    }

    #[test]
    fn where_a_weight_is_no_share_it_is_refused() {
        for (body, words) in [
            (" ip_hash; server 10.0.0.1:80; ", "goes by ip_hash, where a weight is no share"),
            (" hash $request_uri consistent; server 10.0.0.1:80; ", "goes by hash, where"),
            (" server 10.0.0.7:80; ", "no server 10.0.0.1:80; see [traffic] server"),
            (" server 10.0.0.1:80; server 10.0.0.1:80 backup; ", "stands there twice"),
        ] {
            let upstream = read(&file(body));
            let refused = upstream.weighed(&percents(&[("10.0.0.1:80", 10)])).unwrap_err();
            assert!(refused.contains(words), "{refused}");
            assert_eq!(upstream.weighed(&percents(&[])).unwrap(), upstream.text);
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = read(&file(BODIES[0])).weighed(&percents(&[("10.0.0.1:80", 10)])).unwrap();
        for cut in 0..whole.len() {
            for byte in ['{', '}', ';', '"', '=', '#', '\n', '9', 'ü'] {
                let text = format!("{}{byte}{}", &whole[..cut], &whole[cut + 1..]);
                if let Ok(file) = Upstream::read(&text, "shop") {
                    for of in [&[("10.0.0.1:80", 10)][..], &[]] {
                        file.weighed(&percents(of)).ok();
                    }
                }
            }
        }
    }
}
