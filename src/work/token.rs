//! The right to work on a question, and the mark of a post.

use std::fmt;

/// 128 random bits, written as 32 hexadecimal digits. As a *token* it is the right to work on one question: whoever knows it may
/// beat, answer and release. As a *nonce* it is the mark that one post carries in its metadata, by which it is found again.
///
/// `Debug` does not show it, because whoever reads the log must not be able to answer in somebody's place.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(String);

/// The number of hexadecimal digits.
const DIGITS: usize = 32;

impl Token {
    /// Reads a token. `None` if it is not 32 lower-case hexadecimal digits.
    pub fn parse(digits: &str) -> Option<Self> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (digits.len() == DIGITS && digits.bytes().all(is_hex)).then(|| Self(digits.to_owned()))
    }

    /// The token with these bits.
    pub fn from_bits(bits: u128) -> Self {
        Self(format!("{bits:032x}"))
    }

    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Makes tokens. It is a trait so that the simulation can make the same ones for the same seed.
pub trait Tokens: Send + Sync {
    /// A token that nobody has had before and nobody can guess.
    fn next(&self) -> Token;
}

/// Tokens from the operating system's source of randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomTokens;

impl Tokens for RandomTokens {
    fn next(&self) -> Token {
        let mut bytes = [0; 16];
        // It fails only where the kernel has no randomness, and there is no TLS either. A fixed token would be a right that
        // everybody has, so the invocation ends.
        #[expect(clippy::expect_used, reason = "without randomness there is no right to hand out")]
        aws_lc_rs::rand::fill(&mut bytes).expect("the operating system has randomness");
        Token::from_bits(u128::from_be_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_32_lower_case_hexadecimal_digits() {
        assert_eq!(Token::from_bits(0xab).as_str(), "000000000000000000000000000000ab");
        assert_eq!(Token::parse("000000000000000000000000000000ab"), Some(Token::from_bits(0xab)));
        for wrong in [
            "",
            "ab",
            "000000000000000000000000000000AB",
            "0000000000000000000000000000000g",
            &"0".repeat(33),
        ] {
            assert_eq!(Token::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn no_two_tokens_are_the_same_and_none_is_in_a_log() {
        let tokens: std::collections::HashSet<_> = (0..1000).map(|_| RandomTokens.next()).collect();
        assert_eq!(tokens.len(), 1000);
        assert_eq!(format!("{:?}", Token::from_bits(0xab)), "Token(…)");
    }
}
