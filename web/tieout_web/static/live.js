// Liveness on top of pages that are complete without it: movements as they happen, a countdown, and a page
// that stays open never goes on looking right when it no longer is.
"use strict";

const keyOf = (e) => [e.slot, e.tx_index, e.step, e.child].join("/");
const withThousands = (text) => text.replace(/\B(?=(\d{3})+(?!\d))/g, ",");

function cell(row, content, className) {
  const made = row.insertCell();
  if (className) made.className = className;
  if (content instanceof Node) made.append(content);
  else made.textContent = content ?? "—";
}

function link(href, text) {
  const anchor = document.createElement("a");
  const code = document.createElement("code");
  anchor.href = href;
  code.textContent = text;
  anchor.append(code);
  return anchor;
}

const account = (address) => (address ? link(`/accounts/${address}`, address) : "—");

function when(text) {
  const made = document.createElement("time");
  made.dateTime = text ?? "";
  if (!text) {
    made.textContent = "unknown";
    return made;
  }
  // as the server writes it: a narrow column breaks it after the day alone
  const [day, time] = text.replace(/(\.\d+)?(\+00:00|Z)$/, " UTC").split("T");
  const kept = document.createElement("span");
  kept.textContent = time;
  made.append(`${day} `, kept);
  return made;
}

function show(body, event, provisional) {
  const key = keyOf(event);
  const earlier = body.querySelector(`[data-key="${key}"]`);
  if (earlier) {
    if (!provisional) earlier.classList.remove("provisional");
    return;
  }
  body.querySelector("tr.none")?.remove();
  const row = body.insertRow(0);
  row.dataset.key = key;
  row.className = provisional ? "new provisional" : "new";
  cell(row, when(event.time));
  cell(row, provisional ? `${event.kind} (not final)` : event.kind);
  cell(row, withThousands(event.amount), "n");
  cell(row, account(event.source_owner));
  cell(row, account(event.destination_owner));
  cell(row, link(`/transactions/${event.signature}`, `${event.signature.slice(0, 16)}…`));
}

function follow(table) {
  const body = table.tBodies[0];
  const status = document.getElementById("live-status");
  const source = new EventSource(table.dataset.stream);
  stayTrue(source);
  source.onopen = () => { status.textContent = "Live: new movements appear as they happen."; };
  source.onerror = () => { status.textContent = "Not live at the moment: trying again."; };
  source.addEventListener("provisional", (m) => show(body, JSON.parse(m.data), true));
  source.addEventListener("final", (m) => {
    const event = JSON.parse(m.data);
    const earlier = body.querySelector(`[data-key="${keyOf(event)}"]`);
    if (earlier) {
      earlier.classList.remove("provisional");
      earlier.cells[1].textContent = event.kind;
    } else show(body, event, false);
  });
  source.addEventListener("retracted", (m) => body.querySelector(`[data-key="${keyOf(JSON.parse(m.data))}"]`)?.remove());
  source.addEventListener("withdrawn", (m) => {
    const row = body.querySelector(`[data-key="${keyOf(JSON.parse(m.data))}"]`);
    if (row?.classList.contains("provisional")) row.remove();
  });
  source.addEventListener("reset", () => location.reload());
  addEventListener("pagehide", () => source.close());
}

function warn(text) {
  let banner = document.getElementById("warning");
  if (!banner) {
    banner = document.createElement("p");
    banner.id = "warning";
    banner.className = "banner bad";
    banner.setAttribute("role", "alert");
    document.getElementById("main").before(banner);
  }
  banner.textContent = text;
}

const utcNow = () => new Date().toISOString().slice(0, 19).replace("T", " ") + " UTC";

function stayTrue(source) {
  const made = document.body.dataset.situation;
  let lost = null;
  source.addEventListener("state", (m) => {
    // the server makes the page: what it would say now differs, so it is asked; not by everybody at once
    if (JSON.parse(m.data).digest !== made) setTimeout(() => location.reload(), 200 + Math.random() * 800);
  });
  source.addEventListener("error", () => {
    lost ??= setTimeout(() => {
      if (!document.body.classList.contains("stale")) warn(`No connection since ${utcNow()}: nothing newer than this page is known.`);
    }, 5000);
  });
  source.addEventListener("open", () => {
    clearTimeout(lost);
    lost = null;
    document.getElementById("warning")?.remove();
  });
  const staleAt = Date.parse(document.body.dataset.staleAt ?? "");
  const look = setInterval(() => {
    if (!(Date.now() > staleAt + 2000) || source.readyState === EventSource.OPEN) return;
    clearInterval(look);
    document.body.classList.add("stale");
    document.querySelectorAll(".verdict").forEach((v) => { v.className = "verdict unknown"; v.textContent = "unknown"; });
    warn(`These figures are too old since ${new Date(staleAt).toISOString().slice(0, 19).replace("T", " ")} UTC: read them as unknown.`);
  }, 1000);
}

function countDown(place) {
  const at = Date.parse(place.dataset.countdown);
  const tick = () => {
    const left = Math.max(0, Math.floor((at - Date.now()) / 1000));
    const [d, h, m, s] = [Math.floor(left / 86400), Math.floor(left / 3600) % 24, Math.floor(left / 60) % 60, left % 60];
    place.textContent = left ? `(in ${d ? `${d} d ` : ""}${h} h ${m} min ${s} s)` : "(now)";
  };
  tick();
  setInterval(tick, 1000);
}

const tables = document.querySelectorAll("table[data-stream]");
tables.forEach(follow);
if (document.body.dataset.situation && !tables.length) {
  const source = new EventSource("/v1/events/stream?only=state");
  stayTrue(source);
  addEventListener("pagehide", () => source.close());
}
document.querySelectorAll("[data-countdown]").forEach(countDown);
