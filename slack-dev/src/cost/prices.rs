//! The list prices, each with where and when it was read: `prices.json`. Nothing else here has a price in it.

use serde::Deserialize;
use std::str::FromStr;

use super::exact::Exact;
use crate::CommandError;

/// How good the source of a price is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verified {
    /// A page or a program of AWS's own.
    Aws,
    /// Somebody's copy of AWS's page.
    Copied,
    /// A third party.
    Third,
    /// Given as an argument.
    Yours,
}

impl Verified {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "AWS",
            Self::Copied => "copied",
            Self::Third => "third",
            Self::Yours => "yours",
        }
    }
}

/// The price of one thing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Price {
    /// By which it is named here, such as `sqs_fifo`.
    pub(super) key: String,
    /// The service, as the bill calls it.
    pub(super) service: String,
    /// What it is the price of.
    pub(super) what: String,
    /// The price is for so many.
    pub(super) per: u64,
    /// In words: `a million`.
    pub(super) per_text: String,
    /// US dollars in us-east-1, as text, so that no digit is lost.
    pub(super) usd: String,
    /// Where it was read.
    pub(super) url: String,
    /// On which day.
    pub(super) read: String,
    /// How good that source is.
    pub(super) verified: Verified,
    /// What else there is to know about it; may be empty.
    pub(super) note: String,
}

impl Price {
    /// What this many cost. A quantity is in the unit of `per`.
    pub(super) fn of(&self, quantity: Exact) -> Exact {
        Exact::from_str(&self.usd).map_or(Exact::from(1) / 0, |usd| quantity * usd / self.per)
    }

    /// The price in words, such as `0.40 a million`.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.usd, self.per_text)
    }
}

/// All prices.
#[derive(Clone, Debug)]
pub(super) struct Prices(Vec<Price>);

impl Prices {
    /// The list prices.
    pub(super) fn list() -> Result<Self, CommandError> {
        Ok(Self(serde_json::from_str(include_str!("prices.json"))?))
    }

    /// Puts other prices in their place, each as `key=USD`.
    pub(super) fn replace(&mut self, others: &[String]) -> Result<(), CommandError> {
        for other in others {
            let (key, usd) = other.split_once('=').ok_or_else(|| format!("{other}: KEY=USD is needed"))?;
            Exact::from_str(usd).map_err(|problem| format!("{other}: {problem}"))?;
            let price = self.0.iter_mut().find(|price| price.key == key);
            let price = price.ok_or_else(|| {
                format!("{key}: there is no such price; `slack-dev cost --prices` lists them")
            })?;
            (price.usd, price.verified, price.read) = (usd.to_owned(), Verified::Yours, String::new());
            price.url.clear();
            price.note.clear();
        }
        Ok(())
    }

    pub(super) fn get(&self, key: &str) -> Result<&Price, CommandError> {
        let price = self.0.iter().find(|price| price.key == key);
        price.ok_or_else(|| format!("no price of {key}").into())
    }

    pub(super) fn all(&self) -> &[Price] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_price_is_a_number_and_says_where_and_when_it_was_read() {
        let prices = Prices::list().unwrap();
        let keys: BTreeSet<&str> = prices.all().iter().map(|price| price.key.as_str()).collect();
        assert_eq!(keys.len(), prices.all().len(), "no key twice");
        for price in prices.all() {
            assert!(Exact::from_str(&price.usd).is_ok() && price.per > 0, "{price:?}");
            assert!(price.url.starts_with("https://"), "{price:?}");
            let date = price.read.as_bytes();
            assert!(date.len() == 10 && price.read.starts_with("2026-"), "{price:?}");
        }
    }

    #[test]
    fn another_price_takes_the_place_of_the_lists_and_a_wrong_one_is_refused() {
        let mut prices = Prices::list().unwrap();
        prices.replace(&["sqs_fifo=0.6".to_owned()]).unwrap();
        let price = prices.get("sqs_fifo").unwrap();
        assert_eq!((price.usd.as_str(), price.verified), ("0.6", Verified::Yours));
        assert_eq!(price.of(Exact::from(500_000)).text(2), "0.30");
        for wrong in ["sqs_fifo", "sqs_fifo=", "sqs_fifo=cheap", "sqs=1"] {
            assert!(prices.replace(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
