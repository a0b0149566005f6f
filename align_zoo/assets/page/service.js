// Asks the service, and has patience with it: a service that restarts is asked again.

import { element } from "./dom.js";

const FIRST_WAIT = 1;
const LONGEST_WAIT = 15;
const banner = document.getElementById("banner");
let token = "";

/** What the service says against a request, in its own words. */
export class Refused extends Error {
  constructor(message, param, status) {
    super(message);
    this.param = param;
    this.status = status;
  }
}

/** Asks; sends a request again while the service is away, until `signal` calls it off. */
export async function ask(path, body, signal) {
  const response = await send(path, body, signal);
  return response.json();
}

/** An image of the service's as an address for <img>; a token travels in no address. */
export async function imageAddress(path, signal) {
  const response = await send(path, undefined, signal);
  return URL.createObjectURL(await response.blob());
}

async function send(path, body, signal) {
  for (let tries = 0; ; tries++) {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    if (body) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(path, {
        method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal,
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      await wait(tries, 0, "The service does not answer", signal);
      continue;
    }
    if (response.ok) {
      banner.hidden = true;
      return response;
    }
    const { message, param } = await errorOf(response);
    if (response.status === 401) {
      await askForToken(message, signal);
    } else if ([429, 502, 503].includes(response.status)) {
      await wait(tries, Number(response.headers.get("Retry-After")), message, signal);
    } else {
      banner.hidden = true;
      throw new Refused(message, param, response.status);
    }
  }
}

async function errorOf(response) {
  try {
    const { error } = await response.json();
    return typeof error === "string" ? { message: error } : error;
  } catch {
    return { message: `the service answers with ${response.status}` };
  }
}

/** Shows what is wrong, and waits: longer each time, or until the user wants it now. */
function wait(tries, least, message, signal) {
  let left = Math.max(least, Math.min(FIRST_WAIT * 2 ** tries, LONGEST_WAIT));
  return new Promise((resolve, reject) => {
    const seconds = element("span", { "aria-hidden": "true" });
    const now = element("button", { type: "button", onclick: () => end(resolve) }, "Try now");
    const show = () => (seconds.textContent = `Trying again in ${left} s. `);
    const timer = setInterval(() => --left > 0 ? show() : end(resolve), 1000);
    const stop = () => end(() => reject(signal.reason));
    function end(then) {
      clearInterval(timer);
      signal?.removeEventListener("abort", stop);
      then();
    }
    signal?.addEventListener("abort", stop);
    show();
    banner.replaceChildren(`${sentence(message)} `, seconds, now);
    banner.hidden = false;
  });
}

function askForToken(message, signal) {
  return new Promise((resolve, reject) => {
    const field = element("input", { type: "password", autocomplete: "off", "aria-label": "Token" });
    const form = element("form", { class: "row" }, field, element("button", {}, "Use this token"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      token = field.value.trim();
      resolve();
    });
    signal?.addEventListener("abort", () => reject(signal.reason));
    banner.replaceChildren(`${sentence(message)} `, form);
    banner.hidden = false;
  });
}

export function sentence(message) {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Runs one question at a time: a newer one calls the older one off. */
export function lastOnly() {
  let current;
  return async (work, failed) => {
    current?.abort();
    const mine = (current = new AbortController());
    try {
      await work(mine.signal);
    } catch (error) {
      if (!mine.signal.aborted) failed(error);
    }
  };
}
