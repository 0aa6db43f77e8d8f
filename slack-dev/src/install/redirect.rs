//! The redirect at the end of Slack's page: taken on a port of this machine, or pasted.

use percent_encoding::percent_decode_str;
use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::CommandError;

/// Slack's code is good for ten minutes, and somebody has to read the page first.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

/// A browser may open a connection and send nothing, and somebody else may send a byte now and then: a request is here whole by
/// then, or it is not answered.
const READ_LIMIT: Duration = Duration::from_secs(3);

/// More than a redirect needs.
const MAX_HEAD: usize = 16 * 1024;

/// A redirect URL of the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RedirectUrl(reqwest::Url);

impl RedirectUrl {
    /// Reads one. Slack takes no other than https.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let url = reqwest::Url::parse(text.trim()).map_err(|_| "that is no URL".to_owned())?;
        if url.scheme() != "https" || url.host_str().is_none() {
            return Err("Slack takes only https:// redirect URLs, also for localhost".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it must have neither a query nor a fragment".to_owned());
        }
        Ok(Self(url))
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

/// The redirect that is waited for.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) redirect_url: RedirectUrl,
    pub(super) state: String,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
enum Redirect {
    /// The right one: its code.
    Code(String),
    /// The right one, and Slack says why there is no code.
    Refused(String),
    /// Another one, and what is wrong with it. The right one may come yet.
    NotThis(&'static str),
}

impl Expected {
    /// Judges what comes behind the `?`.
    fn judge(&self, query: &str) -> Redirect {
        let of = |name: &str| {
            let mut fields = query.split('&').filter_map(|field| field.split_once('='));
            let value = fields.find(|(known, _)| *known == name)?.1.replace('+', " ");
            Some(percent_decode_str(&value).decode_utf8().ok()?.into_owned()).filter(|it| !it.is_empty())
        };
        // Nobody who does not know the state gets a token of their own in here.
        if of("state").as_deref() != Some(&self.state) {
            return Redirect::NotThis(
                "its state is not the one that was sent: it belongs to another attempt",
            );
        }
        match (of("code"), of("error")) {
            (Some(code), _) => Redirect::Code(code),
            (None, Some(error)) => Redirect::Refused(error),
            (None, None) => Redirect::NotThis("it has no code"),
        }
    }

    /// Judges what was pasted: the whole address.
    fn judge_pasted(&self, text: &str) -> Redirect {
        match text.trim().split_once('?') {
            Some((_, query)) => self.judge(query.split('#').next().unwrap_or_default()),
            None => Redirect::NotThis("that is no address with a code: copy all of it"),
        }
    }

    /// Judges the first line of an HTTP request; `None` if it is for another path, such as a browser's for an icon.
    fn judge_request(&self, line: &str) -> Option<Redirect> {
        let target = line.strip_prefix("GET ")?.split(' ').next()?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        (path == self.redirect_url.0.path()).then(|| self.judge(query))
    }
}

/// The lines of standard input, read on a thread of their own.
pub(super) fn lines_of_standard_input() -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Waits for the right redirect, and returns its code.
pub(super) async fn wait(
    expected: Expected,
    port: Option<u16>,
    lines: Receiver<String>,
) -> Result<String, CommandError> {
    let listener = match port {
        Some(port) => Some(
            TcpListener::bind(("127.0.0.1", port)).map_err(|error| format!("the port {port}: {error}"))?,
        ),
        None => None,
    };
    tokio::task::spawn_blocking(move || wait_here(expected, listener, lines)).await?
}

fn wait_here(
    expected: Expected,
    listener: Option<TcpListener>,
    lines: Receiver<String>,
) -> Result<String, CommandError> {
    let expected = Arc::new(expected);
    let (found, redirects) = channel();
    if let Some(listener) = listener {
        let (expected, found) = (Arc::clone(&expected), found.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => serve(stream, &expected, &found),
                    // A connection that broke before it was taken, or a process with too many files: it is not the last one.
                    Err(_) => std::thread::sleep(Duration::from_millis(100)),
                }
            }
        });
    }
    std::thread::spawn(move || {
        while let Ok(line) = lines.recv() {
            if !line.trim().is_empty() && found.send(expected.judge_pasted(&line)).is_err() {
                return;
            }
        }
    });
    loop {
        // The time counts anew after a wrong one: somebody is at work.
        match redirects.recv_timeout(PATIENCE) {
            Ok(Redirect::Code(code)) => return Ok(code),
            Ok(Redirect::Refused(error)) => {
                return Err(format!("Slack did not install the app: {}", error.escape_debug()).into());
            }
            Ok(Redirect::NotThis(why)) => {
                eprintln!("slack-dev: that is not the redirect: {why}. Still waiting")
            }
            Err(_) => return Err("no redirect came".into()),
        }
    }
}

/// Reads one request and answers it. A wrong one is refused, and the listener goes on.
fn serve(mut stream: TcpStream, expected: &Expected, found: &Sender<Redirect>) {
    let Some(line) = first_line(&mut stream, Instant::now() + READ_LIMIT) else { return };
    let _ = stream.set_write_timeout(Some(READ_LIMIT));
    let judged = expected.judge_request(&line);
    let (status, page) = match &judged {
        None => ("404 Not Found", "There is nothing here."),
        Some(Redirect::Code(_)) => ("200 OK", "slack-dev goes on in the terminal. You can close this page."),
        Some(Redirect::Refused(_)) => ("200 OK", "Slack did not install the app. The terminal says why."),
        Some(Redirect::NotThis(_)) => {
            ("400 Bad Request", "This is not the redirect that slack-dev waits for.")
        }
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
         referrer-policy: no-referrer\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    let _ = stream.write_all(answer.as_bytes());
    if let Some(judged) = judged {
        let _ = found.send(judged);
    }
}

/// The first line of a request whose head has come whole by `until`.
fn first_line(stream: &mut TcpStream, until: Instant) -> Option<String> {
    let (mut head, mut piece) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        stream.set_read_timeout(Some(left)).ok()?;
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        head.extend_from_slice(piece.get(..read)?);
        if head.len() > MAX_HEAD {
            return None;
        }
    }
    String::from_utf8(head).ok()?.lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        Expected {
            redirect_url: RedirectUrl::parse("https://localhost:8765/slack/install").unwrap(),
            state: "5a5a".to_owned(),
        }
    }

    #[test]
    fn a_redirect_counts_only_with_the_state_that_was_sent() {
        let code = |code: &str| Redirect::Code(code.to_owned());
        for (query, judged) in [
            ("code=1.2&state=5a5a", code("1.2")),
            ("state=5a5a&code=1%2E2", code("1.2")),
            ("error=access_denied&state=5a5a", Redirect::Refused("access_denied".to_owned())),
        ] {
            assert_eq!(expected().judge(query), judged, "{query}");
        }
        for wrong in [
            "code=1.2",
            "code=1.2&state=",
            "code=1.2&state=5a5",
            "code=1.2&state=5a5a5",
            "code=1.2&State=5a5a",
            // The first one of two counts.
            "state=x&code=1.2&state=5a5a",
            "error=access_denied&state=x",
            "state=5a5a",
            "state=5a5a&code=",
            "",
        ] {
            assert!(matches!(expected().judge(wrong), Redirect::NotThis(_)), "{wrong}");
        }
    }

    #[test]
    fn what_is_pasted_is_a_whole_address_and_what_is_requested_is_the_redirects_path() {
        let pasted = " https://localhost:8765/slack/install?code=1.2&state=5a5a#x\n";
        assert_eq!(expected().judge_pasted(pasted), Redirect::Code("1.2".to_owned()));
        assert!(matches!(expected().judge_pasted("1.2"), Redirect::NotThis(_)));
        let request = "GET /slack/install?code=1.2&state=5a5a HTTP/1.1";
        assert_eq!(expected().judge_request(request), Some(Redirect::Code("1.2".to_owned())));
        for other in ["GET /favicon.ico HTTP/1.1", "POST /slack/install?code=1&state=5a5a HTTP/1.1", ""] {
            assert_eq!(expected().judge_request(other), None, "{other}");
        }
    }

    #[test]
    fn who_sends_a_byte_now_and_then_does_not_hold_the_listener() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut slow = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        std::thread::spawn(move || {
            while slow.write_all(b"G").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let (mut stream, _) = listener.accept().unwrap();
        let start = Instant::now();
        assert_eq!(first_line(&mut stream, start + Duration::from_millis(300)), None);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }

    #[test]
    fn a_redirect_url_is_https_and_has_no_query() {
        assert!(RedirectUrl::parse("https://install.example.com/slack").is_ok());
        for wrong in
            ["http://localhost:8765/", "localhost", "https://", "https://example.com/?a=b", "https://a/#b"]
        {
            assert!(RedirectUrl::parse(wrong).is_err(), "{wrong}");
        }
    }
}
