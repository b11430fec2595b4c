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

use http::HeaderMap;
use http::request::Parts;

use self::purging::{check_right, is_purge};
use self::question::{Found, Question};
use super::recording::Recording;
use super::way::{Judging, Way};
use super::{Caller, Destination, Refusal, Relay};
use crate::auth::Principal;
use crate::message::Body;
use crate::policy::{Allowance, Grant};

/// For whom an exchange is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose<'a> {
    /// For a client that waits for the answer.
    Client,
    /// For the cache: a client had a stale response meanwhile (RFC 5861 §3). As whom a gateway knows it: what it said to the
    /// gateway for that is not in its fields any more.
    Refresh(Option<&'a Principal>),
}

/// What came of both moments of the decision with the cache between them.
#[expect(
    clippy::large_enum_variant,
    reason = "a hit is not to cost one more allocation"
)]
pub(super) enum Consulted {
    /// The cache answers, or the proxy by itself.
    Answered(Allowance, Answer),
    /// The origin may be asked, and the cache wants to know what it says.
    Permitted(Box<Permitted>),
}

/// A way to the origin, and what it is taken for.
pub(super) struct Permitted {
    pub(super) way: Way,
    pub(super) errand: Errand,
    /// What the way was found by, for another one.
    pub(super) grant: Grant,
    /// The fields that the first moment saw, where the address of an endpoint can still matter.
    pub(super) judged: Option<HeaderMap>,
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
        (caller, to, purpose): (&Caller, &Destination, Purpose<'_>),
        recording: &mut Recording,
    ) -> Result<Consulted, Refusal> {
        let grant = self.admit(caller, recording, Some(&head.headers))?;
        if let Some(page) = to.own_answer() {
            let allowance = to.treated(grant.allowance());
            self.take_on(&allowance, (caller, to), purpose, recording)?;
            return Ok(Consulted::Answered(allowance, Answer::own(page)));
        }
        let judging = Judging {
            caller,
            to,
            grant: &grant,
            headers: Some(&head.headers),
        };
        let mut way = None;
        if !grant.is_settled() {
            way = Some(self.find_way(judging, recording).await?);
        }
        loop {
            let allowance = match &way {
                Some(way) => way.allowance.clone(),
                None => to.treated(grant.allowance()),
            };
            let found = match self.parts.cache() {
                Some(cache) => {
                    let said = (&allowance, &recording.variables());
                    let question = Question::new((head, body), to, said, way.is_some());
                    if is_purge(&cache, &head.method) {
                        check_right(&cache, recording.intent())?;
                        self.take_on(&allowance, (caller, to), purpose, recording)?;
                        let answer = question.purge(&cache).await;
                        return Ok(Consulted::Answered(allowance, answer));
                    }
                    let (worker, now) = (self.parts.worker, recording.time());
                    question.ask(&cache, worker, purpose, now).await
                }
                None => Found::Ask(Errand::none()),
            };
            match found {
                Found::Guarded => way = Some(self.find_way(judging, recording).await?),
                Found::NotStored => {
                    self.take_on(&allowance, (caller, to), purpose, recording)?;
                    return Err(Refusal::NotStored);
                }
                Found::Answer(answer, refresh) => {
                    self.take_on(&allowance, (caller, to), purpose, recording)?;
                    if refresh {
                        let known = recording.intent().map(|intent| &intent.principal);
                        let known = known.cloned().flatten();
                        self.refresh(head, (caller, known), to);
                    }
                    return Ok(Consulted::Answered(allowance, answer));
                }
                Found::Ask(errand) => {
                    let (found, whose) = ((grant, way, errand), (caller, to, purpose));
                    let head = &head.headers;
                    return self.set_out(head, found, allowance, whose, recording).await;
                }
            }
        }
    }

    /// Takes the way that was found, or finds one. Where there is none, the cache may have an answer in the origin's place.
    async fn set_out(
        &self,
        headers: &HeaderMap,
        (grant, way, errand): (Grant, Option<Way>, Errand),
        allowance: Allowance,
        (caller, to, purpose): (&Caller, &Destination, Purpose<'_>),
        recording: &mut Recording,
    ) -> Result<Consulted, Refusal> {
        let judging = Judging {
            caller,
            to,
            grant: &grant,
            headers: Some(headers),
        };
        let found = match way {
            Some(way) => Ok(way),
            None => self.find_way(judging, recording).await,
        };
        let way = match found {
            Ok(way) => way,
            Err(refusal) => {
                let answer = errand.instead(refusal)?;
                self.take_on(&allowance, (caller, to), purpose, recording)?;
                return Ok(Consulted::Answered(allowance, answer));
            }
        };
        self.take_on(&way.allowance, (caller, to), purpose, recording)?;
        let matters = !grant.is_settled() && to.by.is_some();
        let judged = matters.then(|| headers.clone());
        Ok(Consulted::Permitted(Box::new(Permitted {
            way,
            errand,
            grant,
            judged,
        })))
    }
}
