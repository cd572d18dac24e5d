//! Configurations as they are met.

use super::*;

/// Debian's own, with a backend as tutorials write it.
const DEBIAN: &str = "
global
\tlog /dev/log\tlocal0
\tchroot /var/lib/haproxy
\tstats socket /run/haproxy/admin.sock mode 660 level admin
\tstats timeout 30s
\tuser haproxy
\tssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets

defaults
\tmode\thttp
\toption\thttplog
        timeout connect 5000
\terrorfile 400 /etc/haproxy/errors/400.http

frontend www
\tbind *:80
\tbind :443 ssl crt /etc/ssl/site.pem alpn h2,http/1.1
\tacl is_api path_beg /api
\tuse_backend api if is_api
\tdefault_backend web

backend web
\tbalance roundrobin
\toption httpchk GET /healthz
\thttp-check expect status 200
\tserver web1 10.0.0.11:8080 check
\tserver web2 10.0.0.12:8080 check weight 50
\tserver spare 10.0.0.19:8080 check backup

backend api
\toption httpchk
\thttp-check send meth GET uri /ready ver HTTP/1.1 hdr Host api
\tdefault-server inter 3s fall 3 rise 2
\tserver api-a ipv4@10.0.0.21:9000 check
\tserver api-b [2001:db8::2]:9000 check disabled
\tserver api-c \"${API_C}:9000\" check
\tserver sock /run/api.sock
\tserver-template pods 1-5 pods.svc:9000 resolvers dns
";

#[test]
fn a_common_configuration_is_understood() {
    let found = parse(DEBIAN);
    assert_eq!(found.sockets, [Socket { address: "unix:/run/haproxy/admin.sock".to_owned(), admin: true }]);
    let [web, api] = found.backends.as_slice() else { panic!("{found:?}") };
    let server = |name: &str, host: &str, port| Server { name: name.to_owned(), host: host.to_owned(), port };
    assert_eq!(web.name, "web");
    assert_eq!(web.servers, [server("web1", "10.0.0.11", 8080), server("web2", "10.0.0.12", 8080)]);
    assert_eq!(web.check, Check { path: Some("/healthz".to_owned()), status: Some("200".to_owned()) });
    assert_eq!(web.urls, ["http://127.0.0.1/", "https://127.0.0.1/"]);
    assert_eq!(web.notes, ["line 29: server spare is backup and so is left out"]);
    assert_eq!(api.servers, [server("api-a", "10.0.0.21", 9000)]);
    assert_eq!(api.check.path.as_deref(), Some("/ready"));
    assert_eq!(api.notes.len(), 4, "{:?}", api.notes);
}

#[test]
fn a_listen_section_is_front_and_back() {
    let found = parse("listen shop\n bind 10.0.0.5:8000\n server a 127.0.0.1:1 check\n server b localhost:2\n");
    let [shop] = found.backends.as_slice() else { panic!("{found:?}") };
    assert_eq!(shop.urls, ["http://10.0.0.5:8000/"]);
    assert_eq!(shop.servers.len(), 2);
    assert_eq!(found.sockets, []);
}

#[test]
fn checks_of_defaults_hold_until_the_next_defaults() {
    let text = "defaults\n option httpchk /up\nbackend a\n server s h:1\ndefaults\nbackend b\n server s h:2\n";
    let found = parse(text);
    let paths: Vec<_> = found.backends.iter().map(|backend| backend.check.path.as_deref()).collect();
    assert_eq!(paths, [Some("/up"), None]);
}

#[test]
fn sockets_come_in_several_forms() {
    let text = "global\n stats socket ipv4@*:9999 level operator\n stats socket unix@/run/a.sock user x level admin\n \
        stats socket abns@name\n stats socket 10.0.0.5:9999 level admin\n";
    let found = parse(text);
    let sockets: Vec<_> = found.sockets.iter().map(|socket| (socket.address.as_str(), socket.admin)).collect();
    assert_eq!(sockets, [("127.0.0.1:9999", false), ("unix:/run/a.sock", true), ("10.0.0.5:9999", true)]);
    assert_eq!(found.notes, ["line 4: a stats socket at abns@name cannot be used from outside"]);
}

#[test]
fn garbage_is_passed_over() {
    for text in
        ["", "\u{0}\u{1}", "server", "backend\nserver\nserver a\nserver a b", "listen\nbind\nbind ,,,:x", "\"", "stats socket"]
    {
        assert_eq!(parse(text).sockets, [], "{text:?}");
    }
}
