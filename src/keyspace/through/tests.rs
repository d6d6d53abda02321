//! What no client can bring about at will: a disk that is full, a flight that begins in the middle of a change, a leader that
//! breaks off. The source is a socket that the test answers by hand.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::flights::{Boarded, Overtaken};
use super::*;
use crate::engine::Simulated;
use crate::keyspace::{Change, Keyspaces, Options, Refusal, Role, Values};
use crate::metrics::ThroughMetrics;
use crate::source::{Origin, plain};

const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for what waits for nothing.
const MOMENT: Duration = Duration::from_millis(100);

/// The default keyspace of a service, which reads through to `source`.
struct Stage {
    machine: Simulated,
    keyspaces: Keyspaces,
    through: Arc<Through>,
    source: TcpListener,
}

impl Stage {
    async fn new() -> Self {
        let source = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let machine = Simulated::new();
        let options = Options {
            key_bytes: 1024,
            value_bytes: 1 << 20,
            keyspaces: 10,
        };
        let keyspaces = Keyspaces::new(machine.open(PATIENCE), options);
        let endpoint = format!("http://{}/{{key}}", source.local_addr().unwrap());
        let through = Through::new(
            "default",
            ThroughOptions {
                negative_ttl: Some(PATIENCE),
                ..plain::through(Origin::Http(Box::new(plain::get(endpoint))))
            },
            plain::sources(),
            ThroughMetrics::default().of("default"),
        );
        let through = Arc::new(through);
        let role = Role::Through(Arc::clone(&through));
        let roles = BTreeMap::from([("default".to_owned(), role)]);
        keyspaces.set_roles(roles).await;
        Self {
            machine,
            keyspaces,
            through,
            source,
        }
    }

    fn values(&self) -> &Values {
        self.keyspaces.default_values()
    }

    /// Begins a read of `key` and returns once the source has been asked for it.
    async fn ask(&self, key: &'static str) -> (Reading, TcpStream) {
        let values = self.values().clone();
        let mut reading = tokio::spawn(read(values, key, Accepts::Anything));
        let accepted = tokio::select! {
            accepted = timeout(PATIENCE, self.source.accept()) => accepted,
            read = &mut reading => panic!("the source was not asked: {read:?}"),
        };
        let (mut asked, _) = accepted.unwrap().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            asked.read_buf(&mut head).await.unwrap();
        }
        (reading, asked)
    }

    /// What is stored under `key`.
    async fn stored(&self, key: &str) -> Option<Entry> {
        self.values().find(key.as_bytes()).await.unwrap()
    }
}

type Reading = tokio::task::JoinHandle<Result<Read, Refusal>>;

/// Longer than whatever a read waits for: the source, then the disk.
async fn read(values: Values, key: &str, accepts: Accepts) -> Result<Read, Refusal> {
    let reading = values.read(key, || accepts);
    let read = timeout(PATIENCE * 3, reading).await;
    read.expect("a read ends")
}

async fn answer(mut asked: TcpStream, body: &str) {
    let len = body.len();
    let answer = format!("HTTP/1.1 200 X\r\nContent-Length: {len}\r\n\r\n{body}");
    asked.write_all(answer.as_bytes()).await.unwrap();
}

fn fetched(read: &Read) -> (&[u8], bool) {
    match (&read.entry, &read.served) {
        (Some(entry), Some(Served::Fetched { stored, .. })) => (&entry.value, *stored),
        _ => panic!("{read:?}"),
    }
}

async fn put(values: &Values, key: &str, value: &[u8]) {
    let of = crate::keyspace::Value {
        key: key.as_bytes(),
        media_type: "text/plain",
        content_encoding: None,
        ttl: crate::keyspace::Ttl::Unspecified,
    };
    let mut draft = values.draft(&of, value.len()).unwrap();
    draft.write(0, value);
    values.put(draft, &Change::default()).await.unwrap();
}

/// The same values, of which nobody knows that they read through.
fn unaware(values: &Values) -> Values {
    let mut unaware = values.clone();
    unaware.roles = Arc::default();
    unaware
}

#[tokio::test]
async fn on_a_full_disk_values_are_answered_and_not_stored() {
    let stage = Stage::new().await;
    put(stage.values(), "there", b"there").await;
    stage.machine.fill();
    let mut unstored = Vec::new();
    // What the log has room for already is still stored.
    while unstored.len() < 2 {
        let (reading, asked) = stage.ask("a").await;
        answer(asked, &"x".repeat(300_000)).await;
        let read = reading.await.unwrap().unwrap();
        let (value, stored) = fetched(&read);
        assert_eq!(value.len(), 300_000);
        if stored {
            let change = Change::default();
            stage.values().delete(b"a", &change).await.unwrap();
        } else {
            unstored.push(read.entry.unwrap().version);
        }
    }
    assert_ne!(unstored.first(), unstored.last());
    assert!(stage.stored("a").await.is_none());
    assert!(stage.stored("there").await.is_some());
    stage.machine.free();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (reading, asked) = stage.ask("a").await;
        answer(asked, "small").await;
        if fetched(&reading.await.unwrap().unwrap()).1 {
            break;
        }
        assert!(Instant::now() < deadline, "nothing was stored again");
    }
    assert_eq!(stage.stored("a").await.unwrap().value, "small");
}

#[tokio::test]
async fn a_flight_that_begins_in_the_middle_of_a_put_does_not_take_its_place() {
    let stage = Stage::new().await;
    let values = stage.values();
    // A put that has told of itself and is not made yet.
    let key = Changing::Key(b"a");
    let held = values.before(key).await.unwrap();
    let (reading, asked) = stage.ask("a").await;
    let unaware = unaware(values);
    put(&unaware, "a", b"mine").await;
    drop(held);
    answer(asked, "fetched").await;
    let read = reading.await.unwrap().unwrap();
    assert_eq!(fetched(&read), (&b"fetched"[..], false));
    assert_eq!(stage.stored("a").await.unwrap().value, "mine");
}

#[tokio::test]
async fn what_left_by_itself_while_it_was_renewed_makes_way_for_what_was_fetched() {
    let stage = Stage::new().await;
    put(stage.values(), "a", b"old").await;
    let values = stage.values().clone();
    let reading = tokio::spawn(read(values, "a", Accepts::Fetched));
    let accepted = timeout(PATIENCE, stage.source.accept()).await.unwrap();
    let (mut asked, _) = accepted.unwrap();
    asked.read_u8().await.unwrap();
    // As it does when others need its room, or its time is over: nobody tells the flight.
    let unaware = unaware(stage.values());
    unaware.delete(b"a", &Change::default()).await.unwrap();
    answer(asked, "new").await;
    assert_eq!(
        fetched(&reading.await.unwrap().unwrap()),
        (&b"new"[..], true)
    );
    assert_eq!(stage.stored("a").await.unwrap().value, "new");
}

#[tokio::test]
async fn what_a_source_said_that_is_replaced_is_answered_and_not_stored() {
    let stage = Stage::new().await;
    let (reading, asked) = stage.ask("a").await;
    stage.keyspaces.set_roles(BTreeMap::new()).await;
    answer(asked, "fetched").await;
    let read = reading.await.unwrap().unwrap();
    assert_eq!(fetched(&read), (&b"fetched"[..], false));
    assert!(stage.stored("a").await.is_none());
    // Whoever still has the former one learns what its source says, and stores nothing.
    let Boarded::First(leader, _waiter) = stage.through.flights.board("b") else {
        panic!("nobody else asks")
    };
    assert_eq!(*leader.overtaken().await, Overtaken::Yes);
}

#[tokio::test]
async fn readers_of_a_service_that_ends_are_told() {
    let stage = Stage::new().await;
    let (reading, _asked) = stage.ask("a").await;
    stage.keyspaces.end_fetches();
    let ended = timeout(PATIENCE, reading).await.unwrap().unwrap();
    let told = ended.unwrap_err().to_string();
    assert_eq!(told, "the fetch broke off");
    assert!(!stage.through.flights.has("a"));
}

#[tokio::test]
async fn a_leader_that_panics_is_a_failure_of_its_readers_and_of_nobody_else() {
    let flights = Arc::new(Flights::default());
    let Boarded::First(leader, first) = flights.board("a") else {
        panic!("nobody else is there")
    };
    let Boarded::Joined(second) = flights.board("a") else {
        panic!("there is a flight")
    };
    let panicked = tokio::spawn(async move {
        let _leader = leader;
        panic!("as a test wants it")
    });
    assert!(panicked.await.unwrap_err().is_panic());
    for waiter in [first, second] {
        let landed = timeout(PATIENCE, waiter.landed()).await.unwrap();
        assert!(matches!(landed, Landing::Lost), "{landed:?}");
    }
    assert!(matches!(flights.board("a"), Boarded::First(..)));
}

#[tokio::test]
async fn no_change_is_made_while_a_leader_stores() {
    let flights = Arc::new(Flights::default());
    let Boarded::First(leader, _waiter) = flights.board("a") else {
        panic!("nobody else is there")
    };
    let stores = leader.overtaken().await;
    assert_eq!(*stores, Overtaken::No);
    for changing in [Changing::Key(b"b"), Changing::Prefix(b"b")] {
        timeout(PATIENCE, flights.overtake(changing)).await.unwrap();
    }
    let overtaking = tokio::spawn({
        let flights = Arc::clone(&flights);
        async move { flights.overtake(Changing::Prefix(b"")).await }
    });
    // It has left the map, and waits.
    let deadline = Instant::now() + PATIENCE;
    while flights.has("a") {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    let mut overtaking = overtaking;
    let waits = timeout(MOMENT, &mut overtaking).await;
    assert!(waits.is_err(), "the leader still stores");
    drop(stores);
    timeout(PATIENCE, overtaking).await.unwrap().unwrap();
    assert_eq!(*leader.overtaken().await, Overtaken::Yes);
}

#[tokio::test]
async fn a_flight_that_was_overtaken_does_not_land_in_the_place_of_the_next() {
    let flights = Arc::new(Flights::default());
    let Boarded::First(old, _waiter) = flights.board("a") else {
        panic!("nobody else is there")
    };
    flights.overtake(Changing::All).await;
    let Boarded::First(new, _waiter) = flights.board("a") else {
        panic!("the old one is not joined")
    };
    old.land(Landing::Absent);
    assert!(flights.has("a"));
    drop(new);
    assert!(!flights.has("a"));
}

#[tokio::test]
async fn nobody_joins_a_flight_that_was_left_alone() {
    let flights = Arc::new(Flights::default());
    let Boarded::First(leader, waiter) = flights.board("a") else {
        panic!("nobody else is there")
    };
    let alone = timeout(MOMENT, leader.left_alone()).await;
    assert!(alone.is_err(), "somebody waits");
    drop(waiter);
    timeout(PATIENCE, leader.left_alone()).await.unwrap();
    assert!(matches!(flights.board("a"), Boarded::First(..)));
}
