//! Numbers as text, written as `PostgreSQL` does. It must not know which database they come from.

use std::fmt::Write as _;

/// The fewest digits from which the same number is read.
pub(super) fn float64(number: f64) -> String {
    written(number.to_string(), &format!("{number:e}"), 15)
}

/// The same for single precision.
pub(super) fn float32(number: f32) -> String {
    written(number.to_string(), &format!("{number:e}"), 6)
}

/// The plain form, or with an exponent where the point would be far from the digits: at or behind place `most`, or four before
/// them.
fn written(plain: String, scientific: &str, most: i32) -> String {
    match plain.as_str() {
        "inf" => return "Infinity".to_owned(),
        "-inf" => return "-Infinity".to_owned(),
        _ => {}
    }
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return plain;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..most).contains(&exponent) {
        return plain;
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// A decimal number as `PostgreSQL` sends it: how many groups of four digits there are, how many of them stand before the
/// point (less one), the sign, how many digits stand behind the point, and the groups. `None` where it is something else.
pub(super) fn decimal(bytes: &[u8]) -> Option<String> {
    const NEGATIVE: u16 = 0x4000;
    let mut words = bytes.chunks_exact(2).map(|pair| match pair {
        [high, low] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    });
    let groups = words.next()?;
    let weight = i32::from(words.next()?.cast_signed());
    let sign = words.next()?;
    let scale = usize::from(words.next()?);
    match sign {
        0 | NEGATIVE => {}
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    }
    let groups: Vec<u16> = words.take(usize::from(groups)).collect();
    // The group that stands for 10,000 to the power of `place`.
    let group = |place: i32| {
        let index = usize::try_from(weight - place).ok()?;
        groups.get(index).copied()
    };
    let mut text = String::new();
    if sign == NEGATIVE {
        text.push('-');
    }
    // Four digits for each group.
    let digits = |text: &mut String, place: i32| {
        let group = group(place).unwrap_or_default();
        write!(text, "{group:04}").expect("a string takes everything");
    };
    let mut before = String::new();
    for place in (0..=weight.max(0)).rev() {
        digits(&mut before, place);
    }
    let before = before.trim_start_matches('0');
    text.push_str(if before.is_empty() { "0" } else { before });
    if scale > 0 {
        let mut behind = String::new();
        for place in 1..=i32::try_from(scale.div_ceil(4)).ok()? {
            digits(&mut behind, -place);
        }
        text.push('.');
        text.push_str(behind.get(..scale)?);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_have_the_fewest_digits_that_tell_them_apart() {
        for (number, text) in [
            (0.0, "0"),
            (-0.5, "-0.5"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.000_012_5, "1.25e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15, "1e+15"),
            (-1.5e300, "-1.5e+300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(float64(number), text);
        }
        assert_eq!(float32(0.1), "0.1");
        assert_eq!(float32(1e6), "1e+06");
        assert_eq!(float32(999_999.0), "999999");
    }

    fn words(words: &[u16]) -> Vec<u8> {
        words
            .iter()
            .flat_map(|word| [word.to_le_bytes()[1], word.to_le_bytes()[0]])
            .collect()
    }

    #[test]
    fn decimals_keep_every_digit() {
        let minus_one = 0xFFFF;
        for (sent, text) in [
            (&[0, 0, 0, 0][..], "0"),
            (&[0, 0, 0, 2], "0.00"),
            (&[1, 0, 0, 0, 7], "7"),
            (&[2, 1, 0x4000, 0, 1, 2], "-10002"),
            (&[1, 1, 0, 0, 1], "10000"),
            (&[2, 0, 0, 3, 12, 3400], "12.340"),
            (&[1, minus_one, 0, 4, 5], "0.0005"),
            (&[1, minus_one - 1, 0, 8, 1234], "0.00001234"),
            (&[3, 1, 0, 4, 1, 0, 5000], "10000.5000"),
            (&[0, 0, 0xC000, 0], "NaN"),
            (&[0, 0, 0xD000, 0], "Infinity"),
            (&[0, 0, 0xF000, 0], "-Infinity"),
        ] {
            assert_eq!(decimal(&words(sent)).as_deref(), Some(text), "{sent:?}");
        }
        assert_eq!(decimal(&[]), None);
        assert_eq!(decimal(&words(&[0, 0, 1, 0])), None);
    }
}
