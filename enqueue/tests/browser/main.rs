//! The page in a real browser: a file is uploaded, watched, and taken back, by somebody who only clicks.

mod chromium;
#[path = "../it/support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use chromium::Browser;
use support::{World, orders, page::TOKEN, until};

/// What the page shows of an import's progress: how many records are done.
async fn done(browser: &Browser) -> Option<u64> {
    let text = browser.text(".headline").await;
    let (_, rest) = text.split_once('%')?;
    let (done, _) = rest.trim_start().split_once(" of ")?;
    done.replace(',', "").parse().ok()
}

async fn sign_in(browser: &Browser) {
    browser.fill("#token", TOKEN).await;
    browser.click("form.sign-in button").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_uploaded_watched_and_taken_back() {
    let world = World::new().await;
    let Some(browser) = Browser::start(&world).await else {
        return;
    };
    let page = world.serve(&[]).await;
    // Slow enough to be watched.
    let worker = world
        .worker(&["--concurrency", "1"])
        .env("FAILPOINTS", "before-commit=sleep(250)")
        .start();
    world.until_working(&worker).await;
    let content = orders("A", 4_000).replacen(";17\n", ";<script>window.wrong = true</script>\n", 1);
    let file = world.file("orders & more.csv", content);
    let go = async |path: &str| browser.driver.goto(format!("{}{path}", page.url)).await.unwrap();

    // Who is not known signs in first, and is led back.
    go("/imports").await;
    browser.until_text("#live", "No import yet").await;
    browser.check("imports-none").await;
    browser.click("nav a[href='/upload']").await;
    browser.until_text("h1", "Sign in").await;
    browser.check("sign-in").await;
    sign_in(&browser).await;
    browser.until_text("h1", "Upload").await;

    // It says what it found, and what would be rejected.
    browser.find("#file").await.send_keys(&file).await.unwrap();
    browser.until_text("#preview", "Product 0").await;
    browser.check("upload").await;
    browser.click("#check").await;
    browser.until_text("#said", "would be rejected").await;
    browser
        .until_text("#rejects", "<script>window.wrong = true</script>")
        .await;
    browser.click("#found summary").await;
    browser.fill("#more", "--chunk-rows 100").await;
    browser.click("#send").await;
    until("the import's page is open", async || {
        (browser.path().await == "/imports/1").then_some(())
    })
    .await;

    let asked = world.texts("SELECT details::text FROM pgimport.audit").await;
    assert_eq!(world.count("pgimport.import_chunk").await, 40, "{asked:?}");

    // It moves without anybody's doing.
    let mut seen = BTreeSet::new();
    until("the import is loaded", async || {
        seen.extend(done(&browser).await);
        browser.text("h1").await.contains("loaded").then_some(())
    })
    .await;
    assert!(seen.len() > 2, "what was seen of the progress: {seen:?}");
    browser.until_text("#live", "3,999").await;
    browser.check("import-loaded").await;
    go("/imports/1/rejects").await;
    browser
        .until_text("td.raw", "<script>window.wrong = true</script>")
        .await;
    browser.check("rejects").await;
    for (path, name) in [
        ("/imports", "imports"),
        ("/workers", "workers"),
        ("/tables", "tables"),
        ("/nothing", "not-found"),
    ] {
        go(path).await;
        browser.find("h1").await;
        browser.check(name).await;
    }
    let wrong = browser
        .driver
        .execute("return window.wrong === undefined;", vec![])
        .await
        .unwrap();
    assert_eq!(wrong.json(), true);

    // Without a token it is refused.
    browser.driver.delete_all_cookies().await.unwrap();
    go("/imports/1").await;
    browser.click("a[href='/imports/1/cancel']").await;
    browser.until_text("h1", "Sign in").await;
    assert_eq!(world.count("public.sale_order").await, 3_999);
    sign_in(&browser).await;
    browser.until_text("h1", "Cancel").await;
    browser.until_text(".figures", "3,999").await;
    browser.check("cancel").await;
    browser.click("button.danger").await;
    browser.until_text("h1", "cancelled").await;
    browser.until_text(".timeline", "token asked to cancel").await;
    assert_eq!(world.count("public.sale_order").await, 0);
    browser.check("import-cancelled").await;

    // Paused, nothing moves.
    go("/imports").await;
    browser.click("#pause").await;
    browser.until_text("#pulse", "paused").await;
    browser.driver.clone().quit().await.unwrap();
}
