//! `[list.NAME]` in a policy file.
//! Not the form of a list's file (parse).
//! Start at [`read_lists`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::time::Instant;

use super::file;
use super::parse::{Entries, Loaded};
use super::report::Form;
use super::{List, State, Watched, no_entry};
use crate::fault::{Fault, Faults, Location};
use crate::settings::{FromValue, Located, Table, Value, one_of};

/// Reads the table `list` of a policy file, and the files that it names. Blocks on the disk.
///
/// A list whose settings or file are at fault is left out; faults are at the place that names what is wrong.
pub fn read_lists(value: Option<Value>, faults: &Faults) -> BTreeMap<String, Arc<List>> {
    let Some(table) = value.and_then(|value| Table::from_value(value, faults)) else {
        return BTreeMap::new();
    };
    let mut lists = BTreeMap::new();
    for (name, value) in table.take_rest() {
        let Some(table) = Table::from_value(value, faults) else {
            continue;
        };
        if !is_name(&name.value) {
            faults.push(Fault::at(
                &name.at,
                format!("\"{}\" is not a name for a list", name.value),
                "a name has letters, digits, '-', '_' and '.'",
            ));
        }
        if let Some(list) = read_list(&name, table, faults) {
            lists.insert(name.value, Arc::new(list));
        }
    }
    lists
}

fn read_list(name: &Located<String>, table: Table, faults: &Faults) -> Option<List> {
    let before = faults.len();
    let hosts: Option<Vec<Located<String>>> = table.take("hosts", faults);
    let addresses: Option<Vec<IpNet>> = table.take("addresses", faults);
    let path: Option<Located<PathBuf>> = table.take("file", faults);
    let every: Option<Located<Duration>> = table.take("reload", faults);
    let form: Option<Located<String>> = table.take("form", faults);
    let form = form.map(|word| (one_of(&word, FORMS, faults), word.at));
    table.finish(faults);
    let Some(path) = path else {
        return read_inline(name, (hosts, addresses), (every, form), before, faults);
    };
    if hosts.is_some() || addresses.is_some() {
        faults.push(Fault::at(
            &path.at,
            format!("list \"{}\" is both inline and in a file", name.value),
            "make it two lists, and name both in the rule",
        ));
    }
    if let Some(every) = every.as_ref().filter(|every| every.value < SHORTEST) {
        faults.push(Fault::at(
            &every.at,
            "a file is not looked at more often than once in a second",
            "write \"1s\" or more",
        ));
    }
    let every = every.map_or(USUAL, |every| every.value);
    let watched = (path, form.and_then(|(form, _)| form).flatten(), every);
    let list = read_file(&name.value, watched, faults);
    list.filter(|_| faults.len() == before)
}

type Inline = (Option<Vec<Located<String>>>, Option<Vec<IpNet>>);
type FileOnly = (
    Option<Located<Duration>>,
    Option<(Option<Option<Form>>, Location)>,
);

fn read_inline(
    name: &Located<String>,
    (hosts, addresses): Inline,
    (every, form): FileOnly,
    before: usize,
    faults: &Faults,
) -> Option<List> {
    if hosts.is_none() && addresses.is_none() {
        // A fault in one of the three says enough.
        if faults.len() == before {
            faults.push(Fault::at(
                &name.at,
                format!("list \"{}\" has neither hosts, addresses nor file", name.value),
                "write hosts = [\"name\", \"*.suffix\"], addresses = [\"192.0.2.0/24\"] or file = \"path\"",
            ));
        }
        return None;
    }
    for (key, at) in [
        ("reload", every.map(|every| every.at)),
        ("form", form.map(|(_, at)| at)),
    ] {
        if let Some(at) = at {
            faults.push(Fault::at(
                &at,
                format!("\"{key}\" is for a list with a file"),
                format!("leave out \"{key}\""),
            ));
        }
    }
    let (hosts, addresses) = (hosts.unwrap_or_default(), addresses.unwrap_or_default());
    let bytes = hosts.iter().map(|host| host.value.len()).sum();
    let mut entries = Entries::new(Form::Inline, hosts.len(), bytes);
    for host in hosts {
        if let Err(why) = entries.plain(host.value.as_bytes()) {
            faults.push(Fault::at(
                &host.at,
                format!("\"{}\" cannot stand in a list: {why}", host.value),
                "write name, *.suffix (what is below) or .suffix (both); other patterns stand in a rule's host",
            ));
        }
    }
    for net in addresses {
        entries.net(net, false);
    }
    let list = list(&name.value, entries.finish(), None);
    (faults.len() == before).then_some(list)
}

fn read_file(
    name: &str,
    (path, form, every): (Located<PathBuf>, Option<Form>, Duration),
    faults: &Faults,
) -> Option<List> {
    let fault = |problem: String, remedy: &str| {
        faults.push(Fault::at(
            &path.at,
            format!("list \"{name}\": {problem}"),
            remedy,
        ));
    };
    let (loaded, stamp) = match file::read(&path.value, form) {
        Ok(read) => read,
        Err(problem) => {
            fault(
                problem,
                "a path is relative to the file that it stands in, and must be readable by the proxy",
            );
            return None;
        }
    };
    if loaded.report.entries() == 0 {
        fault(
            no_entry(&path.value, &loaded.report),
            "see whether it is the right file; form = \"…\" names its form if it is not recognised",
        );
        return None;
    }
    let state = State {
        loaded: stamp,
        empty: None,
        standing: None,
        next: Instant::now() + every,
    };
    let watched = Watched {
        path: path.value,
        at: path.at,
        form,
        every,
        state: Mutex::new(state),
    };
    Some(list(name, loaded, Some(watched)))
}

fn list(name: &str, loaded: Loaded, watched: Option<Watched>) -> List {
    List {
        name: name.to_owned(),
        current: ArcSwap::from_pointee(loaded),
        watched,
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// How often a file is looked at where `reload` does not say.
const USUAL: Duration = Duration::from_secs(2);
const SHORTEST: Duration = Duration::from_secs(1);
const FORMS: &[(&str, Option<Form>)] = &[
    ("auto", None),
    ("names", Some(Form::Names)),
    ("hosts", Some(Form::Hosts)),
    ("adblock", Some(Form::AdBlock)),
    ("rpz", Some(Form::Rpz)),
    ("cidr", Some(Form::Cidr)),
];
