// Follows what happens: asks for the moving part of a page again and again, and puts it in the place of the old one. Without this script
// everything is there as well, as it was when the page was loaded.
"use strict";

const EVERY_MS = 2000;
// After which no answer will be one.
const PATIENCE_MS = 8000;
const live = document.getElementById("live");
const pulse = document.getElementById("pulse");
const pause = document.getElementById("pause");

function isPaused() {
  return pause.getAttribute("aria-pressed") === "true";
}

function say(text, late) {
  if (pulse.textContent !== text) pulse.textContent = text;
  pulse.classList.toggle("late", late);
}

// What has the keyboard's focus is found again by where it leads to.
function focused() {
  const element = document.activeElement;
  if (!element || !live.contains(element)) return null;
  if (element.matches("a[href]")) return `a[href="${CSS.escape(element.getAttribute("href"))}"]`;
  if (element.matches("form button")) return `form[action="${CSS.escape(element.form.getAttribute("action"))}"] button`;
  if (element.matches(".scroll")) return ".scroll";
  return null;
}

// Nobody who reads or has something open is to be disturbed.
function isInUse() {
  const selection = document.getSelection();
  return live.querySelector("details[open]") !== null
    || (selection !== null && !selection.isCollapsed && live.contains(selection.anchorNode));
}

function replace(html) {
  if (live.dataset.shown === html) return;
  const where = focused();
  const scrolled = Array.from(live.querySelectorAll(".scroll"), (element) => element.scrollLeft);
  const parsed = new DOMParser().parseFromString(html, "text/html");
  live.replaceChildren(...parsed.body.childNodes);
  live.dataset.shown = html;
  live.querySelectorAll(".scroll").forEach((element, n) => { element.scrollLeft = scrolled[n] || 0; });
  if (where !== null) live.querySelector(where)?.focus({ preventScroll: true });
}

async function look() {
  if (isPaused()) {
    say("paused", false);
    return;
  }
  if (document.hidden) return;
  if (isInUse()) {
    say("paused while you read", false);
    return;
  }
  try {
    const answer = await fetch(live.dataset.live, {
      headers: { accept: "text/html" }, credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (answer.status === 401) {
      say("sign in again: what is shown may be old", true);
    } else if (answer.status === 404) {
      say("this is gone: what is shown is old", true);
    } else if (!answer.ok) {
      throw new Error(String(answer.status));
    } else {
      replace(await answer.text());
      say("live", false);
    }
  } catch {
    say("no answer: what is shown may be old", true);
  }
}

async function follow() {
  for (;;) {
    await new Promise((resolve) => { setTimeout(resolve, EVERY_MS); });
    await look();
  }
}

if (live && pulse && pause) {
  pause.hidden = false;
  pause.setAttribute("aria-pressed", "false");
  pause.addEventListener("click", () => {
    const paused = !isPaused();
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
    look();
  });
  document.addEventListener("visibilitychange", look);
  say("live", false);
  follow();
}
