"""A Bolt app with a listener for each thing that one learns first: a message, a button, a mention, a command, a shortcut
that opens a modal, a menu with options of the app's own, the modal's submission, the home tab; and at the end one for a
modal that takes long.

`in_front.py` runs it as Bolt itself does on Lambda, `behind_the_queue.py` behind slack-ingress, whose rules
(`bolt/fast-path.json`) answer what Slack wants at once. All but the last listener know nothing of that.
"""

import re
import time

from slack_bolt import App
from slack_sdk.errors import SlackApiError

CITIES = ["Bern", "Zug", "Zürich"]

# Bolt reads SLACK_BOT_TOKEN and SLACK_SIGNING_SECRET. The last one may be absent behind the queue.
app = App(process_before_response=True)


@app.message("hello")
def greet(message, say):
    text = f"Hey there <@{message['user']}>!"
    button = {"type": "button", "text": {"type": "plain_text", "text": "Click me"}, "action_id": "greeted"}
    say(text=text, blocks=[{"type": "section", "text": {"type": "mrkdwn", "text": text}, "accessory": button}])


@app.action("greeted")
def clicked(ack, body, say):
    ack()
    say(f"<@{body['user']['id']}> clicked the button")


@app.event("app_mention")
def work(event, say):
    """Works for as long as the mention says, as in "count the stars for 5 seconds", and answers in its thread."""
    asked = re.sub(r"<@\w+> *", "", event["text"])
    seconds = re.search(r"for (\d+) seconds", asked)
    time.sleep(int(seconds[1]) if seconds else 0)
    say(text=f"Done: {asked}", thread_ts=event["ts"])


@app.command("/weather")
def weather(ack, command, respond):
    ack(f"Looking up {command['text']} …")
    respond(f"{command['text']}: 20 °C")


@app.command("/weather-help")
def weather_help(ack):
    ack("/weather Zürich tells you the weather there.")


@app.shortcut("new_order")
def open_order(ack, shortcut, client):
    ack()
    client.views_open(
        trigger_id=shortcut["trigger_id"],
        view={
            "type": "modal",
            "callback_id": "order",
            "title": {"type": "plain_text", "text": "New order"},
            "submit": {"type": "plain_text", "text": "Order"},
            "blocks": [
                {
                    "type": "input",
                    "block_id": "what",
                    "label": {"type": "plain_text", "text": "What"},
                    "element": {"type": "plain_text_input", "action_id": "what"},
                },
                {
                    "type": "input",
                    "block_id": "city",
                    "label": {"type": "plain_text", "text": "Where to"},
                    "element": {"type": "external_select", "action_id": "city", "min_query_length": 1},
                },
            ],
        },
    )


@app.options("city")
def cities(ack, payload):
    found = [city for city in CITIES if city.lower().startswith(payload["value"].lower())]
    ack(options=[{"text": {"type": "plain_text", "text": city}, "value": city} for city in found])


@app.view("order")
def order(ack, body, view, client):
    values = view["state"]["values"]
    what, city = values["what"]["what"]["value"], values["city"]["city"]["selected_option"]["value"]
    if len(what) < 3:
        ack(response_action="errors", errors={"what": "Three letters or more, please"})
        return
    ack()
    client.chat_postMessage(channel=body["user"]["id"], text=f"Ordered for {city}: {what}")


@app.event("app_home_opened")
def home(event, client):
    text = f"Welcome home, <@{event['user']}>."
    client.views_publish(
        user_id=event["user"],
        view={"type": "home", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]},
    )


# Longer than Slack waits, and than a trigger_id lives.
SECONDS_TO_FIND_ORDERS = 5


def orders_modal(text):
    return {
        "type": "modal",
        "title": {"type": "plain_text", "text": "Your orders"},
        "blocks": [{"type": "section", "text": {"type": "plain_text", "text": text}}],
    }


def modal_to_fill(shortcut, context, client):
    """As views.update names it. Behind the queue the ingress has opened it by a rule; in front this opens it."""
    if event_id := context.get("slack_ingress_event_id"):
        return {"external_id": event_id}
    opened = client.views_open(trigger_id=shortcut["trigger_id"], view=orders_modal("One moment …"))
    return {"view_id": opened["view"]["id"]}


def fill(client, modal, view):
    """A listener may be quicker than the ingress opens the modal. And a person may have closed it: that is no failure."""
    for pause in (0.5, 1, 2, 0):
        try:
            client.views_update(**modal, view=view)
            return
        except SlackApiError as error:
            if error.response["error"] != "not_found":
                raise
        time.sleep(pause)


@app.shortcut("my_orders")
def show_orders(ack, shortcut, context, client):
    ack()
    modal = modal_to_fill(shortcut, context, client)
    time.sleep(SECONDS_TO_FIND_ORDERS)
    fill(client, modal, orders_modal("3 × Müsli"))
