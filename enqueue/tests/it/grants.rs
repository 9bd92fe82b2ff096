//! `enqueue migrate --grant-…`: what each kind of role gets, which is what the documentation says, and what it is refused.

use crate::support::{World, orders, role::Role};

/// Every privilege of a role on the control schemas, its name left out.
async fn held(world: &World, role: &Role) -> Vec<String> {
    let oid = format!("(SELECT oid FROM pg_roles WHERE rolname = '{}')", role.name);
    world
        .texts(&format!(
            "SELECT format('%s %s', a.privilege_type, n.nspname) FROM pg_namespace AS n, aclexplode(n.nspacl) AS a WHERE a.grantee = {oid}
             UNION ALL
             SELECT format('%s %s', a.privilege_type, c.oid::regclass) FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE a.grantee = {oid}
             UNION ALL
             SELECT format('%s %s.%s', a.privilege_type, t.attrelid::regclass, t.attname) FROM pg_attribute AS t, aclexplode(t.attacl) AS a
             WHERE a.grantee = {oid}
             UNION ALL
             SELECT format('%s %s', a.privilege_type, p.oid::regprocedure) FROM pg_proc AS p, aclexplode(p.proacl) AS a WHERE a.grantee = {oid}
             ORDER BY 1"
        ))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_grants_what_the_documentation_says() {
    let world = World::new().await;
    let document = include_str!("../../../docs/PRIVILEGES.md");
    for (flag, name) in [
        ("--grant-submitter", "pgimport_submit"),
        ("--grant-worker", "pgimport_work"),
        ("--grant-monitor", "pgimport_page"),
    ] {
        let by_command = Role::named(&world, &format!("{name}_c"), "").await;
        let by_hand = Role::named(&world, &format!("{name}_h"), "").await;
        world
            .enqueue(&["migrate", flag, &by_command.name])
            .run()
            .exits(0)
            .says("may ");
        let sections = document
            .split("## ")
            .filter(|section| section.starts_with("The control schemas"));
        for line in sections.flat_map(str::lines).filter(|line| line.starts_with("GRANT ")) {
            let grant = line.split("--").next().expect("its beginning").trim();
            let (what, to) = grant.trim_end_matches(';').rsplit_once(" TO ").expect("a role");
            if to.split(", ").any(|to| to == name) && !what.contains(" ON DATABASE ") {
                world.execute(&format!("{what} TO {}", by_hand.name)).await;
            }
        }
        let granted = held(&world, &by_command).await;
        assert!(granted.len() > 5, "{granted:?}");
        assert_eq!(granted, held(&world, &by_hand).await, "{name}");
        // Again, nothing is different.
        world.enqueue(&["migrate", flag, &by_command.name]).run().exits(0);
        assert_eq!(granted, held(&world, &by_command).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_missing_is_named_and_nobody_gets_anything() {
    let world = World::new().await;
    let role = Role::named(&world, "role", "").await;
    world
        .enqueue(&[
            "migrate",
            "--grant-worker",
            &role.name,
            "--grant-monitor",
            "no such role",
        ])
        .run()
        .exits(1)
        .says("there is no role 'no such role' to grant anything to: CREATE ROLE");
    for nobody in ["public", &"y".repeat(80)] {
        world
            .enqueue(&["migrate", "--grant-submitter", nobody])
            .run()
            .exits(1)
            .says("there is no role");
    }
    assert_eq!(held(&world, &role).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_its_work_and_is_refused_the_rest() {
    let world = World::new().await;
    let [submitter, worker, monitor] = [
        Role::named(&world, "submitter", "").await,
        Role::named(&world, "worker", "").await,
        Role::named(&world, "monitor", "").await,
    ];
    let arguments = [
        "--grant-submitter",
        &submitter.name,
        "--grant-worker",
        &worker.name,
        "--grant-monitor",
        &monitor.name,
    ];
    world
        .enqueue(&[&["migrate"], arguments.as_slice()].concat())
        .run()
        .exits(0);
    for role in [&submitter, &worker] {
        world.execute(&role.table_grant()).await;
    }
    let content = orders("A", 200).replacen(";17\n", ";seventeen\n", 1);
    let path = world.file("a.csv", content);
    let id = submitter
        .run(world.enqueue(&["-i", &path]))
        .run()
        .exits(0)
        .id()
        .to_string();
    worker.run(world.worker(&["--drain"])).run().exits(0);
    for role in [&submitter, &monitor] {
        role.run(world.enqueue(&["status", &id])).run().exits(0);
        role.run(world.enqueue(&["workers"])).run().exits(0);
    }
    monitor
        .run(world.enqueue(&["psql", "--", "-c", "SELECT * FROM pgimport.load_history"]))
        .run()
        .exits(0);
    for command in [
        vec!["-i", &path, "--force"],
        vec!["cancel", &id],
        vec!["retry", &id],
        vec!["forget", &id],
        vec!["rejects", &id],
    ] {
        let outcome = monitor.run(world.enqueue(&command)).run();
        assert_eq!(outcome.code, Some(1), "{command:?}: {outcome:#?}");
        assert!(
            outcome.stderr.contains("permission denied") || outcome.stderr.contains("may not"),
            "{outcome:#?}"
        );
    }
    submitter.run(world.worker(&["--drain"])).run().exits(1).says("GRANT");
    let refused: &[(&Role, &[&str])] = &[
        (
            &submitter,
            &[
                "INSERT INTO pgimport.import_registry (import_id, ordinal) VALUES (1, 0)",
                "SELECT * FROM pgimport.import_before",
                "SELECT url FROM pgimport.import_notification",
                "SELECT * FROM apalis.jobs",
                "UPDATE apalis.jobs SET status = 'Done'",
                "DELETE FROM pgimport.import_event",
                "UPDATE pgimport.import_event SET note = 'x'",
                "INSERT INTO pgimport.import_reject (import_id, ordinal) VALUES (1, 0)",
                "DELETE FROM pgimport.worker",
                "TRUNCATE pgimport.import",
                "UPDATE pgimport.import SET turn = 9000000000 WHERE id = 1",
                "UPDATE pgimport.import SET stride = 1 WHERE id = 1",
                "UPDATE pgimport.import SET max_parallel = 200 WHERE id = 1",
                "UPDATE pgimport.import SET queue = 'other' WHERE id = 1",
                "UPDATE pgimport.import_segment SET state = 'stored'",
                "SELECT address FROM pgimport.import_reference",
                "SELECT * FROM pgimport.audit",
                "DROP TRIGGER guard ON pgimport.import",
                "CREATE TABLE pgimport.mine (n int)",
            ],
        ),
        (
            &worker,
            &[
                "INSERT INTO pgimport.import_notification (import_id, url) VALUES (1, 'http://example.org/')",
                "DELETE FROM pgimport.import",
                "DELETE FROM pgimport.import_event",
                "UPDATE pgimport.import_reference SET address = '/etc/passwd'",
                "SELECT * FROM pgimport.audit",
                "UPDATE pgimport.import SET target = 'public.other', target_oid = 'pg_class'::regclass",
                "DROP TRIGGER guard ON pgimport.import",
                "CREATE TABLE pgimport.mine (n int)",
            ],
        ),
        (
            &monitor,
            &[
                "SELECT raw FROM pgimport.import_reject",
                "SELECT * FROM pgimport.import_payload",
                "SELECT * FROM pgimport.import_before",
                "SELECT url FROM pgimport.import_notification",
                "SELECT * FROM pgimport.import_registry",
                "SELECT * FROM apalis.jobs",
                "SELECT pgimport.current_turn('default')",
                "UPDATE pgimport.import SET state = 'cancelling'",
                "INSERT INTO pgimport.import_event (import_id, event, to_state) VALUES (1, 'cancel', 'loaded')",
                "SELECT * FROM public.sale_order",
                "DELETE FROM pgimport.import",
            ],
        ),
    ];
    for (role, statements) in refused {
        for sql in *statements {
            let call = world.enqueue(&["psql", "--", "-X", "-v", "ON_ERROR_STOP=1", "-c", sql]);
            let outcome = role.run(call).run();
            assert_ne!(outcome.code, Some(0), "{} may: {sql}", role.name);
            let is_refusal = [
                "permission denied",
                "must be owner",
                "cannot be changed after its submission",
            ];
            assert!(
                is_refusal.iter().any(|words| outcome.stderr.contains(words)),
                "{} {sql}: {outcome:#?}",
                role.name
            );
            println!(
                "{}: {sql}: {}",
                role.name,
                outcome.stderr.lines().next().unwrap_or_default()
            );
        }
    }
}
