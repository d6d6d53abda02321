//! Rows that are refused for good: found among the others, set aside before the rest is committed.

use super::*;
use crate::sink::book::{added, put};
use crate::sink::row::Refused;

fn failed<T>(result: Result<T, Unapplied<&'static str>>) -> Unapplied<&'static str> {
    result.map(drop).unwrap_err()
}

each_database! {
    async fn rows_that_a_constraint_refuses_are_found_and_the_rest_is_applied(kind: Kind) {
        let base = Base::new(kind, "v bigint CHECK (v < 100)").await;
        let rows: Vec<_> = (0..40).map(|n| (format!("{n:02}"), if n % 7 == 3 { 100 + n } else { n })).collect();
        let rows: Vec<_> = rows.iter().map(|(key, sum)| (key.as_str(), *sum)).collect();
        let book = Book::sums(&rows);
        let applied = base.apply(&book, Mode::Increment).await.unwrap();
        assert_eq!((applied.keys, applied.refused), (34, 6));
        assert_eq!(book.dead_keys(), ["03", "10", "17", "24", "31", "38"]);
        assert_eq!(base.rows().await.len(), 34);
        assert!(base.apply(&book, Mode::Increment).await.unwrap().before);
    }

    async fn a_sum_is_judged_by_what_it_makes_of_the_row(kind: Kind) {
        let base = Base::new(kind, "v bigint CHECK (v >= 0)").await;
        let book = Book::sums(&[("a", 10), ("b", 10), ("c", 10)]);
        base.apply(&book, Mode::Increment).await.unwrap();
        let book = book.next(added(&[("a", -10), ("b", -11), ("c", 1), ("new", -1)]));
        let applied = base.apply(&book, Mode::Increment).await.unwrap();
        assert_eq!((applied.keys, applied.refused), (2, 2));
        assert_eq!(book.dead_keys(), ["b", "new"]);
        assert_eq!(base.rows().await, texts(&[("a", "0"), ("b", "10"), ("c", "11")]));
    }

    async fn a_sum_that_leaves_the_columns_range_is_refused(kind: Kind) {
        let base = Base::new(kind, "v bigint").await;
        let book = Book::sums(&[("a", i64::MAX), ("b", i64::MIN), ("c", 1)]);
        base.apply(&book, Mode::Increment).await.unwrap();
        let book = book.next(added(&[("a", 1), ("b", -1), ("c", 1)]));
        let applied = base.apply(&book, Mode::Increment).await.unwrap();
        assert_eq!((applied.keys, applied.refused), (1, 2));
        assert_eq!(book.dead_keys(), ["a", "b"]);
        let expected = texts(&[("a", &i64::MAX.to_string()), ("b", &i64::MIN.to_string()), ("c", "2")]);
        assert_eq!(base.rows().await, expected);
    }

    async fn values_that_the_column_cannot_keep_are_refused(kind: Kind) {
        let json = kind.pick("jsonb", "JSON", "TEXT CHECK (json_valid(v))");
        let base = Base::new(kind, &format!("v {json}")).await;
        let book = Book::new([put("binary", b"\xff\xfe"), put("json", b"{\"a\":1}"), put("none", b"{nonsense")]);
        let applied = base.apply(&book, UPSERT).await.unwrap();
        assert_eq!((applied.keys, applied.refused), (1, 2));
        assert_eq!(book.dead_keys(), ["binary", "none"]);
    }

    async fn where_they_cannot_be_set_aside_nothing_is_applied(kind: Kind) {
        let base = Base::new(kind, "v bigint CHECK (v < 100)").await;
        let book = Book { room: 1, ..Book::sums(&[("a", 1), ("b", 100), ("c", 100)]) };
        let refused = failed(base.apply(&book, Mode::Increment).await);
        assert!(matches!(refused, Unapplied::NoRoom { limit: 1 }), "{refused:?}");
        assert_eq!(base.rows().await, []);
        let book = Book { room: 2, is_stuck: true, ..book };
        let refused = failed(base.apply(&book, Mode::Increment).await);
        assert!(matches!(refused, Unapplied::Ledger("the disk is full")), "{refused:?}");
        assert_eq!(base.rows().await, []);
        let book = Book { is_stuck: false, ..book };
        let applied = base.apply(&book, Mode::Increment).await.unwrap();
        assert_eq!((applied.keys, applied.refused), (1, 2));
        assert_eq!(base.rows().await, texts(&[("a", "1")]));
    }

    async fn rows_set_aside_before_a_crash_are_not_missed_behind_it(kind: Kind) {
        let base = Base::new(kind, "v bigint CHECK (v < 100)").await;
        let book = Book::sums(&[("a", 1), ("b", 100)]);
        // A transaction that ended before its commit, with `b` set aside.
        let mut session = base.open(Mode::Increment).await.unwrap();
        session.begin().await.unwrap();
        session.note(book.identity).await.unwrap();
        let refused = Refused { key: "b".into(), reason: "100".into() };
        book.set_aside(&[refused]).await.unwrap();
        drop(session);
        let applied = base.apply(&book, Mode::Increment).await.unwrap();
        assert_eq!((applied.keys, applied.refused), (1, 0));
        assert!(base.apply(&book, Mode::Increment).await.unwrap().before);
        // The backup of a store from before `b` was set aside would lose it.
        let backup = Book { identity: book.identity, ..Book::sums(&[("a", 1), ("b", 100)]) };
        let refused = failed(base.apply(&backup, Mode::Increment).await);
        assert!(matches!(refused, Unapplied::Ahead(_)), "{refused:?}");
    }

    async fn a_failure_that_may_pass_sets_nothing_aside(kind: Kind) {
        let base = Base::new(kind, "v bigint").await;
        let book = Book::sums(&[("a", 1)]);
        let mut session = base.open(Mode::Increment).await.unwrap();
        base.execute(&format!("DROP TABLE {}", base.table)).await;
        let refused = failed(apply(&mut session, &book, None).await);
        assert!(matches!(refused, Unapplied::Fault(Fault::Failed(_))), "{refused:?}");
        assert!(book.dead_keys().is_empty());
    }
}

#[tokio::test]
#[ignore = "needs a database: tests/run sinks"]
async fn what_only_postgres_refuses_is_refused_there() {
    let base = Base::new(Kind::Postgres, "v varchar(3)").await;
    let book = Book::new([
        put("nul\0key", b"x"),
        put("nul", b"a\0"),
        put("long", b"four"),
        put("spaces", b"abc "),
        put("fits", "\u{1F600}bc".as_bytes()),
    ]);
    let applied = base.apply(&book, UPSERT).await.unwrap();
    assert_eq!((applied.keys, applied.refused), (1, 4));
    // A constraint that is looked at only at the commit is looked at before.
    let base = Base::new(
        Kind::Postgres,
        "v bigint, CONSTRAINT one UNIQUE (v) DEFERRABLE INITIALLY DEFERRED",
    )
    .await;
    let book = Book::sums(&[("a", 1), ("b", 1), ("c", 2)]);
    let applied = base.apply(&book, Mode::Increment).await.unwrap();
    assert_eq!((applied.keys, applied.refused), (2, 1));
    // What a trigger raises is about the row.
    let base = Base::new(Kind::Postgres, "v bigint").await;
    let table = &base.table;
    base.execute(&format!(
        "CREATE FUNCTION {table}_f() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN IF NEW.k = 'no' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER f BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_f()"
    ))
    .await;
    let book = Book::sums(&[("no", 1), ("yes", 1)]);
    base.apply(&book, Mode::Increment).await.unwrap();
    assert_eq!(book.dead_keys(), ["no"]);
}

#[tokio::test]
#[ignore = "needs a database: tests/run sinks"]
async fn what_only_mariadb_would_change_is_refused_there() {
    let base = Base::bare(Kind::MariaDb);
    let table = &base.table;
    base.execute(&format!(
        "CREATE TABLE {table} (k VARCHAR(5) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, v TINYTEXT)"
    ))
    .await;
    let long = [b'x'; 256];
    let padded = [&[b'x'; 255][..], b" "].concat();
    let book = Book::new([
        put("final ", b"x"),
        put("six456", b"x"),
        put("abcd  ", b"x"),
        put("long", &long),
        put("pad", &padded),
        put("fits", &long[..255]),
    ]);
    let applied = base.apply(&book, UPSERT).await.unwrap();
    assert_eq!((applied.keys, applied.refused), (1, 5));
    let base = Base::new(Kind::MariaDb, "v TINYINT UNSIGNED").await;
    let book = Book::sums(&[("a", 255), ("b", 256), ("c", -1)]);
    let applied = base.apply(&book, Mode::Increment).await.unwrap();
    assert_eq!((applied.keys, applied.refused), (1, 2));
    let book = book.next(added(&[("a", -250)]));
    assert_eq!(base.apply(&book, Mode::Increment).await.unwrap().keys, 1);
    assert_eq!(base.rows().await, texts(&[("a", "5")]));
}
