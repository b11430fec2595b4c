//! `egret ca`: what it writes, what it prints, and what it refuses.
//! Not what clients make of the leaves, which is beside the code of the mint.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{program, said};

fn ca(folder: &Path, words: &[&str]) -> Output {
    program()
        .arg("ca")
        .args(words)
        .current_dir(folder)
        .env("CA_PASS", "open sesame")
        .output()
        .unwrap()
}

fn fine(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn openssl(folder: &Path, words: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(words)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "openssl {words:?}: {}",
        said(&output)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn init_makes_a_closed_key_and_a_root_and_says_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let told = fine(&ca(
        folder,
        &["init", "--name", "Acme egress", "--days", "30"],
    ));
    assert_eq!(mode(&folder.join("ca.key")), 0o600);
    let text = openssl(folder, &["x509", "-in", "ca.pem", "-noout", "-text"]);
    for part in [
        "CN = Acme egress",
        "CA:TRUE, pathlen:0",
        "Certificate Sign",
        "id-ecPublicKey",
        "P-256",
    ] {
        let text = text.replace("CN=Acme", "CN = Acme");
        assert!(text.contains(part), "no {part} in {text}");
    }
    let print = openssl(
        folder,
        &["x509", "-in", "ca.pem", "-noout", "-fingerprint", "-sha256"],
    );
    let print = print.trim().split('=').nth(1).unwrap();
    assert!(told.contains(print), "{told}");
    assert!(told.contains("[intercept]"), "{told}");
    let key = fs::canonicalize(folder.join("ca.key")).unwrap();
    assert!(told.contains(&key.display().to_string()), "{told}");
    openssl(folder, &["verify", "-CAfile", "ca.pem", "ca.pem"]);
}

#[test]
fn what_is_there_is_replaced_only_when_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fine(&ca(folder, &["init"]));
    let before = fs::read(folder.join("ca.pem")).unwrap();
    for words in [
        &["init"][..],
        &["init", "--cert", "other.pem"],
        &["init", "--key", "other.key"],
    ] {
        let refused = ca(folder, words);
        assert_eq!(refused.status.code(), Some(2));
        assert!(
            said(&refused).contains("is there already"),
            "{}",
            said(&refused)
        );
        assert!(said(&refused).contains("--force"), "{}", said(&refused));
    }
    assert_eq!(fs::read(folder.join("ca.pem")).unwrap(), before);
    assert_eq!(
        fs::read_dir(folder).unwrap().count(),
        2,
        "nothing is left behind"
    );
    fs::set_permissions(folder.join("ca.key"), fs::Permissions::from_mode(0o644)).unwrap();
    fine(&ca(folder, &["init", "--force"]));
    assert_ne!(fs::read(folder.join("ca.pem")).unwrap(), before);
    assert_eq!(mode(&folder.join("ca.key")), 0o600);
    assert_eq!(
        fs::read_dir(folder).unwrap().count(),
        2,
        "nothing is left behind"
    );
    // Where the certificate cannot be written, there is no key either.
    let nowhere = ca(folder, &["init", "--key", "k", "--cert", "no/folder.pem"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(!folder.join("k").exists());
}

#[test]
fn permitted_names_and_networks_become_name_constraints_that_openssl_respects() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let permits = ["init", "--permit", "example.com", "--permit", "10.0.0.0/8"];
    let told = fine(&ca(folder, &permits));
    assert!(told.contains("example.com, 10.0.0.0/8"), "{told}");
    let text = openssl(folder, &["x509", "-in", "ca.pem", "-noout", "-text"]);
    for part in [
        "Name Constraints: critical",
        "DNS:example.com",
        "IP:10.0.0.0/255.0.0.0",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    fine(&ca(folder, &["init", "--force", "--permit", "example.com"]));
    let text = openssl(folder, &["x509", "-in", "ca.pem", "-noout", "-text"]);
    assert!(
        text.contains("IP:0.0.0.0/0.0.0.0"),
        "addresses are excluded: {text}"
    );
    for wrong in ["*.example.com", "exa mple", "10.0.0.0/99", ""] {
        let refused = ca(folder, &["init", "--force", "--permit", wrong]);
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
        assert!(
            said(&refused).contains("--permit example.com"),
            "{}",
            said(&refused)
        );
    }
}

#[test]
fn a_passphrase_encrypts_the_key_in_a_way_that_openssl_reads() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let told = fine(&ca(folder, &["init", "--passphrase-env", "CA_PASS"]));
    assert!(
        told.contains("passphrase = { env = \"CA_PASS\" }"),
        "{told}"
    );
    assert!(!told.contains("open sesame"), "{told}");
    let key = fs::read_to_string(folder.join("ca.key")).unwrap();
    assert!(
        key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"),
        "{key}"
    );
    let public = openssl(
        folder,
        &[
            "pkey",
            "-in",
            "ca.key",
            "-passin",
            "pass:open sesame",
            "-pubout",
        ],
    );
    let certified = openssl(folder, &["x509", "-in", "ca.pem", "-noout", "-pubkey"]);
    assert_eq!(public, certified);
    let missing = ca(folder, &["init", "--force", "--passphrase-env", "NO_SUCH"]);
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn export_gives_pem_der_and_the_commands_for_each_system() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fine(&ca(folder, &["init"]));
    fine(&ca(
        folder,
        &["init", "--cert", "old.pem", "--key", "old.key"],
    ));
    let pem = fs::read_to_string(folder.join("ca.pem")).unwrap();
    assert_eq!(fine(&ca(folder, &["export", "--cert", "ca.pem"])), pem);
    let der = ca(folder, &["export", "--cert", "ca.pem", "--form", "der"]);
    fs::write(folder.join("ca.der"), &der.stdout).unwrap();
    let read = openssl(folder, &["x509", "-inform", "der", "-in", "ca.der"]);
    assert_eq!(read, pem);
    fs::write(
        folder.join("egret.toml"),
        "[intercept]\nauthority = [{ cert = \"ca.pem\", key = { file = \"ca.key\" } }, { cert = \"old.pem\" }]\n",
    )
    .unwrap();
    let both = fine(&ca(folder, &["export", "-c", "egret.toml"]));
    let old = fs::read_to_string(folder.join("old.pem")).unwrap();
    assert_eq!(both, pem.clone() + &old);
    fine(&ca(
        folder,
        &["export", "-c", "egret.toml", "-o", "out.pem"],
    ));
    assert_eq!(fs::read_to_string(folder.join("out.pem")).unwrap(), both);
    let all = fine(&ca(
        folder,
        &["export", "--cert", "ca.pem", "--form", "commands"],
    ));
    for (system, part) in [
        ("debian", "update-ca-certificates"),
        ("rhel", "update-ca-trust"),
        ("alpine", "apk add ca-certificates"),
        ("macos", "security add-trusted-cert"),
        ("windows", "certutil -addstore"),
        ("firefox", "ImportEnterpriseRoots"),
        ("java", "keytool -importcert"),
        ("python", "REQUESTS_CA_BUNDLE"),
        ("node", "NODE_EXTRA_CA_CERTS"),
    ] {
        let one = fine(&ca(
            folder,
            &["export", "--cert", "ca.pem", "--for", system],
        ));
        assert!(one.contains(part), "{system}: {one}");
        assert!(all.contains(part), "{system}: {all}");
        assert!(!one.contains("{cert}"), "{system}: {one}");
    }
}

#[test]
fn export_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("empty.toml"), "").unwrap();
    for (words, expected) in [
        (&["export"][..], "--cert FILE"),
        (&["export", "-c", "empty.toml"], "names no authority"),
        (&["export", "-c", "missing.toml"], "cannot read"),
        (
            &["export", "--cert", "missing.pem"],
            "cannot read missing.pem",
        ),
        (&["export", "--cert", "empty.toml"], "holds no certificate"),
    ] {
        let refused = ca(folder, words);
        assert_eq!(refused.status.code(), Some(2), "{words:?}");
        let told = said(&refused);
        assert!(told.contains(expected), "{words:?}: {told}");
    }
}

#[test]
fn a_request_is_certified_by_another_authority() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fine(&ca(folder, &["request", "--name", "Egress of Acme"]));
    assert_eq!(mode(&folder.join("ca.key")), 0o600);
    let text = openssl(
        folder,
        &["req", "-in", "ca.csr", "-noout", "-text", "-verify"],
    );
    assert!(text.contains("CA:TRUE, pathlen:0"), "{text}");
    assert!(text.contains("Egress of Acme"), "{text}");
}
