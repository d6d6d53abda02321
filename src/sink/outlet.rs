//! The target of a sink as it is reached now: a connection that is kept between generations, or an HTTP client. It must not
//! know when something is passed on.

use std::sync::Arc;

use super::ledger::{Applied, Decision, Fault, Ledger, Unapplied};
use super::options::{Options, SqlTarget, Target};
use super::sql;
use super::web::Poster;
use crate::outbound::Outbound;

/// Where the changes of one keyspace go.
#[derive(Debug)]
pub(super) enum Outlet {
    Sql(Box<Database>),
    Web(Box<Poster>),
}

impl Outlet {
    pub(super) fn new(outbound: Outbound, options: &Arc<Options>) -> Self {
        match &options.target {
            Target::Sql(target) => Self::Sql(Box::new(Database {
                outbound,
                target: target.clone(),
                options: Arc::clone(options),
                session: None,
            })),
            Target::Http(target) => Self::Web(Box::new(Poster::new(outbound, target, options))),
        }
    }

    /// What may be shown of the address.
    pub(super) async fn address(&self) -> Result<String, Fault> {
        match self {
            Self::Web(poster) => poster.shown_address(),
            Self::Sql(database) => {
                let url = &database.target.url;
                let shown = database.outbound.shown_address(url).await;
                shown.map_err(|error| Fault::Failed(error.to_string()))
            }
        }
    }

    /// Sees that there is something to pass changes on to. A server for HTTP is not asked before there is something to send.
    pub(super) async fn look(&mut self) -> Result<(), Fault> {
        match self {
            Self::Web(poster) => poster.shown_address().map(drop),
            Self::Sql(database) => {
                database.session = Some(database.session().await?);
                Ok(())
            }
        }
    }

    /// Passes a generation on.
    pub(super) async fn pass_on<L: Ledger>(
        &mut self,
        ledger: &L,
        decision: Option<Decision>,
    ) -> Result<Applied, Unapplied<L::Failure>> {
        let database = match self {
            Self::Web(poster) => return poster.send(ledger).await,
            Self::Sql(database) => database,
        };
        let mut session = database.session().await?;
        let applied = sql::apply(&mut session, ledger, decision).await;
        // After any other failure nobody knows where the connection stands.
        if matches!(applied, Ok(_) | Err(Unapplied::Ahead(_))) {
            database.session = Some(session);
        }
        applied
    }

    /// Says goodbye to whoever is still connected.
    pub(super) async fn close(self) {
        if let Self::Sql(database) = self
            && let Some(session) = database.session
        {
            session.close().await;
        }
    }
}

/// A table of a database.
#[derive(Debug)]
pub(super) struct Database {
    outbound: Outbound,
    target: SqlTarget,
    options: Arc<Options>,
    /// `None` before the first use, and after a failure.
    session: Option<sql::Session>,
}

impl Database {
    /// The connection that was kept, if it still holds, or a new one.
    async fn session(&mut self) -> Result<sql::Session, Fault> {
        if let Some(mut session) = self.session.take()
            && session.is_alive().await
        {
            return Ok(session);
        }
        let Options {
            mode,
            timeout,
            batch,
            ..
        } = *self.options;
        let connected = self
            .outbound
            .connect_database(&self.target.url, timeout)
            .await;
        let connection = connected.map_err(|error| Fault::Failed(error.to_string()))?;
        sql::Session::open(connection, &self.target, mode, timeout, batch).await
    }
}
