//! Tests every row of the table of failures: what is answered, and whether the event is sent, when a dependency fails. Uses the real
//! binary, and emulators behind a proxy that makes calls fail.

use slack_ingress::slack::retries::ANSWER_LIMIT;
use std::time::{Duration, Instant};
use test_support::aws::Queue;
use test_support::aws::proxy::Fault;
use test_support::lambda::answers::{ask_again, ok, too_large};
use test_support::lambda::{Lambda, Reply};
use test_support::slack::{Request, event};

use crate::support::ingress;
use crate::support::stage::Stage;

/// Posts a request, and checks that the answer came within Slack's limit.
#[allow(clippy::disallowed_methods, reason = "the test measures real time, as Slack does")]
async fn post_in_time(lambda: &Lambda, request: &Request) -> Reply {
    let start = Instant::now();
    let reply = lambda.post(request).await;
    assert!(start.elapsed() < ANSWER_LIMIT, "answered after {:?}", start.elapsed());
    reply
}

/// An environment that has served a request, so that no test depends on how fast a cold one is.
async fn warm(stage: &Stage) -> Lambda {
    let lambda = stage.environment().await;
    assert_eq!(lambda.post(&event("Ev-warm")).await, ok());
    assert_eq!(stage.queue.take_event_ids().await, ["Ev-warm"]);
    lambda
}

/// Faults of a service that fails every attempt within one invocation.
fn outages() -> [Fault; 4] {
    [
        Fault::Refuse(500, "InternalServerError"),
        Fault::Refuse(400, "ThrottlingException"),
        Fault::Break,
        Fault::Hang,
    ]
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_store_that_is_down_gets_503_until_the_last_retry_which_forwards_unguarded() {
    let stage = Stage::fifo().await;
    let lambda = warm(&stage).await;
    for (n, outage) in outages().into_iter().enumerate() {
        let id = format!("Ev{n}");
        stage.dynamodb.always("PutItem", outage.clone());
        assert_eq!(post_in_time(&lambda, &event(&id)).await, ask_again(), "{outage:?}");
        for retry in 1..=2 {
            let request = event(&id).retry(retry, "http_error");
            assert_eq!(post_in_time(&lambda, &request).await, ask_again(), "{outage:?}");
        }
        assert_eq!(stage.queue.take_event_ids().await, Vec::<String>::new(), "{outage:?}");

        let last = event(&id).retry(3, "http_error");
        assert_eq!(post_in_time(&lambda, &last).await, ok(), "{outage:?}");
        let [message] = stage.queue.take_all().await.try_into().unwrap();
        assert_eq!(message.attributes["event_id"], id);
        assert_eq!(message.attributes["unguarded"], "true");
        stage.dynamodb.heal();
    }
    let unguarded = lambda.reports(17).await.iter().filter(|report| report["Unguarded"] == 1).count();
    assert_eq!(unguarded, 4);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_call_to_the_store_that_fails_once_is_repeated_within_the_same_invocation() {
    let stage = Stage::fifo().await;
    let lambda = warm(&stage).await;
    for (n, fault) in outages().into_iter().chain([Fault::LoseAnswer, Fault::HangAfter]).enumerate() {
        let id = format!("Ev{n}");
        stage.dynamodb.once("PutItem", fault.clone());
        assert_eq!(post_in_time(&lambda, &event(&id)).await, ok(), "{fault:?}");
        assert_eq!(stage.queue.take_event_ids().await, [id], "{fault:?}");
    }
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn after_a_record_whose_answer_is_lost_the_event_can_be_claimed_when_the_lease_ends() {
    let stage = Stage::fifo().await;
    let lambda = warm(&stage).await;
    stage.dynamodb.always("PutItem", Fault::HangAfter);
    assert_eq!(post_in_time(&lambda, &event("Ev1")).await, ask_again());
    stage.dynamodb.heal();
    assert_eq!(post_in_time(&lambda, &event("Ev1").retry(1, "http_error")).await, ask_again());
    stage.lease_over("Ev1").await;
    assert_eq!(post_in_time(&lambda, &event("Ev1").retry(2, "http_error")).await, ok());
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1"]);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_queue_that_is_down_gets_503_and_leaves_no_record_so_that_the_retry_sends() {
    let stage = Stage::fifo().await;
    let lambda = warm(&stage).await;
    for (n, outage) in outages().into_iter().enumerate() {
        let id = format!("Ev{n}");
        stage.sqs.always("SendMessage", outage.clone());
        assert_eq!(post_in_time(&lambda, &event(&id)).await, ask_again(), "{outage:?}");
        assert_eq!(stage.table.state(&id).await, None, "{outage:?}");

        stage.sqs.heal();
        assert_eq!(post_in_time(&lambda, &event(&id).retry(2, "http_error")).await, ok(), "{outage:?}");
        assert_eq!(stage.queue.take_event_ids().await, [id], "{outage:?}");
    }
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_send_whose_answer_is_lost_for_good_is_sent_again_and_the_fifo_queue_keeps_one() {
    let stage = Stage::fifo().await;
    let lambda = warm(&stage).await;
    for (n, fault) in [Fault::LoseAnswer, Fault::HangAfter].into_iter().enumerate() {
        let id = format!("Ev{n}");
        stage.sqs.always("SendMessage", fault.clone());
        assert_eq!(post_in_time(&lambda, &event(&id)).await, ask_again(), "{fault:?}");
        assert_eq!(stage.table.state(&id).await, None, "{fault:?}");
        stage.sqs.heal();
        assert_eq!(post_in_time(&lambda, &event(&id).retry(1, "http_error")).await, ok(), "{fault:?}");
        assert_eq!(stage.queue.take_event_ids().await, [id], "{fault:?}");
    }
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn on_a_standard_queue_a_lost_answer_is_the_one_thing_that_doubles_and_both_have_the_same_event_id() {
    let stage = Stage::with(Queue::standard().await).await;
    let lambda = warm(&stage).await;
    stage.sqs.once("SendMessage", Fault::LoseAnswer);
    assert_eq!(post_in_time(&lambda, &event("Ev1")).await, ask_again());
    assert_eq!(post_in_time(&lambda, &event("Ev1").retry(1, "http_error")).await, ok());
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1", "Ev1"]);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn both_down_is_503_in_time_on_every_attempt() {
    let stage = Stage::fifo().await;
    let lambda = warm(&stage).await;
    stage.dynamodb.always("PutItem", Fault::Hang);
    stage.sqs.always("SendMessage", Fault::Hang);
    for request in
        [event("Ev1"), event("Ev1").retry(1, "http_timeout"), event("Ev1").retry(3, "http_timeout")]
    {
        assert_eq!(post_in_time(&lambda, &request).await, ask_again());
    }
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_confirm_that_fails_changes_no_answer_and_is_logged() {
    let stage = Stage::fifo().await;
    let lambda = warm(&stage).await;
    stage.dynamodb.always("UpdateItem", Fault::Hang);
    assert_eq!(post_in_time(&lambda, &event("Ev1")).await, ok());
    assert_eq!(stage.table.state("Ev1").await.as_deref(), Some("in_flight"));
    let report = &lambda.reports(2).await[1];
    assert_eq!(report["outcome"], "accepted");
    assert!(report["errors"][0].as_str().unwrap().starts_with("confirm: "), "{report}");
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_delete_that_fails_leaves_the_event_to_the_end_of_its_lease() {
    let stage = Stage::fifo().await;
    let lambda = warm(&stage).await;
    stage.sqs.always("SendMessage", Fault::Break);
    stage.dynamodb.always("DeleteItem", Fault::Break);
    assert_eq!(post_in_time(&lambda, &event("Ev1")).await, ask_again());
    stage.sqs.heal();
    assert_eq!(post_in_time(&lambda, &event("Ev1").retry(1, "http_error")).await, ask_again());
    stage.lease_over("Ev1").await;
    assert_eq!(post_in_time(&lambda, &event("Ev1").retry(2, "http_error")).await, ok());
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1"]);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_cold_environment_answers_in_time_as_well_when_both_services_accept_and_say_nothing() {
    let stage = Stage::fifo().await;
    stage.dynamodb.always("PutItem", Fault::Hang);
    stage.sqs.always("SendMessage", Fault::Hang);
    assert_eq!(post_in_time(&stage.environment().await, &event("Ev1")).await, ask_again());
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn services_that_are_not_there_at_all_are_503_in_time() {
    let stage = Stage::fifo().await;
    let mut variables = stage.variables();
    for service in ["DYNAMODB", "SQS"] {
        variables.insert(format!("AWS_ENDPOINT_URL_{service}"), "http://127.0.0.1:1".to_owned());
    }
    let lambda = ingress::start(variables).await;
    assert_eq!(post_in_time(&lambda, &event("Ev1")).await, ask_again());
    assert_eq!(post_in_time(&lambda, &event("Ev1").retry(3, "http_error")).await, ask_again());
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn an_invocation_that_is_about_to_be_killed_answers_before_that() {
    let stage = Stage::fifo().await;
    let lambda = warm(&stage).await;
    stage.dynamodb.always("PutItem", Fault::Hang);
    let timeout = Duration::from_millis(800);
    let ended = tokio::time::timeout(timeout, lambda.invoke_for(&event("Ev1").event(), timeout)).await;
    assert_eq!(test_support::lambda::reply(ended.expect("an answer before the deadline")), ask_again());
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_message_larger_than_the_queue_takes_is_413_and_leaves_no_record() {
    let stage = Stage::fifo().await;
    let lambda = warm(&stage).await;
    let large = Request::json(test_support::slack::mention("Ev1", &"x".repeat(1024 * 1024)));
    assert_eq!(post_in_time(&lambda, &large).await, too_large());
    assert_eq!(stage.table.state("Ev1").await, None);
    let forged = large.header("X-Slack-Signature", &format!("v0={}", "0".repeat(64)));
    assert_eq!(post_in_time(&lambda, &forged).await.status, 401);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_slow_service_is_waited_for_as_long_as_the_budget_allows() {
    let stage = Stage::fifo().await;
    let lambda = warm(&stage).await;
    stage.dynamodb.once("PutItem", Fault::Delay(Duration::from_millis(400)));
    stage.sqs.once("SendMessage", Fault::Delay(Duration::from_millis(400)));
    assert_eq!(post_in_time(&lambda, &event("Ev1")).await, ok());
    assert_eq!(stage.queue.take_event_ids().await, ["Ev1"]);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn after_an_outage_of_the_queue_the_next_retry_is_sent() {
    let stage = Stage::fifo().await;
    let lambda = warm(&stage).await;
    for n in 0..10 {
        stage.sqs.always("SendMessage", Fault::Break);
        assert_eq!(post_in_time(&lambda, &event(&format!("Ev{n}"))).await, ask_again());
        stage.sqs.heal();
        assert_eq!(
            post_in_time(&lambda, &event(&format!("Ev{n}")).retry(1, "http_error")).await,
            ok(),
            "{n}"
        );
    }
}
