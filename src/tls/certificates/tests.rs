use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::fault::Source as Text;

/// A folder with certificates, each in `NAME.pem` and `NAME.key`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn mint(&self, name: &str, hosts: &[&str], days: i64) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        let now = x509_parser::time::ASN1Time::now().to_datetime();
        params.not_before = now - std::time::Duration::from_secs(90 * 86_400);
        // Half a day more, so that a test that takes its time counts the same days.
        let seconds = days * 86_400 + 43_200;
        let end = std::time::Duration::from_secs(seconds.unsigned_abs());
        params.not_after = if seconds < 0 { now - end } else { now + end };
        let key = KeyPair::generate().unwrap();
        self.put(
            &format!("{name}.pem"),
            params.self_signed(&key).unwrap().pem(),
        );
        self.put(&format!("{name}.key"), key.serialize_pem());
    }

    fn load(&self, entries: &[&str]) -> Result<Certificates, String> {
        let entries = entries.join(", ");
        let text = Text::new(
            self.0.path().join("egret.toml"),
            format!("certificates = [{entries}]"),
        );
        let faults = Faults::new();
        let sources: Option<Vec<Source>> =
            Table::parse(&text, &faults).take("certificates", &faults);
        let loaded = sources.and_then(|sources| Certificates::load(&sources, "egress", &faults));
        let told: Vec<String> = faults.into_vec().iter().map(Fault::render).collect();
        loaded.ok_or_else(|| told.join("\n"))
    }
}

fn entry(name: &str) -> String {
    format!("{{ cert = \"{name}.pem\", key = {{ file = \"{name}.key\" }} }}")
}

#[test]
fn a_certificate_is_chosen_by_the_exact_name_then_by_a_wildcard_of_one_label() {
    let folder = Folder::new();
    folder.mint("one", &["one.example.com"], 90);
    folder.mint("wild", &["*.example.com", "Example.ORG"], 90);
    folder.mint("two", &["two.example.com"], 90);
    let (one, wild, two) = (entry("one"), entry("wild"), entry("two"));
    let loaded = folder.load(&[&one, &wild, &two]).unwrap();
    for (asked, expected) in [
        (Some("one.example.com"), "one.example.com"),
        (Some("two.example.com"), "two.example.com"),
        (Some("three.example.com"), "*.example.com"),
        (Some("example.org"), "*.example.com"),
        // A wildcard stands for one label, and not for none.
        (Some("a.b.example.com"), "one.example.com"),
        (Some("example.com"), "one.example.com"),
        (Some(".example.com"), "one.example.com"),
        (Some("unknown.test"), "one.example.com"),
        (None, "one.example.com"),
    ] {
        let shown = names(&loaded.find(asked).cert[0]);
        assert_eq!(shown[0], expected, "{asked:?}");
    }
}

#[test]
fn what_can_not_be_shown_to_a_client_is_a_fault_with_its_place() {
    let folder = Folder::new();
    folder.mint("good", &["a.test"], 90);
    folder.mint("same", &["b.test", "a.test"], 90);
    folder.mint("old", &["c.test"], -2);
    folder.mint("nameless", &[], 90);
    folder.put("good.ocsp", "no response");
    let good = entry("good");
    for (second, problem) in [
        (
            entry("same"),
            "is the second certificate for \"b.test\", \"a.test\"",
        ),
        (entry("old"), "expired at"),
        (entry("nameless"), "names no host"),
        (entry("missing"), "cannot read"),
        (
            "{ cert = \"same.pem\", key = { file = \"good.key\" } }".to_owned(),
            "the private key is not the one of the certificate",
        ),
        (
            "{ cert = \"good.pem\", key = { file = \"good.key\" }, ocsp = \"good.ocsp\" }"
                .to_owned(),
            "no successful OCSP response",
        ),
        ("{ cert = \"good.pem\" }".to_owned(), "\"key\" is missing"),
    ] {
        let told = folder.load(&[&good, &second]).unwrap_err();
        assert!(told.contains(problem), "{second}: {told}");
        assert!(told.contains("egret.toml:1:"), "{told}");
    }
    // A self-signed one without a name is fit for the first place, where nobody has to ask for it.
    folder.load(&[&entry("nameless"), &good]).unwrap();
}

#[test]
fn what_expires_within_three_weeks_is_warned_of() {
    let folder = Folder::new();
    folder.mint("soon", &["soon.test"], 20);
    folder.mint("late", &["late.test"], 22);
    let loaded = folder.load(&[&entry("soon"), &entry("late")]).unwrap();
    let now = jiff::Timestamp::now();
    let warnings: Vec<Option<String>> = loaded
        .expiring()
        .iter()
        .map(|one| one.warning(now))
        .collect();
    let [Some(soon), None] = &warnings[..] else {
        unreachable!("{warnings:?}");
    };
    assert!(
        soon.contains("listener \"egress\"") && soon.contains("soon.pem"),
        "{soon}"
    );
    assert!(soon.contains("(soon.test) expires in 20 days"), "{soon}");
    let days: Vec<i64> = loaded
        .expiring()
        .iter()
        .map(|one| one.days_left(now))
        .collect();
    assert_eq!(days, [20, 22]);
    let after = loaded.expiring()[0].not_after + jiff::SignedDuration::from_hours(1);
    let expired = loaded.expiring()[0].warning(after).unwrap();
    assert!(expired.contains("has expired"), "{expired}");
}
