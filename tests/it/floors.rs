//! The direction of imports, held by a test: a file imports only what stands on a lower floor, or its own module.
//! Not a compiler: it reads lines, and comments and strings are cut away first. Start at `FLOORS`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const FLOORS: &[(&str, u8)] = &[
    ("addr", 0),
    ("fault", 0),
    ("stream", 0),
    ("lifeline", 0),
    ("settings", 1),
    ("message", 2),
    ("tls", 2),
    ("socks", 2),
    ("proxy_protocol", 2),
    ("auth", 2),
    ("resolve", 2),
    ("report", 2),
    ("filter", 2),
    ("cache", 3),
    ("policy", 4),
    ("upstream", 4),
    ("listener", 5),
    ("gate", 5),
    ("pool", 5),
    ("route", 5),
    ("question", 5),
    ("relay", 6),
    ("probe", 6),
    ("mode", 7),
    ("config", 8),
    ("engine", 9),
    ("cli", 10),
    ("main", 10),
    ("lib", 10),
];

/// What a module never imports although its floor would let it: (module, import, why).
const NEVERS: &[(&str, &str, &str)] = &[
    ("policy", "stream", "the policy is pure: no socket"),
    ("policy", "tls", "the policy is pure: no socket"),
    (
        "policy",
        "message",
        "the policy judges facts, not HTTP messages",
    ),
    (
        "policy",
        "resolve",
        "the policy never looks a name up: it is asked again with the address",
    ),
    (
        "listener",
        "policy",
        "who may connect is the gate's question",
    ),
    (
        "pool",
        "gate",
        "a permit is all that the pool knows of the gate",
    ),
    ("mode", "pool", "a mode reaches the origin through relay"),
    ("mode", "resolve", "a mode reaches names through relay"),
];

/// Files that are longer than [`LIMIT`] code lines, each with its reason.
const LONG: &[(&str, &str)] = &[];

/// Code lines in a file: without blank lines, comments and tests.
const LIMIT: usize = 400;

#[test]
fn every_import_goes_down() {
    let faults = over_all_files(import_faults);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_module_has_a_floor() {
    let faults = over_all_files(|file| match floor(&file.module) {
        Some(_) => vec![],
        None => vec![format!(
            "{}: module {} is not in FLOORS (tests/it/floors.rs): give it the lowest floor that its imports allow",
            file.path, file.module
        )],
    });
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn no_file_is_too_long_to_read() {
    let faults = over_all_files(|file| {
        let lines = file
            .code
            .iter()
            .filter(|(_, code)| !code.is_empty())
            .count();
        let known = LONG.iter().any(|(path, _)| *path == file.path);
        match (lines > LIMIT, known) {
            (true, false) => vec![format!(
                "{}: {lines} code lines, {LIMIT} are allowed: split it by what it does, or name it in LONG with a reason",
                file.path
            )],
            (false, true) => vec![format!(
                "{}: {lines} code lines: take it out of LONG",
                file.path
            )],
            (true, true) | (false, false) => vec![],
        }
    });
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn nothing_unwraps() {
    let faults = over_all_files(|file| {
        let unwraps = |(number, code): &(usize, String)| {
            code.contains(".unwrap()").then(|| {
                format!(
                    "{}:{number} unwraps: return the error, or say the invariant with expect(\"…\")",
                    file.path
                )
            })
        };
        file.code.iter().filter_map(unwraps).collect()
    });
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn only_the_policy_makes_grants_and_permits() {
    let faults = over_all_files(|file| {
        if file.module == "policy" {
            return vec![];
        }
        let makes = |(number, code): &(usize, String)| {
            let proof = ["Grant", "Permit"]
                .into_iter()
                .find(|proof| constructs(code, proof))?;
            Some(format!(
                "{}:{number} constructs {proof}: only src/policy makes one, after judging",
                file.path
            ))
        };
        file.code.iter().filter_map(makes).collect()
    });
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    let cases: &[(&str, &[&str])] = &[
        ("use crate::addr::Host;", &["addr"]),
        (
            "use crate::{addr::Host, fault, policy::{Facts, Scheme}};",
            &["addr", "fault", "policy"],
        ),
        (
            "let x = crate::pool::lease(&crate::gate::admit());",
            &["pool", "gate"],
        ),
        ("// use crate::relay::Relay;", &[]),
        ("let text = \"crate::relay\";", &[]),
        ("pub(crate) fn x() {}", &[]),
        ("use other_crate::pool;", &[]),
        (
            "use crate::{\n    addr,\n    tls as secure,\n};",
            &["addr", "tls"],
        ),
        (
            "/* crate::relay */ use crate::relay /* and */ ::Relay;",
            &["relay"],
        ),
        (
            "#[cfg(test)]\nmod tests {\n    use crate::engine::Engine;\n}\nuse crate::addr;",
            &["addr"],
        ),
        ("let quote = '\"'; use crate::addr;", &["addr"]),
        (
            "let raw = r#\"crate::pool \" \"#; use crate::addr;",
            &["addr"],
        ),
    ];
    for (text, expected) in cases {
        let code = code_lines(text);
        let found: Vec<String> = imports(&code).into_iter().map(|(_, name)| name).collect();
        assert_eq!(found, *expected, "in {text:?}");
    }
}

#[test]
fn a_wrong_import_is_named_with_its_line_and_remedy() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("relay", "use crate::pool::Pool;", &[]),
        ("relay", "use crate::relay::Parts;", &[]),
        (
            "relay",
            "\nuse crate::mode::Mode;",
            &["src/relay/x.rs:2 imports mode (floor 7) from floor 6: move the shared part down"],
        ),
        (
            "gate",
            "use crate::pool::Pool;",
            &["src/gate/x.rs:1 imports pool (floor 5) from floor 5: move the shared part down"],
        ),
        (
            "policy",
            "use crate::resolve::Resolver;",
            &[
                "src/policy/x.rs:1 imports resolve from policy: the policy never looks a name up: it is asked again with the address",
            ],
        ),
        ("mode", "use crate::policy::explain::Walk;", &[]),
        (
            "mode",
            "use crate::policy;",
            &["src/mode/x.rs:1 imports policy from mode: of policy a mode knows only explain"],
        ),
    ];
    for (module, text, expected) in cases {
        let file = SourceFile {
            path: format!("src/{module}/x.rs"),
            module: (*module).to_owned(),
            code: code_lines(text),
        };
        assert_eq!(import_faults(&file), *expected, "in {text:?}");
    }
}

#[test]
fn a_construction_is_told_from_a_declaration() {
    let cases = [
        ("let permit = Permit { addresses };", true),
        ("Ok(policy::Grant { rule })", true),
        ("pub struct Permit {", false),
        ("impl Permit {", false),
        ("impl Debug for Grant {", false),
        ("fn vet(&self) -> Permit {", false),
        ("fn vet(&self) -> policy::Permit {", false),
        ("fn grant(&self) -> &Grant {", false),
        ("struct PermitTable {", false),
    ];
    for (code, expected) in cases {
        let found = constructs(code, "Permit") || constructs(code, "Grant");
        assert_eq!(found, expected, "in {code:?}");
    }
}

struct SourceFile {
    /// Relative to the repository.
    path: String,
    module: String,
    /// Line number and what is left of the line without comments, strings and tests; trimmed.
    code: Vec<(usize, String)>,
}

fn over_all_files(check: impl Fn(&SourceFile) -> Vec<String>) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join("src"), &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "there is no source");
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let relative = path.strip_prefix(root).unwrap();
        SourceFile {
            path: relative.display().to_string(),
            module: module_of(relative),
            code: code_lines(&text),
        }
    };
    paths.iter().flat_map(|path| check(&read(path))).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "tests" {
                collect(&path, paths);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            paths.push(path);
        }
    }
}

/// `src/pool/dial.rs` and `src/pool.rs` are of module `pool`.
fn module_of(relative: &Path) -> String {
    let first = relative.iter().nth(1).unwrap().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn floor(module: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, floor)| *floor)
}

fn import_faults(file: &SourceFile) -> Vec<String> {
    let Some(own) = floor(&file.module) else {
        return vec![]; // `every_module_has_a_floor` says so.
    };
    let mut faults = Vec::new();
    for (number, name) in imports(&file.code) {
        // What is no module is an item of lib.rs, which stands above all.
        let other = floor(&name).unwrap_or(u8::MAX);
        let place = format!("{}:{number}", file.path);
        if name != file.module && other == u8::MAX {
            faults.push(format!(
                "{place} imports {name}, which is not in FLOORS (tests/it/floors.rs)"
            ));
        } else if name != file.module && other >= own {
            faults.push(format!(
                "{place} imports {name} (floor {other}) from floor {own}: move the shared part down"
            ));
        }
        let never = NEVERS
            .iter()
            .find(|(from, to, _)| *from == file.module && *to == name);
        if let Some((from, to, why)) = never {
            faults.push(format!("{place} imports {to} from {from}: {why}"));
        }
        if file.module == "mode" && name == "policy" && !explains(&file.code, number) {
            faults.push(format!(
                "{place} imports policy from mode: of policy a mode knows only explain"
            ));
        }
    }
    faults
}

/// Whether an import of `policy` takes nothing but `explain`.
fn explains(code: &[(usize, String)], number: usize) -> bool {
    code.iter()
        .find(|(line, _)| *line == number)
        .is_some_and(|(_, code)| {
            let explains = code.matches("policy::explain").count();
            explains > 0 && explains == code.matches("policy").count()
        })
}

/// `Permit {` and `Grant {` where a value is made: not where it is declared, implemented or returned.
fn constructs(code: &str, proof: &str) -> bool {
    let mut rest = code;
    while let Some(at) = rest.find(proof) {
        let (before, after) = (&rest[..at], &rest[at + proof.len()..]);
        rest = after;
        let whole_word = !before.ends_with(is_word) && !after.starts_with(is_word);
        let declares = ["struct ", "impl ", "for ", "enum ", "-> ", "-> &"]
            .iter()
            .any(|word| before.ends_with(word));
        let path_in_type = before
            .rsplit_once("-> ")
            .is_some_and(|(_, path)| path.chars().all(|c| is_word(c) || ":&<".contains(c)));
        if whole_word && after.trim_start().starts_with('{') && !declares && !path_in_type {
            return true;
        }
    }
    false
}

/// The names after `crate::`, with the line of each.
fn imports(code: &[(usize, String)]) -> Vec<(usize, String)> {
    let text: Vec<(usize, char)> = code
        .iter()
        .flat_map(|(number, line)| line.chars().chain(['\n']).map(|c| (*number, c)))
        .collect();
    let only: String = text.iter().map(|(_, c)| *c).collect();
    let mut found = Vec::new();
    for (at, _) in only.match_indices("crate::") {
        let before = only[..at].chars().next_back();
        if before.is_some_and(is_word) {
            continue;
        }
        let at = only[..at].chars().count() + "crate::".len();
        first_names(&text[at..], &mut found);
    }
    found
}

/// The name that comes next, or the first name of each branch where a brace comes next.
fn first_names(text: &[(usize, char)], found: &mut Vec<(usize, String)>) {
    if text.first().is_none_or(|(_, c)| *c != '{') {
        found.extend(name_at(text));
        return;
    }
    let mut depth = 0;
    for (at, (_, c)) in text.iter().enumerate() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' => {}
            _ => continue,
        }
        if depth == 0 {
            return;
        }
        if depth == 1 && *c != '}' {
            found.extend(name_at(&text[at + 1..]));
        }
    }
}

fn name_at(text: &[(usize, char)]) -> Option<(usize, String)> {
    let start = text.iter().position(|(_, c)| !c.is_whitespace())?;
    let name: String = text[start..]
        .iter()
        .map(|(_, c)| *c)
        .take_while(|c| is_word(*c))
        .collect();
    (!name.is_empty()).then(|| (text[start].0, name))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Numbers the lines, cuts comments and the insides of strings away, and leaves out what is under `#[cfg(test)]`.
fn code_lines(text: &str) -> Vec<(usize, String)> {
    let bare = without_comments_and_strings(text);
    let mut lines = Vec::new();
    let mut skipping: Option<i64> = None;
    let mut depth = 0_i64;
    let mut opened = BTreeMap::new();
    for (index, line) in bare.lines().enumerate() {
        let line = line.trim();
        let count = |wanted: char| line.matches(wanted).count() as i64;
        let before = depth;
        depth += count('{') - count('}');
        if skipping.is_none() && line.starts_with("#[cfg(test)]") {
            skipping = Some(before);
        }
        let Some(outer) = skipping else {
            lines.push((index + 1, line.to_owned()));
            continue;
        };
        let has_opened = opened.entry(outer).or_insert(false);
        *has_opened |= count('{') > 0;
        let ends = (*has_opened || line.ends_with(';')) && depth <= outer;
        if ends {
            opened.remove(&outer);
            skipping = None;
        }
    }
    lines
}

fn without_comments_and_strings(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if c == '"' {
            string(rest)
        } else if c == 'r' && !bare.ends_with(is_word) && raw_string(rest).is_some() {
            raw_string(rest).unwrap()
        } else if c == '\'' {
            character(rest)
        } else {
            bare.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        // Line numbers stay true.
        bare.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        if c == '"' {
            bare.push_str("\"\"");
        }
        rest = &rest[skipped..];
    }
    bare
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    if !rest[1 + hashes..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let inside = 2 + hashes;
    Some(
        rest[inside..]
            .find(&end)
            .map_or(rest.len(), |at| inside + at + end.len()),
    )
}

/// A character between quotes; a lifetime is one quote only.
fn character(rest: &str) -> usize {
    if let Some(escaped) = rest.strip_prefix("'\\") {
        return escaped
            .char_indices()
            .skip(1)
            .find(|(_, c)| *c == '\'')
            .map_or(1, |(at, _)| at + 3);
    }
    let mut chars = rest.char_indices().skip(2);
    match chars.next() {
        Some((at, '\'')) => at + 1,
        _ => 1,
    }
}
