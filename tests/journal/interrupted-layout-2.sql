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
INSERT INTO deployments VALUES (1, 'v2', 'in_progress', 'root', 1795256955842, NULL, 2, 32, -5779589019665258587);
CREATE TABLE events (
    deployment INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    chain INTEGER NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (deployment, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO events VALUES (1, 1, 1795256955842, '{"seq":1,"at":"2026-11-21T10:29:15.842Z","deployment":"demo-1","type":"deployment_planned","format":2,"plan":{"deployment":"demo-1","kind":{"kind":"deploy"},"service":"demo","env":"default","version":"v2","started_by":"root","members":[{"target":{"id":"web-01","host":"127.0.0.1","port":@1@,"zone":"a","labels":{}},"previous":"v1","wanted":"v2","rotation":"serving","healthy":true,"health":"200 in 3ms","at_version":false},{"target":{"id":"web-02","host":"127.0.0.1","port":@2@,"zone":"b","labels":{}},"previous":"v1","wanted":"v2","rotation":"serving","healthy":true,"health":"200 in 3ms","at_version":false},{"target":{"id":"web-03","host":"127.0.0.1","port":@3@,"zone":"c","labels":{}},"previous":"v1","wanted":"v2","rotation":"serving","healthy":true,"health":"200 in 3ms","at_version":false},{"target":{"id":"web-04","host":"127.0.0.1","port":@4@,"zone":"a","labels":{}},"previous":"v1","wanted":"v2","rotation":"serving","healthy":true,"health":"200 in 1ms","at_version":false}],"policy":{"strategy":{"batch_size":[{"absolute":1}],"batch_pause":500,"max_unavailable":{"absolute":1},"min_serving":{"absolute":1},"min_healthy_time":0,"pacing":"batch","zones":"any","confirm":"none","progress_timeout":600000,"approval_timeout":1800000},"drain":{"timeout":5000,"on_timeout":"force"},"update":{"timeout":30000},"health":{"timeout":1000,"interval":200,"rise":2,"retries":3,"start_timeout":5000,"deadline":15000,"watch_interval":1000,"before":"skip","expects_version":true},"rollback":{"threshold_percent":10,"max_failures":3,"on_failure":"rollback","max_unavailable":{"absolute":1}}}}}', 4735266560556476864, 1);
INSERT INTO events VALUES (1, 2, 1795256955855, '{"seq":2,"at":"2026-11-21T10:29:15.855Z","deployment":"demo-1","type":"deployment_started","by":{"who":"operator","login":"root","uid":0}}', -1267912466437998461, 1);
INSERT INTO events VALUES (1, 3, 1795256955855, '{"seq":3,"at":"2026-11-21T10:29:15.855Z","deployment":"demo-1","type":"batch_started","batch":1,"members":["web-01"]}', -4271529361678149976, 1);
INSERT INTO events VALUES (1, 4, 1795256955855, '{"seq":4,"at":"2026-11-21T10:29:15.855Z","deployment":"demo-1","type":"instance_check_started","instance":"web-01","until":"2026-11-21T10:29:29.455Z"}', 7946908159833597153, 1);
INSERT INTO events VALUES (1, 5, 1795256955888, '{"seq":5,"at":"2026-11-21T10:29:15.888Z","deployment":"demo-1","type":"drain_started","instance":"web-01","attempt":1,"until":"2026-11-21T10:29:25.888Z"}', -3639276844306122195, 1);
INSERT INTO events VALUES (1, 6, 1795256955923, '{"seq":6,"at":"2026-11-21T10:29:15.923Z","deployment":"demo-1","type":"instance_taken_out","instance":"web-01","sessions":1,"until":"2026-11-21T10:29:20.923Z"}', 729421759526146705, 1);
INSERT INTO events VALUES (1, 7, 1795256956139, '{"seq":7,"at":"2026-11-21T10:29:16.139Z","deployment":"demo-1","type":"drain_finished","instance":"web-01","cut":0,"forced":false}', 8422824953402765414, 1);
INSERT INTO events VALUES (1, 8, 1795256956139, '{"seq":8,"at":"2026-11-21T10:29:16.139Z","deployment":"demo-1","type":"update_started","instance":"web-01","version":"v2","attempt":2,"until":"2026-11-21T10:29:46.139Z"}', 3513482571077953161, 1);
INSERT INTO events VALUES (1, 9, 1795256956209, '{"seq":9,"at":"2026-11-21T10:29:16.209Z","deployment":"demo-1","type":"update_finished","instance":"web-01","start_until":"2026-11-21T10:29:21.209Z","until":"2026-11-21T10:29:31.209Z"}', 3024040446665882597, 1);
INSERT INTO events VALUES (1, 10, 1795256956609, '{"seq":10,"at":"2026-11-21T10:29:16.609Z","deployment":"demo-1","type":"health_passed","instance":"web-01","evidence":{"passes":2,"misses":0,"first_miss_at":null,"last":"200 in 2ms","p50_ms":2,"p99_ms":2,"latencies_ms":[null,null,null,null,null,null,null,8,2]}}', -8537639947641328806, 1);
INSERT INTO events VALUES (1, 11, 1795256956635, '{"seq":11,"at":"2026-11-21T10:29:16.635Z","deployment":"demo-1","type":"instance_admitted","instance":"web-01","settle_until":"2026-11-21T10:29:16.635Z"}', -7329751453882261910, 1);
INSERT INTO events VALUES (1, 12, 1795256956635, '{"seq":12,"at":"2026-11-21T10:29:16.635Z","deployment":"demo-1","type":"instance_healthy","instance":"web-01","evidence":{"passes":2,"misses":0,"first_miss_at":null,"last":"200 in 2ms","p50_ms":2,"p99_ms":2,"latencies_ms":[null,null,null,null,null,null,null,8,2]}}', 5967333848710222382, 1);
INSERT INTO events VALUES (1, 13, 1795256956635, '{"seq":13,"at":"2026-11-21T10:29:16.635Z","deployment":"demo-1","type":"batch_verified","batch":1,"bake_until":"2026-11-21T10:29:17.135Z"}', 6115258680225217501, 1);
INSERT INTO events VALUES (1, 14, 1795256957136, '{"seq":14,"at":"2026-11-21T10:29:17.136Z","deployment":"demo-1","type":"batch_completed","batch":1}', -4512646706433396883, 1);
INSERT INTO events VALUES (1, 15, 1795256957136, '{"seq":15,"at":"2026-11-21T10:29:17.136Z","deployment":"demo-1","type":"batch_started","batch":2,"members":["web-02"]}', -5301566015304046941, 1);
INSERT INTO events VALUES (1, 16, 1795256957136, '{"seq":16,"at":"2026-11-21T10:29:17.136Z","deployment":"demo-1","type":"instance_check_started","instance":"web-02","until":"2026-11-21T10:29:30.736Z"}', 5429508626105126232, 1);
INSERT INTO events VALUES (1, 17, 1795256957149, '{"seq":17,"at":"2026-11-21T10:29:17.149Z","deployment":"demo-1","type":"drain_started","instance":"web-02","attempt":1,"until":"2026-11-21T10:29:27.149Z"}', 8666239059622844958, 1);
INSERT INTO events VALUES (1, 18, 1795256957168, '{"seq":18,"at":"2026-11-21T10:29:17.168Z","deployment":"demo-1","type":"instance_taken_out","instance":"web-02","sessions":3,"until":"2026-11-21T10:29:22.168Z"}', 3791522191459841964, 1);
INSERT INTO events VALUES (1, 19, 1795256957379, '{"seq":19,"at":"2026-11-21T10:29:17.379Z","deployment":"demo-1","type":"drain_finished","instance":"web-02","cut":0,"forced":false}', -1331685153947957676, 1);
INSERT INTO events VALUES (1, 20, 1795256957379, '{"seq":20,"at":"2026-11-21T10:29:17.379Z","deployment":"demo-1","type":"update_started","instance":"web-02","version":"v2","attempt":2,"until":"2026-11-21T10:29:47.379Z"}', -6584139879423401154, 1);
INSERT INTO events VALUES (1, 21, 1795256957427, '{"seq":21,"at":"2026-11-21T10:29:17.427Z","deployment":"demo-1","type":"update_finished","instance":"web-02","start_until":"2026-11-21T10:29:22.427Z","until":"2026-11-21T10:29:32.427Z"}', 1567226414111979672, 1);
INSERT INTO events VALUES (1, 22, 1795256957910, '{"seq":22,"at":"2026-11-21T10:29:17.910Z","deployment":"demo-1","type":"health_passed","instance":"web-02","evidence":{"passes":2,"misses":0,"first_miss_at":null,"last":"200 in 8ms","p50_ms":1,"p99_ms":1,"latencies_ms":[null,null,null,null,null,null,null,null,null,null,null,null,1,8]}}', 6184822770950538765, 1);
INSERT INTO events VALUES (1, 23, 1795256957932, '{"seq":23,"at":"2026-11-21T10:29:17.932Z","deployment":"demo-1","type":"instance_admitted","instance":"web-02","settle_until":"2026-11-21T10:29:17.932Z"}', -8252543710058803635, 1);
INSERT INTO events VALUES (1, 24, 1795256957932, '{"seq":24,"at":"2026-11-21T10:29:17.932Z","deployment":"demo-1","type":"instance_healthy","instance":"web-02","evidence":{"passes":2,"misses":0,"first_miss_at":null,"last":"200 in 8ms","p50_ms":1,"p99_ms":1,"latencies_ms":[null,null,null,null,null,null,null,null,null,null,null,null,1,8]}}', 3579180990300559236, 1);
INSERT INTO events VALUES (1, 25, 1795256957932, '{"seq":25,"at":"2026-11-21T10:29:17.932Z","deployment":"demo-1","type":"batch_verified","batch":2,"bake_until":"2026-11-21T10:29:18.432Z"}', 9154309860313264919, 1);
INSERT INTO events VALUES (1, 26, 1795256958433, '{"seq":26,"at":"2026-11-21T10:29:18.433Z","deployment":"demo-1","type":"batch_completed","batch":2}', 3254211134447887616, 1);
INSERT INTO events VALUES (1, 27, 1795256958433, '{"seq":27,"at":"2026-11-21T10:29:18.433Z","deployment":"demo-1","type":"batch_started","batch":3,"members":["web-03"]}', 3226290484736203552, 1);
INSERT INTO events VALUES (1, 28, 1795256958433, '{"seq":28,"at":"2026-11-21T10:29:18.433Z","deployment":"demo-1","type":"instance_check_started","instance":"web-03","until":"2026-11-21T10:29:32.033Z"}', -374400890395287544, 1);
INSERT INTO events VALUES (1, 29, 1795256958452, '{"seq":29,"at":"2026-11-21T10:29:18.452Z","deployment":"demo-1","type":"drain_started","instance":"web-03","attempt":1,"until":"2026-11-21T10:29:28.452Z"}', 5330716607977238444, 1);
INSERT INTO events VALUES (1, 30, 1795256958465, '{"seq":30,"at":"2026-11-21T10:29:18.465Z","deployment":"demo-1","type":"instance_taken_out","instance":"web-03","sessions":1,"until":"2026-11-21T10:29:23.465Z"}', 4709147311505248887, 1);
INSERT INTO events VALUES (1, 31, 1795256958643, '{"seq":31,"at":"2026-11-21T10:29:18.643Z","deployment":"demo-1","type":"drain_finished","instance":"web-03","cut":0,"forced":false}', 377327258606891561, 1);
INSERT INTO events VALUES (1, 32, 1795256958643, '{"seq":32,"at":"2026-11-21T10:29:18.643Z","deployment":"demo-1","type":"update_started","instance":"web-03","version":"v2","attempt":2,"until":"2026-11-21T10:29:48.643Z"}', -5779589019665258587, 1);
CREATE TABLE leases (
    epoch INTEGER PRIMARY KEY CHECK (epoch > 0),
    holder TEXT NOT NULL,
    predecessor TEXT NOT NULL
) STRICT;
INSERT INTO leases VALUES (1, '{"process":{"pid":28375,"start_time":441350,"boot_id":"dde4bd18-6431-495e-a82c-5c4debf9ff08"},"uid":0,"login":"root","since":"2026-11-21T10:29:15.704Z","what":"demo-1 to v2"}', '{"epoch":0,"predecessor":"gone","by":"root"}');
PRAGMA user_version = 2;
