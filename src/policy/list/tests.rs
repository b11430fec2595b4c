use std::path::Path;

use super::*;
use crate::fault::{Faults, Source};
use crate::settings::Table;

/// The lists of a policy in a folder, or the faults.
fn read(folder: &Path, policy: &str) -> Result<Vec<Arc<List>>, Vec<String>> {
    let faults = Faults::new();
    let table = Table::parse(&Source::new(folder.join("policy.toml"), policy), &faults);
    let lists = read_lists(table.take_value("list"), &faults);
    table.finish(&faults);
    let faults: Vec<String> = faults
        .into_vec()
        .iter()
        .map(|fault| {
            let (line, column) = fault.at.as_ref().expect("it has a place").line_column();
            format!("{line}:{column} {}", fault.problem)
        })
        .collect();
    if faults.is_empty() {
        Ok(lists.into_values().collect())
    } else {
        Err(faults)
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn write(folder: &Path, text: impl AsRef<[u8]>) {
    std::fs::write(folder.join("list.txt"), text).expect("the folder can be written");
}

/// A watched list of one text.
fn list(text: impl AsRef<[u8]>, more: &str) -> (tempfile::TempDir, Arc<List>) {
    let folder = folder();
    write(folder.path(), text);
    let policy = format!("[list.x]\nfile = \"list.txt\"\n{more}");
    let mut lists = read(folder.path(), &policy).expect("the list is good");
    (folder, lists.remove(0))
}

fn has(list: &List, host: &str) -> bool {
    list.has_host(&Host::parse_bare(host).expect("the table holds hosts"))
}

fn check(list: &List, form: Form, listed: &[&str], free: &[&str]) {
    let report = list.report();
    assert_eq!(report.form, form, "{report}");
    for host in listed {
        assert!(has(list, host), "{host} is not listed in {form} ({report})");
    }
    for host in free {
        assert!(!has(list, host), "{host} is listed in {form} ({report})");
    }
}

fn skipped(list: &List) -> Vec<u64> {
    list.report().first_skipped.iter().map(|s| s.line).collect()
}

#[test]
fn plain_names_list_themselves_suffixes_what_is_below() {
    let text = "\u{feff}# a comment\r\nexact.example # why\r\n*.below.example\r\n.both.example\r\n\r\n\
        UPPER.Example.\r\nbücher.example\r\ntwo words\r\n*\r\nexa mple\r\n-..-\r\n192.0.2.7\r\n198.51.100.0/24\r\n2001:db8::1\r\nxn--a.example";
    let (_folder, list) = list(text, "");
    let listed = [
        "exact.example",
        "a.below.example",
        "a.b.below.example",
        "both.example",
        "a.both.example",
        "upper.example",
        "xn--bcher-kva.example",
        "192.0.2.7",
        "198.51.100.9",
        "2001:db8::1",
    ];
    let free = [
        "a.exact.example",
        "below.example",
        "xbelow.example",
        "xboth.example",
        "example",
        "192.0.2.8",
        "2001:db8::2",
    ];
    check(&list, Form::Names, &listed, &free);
    assert_eq!(skipped(&list), [8, 9, 10, 11, 15]);
    assert_eq!((list.report().names, list.report().addresses), (5, 3));
    assert!(list.has_address("198.51.100.1".parse().expect("an address")));
}

#[test]
fn a_hosts_file_lists_its_names_exactly_and_not_the_machine_itself() {
    let text = "# hosts\n127.0.0.1 localhost\n::1\tip6-localhost ip6-loopback\nfe80::1%lo0 localhost\n0.0.0.0 0.0.0.0\n\
        0.0.0.0 ads.example tracker.example # both\n127.0.0.1 third.example\n0.0.0.0\nno-address.example x\n0.0.0.0 good.example b@d";
    let (_folder, list) = list(text, "");
    let listed = [
        "ads.example",
        "tracker.example",
        "third.example",
        "good.example",
    ];
    let free = ["localhost", "a.ads.example", "0.0.0.0", "127.0.0.1", "x"];
    check(&list, Form::Hosts, &listed, &free);
    assert_eq!(skipped(&list), [8, 9, 10]);
}

#[test]
fn adblock_rules_cover_names_below_and_exceptions_win() {
    let text = "[Adblock Plus 2.0]\n! title\n||ads.example^\n||tree.example^\n@@||good.tree.example^\n||bad.good.tree.example^\n||*.only.example^\n\
        ||192.0.2.1^\n||path.example/x\n||options.example^$third-party\nexample.org##.banner\n/ads[0-9]/\n||*wild*.example^\n@@||192.0.2.2^";
    let (_folder, list) = list(text, "");
    let listed = [
        "ads.example",
        "a.ads.example",
        "tree.example",
        "x.tree.example",
        "a.only.example",
        "192.0.2.1",
    ];
    let free = [
        "good.tree.example",
        "a.good.tree.example",
        "bad.good.tree.example",
        "only.example",
        "path.example",
        "options.example",
        "example.org",
    ];
    check(&list, Form::AdBlock, &listed, &free);
    assert_eq!(skipped(&list), [9, 10, 11, 12, 13]);
    assert_eq!(list.report().exceptions, 2);
}

const ZONE: &str = "$TTL 300\n$ORIGIN rpz.example.\n@ IN SOA ns.rpz.example. root.rpz.example. ( ; start\n  1 3600 ; (\n  600 86400 300 )\n\tIN NS ns.rpz.example.\n\
    exact.example CNAME .\n*.exact2.example 60 IN CNAME *.\nabsolute.example.rpz.example. CNAME .\nelsewhere.example. CNAME .\n\
    *.tree.example CNAME .\ngood.tree.example CNAME rpz-passthru.\n*.good.tree.example CNAME rpz-passthru.\nbad.good.tree.example cname .\n\
    sink.example A 0.0.0.0\n\tAAAA ::\nother.example A 192.0.2.9\nsafe.example CNAME elsewhere.example.\n24.0.2.0.192.rpz-ip CNAME .\n\
    32.7.2.0.192.rpz-ip CNAME rpz-passthru.\n128.1.zz.db8.2001.rpz-ip CNAME .\n32.1.0.0.10.rpz-client-ip CNAME .\n* CNAME .\nx.example TXT \"a ; ( b\"\n\
    $ORIGIN com.rpz.example.\nrelative CNAME .\n";

#[test]
fn a_response_policy_zone_is_read_as_dns_reads_it() {
    let (_folder, list) = list(ZONE, "");
    let listed = [
        "exact.example",
        "a.exact2.example",
        "absolute.example",
        "x.tree.example",
        "bad.good.tree.example",
        "sink.example",
        "192.0.2.1",
        "2001:db8::1",
        "relative.com",
    ];
    let free = [
        "a.exact.example",
        "exact2.example",
        "elsewhere.example",
        "tree.example",
        "good.tree.example",
        "x.good.tree.example",
        "a.sink.example",
        "other.example",
        "safe.example",
        "192.0.2.7",
        "10.0.0.1",
        "x.example",
    ];
    check(&list, Form::Rpz, &listed, &free);
    assert_eq!(skipped(&list), [10, 17, 18, 22, 23, 24]);
}

#[test]
fn a_stray_parenthesis_does_not_swallow_a_zone() {
    let mut text = "a.example CNAME . (\n".to_owned();
    for n in 0..60 {
        text += &format!("n{n}.example CNAME .\n");
    }
    let (_folder, list) = list(text, "form = \"rpz\"");
    check(
        &list,
        Form::Rpz,
        &["a.example", "n59.example"],
        &["n1.example"],
    );
    assert_eq!(list.report().skipped, 1);
}

#[test]
fn networks_are_listed_with_either_sign_of_comment() {
    let text = "; drop\n192.0.2.0/24 ; SBL1\n198.51.100.7 # one\n2001:db8::/32\nnot-a-net/8\n10.0.0.0/33\n::ffff:10.1.0.0/112\n";
    let (_folder, list) = list(text, "form = \"cidr\"");
    let listed = ["192.0.2.255", "198.51.100.7", "2001:db8:f::", "10.1.2.3"];
    check(
        &list,
        Form::Cidr,
        &listed,
        &["192.0.3.0", "198.51.100.8", "10.2.0.0", "a.example"],
    );
    assert_eq!(skipped(&list), [5, 6]);
}

#[test]
fn a_long_line_is_skipped_and_only_the_first_skipped_are_named() {
    let mut text = format!("{}\n", "a.".repeat(1000));
    for n in 0..50 {
        text += &format!("good{n}.example\nbad line\n");
    }
    let (_folder, list) = list(text, "");
    let report = list.report();
    assert_eq!((report.names, report.skipped), (50, 51));
    assert_eq!(report.first_skipped.len(), ListReport::SHOWN);
    assert_eq!(report.first_skipped[0].why, "it is longer than 1 KiB");
    assert!(report.to_string().ends_with(", …)"), "{report}");
}

#[test]
fn an_inline_list_reads_as_plain_names_do() {
    let policy = "[list.a]\nhosts = [\"x.example\", \"*.y.example\", \".z.example\", \"192.0.2.1\"]\naddresses = \"10.0.0.0/8\"\n[list.empty]\nhosts = []\n";
    let lists = read(Path::new(""), policy).expect("the lists are good");
    let listed = [
        "x.example",
        "a.y.example",
        "z.example",
        "a.z.example",
        "192.0.2.1",
        "10.2.3.4",
    ];
    check(
        &lists[0],
        Form::Inline,
        &listed,
        &["a.x.example", "y.example"],
    );
    check(&lists[1], Form::Inline, &[], &["x.example"]);
    assert_eq!(lists[0].name(), "a");
    assert!(!lists[0].due(Instant::now() + Duration::from_secs(9)));
    assert_eq!(lists[0].refresh(), Refresh::Unchanged);
}

#[test]
fn all_faults_of_all_lists_come_at_once_each_at_its_place() {
    let folder = folder();
    std::fs::write(folder.path().join("empty.txt"), "# nothing\n").expect("it can be written");
    write(folder.path(), "a.example");
    let policy = "[list.nothing]\n[list.empty]\nfile = \"empty.txt\"\n[list.gone]\nfile = \"gone.txt\"\n[list.both]\nfile = \"list.txt\"\nhosts = []\n\
        [list.hosts]\nhosts = [\"a.example\", \"b c\", \"api-*.example\", \"*\"]\nreload = \"5s\"\n[list.form]\nfile = \"list.txt\"\nform = \"host\"\nreload = \"0s\"\nfle = 1\n\
        [list.folder]\nfile = \".\"\n[list.\"a b\"]\nhosts = [\"c.example\"]\n[list]\nscalar = 1\n[list.net]\naddresses = [\"10.0.0.0/33\"]\n";
    let faults = read(folder.path(), policy).expect_err("there are faults");
    let expected = [
        "1:7 list \"nothing\" has neither",
        "3:8 list \"empty\": ",
        "5:8 list \"gone\": cannot read",
        "7:8 list \"both\" is both",
        "10:23 \"b c\" cannot stand in a list: it is neither",
        "10:30 \"api-*.example\" cannot stand",
        "10:47 \"*\" cannot stand in a list: it covers every host",
        "11:10 \"reload\" is for a list with a file",
        "14:8 \"host\" is not known here",
        "15:10 a file is not looked at",
        "16:1 unknown key \"fle\"",
        "18:8 list \"folder\": ",
        "19:7 \"a b\" is not a name for a list",
        "22:10 expected a table",
        "24:14 \"10.0.0.0/33\" is neither",
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, expected) in faults.iter().zip(expected) {
        assert!(fault.starts_with(expected), "{fault} is not {expected}");
    }
}

#[test]
fn a_changed_file_replaces_the_list_and_a_bad_one_does_not() {
    let (folder, list) = list("a.example\nb.example", "");
    let kept = |list: &List| match list.refresh() {
        Refresh::Kept { fault } => fault.problem,
        other @ (Refresh::Unchanged | Refresh::Replaced { .. }) => panic!("{other:?}"),
    };
    assert_eq!(list.refresh(), Refresh::Unchanged);
    write(folder.path(), "a.example\nlonger.example");
    assert!(
        matches!(&list.refresh(), Refresh::Replaced { report, warning: None } if report.names == 2)
    );
    assert!(has(&list, "longer.example") && !has(&list, "b.example"));

    write(folder.path(), "");
    assert!(kept(&list).contains("holds no entry"));
    assert_eq!(list.refresh(), Refresh::Unchanged, "a fault is told once");
    assert!(list.standing_fault().is_some());
    assert!(has(&list, "longer.example"));

    std::fs::remove_file(folder.path().join("list.txt")).expect("it was written");
    assert!(kept(&list).contains("cannot read"));
    assert_eq!(list.refresh(), Refresh::Unchanged, "a fault is told once");
    assert!(has(&list, "longer.example"));

    write(folder.path(), "c.example");
    assert!(matches!(list.refresh(), Refresh::Replaced { .. }));
    assert!(has(&list, "c.example") && !has(&list, "longer.example"));
    assert_eq!(list.standing_fault(), None);

    // As an editor or a package does it: another file under the same name.
    std::fs::write(folder.path().join("new.txt"), "d.example").expect("it can be written");
    std::fs::rename(
        folder.path().join("new.txt"),
        folder.path().join("list.txt"),
    )
    .expect("the file can be renamed");
    assert!(matches!(list.refresh(), Refresh::Replaced { .. }));
    assert!(has(&list, "d.example"));
}

#[test]
fn a_list_that_shrinks_by_nine_tenths_is_replaced_with_a_warning() {
    let many: Vec<String> = (0..100).map(|n| format!("n{n}.example")).collect();
    let (folder, list) = list(many.join("\n"), "");
    write(folder.path(), "a.example\nb.example");
    let Refresh::Replaced { warning, .. } = list.refresh() else {
        panic!("the list was not replaced");
    };
    assert!(
        warning
            .expect("it shrank")
            .problem
            .contains("from 100 to 2")
    );
}

#[test]
fn a_list_is_due_once_in_its_interval() {
    let (_folder, list) = list("a.example", "reload = \"1h\"");
    let start = Instant::now();
    let hour = Duration::from_secs(3600);
    for (at, due) in [
        (start, false),
        (start + hour / 2, false),
        (start + hour, true),
        (start + hour, false),
        (start + hour * 2, true),
    ] {
        assert_eq!(list.due(at), due, "{:?}", at - start);
    }
}

#[test]
fn no_text_whatever_makes_the_reader_panic() {
    let real = [
        "\u{feff}a.example\r\n*.b.example # c\n.bücher.example\n192.0.2.0/24\n".as_bytes(),
        b"0.0.0.0 a.example b.example\n::1 localhost\n",
        b"||a.example^\n@@||b.a.example^\n! c\n||192.0.2.1^\n",
        ZONE.as_bytes(),
        b"192.0.2.0/24 ; x\n2001:db8::/32\n0.0.0.0/0\n::/0\n255.255.255.255\n",
    ];
    let forms = [
        Form::Names,
        Form::Hosts,
        Form::AdBlock,
        Form::Rpz,
        Form::Cidr,
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |limit: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 32) as usize % limit
    };
    for round in 0..3_000 {
        let mut text = real[round % real.len()].to_vec();
        if round % 7 == 0 {
            text = (0..random(400)).map(|_| random(256) as u8).collect();
        }
        for _ in 0..random(12) {
            let at = random(text.len() + 1);
            match random(4) {
                0 if at < text.len() => text[at] = random(256) as u8,
                1 => text.insert(at, b"\0\n.*|^@/:;()$%# "[random(16)]),
                2 => text.truncate(at.max(1)),
                _ => text.extend_from_within(at..),
            }
        }
        for form in forms.map(Some).into_iter().chain([None]) {
            let loaded =
                parse::parse(&text[..], text.len() as u64, form).expect("memory can be read");
            let report = &loaded.report;
            assert!(report.first_skipped.len() <= report.skipped);
            loaded.names.lists("x.a.example");
            loaded
                .addresses
                .lists("192.0.2.1".parse().expect("an address"));
        }
    }
}
