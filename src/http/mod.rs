//! HTTP in front of the keyspaces: alone knows actix and the OpenAPI document. One file per resource; a handler extracts,
//! calls one method of `keyspace`, answers. It must not know where data lives or how a process starts and stops.

mod access;
mod answer;
mod body;
mod budget;
mod call;
mod code;
mod conditions;
mod cors;
mod etag;
mod failures;
mod gate;
mod guard;
mod json;
mod key;
mod keyspace_values;
mod limits;
mod listener;
mod lookup;
mod media;
mod openapi;
mod operations;
mod pages;
mod parameters;
mod percent;
mod probes;
mod problem;
mod query;
mod range;
mod refusal;
mod routes;
mod service;
mod shapes;
mod token;
mod ui;
mod values;
mod worker;

pub use gate::Access;
pub use limits::{BatchLimits, Limit, Limits};
pub use listener::{Listener, ListenerOptions, Stopper, block_on};
pub use service::{Configuration, Options, Phase, Service};
pub use token::{Token, Verbs};
use worker::Worker;
