//! Who watches is told of what is not stored, whenever it begins and however slow it is.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_told_of_what_is_not_stored_whenever_it_begins() {
    let trial = Trial::new(Durability::Synced).await;
    trial
        .take(&[puts("a", "1"), puts("b", "1"), puts("c", "1")])
        .await;
    let mut early = trial.watch(Begin::Now, false);
    trial.take(&[puts("b", "2")]).await;
    let (first, place) = next(&mut early).await;
    assert_eq!(first, "+b=2");
    trial.fill().await;
    trial
        .take(&[puts("a", "22"), puts("n", "1"), puts("a", "333")])
        .await;
    assert_eq!(told(&mut early, 3).await, ["~a=22", "~n=1", "~a=333"]);

    let mut late = trial.watch(Begin::Now, true);
    let there = told(&mut late, 5).await;
    assert_eq!(there, ["=b=2", "=c=1", "=a=333", "=n=1", "synced"]);
    nothing_is_told(&mut late).await;
    // Who comes back may have been told already, or not: nobody knows.
    let mut back = trial.watch(Begin::Behind(place.unwrap()), false);
    assert_eq!(told(&mut back, 2).await, ["=a=333", "=n=1"]);
    nothing_is_told(&mut back).await;
    let key = Filter::Key(b"n".as_slice().into());
    let mut one = trial.watch_of(key, Begin::Behind(place.unwrap()), true);
    assert_eq!(told(&mut one, 1).await, ["=n=1"]);
    let mut now = trial.watch(Begin::Now, false);
    nothing_is_told(&mut now).await;

    trial.take(&[gone("n")]).await;
    trial.machine.free();
    trial.stored().await;
    for watch in [&mut early, &mut late, &mut back, &mut now] {
        assert_eq!(told(watch, 2).await, ["~-n", "+a=333"]);
    }
    assert_eq!(told(&mut one, 1).await, ["~-n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_too_slowly_is_told_the_newest_wherever_it_lies() {
    let trial = Trial::new(Durability::Synced).await;
    trial.keyspaces.set_history(4, 1 << 20);
    trial.take(&[puts("a", "first"), puts("b", "1")]).await;
    let of_a = || Filter::Key(b"a".as_slice().into());
    let mut key = trial.watch_of(of_a(), Begin::Now, false);
    let mut all = trial.watch(Begin::Now, true);
    assert_eq!(told(&mut all, 3).await, ["=a=first", "=b=1", "synced"]);
    trial.fill().await;
    for n in 0..20 {
        trial.take(&[puts("a", &n.to_string())]).await;
    }
    assert_eq!(told(&mut key, 1).await, ["=a=19"]);
    nothing_is_told(&mut key).await;
    let (reset, _) = next(&mut all).await;
    assert!(reset.starts_with("Reset"), "{reset}");
    assert_eq!(told(&mut all, 3).await, ["=b=1", "=a=19", "synced"]);
    nothing_is_told(&mut all).await;
    trial.machine.free();
    trial.stored().await;
    assert_eq!(told(&mut key, 1).await, ["+a=19"]);
    // And where nothing lies over it.
    for n in 0..20 {
        trial.take(&[puts("a", &n.to_string())]).await;
    }
    assert_eq!(told(&mut key, 1).await, ["+a=19"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_takes_what_is_not_stored_too_and_that_is_told() {
    let trial = Trial::new(Durability::Synced).await;
    trial.take(&[puts("p/a", "1"), puts("z", "1")]).await;
    trial.fill().await;
    trial
        .take(&[puts("p/n", "1"), puts("q", "1"), puts("p/a", "2")])
        .await;
    let mut watch = trial.watch(Begin::Now, false);
    let flushed = |prefix: &str| Received::Flushed {
        prefix: prefix.to_owned(),
    };
    trial.take(&[flushed("p/")]).await;
    assert_eq!(trial.keys("", 10).await, ["q", "z"]);
    told_among(&mut watch, &["~-p/a", "~-p/n"]).await;
    trial.take(&[flushed("")]).await;
    assert_eq!(trial.keys("", 10).await, Vec::<String>::new());
    told_among(&mut watch, &["~-q"]).await;
    // Whether the deletions were stored or not: they will be.
    trial.machine.free();
    trial.stored().await;
    assert_eq!(trial.keys("", 10).await, Vec::<String>::new());
}

/// Waits until all of these were told, among others.
async fn told_among(watch: &mut Watch, expected: &[&str]) {
    let mut missing = expected.to_vec();
    while !missing.is_empty() {
        let (told, _) = next(watch).await;
        missing.retain(|one| *one != told);
    }
}
