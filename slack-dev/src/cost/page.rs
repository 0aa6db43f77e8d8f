//! The tables of `docs/cost.md` and of this package's README: a test compares them with what is computed here, and
//! `UPDATE=1 cargo test -p slack-dev cost::` writes them.

use std::path::{Path, PathBuf};

use super::bill::{
    Agent, Architecture, Bill, Calculator, FrontDoor, HOURS, ITEM_BYTES, ITEM_HOURS, Line, Month, Part,
    Question, QueueType,
};
use super::deployed::Deployed;
use super::exact::Exact;
use super::{COLD_MS, as_text};

const MILLION: u64 = 1_000_000;

fn exact(text: &str) -> Exact {
    text.parse().expect("a number")
}

/// A month in which nothing happens, with the settings that a deployment has by itself.
fn quiet() -> Month {
    Month {
        events: 0,
        duplicates: 0,
        rate: None,
        front_door: FrontDoor::HttpApi,
        queue: QueueType::Fifo,
        architecture: Architecture::Arm64,
        function_memory_mb: None,
        is_traced: true,
        has_dashboards: true,
        event_ms: exact("17"),
        cold_percent: exact("1"),
        cold_ms: COLD_MS,
        kms_keys: 0,
        kms_requests: None,
        canary_minutes: None,
        more_secrets: 0,
        more_alarm_metrics: 0,
        agent: None,
    }
}

/// A million events, 100 a second while there are any.
fn million() -> Month {
    Month { events: MILLION, rate: Some(100), ..quiet() }
}

fn agent(questions: u64) -> Agent {
    Agent {
        questions,
        seconds: 20,
        cpu_seconds: exact("2"),
        memory_mb: 256,
        idle_seconds: None,
        questions_a_session: exact("1"),
        tool_calls: 0,
        approvals: 0,
        remembers: false,
        memory_records: 0,
        model: Vec::new(),
    }
}

/// Events, some of which are questions.
fn asked(events: u64, questions: u64) -> Month {
    Month { events, agent: Some(agent(questions)), ..quiet() }
}

struct Page {
    calculator: Calculator,
}

impl Page {
    fn new() -> Self {
        let calculator = Calculator::new().unwrap();
        let usage = calculator.usage.measured();
        Self { calculator: Calculator { deployed: Deployed::counted(), usage, ..calculator } }
    }

    fn bill(&self, month: &Month) -> Bill {
        self.calculator.bill(month).unwrap()
    }

    fn sum(&self, month: &Month, part: Part) -> Exact {
        self.bill(month).sum(&[part])
    }

    /// What `quantity` of something costs.
    fn price(&self, key: &str, quantity: Exact) -> Exact {
        self.calculator.prices.get(key).unwrap().of(quantity)
    }

    fn lines(&self, month: &Month, part: Part) -> Vec<Line> {
        self.bill(month).lines().iter().filter(|line| line.part == part).cloned().collect()
    }

    /// The lines of one part as a table, with their sum.
    fn table(&self, month: &Month, part: Part) -> String {
        let mut text = "| | | how much × price | US dollars |\n|---|---|---|---:|\n".to_owned();
        for line in self.lines(month, part) {
            text.push_str(&format!(
                "| {} | {} | {} | {} |\n",
                line.service,
                line.what,
                how_much(&line),
                line.usd.text(3)
            ));
        }
        text + &format!("| **Together** | | | **{}** |\n", self.sum(month, part).text(2))
    }

    fn summary(&self) -> String {
        let url = Month { front_door: FrontDoor::FunctionUrl, ..million() };
        let unseen = Month { has_dashboards: false, ..quiet() };
        let with_agent = asked(0, 0);
        let standing = self.sum(&quiet(), Part::Standing);
        let question = self.sum(&asked(MILLION, MILLION), Part::Questions) / MILLION;
        let mut in_company = agent(MILLION);
        in_company.questions_a_session = exact("5");
        let in_company = Month { agent: Some(in_company), ..asked(MILLION, MILLION) };
        let in_company = self.sum(&in_company, Part::Questions) / MILLION;
        let bot = self.waiting_bot();
        let rows = [
            ("a million events, HTTP API", self.sum(&million(), Part::Events).text(2)),
            ("a million events, Function URL", self.sum(&url, Part::Events).text(2)),
            ("a month without any event", standing.text(2)),
            ("the same without a dashboard, as with SAM", self.sum(&unseen, Part::Standing).text(2)),
            ("the agent's stack on top, in a month without a question", {
                self.sum(&with_agent, Part::Standing).less(standing).text(2)
            }),
            ("a question of 20 seconds, alone in its conversation, without the model", question.text(5)),
            ("the same with four more in its conversation within minutes", in_company.text(5)),
            ("a million runs of an agent of 20 seconds in a Lambda function", bot.once.text(2)),
            ("the same when Slack asks three times more, because nobody answered", bot.four_times.text(2)),
        ];
        let mut text = "| | US dollars |\n|---|---:|\n".to_owned();
        for (what, usd) in rows {
            text.push_str(&format!("| {what} | {usd} |\n"));
        }
        text
    }

    fn prices(&self) -> String {
        let mut text =
            "| | price of | US dollars | key | source, read | |\n|---|---|---|---|---|---|\n".to_owned();
        for price in self.calculator.prices.all() {
            text.push_str(&format!(
                "| {} | {} | {} | `{}` | [{}]({}), {} | {} |\n",
                price.service,
                price.what,
                price.text(),
                price.key,
                price.verified.as_str(),
                price.url,
                price.read,
                price.note,
            ));
        }
        text
    }

    /// A million events on each type of queue.
    fn million(&self) -> String {
        let standard = Month { queue: QueueType::Standard, ..million() };
        let (fifo_lines, standard_lines) =
            (self.lines(&million(), Part::Events), self.lines(&standard, Part::Events));
        let same = |line: &Line, other: &Line| line.service == other.service && line.what == other.what;
        let mut text =
            "| | | how much × price | FIFO queue | standard queue |\n|---|---|---|---:|---:|\n".to_owned();
        for line in &standard_lines {
            let fifo = fifo_lines.iter().find(|fifo| same(fifo, line));
            let how = match fifo.map(how_much) {
                Some(fifo) if fifo != how_much(line) => format!("{fifo}; standard: {}", line.price.usd),
                _ => how_much(line),
            };
            let fifo = fifo.map_or_else(|| "–".to_owned(), |fifo| fifo.usd.text(3));
            let (service, what, usd) = (&line.service, &line.what, line.usd.text(3));
            text.push_str(&format!("| {service} | {what} | {how} | {fifo} | {usd} |\n"));
        }
        assert!(fifo_lines.iter().all(|fifo| standard_lines.iter().any(|line| same(fifo, line))));
        let [fifo, standard] = [million(), standard].map(|month| self.sum(&month, Part::Events).text(2));
        text + &format!("| **Together** | | | **{fifo}** | **{standard}** |\n")
    }

    fn sizes(&self) -> String {
        let mut text = "| arm64, together | HTTP API, FIFO | HTTP API, standard | Function URL, FIFO | Function URL, standard |\n\
                        |---|---:|---:|---:|---:|\n"
            .to_owned();
        for memory in [128, 256, 512] {
            text.push_str(&format!("| {memory} MB |"));
            for front_door in [FrontDoor::HttpApi, FrontDoor::FunctionUrl] {
                for queue in [QueueType::Fifo, QueueType::Standard] {
                    let month = Month { front_door, queue, function_memory_mb: Some(memory), ..million() };
                    text.push_str(&format!(" {} |", self.sum(&month, Part::Events).text(2)));
                }
            }
            text.push('\n');
        }
        text
    }

    fn times(&self) -> String {
        let mut text =
            "| Lambda's time for a million events of | 128 MB | 256 MB | 512 MB |\n|---|---:|---:|---:|\n"
                .to_owned();
        for ms in [10, 17, 30, 100] {
            text.push_str(&format!("| {ms} ms |"));
            for memory in [128, 256, 512] {
                let usd = self.price("lambda_arm64", Exact::from(MILLION * ms * memory));
                text.push_str(&format!(" {} |", usd.text(3)));
            }
            text.push('\n');
        }
        text
    }

    /// What else may happen, each a million times.
    fn otherwise(&self) -> String {
        let untraced = |month: Month| Month { is_traced: false, ..month };
        let duplicate = self.sum(&untraced(Month { duplicates: MILLION, ..quiet() }), Part::Events);
        let forgery = duplicate.less(self.price("dynamodb_writes", MILLION.into()));
        let a_day = Exact::from(200 * 86_400);
        let evenly = Month { rate: None, ..million() };
        let question = self.sum(&untraced(asked(MILLION, MILLION)), Part::Questions);
        let mut longer = agent(MILLION);
        longer.seconds += 600;
        let longer = untraced(Month { agent: Some(longer), ..asked(MILLION, MILLION) });
        let memory = self.price("agentcore_memory", Exact::from(MILLION * 600_000 * 256));
        let lines = &self.calculator.usage.log_line_bytes;
        let logs = |bytes: u64| {
            let bytes = Exact::from(MILLION * bytes);
            self.price("logs_in", bytes) + self.price("logs_kept", bytes)
        };
        let put_off = self.price("lambda_requests", MILLION.into())
            + self.price("lambda_arm64", Exact::from(MILLION * 100 * 256))
            + self.price("sqs_fifo", Exact::from(2 * MILLION))
            + self.price("dynamodb_reads", Exact::from(3 * MILLION))
            + self.price("dynamodb_writes", Exact::from(2 * MILLION))
            + logs(lines.dispatch + lines.lambda);
        let rows = [
            (
                "events that come evenly over a month, so that each is traced",
                self.sum(&evenly, Part::Events).text(2),
            ),
            ("events without tracing", self.sum(&untraced(million()), Part::Events).text(2)),
            ("duplicates, such as Slack's retries, without tracing", duplicate.text(2)),
            ("forgeries, without tracing: at most", forgery.text(2)),
            ("a day of forgeries at the throttle of 200 a second", (forgery / MILLION * a_day).text(2)),
            (
                "parked events: 12 write units each",
                self.price("dynamodb_writes", Exact::from(12 * MILLION)).text(2),
            ),
            ("put-offs behind the queue: 100 ms, receive, put off, 3 reads, 2 write units", put_off.text(2)),
            ("further ten minutes of thought, but for AgentCore", {
                self.sum(&longer, Part::Questions).less(question).less(memory).text(2)
            }),
            ("further ten minutes of thought, memory of AgentCore", memory.text(2)),
            ("questions by `agentProtocol=plain`: the dispatcher waits for 20 s, on top", {
                self.price("lambda_arm64", Exact::from(MILLION * 20_000 * 256)).text(2)
            }),
            ("Gateway calls, one each", self.price("gateway_calls", MILLION.into()).text(2)),
        ];
        let mut text = "| a million | US dollars |\n|---|---:|\n".to_owned();
        for (what, usd) in rows {
            text.push_str(&format!("| {what} | {usd} |\n"));
        }
        text
    }

    /// What is added as soon as there are events or questions.
    fn metrics(&self) -> String {
        let names = self.calculator.usage.metrics;
        let rows = [
            ("the ingress, of accepted events and cold starts", names.event),
            ("agent-dispatch and agent-settle, of questions and cold starts", names.question),
        ];
        let mut text =
            "| | metrics | US dollars a month, if sent in every hour |\n|---|---:|---:|\n".to_owned();
        for (what, count) in rows {
            let usd = self.price("metrics", count.into()).text(2);
            text.push_str(&format!("| {what} | {count} | {usd} |\n"));
        }
        text
    }

    fn question_calls(&self) -> String {
        let usage = &self.calculator.usage;
        let question = Question::of(20, usage);
        let mut text =
            "| | invocations | reads | writes | SQS | Gateway |\n|---|---:|---:|---:|---:|---:|\n".to_owned();
        for (what, calls) in [
            ("`admit`: who asks, of each person once an hour", usage.admit),
            ("dispatcher: takes the record, hands over; `sign`: \"processing\"", usage.hand_over_and_sign),
            ("`claim`", usage.claim),
            ("`beat`, every 10 s", usage.beat),
            ("`answer`: intent, post, answered, \"active\"", usage.answer),
        ] {
            text.push_str(&format!(
                "| {what} | {} | {} | {} | {} | {} |\n",
                calls.invocations,
                calls.dynamodb_reads,
                calls.dynamodb_writes,
                calls.sqs_requests,
                calls.gateway_calls
            ));
        }
        text.push_str("| every third beat renews, more | | | 1 | 1 | |\n| Lambda receives | | | | 1 | |\n");
        text + &format!(
            "| **for 20 s: {} beats, {} renewals** | **{}** | **{}** | **{}** | **{}** | **{}** |\n",
            question.beats,
            question.renewals,
            question.invocations(),
            question.reads(),
            question.writes_without_answer() + usage.answer.dynamodb_writes,
            question.sqs_requests() + 1,
            question.gateway_calls(),
        )
    }

    /// What a thousand questions cost, by how long a session is idle and how many questions share it.
    fn sessions(&self) -> String {
        let mut text = "| a thousand questions | idle for 1 minute | 5 minutes | 15 minutes, as deployed |\n|---|---:|---:|---:|\n".to_owned();
        for (memory_mb, questions) in [(256, 1), (256, 5), (512, 1), (512, 5)] {
            text.push_str(&format!(
                "| {memory_mb} MB, {questions} {} a session |",
                if questions == 1 { "question" } else { "questions" }
            ));
            for idle_seconds in [Some(60), Some(300), None] {
                let agent = Agent {
                    idle_seconds,
                    memory_mb,
                    questions_a_session: Exact::from(questions),
                    ..agent(1000)
                };
                let month = Month { agent: Some(agent), ..asked(1000, 1000) };
                text.push_str(&format!(" {} |", self.sum(&month, Part::Questions).text(2)));
            }
            text.push('\n');
        }
        let idle = self.calculator.deployed.agent().session_idle_seconds;
        assert_eq!(idle, 900, "the table's head says so");
        text
    }

    fn waiting_bot(&self) -> WaitingBot {
        let request = self.price("http_api", MILLION.into()) + self.price("lambda_requests", MILLION.into());
        let agent = self.price("lambda_arm64", Exact::from(MILLION * 20_000 * 512));
        WaitingBot { request, agent, once: agent + request, four_times: (agent + request) * 4 }
    }

    fn bot(&self) -> String {
        let bot = self.waiting_bot();
        let ingress = self.sum(&million(), Part::Events);
        let ours = ingress + bot.agent + self.price("lambda_requests", MILLION.into());
        let dropping = bot.once + bot.request * 3;
        format!(
            "| a million events | US dollars |\n|---|---:|\n\
             | The agent's 20 s of 512 MB, once | {} |\n\
             | The bot that waits, if Slack never asked again: with API Gateway's and Lambda's request | {} |\n\
             | **The bot that waits, as Slack does ask again**: no answer in 3 s, so four deliveries, four runs | **{}** |\n\
             | The bot that drops what carries `X-Slack-Retry-Num` | {}, and it loses events |\n\
             | **slack-ingress, and the same agent behind the queue**, in a Lambda of 512 MB | **{}** |\n",
            bot.agent.text(2),
            bot.once.text(2),
            bot.four_times.text(2),
            dropping.text(2),
            ours.text(2)
        )
    }

    fn stored(&self) -> String {
        let mut text = "| events a second | deleted after | items | GB | storage a month | writes a month, for comparison |\n\
                        |---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
        for rate in [1, 100, 10_000] {
            for hours in [1, ITEM_HOURS] {
                let items = rate * 3600 * hours;
                let bytes = Exact::from(items * ITEM_BYTES);
                let events = Exact::from(rate * 3600 * HOURS);
                let writes =
                    self.price("dynamodb_writes", events * self.calculator.usage.event.dynamodb_writes);
                text.push_str(&format!(
                    "| {} | {hours} h | {} | {} | {} | {} |\n",
                    Exact::from(rate).text(0),
                    Exact::from(items).text(0),
                    (bytes / 1_000_000_000).text(4),
                    self.price("dynamodb_storage", bytes).text(2),
                    writes.text(2)
                ));
            }
        }
        text
    }

    /// Whole months.
    fn months(&self) -> String {
        let mut text = "| a month of | with X-Ray | without |\n|---|---:|---:|\n".to_owned();
        for (what, month) in [
            ("10,000 events, no agent", Month { events: 10_000, ..quiet() }),
            ("10,000 events, 500 of them questions", asked(10_000, 500)),
            ("300,000 events, 20,000 of them questions", asked(300_000, 20_000)),
            ("10,000,000 events, no agent", Month { events: 10_000_000, ..quiet() }),
        ] {
            let untraced = Month { is_traced: false, ..month.clone() };
            let [traced, untraced] = [month, untraced].map(|month| self.bill(&month).total().text(2));
            text.push_str(&format!("| {what} | {traced} | {untraced} |\n"));
        }
        text
    }

    /// The tables of `docs/cost.md`, by name.
    fn blocks(&self) -> Vec<(&'static str, String)> {
        vec![
            ("summary", self.summary()),
            ("prices", self.prices()),
            ("a million events", self.million()),
            ("sizes", self.sizes()),
            ("times", self.times()),
            ("otherwise", self.otherwise()),
            ("a month without events", self.table(&quiet(), Part::Standing)),
            ("a month without questions", self.table(&asked(0, 0), Part::Standing)),
            ("metrics", self.metrics()),
            ("calls of a question", self.question_calls()),
            ("a million questions", self.table(&asked(MILLION, MILLION), Part::Questions)),
            ("sessions", self.sessions()),
            ("months", self.months()),
            ("a bot that waits", self.bot()),
            ("what the table holds", self.stored()),
        ]
    }

    /// What the README shows of the command.
    fn example(&self) -> String {
        let mut agent = agent(500);
        agent.tool_calls = 2;
        let month = Month { agent: Some(agent), ..asked(10_000, 500) };
        format!("```\n{}```\n", as_text(&month, &self.bill(&month)))
    }
}

struct WaitingBot {
    /// A request of the HTTP API and one of Lambda.
    request: Exact,
    agent: Exact,
    once: Exact,
    four_times: Exact,
}

/// Such as `2 × 0.625 a million`.
fn how_much(line: &Line) -> String {
    format!("{} × {}", (line.quantity / line.price.per).short(0, 4), line.price.text())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn marks(name: &str) -> (String, String) {
    (format!("<!-- begin: slack-dev cost, {name} -->\n"), format!("<!-- end: slack-dev cost, {name} -->\n"))
}

/// The page with these blocks in the place of its own.
fn renewed(page: &str, blocks: &[(&str, String)]) -> String {
    let mut page = page.to_owned();
    for (name, block) in blocks {
        let (begin, end) = marks(name);
        let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("the page has no {begin}"));
        let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("the page has no {end}"));
        page = format!("{before}{begin}{block}{end}{after}");
    }
    page
}

/// What is not written by the test.
fn by_hand(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, block)) = rest.split_once("<!-- begin: slack-dev cost, ") {
        text.push_str(before);
        rest = block.split_once("<!-- end: slack-dev cost, ").expect("an end").1;
    }
    text + rest
}

fn compare(file: &str, blocks: &[(&str, String)]) {
    let path = root().join(file);
    let page = std::fs::read_to_string(&path).unwrap();
    let renewed = renewed(&page, blocks);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &renewed).unwrap();
        return;
    }
    let wrong = page.lines().zip(renewed.lines()).find(|(is, should)| is != should);
    let hint = "UPDATE=1 cargo test -p slack-dev --bins cost::";
    assert_eq!(wrong, None, "{file} is not what is computed: {hint}");
    assert!(page == renewed, "{file} is not what is computed: {hint}");
}

#[test]
fn the_tables_of_the_page_are_what_is_computed() {
    let page = Page::new();
    compare("docs/cost.md", &page.blocks());
    compare("slack-dev/README.md", &[("example", page.example())]);
}

/// A figure that is copied by hand is wrong one day.
#[test]
fn no_page_has_a_sum_of_money_that_is_not_computed() {
    let pages = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let others = ["README.md", "DESIGN.md", "ARCHITECTURE.md", "slack-dev/README.md", "agent/README.md"];
    let mut found = Vec::new();
    let mut read = 0;
    for path in pages.chain(others.map(|name| root().join(name))) {
        read += 1;
        let text = by_hand(&std::fs::read_to_string(&path).unwrap());
        for line in text.lines().filter(|line| has_a_sum(line)) {
            found.push(format!("{}: {line}", path.display()));
        }
    }
    assert!(read > 20 && found.is_empty(), "{found:#?}");
}

/// Whether the line says an amount in dollars or cents, `$3.77`, `$30 `, `5 dollars`, `0.07 cents`, or a price without its currency,
/// `1.00 a million`. `$1` is a shell's.
fn has_a_sum(line: &str) -> bool {
    let after_sign = line.split('$').skip(1).any(|rest| {
        let number: String =
            rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ',')).collect();
        number.trim_end_matches(['.', ',']).len() > 1
    });
    let words: Vec<&str> = line.split_whitespace().collect();
    let in_words = words.windows(2).any(|pair| {
        let number = pair[0].trim_start_matches(['(', '*']).trim_end_matches('*');
        let unit = pair[1].trim_matches(|c: char| !c.is_alphabetic());
        number.starts_with(|c: char| c.is_ascii_digit())
            && matches!(unit, "dollars" | "cents" | "dollar" | "cent")
    });
    after_sign || in_words || words.windows(3).any(is_a_price)
}

/// Whether three words are such as `0.40 a million`, `0.005 for 1,000` and `0.30 each (`.
fn is_a_price(words: &[&str]) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let number = words[0].trim_start_matches(['(', '*', '`']).trim_end_matches(['*', '`']);
    let is_an_amount = number
        .split_once('.')
        .is_some_and(|(whole, cents)| is_digits(whole) && cents.len() > 1 && is_digits(cents));
    let unit = words[2].trim_matches(|c: char| !c.is_alphanumeric());
    let is_of_a_unit = match words[1] {
        "a" => {
            matches!(unit, "million" | "thousand" | "month" | "question" | "event")
                || ["GB", "vCPU"].iter().any(|of| unit.starts_with(of))
        }
        "for" => unit.starts_with(|c: char| c.is_ascii_digit()),
        other => other == "each",
    };
    is_an_amount && is_of_a_unit
}

#[test]
fn a_sum_of_money_is_recognised() {
    for line in [
        "costs $3.77 a million",
        "at most $32 and",
        "About 5 dollars for",
        "a question is **0.07 cents**",
        "(12 dollars)",
        "one invocation, at 1.00 a million after 14 million",
        "0.25 a GB-month and",
        "(0.005 for 1,000 calls)",
        "0.30 each in us-east-1",
    ] {
        assert!(has_a_sum(line), "{line}");
    }
    for line in [
        "out() { jq -r \".$1 // empty\"; }",
        "in US dollars, for 10 events",
        "| 5.28 | 12 |",
        "`$2`",
        "evenly, is 0.38 a second",
        "1.26.7 a record",
        "2 a million times",
    ] {
        assert!(!has_a_sum(line), "{line}");
    }
}

#[test]
fn a_bill_adds_up_and_says_what_its_parts_are() {
    let page = Page::new();
    let month = Month { kms_keys: 1, canary_minutes: Some(5), duplicates: 3_000, ..asked(10_000, 500) };
    let bill = page.bill(&month);
    let lines = bill.lines().iter().fold(Exact::from(0), |sum, line| sum + line.usd);
    assert_eq!(bill.total(), lines);
    for service in [
        "API Gateway",
        "Lambda",
        "DynamoDB",
        "SQS",
        "CloudWatch",
        "X-Ray",
        "Secrets Manager",
        "KMS",
        "AgentCore Runtime",
        "AgentCore Gateway",
        "Data transfer",
    ] {
        assert!(bill.lines().iter().any(|line| line.service == service), "{service}");
    }
    // By hand: 900 idle seconds of 256 MB for each of 500 questions.
    let idle = bill.lines().iter().find(|line| line.what == "memory while its sessions are idle").unwrap();
    assert_eq!(idle.usd.text(6), "0.295313");
    // And 43,800 / 5 calls by the canary, each with the ingress's.
    let canary = bill.lines().iter().find(|line| line.what.starts_with("the canary: invocations")).unwrap();
    assert_eq!(canary.quantity.text(0), "17,520");
    // AWS's formula for two senders and one receiver.
    let kms = bill.lines().iter().find(|line| line.service == "KMS" && line.what == "requests").unwrap();
    assert_eq!(kms.quantity.text(0), "43,800");
    // Of a million approvals: 1.00 for the schedules, and three requests of 0.50 each for their messages.
    let mut approved = agent(MILLION);
    approved.approvals = MILLION;
    let approved = Month { agent: Some(approved), ..asked(MILLION, MILLION) };
    let more = page.bill(&approved).total().less(page.bill(&asked(MILLION, MILLION)).total());
    assert_eq!(more.text(2), "2.50");
    assert!(page.calculator.bill(&asked(10, 11)).is_err());
    let too_many = Month { events: u64::MAX, ..quiet() };
    assert!(page.calculator.bill(&too_many).is_err(), "no sum that is wrong");
}

#[test]
fn x_ray_records_the_first_of_each_second_and_a_twentieth_of_the_others() {
    for (rate, traced) in
        [(Some(1), "1,000,000"), (Some(10), "145,000"), (Some(100), "59,500"), (None, "1,000,000")]
    {
        let month = Month { rate, ..million() };
        assert_eq!(Calculator::traces(&month, MILLION.into()).text(0), traced, "{rate:?}");
    }
    // 2,628,000 seconds, and a twentieth of the rest.
    let evenly = Calculator::traces(&quiet(), Exact::from(12_628_000));
    assert_eq!(evenly.text(0), "3,128,000");
    let off = Month { is_traced: false, ..quiet() };
    assert!(Calculator::traces(&off, MILLION.into()).is_zero());
}
