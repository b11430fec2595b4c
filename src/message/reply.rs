//! What a handler hands back to the listener: a response, and what becomes of the connection after it.
//! Not the connection, which stays the listener's until the takeover.
//! Start at [`Reply`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use http::{HeaderMap, Response, StatusCode};

use super::body::Body;
use crate::lifeline::Tail;
use crate::stream::Stream;

/// Called with the client's stream after the response head has left: a tunnel begins (RFC 9110 §9.3.6, §7.8).
pub type Takeover = Box<dyn FnOnce(Stream) -> Tail>;

/// A response and its consequence.
pub struct Reply {
    /// The response.
    pub response: Response<Body>,
    /// The tunnel that follows, for a 2xx to CONNECT and for 101.
    pub takeover: Option<Takeover>,
    /// Whether the connection must be closed after it (HTTP/1).
    pub close: bool,
}

impl Reply {
    /// A response after which the connection goes on.
    pub fn new(response: Response<Body>) -> Self {
        Self {
            response,
            takeover: None,
            close: false,
        }
    }

    /// A response after which the connection is closed.
    pub fn closing(response: Response<Body>) -> Self {
        Self {
            response,
            takeover: None,
            close: true,
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.response.status())
            .field("takeover", &self.takeover.is_some())
            .finish()
    }
}

/// Interim responses on their way to the client (RFC 9110 §15.2). The handler pushes, the listener that polls the handler
/// takes them out after each poll: both are one task, so no waker is needed.
#[derive(Clone, Default)]
pub struct Interim {
    queue: Rc<RefCell<VecDeque<(StatusCode, HeaderMap)>>>,
    change: Option<Change>,
}

/// What is done to the fields of an interim response on its way.
type Change = Rc<dyn Fn(&mut HeaderMap)>;

impl Interim {
    /// Adds an interim response; at most a handful are kept, as an origin could send them without end.
    pub fn push(&self, status: StatusCode, mut headers: HeaderMap) {
        if let Some(change) = &self.change {
            change(&mut headers);
        }
        let mut queue = self.queue.borrow_mut();
        if queue.len() < 16 {
            queue.push_back((status, headers));
        }
    }

    /// Takes the oldest one out.
    pub fn pop(&self) -> Option<(StatusCode, HeaderMap)> {
        self.queue.borrow_mut().pop_front()
    }

    /// Another handle of the same queue, in place of this one: what is pushed through it has its fields changed first.
    pub fn changed_by(&self, change: impl Fn(&mut HeaderMap) + 'static) -> Self {
        Self {
            queue: self.queue.clone(),
            change: Some(Rc::new(change)),
        }
    }
}

impl std::fmt::Debug for Interim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interim")
            .field("queued", &self.queue.borrow().len())
            .finish_non_exhaustive()
    }
}
