//! Exact numbers for prices and quantities. Nothing is a float, so no cent depends on how a fraction is stored.

use std::ops::{Add, Div, Mul};
use std::str::FromStr;

/// A number that is not negative, as a fraction. What does not fit into 128 bits, or is divided by zero, has no value, and
/// nothing that is made of it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exact(Option<(u128, u128)>);

/// A decimal has at most so many digits behind the point.
const MOST_DECIMALS: usize = 12;

impl Exact {
    fn new(numerator: u128, denominator: u128) -> Self {
        if denominator == 0 {
            return Self(None);
        }
        let common = greatest_common_divisor(numerator, denominator);
        Self(Some((numerator / common, denominator / common)))
    }

    /// The number, rounded half up to so many decimals, as a whole number of the last one; absent if there is no value.
    pub(super) fn rounded(self, decimals: u32) -> Option<u128> {
        let (numerator, denominator) = self.0?;
        let whole = (numerator / denominator).checked_mul(10_u128.checked_pow(decimals)?)?;
        let rest = (numerator % denominator).checked_mul(10_u128.checked_pow(decimals)?)?;
        let twice = rest.checked_mul(2)?.checked_add(denominator)?;
        whole.checked_add(twice / denominator.checked_mul(2)?)
    }

    /// The number rounded half up to so many decimals, with commas at thousands, such as `1,234.50`; `?` without a value.
    pub(super) fn text(self, decimals: u32) -> String {
        let Some(rounded) = self.rounded(decimals) else { return "?".to_owned() };
        let unit = 10_u128.pow(decimals);
        let (whole, rest) = ((rounded / unit).to_string(), rounded % unit);
        let mut text = String::new();
        for (place, digit) in whole.chars().enumerate() {
            if place > 0 && (whole.len() - place).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        if decimals > 0 {
            text.push_str(&format!(".{rest:0width$}", width = decimals as usize));
        }
        text
    }

    /// The number without zeros at its end, with at most so many decimals, and at least `least`.
    #[cfg(test)]
    pub(super) fn short(self, least: u32, most: u32) -> String {
        let text = self.text(most);
        let Some((whole, decimals)) = text.split_once('.') else { return text };
        let kept = decimals.trim_end_matches('0').len().max(least as usize);
        match decimals.get(..kept) {
            Some(kept) if !kept.is_empty() => format!("{whole}.{kept}"),
            _ => whole.to_owned(),
        }
    }

    /// Whether this is zero.
    pub(super) fn is_zero(self) -> bool {
        matches!(self.0, Some((0, _)))
    }

    /// The smaller of the two.
    pub(super) fn min(self, other: Self) -> Self {
        let (Some((a, b)), Some((c, d))) = (self.0, other.0) else { return Self(None) };
        match (a.checked_mul(d), c.checked_mul(b)) {
            (Some(left), Some(right)) if left <= right => self,
            (Some(_), Some(_)) => other,
            _ => Self(None),
        }
    }

    /// This less `other`, and zero if that is more.
    pub(super) fn less(self, other: Self) -> Self {
        let (Some((a, b)), Some((c, d))) = (self.0, other.0) else { return Self(None) };
        match (a.checked_mul(d), c.checked_mul(b), b.checked_mul(d)) {
            (Some(left), Some(right), Some(below)) => Self::new(left.saturating_sub(right), below),
            _ => Self(None),
        }
    }
}

fn greatest_common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

impl From<u64> for Exact {
    fn from(whole: u64) -> Self {
        Self::new(whole.into(), 1)
    }
}

impl Mul for Exact {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let (Some((a, b)), Some((c, d))) = (self.0, other.0) else { return Self(None) };
        // Reduced crosswise first, so that it fits whenever the result does.
        let (left, right) = (Self::new(a, d), Self::new(c, b));
        let (Some((a, d)), Some((c, b))) = (left.0, right.0) else { return Self(None) };
        match (a.checked_mul(c), b.checked_mul(d)) {
            (Some(numerator), Some(denominator)) => Self::new(numerator, denominator),
            _ => Self(None),
        }
    }
}

impl Mul<u64> for Exact {
    type Output = Self;

    fn mul(self, other: u64) -> Self {
        self * Self::from(other)
    }
}

impl Div for Exact {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let inverse =
            other.0.map_or(Self(None), |(numerator, denominator)| Self::new(denominator, numerator));
        self.mul(inverse)
    }
}

impl Div<u64> for Exact {
    type Output = Self;

    fn div(self, other: u64) -> Self {
        self / Self::from(other)
    }
}

impl Add for Exact {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (Some((a, b)), Some((c, d))) = (self.0, other.0) else { return Self(None) };
        let common = greatest_common_divisor(b, d);
        let sum = || {
            let left = a.checked_mul(d / common)?;
            let right = c.checked_mul(b / common)?;
            Some(Self::new(left.checked_add(right)?, b.checked_mul(d / common)?))
        };
        sum().unwrap_or(Self(None))
    }
}

impl FromStr for Exact {
    type Err = String;

    /// A decimal such as `0.0000133334`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = [whole, decimals].concat();
        if whole.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) || text.ends_with('.') {
            return Err("a number is needed, such as 12 or 0.25".to_owned());
        }
        if decimals.len() > MOST_DECIMALS || digits.len() > 24 {
            return Err(format!("a number has at most {MOST_DECIMALS} decimals, and 24 digits in all"));
        }
        let scale = decimals.bytes().fold(1, |scale: u128, _| scale * 10);
        digits.parse().map(|numerator| Self::new(numerator, scale)).map_err(|_| "too large".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Exact {
        text.parse().expect("a number")
    }

    #[test]
    fn a_decimal_is_read_exactly_and_rounded_half_up() {
        for (text, decimals, expected) in [
            ("0.005", 2, "0.01"),
            ("0.004999999999", 2, "0.00"),
            ("1.005", 2, "1.01"),
            ("2.675", 2, "2.68"),
            ("1234567.5", 0, "1,234,568"),
            ("999.995", 2, "1,000.00"),
            ("0", 2, "0.00"),
            ("0.0000133334", 10, "0.0000133334"),
        ] {
            assert_eq!(exact(text).text(decimals), expected, "{text}");
        }
        assert_eq!(exact("0.40").short(2, 10), "0.40");
        assert_eq!(exact("0.0895").short(2, 10), "0.0895");
        assert_eq!(exact("17").short(0, 3), "17");
        for wrong in ["", ".", "1.", ".5", "-1", "1e3", "1,000", "0.0000000000001", "1.2.3", " 1"] {
            assert!(wrong.parse::<Exact>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_tenth_three_times_is_exactly_three_tenths() {
        assert_eq!(exact("0.1") + exact("0.1") + exact("0.1"), exact("0.3"));
        assert_eq!(exact("0.1") * exact("3"), exact("0.3"));
        assert_eq!(Exact::from(1) / 3 * 3, Exact::from(1));
        assert_eq!(exact("5").less(exact("7")), Exact::from(0));
        assert_eq!(exact("7").less(exact("0.5")), exact("6.5"));
        assert_eq!(exact("0.5").min(exact("0.51")), exact("0.5"));
    }

    #[test]
    fn what_does_not_fit_has_no_value_and_never_a_wrong_one() {
        let large = Exact::from(u64::MAX);
        let too_large = large * u64::MAX * u64::MAX;
        for nothing in [too_large, too_large + large, too_large / 3, Exact::from(1) / 0] {
            assert_eq!((nothing.rounded(2), nothing.text(2).as_str()), (None, "?"));
        }
        assert!((large * u64::MAX / u64::MAX).rounded(0).is_some());
    }
}
