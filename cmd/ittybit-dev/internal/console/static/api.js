// Requests to the console's own server.

// Failure is a request that was refused, or did not arrive (status 0).
export class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function send(method, path, body) {
  let response;
  try {
    response = await fetch(`/api${path}`, {method, body, headers: {'X-Ittybit-Console': '1', ...(body && {'Content-Type': 'application/json'})}});
  } catch {
    throw new Failure(0, 'ittybit-dev does not answer. Does it run?');
  }
  if (response.ok) return response;
  if (response.status === 401) document.dispatchEvent(new CustomEvent('signed-out'));
  const message = await response.json().then((refusal) => refusal.message, () => '');
  throw new Failure(response.status, message || `${response.status} ${response.statusText}`);
}

export const get = async (path) => (await send('GET', path)).json();
export const text = async (path) => (await send('GET', path)).text();
export const bytes = async (path) => new Uint8Array(await (await send('GET', path)).arrayBuffer());

// post sends a value as JSON, or a text as it is.
export async function post(path, value, method = 'POST') {
  const response = await send(method, path, typeof value === 'string' ? value : JSON.stringify(value ?? {}));
  const answer = await response.text();
  return answer ? JSON.parse(answer) : null;
}

// segment makes one segment of a path: an id may be anything. Dots alone would lead elsewhere, in
// whatever way they are written.
export function segment(id) {
  if (/^\.{0,2}$/.test(id)) throw new Failure(404, `${JSON.stringify(id)} was not found.`);
  return encodeURIComponent(id);
}
