//! From Slack's mrkdwn to plain text: what a model reads, and may quote.
//!
//! Only `<…>` is markup there, and `&amp;`, `&lt;`, `&gt;` are the three characters that are escaped ([formatting
//! text](https://docs.slack.dev/messaging/formatting-message-text/)).

/// The plain text of a text in mrkdwn. A mention becomes `@` and what is known of whom it mentions, a link its label and its
/// address.
pub(super) fn of_mrkdwn(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('<') {
        plain.push_str(&unescaped(before));
        let Some((markup, after)) = behind.split_once('>') else {
            plain.push('<');
            rest = behind;
            continue;
        };
        plain.push_str(&unescaped(&of_markup(markup)));
        rest = after;
    }
    plain.push_str(&unescaped(rest));
    plain
}

/// What stands between the angle brackets, as plain text that is still escaped.
fn of_markup(markup: &str) -> String {
    let (target, label) = match markup.split_once('|') {
        Some((target, label)) if !label.is_empty() => (target, Some(label)),
        Some((target, _)) => (target, None),
        None => (markup, None),
    };
    let after = |mark: &str| target.strip_prefix(mark);
    if let Some(user) = after("@") {
        format!("@{}", label.unwrap_or(user).trim_start_matches('@'))
    } else if let Some(channel) = after("#") {
        format!("#{}", label.unwrap_or(channel).trim_start_matches('#'))
    } else if let Some(special) = after("!") {
        // `<!date^1392734382^{date}|18 February>` has its words behind the bar; `<!subteam^S1|@team>` its handle.
        match (special.split('^').next(), label) {
            (Some("date"), label) => label.unwrap_or_default().to_owned(),
            (_, Some(label)) => format!("@{}", label.trim_start_matches('@')),
            (Some("subteam"), None) => format!("@{}", special.split('^').nth(1).unwrap_or("team")),
            (name, None) => format!("@{}", name.unwrap_or_default()),
        }
    } else {
        let address = target.strip_prefix("mailto:").unwrap_or(target);
        match label {
            Some(label) if label != address && label != target => format!("{label} ({address})"),
            _ => address.to_owned(),
        }
    }
}

fn unescaped(text: &str) -> String {
    if text.contains('&') {
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::answer_text::safe;
    use proptest::prelude::*;

    #[test]
    fn each_kind_of_markup_reads_as_what_it_shows() {
        for (mrkdwn, plain) in [
            ("how far are we?", "how far are we?"),
            ("a &amp; b &lt;c&gt; &amp;lt;", "a & b <c> &lt;"),
            ("<@U1> and <@U2|ann>", "@U1 and @ann"),
            ("<#C1|general> <#C2>", "#general #C2"),
            ("<!here> <!channel|channel> <!everyone>", "@here @channel @everyone"),
            ("<!subteam^S1|@ops> <!subteam^S2>", "@ops @S2"),
            ("<!date^1392734382^{date}|18 February>", "18 February"),
            ("<https://a.example>", "https://a.example"),
            ("<https://a.example|here>", "here (https://a.example)"),
            ("<https://a.example|https://a.example>", "https://a.example"),
            ("<https://a.example/?a=1&amp;b=2|x>", "x (https://a.example/?a=1&b=2)"),
            ("<mailto:a@b.example|a@b.example>", "a@b.example"),
            ("1 < 2", "1 < 2"),
            ("<", "<"),
            ("<>", ""),
            ("<@>", "@"),
        ] {
            assert_eq!(of_mrkdwn(mrkdwn), plain, "{mrkdwn}");
        }
    }

    proptest! {
        #[test]
        fn what_was_escaped_reads_as_it_was_written(text in any::<String>()) {
            prop_assert_eq!(of_mrkdwn(&safe(&text)), text);
        }

        #[test]
        fn any_text_is_read(text in "[<>|!@#^&a-z;: ]{0,60}") {
            of_mrkdwn(&text);
        }
    }
}
