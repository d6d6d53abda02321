//! Where values come from that nobody has put: fixed words, an HTTP answer, a file, a row of a database. It must not know who
//! asks: a clock, or a key that is absent.

mod options;

pub use options::{
    BeneathOptions, Breaker, FileOptions, HttpOptions, Origin, RateLimit, SqlOptions,
    ThroughOptions,
};
