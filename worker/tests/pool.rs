//! The pool from which a worker has its sessions.

use std::{pin::pin, task::Poll};

use session::database;
use sqlx::{PgPool, Row as _};
use testkit::TestDb;

/// Gives a `BEGIN` up while the server is at it, as a timeout or the end of a task may.
async fn give_up_a_begin(pool: &PgPool) {
    loop {
        // Polled once without an idle session, it would only wait for one.
        while pool.num_idle() == 0 {
            tokio::task::yield_now().await;
        }
        let mut begin = pin!(pool.begin());
        let first = std::future::poll_fn(|context| Poll::Ready(begin.as_mut().poll(context))).await;
        // A server may be as quick as to have answered; that transaction is rolled back here.
        if first.is_pending() {
            return;
        }
    }
}

#[tokio::test]
async fn what_is_written_after_a_begin_was_given_up_is_not_lost() {
    let db = TestDb::create().await;
    let pool = database::pool(db.connect_options().into(), 1).of_one_host();
    for round in 1..=20 {
        let create = format!("CREATE TABLE public.note_{round} ()");
        sqlx::raw_sql("SELECT 1").execute(&pool).await.expect("a session");
        give_up_a_begin(&pool).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(create))
            .execute(&pool)
            .await
            .expect("to write");
        let seen = sqlx::raw_sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'note%'")
            .fetch_one(db.pool())
            .await
            .expect("to count");
        assert_eq!(seen.get::<i64, _>(0), round, "seen by another session");
    }
}
