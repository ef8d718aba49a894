"use strict";
// Where everything stands. What is open becomes items with sizes; dagre lays out what branches, and what is between two
// items that everything passes through is laid out by itself, so that a long network costs no more than its parts.

const SIZE = { title: 13, line: 11.5, label: 10.5, row: 16, pad: 14, least: 132, gap: 32, portGap: 15, side: 18 };
const FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif";
const LONGEST_LINE = 300;

const textWidth = (() => {
  const context = document.createElement("canvas").getContext("2d");
  const known = new Map();
  return (text, size, bold = false) => {
    const key = `${size}${bold}${text}`;
    if (!known.has(key)) {
      context.font = `${bold ? "bold " : ""}${size}px ${FONT}`;
      known.set(key, context.measureText(text).width);
    }
    return known.get(key);
  };
})();

// The items of what is open, nested: boxes, frames, terminals and ports. `takes` and `gives` name values in their body.
class Planner {
  constructor(network, open) {
    this.network = network;
    this.open = open;
  }

  whole() {
    const { top } = this.network;
    const items = this.bodyItems(top, "", false);
    const placed = [];
    const inputs = top.inputs.map(([name, type], place) => terminal("input", name, top.inputs.length, type, {
      gives: [`-1:${place}`],
    }));
    for (const item of items) {
      for (const input of inputs) {
        if (!placed.includes(input) && item.takes.some((value) => input.gives.includes(value))) placed.push(input);
      }
      placed.push(item);
      this.outputs(top, item.gives).forEach((output) => placed.push(output));
    }
    const loose = inputs.filter((input) => !placed.includes(input));
    const passed = this.outputs(top, inputs.flatMap((input) => input.gives));
    return { items: [...loose, ...placed, ...passed], types: typesOf(top), key: "whole" };
  }

  outputs(top, values) {
    const found = top.outputs.map(([name, node, output, training]) => ({ name, value: `${node}:${output}`, training }));
    return found.filter(({ value }) => values.includes(value)).map(({ name, value, training }) =>
      terminal("output", name, found.length, typesOf(top)(value), { takes: [value], training }));
  }

  bodyItems(body, prefix, training) {
    return body.folds.map((fold) => this.foldItem(body, fold, prefix, training));
  }

  foldItem(body, fold, prefix, training) {
    if (fold.units.length === 1) return this.unitItem(body, fold.units[0], prefix, training);
    const key = foldKey(prefix, body, fold);
    const places = fold.units.flat();
    const first = body.nodes[places[0]];
    const common = {
      ...links(body, places),
      key,
      path: prefix + first.name,
      toggle: key,
      copies: fold.units.length,
      name: fold.name,
      ...this.common(body, places, prefix, training),
    };
    if (!this.open.has(key)) {
      const unit = fold.dense ? fold.units[0].slice(0, 1) : fold.units[0];
      const item = this.unitBox(body, unit, prefix, common, fold.text);
      if (fold.dense) item.lines.unshift({ text: "densely connected" });
      return item;
    }
    const units = fold.dense ? places.map((place) => [place]) : fold.units;
    const title = heading(fold.name, first.word || "", fold.units.length);
    return this.frame(common, { title, text: fold.dense ? "densely connected" : "copies" }, {
      items: units.map((unit) => this.unitItem(body, unit, prefix, training)),
      inputs: common.takes,
      outputs: used(body, places, common.gives),
      types: typesOf(body),
      key: `${body.places.size}f${body.folds.indexOf(fold)}b${this.network.bodies.indexOf(body)}`,
    });
  }

  unitItem(body, unit, prefix, training) {
    const node = body.nodes[unit[0]];
    const path = prefix + node.name;
    const common = {
      ...links(body, unit),
      key: path,
      path,
      toggle: this.network.opens(node) ? path : null,
      copies: 1,
      name: node.name,
      ...this.common(body, unit, prefix, training),
    };
    if (!common.toggle || !this.open.has(path)) return this.unitBox(body, unit, prefix, common, node.text);
    const inner = this.network.inside(node);
    const text = inner.folds[0].units.length > 1 && inner.folds.length === 1 ? "" : node.text;
    return this.frame(common, { title: heading(node.name, node.word), text }, {
      items: this.bodyItems(inner, path + ".", common.training),
      inputs: inner.inputs.map((_, place) => `-1:${place}`),
      outputs: inner.outputs.map(([, from, output]) => `${from}:${output}`),
      types: typesOf(inner),
      key: `b${node.body}`,
    });
  }

  common(body, places, prefix, training) {
    const nodes = places.map((place) => body.nodes[place]);
    return {
      training: training || Boolean(nodes[0].training),
      cost: costs(nodes, training),
      stands: new Set(nodes.map((node) => prefix + node.name)),
    };
  }

  // One box: ops that follow each other, or a closed block.
  unitBox(body, unit, prefix, common, text) {
    const first = body.nodes[unit[0]];
    const path = prefix + first.name;
    let parts = unit.map((place) => ({ node: body.nodes[place], path: prefix + body.nodes[place].name }));
    if (first.strip) parts = this.network.strip(first, path);
    const lead = parts[0].node;
    const isOp = lead.op !== undefined;
    const leadText = this.network.text(lead);
    const title = isOp
      ? opHeading(common.name, leadText, common.copies)
      : heading(common.name, first.word || first.kind, common.copies);
    const lines = isOp
      ? parts.slice(1).map(({ node, path }) => ({ text: this.network.text(node), path }))
      : text ? [{ text }] : [];
    if (common.cost.parameters) {
      lines.push({ text: `${short(common.cost.parameters)} params${common.copies > 1 ? " in all" : ""}` });
    }
    if (first.training) lines.push({ text: "training only" });
    parts.forEach((part) => common.stands.add(part.path));
    return { ...common, type: "box", title, lines, category: this.network.category(lead) };
  }

  frame(common, words, group) {
    const ports = (values, side) => values.map((value) => ({
      type: "port",
      key: `${common.key}|${side}`,
      takes: side === "out" ? [value] : [],
      gives: side === "in" ? [value] : [],
    }));
    group.items = [...ports(group.inputs, "in"), ...group.items, ...ports(group.outputs, "out")];
    return { ...common, type: "frame", ...words, group };
  }
}

function terminal(side, name, count, type, more) {
  const title = count === 1 ? side : `${side} ${name}`;
  return {
    type: "terminal", key: `${side}:${name}`, title, shape: type, lines: [], category: "terminal",
    takes: [], gives: [], cost: costs([], false), ...more,
  };
}

const typesOf = (body) => (value) => {
  const [place, output] = value.split(":").map(Number);
  return place < 0 ? body.inputs[output][1] : body.nodes[place].outputs[output];
};

// What some nodes of a body take from outside and give, as names of values.
function links(body, places) {
  const own = new Set(places);
  const takes = places.flatMap((place) => body.nodes[place].inputs.filter(([from]) => !own.has(from)));
  const gives = places.flatMap((place) => body.nodes[place].outputs.map((_, output) => `${place}:${output}`));
  const named = takes.map(([from, output]) => `${from}:${output}`);
  return { takes: places.length > 1 ? [...new Set(named)] : named, gives };
}

function used(body, places, gives) {
  const own = new Set(places);
  const outside = new Set(body.outputs.map(([, from, output]) => `${from}:${output}`));
  body.nodes.forEach((node, place) => {
    if (!own.has(place)) node.inputs.forEach(([from, output]) => outside.add(`${from}:${output}`));
  });
  return gives.filter((value) => outside.has(value));
}

// Sizes -----------------------------------------------------------------------------------------------------------

// Lines of a box, in as few rows as are easy to read: each a list of parts with the place where it starts.
function rows(lines) {
  const found = [];
  for (const line of lines) {
    const width = textWidth(line.text, SIZE.line);
    const last = found[found.length - 1];
    if (last && last.width + width + 14 <= LONGEST_LINE) {
      const gap = textWidth(" · ", SIZE.line);
      last.parts.push({ ...line, x: last.width + gap, width });
      last.width += gap + width;
    } else {
      found.push({ width, parts: [{ ...line, x: 0, width }] });
    }
  }
  return found;
}

function measure(item) {
  if (item.type === "port") {
    Object.assign(item, { width: 0, height: 0, inX: 0, outX: 0 });
    return;
  }
  item.rows = rows(item.lines);
  const title = textWidth(item.title, SIZE.title, true) + (item.toggle ? 36 : 0);
  const text = Math.max(title, ...item.rows.map((row) => row.width));
  item.width = Math.ceil(Math.max(text + 2 * SIZE.pad, item.type === "terminal" ? 70 : SIZE.least));
  item.height = (item.type === "terminal" ? 24 : 28) + (item.rows.length ? item.rows.length * SIZE.row : 0);
  item.inX = item.outX = item.width / 2;
}

// Groups ----------------------------------------------------------------------------------------------------------

class Layouts {
  constructor() {
    this.known = new Map();
    this.count = 0;
  }

  // Place the items of a group; what is in frames first. Equal groups are laid out once.
  group(group) {
    for (const item of group.items) {
      if (item.type === "frame") this.frame(item);
      else measure(item);
    }
    const key = `${group.key}(${group.items.map((item) => `${item.layout?.number ?? item.copies ?? ""}${item.training ? "t" : ""}`).join()})`;
    if (!this.known.has(key)) this.known.set(key, { ...place(group), number: `#${(this.count += 1)}` });
    return this.known.get(key);
  }

  frame(item) {
    const layout = (item.layout = this.group(item.group));
    const words = textWidth(item.title, SIZE.title, true) + 46;
    const text = item.text ? textWidth(item.text, SIZE.line) + 36 : 0;
    item.width = Math.ceil(Math.max(layout.width + 2 * SIZE.side, words, text));
    item.offsetX = (item.width - layout.width) / 2;
    item.offsetY = item.text ? 26 : 12;
    item.height = layout.height + item.offsetY + 2;
    const xs = (side) => layout.places.filter((_, i) => isPort(item.group.items[i], side)).map(({ x }) => x);
    item.inXs = xs("in").map((x) => x + item.offsetX);
    item.outXs = xs("out").map((x) => x + item.offsetX);
    item.inX = item.inXs.length === 1 ? item.inXs[0] : item.width / 2;
    item.outX = item.outXs.length === 1 ? item.outXs[0] : item.width / 2;
  }
}

const isPort = (item, side) => item.type === "port" && (side === "in" ? item.gives.length : item.takes.length) > 0;

// Edges between items, as positions in the list, each with the port it leaves and enters.
function edgesOf({ items, types }) {
  const makers = new Map();
  items.forEach((item, source) => item.gives.forEach((value, port) => makers.set(value, { source, port })));
  const edges = [];
  items.forEach((item, target) => item.takes.forEach((value, place) => {
    const maker = makers.get(value);
    if (!maker) return;
    const inner = items[maker.source].type === "port" || item.type === "port";
    edges.push({ ...maker, target, place, label: inner ? "" : types(value) });
  }));
  return edges;
}

function classify(edges, items) {
  const leaving = items.map(() => []);
  const entering = items.map(() => 0);
  for (const { source, target } of edges) {
    leaving[source].push(target);
    entering[target] += 1;
  }
  const skips = ({ source, target }) => {
    if (leaving[source].length < 2 || entering[target] < 2) return false;
    const pending = leaving[source].filter((item) => item < target);
    const seen = new Set(pending);
    while (pending.length) {
      for (const next of leaving[pending.pop()]) {
        if (next === target) return true;
        if (next < target && !seen.has(next)) {
          seen.add(next);
          pending.push(next);
        }
      }
    }
    return false;
  };
  for (const edge of edges) {
    const ends = [items[edge.source], items[edge.target]];
    if (ends[1].category === "failed") edge.kind = "failed";
    else if (ends.some((item) => item.training)) edge.kind = "auxiliary";
    else edge.kind = skips(edge) ? "shortcut" : "main";
  }
}

// Every item's place and every edge's points, with the origin at the top left.
function place(group) {
  const { items } = group;
  const edges = edgesOf(group);
  classify(edges, items);
  const jumped = new Array(items.length + 1).fill(0);
  for (const { source, target } of edges) {
    jumped[source + 1] += 1;
    jumped[target] -= 1;
  }
  let over = 0;
  const cuts = items.map((_, i) => i).filter((i) => (over += jumped[i]) === 0);
  const places = new Array(items.length);
  const stretches = [[-1, cuts[0] ?? items.length], ...cuts.map((cut, i) => [cut, cuts[i + 1] ?? items.length])];
  const from = stretches.map(() => []);
  const starts = new Array(items.length).fill(0);
  stretches.forEach(([start, end], number) => range(Math.max(start, 0), end).forEach((i) => (starts[i] = number)));
  edges.forEach((edge) => from[starts[edge.source]].push(edge));
  let [x, y] = [0, 0]; // where the stretch begins: the middle below its first item
  stretches.forEach(([start, end], number) => {
    if (start >= 0) {
      const item = items[start];
      places[start] = { x: x - item.inX, y };
      x = places[start].x + item.outX;
      y += item.height;
    }
    const size = stretch(items, from[number], start, end, places, x, y);
    x = size.x;
    y = size.y;
  });
  for (const edge of edges) {
    const [source, target] = [items[edge.source], items[edge.target]];
    const [first, last] = [places[edge.source], places[edge.target]];
    const leave = source.outXs?.length > 1 ? outPort(source, edge) : source.outX;
    const enter = target.inXs?.length > 1 ? target.inXs[edge.place] : target.inX;
    edge.points = [
      [first.x + leave, first.y + source.height],
      ...(edge.points || []),
      [last.x + enter, last.y],
    ];
    if (edge.label && !edge.at) edge.at = [edge.points[0][0] + 6, (edge.points[0][1] + last.y) / 2];
  }
  return bounded(items, places, edges);
}

const outPort = (frame, edge) => frame.outXs[edge.port] ?? frame.outX;

// Place what is between two items that everything passes through. Returns where the second begins.
function stretch(items, edges, start, end, places, x, y) {
  const bottom = end === items.length;
  if (end - start === 1 && (edges.length < 2 || bottom)) {
    if (bottom) return { x, y };
    const near = [items[start], items[end]].some((item) => item?.type === "port");
    return { x, y: start < 0 ? y : y + (near ? SIZE.portGap : SIZE.gap) };
  }
  const graph = new dagre.graphlib.Graph({ multigraph: true });
  graph.setGraph({ ranksep: 28, nodesep: 26, edgesep: 14 });
  const name = (i) => (i <= start ? "start" : i >= end ? "end" : `${i}`);
  graph.setNode("start", { width: 0, height: 0 });
  graph.setNode("end", { width: 0, height: 0 });
  for (let i = start + 1; i < end; i += 1) graph.setNode(name(i), { width: items[i].width, height: items[i].height });
  const ends = { source: new Set(), target: new Set() };
  edges.forEach((edge, i) => {
    ends.source.add(edge.source);
    ends.target.add(edge.target);
    const width = edge.label ? textWidth(edge.label, SIZE.label) + 4 : 0;
    const weight = edge.kind === "shortcut" || edge.kind === "auxiliary" ? 1 : 4;
    graph.setEdge(name(edge.source), name(edge.target), { width, height: 1, labelpos: "r", labeloffset: 6, weight }, `${i}`);
  });
  for (let i = start + 1; i < end; i += 1) {
    const pinned = { width: 0, height: 0, weight: items[i].type === "port" ? 100 : 0 };
    if (!ends.target.has(i)) graph.setEdge("start", name(i), { ...pinned }, `top${i}`);
    if (!ends.source.has(i)) graph.setEdge(name(i), "end", { ...pinned }, `bottom${i}`);
  }
  dagre.layout(graph);
  const top = graph.node("start");
  const open = start < 0 ? Math.min(...range(start + 1, end).map((i) => graph.node(name(i)).y - items[i].height / 2)) : top.y;
  const [dx, dy] = [x - top.x, y - open];
  const heights = new Map();
  for (let i = start + 1; i < end; i += 1) {
    const node = graph.node(name(i));
    places[i] = { x: node.x - node.width / 2 + dx, y: node.y - node.height / 2 + dy };
    const row = Math.round(node.y);
    heights.set(row, Math.max(heights.get(row) || 0, node.height));
  }
  edges.forEach((edge, i) => {
    const laid = graph.edge(name(edge.source), name(edge.target), `${i}`);
    // Within a row an edge is upright, so that it passes tall items by; it moves sideways between rows.
    edge.points = laid.points.slice(1, -1).flatMap((point) => {
      const half = (heights.get(Math.round(point.y)) || 0) / 2;
      return half ? [[point.x + dx, point.y + dy - half], [point.x + dx, point.y + dy + half]] : [[point.x + dx, point.y + dy]];
    });
    if (edge.label) edge.at = [laid.x + dx - laid.width / 2 + 3, laid.y + dy];
  });
  const last = graph.node("end");
  if (!bottom) return { x: last.x + dx, y: last.y + dy };
  return { x, y: Math.max(...range(start + 1, end).map((i) => places[i].y + items[i].height)) };
}

const range = (start, end) => Array.from({ length: Math.max(end - start, 0) }, (_, i) => start + i);

function bounded(items, places, edges) {
  let [left, right, bottom] = [Infinity, -Infinity, 0];
  const include = (x, y) => {
    left = Math.min(left, x);
    right = Math.max(right, x);
    bottom = Math.max(bottom, y);
  };
  items.forEach((item, i) => {
    include(places[i].x, places[i].y);
    include(places[i].x + item.width, places[i].y + item.height);
  });
  for (const edge of edges) {
    edge.points.forEach(([x, y]) => include(x, y));
    if (edge.label) include(edge.at[0] + textWidth(edge.label, SIZE.label), edge.at[1]);
  }
  for (const point of places) point.x -= left;
  for (const edge of edges) {
    edge.points = edge.points.map(([x, y]) => [x - left, y]);
    if (edge.at) edge.at = [edge.at[0] - left, edge.at[1]];
  }
  return { places, edges, width: right - left, height: bottom };
}
