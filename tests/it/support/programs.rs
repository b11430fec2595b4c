//! Clients that are programs of their own: curl, git, Python.

use std::env;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Panics with what the program said, where it failed.
    pub(crate) fn succeeded(self) -> Self {
        assert!(
            self.success,
            "exit {:?}\nstdout: {}\nstderr: {}",
            self.code,
            self.text(),
            self.stderr
        );
        self
    }
}

/// Runs a program to its end, for a minute at most. `None` where it is not installed, which is said and, with
/// `EGRET_TEST_REQUIRE_CLIENTS` set, is a failure.
pub(crate) fn run(command: &mut Command) -> Option<Outcome> {
    without_proxies(command);
    let name = command.get_program().to_string_lossy().into_owned();
    let spawned = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            skipped(&format!("{name} does not start: {error}"));
            return None;
        }
    };
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let until = Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > until {
            child.kill().unwrap();
            let status = child.wait().unwrap();
            eprintln!("{name} did not end within a minute and was killed");
            break status;
        }
        thread::park_timeout(Duration::from_millis(5));
    };
    Some(Outcome {
        success: status.success(),
        code: status.code(),
        stdout: stdout.join().unwrap(),
        stderr: String::from_utf8_lossy(&stderr.join().unwrap()).into_owned(),
    })
}

/// A Python that has these modules. `None` where there is none, as with [`run`].
pub(crate) fn python(modules: &[&str]) -> Option<Command> {
    let program = env::var_os("EGRET_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    for module in modules {
        let mut probe = Command::new(&program);
        let outcome = run(probe.arg("-c").arg(format!("import {module}")))?;
        if !outcome.success {
            skipped(&format!("Python has no module {module}"));
            return None;
        }
    }
    Some(Command::new(program))
}

/// Takes the machine's own proxies out of a program's environment.
pub(crate) fn without_proxies(command: &mut Command) {
    for name in [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    ] {
        // What a test sets itself stays.
        let set = command
            .get_envs()
            .any(|(key, value)| key == name && value.is_some());
        if !set {
            command.env_remove(name);
        }
    }
}

fn skipped(why: &str) {
    assert!(
        env::var_os("EGRET_TEST_REQUIRE_CLIENTS").is_none(),
        "{why}; .ci/run installs what the tests need"
    );
    eprintln!("skipped: {why}; .ci/run installs what the tests need");
}

fn reader(from: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    let mut from = from.unwrap();
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        all
    })
}
