//! How the text of an answer is made safe for Slack and divided into messages, and what the asker is told when there is no
//! answer. All of it is pure, and the same text always gives the same parts: the work record keeps the text and the number of
//! the part that is next, and whoever goes on after a death divides the text anew.
//!
//! An answer quotes what people and documents said, so it may contain Slack's own syntax. In Slack's mrkdwn only `<…>` makes a
//! mention or a link with another label, and only `&`, `<` and `>` need to be escaped
//! (<https://docs.slack.dev/messaging/formatting-message-text/#escaping>). With the three escaped nobody is pinged, no link is
//! disguised, and a type such as `HashMap<String, Vec<u8>>` reads as it was written.

mod links;
mod preview;

pub use preview::preview;

use super::asker::AskerKind;
use super::scope::Scope;

/// Most UTF-8 bytes of an answer that are kept and posted: 100 KB.
pub const MAX_BYTES: usize = 100 * 1024;

/// What stands at the end of an answer that was longer than [`MAX_BYTES`].
const CUT: &str = "\n\n… (cut: the answer was longer than 100 KB)";

/// Most characters of one message, counted after escaping and in UTF-16 units, so that whatever Slack counts is not more.
/// Slack documents 40,000, and has been seen to refuse far shorter texts with `msg_too_long`; 4,000 have always worked.
pub const MAX_PART: usize = 4000;

/// Most characters of one section of a message with blocks, counted in the same way
/// (<https://docs.slack.dev/reference/block-kit/blocks/section-block>).
pub const MAX_SECTION: usize = 3000;

/// Most characters of a section before its addresses become links, which makes each longer by two. The shortest has eight.
const MAX_BARE_SECTION: usize = MAX_SECTION / 10 * 8;

/// What opens and closes a block of code.
const FENCE: &str = "```";
/// What is put before a part that begins within a block of code.
const REOPENED: &str = "```\n";
/// What is put behind a part that ends within a block of code.
const CLOSED: &str = "\n```";

/// How far before a cut in the middle of a word is looked for a place between two characters as people see them (an emoji of
/// several code points, a letter with its accents). Nothing that is meant to be read is longer.
const LONGEST_CHARACTER: usize = 64;

/// Why a question has no answer: Slack does not take the message by which a person would be asked to approve a call of a tool.
pub const CANNOT_BE_ASKED: &str = "cannot_be_asked";

/// The text as mrkdwn in which nothing is markup but what needs no angle brackets, such as `*bold*`.
pub fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            _ => safe.push(c),
        }
    }
    safe
}

/// The text itself, or if it is longer than [`MAX_BYTES`] the beginning of it and, in words, that it was cut. It is at most
/// [`MAX_BYTES`] long then, so that cutting it again changes nothing.
pub fn within_limit(text: &str) -> String {
    cut(text, MAX_BYTES, CUT)
}

/// The text itself, or if it is longer than `max_bytes` the beginning of it and `words`, which say that it was cut.
pub(super) fn cut(text: &str, max_bytes: usize, words: &str) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max_bytes - words.len());
    let mut kept = text.get(..end).unwrap_or_default().to_owned();
    kept.push_str(words);
    kept
}

/// The text as the messages to post, in order: [`safe`], each at most [`MAX_PART`] long, none of them empty. None at all if
/// the text is only whitespace.
///
/// A text that needs several messages is cut between paragraphs, else between lines, else between words, else anywhere, but
/// never within an escape or a character. A block of code that goes on in the next part is closed and opened again.
pub fn parts(text: &str) -> Vec<String> {
    divided(&within_limit(text), MAX_PART)
}

/// One of the [`parts`] as the sections of a message with blocks, in order: the same text, divided by the same rules, each at
/// most [`MAX_SECTION`] long. They are to be posted as they stand (`verbatim`), so addresses are written as links.
pub fn sections(part: &str) -> Vec<String> {
    // The part is escaped already, and is divided as it reads, so that no escape is cut.
    let text = part.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    divided(&text, MAX_BARE_SECTION).iter().map(|section| links::linked(section)).collect()
}

/// The text, made [`safe`] and divided into pieces of at most `limit`.
fn divided(text: &str, limit: usize) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    let mut parts = Vec::new();
    let mut rest = text.as_slice();
    let mut is_code = false;
    loop {
        rest = without_empty_lines(rest);
        if is_code && let Some(behind) = behind_closing_fence(rest) {
            // The part before has closed the block already.
            (rest, is_code) = (behind, false);
            continue;
        }
        if rest.is_empty() {
            return parts;
        }
        let head = if is_code { REOPENED.len() } else { 0 };
        let end = end_of_part(rest, limit - head, is_code);
        let (part, behind) = rest.split_at(end);
        // The space or the end of the line at which it is cut stands in neither part.
        let behind =
            behind.split_first().filter(|(c, _)| c.is_whitespace()).map_or(behind, |(_, behind)| behind);
        let ends_in_code = is_code != (fences(part).count() % 2 == 1);
        let is_last = behind.iter().all(|c| c.is_whitespace());
        let mut message = if is_code { REOPENED.to_owned() } else { String::new() };
        message.push_str(safe(&part.iter().collect::<String>()).trim_end());
        // A block that the answer itself never closes is its own affair, if it is not one that was opened anew here.
        if ends_in_code && (!is_last || is_code) {
            message.push_str(CLOSED);
        }
        parts.push(message);
        (rest, is_code) = (behind, ends_in_code);
    }
}

/// What the asker is told when there will be no answer, by the reason of the work record (`why`): whole sentences in plain
/// words, safe to post as they are.
pub fn apology(why: &str) -> &'static str {
    match why {
        "thinking_failed" => {
            "Sorry, something went wrong while I worked on this, and I have no answer. Please ask me again; if it happens \
             again, tell the people who look after me."
        }
        "took_too_long" => {
            "Sorry, this took me too long, and I have stopped without an answer. Please ask me something smaller, or ask again \
             later."
        }
        "no_answer" => "Sorry, I have found no answer to this. Please try to ask it in other words.",
        "too_large" => "Sorry, this is too much for me to read at once. Please ask me with less text.",
        "gave_up" => {
            "Sorry, I have tried this several times and could not finish it, so there will be no answer. The people who look \
             after me can see that it failed. You can ask me again."
        }
        CANNOT_BE_ASKED => {
            "Sorry, a person would have to approve what I wanted to do next, and I could not post the message that asks for that here. I \
             have not done it, and I have stopped without an answer. Please ask me where I am a member; if that does not help, tell \
             the people who look after me."
        }
        _ => {
            "Sorry, I could not answer this. Please ask me again; if it happens again, tell the people who look after me."
        }
    }
}

/// What somebody is told who may not ask, in whole sentences that are safe to post as they are. Of a `kind` that is `None`, nobody
/// could find out whether they may. A bot is told nothing: it might answer, and for ever.
pub fn turned_away(kind: Option<AskerKind>) -> Option<&'static str> {
    Some(match kind {
        Some(AskerKind::Guest) => "Sorry, I answer only full members of this workspace, and not its guests.",
        Some(AskerKind::External) => "Sorry, I answer only people of this workspace's own company.",
        Some(AskerKind::Bot) => return None,
        Some(AskerKind::Member) | None => {
            "Sorry, I could not find out whether I may answer you. The people who look after me can see why."
        }
    })
}

/// What somebody is told who asks when as many questions were asked in the day as may be, in whole sentences that are safe to post as
/// they are. No question is given back, so there will be an answer when the day has ended.
pub const fn over_limit_of_questions(scope: Scope) -> &'static str {
    match scope {
        Scope::Person => {
            "Sorry, you have asked me as much today as you may. Please ask me again tomorrow: the day ends at midnight UTC."
        }
        Scope::Channel => {
            "Sorry, I have answered as much in this channel today as I may. Please ask me again tomorrow: the day ends at midnight \
             UTC."
        }
        Scope::Workspace => {
            "Sorry, I have answered as much in this workspace today as I may. Please ask me again tomorrow: the day ends at \
             midnight UTC."
        }
    }
}

/// What is said behind that, if somebody has approved a call of a tool that is not made now.
pub const APPROVED_AND_NOT_DONE: &str = "What was approved here was not done.";

/// What somebody is told who asks when fewer tokens are left of the day than an attempt reserves, in whole sentences that are safe to
/// post as they are. An attempt that ends gives back what it has reserved and not used, so there may be an answer before the day ends.
pub const fn over_limit_of_tokens(scope: Scope) -> &'static str {
    match scope {
        Scope::Person => {
            "Sorry, too little is left of what you may use today. Please ask me again later: what is being thought about may give \
             something back, and the day ends at midnight UTC."
        }
        Scope::Channel => {
            "Sorry, too little is left of what may be used in this channel today. Please ask me again later: what is being thought \
             about may give something back, and the day ends at midnight UTC."
        }
        Scope::Workspace => {
            "Sorry, too little is left of what may be used in this workspace today. Please ask me again later: what is being \
             thought about may give something back, and the day ends at midnight UTC."
        }
    }
}

/// The length of a character in a message, in UTF-16 units.
fn length(c: char) -> usize {
    match c {
        '&' => "&amp;".len(),
        '<' | '>' => "&lt;".len(),
        _ => c.len_utf16(),
    }
}

/// The rest of the text without the empty lines at its beginning. The spaces before its first line stay, for they may be the
/// indentation of a list or of code, unless there are so many of them that they fill a part.
fn without_empty_lines(text: &[char]) -> &[char] {
    let first = text.iter().position(|c| !c.is_whitespace()).unwrap_or(text.len());
    let (spaces, rest) = text.split_at(first);
    match spaces.iter().rposition(|&c| c == '\n') {
        _ if rest.is_empty() || first > MAX_PART / 2 => rest,
        Some(end_of_line) if first - end_of_line > MAX_PART / 2 => rest,
        Some(end_of_line) => text.get(end_of_line + 1..).unwrap_or(rest),
        None => text,
    }
}

/// What comes after the fence, if the text begins with one.
fn behind_closing_fence(text: &[char]) -> Option<&[char]> {
    let first = text.iter().position(|c| !c.is_whitespace())?;
    let rest = text.get(first..)?;
    let ticks = rest.iter().take_while(|&&c| c == '`').count();
    if ticks < FENCE.len() { None } else { rest.get(ticks..) }
}

/// Where in a text the fences begin and end: each run of three backticks or more.
fn fences(text: &[char]) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(at..)?;
            let begin = at + rest.iter().position(|&c| c == '`')?;
            let ticks = text.get(begin..)?.iter().take_while(|&&c| c == '`').count();
            at = begin + ticks;
            if ticks >= FENCE.len() {
                return Some((begin, at));
            }
        }
    })
}

/// How many characters of the text the next part takes, of which it may be `limit` long. At least one, as the text is not
/// empty, and with a character that is no space among them.
fn end_of_part(text: &[char], limit: usize, is_code: bool) -> usize {
    let total: usize = text.iter().map(|&c| length(c)).sum();
    // A block that is open at the end of the last part may have to be closed there, too.
    if total <= limit && !is_code || total <= limit - CLOSED.len() {
        return text.len();
    }
    let window = window(text, limit - CLOSED.len());
    let begin = window.iter().position(|c| !c.is_whitespace()).unwrap_or(0) + 1;
    let open: Vec<_> = fences(window).collect();
    let is_in_code = |at: usize| is_code != (open.iter().filter(|(begin, _)| *begin < at).count() % 2 == 1);
    let is_line_end = |at: usize| window.get(at) == Some(&'\n');
    let is_paragraph_end = |at: usize| {
        let behind = window.get(at + 1..).unwrap_or_default();
        is_line_end(at)
            && behind.iter().find(|&&c| c == '\n' || !c.is_whitespace()).is_some_and(|&c| c == '\n')
    };
    let last =
        |from: usize, is_end: &dyn Fn(usize) -> bool| (from..window.len()).rev().find(|&at| is_end(at));
    // A good place in the second half of what fits is better than a very good one near the beginning.
    let half = begin.max(window.len() / 2);
    let end = last(half, &|at| is_paragraph_end(at) && !is_in_code(at))
        .or_else(|| last(half, &is_line_end))
        .or_else(|| last(half, &|at| window.get(at).is_some_and(|c| c.is_whitespace())))
        .or_else(|| last(begin, &is_line_end))
        .or_else(|| last(begin, &|at| window.get(at).is_some_and(|c| c.is_whitespace())))
        .unwrap_or_else(|| between_characters(text, window.len()));
    // A block of which nothing but its opening would stand here belongs to the next part as a whole.
    let kept = window.get(..end).unwrap_or(window);
    let opened = open.iter().rfind(|(_, behind)| *behind <= end).filter(|_| is_in_code(end));
    match opened {
        Some(&(fence, behind))
            if fence >= begin
                && !kept.get(behind..).unwrap_or_default().contains(&'\n')
                && window.len() - fence < window.len() / 2 =>
        {
            fence
        }
        _ => end,
    }
}

/// The longest beginning of the text that is at most `limit` long, and does not end within a fence.
fn window(text: &[char], limit: usize) -> &[char] {
    let mut taken = 0;
    let fits = |c: &&char| {
        taken += length(**c);
        taken <= limit
    };
    let end = text.iter().take_while(fits).count();
    let ticks = |chars: &mut dyn Iterator<Item = &char>| chars.take_while(|&&c| c == '`').count();
    let (before, behind) = text.split_at(end);
    let (ticks_before, ticks_behind) = (ticks(&mut before.iter().rev()), ticks(&mut behind.iter()));
    let is_within_fence = ticks_before > 0 && ticks_behind > 0 && ticks_before < LONGEST_CHARACTER;
    let end = if is_within_fence && ticks_before < end { end - ticks_before } else { end };
    text.get(..end).unwrap_or(text)
}

/// A place at `end` or shortly before it where no character, as people see it, is cut in two.
fn between_characters(text: &[char], end: usize) -> usize {
    let earliest = end.saturating_sub(LONGEST_CHARACTER).max(1);
    let is_between = |at: &usize| match (text.get(at.saturating_sub(1)), text.get(*at)) {
        (Some(&before), Some(&behind)) => !belong_together(before, behind),
        _ => true,
    };
    (earliest..=end).rev().find(is_between).unwrap_or(end)
}

/// Whether two code points may be parts of one character. Two flags beside each other count as one, which does no harm.
fn belong_together(before: char, behind: char) -> bool {
    const JOINER: char = '\u{200d}';
    let is_regional = |c: char| ('\u{1f1e6}'..='\u{1f1ff}').contains(&c);
    let is_added = matches!(behind,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{900}'..='\u{903}' | '\u{93a}'..='\u{93c}' | '\u{93e}'..='\u{94f}'
        | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{200c}' | JOINER | '\u{20d0}'..='\u{20ff}' | '\u{3099}' | '\u{309a}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' | '\u{1f3fb}'..='\u{1f3ff}'
        | '\u{e0020}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}');
    is_added
        || before == JOINER
        || is_regional(before) && is_regional(behind)
        || (before, behind) == ('\r', '\n')
}

#[cfg(test)]
mod tests;
