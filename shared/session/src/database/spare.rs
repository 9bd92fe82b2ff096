//! A session that was given back in order, for whoever asks next.
//!
//! The pool looks at each session that is given back, which takes a round trip, and opens another one for who asks meanwhile: a new one costs the
//! server more than all that a small import does with it. When the last thing that was done in a session was to say that it counts,
//! there is nothing to look at.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::Connection as _;

use super::lease::Link;

/// For how long no session is given back to the pool, which ends those that are old, and those of a host that is not the right one any more.
const KEPT_AT_MOST: Duration = Duration::from_secs(600);

/// Room for one session of a pool.
#[derive(Clone, Default)]
pub(super) struct Spare(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    session: Option<Link>,
    /// When the first was kept since the pool had one to look at.
    since: Option<Instant>,
    /// Those who wait for the pool, which does not know of this session.
    waiting: u32,
    is_closed: bool,
}

/// Somebody who waits for the pool.
pub(super) struct Waiting(Spare);

impl Spare {
    /// The session that is kept, or else the right to wait for the pool: as long as somebody does, none is kept.
    pub(super) fn take(&self) -> Result<Link, Waiting> {
        let mut kept = self.lock();
        kept.session.take().ok_or_else(|| {
            kept.waiting += 1;
            Waiting(self.clone())
        })
    }

    /// Whether there is one, which has seen use.
    pub(super) fn is_kept(&self) -> bool {
        self.lock().session.is_some()
    }

    /// Keeps a session, or gives it back to its pool; one that has none ends.
    pub(super) fn keep(&self, session: Link) {
        let mut kept = self.lock();
        let since = *kept.since.get_or_insert_with(Instant::now);
        let left = if kept.waiting == 0 && !kept.is_closed && since.elapsed() < KEPT_AT_MOST {
            kept.session.replace(session)
        } else {
            kept.since = None;
            Some(session)
        };
        drop(kept);
        drop(left);
    }

    /// Keeps none any more, and ends the one that is kept.
    pub(super) async fn close(&self) {
        self.lock().is_closed = true;
        self.end().await;
    }

    /// Ends the one that is kept, or gives it back to its pool.
    pub(super) async fn end(&self) {
        let left = self.lock().session.take();
        if let Some(Link::Own(conn)) = left {
            // It does nothing any more.
            drop(conn.close().await);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}
