"use strict";
// The network as the page knows it: what stands at a path, what is drawn as one, and numbers for people.

class Network {
  constructor(data) {
    Object.assign(this, data);
    this.top = data.bodies[data.root];
    for (const body of data.bodies) {
      body.starts = []; // how many nodes come before each in the order of `walk`
      body.size = 0;
      for (const node of body.nodes) {
        body.starts.push(body.size);
        body.size += 1 + (node.body === undefined || node.shares ? 0 : this.bodies[node.body].size);
      }
    }
    for (const body of data.bodies) body.places = new Map(body.nodes.map((node, place) => [node.name, place]));
  }

  // The body in a node; nothing for an op.
  inside(node) {
    return node.body === undefined ? null : this.bodies[node.body];
  }

  category(node) {
    if (node.failed) return "failed";
    return node.op === undefined ? "block" : this.ops[node.op].category;
  }

  text(node) {
    return node.op === undefined ? node.text : this.ops[node.op].text;
  }

  // A node in a few words.
  words(node) {
    return node.op === undefined ? heading(node.word || "group", node.text) : this.text(node);
  }

  // The stations on the way to a path, outermost first; none where there is no such node. Names may have dots.
  route(path) {
    const stations = [];
    let body = this.top;
    let prefix = "";
    let rest = path.split(".");
    let training = false;
    while (rest.length) {
      let taken = 0;
      let place;
      while (body && place === undefined && taken < rest.length) {
        taken += 1;
        place = body.places.get(rest.slice(0, taken).join("."));
      }
      if (place === undefined) return [];
      const node = body.nodes[place];
      training ||= Boolean(node.training);
      stations.push({ path: prefix + node.name, prefix, body, place, node, training });
      prefix += node.name + ".";
      rest = rest.slice(taken);
      body = this.inside(node);
    }
    return stations;
  }

  // What is known of the receptive field of the last node of a route, as pairs of a label and a text.
  field(route) {
    if (!this.fieldOf.length || route.slice(0, -1).some(({ node }) => node.shares)) return [];
    const before = route.reduce((sum, { body, place }) => sum + body.starts[place], route.length - 1);
    return this.fields[this.fieldOf[before]];
  }

  // Every node with its path, parents first; a node that shares another's module ends there.
  *walk(body = this.top, prefix = "") {
    for (const node of body.nodes) {
      const path = prefix + node.name;
      yield [path, node];
      if (node.body !== undefined && !node.shares) yield* this.walk(this.bodies[node.body], path + ".");
    }
  }

  // Up to `most` nodes whose path, kind or arguments hold every word of a text; those at whose path it stands first.
  search(text, most) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [[], [], []];
    if (!words.length) return [];
    for (const [path, node] of this.walk()) {
      const [name, described] = [path.toLowerCase(), `${node.kind} ${this.text(node)}`.toLowerCase()];
      if (!words.every((word) => name.includes(word) || described.includes(word))) continue;
      const rank = name === words[0] ? 0 : node.kind.toLowerCase() === words[0] || name.includes(words[0]) ? 1 : 2;
      if (found[rank].length < most) found[rank].push([path, node]);
      if (found[1].length >= most && found[0].length) break;
    }
    return found.flat().slice(0, most);
  }

  // Whether a node opens into a frame of its own.
  opens(node) {
    return node.body !== undefined && !node.strip && this.bodies[node.body].nodes.length > 0;
  }

  // The ops in the one box that a strip is, with their paths.
  strip(node, path) {
    const body = this.inside(node);
    const unit = body.folds[0].units[0];
    const first = body.nodes[unit[0]];
    if (first.op === undefined) return this.strip(first, `${path}.${first.name}`);
    return unit.map((place) => ({ node: body.nodes[place], path: `${path}.${body.nodes[place].name}` }));
  }
}

// A frame or a fold has this name in the set of what is open.
const foldKey = (prefix, body, fold) => `${prefix}${body.nodes[fold.units[0][0]].name}*`;

// `layer1 ×3 · bottleneck`; a name that only repeats the kind is left out.
function heading(name, kind, count = 1) {
  const times = count > 1 ? ` ×${count}` : "";
  return name === kind || !kind ? name + times : `${name}${times} · ${kind}`;
}

function opHeading(name, text, count = 1) {
  return text.split(" ")[0] === name ? heading(text, "", count) : heading(name, text, count);
}

// 9,408 as `9.41 k`, 4,089,184,256 as `4.09 G`.
function short(number) {
  for (const [suffix, scale] of [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (number >= scale * 0.9995) {
      const scaled = number / scale;
      return `${scaled.toFixed(scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0)} ${suffix}`;
    }
  }
  return number.toFixed(0);
}

// 3,211,264 bytes as `3.06 MiB`.
function byteSize(number) {
  for (const [suffix, scale] of [["TiB", 2 ** 40], ["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (number >= scale) return `${(number / scale).toFixed(number / scale < 10 ? 2 : 1)} ${suffix}`;
  }
  return `${number} B`;
}

const COSTS = {
  parameters: { name: "parameters", show: short },
  macs: { name: "MACs", show: short },
  memory: { name: "memory", show: byteSize },
};

// What nodes cost together, in eval mode.
function costs(nodes, training) {
  const total = { parameters: 0, macs: 0, memory: 0 };
  for (const node of nodes) {
    total.parameters += node.parameters;
    if (training || node.training) continue;
    total.macs += node.macs;
    total.memory += node.memory;
  }
  return total;
}
