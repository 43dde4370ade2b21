// Who waits for itself, be it through others (SPEC 7.15).

// Return the ids of those `accepted` events of a batch that wait for themselves, be it through others: strongly connected
// components by Tarjan, with a stack of our own, since ten thousand tasks may wait for each other in a row.
export function onCycles(accepted) {
  const after = new Map(accepted.map((event) => [event.get('id'), []]));
  for (const event of accepted) {
    const names = event.get('task') instanceof Map ? event.get('task').get('after') : null;
    if (Array.isArray(names)) after.set(event.get('id'), names.filter((name) => after.has(name)));
  }
  const found = new Set();
  const state = new Map(); // id → {index, low, open}
  const open = [];
  for (const start of after.keys()) {
    const path = state.has(start) ? [] : [enter(start, state, open)];
    while (path.length > 0) {
      const at = path.at(-1);
      const next = after.get(at.id)[at.next];
      at.next += 1;
      if (next === undefined) {
        path.pop();
        if (path.length > 0) path.at(-1).low = Math.min(path.at(-1).low, at.low);
        if (at.low === at.index) close(at, open, after, found);
      } else if (!state.has(next)) path.push(enter(next, state, open));
      else if (state.get(next).open) at.low = Math.min(at.low, state.get(next).index);
    }
  }
  return found;
}

function enter(id, state, open) {
  const made = { id, index: state.size, low: state.size, next: 0, open: true };
  state.set(id, made);
  open.push(made);
  return made;
}

// Take a whole component off the open nodes; it is a cycle if it has two nodes or one that waits for itself.
function close(root, open, after, found) {
  const component = open.splice(open.lastIndexOf(root));
  for (const node of component) {
    node.open = false;
    if (component.length > 1 || after.get(node.id).includes(node.id)) found.add(node.id);
  }
}
