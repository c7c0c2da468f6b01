// A conversation with one of the server's models, by the same protocol that every client uses. A model without a chat template goes
// on with the text instead.
'use strict';

const element = (id) => document.getElementById(id);
let messages = [];              // of the conversation, as the protocol has them
const knownModels = new Set();  // of which it is known whether they have a chat template
const plainModels = new Set();  // that have no chat template
let running = null;             // the AbortController of the answer that comes
let key = sessionStorage.getItem('tessera-key') ?? '';  // where the server wants one; it leaves this tab with requests only

function show(role, text) {
  const article = document.createElement('article');
  article.className = role;
  article.textContent = text;
  element('messages').append(article);
  article.scrollIntoView({ block: 'end' });
  return article;
}

function setStatus(text) {
  element('status').textContent = text;
}

async function errorOf(response) {
  try {
    return (await response.json()).error;
  } catch {
    return { message: `the server answered ${response.status}` };
  }
}

// The API, with the key, if there is one. Where it does not do, another can be given.
async function call(path, options = {}) {
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) element('key-label').hidden = false;
  return response;
}

async function loadModels() {
  const response = await call('/v1/models');
  if (!response.ok) throw new Error((await errorOf(response)).message);
  const select = element('model');
  select.replaceChildren(...(await response.json()).data.map((model) => new Option(model.id)));
  setStatus(select.length === 0 ? 'nothing is deployed' : '');
}

// The JSON of each event, as it comes.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const lines = text.split('\n');
    text = lines.pop();
    for (const line of lines) {
      if (!line.startsWith('data: ')) continue;
      const data = line.slice('data: '.length);
      if (data === '[DONE]') return;
      yield JSON.parse(data);
    }
  }
}

function request(model) {
  const common = {
    model,
    stream: true,
    stream_options: { include_usage: true },
    temperature: Number(element('temperature').value),
    max_tokens: Number(element('tokens').value),
  };
  if (!plainModels.has(model)) return ['/v1/chat/completions', { ...common, messages }];
  return ['/v1/completions', { ...common, prompt: messages.map((message) => message.content).join('') }];
}

// A model without a chat template goes on with texts; asked once, so that no answer need be an error.
async function look(model) {
  if (knownModels.has(model)) return;
  const response = await call(`/v1/models/${encodeURIComponent(model)}`, { signal: running.signal });
  if (!response.ok) return;
  const { chat } = await response.json();
  if (chat === undefined) return;  // it does not serve yet
  knownModels.add(model);
  if (!chat) plainModels.add(model);
}

async function ask(model) {
  await look(model);
  const [path, body] = request(model);
  const response = await call(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    signal: running.signal,
  });
  if (response.ok) return response;
  const error = await errorOf(response);
  if (error.code !== 'no_chat_template' || plainModels.has(model)) throw new Error(error.message);
  plainModels.add(model);
  return ask(model);
}

async function answer() {
  const model = element('model').value;
  const conversation = messages;  // which may be over before its answer is
  const started = performance.now();
  let article = null, text = '', tokens = 0;
  try {
    for await (const event of events(await ask(model))) {
      if (event.error) throw new Error(event.error.message);
      if (event.usage) tokens = event.usage.completion_tokens;
      const choice = event.choices[0];
      if (!choice) continue;
      text += choice.delta ? choice.delta.content ?? '' : choice.text;
      article ??= show('assistant', '');
      article.textContent = text;
      article.scrollIntoView({ block: 'end' });
    }
    const seconds = (performance.now() - started) / 1000;
    setStatus(`${tokens} tokens in ${seconds.toFixed(1)} s${plainModels.has(model) ? '; this model has no chat template, so it goes on with the text' : ''}`);
  } catch (error) {
    if (error.name === 'AbortError') {
      setStatus('stopped');
    } else {
      show('error', error.message);
      setStatus('');
    }
  }
  if (text !== '') conversation.push({ role: 'assistant', content: text });
}

async function send() {
  const input = element('input');
  const text = input.value;
  if (running || text.trim() === '' || element('model').value === '') return;
  input.value = '';
  messages.push({ role: 'user', content: text });
  show('user', text);
  running = new AbortController();
  element('send').hidden = true;
  element('stop').hidden = false;
  setStatus('…');
  await answer();
  running = null;
  element('send').hidden = false;
  element('stop').hidden = true;
  input.focus();
}

element('form').addEventListener('submit', (event) => {
  event.preventDefault();
  send();
});
element('input').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
element('stop').addEventListener('click', () => running?.abort());
element('clear').addEventListener('click', () => {
  running?.abort();
  messages = [];
  element('messages').replaceChildren();
  setStatus('');
});
element('key').addEventListener('change', (event) => {
  key = event.target.value.trim();
  sessionStorage.setItem('tessera-key', key);
  loadModels().catch((error) => setStatus(error.message));
});
loadModels().catch((error) => setStatus(error.message));
