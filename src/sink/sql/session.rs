//! One connection to a database, with a table that was looked at: each step of a transaction, bounded in time. It must not know
//! which steps follow one another.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

use super::column::Shape;
use super::mysql;
use super::name::TableName;
use super::postgres;
use super::sqlite;
use crate::outbound::DatabaseConnection as Connection;
use crate::sink::ahead::Note;
use crate::sink::ledger::Fault;
use crate::sink::options::{Mode, SqlTarget};
use crate::sink::row::{Identity, Row};

/// What the rows of one statement are to become. All rows of a statement are of one kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Does {
    /// More, or less.
    Add,
    /// This.
    Put,
    /// Nothing.
    Remove,
}

/// The table, in words of no database.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: TableName,
    pub(super) key: String,
    pub(super) value: String,
    pub(super) mode: Mode,
    /// How long one statement may take.
    pub(super) timeout: Duration,
    /// The rows of a statement, as a rule; only such a one is worth keeping prepared.
    pub(super) batch: usize,
}

/// A connection on which the table was found to be fit.
#[derive(Debug)]
pub(in crate::sink) struct Session {
    inner: Inner,
    shape: Shape,
    timeout: Duration,
    batch: usize,
}

#[derive(Debug)]
enum Inner {
    Postgres(postgres::Session),
    MySql(mysql::Session),
    Sqlite(sqlite::Session),
}

/// The same call, whichever database it is, within the time of one step.
macro_rules! step {
    ($self:ident, $session:ident => $call:expr) => {
        match &mut $self.inner {
            Inner::Postgres($session) => within($self.timeout, $call).await,
            Inner::MySql($session) => within($self.timeout, $call).await,
            Inner::Sqlite($session) => within($self.timeout, $call).await,
        }
    };
}

impl Session {
    /// Looks at the table of `target`, and makes the table of notes beside it where there is none.
    pub(in crate::sink) async fn open(
        connection: Connection,
        target: &SqlTarget,
        mode: Mode,
        patience: Duration,
        batch: usize,
    ) -> Result<Self, Fault> {
        let table = Table {
            name: TableName::parse(&target.table).map_err(Fault::unsuitable)?,
            key: target.key_column.clone(),
            value: target.value_column.clone(),
            mode,
            timeout: patience,
            batch,
        };
        let opened = async {
            Ok(match connection {
                Connection::Postgres(connection) => {
                    let (session, shape) = postgres::Session::open(connection, table).await?;
                    (Inner::Postgres(session), shape)
                }
                Connection::MySql(connection) => {
                    let (session, shape) = mysql::Session::open(connection, table).await?;
                    (Inner::MySql(session), shape)
                }
                Connection::Sqlite(connection) => {
                    let (session, shape) = sqlite::Session::open(connection, table).await?;
                    (Inner::Sqlite(session), shape)
                }
            })
        };
        let (inner, shape) = within(patience, opened).await?;
        Ok(Self {
            inner,
            shape,
            timeout: patience,
            batch,
        })
    }

    /// What the columns take.
    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The most rows of one statement.
    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    /// Whether the connection still holds.
    pub(in crate::sink) async fn is_alive(&mut self) -> bool {
        step!(self, session => session.ping()).is_ok()
    }

    /// Begins a transaction.
    pub(super) async fn begin(&mut self) -> Result<(), Fault> {
        step!(self, session => session.begin())
    }

    /// What is noted of the last generation, which nobody else changes until this transaction has ended.
    pub(super) async fn note(&mut self, identity: Identity) -> Result<Option<Note>, Fault> {
        step!(self, session => session.note(identity))
    }

    /// Notes a generation.
    pub(super) async fn set_note(
        &mut self,
        identity: Identity,
        keyspace: &str,
        note: Note,
    ) -> Result<(), Fault> {
        step!(self, session => session.set_note(identity, keyspace, note))
    }

    /// Marks a place to go back to.
    pub(super) async fn mark(&mut self) -> Result<(), Fault> {
        step!(self, session => session.mark())
    }

    /// Forgets that place.
    pub(super) async fn unmark(&mut self) -> Result<(), Fault> {
        step!(self, session => session.unmark())
    }

    /// Goes back to that place.
    pub(super) async fn go_back(&mut self) -> Result<(), Fault> {
        step!(self, session => session.go_back())
    }

    /// Does the same for many rows, none of which is there twice.
    pub(super) async fn run(&mut self, does: Does, rows: &[Row]) -> Result<(), Fault> {
        step!(self, session => session.run(does, rows))
    }

    /// Adds to one row that is there, and says whether there was one. Where the database looks at a row that is only to be
    /// added to as if it were a new one, a sum may be refused that the column would take.
    pub(super) async fn add_to_existing(&mut self, row: &Row) -> Result<bool, Fault> {
        step!(self, session => session.add_to_existing(row))
    }

    /// Takes everything back.
    pub(super) async fn roll_back(&mut self) -> Result<(), Fault> {
        step!(self, session => session.roll_back())
    }

    /// Ends the transaction. Whether it has taken effect is known only when this succeeds.
    pub(super) async fn commit(&mut self) -> Result<(), Fault> {
        step!(self, session => session.commit())
    }

    /// Says goodbye.
    pub(in crate::sink) async fn close(self) {
        let closed = match self.inner {
            Inner::Postgres(session) => within(self.timeout, session.close()).await,
            Inner::MySql(session) => within(self.timeout, session.close()).await,
            Inner::Sqlite(session) => within(self.timeout, session.close()).await,
        };
        if let Err(fault) = closed {
            tracing::debug!(?fault, "a connection was not closed in order");
        }
    }
}

async fn within<T>(
    patience: Duration,
    step: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout(patience, step).await.unwrap_or_else(|_elapsed| {
        let ms = patience.as_millis();
        Err(Fault::Failed(format!("no answer within {ms} ms (timeout)")))
    })
}
