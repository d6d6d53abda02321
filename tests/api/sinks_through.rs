//! A keyspace that reads through and has a sink as well: what is fetched is not passed on, and never stands in the way of what is.

use standpipe::server::Options;
use standpipe::sink::{Deletes, Mode};

use crate::harness::{Answer, Server};
use crate::origin::{Origin, Reply};
use crate::sink_stage::{Base, rows, synced, views, waiting};
use crate::through;

const KEY: &str = "/keyspaces/views/keys/k";

/// The keyspace `views`, which reads through to `origin` and passes its latest values on to `base`.
fn server(origin: &Origin, base: &Base, propagate: bool) -> Server {
    let deletes = if propagate {
        Deletes::Propagate
    } else {
        Deletes::Ignore
    };
    let sink = base.sink(Mode::Upsert(deletes));
    let source = through::source(origin);
    let server = Server::with(|options: &mut Options| {
        views(sink)(options);
        options.through.insert("views".to_owned(), source);
    });
    synced(&server);
    server
}

/// What the source says now.
fn fetched(server: &Server) -> Answer {
    server.send("GET", KEY, &[("Cache-Control", "no-cache")], b"")
}

fn stored(server: &Server) -> Option<String> {
    let answer = server.get("/keyspaces/views/entries/k");
    (answer.status == 200).then(|| answer.json()["value"].as_str().unwrap().to_owned())
}

#[test]
fn what_is_fetched_is_not_passed_on_and_never_replaces_what_waits() {
    let (origin, base) = (Origin::saying(|_| Reply::ok("old")), Base::new("TEXT"));
    let server = server(&origin, &base, false);
    assert_eq!(server.get(KEY).text(), "old");
    assert_eq!(stored(&server).as_deref(), Some("old"));
    assert_eq!((synced(&server), base.rows()), (0, rows(&[])));

    let put = server.send("PUT", KEY, &[], b"new");
    assert_eq!(put.status, 204, "{}", put.text());
    let answer = fetched(&server);
    assert_eq!((answer.status, answer.text()), (200, "old"));
    assert_eq!(stored(&server).as_deref(), Some("new"), "it waits");
    assert_eq!(server.get(KEY).text(), "new");
    assert_eq!(synced(&server), 1);
    assert_eq!(base.rows(), rows(&[("k", "new")]));

    // It has been passed on: from now on the source's word counts again.
    assert_eq!(fetched(&server).text(), "old");
    assert_eq!(stored(&server).as_deref(), Some("old"));
    assert_eq!(waiting(&server, ""), "{}");
    assert_eq!(synced(&server), 0);
    assert_eq!(base.rows(), rows(&[("k", "new")]));
}

#[test]
fn what_the_source_does_not_have_deletes_no_row_and_nothing_that_waits() {
    let (origin, base) = (Origin::saying(|_| Reply::status(404)), Base::new("TEXT"));
    let server = server(&origin, &base, true);
    assert_eq!(server.send("PUT", KEY, &[], b"new").status, 201);
    assert_eq!(fetched(&server).status, 404);
    assert_eq!(stored(&server).as_deref(), Some("new"), "it waits");
    assert_eq!(synced(&server), 1);

    assert_eq!(fetched(&server).status, 404);
    assert_eq!(stored(&server), None);
    assert_eq!((synced(&server), base.rows()), (0, rows(&[("k", "new")])));

    // What a client deletes waits as well, and is not fetched back into the store meanwhile.
    assert_eq!(server.send("PUT", KEY, &[], b"newer").status, 201);
    assert_eq!(synced(&server), 1);
    assert_eq!(server.send("DELETE", KEY, &[], b"").status, 204);
    origin.say(|_| Reply::ok("newer"));
    assert_eq!(server.get(KEY).text(), "newer");
    assert_eq!(stored(&server), None);
    assert_eq!((synced(&server), base.rows()), (1, rows(&[])));
}
