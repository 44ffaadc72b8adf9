"use strict";
// The page: a table of queues kept up to date by server-sent events, one queue in depth, actions.
// Whatever comes from the server is text: nothing of it is ever taken for HTML.

const at = (id) => document.getElementById(id);
const make = (tag, text, name) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
};

// What a row holds, in the order in which the server tells it.
const [KEY, NAME, ITEMS, BYTES, OPEN, DELAYED, WAITERS, DEAD, PUTS, GETS, AGE, MARKS] = Array(12).keys();
const COLUMNS = [
  { head: "queue", sort: "name", rising: true },
  { head: "items", sort: "items", of: (row) => short(row[ITEMS]) },
  { head: "bytes", sort: "bytes", of: (row) => short(row[BYTES]), wide: true },
  { head: "put/s", sort: "puts", of: (row) => short(row[PUTS]) },
  { head: "taken/s", sort: "gets", of: (row) => short(row[GETS]) },
  { head: "age", sort: "age", of: (row) => brief(row[AGE]) },
  { head: "open", sort: "open", of: (row) => short(row[OPEN]), wide: true },
  { head: "delayed", of: (row) => short(row[DELAYED]), wide: true },
  { head: "waiting", sort: "waiters", of: (row) => short(row[WAITERS]), wide: true },
  { head: "dead", sort: "dead", of: (row) => short(row[DEAD]), wide: true },
];

const wish = { sort: "items", order: "falling", part: "", rows: "50" };
let source = null, chosen = null, acts = false, before = null, shownNumbers = {}, nextItem = 1;
const charts = { rates: new Chart(at("rates"), ["--in", "--out"]), items: new Chart(at("items"), ["--in"]),
                 oneRates: new Chart(at("one-rates"), ["--in", "--out"]), oneItems: new Chart(at("one-items"), ["--in"]) };

function notice(text, bad) {
  at("notice").textContent = text;
  at("notice").className = bad ? "bad" : "";
  at("notice").hidden = !text;
}

// The live table.

function listen() {
  if (source) source.close();
  const asked = new URLSearchParams(wish).toString();
  source = new EventSource("/events?" + asked + (chosen ? "&queue=" + chosen.key : ""));
  source.onmessage = (event) => show(JSON.parse(event.data));
  source.onerror = () => {
    state("no connection", false);
    // The browser tries again by itself, but not after an answer such as 503.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  };
}

function state(text, good) {
  at("state").textContent = text;
  at("state").className = "state " + (good ? "up" : "not");
}

function show(told) {
  state(told.state, told.state === "up");
  acts = told.acts;
  at("version").textContent = told.version;
  const cpu = before && told.time > before.time ? (told.cpu - before.cpu) / (told.time - before.time) : 0;
  before = told;
  const totals = [["queues", short(told.queues)], ["items", short(told.items)], ["bytes", short(told.bytes)],
    ["put/s", short(told.rates[0])], ["taken/s", short(told.rates[1])], ["clients", short(told.connections)],
    ["CPU", Math.round(cpu * 100) + "%"], ["disk free", short(told.disk_free)], ["up", span(told.uptime)]];
  if (told.failures) totals.push(["journal failures", short(told.failures)]);
  if (told.group) totals.push(["group", told.group.role], ["for", span(told.group.for)], ["standbys", told.group.standbys],
    ["lag", told.group.lag]);
  pairs(at("totals"), totals);
  at("matching").textContent = told.matching === told.queues ? told.queues + " queues" : told.matching + " of " + told.queues + " queues";
  at("empty").hidden = told.rows.length > 0;
  charts.rates.add(told.time, told.rates);
  charts.items.add(told.time, [told.items]);
  rows(told.rows);
  if (chosen) one(told.one, told.time);
}

function pairs(place, list) {
  while (place.children.length > list.length) place.lastChild.remove();
  list.forEach(([name, value], index) => {
    const pair = place.children[index] || place.appendChild(make("div"));
    if (!pair.firstChild) pair.append(make("dt"), make("dd"));
    pair.firstChild.textContent = name;
    pair.lastChild.textContent = value;
  });
}

function rows(list) {
  const body = at("queues");
  while (body.children.length > list.length) body.lastChild.remove();
  list.forEach((row, index) => {
    const line = body.children[index] || body.appendChild(blank());
    line.dataset.key = row[KEY];
    line.classList.toggle("chosen", chosen !== null && chosen.key === row[KEY]);
    const button = line.querySelector("button");
    if (button.textContent !== row[NAME]) { button.textContent = row[NAME]; button.title = row[NAME]; }
    marks(line.querySelector(".marks"), row[MARKS]);
    COLUMNS.forEach((column, place) => {
      if (column.of) line.children[place].textContent = column.of(row);
    });
  });
}

function blank() {
  const line = make("tr");
  COLUMNS.forEach((column, index) => {
    const cell = line.appendChild(make("td", undefined, column.wide ? "wide" : ""));
    if (index === 0) {
      const button = cell.appendChild(make("button", undefined, "name"));
      button.type = "button";
      button.addEventListener("click", () => choose(line.dataset.key, button.textContent));
      cell.append(make("span", undefined, "marks"));
    }
  });
  return line;
}

function marks(place, words) {
  if (place.dataset.words === words) return;
  place.dataset.words = words;
  place.replaceChildren(...words.split(" ").filter(Boolean).map((word) => make("span", word, "mark " + word)));
}

function heads() {
  at("heads").replaceChildren(...COLUMNS.map((column) => {
    const head = make("th", undefined, column.wide ? "wide" : "");
    if (!column.sort) { head.textContent = column.head; return head; }
    const button = head.appendChild(make("button", column.head));
    button.type = "button";
    if (column.sort === wish.sort) head.setAttribute("aria-sort", wish.order === "rising" ? "ascending" : "descending");
    button.addEventListener("click", () => {
      if (wish.sort === column.sort) wish.order = wish.order === "rising" ? "falling" : "rising";
      else Object.assign(wish, { sort: column.sort, order: column.rising ? "rising" : "falling" });
      heads();
      listen();
    });
    return head;
  }));
}

// One queue in depth.

function choose(key, name) {
  chosen = { key, name };
  charts.oneRates.clear();
  charts.oneItems.clear();
  at("one").hidden = false;
  at("name").textContent = name;
  at("data").hidden = true;
  shownNumbers = {};
  look();
  listen();
  at("one").scrollIntoView({ block: "start", behavior: "smooth" });
}

function leave() {
  chosen = null;
  at("one").hidden = true;
  listen();
}

function one(row, time) {
  if (!row) { marks(at("marks"), "gone"); return; }
  marks(at("marks"), row[MARKS]);
  charts.oneRates.add(time, [row[PUTS], row[GETS]]);
  charts.oneItems.add(time, [row[ITEMS]]);
  const net = row[GETS] - row[PUTS];
  facts({ items: row[ITEMS], bytes: row[BYTES], open: row[OPEN], delayed: row[DELAYED], waiting: row[WAITERS],
    "oldest item": span(row[AGE]), "empty in": row[ITEMS] && net > 0 ? span(row[ITEMS] / net) : "-" });
}

function facts(more) {
  Object.assign(shownNumbers, more);
  pairs(at("facts"), Object.entries(shownNumbers));
}

async function ask(path, options) {
  const answer = await fetch(path, options);
  const text = await answer.text();
  let content;
  try { content = JSON.parse(text); } catch { content = { error: text.trim() }; }
  if (!answer.ok) throw new Error(content.error || "the server answered " + answer.status);
  return content;
}

async function look(from = 1) {
  const { key } = chosen;
  let told;
  try { told = await ask("/queue?name=" + key + "&from=" + from); } catch (problem) { notice(problem.message, true); return; }
  if (!chosen || chosen.key !== key) return;
  const numbers = told.numbers;
  const when = (value) => (value < 0 ? "never" : span(value / 1000) + " ago");
  facts({ "put in all": numbers.total_items, taken: numbers.get_hits, expired: numbers.expired_items,
    "dropped or discarded": numbers.discarded, "dead letters": numbers.dead_lettered, "given back": numbers.canceled_transactions,
    "last put": when(numbers.last_put), "last taken": when(numbers.last_get), "last wait": span(numbers.last_wait / 1000),
    "bytes on disk": short(Number(numbers.logsize)), "in memory": numbers.loaded });
  buttons(numbers.paused === "1");
  at("browsed").replaceChildren(...told.items.map(itemLine));
  at("browsed-none").textContent = told.refused ? "Not told: " + told.refused : told.items.length ? "" : "No items.";
  nextItem = told.items.length ? Number(told.items[told.items.length - 1].id) + 1 : 1;
  at("more").hidden = told.items.length < 20;
  table("open", told.open, (each) => [each.id, each.holder, each.name, each.deliveries, each.lease], [2, 3]);
  told.open.forEach((each, index) => at("open").children[index].append(buryCell(each)));
  table("consumers", told.consumers, (each) => [each.addr.replace("tcp:", ""), each.name, each.takes, when(each.last_take), each.open_reads,
    each.waits === "1" ? "yes" : ""], [1, 4, 5]);
}

function table(id, list, cells, wide = []) {
  at(id).replaceChildren(...list.map((each) => {
    const line = make("tr");
    line.append(...cells(each).map((value, index) => make("td", value === "-" ? "" : value, wide.includes(index) ? "wide" : "")));
    return line;
  }));
}

function itemLine(item) {
  const line = make("tr");
  const from = item.origin === "-" ? "" : item.origin + " (" + item.reason + ")";
  line.append(...[[item.id], [short(Number(item.size)), "wide"], [brief(item.age / 1000)], [item.state], [item.deliveries, "wide"], [from, "wide"]]
    .map(([value, name]) => make("td", value, name)));
  const cell = line.appendChild(make("td"));
  const button = cell.appendChild(make("button", "Data"));
  button.type = "button";
  button.addEventListener("click", () => data(item.id));
  if (acts && (item.state === "waiting" || item.state === "delayed")) {
    const drop = cell.appendChild(make("button", "Drop", "harm"));
    drop.type = "button";
    drop.addEventListener("click", () => act("drop", { id: Number(item.id) }, "Drop item " + item.id + "?", "It is removed, and nobody gets it."));
  }
  return line;
}

function buryCell(item) {
  const cell = make("td");
  // One without a lease is its holder's alone, until that is gone.
  if (!acts || item.lease === "none") return cell;
  const button = cell.appendChild(make("button", "Bury…", "harm"));
  button.type = "button";
  button.addEventListener("click", () => act("bury", { id: Number(item.id) }, "Bury item " + item.id + "?",
    "It is taken from its holder, and goes to the queue for dead letters.", [], true));
  return cell;
}

async function data(id) {
  try {
    const told = await ask("/item?name=" + chosen.key + "&id=" + id);
    const cut = told.shown < told.size ? "\n… " + (told.size - told.shown) + " bytes more" : "";
    at("data").textContent = "item " + id + ", " + told.size + " bytes" + (told.is_text ? "" : ", in hexadecimal") + "\n\n" + told.text + cut;
    at("data").hidden = false;
  } catch (problem) { notice(problem.message, true); }
}

// Actions.

function buttons(paused) {
  if (!acts) { at("acts").replaceChildren(); return; }
  const button = (text, work, harm) => {
    const made = make("button", text, harm ? "harm" : "");
    made.type = "button";
    made.addEventListener("click", work);
    return made;
  };
  const count = { name: "count", label: "Items, the oldest first (empty: all)", number: true };
  at("acts").replaceChildren(
    paused ? button("Resume", () => act("resume", {}, "Resume?", "Gets take items again.", [], true))
           : button("Pause", () => act("pause", {}, "Pause?", "Gets find nothing until it is resumed; puts go on.",
               [{ name: "seconds", label: "Seconds (empty: until it is resumed)", number: true }], true)),
    button("Move…", () => act("move", {}, "Move items?", "They keep their flags and when they expire.", [{ name: "to", label: "To the queue", needed: true }, count])),
    button("Move back…", () => act("move", {}, "Move items back?", "Each goes to the queue that it came from.", [count])),
    button("Flush…", () => act("flush", {}, "Flush?", "All items but the open ones are removed, and nobody gets them."), true),
    button("Delete…", () => act("delete", {}, "Delete?", "The queue and all of its items are removed, open ones too."), true));
}

function act(verb, asked, question, effect, fields = [], harmless = false) {
  const dialog = at("confirm"), { key, name } = chosen;
  at("question").textContent = question;
  at("effect").textContent = name + ": " + effect;
  at("fields").replaceChildren(...fields.map((field) => {
    const label = make("label", field.label);
    const input = label.appendChild(make("input"));
    input.name = field.name;
    input.required = Boolean(field.needed);
    if (field.number) { input.type = "number"; input.min = "1"; input.step = "1"; }
    return label;
  }));
  at("typed").value = "";
  at("typed-label").hidden = harmless;
  const check = () => { at("yes").disabled = !harmless && at("typed").value !== name; };
  at("typed").oninput = check;
  check();
  dialog.returnValue = "";
  dialog.onclose = () => {
    if (dialog.returnValue !== "yes" || at("yes").disabled) return;
    const body = { verb, queue: key, ...asked };
    if (!harmless) body.confirm = at("typed").value;
    for (const input of at("fields").querySelectorAll("input"))
      if (input.value) body[input.name] = input.type === "number" ? Number(input.value) : encodeURIComponent(input.value);
    send(body);
  };
  dialog.showModal();
}

async function send(body) {
  try {
    const told = await ask("/do", { method: "POST", headers: { "Content-Type": "application/json", "X-Starling": "1" }, body: JSON.stringify(body) });
    notice(body.verb + ": " + told.told, false);
  } catch (problem) { notice(body.verb + ": " + problem.message, true); }
  if (body.verb === "delete") leave();
  else if (chosen) look();
}

let typing = 0;
at("part").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => { wish.part = at("part").value; listen(); }, 200);
});
at("rows").addEventListener("change", () => { wish.rows = at("rows").value; listen(); });
at("wishes").addEventListener("submit", (event) => event.preventDefault());
at("close").addEventListener("click", leave);
at("more").addEventListener("click", () => look(nextItem));
setInterval(() => { if (chosen && !at("confirm").open && !document.hidden && at("more").hidden) look(); }, 5000);
heads();
listen();
