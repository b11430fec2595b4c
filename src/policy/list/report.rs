//! What reading a list came to, for the operator: form, counts, and the lines that say nothing.
//! Not a fault: a list with a few odd lines is in force.
//! Start at [`ListReport`].

use std::fmt;

/// How a list is written. What each form says about names below an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// In the policy file itself.
    Inline,
    /// A name a line: `name` exactly, `*.name` what is below, `.name` both; also addresses and networks.
    Names,
    /// A hosts file: an address and the names that it stands for, each exactly.
    Hosts,
    /// AdBlock: `||name^` is the name and what is below; `@@||name^` excepts both, whatever else lists them.
    AdBlock,
    /// A response policy zone: `name` exactly, `*.name` what is below, the most specific record decides.
    Rpz,
    /// A network or an address a line.
    Cidr,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inline => "inline",
            Self::Names => "names",
            Self::Hosts => "hosts",
            Self::AdBlock => "adblock",
            Self::Rpz => "rpz",
            Self::Cidr => "cidr",
        })
    }
}

/// A line that is neither an entry nor a comment. Never holds the line itself: a file named by mistake may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// From 1.
    pub line: u64,
    /// Why it says nothing.
    pub why: &'static str,
}

/// What reading a list came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListReport {
    /// The form that was named or recognised.
    pub form: Form,
    /// Distinct names that are listed.
    pub names: usize,
    /// Networks and addresses that are listed.
    pub addresses: usize,
    /// Entries that except something.
    pub exceptions: usize,
    /// How many lines were skipped.
    pub skipped: usize,
    /// The first of them, at most [`ListReport::SHOWN`].
    pub first_skipped: Vec<Skipped>,
    /// Bytes of the text that was read; 0 for an inline list.
    pub bytes: u64,
}

impl ListReport {
    /// How many skipped lines are remembered with their numbers.
    pub const SHOWN: usize = 20;

    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            names: 0,
            addresses: 0,
            exceptions: 0,
            skipped: 0,
            first_skipped: Vec::new(),
            bytes: 0,
        }
    }

    /// Names and addresses that are listed.
    pub fn entries(&self) -> usize {
        self.names + self.addresses
    }

    pub(super) fn skip(&mut self, line: u64, why: &'static str) {
        self.skipped += 1;
        if self.first_skipped.len() < Self::SHOWN {
            self.first_skipped.push(Skipped { line, why });
        }
    }
}

impl fmt::Display for ListReport {
    /// One line: `form hosts, 2 names, 0 addresses, 0 exceptions; 1 line skipped (7: it does not begin with an address)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "form {}, {} names, {} addresses, {} exceptions",
            self.form, self.names, self.addresses, self.exceptions
        )?;
        if self.skipped == 0 {
            return Ok(());
        }
        let lines = if self.skipped == 1 { "line" } else { "lines" };
        write!(f, "; {} {lines} skipped (", self.skipped)?;
        for (n, skipped) in self.first_skipped.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{}: {}", skipped.line, skipped.why)?;
        }
        let more = if self.skipped > self.first_skipped.len() {
            ", …"
        } else {
            ""
        };
        write!(f, "{more})")
    }
}
