//! Ids from sequences that set values aside by the block.

use std::collections::HashSet;

use ledger::registry::IdRange;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use target::SequenceIdentity;
use testkit::TestDb;
use worker::load::ids;

struct Sequence {
    db: TestDb,
}

impl Sequence {
    async fn create(options: &str) -> Self {
        let this = Self {
            db: TestDb::create().await,
        };
        this.execute(&format!("CREATE SEQUENCE public.s {options}")).await;
        this
    }

    async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(self.db.pool())
            .await
            .expect(sql);
    }

    /// The sequence as a target's description has it, perhaps from before it was altered.
    async fn described(&self, cache: u64) -> SequenceIdentity {
        let oid = sqlx::query_scalar("SELECT 'public.s'::regclass::oid")
            .fetch_one(self.db.pool())
            .await
            .expect("the sequence");
        SequenceIdentity {
            column: "id".to_owned(),
            width: 8,
            sequence_oid: oid,
            sequence: "public.s".to_owned(),
            cache,
        }
    }

    async fn session(&self) -> PgConnection {
        PgConnection::connect_with(&self.db.connect_options())
            .await
            .expect("a session")
    }
}

/// Takes ids within a transaction, as a load does.
async fn take(conn: &mut PgConnection, id: &SequenceIdentity, count: u64) -> Vec<IdRange> {
    let mut tx = conn.begin().await.expect("a transaction");
    let ranges = ids::take(&mut tx, id, count).await.expect("ids");
    tx.commit().await.expect("to commit");
    assert_eq!(ranges.iter().map(IdRange::count).sum::<u64>(), count, "{ranges:?}");
    ranges
}

async fn nextval(conn: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT nextval('public.s')")
        .fetch_one(conn)
        .await
        .expect("a value")
}

fn range(start_id: i64, end_id: i64, step: i64) -> IdRange {
    IdRange { start_id, end_id, step }
}

#[tokio::test]
async fn blocks_are_whole_and_the_session_forgets_them() {
    let sequence = Sequence::create("CACHE 100").await;
    let id = sequence.described(100).await;
    let (mut ours, mut other) = (sequence.session().await, sequence.session().await);
    // What the session may have left of a block is not part of the next.
    assert_eq!(nextval(&mut ours).await, 1);
    assert_eq!(take(&mut ours, &id, 300).await, [range(101, 400, 1)]);
    assert_eq!(nextval(&mut ours).await, 401);
    assert_eq!(nextval(&mut other).await, 501);
    // The last block is not used up, and still nobody else's.
    assert_eq!(take(&mut ours, &id, 250).await, [range(601, 850, 1)]);
    assert_eq!(nextval(&mut ours).await, 901);
    // Fewer than a block come one by one, from the block that the session has.
    assert_eq!(take(&mut ours, &id, 10).await, [range(902, 911, 1)]);
    assert_eq!(nextval(&mut other).await, 502);
}

#[tokio::test]
async fn blocks_go_down_and_in_steps() {
    let sequence = Sequence::create("INCREMENT BY -3 CACHE 100").await;
    let id = sequence.described(100).await;
    let mut conn = sequence.session().await;
    assert_eq!(take(&mut conn, &id, 150).await, [range(-448, -1, 3)]);
    assert_eq!(nextval(&mut conn).await, -601);
}

#[tokio::test]
async fn the_last_block_of_a_sequence_is_shorter() {
    let sequence = Sequence::create("AS smallint MAXVALUE 1030 CACHE 100").await;
    let id = sequence.described(100).await;
    let mut conn = sequence.session().await;
    assert_eq!(take(&mut conn, &id, 1030).await, [range(1, 1030, 1)]);
    let error = ids::take(&mut conn, &id, 100).await.expect_err("no value is left");
    assert!(error.to_string().contains("reached maximum value"), "{error}");
}

#[tokio::test]
async fn a_sequence_that_begins_again_gives_blocks_of_both_ends() {
    let sequence = Sequence::create("MINVALUE 5 MAXVALUE 1030 START 901 CYCLE CACHE 100").await;
    let id = sequence.described(100).await;
    let mut conn = sequence.session().await;
    assert_eq!(take(&mut conn, &id, 200).await, [range(5, 74, 1), range(901, 1030, 1)]);
}

#[tokio::test]
async fn a_cache_that_was_altered_meanwhile_counts_as_it_is() {
    let sequence = Sequence::create("CACHE 1").await;
    let mut conn = sequence.session().await;
    for believed in [100, 1] {
        let id = sequence.described(believed).await;
        let ranges = take(&mut conn, &id, 250).await;
        let [range] = ranges.as_slice() else {
            panic!("{ranges:?}")
        };
        assert_eq!(nextval(&mut conn).await, range.end_id + 1, "none was left out");
        sequence.execute("ALTER SEQUENCE public.s CACHE 100").await;
    }
    // Larger than believed: not a block more than is needed, each time.
    sequence.execute("ALTER SEQUENCE public.s RESTART CACHE 1000").await;
    let id = sequence.described(100).await;
    assert_eq!(take(&mut conn, &id, 300).await, [range(1, 300, 1)]);
    assert_eq!(take(&mut conn, &id, 1500).await, [range(1001, 2500, 1)]);
    assert_eq!(nextval(&mut conn).await, 3001);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_counts_is_the_sequence_as_it_was_when_it_gave() {
    for (cache, count, expected) in [(1, 3, range(1, 5, 2)), (100, 150, range(1, 299, 2))] {
        let sequence = Sequence::create(&format!("CACHE {cache}")).await;
        let id = sequence.described(cache).await;
        let mut altering = sequence.session().await;
        sqlx::raw_sql("BEGIN; ALTER SEQUENCE public.s INCREMENT BY 2")
            .execute(&mut altering)
            .await
            .expect("to alter");
        let mut conn = sequence.session().await;
        let taking = tokio::spawn(async move {
            let mut tx = conn.begin().await.expect("a transaction");
            ids::take(&mut tx, &id, count).await.expect("ids")
        });
        let waits = "SELECT count(*) FROM pg_locks WHERE relation = 'public.s'::regclass AND NOT granted";
        while !taking.is_finished()
            && sqlx::query_scalar::<_, i64>(waits)
                .fetch_one(sequence.db.pool())
                .await
                .expect("a count")
                == 0
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        sqlx::raw_sql("COMMIT").execute(&mut altering).await.expect("to commit");
        let taken = taking.await.expect("no panic");
        assert_eq!(taken, [expected]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_is_given_twice_to_whoever_asks_at_once() {
    let sequence = Sequence::create("CACHE 100").await;
    let id = sequence.described(100).await;
    let mut takers = tokio::task::JoinSet::new();
    for taker in 0..4 {
        let (mut conn, id) = (sequence.session().await, id.clone());
        takers.spawn(async move {
            let mut ids = Vec::new();
            for round in 0..30 {
                if taker == 0 {
                    ids.push(nextval(&mut conn).await);
                } else {
                    let ranges = take(&mut conn, &id, 70 * (round % 5 + 1)).await;
                    ids.extend(ranges.into_iter().flat_map(IdRange::ids));
                }
            }
            ids
        });
    }
    let all: Vec<i64> = takers.join_all().await.into_iter().flatten().collect();
    let distinct: HashSet<i64> = all.iter().copied().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(all.len(), 30 + 3 * 6 * 70 * 15);
}
