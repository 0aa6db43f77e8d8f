//! The X-Ray trace header, by which what several functions did for one event becomes one trace.
//!
//! Lambda gives each invocation a header such as `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`
//! ([tracing header](https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader)). The
//! ingress puts it on the message, and from there it goes to the agent and to agent-settle.
//!
//! Whoever calls a Function URL or a load balancer may send such a header, and AWS may make it the invocation's. So nothing of
//! it is used before it is read here, and what is not understood is left out.

/// The longest `Lineage` that is handed on.
const MAX_LINEAGE: usize = 256;

/// A trace header that was read and written anew: the trace's id and, if they are well-formed, `Parent`, `Sampled` and
/// `Lineage`. Nothing else of it is left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceHeader {
    root: String,
    parent: Option<String>,
    sampled: Option<bool>,
    /// Where Lambda notes the functions on the way, so that it can end an endless loop of them.
    lineage: Option<String>,
}

impl TraceHeader {
    /// Reads a header. `None` if it has no well-formed trace id.
    pub fn parse(header: &str) -> Option<Self> {
        let value = |name: &str| {
            let mut fields = header.split(';').filter_map(|field| field.trim_matches(' ').split_once('='));
            fields.find(|(field, _)| *field == name).map(|(_, value)| value)
        };
        let is_lineage = |value: &&str| {
            let is_plain =
                |byte: u8| byte.is_ascii_alphanumeric() || [b':', b'|', b'.', b'-', b'_'].contains(&byte);
            (1..=MAX_LINEAGE).contains(&value.len()) && value.bytes().all(is_plain)
        };
        Some(Self {
            root: value("Root").filter(|root| is_trace_id(root))?.to_owned(),
            parent: value("Parent").filter(|parent| is_hex(parent, 16)).map(str::to_owned),
            sampled: match value("Sampled") {
                Some("1") => Some(true),
                Some("0") => Some(false),
                _ => None,
            },
            lineage: value("Lineage").filter(is_lineage).map(str::to_owned),
        })
    }

    /// The trace's id, such as `1-5759e988-bd862e3fe1be46a994272793`. It is the log's field `trace_id`.
    pub fn trace_id(&self) -> &str {
        &self.root
    }

    /// The header for a further call or message of the same trace.
    pub fn header(&self) -> String {
        let mut header = format!("Root={}", self.root);
        let sampled = self.sampled.map(|sampled| if sampled { "1" } else { "0" });
        for (name, value) in
            [("Parent", self.parent.as_deref()), ("Sampled", sampled), ("Lineage", self.lineage.as_deref())]
        {
            if let Some(value) = value {
                header.extend([";", name, "=", value]);
            }
        }
        header
    }

    /// The same in the words of the W3C ([`traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header)), for whoever
    /// traces with OpenTelemetry. `None` without a parent, because a `traceparent` must have one.
    pub fn traceparent(&self) -> Option<String> {
        let parent = self.parent.as_deref().filter(|parent| parent.bytes().any(|digit| digit != b'0'))?;
        let (_, id) = self.root.split_once('-')?;
        let flags = if self.sampled == Some(true) { "01" } else { "00" };
        Some(format!("00-{}-{parent}-{flags}", id.replace('-', "")))
    }
}

/// Whether this is an id of X-Ray's: version 1, a time in eight hexadecimal digits, 24 more digits.
pub fn is_trace_id(id: &str) -> bool {
    let mut parts = id.split('-');
    let is_right = parts.next() == Some("1")
        && parts.next().is_some_and(|time| is_hex(time, 8))
        && parts.next().is_some_and(|random| is_hex(random, 24));
    is_right && parts.next().is_none()
}

fn is_hex(digits: &str, length: usize) -> bool {
    digits.len() == length && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "Root=1-5759e988-bd862e3fe1be46a994272793";

    fn read(header: &str) -> Option<String> {
        TraceHeader::parse(header).map(|header| header.header())
    }

    #[test]
    fn what_lambda_gives_is_handed_on_as_it_was() {
        for header in [
            ROOT.to_owned(),
            format!("{ROOT};Sampled=0"),
            format!("{ROOT};Parent=53995c3f42cd8ad8;Sampled=1"),
            format!("{ROOT};Parent=53995c3f42cd8ad8;Sampled=0;Lineage=1:fbeed4f3:0|2:a87bd80c:1"),
        ] {
            assert_eq!(read(&header).as_deref(), Some(header.as_str()));
        }
    }

    #[test]
    fn a_header_without_a_well_formed_id_is_none() {
        for header in [
            "",
            "none",
            "Sampled=1",
            "Root=",
            "Root=1",
            "Root=1-5759e988",
            "Root=2-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e98-bd862e3fe1be46a9942727930",
            "Root=1-5759e988-bd862e3fe1be46a99427279",
            "Root=1-5759e988-bd862e3fe1be46a994272793-1",
            "Root=1-5759E988-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd862e3fe1be46a99427279\n",
            "Root=1-5759e988-bd862e3fe1be46a99427279ü",
            "Self=1-5759e988-bd862e3fe1be46a994272793",
        ] {
            assert_eq!(read(header), None, "{header}");
        }
    }

    #[test]
    fn of_what_a_stranger_adds_nothing_is_left() {
        let long = format!("{ROOT};Lineage={}", "a".repeat(MAX_LINEAGE + 1));
        for header in [
            &format!("{ROOT};Parent=53995c3f42cd8ad;Sampled=?;Lineage=a b"),
            &format!(
                "Self=1-67891234-12456789abcdef012345678; {ROOT} ;CalledFrom=\"<script>\"\r\nSet-Cookie: a=b"
            ),
            &format!("{ROOT};Sampled=1\n;Parent=\u{1}"),
            &long,
        ] {
            assert_eq!(read(header).as_deref(), Some(ROOT), "{header}");
        }
    }

    #[test]
    fn opentelemetry_finds_the_same_trace() {
        let of = |more: &str| TraceHeader::parse(&format!("{ROOT}{more}")).unwrap().traceparent();
        let traceparent =
            |flags| Some(format!("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-{flags}"));
        assert_eq!(of(";Parent=53995c3f42cd8ad8;Sampled=1"), traceparent("01"));
        assert_eq!(of(";Parent=53995c3f42cd8ad8;Sampled=0"), traceparent("00"));
        assert_eq!(of(";Parent=53995c3f42cd8ad8"), traceparent("00"));
        assert_eq!(of(";Sampled=1"), None);
        assert_eq!(of(";Parent=0000000000000000;Sampled=1"), None);
    }
}
