//! `enqueue serve`, and who asks it.

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use serde_json::Value;

use super::{Proc, World, http, until};

pub const TOKEN: &str = "the token of these tests";

/// A page that is served, and a browser that follows no redirect by itself.
pub struct Served {
    pub process: Proc,
    /// Where it is, without a slash at its end.
    pub url: String,
    client: Client,
}

impl World {
    /// Serves a page with a token, on a port of its own.
    pub async fn serve(&self, arguments: &[&str]) -> Served {
        self.serve_as(arguments, |call| call.env("PG_IMPORT_HTTP_TOKEN", TOKEN))
            .await
    }

    pub async fn serve_as(&self, arguments: &[&str], with: impl FnOnce(super::Call) -> super::Call) -> Served {
        let all = [&["serve", "--listen", "127.0.0.1:0"], arguments].concat();
        let process = with(self.enqueue(&all)).start();
        let url = until("the page is served", async || {
            let words = process.words();
            let (_, rest) = words.split_once("listening on ")?;
            Some(rest.split_once("/ (")?.0.to_owned())
        })
        .await;
        Served {
            process,
            url,
            client: http(),
        }
    }
}

impl Served {
    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// What somebody without a token gets.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.ask(Method::GET, path)).await
    }

    /// What somebody with a token gets.
    pub async fn get_with_token(&self, path: &str) -> Answer {
        Answer::of(self.ask(Method::GET, path).bearer_auth(TOKEN)).await
    }

    pub async fn post(&self, path: &str) -> Answer {
        Answer::of(self.ask(Method::POST, path)).await
    }

    pub async fn post_with_token(&self, path: &str) -> Answer {
        Answer::of(self.ask(Method::POST, path).bearer_auth(TOKEN)).await
    }

    /// Sends a form as a browser does that has a cookie, or none.
    pub async fn submit(&self, path: &str, cookie: Option<&str>, fields: &[(&str, &str)]) -> Answer {
        let mut request = self
            .ask(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(serde_urlencoded::to_string(fields).expect("a form"));
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        Answer::of(request).await
    }

    /// Signs in, and returns the cookie.
    pub async fn sign_in(&self) -> String {
        let answer = self.submit("/sign-in", None, &[("token", TOKEN)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:#?}");
        let cookie = answer.header("set-cookie");
        cookie.split(';').next().expect("a cookie").to_owned()
    }

    /// What a browser with a cookie gets.
    pub async fn get_as(&self, cookie: &str, path: &str) -> Answer {
        Answer::of(self.ask(Method::GET, path).header(header::COOKIE, cookie)).await
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    headers: header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let response: Response = request.send().await.expect("an answer");
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.expect("an answer's text"),
        }
    }

    /// A header, which must be there.
    pub fn header(&self, name: &str) -> &str {
        let value = self
            .headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {self:#?}"));
        value.to_str().expect("a header of text")
    }

    #[track_caller]
    pub fn is(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    #[track_caller]
    pub fn has(self, text: &str) -> Self {
        assert!(self.text.contains(text), "no '{text}' in {self:#?}");
        self
    }

    #[track_caller]
    pub fn has_not(self, text: &str) -> Self {
        assert!(!self.text.contains(text), "'{text}' in {self:#?}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// What the forms on a page have to come with.
    #[track_caller]
    pub fn csrf(&self) -> String {
        let (_, rest) = self
            .text
            .split_once("name=\"csrf\" value=\"")
            .unwrap_or_else(|| panic!("no form in {self:#?}"));
        rest.split('"').next().expect("a value").to_owned()
    }
}
