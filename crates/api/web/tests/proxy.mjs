// The page beside an API that does not serve it: static files here, everything else passed through.
// Run by hand: `node tests/proxy.mjs <port> <API's port>`.
import { createReadStream, existsSync, statSync } from "node:fs";
import http from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const web = fileURLToPath(new URL("..", import.meta.url));
const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml" };
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/**
 * @param {number} port
 * @param {number} api
 * @returns {Promise<http.Server>}
 */
export function serve(port, api) {
  const server = http.createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://here").pathname;
    const file = path === "/" ? "index.html" : path.startsWith("/web/") ? normalize(path.slice(5)) : null;
    const type = file === null ? undefined : types[extname(file)];
    if (file !== null && type && !file.startsWith("..") && existsSync(join(web, file)) && statSync(join(web, file)).isFile()) {
      response.writeHead(200, {
        "content-type": type,
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
      });
      createReadStream(join(web, file)).pipe(response);
      return;
    }
    const passed = http.request({ port, host: "127.0.0.1", ...{ port: api }, path: request.url, method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.on("error", () => response.destroy());
      answer.pipe(response);
    });
    passed.on("error", () => {
      if (response.headersSent) response.destroy();
      else response.writeHead(502, { "content-type": "text/plain" }).end("the API does not answer");
    });
    response.on("close", () => passed.destroy());
    request.pipe(passed);
  });
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server)));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await serve(Number(process.argv[2]), Number(process.argv[3]));
