// The listeners of a Bolt app, one for each thing that one learns first: a message, a button, a mention, a command, a shortcut
// that opens a modal, a menu with options of the app's own, the modal's submission, the home tab.
//
// They know nothing of a queue. in-front.js runs them as Bolt itself does on Lambda, behind-the-queue.js behind slack-ingress.
const { setTimeout: sleep } = require('node:timers/promises');

const CITIES = ['Bern', 'Zug', 'Zürich'];
const plain = (text) => ({ type: 'plain_text', text });

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
    await ack();
    const { what, city } = view.state.values;
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
};
