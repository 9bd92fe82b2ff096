//! Roles that may do little, and what becomes of their passwords.

use std::{fs, io::Write as _};

use crate::support::{World, orders, role::Role, until_true};

#[tokio::test]
async fn the_password_appears_in_no_output_and_no_argument() {
    let world = World::new().await;
    let role = Role::new(&world, "SUPERUSER").await;
    let worker = role.run(world.worker(&[])).env("RUST_LOG", "trace").start();
    let mut submitting = role
        .run(world.enqueue(&["--wait"]))
        .env("RUST_LOG", "trace")
        .pipe()
        .start();
    let mut pipe = submitting.stdin();
    until_true("the worker works", async || {
        world.number("SELECT count(*) FROM pgimport.worker").await == 1
    })
    .await;
    for pid in [worker.pid(), submitting.pid()] {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!String::from_utf8_lossy(&arguments).contains("s3cret"));
    }
    pipe.write_all(orders("A", 3).as_bytes()).unwrap();
    drop(pipe);
    let submitted = submitting.finish().exits(0);
    let said = format!("{submitted:?} {} {}", worker.stdout(), worker.words());
    assert!(said.contains("TRACE") && !said.contains("s3cret"), "{said}");
    // What the file holds is nobody's business either.
    assert!(!said.contains("Product 2"), "{said}");
    // The parent of this shell is psql.
    let psql = role
        .run(world.enqueue(&["psql", "--", "-c", r"\! cat /proc/$PPID/cmdline"]))
        .run()
        .exits(0);
    assert!(
        psql.stdout.contains("psql") && !psql.stdout.contains("s3cret"),
        "{psql:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_which_the_workers_may_load_nothing_can_be_cancelled() {
    let world = World::new().await;
    let role = Role::new(&world, "").await;
    for grant in role.worker_grants() {
        world.execute(&grant).await;
    }
    // All but USAGE on the sequence.
    for grant in role.grants(&["SELECT, INSERT, DELETE ON sale_order"]) {
        world.execute(&grant).await;
    }
    let file = world.file("orders.csv", orders("A", 3));
    let id = world.enqueue(&["-i", &file]).run().exits(0).id();
    let _worker = role.run(world.worker(&[])).start();
    until_true("it has failed", async || world.status(id)["state"] == "failed").await;
    world.enqueue(&["cancel", &id.to_string(), "--wait"]).run().exits(0);
    assert_eq!(world.status(id)["state"], "cancelled");
}

#[tokio::test]
async fn a_missing_privilege_is_named_with_the_grant_that_mends_it() {
    let world = World::new().await;
    world.execute("CREATE TABLE t (id bigserial PRIMARY KEY, a int)").await;
    let role = Role::new(&world, "").await;
    for grant in role.submitter_grants() {
        world.execute(&grant).await;
    }
    let file = world.file("t.csv", "a\n1\n");
    let submit = || role.run(world.enqueue(&["-i", &file, "--table", "t"])).run();
    let name = &role.name;
    let grant = format!("GRANT SELECT, INSERT, DELETE ON public.t TO \"{name}\"");
    submit().exits(1).says(&format!(
        "the role '{name}' may not read and insert into public.t: {grant}"
    ));
    world.execute(&grant).await;
    let grant = format!("GRANT USAGE ON SEQUENCE public.t_id_seq TO \"{name}\"");
    submit().exits(1).says(&format!(
        "the role '{name}' may not take values from the sequence public.t_id_seq: {grant}"
    ));
    assert_eq!(world.imports().await, 0);
    world.execute(&grant).await;
    submit().exits(0);
    world
        .execute("CREATE SCHEMA closed; CREATE TABLE closed.t (id bigserial PRIMARY KEY, a int)")
        .await;
    role.run(world.enqueue(&["-i", &file, "--table", "closed.t"]))
        .run()
        .exits(1)
        .says(&format!("GRANT USAGE ON SCHEMA \"closed\" TO \"{name}\""));
}

#[tokio::test]
async fn a_submitter_and_a_worker_with_the_documented_grants_load_and_undo() {
    let world = World::new().await;
    let (submitter, worker) = (
        Role::named(&world, "submitter", "").await,
        Role::named(&world, "worker", "").await,
    );
    let mut grants = [submitter.submitter_grants(), worker.worker_grants()].concat();
    grants.push(submitter.table_grant());
    grants.push(worker.table_grant());
    for grant in grants {
        world.execute(&grant).await;
    }
    let file = world.file("orders.csv", format!("{}B;x;never;1\n", orders("A", 2)));
    let working = worker.run(world.worker(&[])).start();
    let enqueue = |arguments: &[&str]| submitter.run(world.enqueue(arguments)).run();
    enqueue(&["-i", &file, "--wait"]).exits(3);
    enqueue(&["status"]).exits(0);
    enqueue(&["rejects", "1"]).exits(0);
    enqueue(&["cancel", "1", "--dry-run"]).exits(0);
    enqueue(&["cancel", "1", "--wait"]).exits(0);
    assert_eq!(world.sale_orders().await, 0);
    // The last step of maintenance prunes the finished jobs.
    until_true("maintenance has passed", async || {
        world.number("SELECT count(*) FROM apalis.jobs").await == 0
    })
    .await;
    assert!(!working.words().contains("WARN"), "{}", working.words());
    // And nothing failed that nobody told of.
    let denied = format!(" {} ERROR:  permission denied", world.db.credentials().database);
    let log = world.db.log();
    assert_eq!(log.lines().find(|line| line.contains(&denied)), None);
}

#[tokio::test]
async fn a_worker_that_may_not_end_the_sessions_of_another_role_goes_on_with_everything_else() {
    let world = World::new().await;
    let (submitter, worker) = (
        Role::named(&world, "submitter", "").await,
        Role::named(&world, "worker", "").await,
    );
    let grants = [
        submitter.submitter_grants(),
        worker.submitter_grants(),
        worker.worker_grants(),
    ]
    .concat();
    for grant in grants.into_iter().chain([&submitter, &worker].map(Role::table_grant)) {
        world.execute(&grant).await;
    }
    let mut submitting = submitter.run(world.enqueue(&["--chunk-rows", "1"])).pipe().start();
    let mut pipe = submitting.stdin();
    pipe.write_all(orders("A", 3).as_bytes()).unwrap();
    until_true("two chunks are stored", async || {
        world.number("SELECT count(*) FROM apalis.jobs").await == 2
    })
    .await;
    // It is frozen, and silent for too long.
    submitting.freeze();
    world
        .execute("UPDATE pgimport.import SET lease_until = now() - interval '1 second'")
        .await;
    let working = worker.run(world.worker(&[])).start();
    // The last step of maintenance prunes the finished jobs.
    until_true("maintenance has passed", async || {
        world.number("SELECT count(*) FROM apalis.jobs").await == 0
    })
    .await;
    assert!(
        !working.words().contains("a maintenance pass failed"),
        "{}",
        working.words()
    );
    assert_eq!(world.sale_orders().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_that_hold_the_submitter_back_are_not_passed_by_way_of_the_worker() {
    let world = World::new().await;
    let submitter = Role::named(&world, "submitter", "").await;
    let mut grants = submitter.submitter_grants();
    grants.push(submitter.table_grant());
    for grant in grants {
        world.execute(&grant).await;
    }
    world
        .execute(
            "ALTER TABLE public.sale_order ENABLE ROW LEVEL SECURITY;
             CREATE POLICY own ON public.sale_order USING (\"PointOfSale\" = 'mine')",
        )
        .await;
    let file = world.file("orders.csv", orders("others", 3));
    let id = submitter.run(world.enqueue(&["-i", &file])).run().exits(0).id();
    // The worker's role is a superuser's, to whom no policy applies.
    world.drain();
    let status = world.status(id);
    assert_eq!(status["state"], "failed", "{status:#}");
    let error = status["error"].as_str().unwrap();
    assert!(error.contains("row-level security for the role"), "{error}");
    assert_eq!(world.sale_orders().await, 0);
}
