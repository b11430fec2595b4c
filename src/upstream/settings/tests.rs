use super::*;
use crate::fault::Source;

fn read(text: &str) -> (Settings, Vec<String>) {
    let faults = Faults::new();
    let table = Table::parse(&Source::new("e.toml", text), &faults);
    let settings = Settings::read(&table, &faults);
    // Whoever makes the connections takes these.
    drop((table.take_value("tls"), table.take_value("protocol")));
    table.finish(&faults);
    let faults = faults.into_vec();
    let shown = |fault: &Fault| format!("{fault} | {}", fault.remedy);
    (settings, faults.iter().map(shown).collect())
}

const ONE: &str = "endpoints = \"10.0.0.1:80\"\n";

const EVERYTHING: &str = r#"
endpoints = [
    "10.0.0.1:80",
    "[2001:db8::1]:80",
    "app.internal:8080",
    { address = "10.0.0.2:80", weight = 0, backup = true, priority = 3, zone = "b" },
    { name = "b.internal:80", weight = 1000 },
    { srv = "_http._tcp.app.internal" },
    { file = "app.endpoints" },
]
balance = { by = "maglev", key = { header = "X-User" }, bounded-load = "125%" }
zone = "a"
overflow = "80%"
health = { http = { path = "/health?x", method = "HEAD", host = "app", status = [200, "300-399"], body = "ok" }, every = "3s", jitter = "20%", timeout = "1s", rise = 1, fall = 2, port = 81 }
outlier = { failures = false, success-rate = { volume = 10, endpoints = 3, deviations = 2 }, on = ["500-599"], interval = "1s", base = "2s", longest = "3s", share = "20%" }
slow-start = { window = "30s", from = "5%" }
panic = false
limits = { requests = 1, connections = 2, retries = 3, endpoint-requests = 4, endpoint-connections = 5, pending = { most = 6, time = "7s" } }
retry = { tries = 3, per-try = "2s", budget = "10%", floor = 0, on = [503] }
tls = {}
protocol = "h2"
    "#;

#[test]
fn everything_that_can_be_said_is_read() {
    let (settings, faults) = read(EVERYTHING);
    assert_eq!(faults, Vec::<String>::new());
    let sources: Vec<String> = settings
        .endpoints
        .iter()
        .map(|own| own.source.to_string())
        .collect();
    let expected = [
        "10.0.0.1:80",
        "[2001:db8::1]:80",
        "app.internal:8080",
        "10.0.0.2:80",
        "b.internal:80",
        "SRV _http._tcp.app.internal",
        "app.endpoints",
    ];
    assert_eq!(sources, expected);
    let backup = &settings.endpoints[3];
    assert_eq!(
        (
            backup.weight,
            backup.backup,
            backup.priority,
            backup.zone.as_deref()
        ),
        (0, true, 3, Some("b"))
    );
    assert_eq!(settings.balance.entry.name, "maglev");
    assert_eq!(settings.balance.bounded_load, Some(1.25));
    assert_eq!(settings.panic, None);
    let health = settings.health.expect("it is probed");
    assert_eq!(
        (health.rise, health.fall, health.port, health.jitter),
        (1, 2, Some(81), 0.2)
    );
    let Probe::Http { path, status, .. } = health.probe else {
        panic!("{:?}", health.probe);
    };
    assert_eq!(&*path, "/health?x");
    assert!(
        [200, 300, 399]
            .iter()
            .all(|code| status.iter().any(|range| range.contains(*code)))
    );
    assert!(
        ![201, 299, 400]
            .iter()
            .any(|code| status.iter().any(|range| range.contains(*code)))
    );
    let outlier = settings.outlier.expect("it ejects");
    assert_eq!((outlier.failures, outlier.share), (None, 0.2));
    assert_eq!(settings.limits.pending.map(|pending| pending.most), Some(6));
    assert_eq!((settings.retry.tries, settings.retry.floor), (3, 0));
    assert_eq!(settings.slow_start.from, 0.05);
}

#[test]
fn what_is_not_said_has_its_default() {
    let (settings, faults) = read(ONE);
    assert_eq!(faults, Vec::<String>::new());
    let of = EndpointSettings::of("10.0.0.1:80".parse().expect("an address"));
    assert_eq!(settings, Settings::of([of]));
    assert_eq!(settings.balance.entry.name, "p2c");
    assert!(settings.outlier.is_some() && settings.health.is_none() && settings.sticky.is_none());
}

const OF_ENDPOINTS: &[(&str, &str)] = &[
    (
        "",
        "e.toml:1:1: \"endpoints\" is missing | name where requests go",
    ),
    (
        "endpoints = []",
        "e.toml:1:13: an upstream without endpoints serves nobody | name where",
    ),
    ("endpoints = [\"a\"]", "e.toml:1:14: "),
    ("endpoints = [\"10.0.0.1:0\"]", "e.toml:1:14: "),
    ("endpoints = [\"http://a:80\"]", "e.toml:1:14: "),
    (
        "endpoints = [7]",
        "e.toml:1:14: expected \"host:port\", or a table",
    ),
    (
        "endpoints = [\"10.0.0.1:80\", { address = \"10.0.0.1:80\", weight = 2 }]",
        "e.toml:1:29: 10.0.0.1:80 is there twice | leave one out",
    ),
    (
        "endpoints = [{ address = \"10.0.0.1:80\", weight = 0 }, { name = \"a:80\", weight = 0 }]",
        "e.toml:1:13: every endpoint has weight 0",
    ),
    (
        "endpoints = [{ address = \"a.example:80\" }]",
        "e.toml:1:26: \"a.example:80\" is a name | write it as name",
    ),
    (
        "endpoints = [{ weight = 1 }]",
        "e.toml:1:14: an endpoint comes from one place | write one of: address",
    ),
    (
        "endpoints = [{ name = \"a:80\", srv = \"b\" }]",
        "e.toml:1:14: an endpoint comes from one place",
    ),
    (
        "endpoints = [{ srv = \"10.0.0.1\" }]",
        "e.toml:1:22: \"10.0.0.1\" is an address | write the name of the records",
    ),
    (
        "endpoints = [{ name = \"a:80\", weight = 1001 }]",
        "e.toml:1:40: 1001 is out of range | write 0 to 1000",
    ),
    (
        "endpoints = [{ name = \"a:80\", wieght = 1 }]",
        "e.toml:1:31: unknown key \"wieght\" | Did you mean \"weight\"?",
    ),
];

const OF_THE_REST: &[(&str, &str)] = &[
    (
        "balnce = \"p2c\"",
        "e.toml:2:1: unknown key \"balnce\" | Did you mean \"balance\"?",
    ),
    (
        "balance = \"roundrobin\"",
        "e.toml:2:11: \"roundrobin\" is not known here | Did you mean \"round-robin\"?",
    ),
    (
        "balance = { by = \"p2c\", key = \"client\" }",
        "e.toml:2:31: \"p2c\" goes by no key | leave it out, or choose \"maglev\"",
    ),
    (
        "balance = { by = \"p2c\", bounded-load = \"125%\" }",
        "e.toml:2:11: \"bounded-load\" is for algorithms with a key",
    ),
    (
        "balance = { by = \"maglev\", bounded-load = \"90%\" }",
        "e.toml:2:43: 90% is out of range | write \"101%\" to",
    ),
    (
        "balance = { by = \"maglev\", key = \"cilent\" }",
        "e.toml:2:34: \"cilent\" is not known here | Did you mean \"client\"?",
    ),
    (
        "balance = { by = \"maglev\", key = { header = \"a b\" } }",
        "e.toml:2:45: \"a b\" is not the name of a field",
    ),
    (
        "balance = { by = \"maglev\", key = { header = \"a\", cookie = \"b\" } }",
        "e.toml:2:34: a key is one thing",
    ),
    (
        "balance = { key = \"path\" }",
        "e.toml:2:11: \"by\" is missing",
    ),
    ("overflow = \"0%\"", "e.toml:2:12: 0% is out of range"),
    (
        "panic = 20",
        "e.toml:2:9: expected a percentage such as \"20%\", found an integer",
    ),
    (
        "health = \"icmp\"",
        "e.toml:2:10: \"icmp\" is not known here",
    ),
    (
        "health = { every = \"5s\" }",
        "e.toml:2:10: an endpoint is probed in one way",
    ),
    (
        "health = { tcp = true, tls = true }",
        "e.toml:2:10: an endpoint is probed in one way",
    ),
    (
        "health = { tcp = true, every = \"0s\" }",
        "e.toml:2:32: \"every\" can not be no time",
    ),
    (
        "health = { http = \"health\" }",
        "e.toml:2:19: \"health\" is not a path",
    ),
    (
        "health = { http = { path = \"/a b\" } }",
        "e.toml:2:28: \"/a b\" is not a path",
    ),
    (
        "health = { http = { status = \"2xx\" } }",
        "e.toml:2:30: this is no status",
    ),
    (
        "health = { tcp = true, fall = 0 }",
        "e.toml:2:31: 0 is out of range | write 1 to 1000",
    ),
    (
        "outlier = { failures = 0 }",
        "e.toml:2:24: nobody can be ejected for 0 failures | write false",
    ),
    (
        "outlier = { base = \"1h\" }",
        "e.toml:2:11: \"base\" is longer than \"longest\"",
    ),
    (
        "outlier = { success-rate = { deviations = 0 } }",
        "e.toml:2:43: 0 is out of range",
    ),
    (
        "slow-start = { from = \"10%\" }",
        "e.toml:2:14: \"window\" is missing",
    ),
    (
        "limits = { pending = { most = 5 } }",
        "e.toml:2:10: without a limit of \"requests\" none has to wait",
    ),
    (
        "limits = { requests = 5, pending = {} }",
        "e.toml:2:36: \"most\" is missing",
    ),
    (
        "retry = { tries = 0 }",
        "e.toml:2:19: 0 is out of range | write 1 to 10",
    ),
    (
        "sticky = { cookie = \"a\" }",
        "e.toml:2:10: \"secret\" is missing",
    ),
];

#[test]
fn each_mistake_is_told_with_its_place_and_remedy() {
    let rest = OF_THE_REST
        .iter()
        .map(|(text, told)| (format!("{ONE}{text}"), told));
    let endpoints = OF_ENDPOINTS
        .iter()
        .map(|(text, told)| ((*text).to_owned(), told));
    for (text, told) in endpoints.chain(rest) {
        let (_, faults) = read(&text);
        assert!(
            faults.len() == 1 && faults[0].starts_with(told),
            "{text}: {faults:#?}"
        );
    }
}

#[test]
fn a_cookie_needs_a_good_secret_and_attributes_that_browsers_take() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        format!("secret = {{ file = {:?} }}", path.display().to_string())
    };
    let (long, short) = (
        file("long", "sixteen letters!\n"),
        file("short", "fifteen letters"),
    );
    for (sticky, told) in [
        (format!("{{ {long} }}"), None),
        (
            format!("{{ {short} }}"),
            Some("the secret is shorter than 16 bytes"),
        ),
        (format!("{{ {long}, same-site = \"none\" }}"), None),
        (
            format!("{{ {long}, same-site = \"none\", secure = false }}"),
            Some("browsers drop a cookie"),
        ),
        (
            format!("{{ {long}, cookie = \"a;b\" }}"),
            Some("this is not the name of a cookie"),
        ),
        (
            format!("{{ {long}, path = \"/;a\" }}"),
            Some("this is not a path"),
        ),
        (
            "{ secret = \"in the file\" }".to_owned(),
            Some("a secret does not stand in a file like this"),
        ),
    ] {
        let (settings, faults) = read(&format!("{ONE}sticky = {sticky}"));
        match told {
            None => assert!(
                faults.is_empty() && settings.sticky.is_some(),
                "{sticky}: {faults:?}"
            ),
            Some(told) => assert!(
                faults.len() == 1 && faults[0].contains(told),
                "{sticky}: {faults:?}"
            ),
        }
    }
}
