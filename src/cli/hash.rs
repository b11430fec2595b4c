//! `egret hash`: an htpasswd line from a password on standard input, so that it stands in no process list and no history.
//! Writes no file, and hashes nothing itself (auth).
//! Start at [`hash`].

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use super::args::Hash;
use super::{complain, say};
use crate::auth::{HashMethod, hash_password};
use crate::fault::Fault;

pub(super) fn hash(asked: &Hash) -> ExitCode {
    if asked.user.as_deref().is_some_and(|user| {
        user.is_empty() || user.contains(':') || user.contains(char::is_control)
    }) {
        complain("a user's name has no colon and no control character");
        return ExitCode::from(2);
    }
    if std::io::stdin().is_terminal() {
        complain(
            "Type the password, then Enter (it is shown as you type; better: egret hash USER < file):",
        );
    }
    let mut password = String::new();
    if let Err(error) = std::io::stdin().lock().read_line(&mut password) {
        complain(&format!("cannot read the password: {error}"));
        return ExitCode::from(2);
    }
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        let remedy = "write it as the first line: egret hash USER < FILE";
        complain(&Fault::new("standard input has no password", remedy).render());
        return ExitCode::from(2);
    }
    let method = match asked.method.as_str() {
        "argon2id" => HashMethod::Argon2id,
        "sha512" => HashMethod::Sha512,
        _ => HashMethod::default(),
    };
    match hash_password(password.as_bytes(), method) {
        Ok(hash) => {
            say(&asked
                .user
                .as_ref()
                .map_or_else(|| hash.clone(), |user| format!("{user}:{hash}")));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(2)
        }
    }
}
