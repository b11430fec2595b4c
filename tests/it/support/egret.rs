//! The process under test: started with a configuration, watched through what it writes, stopped at the end.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use serde_json::Value;
use tempfile::TempDir;

use super::{Config, PATIENCE, Wire};

/// A running `egret run -c FILE`. Killed when dropped.
pub(crate) struct Egret {
    child: Child,
    dir: TempDir,
    stderr: Arc<Lines>,
    stdout: Arc<Lines>,
}

impl Egret {
    /// Starts with a configuration; `{dir}` in it is a temporary folder. Waits until it says that it is ready.
    pub(crate) fn start(config: &Config) -> Self {
        Self::start_with(&[], config)
    }

    /// Starts with files beside the configuration, (name, content).
    pub(crate) fn start_with(files: &[(&str, &str)], config: &Config) -> Self {
        let egret = Self::spawn(files, &config.text());
        egret.wait_line("ready", |line| line.contains("ready"));
        egret
    }

    /// Starts with the text of a configuration and does not wait.
    pub(crate) fn spawn(files: &[(&str, &str)], config: &str) -> Self {
        Self::spawn_in(&[], files, config)
    }

    /// As [`Self::start_with`], with these variables in its environment.
    pub(crate) fn start_in(
        environment: &[(&str, &str)],
        files: &[(&str, &str)],
        config: &Config,
    ) -> Self {
        let egret = Self::spawn_in(environment, files, &config.text());
        egret.wait_line("ready", |line| line.contains("ready"));
        egret
    }

    fn spawn_in(environment: &[(&str, &str)], files: &[(&str, &str)], config: &str) -> Self {
        Self::spawn_by(program(), environment, files, config)
    }

    /// As [`Self::spawn`], by a command that becomes `egret` in the end: what it is given is `egret`'s.
    pub(crate) fn spawn_by(
        mut command: Command,
        environment: &[(&str, &str)],
        files: &[(&str, &str)],
        config: &str,
    ) -> Self {
        raise_descriptor_limit();
        let dir = tempfile::Builder::new().prefix("egret-").tempdir().unwrap();
        for (name, content) in files {
            write(&dir.path().join(name), content);
        }
        let file = dir.path().join("egret.toml");
        let text = config.replace("{dir}", &dir.path().display().to_string());
        fs::write(&file, text).unwrap();
        let mut child = command
            .args(["run", "-c"])
            .arg(&file)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = Lines::collect(child.stderr.take().unwrap());
        let stdout = Lines::collect(child.stdout.take().unwrap());
        Self {
            child,
            dir,
            stderr,
            stdout,
        }
    }

    /// Where a listener is bound, from `listening listener=NAME address=IP:PORT`.
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        let wanted = |line: &str| {
            line.contains("listening") && value(line, "listener").is_some_and(|n| n == listener)
        };
        let line = self.wait_line("the listener's address", wanted);
        value(&line, "address").unwrap().parse().unwrap()
    }

    /// `http://IP:PORT` of the listener `egress`.
    pub(crate) fn proxy_url(&self) -> String {
        format!("http://{}", self.address("egress"))
    }

    /// A connection to the listener `egress`.
    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(self.address("egress"))
    }

    /// Asks on a new connection, and reads one answer.
    pub(crate) fn ask(&self, request: &str) -> super::Response {
        let mut wire = self.connect();
        wire.send(request.as_bytes());
        wire.response(request.split(' ').next().unwrap_or_default())
    }

    /// The access records so far.
    pub(crate) fn records(&self) -> Vec<Value> {
        let lines = self.stdout.lines.lock().unwrap();
        lines.0.iter().map(|line| record(line)).collect()
    }

    /// The first access record for which this holds.
    pub(crate) fn wait_record(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let line = self.stdout.wait_for(what, |line| wanted(&record(line)));
        record(&line)
    }

    /// The first line of the process's own log for which this holds.
    pub(crate) fn wait_line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.stderr.wait_for(what, wanted)
    }

    /// All of the process's own log so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.lines.lock().unwrap().0.join("\n")
    }

    /// All that the process wrote so far, the log and the records: for what must never stand there.
    pub(crate) fn everything_written(&self) -> String {
        let records = self.stdout.lines.lock().unwrap().0.join("\n");
        format!("{}\n{records}", self.log())
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Runs `egret COMMAND… --socket PATH` against this process.
    pub(crate) fn command(&self, words: &[&str]) -> Output {
        program()
            .args(words)
            .arg("--socket")
            .arg(self.path("admin.sock"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Replaces a file in the folder of the configuration.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let content = content.replace("{dir}", &self.dir.path().display().to_string());
        fs::write(self.path(name), content).unwrap();
    }

    /// A path in the folder of the configuration.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What `egret status --json` says.
    pub(crate) fn status(&self) -> Value {
        let output = self.command(&["status", "--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The whole of a file in the folder of the configuration, as soon as this holds for it.
    pub(crate) fn wait_file(&self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let text = fs::read_to_string(self.path(name)).unwrap_or_default();
            if wanted(&text) {
                return text;
            }
            assert!(began.elapsed() < PATIENCE, "{name} is {text:?}");
            thread::park_timeout(std::time::Duration::from_millis(5));
        }
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Whether the process is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Asks it to end with SIGTERM and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_exit()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        let began = Instant::now();
        while began.elapsed() < PATIENCE * 2 {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.stderr.wait_for_end();
                self.stdout.wait_for_end();
                return status;
            }
            thread::park_timeout(std::time::Duration::from_millis(5));
        }
        panic!("the process did not end; it wrote:\n{}", self.log());
    }

    /// Its number.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }
}

impl Drop for Egret {
    fn drop(&mut self) {
        // Both fail only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("---- egret wrote:\n{}", self.everything_written());
        }
    }
}

/// Writes a file; a key is closed to everybody else, as the program demands.
fn write(path: &std::path::Path, content: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, content).unwrap();
    if content.contains("PRIVATE KEY") {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// `egret`, with no proxy of the machine's in its environment.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    super::programs::without_proxies(&mut command);
    command.env("NO_COLOR", "1");
    command
}

/// `name=value` or `name="value"` in a line.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let named = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
    Some(named.trim_matches('"'))
}

fn record(line: &str) -> Value {
    serde_json::from_str(line)
        .unwrap_or_else(|error| panic!("an access record is not JSON ({error}): {line}"))
}

/// Each connection costs this process two descriptors and the one under test, which inherits the limit, two more.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised).unwrap();
    }
}

/// Lines as they come, and whether more can come.
struct Lines {
    lines: Mutex<(Vec<String>, bool)>,
    grown: Condvar,
}

impl Lines {
    fn collect(from: impl Read + Send + 'static) -> Arc<Self> {
        let lines = Arc::new(Self {
            lines: Mutex::new((Vec::new(), false)),
            grown: Condvar::new(),
        });
        let all = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(from).lines() {
                let Ok(line) = line else { break };
                all.lines.lock().unwrap().0.push(line);
                all.grown.notify_all();
            }
            all.lines.lock().unwrap().1 = true;
            all.grown.notify_all();
        });
        lines
    }

    /// Waits until all that an ended process wrote is read. A process that it has begun holds the pipe open, so not for long.
    fn wait_for_end(&self) {
        let lines = self.lines.lock().unwrap();
        let limit = std::time::Duration::from_secs(1);
        let waited = self
            .grown
            .wait_timeout_while(lines, limit, |lines| !lines.1);
        drop(waited.unwrap());
    }

    fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().unwrap();
        let mut seen = 0;
        loop {
            let found = lines.0[seen..].iter().find(|line| wanted(line)).cloned();
            if let Some(line) = found {
                return line;
            }
            seen = lines.0.len();
            let left = until.saturating_duration_since(Instant::now());
            if lines.1 || left.is_zero() {
                let text = lines.0.join("\n");
                drop(lines);
                panic!("{what} did not come; what came is:\n{text}");
            }
            (lines, _) = self.grown.wait_timeout(lines, left).unwrap();
        }
    }
}
