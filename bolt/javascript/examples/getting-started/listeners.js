// The listeners of a Bolt app, one for each thing that one learns first: a message, a button, a mention, a command, a shortcut
// that opens a modal, a menu with options of the app's own, the modal's submission, the home tab; and at the end one for a modal
// that takes long.
//
// in-front.js runs them as Bolt itself does on Lambda, behind-the-queue.js behind slack-ingress, whose rules (bolt/fast-path.json)
// answer what Slack wants at once. All but the last listener know nothing of that.
const { setTimeout: sleep } = require('node:timers/promises');

const CITIES = ['Bern', 'Zug', 'Zürich'];
const plain = (text) => ({ type: 'plain_text', text });

// Longer than Slack waits, and than a trigger_id lives.
const SECONDS_TO_FIND_ORDERS = 5;

const ordersModal = (text) => ({
  type: 'modal', title: plain('Your orders'), blocks: [{ type: 'section', text: plain(text) }],
});

// As views.update names it. Behind the queue the ingress has opened it by a rule; in front this opens it.
async function modalToFill({ shortcut, context, client }) {
  if (context.slackIngressEventId) return { external_id: context.slackIngressEventId };
  const opened = await client.views.open({ trigger_id: shortcut.trigger_id, view: ordersModal('One moment …') });
  return { view_id: opened.view.id };
}

// A listener may be quicker than the ingress opens the modal. And a person may have closed it: that is no failure.
async function fill(client, modal, view) {
  for (const pause of [500, 1000, 2000, 0]) {
    try {
      return await client.views.update({ ...modal, view });
    } catch (error) {
      if (error.data?.error !== 'not_found') throw error;
    }
    await sleep(pause);
  }
}

module.exports = (app) => {
  app.message('hello', async ({ message, say }) => {
    const text = `Hey there <@${message.user}>!`;
    const button = { type: 'button', text: plain('Click me'), action_id: 'greeted' };
    await say({ text, blocks: [{ type: 'section', text: { type: 'mrkdwn', text }, accessory: button }] });
  });

  app.action('greeted', async ({ ack, body, say }) => {
    await ack();
    await say(`<@${body.user.id}> clicked the button`);
  });

  // Works for as long as the mention says, as in "count the stars for 5 seconds", and answers in its thread.
  app.event('app_mention', async ({ event, say }) => {
    const asked = event.text.replace(/<@\w+> */g, '');
    const seconds = /for (\d+) seconds/.exec(asked)?.[1] ?? 0;
    await sleep(Number(seconds) * 1000);
    await say({ text: `Done: ${asked}`, thread_ts: event.ts });
  });

  app.command('/weather', async ({ ack, command, respond }) => {
    await ack(`Looking up ${command.text} …`);
    await respond(`${command.text}: 20 °C`);
  });

  app.command('/weather-help', async ({ ack }) => {
    await ack('/weather Zürich tells you the weather there.');
  });

  app.shortcut('new_order', async ({ ack, shortcut, client }) => {
    await ack();
    await client.views.open({
      trigger_id: shortcut.trigger_id,
      view: {
        type: 'modal',
        callback_id: 'order',
        title: plain('New order'),
        submit: plain('Order'),
        blocks: [
          {
            type: 'input', block_id: 'what', label: plain('What'),
            element: { type: 'plain_text_input', action_id: 'what' },
          },
          {
            type: 'input', block_id: 'city', label: plain('Where to'),
            element: { type: 'external_select', action_id: 'city', min_query_length: 1 },
          },
        ],
      },
    });
  });

  app.options('city', async ({ ack, payload }) => {
    const found = CITIES.filter((city) => city.toLowerCase().startsWith(payload.value.toLowerCase()));
    await ack({ options: found.map((city) => ({ text: plain(city), value: city })) });
  });

  app.view('order', async ({ ack, body, view, client }) => {
    const { what, city } = view.state.values;
    if (what.what.value.length < 3) {
      await ack({ response_action: 'errors', errors: { what: 'Three letters or more, please' } });
      return;
    }
    await ack();
    const text = `Ordered for ${city.city.selected_option.value}: ${what.what.value}`;
    await client.chat.postMessage({ channel: body.user.id, text });
  });

  app.event('app_home_opened', async ({ event, client }) => {
    const text = `Welcome home, <@${event.user}>.`;
    await client.views.publish({
      user_id: event.user,
      view: { type: 'home', blocks: [{ type: 'section', text: { type: 'mrkdwn', text } }] },
    });
  });

  app.shortcut('my_orders', async ({ ack, shortcut, context, client }) => {
    await ack();
    const modal = await modalToFill({ shortcut, context, client });
    await sleep(SECONDS_TO_FIND_ORDERS * 1000);
    await fill(client, modal, ordersModal('3 × Müsli'));
  });
};
