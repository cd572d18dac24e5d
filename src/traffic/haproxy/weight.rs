//! Weights as HAProxy takes them, 0 to 256, out of percentages of each server's own weight. Pure.
//!
//! Imports: model, its siblings. May not: speak to a socket.
//!
//! A server's own weight is the configured one (`weight`, 1 by default), and 22 % of 1 is 0, which is no traffic at all and
//! reads as a drain. So while some servers have a part of theirs, all servers of the backend are put on another scale, also
//! those that are no instances of ours: everybody else's share stays what it was. Weights that somebody gave at run time give
//! way to that, but for 0: it is how one takes a server out by its weight, and whoever did must put it back.

use std::collections::BTreeMap;

use super::reply::{Server, Servers};

/// The greatest weight that HAProxy takes.
const GREATEST: u64 = 256;
/// All of a server's own weight, in percent.
const WHOLE: u16 = 100;
/// The scale on which rounding errors are compared.
const PRECISION: u64 = 1_000_000_000;

/// What one server is to have.
#[derive(Debug, Clone, Copy)]
struct Part {
    own: u64,
    /// Of `own`.
    percent: u64,
    /// It is one of those whose part was asked for.
    asked: bool,
}

impl Part {
    fn exact(self) -> u64 {
        self.own * self.percent
    }

    /// Its weight on a scale on which `exact` of `greatest` is `top`. Those whose part was asked for are rounded down and the
    /// others up: what was asked for is not exceeded. Nobody gets less than 1.
    fn rounded(self, top: u64, greatest: u64) -> u64 {
        let scaled = self.exact() * top;
        let weight = if self.asked { scaled / greatest } else { scaled.div_ceil(greatest) };
        weight.max(1)
    }

    /// How far that is off, relative to what it should be.
    fn error(self, top: u64, greatest: u64) -> u64 {
        let should = self.exact() * top;
        (self.rounded(top, greatest) * greatest).abs_diff(should) * PRECISION / should.max(1)
    }
}

/// The weights that servers are to have if those in `percents` get so much of their own weight, and all others theirs. One
/// whose own weight is 0, or that has 0 now, is left out: nobody but who took it out gives it traffic.
pub(super) fn wanted<'a>(servers: &'a Servers, percents: &BTreeMap<String, u16>) -> BTreeMap<&'a String, u32> {
    let part = |(name, server): (&'a String, &Server)| {
        let percent = percents.get(name);
        let of = u64::from(percent.copied().unwrap_or(WHOLE).max(1));
        (name, Part { own: u64::from(server.own), percent: of, asked: percent.is_some() })
    };
    let parts = servers.iter().filter(|(_, server)| server.own > 0 && server.weight > 0).map(part);
    let parts: Vec<(&String, Part)> = parts.collect();
    let greatest = parts.iter().map(|(_, part)| part.exact()).max().unwrap_or(1).max(1);
    let weight = if percents.values().all(|percent| *percent == WHOLE) {
        None
    } else {
        let worst = |top: u64| parts.iter().map(|(_, part)| part.error(top, greatest)).max().unwrap_or(0);
        (1..=GREATEST).min_by_key(|top| worst(*top))
    };
    let of = |part: &Part| weight.map_or(part.own, |top| part.rounded(top, greatest));
    parts.iter().map(|(name, part)| (*name, u32::try_from(of(part)).unwrap_or(u32::MAX))).collect()
}

/// The orders that lead there. HAProxy takes one after the other, and between two of them some servers are on the new scale and
/// some on the old. So those with the least part of their own weight come last where weights grow and first where they
/// shrink: at no moment have they more than before or after.
pub(super) fn orders(servers: &Servers, wanted: &BTreeMap<&String, u32>) -> Vec<(String, u32)> {
    let mut orders: Vec<(&String, u64, u64, u64)> = Vec::new();
    for (name, weight) in wanted {
        let Some(server) = servers.get(*name).filter(|server| server.weight != *weight) else { continue };
        orders.push((name, u64::from(server.weight), u64::from(*weight), u64::from(server.own)));
    }
    let grows = orders.iter().map(|(_, _, new, _)| new).sum::<u64>() > orders.iter().map(|(_, old, _, _)| old).sum::<u64>();
    // Own weights are 1 to 256: the parts of different servers are never closer than this tells apart.
    let part = |weight: u64, own: u64| weight * PRECISION / own.max(1);
    if grows {
        orders.sort_by_key(|(_, _, new, own)| std::cmp::Reverse(part(*new, *own)));
    } else {
        orders.sort_by_key(|(_, old, _, own)| part(*old, *own));
    }
    orders.into_iter().map(|(name, _, new, _)| (name.clone(), u32::try_from(new).unwrap_or(u32::MAX))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::reply::servers_state;
    use super::*;

    /// Servers by weight and own weight: a, b, c …
    fn servers(weights: &[(u32, u32)]) -> Servers {
        let head = "1\n# be_id be_name srv_id srv_name srv_op_state srv_admin_state srv_uweight srv_iweight\n";
        let line = |(at, (weight, own)): (usize, &(u32, u32))| {
            format!("3 shop {} {} 2 0 {weight} {own}\n", at + 1, char::from(b'a' + u8::try_from(at).unwrap()))
        };
        let lines: String = weights.iter().enumerate().map(line).collect();
        servers_state(&format!("{head}{lines}\n"), "shop").unwrap().1
    }

    fn percents(of: &[(&str, u16)]) -> BTreeMap<String, u16> {
        of.iter().map(|(name, percent)| ((*name).to_owned(), *percent)).collect()
    }

    fn weights(own: &[u32], of: &[(&str, u16)]) -> Vec<u32> {
        let servers = servers(&own.iter().map(|own| (*own, *own)).collect::<Vec<_>>());
        wanted(&servers, &percents(of)).into_values().collect()
    }

    #[test]
    fn weights_are_whole_numbers_in_the_wanted_proportion() {
        for (own, of, expected) in [
            // 22 % of 1, which would be 0.
            (&[1, 1, 1, 1][..], &[("a", 22)][..], &[11, 50, 50, 50][..]),
            (&[1, 1], &[("a", 100)], &[1, 1]),
            (&[1, 2, 3], &[], &[1, 2, 3]),
            (&[1, 1], &[("a", 1)], &[1, 100]),
            (&[100, 100, 100], &[("c", 50)], &[2, 2, 1]),
            (&[1, 2, 3], &[("c", 33)], &[100, 200, 99]),
            // More than its own: 11 times as much as the others.
            (&[1, 1, 1], &[("a", 1100), ("b", 1100)], &[11, 11, 1]),
            (&[100, 100], &[("a", 9900)], &[99, 1]),
            (&[256, 256], &[("a", 10)], &[1, 10]),
            (&[1], &[("a", 5)], &[1]),
            (&[], &[], &[]),
        ] {
            assert_eq!(weights(own, of), expected, "{own:?} {of:?}");
        }
    }

    #[test]
    fn what_was_asked_for_is_met_within_what_256_allows_and_not_exceeded() {
        for own in [&[1, 1, 1, 1][..], &[1, 2, 3, 4], &[100, 90, 110, 256], &[7, 13, 100, 1]] {
            for percent in [2, 3, 5, 11, 22, 33, 52, 77, 99, 101, 250] {
                let given = weights(own, &[("a", percent)]);
                assert!(given.iter().all(|weight| (1..=256).contains(weight)), "{given:?}");
                let rest: u32 = own.iter().skip(1).sum();
                let exact = f64::from(own[0]) * f64::from(percent) / 100.0;
                let wanted = exact / (exact + f64::from(rest));
                let share = f64::from(given[0]) / f64::from(given.iter().sum::<u32>());
                // A server cannot have less than 1: the only reason to have more than what was asked for.
                assert!(share <= wanted + 1e-9 || given[0] == 1, "{own:?} {percent}: {given:?}");
                assert!((share - wanted).abs() < 0.01, "{own:?} {percent}: {given:?}: {share} for {wanted}");
            }
        }
    }

    #[test]
    fn who_has_no_weight_keeps_it_and_nobody_else_is_forgotten() {
        let servers = servers(&[(1, 1), (0, 1), (0, 0), (40, 1)]);
        let wanted = wanted(&servers, &percents(&[("a", 50), ("b", 50), ("c", 50)]));
        assert_eq!(wanted.into_iter().collect::<Vec<_>>(), [(&"a".to_owned(), 1), (&"d".to_owned(), 2)]);
        assert_eq!(super::wanted(&servers, &BTreeMap::new()).into_values().collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn on_the_way_nobody_has_more_than_before_or_after() {
        let growing = servers(&[(1, 1), (2, 2), (1, 1)]);
        let to = wanted(&growing, &percents(&[("a", 22)]));
        let names = |orders: Vec<(String, u32)>| orders.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(orders(&growing, &to)), ["b", "c", "a"]);
        let shrinking = servers(&[(11, 1), (100, 2), (50, 1)]);
        assert_eq!(names(orders(&shrinking, &wanted(&shrinking, &BTreeMap::new()))), ["a", "b", "c"]);
        let there = servers(&[(11, 1), (100, 2), (50, 1)]);
        assert_eq!(orders(&there, &wanted(&there, &percents(&[("a", 22)]))), []);
    }
}
