//! Which tables are fit for a sink.

use super::*;

/// Whether a table made of `columns` is fit; otherwise what was said about it.
async fn fitness(kind: Kind, columns: &str, mode: Mode) -> Result<(), String> {
    let base = Base::bare(kind);
    let table = &base.table;
    base.execute(&format!("CREATE TABLE {table} ({columns})"))
        .await;
    match base.open(mode).await {
        Ok(session) => {
            session.close().await;
            Ok(())
        }
        Err(Fault::Unsuitable(said)) => Err(said),
        Err(other) => panic!("{columns}: {other:?}"),
    }
}

async fn fit(kind: Kind, mode: Mode, tables: &[&str]) {
    for columns in tables {
        assert_eq!(fitness(kind, columns, mode).await, Ok(()), "{columns}");
    }
}

async fn unfit(kind: Kind, mode: Mode, tables: &[(&str, &str)]) {
    for (columns, expected) in tables {
        let said = fitness(kind, columns, mode).await.expect_err(columns);
        assert!(said.contains(expected), "{columns}: {said}");
    }
}

each_database! {
    async fn a_table_that_is_not_there_is_named(kind: Kind) {
        let base = Base::bare(kind);
        let Err(Fault::Unsuitable(said)) = base.open(UPSERT).await else {
            panic!("a table that is not there was opened");
        };
        assert!(said.contains(&base.table), "{said}");
    }

    async fn names_that_need_quoting_are_quoted(kind: Kind) {
        let base = Base::bare(kind);
        let table = format!("a \"b\" `c` {}", base.table);
        let mark = kind.pick('"', '`', '"');
        let quoted = |name: &str| name::quoted(name, mark);
        base.execute(&format!(
            "CREATE TABLE {} ({} {} NOT NULL PRIMARY KEY, {} bigint)",
            quoted(&table), quoted("Key \"of` it"), kind.key(), quoted("select")
        )).await;
        let target = SqlTarget {
            table: format!("\"{}\"", table.replace('"', "\"\"")),
            key_column: "Key \"of` it".to_owned(),
            value_column: "select".to_owned(),
            ..base.target()
        };
        let connection = base.connect().await;
        let mut session = Session::open(connection, &target, Mode::Increment, PATIENCE, BATCH).await.unwrap();
        let applied = apply(&mut session, &Book::sums(&[("a", 1)]), None).await.unwrap();
        assert_eq!(applied.keys, 1);
    }
}

#[tokio::test]
async fn tables_of_sqlite() {
    let kind = Kind::Sqlite;
    fit(
        kind,
        Mode::Increment,
        &[
            "k TEXT PRIMARY KEY, v INTEGER",
            "k VARCHAR(9) UNIQUE, v INT, at TEXT NOT NULL DEFAULT '', id INTEGER PRIMARY KEY",
            "k BLOB UNIQUE NOT NULL, v BIGINT",
            "K TEXT, V INTEGER, UNIQUE (k), UNIQUE (k COLLATE NOCASE)",
            "k TEXT PRIMARY KEY, v INTEGER, twice INTEGER NOT NULL AS (v * 2)",
        ],
    )
    .await;
    unfit(
        kind,
        Mode::Increment,
        &[
            ("k TEXT, v INTEGER", "unique index"),
            ("k TEXT, v INTEGER, UNIQUE (k, v)", "unique index"),
            ("k TEXT COLLATE NOCASE PRIMARY KEY, v INTEGER", "NOCASE"),
            ("k TEXT COLLATE RTRIM PRIMARY KEY, v INTEGER", "RTRIM"),
            ("k TEXT PRIMARY KEY, v TEXT", "no whole number"),
            ("k TEXT PRIMARY KEY, v REAL", "no whole number"),
            ("k INTEGER PRIMARY KEY, v INTEGER", "key_column"),
            ("k NUMERIC PRIMARY KEY, v INTEGER", "key_column"),
            ("k PRIMARY KEY, v INTEGER", "key_column"),
            ("k TEXT PRIMARY KEY, w INTEGER", "value_column"),
            ("l TEXT PRIMARY KEY, v INTEGER", "key_column"),
            ("k TEXT PRIMARY KEY, v INTEGER, w TEXT NOT NULL", "\"w\""),
        ],
    )
    .await;
    fit(
        kind,
        UPSERT,
        &["k TEXT PRIMARY KEY, v TEXT", "k TEXT PRIMARY KEY, v BLOB"],
    )
    .await;
    unfit(
        kind,
        UPSERT,
        &[
            ("k TEXT PRIMARY KEY, v INTEGER", "value_column"),
            ("k TEXT PRIMARY KEY, v JSON", "value_column"),
            ("k TEXT PRIMARY KEY, v", "value_column"),
        ],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs a database: tests/run sinks"]
async fn tables_of_postgres() {
    let kind = Kind::Postgres;
    let base = Base::bare(kind);
    base.execute(
        "DROP COLLATION IF EXISTS folding; \
         CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         DROP DOMAIN IF EXISTS page; CREATE DOMAIN page AS varchar(5)",
    )
    .await;
    fit(
        kind,
        Mode::Increment,
        &[
            "k text PRIMARY KEY, v bigint",
            "k varchar(9) UNIQUE, v int, at timestamptz NOT NULL DEFAULT now(), id int GENERATED ALWAYS AS IDENTITY",
            "k bytea PRIMARY KEY, v smallint",
            "k text UNIQUE, v numeric, id bigserial PRIMARY KEY",
            "k text COLLATE \"C\" PRIMARY KEY, v bigint",
            "k page PRIMARY KEY, v bigint",
            "k text PRIMARY KEY, v bigint, twice bigint NOT NULL GENERATED ALWAYS AS (v * 2) STORED",
        ],
    )
    .await;
    unfit(
        kind,
        Mode::Increment,
        &[
            ("k text, v bigint", "unique index"),
            ("k text, v bigint, UNIQUE (k, v)", "unique index"),
            ("k text UNIQUE DEFERRABLE, v bigint", "unique index"),
            ("k text COLLATE folding PRIMARY KEY, v bigint", "folding"),
            ("k char(9) PRIMARY KEY, v bigint", "key_column"),
            ("k int PRIMARY KEY, v bigint", "key_column"),
            ("k text PRIMARY KEY, v text", "no whole number"),
            ("k text PRIMARY KEY, v float8", "no whole number"),
            ("k text PRIMARY KEY, w bigint", "value_column"),
            ("l text PRIMARY KEY, v bigint", "key_column"),
            ("k text PRIMARY KEY, v bigint, w text NOT NULL", "\"w\""),
        ],
    )
    .await;
    let values = ["text", "varchar", "varchar(9)", "bytea", "json", "jsonb"];
    for value in values {
        fit(kind, UPSERT, &[&format!("k text PRIMARY KEY, v {value}")]).await;
    }
    for value in ["bigint", "char(9)", "xml", "text[]", "timestamptz"] {
        let table = format!("k text PRIMARY KEY, v {value}");
        unfit(kind, UPSERT, &[(&table, "value_column")]).await;
    }
    // Indexes that are no constraints, and what is no table.
    let (table, view) = (base.table.clone(), format!("{}_view", base.table));
    base.execute(&format!(
        "CREATE TABLE {table} (k text, v bigint); CREATE UNIQUE INDEX ON {table} (k) WHERE v > 0; \
         CREATE UNIQUE INDEX ON {table} (lower(k)); CREATE VIEW {view} AS SELECT * FROM {table}"
    ))
    .await;
    assert!(matches!(
        base.open(Mode::Increment).await,
        Err(Fault::Unsuitable(_))
    ));
    base.execute(&format!("CREATE UNIQUE INDEX ON {table} (k)"))
        .await;
    base.open(Mode::Increment).await.unwrap();
    let base = Base {
        table: view,
        ..base
    };
    assert!(matches!(
        base.open(Mode::Increment).await,
        Err(Fault::Unsuitable(_))
    ));
}

#[tokio::test]
#[ignore = "needs a database: tests/run sinks"]
async fn tables_of_mariadb() {
    let kind = Kind::MariaDb;
    let key = "k VARCHAR(99) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
    let tables = [
        "PRIMARY KEY, v BIGINT",
        "UNIQUE, v INT UNSIGNED, at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP",
        "UNIQUE, v DECIMAL(20), id BIGINT AUTO_INCREMENT PRIMARY KEY",
        "UNIQUE, v INT, other INT NULL, UNIQUE (other)",
        "UNIQUE, v INT, other INT NOT NULL DEFAULT 0, UNIQUE (other, k)",
        "PRIMARY KEY, v BIGINT, twice BIGINT AS (v * 2)",
    ];
    for table in tables {
        fit(kind, Mode::Increment, &[&format!("{key} {table}")]).await;
    }
    fit(
        kind,
        Mode::Increment,
        &["k VARBINARY(99) PRIMARY KEY, v INT"],
    )
    .await;
    for (table, expected) in [
        (", v BIGINT", "unique index"),
        (", v BIGINT, UNIQUE (k, v)", "unique index"),
        (", v BIGINT, UNIQUE (k(5)), PRIMARY KEY (k)", "mistaken"),
        ("PRIMARY KEY, v BIGINT UNIQUE", "mistaken"),
        (
            "PRIMARY KEY, v BIGINT, w INT NOT NULL DEFAULT 0 UNIQUE",
            "mistaken",
        ),
        ("PRIMARY KEY, v BIGINT, w INT NOT NULL", "\"w\""),
        ("PRIMARY KEY, v TEXT", "no whole number"),
        ("PRIMARY KEY, v DOUBLE", "no whole number"),
    ] {
        unfit(
            kind,
            Mode::Increment,
            &[(&format!("{key} {table}"), expected)],
        )
        .await;
    }
    unfit(
        kind,
        Mode::Increment,
        &[
            ("k VARCHAR(99) PRIMARY KEY, v INT", "utf8mb4_bin"),
            ("k CHAR(99) PRIMARY KEY, v INT", "key_column"),
            ("k BINARY(99) PRIMARY KEY, v INT", "key_column"),
            ("k INT PRIMARY KEY, v INT", "key_column"),
        ],
    )
    .await;
    for value in [
        "TEXT",
        "VARCHAR(9)",
        "LONGTEXT",
        "BLOB",
        "VARBINARY(9)",
        "JSON",
    ] {
        fit(kind, UPSERT, &[&format!("{key} PRIMARY KEY, v {value}")]).await;
    }
    let base = Base::bare(kind);
    let table = &base.table;
    base.execute(&format!(
        "CREATE TABLE {table} ({key} PRIMARY KEY, v BIGINT) ENGINE = MyISAM"
    ))
    .await;
    let Err(Fault::Unsuitable(said)) = base.open(Mode::Increment).await else {
        panic!("an engine without transactions was taken");
    };
    assert!(said.contains("InnoDB"), "{said}");
}

#[tokio::test]
#[ignore = "needs a database: tests/run sinks"]
async fn the_table_of_notes_is_told_where_it_cannot_be_made() {
    let base = Base::bare(Kind::Postgres);
    let schema = format!("{}_schema", base.table);
    base.execute(&format!(
        "CREATE SCHEMA {schema}; CREATE TABLE {schema}.t (k text PRIMARY KEY, v bigint); \
         CREATE ROLE {schema}_r LOGIN PASSWORD 'hunter2'; GRANT USAGE ON SCHEMA {schema} TO {schema}_r; \
         GRANT SELECT, INSERT, UPDATE ON {schema}.t TO {schema}_r"
    ))
    .await;
    let url = std::env::var("STANDPIPE_TEST_POSTGRES").unwrap();
    let (_, address) = url.split_once('@').unwrap();
    let secret = Secret::Given(format!("postgres://{schema}_r:hunter2@{address}").into());
    let connection = base
        .outbound
        .connect_database(&secret, PATIENCE)
        .await
        .unwrap();
    let target = SqlTarget {
        table: format!("{schema}.t"),
        ..base.target()
    };
    let refused = Session::open(connection, &target, Mode::Increment, PATIENCE, BATCH).await;
    let Err(Fault::Unsuitable(said)) = refused else {
        panic!("it was made without the right");
    };
    assert!(
        said.contains("standpipe_sink") && said.contains("permission denied"),
        "{said}"
    );
    base.execute(&format!(
        "DROP SCHEMA {schema} CASCADE; DROP ROLE {schema}_r"
    ))
    .await;
}
