//! A real browser: Debian's Chromium, told what to do by its driver.

use std::path::{Path, PathBuf};

use serde_json::json;
use thirtyfour::{By, ChromiumLikeCapabilities as _, DesiredCapabilities, WebDriver, WebElement};

use crate::support::{Call, Proc, World, http, skipped::skipped_unless, until};

const DRIVER: &str = "/usr/bin/chromedriver";
const BROWSER: &str = "/usr/bin/chromium";
/// Set where its absence is a fault.
const REQUIRED: &str = "PG_IMPORT_REQUIRE_BROWSER";
/// Where pictures of pages are put, for somebody to look at.
const PICTURES: &str = "PG_IMPORT_SCREENSHOTS";
/// The script of axe-core, which finds what keeps people from using a page.
const AXE: &str = "PG_IMPORT_AXE_JS";

/// A browser, and what drives it.
pub struct Browser {
    pub driver: WebDriver,
    _process: Proc,
    axe: Option<String>,
}

/// A width of the window in CSS pixels, and whether it is dark.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub width: u32,
    pub dark: bool,
}

pub const LOOKS: [Look; 4] = [
    Look {
        width: 360,
        dark: false,
    },
    Look { width: 360, dark: true },
    Look {
        width: 1440,
        dark: false,
    },
    Look {
        width: 1440,
        dark: true,
    },
];

impl Browser {
    /// `None`, and a word of it, where there is no browser.
    pub async fn start(world: &World) -> Option<Self> {
        if !(Path::new(DRIVER).exists() && Path::new(BROWSER).exists()) {
            skipped_unless(
                REQUIRED,
                "there is no browser (Debian: apt-get install chromium chromium-driver)",
            );
            return None;
        }
        let process = Call::new(Path::new(DRIVER), world.dir(), &["--port=0"]).start();
        let port = until("the driver listens", async || {
            let words = process.stdout();
            let (_, rest) = words.split_once("started successfully on port ")?;
            Some(rest.split_once('.')?.0.to_owned())
        })
        .await;
        let mut wanted = DesiredCapabilities::chrome();
        wanted.set_binary(BROWSER).unwrap();
        let profile = world.path("profile");
        for argument in [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            &format!("--user-data-dir={}", profile.display()),
        ] {
            wanted.add_arg(argument).unwrap();
        }
        // Its own client wants to know that, too.
        drop(http());
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), wanted)
            .await
            .expect("a browser");
        let axe = std::env::var_os(AXE).map_or_else(default_axe, PathBuf::from);
        let axe = std::fs::read_to_string(&axe).ok();
        if axe.is_none() {
            skipped_unless(
                REQUIRED,
                "there is no axe-core (.ci/axe-core fetches it): the rest is looked at",
            );
        }
        Some(Self {
            driver,
            _process: process,
            axe,
        })
    }

    pub async fn find(&self, css: &str) -> WebElement {
        until(&format!("{css} is there"), async || {
            self.driver.find(By::Css(css)).await.ok()
        })
        .await
    }

    /// What a page, or a part of it, says now.
    pub async fn text(&self, css: &str) -> String {
        match self.driver.find(By::Css(css)).await {
            Ok(element) => element.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    pub async fn until_text(&self, css: &str, text: &str) {
        until(&format!("{css} says '{text}'"), async || {
            self.text(css).await.contains(text).then_some(())
        })
        .await;
    }

    pub async fn fill(&self, css: &str, text: &str) {
        let element = self.find(css).await;
        element.clear().await.unwrap();
        element.send_keys(text).await.unwrap();
    }

    pub async fn click(&self, css: &str) {
        let element = self.find(css).await;
        element.scroll_into_view().await.unwrap();
        element.click().await.unwrap();
    }

    pub async fn path(&self) -> String {
        self.driver.current_url().await.unwrap().path().to_owned()
    }

    /// Holds the page that is open against what each page must be, in light and dark, as wide as a telephone and as a desk's screen.
    pub async fn check(&self, name: &str) {
        let tools = self.driver.cdp();
        for look in LOOKS {
            let Look { width, dark } = look;
            let metrics = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
            tools
                .send_raw("Emulation.setDeviceMetricsOverride", metrics)
                .await
                .unwrap();
            let scheme = if dark { "dark" } else { "light" };
            let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
            tools.send_raw("Emulation.setEmulatedMedia", media).await.unwrap();
            let script = "return document.documentElement.scrollWidth;";
            let needed = self.driver.execute(script, vec![]).await.unwrap();
            let needed = needed.json().as_u64().expect("a width");
            assert!(
                needed <= width.into(),
                "{name} is {needed} pixels wide where there are {width}"
            );
            self.take_picture(&format!("{name}-{width}-{scheme}")).await;
            self.find_barriers(name, look).await;
        }
        tools
            .send_raw("Emulation.clearDeviceMetricsOverride", json!({}))
            .await
            .unwrap();
        tools
            .send_raw("Emulation.setEmulatedMedia", json!({"features": []}))
            .await
            .unwrap();
    }

    async fn take_picture(&self, name: &str) {
        if let Some(pictures) = std::env::var_os(PICTURES) {
            let path = Path::new(&pictures).join(format!("{name}.png"));
            self.driver.screenshot(&path).await.unwrap();
        }
    }

    async fn find_barriers(&self, name: &str, look: Look) {
        let Some(axe) = &self.axe else { return };
        let script = format!(
            "{axe}; const done = arguments[0];
             axe.run().then((found) => done(found.violations.map((v) => `${{v.id}}: ${{v.nodes.map((n) => n.html).join(' | ')}}`)),
                            (error) => done([String(error)]));"
        );
        let found = self.driver.execute_async(script, vec![]).await.unwrap();
        let found = found.json().as_array().expect("a list").clone();
        assert!(found.is_empty(), "{name} {look:?}: {found:#?}");
    }
}

fn default_axe() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/axe-core/axe.min.js")
}
