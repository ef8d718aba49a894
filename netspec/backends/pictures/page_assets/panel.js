"use strict";
// What is known of one node, as HTML: the side panel and the small label at the pointer. Texts of a spec reach the page
// as text nodes alone.

function html(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const CONTEXT = 2; // lines around those of a node

// The label at the pointer: few lines of plain text.
function describe(network, path) {
  const { node, training } = network.route(path).at(-1);
  const cost = costs([node], training);
  const some = ["parameters", "macs"].filter((name) => cost[name]);
  const counts = some.map((name) => `${COSTS[name].show(cost[name])} ${COSTS[name].name}`);
  return [path, network.words(node),
    node.outputs.join(", "), counts.join(" · "), training ? "training only" : ""].filter(Boolean);
}

// Everything about the node at a path. `choose` goes to another path.
function details(network, path, choose) {
  const route = network.route(path);
  const { node, body, training } = route.at(-1);
  const cost = costs([node], training);
  const types = typesOf(body);
  const takes = node.inputs.map(([from, output]) => types(`${from}:${output}`));
  const facts = [
    [takes.length > 1 ? "inputs" : "input", takes.join(", ")],
    [node.outputs.length > 1 ? "outputs" : "output", node.outputs.join(", ")],
    ["parameters", cost.parameters.toLocaleString("en")],
    ["MACs", training ? "none outside of training" : cost.macs.toLocaleString("en")],
    ["memory", training ? "" : byteSize(cost.memory)],
    ...network.field(route),
    ["shares the module of", node.shares || ""],
  ];
  return [
    breadcrumb(route, network.name, choose),
    html("h2", {}, node.name),
    html("p", { class: "kind" }, node.op === undefined && !node.word ? "group" : node.kind),
    table(facts.filter(([, value]) => value)),
    ...argumentsOf(network, node),
    ...stateOf(network, node),
    ...sources(network, route),
  ];
}

// The way to a node, each station of which can be chosen.
function breadcrumb(route, network, choose) {
  const items = html("nav", { "aria-label": "path" });
  const link = (text, path) => {
    const button = html("button", { type: "button" }, text);
    button.addEventListener("click", () => choose(path));
    return button;
  };
  items.append(link(network, ""));
  route.forEach(({ path, node }, i) => {
    const name = i < route.length - 1 ? link(node.name, path) : html("b", {}, node.name);
    items.append(html("span", { "aria-hidden": "true" }, "›"), name);
  });
  return items;
}

function table(entries) {
  const list = html("dl");
  for (const [name, value] of entries) list.append(html("dt", {}, name), html("dd", {}, value));
  return list;
}

function section(title, ...content) {
  return html("section", {}, html("h3", {}, title), ...content);
}

function argumentsOf(network, node) {
  const given = (network.ops[node.op] ?? network.inside(node)).arguments;
  if (!given.length) return [];
  const list = html("dl");
  for (const [name, value, changed = true] of given) {
    list.append(html("dt", {}, name), html("dd", changed ? {} : { class: "default" }, value));
  }
  return [section("Arguments", list)];
}

function stateOf(network, node) {
  const state = node.op === undefined ? [] : network.ops[node.op].state;
  if (!state.length || node.shares) return [];
  const entries = state.map(([name, shape, trained]) => [name || "value", trained ? shape : `${shape} buffer`]);
  return [section("Tensors", table(entries))];
}

// The lines of a node, and where they are in another file than those of the nodes around it, the lines of those too.
function sources(network, route) {
  const shown = [];
  const files = new Set();
  for (const { node } of [...route].reverse()) {
    const [file, first, last] = node.at;
    if (files.has(file)) continue;
    files.add(file);
    shown.push(section(`${network.files[file].name}:${first}`, excerpt(network.files[file].text, first, last)));
  }
  return shown;
}

function excerpt(text, first, last) {
  const lines = text.split(/\r\n|\r|\n/);
  const code = html("code");
  const end = Math.min(lines.length, last + CONTEXT);
  for (let number = Math.max(1, first - CONTEXT); number <= end; number += 1) {
    const line = html("span", number >= first && number <= last ? { class: "line made" } : { class: "line" });
    line.append(html("i", {}, String(number)), ...colored(lines[number - 1]), "\n");
    code.append(line);
  }
  return html("pre", { tabindex: "0" }, code);
}

// Keys and comments of a line of YAML.
function colored(line) {
  const comment = line.search(/(^|\s)#/);
  const [code, rest] = comment < 0 ? [line, ""] : [line.slice(0, comment), line.slice(comment)];
  const parts = [];
  let start = 0;
  for (const match of code.matchAll(/[\w.*-]+(?=\s*:(\s|$))/g)) {
    parts.push(code.slice(start, match.index), html("b", {}, match[0]));
    start = match.index + match[0].length;
  }
  return [...parts, code.slice(start), ...rest ? [html("em", {}, rest)] : []];
}
