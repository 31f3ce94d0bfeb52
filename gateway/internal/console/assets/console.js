// Keeps pages fresh that somebody looks at, and follows logs. Every page works
// without it.
'use strict';

(() => {
  const every = 5000; // ms between two looks at a page
  const mostLines = 5000; // of a followed log, the newest

  const note = (text) => {
    const place = document.querySelector('[data-fresh]');
    if (place) place.textContent = text;
  };

  // busy: replacing a part would take the focus, the selection, or an open
  // detail away from whoever is at it.
  const busy = (part) => {
    const selection = getSelection();
    return part.contains(document.activeElement) ||
      part.querySelector('details[open]') !== null ||
      (selection !== null && !selection.isCollapsed && selection.containsNode(part, true));
  };

  // refresh loads the page again and replaces its live parts. It reports whether
  // it makes sense to go on.
  const refresh = async (now) => {
    const parts = [...document.querySelectorAll('[data-live]')].filter((part) => now || !busy(part));
    if (parts.length === 0) return true;
    let answer;
    try {
      answer = await fetch(location.href, { headers: { Accept: 'text/html' }, cache: 'no-store' });
    } catch {
      note('; the gateway does not answer');
      return true;
    }
    if (answer.status === 401 || answer.redirected) {
      note('; the session has ended, load the page again to sign in');
      return false;
    }
    if (!answer.ok) {
      note('; the gateway answers ' + answer.status);
      return true;
    }
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const part of parts) {
      const fresh = page.getElementById(part.id);
      if (fresh && part.isConnected && (now || !busy(part))) part.replaceWith(document.adoptNode(fresh));
    }
    const before = document.querySelector('footer time');
    const after = page.querySelector('footer time');
    if (before && after) before.replaceWith(document.adoptNode(after));
    note(', kept fresh');
    return true;
  };

  const keepFresh = async () => {
    if (document.hidden || (await refresh(false))) setTimeout(keepFresh, every);
  };
  if (document.querySelector('[data-live]')) setTimeout(keepFresh, every);

  const follow = (list) => {
    const state = document.querySelector('[data-log-state]');
    const say = (text) => { if (state) state.textContent = text; };
    document.querySelector('[data-log-reload]')?.remove();
    const source = new EventSource(list.dataset.log);
    source.onopen = () => say('live');
    source.onerror = () => say(source.readyState === EventSource.CLOSED ? 'ended' : 'connecting again');
    source.onmessage = (event) => {
      const line = JSON.parse(event.data);
      const item = document.createElement('li');
      const time = document.createElement('time');
      const text = document.createElement('span');
      item.className = line.stream;
      time.dateTime = line.time;
      time.textContent = new Date(line.time).toISOString().slice(11, 19);
      text.textContent = line.text;
      item.append(time, ' ', text);
      const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 4;
      list.append(item);
      while (list.childElementCount > mostLines) list.firstElementChild.remove();
      if (atEnd) list.scrollTop = list.scrollHeight;
      document.querySelector('[data-log-empty]')?.remove();
    };
    source.addEventListener('end', () => {
      source.close();
      say('complete');
      refresh(true);
    });
  };
  for (const list of document.querySelectorAll('[data-log]')) follow(list);
  for (const list of document.querySelectorAll('.log')) list.scrollTop = list.scrollHeight;
})();
