"""The same with the idempotency of Powertools for AWS Lambda: a record before, its completion after. Three calls."""

import json

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

from handler import TABLE, answer, forward, verified

config = IdempotencyConfig(event_key_jmespath="event_id", expires_after_seconds=3600)


@idempotent_function(
    data_keyword_argument="payload",
    config=config,
    persistence_store=DynamoDBPersistenceLayer(table_name=TABLE),
)
def forward_once(payload, body):
    forward(payload, body)
    return True


def handler(event, context):
    config.register_lambda_context(context)
    body = verified(event)
    if body is None:
        return answer(401)
    forward_once(payload=json.loads(body), body=body)
    return answer(200, '{"ok":true}')
