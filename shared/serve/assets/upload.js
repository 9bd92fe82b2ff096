// Sends a file: first its beginning, to find out how it is written, then the whole of it as it lies there, while it is read.
"use strict";

const form = document.getElementById("upload");
const file = document.getElementById("file");
const drop = document.getElementById("drop");
const said = document.getElementById("said");
const found = document.getElementById("found");
const columns = document.getElementById("columns");
const fields = document.getElementById("fields");
const more = document.getElementById("more");
const sent = document.getElementById("sent");
const preview = document.getElementById("preview");
const rejects = document.getElementById("rejects");
const SAMPLE_BYTES = 1024 * 1024 + 64 * 1024;
// A second click, or a second try after the answer was lost, is the same import.
let key = null;

function tell(text, wrong) {
  said.textContent = text;
  said.className = wrong ? "failure" : "";
}

function headers() {
  const all = { "content-type": "application/octet-stream" };
  if (form.dataset.csrf) all["x-csrf-token"] = form.dataset.csrf;
  return all;
}

async function ask(what, query) {
  const sample = file.files[0].slice(0, SAMPLE_BYTES);
  const answer = await fetch(`${form.dataset.api}/${what}?${query}`, {
    method: "POST", headers: headers(), body: sample, credentials: "same-origin",
  });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  return told;
}

// What `enqueue` would be given: options by their names.
function options() {
  const query = new URLSearchParams({ name: file.files[0].name });
  for (const element of form.querySelectorAll("[name]")) {
    const off = element.type === "checkbox" ? !element.checked : element.value === "";
    if (!off) query.append(element.name, element.value);
  }
  for (const line of more.value.split("\n")) {
    const option = line.trim().replace(/^--/, "");
    if (option === "") continue;
    const parts = option.match(/^([\w-]+)(?:(?:=|\s+)(.*))?$/) || [null, option, ""];
    query.append(parts[1], parts[2] === undefined ? "true" : parts[2]);
  }
  const inputs = Array.from(fields.querySelectorAll("input"));
  if (inputs.some((input) => input.value !== input.defaultValue)) {
    query.append("columns", inputs.map((input) => quoted(input.value || "-")).join(","));
  }
  return query;
}

function quoted(name) {
  return /[,="]|^\s|\s$/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
}

function set(name, value) {
  const element = form.elements.namedItem(name);
  if (element) element.value = value;
}

function table(names, rows) {
  const element = document.createElement("table");
  const head = element.createTHead().insertRow();
  for (const name of names) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    head.append(cell);
  }
  const body = element.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((value, n) => {
      const cell = line.insertCell();
      cell.dataset.label = names[n];
      if (value === null) {
        cell.className = "hint";
        cell.textContent = "NULL";
      } else {
        cell.textContent = value;
      }
    });
  }
  return element;
}

function showFields(names) {
  fields.replaceChildren();
  columns.hidden = names.length === 0;
  for (const name of names) {
    const label = document.createElement("label");
    const text = document.createElement("span");
    text.textContent = name;
    const input = document.createElement("input");
    input.type = "text";
    input.defaultValue = name;
    input.value = name;
    input.autocapitalize = "none";
    input.spellcheck = false;
    label.append(text, input);
    fields.append(label);
  }
}

async function look() {
  if (file.files.length === 0) return;
  tell("looking at it …", false);
  found.hidden = true;
  key = crypto.getRandomValues(new Uint32Array(4)).join("-");
  for (const name of ["delimiter", "null", "encoding", "max-rejects"]) set(name, "");
  more.value = "";
  try {
    const told = await ask("sniff", new URLSearchParams({ name: file.files[0].name }));
    const unknown = [];
    set("format", told.format);
    for (const [name, value] of told.options) {
      const element = form.elements.namedItem(name);
      if (element && element.type !== "checkbox" && element.value === "" || name === "format") set(name, value);
      else unknown.push(value === "true" ? `--${name}` : `--${name} ${value}`);
    }
    more.value = unknown.join("\n");
    more.closest("details").open = unknown.length > 0;
    const named = told.fields.every((name) => name !== null);
    showFields(named ? told.fields : []);
    preview.replaceChildren(table(told.fields.map((name, n) => name === null ? `field ${n + 1}` : name), told.rows));
    rejects.replaceChildren();
    found.hidden = false;
    const packed = told.compression ? `, ${told.compression}` : "";
    tell(`${file.files[0].name}: ${told.format}${packed}; its first rows are below`, false);
  } catch (error) {
    tell(error.message, true);
  }
}

async function check() {
  tell("checking its beginning …", false);
  try {
    const told = await ask("check", options());
    preview.replaceChildren(table(told.columns, told.rows));
    rejects.replaceChildren();
    if (told.rejects.length > 0) {
      const rows = told.rejects.map((reject) => [reject.line === null ? "" : String(reject.line), reject.column || "", reject.reason, reject.raw]);
      rejects.replaceChildren(table(["Line", "Column", "Why", "The record"], rows));
    }
    tell(`of its first ${told.records} records ${told.rejected} would be rejected; the others would go into ${told.target}`, told.rejected > 0);
  } catch (error) {
    tell(error.message, true);
  }
}

function send(event) {
  event.preventDefault();
  const query = options();
  if (!query.has("key")) query.append("key", `upload ${key}`);
  const request = new XMLHttpRequest();
  const buttons = form.querySelectorAll("button");
  const end = (text) => {
    for (const button of buttons) button.disabled = false;
    sent.hidden = true;
    if (text !== null) tell(text, true);
  };
  request.open("POST", `${form.dataset.api}/imports?${query}`);
  for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
  request.upload.addEventListener("progress", (progress) => {
    if (!progress.lengthComputable) return;
    sent.value = 100 * progress.loaded / progress.total;
    tell(`sent ${Math.floor(sent.value)} %`, false);
  });
  request.addEventListener("load", () => {
    let told = {};
    try { told = JSON.parse(request.responseText); } catch { told = { error: `no answer that makes sense (${request.status})` }; }
    if (request.status === 201) {
      end(null);
      location.assign(`${form.dataset.imports}/${told.import_id}`);
    } else {
      end(told.error);
    }
  });
  request.addEventListener("error", () => {
    const undone = form.elements.namedItem("all-or-nothing").checked;
    // The import that began has the key, and ends as it is.
    key = crypto.getRandomValues(new Uint32Array(4)).join("-");
    end(undone
      ? "the connection broke off: what was loaded of it is undone; upload it again"
      : "the connection broke off: what was loaded of it stays until its import is cancelled; see below, and upload it again");
  });
  for (const button of buttons) button.disabled = true;
  sent.hidden = false;
  sent.value = 0;
  request.send(file.files[0]);
}

if (form) {
  file.addEventListener("change", look);
  document.getElementById("check").addEventListener("click", check);
  form.addEventListener("submit", send);
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length > 0) {
        file.files = event.dataTransfer.files;
        look();
      }
    });
  }
}
