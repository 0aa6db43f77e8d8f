use super::*;
use crate::slack::scope::Scope;
use proptest::prelude::*;

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[test]
fn nobody_is_pinged_and_no_link_is_disguised() {
    assert_eq!(
        safe("<@U1> <!channel> <!subteam^S1> <https://a.example|https://b.example> a & b"),
        "&lt;@U1&gt; &lt;!channel&gt; &lt;!subteam^S1&gt; &lt;https://a.example|https://b.example&gt; a &amp; b"
    );
    assert_eq!(safe("HashMap<String, Vec<u8>>"), "HashMap&lt;String, Vec&lt;u8&gt;&gt;");
    // What looks escaped already reads as it was written, too.
    assert_eq!(safe("&lt;"), "&amp;lt;");
}

#[test]
fn a_short_text_is_one_message() {
    assert_eq!(parts("Hello, *you*.\n\n```let x = 1;```\n"), ["Hello, *you*.\n\n```let x = 1;```"]);
    // An answer that never closes its block is left as it is.
    assert_eq!(parts("three backticks: ```"), ["three backticks: ```"]);
}

#[test]
fn a_text_of_whitespace_is_no_message() {
    for text in ["", " ", "\n\n\t \u{3000}\n", &" ".repeat(20_000), &"\n".repeat(20_000)] {
        assert!(parts(text).is_empty());
    }
    let far = format!("a{}b", " \n".repeat(10_000));
    assert_eq!(parts(&far), ["a", "b"]);
}

#[test]
fn it_is_cut_between_paragraphs_then_lines_then_words_then_anywhere() {
    let word = "word ".repeat(600);
    let paragraphs = format!("{word}\nsecond line\n\nsecond paragraph {word}");
    let cut = parts(&paragraphs);
    assert!(cut[0].ends_with("second line"), "{cut:?}");
    assert!(cut[1].starts_with("second paragraph word"), "{cut:?}");

    let lines = format!("{word}\nsecond line {word}");
    let cut = parts(&lines);
    assert!(cut[0].ends_with("word") && cut[1].starts_with("second line"), "{cut:?}");

    let words = "word ".repeat(1200);
    let cut = parts(&words);
    assert_eq!(cut.len(), 2);
    assert!(cut.iter().all(|part| part.starts_with("word") && part.ends_with("word")), "{cut:?}");

    let none = "x".repeat(9000);
    let cut = parts(&none);
    assert_eq!(cut.concat(), none);
    assert_eq!(cut.len(), 3);
}

#[test]
fn the_limit_holds_after_escaping_and_no_escape_is_cut() {
    for shift in 0..10 {
        let text = format!("{}{}", "x".repeat(shift), "<&>".repeat(3000));
        let cut = parts(&text);
        assert_eq!(cut.concat(), safe(&text));
        for part in &cut {
            assert!(units(part) <= MAX_PART);
            let escapes = part.replace("&lt;", "").replace("&gt;", "").replace("&amp;", "");
            assert!(!escapes.contains('&') && !escapes.contains(';'), "{escapes}");
        }
    }
}

#[test]
fn a_character_of_several_code_points_is_not_cut() {
    let family = "👩‍👩‍👧‍👦";
    for shift in 0..30 {
        let text = format!("{}{}", "x".repeat(shift), family.repeat(2000));
        let cut = parts(&text);
        assert_eq!(cut.concat(), text);
        for part in &cut {
            assert!(units(part) <= MAX_PART);
            let whole = part.trim_start_matches('x');
            assert_eq!(whole.replace(family, ""), "", "a family was cut");
        }
    }
    // More accents than any character has: it is cut all the same.
    let zalgo = format!("a{}", "\u{301}".repeat(10_000));
    assert_eq!(parts(&zalgo).concat(), zalgo);
}

#[test]
fn a_block_of_code_goes_on_in_the_next_part() {
    let code = "    let line = compute();\n".repeat(300);
    let text = format!("Here it is:\n```\n{code}```\nThat was it.");
    let cut = parts(&text);
    assert_eq!(cut.len(), 2, "{cut:#?}");
    assert!(cut[0].starts_with("Here it is:\n```\n    let line") && cut[0].ends_with("compute();\n```"));
    assert!(cut[1].starts_with("```\n    let line") && cut[1].ends_with("```\nThat was it."));
    for part in &cut {
        assert_eq!(part.matches(FENCE).count() % 2, 0, "{part}");
    }
}

#[test]
fn a_block_that_ends_just_behind_a_cut_is_not_opened_again() {
    let line = format!("{}\n", "x".repeat(39));
    let mut is_cut_there = false;
    for last in 50..80 {
        // The end of the block's last line comes to stand on either side of the cut.
        let text = format!("```\n{}{}\n```\nafter it", line.repeat(98), "y".repeat(last));
        let cut = parts(&text);
        is_cut_there |= cut.last().is_some_and(|part| part == "after it");
        for part in &cut {
            assert!(!part.contains("```\n```"), "{last}: {part}");
            assert_eq!(part.matches(FENCE).count() % 2, 0, "{last}: {part}");
        }
        let (before, _) = cut.last().unwrap().split_once("after it").unwrap();
        assert_eq!(before.matches(FENCE).count() % 2, 0, "{last}: what comes after the block is in one");
    }
    assert!(is_cut_there);
}

#[test]
fn an_empty_line_in_a_block_of_code_is_no_end_of_a_paragraph() {
    let (words, code) = ("word ".repeat(500), "let x = 1;\n".repeat(60));
    let cut = parts(&format!("{words}\n\n```\n{code}\n{code}{code}```"));
    assert!(cut[0].ends_with("word") && cut[1].starts_with("```\nlet"), "{cut:#?}");
}

#[test]
fn no_fence_is_cut() {
    for shift in 0..12 {
        let text = format!("{}```code```{}", "x".repeat(3985 + shift), "y".repeat(20));
        let cut = parts(&text);
        for part in &cut {
            let runs = part.split(|c| c != '`').map(str::len).filter(|&ticks| ticks > 0);
            assert_eq!(runs.filter(|&ticks| ticks != 3).count(), 0, "{shift}: {part}");
            assert_eq!(part.matches(FENCE).count() % 2, 0, "{shift}: {part}");
        }
        assert_eq!(essence(&cut.concat()), essence(&text));
    }
}

#[test]
fn a_block_that_begins_just_before_a_cut_begins_in_the_next_part() {
    let text = format!("{}\n```rust\n{}\n```", "x".repeat(3985), "y".repeat(100));
    let cut = parts(&text);
    assert_eq!(cut[0], "x".repeat(3985));
    assert!(cut[1].starts_with("```rust\nyyy"), "{cut:#?}");
}

#[test]
fn a_very_long_text_is_cut_in_words_and_only_once() {
    let long = "ä".repeat(MAX_BYTES);
    let kept = within_limit(&long);
    assert!(kept.len() <= MAX_BYTES && kept.len() > MAX_BYTES - 4 - CUT.len());
    assert!(kept.ends_with("ä\n\n… (cut: the answer was longer than 100 KB)"));
    assert_eq!(within_limit(&kept), kept);
    assert_eq!(parts(&long), parts(&kept));
    let fits = "a".repeat(MAX_BYTES);
    assert_eq!(within_limit(&fits), fits);
}

#[test]
fn an_apology_is_plain_and_safe() {
    let known = ["thinking_failed", "took_too_long", "no_answer", "too_large", "gave_up", CANNOT_BE_ASKED];
    for why in known.into_iter().chain(["anything_else", ""]) {
        let text = apology(why);
        assert_eq!(parts(text), [text], "{why}");
        assert!(text.starts_with("Sorry, ") && text.ends_with('.'), "{why}");
    }
    for why in known {
        assert_ne!(apology(why), apology("anything_else"), "{why}");
    }
}

#[test]
fn who_is_over_a_limit_is_told_when_to_ask_again_and_by_tokens_it_may_be_today() {
    for scope in Scope::ALL {
        let [questions, tokens] = [over_limit_of_questions(scope), over_limit_of_tokens(scope)];
        for text in [questions, tokens] {
            assert_eq!(parts(text), [text], "{scope:?}");
            assert!(text.starts_with("Sorry, ") && text.ends_with("midnight UTC."), "{scope:?}");
        }
        assert!(questions.contains("again tomorrow:") && tokens.contains("again later:"), "{scope:?}");
    }
}

/// Texts of what makes dividing hard: escapes, fences, long words, blank lines, characters of several code points.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z]{1,12}",
        2 => "[<>&]{1,40}",
        1 => "`{1,5}",
        1 => Just("\n```rust\n".to_owned()),
        2 => Just("\n".to_owned()),
        1 => Just("\n\n".to_owned()),
        3 => " {1,4}",
        1 => "[x-z]{2000,5000}",
        1 => " {2000,5000}",
        1 => "\n{100,3000}",
        1 => Just("👩‍👩‍👧‍👦".repeat(50)),
        1 => Just("e\u{301}\u{302}".repeat(50)),
        1 => "`{3000,5000}",
        1 => any::<String>(),
    ];
    proptest::collection::vec((piece, 1..40_usize), 0..25).prop_map(|pieces| {
        pieces
            .into_iter()
            .map(|(piece, times)| piece.repeat(if piece.len() > 100 { 1 } else { times }))
            .collect()
    })
}

/// What must be left of a text however it is divided: all but spaces and fences.
fn essence(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    text.replace('`', "")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn divided_it_says_the_same(text in text()) {
        let cut = parts(&text);
        prop_assert_eq!(essence(&cut.concat()), essence(&safe(&within_limit(&text))));
        prop_assert_eq!(&cut, &parts(&text));
        for part in &cut {
            prop_assert!(units(part) <= MAX_PART, "{}", units(part));
            prop_assert!(!part.trim().is_empty());
            prop_assert!(!part.contains(['<', '>']));
            let rest = part.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
            prop_assert!(!rest.contains('&'), "an escape is cut");
        }
        // But for the last, which may have a block that the text itself does not close, blocks are closed where they began.
        for part in cut.iter().rev().skip(1) {
            let part: Vec<char> = part.chars().collect();
            prop_assert_eq!(fences(&part).count() % 2, 0);
        }
    }

    #[test]
    fn without_fences_no_word_is_lost_or_joined(words in proptest::collection::vec("[a-z<&]{1,30}", 0..1500)) {
        let text = words.join(" ");
        let cut = parts(&text).join(" ");
        let expected = safe(&text);
        prop_assert_eq!(cut.split_whitespace().collect::<Vec<_>>(), expected.split_whitespace().collect::<Vec<_>>());
    }
}

#[test]
fn a_section_full_of_the_shortest_addresses_is_no_longer_than_slack_takes() {
    for part in parts(&"http://a ".repeat(440)) {
        let sections = sections(&part);
        assert!(sections.len() == 2 && sections.iter().all(|section| units(section) <= MAX_SECTION));
        assert_eq!(sections.concat().matches("<http://a>").count(), 440);
    }
}

#[test]
fn a_part_with_a_long_block_of_code_has_sections_that_each_read_as_code() {
    let code = format!("Look:\n\n```\n{}```", "let x = vec![1 < 2 && 3 > 2];\n".repeat(90));
    let [part] = parts(&code).try_into().unwrap();
    assert!(units(&part) > MAX_SECTION);
    let sections = sections(&part);
    assert_eq!(sections.len(), 2);
    assert!(sections[0].ends_with("```") && sections[1].starts_with("```\n"), "{sections:?}");
    let lines = sections.iter().map(|section| section.matches("let x").count()).sum::<usize>();
    assert_eq!(lines, 90, "no line is cut or lost");
}

proptest! {
    #[test]
    fn the_sections_of_a_part_hold_its_text_and_are_no_longer_than_slack_takes(
        text in "(([a-z&<>]{1,12}|http://[a-z])[ \n]{1,2}){0,900}",
    ) {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for part in parts(&text) {
            let sections = sections(&part);
            prop_assert!(sections.iter().all(|section| units(section) <= MAX_SECTION));
            prop_assert_eq!(words(&sections.join(" ").replace(['<', '>'], "")), words(&part));
        }
    }
}
