//! The cache from outside: a table for each clause, through the real process and real sockets.
//! Not the arithmetic alone, which is tested beside the code. Start at `table`, then read any section.

#![expect(clippy::too_many_lines, reason = "a table is as long as it has rows")]

mod collapse;
mod directives;
mod freshness;
mod invalidation;
mod ranges;
mod rules;
mod safety;
mod stale;
mod status;
mod storing;
mod table;
mod targeted;
mod validation;
mod vary;
