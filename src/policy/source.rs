//! From a policy file's table to a policy. Any fault refuses the whole: a rule with a condition missing is another rule.
//! Not the conditions' values (condition), nor the lists (their owner reads `[list.NAME]` before).
//! Start at [`Policy::read`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::action::read_action;
use super::condition::{CONDITIONS, Condition, Ground};
use super::index::Index;
use super::rule::{Action, Clause, Group, Rule};
use super::verdict::{Intercept, RuleRef};
use super::{Expectation, Fallback, Lists, Policy};
use crate::fault::{Fault, Faults, Location, nearest, suggest};
use crate::settings::{FromValue, Located, Table, Value, one_of};

/// Named conditions, by their names.
type Named = BTreeMap<String, Vec<Clause>>;

impl Policy {
    /// Reads a policy of a name from its file's table. `[list.NAME]` is passed over: what rules call `@NAME` is in
    /// `lists`. `None` where there is any fault.
    pub fn read(name: &str, table: Table, lists: &Lists, faults: &Faults) -> Option<Self> {
        let before = faults.len();
        let ground = Ground { lists, faults };
        // Read by its owner: here it only must not be an unknown key.
        drop(table.take_value("list"));
        let default: Option<Located<String>> = table.take("default", faults);
        let default_at = default.as_ref().map(|word| word.at.clone());
        let words = [("deny", Fallback::Deny), ("allow", Fallback::Allow)];
        let default = default.and_then(|word| one_of(&word, &words, faults));
        let report = table.take_or("report", false, faults);
        let named = read_named(&table, ground);
        let tables: Vec<Table> = table.take("rule", faults).unwrap_or_default();
        let rules = read_rules(tables, &named, ground);
        let cases: Vec<Table> = table.take("expect", faults).unwrap_or_default();
        let expectations = cases
            .into_iter()
            .filter_map(|case| Expectation::read(case, faults))
            .collect();
        table.finish(faults);
        let policy = Self {
            name: name.into(),
            index: Index::new(&rules),
            rules,
            default: default.unwrap_or(Fallback::Deny),
            report,
            expectations,
            default_rule: RuleRef {
                name: DEFAULT.into(),
                index: None,
                at: default_at,
            },
            default_action: Arc::default(),
            no_obligations: Arc::default(),
        };
        policy.check_expectations(faults);
        (faults.len() == before).then_some(policy)
    }

    /// A case that wants a rule which does not exist can only fail; it is most likely misspelt.
    fn check_expectations(&self, faults: &Faults) {
        for wanted in self.expectations.iter().filter_map(Expectation::rule) {
            let names = || {
                let rules = self.rules.iter().map(|rule| &*rule.id.name);
                rules.chain([DEFAULT])
            };
            if names().any(|name| name == wanted.value) {
                continue;
            }
            let remedy = nearest(&wanted.value, names())
                .map(|near| format!("Did you mean \"{near}\"?"))
                .unwrap_or_else(|| {
                    let known: Vec<&str> = names().collect();
                    format!("name one of: {}", known.join(", "))
                });
            let problem = format!("there is no rule \"{}\"", wanted.value);
            faults.push(Fault::at(&wanted.at, problem, remedy));
        }
    }
}

/// The name that stands for "no rule held".
pub(super) const DEFAULT: &str = "default";

/// Words of other products, and what they are called here.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("user", "principal"),
    ("users", "principal"),
    ("source", "client"),
    ("src", "client"),
    ("from", "client"),
    ("domain", "host"),
    ("domains", "host"),
    ("destination", "host"),
    ("dst", "host"),
    ("ip", "address"),
    ("cidr", "address"),
    ("resolved", "address"),
    ("network", "address"),
    ("protocol", "scheme"),
    ("condition", "when"),
    ("action", "allow = {} or deny = {}"),
];

fn read_named(table: &Table, ground: Ground<'_>) -> Named {
    let Some(tables) = table.take::<Table>("condition", ground.faults) else {
        return Named::new();
    };
    let none = Named::new();
    let entries = tables.take_rest().into_iter();
    let read = |(name, value): (Located<String>, Value)| {
        let table = Table::from_value(value, ground.faults)?;
        let mut clauses = read_clauses(&table, false, ground);
        clauses.extend(read_not(&table, &none, ground));
        refuse_rest(&table, &["not"], ground.faults);
        if clauses.is_empty() {
            let problem = format!("the condition \"{}\" asks for nothing", name.value);
            let remedy = "a rule without conditions holds for everything; add a condition here";
            ground.faults.push(Fault::at(&name.at, problem, remedy));
        }
        let from: Arc<str> = name.value.as_str().into();
        for clause in &mut clauses {
            clause.from = Some(from.clone());
        }
        Some((name.value, clauses))
    };
    entries.filter_map(read).collect()
}

fn read_rules(tables: Vec<Table>, named: &Named, ground: Ground<'_>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::with_capacity(tables.len());
    let mut taken: BTreeMap<Arc<str>, Location> = BTreeMap::new();
    for table in tables {
        let Some(rule) = read_rule(&table, rules.len(), named, ground) else {
            continue;
        };
        if let Some(first) = taken.get(&rule.id.name) {
            let problem = format!("there are two rules \"{}\"", rule.id.name);
            let remedy = format!("the other one is at {first}; a record must tell them apart");
            ground.faults.push(Fault::at(&table.at, problem, remedy));
        }
        taken.insert(rule.id.name.clone(), table.at.clone());
        rules.push(rule);
    }
    rules
}

fn read_rule(table: &Table, index: usize, named: &Named, ground: Ground<'_>) -> Option<Rule> {
    let faults = ground.faults;
    let before = faults.len();
    let name: Option<Located<String>> = table.require(
        "name",
        "records and explanations call a rule by its name",
        faults,
    );
    if let Some(name) = name.as_ref().filter(|name| {
        name.value == DEFAULT
            || name.value.trim().is_empty()
            || name.value.contains(char::is_control)
    }) {
        let problem = format!("a rule can not be named {:?}", name.value);
        faults.push(Fault::at(
            &name.at,
            problem,
            "choose a line of words; \"default\" is what no rule decides",
        ));
    }
    let action = read_action(table, faults);
    let report = table.take_or("report", false, faults);
    let mut clauses = read_clauses(table, false, ground);
    clauses.extend(read_when(table, false, named, ground));
    clauses.extend(read_not(table, named, ground));
    let also = ["name", "allow", "deny", "report", "when", "not"];
    refuse_rest(table, &also, faults);
    if faults.len() == before {
        check_splicing(table, action.as_ref(), &clauses, faults);
        check_hosts(table, action.as_ref(), &clauses, faults);
    }
    Some(Rule {
        id: RuleRef {
            name: name?.value.into(),
            index: Some(index),
            at: Some(table.at.clone()),
        },
        action: action?,
        report,
        clauses,
    })
}

/// A tunnel that is relayed untouched shows no request: a rule that asks about requests can not allow that.
fn check_splicing(table: &Table, action: Option<&Action>, clauses: &[Clause], faults: &Faults) {
    let Some(Action::Allow(obligations)) = action else {
        return;
    };
    let splices = obligations
        .intercept
        .as_ref()
        .is_some_and(Intercept::may_splice);
    let asks = clauses
        .iter()
        .find(|clause| clause.condition.waits().request)
        .map(|clause| clause.key);
    let changes = obligations.filters.names().next();
    if let Some(key) = asks.or(changes).filter(|_| splices) {
        let problem = format!(
            "the rule is about requests (\"{key}\"), which are not seen in a tunnel that is spliced"
        );
        let remedy =
            "write \"deny\" for \"splice\", or a second rule that allows such tunnels by host";
        faults.push(Fault::at(&table.at, problem, remedy));
    }
}

/// A credential goes to an origin that the operator named, never to whatever host a client may ask for.
fn check_hosts(table: &Table, action: Option<&Action>, clauses: &[Clause], faults: &Faults) {
    let Some(Action::Allow(obligations)) = action else {
        return;
    };
    let mut demanded = clauses.iter().filter(|clause| !clause.negated);
    let named = demanded.any(|clause| clause.condition.names_hosts());
    if let Some(filter) = obligations.filters.wanting_hosts().filter(|_| !named) {
        let problem = format!("the rule has \"{filter}\" and does not name its hosts");
        let remedy = "name the origin with host = \"api.example\"; \"*\" names none";
        faults.push(Fault::at(&table.at, problem, remedy));
    }
    // Whoever sets a cookie most likely answers one client: only for origins that are known to do otherwise is that shared.
    if obligations.cache.shares_cookies() && !named {
        let problem = "the rule shares responses that set cookies, and does not name its hosts";
        let remedy = "name the origin with host = \"cdn.example\", or leave set-cookie out";
        faults.push(Fault::at(&table.at, problem, remedy));
    }
}

/// The plain conditions of a table, in the order of the list of conditions.
fn read_clauses(table: &Table, negated: bool, ground: Ground<'_>) -> Vec<Clause> {
    let read = |entry: &super::condition::Entry| {
        let value = table.take_value(entry.name)?;
        let source = one_line(&value.at);
        let condition = (entry.build)(value, ground)?;
        let written = condition.written().unwrap_or(source);
        Some(clause(entry.name, &written, negated, condition))
    };
    CONDITIONS.iter().filter_map(read).collect()
}

fn read_not(table: &Table, named: &Named, ground: Ground<'_>) -> Vec<Clause> {
    let Some(inner) = table.take::<Table>("not", ground.faults) else {
        return Vec::new();
    };
    let mut clauses = read_clauses(&inner, true, ground);
    clauses.extend(read_when(&inner, true, named, ground));
    refuse_rest(&inner, &["when"], ground.faults);
    clauses
}

/// `when` adds the clauses of named conditions, as if they stood here; under `not`, each must fail as a whole.
fn read_when(table: &Table, negated: bool, named: &Named, ground: Ground<'_>) -> Vec<Clause> {
    let names: Vec<Located<String>> = table.take("when", ground.faults).unwrap_or_default();
    let mut clauses = Vec::new();
    for name in names {
        let Some(found) = named.get(&name.value) else {
            let remedy = match nearest(&name.value, named.keys().map(String::as_str)) {
                Some(near) => format!("Did you mean \"{near}\"?"),
                None => format!("add a table [condition.{}]", name.value),
            };
            let problem = format!("there is no condition \"{}\"", name.value);
            ground.faults.push(Fault::at(&name.at, problem, remedy));
            continue;
        };
        if negated {
            let group = Arc::new(Group(found.clone()));
            clauses.push(clause("when", &one_line(&name.at), true, group));
        } else {
            clauses.extend(found.iter().cloned());
        }
    }
    clauses
}

fn clause(
    key: &'static str,
    written: &str,
    negated: bool,
    condition: Arc<dyn Condition>,
) -> Clause {
    Clause {
        key,
        written: written.into(),
        negated,
        from: None,
        condition,
    }
}

/// Reports the keys that are left, with the words that people bring from elsewhere in mind.
fn refuse_rest(table: &Table, also: &[&str], faults: &Faults) {
    let mut known: Vec<&str> = CONDITIONS.iter().map(|entry| entry.name).collect();
    known.extend(also);
    for (key, _) in table.take_rest() {
        let other = OTHER_WORDS.iter().find(|(word, _)| *word == key.value);
        let remedy = match other {
            Some((_, ours)) => format!("Did you mean \"{ours}\"? (known: {})", known.join(", ")),
            None => suggest(&key.value, &known),
        };
        let problem = format!("unknown key \"{}\"", key.value);
        faults.push(Fault::at(&key.at, problem, remedy));
    }
}

/// The operator's own text, on one line and not too long.
fn one_line(at: &Location) -> String {
    const LONGEST: usize = 100;
    let text = at.source.text.get(at.span.clone()).unwrap_or_default();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    let short: String = line.chars().take(LONGEST).collect();
    format!("{short}…")
}
