"use strict";
// Where everything stands. dagre lays out what branches. What is between two items that everything passes through is
// laid out by itself, so that a long network costs no more than its parts.

const SIZE = {
  title: 13, line: 11.5, label: 10.5, // of letters
  row: 16, pad: 14, least: 132, even: 240, // of boxes; up to `even`, those of one group are equally wide
  gap: 32, foot: 14, side: 18, words: 27, // between boxes; at the foot, the sides and the words of a frame
  corner: 14, apart: 12, // how far ends of edges stay from corners, and from each other
};
const HEAD = { title: 26, text: 42 }; // room for the words of a frame
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

// Boxes beside and below each other are of one width, as long as none is very wide.
function even(items) {
  const boxes = items.filter(({ type }) => type === "box");
  const widest = Math.min(SIZE.even, Math.max(0, ...boxes.map(({ width }) => width)));
  for (const box of boxes) {
    box.width = Math.max(box.width, widest);
    box.inX = box.outX = box.width / 2;
  }
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
    even(group.items);
    const state = (item) => `${item.layout?.number ?? item.copies ?? ""}${item.training ? "t" : ""}`;
    const key = `${group.key}h${group.head}(${group.items.map(state).join()})`;
    if (!this.known.has(key)) this.known.set(key, { ...place(group), number: `#${(this.count += 1)}` });
    return this.known.get(key);
  }

  frame(item) {
    item.group.head = item.text ? HEAD.text : HEAD.title;
    const layout = (item.layout = this.group(item.group));
    const title = textWidth(item.title, SIZE.title, true);
    const text = item.text ? textWidth(item.text, SIZE.line) : 0;
    const words = SIZE.words + Math.max(title, text) + 10;
    const ports = item.group.items.map((inner, i) => ({ inner, x: layout.places[i].x }));
    const xs = (side) => ports.filter(({ inner }) => isPort(inner, side)).map(({ inner, x }) => [inner.number, x]);
    // The words end before what enters, unless they are long.
    const entry = Math.min(layout.width / 2, ...xs("in").map(([, x]) => x));
    const beside = words <= SIZE.even ? 2 * (words - entry) + layout.width : 0;
    item.width = Math.ceil(Math.max(layout.width + 2 * SIZE.side, words, beside));
    item.offsetX = (item.width - layout.width) / 2;
    item.height = layout.height;
    const shifted = (side) => new Map(xs(side).map(([number, x]) => [number, x + item.offsetX]));
    const middle = (found) => (found.size === 1 ? [...found.values()][0] : item.width / 2);
    Object.assign(item, { inXs: shifted("in"), outXs: shifted("out") });
    Object.assign(item, { inX: middle(item.inXs), outX: middle(item.outXs) });
  }
}

const isPort = (item, side) => item.type === "port" && item.side === side;

// Edges between items, as positions in the list, each with the port it leaves and enters.
function edgesOf({ items, types }) {
  const makers = new Map();
  items.forEach((item, source) => item.gives.forEach((value, port) => makers.set(value, { source, port })));
  const edges = [];
  items.forEach((item, target) => item.takes.forEach((value, place) => {
    const maker = makers.get(value);
    if (!maker) return;
    const inner = items[maker.source].type === "port" || item.type === "port";
    const times = item.type === "box" ? item.takes.filter((other) => other === value).length : 1;
    if (times > 1 && item.takes.indexOf(value) < place) return; // one line for a value that is taken twice
    edges.push({ ...maker, target, place, label: inner ? "" : `${times > 1 ? `${times} × ` : ""}${types(value)}` });
  }));
  return edges;
}

// Say of each edge whether it is a shortcut past items that another way visits, or belongs to training alone.
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
  const alone = (item) => item.type !== "port" || items.filter((other) => isPort(other, item.side)).length === 1;
  const cuts = range(0, items.length).filter((i) => (over += jumped[i]) === 0 && alone(items[i]));
  const places = new Array(items.length);
  const stretches = [[-1, cuts[0] ?? items.length], ...cuts.map((cut, i) => [cut, cuts[i + 1] ?? items.length])];
  const from = stretches.map(() => []);
  const starts = new Array(items.length).fill(0);
  stretches.forEach(([start, end], number) => range(Math.max(start, 0), end).forEach((i) => (starts[i] = number)));
  edges.forEach((edge) => from[starts[edge.source]].push(edge));
  let [x, y] = [0, isPort(items[0], "in") ? 0 : group.head ?? 0]; // where the stretch begins: below its first item
  stretches.forEach(([start, end], number) => {
    if (start >= 0) {
      const item = items[start];
      places[start] = { x: x - item.inX, y };
      x = places[start].x + item.outX;
      y += item.height;
    }
    const size = stretch(group, from[number], start, end, places, x, y);
    x = size.x;
    y = size.y;
  });
  attach(items, places, edges);
  const layout = bounded(items, places, edges);
  return isPort(items.at(-1), "out") ? layout : { ...layout, height: layout.height + (group.head ? SIZE.foot : 0) };
}

// Give every edge its two ends. At a port it is that of the port; along a box ends spread, each near where it leads.
function attach(items, places, edges) {
  for (const edge of edges) edge.points ??= [];
  const ends = (i, side, edge, toward) => {
    const [item, place] = [items[i], places[i]];
    const port = side === "out" ? item.outXs?.get(edge.port) : item.inXs?.get(edge.place);
    const fixed = port ?? (item.type === "port" ? 0 : undefined);
    return { edge, item, place, fixed, toward };
  };
  const leaving = items.map(() => []);
  const entering = items.map(() => []);
  for (const edge of edges) {
    const [next, before] = [edge.points[0]?.[0], edge.points.at(-1)?.[0]];
    leaving[edge.source].push(ends(edge.source, "out", edge, next ?? places[edge.target].x + items[edge.target].inX));
    const above = before ?? places[edge.source].x + items[edge.source].outX;
    entering[edge.target].push(ends(edge.target, "in", edge, above));
  }
  // Where ends that lead to the left and to the right stand on one side of an item, in that order and apart.
  const along = (found) => {
    found.sort((a, b) => a.toward - b.toward);
    const xs = found.map(({ item, place, fixed, toward }) => fixed !== undefined
      ? place.x + fixed
      : Math.min(Math.max(toward, place.x + SIZE.corner), place.x + item.width - SIZE.corner));
    for (let i = 1; i < xs.length; i += 1) {
      if (found[i].fixed === undefined) xs[i] = Math.max(xs[i], xs[i - 1] + SIZE.apart);
    }
    const most = found[0] && found[0].place.x + found[0].item.width - SIZE.corner;
    for (let i = xs.length - 1; i >= 0; i -= 1) {
      if (found[i].fixed === undefined) xs[i] = Math.min(xs[i], i === xs.length - 1 ? most : xs[i + 1] - SIZE.apart);
    }
    return xs;
  };
  leaving.forEach((found) => along(found).forEach((x, i) => (found[i].edge.start = x)));
  entering.forEach((found) => along(found).forEach((x, i) => (found[i].edge.end = x)));
  for (const edge of edges) {
    const [first, last] = [places[edge.source].y + items[edge.source].height, places[edge.target].y];
    edge.points = [[edge.start, first], ...edge.points, [edge.end, last]];
    if (edge.label) edge.at ??= [edge.start + 6, (first + last) / 2];
  }
}

const RANKS = { ranksep: 34, nodesep: 26, edgesep: 14 };

// Place what is between two items that everything passes through. Returns where the second begins.
function stretch(group, edges, start, end, places, x, y) {
  const { items, head = 0 } = group;
  const bottom = end === items.length;
  if (end - start > 1 || (edges.length > 1 && !bottom)) return branches(group, edges, start, end, places, x, y);
  if (start < 0 || bottom) return { x, y };
  if (isPort(items[start], "in")) return { x, y: y + head + SIZE.foot };
  return { x, y: y + (isPort(items[end], "out") ? SIZE.foot : SIZE.gap) };
}

// Place items of which some stand beside others.
function branches({ items, head = 0 }, edges, start, end, places, x, y) {
  const between = range(start + 1, end);
  const bottom = end === items.length;
  // Where nothing between leads on, the way to the end is straight, and what is between stands beside it.
  const onward = edges.filter((edge) => edge.target === end);
  const aside = start >= 0 && onward.length === 1 && onward[0].source === start;
  const laid = edges.filter((edge) => !aside || edge !== onward[0]);
  const graph = layered(items, laid, start, end);
  const nodes = between.map((i) => graph.node(`${i}`));
  const [first, last] = [graph.node("start"), graph.node("end")];
  const top = start < 0 ? Math.min(...nodes.map((node) => node.y - node.height / 2)) : first.y;
  const room = isPort(items[Math.max(start, 0)], "in") ? head - RANKS.ranksep / 2 : 0;
  const left = Math.min(...nodes.map((node) => node.x - node.width / 2));
  const dx = x - (aside ? left - textWidth(onward[0].label, SIZE.label) - 2 * SIZE.side : first.x);
  const dy = y - top + room;
  const heights = new Map(); // of rows, by their middle
  between.forEach((i, place) => {
    const node = nodes[place];
    places[i] = { x: node.x - node.width / 2 + dx, y: isPort(items[i], "in") ? y : node.y - node.height / 2 + dy };
    const row = Math.round(node.y);
    heights.set(row, Math.max(heights.get(row) || 0, node.height));
  });
  for (const edge of laid) {
    const route = graph.edge(...endsOf(edge, start, end), edge.id);
    // Within a row an edge is upright, so that it passes tall items by; it moves sideways between rows.
    edge.points = route.points.slice(1, -1).flatMap((point) => {
      const half = (heights.get(Math.round(point.y)) || 0) / 2;
      const [across, down] = [point.x + dx, point.y + dy];
      return half ? [[across, down - half], [across, down + half]] : [[across, down]];
    });
    if (isPort(items[edge.source], "in")) edge.points.unshift([start < 0 ? edge.points[0][0] : x, y + room]);
    if (edge.label) edge.at = [route.x + dx - route.width / 2 + 3, route.y + dy - 3];
  }
  if (!bottom) return { x: aside ? x : last.x + dx, y: last.y + dy };
  return { x, y: Math.max(...between.map((i) => places[i].y + items[i].height)) };
}

function endsOf({ source, target }, start, end) {
  return [source <= start ? "start" : `${source}`, target >= end ? "end" : `${target}`];
}

// The items between two others in rows, by dagre. Where it drifts sideways, the narrowest of its other ways is taken.
function layered(items, edges, start, end) {
  const laidOut = (align) => {
    const graph = new dagre.graphlib.Graph({ multigraph: true });
    graph.setGraph({ ...RANKS, align });
    graph.setNode("start", { width: 0, height: 0 });
    graph.setNode("end", { width: 0, height: 0 });
    // From the last to the first, which dagre puts from the right to the left; shortcuts to the right of all.
    const between = range(start + 1, end).reverse();
    for (const i of between) graph.setNode(`${i}`, { width: items[i].width, height: items[i].height });
    const shortcut = (edge) => Number(edge.kind === "shortcut");
    edges.sort((a, b) => shortcut(b) - shortcut(a) || b.target - a.target);
    edges.forEach((edge, i) => {
      edge.id = `${i}`;
      const width = edge.label ? textWidth(edge.label, SIZE.label) + 4 : 0;
      const weight = edge.kind === "main" ? 4 : 1;
      const label = { width, height: 1, labelpos: "r", labeloffset: 6, weight };
      graph.setEdge(...endsOf(edge, start, end), label, edge.id);
    });
    // Ports stand in the first row and in the last, and nothing stands above the one or below the other.
    const [left, entered] = [new Set(edges.map(({ source }) => source)), new Set(edges.map(({ target }) => target))];
    for (const i of between) {
      const tie = { width: 0, height: 0, weight: items[i].type === "port" ? 100 : 0 };
      if (!entered.has(i)) graph.setEdge("start", `${i}`, { ...tie }, "tie");
      if (!left.has(i)) graph.setEdge(`${i}`, "end", { ...tie }, "tie");
    }
    dagre.layout(graph);
    return graph;
  };
  const graph = laidOut();
  const widest = Math.max(...range(start + 1, end).map((i) => items[i].width), 0);
  if (Math.abs(graph.node("start").x - graph.node("end").x) <= widest) return graph;
  const found = [graph, laidOut("UL"), laidOut("UR")];
  return found.reduce((best, other) => (other.graph().width < best.graph().width ? other : best));
}

const range = (start, end) => Array.from({ length: Math.max(end - start, 0) }, (_, i) => start + i);

// Everything moved to the right of zero, with the size it takes.
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
