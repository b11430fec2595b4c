//! What the cache has to do with one exchange: it is asked before the origin is, and told what came of it.
//! Not the law of caching, nor the stores (cache). Policy has been asked before any of this.
//! Start at `Relay::consult`; what the origin answers goes to [`Errand::settle`].

mod answer;
mod errand;
mod fill;
mod partial;
mod purging;
mod question;
mod refresh;
mod storing;

pub(super) use answer::Answer;
pub(super) use errand::{Errand, Settled};

use http::request::Parts;

use self::purging::{check_right, is_purge};
use self::question::{Found, Question};
use super::recording::Recording;
use super::{Caller, Destination, Refusal, Relay};
use crate::message::Body;
use crate::policy::{Allowance, Permit};

/// For whom an exchange is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// For a client that waits for the answer.
    Client,
    /// For the cache: a client had a stale response meanwhile (RFC 5861 §3).
    Refresh,
}

/// What came of both moments of the decision with the cache between them.
pub(super) enum Consulted {
    /// The cache answers.
    Answered(Allowance, Answer),
    /// The origin may be asked, and the cache wants to know what it says.
    Permitted(Permit, Errand),
}

impl Relay {
    /// Decides by name, asks the cache, and only then resolves and decides by address. Where conditions about the address are
    /// open, or the response came from an address that is guarded, both moments come before the cache.
    ///
    /// Errors: a refusal. Dropping the future leaves nothing behind.
    pub(super) async fn consult(
        &self,
        head: &Parts,
        body: &Body,
        (caller, to, purpose): (&Caller, &Destination, Purpose),
        recording: &mut Recording,
    ) -> Result<Consulted, Refusal> {
        let headers = Some(&head.headers);
        let grant = self.admit(caller, recording, headers)?;
        let mut permit = None;
        if !grant.is_settled() {
            permit = Some(self.vet(&grant, caller, recording, headers).await?);
        }
        loop {
            let known = permit.as_ref().map(Permit::allowance);
            let allowance = known.unwrap_or_else(|| grant.allowance()).clone();
            let terms = (&allowance, &recording.variables());
            let question = Question::new((head, body), to, terms, permit.is_some());
            let found = match self.parts.cache() {
                Some(cache) if is_purge(&cache, &head.method) => {
                    check_right(&cache, recording.intent())?;
                    self.take_up(&allowance, caller, purpose, recording)?;
                    let answer = question.purge(&cache).await;
                    return Ok(Consulted::Answered(allowance, answer));
                }
                Some(cache) => {
                    let (worker, now) = (self.parts.worker, recording.time());
                    question.ask(&cache, worker, purpose, now).await
                }
                None => Found::Ask(Errand::none()),
            };
            match found {
                Found::Guarded => {
                    permit = Some(self.vet(&grant, caller, recording, headers).await?);
                }
                Found::NotStored => {
                    self.take_up(&allowance, caller, purpose, recording)?;
                    return Err(Refusal::NotStored);
                }
                Found::Answer(answer, refresh) => {
                    self.take_up(&allowance, caller, purpose, recording)?;
                    if refresh {
                        self.refresh(&head.headers, head.version, caller, to);
                    }
                    return Ok(Consulted::Answered(allowance, answer));
                }
                Found::Ask(errand) => {
                    let vetted = match permit {
                        Some(permit) => Ok(permit),
                        None => self.vet(&grant, caller, recording, headers).await,
                    };
                    return match vetted {
                        Ok(permit) => {
                            self.take_up(permit.allowance(), caller, purpose, recording)?;
                            Ok(Consulted::Permitted(permit, errand))
                        }
                        Err(refusal) => {
                            let answer = errand.instead(refusal)?;
                            self.take_up(&allowance, caller, purpose, recording)?;
                            Ok(Consulted::Answered(allowance, answer))
                        }
                    };
                }
            }
        }
    }
}
