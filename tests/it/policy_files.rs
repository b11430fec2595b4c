//! What stands in `policies/` is true: every file is read without a fault by the program itself, and every case passes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

#[test]
fn every_configuration_is_without_fault_and_its_cases_pass() {
    let policies = copy();
    let configurations = files(&policies, |name| name.ends_with(".egret.toml"));
    assert!(!configurations.is_empty(), "there are configurations");
    for file in &configurations {
        let check = egret("check", file);
        assert_said(&check, 0, ": fine (", file);
        let test = egret("test", file);
        assert_said(&test, 0, " passed, 0 failed", file);
        assert!(
            !said(&test).starts_with("0 passed"),
            "{} has cases",
            file.display()
        );
    }
}

#[test]
fn every_policy_stands_by_itself_and_has_a_configuration_that_serves_it() {
    let policies = copy();
    let wrapper = policies.path().join("wrapper");
    for file in files(&policies, |name| !name.ends_with(".egret.toml")) {
        fs::write(&wrapper, wrapped(&file)).unwrap();
        assert_said(&egret("test", &wrapper), 0, " passed, 0 failed", &file);
        assert!(
            file.with_extension("egret.toml").is_file(),
            "{}",
            file.display()
        );
    }
}

#[test]
fn a_case_that_does_not_hold_fails_both_commands_and_is_shown_where_it_stands() {
    let folder = copy();
    let text = fs::read_to_string(policies().join("default-deny.toml")).unwrap();
    let policy = folder.path().join("policy.toml");
    fs::write(
        &policy,
        text.replacen("verdict = \"deny\"", "verdict = \"allow\"", 1),
    )
    .unwrap();
    let wrapper = folder.path().join("egret.toml");
    fs::write(&wrapper, wrapped(&policy)).unwrap();
    for (command, code) in [("check", 2), ("test", 1)] {
        let output = egret(command, &wrapper);
        assert_said(&output, code, "policy.toml:", &wrapper);
        assert_said(
            &output,
            code,
            "expected allow by default, got deny by default",
            &wrapper,
        );
    }
}

/// The smallest configuration that uses a policy.
fn wrapped(policy: &Path) -> String {
    format!(
        "[[listener]]\nname = \"check\"\nbind = \"127.0.0.1:0\"\nmode = \"forward\"\npolicy = \"checked\"\n\
         [intercept]\nauthority = {{ cert = \"ca.pem\", key = {{ file = \"ca.key\" }} }}\n\
         [policy.checked]\nfile = \"{}\"\n",
        policy.display()
    )
}

fn egret(command: &str, config: &Path) -> Output {
    let mut egret = Command::new(env!("CARGO_BIN_EXE_egret"));
    egret.args([command, "-c"]).arg(config).output().unwrap()
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|text| String::from_utf8_lossy(text))
        .concat()
}

fn assert_said(output: &Output, code: i32, words: &str, file: &Path) {
    let said = said(output);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}\n{said}",
        file.display()
    );
    assert!(
        said.contains(words),
        "{}: {words:?} is missing in\n{said}",
        file.display()
    );
}

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

/// The folder as a newcomer has it who has made the authority that `intercept` needs.
fn copy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(policies().join("."))
        .arg(folder.path())
        .status();
    assert!(copied.unwrap().success());
    let mut init = Command::new(env!("CARGO_BIN_EXE_egret"));
    let init = init
        .args(["ca", "init"])
        .current_dir(folder.path())
        .output();
    let init = init.unwrap();
    assert!(init.status.success(), "{}", said(&init));
    folder
}

fn files(folder: &TempDir, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .filter(|path| wanted(&path.file_name().unwrap().to_string_lossy()))
        .collect();
    files.sort();
    files
}
