//! The page and the API as programs ask for them: who may see what, who may do what, and what is written down of it.

use crate::support::{
    World, assert_json, orders,
    page::{Answer, Served, TOKEN},
    role::Role,
    until,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use session::database::Duty;
use testkit::TestServer;

/// An import of three chunks, one of whose records is a reject that would be markup.
async fn loaded_with_a_reject(world: &World) -> i64 {
    let content = orders("A", 250).replacen(";17\n", ";<script>alert('x')</script>\n", 1);
    assert!(content.contains("<script>"));
    let id = world.submit("a&b<i>.csv", &content, &[]);
    world.drain();
    assert_json(&world.status(id), &json!({"state": "loaded", "rejected": 1}));
    id
}

async fn audit(world: &World) -> Vec<String> {
    world
        .texts("SELECT concat_ws(' ', who, action, import_id, details, 'refused: ' || refused) FROM pgimport.audit ORDER BY id")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_may_read_and_only_a_token_acts() {
    let world = World::new().await;
    let id = loaded_with_a_reject(&world).await;
    let page = world.serve(&[]).await;
    for path in [
        "/",
        "/imports",
        &format!("/imports/{id}"),
        "/workers",
        "/tables",
        "/metrics",
        "/healthz",
    ] {
        page.get(path).await.is(StatusCode::OK);
    }
    page.get(&format!("/imports/{id}"))
        .await
        .has("a&amp;b&lt;i&gt;.csv")
        .has_not("<i>")
        .has("loaded");
    for (method, path) in acts(id) {
        let answer = Answer::of(page.ask(method, &path)).await;
        answer.is(StatusCode::UNAUTHORIZED).has("this takes the token");
    }
    let wrong = Answer::of(
        page.ask(Method::POST, &format!("/api/v1/imports/{id}/cancel"))
            .bearer_auth("somebody's token"),
    )
    .await;
    wrong.is(StatusCode::UNAUTHORIZED).has("nobody's");
    assert_eq!(world.status(id)["state"], "loaded");

    let cancelled = page.post_with_token(&format!("/api/v1/imports/{id}/cancel")).await;
    assert_json(
        &cancelled.is(StatusCode::OK).json(),
        &json!({"import_id": id, "state": "cancelling"}),
    );
    let answer = page.post_with_token(&format!("/api/v1/imports/{id}/retry")).await;
    answer
        .is(StatusCode::CONFLICT)
        .has("only a failed import can be tried again");
    world.drain();
    assert_eq!(world.count("public.sale_order").await, 0);
    let forget = page
        .ask(Method::DELETE, &format!("/api/v1/imports/{id}"))
        .bearer_auth(TOKEN);
    Answer::of(forget).await.is(StatusCode::NO_CONTENT);
    page.get(&format!("/api/v1/imports/{id}"))
        .await
        .is(StatusCode::NOT_FOUND);
    let expected = [
        format!("token cancel {id} {{\"cascade\": false, \"include_edited\": false}}"),
        format!("token retry {id} {{}} refused: import {id} is cancelling: only a failed import can be tried again"),
        format!("token forget {id} {{}}"),
    ];
    assert_eq!(audit(&world).await, expected);
}

/// Everything that takes a token.
fn acts(id: i64) -> Vec<(Method, String)> {
    let api = format!("/api/v1/imports/{id}");
    let mut acts: Vec<(Method, String)> = ["cancel", "keep", "retry", "verify"]
        .iter()
        .map(|act| (Method::POST, format!("{api}/{act}")))
        .collect();
    acts.push((Method::DELETE, api.clone()));
    acts.extend(
        ["rejects", "audit", "preview"]
            .iter()
            .map(|what| (Method::GET, format!("{api}/{what}"))),
    );
    acts
}

#[tokio::test(flavor = "multi_thread")]
async fn what_records_held_is_for_those_with_a_token() {
    let world = World::new().await;
    let id = loaded_with_a_reject(&world).await;
    let page = world.serve(&[]).await;
    for path in ["", "/rejects", "/rejects.csv"] {
        let answer = page.get(&format!("/imports/{id}{path}")).await;
        answer.has_not("alert").has_not("script>alert");
    }
    let answer = page
        .get(&format!("/api/v1/imports/{id}/errors"))
        .await
        .is(StatusCode::OK);
    let told = answer.json();
    assert_json(
        &told["rejects"][0],
        &json!({"count": 1, "column": "Stock", "example": null}),
    );

    let rejects = page
        .get_with_token(&format!("/imports/{id}/rejects"))
        .await
        .is(StatusCode::OK);
    rejects.has("&lt;script&gt;alert").has_not("<script>alert");
    let listed = page
        .get_with_token(&format!("/api/v1/imports/{id}/rejects"))
        .await
        .json();
    let from_command = world
        .enqueue(&["rejects", &id.to_string(), "--json"])
        .run()
        .exits(0)
        .json();
    assert_eq!(listed, json!({"rejects": [from_command], "next": null}));
    let file = page
        .get_with_token(&format!("/imports/{id}/rejects.csv"))
        .await
        .is(StatusCode::OK);
    assert!(file.header("content-disposition").contains("attachment"), "{file:#?}");
    let mut lines = file.text.lines();
    assert_eq!(lines.next(), Some("file,record,line,column,reason,code,constraint,raw"));
    assert!(
        lines
            .next()
            .is_some_and(|line| line.contains("<script>alert('x')</script>")),
        "{}",
        file.text
    );
    assert_eq!(lines.next(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_acts_with_its_cookie_and_what_only_our_pages_know() {
    let world = World::new().await;
    let id = loaded_with_a_reject(&world).await;
    let page = world.serve(&[]).await;
    let cancel = format!("/imports/{id}/cancel");
    let asked = page.get(&cancel).await.is(StatusCode::SEE_OTHER);
    assert_eq!(
        asked.header("location"),
        format!("/sign-in?next=%2Fimports%2F{id}%2Fcancel")
    );
    page.submit("/sign-in", None, &[("token", "not the token at all")])
        .await
        .is(StatusCode::UNAUTHORIZED);
    for elsewhere in [
        "https://example.org/",
        "//example.org",
        "/\\example.org",
        "javascript:alert(1)",
    ] {
        let answer = page
            .submit("/sign-in", None, &[("token", TOKEN), ("next", elsewhere)])
            .await;
        assert_eq!(
            answer.is(StatusCode::SEE_OTHER).header("location"),
            "/imports",
            "{elsewhere}"
        );
    }
    let cookie = page.sign_in().await;
    let other = page.sign_in().await;
    let answer = page
        .submit("/sign-in", None, &[("token", TOKEN), ("next", "/imports/7")])
        .await;
    let set = answer.header("set-cookie");
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Path=/"),
        "{set}"
    );
    assert_eq!(answer.header("location"), "/imports/7");

    let asks = page
        .get_as(&cookie, &cancel)
        .await
        .is(StatusCode::OK)
        .has("As the table is at this moment")
        .has("249");
    let others = page.get_as(&other, &cancel).await.csrf();
    for csrf in ["", "0".repeat(64).as_str(), &others] {
        page.submit(&cancel, Some(&cookie), &[("csrf", csrf)])
            .await
            .is(StatusCode::FORBIDDEN);
    }
    page.submit(&cancel, None, &[("csrf", &asks.csrf())])
        .await
        .is(StatusCode::SEE_OTHER);
    // By the API, too, a cookie alone is not enough.
    let api = page
        .ask(Method::POST, &format!("/api/v1/imports/{id}/cancel"))
        .header("cookie", &cookie);
    Answer::of(api).await.is(StatusCode::FORBIDDEN);
    assert_eq!(world.status(id)["state"], "loaded");

    let done = page
        .submit(
            &cancel,
            Some(&cookie),
            &[("csrf", &asks.csrf()), ("include_edited", "true")],
        )
        .await;
    assert_eq!(
        done.is(StatusCode::SEE_OTHER).header("location"),
        format!("/imports/{id}")
    );
    world.drain();
    assert_json(&world.status(id), &json!({"state": "cancelled", "deleted": 249}));
    assert_eq!(
        audit(&world).await,
        [format!(
            "token cancel {id} {{\"cascade\": false, \"include_edited\": true}}"
        )]
    );
    let shown = page.get_as(&cookie, &format!("/imports/{id}")).await;
    let shown = shown.has("asked to").has("cancelled by token");
    // Whoever signs out is not known any more by the next request.
    let left = page
        .submit("/sign-out", Some(&cookie), &[("csrf", &shown.csrf())])
        .await
        .is(StatusCode::SEE_OTHER);
    assert!(left.header("set-cookie").contains("pg_import=;"), "{left:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_require_token_nothing_is_shown_without_it() {
    let world = World::new().await;
    let id = loaded_with_a_reject(&world).await;
    let page = world.serve(&["--require-token"]).await;
    let id_page = format!("/imports/{id}");
    for path in ["/", "/imports", &id_page, "/workers", "/tables", "/nothing"] {
        page.get(path).await.is(StatusCode::SEE_OTHER).has_not("csv");
    }
    let live = format!("/live/imports/{id}");
    for path in [
        &live,
        "/metrics",
        "/api/v1/imports",
        "/api/v1/workers",
        "/api/v1/openapi.json",
        "/live/imports",
    ] {
        page.get(path).await.is(StatusCode::UNAUTHORIZED).has_not("csv");
    }
    for path in ["/healthz", "/sign-in"] {
        page.get(path).await.is(StatusCode::OK);
    }
    for path in ["/", "/metrics", "/api/v1/imports", &live] {
        page.get_with_token(path).await.is(StatusCode::OK);
    }
    let cookie = page.sign_in().await;
    page.get_as(&cookie, &id_page).await.is(StatusCode::OK).has("csv");
    page.get_as(&cookie.replace("token", "tokem"), &id_page)
        .await
        .is(StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_have_names_and_those_that_could_be_guessed_are_refused() {
    let world = World::new().await;
    let id = loaded_with_a_reject(&world).await;
    let served = world
        .enqueue(&["serve", "--listen", "127.0.0.1:0"])
        .env("PG_IMPORT_HTTP_TOKEN", "sesame")
        .run();
    assert!(
        !served
            .exits(1)
            .says("shorter than 16 characters")
            .stderr
            .contains("sesame")
    );
    world
        .enqueue(&["serve", "--listen", "127.0.0.1:0", "--require-token"])
        .run()
        .exits(1)
        .says("there is no token");
    let only_shows = world.serve_as(&[], |call| call).await;
    let answer = only_shows
        .post_with_token(&format!("/api/v1/imports/{id}/cancel"))
        .await;
    answer.is(StatusCode::UNAUTHORIZED);
    Answer::of(only_shows.ask(Method::POST, &format!("/api/v1/imports/{id}/cancel")))
        .await
        .is(StatusCode::FORBIDDEN)
        .has("PG_IMPORT_HTTP_TOKEN");
    only_shows
        .get(&format!("/imports/{id}"))
        .await
        .is(StatusCode::OK)
        .has("read only")
        .has_not("Cancel");

    // In the staging, which says where the database is, too.
    let credentials = world.db.credentials();
    let staging = world.path("credentials/dev");
    credentials.write(&staging).unwrap();
    std::fs::write(
        staging.join(".http.tokens"),
        "# who may act\nmia: mias token is long enough\nben: bens token is long enough\n",
    )
    .unwrap();
    let page = world.serve_as(&[], |call| call.env_remove("DATABASE_URL")).await;
    let cancel = page.ask(Method::POST, &format!("/api/v1/imports/{id}/cancel"));
    Answer::of(cancel.bearer_auth("bens token is long enough"))
        .await
        .is(StatusCode::OK);
    assert!(audit(&world).await[0].starts_with("ben cancel"));
    assert!(!page.process.words().contains("long enough"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_read_only_looks_and_does_nothing() {
    const LOOKER: &str = "this token may only look";
    let world = World::new().await;
    let id = loaded_with_a_reject(&world).await;
    let staging = world.path("credentials/dev");
    world.db.credentials().write(&staging).unwrap();
    let tokens = format!("mia: mias token is long enough\nread-only prometheus: {LOOKER}\n");
    std::fs::write(staging.join(".http.tokens"), tokens).unwrap();
    let page = world
        .serve_as(&["--require-token"], |call| call.env_remove("DATABASE_URL"))
        .await;
    let as_looker = async |method, path: &str| Answer::of(page.ask(method, path).bearer_auth(LOOKER)).await;
    let import = format!("/api/v1/imports/{id}");
    for path in [
        "/metrics",
        "/imports",
        &format!("/imports/{id}"),
        &import,
        &format!("{import}/events"),
    ] {
        as_looker(Method::GET, path).await.is(StatusCode::OK).has_not("Cancel");
    }
    for path in [
        format!("{import}/rejects"),
        format!("{import}/audit"),
        format!("{import}/preview"),
    ] {
        as_looker(Method::GET, &path)
            .await
            .is(StatusCode::FORBIDDEN)
            .has("more than to look");
    }
    for path in [format!("{import}/cancel"), "/api/v1/imports?name=a.csv".to_owned()] {
        as_looker(Method::POST, &path).await.is(StatusCode::FORBIDDEN);
    }
    as_looker(Method::DELETE, &import).await.is(StatusCode::FORBIDDEN);
    assert_eq!(world.state(id).await, "loaded");
    // In a browser, from which it can also sign out again.
    let answer = page.submit("/sign-in", None, &[("token", LOOKER)]).await;
    let answer = answer.is(StatusCode::SEE_OTHER);
    let cookie = answer.header("set-cookie").split(';').next().unwrap();
    let shown = page.get_as(cookie, &format!("/imports/{id}")).await.is(StatusCode::OK);
    shown.has("prometheus").has("Sign out").has_not("Cancel");
    page.get_as(cookie, "/upload").await.is(StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_reverse_proxy_paths_have_its_prefix_and_the_audit_its_word() {
    let world = World::new().await;
    let id = loaded_with_a_reject(&world).await;
    let page = world.serve(&["--path-prefix", "/loads/", "--behind-proxy"]).await;
    assert!(page.url.ends_with("/loads"), "{}", page.url);
    for path in ["", "/", "/imports", &format!("/imports/{id}"), "/metrics", "/healthz"] {
        page.get(path).await.is(StatusCode::OK);
    }
    let shown = page.get("/imports").await;
    for part in shown.text.split(" href=\"").chain(shown.text.split(" src=\"")).skip(1) {
        assert!(
            part.starts_with("/loads/") || part.starts_with("#") || part.starts_with("<!"),
            "{part:.60}"
        );
    }
    let style = shown.text.split("rel=\"stylesheet\" href=\"/loads").nth(1).unwrap();
    page.get(style.split('"').next().unwrap())
        .await
        .is(StatusCode::OK)
        .has("--ground");
    let cancel = page
        .ask(Method::POST, &format!("/api/v1/imports/{id}/cancel"))
        .bearer_auth(TOKEN)
        .header("x-forwarded-for", "203.0.113.9, 198.51.100.7");
    Answer::of(cancel).await.is(StatusCode::OK);
    assert_eq!(
        world.texts("SELECT address FROM pgimport.audit").await,
        ["198.51.100.7"]
    );
    let signed = page
        .ask(Method::POST, "/sign-in")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-forwarded-proto", "https")
        .body(format!("token={}", TOKEN.replace(' ', "+")));
    let signed = Answer::of(signed).await.is(StatusCode::SEE_OTHER);
    let cookie = signed.header("set-cookie");
    assert!(cookie.contains("Path=/loads/") && cookie.contains("Secure"), "{cookie}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_the_api_s_description_says() {
    let world = World::new().await;
    let id = loaded_with_a_reject(&world).await;
    let failing = world.submit("wrong.csv", &orders("B", 10), &[]);
    let page = world.serve(&[]).await;
    let document = page.get("/api/v1/openapi.json").await.json();
    let mut seen = Vec::new();
    for (path, method, body) in [
        ("/imports", Method::GET, ""),
        ("/imports?state=nothing", Method::GET, ""),
        ("/imports?limit=1&state=loaded,loading&q=csv", Method::GET, ""),
        ("/imports/{id}", Method::GET, ""),
        ("/imports/999", Method::GET, ""),
        ("/imports/{id}/events", Method::GET, ""),
        ("/imports/{id}/errors", Method::GET, ""),
        ("/imports/{id}/chunks", Method::GET, ""),
        ("/imports/{id}/throughput", Method::GET, ""),
        ("/imports/{id}/rejects", Method::GET, ""),
        ("/imports/{id}/preview?include_edited=true", Method::GET, ""),
        ("/imports/{id}/verify", Method::POST, ""),
        ("/imports/{id}/retry", Method::POST, ""),
        ("/imports/{id}/keep", Method::POST, ""),
        ("/imports/{id}/cancel", Method::POST, "{\"include_edited\": 7}"),
        ("/imports/{id}/cancel", Method::POST, "{\"cascade\": true}"),
        ("/imports/{id}/audit", Method::GET, ""),
        ("/imports/{failing}", Method::DELETE, ""),
        ("/workers", Method::GET, ""),
        ("/tables", Method::GET, ""),
        ("/sniff?name=a.csv", Method::POST, FILE),
        ("/sniff?name=a.csv", Method::POST, ""),
        ("/check?name=a.csv&max-rejects=1", Method::POST, FILE),
        ("/check?table=nowhere", Method::POST, FILE),
        ("/imports?name=a.csv&chunk-rows=1", Method::POST, FILE),
        ("/imports?input=a.csv", Method::POST, FILE),
        ("/imports?table=nowhere", Method::POST, FILE),
    ] {
        let (pattern, _) = path.split_once('?').unwrap_or((path, ""));
        let pattern = pattern.replace("{failing}", "{id}").replace("999", "{id}");
        let asked = path
            .replace("{id}", &id.to_string())
            .replace("{failing}", &failing.to_string());
        let request = page
            .ask(method.clone(), &format!("/api/v1{asked}"))
            .bearer_auth(TOKEN)
            .body(body);
        let answer = Answer::of(request).await;
        check(&document, &pattern, &method, &answer);
        seen.push(format!("{} {pattern}", method.as_str().to_lowercase()));
    }
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let call = format!("{method} {path}");
            assert!(seen.contains(&call), "not asked for: {call}");
        }
    }
}

const FILE: &str = "PointOfSale;Product;Date;Stock\nZ;P;2025-01-01;1\nZ;P;2025-01-02;two\n";

/// Holds an answer against what the description says of it.
#[track_caller]
fn check(document: &Value, path: &str, method: &Method, answer: &Answer) {
    let call = &document["paths"][path][method.as_str().to_lowercase()];
    let described = &call["responses"][answer.status.as_str()];
    assert!(
        described.is_object(),
        "{method} {path} answers {}, which is not described: {}",
        answer.status,
        answer.text
    );
    let Some(schema) = described.pointer("/content/application~1json/schema") else {
        assert_eq!(answer.text, "", "{method} {path}");
        return;
    };
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&whole).unwrap_or_else(|error| panic!("{error}: {schema}"));
    let found = answer.json();
    let faults: Vec<String> = validator
        .iter_errors(&found)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{method} {path}: {faults:?} in {found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_has_the_command_s_figures() {
    let world = World::new().await;
    let id = loaded_with_a_reject(&world).await;
    let page = world.serve(&[]).await;
    let (mut by_command, mut by_page) = (
        world.status(id),
        page.get_with_token(&format!("/api/v1/imports/{id}")).await.json(),
    );
    for status in [&mut by_command, &mut by_page] {
        status.as_object_mut().unwrap().remove("age_s");
    }
    assert_eq!(by_command, by_page);
    let chunks = page.get(&format!("/api/v1/imports/{id}/chunks")).await.json();
    assert_json(&chunks, &json!({"chunks": 3, "chunks_a_cell": 1}));
    assert_json(
        &chunks["cells"][0],
        &json!({"first": 0, "last": 0, "loaded": 1, "rejected_records": 1}),
    );
    let events = page.get(&format!("/api/v1/imports/{id}/events")).await.json();
    let names: Vec<&str> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["submitted", "source_ended", "all_loaded"]);
    let tables = page.get("/api/v1/tables").await.json();
    assert_json(
        &tables[0],
        &json!({"target": "public.sale_order", "last_loaded": id, "last_loaded_rows": 249, "imports": 1, "running": 0}),
    );
    let history = "SELECT concat_ws(' ', state, source LIKE '%a&b<i>.csv', files, table_name, chunks, records, loaded_rows, inserted_rows,
        rejected_records, deleted_rows, submitted_by = session_user) FROM pgimport.load_history";
    assert_eq!(
        world.texts(history).await,
        ["loaded t 1 public.sale_order 3 250 249 249 1 0 t"]
    );
    let rejects = "SELECT concat_ws(' ', import_id, column_name, line, convert_from(raw, 'UTF8') LIKE '%<script>%') FROM pgimport.load_rejects";
    assert_eq!(world.texts(rejects).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_read_page_by_page_and_by_what_is_asked_for() {
    let world = World::new().await;
    world
        .execute(
            "INSERT INTO pgimport.import (state, source, resumable, target, target_oid, id_column, columns, options, submitter, lease_until, ended_at)
             SELECT CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'loaded' END, '/in/' || n || '.csv', true, 'public.sale_order',
                 'public.sale_order'::regclass, 'id', '{}', '{}', 'nobody', now(), now()
             FROM generate_series(1, 120) AS n",
        )
        .await;
    let page = world.serve(&[]).await;
    let ids = |answer: &Value| -> Vec<i64> {
        let imports = answer["imports"].as_array().unwrap().iter();
        imports.map(|import| import["import_id"].as_i64().unwrap()).collect()
    };
    let (mut all, mut before) = (Vec::new(), String::new());
    loop {
        let answer = page.get(&format!("/api/v1/imports?limit=50{before}")).await.json();
        all.extend(ids(&answer));
        let Some(next) = answer["next"].as_i64() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(all, (1..=120).rev().collect::<Vec<_>>());
    let failed = page.get("/api/v1/imports?state=failed&q=/1").await.json();
    assert_eq!(ids(&failed), [120, 110, 100, 10]);
    page.get("/imports").await.has("Older imports").has("before=71");
    page.get("/imports?state=failed&q=%2F1")
        .await
        .has_not("Older imports")
        .has("/imports/110");
    for wrong in [
        "/imports?state=x",
        "/imports?since=5",
        "/api/v1/imports?limit=0",
        "/api/v1/imports?no=1",
        "/imports/0",
        "/imports/x",
    ] {
        let status = page.get(wrong).await.status;
        assert!(status.is_client_error(), "{wrong}: {status}");
    }
    let listed = world
        .enqueue(&["status", "--state", "failed,loaded", "--since", "1h", "--limit", "3"])
        .run()
        .exits(0)
        .stdout;
    assert!(
        listed.contains("120 failed") && listed.contains("118 loaded") && !listed.contains("117"),
        "{listed}"
    );
    assert!(listed.lines().all(|line| line.chars().count() <= 80), "{listed}");
    world
        .enqueue(&["status", "--state", "lost"])
        .run()
        .exits(2)
        .says("expected one of splitting");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_said_and_found_again() {
    let server = TestServer::start().await;
    let world = World::on(&server).await;
    let id = world.submit("a.csv", &orders("A", 10), &[]);
    let page = world.serve(&[]).await;
    page.get(&format!("/imports/{id}"))
        .await
        .is(StatusCode::OK)
        .has("No worker serves the queue");
    // What the page had open is gone with it.
    server.restart(local_server::ShutdownMode::Immediate).await;
    until("the page finds the database", async || {
        let answer = page.get(&format!("/api/v1/imports/{id}")).await;
        assert!(
            answer.status == StatusCode::OK || answer.status == StatusCode::SERVICE_UNAVAILABLE,
            "{answer:#?}"
        );
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    page.process.terminate();
    page_ends(page).await;
}

async fn page_ends(page: Served) {
    page.process.finished().await.exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_of_its_own_needs_little() {
    let world = World::new().await;
    let id = loaded_with_a_reject(&world).await;
    let role = Role::new(&world, "").await;
    for grant in role.grants(Duty::Monitor.privileges()) {
        world.execute(&grant).await;
    }
    let page = world.serve_as(&[], |call| role.run(call)).await;
    for path in [
        "/",
        &format!("/imports/{id}"),
        "/workers",
        "/tables",
        "/metrics",
        "/api/v1/imports",
    ] {
        page.get(path).await.is(StatusCode::OK);
    }
    let with_token = role
        .run(world.enqueue(&["serve", "--listen", "127.0.0.1:0"]))
        .env("PG_IMPORT_HTTP_TOKEN", TOKEN)
        .run();
    with_token.exits(1).says("GRANT SELECT, INSERT ON pgimport.audit TO");
    world
        .execute(&role.grants(&["SELECT, INSERT ON pgimport.audit"])[0])
        .await;
    let page = world
        .serve_as(&[], |call| role.run(call).env("PG_IMPORT_HTTP_TOKEN", TOKEN))
        .await;
    // It may look, but not change what others submitted.
    let refused = page.post_with_token(&format!("/api/v1/imports/{id}/cancel")).await;
    refused.is(StatusCode::FORBIDDEN).has("permission denied");
    assert_eq!(world.status(id)["state"], "loaded");
    assert!(
        audit(&world).await[0].contains("refused: "),
        "{:?}",
        audit(&world).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_loaded_as_the_command_would_load_it() {
    let world = World::new().await;
    let page = world.serve(&[]).await;
    let send = async |query: &str, body: Vec<u8>| {
        let request = page.ask(Method::POST, &format!("/api/v1/imports?{query}"));
        Answer::of(request.bearer_auth(TOKEN).body(body)).await
    };
    page.post("/api/v1/imports").await.is(StatusCode::UNAUTHORIZED);
    let content = orders("A", 250).replace(';', "|");
    let answer = send(
        "name=..%2Fa.csv&delimiter=%7C&chunk-rows=100&key=one",
        content.clone().into(),
    )
    .await;
    let status = answer.is(StatusCode::CREATED).json();
    assert_json(
        &status,
        &json!({"source": "upload of a.csv", "records": 250, "chunks": 3, "size_bytes": content.len()}),
    );
    let id = status["import_id"].as_i64().unwrap();
    world.drain();
    assert_json(&world.status(id), &json!({"state": "loaded", "loaded": 250}));
    let again = send("name=a.csv&delimiter=%7C&chunk-rows=100&key=one", content.into())
        .await
        .is(StatusCode::CREATED);
    assert_eq!(again.json()["import_id"], id);

    // Compressed, into a table that is made for it, with a reject.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, b"a,b\n1,x\n2,y\n3\n").unwrap();
    let made = send(
        "name=b.csv.gz&delimiter=,&table=public.fresh&create-table=true&primary-key=a",
        gzip.finish().unwrap(),
    )
    .await;
    let made = made.is(StatusCode::CREATED).json();
    world.drain();
    let made = made["import_id"].as_i64().unwrap();
    assert_json(
        &world.status(made),
        &json!({"state": "loaded", "loaded": 2, "rejected": 1}),
    );
    assert_eq!(world.content("public.fresh").await, ["(1,x)", "(2,y)"]);
    for (query, words) in [
        ("table=nowhere", "there is no table nowhere"),
        ("chunk-rows=0", "0 is not in"),
        ("database-url=postgres%3A%2F%2Fx", "not for uploads"),
        ("on-conflict=update&load-method=copy", "--load-method"),
    ] {
        let answer = send(query, b"a;b\n".to_vec()).await.has(words);
        assert!(answer.status.is_client_error(), "{answer:#?}");
    }
    let asked = world
        .texts("SELECT concat_ws(' ', who, action, import_id, refused IS NULL) FROM pgimport.audit ORDER BY id")
        .await;
    let done = [
        format!("token submit {id} t"),
        format!("token submit {id} t"),
        format!("token submit {made} t"),
    ];
    assert_eq!(asked[..3], done);
    assert_eq!(asked[3..], vec!["token submit f"; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_leaves_nothing_behind() {
    use std::io::Write as _;
    let world = World::new().await;
    let page = world.serve(&[]).await;
    let worker = world.worker(&[]).start();
    world.until_working(&worker).await;
    let content = orders("A", 2_000);
    let mut connection = std::net::TcpStream::connect(page.url.strip_prefix("http://").unwrap()).unwrap();
    write!(
        connection,
        "POST /api/v1/imports?name=a.csv&chunk-rows=100&all-or-nothing=true HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: {}\r\n\r\n{}",
        content.len(),
        &content[..content.len() / 2]
    )
    .unwrap();
    world.until_some("public.sale_order").await;
    drop(connection);
    until("the import is undone", async || {
        let state = world.ask("SELECT state FROM pgimport.import").await?;
        (state == "cancelled").then_some(())
    })
    .await;
    assert_eq!(world.count("public.sale_order").await, 0);
    world.until_some("pgimport.audit").await;
    assert!(
        audit(&world).await[0].contains("refused: "),
        "{:?}",
        audit(&world).await
    );
    let shown = page.get_with_token("/upload").await;
    shown.is(StatusCode::OK).has("a.csv").has("/imports/1");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_sees_no_value_whoever_speaks_of_it() {
    let world = World::new().await;
    world
        .execute(
            "CREATE TABLE person (a int PRIMARY KEY, b text UNIQUE CHECK (b <> 'secret cat'));
             CREATE FUNCTION look(name text) RETURNS boolean LANGUAGE plpgsql AS
                 $$ BEGIN IF name = 'secret dog' THEN RAISE 'the name % is refused', name USING ERRCODE = 'insufficient_privilege'; END IF;
                    RETURN true; END $$;
             CREATE TABLE pet (id serial PRIMARY KEY, b text CHECK (look(b)))",
        )
        .await;
    let content = "a;b\n1;secret bee\n2;secret bee\n3;secret cat\n";
    let people = world.submit("a.csv", content, &["--table", "person"]);
    let pets = world.submit("b.csv", "b\nsecret dog\n", &["--table", "pet"]);
    world.drain();
    assert_json(&world.status(people), &json!({"state": "loaded", "rejected": 2}));
    assert_json(&world.status(pets), &json!({"state": "failed"}));
    let page = world.serve(&[]).await;
    page.post_with_token(&format!("/api/v1/imports/{people}/keep"))
        .await
        .is(StatusCode::CONFLICT);
    for id in [people, pets] {
        for path in ["", "/events", "/errors", "/chunks"] {
            page.get(&format!("/api/v1/imports/{id}{path}"))
                .await
                .is(StatusCode::OK)
                .has_not("secret");
            page.get_with_token(&format!("/api/v1/imports/{id}{path}"))
                .await
                .is(StatusCode::OK);
        }
        for path in ["/imports", "/live/imports"] {
            let shown = page.get(&format!("{path}/{id}")).await.is(StatusCode::OK);
            // Nor who asked for what.
            shown.has_not("secret").has_not("asked to").has_not("127.0.0.1");
        }
        page.get_with_token(&format!("/imports/{id}")).await.has("secret");
    }
    page.get("/api/v1/imports").await.has_not("secret");
    page.get(&format!("/api/v1/imports/{people}/errors"))
        .await
        .has("refused by the server (23505)")
        .has("person_b_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_an_act_is_not_shown_after_it() {
    let world = World::new().await;
    let id = loaded_with_a_reject(&world).await;
    let page = world.serve(&[]).await;
    // The page has read how the import stands, and waits for what comes behind that.
    let held = crate::support::Held::take(&world, "LOCK TABLE pgimport.worker IN ACCESS EXCLUSIVE MODE").await;
    let path = format!("/live/imports/{id}");
    let reading = page.ask(Method::GET, &path).send();
    let reading = tokio::spawn(reading);
    world.until_a_lock_is_waited_for().await;
    let cancelled = page.post_with_token(&format!("/api/v1/imports/{id}/cancel")).await;
    cancelled.is(StatusCode::OK);
    held.release().await;
    drop(reading.await.unwrap());
    page.get(&path).await.has("cancelling").has_not("✓");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_cancel_with_other_options_is_refused_and_a_same_one_changes_nothing() {
    let world = World::new().await;
    let id = loaded_with_a_reject(&world).await;
    let page = world.serve(&[]).await;
    let cancel = async |body: &'static str| {
        let request = page.ask(Method::POST, &format!("/api/v1/imports/{id}/cancel"));
        Answer::of(request.bearer_auth(TOKEN).body(body)).await
    };
    for wrong in ["[true, true]", "7", "{\"no\": 1}", "{"] {
        cancel(wrong).await.is(StatusCode::BAD_REQUEST);
    }
    cancel("").await.is(StatusCode::OK);
    cancel("{}").await.is(StatusCode::OK);
    cancel("{\"include_edited\": true}")
        .await
        .is(StatusCode::CONFLICT)
        .has("with other options");
    world
        .enqueue(&["cancel", &id.to_string(), "--cascade"])
        .run()
        .exits(1)
        .says("is being cancelled already, with other options");
    let asked = audit(&world).await;
    assert!(
        asked[1].contains("\"changed\": false") && asked[2].contains("refused: "),
        "{asked:?}"
    );
    page.post_with_token("/api/v1/imports/999/verify")
        .await
        .is(StatusCode::NOT_FOUND);
    assert!(
        audit(&world).await[3].contains("token verify 999 {} refused: "),
        "{:?}",
        audit(&world).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn large_rejects_are_told_a_few_at_once() {
    let world = World::new().await;
    let rows: String = (0..12)
        .map(|n| format!("A;{}{n};2025-01-01;none\n", "x".repeat(1 << 20)))
        .collect();
    let id = world.submit("a.csv", &format!("PointOfSale;Product;Date;Stock\n{rows}"), &[]);
    world.drain();
    let page = world.serve(&[]).await;
    let (mut seen, mut after) = (0, String::new());
    loop {
        let answer = page
            .get_with_token(&format!("/api/v1/imports/{id}/rejects?after={after}"))
            .await;
        let answer = answer.is(StatusCode::OK).json();
        let some = answer["rejects"].as_array().unwrap().len();
        assert!((1..=5).contains(&some), "{some} at once");
        seen += some;
        let Some(next) = answer["next"].as_str() else { break };
        after = next.to_owned();
    }
    assert_eq!(seen, 12);
    let file = page
        .get_with_token(&format!("/imports/{id}/rejects.csv"))
        .await
        .is(StatusCode::OK);
    assert_eq!(file.text.lines().count(), 13);
    let written = world.enqueue(&["rejects", &id.to_string()]).run().exits(0);
    assert_eq!(written.stdout.lines().count(), 13);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_told_in_the_answer_s_own_form() {
    let world = World::new().await;
    let page = world.serve(&[]).await;
    for (path, status) in [
        ("/api/v1/imports?q=%00", StatusCode::BAD_REQUEST),
        ("/api/v1/imports?since_s=18446744073709551615", StatusCode::BAD_REQUEST),
        ("/api/v1/imports?limit=70000", StatusCode::BAD_REQUEST),
        ("/api/v1/imports/%ff", StatusCode::NOT_FOUND),
        ("/api/v1/imports/01", StatusCode::NOT_FOUND),
        ("/api/v1/imports/+1", StatusCode::NOT_FOUND),
        ("/api/v1/nothing", StatusCode::NOT_FOUND),
        ("/api/v1/imports/1/cancel", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let answer = page.get(path).await.is(status);
        assert!(answer.json()["error"].is_string(), "{path}");
        let as_page = path.replacen("/api/v1", "", 1);
        if status != StatusCode::METHOD_NOT_ALLOWED && !path.contains("since_s") && !path.contains("limit") {
            assert!(page.get(&as_page).await.status.is_client_error(), "{as_page}");
        }
    }
    let long = format!("/imports?q={}", "x".repeat(10_000));
    page.get(&long).await.is(StatusCode::URI_TOO_LONG).has("<h1>");
    // What a reverse proxy was told is not for us; and nobody is led round in a circle.
    let basic = page.ask(Method::GET, "/imports").header("authorization", "Basic YTpi");
    Answer::of(basic).await.is(StatusCode::OK);
    for path in ["/sign-in", "/healthz"] {
        let wrong = page.ask(Method::GET, path).bearer_auth("nobody's token at all");
        Answer::of(wrong).await.is(StatusCode::OK);
    }
    // Whoever acts and is not known any more is led back to where the form was.
    let lost = page
        .submit("/imports/7/verify", None, &[("csrf", "x")])
        .await
        .is(StatusCode::SEE_OTHER);
    assert_eq!(lost.header("location"), "/sign-in?next=%2Fimports%2F7");
    for elsewhere in ["/\t/example.org", "/\u{1}", "/\u{7f}", "/ok\n"] {
        let answer = page
            .submit("/sign-in", None, &[("token", TOKEN), ("next", elsewhere)])
            .await;
        assert_eq!(
            answer.is(StatusCode::SEE_OTHER).header("location"),
            "/imports",
            "{elsewhere:?}"
        );
    }
}
