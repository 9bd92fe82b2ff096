//! Requests that go where they are sent, and nowhere else.

use std::time::Duration;

use object_store::{
    ClientOptions, Error,
    client::{HttpClient, HttpConnector},
};
use reqwest::redirect::Policy;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take, as a whole.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Makes clients that follow no redirection.
#[derive(Debug)]
pub(crate) struct Straight;

impl HttpConnector for Straight {
    fn connect(&self, _: &ClientOptions) -> Result<HttpClient, Error> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build();
        client.map(HttpClient::new).map_err(|source| Error::Generic {
            store: "HTTP",
            source: source.into(),
        })
    }
}
