//! Basic: users and passwords of an htpasswd file. `{ basic = { file = "users.htpasswd", realm = "egret" } }`.
//! Knows nothing of header fields (credentials) nor of hashes (hash).
//! Start at [`Basic`].

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::htpasswd::Users;
use super::method::{Answer, Answering, AuthMethod, Entry, Seen};
use super::verifier::{Verdict, Verifier};
use super::{Challenge, Credentials, Groups, Principal};
use crate::fault::{Fault, Faults};
use crate::settings::{FromValue, Located, Table, Value};

/// The method's line in the table.
pub(super) const ENTRY: Entry = Entry {
    name: NAME,
    summary: "asks for a user and password (RFC 7617) and verifies them against an htpasswd file",
    build: |value, groups, faults| {
        Basic::read(value, groups, faults).map(|basic| Box::new(basic) as _)
    },
};

pub(super) const NAME: &str = "basic";

/// Longer, and a user whose password was withdrawn elsewhere would be let in for too long.
const REMEMBER_MAX: Duration = Duration::from_secs(3600);

/// The users of a file, and how they are asked for. Settings: `file` (htpasswd), `realm` (default "egret"), `remember`
/// (how long a right password is not verified again; default "60s", at most an hour, "0s" for not at all).
#[derive(Debug)]
pub(super) struct Basic {
    pub(super) users: Users,
    pub(super) challenge: Challenge,
    pub(super) verifier: Arc<Verifier>,
    pub(super) remember: Duration,
}

impl Basic {
    fn read(value: Value, groups: &Groups, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let table = Table::from_value(value, faults)?;
        let at = table.at.clone();
        let remedy = "name an htpasswd file: file = \"users.htpasswd\"";
        let file: Option<Located<PathBuf>> = table.require("file", remedy, faults);
        let realm: Option<Located<String>> = table.take("realm", faults);
        let remember: Option<Located<Duration>> = table.take("remember", faults);
        table.finish(faults);

        let challenge = Challenge::basic(realm.as_ref().map_or("egret", |realm| &realm.value));
        if let (Some(realm), None) = (&realm, &challenge) {
            faults.push(Fault::at(
                &realm.at,
                "clients do not agree on how to show this realm",
                "write the realm in printable ASCII",
            ));
        }
        if let Some(long) = remember.as_ref().filter(|time| time.value > REMEMBER_MAX) {
            faults.push(Fault::at(
                &long.at,
                "a verified password is remembered for an hour at most",
                "write remember = \"60s\"",
            ));
        }
        let verifier = Verifier::shared();
        if verifier.is_none() {
            faults.push(Fault::at(
                &at,
                "the system gives no random bytes, or no thread to verify passwords on",
                "raise the limits of threads and open files of the process, or leave the method out",
            ));
        }
        let users = file.map(|file| Users::read(&file, groups, faults));
        let read = Self {
            users: users?,
            challenge: challenge?,
            verifier: verifier?,
            remember: remember.map_or(Duration::from_secs(60), |time| time.value),
        };
        (faults.len() == before).then_some(read)
    }

    async fn answer(&self, client: IpAddr, offered: &Credentials) -> Answer {
        let Credentials::Basic { user, password } = offered;
        let known = self.users.find(user);
        let Some(hash) = known.map(|user| &user.hash).or_else(|| self.users.decoy()) else {
            return Answer::Unknown;
        };
        let verdict = self
            .verifier
            .verify(client, user, hash, password, self.remember)
            .await;
        match (verdict, known) {
            (Verdict::Right, Some(user)) => Answer::Known(user.principal.clone()),
            // A stranger with the password of the decoy's user is a stranger still.
            (Verdict::Right, None) | (Verdict::Wrong, _) => Answer::Unknown,
            (Verdict::Busy, _) => Answer::Busy,
        }
    }
}

impl AuthMethod for Basic {
    fn authenticate<'a>(&'a self, seen: Seen<'a>) -> Answering<'a> {
        match seen.offered {
            Some(offered) => Box::pin(self.answer(seen.client, offered)),
            None => Box::pin(std::future::ready(Answer::Unknown)),
        }
    }

    fn recall(&self, principal: &Principal, _client: IpAddr) -> Option<Principal> {
        let now = &self.users.find(&principal.name)?.principal;
        (now.method == principal.method).then(|| now.clone())
    }

    fn challenge(&self) -> Option<Challenge> {
        Some(self.challenge.clone())
    }
}
