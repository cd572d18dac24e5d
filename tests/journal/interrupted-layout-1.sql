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
INSERT INTO deployments VALUES (1, 'v2', 'in_progress', 'root', 1795254349815, NULL, 2, 32, -7796142906507874994);
CREATE TABLE events (
    deployment INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    chain INTEGER NOT NULL,
    PRIMARY KEY (deployment, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO events VALUES (1, 1, 1795254349815, '{"seq":1,"at":"2026-11-21T09:45:49.815Z","deployment":"demo-1","type":"deployment_planned","format":2,"plan":{"deployment":"demo-1","kind":{"kind":"deploy"},"service":"demo","env":"default","version":"v2","started_by":"root","members":[{"target":{"id":"web-01","host":"127.0.0.1","port":@1@,"zone":"a","labels":{}},"previous":"v1","wanted":"v2","rotation":"serving","healthy":true,"health":"200 in 3ms","at_version":false},{"target":{"id":"web-02","host":"127.0.0.1","port":@2@,"zone":"b","labels":{}},"previous":"v1","wanted":"v2","rotation":"serving","healthy":true,"health":"200 in 9ms","at_version":false},{"target":{"id":"web-03","host":"127.0.0.1","port":@3@,"zone":"c","labels":{}},"previous":"v1","wanted":"v2","rotation":"serving","healthy":true,"health":"200 in 2ms","at_version":false},{"target":{"id":"web-04","host":"127.0.0.1","port":@4@,"zone":"a","labels":{}},"previous":"v1","wanted":"v2","rotation":"serving","healthy":true,"health":"200 in 3ms","at_version":false}],"policy":{"strategy":{"batch_size":[{"absolute":1}],"batch_pause":500,"max_unavailable":{"absolute":1},"min_serving":{"absolute":1},"min_healthy_time":0,"pacing":"batch","zones":"any","confirm":"none","progress_timeout":600000,"approval_timeout":1800000},"drain":{"timeout":5000,"on_timeout":"force"},"update":{"timeout":30000},"health":{"timeout":1000,"interval":200,"rise":2,"retries":3,"start_timeout":5000,"deadline":15000,"watch_interval":1000,"before":"skip","expects_version":true},"rollback":{"threshold_percent":10,"max_failures":3,"on_failure":"rollback","max_unavailable":{"absolute":1}}}}}', -3263963765738487525);
INSERT INTO events VALUES (1, 2, 1795254349828, '{"seq":2,"at":"2026-11-21T09:45:49.828Z","deployment":"demo-1","type":"deployment_started","by":{"who":"operator","login":"root","uid":0}}', -8441608136740667331);
INSERT INTO events VALUES (1, 3, 1795254349828, '{"seq":3,"at":"2026-11-21T09:45:49.828Z","deployment":"demo-1","type":"batch_started","batch":1,"members":["web-01"]}', -975204771369053735);
INSERT INTO events VALUES (1, 4, 1795254349828, '{"seq":4,"at":"2026-11-21T09:45:49.828Z","deployment":"demo-1","type":"instance_check_started","instance":"web-01","until":"2026-11-21T09:46:03.428Z"}', -2522221028303113244);
INSERT INTO events VALUES (1, 5, 1795254349850, '{"seq":5,"at":"2026-11-21T09:45:49.850Z","deployment":"demo-1","type":"drain_started","instance":"web-01","attempt":1,"until":"2026-11-21T09:45:59.850Z"}', -3240129496614730784);
INSERT INTO events VALUES (1, 6, 1795254349866, '{"seq":6,"at":"2026-11-21T09:45:49.866Z","deployment":"demo-1","type":"instance_taken_out","instance":"web-01","sessions":0,"until":"2026-11-21T09:45:54.866Z"}', -1082320175857095765);
INSERT INTO events VALUES (1, 7, 1795254349866, '{"seq":7,"at":"2026-11-21T09:45:49.866Z","deployment":"demo-1","type":"drain_finished","instance":"web-01","cut":0,"forced":false}', 3470477904708650963);
INSERT INTO events VALUES (1, 8, 1795254349866, '{"seq":8,"at":"2026-11-21T09:45:49.866Z","deployment":"demo-1","type":"update_started","instance":"web-01","version":"v2","attempt":2,"until":"2026-11-21T09:46:19.866Z"}', -6508534815490220277);
INSERT INTO events VALUES (1, 9, 1795254349902, '{"seq":9,"at":"2026-11-21T09:45:49.902Z","deployment":"demo-1","type":"update_finished","instance":"web-01","start_until":"2026-11-21T09:45:54.902Z","until":"2026-11-21T09:46:04.902Z"}', -2552626660366397602);
INSERT INTO events VALUES (1, 10, 1795254350351, '{"seq":10,"at":"2026-11-21T09:45:50.351Z","deployment":"demo-1","type":"health_passed","instance":"web-01","evidence":{"passes":2,"misses":0,"first_miss_at":null,"last":"200 in 5ms","p50_ms":1,"p99_ms":1,"latencies_ms":[null,null,null,null,null,null,null,null,null,null,1,5]}}', -1313631063539738809);
INSERT INTO events VALUES (1, 11, 1795254350379, '{"seq":11,"at":"2026-11-21T09:45:50.379Z","deployment":"demo-1","type":"instance_admitted","instance":"web-01","settle_until":"2026-11-21T09:45:50.379Z"}', 430815331875067563);
INSERT INTO events VALUES (1, 12, 1795254350379, '{"seq":12,"at":"2026-11-21T09:45:50.379Z","deployment":"demo-1","type":"instance_healthy","instance":"web-01","evidence":{"passes":2,"misses":0,"first_miss_at":null,"last":"200 in 5ms","p50_ms":1,"p99_ms":1,"latencies_ms":[null,null,null,null,null,null,null,null,null,null,1,5]}}', -1974125403159862014);
INSERT INTO events VALUES (1, 13, 1795254350379, '{"seq":13,"at":"2026-11-21T09:45:50.379Z","deployment":"demo-1","type":"batch_verified","batch":1,"bake_until":"2026-11-21T09:45:50.879Z"}', -2474635134347959520);
INSERT INTO events VALUES (1, 14, 1795254350879, '{"seq":14,"at":"2026-11-21T09:45:50.879Z","deployment":"demo-1","type":"batch_completed","batch":1}', -6974980352776482611);
INSERT INTO events VALUES (1, 15, 1795254350879, '{"seq":15,"at":"2026-11-21T09:45:50.879Z","deployment":"demo-1","type":"batch_started","batch":2,"members":["web-02"]}', -1640521023970256702);
INSERT INTO events VALUES (1, 16, 1795254350879, '{"seq":16,"at":"2026-11-21T09:45:50.879Z","deployment":"demo-1","type":"instance_check_started","instance":"web-02","until":"2026-11-21T09:46:04.479Z"}', 5899420335598914404);
INSERT INTO events VALUES (1, 17, 1795254350888, '{"seq":17,"at":"2026-11-21T09:45:50.888Z","deployment":"demo-1","type":"drain_started","instance":"web-02","attempt":1,"until":"2026-11-21T09:46:00.888Z"}', -3647589020177783087);
INSERT INTO events VALUES (1, 18, 1795254350895, '{"seq":18,"at":"2026-11-21T09:45:50.895Z","deployment":"demo-1","type":"instance_taken_out","instance":"web-02","sessions":1,"until":"2026-11-21T09:45:55.895Z"}', -2978877082602795328);
INSERT INTO events VALUES (1, 19, 1795254350947, '{"seq":19,"at":"2026-11-21T09:45:50.947Z","deployment":"demo-1","type":"drain_finished","instance":"web-02","cut":0,"forced":false}', -7073447568826652658);
INSERT INTO events VALUES (1, 20, 1795254350947, '{"seq":20,"at":"2026-11-21T09:45:50.947Z","deployment":"demo-1","type":"update_started","instance":"web-02","version":"v2","attempt":2,"until":"2026-11-21T09:46:20.947Z"}', 3185739557709487327);
INSERT INTO events VALUES (1, 21, 1795254350981, '{"seq":21,"at":"2026-11-21T09:45:50.981Z","deployment":"demo-1","type":"update_finished","instance":"web-02","start_until":"2026-11-21T09:45:55.981Z","until":"2026-11-21T09:46:05.981Z"}', 8904808950871118850);
INSERT INTO events VALUES (1, 22, 1795254351449, '{"seq":22,"at":"2026-11-21T09:45:51.449Z","deployment":"demo-1","type":"health_passed","instance":"web-02","evidence":{"passes":2,"misses":0,"first_miss_at":null,"last":"200 in 1ms","p50_ms":1,"p99_ms":1,"latencies_ms":[null,null,null,null,null,null,null,null,null,null,null,null,1,1]}}', 8784329498060315548);
INSERT INTO events VALUES (1, 23, 1795254351460, '{"seq":23,"at":"2026-11-21T09:45:51.460Z","deployment":"demo-1","type":"instance_admitted","instance":"web-02","settle_until":"2026-11-21T09:45:51.460Z"}', -1022464222609017766);
INSERT INTO events VALUES (1, 24, 1795254351460, '{"seq":24,"at":"2026-11-21T09:45:51.460Z","deployment":"demo-1","type":"instance_healthy","instance":"web-02","evidence":{"passes":2,"misses":0,"first_miss_at":null,"last":"200 in 1ms","p50_ms":1,"p99_ms":1,"latencies_ms":[null,null,null,null,null,null,null,null,null,null,null,null,1,1]}}', -1446580554265096955);
INSERT INTO events VALUES (1, 25, 1795254351460, '{"seq":25,"at":"2026-11-21T09:45:51.460Z","deployment":"demo-1","type":"batch_verified","batch":2,"bake_until":"2026-11-21T09:45:51.960Z"}', -1600687089974411215);
INSERT INTO events VALUES (1, 26, 1795254351961, '{"seq":26,"at":"2026-11-21T09:45:51.961Z","deployment":"demo-1","type":"batch_completed","batch":2}', -6503885426349974603);
INSERT INTO events VALUES (1, 27, 1795254351961, '{"seq":27,"at":"2026-11-21T09:45:51.961Z","deployment":"demo-1","type":"batch_started","batch":3,"members":["web-03"]}', 3690911288174703928);
INSERT INTO events VALUES (1, 28, 1795254351961, '{"seq":28,"at":"2026-11-21T09:45:51.961Z","deployment":"demo-1","type":"instance_check_started","instance":"web-03","until":"2026-11-21T09:46:05.561Z"}', 3282277763322580796);
INSERT INTO events VALUES (1, 29, 1795254351969, '{"seq":29,"at":"2026-11-21T09:45:51.969Z","deployment":"demo-1","type":"drain_started","instance":"web-03","attempt":1,"until":"2026-11-21T09:46:01.969Z"}', 5743070562484807479);
INSERT INTO events VALUES (1, 30, 1795254351977, '{"seq":30,"at":"2026-11-21T09:45:51.977Z","deployment":"demo-1","type":"instance_taken_out","instance":"web-03","sessions":2,"until":"2026-11-21T09:45:56.977Z"}', 1803141268635897716);
INSERT INTO events VALUES (1, 31, 1795254352163, '{"seq":31,"at":"2026-11-21T09:45:52.163Z","deployment":"demo-1","type":"drain_finished","instance":"web-03","cut":0,"forced":false}', 6139707488083833349);
INSERT INTO events VALUES (1, 32, 1795254352163, '{"seq":32,"at":"2026-11-21T09:45:52.163Z","deployment":"demo-1","type":"update_started","instance":"web-03","version":"v2","attempt":2,"until":"2026-11-21T09:46:22.163Z"}', -7796142906507874994);
PRAGMA user_version = 1;
