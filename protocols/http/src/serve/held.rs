//! What the bodies of one principal's requests, and of the answers to them, hold together.
//!
//! Promises: over all its connections a principal has no more bytes of bodies in the gateway than the requests of one
//! connection may have; a request counts from its first byte until it is over, at what was sent of it or at what it decoded
//! to, and what is gathered of its answer to be masked as a whole counts besides; what does not fit is refused at once and
//! waits for nothing, so that none can keep another waiting. Does not count what passes through, which `exchange.rs`
//! bounds, nor the messages of a socket, nor the copy that is made while a document is masked.
//! Held by: the tests below.

use super::REQUESTS;
use crate::head::Refusal;
use http::StatusCode;
use portcullis_model::Principal;
use std::collections::HashMap;
use std::sync::Arc;

/// Who vouches for it, and its name there.
type Owner = (Arc<str>, Arc<str>);

/// The bodies of every principal.
pub(super) struct Bodies {
    /// Bytes of one principal.
    most: usize,
    #[expect(clippy::disallowed_types, reason = "one map operation a piece of a body; never held across an await")]
    held: std::sync::Mutex<HashMap<Owner, usize>>,
}

impl Bodies {
    /// For requests whose body may have this many bytes.
    pub(super) fn new(largest: usize) -> Arc<Self> {
        Arc::new(Self { most: largest.saturating_mul(REQUESTS), held: <_>::default() })
    }

    /// A request of this principal, which has sent nothing yet.
    pub(super) fn of(self: &Arc<Self>, principal: &Principal) -> Share {
        let owner = (Arc::clone(&principal.issuer), Arc::clone(&principal.subject));
        Share { bodies: Arc::clone(self), owner, request: 0, answer: 0 }
    }

    /// Counts `bytes` of a request in the place of `before`. False where they do not fit: nothing changes then.
    fn change(&self, owner: &Owner, before: usize, bytes: usize) -> bool {
        // A panic while it was held leaves the map whole.
        let mut held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let together = held.get(owner).copied().unwrap_or_default().saturating_sub(before).saturating_add(bytes);
        if bytes > before && together > self.most {
            return false;
        }
        if together == 0 {
            held.remove(owner);
        } else {
            held.insert(owner.clone(), together);
        }
        true
    }
}

/// What one request holds; nothing any more when it is dropped.
pub(super) struct Share {
    bodies: Arc<Bodies>,
    owner: Owner,
    request: usize,
    answer: usize,
}

impl Share {
    /// Of a principal who has no other request.
    #[cfg(test)]
    pub(super) fn alone(largest: usize) -> Self {
        Self { bodies: Bodies::new(largest), owner: ("local".into(), "one".into()), request: 0, answer: 0 }
    }

    /// Its body has this many bytes now.
    ///
    /// # Errors
    /// [`Refusal`]: with those of the principal's other requests they are too many.
    pub(super) fn holds(&mut self, bytes: usize) -> Result<(), Refusal> {
        if !self.changes(bytes, self.answer) {
            let why = "your requests that run hold too many bytes together; send it again when some are answered";
            return Err(Refusal { status: StatusCode::SERVICE_UNAVAILABLE, why });
        }
        Ok(())
    }

    /// This many bytes of its answer are gathered now.
    ///
    /// # Errors
    /// [`TooMuch`]: with all else that its principal holds they are too many.
    pub(super) fn gathers(&mut self, bytes: usize) -> Result<(), TooMuch> {
        if self.changes(self.request, bytes) { Ok(()) } else { Err(TooMuch) }
    }

    fn changes(&mut self, request: usize, answer: usize) -> bool {
        let (before, bytes) = (self.request.saturating_add(self.answer), request.saturating_add(answer));
        if bytes != before && !self.bodies.change(&self.owner, before, bytes) {
            return false;
        }
        (self.request, self.answer) = (request, answer);
        true
    }
}

/// More than one principal may hold.
#[derive(Debug)]
pub(super) struct TooMuch;

impl Drop for Share {
    fn drop(&mut self) {
        self.changes(0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(bodies: &Arc<Bodies>, subject: &str) -> Share {
        Share { bodies: Arc::clone(bodies), owner: ("local".into(), subject.into()), request: 0, answer: 0 }
    }

    #[test]
    fn one_principal_holds_no_more_than_one_connection_may() {
        let bodies = Bodies::new(10);
        let mut of_one: Vec<Share> = (0..REQUESTS).map(|_| share(&bodies, "one")).collect();
        assert!(of_one.iter_mut().all(|share| share.holds(10).is_ok()));
        let (mut further, mut of_another) = (share(&bodies, "one"), share(&bodies, "another"));
        assert_eq!(further.holds(1).unwrap_err().status, 503);
        assert!(of_another.holds(160).is_ok() && of_another.holds(161).is_err());
        // Less is never refused, and what was refused counts for nothing.
        assert!(of_another.holds(159).is_ok() && of_one[0].holds(9).is_ok());
        assert!(further.holds(1).is_ok() && further.holds(2).is_err());
        drop(of_one);
        assert!(further.holds(159).is_ok());
        drop((further, of_another));
        assert!(bodies.held.lock().unwrap().is_empty());
    }

    #[test]
    fn what_is_gathered_of_answers_counts_besides() {
        let bodies = Bodies::new(10);
        let (mut one, mut two) = (share(&bodies, "one"), share(&bodies, "one"));
        assert!(one.holds(10).is_ok() && one.gathers(140).is_ok() && two.holds(10).is_ok());
        assert!(two.gathers(1).is_err() && one.gathers(141).is_err());
        assert!(one.gathers(0).is_ok() && two.gathers(140).is_ok() && one.holds(11).is_err());
        drop((one, two));
        assert!(bodies.held.lock().unwrap().is_empty());
    }
}
