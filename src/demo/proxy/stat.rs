//! The table that `show stat` prints, with the columns of HAProxy 2.6 in their order.
//!
//! Imports: pool, check's words. May not: invent a figure; a column that is not kept stays empty.

use std::collections::HashMap;

use tokio::time::Instant;

use super::check::describe;
use super::pool::{Admin, Check, Counts, FALL, Pool, RISE, Server};

/// All columns of HAProxy 2.6, as its own first line names them.
pub(super) const COLUMNS: &str = "pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,\
status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,\
check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,\
req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,agent_status,\
agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,check_health,agent_rise,agent_fall,agent_health,addr,\
cookie,mode,algo,conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,\
src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,need_conn_est,uweight,\
agg_server_status,agg_server_check_status,agg_check_status,-,ssl_sess,ssl_reused_sess,ssl_failed_handshake,h2_headers_rcvd,\
h2_data_rcvd,h2_settings_rcvd,h2_rst_stream_rcvd,h2_goaway_rcvd,h2_detected_conn_protocol_errors,\
h2_detected_strm_protocol_errors,h2_rst_stream_resp,h2_goaway_resp,h2_open_connections,h2_backend_open_streams,\
h2_total_connections,h2_backend_total_streams,h1_open_connections,h1_open_streams,h1_total_connections,h1_total_streams,\
h1_bytes_in,h1_bytes_out,h1_spliced_bytes_in,h1_spliced_bytes_out,";

/// Number of the frontend among the proxies, as HAProxy counts.
pub(super) const FRONTEND_ID: u32 = 2;
/// Number of the backend.
pub(super) const BACKEND_ID: u32 = 3;
/// The frontend's name.
pub(super) const FRONTEND: &str = "fe_demo";

/// Which rows are wanted: bits 1 frontend, 2 backend, 4 servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Only this proxy, by its number.
    pub(super) proxy: Option<u32>,
    /// The bits.
    pub(super) kinds: u8,
    /// Only this server, by its number.
    pub(super) server: Option<usize>,
}

impl Wanted {
    /// All rows.
    pub(super) const ALL: Self = Self { proxy: None, kinds: 7, server: None };

    fn has(self, proxy: u32, kind: u8) -> bool {
        self.proxy.is_none_or(|id| id == proxy) && self.kinds & kind != 0
    }
}

/// The answer to `show stat`.
pub(super) fn show(pool: &Pool, wanted: Wanted, now: Instant) -> String {
    let table = Table::new();
    let mut text = format!("# {COLUMNS}\n");
    if wanted.has(FRONTEND_ID, 1) {
        table.write(&mut text, frontend(pool));
    }
    if wanted.has(BACKEND_ID, 4) {
        for (index, server) in pool.servers.iter().enumerate() {
            if wanted.server.is_none_or(|id| id == index + 1) {
                table.write(&mut text, server_row(pool, index, server, now));
            }
        }
    }
    if wanted.has(BACKEND_ID, 2) {
        table.write(&mut text, backend(pool, now));
    }
    text
}

type Row = Vec<(&'static str, String)>;

fn frontend(pool: &Pool) -> Row {
    let mut row = named(FRONTEND, "FRONTEND", FRONTEND_ID, 0);
    row.extend([("status", "OPEN".to_owned()), ("type", "0".to_owned())]);
    row.push(("req_tot", pool.counts.total.to_string()));
    row.push(("conn_tot", pool.clients.total.to_string()));
    sessions(&mut row, &pool.clients);
    answers(&mut row, &pool.clients);
    row
}

fn server_row(pool: &Pool, index: usize, server: &Server, now: Instant) -> Row {
    let mut row = named(&pool.backend, &server.name, BACKEND_ID, index + 1);
    served(&mut row, &server.counts);
    row.extend([
        // HAProxy counts a server's requests by its answers, and a backend's as they come.
        ("req_tot", server.counts.answers.iter().sum::<u64>().to_string()),
        ("status", server.status()),
        ("weight", server.weight.to_string()),
        ("act", "1".to_owned()),
        ("uweight", server.weight.to_string()),
        ("type", "2".to_owned()),
        ("chkfail", server.checks_failed.to_string()),
        ("chkdown", server.went_down.to_string()),
        ("lastchg", seconds(now, server.changed)),
        ("addr", format!("127.0.0.1:{}", server.port)),
    ]);
    if server.admin != Admin::Maint {
        checked(&mut row, server);
    }
    row
}

fn checked(row: &mut Row, server: &Server) {
    let (code, words) = describe(&server.check);
    let (status, last) = match &server.check {
        Check::Passed(status) => (status.to_string(), String::new()),
        Check::WrongStatus(status, reason) => (status.to_string(), reason.clone()),
        Check::NoConnection(reason) => (String::new(), reason.clone()),
        Check::Initial | Check::ConnectTimeout | Check::AnswerTimeout | Check::BadAnswer => (String::new(), String::new()),
    };
    row.extend([
        ("check_status", code.to_owned()),
        ("check_code", status),
        ("check_desc", words.to_owned()),
        ("last_chk", last),
        ("check_rise", RISE.to_string()),
        ("check_fall", FALL.to_string()),
        ("check_health", server.health.to_string()),
    ]);
    if server.check != Check::Initial {
        row.push(("check_duration", server.check_took.as_millis().to_string()));
    }
}

fn backend(pool: &Pool, now: Instant) -> Row {
    let (usable, weight) = (pool.usable(), pool.weight().to_string());
    let mut row = named(&pool.backend, "BACKEND", BACKEND_ID, 0);
    served(&mut row, &pool.counts);
    row.extend([
        ("req_tot", pool.counts.total.to_string()),
        ("status", if usable > 0 { "UP" } else { "DOWN" }.to_owned()),
        ("weight", weight.clone()),
        ("act", usable.to_string()),
        ("uweight", weight),
        ("type", "1".to_owned()),
        ("chkdown", pool.went_down.to_string()),
        ("lastchg", seconds(now, pool.changed)),
        ("algo", "roundrobin".to_owned()),
    ]);
    row
}

fn named(proxy: &str, service: &str, proxy_id: u32, service_id: usize) -> Row {
    vec![
        ("pxname", proxy.to_owned()),
        ("svname", service.to_owned()),
        ("pid", "1".to_owned()),
        ("iid", proxy_id.to_string()),
        ("sid", service_id.to_string()),
        ("mode", "http".to_owned()),
    ]
}

fn sessions(row: &mut Row, counts: &Counts) {
    row.extend([("scur", counts.current.to_string()), ("smax", counts.most.to_string()), ("stot", counts.total.to_string())]);
}

fn answers(row: &mut Row, counts: &Counts) {
    let names = ["hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"];
    row.extend(names.into_iter().zip(counts.answers.iter().map(u64::to_string)));
}

/// What servers and the backend have in common. There is no queue, no retry, no backup and no reuse: true zeros.
fn served(row: &mut Row, counts: &Counts) {
    sessions(row, counts);
    answers(row, counts);
    row.extend(["qcur", "qmax", "wretr", "wredis", "bck", "reuse"].map(|name| (name, "0".to_owned())));
    row.extend([
        ("econ", counts.connect_errors.to_string()),
        // As HAProxy counts them: an answer that the server broke off is one of these, too.
        ("eresp", (counts.answer_errors + counts.server_aborts).to_string()),
        ("cli_abrt", counts.client_aborts.to_string()),
        ("srv_abrt", counts.server_aborts.to_string()),
        ("connect", counts.connects.to_string()),
        ("lbtot", counts.connects.to_string()),
        ("rtime", counts.mean_response().to_string()),
    ]);
}

/// Whole seconds since `then`.
pub(super) fn seconds(now: Instant, then: Instant) -> String {
    now.saturating_duration_since(then).as_secs().to_string()
}

/// Where each column stands.
struct Table {
    places: HashMap<&'static str, usize>,
    width: usize,
}

impl Table {
    fn new() -> Self {
        // The list ends with a comma, as HAProxy's does: its last field has no name and no value.
        let names = COLUMNS.trim_end_matches(',').split(',');
        let places: HashMap<_, _> = names.enumerate().map(|(place, name)| (name, place)).collect();
        let width = places.len();
        Self { places, width }
    }

    fn write(&self, text: &mut String, row: Row) {
        let mut fields = vec![String::new(); self.width];
        for (name, value) in row {
            debug_assert!(self.places.contains_key(name), "{name} is a column");
            if let Some(field) = self.places.get(name).and_then(|place| fields.get_mut(*place)) {
                *field = quoted(value);
            }
        }
        for field in &fields {
            text.push_str(field);
            text.push(',');
        }
        text.push('\n');
    }
}

/// A field as CSV has it.
fn quoted(value: String) -> String {
    if value.contains([',', '"', '\n', '\r']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_as_many_fields_as_the_first_line() {
        let now = Instant::now();
        let mut pool = Pool::new("be_demo".to_owned(), vec![("web-01".to_owned(), 1), ("web-02".to_owned(), 2)], now);
        pool.checked(0, Check::WrongStatus(503, "Gone".to_owned()), std::time::Duration::from_millis(3), now);
        let text = show(&pool, Wanted::ALL, now);
        let commas = COLUMNS.matches(',').count();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines.iter().all(|line| line.matches(',').count() == commas), "{text}");
        assert!(lines[2].starts_with("be_demo,web-01,0,0,0,0,,0,"), "{text}");
        assert!(lines[2].contains(",L7STS,503,3,"), "{text}");
        assert!(lines[2].contains(",DOWN,1,1,0,1,1,"), "{text}");
    }

    #[test]
    fn rows_can_be_chosen() {
        let now = Instant::now();
        let pool = Pool::new("be_demo".to_owned(), vec![("web-01".to_owned(), 1), ("web-02".to_owned(), 2)], now);
        let rows = |proxy, kinds, server| {
            let text = show(&pool, Wanted { proxy, kinds, server }, now);
            text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(rows(Some(BACKEND_ID), 4, Some(2)), ["web-02"]);
        assert_eq!(rows(Some(BACKEND_ID), 6, None), ["web-01", "web-02", "BACKEND"]);
        assert_eq!(rows(None, 1, None), ["FRONTEND"]);
    }

    #[test]
    fn a_value_with_a_comma_is_quoted() {
        assert_eq!(quoted("a, \"b\"".to_owned()), "\"a, \"\"b\"\"\"");
        assert_eq!(quoted("plain".to_owned()), "plain");
    }
}
