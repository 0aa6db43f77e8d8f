//! [Server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html), as AgentCore's runtimes and Gateways
//! answer with them.

/// Whether an answer with this content type is a stream of events.
pub fn is_event_stream(content_type: &str) -> bool {
    content_type.trim_start().starts_with("text/event-stream")
}

/// The data of each event that has some: its `data:` lines, with line feeds between them. An event ends with an empty line, and
/// the last one also with the text.
pub fn data(text: &str) -> Vec<String> {
    let mut events = Vec::new();
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().chain([""]) {
        if let Some(data) = line.strip_prefix("data:") {
            lines.push(data.strip_prefix(' ').unwrap_or(data));
        } else if line.is_empty() && !lines.is_empty() {
            events.push(lines.join("\n"));
            lines.clear();
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_its_data_lines_up_to_an_empty_line() {
        for (text, events) in [
            ("", vec![]),
            ("data: a\n\ndata:b\n\n", vec!["a", "b"]),
            ("event: x\r\nid: 1\r\ndata:  a\r\ndata: b\r\n\r\n: note\n\nevent: end\n\n", vec![" a\nb"]),
            ("data: a\n\ndata: b", vec!["a", "b"]),
            ("data\ndata:\n\n", vec![""]),
        ] {
            assert_eq!(data(text), events, "{text:?}");
        }
        assert!(is_event_stream("text/event-stream; charset=utf-8") && !is_event_stream("application/json"));
    }
}
