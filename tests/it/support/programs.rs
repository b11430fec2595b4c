//! Clients that are programs of their own: curl, git, Python, Java, a browser. Origins too, where they are such programs.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

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
    let name = name_of(command);
    let mut child = spawn(command)?;
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

fn name_of(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// Starts a program that says nothing to us but what it is asked. `None` where it is not installed, which is said.
fn spawn(command: &mut Command) -> Option<Child> {
    on_its_own(command);
    let spawned = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match spawned {
        Ok(child) => Some(child),
        Err(error) => {
            skipped(&format!("{} does not start: {error}", name_of(command)));
            None
        }
    }
}

/// An origin that is a program of its own. Killed when dropped.
pub(crate) struct Served {
    pub(crate) port: u16,
    child: Child,
    stderr: Option<thread::JoinHandle<Vec<u8>>>,
}

impl Served {
    /// Starts a program, and reads the port that it chose from the end of the first line in which there is one. `None` where
    /// it is not installed, as with [`run`].
    pub(crate) fn start(command: &mut Command) -> Option<Self> {
        let name = name_of(command);
        let mut child = spawn(command)?;
        let stderr = Some(reader(child.stderr.take()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let digits = line.trim_end().rsplit(':').next()?;
            digits.parse().ok()
        });
        // Goes on to read, so that the program never waits for it.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let mut served = Self {
            port: 0,
            child,
            stderr,
        };
        // Without a port the program has ended, and the drop shows what it said.
        served.port = port.unwrap_or_else(|| panic!("{name} names no port"));
        Some(served)
    }

    /// Starts a program that was told its port, and waits until it listens there. `None` as with [`Self::start`].
    pub(crate) fn at(port: u16, command: &mut Command) -> Option<Self> {
        let name = name_of(command);
        let mut child = spawn(command)?;
        let stderr = Some(reader(child.stderr.take()));
        drop(reader(child.stdout.take()));
        let mut served = Self {
            port,
            child,
            stderr,
        };
        super::until("a program that listens", || {
            let ended = served.child.try_wait().unwrap();
            assert!(ended.is_none(), "{name} ended: {ended:?}");
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(served)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Both fail only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let stderr = self.stderr.take().and_then(|said| said.join().ok());
        if thread::panicking() {
            let stderr = stderr.unwrap_or_default();
            eprintln!(
                "---- the origin wrote:\n{}",
                String::from_utf8_lossy(&stderr)
            );
        }
    }
}

/// What such an origin shows, in PEM: its certificate with its key, and the authority that signed it.
pub(crate) struct Papers {
    pub(crate) authority: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Papers {
    /// Makes them for these names.
    pub(crate) fn mint(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut above = CertificateParams::new(vec![]).unwrap();
        above.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        above.distinguished_name.push(
            rcgen::DnType::CommonName,
            "Egret test authority of programs",
        );
        let above_key = KeyPair::generate().unwrap();
        let authority = above.self_signed(&above_key).unwrap().pem();
        let issuer = Issuer::new(above, above_key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(names).unwrap();
        Self {
            authority,
            certificate: leaf.signed_by(&key, &issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
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
    without(
        command,
        &[
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "no_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "NO_PROXY",
        ],
    );
}

/// Takes the machine's own authorities out too: some programs prefer them to what they are told by word.
fn on_its_own(command: &mut Command) {
    without_proxies(command);
    without(
        command,
        &[
            "CURL_CA_BUNDLE",
            "NODE_EXTRA_CA_CERTS",
            "PIP_CERT",
            "REQUESTS_CA_BUNDLE",
            "SSL_CERT_DIR",
            "SSL_CERT_FILE",
        ],
    );
}

fn without(command: &mut Command, names: &[&str]) {
    for name in names {
        // What a test sets itself stays.
        let set = command
            .get_envs()
            .any(|(key, value)| key == *name && value.is_some());
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

/// Python that writes the package `tiny`, version 1.0. Arguments: the folder for it.
pub(crate) const WHEEL: &str = r#"
import sys, zipfile
info = "tiny-1.0.dist-info/"
files = {
    "tiny.py": "answer = 42\n",
    info + "METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
    info + "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
with zipfile.ZipFile(sys.argv[1] + "/tiny-1.0-py3-none-any.whl", "w") as wheel:
    for name, content in files.items():
        wheel.writestr(name, content)
    names = [*files, info + "RECORD"]
    wheel.writestr(info + "RECORD", "".join(name + ",,\n" for name in names))
"#;
