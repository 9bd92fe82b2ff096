//! The page for people and the API for programs: what imports there are, how far each is, and what to do about it.
//!
//! Owns HTTP, who may do what over it, and how things look. What is shown comes from the ledger's read model, what is asked for goes to
//! the same functions as the command line's requests. Nothing here is needed for an import to go on.

#![warn(clippy::unwrap_used)]

mod access;
mod actions;
mod answers;
mod api;
mod app;
mod failure;
mod metrics;
mod pages;
mod query;
mod reject_page;
mod routes;
mod uploads;
mod words;

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use session::database::{self, DatabaseError, Purpose};
use tokio_util::sync::CancellationToken;

pub use access::{Token, TokenError, Tokens};
pub use api::openapi;
pub use app::ServeConfig;
pub use uploads::{Looked, LookedReject, Refused, Sniffed, Submitter};

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot go on listening")]
    Accept(#[source] io::Error),
}

/// A page that listens, and does not answer yet.
pub struct Server {
    listener: TcpListener,
    config: ServeConfig,
}

impl Server {
    /// Checks the database and listens.
    ///
    /// # Errors
    /// [`ServeError`], saying what to do.
    pub async fn bind(config: ServeConfig) -> Result<Self, ServeError> {
        let purpose = if config.tokens.is_empty() {
            Purpose::Look
        } else {
            Purpose::Serve
        };
        let session = database::session(config.connect.clone(), &config.name, database::Commit::Durable);
        database::check(&session, purpose).await?.close().await;
        let address = config.listen;
        let listener = TcpListener::bind(address)
            .and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok(listener)
            })
            .map_err(|source| ServeError::Listen { address, source })?;
        Ok(Self { listener, config })
    }

    /// Where it listens: the port, if any was to be taken, is known here.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.config.listen)
    }

    /// Answers until `stop`, and finishes what was begun.
    ///
    /// # Errors
    /// When the operating system takes the socket away.
    pub async fn run(self, stop: &CancellationToken) -> Result<(), ServeError> {
        let listener = tokio::net::TcpListener::from_std(self.listener).map_err(ServeError::Accept)?;
        let app = app::App::new(self.config);
        listener::serve(listener, routes::router(app.clone()), stop).await;
        app.close().await;
        Ok(())
    }
}
