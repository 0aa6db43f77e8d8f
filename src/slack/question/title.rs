//! The title that a Slack session has of its question.

/// Most UTF-16 units of a title: Slack's limit in `agents.sessions.setStatus`
/// (<https://docs.slack.dev/reference/methods/agents.sessions.setStatus>).
const MAX_UNITS: usize = 200;

/// What stands at the end of a title that does not have all words of its question.
const CUT: char = '…';

/// The first words of a text as a title: on one line, and without angle brackets, of which Slack makes mentions and links.
/// `None` if nothing is left of it. A title is its own title.
pub fn title(text: &str) -> Option<String> {
    let plain = text.replace(['<', '>'], "");
    let mut title = String::new();
    let mut left = MAX_UNITS;
    for word in plain.split_whitespace() {
        let space = usize::from(!title.is_empty());
        let units = word.encode_utf16().count() + space;
        if units > left {
            if title.is_empty() {
                title.extend(beginning(word, left));
            }
            // What was taken last makes room for the sign that there is more.
            while title.encode_utf16().count() >= MAX_UNITS {
                title.pop();
            }
            title.push(CUT);
            break;
        }
        if space > 0 {
            title.push(' ');
        }
        title.push_str(word);
        left -= units;
    }
    (!title.is_empty()).then_some(title)
}

/// The beginning of a word that is at most so many UTF-16 units long.
fn beginning(word: &str, units: usize) -> impl Iterator<Item = char> {
    let mut taken = 0;
    word.chars().take_while(move |c| {
        taken += c.len_utf16();
        taken <= units
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_title_is_the_first_words_on_one_line() {
        for (text, expected) in [
            ("how far are we?", Some("how far are we?")),
            ("  two\n\nlines\tand more ", Some("two lines and more")),
            ("ask <!channel> and <@U1>", Some("ask !channel and @U1")),
            (" \n", None),
            ("<>", None),
        ] {
            assert_eq!(title(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_long_question_is_cut_between_words_and_a_long_word_within() {
        let long = title(&"word ".repeat(100)).unwrap();
        assert!(long.ends_with("word…") && long.chars().count() == 200, "{long}");
        assert_eq!(title(&"x".repeat(300)), Some(format!("{}…", "x".repeat(199))));
        let exact = "x".repeat(200);
        assert_eq!(title(&exact), Some(exact));
    }

    proptest! {
        #[test]
        fn no_title_is_longer_than_slack_takes_and_a_title_stays_as_it_is(text in "([a-zä🦀<>]{0,30}[ \n]?){0,60}") {
            if let Some(title) = title(&text) {
                prop_assert!(title.encode_utf16().count() <= MAX_UNITS);
                prop_assert_eq!(super::title(&title), Some(title));
            }
        }
    }
}
