CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    service TEXT NOT NULL,
    env TEXT NOT NULL
) STRICT;
INSERT INTO store VALUES (1, 'demo', 'default');
CREATE TABLE deployments (
    number INTEGER PRIMARY KEY CHECK (number > 0),
    version TEXT NOT NULL,
    status TEXT NOT NULL,
    started_by TEXT NOT NULL,
    planned_at INTEGER NOT NULL,
    ended_at INTEGER,
    format INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    chain INTEGER NOT NULL
) STRICT;
INSERT INTO deployments VALUES (1, 'v2', 'in_progress', 'root', 1795254346076, NULL, 1, 32, 1126726847593596075);
CREATE TABLE events (
    deployment INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    chain INTEGER NOT NULL,
    PRIMARY KEY (deployment, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO events VALUES (1, 1, 1795254346076, '{"seq":1,"at":"2026-11-21T09:45:46.076Z","deployment":"demo-1","type":"deployment_planned","format":1,"plan":{"deployment":"demo-1","kind":{"kind":"deploy"},"service":"demo","env":"default","version":"v2","started_by":"root","members":[{"target":{"id":"web-01","host":"127.0.0.1","port":@1@,"zone":"a","labels":{}},"previous":"v1","wanted":"v2","rotation":"serving","healthy":true,"health":"200 in 5ms","at_version":false},{"target":{"id":"web-02","host":"127.0.0.1","port":@2@,"zone":"b","labels":{}},"previous":"v1","wanted":"v2","rotation":"serving","healthy":true,"health":"200 in 4ms","at_version":false},{"target":{"id":"web-03","host":"127.0.0.1","port":@3@,"zone":"c","labels":{}},"previous":"v1","wanted":"v2","rotation":"serving","healthy":true,"health":"200 in 2ms","at_version":false},{"target":{"id":"web-04","host":"127.0.0.1","port":@4@,"zone":"a","labels":{}},"previous":"v1","wanted":"v2","rotation":"serving","healthy":true,"health":"200 in 2ms","at_version":false}],"policy":{"strategy":{"batch_size":[{"absolute":1}],"batch_pause":500,"max_unavailable":{"absolute":1},"min_serving":{"absolute":1},"min_healthy_time":0,"progress_timeout":600000,"approval_timeout":1800000},"drain":{"timeout":5000,"on_timeout":"force"},"update":{"timeout":30000},"health":{"timeout":1000,"interval":200,"rise":2,"retries":3,"start_timeout":5000,"deadline":15000,"watch_interval":1000,"before":"skip","expects_version":true},"rollback":{"threshold_percent":10,"max_failures":3,"on_failure":"rollback","max_unavailable":{"absolute":1}}}}}', -3531246920610922389);
INSERT INTO events VALUES (1, 2, 1795254346082, '{"seq":2,"at":"2026-11-21T09:45:46.082Z","deployment":"demo-1","type":"deployment_started","by":{"who":"operator","login":"root","uid":0}}', -5122843489328449164);
INSERT INTO events VALUES (1, 3, 1795254346082, '{"seq":3,"at":"2026-11-21T09:45:46.082Z","deployment":"demo-1","type":"batch_started","batch":1,"members":["web-01"]}', -2346002552784407987);
INSERT INTO events VALUES (1, 4, 1795254346082, '{"seq":4,"at":"2026-11-21T09:45:46.082Z","deployment":"demo-1","type":"instance_check_started","instance":"web-01","until":"2026-11-21T09:45:59.682Z"}', 3688317006929053283);
INSERT INTO events VALUES (1, 5, 1795254346099, '{"seq":5,"at":"2026-11-21T09:45:46.099Z","deployment":"demo-1","type":"drain_started","instance":"web-01","attempt":1,"until":"2026-11-21T09:45:56.099Z"}', -5863634319870737123);
INSERT INTO events VALUES (1, 6, 1795254346130, '{"seq":6,"at":"2026-11-21T09:45:46.130Z","deployment":"demo-1","type":"instance_taken_out","instance":"web-01","sessions":0,"until":"2026-11-21T09:45:51.130Z"}', 8347295740035832038);
INSERT INTO events VALUES (1, 7, 1795254346130, '{"seq":7,"at":"2026-11-21T09:45:46.130Z","deployment":"demo-1","type":"drain_finished","instance":"web-01","cut":0,"forced":false}', -880512379467227369);
INSERT INTO events VALUES (1, 8, 1795254346130, '{"seq":8,"at":"2026-11-21T09:45:46.130Z","deployment":"demo-1","type":"update_started","instance":"web-01","version":"v2","attempt":2,"until":"2026-11-21T09:46:16.130Z"}', -8182942019118415173);
INSERT INTO events VALUES (1, 9, 1795254346193, '{"seq":9,"at":"2026-11-21T09:45:46.193Z","deployment":"demo-1","type":"update_finished","instance":"web-01","start_until":"2026-11-21T09:45:51.193Z","until":"2026-11-21T09:46:01.193Z"}', 7935933330170783335);
INSERT INTO events VALUES (1, 10, 1795254346585, '{"seq":10,"at":"2026-11-21T09:45:46.585Z","deployment":"demo-1","type":"health_passed","instance":"web-01","evidence":{"passes":2,"misses":0,"first_miss_at":null,"last":"200 in <1ms","p50_ms":0,"p99_ms":0,"latencies_ms":[null,null,null,null,null,null,null,null,2,0]}}', -362828258182705994);
INSERT INTO events VALUES (1, 11, 1795254346609, '{"seq":11,"at":"2026-11-21T09:45:46.609Z","deployment":"demo-1","type":"instance_admitted","instance":"web-01","settle_until":"2026-11-21T09:45:46.609Z"}', 181222076827243330);
INSERT INTO events VALUES (1, 12, 1795254346609, '{"seq":12,"at":"2026-11-21T09:45:46.609Z","deployment":"demo-1","type":"instance_healthy","instance":"web-01","evidence":{"passes":2,"misses":0,"first_miss_at":null,"last":"200 in <1ms","p50_ms":0,"p99_ms":0,"latencies_ms":[null,null,null,null,null,null,null,null,2,0]}}', 8695748031896015018);
INSERT INTO events VALUES (1, 13, 1795254346609, '{"seq":13,"at":"2026-11-21T09:45:46.609Z","deployment":"demo-1","type":"batch_verified","batch":1,"bake_until":"2026-11-21T09:45:47.109Z"}', -7638255656280290379);
INSERT INTO events VALUES (1, 14, 1795254347110, '{"seq":14,"at":"2026-11-21T09:45:47.110Z","deployment":"demo-1","type":"batch_completed","batch":1}', 5504674503496270920);
INSERT INTO events VALUES (1, 15, 1795254347110, '{"seq":15,"at":"2026-11-21T09:45:47.110Z","deployment":"demo-1","type":"batch_started","batch":2,"members":["web-02"]}', 5125961082623745873);
INSERT INTO events VALUES (1, 16, 1795254347110, '{"seq":16,"at":"2026-11-21T09:45:47.110Z","deployment":"demo-1","type":"instance_check_started","instance":"web-02","until":"2026-11-21T09:46:00.710Z"}', 4762025963536204427);
INSERT INTO events VALUES (1, 17, 1795254347139, '{"seq":17,"at":"2026-11-21T09:45:47.139Z","deployment":"demo-1","type":"drain_started","instance":"web-02","attempt":1,"until":"2026-11-21T09:45:57.139Z"}', -8534837004616727681);
INSERT INTO events VALUES (1, 18, 1795254347153, '{"seq":18,"at":"2026-11-21T09:45:47.153Z","deployment":"demo-1","type":"instance_taken_out","instance":"web-02","sessions":1,"until":"2026-11-21T09:45:52.153Z"}', -1710102643249941627);
INSERT INTO events VALUES (1, 19, 1795254347278, '{"seq":19,"at":"2026-11-21T09:45:47.278Z","deployment":"demo-1","type":"drain_finished","instance":"web-02","cut":0,"forced":false}', -2313447764637035806);
INSERT INTO events VALUES (1, 20, 1795254347278, '{"seq":20,"at":"2026-11-21T09:45:47.278Z","deployment":"demo-1","type":"update_started","instance":"web-02","version":"v2","attempt":2,"until":"2026-11-21T09:46:17.278Z"}', -2763389380380528099);
INSERT INTO events VALUES (1, 21, 1795254347321, '{"seq":21,"at":"2026-11-21T09:45:47.321Z","deployment":"demo-1","type":"update_finished","instance":"web-02","start_until":"2026-11-21T09:45:52.321Z","until":"2026-11-21T09:46:02.321Z"}', -9070564517224916298);
INSERT INTO events VALUES (1, 22, 1795254347791, '{"seq":22,"at":"2026-11-21T09:45:47.791Z","deployment":"demo-1","type":"health_passed","instance":"web-02","evidence":{"passes":2,"misses":0,"first_miss_at":null,"last":"200 in 1ms","p50_ms":1,"p99_ms":1,"latencies_ms":[null,null,null,null,null,null,null,null,null,null,null,8,1]}}', -8154545647956862675);
INSERT INTO events VALUES (1, 23, 1795254347804, '{"seq":23,"at":"2026-11-21T09:45:47.804Z","deployment":"demo-1","type":"instance_admitted","instance":"web-02","settle_until":"2026-11-21T09:45:47.804Z"}', 1891489604758716455);
INSERT INTO events VALUES (1, 24, 1795254347804, '{"seq":24,"at":"2026-11-21T09:45:47.804Z","deployment":"demo-1","type":"instance_healthy","instance":"web-02","evidence":{"passes":2,"misses":0,"first_miss_at":null,"last":"200 in 1ms","p50_ms":1,"p99_ms":1,"latencies_ms":[null,null,null,null,null,null,null,null,null,null,null,8,1]}}', -1256605940638887349);
INSERT INTO events VALUES (1, 25, 1795254347804, '{"seq":25,"at":"2026-11-21T09:45:47.804Z","deployment":"demo-1","type":"batch_verified","batch":2,"bake_until":"2026-11-21T09:45:48.304Z"}', -4799138489767154274);
INSERT INTO events VALUES (1, 26, 1795254348305, '{"seq":26,"at":"2026-11-21T09:45:48.305Z","deployment":"demo-1","type":"batch_completed","batch":2}', 932984008251134686);
INSERT INTO events VALUES (1, 27, 1795254348305, '{"seq":27,"at":"2026-11-21T09:45:48.305Z","deployment":"demo-1","type":"batch_started","batch":3,"members":["web-03"]}', 24422671808567957);
INSERT INTO events VALUES (1, 28, 1795254348305, '{"seq":28,"at":"2026-11-21T09:45:48.305Z","deployment":"demo-1","type":"instance_check_started","instance":"web-03","until":"2026-11-21T09:46:01.905Z"}', -8768110402444298201);
INSERT INTO events VALUES (1, 29, 1795254348317, '{"seq":29,"at":"2026-11-21T09:45:48.317Z","deployment":"demo-1","type":"drain_started","instance":"web-03","attempt":1,"until":"2026-11-21T09:45:58.317Z"}', 2207068816754902325);
INSERT INTO events VALUES (1, 30, 1795254348331, '{"seq":30,"at":"2026-11-21T09:45:48.331Z","deployment":"demo-1","type":"instance_taken_out","instance":"web-03","sessions":0,"until":"2026-11-21T09:45:53.331Z"}', 8681592622677356147);
INSERT INTO events VALUES (1, 31, 1795254348331, '{"seq":31,"at":"2026-11-21T09:45:48.331Z","deployment":"demo-1","type":"drain_finished","instance":"web-03","cut":0,"forced":false}', 1210932366231773302);
INSERT INTO events VALUES (1, 32, 1795254348331, '{"seq":32,"at":"2026-11-21T09:45:48.331Z","deployment":"demo-1","type":"update_started","instance":"web-03","version":"v2","attempt":2,"until":"2026-11-21T09:46:18.331Z"}', 1126726847593596075);
PRAGMA user_version = 1;
