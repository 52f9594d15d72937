"use strict";
// What comes live. A message's text is only ever set as text, never as markup.

const SHOWN = 50;
const AGAIN = 5000;
const TOPIC = 1024;

function row(message) {
  const line = document.createElement("tr");
  const when = new Date(message.time * 1000).toISOString().slice(0, 19).replace("T", " ");
  const link = document.createElement("a");
  link.href = "/message/" + Number(message.seq);
  link.textContent = message.seq;
  const cells = [["time", when], ["topic", visible(message.topic) || "(none)"], ["number", message.size], ["number", link]];
  for (const [kind, content] of cells) {
    const cell = document.createElement("td");
    cell.className = kind;
    cell.append(content);
    line.append(cell);
  }
  return line;
}

// Characters that steer how a text is shown, such as its direction, are written out.
function visible(text) {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (one) => "\\u" + one.codePointAt(0).toString(16).padStart(4, "0"));
}

// As on the server: a topic may be as long as a message.
function beginning(topic) {
  return topic.length > TOPIC ? topic.slice(0, TOPIC) + "... (cut)" : topic;
}

function follow() {
  const filter = document.getElementById("filter");
  if (!filter) return;
  const rows = document.querySelector("section[aria-labelledby=live] tbody");
  const connection = document.getElementById("connection");
  const pause = document.getElementById("pause");
  const prefix = document.getElementById("prefix");
  let source = null;
  let waiting = [];
  let due = false;
  let again = 0;

  function show() {
    due = false;
    const fresh = waiting.reverse().map(row);
    waiting = [];
    rows.prepend(...fresh);
    while (rows.children.length > SHOWN) rows.lastChild.remove();
  }

  function connect(place) {
    if (source) source.close();
    clearTimeout(again);
    waiting = [];
    connection.textContent = "connecting";
    source = new EventSource("/stream?topic=" + encodeURIComponent(prefix.value) + place);
    source.onopen = () => { connection.textContent = "connected"; };
    source.onerror = () => {
      connection.textContent = "not connected, trying again";
      // After an answer that is an error the browser gives up by itself.
      if (source.readyState === EventSource.CLOSED) again = setTimeout(connect, AGAIN, "");
    };
    source.onmessage = (event) => {
      const message = JSON.parse(event.data);
      waiting.push({ seq: message.seq, time: message.time, topic: beginning(message.topic), size: new Blob([message.body]).size });
      if (waiting.length > SHOWN) waiting.shift();
      if (!due) {
        due = true;
        setTimeout(show, 200);
      }
    };
  }

  filter.hidden = false;
  filter.addEventListener("submit", (event) => {
    event.preventDefault();
    pause.setAttribute("aria-pressed", "false");
    rows.replaceChildren();
    connect("");
  });
  pause.addEventListener("click", () => {
    const paused = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", String(paused));
    if (!paused) return connect("");
    source.close();
    clearTimeout(again);
    connection.textContent = "paused";
  });
  // On from the newest message that the page came with.
  const newest = rows.querySelector("a");
  connect(newest ? "&after=" + Number(newest.textContent) : "");
}

// The line that says how the bus is, anew every few seconds.
function refresh() {
  const now = document.getElementById("now");
  if (!now) return;
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("/now");
      const told = await answer.json();
      document.title = told.line.split(" ")[0] + " \u2013 fedmsg relay";
      const head = now.querySelector("h1");
      head.textContent = told.line;
      head.className = "state state-" + Number(told.code);
    } catch {
      now.querySelector("h1").textContent = "UNKNOWN - the web process does not answer";
      now.querySelector("h1").className = "state state-3";
    }
  }, 1000 * Number(now.dataset.again));
}

follow();
refresh();
