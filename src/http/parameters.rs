//! The query parameters that tune a write: `ttl` and `durability`. It must not know which operation takes which.

use std::time::Duration;

use super::code::Code;
use super::problem::Problem;
use super::query::Query;
use crate::keyspace::{Durability, Ttl};

/// A hundred years of 365.25 days.
const LONGEST_TTL: Duration = Duration::from_hours(36_525 * 24);

/// `?ttl=`: a number with `ms`, `s`, `m`, `h` or `d`, a bare number of seconds, or `none`.
pub(crate) fn ttl(query: &Query<'_>) -> Result<Ttl, Problem> {
    let Some(text) = query.value("ttl") else {
        return Ok(Ttl::Unspecified);
    };
    ttl_of(text).map_err(|why| Problem::new(Code::InvalidParameter, format!("ttl {why}")))
}

/// How long a text means, or what is wrong with it.
pub(crate) fn ttl_of(text: &str) -> Result<Ttl, String> {
    if text == "none" {
        return Ok(Ttl::Forever);
    }
    // What was sent is not told back beyond a few letters: in a body it can be long.
    let shown = || text.chars().take(32).collect::<String>();
    let refused = |why: &str| Err(format!("{:?} {why}", shown()));
    let unreadable =
        || refused("cannot be read: give 500ms, 90s, 15m, 2h, 7d, a number of seconds, or none");
    let (number, unit) = text.split_at(
        text.find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return unreadable(),
    };
    if number.is_empty() {
        return unreadable();
    }
    // Too many digits is too long a time: say so, not that it cannot be read.
    let ttl_ms = number.parse().unwrap_or(u64::MAX).saturating_mul(unit_ms);
    match Duration::from_millis(ttl_ms) {
        Duration::ZERO => refused("would expire at once: use DELETE, or none to keep it for ever"),
        ttl if ttl > LONGEST_TTL => refused("is over 100 years: use none to keep it for ever"),
        ttl => Ok(Ttl::After(ttl)),
    }
}

/// A parameter that is `true` or `false`; absent is false.
pub(crate) fn flag(query: &Query<'_>, name: &str) -> Result<bool, Problem> {
    match query.value(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            let detail = format!("{name}={other:?} is not known: give true or false");
            Err(Problem::new(Code::InvalidParameter, detail))
        }
    }
}

/// A parameter that is a time.
pub(crate) fn time(query: &Query<'_>, name: &str) -> Result<Option<Duration>, Problem> {
    let Some(text) = query.value(name) else {
        return Ok(None);
    };
    match ttl_of(text) {
        Ok(Ttl::After(time)) => Ok(Some(time)),
        Ok(Ttl::Forever | Ttl::Unspecified) | Err(_) => {
            let detail = format!(
                "{name}={text:?} is no time: give 500ms, 90s, 15m, 2h or a number of seconds from 1 on"
            );
            Err(Problem::new(Code::InvalidParameter, detail))
        }
    }
}

/// `?durability=`: `written`, `synced`, or `memory`, which no request can choose.
pub(crate) fn durability(query: &Query<'_>) -> Result<Option<Durability>, Problem> {
    match query.value("durability") {
        None => Ok(None),
        Some("written") => Ok(Some(Durability::Written)),
        Some("synced") => Ok(Some(Durability::Synced)),
        // Whether the keyspace offers it is the keyspace's to say.
        Some("memory") => Ok(Some(Durability::Memory)),
        Some(other) => {
            let detail = format!("durability={other:?} is not known: give written or synced");
            Err(Problem::new(Code::InvalidParameter, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ttl_of(text: &str) -> Result<Ttl, Code> {
        ttl(&Query::parse(Some(&format!("ttl={text}"))).unwrap()).map_err(|problem| problem.code())
    }

    #[test]
    fn every_unit_is_read() {
        let ms = |ms| Ok(Ttl::After(Duration::from_millis(ms)));
        assert_eq!(ttl_of("500ms"), ms(500));
        assert_eq!(ttl_of("90s"), ms(90_000));
        assert_eq!(ttl_of("90"), ms(90_000));
        assert_eq!(ttl_of("15m"), ms(900_000));
        assert_eq!(ttl_of("2h"), ms(7_200_000));
        assert_eq!(ttl_of("7d"), ms(604_800_000));
        assert_eq!(ttl_of("36525d"), ms(36_525 * 86_400_000));
        assert_eq!(ttl_of("none"), Ok(Ttl::Forever));
        assert_eq!(ttl(&Query::default()).unwrap(), Ttl::Unspecified);
    }

    #[test]
    fn no_time_too_much_time_and_nonsense_are_refused() {
        let others = [
            "",
            "0",
            "0ms",
            "-1",
            "-1s",
            "1.5h",
            "s",
            "1w",
            "1S",
            "none1",
            "1%20s",
            "36526d",
            "99999999999999999999999",
            "18446744073709551615d",
        ];
        for text in others {
            assert_eq!(ttl_of(text), Err(Code::InvalidParameter), "{text}");
        }
    }

    #[test]
    fn a_request_may_ask_for_written_or_synced() {
        let of =
            |text| durability(&Query::parse(Some(text)).unwrap()).map_err(|problem| problem.code());
        assert_eq!(of(""), Ok(None));
        assert_eq!(of("durability=written"), Ok(Some(Durability::Written)));
        assert_eq!(of("durability=synced"), Ok(Some(Durability::Synced)));
        assert_eq!(of("durability=memory"), Ok(Some(Durability::Memory)));
        assert_eq!(of("durability=Synced"), Err(Code::InvalidParameter));
    }
}
