//! What a value must look like (`pattern`): the part of regular expressions that forms are checked by, without a regex engine,
//! which every cold start would have to load.
//!
//! As in HTML's `pattern`, the whole value has to match. There are characters, `.`, classes (`[A-Z_]`, `[^,]`), `\d`, `\w`, `\s`
//! and their opposites, and behind each of them `*`, `+`, `?`, `{3}`, `{2,}` or `{2,5}`. There are no groups and no choices
//! (`(…)`, `|`). The time is bounded by the length of the pattern times that of the value.

/// The largest number in braces. Slack's values have 3,000 characters at the most.
const MAX_COUNT: usize = 3000;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Item>);

/// So many characters of a set, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    set: Set,
    min: usize,
    max: usize,
}

/// A set of characters: those in one of the ranges, or all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Set {
    is_negated: bool,
    ranges: Vec<(char, char)>,
}

impl Set {
    fn of(ranges: &[(char, char)]) -> Self {
        Self { is_negated: false, ranges: ranges.to_vec() }
    }

    fn has(&self, character: char) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&character)) != self.is_negated
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // They are implied.
        let inner = text.strip_prefix('^').unwrap_or(text);
        let inner = match inner.strip_suffix('$') {
            Some(before) if !before.ends_with('\\') => before,
            _ => inner,
        };
        let mut rest = inner.chars().peekable();
        let mut items = Vec::new();
        while let Some(character) = rest.next() {
            let set = match character {
                '.' => Set { is_negated: true, ranges: vec![('\n', '\n')] },
                '[' => class(&mut rest)?,
                '\\' => escape(&mut rest)?,
                '(' | ')' | '|' => {
                    return Err(format!(
                        "there are no groups and no choices here: write \\{character} for the character"
                    ));
                }
                '*' | '+' | '?' | '{' | '}' | ']' | '^' | '$' => {
                    return Err(format!(
                        "{character} has nothing before it to count or to close: write \\{character} for the character"
                    ));
                }
                plain => Set::of(&[(plain, plain)]),
            };
            let (min, max) = count(&mut rest)?;
            items.push(Item { set, min, max });
        }
        Ok(Self(items))
    }

    /// Whether the whole text is as the pattern says.
    pub(super) fn matches(&self, text: &str) -> bool {
        let characters: Vec<char> = text.chars().collect();
        // Where the next item may begin. Position n is behind the n-th character.
        let mut begins = vec![false; characters.len() + 1];
        if let Some(first) = begins.first_mut() {
            *first = true;
        }
        for item in &self.0 {
            begins = item.ends(&characters, &begins);
        }
        begins.last() == Some(&true)
    }
}

impl Item {
    /// Where the item may end that begins at one of these positions.
    fn ends(&self, characters: &[char], begins: &[bool]) -> Vec<bool> {
        // How many characters of the set stand behind each position.
        let mut runs = vec![0; begins.len()];
        let mut run = 0;
        for (slot, character) in runs.iter_mut().zip(characters).rev() {
            run = if self.set.has(*character) { run + 1 } else { 0 };
            *slot = run;
        }
        // Each beginning opens a span of ends; the spans are added up from the left.
        let mut opens = vec![0_i64; begins.len()];
        let mut closes = vec![0_i64; begins.len() + 1];
        for (position, run) in
            runs.iter().enumerate().filter(|(position, _)| begins.get(*position) == Some(&true))
        {
            let most = (*run).min(self.max);
            if most >= self.min {
                if let Some(slot) = opens.get_mut(position + self.min) {
                    *slot += 1;
                }
                if let Some(slot) = closes.get_mut(position + most + 1) {
                    *slot += 1;
                }
            }
        }
        let mut open = 0;
        opens
            .iter()
            .zip(&closes)
            .map(|(opened, closed)| {
                open += opened - closed;
                open > 0
            })
            .collect()
    }
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// What stands behind a backslash.
fn escape(rest: &mut Rest<'_>) -> Result<Set, String> {
    let Some(character) = rest.next() else { return Err("it ends with a backslash".to_owned()) };
    let word = [('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')];
    let space = [(' ', ' '), ('\t', '\r'), ('\u{a0}', '\u{a0}')];
    let mut set = match character.to_ascii_lowercase() {
        'd' => Set::of(&[('0', '9')]),
        'w' => Set::of(&word),
        's' => Set::of(&space),
        'n' if character == 'n' => return Ok(Set::of(&[('\n', '\n')])),
        't' if character == 't' => return Ok(Set::of(&[('\t', '\t')])),
        _ if character.is_ascii_alphanumeric() => return Err(format!("\\{character} means nothing here")),
        _ => return Ok(Set::of(&[(character, character)])),
    };
    set.is_negated = character.is_ascii_uppercase();
    Ok(set)
}

/// The rest of a class, behind its `[`.
fn class(rest: &mut Rest<'_>) -> Result<Set, String> {
    let mut set = Set { is_negated: rest.next_if_eq(&'^').is_some(), ranges: Vec::new() };
    loop {
        let Some(character) = rest.next() else { return Err("a [ has no ]".to_owned()) };
        let first = match character {
            ']' if set.ranges.is_empty() => return Err("a class is empty".to_owned()),
            ']' => return Ok(set),
            '[' => return Err("a [ in a class is written \\[".to_owned()),
            '\\' => {
                let escaped = escape(rest)?;
                if escaped.is_negated {
                    return Err("\\D, \\W and \\S do not stand in a class".to_owned());
                }
                match escaped.ranges.as_slice() {
                    [(first, last)] if first == last => *first,
                    ranges => {
                        set.ranges.extend_from_slice(ranges);
                        continue;
                    }
                }
            }
            plain => plain,
        };
        // A hyphen before the end of the class is a hyphen.
        let mut ahead = rest.clone();
        let last = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if last != ']' => {
                rest.next();
                match rest.next() {
                    Some('\\') => match escape(rest)?.ranges.as_slice() {
                        [(first, last)] if first == last => *first,
                        _ => return Err("a range ends with a single character".to_owned()),
                    },
                    _ => last,
                }
            }
            _ => first,
        };
        if first > last {
            return Err(format!("the range {first}-{last} is empty"));
        }
        set.ranges.push((first, last));
    }
}

/// How often what was read may stand there.
fn count(rest: &mut Rest<'_>) -> Result<(usize, usize), String> {
    let count = match rest.peek() {
        Some('*') => (0, usize::MAX),
        Some('+') => (1, usize::MAX),
        Some('?') => (0, 1),
        Some('{') => {
            rest.next();
            let mut inside = String::new();
            loop {
                match rest.next() {
                    Some('}') => break,
                    Some(character) => inside.push(character),
                    None => return Err("a { has no }".to_owned()),
                }
            }
            let (min, max) = inside.split_once(',').map_or((&*inside, None), |(min, max)| (min, Some(max)));
            let number = |text: &str| text.parse().ok().filter(|number| *number <= MAX_COUNT);
            let min = number(min);
            let max = match max {
                None => min,
                Some("") => Some(usize::MAX),
                Some(max) => number(max),
            };
            return match (min, max, rest.peek()) {
                (_, _, Some('*' | '+' | '?' | '{')) => Err("something is counted twice".to_owned()),
                (Some(min), Some(max), _) if min <= max => Ok((min, max)),
                _ => Err(format!("{{{inside}}} is no number of times; the largest is {MAX_COUNT}")),
            };
        }
        _ => return Ok((1, 1)),
    };
    rest.next();
    if matches!(rest.peek(), Some('*' | '+' | '?' | '{')) {
        return Err("something is counted twice".to_owned());
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_value_has_to_match() {
        for (pattern, yes, no) in [
            ("abc", &["abc"][..], &["", "ab", "abcd", "xabc", "ABC"][..]),
            ("^abc$", &["abc"], &["abcd"]),
            (r"[A-Z]{2,5}-\d+", &["AB-1", "ABCDE-123"], &["A-1", "ABCDEF-1", "AB-", "AB1", "AB-1 "]),
            (r"\d{4}-\d{2}-\d{2}", &["2026-11-27"], &["2026-1-27", "2026-11-277"]),
            (r"[^,;]*", &["", "abc"], &["a,b", ";"]),
            (r".+@.+\..+", &["a@b.c", "a@@b..c"], &["a@b", "@b.c", "a@.c"]),
            (r"a?a?a?aaa", &["aaa", "aaaaaa"], &["aa", "aaaaaaa"]),
            (r"a*a*b", &["b", "aab"], &["aa", "ba"]),
            (r"[\w.+-]+", &["a.b+c-d_9"], &["", "a b", "ä"]),
            (r"\S+ \D", &["ab c"], &["ab 1", " a"]),
            ("ü🚀{2}", &["ü🚀🚀"], &["ü🚀"]),
            (r"1\$", &["1$"], &["1"]),
            ("", &[""], &["a"]),
            (r"a{0}b", &["b"], &["ab"]),
            (r"[a\-c]+", &["a-c"], &["b"]),
            (r"[a-]+", &["a-a"], &["b"]),
        ] {
            let read = Pattern::parse(pattern).unwrap();
            for value in yes {
                assert!(read.matches(value), "{pattern} {value}");
            }
            for value in no {
                assert!(!read.matches(value), "{pattern} {value}");
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_and_not_taken_for_something_else() {
        for wrong in [
            "(a)",
            "a|b",
            "*a",
            "a**",
            "a+?",
            "a{2}{3}",
            "a{",
            "a{x}",
            "a{3,2}",
            "a{9999}",
            "[",
            "[]",
            "[a",
            "[z-a]",
            r"\b",
            r"\1",
            r"[\D]",
            "a\\",
            "[[:alpha:]]",
            "a^b",
            "a]b",
            "a{,2}",
        ] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let slow = Pattern::parse(&"a*".repeat(200)).unwrap();
        assert!(!slow.matches(&("a".repeat(3000) + "b")));
    }
}
