//! The group file: `group: user user …` on each line, in the form that Apache's `AuthGroupFile` has.
//! Does not say who a client is, only which groups a name is in.
//! Start at [`Groups::read`].

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::Principal;
use super::htpasswd::{lines, read_file};
use crate::fault::{Fault, Faults, Source};
use crate::settings::{FromValue, Located, Table, Value};

/// Which groups each name is in. Names of users and of network principals share it.
#[derive(Debug, Default)]
pub struct Groups {
    of: HashMap<Box<str>, Vec<Arc<str>>>,
}

impl Groups {
    /// Reads `{ file = "groups" }` and the file. What is wrong becomes faults.
    pub(super) fn read(value: Value, faults: &Faults) -> Self {
        let Some(table) = Table::from_value(value, faults) else {
            return Self::default();
        };
        let file: Option<Located<PathBuf>> =
            table.require("file", "write groups = { file = \"groups\" }", faults);
        table.finish(faults);
        let make = "write it with a line for each group: NAME: USER USER";
        let source = file.and_then(|file| read_file(&file, ("the group file", make), faults));
        source.map_or_else(Self::default, |source| Self::parse(&source, faults))
    }

    fn parse(source: &Arc<Source>, faults: &Faults) -> Self {
        let mut groups = Self::default();
        for (line, at) in lines(source) {
            let form =
                "write \"group: user user\", one group on a line; a group may have several lines";
            let Some((name, users)) = line.split_once(':') else {
                faults.push(Fault::at(&at, "this line has no colon", form));
                continue;
            };
            let name = name.trim();
            if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
                faults.push(Fault::at(&at, "a group's name is one word", form));
                continue;
            }
            let name: Arc<str> = name.into();
            for user in users.split_whitespace() {
                // Apache would join the next line; read on its own, this line would miss users in silence.
                if user == "\\" {
                    faults.push(Fault::at(&at, "a line does not continue on the next", form));
                    continue;
                }
                let of_user = groups.of.entry(user.into()).or_default();
                if !of_user.contains(&name) {
                    of_user.push(name.clone());
                }
            }
        }
        groups
    }

    /// A principal in the groups given and in those that the file puts its name in, each once.
    pub(super) fn principal(
        &self,
        name: &str,
        own: &[Arc<str>],
        method: &'static str,
    ) -> Principal {
        let mut groups: Vec<Arc<str>> = Vec::new();
        for group in own.iter().chain(self.of.get(name).into_iter().flatten()) {
            if !groups.contains(group) {
                groups.push(group.clone());
            }
        }
        Principal {
            name: name.into(),
            groups: groups.into(),
            method,
        }
    }
}
