//! Connections to databases: which kind an address names, the pool of its connections, and the rules for its address. It
//! must not know what is asked of a database.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPoolOptions};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, MySqlPool, PgPool, SqlitePool};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

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
    /// No connection came about.
    #[error("no connection: {0}")]
    Refused(#[source] sqlx::Error),
    /// No connection came about in time.
    #[error("no connection within {} ms (outbound.connect_timeout)", after.as_millis())]
    Slow {
        /// How long it was waited for.
        after: Duration,
    },
}

/// A single connection, for whoever needs to know what becomes of it: dropping it ends it, and takes back what was not
/// committed.
#[derive(Debug)]
pub enum Connection {
    /// `PostgreSQL`.
    Postgres(PgConnection),
    /// `MySQL` and `MariaDB`.
    MySql(MySqlConnection),
    /// `SQLite`.
    Sqlite(SqliteConnection),
}

/// What an address says, understood.
#[derive(Clone, Debug)]
enum Address {
    Postgres(PgConnectOptions),
    MySql(MySqlConnectOptions),
    Sqlite(SqliteConnectOptions),
}

impl Address {
    fn parse(url: &str, ca: Option<PathBuf>) -> Result<Self, DatabaseError> {
        let address = match Kind::of(url).ok_or(DatabaseError::Unknown)? {
            Kind::Postgres => {
                let options = PgConnectOptions::from_str(url).map_err(DatabaseError::Malformed)?;
                let options = options.application_name("standpipe");
                Self::Postgres(match ca {
                    Some(ca) => options.ssl_root_cert(ca),
                    None => options,
                })
            }
            Kind::MySql => {
                let options =
                    MySqlConnectOptions::from_str(url).map_err(DatabaseError::Malformed)?;
                Self::MySql(match ca {
                    Some(ca) => options.ssl_ca(ca),
                    None => options,
                })
            }
            Kind::Sqlite => {
                Self::Sqlite(SqliteConnectOptions::from_str(url).map_err(DatabaseError::Malformed)?)
            }
        };
        Ok(address.without_logging())
    }

    /// Statements hold values, and values are never shown.
    fn without_logging(self) -> Self {
        match self {
            Self::Postgres(options) => Self::Postgres(options.disable_statement_logging()),
            Self::MySql(options) => Self::MySql(options.disable_statement_logging()),
            Self::Sqlite(options) => Self::Sqlite(options.disable_statement_logging()),
        }
    }

    /// Host and port, where it is called over the network.
    fn host(&self) -> Option<(&str, u16)> {
        match self {
            // A host that begins so is a directory of sockets.
            Self::Postgres(options) => (options.get_socket().is_none()
                && !options.get_host().starts_with('/'))
            .then(|| (options.get_host(), options.get_port())),
            Self::MySql(options) => options
                .get_socket()
                .is_none()
                .then(|| (options.get_host(), options.get_port())),
            Self::Sqlite(_) => None,
        }
    }

    /// What may be shown of it: the kind, where it is, and the name of the database.
    fn shown(&self) -> String {
        let (scheme, database) = match self {
            Self::Postgres(options) => ("postgres", options.get_database()),
            Self::MySql(options) => ("mysql", options.get_database()),
            Self::Sqlite(options) => return format!("sqlite:{}", options.get_filename().display()),
        };
        let database = database.unwrap_or_default();
        match self.host() {
            None => format!("{scheme}:///{database}"),
            Some((host, port)) if host.contains(':') => {
                format!("{scheme}://[{host}]:{port}/{database}")
            }
            Some((host, port)) => format!("{scheme}://{host}:{port}/{database}"),
        }
    }
}

impl DatabaseError {
    /// Whether it is the place that cannot be reached, and not its address that cannot be used.
    pub fn is_reach(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
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
        let address = self.address(url).await?;
        self.look_at(&address).await?;
        Ok(match address {
            Address::Postgres(options) => {
                let pool = PgPoolOptions::new().max_connections(most);
                Database::Postgres(pool.acquire_timeout(patience).connect_lazy_with(options))
            }
            Address::MySql(options) => {
                let pool = MySqlPoolOptions::new().max_connections(most);
                Database::MySql(pool.acquire_timeout(patience).connect_lazy_with(options))
            }
            Address::Sqlite(options) => {
                let options = options.busy_timeout(patience);
                let pool = SqlitePoolOptions::new().max_connections(most);
                Database::Sqlite(pool.acquire_timeout(patience).connect_lazy_with(options))
            }
        })
    }

    /// Connects to the database that `url` names. A file that somebody else writes to is waited for at most `patience`.
    /// To be called, and the connection to be used, on this runtime.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn connect_database(
        &self,
        url: &Secret,
        patience: Duration,
    ) -> Result<Connection, DatabaseError> {
        let address = self.address(url).await?;
        self.look_at(&address).await?;
        let after = self.options().connect_timeout;
        let connected = async {
            Ok(match &address {
                Address::Postgres(options) => Connection::Postgres(options.connect().await?),
                Address::MySql(options) => Connection::MySql(options.connect().await?),
                Address::Sqlite(options) => {
                    let options = options.clone().busy_timeout(patience);
                    Connection::Sqlite(options.connect().await?)
                }
            })
        };
        match timeout(after, connected).await {
            Ok(connected) => connected.map_err(DatabaseError::Refused),
            Err(_elapsed) => Err(DatabaseError::Slow { after }),
        }
    }

    /// What may be shown of the address of a database: its kind, where it is, its name. Nothing else.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn shown_address(&self, url: &Secret) -> Result<String, DatabaseError> {
        Ok(self.address(url).await?.shown())
    }

    async fn address(&self, url: &Secret) -> Result<Address, DatabaseError> {
        let url = url.clone();
        let url = spawn_blocking(move || url.reveal())
            .await
            .expect("the thread ends with what it read")
            .map_err(DatabaseError::Unreadable)?;
        Address::parse(&url, self.options().ca)
    }

    /// Refuses a name that leads only to addresses which are never called.
    async fn look_at(&self, address: &Address) -> Result<(), DatabaseError> {
        let Some((host, port)) = address.host() else {
            return Ok(());
        };
        let found = self.0.reach.resolve(host, port).await;
        found
            .map(drop)
            .map_err(|reason| DatabaseError::Unreachable {
                host: host.to_owned(),
                reason,
            })
    }
}
