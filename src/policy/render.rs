//! Explanations as people read them: one fact a line, indented by what it belongs to.
//! Not what they say: that is `explain.rs`.
//! Start at [`Explanation`]'s `Display`.

use std::fmt;

use super::Reason;
use super::explain::{Explanation, Routed, Tested, Walked};

/// A reason as the end of a sentence.
pub(super) fn in_words(reason: &Reason) -> String {
    match reason {
        Reason::Rule => "the rule holds".to_owned(),
        Reason::Default => "no rule allows it, and the default is deny".to_owned(),
        Reason::Guarded(ip, class) => {
            format!("{ip} is guarded ({class}), and no rule that holds names it by address")
        }
        Reason::OwnListener(address) => {
            format!(
                "{address} is a listener of this proxy, and no rule that holds names it by address"
            )
        }
        Reason::Address(ip) => format!("the name might be allowed, but no rule allows {ip}"),
        Reason::Rate(_) => "there were more requests than the rule's rate".to_owned(),
        Reason::Hello(problem) => problem.to_string(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = &self.request;
        let what = asked.method.as_deref().unwrap_or(asked.scheme);
        // What a client sent may hold anything, also what moves a terminal's cursor.
        let path = asked.path.as_deref().unwrap_or_default().escape_debug();
        writeln!(f, "{what} {}{path} ({})", asked.authority, asked.scheme)?;
        let who = match (&asked.principal, asked.groups.as_slice()) {
            (None, _) => "anonymous".to_owned(),
            (Some(name), []) => name.clone(),
            (Some(name), groups) => format!("{name} in {}", groups.join(", ")),
        };
        let (client, listener, time) = (&asked.client, &asked.listener, &asked.time);
        writeln!(
            f,
            "  from {client}, {who}, listener \"{listener}\", at {time}"
        )?;
        if let Some(route) = &self.route {
            route.fmt(f)?;
        }
        for walk in &self.walks {
            walk.fmt(f)?;
        }
        let at = self
            .at
            .as_ref()
            .map_or_else(String::new, |at| format!(" ({at})"));
        let (verdict, rule) = (self.verdict, &self.rule);
        match verdict {
            "none" => writeln!(f, "refused before the policy is asked: {}", self.reason)?,
            _ => writeln!(f, "{verdict} by \"{rule}\"{at}: {}", self.reason)?,
        }
        for obligation in &self.obligations {
            writeln!(f, "  with {obligation}")?;
        }
        for address in &self.permitted {
            writeln!(f, "  to {address}")?;
        }
        if let Some(noted) = &self.would_deny {
            writeln!(f, "would be denied by {noted}")?;
        }
        if let Some(change) = &self.smallest_change {
            let change = change.replace('\n', "\n  ");
            writeln!(f, "smallest change: {change}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            route,
            at,
            does,
            unknown,
            ..
        } = self;
        writeln!(f, "route \"{route}\" ({at}): {does}")?;
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            writeln!(
                f,
                "  its addresses matter, and these are not known: {unknown}; --address IP asks about one"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => writeln!(f, "for the address {address}:")?,
            None => writeln!(f, "by name:")?,
        }
        if self.rules.is_empty() {
            writeln!(f, "  there is no rule")?;
        }
        for rule in &self.rules {
            let report = if rule.report { ", only reporting" } else { "" };
            let at = rule.at.as_deref().unwrap_or("?");
            let (holds, action, name) = (rule.holds, rule.action, &rule.rule);
            writeln!(f, "  {holds:<7}  {action} \"{name}\"{report} ({at})")?;
            for condition in &rule.conditions {
                writeln!(f, "      {condition}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Tested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.negated { "not " } else { "" };
        let saw = self.saw.as_deref().unwrap_or("not known");
        write!(
            f,
            "{:<7}  {not}{} = {}",
            self.outcome, self.condition, self.written
        )?;
        if let Some(named) = &self.named {
            write!(f, " by \"{named}\"")?;
        }
        write!(f, "  [{}]", saw.escape_debug())
    }
}
