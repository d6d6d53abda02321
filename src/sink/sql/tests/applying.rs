//! What a transaction leaves behind, and what the next one makes of it.

use super::*;
use crate::sink::ahead::{Ahead, Note};
use crate::sink::book::{added, put, removed};
use crate::sink::row::{Change, Generation};

fn done(keys: u64) -> Applied {
    Applied {
        keys,
        ..Applied::default()
    }
}

fn ahead(result: Result<Applied, Unapplied<&'static str>>) -> Ahead {
    match result {
        Err(Unapplied::Ahead(ahead)) => ahead,
        other => panic!("not ahead: {other:?}"),
    }
}

/// The table's name for a statement.
fn notes_of(book: &Book) -> String {
    format!("store_id = '{}'", book.identity.store_hex())
}

each_database! {
    async fn sums_are_added_to_what_is_there_once(kind: Kind) {
        let base = Base::new(kind, "v bigint").await;
        let table = &base.table;
        base.execute(&format!("INSERT INTO {table} VALUES ('a', 40), ('without', NULL)")).await;
        let book = Book::sums(&[("a", 2), ("b", -3), ("c", 0), ("without", 5)]);
        assert_eq!(base.apply(&book, Mode::Increment).await.unwrap(), done(4));
        let expected = texts(&[("a", "42"), ("b", "-3"), ("c", "0"), ("without", "5")]);
        assert_eq!(base.rows().await, expected);
        // As if the answer to the commit had been lost.
        let again = base.apply(&book, Mode::Increment).await.unwrap();
        assert!(again.before && again.keys == 0);
        assert_eq!(base.rows().await, expected);
        let book = book.next(added(&[("a", -2)]));
        assert_eq!(base.apply(&book, Mode::Increment).await.unwrap(), done(1));
        assert_eq!(base.rows().await[0], texts(&[("a", "40")])[0]);
    }

    async fn the_latest_value_is_there_and_what_was_deleted_is_not(kind: Kind) {
        let base = Base::new(kind, &format!("v {}", kind.pick("text", "TEXT", "TEXT"))).await;
        let book = Book::new([put("a", b"one"), put("b", b""), put("gone", b"x"), removed("never")]);
        assert_eq!(base.apply(&book, UPSERT).await.unwrap(), done(4));
        assert_eq!(base.rows().await, texts(&[("a", "one"), ("b", ""), ("gone", "x")]));
        let book = book.next([put("a", "zw\u{f6}lf \u{1F600}".as_bytes()), removed("gone")]);
        assert_eq!(base.apply(&book, UPSERT).await.unwrap(), done(2));
        let expected = texts(&[("a", "zw\u{f6}lf \u{1F600}"), ("b", "")]);
        assert_eq!(base.rows().await, expected);
    }

    async fn bytes_stay_what_they_are(kind: Kind) {
        let base = Base::new(kind, &format!("v {}", kind.bytes())).await;
        let bytes: Vec<u8> = (0..=255).collect();
        let book = Book::new([put("a", &bytes)]);
        assert_eq!(base.apply(&book, UPSERT).await.unwrap(), done(1));
        let (table, hex) = (&base.table, "000102030405060708090A0B0C0D0E0F10");
        base.execute(&format!("ALTER TABLE {table} ADD COLUMN n int")).await;
        let shown = kind.pick("upper(encode(v, 'hex'))", "HEX(v)", "hex(v)");
        base.execute(&format!("UPDATE {table} SET n = 1 WHERE {shown} LIKE '{hex}%FDFEFF'")).await;
        base.execute(&format!("DELETE FROM {table} WHERE n IS NULL")).await;
        let left = format!("UPDATE {table} SET v = {}", kind.pick("'x'::bytea", "'x'", "'x'"));
        base.execute(&left).await;
        assert_eq!(base.rows().await.len(), 1);
    }

    async fn keys_are_kept_whatever_they_hold(kind: Kind) {
        let base = Base::new(kind, "v bigint").await;
        let mut keys = vec![
            "'", "\"", "`", "\\", "\\'; DROP TABLE x; --", "a", "A", "a ", " a", "\u{e9}", "e\u{301}", "\u{1F600}",
            "\u{10FFFF}", "%", "_", "$1", "?", "\t\n\r", "ss", "\u{df}", "{1,2}", "NULL", "null",
        ];
        if kind != Kind::Postgres {
            keys.push("nul\0here");
        }
        let sums: Vec<_> = keys.iter().zip(1..).map(|(key, sum)| (*key, sum)).collect();
        let book = Book::sums(&sums);
        let applied = base.apply(&book, Mode::Increment).await.unwrap();
        assert_eq!(applied, done(keys.len().try_into().unwrap()));
        let again = book.next(added(&sums));
        base.apply(&again, Mode::Increment).await.unwrap();
        let mut expected: Vec<_> = sums.iter().map(|(key, sum)| ((*key).to_owned(), Some((2 * sum).to_string()))).collect();
        expected.sort();
        assert_eq!(base.rows().await, expected);
    }

    async fn a_generation_of_many_pages_is_one_transaction(kind: Kind) {
        let base = Base::new(kind, "v bigint").await;
        let rows = (0..105).map(|number| (format!("{number:03}"), Change::Add(number)));
        let book = Book::new(rows);
        assert_eq!(base.apply(&book, Mode::Increment).await.unwrap(), done(105));
        let rows = base.rows().await;
        assert_eq!(rows.len(), 105);
        assert!(rows.iter().all(|(key, value)| key.parse::<i64>().unwrap().to_string() == *value.as_ref().unwrap()));
    }

    async fn another_history_is_told_and_a_person_decides(kind: Kind) {
        let base = Base::new(kind, "v bigint").await;
        let first = Book::sums(&[("a", 1)]);
        base.apply(&first, Mode::Increment).await.unwrap();
        // The same generation, of a store that was restored from before it.
        let restored = Book {
            generation: Generation { mark: 3, number: 1 },
            ..Book::sums(&[("a", 10)])
        };
        let restored = Book { identity: first.identity, ..restored };
        let about = ahead(base.apply(&restored, Mode::Increment).await);
        assert_eq!(base.rows().await, texts(&[("a", "1")]));
        let skip = Some(Decision { choice: Choice::Skip, about });
        let skipped = base.apply_with(&restored, Mode::Increment, skip).await.unwrap();
        assert_eq!((skipped.keys, skipped.skipped), (0, 1));
        assert_eq!(base.rows().await, texts(&[("a", "1")]));
        // From then on that history is the one that goes on, and the former is the other one.
        assert!(base.apply(&restored, Mode::Increment).await.unwrap().before);
        let later = first.next(added(&[("a", 100)]));
        let about = ahead(base.apply(&later, Mode::Increment).await);
        // What was decided about something else says nothing about this.
        ahead(base.apply_with(&later, Mode::Increment, skip).await);
        let resend = Some(Decision { choice: Choice::Resend, about });
        let resent = base.apply_with(&later, Mode::Increment, resend).await;
        assert_eq!(resent.unwrap(), done(1));
        assert_eq!(base.rows().await, texts(&[("a", "101")]));
    }

    async fn a_target_that_was_restored_itself_is_noticed(kind: Kind) {
        let base = Base::new(kind, "v bigint").await;
        let mut book = Book::sums(&[("a", 1)]);
        base.apply(&book, Mode::Increment).await.unwrap();
        book.generation.number = 4;
        let applied = base.apply(&book, Mode::Increment).await.unwrap();
        assert!(applied.after_a_gap && applied.keys == 1);
        base.execute(&format!("DELETE FROM standpipe_sink WHERE {}", notes_of(&book))).await;
        book.generation.number = 5;
        assert_eq!(base.apply(&book, Mode::Increment).await.unwrap(), done(1));
    }

    async fn a_note_that_somebody_has_changed_stops_everything(kind: Kind) {
        let base = Base::new(kind, "v bigint").await;
        let book = Book::sums(&[("a", 1)]);
        base.apply(&book, Mode::Increment).await.unwrap();
        base.execute(&format!("UPDATE standpipe_sink SET mark = 'x' WHERE {}", notes_of(&book))).await;
        let refused = base.apply(&book, Mode::Increment).await;
        assert!(matches!(refused, Err(Unapplied::Fault(Fault::Unsuitable(_)))), "{refused:?}");
    }

    async fn two_copies_of_a_store_do_not_apply_at_once(kind: Kind) {
        let base = Base::new(kind, "v bigint").await;
        let book = Book::sums(&[("a", 1)]);
        let mut first = base.open(Mode::Increment).await.unwrap();
        first.begin().await.unwrap();
        assert_eq!(first.note(book.identity).await.unwrap(), None);
        let second = base.apply(&book, Mode::Increment);
        let mut second = Box::pin(second);
        let early = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
        assert!(early.is_err(), "it did not wait: {early:?}");
        let note = Note { generation: book.generation, keys: 1 };
        first.set_note(book.identity, "views", note).await.unwrap();
        first.commit().await.unwrap();
        assert!(second.await.unwrap().before);
        assert_eq!(base.rows().await, []);
    }
}
