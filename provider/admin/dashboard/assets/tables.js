// The tables. Rows are kept by key, so that what somebody has selected or focused stays.

import * as format from "./format.js";

const STANDINGS = {
  ok: ["good", "answers"],
  unasked: ["idle", "not asked yet"],
  slow: ["warn", "slow"],
  faulty: ["warn", "refuses some calls"],
  behind: ["warn", "behind"],
  ejected: ["bad", "ejected"],
};

// Towards the consumer it also waits for a limit of ours to let bytes go.
const WAITS = { consumer: "to send", origin: "to receive" };

const FAULTS = { consumer: "consumer", origin: "origin", ours: "this server" };

function badge(mood, text) {
  const made = document.createElement("span");
  made.className = `badge ${mood}`;
  made.textContent = text;
  return made;
}

function standing(row) {
  const [mood, text] = STANDINGS[row.standing] ?? ["idle", row.standing];
  return badge(mood, row.back_in_seconds > 0 ? `${text}, ${format.age(Math.ceil(row.back_in_seconds))}` : text);
}

// Cause and remedy of an error code.
function code(name) {
  if (!name) return format.NONE;
  const made = document.createElement("a");
  made.href = `errors#${encodeURIComponent(name)}`;
  made.target = "_blank";
  made.textContent = name;
  return made;
}

// Text with `names` in backticks, as errors and documents have them.
function prose(text) {
  const made = document.createElement("span");
  (text ?? "").split("`").forEach((part, index) => {
    if (index % 2 === 0) return made.append(part);
    const name = document.createElement("code");
    name.textContent = part;
    made.append(name);
  });
  return made;
}

const pair = (values, show) => (values.every((value) => value == null) ? format.NONE : values.map(show).join(" / "));

function health(row) {
  if (row.is_failing) return badge("bad", `failed ${row.failures_in_a_row} times, ${format.age(row.failed_seconds_ago)} ago`);
  return row.last_success_at ? badge("good", "works") : badge("idle", "unknown");
}

// What the metadata index has left to read.
function index(row) {
  if (row.index_behind == null) return format.NONE;
  if (row.index_behind === 0) return "up to date";
  const left = row.index_left > 0 ? `, ${format.age(Math.ceil(row.index_left))}` : "";
  return `${format.count(row.index_behind)} blocks behind${left}`;
}

const TABLES = {
  datasets: {
    empty: "No purchased file has been used yet.",
    key: (row) => `${row.did}-${row.file_index}`,
    columns: [
      ["Dataset", (row) => row.did, "long"],
      ["File", (row) => (row.file_index < 0 ? format.NONE : row.file_index), "number"],
      ["State", health],
      ["Uses", (row) => format.count(row.uses), "number"],
      ["Sent", (row) => format.bytes(row.sent_bytes), "number"],
      ["First byte, median / p95", (row) => pair(row.first_bytes, format.seconds), "number"],
      ["Speed, median / slowest 5 %", (row) => pair(row.rates, format.rate), "number"],
      ["Consumer faults", (row) => format.count(row.consumer_failures), "number"],
      ["Origin faults", (row) => format.count(row.origin_failures), "number"],
      ["Our faults", (row) => format.count(row.our_failures), "number"],
      ["Last error", (row) => code(row.code)],
      ["What to do", (row) => prose(row.remedy), "text"],
    ],
  },
  streams: {
    empty: "No stream in progress.",
    key: (row) => `${row.pid}-${row.number}`,
    columns: [
      ["Stream", (row) => `#${row.number}`],
      ["Dataset", (row) => row.did || format.NONE, "long"],
      ["File", (row) => row.file_index ?? format.NONE, "number"],
      ["Sent", (row) => format.bytes(row.sent_bytes), "number"],
      ["Size", (row) => format.bytes(row.length_bytes), "number"],
      ["Done", (row) => format.percent(row.share), "number"],
      ["Left", (row) => (row.left_seconds == null ? format.NONE : format.age(Math.ceil(row.left_seconds))), "number"],
      ["Rate", (row) => format.rate(row.rate), "number"],
      ["Age", (row) => format.age(row.age_seconds), "number"],
      ["Path", (row) => row.path],
      ["Waiting", (row) => WAITS[row.waits_for] ?? format.NONE],
      ["Endpoint", (row) => row.endpoint],
      ["Worker", (row) => row.pid, "number"],
    ],
  },
  rpc: {
    empty: "No chain is configured.",
    key: (row) => `${row.chain}-${row.endpoint}`,
    columns: [
      ["Chain", (row) => `${row.name} (${row.chain})`],
      ["Node", (row) => row.endpoint, "number"],
      ["State", standing],
      ["Latency", (row) => format.seconds(row.latency), "number"],
      ["Height", (row) => format.count(row.height), "number"],
      ["Index", index],
    ],
  },
  codes: {
    empty: "Nothing was refused, and nothing failed.",
    key: (row) => row.code,
    columns: [
      ["Code", (row) => code(row.code)],
      ["Fault", (row) => FAULTS[row.fault]],
      ["Last minute", (row) => format.count(row.recent), "number"],
      ["Total", (row) => format.count(row.total), "number"],
      ["What to do", (row) => prose(row.remedy), "text"],
    ],
  },
  errors: {
    empty: "Nothing has failed at origins or on this server.",
    key: (row) => `${row.at}-${row.request_id}`,
    columns: [
      ["When", (row) => `${format.age(row.seconds_ago)} ago`],
      ["Code", (row) => code(row.code)],
      ["Fault", (row) => FAULTS[row.fault]],
      ["Endpoint", (row) => row.endpoint],
      ["Dataset", (row) => row.did || format.NONE, "long"],
      ["Request", (row) => row.request_id],
    ],
  },
  checks: {
    empty: "Not asked yet.",
    key: (row) => row.check,
    columns: [
      ["Part", (row) => row.check],
      ["State", (row) => (row.answer === "ok" ? badge("good", "works") : badge("bad", row.answer)), "text"],
    ],
  },
  requests: {
    empty: "No request yet.",
    key: (row) => row.endpoint,
    columns: [
      ["Endpoint", (row) => row.endpoint],
      ["Rate", (row) => format.perSecond(row.rate), "number"],
      ["p50", (row) => format.seconds(row.p50), "number"],
      ["p99", (row) => format.seconds(row.p99), "number"],
      ["Total", (row) => format.count(row.total), "number"],
    ],
  },
  caches: {
    empty: "No cache has been used yet.",
    key: (row) => row.cache,
    columns: [
      ["Cache", (row) => row.cache],
      ["Hits", (row) => format.percent(row.ratio), "number"],
      ["Lookups", (row) => format.count(row.hits + row.misses), "number"],
      ["Entries", (row) => format.count(row.entries), "number"],
    ],
  },
  workers: {
    empty: "No worker.",
    key: (row) => row.pid,
    columns: [
      ["Process", (row) => row.pid],
      ["CPU", (row) => format.share(row.cpu), "number"],
      ["Memory", (row) => format.bytes(row.rss_bytes), "number"],
      ["Streams", (row) => format.count(row.streams), "number"],
      ["Throughput", (row) => format.rate(row.throughput), "number"],
    ],
  },
};

function cell(name, kind, scope) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (scope) made.scope = scope;
  return made;
}

export class Tables {
  constructor() {
    this.bodies = {};
    for (const [id, { columns, empty }] of Object.entries(TABLES)) {
      const table = document.getElementById(id);
      const head = document.createElement("tr");
      for (const [title, , kind] of columns) {
        const made = cell("th", kind, "col");
        made.textContent = title;
        head.append(made);
      }
      table.createTHead().append(head);
      const none = table.createTBody();
      none.className = "none";
      const text = none.insertRow().insertCell();
      text.colSpan = columns.length;
      text.textContent = empty;
      this.bodies[id] = { none, body: table.createTBody(), rows: new Map() };
    }
  }

  update(picture) {
    for (const id of Object.keys(TABLES)) this.fill(id, picture[id] ?? []);
  }

  fill(id, values) {
    const { key, columns } = TABLES[id];
    const { none, body, rows } = this.bodies[id];
    none.hidden = values.length > 0;
    const kept = new Set(values.map((value) => String(key(value))));
    for (const [name, row] of rows) {
      if (!kept.has(name)) {
        row.remove();
        rows.delete(name);
      }
    }
    values.forEach((value, index) => {
      const name = String(key(value));
      let row = rows.get(name);
      if (!row) {
        row = document.createElement("tr");
        columns.forEach(([, , kind], column) => row.append(cell(column ? "td" : "th", kind, column ? "" : "row")));
        rows.set(name, row);
      }
      columns.forEach(([, show], column) => {
        const shown = show(value);
        const place = row.children[column];
        if (shown instanceof Node) {
          // What is the same stays, with the focus that it may have.
          if (!place.firstChild?.isEqualNode(shown)) place.replaceChildren(shown);
        } else if (place.textContent !== String(shown)) place.textContent = shown;
      });
      if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
    });
  }
}
