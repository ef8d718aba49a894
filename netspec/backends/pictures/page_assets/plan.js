"use strict";
// What is to be laid out: the nodes that are open become items with words and costs, nested as the frames are.

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
    const inputs = top.inputs.map(([name], place) => terminal("input", name, top.inputs.length, {
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

  // The network's outputs that are some of these values.
  outputs(top, values) {
    const found = top.outputs.map(([name, node, output, training]) => ({ name, value: `${node}:${output}`, training }));
    return found.filter(({ value }) => values.includes(value)).map(({ name, value, training }) =>
      terminal("output", name, found.length, { takes: [value], training }));
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
      within: fold.units.length,
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
    return this.frame(common, { title, text: fold.dense ? "densely connected" : fold.text }, {
      items: units.map((unit) => this.unitItem(body, unit, prefix, training)),
      inputs: common.takes,
      outputs: used(body, places, common.gives),
      types: typesOf(body),
      key: `b${this.network.bodies.indexOf(body)}f${body.folds.indexOf(fold)}`,
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
      within: node.body === undefined ? 0 : this.network.inside(node).folds.length,
      copies: 1,
      name: node.name,
      ...this.common(body, unit, prefix, training),
    };
    const inner = this.network.inside(node);
    const sole = inner?.folds.length === 1 && inner.folds[0]; // a group of nothing but copies looks like them
    if (!common.toggle || !this.open.has(path)) {
      if (common.toggle && sole) common.copies = sole.units.length;
      return this.unitBox(body, unit, prefix, common, node.text || sole?.text);
    }
    const text = sole?.units?.length > 1 ? "" : node.text;
    return this.frame(common, { title: heading(node.name, node.word), text }, {
      items: this.bodyItems(inner, path + ".", common.training),
      inputs: inner.inputs.map((_, place) => `-1:${place}`),
      outputs: inner.outputs.map(([, from, output]) => `${from}:${output}`),
      given: common.gives, // what the outputs are called around the body
      types: typesOf(inner),
      key: `b${node.body}`,
    });
  }

  // What boxes and frames of some nodes have in common.
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
    const title = isOp
      ? opHeading(common.name, this.network.text(lead), common.copies)
      : heading(common.name, first.word, common.copies);
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

  // A frame around a group, whose inputs and outputs become ports on its border.
  frame(common, words, group) {
    const ports = (values, side) => values.map((value, place) => ({
      type: "port",
      side,
      number: side === "in" ? place : common.gives.indexOf(group.given?.[place] ?? value),
      key: `${common.key}|${side}`,
      takes: side === "out" ? [value] : [],
      gives: side === "in" ? [value] : [],
    }));
    group.items = [...ports(group.inputs, "in"), ...group.items, ...ports(group.outputs, "out")];
    return { ...common, type: "frame", ...words, group };
  }
}

function terminal(side, name, count, more) {
  const title = count === 1 ? side : `${side} ${name}`;
  return {
    type: "terminal", key: `${side}:${name}`, title, lines: [], category: "terminal",
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

// The values of some nodes that are used outside of them.
function used(body, places, gives) {
  const own = new Set(places);
  const outside = new Set(body.outputs.map(([, from, output]) => `${from}:${output}`));
  body.nodes.forEach((node, place) => {
    if (!own.has(place)) node.inputs.forEach(([from, output]) => outside.add(`${from}:${output}`));
  });
  return gives.filter((value) => outside.has(value));
}
