//! The one closed list of error codes: what each is called, which status it has, what its page says. New ones may join;
//! none changes its meaning. It must not know when a code is used.

use actix_web::http::StatusCode;

macro_rules! codes {
    ($($variant:ident $name:literal $status:ident $title:literal $explanation:literal)*) => {
        /// Every way in which a request can fail, by its stable name.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub(crate) enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// All of them, in the order of the documentation.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name that clients match on.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The status that an answer with this code always has.
            pub(crate) fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// A few words, the same for every occurrence.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What it means and what to do, for the code's page.
            pub(crate) fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation,)* }
            }

            /// Where the code is explained, from this server's root.
            pub(crate) fn page(self) -> &'static str {
                match self { $(Self::$variant => concat!("/problems/", $name),)* }
            }
        }
    };
}

codes! {
    InvalidKey "invalid_key" BAD_REQUEST "The key cannot be read"
        "A key is what follows the second slash of /v1/, percent-decoded exactly once. It must not be empty, every % must be followed by two hexadecimal digits, and the result must be UTF-8. Encode the key with percent-encoding and send it again."
    KeyTooLong "key_too_long" BAD_REQUEST "The key is too long"
        "The key has more bytes, counted after percent-decoding, than limits.key_bytes allows. Use a shorter key, or raise the setting."
    InvalidParameter "invalid_parameter" BAD_REQUEST "A parameter or header cannot be read"
        "A query parameter or a request header has a value that cannot be read, or appears twice. The detail names it and says what is expected."
    UnknownParameter "unknown_parameter" BAD_REQUEST "A query parameter is not known here"
        "This operation does not know the query parameter. It is refused rather than ignored, so that a misspelt ttl cannot be lost. The detail names the nearest known parameter."
    InvalidBody "invalid_body" BAD_REQUEST "The body cannot be read"
        "The request's body broke off or its chunks cannot be read. Nothing was changed. Send the request again."
    InvalidJson "invalid_json" BAD_REQUEST "The body is not JSON that can be read"
        "The body is no JSON text (RFC 8259), has a name twice in one object, or has more values than the operation takes. The detail names the line and the column. Nothing was changed."
    InvalidCursor "invalid_cursor" BAD_REQUEST "The cursor cannot be used"
        "The cursor is damaged or was not made by this service, or it came with a prefix, a delimiter or an after that differs from those of the list that it belongs to. Send a cursor exactly as the page before it gave it, or start the list again without one."
    DurabilityUnavailable "durability_unavailable" BAD_REQUEST "The keyspace does not offer this durability"
        "A write to a logged keyspace may ask for durability=written or durability=synced. The durability memory is a property of a keyspace and cannot be asked for by a request."
    PartialPut "partial_put" BAD_REQUEST "A value cannot be written in parts"
        "A PUT with Content-Range would replace the whole value with a part of it (RFC 9110, section 14.5). Send the whole value without Content-Range."
    TokenRequired "token_required" UNAUTHORIZED "A token is required"
        "This server is configured with tokens, and the request brought none that it knows. Send one in the header Authorization: Bearer TOKEN. `standpipe token` makes a new one and prints the lines to add to the configuration."
    Forbidden "forbidden" FORBIDDEN "The token does not allow this"
        "The token is known, but it lacks the verb or the keyspace that this operation needs; the detail names which. The same answer is given whether or not the keyspace or the key exists. An operator changes what a token may do in access.tokens."
    CrossSite "cross_site" FORBIDDEN "A page of another site must not change this store"
        "The request changes something and a browser sent it on behalf of a page of another site (by its Sec-Fetch-Site or Origin header). Requests by curl, Postman and this server's own pages carry no such header or name this site."
    KeyNotFound "key_not_found" NOT_FOUND "There is no such key"
        "The key was never written, was deleted, was flushed or has expired. A key is compared byte by byte; a/b and a%2Fb are the same key, a/b and a//b are not."
    KeyspaceNotFound "keyspace_not_found" NOT_FOUND "There is no such keyspace"
        "No keyspace has this name, or it was dropped. A keyspace is made by PUT /keyspaces/{name} or by the configuration file, never by writing a key. A name is 1 to 64 of the characters a-z, 0-9, _ and -."
    SinkNotFound "sink_not_found" NOT_FOUND "The keyspace has no sink"
        "No keyspace of this name passes its changes on. A sink is defined by the configuration file, as keyspaces.{name}.sink; GET /sinks lists those that there are."
    SourceNotFound "source_not_found" NOT_FOUND "There is no such source"
        "No scheduled source of the configuration file has this name. A name is compared byte by byte, after percent-decoding it once, and may hold slashes and spaces. GET /sources lists every source."
    RouteNotFound "route_not_found" NOT_FOUND "There is no such address"
        "Nothing is served under this path. No slash is ever added or removed. The page /docs/ lists every operation."
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "The method is not allowed here"
        "The path is served, but not with this method. The Allow header lists the methods that it is served with."
    KeyspaceReadOnly "keyspace_read_only" METHOD_NOT_ALLOWED "The keyspace is only read here"
        "The keyspace follows somebody else: the configuration file says whom, and /mirrors how that fares. What is there comes from that one alone. Nothing was changed. Change it there, or use another keyspace."
    BodyStalled "body_stalled" REQUEST_TIMEOUT "The body stopped arriving"
        "The request's body made no progress for limits.body_stall. Nothing was changed. Send the request again."
    CounterOutOfRange "counter_out_of_range" CONFLICT "The counter would leave its range"
        "The sum is larger or smaller than a whole number of 64 bits can be, or lies outside the min and max of the request. Nothing was changed. The detail tells the number that is there."
    NotACounter "not_a_counter" CONFLICT "The value is not a counter"
        "A counter is a value that is a whole number of 64 bits in decimal, such as -7, without spaces, leading zeros or a plus sign, with the media type text/plain. The value under this key is something else, and nothing was changed. Put a number there, or use another key."
    BatchFailed "batch_failed" CONFLICT "An operation of the atomic batch cannot be done"
        "An atomic batch does all of its operations or none. The detail, and the member operation, name the first that cannot be done, counted from 0; the member cause is the code that it would have failed with by itself. Nothing was changed. Read what is there, decide again, and send the whole batch again."
    DefinedByFile "defined_by_file" CONFLICT "The configuration file defines this keyspace"
        "The keyspace stands in the configuration file, which alone says what it promises. Nothing was changed. Change its entry in the file, or remove it: removing the entry deletes no data, and makes the keyspace changeable here."
    AlreadyRunning "already_running" CONFLICT "The source is running already"
        "At most one run of a source goes on at a time, and one has begun that has not ended: by its rule, because its value was gone, or because somebody asked for it. No other run was begun. GET /sources tells when it has ended."
    ManagedBySource "managed_by_source" CONFLICT "A scheduled source writes this key"
        "The value was written by a scheduled source of the configuration file, which the detail names, and that source alone changes it: it would write over any other value at its next run. Nothing was changed. Write under another key, change the source in the file, or remove it there: its keys go with it."
    DurabilityFixed "durability_fixed" CONFLICT "The durability cannot change while there is data"
        "A keyspace can become memory, or cease to be, only while it is empty; synced and written can be exchanged at any time. Nothing was changed. Empty the keyspace first, or make another one."
    SinkPending "sink_pending" CONFLICT "Something waits to be passed on"
        "The keyspace has, or has had, a sink, and keys wait to be passed on by it or could not be passed on: the detail says how many of each. Dropping the keyspace, or keeping it in memory, would lose them. Nothing was changed. Let the sink catch up (POST /sinks/{keyspace}/sync), and have what could not be passed on tried again."
    KeyspaceProtected "keyspace_protected" CONFLICT "This keyspace cannot be dropped"
        "The keyspace default always exists, because /v1/ and /flush are its addresses. Nothing was dropped. Empty it with POST /flush instead."
    Compacted "compacted" GONE "The events are not kept any more"
        "A watch can only go on from an event while everything behind that event is kept: watch.history_events and watch.history_bytes say how much that is, and a crash may take back what was not yet on disk. Begin the watch again without since; with initial=true it tells what is there first."
    ConditionFailed "condition_failed" PRECONDITION_FAILED "The condition does not hold"
        "If-Match names a version that is not the current one, or If-None-Match one that is. Nothing was changed. The ETag header of this answer is the current version; without one the key is absent. Read the value again, decide again, and send the request with the new version."
    ValueTooLarge "value_too_large" PAYLOAD_TOO_LARGE "The value is too large"
        "The value has more bytes than limits.value_bytes allows. Nothing was changed. Split the value, or raise the setting."
    EntryTooLarge "entry_too_large" PAYLOAD_TOO_LARGE "The entry is too large"
        "Key, value and media type together need more room than one entry may take. Nothing was changed."
    BatchTooLarge "batch_too_large" PAYLOAD_TOO_LARGE "The batch is too large"
        "The batch has more operations than limits.batch_operations or more bytes than limits.batch_bytes allows. Nothing was changed. Send it in several parts."
    AnswerTooLarge "answer_too_large" PAYLOAD_TOO_LARGE "The value does not fit into the answer"
        "With this value the answer to the batch would have more bytes of values than limits.batch_answer_bytes allows, so the item of this get comes without it. All other operations are done and answered as if it had been there. Read the value by itself, or in another batch."
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE "The body is too large"
        "The JSON body of this operation has more bytes than limits.json_bytes allows. Nothing was changed. No such body needs that many: look for what does not belong there."
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "The body is not said to be JSON"
        "This operation reads JSON: its Content-Type is application/json, ends with +json, is absent, or is the application/x-www-form-urlencoded that curl -d adds by itself. The body is never inflated, so it comes without Content-Encoding. Nothing was changed."
    RangeNotSatisfiable "range_not_satisfiable" RANGE_NOT_SATISFIABLE "The range lies outside the value"
        "The first byte of the Range is behind the end of the value. The Content-Range header of this answer says how long the value is."
    WrongHost "wrong_host" MISDIRECTED_REQUEST "The Host is not one of this server's names"
        "On a loopback address a request must name localhost, an IP address or one of server.allowed_hosts in its Host header. This keeps web pages that point their own name at this machine (DNS rebinding) away from the store. Add the name to server.allowed_hosts if it is yours."
    InvalidPolicy "invalid_policy" UNPROCESSABLE_ENTITY "The policy is impossible"
        "A policy has the fields ttl, max_bytes, eviction, durability and client_max_age, each of them optional. The detail names the field that is not known or whose value means nothing. Nothing was changed."
    FileOnly "file_only" UNPROCESSABLE_ENTITY "This can only be said in the configuration file"
        "Sources, mirrors and sinks name addresses that this server calls, so they come only from the configuration file and never from a request. Nothing was changed."
    InvalidOperation "invalid_operation" UNPROCESSABLE_ENTITY "The operation is impossible"
        "What the request asks for can be read and cannot be done. In a JSON body a field is not known here, is missing, has another kind of value, or contradicts another, and the detail names it by its path; a source cannot run because of what the configuration file says of it, and the detail tells what that is. Nothing was changed."
    Internal "internal" INTERNAL_SERVER_ERROR "Something went wrong inside"
        "The server met something that it did not expect. Its log says more. The request may or may not have taken effect."
    SourceFailed "source_failed" BAD_GATEWAY "The source of the keyspace failed"
        "The key is not stored, or its time is over, and the source that the keyspace reads through gave no value: it could not be reached, answered with an error, or its value is larger than source.max_bytes allows. Nothing that is stored was changed. The log says more. With source.stale_if_error an older value is answered instead, where there is one."
    SinkFailed "sink_failed" BAD_GATEWAY "The sink could not pass changes on"
        "The database or the server that the changes go to cannot be reached, does not take them now, or is not fit for them; the detail says which. What waits is kept and is tried again by itself. GET /sinks shows how the sink fares."
    SinkAhead "sink_ahead" BAD_GATEWAY "The target has seen what this store has not"
        "The target's own note of the last changes that it was given is no part of this store's history: the store, or the database, is a restored backup or a copy. To pass changes on could count some of them twice, so nothing is passed on until POST /sinks/{name}/resume says what becomes of what waits: skip takes it for passed on, resend passes it on. docs/sinks.md has the cases."
    Starting "starting" SERVICE_UNAVAILABLE "The server is starting"
        "The store is still being read from disk. /readyz shows the progress. Try again after the time in the Retry-After header."
    Draining "draining" SERVICE_UNAVAILABLE "The server is stopping"
        "The server was asked to stop and the store is already closed. Nothing was changed. Try again when it is back."
    Overloaded "overloaded" SERVICE_UNAVAILABLE "The server cannot keep up"
        "A queue or a budget with a limit is full, or the disk did not confirm in time. The detail names which; for a write it also says whether the change may still take effect. Try again after the time in the Retry-After header."
    DurabilityLost "durability_lost" SERVICE_UNAVAILABLE "The disk failed"
        "The disk failed to make data durable, so nobody knows what of the newest changes is on it. Writes are refused until the process is started again and has checked its data. Look at the log and at the disk."
    BreakerOpen "breaker_open" SERVICE_UNAVAILABLE "The source is left alone for a while"
        "The source that the keyspace reads through has failed so often in a row (source.circuit_breaker) that it is not asked again before the time in the Retry-After header. What is stored is answered as ever. With source.stale_if_error an older value is answered instead, where there is one."
    SourceRateLimited "source_rate_limited" SERVICE_UNAVAILABLE "The source is asked as much as it may be"
        "As many fetches are under way as source.max_concurrency allows, or as many have begun as source.rate_limit allows, and there was no turn for this key within source.timeout. Try again after the time in the Retry-After header."
    SourceTimeout "source_timeout" GATEWAY_TIMEOUT "The source of the keyspace took too long"
        "The key is not stored, or its time is over, and the source that the keyspace reads through gave no whole answer within source.timeout. Nothing that is stored was changed. With source.stale_if_error an older value is answered instead, where there is one."
    NotStored "not_stored" GATEWAY_TIMEOUT "The key is not stored"
        "The request said Cache-Control: only-if-cached, so the source that the keyspace reads through was not asked, and nothing is stored under the key that is still fresh. Send the request without it."
    KeyspaceFull "keyspace_full" INSUFFICIENT_STORAGE "The keyspace is full"
        "The keyspace has a max_bytes and its eviction is none, so nothing leaves it by itself and nothing was changed. Delete values, let them expire, or raise max_bytes."
    SinkBacklog "sink_backlog" INSUFFICIENT_STORAGE "The sink has not caught up"
        "So many keys wait to be passed on by the keyspace's sink that no further one may, or all that could leave a full keyspace waits for it. Nothing was changed. Reads, and changes of keys that wait already, still work. Look at GET /sinks for why it is behind; or raise the limit that the detail names."
    DiskFull "disk_full" INSUFFICIENT_STORAGE "The disk is full"
        "There is no room to make this change durable, and nothing was changed. Reads and deletes still work. Writes resume by themselves when there is space again."
}

impl Code {
    /// The code called `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own_and_an_error_status() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::named(code.name()), Some(*code));
            assert!(
                code.status().is_client_error() || code.status().is_server_error(),
                "{code:?}"
            );
            assert!(code.page().ends_with(code.name()));
        }
        assert_eq!(Code::named("no_such_code"), None);
    }
}
