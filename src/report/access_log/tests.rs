//! The log over real files, devices and pipes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};

use super::output::{Outcome, Output};
use super::{AccessLog, Destination, Settings, Wants};
use crate::fault::{Faults, Source};
use crate::report::{Format, Protocol, Record, RequestIds};
use crate::settings::Table;

fn record(ids: &RequestIds) -> Record {
    let time = jiff::Timestamp::UNIX_EPOCH;
    let client = "192.0.2.7:1000".parse().expect("an address");
    Record::new(
        time,
        ids.next(time),
        0,
        "egress".into(),
        client,
        Protocol::Http11,
    )
}

fn to_file(path: &Path) -> Settings {
    Settings {
        to: Destination::File(path.to_owned()),
        ..Settings::default()
    }
}

fn close(log: &AccessLog) {
    assert!(log.close(Duration::from_secs(20)), "the writer did not end");
}

/// Runs `work` with the log lines of this thread caught.
fn told(work: impl FnOnce()) -> String {
    let path = tempfile::NamedTempFile::new().expect("a file");
    let file = path.reopen().expect("the same file");
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(file)
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    fs::read_to_string(path.path()).expect("what was told")
}

#[test]
fn closing_writes_all_that_was_queued() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let log = AccessLog::start(&to_file(&path)).expect("a log");
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let reporter = log.reporter();
            std::thread::spawn(move || {
                let ids = RequestIds::new(worker);
                (0..1000).for_each(|_| reporter.emit(record(&ids)));
            })
        })
        .collect();
    workers
        .into_iter()
        .for_each(|worker| worker.join().expect("a worker"));
    close(&log);
    assert!(
        log.close(Duration::ZERO),
        "a second closing has nothing to wait for"
    );
    let text = fs::read_to_string(&path).expect("the log");
    assert_eq!(
        (
            text.lines().count(),
            log.stats().written,
            log.stats().dropped
        ),
        (4000, 4000, 0)
    );
}

#[test]
fn a_full_queue_drops_and_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("a FIFO");
    // Read and write, so that opening waits for nobody. It is filled, so that the writer finds a reader that is stuck.
    let mut reader = fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .expect("the FIFO");
    rustix::io::ioctl_fionbio(&reader, true).expect("non-blocking");
    while reader.write(&[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&reader, false).expect("blocking");
    let log = AccessLog::start(&Settings {
        queue: 16,
        ..to_file(&path)
    })
    .expect("a log");
    let reporter = log.reporter();
    let ids = RequestIds::new(0);
    let mut emitted = 0;
    while reporter.dropped() == 0 {
        reporter.emit(record(&ids));
        emitted += 1;
    }
    let (send, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(count) = reader.read(&mut buffer) {
            let lines = buffer[..count]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            if send.send(lines as u64).is_err() {
                break;
            }
        }
    });
    close(&log);
    let stats = log.stats();
    let mut read = 0;
    while read < stats.written {
        read += lines.recv_timeout(Duration::from_secs(20)).expect("lines");
    }
    assert_eq!(stats.written + stats.dropped + stats.lost, emitted);
    assert_eq!(read, stats.written);
    assert!(stats.dropped > 0);
}

#[test]
fn a_full_disk_is_told_once_and_counted() {
    let mut output = Output::open(&to_file(Path::new("/dev/full"))).expect("a full device");
    let text = told(|| {
        for _ in 0..3 {
            assert_eq!(
                output.write(b"a\nb\n"),
                Outcome {
                    written: 0,
                    lost: 2
                }
            );
        }
    });
    assert_eq!(text.matches("WARN").count(), 1, "{text}");
    assert!(text.contains("cannot write the access log"), "{text}");
}

#[test]
fn a_full_disk_under_the_log_does_not_hold_workers_up() {
    let log = AccessLog::start(&to_file(Path::new("/dev/full"))).expect("a full device");
    let reporter = log.reporter();
    let ids = RequestIds::new(0);
    (0..100).for_each(|_| reporter.emit(record(&ids)));
    close(&log);
    assert_eq!(
        (log.stats().lost, log.stats().written, log.stats().dropped),
        (100, 0, 0)
    );
    reporter.emit(record(&ids));
    assert_eq!(log.stats().dropped, 1, "a record after the end is counted");
}

#[test]
fn a_line_that_was_cut_is_completed_before_the_next() {
    let (read, write) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
    let mut read = fs::File::from(read);
    let mut output = Output::of_stream(write.into());
    let long = format!("{}\n", "x".repeat(40_000));
    let batch = format!("{long}{long}{long}");
    let text = told(|| {
        // The pipe takes 64 KiB: one line and a part of the second.
        assert_eq!(
            output.write(batch.as_bytes()),
            Outcome {
                written: 2,
                lost: 1
            }
        );
        assert_eq!(
            output.write(b"lost\n"),
            Outcome {
                written: 0,
                lost: 1
            }
        );
        let mut got = String::new();
        assert!(
            read.read_to_string(&mut got).is_err(),
            "the pipe is empty, not closed"
        );
        assert_eq!(
            output.write(b"next\n"),
            Outcome {
                written: 1,
                lost: 0
            }
        );
        assert!(
            read.read_to_string(&mut got).is_err(),
            "the pipe is empty, not closed"
        );
        assert_eq!(got, format!("{long}{long}next\n"));
    });
    assert_eq!(
        (text.matches("WARN").count(), text.matches("INFO").count()),
        (1, 1),
        "{text}"
    );
    assert!(text.contains("lost=2"), "{text}");
}

#[test]
fn a_line_that_an_earlier_process_could_not_finish_is_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    for (before, after) in [
        ("", "next\n"),
        ("whole\n", "whole\nnext\n"),
        ("{\"cut", "{\"cut\nnext\n"),
    ] {
        fs::write(&path, before).expect("written");
        let mut output = Output::open(&to_file(&path)).expect("a file");
        assert_eq!(output.write(b"next\n").written, 1);
        assert_eq!(fs::read_to_string(&path).expect("the log"), after);
    }
}

#[test]
fn a_place_that_can_not_be_opened_is_a_fault_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("a FIFO");
    for (path, remedy) in [
        (folder.path().join("none/log"), "make the folder first"),
        (folder.path().to_owned(), "name a file in this folder"),
        (fifo, "name another file in [log.access] to"),
    ] {
        let fault = AccessLog::start(&to_file(&path)).expect_err("no log");
        assert!(
            fault.problem.starts_with("cannot open the access log"),
            "{fault}"
        );
        assert_eq!(fault.remedy, remedy, "{fault}");
    }
}

#[test]
fn a_renamed_file_is_left_behind_on_reopening() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let old = folder.path().join("access.log.1");
    let mut output = Output::open(&to_file(&path)).expect("a file");
    let _ = output.write(b"1\n");
    fs::rename(&path, &old).expect("renamed");
    let _ = output.write(b"2\n");
    output.reopen();
    let _ = output.write(b"3\n");
    let read = |path| fs::read_to_string(path).expect("a log");
    assert_eq!(
        (read(&old), read(&path)),
        ("1\n2\n".to_owned(), "3\n".to_owned())
    );
    fs::remove_dir_all(folder.path()).expect("removed");
    let text = told(|| output.reopen());
    assert!(text.contains("cannot reopen the access log"), "{text}");
    assert_eq!(
        output.write(b"4\n").written,
        1,
        "the old file is written on"
    );
}

#[test]
fn a_reload_drains_to_the_old_place_and_goes_on_at_the_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (folder.path().join("1"), folder.path().join("2"));
    let log = AccessLog::start(&to_file(&first)).expect("a log");
    let reporter = log.reporter();
    let ids = RequestIds::new(0);
    let off = Settings {
        to: Destination::Off,
        ..Settings::default()
    };
    assert!(log.reload(&to_file(&folder.path().join("none/3"))).is_err());
    reporter.emit(record(&ids));
    log.reload(&Settings {
        format: Format::Squid,
        ..to_file(&second)
    })
    .expect("a second file");
    let wanted = Wants {
        records: true,
        query: false,
        user_agent: false,
        content_type: true,
    };
    assert_eq!(reporter.wants(), wanted);
    let mut emitted = 1;
    while fs::read_to_string(&second).expect("the second").is_empty() {
        reporter.emit(record(&ids));
        emitted += 1;
        std::thread::yield_now();
    }
    close(&log);
    log.reload(&off).expect("off");
    let (first, second) = (
        fs::read_to_string(&first).expect("a log"),
        fs::read_to_string(&second).expect("a log"),
    );
    assert!(
        first.lines().count() > 0 && first.lines().all(|line| line.starts_with('{')),
        "{first}"
    );
    assert!(
        second.lines().all(|line| line.starts_with("0.000 ")),
        "{second}"
    );
    let lines = (first.lines().count() + second.lines().count()) as u64;
    assert_eq!(lines + log.stats().dropped, emitted);
    assert!(!reporter.wants().records);
}

#[test]
fn settings_are_read_with_all_their_faults() {
    let read = |text: &str| {
        let faults = Faults::new();
        let table = Table::parse(&Source::new("/etc/egret/egret.toml", text), &faults);
        let settings = Settings::read(table, &faults);
        let faults: Vec<String> = faults
            .into_vec()
            .iter()
            .map(|fault| format!("{fault}; {}", fault.remedy))
            .collect();
        (settings, faults)
    };
    assert_eq!(read(""), (Settings::default(), vec![]));
    let expected = Settings {
        format: Format::Squid,
        to: Destination::File("/etc/egret/logs/access".into()),
        query: true,
        queue: 100,
    };
    assert_eq!(
        read("format = \"squid\"\nto = \"logs/access\"\nquery = true\nqueue = 100"),
        (expected, vec![])
    );
    assert_eq!(read("to = \"off\"").0.to, Destination::Off);
    let (_, faults) = read("format = \"jason\"\nto = \"stdot\"\nqueue = 1\nquerry = true");
    assert_eq!(
        faults,
        [
            "/etc/egret/egret.toml:1:10: \"jason\" is not known here; Did you mean \"json\"? (known: json, combined, squid)",
            "/etc/egret/egret.toml:2:6: \"stdot\" is no place for a log; Did you mean \"stdout\"? For a file of this name write \"./stdot\"",
            "/etc/egret/egret.toml:3:9: a queue of 1 records is out of range; write a number from 16 to 1048576",
            "/etc/egret/egret.toml:4:1: unknown key \"querry\"; Did you mean \"query\"? (known: format, to, query, queue)",
        ]
    );
}

#[test]
fn a_query_reaches_the_log_only_where_it_was_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    for query in [false, true] {
        let path = folder.path().join(query.to_string());
        let log = AccessLog::start(&Settings {
            query,
            ..to_file(&path)
        })
        .expect("a log");
        let mut asked = record(&RequestIds::new(0));
        asked.query = Some("token=1".into());
        asked.path = Some("/".repeat(5000).into());
        log.reporter().emit(asked);
        close(&log);
        let text = fs::read_to_string(&path).expect("the log");
        assert_eq!(text.contains("token=1"), query);
        assert!(
            text.len() < 2500 && text.contains("/..."),
            "a long path is shortened"
        );
    }
}
