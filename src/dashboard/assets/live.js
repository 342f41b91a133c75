// Live updates: a pulse tells that something has changed, and the page asks again for itself. It replaces the content of
// [data-live], and never adds or moves a row.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;
  const word = $("#live"), pause = $("#pause");
  if (!word || !globalThis.EventSource) return;
  const { clock, showAges, countPicked } = globalThis.firefly;

  /** At least so many milliseconds are between two refreshes of a page. */
  const PACE = 5_000;
  /** After so many milliseconds without a pulse the page asks without one, as behind a proxy that holds events back. */
  const SILENCE = 10_000;
  /** From so many milliseconds on, what is shown counts as old. */
  const OLD = 15_000;

  let events, change, etag = null;
  let isPaused = false, isDirty = false, isAsking = false, isSignedOut = false;
  let pulsedAt = performance.now(), askedAt = performance.now(), currentAt = performance.now();

  const say = (text, isOn) => {
    if (word.textContent !== text) word.textContent = text;
    word.classList.toggle("off", !isOn);
  };
  const setAway = (isAway) => {
    if (isAway) root.dataset.away = "";
    else delete root.dataset.away;
  };
  /** Whether the page must stay as it is, since it is in use. */
  const isHeld = () =>
    isPaused || isSignedOut || document.hidden || $("dialog[open]") || $("tbody .sel :checked") ||
    document.activeElement?.matches("input:not([type=checkbox]), textarea, select");

  /** The page is as the database was at `time`. */
  const setCurrent = (time) => {
    currentAt = performance.now();
    clock.set(time);
    const shown = $("#as-of time");
    if (!shown) return;
    shown.dateTime = time;
    shown.textContent = `${time.slice(11, 19)} UTC`;
    $("#as-of").classList.remove("hold");
  };

  const replaceContent = (element, other) => {
    if (element.innerHTML === other.innerHTML || element.contains(document.activeElement)) return;
    const open = all("details[id][open]", element).map(({ id }) => id);
    element.replaceChildren(...other.childNodes);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  };
  const replaceRows = (body, other) => {
    const own = all("tr[id]", body);
    const next = new Map(all("tr[id]", other).map((row) => [row.id, row]));
    // Rows after the last one that both have were pushed off the page by newer ones; those before it are gone.
    const last = own.findLastIndex(({ id }) => next.has(id));
    for (const [index, row] of own.entries()) {
      const found = next.get(row.id);
      next.delete(row.id);
      row.classList.toggle("gone", !found && index < last);
      if (found?.cells.length !== row.cells.length) continue;
      for (const [column, cell] of [...row.cells].entries()) {
        if (!cell.classList.contains("sel")) replaceContent(cell, found.cells[column]);
      }
    }
    showFresh(body, next.size > 0 && last < 0 ? `${next.size}+` : next.size);
  };
  const showFresh = (body, count) => {
    const panel = body.closest(".panel");
    let button = panel.previousElementSibling?.matches(".fresh") ? panel.previousElementSibling : undefined;
    if (!count) return button?.remove();
    if (!button) {
      button = document.createElement("button");
      button.type = "button";
      button.className = "fresh";
      button.addEventListener("click", () => location.reload());
      panel.before(button);
    }
    button.textContent = `${count} newer · Show`;
  };
  const apply = (next) => {
    if (root.dataset.away !== undefined && !$("main [data-live]")) return location.reload();
    for (const element of all("body [data-live]")) {
      const other = next.getElementById(element.id);
      if (!other) continue;
      if (element.dataset.live === "rows") replaceRows(element, other);
      else replaceContent(element, other);
    }
    document.title = next.title;
    countPicked();
    showAges();
  };

  const refresh = async () => {
    if (isAsking) return;
    isAsking = true;
    askedAt = performance.now() + Math.random() * 1_000;
    isDirty = false;
    try {
      const headers = { accept: "text/html", ...(etag ? { "if-none-match": etag } : {}) };
      const response = await fetch(location.href, { headers, signal: AbortSignal.timeout(20_000) });
      if (response.status === 304) return setAway(false);
      if (response.ok && !response.redirected) {
        const next = new DOMParser().parseFromString(await response.text(), "text/html");
        etag = response.headers.get("etag");
        if ($(".still")) return location.reload();
        apply(next);
        setAway(false);
        const time = next.querySelector("#as-of time")?.dateTime;
        if (time) setCurrent(time);
        const asOf = next.querySelector("#as-of");
        if (asOf) $("#as-of")?.replaceChildren(...asOf.childNodes);
      } else if (response.status === 503) {
        isDirty = true;
        setAway(true);
      } else if (response.redirected || response.status === 401 || response.status === 403) {
        isSignedOut = true;
        disconnect();
        say("Signed out", false);
      }
    } catch {
      isDirty = true; // no answer: the next round asks again
    } finally {
      isAsking = false;
    }
  };

  const connect = () => {
    if (events || isPaused || isSignedOut || document.hidden) return;
    events = new EventSource(`${root.dataset.base}/pulse`);
    events.addEventListener("pulse", ({ data }) => {
      const pulse = JSON.parse(data);
      pulsedAt = performance.now();
      if (pulse.change !== change) isDirty = true;
      change = pulse.change;
      say("Live", true);
      if (root.dataset.away !== undefined) void refresh();
      else if (!isDirty && !isAsking) setCurrent(pulse.now);
      else tick();
    });
    events.addEventListener("away", () => {
      pulsedAt = performance.now();
      isDirty = true;
      setAway(true);
      say("Reconnecting", false);
    });
    events.addEventListener("error", () => {
      say("Reconnecting", false);
      if (events?.readyState === EventSource.CLOSED) disconnect(); // the next round connects again
    });
  };
  const disconnect = () => {
    events?.close();
    events = undefined;
  };

  const tick = () => {
    if (isPaused || isSignedOut || document.hidden) return;
    connect();
    const now = performance.now();
    const isSilent = now - pulsedAt > SILENCE;
    if ((isDirty || isSilent) && !isHeld() && now - askedAt >= PACE) void refresh();
    if (now - currentAt > OLD) $("#as-of")?.classList.add("hold");
  };

  word.hidden = pause.hidden = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Resume" : "Pause";
    if (isPaused) disconnect();
    say(isPaused ? "Paused" : "Live", !isPaused);
    isDirty = true;
    if (!isPaused) tick();
  });
  document.addEventListener("visibilitychange", () => {
    // A browser has six connections for all tabs of a host: one that is hidden needs none.
    if (document.hidden) disconnect();
    else tick();
  });
  addEventListener("pagehide", disconnect);
  connect();
  setInterval(tick, 1_000);
})();
