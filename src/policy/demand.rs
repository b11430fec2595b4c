//! How a tunnel is looked into, from `intercept = …` and `tls = …` of an allow rule.
//! Not the looking (relay) and not the judging of what was seen (gate).
//! Start at [`read_intercept`] and [`read_demands`].

use super::verdict::{ClientCertificate, Demands, HelloProblem, Intercept, Otherwise, Sni};
use super::{Allowance, Denial, DenyAction, Facts, Hello, Look, NamedBy, Policy, Reason, Scheme};
use crate::addr::Host;
use crate::fault::Faults;
use crate::settings::{KeyDigest, Kind, Located, Table, Value, one_of};

/// `intercept = true`, or `{ pinned, client-certificate, not-http, pins }`.
pub(super) fn read_intercept(value: Value, faults: &Faults) -> Option<Intercept> {
    let table = match value.kind {
        Kind::Bool(intercept) => return intercept.then(Intercept::default),
        Kind::Table(table) => table,
        Kind::Text(_) | Kind::Integer(_) | Kind::Float(_) | Kind::Datetime(_) | Kind::List(_) => {
            return value.mismatch("true, or a table such as { pinned = \"splice\" }", faults);
        }
    };
    let pins: Vec<KeyDigest> = table.take_or("pins", Vec::new(), faults);
    let intercept = Intercept {
        pinned: word(&table, "pinned", OTHERWISE, faults),
        client_certificate: word(&table, "client-certificate", CLIENT_CERTIFICATE, faults),
        not_http: word(&table, "not-http", OTHERWISE, faults),
        pins: pins.iter().map(|pin| pin.0).collect(),
    };
    table.finish(faults);
    Some(intercept)
}

/// `tls = { required, sni, ech }`.
pub(super) fn read_demands(table: Table, faults: &Faults) -> Demands {
    let demands = Demands {
        required: table.take_or("required", false, faults),
        sni: word(&table, "sni", SNI, faults),
        no_ech: word(&table, "ech", ECH, faults),
    };
    table.finish(faults);
    demands
}

impl Intercept {
    /// Whether what can not be decrypted may be relayed untouched.
    pub(super) fn may_splice(&self) -> bool {
        self.pinned == Otherwise::Splice
            || self.not_http == Otherwise::Splice
            || self.client_certificate == ClientCertificate::Splice
    }
}

impl Demands {
    /// What is wrong with the first bytes of a tunnel to `host`.
    pub fn problem(&self, host: &Host, hello: Option<&Hello>) -> Option<HelloProblem> {
        let Some(hello) = hello else {
            return self.required.then_some(HelloProblem::NotTls);
        };
        let name = hello.server_name.as_ref();
        match (self.sni, name) {
            (Sni::Agree | Sni::Required, Some(name)) if host.name().is_some() && name != host => {
                return Some(HelloProblem::OtherName {
                    name: name.clone(),
                    host: host.clone(),
                });
            }
            (Sni::Required, None) => return Some(HelloProblem::NoName),
            (Sni::Agree | Sni::Required | Sni::Any, _) => {}
        }
        (self.no_ech && hello.ech).then_some(HelloProblem::Hidden)
    }
}

impl Policy {
    /// What the rule that allows demands of the TLS that a tunnel or a connection to a gateway begins with, and these facts do not
    /// have: for that it is denied in the end (`gate/hello`). `None` too where it is not known yet.
    pub(super) fn unmet(&self, allowance: &Allowance, facts: &Facts<'_>) -> Option<Denial> {
        let hello = match (facts.hello, facts.named_by) {
            (Look::Later, _) | (Look::Nothing, NamedBy::Client) => return None,
            (Look::Nothing, NamedBy::Operator) => None,
            (Look::Hello(hello), _) => Some(hello),
        };
        let looks = match facts.named_by {
            NamedBy::Client => facts.scheme == Scheme::Tunnel,
            NamedBy::Operator => self.asks_hello() || self.demands_hello(),
        };
        let demands = allowance.obligations.tls;
        let problem = demands.problem(&facts.authority.host, hello);
        problem.filter(|_| looks).map(|problem| Denial {
            rule: allowance.rule.clone(),
            reason: Reason::Hello(problem),
            action: DenyAction::default().into(),
        })
    }
}

fn word<T: Copy + Default>(
    table: &Table,
    key: &'static str,
    words: &[(&'static str, T)],
    faults: &Faults,
) -> T {
    table
        .take::<Located<String>>(key, faults)
        .and_then(|word| one_of(&word, words, faults))
        .unwrap_or_default()
}

const OTHERWISE: &[(&str, Otherwise)] = &[("deny", Otherwise::Deny), ("splice", Otherwise::Splice)];
const CLIENT_CERTIFICATE: &[(&str, ClientCertificate)] = &[
    ("deny", ClientCertificate::Deny),
    ("splice", ClientCertificate::Splice),
    ("without", ClientCertificate::Without),
];
const SNI: &[(&str, Sni)] = &[
    ("agree", Sni::Agree),
    ("required", Sni::Required),
    ("any", Sni::Any),
];
const ECH: &[(&str, bool)] = &[("allow", false), ("deny", true)];

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::fault::{Fault, Source};

    fn pins(written: &str) -> (Vec<[u8; 32]>, String) {
        let faults = Faults::new();
        let source = Source::new("p.toml", format!("intercept = {{ pins = {written} }}"));
        let value = Table::parse(&source, &faults).take_value("intercept");
        let read = value.and_then(|value| read_intercept(value, &faults));
        let told = faults.into_vec().iter().map(Fault::render).collect();
        (
            read.map(|read| read.pins.to_vec()).unwrap_or_default(),
            told,
        )
    }

    #[test]
    fn pins_are_digests_of_keys_and_nothing_else() {
        let text = STANDARD.encode([7; 32]);
        for form in ["sha256/", "sha256//"] {
            let (read, told) = pins(&format!("[\"{form}{text}\", \"sha256/{text}\"]"));
            assert_eq!(
                (read.as_slice(), told.as_str()),
                (&[[7; 32], [7; 32]][..], "")
            );
        }
        for wrong in ["\"sha256/AAAA\"", "\"sha1/AAAA\"", "[\"\"]", "7"] {
            let (read, told) = pins(wrong);
            assert!(read.is_empty() && !told.is_empty(), "{wrong}: {told}");
        }
    }
}
