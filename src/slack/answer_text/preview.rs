//! What is shown of an answer while it is being thought. Slack takes Markdown there, and an answer is written in Slack's mrkdwn.

use super::safe;

/// A piece of an answer as Markdown in which nobody is pinged and no link is disguised. It is a preview: the finished answer takes
/// its place as a whole, so a sign that the cut between two pieces has torn apart does no harm.
pub fn preview(piece: &str) -> String {
    let safe = safe(piece);
    let mut markdown = String::with_capacity(safe.len());
    let (mut before, mut is_code) = (None, false);
    let mut rest = safe.chars().peekable();
    while let Some(c) = rest.next() {
        let after = rest.peek().copied();
        is_code ^= c == '`';
        match c {
            _ if is_code => markdown.push(c),
            '\\' => markdown.push_str("\\\\"),
            // A label in brackets could hide where a link leads.
            '[' => markdown.push_str("\\["),
            // What is *bold* in mrkdwn is **bold** in Markdown.
            '*' if is_sign_of_bold(before, after) => markdown.push_str("**"),
            _ => markdown.push(c),
        }
        before = Some(c);
    }
    markdown
}

/// Whether an asterisk between these two characters opens or closes what is bold. One between spaces is a point of a list, and one
/// between letters a sign of multiplication.
fn is_sign_of_bold(before: Option<char>, after: Option<char>) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let is_space = |c: Option<char>| c.is_none_or(char::is_whitespace);
    let is_doubled = before == Some('*') || after == Some('*');
    let opens = !is_word(before) && !is_space(after);
    let closes = !is_space(before) && !is_word(after);
    !is_doubled && opens != closes || !is_doubled && opens && !is_space(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_bold_in_mrkdwn_is_so_in_markdown() {
        for (mrkdwn, markdown) in [
            ("a *bold* word", "a **bold** word"),
            ("*All of it*", "**All of it**"),
            ("(*in brackets*), and *at the end*.", "(**in brackets**), and **at the end**."),
            ("**already**", "**already**"),
            ("* one\n* two", "* one\n* two"),
            ("6 * 7, and 6*7", "6 * 7, and 6*7"),
            ("_italic_ and `code`", "_italic_ and `code`"),
            ("`a[0] *b`, *bold*", "`a[0] *b`, **bold**"),
        ] {
            assert_eq!(preview(mrkdwn), markdown);
        }
    }

    #[test]
    fn nobody_is_pinged_and_no_link_is_disguised() {
        assert_eq!(preview("<!channel> <@U1>"), "&lt;!channel&gt; &lt;@U1&gt;");
        assert_eq!(preview("[your bank](https://evil.example)"), "\\[your bank](https://evil.example)");
        assert_eq!(preview("\\[your bank](https://evil.example)"), "\\\\\\[your bank](https://evil.example)");
        assert_eq!(preview("![](https://evil.example/x.png)"), "!\\[](https://evil.example/x.png)");
    }
}
