//! `egret ca`: the authority of interception: made, requested from another, handed out to clients.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;

use super::args::{CaAction, CaExport, CaInit, CaKey, CaRequest};
use super::files::Files;
use super::{say, tell};
use crate::addr::Host;
use crate::fault::{Fault, Faults, Location, Source};
use crate::relay::LANDING;
use crate::settings::{Located, Table};
use crate::tls::authority::{Authorities, New, Permitted, anchor, fingerprint, pem};
use crate::tls::keys::{Passphrase, encrypted_pem, read_chain};
use crate::tls::trust::{STORES, Store};

pub(super) fn ca(config: Option<&Path>, action: &CaAction) -> ExitCode {
    let done = match action {
        CaAction::Init(asked) => init(asked).map_err(|fault| vec![fault]),
        CaAction::Request(asked) => request(asked).map_err(|fault| vec![fault]),
        CaAction::Export(asked) => export(config, asked),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(faults) => tell(&faults),
    }
}

fn init(asked: &CaInit) -> Result<(), Fault> {
    let key = &asked.key;
    let mut permitted: Vec<Permitted> = asked
        .permit
        .iter()
        .map(|text| permitted(text))
        .collect::<Result<_, _>>()?;
    if !permitted.is_empty() {
        // The proxy's own host shows clients whether they trust the authority.
        permitted.push(Permitted::Name(LANDING.to_owned()));
    }
    let new = New {
        name: checked_name(&key.name)?,
        days: asked.days,
        permitted,
    };
    let passphrase = passphrase(key)?;
    let mut files = Files::new(key.force, [&asked.cert, &key.key])?;
    let made = new.root().map_err(|error| unmade(&error))?;
    files.write(&key.key, 0o600, &sealed(&made.key, passphrase.as_ref())?)?;
    files.write(&asked.cert, 0o644, &made.pem)?;
    files.keep();
    let until = made.validity.not_after.to_string();
    let day = until.split('T').next().unwrap_or(&until);
    let mut text = format!(
        "Made the authority \"{}\", valid until {day}.\n  certificate  {}\n  key          {}   (keep it: who has it can pose as any server to those who trust it)\n  SHA-256      {}\n",
        new.name,
        asked.cert.display(),
        key.key.display(),
        fingerprint(&made.certificate),
    );
    if new.permitted.is_empty() {
        text += "  signs for    everything; --permit NAME limits it\n";
    } else {
        let _ = writeln!(text, "  signs for    {}", asked.permit.join(", "));
    }
    let _ = write!(
        text,
        "\nPut into the configuration:\n\n{}\n\nTo have it trusted, for each system:\n\n  egret ca export --cert {} --form commands",
        lines(&asked.cert, key),
        asked.cert.display()
    );
    say(&text);
    Ok(())
}

fn request(asked: &CaRequest) -> Result<(), Fault> {
    let key = &asked.key;
    let new = New {
        name: checked_name(&key.name)?,
        days: 0,
        permitted: Vec::new(),
    };
    let passphrase = passphrase(key)?;
    let mut files = Files::new(key.force, [&asked.request, &key.key])?;
    let (pem, made) = new.request().map_err(|error| unmade(&error))?;
    files.write(&key.key, 0o600, &sealed(&made, passphrase.as_ref())?)?;
    files.write(&asked.request, 0o644, &pem)?;
    files.keep();
    say(&format!(
        "Made a request for the authority \"{}\".\n  request      {}   (have it certified as an intermediate: CA:TRUE, pathlen:0, keyCertSign)\n  key          {}   (keep it; whoever certifies does not need it)\n\nPut what comes back into ca.pem, followed by the certificates of its issuers, and into the configuration:\n\n{}",
        new.name,
        asked.request.display(),
        key.key.display(),
        lines(Path::new("ca.pem"), key)
    ));
    Ok(())
}

/// The lines for the configuration. Paths are absolute, as those in a configuration are relative to its folder.
fn lines(cert: &Path, key: &CaKey) -> String {
    let quoted = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        toml::Value::String(path.display().to_string()).to_string()
    };
    let passphrase = match (&key.passphrase_env, &key.passphrase_file) {
        (Some(name), _) => format!(
            ", passphrase = {{ env = {} }}",
            toml::Value::String(name.clone())
        ),
        (None, Some(path)) => format!(", passphrase = {{ file = {} }}", quoted(path)),
        (None, None) => String::new(),
    };
    format!(
        "  [intercept]\n  authority = {{ cert = {}, key = {{ file = {}{passphrase} }} }}",
        quoted(cert),
        quoted(&key.key)
    )
}

fn checked_name(name: &str) -> Result<String, Fault> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 64 || name.contains(char::is_control) {
        return Err(Fault::new(
            format!("\"{name}\" cannot be an authority's name"),
            "give 1 to 64 characters with --name",
        ));
    }
    Ok(name.to_owned())
}

fn permitted(text: &str) -> Result<Permitted, Fault> {
    if let Ok(net) = text.parse::<IpNet>() {
        return Ok(Permitted::Network(net.trunc()));
    }
    let bare = text.strip_prefix('.').unwrap_or(text);
    match Host::parse_bare(bare) {
        Ok(Host::Addr(ip)) if bare == text => Ok(Permitted::Network(IpNet::from(ip))),
        Ok(Host::Name(name)) if bare == text => Ok(Permitted::Name(name.to_string())),
        Ok(Host::Name(name)) => Ok(Permitted::Name(format!(".{name}"))),
        Ok(Host::Addr(_)) | Err(_) => Err(Fault::new(
            format!("\"{text}\" is not a name, nor an address or network"),
            "write --permit example.com (it and all below), .example.com (all below) or 10.0.0.0/8",
        )),
    }
}

fn passphrase(key: &CaKey) -> Result<Option<Passphrase>, Fault> {
    match (&key.passphrase_env, &key.passphrase_file) {
        (Some(name), _) => Passphrase::from_env(name).map(Some),
        (None, Some(path)) => Passphrase::from_file(path).map(Some),
        (None, None) => Ok(None),
    }
}

fn sealed(key: &rcgen::KeyPair, passphrase: Option<&Passphrase>) -> Result<String, Fault> {
    let Some(passphrase) = passphrase else {
        return Ok(key.serialize_pem());
    };
    encrypted_pem(key.serialized_der(), passphrase)
        .ok_or_else(|| Fault::new("the key could not be encrypted", "try again"))
}

fn unmade(error: &rcgen::Error) -> Fault {
    Fault::new(
        format!("the authority could not be made: {error}"),
        "try another --name or --permit",
    )
}

fn export(config: Option<&Path>, asked: &CaExport) -> Result<(), Vec<Fault>> {
    let faults = Faults::new();
    let certificates = match (&asked.cert, config) {
        (Some(cert), _) => of_file(cert, &faults),
        (None, Some(config)) => of_configuration(config, &faults),
        (None, None) => {
            faults.push(Fault::new(
                "no authority is named",
                "name its certificate with --cert FILE, or a configuration with -c FILE",
            ));
            None
        }
    };
    let (Some(certificates), true) = (certificates, faults.is_empty()) else {
        return Err(faults.into_vec());
    };
    let form = asked.form.as_deref().unwrap_or(match asked.system {
        Some(_) => "commands",
        None => "pem",
    });
    let bytes = match form {
        "der" => certificates.first().map(|first| first.to_vec()),
        "commands" => Some(commands(asked).into_bytes()),
        _ => Some(
            certificates
                .iter()
                .map(pem)
                .collect::<String>()
                .into_bytes(),
        ),
    };
    put_out(asked.output.as_deref(), &bytes.unwrap_or_default(), form).map_err(|fault| vec![fault])
}

/// The certificate that clients shall trust of a file.
fn of_file(cert: &Path, faults: &Faults) -> Option<Vec<CertificateDer<'static>>> {
    // What is typed has no place in a text.
    let typed = Faults::new();
    let path = Located {
        value: cert.to_owned(),
        at: Location {
            source: Source::new(cert, ""),
            span: 0..0,
        },
    };
    let chain = read_chain(&path, &typed);
    for fault in typed.into_vec() {
        faults.push(Fault::new(fault.problem, fault.remedy));
    }
    Some(vec![anchor(&chain?)?.clone()])
}

/// Those that a configuration names, whatever else is wrong with it.
fn of_configuration(path: &Path, faults: &Faults) -> Option<Vec<CertificateDer<'static>>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            faults.push(Fault::new(
                format!("cannot read {}: {error}", path.display()),
                "name a configuration file with -c FILE",
            ));
            return None;
        }
    };
    let ignored = Faults::new();
    let named = Table::parse(&Source::new(path, text), &ignored)
        .take::<Table>("intercept", &ignored)
        .and_then(|intercept| intercept.take_value("authority"));
    let Some(named) = named else {
        faults.push(Fault::new(
            format!(
                "{} names no authority ([intercept] authority)",
                path.display()
            ),
            "make one with: egret ca init",
        ));
        return None;
    };
    Authorities::offered(named, faults)
}

/// How to trust it: on one system, or on all that are known.
fn commands(asked: &CaExport) -> String {
    let file = asked
        .cert
        .as_deref()
        .unwrap_or_else(|| Path::new("egret-ca.pem"));
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let file = file.display().to_string();
    let one = asked.system.as_deref().and_then(Store::find);
    let mut text = String::new();
    if asked.cert.is_none() {
        text +=
            "# Write the certificate to a file first: egret ca export -c FILE -o egret-ca.pem\n\n";
    }
    match one {
        Some(store) => {
            text += &store.commands_for(&file);
            text.push('\n');
        }
        None => {
            let all: Vec<String> = STORES
                .iter()
                .map(|store| format!("# {}\n{}\n", store.title, store.commands_for(&file)))
                .collect();
            text += &all.join("\n");
        }
    }
    text
}

fn put_out(output: Option<&Path>, bytes: &[u8], form: &str) -> Result<(), Fault> {
    let written = match output {
        Some(path) if holds_a_key(path) => {
            return Err(Fault::new(
                format!(
                    "{} holds a private key, which would be lost",
                    path.display()
                ),
                "name another file with -o FILE",
            ));
        }
        Some(path) => File::create(path).and_then(|mut file| file.write_all(bytes)),
        None if form == "der" && std::io::stdout().is_terminal() => {
            return Err(Fault::new(
                "DER is not for a terminal",
                "name a file with -o FILE",
            ));
        }
        None => std::io::stdout().lock().write_all(bytes),
    };
    let place = || {
        output.map_or_else(
            || "standard output".to_owned(),
            |path| path.display().to_string(),
        )
    };
    written.map_err(|error| {
        Fault::new(
            format!("cannot write {}: {error}", place()),
            "check the path and its permissions",
        )
    })
}

/// Whether a file is one that can not be had again.
fn holds_a_key(path: &Path) -> bool {
    let text = std::fs::read(path).unwrap_or_default();
    memchr::memmem::find(&text, b"PRIVATE KEY").is_some()
}
