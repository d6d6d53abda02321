//! Connections to databases: which kind an address names, the pool of its connections, and the rules for its address. It
//! must not know what is asked of a database.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, MySqlPool, PgPool, SqlitePool};
use tokio::task::spawn_blocking;

use super::{Outbound, Secret};

/// The kinds of database that are spoken to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `PostgreSQL`.
    Postgres,
    /// `MySQL` and `MariaDB`.
    MySql,
    /// `SQLite`: a file.
    Sqlite,
}

impl Kind {
    /// The kind that an address is of: by what stands before its first colon.
    pub fn of(url: &str) -> Option<Self> {
        let (scheme, _) = url.split_once(':')?;
        match scheme {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" | "mariadb" => Some(Self::MySql),
            "sqlite" => Some(Self::Sqlite),
            _ => None,
        }
    }
}

/// A pool of connections; they are made when they are needed. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Database {
    /// `PostgreSQL`.
    Postgres(PgPool),
    /// `MySQL` and `MariaDB`.
    MySql(MySqlPool),
    /// `SQLite`.
    Sqlite(SqlitePool),
}

/// Why there is no such pool. It never shows the address, which holds a password as a rule.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address lies in a file that cannot be read.
    #[error("the address of the database cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
    /// It names no database that is spoken to.
    #[error("the address of the database begins with none of postgres:, mysql:, mariadb:, sqlite:")]
    Unknown,
    /// It cannot be understood.
    #[error("the address of the database cannot be understood: {0}")]
    Malformed(#[source] sqlx::Error),
    /// It is not called, or has no address.
    #[error("{host}: {reason}")]
    Unreachable {
        /// The name.
        host: String,
        /// Why not.
        #[source]
        reason: std::io::Error,
    },
}

impl Outbound {
    /// A pool of at most `most` connections to the database that `url` names; whoever needs one waits at most `patience`.
    /// To be called, and the pool to be used, on this runtime. The address is looked at here; the connection is made later.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn database(
        &self,
        url: &Secret,
        most: u32,
        patience: Duration,
    ) -> Result<Database, DatabaseError> {
        let url = url.clone();
        let url = spawn_blocking(move || url.reveal())
            .await
            .expect("the thread ends with what it read")
            .map_err(DatabaseError::Unreadable)?;
        let ca = self.options().ca;
        match Kind::of(&url).ok_or(DatabaseError::Unknown)? {
            Kind::Postgres => {
                let mut options = PgConnectOptions::from_str(&url)
                    .map_err(DatabaseError::Malformed)?
                    .application_name("standpipe")
                    .disable_statement_logging();
                if let Some(ca) = ca {
                    options = options.ssl_root_cert(ca);
                }
                if options.get_socket().is_none() {
                    self.look_at(options.get_host(), options.get_port()).await?;
                }
                let pool = PgPoolOptions::new().max_connections(most);
                let pool = pool.acquire_timeout(patience).connect_lazy_with(options);
                Ok(Database::Postgres(pool))
            }
            Kind::MySql => {
                let mut options = MySqlConnectOptions::from_str(&url)
                    .map_err(DatabaseError::Malformed)?
                    .disable_statement_logging();
                if let Some(ca) = ca {
                    options = options.ssl_ca(ca);
                }
                if options.get_socket().is_none() {
                    self.look_at(options.get_host(), options.get_port()).await?;
                }
                let pool = MySqlPoolOptions::new().max_connections(most);
                let pool = pool.acquire_timeout(patience).connect_lazy_with(options);
                Ok(Database::MySql(pool))
            }
            Kind::Sqlite => {
                let options = SqliteConnectOptions::from_str(&url)
                    .map_err(DatabaseError::Malformed)?
                    .busy_timeout(patience)
                    .disable_statement_logging();
                let pool = SqlitePoolOptions::new().max_connections(most);
                let pool = pool.acquire_timeout(patience).connect_lazy_with(options);
                Ok(Database::Sqlite(pool))
            }
        }
    }

    /// Refuses a name that leads only to addresses which are never called.
    async fn look_at(&self, host: &str, port: u16) -> Result<(), DatabaseError> {
        // A host that begins so is a directory of sockets.
        if host.starts_with('/') {
            return Ok(());
        }
        let found = self.0.reach.resolve(host, port).await;
        found
            .map(drop)
            .map_err(|reason| DatabaseError::Unreachable {
                host: host.to_owned(),
                reason,
            })
    }
}
