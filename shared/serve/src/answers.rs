//! What was read for one who looks is shown to all who look: the database answers each question once at a time, however many ask, and
//! spends a small part of its time on it, however long it takes.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache};

use crate::{app::FRESH, failure::Failure};

/// An answer is good for this many times as long as it took: reading costs the database at most a twentieth of one core for each question.
const SHARE: u32 = 20;
const LONGEST: Duration = Duration::from_secs(30);
/// Answers kept at most.
const KEPT: u64 = 200;

/// The answers that are still good.
pub(crate) struct Answers {
    kept: Cache<String, Answer>,
    /// How often all was forgotten: what was begun before is not found afterwards.
    generation: AtomicU64,
}

#[derive(Clone)]
struct Answer {
    value: Arc<dyn Any + Send + Sync>,
    good_for: Duration,
}

struct GoodFor;

impl Expiry<String, Answer> for GoodFor {
    fn expire_after_create(&self, _: &String, answer: &Answer, _: Instant) -> Option<Duration> {
        Some(answer.good_for)
    }
}

impl Answers {
    pub fn new() -> Self {
        Self {
            kept: Cache::builder().max_capacity(KEPT).expire_after(GoodFor).build(),
            generation: AtomicU64::new(0),
        }
    }

    /// The answer to a question, of which there is one kind of answer. Asked by many at once, it is found out once.
    pub async fn get<T: Send + Sync + 'static>(
        &self,
        question: impl Into<String>,
        find: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Arc<T>, Failure> {
        let find = async {
            let begin = Instant::now();
            let value = find.await?;
            Ok::<_, Failure>(Answer {
                value: Arc::new(value),
                good_for: (begin.elapsed() * SHARE).clamp(FRESH, LONGEST),
            })
        };
        let generation = self.generation.load(Ordering::Acquire);
        let question = format!("{generation} {}", question.into());
        let answer = self
            .kept
            .try_get_with(question, find)
            .await
            .map_err(|failure| Failure::clone(&failure))?;
        answer
            .value
            .downcast()
            .map_err(|_| Failure::internal("two kinds of answers to one question"))
    }

    /// What was done changes what is shown: all is looked up anew.
    pub fn forget(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.kept.invalidate_all();
    }
}
