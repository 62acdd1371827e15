// Replaces `fetch` by one that follows the CORS protocol of the Fetch standard, as a page on the origin PAGE would.
const simple = ["accept", "accept-language", "content-language"];
const send = globalThis.fetch;

const listed = (response, header) => (response.headers.get(header) ?? "").split(",").map((each) => each.trim().toLowerCase());

function shared(response) {
  if (![process.env.PAGE, "*"].includes(response.headers.get("access-control-allow-origin"))) {
    throw new TypeError(`blocked by CORS: ${response.status}`);
  }
  return response;
}

globalThis.fetch = async (url, options) => {
  const origin = process.env.PAGE;
  const unsafe = Object.keys(options.headers).map((name) => name.toLowerCase()).filter((name) => !simple.includes(name)).sort();
  const asked = { origin, "access-control-request-method": options.method, "access-control-request-headers": unsafe.join(",") };
  const preflight = shared(await send(url, { method: "OPTIONS", headers: asked }));
  const allowed = listed(preflight, "access-control-allow-headers");
  if (!preflight.ok || !unsafe.every((name) => allowed.includes(name))) throw new TypeError("blocked by CORS: headers");
  const methods = listed(preflight, "access-control-allow-methods");
  if (!["GET", "HEAD", "POST"].includes(options.method) && !methods.includes(options.method.toLowerCase())) throw new TypeError("blocked by CORS: method");
  return shared(await send(url, { ...options, headers: { ...options.headers, origin } }));
};
