//! The addresses in an answer as links. Slack makes links of them by itself in the text of a message, and in a section only
//! together with what is not wanted: there it would also make mentions of names behind an `@`. So a section is posted as it
//! stands (`verbatim`), with its addresses written as links. No link has a label, so none leads elsewhere than it says.

/// What an address begins with.
const SCHEMES: [&str; 2] = ["https://", "http://"];

/// The text, which is made [`safe`](super::safe), with each address outside of code as a link to itself.
pub(super) fn linked(safe: &str) -> String {
    let mut linked = String::with_capacity(safe.len());
    for (number, piece) in safe.split('`').enumerate() {
        if number > 0 {
            linked.push('`');
        }
        // Behind an odd number of backticks is code: of one, or of the three of a block.
        if number % 2 == 0 { link(piece, &mut linked) } else { linked.push_str(piece) }
    }
    linked
}

fn link(mut text: &str, linked: &mut String) {
    while let Some((before, address, behind)) = next_address(text) {
        linked.push_str(before);
        linked.extend(["<", address, ">"]);
        text = behind;
    }
    linked.push_str(text);
}

/// What stands before the next address, the address, and what stands behind it.
fn next_address(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices("http").find_map(|(begin, _)| {
        let (before, rest) = text.split_at_checked(begin)?;
        let scheme = SCHEMES.iter().find(|scheme| rest.starts_with(**scheme))?;
        if before.ends_with(|c: char| c.is_alphanumeric()) {
            return None;
        }
        let end =
            ["&lt;", "&gt;"].iter().filter_map(|bracket| rest.find(bracket)).min().unwrap_or(rest.len());
        let end = rest.find(|c: char| !is_of_an_address(c)).unwrap_or(rest.len()).min(end);
        let address = without_what_follows(rest.get(..end)?);
        (address.len() > scheme.len())
            .then(|| (before, address, rest.get(address.len()..).unwrap_or_default()))
    })
}

/// Whether a character can be part of an address here. `|` cannot: behind it Slack reads a label.
fn is_of_an_address(c: char) -> bool {
    c.is_alphanumeric() || "-._~:/?#[]@!$&'()+,;=%".contains(c)
}

/// The address without what belongs to the sentence around it.
fn without_what_follows(mut address: &str) -> &str {
    loop {
        let is_unbalanced = address.matches(')').count() > address.matches('(').count();
        let shorter = match address.chars().last() {
            Some(';') if address.ends_with("&amp;") => address.strip_suffix("&amp;"),
            Some(')') if is_unbalanced => address.strip_suffix(')'),
            Some(c) if ".,:;!?'_~[]".contains(c) => address.strip_suffix(c),
            _ => None,
        };
        match shorter {
            Some(shorter) => address = shorter,
            None => return address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::safe;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_becomes_a_link_to_itself_and_the_sentence_around_it_does_not() {
        for (text, expected) in [
            ("see https://a.example.", "see <https://a.example>."),
            (
                "(http://a.example/x_(y)), *https://b.example*",
                "(<http://a.example/x_(y)>), *<https://b.example>*",
            ),
            ("https://a.example/?a=1&b=2&", "<https://a.example/?a=1&amp;b=2>&amp;"),
            ("<https://a.example>", "&lt;<https://a.example>&gt;"),
            ("https://a.example|here", "<https://a.example>|here"),
            ("`https://a.example` https://b.example", "`https://a.example` <https://b.example>"),
            (
                "```\nhttps://a.example\n```\nhttps://b.example",
                "```\nhttps://a.example\n```\n<https://b.example>",
            ),
            ("xhttps://a.example https:// http", "xhttps://a.example https:// http"),
            ("@channel #general @anna", "@channel #general @anna"),
        ] {
            assert_eq!(linked(&safe(text)), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_links_to_themselves_is_added(text in "(https?://|[<>|@!#&;`a-z/. \n]){0,40}") {
            let linked = linked(&safe(&text));
            prop_assert_eq!(linked.replace(['<', '>'], ""), safe(&text));
            for behind in linked.split('<').skip(1) {
                let (address, _) = behind.split_once('>').expect("a link ends");
                prop_assert!(SCHEMES.iter().any(|scheme| address.starts_with(scheme)), "{}", address);
                prop_assert!(!address.contains('|'), "{}", address);
            }
        }
    }
}
