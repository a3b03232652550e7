import { once } from "node:events";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";

/** Run a server on loopback for one test. Its `requests` are those that it received, each with its whole body. */
export async function listen(t, answer) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const body = await text(request);
    requests.push({
      method: request.method,
      url: request.url,
      headers: request.headers,
      body,
    });
    answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}/`, requests };
}

/** Answer like an API that accepts only this token. */
export function accepting(token) {
  return (request, response) => {
    const isAccepted = request.headers.authorization === `Bearer ${token}`;
    response.writeHead(isAccepted ? 200 : 401).end();
  };
}
