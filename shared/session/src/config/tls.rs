//! What a staging says of TLS.

use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::{ConfigError, read_trimmed, url, warn_if_others_read};

/// How the server's certificate is checked, and by which our own is.
#[derive(Debug, Default)]
pub(super) struct Tls {
    mode: Option<PgSslMode>,
    /// Of whom the server's certificate must be; the public ones without.
    root_cert: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Tls {
    /// Reads `dir/.postgres.sslmode`, and finds the certificates and the key beside it, which are files in PEM themselves.
    pub fn read(dir: &Path) -> Result<Self, ConfigError> {
        let mode_file = dir.join(".postgres.sslmode");
        let mode = read_trimmed(&mode_file)?.map(|text| {
            text.parse().map_err(|_| ConfigError::Value {
                path: mode_file,
                expected: url::SSL_MODES,
            })
        });
        // A link that leads nowhere is there, too, and an error when it is read.
        let file = |name: &str| Some(dir.join(name)).filter(|path| path.symlink_metadata().is_ok());
        let key = file(".postgres.sslkey");
        if let Some(key) = &key {
            warn_if_others_read(key);
        }
        Ok(Self {
            mode: mode.transpose()?,
            root_cert: file(".postgres.sslrootcert"),
            cert: file(".postgres.sslcert"),
            key,
        })
    }

    /// What it leaves out is as the variables have it.
    pub fn apply(&self, mut options: PgConnectOptions) -> PgConnectOptions {
        if let Some(mode) = self.mode {
            options = options.ssl_mode(mode);
        }
        if let Some(path) = &self.root_cert {
            options = options.ssl_root_cert(path);
        }
        if let Some(path) = &self.cert {
            options = options.ssl_client_cert(path);
        }
        if let Some(path) = &self.key {
            options = options.ssl_client_key(path);
        }
        options
    }
}
