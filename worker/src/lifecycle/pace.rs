//! When the queue is asked for a job: when one was announced, at once after one was fetched, and after some time, for what waited or whose
//! announcement was lost. Whoever runs the jobs polls far more often than there is reason to.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{StreamExt as _, channel::mpsc};
use rand::RngExt as _;
use tokio::time::{Instant, Sleep, sleep};

/// How long after there was no job the queue is asked again if none is announced; twice as long each time, up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// When to ask.
pub(super) struct Pace {
    announcements: mpsc::Receiver<()>,
    pause: Duration,
    timer: Pin<Box<Sleep>>,
    is_due: bool,
}

impl Pace {
    /// At once, and then as there is reason to.
    pub(super) fn new(announcements: mpsc::Receiver<()>) -> Self {
        Self {
            announcements,
            pause: PAUSE,
            timer: Box::pin(sleep(PAUSE)),
            is_due: true,
        }
    }

    /// Whether to ask now. If not, the task is woken when it is time.
    pub(super) fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_due {
            let announced = matches!(self.announcements.poll_next_unpin(cx), Poll::Ready(Some(())));
            self.is_due = announced || self.timer.as_mut().poll(cx).is_ready();
        }
        self.is_due
    }

    /// There was a job, and there may be more.
    pub(super) fn found(&mut self) {
        self.pause = PAUSE;
    }

    /// There was none. What is announced meanwhile is not forgotten.
    pub(super) fn found_none(&mut self) {
        self.is_due = false;
        // Not the same for all workers: one that asked always just before another would take from it what it only leaves again.
        let pause = self.pause.mul_f64(rand::rng().random_range(0.8..1.0));
        self.timer.as_mut().reset(Instant::now() + pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn is_due(pace: &mut Pace) -> bool {
        poll_fn(|cx| Poll::Ready(pace.is_due(cx))).await
    }

    async fn until_due(pace: &mut Pace) -> Duration {
        let begin = Instant::now();
        poll_fn(|cx| {
            if pace.is_due(cx) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_asked_when_there_is_reason_to() {
        let (mut announce, announcements) = mpsc::channel(1);
        let mut pace = Pace::new(announcements);
        assert!(is_due(&mut pace).await);
        // Announced while it was asked.
        announce.try_send(()).unwrap();
        pace.found_none();
        assert!(is_due(&mut pace).await);
        pace.found();
        assert!(is_due(&mut pace).await);
        pace.found_none();
        assert!(!is_due(&mut pace).await);
        announce.try_send(()).unwrap();
        assert!(is_due(&mut pace).await);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_less_often_the_longer_it_had_none() {
        let (announce, announcements) = mpsc::channel(1);
        let mut pace = Pace::new(announcements);
        // Nobody is left who announces: that is no reason to ask.
        drop(announce);
        for most in [PAUSE, PAUSE * 2, LONGEST_PAUSE, LONGEST_PAUSE] {
            pace.found_none();
            let waited = until_due(&mut pace).await;
            assert!(
                (most.mul_f64(0.79)..most.mul_f64(1.01)).contains(&waited),
                "{waited:?} of {most:?}"
            );
        }
        pace.found();
        pace.found_none();
        assert!(until_due(&mut pace).await < PAUSE.mul_f64(1.01));
    }
}
