//! A file of endpoints, one a line: `10.0.0.1:8080`, or `10.0.0.1:8080 weight=2 zone=a backup`. `#` begins a comment.
//! Addresses only: names are looked up where the configuration names them.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Resolved;
use super::settings::MOST_WEIGHT;
use crate::fault::{Fault, Faults, Location, Source, suggest};

/// Reads the file's text. What is wrong becomes faults, each at its place; a file with faults should not replace one without.
pub fn read_file(source: &Arc<Source>, faults: &Faults) -> Vec<Resolved> {
    let mut at = 0;
    let mut endpoints: Vec<Resolved> = Vec::new();
    for line in source.text.split_inclusive('\n') {
        let text = line.split('#').next().unwrap_or_default();
        let words = words(source, at, text);
        at += line.len();
        let Some(endpoint) = read_line(&words, faults) else {
            continue;
        };
        let twice = endpoints
            .iter()
            .any(|known| known.address == endpoint.address);
        if let (true, Some(first)) = (twice, words.first()) {
            let problem = format!("{} is there twice", endpoint.address);
            faults.push(Fault::at(&first.at, problem, "leave one out"));
        }
        endpoints.push(endpoint);
    }
    endpoints
}

struct Word<'a> {
    text: &'a str,
    at: Location,
}

fn words<'a>(source: &Arc<Source>, from: usize, line: &'a str) -> Vec<Word<'a>> {
    let mut words = Vec::new();
    let mut at = 0;
    for piece in line.split_inclusive(char::is_whitespace) {
        let text = piece.trim();
        if !text.is_empty() {
            let span = from + at..from + at + text.len();
            let source = source.clone();
            words.push(Word {
                text,
                at: Location { source, span },
            });
        }
        at += piece.len();
    }
    words
}

fn read_line(words: &[Word<'_>], faults: &Faults) -> Option<Resolved> {
    let [first, rest @ ..] = words else {
        return None;
    };
    let address = first.text.parse().ok();
    let Some(address) = address.filter(|address: &SocketAddr| address.port() != 0) else {
        let problem = format!("\"{}\" is not an address and port", first.text);
        let remedy = "write one such as 10.0.0.1:8080 or [2001:db8::1]:8080";
        faults.push(Fault::at(&first.at, problem, remedy));
        return None;
    };
    let mut endpoint = Resolved::of(address);
    for word in rest {
        let number = |text: &str, most: u32| text.parse().ok().filter(|number| *number <= most);
        let known = match word.text.split_once('=') {
            None if word.text == "backup" => {
                endpoint.backup = true;
                true
            }
            Some(("weight", weight)) => {
                endpoint.weight = number(weight, MOST_WEIGHT);
                endpoint.weight.is_some()
            }
            Some(("priority", priority)) => {
                let priority = number(priority, 100).and_then(|number| u16::try_from(number).ok());
                endpoint.priority = priority.unwrap_or(0);
                priority.is_some()
            }
            Some(("zone", zone)) if !zone.is_empty() => {
                endpoint.zone = Some(zone.into());
                true
            }
            Some(_) | None => false,
        };
        if !known {
            let key = word.text.split('=').next().unwrap_or(word.text);
            faults.push(Fault::at(
                &word.at,
                format!("\"{}\" says nothing about an endpoint", word.text),
                suggest(key, &["weight=1", "zone=NAME", "priority=0", "backup"]),
            ));
        }
    }
    Some(endpoint)
}
